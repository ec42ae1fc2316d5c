"""``phones``: a line, configuration files or a printed card for each user's phone."""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from worker.commands import outputs
from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.named_job import job_unless_file
from worker.commands.option_values import refuse_given
from worker.commands.options import json_option, reading_options
from worker.commands.phone_files import (
    CSV_BEGIN,
    PhoneEntries,
    make_empty_folder,
    write_cards,
    write_csv,
    write_files,
)
from worker.commands.phone_rows import PhoneRows, Servers, rows_of_job, rows_of_roster
from worker.commands.screen import echo
from worker.commands.verify import options_of_reading
from worker.commands.verify_runner import server_address
from worker.errors import UsageError
from worker.phones import CARDS_BEGIN, FIELDS, PhoneColumns, QrFormat, TemplateSet, Twins, built_in
from worker.reasons import plural
from worker.register import Transport
from worker.roster import DuplicateIndex
from worker.srv import check_address

_STDOUT = "-"
_WITH_JOB = frozenset({
    "source", "roster_", "generate_passwords", "out", "template", "cards", "qr", "qr_url", "column",
    "registrar", "resolver", "transport", "as_json", "account", "profile", "config", "debug",
})  # fmt: skip
"""Options that mean something with a job, too; the job determines how its roster is read."""


@click.command("phones")
@click.argument("source", metavar="ROSTER|JOB")
@click.option("--roster", "roster_", metavar="FILE", default="", help="The roster of JOB, for the passwords.")
@click.option(
    "--out",
    metavar="PATH",
    default="",
    help="CSV file to write, or - for stdout; with --template, a new folder for the phones' files.",
)
@click.option(
    "--template",
    metavar="NAME|DIR",
    default="",
    help=f"Write configuration files: {', '.join(built_in())}, or a folder with your own templates.",
)
@click.option("--cards", metavar="FILE", default="", help="HTML page to write, with a card for each user.")
@click.option(
    "--qr",
    type=click.Choice([one.value for one in QrFormat]),
    default=QrFormat.GSWAVE.value,
    show_default=True,
    help="Softphone that reads the QR codes of --cards.",
)
@click.option(
    "--qr-url", metavar="URL", default="", help="For --qr linphone: where its provisioning files are served."
)
@click.option(
    "--column",
    metavar="FIELD=COLUMN",
    multiple=True,
    help=f"Use this column for {', '.join(FIELDS)} (repeatable).  [default: found by their names]",
)
@click.option(
    "--registrar", metavar="HOST:PORT", default="", help="Registrar for all realms.  [default: from DNS]"
)
@click.option(
    "--resolver", metavar="ADDRESS", default="", help="DNS server to query.  [default: the system's]"
)
@click.option(
    "--transport",
    type=click.Choice([one.value for one in Transport]),
    default=Transport.UDP.value,
    show_default=True,
    help="Transport that the phones use.",
)
@reading_options
@json_option
@settings_options
@click.pass_context
def phones(ctx: click.Context, /, source: str, **given: Any) -> int:
    """Write what is needed to set up the phones: a CSV file, configuration files, or cards to print.

    All of them contain passwords; only you can read them (mode 0600). With JOB, they are about the rows that
    are in place; the ledger no longer has their passwords, so --roster is required.

    Exit code 0: every row is in them; 10: some rows are not.
    """
    context = Context(given)
    task = _task(given)
    job = job_unless_file(context, source)
    if given["roster_"] and not job:
        raise UsageError("--roster requires a JOB", f"{source} is itself read as a roster")
    with ExitStack() as stack:
        if job:
            refuse_given(ctx, _WITH_JOB, "with a job", "the job determines how its roster is read")
            passwords = given["generate_passwords"] or job.options.generate_passwords
            task.refuse_overwriting(context, job.source, given["roster_"], passwords)
            rows = stack.enter_context(rows_of_job(context, job, given["roster_"], passwords))
        else:
            options = options_of_reading(ctx, given, context)
            task.refuse_overwriting(context, source, options.generate_passwords)
            rows = stack.enter_context(rows_of_roster(context, source, options))
        facts = task.carry_out(rows, stack)
    if given["as_json"]:
        print_json({"job": job.id if job else None, **facts})
    return 10 if facts["left_out"] or facts["not_in_place"] else 0


