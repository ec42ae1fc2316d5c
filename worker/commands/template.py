"""``template``: an empty roster to fill in, and the rule for each of its columns."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import click

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
from worker.roster_template import ABOUT, RULES, table, workbook

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
    csv_text = table(rules, delimiter)
    if file := out or xlsx:
        _write(file, workbook(rules) if xlsx else csv_text.encode())
    elif not as_json:
        sys.stdout.write(csv_text)
    widest = max(map(len, rules))
    for column, rule in rules.items():
        echo(f"{column:<{widest}}  {rule}")
    if file:
        echo(f"written to {file}; fill it in, then check it with: siproster plan {_shown(file)}")
    if as_json:
        columns = [dict(zip(ABOUT, pair, strict=True)) for pair in rules.items()]
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
