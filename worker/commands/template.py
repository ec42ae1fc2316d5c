"""``template``: an empty roster to fill in, and the rule for each of its columns."""

from __future__ import annotations

import csv
import io
import re
import shlex
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import click
from xlsxwriter import Workbook

from worker.commands.facts import print_json
from worker.commands.options import json_option
from worker.commands.screen import echo
from worker.errors import UsageError
from worker.files import whole_file
from worker.reasons import reason_of
from worker.roster.formats import FORMATS, GENERIC
from worker.roster.formats.columns import ColumnFormat
from worker.roster.formats.kamailio import KAMAILIO
from worker.roster.formats.mysql_batch import MYSQL_BATCH

RULES: Mapping[str, str] = {
    "username": "Required: the name that the phone registers with. 1 to 32 letters, digits and"
    " . _ - ! $ & * + = ~. Leading zeros count; names that differ only in case are the same user.",
    "password": "The SIP password, used exactly as written, blanks included. Fewer than 8 characters, or only"
    " digits, draw a warning. Empty: import with --generate-passwords FILE.",
    "domain": "Optional, up to 32 of the same characters. The user is then username@domain.",
    "realm": "Optional: the realm's id, host name or short name. Empty: --realm, or the account's default.",
    "application_id": "Optional: the id (a UUID) of the voice application that handles the user's calls.",
    "name": "Optional: whose phone it is. This column, and any that you add, is copied to the results.",
}
"""Columns of the generic roster, each with its rule (docs/bandwidth-api.md#field-rules)."""

_WIDTH = 24
_ABOUT = ("column", "rule")
_FILE = click.Path(path_type=Path)
_STDOUT = Path("-")
_WORKBOOKS = {".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"}


@click.command("template")
@click.argument("name", metavar="[FORMAT]", default=GENERIC)
@click.option("--out", metavar="FILE", type=_FILE, help="Write the CSV to FILE; - is stdout.")
@click.option("--xlsx", metavar="FILE", type=_FILE, help="Write a workbook whose columns keep leading zeros.")
@json_option
def template(name: str, out: Path | None, xlsx: Path | None, as_json: bool) -> None:
    """Write an empty roster in FORMAT to fill in, and print the rule for each column on stderr.

    The CSV goes to stdout. In a spreadsheet, use --xlsx: its columns are formatted as text, so that 0103
    stays 0103, and its second sheet has the rules. Existing files are not overwritten.

    FORMAT is generic, or a PBX's table that `siproster formats` lists; importing the file recognises it.

    \b
      siproster template --xlsx staff.xlsx
      siproster template > staff.csv
    """
    if out and xlsx:
        raise UsageError("--out and --xlsx can't be used together", "use only one of them")
    _check_name(out, xlsx)
    out = None if out == _STDOUT else out
    rules, delimiter = _form(name.casefold())
    csv_text = _csv(rules, delimiter)
    if file := out or xlsx:
        _write(file, _workbook(rules) if xlsx else csv_text.encode())
    elif not as_json:
        sys.stdout.write(csv_text)
    widest = max(map(len, rules))
    for column, rule in rules.items():
        echo(f"{column:<{widest}}  {rule}")
    if file:
        echo(f"written to {file}; fill it in, then check it with: siproster plan {_shown(file)}")
    if as_json:
        columns = [dict(zip(_ABOUT, pair, strict=True)) for pair in rules.items()]
        print_json(
            {"format": name.casefold(), "columns": columns, "file": str(file.absolute()) if file else None}
        )


def _check_name(out: Path | None, xlsx: Path | None) -> None:
    """Raise UsageError for a file that programs would take for another kind, by its name's end."""
    if out and out.suffix.casefold() in _WORKBOOKS:
        raise UsageError(f"--out writes a CSV file, but {out} is the name of a workbook", "use --xlsx FILE")
    if xlsx and xlsx.suffix.casefold() != ".xlsx":
        raise UsageError(f"--xlsx {xlsx}: a workbook's name must end in .xlsx", "nothing was written")


def _shown(file: Path) -> str:
    """Return a path as it is typed as an argument."""
    return shlex.quote(f"./{file}" if str(file).startswith("-") else str(file))


def _form(name: str) -> tuple[Mapping[str, str], str]:
    """Return the columns of a format, each with its rule, and the delimiter.

    Raises UsageError for a format that is no table.
    """
    if name == GENERIC:
        return RULES, ","
    if name not in FORMATS:
        near = get_close_matches(name, [GENERIC, *FORMATS], 1)
        raise UsageError(
            f"there is no format {name!r}",
            f"did you mean {near[0]}?" if near else "`siproster formats` lists all of them",
        )
    found = FORMATS[name]
    if not isinstance(found, ColumnFormat):
        other = KAMAILIO.name if name == MYSQL_BATCH.name else GENERIC
        raise UsageError(
            f"{name} is not a table that can be filled in by hand",
            f"use another format: siproster template {other}",
        )
    header = found.about.example.splitlines()[0]
    delimiter = max(",;", key=header.count)
    return {column: _rule(found, column) for column in header.split(delimiter)}, delimiter


def _rule(found: ColumnFormat, column: str) -> str:
    """Return what is done with a column of a format."""
    for names, meaning in found.about.columns:
        if column == names or column in re.split("[, ]+", names):
            order = f": {names}" if ", else " in names else ""
            return f"{meaning[0].upper()}{meaning[1:]}{order}."
    if column in found.about.decoys:
        return "Optional: neither the user name nor the SIP password."
    return "Optional: copied to the results."


def _csv(rules: Mapping[str, str], delimiter: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerow(rules)
    return text.getvalue()


def _workbook(columns: Mapping[str, str]) -> bytes:
    """Return a workbook with the empty roster, all of whose cells are text, and a sheet with the rules."""
    content = io.BytesIO()
    with Workbook(content, {"in_memory": True}) as book:
        text = book.add_format({"num_format": "@"})
        heading = book.add_format({"num_format": "@", "bold": True})
        wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        roster, rules = book.add_worksheet("roster"), book.add_worksheet("rules")
        roster.set_column(0, len(columns) - 1, _WIDTH, text)
        roster.write_row(0, 0, columns, heading)
        roster.freeze_panes(1, 0)
        rules.set_column(0, 0, _WIDTH, wrapped)
        rules.set_column(1, 1, 4 * _WIDTH, wrapped)
        for line, pair in enumerate([_ABOUT, *columns.items()]):
            rules.write_row(line, 0, pair, heading if line == 0 else None)
    return content.getvalue()


def _write(file: Path, content: bytes) -> None:
    """Write a new file of mode 0600, since it will hold passwords. Raises UsageError."""
    try:
        with whole_file(file) as opened:
            opened.write(content)
    except FileExistsError:
        raise UsageError(f"{file} exists already", "nothing was written; choose another name") from None
    except OSError as error:
        raise UsageError(
            f"{file} can't be written: {reason_of(error)}", "name a file in a folder of yours"
        ) from None