@dataclass(frozen=True, slots=True)
class _Task:
    """The files that are wanted."""

    out: str
    templates: TemplateSet | None
    cards: Path | None
    qr: QrFormat
    qr_url: str
    columns: Mapping[str, Sequence[str]]
    servers: Servers

    def refuse_overwriting(self, context: Context, *sources: str) -> None:
        """Raise UsageError if a file that will be written is an input or a foreign file."""
        outputs.refuse_streams(context, *sources)
        if self.templates:
            make_empty_folder(Path(self.out))
        elif self.out not in ("", _STDOUT):
            outputs.refuse_file(context, Path(self.out), CSV_BEGIN, *sources)
        if self.cards:
            outputs.refuse_file(context, self.cards, CARDS_BEGIN, *sources)

    def carry_out(self, rows: PhoneRows, stack: ExitStack) -> dict[str, Any]:
        """Write the files, and return the facts that ``--json`` prints."""
        columns = PhoneColumns(rows.columns, self.columns, rows.templated)
        echo("  " + (", ".join(f"{field} from {name!r}" for field, name in columns.found.items())
                     or "no column about phones; name them with --column FIELD=COLUMN"))  # fmt: skip
        index = stack.enter_context(DuplicateIndex())
        entries = PhoneEntries(rows, columns, self.servers, Twins(index), self.templates)
        files: dict[str, str] = {}
        left_out: Counter[int] = Counter()
        if self.templates:
            left_out.update(write_files(Path(self.out), entries, self.templates))
            files["folder"] = self.out
        elif self.out:
            left_out.update(write_csv(None if self.out == _STDOUT else Path(self.out), entries))
            files["csv"] = self.out
        if self.cards:
            left_out.update(write_cards(self.cards, entries, self.qr, self.qr_url))
            files["cards"] = str(self.cards)
        total, written = entries.total, entries.total - len(left_out)
        _print_end(entries, written, rows.not_in_place, files)
        return {
            "roster": rows.name, "rows": total, "written": written, "left_out": len(left_out),
            "skipped": entries.skipped, "not_in_place": rows.not_in_place, "columns": columns.found,
            "files": files,
        }  # fmt: skip


def _task(given: Mapping[str, Any]) -> _Task:
    """Return the files that the options ask for. Raises UsageError."""
    if given["template"] and given["out"] in ("", _STDOUT):
        raise UsageError("--template needs a folder", "name a new one: --out DIR")
    if not (given["out"] or given["cards"]):
        raise UsageError(
            "say what to write",
            "a CSV file: --out phones.csv; configuration files: --template yealink --out DIR; "
            "cards to print: --cards cards.html",
        )  # fmt: skip
    if given["out"] and given["cards"] and Path(given["out"]).resolve() == Path(given["cards"]).resolve():
        raise UsageError("--out and --cards name the same file", "nothing was written; name two files")
    if given["out"] == _STDOUT and given["as_json"]:
        raise UsageError(
            "--json and --out - both write to stdout", "write the CSV into a file: --out phones.csv"
        )
    if (given["qr"] == QrFormat.LINPHONE) != bool(given["qr_url"]):
        raise UsageError("--qr linphone and --qr-url belong together", "--qr linphone --qr-url https://…/")
    transport = Transport(given["transport"])
    check_address(given["resolver"])
    return _Task(
        given["out"],
        TemplateSet(given["template"]) if given["template"] else None,
        Path(given["cards"]) if given["cards"] else None,
        QrFormat(given["qr"]),
        given["qr_url"],
        _columns(given["column"]),
        Servers(server_address(given["registrar"], transport), transport, given["resolver"]),
    )


def _columns(pairs: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return the columns that ``--column`` names, by field; several for one field are joined by a blank."""
    named: defaultdict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        field, _, column = pair.partition("=")
        if field not in FIELDS or not column:
            raise UsageError(f"--column {pair}: must be FIELD=COLUMN", f"fields are {', '.join(FIELDS)}")
        named[field].append(column)
    return named


def _print_end(entries: PhoneEntries, written: int, not_in_place: int, files: Mapping[str, str]) -> None:
    """Print how many rows are in the files, and where these are."""
    echo(
        f"{written:,} of {plural(entries.total, 'row')} written",
        "green" if written == entries.total else "yellow",
    )
    if entries.skipped:
        echo(f"{plural(entries.skipped, 'row')} of the roster left out: no phone; `siproster plan` says why")
    if not_in_place:
        echo(
            f"{plural(not_in_place, 'row')} of the job left out: not in place; its failed.csv lists them",
            "yellow",
        )
    for path in files.values():
        content = "contains passwords" if written else "was written, without any password"
        echo(f"  {'stdout' if path == _STDOUT else os.fspath(Path(path))} {content}")
    sys.stdout.flush()
