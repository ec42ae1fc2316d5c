"""Rows and changes as they lie sealed in the ledger: the only place that packs and unpacks them.

Everything sealed is one JSON object: ``version``, ``rows`` (how many), and a column for each named field.
A column is a list with a value for each row, or the value itself where all rows have the same; a column that
is missing has the field's default. So a field can be added without another version, and what earlier programs
sealed (version 1: a list of positional lists) is read as well. Raises LedgerError for a later version.

- a *page* holds every row of the roster, without its secrets: what the results are written from; and what
  was found out about it when it was planned;
- a *chunk* holds the rows to be sent, with password or digests, and what is stored under their names;
- *changes* hold what a job did to the service, for ``undo``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import attrgetter
from typing import Any, Final

from worker.errors import LedgerError
from worker.model import NO_REALM, Problem, Row, Stored
from worker.seal import Seal

VERSION: Final = 2

_STORED: Final = ("id", "composite", "realm", "hash1", "hash1b", "application")
_PAGE: Final = ("line", "user", "domain", "realm_key", "realm", "application", "cells")
_CHUNK: Final = (
    "line", "user", "domain", "realm_key", "application", "password", "hash1", "hash1b", "stored",
    "generated",
)  # fmt: skip
_CHANGE: Final = ("line", "realm_key", "id", "composite", "mark", "application", "before")
_DEFAULTS: Final[dict[str, Any]] = {"realm_key": NO_REALM, "cells": (), "stored": None, "before": None}
"""Defaults of columns that are missing; others are empty."""

PageValues = tuple[int, str, str, int, str, str, Sequence[str]]
"""Line, user, domain, realm key, realm as the roster names it (without a key), application, cells."""


@dataclass(slots=True)
class Change:
    """One credential that a job created or updated."""

    line: int
    realm_key: int
    id: str
    """The service's id; empty if it gave none."""
    composite: str
    mark: str = field(repr=False)
    """A hash of the digests that the job has set."""
    application: str
    """The application that the job has set; empty: none in particular."""
    before: Stored | None = field(default=None, repr=False)
    """The previous state; None: it didn't exist."""


def seal_page(seal: Seal, job: str, seq: int, rows: Sequence[Row]) -> bytes:
    """Seal a page of rows, without their secrets."""
    columns: dict[str, list[Any]] = {
        "line": [row.line for row in rows],
        "user": [row.user for row in rows],
        "domain": [row.domain for row in rows],
        "realm_key": [row.realm_key for row in rows],
        "realm": [row.realm if row.realm_key == NO_REALM else "" for row in rows],
        "application": [row.application for row in rows],
        "cells": [row.cells for row in rows],
    }
    # attrgetter: a generator would cost a call for each row.
    if any(map(attrgetter("corrected"), rows)):
        columns["corrected"] = [row.corrected for row in rows]
    if any(map(attrgetter("differs"), rows)):
        columns["differs"] = [";".join(row.differs) if row.differs else "" for row in rows]
    if any(map(attrgetter("warnings"), rows)):
        columns["warnings"] = [_joined_codes(row.warnings) if row.warnings else "" for row in rows]
    return seal.close_over(_packed(columns), f"{job}/page/{seq}")


def _joined_codes(warnings: Sequence[Problem]) -> str:
    """Return the codes of warnings, each once."""
    return ";".join(dict.fromkeys([one.code for one in warnings]))


def planned_values(seal: Seal, job: str, seq: int, sealed: bytes) -> Iterator[tuple[PageValues, str, str]]:
    """Open a page as plain tuples, each with the codes of what differs from what is stored, and of warnings.

    Codes are joined by ``;``. Raises SealBroken, LedgerError.
    """
    value = seal.open(sealed, f"{job}/page/{seq}")
    if isinstance(value, list):
        return ((_first_page_values(one), "", "") for one in value)
    differs, warnings = _columns(value, ("differs", "warnings"))
    return zip(zip(*_columns(value, _PAGE), strict=True), differs, warnings, strict=True)


def page_values(seal: Seal, job: str, seq: int, sealed: bytes) -> Iterator[PageValues]:
    """Open a page as plain tuples, for callers that need no rows. Raises SealBroken, LedgerError."""
    value = seal.open(sealed, f"{job}/page/{seq}")
    if isinstance(value, list):
        return iter([_first_page_values(one) for one in value])
    return zip(*_columns(value, _PAGE), strict=True)


def open_page(seal: Seal, job: str, seq: int, sealed: bytes) -> list[Row]:
    """Open a page; its rows have no password. Raises SealBroken, LedgerError."""
    value = seal.open(sealed, f"{job}/page/{seq}")
    if isinstance(value, list):
        values: Iterable[PageValues] = [_first_page_values(one) for one in value]
        corrected: Iterable[Any] = [len(one) > 6 and one[6] for one in value]
    else:
        values = zip(*_columns(value, _PAGE), strict=True)
        (corrected,) = _columns(value, ("corrected",))
    return [
        Row(line, user, domain, realm, application, "", tuple(cells), realm_key=key, corrected=bool(other))
        for (line, user, domain, key, realm, application, cells), other in zip(values, corrected, strict=True)
    ]


