"""``plan --columns``: how a roster is understood, without checking its rows."""

from __future__ import annotations

from collections.abc import Iterator

import click

from worker.commands.context import Context
from worker.commands.facts import print_json
from worker.commands.screen import echo
from worker.errors import UsageError
from worker.model import Options
from worker.roster.inspection import Column, Inspection, inspect
from worker.roster.recognise import find_roster


def show_columns(context: Context, source: str, options: Options, *, as_json: bool) -> int:
    """Print how a roster is understood. Return the exit code: 6 if it can't be read as it is."""
    found = inspect(context.upload(source) or find_roster(source, logins=context.settings.databases), options)
    if as_json:
        print_json(found.as_json())
    else:
        click.echo("\n".join(_lines(found)))
    if found.error:
        echo(f"siproster: {found.error.message}", "red")
        echo(f"           {found.error.hint}")
        return found.error.exit_code
    return 0


def refuse_with_columns(ctx: click.Context) -> None:
    """Raise UsageError for options of a plan, which ``--columns`` doesn't make."""
    for name in ("save", "results", "exit_on_change"):
        if ctx.params.get(name):
            raise UsageError(
                f"--columns makes no plan, so --{name.replace('_', '-')} can't be used with it",
                "leave one of them out",
            )


def _lines(found: Inspection) -> Iterator[str]:
    form = [found.encoding, f"delimiter {_shown(found.delimiter)}" if found.delimiter else ""]
    yield ": ".join(filter(None, [found.name, found.title or "not recognised"]))
    if found.recognised:
        yield f"  recognised as {found.format}: {found.recognised}"
    if found.header_line:
        form.append(f"column names on line {found.header_line}")
    yield "  " + ", ".join(filter(None, form))
    for sheet in found.sheets:
        marks = ", ".join(filter(None, ("read" if sheet.chosen else "", "hidden" if sheet.hidden else "")))
        yield f"  sheet {sheet.name!r}{f' ({marks})' if marks else ''}"
    for column in found.columns:
        yield _line(column)
    for line in found.lines:
        yield f"  line {line.line}: {' | '.join(line.cells)}"
    for warning in found.warnings:
        yield f"  warning: {warning.text}"


def _line(column: Column) -> str:
    name = column.name or f"(column {column.position})"
    field = column.field or (f"{column.suggested}?" if column.suggested else "")
    remarks = [field, column.why, column.hidden and f"not shown: {column.hidden}"]
    samples = "" if column.hidden else ", ".join(column.samples)
    return f"  {name:<20} {'; '.join(filter(None, remarks))}{' · ' * bool(samples and any(remarks))}{samples}"


def _shown(delimiter: str) -> str:
    return {"\t": "tab"}.get(delimiter, delimiter)
