"""The interface of a roster format: how it is recognised, cut into records, and which columns are what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from worker.model import Options, Problem, Row
from worker.roster.header import plain
from worker.roster.layout import Assignment
from worker.roster.text import Record, Text

MISSING = "password_missing"


class Table(Protocol):
    """The records of a roster, its header first; they can be read as often as needed."""

    @property
    def shown(self) -> str:
        """Return the source's place, as messages name it."""

    @property
    def encoding(self) -> str:
        """Return the encoding of a text file; empty for a workbook or a database."""

    @property
    def delimiter(self) -> str:
        """Return the delimiter of a text table; empty if there is none."""

    @property
    def sha256(self) -> str:
        """Return the hash of the whole content, in hex digits."""

    def read(self) -> AbstractContextManager[Iterator[Record]]:
        """Open the records. Raises UsageError, with the line, for what makes the whole table unreadable."""

    def read_again(self) -> AbstractContextManager[Iterator[Record]]:
        """Open the records like ``read``. Raises UsageError, at the end, if they are not the same."""

    def close(self) -> None:
        """Release the copy that is kept of the records, or of their source."""


@dataclass(frozen=True, slots=True)
class Start:
    """The beginning of a source, which formats are recognised by."""

    name: str
    """The source's base name."""
    header: tuple[str, ...]
    """The cells of the line with the column names, whatever carries them: CSV, a sheet, a query."""
    text: str
    """The first 64 Ki characters; empty for a workbook or a database."""

    @property
    def columns(self) -> frozenset[str]:
        """Return the column names without case, white space, ``_`` and ``-``."""
        return frozenset(map(plain, self.header))


@dataclass(frozen=True, slots=True)
class About:
    """The description of a format, as ``siproster formats show`` prints it."""

    columns: tuple[tuple[str, str], ...]
    """The column of the export, and what it is taken for."""
    decoys: tuple[str, ...] = ()
    """Columns that look like the SIP password or the user name, and are not."""
    notes: tuple[str, ...] = ()
    example: str = ""
    """A few lines of an export."""


class RosterFormat(Protocol):
    """A format that ``--from`` names."""

    @property
    def name(self) -> str:
        """Return the name that ``--from`` takes."""

    @property
    def title(self) -> str:
        """Return the product and its export, such as ``FreePBX, Bulk Handler (13 and newer)``."""

    @property
    def about(self) -> About:
        """Return the description of the format."""

    def recognise(self, start: Start) -> str:
        """Return the reason why a source is of this format, such as ``columns …``; empty if it is not.

        Raises UsageError for a file of the same product that holds no users of phones, such as trunks.
        """

    def open(self, text: Text, start: Start, options: Options) -> Table:
        """Return the records of a text; ``text`` itself where it is plain CSV."""

    def assign(self, header: Sequence[str]) -> Assignment | None:
        """Return which of the header's columns are what; None: as in a plain table.

        For a retry, the header has no column with a secret.
        """


def skip(row: Row, code: str, text: str) -> None:
    """Mark the row as no user of a phone: it is a line in the results, and in no count of trouble."""
    row.skipped = Problem(code, text)


def refuse(row: Row, code: str, text: str) -> None:
    """Add a problem to the row, which says more than that its password is missing."""
    row.problems = (*(one for one in row.problems if one.code not in (MISSING, code)), Problem(code, text))


def warn(row: Row, code: str, text: str) -> None:
    """Add a warning to the row."""
    row.warnings += (Problem(code, text),)