def seal_chunk(seal: Seal, job: str, seq: int, rows: Sequence[Row]) -> bytes:
    """Seal a chunk of rows with their secrets: the password, or else the roster's own digests."""
    columns: dict[str, list[Any]] = {
        "line": [row.line for row in rows],
        "user": [row.user for row in rows],
        "domain": [row.domain for row in rows],
        "realm_key": [row.realm_key for row in rows],
        "application": [row.application for row in rows],
        "password": [row.password for row in rows],
        "hash1": ["" if row.password else row.hash1 for row in rows],
        "hash1b": ["" if row.password else row.hash1b for row in rows],
        "stored": [row.stored and _packed_stored(row.stored) for row in rows],
    }
    if any(map(attrgetter("generated"), rows)):
        columns["generated"] = [row.generated for row in rows]
    return seal.close_over(_packed(columns), f"{job}/chunk/{seq}")


def open_chunk(seal: Seal, job: str, seq: int, sealed: bytes) -> list[Row]:
    """Open a chunk. Raises SealBroken, LedgerError.

    A row with a password comes without digests, whatever was sealed: those that are sent are made of it.
    """
    value = seal.open(sealed, f"{job}/chunk/{seq}")
    if isinstance(value, list):
        return [_first_chunk_row(one) for one in value]
    return [
        Row(
            line, user, domain, "", application, password, (), (), (),
            "" if password else hash1, "" if password else hash1b,
            realm_key=key, stored=stored and _stored(stored), generated=bool(generated),
        )
        for line, user, domain, key, application, password, hash1, hash1b, stored, generated in zip(
            *_columns(value, _CHUNK), strict=True
        )
    ]  # fmt: skip


def seal_changes(seal: Seal, job: str, chunk: int, nr: int, changes: Sequence[Change]) -> bytes:
    """Seal changes for their place in the change log."""
    columns: dict[str, list[Any]] = {
        name: [getattr(change, name) for change in changes] for name in _CHANGE if name != "before"
    }
    columns["before"] = [change.before and _packed_stored(change.before) for change in changes]
    return seal.close_over(_packed(columns), f"{job}/deeds/{chunk}/{nr}")


def open_changes(seal: Seal, job: str, chunk: int, nr: int, sealed: bytes) -> list[Change]:
    """Open a part of the change log. Raises SealBroken, LedgerError."""
    value = seal.open(sealed, f"{job}/deeds/{chunk}/{nr}")
    if isinstance(value, list):
        return [Change(*[*one[:6], _first_stored(one[6:])]) for one in value]
    return [
        Change(*[*own, before and _stored(before)])
        for *own, before in zip(*_columns(value, _CHANGE), strict=True)
    ]


def _packed(columns: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the columns as one JSON value; a column that has one value only is that value."""
    rows = len(columns["line"])
    return {
        "version": VERSION,
        "rows": rows,
        **{
            name: column[0] if rows and name != "cells" and column.count(column[0]) == rows else column
            for name, column in columns.items()
        },
    }


def _columns(value: dict[str, Any], names: Sequence[str]) -> list[Iterable[Any]]:
    """Return the named columns, each with a value for every row."""
    if value["version"] > VERSION:
        raise LedgerError(
            f"sealed rows are in format {value['version']}; this siproster knows {VERSION}",
            "update siproster on this machine",
        )
    found = [value.get(name, _DEFAULTS.get(name, "")) for name in names]
    return [one if isinstance(one, list) else list(repeat(one, value["rows"])) for one in found]


def _packed_stored(stored: Stored) -> dict[str, str | None]:
    return {name: getattr(stored, name) for name in _STORED}


def _stored(packed: dict[str, Any]) -> Stored:
    return Stored(**{name: packed[name] for name in _STORED})


# Version 1: positional lists


def _first_page_values(packed: Sequence[Any]) -> PageValues:
    line, user, domain, realm, application, cells, *_ = packed
    keyed = isinstance(realm, int)
    return line, user, domain, realm if keyed else NO_REALM, "" if keyed else realm, application, cells


def _first_chunk_row(packed: Sequence[Any]) -> Row:
    line, user, domain, key, application, password, *rest = packed
    hash1, hash1b = ("", "") if password else (*rest[:2], "", "")[:2]  # the earliest chunks have no digests
    return Row(
        line, user, domain, "", application, password, (), (), (), hash1, hash1b,
        realm_key=key, stored=_first_stored(rest[2:]),
    )  # fmt: skip


def _first_stored(packed: Sequence[str | None]) -> Stored | None:
    if not packed:
        return None
    id_, composite, realm, hash1, hash1b, application = packed
    return Stored(id_ or "", composite or "", realm or "", hash1, hash1b, application or "")
