"""The users named in a file: a roster, a list of users, or a job's result file. Passwords are ignored."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from worker.errors import UsageError
from worker.reasons import plural
from worker.roster.doubted import refuse_doubts
from worker.roster.header import OWN, Header, known, restored
from worker.roster.rows import fits
from worker.roster.table import open_table
from worker.roster.text import Fields, Malformed

FIELDS = ("username", "domain", "realm")
_LONGEST = 255
"""Most characters of a name that is looked for: more than any user's, and any host's."""


@dataclass(frozen=True, slots=True)
class Name:
    """One user, and the physical line that names it. ``realm`` is empty if the file names none."""

    line: int
    user: str
    domain: str
    realm: str

    @property
    def composite(self) -> str:
        """Return ``user`` or ``user@domain``; empty if the line names no user."""
        return f"{self.user}@{self.domain}" if self.user and self.domain else self.user


class Names:
    """The users named by a path, ``-`` or URL, iterable many times. Close it after use.

    A result file's own columns (``bw__username``) win over the roster's: they show the final name.
    The present content is kept (sealed, in a temporary file) until then: the user confirms exactly these
    users and no others. The ``'`` that protects from formulas is removed; no name begins with one.
    """

    def __init__(self, place: str, statuses: Collection[str] = ()) -> None:
        """Read the whole file once. Raises UsageError, with the line, if it can't be read as such a file.

        ``statuses``: of a result file only the rows with these outcomes; it is refused without any, since
        it names users who were there before the job as well.
        """
        self._table, self._header = open_table(place, known, keep=True)
        self._statuses = frozenset(statuses)
        try:
            self._at = {field: at for field in FIELDS if (at := _column(self._header, field)) is not None}
            if "username" not in self._at:
                raise UsageError(
                    f"{self._header.place} has no column with user names", self._header.guess(["username"])
                )
            self._status = self._status_column()
            self.count = sum(1 for _ in self)
        except BaseException:
            self.close()
            raise

    @property
    def columns(self) -> dict[str, str]:
        """Return the column that each field is taken from."""
        return {field: self._header.names[at] for field, at in self._at.items()}

    def __iter__(self) -> Iterator[Name]:
        with self._table.read() as records:
            for line, fields in islice(records, 1, None):
                self._check(line, fields)
                if self._status is not None and fields[self._status] not in self._statuses:
                    continue
                yield Name(line, *(self._cell(fields, field) for field in FIELDS))

    def close(self) -> None:
        """Release the copy of a file that can be read only once."""
        self._table.close()

    def _status_column(self) -> int | None:
        names = [name.casefold() for name in self._header.names]
        at = names.index(f"{OWN}status") if f"{OWN}status" in names else None
        if at is not None and not self._statuses:
            raise UsageError(
                f"{self._header.place} is a result file, which also lists users that its job never created",
                "choose rows, for example with --status created or --status exists",
            )
        return at

    def _cell(self, fields: Fields, field: str) -> str:
        return restored(fields[self._at[field]]).strip() if field in self._at else ""

    def _check(self, line: int, fields: Fields) -> None:
        refuse_doubts(fields, line, self._at.values(), self._header.place)
        if isinstance(fields, Malformed):
            reason = f"not well-formed CSV: {fields.reason}"
        elif not fits(fields, self._header):
            reason = (
                f"{plural(len(fields), 'field')}, but the header has {plural(self._header.named, 'column')}"
            )
        elif long := next((field for field in FIELDS if len(self._cell(fields, field)) > _LONGEST), None):
            reason = f"the {long} has {len(self._cell(fields, long)):,} characters, which is too long"
        else:
            return
        raise UsageError(f"{self._header.place}, line {line}: {reason}", "correct the line; nothing was done")


def _column(header: Header, field: str) -> int | None:
    own = OWN + field
    names = [name.casefold() for name in header.names]
    if f"{OWN}username" in names:
        return names.index(own) if own in names else None
    return next(iter(header.candidates(field)), None)
