"""Shared by the tests of jobs: a job, its rows, and its place in a ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from worker.digest import digests
from worker.importing.job import new_job
from worker.importing.job_start import Draft, enter_roster
from worker.importing.ledger_writer import LedgerWriter
from worker.importing.pipeline import Account, AccountSource, Sink
from worker.importing.realms import JobRealms
from worker.importing.validation import RosterPages
from worker.ledger import JobRealm, Ledger
from worker.ledger.codec import seal_chunk, seal_page
from worker.ledger.new_chunks import NewChunk, enter
from worker.model import Endpoint, Job, Options, Outcome, Realm, Row, Stored
from worker.roster import PAGE
from worker.seal import Seal
from worker.states import JobState, Reason, Why

KEY = bytes(range(32))
LAST_LINE = 1_000_000_000
"""Beyond the last line of every roster."""
HOST = "office-0a1b2c.auth.bandwidth.com"
OTHER_HOST = "branch-0a1b2c.auth.bandwidth.com"
REALM = Realm("17", HOST, default=True)
OTHER_REALM = Realm("18", OTHER_HOST)
PASSWORD = "Tb7xQ2mK9rL4vN8s"


class Clock:
    """A clock whose seconds pass when a test says so."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class Facts:
    """Facts that a job keeps about a roster."""

    name: str = "staff.csv"
    source: str = "/rosters/staff.csv"
    sha256: str = "5f" * 32
    columns: tuple[str, ...] = ("name", "site")


OVER = {
    JobState.STOPPED: Why(Reason.MAX_FAILED, "3 rows are failed"),
    JobState.CANCELLED: Why(Reason.CANCELLED, "by desk:7"),
}
"""Why a job is in a state in which nobody works on it."""

AWAY = Why(Reason.UNAVAILABLE, "away")
"""Why a job is paused."""


def make_job(account: str = "9900001", host: str = "https://api.example.com", **options: Any) -> Job:
    """A new job of an account with these options."""
    key = Seal([KEY]).fingerprint
    return new_job(Endpoint(host, account), Options(**options), Facts(), key)


def make_row(line: int, user: str = "", **fields: Any) -> Row:
    """Return a row as the roster gives it, valid unless ``fields`` say otherwise."""
    given = {"domain": "", "realm": "", "application": "", "password": PASSWORD, "cells": ("", ""), **fields}
    return Row(line, user or f"user{line}", **given)


class RowsOf:
    """A roster (importing.validation.RosterPages) of rows, or of what makes them anew for each reading."""

    def __init__(
        self, rows: Iterable[Row] | Callable[[], Iterator[Row]], records: int = 1000, *, whole: bool = True
    ) -> None:
        self._rows = rows
        self.records = records
        self.whole = whole

    def name_line(self, line: int) -> str:
        """Return a row's line in words."""
        return f"line {line}"

    def taken(self) -> Iterator[list[Row]]:
        return iter(())

    def pages(self) -> Iterator[list[Row]]:
        rows = self._rows() if callable(self._rows) else iter(self._rows)
        while page := [replace(row) for row in islice(rows, PAGE)]:
            yield page


def rows_in(roster: RosterPages) -> list[Row]:
    """Return all rows of a roster, read once."""
    return [row for page in roster.pages() for row in page]


def plan_job(
    ledger: Ledger,
    source: AccountSource,
    job: Job,
    roster: RosterPages,
    *,
    saved: bool = False,
    enforce: Sink | None = None,
) -> Draft:
    """Read a roster into the ledger for a job that has begun."""
    writer = LedgerWriter(ledger, Seal([KEY]), job, saved=saved)
    account = Account(source, JobRealms(source, ledger.jobs, job.id, job.options))
    return enter_roster(writer, account, roster, enforce=enforce)


def make_chunk_row(
    line: int, user: str = "", *, realm: int = 0, before: Stored | None = None, **fields: Any
) -> Row:
    """A row as a chunk has it; ``before``: what is stored, and is to be updated."""
    given = {"domain": "", "realm": "", "application": "", "password": PASSWORD, **fields}
    host = (HOST, OTHER_HOST)[realm]
    return Row(line, user or f"user{line}", **{"host": host, **given}, realm_key=realm, stored=before)


def make_realms(*, looked: bool = False) -> dict[int, JobRealm]:
    """Two realms of a job, by key."""
    hosts = enumerate((REALM, OTHER_REALM))
    return {key: JobRealm(key, realm.id, realm.host, looked) for key, realm in hosts}


def digests_of(row: Row, host: str = HOST) -> tuple[str, str]:
    """Return the digests that the service must hold for a row."""
    return digests(row.composite, host, row.password)


def start_job(ledger: Ledger, *chunks: list[Row], looked: bool = False, **options: Any) -> Job:
    """A running job with these chunks, one page of results for each, and both realms."""
    job, seal = make_job(**options), Seal([KEY])
    ledger.jobs.begin(job, "host:1")
    for key, realm in make_realms(looked=looked).items():
        ledger.jobs.add_realm(job.id, key, "", realm.realm, looked=looked)
    for seq, rows in enumerate(chunks):
        page = seal_page(seal, job.id, seq, [replace(row, cells=("", "")) for row in rows])
        ledger.rows.add_page(job.id, seq, rows[0].line, rows[-1].line, page)
        sealed = seal_chunk(seal, job.id, seq, rows)
        ledger.chunks.add(job.id, seq, [row.line for row in rows], sealed)
    ledger.jobs.has_read(job.id, sum(map(len, chunks)), {})
    ledger.jobs.start(job.id)
    return ledger.jobs.get(job.id)


def add_settled(ledger: Ledger, job: Job, seq: int, outcomes: Sequence[Outcome], sealed: bytes | None,
                kept_for: float = 60.0) -> None:  # fmt: skip
    """Add a chunk of rows that need no request, of which ``sealed`` are kept."""
    with ledger.store.begin() as connection:
        enter(connection, ledger.store, job.id, NewChunk(seq, [], sealed, outcomes, kept_for))
