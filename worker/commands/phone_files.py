"""The files of ``phones``. Each is written in one pass over the rows; a row that can't be in it is said."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from worker import files
from worker.commands.phone_rows import PhoneRows, Servers
from worker.commands.screen import echo
from worker.errors import SiprosterError, UsageError
from worker.model import Problem, Row
from worker.phones import (
    Phone,
    PhoneColumns,
    QrFormat,
    Server,
    TemplateSet,
    Twins,
    Unfit,
    can_be_printed,
    cards,
)
from worker.reasons import plural, reason_of
from worker.report import neutral, new_table
from worker.table_form import TableForm

COLUMNS: Final = (
    "site", "name", "extension", "old_user", "mac", "did", "auth_user", "password", "realm", "registrar",
    "port", "transport", "line", "note",
)  # fmt: skip
CSV_BEGIN: Final = ",".join(COLUMNS[:6]).encode()
"""The first bytes of a CSV file of phones, by which one is known."""
OUTCOMES: Final = "phones-outcomes.csv"
"""The file in a folder of configuration files that says what became of each row."""

_CARDS = 500
"""Cards after which progress is printed."""
_TOLD = 20
"""Rows that are printed one by one."""
_number = re.compile(r"[+-]?[0-9]+").fullmatch
_NOWHERE = Server("", 0, "")
_MAC, _FILE = "mac:", "file:"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row with its phone. ``reason``: why its password can't be handed out; empty if it can."""

    phone: Phone
    reason: str


class PhoneEntries:
    """The entries of all rows, which can be read more than once."""

    def __init__(
        self,
        rows: PhoneRows,
        columns: PhoneColumns,
        servers: Servers,
        twins: Twins,
        templates: TemplateSet | None,
    ) -> None:
        """Read all rows once, to find phones that share a MAC address or a file."""
        self._rows, self._columns, self._servers, self._twins = rows, columns, servers, twins
        self.total = self.skipped = 0
        """Users, and the roster's entries that are none, such as trunks, which are in no file."""
        for page in rows.pages():
            entries = [self._entry(row) for row in page if not row.skipped]
            self.total += len(entries)
            self.skipped += len(page) - len(entries)
            twins.add([key for entry in entries for key in _keys(entry, templates)])

    def all(self) -> Iterator[Entry]:
        """Yield the entries in the roster's order."""
        for page in self._rows.pages():
            yield from (self._entry(row) for row in page if not row.skipped)

    def twin(self, phone: Phone) -> str:
        """Return a note if another row has the phone's MAC address; empty if none has."""
        other = self._twins.other(phone.line, _MAC + phone.mac) if phone.mac else None
        return f"line {other} has the same mac" if other else ""

    def taken(self, phone: Phone, names: Sequence[str]) -> str:
        """Return a reason if another row has one of these files; empty if none has."""
        for name in names:
            if other := self._twins.other(phone.line, _FILE + name):
                return f"line {other} has the same file, {name}: which of them is right is not known"
        return ""

    def _entry(self, row: Row) -> Entry:
        reason = "; ".join(map(self._text, row.problems))
        if not reason and not row.password:
            reason = "the roster has digests and no password"
        if reason:
            row.password = ""
            return Entry(self._columns.phone(row, _NOWHERE), reason)
        return Entry(self._columns.phone(row, self._servers.of(row.host)), "")

    def _text(self, problem: Problem) -> str:
        if problem.code != "password_missing":
            return problem.text
        file = self._rows.passwords
        if not file:
            return f"{problem.text}; if it was generated, add --generate-passwords FILE"
        return f"{problem.text}; {file} has none either: users who existed before keep an unknown one"


def _keys(entry: Entry, templates: TemplateSet | None) -> Iterator[tuple[int, str]]:
    """Yield what no other row may share."""
    phone = entry.phone
    if entry.reason:
        return
    if phone.mac:
        yield phone.line, _MAC + phone.mac
    if templates:
        with contextlib.suppress(Unfit):  # said when its files are written
            yield from ((phone.line, _FILE + name) for name in templates.file_names(phone))


class _LeftOut:
    """The lines of rows that a file doesn't have, printed as they come."""

    def __init__(self, what: str) -> None:
        self.lines: list[int] = []
        self._what = what

    def add(self, phone: Phone, reason: str) -> None:
        """Note a row, and print it unless there were many."""
        self.lines.append(phone.line)
        if len(self.lines) <= _TOLD:
            echo(f"  line {phone.line}: no {self._what}: {reason}", "red")
        elif len(self.lines) == _TOLD + 1:
            echo("  …", "red")


