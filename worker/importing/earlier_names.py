"""User names that the last run of a roster put in place, to detect names that lost leading zeros since."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Self

from worker.errors import SealBroken
from worker.importing.rows_in_place import pages_in_place
from worker.importing.validation import RosterPage
from worker.ledger import Ledger
from worker.model import Action, Job, Problem, Row
from worker.seal import Seal
from worker.temp_db import temp_db

_CACHE_KIB = 8192
_CODE = "zeros_differ"
_TABLE = "CREATE TABLE names (core TEXT, name TEXT, PRIMARY KEY (core, name)) WITHOUT ROWID"
# CROSS JOIN tells SQLite to go through the requested names first.
_KNOWN = "SELECT asked.key, name FROM json_each(?) AS asked CROSS JOIN names ON core = asked.value"


class EarlierNames:
    """Compare a roster with its last run on the same account. A context manager: it owns an index on disk.

    The ledger is read at the first page with a number that is not stored, if there was such a run.
    """

    def __init__(self, ledger: Ledger, seal: Seal, job: Job) -> None:
        """Find the last run of the job's roster. A retry has none: it compares its corrections itself."""
        self._last = "" if job.parent else ledger.rows.last_started(job.host, job.account, job.roster)
        self._pages: Callable[[], chain[Row]] = lambda: chain.from_iterable(
            pages_in_place(ledger, seal, ledger.jobs.get(self._last))
        )
        self._db = temp_db(_CACHE_KIB)
        self._read = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def warn(self, page: RosterPage) -> None:
        """Warn about rows to be created whose name differs from an earlier one only by zeros in front."""
        new = [row for row in page if row.action is Action.CREATE and row.user.isdecimal()]
        if not (new and self._last):
            return
        self._load()
        known: dict[int, set[str]] = {}
        for at, name in self._db.execute(_KNOWN, (json.dumps(list(map(_core, new))),)):
            known.setdefault(at, set()).add(name)
        for at, names in known.items():
            row = new[at]
            if row.user not in names and all(one.code != _CODE for one in row.warnings):
                text = (
                    f"username: {min(names)} in job {self._last}, the last run of this roster; did a "
                    "spreadsheet cut or add zeros in front?"
                )
                row.warnings += (Problem(_CODE, text),)

    def _load(self) -> None:
        if self._read:
            return
        self._read = True
        self._db.execute(_TABLE)
        self._db.execute("BEGIN")
        numbers = ((_core(row), row.user) for row in self._pages() if row.user.isdecimal())
        with suppress(SealBroken):  # an old job, whose key is gone
            self._db.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", numbers)
        self._db.execute("COMMIT")


def _core(row: Row) -> str:
    return f"{row.user.lstrip('0')}@{row.domain.casefold()}"
