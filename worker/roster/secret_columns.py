"""Find columns that hold secrets by their cells, whatever they are called.

A sample of the records is looked at: the first ones, and a few of each thousand after them. A column is
dropped from the results if most of its cells equal the row's password, or if so many look like generated
passwords that it can hardly hold anything else. ``--carry`` keeps it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Final

from worker.model import Options, Problem
from worker.roster.column_names import rules_secret_out
from worker.roster.header import SECRETS, plain
from worker.roster.layout import Layout, overlooked
from worker.roster.rows import fits
from worker.roster.text import Fields, Record

_FIRST: Final = 1000
"""Records that are looked at from the first one on."""
_MORE: Final = 20
"""Records that are looked at of each ``_FIRST`` after them."""
_LEAST: Final = 4
"""Characters from which on a password counts: a column of ``1`` or ``yes`` may equal a few shorter ones."""
_COPIES: Final = 3
"""Fewer copies of passwords are hidden cell by cell (worker.roster.hiding)."""
_SHARE: Final = 3
"""One of so many cells must look generated: hardly any label does, and not each password."""
_LONG: Final = 12
"""Characters from which on a cell counts each time it comes; a shorter one may be a model's name."""
_MOST_SEPARATORS: Final = 1
_WORD: Final = 4
"""Letters that make a word, in a cell of usual length."""
_MEAN: Final = 3
"""Mean length of the words and numbers in a label; in a password they are shorter."""

_mixed = re.compile(r"(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=[^0-9]*[0-9])(?!.*://)[!-~]{8,128}").fullmatch
"""Match a cell with capitals, small letters and digits, without blanks, that is no URL."""
_of_passwords = re.compile(r"[!$^~]").search
_no_name = re.compile(r"(?!.*\.[a-z]{2,4}\Z)[^,:;=@]*={0,2}").fullmatch
"""Match all but an address (MAC, IPv6, mail), a time, a list of settings, or the name of a file or host."""
_parts = re.compile("[A-Z]?[a-z]+|[A-Z]+|[0-9]+").findall
_digits = re.compile("[0-9]+")
"""In a series, such as ``WS-Ber001`` and ``WS-Ber002``, all the rest is the same."""
_is_digest = re.compile("[0-9a-fA-F]{32}").fullmatch


def looks_generated(cell: str) -> bool:
    """Return whether a cell looks like a generated password: ``k7Tq2xPz``, not ``Room-A101`` or a serial.

    It has letters in both cases and digits, and neither words nor numbers of some length.
    """
    if not _mixed(cell):
        return False
    if _of_passwords(cell):
        return True
    if not _no_name(cell) or sum(map(cell.count, "-_./")) > _MOST_SEPARATORS:
        return False
    parts = _parts(cell)
    longest = max(len(part) for part in parts if not part.isdecimal())
    word = max(_WORD, len(cell) // 4 + 1)
    return longest < word and sum(map(len, parts)) < _MEAN * len(parts)


@dataclass(slots=True)
class _Column:
    """Counts of the cells of a column."""

    name: str
    position: int
    harmless: bool
    """Whether its name rules out that it holds secrets of its own: people, places, phone models."""
    filled: int = 0
    copies: int = 0
    """Cells that equal the row's password, or are a digest."""
    long: int = 0
    generated: set[int] = field(default_factory=set)
    """Hashes of the cells that look generated, those that differ in their numbers alone counted once."""

    def look_at(self, cell: str, password: str) -> None:
        """Count a cell."""
        self.filled += 1
        if cell == password or _is_digest(cell):
            self.copies += 1
        elif not self.harmless and looks_generated(cell):
            self.generated.add(hash(cell if _of_passwords(cell) else _digits.sub("0", cell)))
            self.long += len(cell) >= _LONG

    @property
    def is_secret(self) -> bool:
        """Return whether the results should not have it."""
        most = max(len(self.generated), self.long)
        copied = self.copies >= _COPIES and self.copies * 2 > self.filled
        return copied or most * _SHARE > self.filled


class SecretColumns:
    """The carried columns of a roster, as far as a sample of its records shows what they hold."""

    def __init__(self, layout: Layout, options: Options) -> None:
        self._layout = layout
        self._lacks_passwords = not layout.mapping.keys() & SECRETS and "password" not in options.map
        expressly = set(map(plain, options.carry))
        self._columns = [
            _Column(name, at, rules_secret_out(name))
            for name, at in zip(layout.columns, layout.carried, strict=True)
            if at not in layout.fields and plain(name) not in expressly
        ]

    def sampled(self, records: Iterable[Record]) -> Iterator[Record]:
        """Return the records, some of which are looked at as they pass."""
        return chain.from_iterable(self._groups(iter(records)))

    def without_secrets(self, place: str) -> Layout:
        """Return the layout without the columns that hold secrets, and with a warning for each.

        Raises UsageError if passwords are to be generated, and one of them may have those of the phones.
        """
        found = [one for one in self._columns if one.is_secret]
        if not found:
            return self._layout
        if self._lacks_passwords:
            raise overlooked(f"{place} has no password column", found[0].name)
        gone = {one.position for one in found}
        kept = [
            (at, name)
            for at, name in zip(self._layout.carried, self._layout.columns, strict=True)
            if at not in gone
        ]
        return replace(
            self._layout,
            carried=tuple(at for at, _ in kept),
            columns=tuple(name for _, name in kept),
            dropped=(*self._layout.dropped, *(one.name for one in found)),
            warnings=(*self._layout.warnings, *map(_warning, found)),
        )

    def _groups(self, source: Iterator[Record]) -> Iterator[Iterable[Record]]:
        yield map(self._look, islice(source, _FIRST))
        for record in source:
            yield (self._look(record),)
            yield map(self._look, islice(source, _MORE - 1))
            yield islice(source, _FIRST - _MORE)

    def _look(self, record: Record) -> Record:
        fields, layout = record[1], self._layout
        if len(fields) == layout.exact or fits(fields, layout):
            password = self._password(fields)
            for column in self._columns:
                if cell := fields[column.position]:
                    column.look_at(cell, password)
        return record

    def _password(self, fields: Fields) -> str:
        """Return the record's password, unless it is too short or the user's name, which is shown anyway."""
        at, user = self._layout.password, self._layout.user
        password = fields[at] if at is not None else ""
        name = fields[user] if isinstance(user, int) else ""
        return password if len(password) >= _LEAST and password.casefold() != name.casefold() else ""


def _warning(column: _Column) -> Problem:
    text = f"column {column.name!r} is not carried into the results: its cells look like passwords or digests"
    return Problem("column_secret", f"{text}; --carry {shlex.quote(column.name)} carries it")