def write_csv(path: Path | None, entries: PhoneEntries) -> list[int]:
    """Write a line for every row, to stdout without a path. Return the lines of those without a password."""
    left_out = _LeftOut("password")
    noted = 0
    with _text(path) as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for entry in entries.all():
            phone = entry.phone
            if entry.reason:
                left_out.add(phone, entry.reason)
            notes = [*phone.notes, entries.twin(phone)]
            noted += any(notes) and not entry.reason
            writer.writerow(_cells(phone, "; ".join(filter(None, [*notes, entry.reason]))))
    if noted:
        echo(f"{plural(noted, 'row')} with a problem, such as the MAC address: see note", "yellow")
    return left_out.lines


def _cells(phone: Phone, note: str) -> list[str]:
    """Return the cells of a phone's line. The password and its user are exact; a number stays one."""
    shown = (phone.site, phone.name, phone.extension, phone.old_user, phone.mac, phone.did)
    server = phone.server
    user = phone.auth_user if phone.password else neutral(phone.auth_user)  # it may be anything then
    return [
        *(cell if _number(cell) else neutral(cell) for cell in shown),
        user, phone.password, phone.realm, server.host, str(server.port or ""), server.transport,
        str(phone.line), neutral(note),
    ]  # fmt: skip


def make_empty_folder(folder: Path) -> None:
    """Make the folder for configuration files. Raises UsageError if it has files, or can't be made."""
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(
                f"{folder} is not empty, and old files in it would be taken for new ones",
                "nothing was done; name a new folder with --out",
            )
        files.make_folder(folder)
    except OSError as error:
        raise UsageError(
            f"{folder} can't be made: {reason_of(error)}", "name a new folder with --out"
        ) from None


def write_files(folder: Path, entries: PhoneEntries, templates: TemplateSet) -> list[int]:
    """Write each phone's files, and what became of every row. Return the lines of rows without files."""
    left_out = _LeftOut("files")
    header = ("line", "auth_user", "outcome", "files", "reason")
    hint = "free some space, and name a new folder with --out"
    with new_table(folder / OUTCOMES, header, TableForm(), hint) as write:
        for entry in entries.all():
            phone = entry.phone
            try:
                written = _rendered(entry, entries, templates)
                for name, text in written.items():
                    _write_file(folder, name, text)
                write([str(phone.line), phone.auth_user, "written", " ".join(written), entries.twin(phone)])
            except Unfit as unfit:
                left_out.add(phone, str(unfit))
                write([str(phone.line), phone.auth_user, "left out", "", str(unfit)])
    return left_out.lines


def _rendered(entry: Entry, entries: PhoneEntries, templates: TemplateSet) -> dict[str, str]:
    """Return the phone's files. Raises Unfit with every reason why it can't have them."""
    if entry.reason:
        raise Unfit(entry.reason)
    try:
        names = templates.file_names(entry.phone)
    except Unfit as unfit:
        raise Unfit("; ".join([str(unfit), *entry.phone.notes])) from None
    if taken := entries.taken(entry.phone, names):
        raise Unfit(taken)
    if OUTCOMES in map(str.casefold, names):
        raise Unfit(f"{OUTCOMES} is the file with the outcomes: name the template differently")
    return templates.files(entry.phone)


def _write_file(folder: Path, name: str, text: str) -> None:
    path = folder / name
    try:
        files.make_folder(path.parent)
        with os.fdopen(files.new_file(path), "w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise SiprosterError(
            f"{path} can't be written: {reason_of(error)}", "remove the folder, and name a new one with --out"
        ) from None


def write_cards(path: Path, entries: PhoneEntries, qr: QrFormat, url: str) -> list[int]:
    """Write the page of cards. Return the lines of rows without one."""
    left_out = _LeftOut("card")

    def phones() -> Iterator[Phone]:
        for number, entry in enumerate(entries.all()):
            reason = entry.reason
            if number and number % _CARDS == 0:  # a QR code takes some hundredths of a second
                echo(f"  {number:,} of {plural(entries.total, 'card')}")
            if not reason and not can_be_printed(entry.phone):
                reason = "its password has a control character, which nobody can type from paper"
            if reason:
                left_out.add(entry.phone, reason)
            else:
                yield entry.phone

    with _text(path) as file:
        for piece in cards(phones(), qr, url):
            file.write(piece)
    return left_out.lines


@contextlib.contextmanager
def _text(path: Path | None) -> Iterator[TextIO]:
    """Open a file that gets its name when it is complete, or stdout."""
    if path is None:
        # In UTF-8, whatever the terminal's encoding: a password must not be escaped.
        out = io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline="")
        try:
            yield out
        finally:
            out.detach()
        return
    try:
        with files.replaced_file(path) as file:
            yield file
    except OSError as error:
        raise SiprosterError(f"{path} can't be written: {reason_of(error)}", "name another file") from None
