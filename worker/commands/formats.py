"""``formats``: the roster formats that are read, and what is taken from each."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import click

from worker.commands.facts import print_json
from worker.commands.options import json_option
from worker.errors import UsageError
from worker.roster.format import RosterFormat
from worker.roster.formats import FORMATS, GENERIC


@click.group("formats", invoke_without_command=True)
@json_option
@click.pass_context
def formats(ctx: click.Context, as_json: bool) -> None:
    """List the roster formats that are read, beside plain tables.

    `import`, `plan` and `verify` recognise them; --from names one. `siproster formats show NAME` describes
    its columns.
    """
    if ctx.invoked_subcommand:
        return
    if as_json:
        print_json([{"name": one.name, "title": one.title} for one in FORMATS.values()])
        return
    widest = max(map(len, FORMATS), default=0)
    for one in FORMATS.values():
        click.echo(f"{one.name:<{widest}}  {one.title}")


@formats.command("show")
@click.argument("name", metavar="NAME")
@json_option
def show(name: str, as_json: bool) -> None:
    """Describe the format NAME: which columns are taken for what, which are left alone, and an example."""
    found = FORMATS.get(name.casefold())
    if name.casefold() == GENERIC:
        raise UsageError(
            f"{GENERIC} is any table with a header", "`siproster template` prints its columns and their rules"
        )
    if found is None:
        near = get_close_matches(name.casefold(), FORMATS, 1)
        raise UsageError(
            f"there is no format {name!r}",
            f"did you mean {near[0]}?" if near else "`siproster formats` lists all of them",
        )
    if as_json:
        print_json(_facts(found))
    else:
        click.echo("\n".join(_lines(found)))


def _facts(one: RosterFormat) -> dict[str, Any]:
    about = one.about
    return {
        "name": one.name,
        "title": one.title,
        "columns": dict(about.columns),
        "decoys": list(about.decoys),
        "notes": list(about.notes),
        "example": about.example,
    }


def _lines(one: RosterFormat) -> Iterator[str]:
    about = one.about
    yield f"{one.name}: {one.title}"
    yield "\ncolumns"
    widest = max((len(column) for column, _ in about.columns), default=0)
    yield from (f"  {column:<{widest}}  {meaning}" for column, meaning in about.columns)
    if about.decoys:
        yield "\nneither user name nor SIP password"
        yield f"  {', '.join(about.decoys)}"
    if about.notes:
        yield "\nnotes"
        yield from (f"  - {note}" for note in about.notes)
    yield f"\nexample\n{about.example.rstrip()}"
