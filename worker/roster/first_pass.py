"""The first pass over a roster: what only all of its rows show, and what is refused for it.

The second pass makes the rows, with these facts at hand.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Final

from worker.errors import UsageError
from worker.model import Blanks, Options, Weak
from worker.reasons import plural
from worker.roster.check import RosterFacts
from worker.roster.corrected import CorrectedTable
from worker.roster.damage import looks_like_number, may_hold_numbers
from worker.roster.format import Table
from worker.roster.hiding import name_without_secrets
from worker.roster.layout import Layout
from worker.roster.passwords import Survey, look_swapped
from worker.roster.rows import fits
from worker.roster.selection import shown
from worker.roster.template import FirstFilled
from worker.roster.text import Record, Text

_GROUP: Final = 1000
_LISTED: Final = 5
"""Most lines that a message names."""
_BLANKS: Final = frozenset(" \xa0\u2007\u202f\u3000")
"""Also those of web pages and spreadsheets, which look the same."""
_SHIFTED: Final = 10
"""Percent of records with too many fields from which on a file without quotes is refused: no single slip."""


def filled_columns(table: Table, columns: Collection[int]) -> set[int]:
    """Return those of the columns that are filled in some record; reads only until all of them were.

    A record that is longer than the header doesn't count: its fields may have shifted.
    """
    missing = set(columns)
    with table.read() as records:
        _, header = next(records, (1, []))
        for _, fields in records:
            if len(fields) <= len(header):
                missing -= {
                    at for at in missing if at < len(fields) and fields[at] and not fields[at].isspace()
                }
            if not missing:
                break
    return set(columns) - missing


class FirstPass:
    """The first pass over the chosen records of a roster."""

    def __init__(self, table: Table, layout: Layout, options: Options, guessed: str) -> None:
        """``guessed``: the encoding, if it is a guess."""
        self._table = table
        self._layout = layout
        self._options = options
        self._guessed = guessed
        self.survey = Survey()
        self._users = 0
        self._numbers = 0
        self._spaced = 0
        self._misfits = 0
        self._too_wide = 0
        self._swapped = False
        self._beyond_ascii: list[int] = []

    def read(self, records: Iterable[Record], name: str) -> str:
        """Read the records. Return the roster's name, or another that contains none of the passwords."""
        layout = self._layout
        password, exact = layout.password, layout.exact
        user = layout.user if isinstance(layout.user, int) else None
        build = layout.user if isinstance(layout.user, FirstFilled) else None
        source = iter(records)
        while group := [  # no whole records: a thousand of them may take a hundred megabytes
            (
                line,
                row[user] if user is not None else build(row) if build else "",
                row[password] if password is not None else "",
            )
            if len(row) == exact or fits(row, layout)
            else self._misfit(line, row)
            for line, row in islice(source, _GROUP)
        ]:
            lines, users, passwords = zip(*group, strict=True)
            if not self.survey.records:  # the first rows are enough to see it
                self._swapped = look_swapped(users, passwords)
            self.survey.add(len(group), passwords)
            self._look_at_users(users)
            self._look_at_passwords(lines, passwords)
            name = name_without_secrets(name, passwords)
        return name

    @property
    def facts(self) -> RosterFacts:
        """Return what the rows are judged by."""
        return RosterFacts(
            self.survey.shared(),
            numbers_for_names=self._numbers * 2 > self._users,
            escapes=self._table.delimiter == "\t",
        )

    def check(self) -> None:
        """Raise UsageError if the roster as a whole can't be meant so; names the option that decides."""
        self._refuse_no_rows()
        self._refuse_shifted()
        self._refuse_no_passwords()
        self._refuse_blanks()
        self._refuse_guess()
        self._refuse_swapped()
        self._refuse_other_columns()

    def _misfit(self, line: int, row: list[str]) -> tuple[int, str, str]:
        """Count a record whose cells can't be attributed to columns."""
        self._misfits += 1
        if len(row) > self._layout.width:
            self._too_wide += 1
        return line, "", ""

    def _look_at_users(self, users: Collection[str]) -> None:
        filled = [user for user in users if user]
        self._users += len(filled)
        if may_hold_numbers("\n".join(filled)):
            self._numbers += sum([bool(looks_like_number(user.strip())) for user in filled])

    def _look_at_passwords(self, lines: Collection[int], passwords: Collection[str]) -> None:
        padded = [one for one in passwords if one != one.strip()]  # by any white space: nearly always none
        self._spaced += sum([one[0] in _BLANKS or one[-1] in _BLANKS for one in padded])
        if self._guessed and not "".join(passwords).isascii():
            self._beyond_ascii += [
                line for line, one in zip(lines, passwords, strict=True) if not one.isascii()
            ]

    def _refuse_no_rows(self) -> None:
        if self.survey.records:
            return
        source = self._table.shown
        if self._options.where:
            asked = " and ".join(map(shown, self._options.where))
            beyond = f" beyond the first {self._options.skip}" if self._options.skip else ""
            raise UsageError(
                f"{source} has no row with {asked}{beyond}",
                "= and != compare the whole cell, ~ finds the expression anywhere in it; case counts",
            )
        if self._options.skip:
            raise UsageError(
                f"{source} has no row beyond the first {self._options.skip}", "use a smaller --skip"
            )
        raise UsageError(f"{source} has a header, but no rows", "add a row for each user")

    def _refuse_shifted(self) -> None:
        """Refuse a file without quotes in which many records have too many fields: cells are shifted."""
        records = self.survey.records
        few = self._too_wide < 2 or self._too_wide * 100 < _SHIFTED * records
        if few or _has_quotes(self._table):
            return
        raise UsageError(
            f"{self._table.shown}: {self._too_wide:,} of {records:,} rows have more fields than the header, "
            "and nothing is quoted: values that contain the delimiter have shifted the columns",
            "export it again with quotes around values, or with another delimiter, such as tabs",
        )

    def _refuse_no_passwords(self) -> None:
        layout, fitting = self._layout, self.survey.records - self._misfits
        if self.survey.filled or fitting < 2 or layout.password is None:
            return
        # Formats judge their entries themselves; with digests, or generated passwords, none need be given.
        generated = self._options.generate_passwords
        if layout.hash1b is not None or layout.judges_passwords or generated:
            return
        raise UsageError(
            f"{self._table.shown}: the column of the passwords, {layout.mapping['password']!r}, is empty in "
            "every row",
            "export them with their passwords, or name another column with --map password=COLUMN",
        )

    def _refuse_blanks(self) -> None:
        if self._options.blanks is not None or self._spaced * 2 <= self.survey.filled:
            return
        if self._spaced < 2 and not self._header_has_blanks():  # one password, which may have one
            return
        raise UsageError(
            f"{self._table.shown}: {self._spaced:,} of {self.survey.filled:,} passwords begin or end with a "
            "blank, which may belong to the file's layout or to the passwords",
            f"say which: --blanks {Blanks.STRIP} removes the blanks around all cells, --blanks {Blanks.KEEP} "
            "keeps them",
        )

    def _header_has_blanks(self) -> bool:
        with self._table.read() as records:
            _, header = next(records, (1, []))
        return any(name[0] in _BLANKS or name[-1] in _BLANKS for name in header if name.strip())

    def _refuse_guess(self) -> None:
        """Refuse passwords whose digests depend on a guess of the encoding."""
        lines = self._beyond_ascii
        if not lines:
            return
        listed = ", ".join(map(str, lines[:_LISTED])) + (" …" if len(lines) > _LISTED else "")
        rows = plural(len(lines), "row")
        raise UsageError(
            f"{self._table.shown} is not UTF-8, and reading it as {self._guessed} is a guess; the passwords "
            f"of {rows} have characters that depend on it (line {listed})",
            "give the encoding with --encoding: cp1252 in Western Europe, cp1250 in Central Europe, cp1251 "
            "for Cyrillic, cp850 or cp437 from DOS, mac-roman",
        )

    def _refuse_swapped(self) -> None:
        """Refuse passwords in the column of user names: results would show them, and extensions be sent."""
        names = self._layout.mapping
        if (
            not self._swapped
            or self._layout.judges_passwords  # a PBX's own file names them itself
            or {"username", "password"} & self._options.map.keys()
            or "username" not in names
        ):
            return
        user, password = shlex.quote(names["username"]), shlex.quote(names["password"])
        raise UsageError(
            f"{self._table.shown}: columns {names['username']!r} and {names['password']!r} seem to be "
            "swapped: most user names look like passwords, and most passwords are numbers",
            f"if they are swapped, add: --map username={password} --map password={user}\n"
            f"if they are right, add: --map username={user} --map password={password}",
        )

    def _refuse_other_columns(self) -> None:
        """Refuse a column of PINs, or of people's names, in the place of the SIP passwords."""
        found = self.survey
        if self._options.weak_given and self._options.weak is not Weak.REFUSE:
            return
        for holds, kind, count, like in (
            (found.looks_like_pins, "a PIN column", found.pins, "up to 6 digits"),
            (found.looks_like_names, "a column of people's names", found.names, "two or more words"),
        ):
            if holds:
                raise UsageError(
                    f"{self._table.shown}: column {self._layout.mapping['password']!r} looks like {kind}: "
                    f"{count} of its {found.filled} values are {like}",
                    "choose the column of SIP passwords with --map password=COLUMN, or use --weak warn",
                )


def _has_quotes(table: Table) -> bool:
    """Return whether a text has any quote, by which values that contain the delimiter are kept together."""
    if isinstance(table, CorrectedTable):
        table = table.table
    if not isinstance(table, Text):
        return True
    with table.lines() as stream:
        return any('"' in line for line in stream)
