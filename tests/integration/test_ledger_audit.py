"""The audit log: SQLite and PostgreSQL themselves let lines be added, but never changed or removed."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.unit.jobs import Clock, make_chunk_row, start_job
from worker.errors import LedgerError
from worker.ledger import Act, Ledger

ACT = Act(
    operator="ada (as root)", machine="desk", origin="192.0.2.7", version="0.1.0", command="import",
    options={"--on-existing": "update", "--yes": True, "--where": [["site", "bos"]], "--limit": None},
    host="https://api.example.com", account="9900001", subject="20261122-224612-staff-7f3a",
)  # fmt: skip
OTHER = Act("bob", "desk", "", "0.1.0", "undo", {}, "https://api.example.com", "9900001", "a job")


def test_what_was_added_is_told(ledger: Ledger, other_ledger: Ledger, clock: Clock) -> None:
    """Acts are returned newest first, with their time and all fields, and no more than asked for."""
    ledger.audit.add(ACT)
    clock.advance(60)
    other_ledger.audit.add(OTHER)
    now = dt.datetime.fromtimestamp(clock.now, dt.UTC)
    assert ledger.audit.newest(9) == [(now, OTHER), (now - dt.timedelta(seconds=60), ACT)]
    assert ledger.audit.newest(1) == [(now, OTHER)]


def test_what_is_no_text_is_written_out(ledger: Ledger) -> None:
    """Bytes of a variable that are no UTF-8 reach Python as halves of surrogates, which no database takes."""
    odd = "u" + b"\xff".decode("utf-8", "surrogateescape")
    ledger.audit.add(
        replace(ACT, operator=odd, machine=odd, origin=odd, subject=odd, options={"--where": odd})
    )
    ((_, act),) = ledger.audit.newest(1)
    assert {act.operator, act.machine, act.origin, act.subject} == {"u\\udcff"}


_COPY = """INTO audit
    (nr, at, operator, machine, origin, version, command, options, host, account, subject) {more}
    SELECT nr, at, 'nobody', machine, origin, version, command, options, host, account, subject
    FROM audit WHERE true"""
BOTH = ("UPDATE audit SET operator = 'nobody'", "DELETE FROM audit", "DELETE FROM audit WHERE nr = 1")
OWN = {
    True: (
        "TRUNCATE audit",
        f"INSERT {_COPY} ON CONFLICT (nr) DO UPDATE SET operator = excluded.operator".format(
            more="OVERRIDING SYSTEM VALUE"
        ),
    ),
    False: (
        f"INSERT {_COPY} ON CONFLICT (nr) DO UPDATE SET operator = excluded.operator".format(more=""),
        f"INSERT OR REPLACE {_COPY}".format(more=""),
        f"REPLACE {_COPY}".format(more=""),
        "UPDATE OR IGNORE audit SET operator = 'nobody'",
    ),
}
"""Statements of PostgreSQL's own (True) and of SQLite's own (False)."""


def test_no_line_is_changed_or_removed(ledger: Ledger) -> None:
    """No statement changes or removes a line of the audit log; adding lines still works."""
    ledger.audit.add(ACT)
    before = ledger.audit.newest(9)
    for statement in (*BOTH, *OWN[ledger.store.postgresql]):
        with pytest.raises(LedgerError, match="added to only"):
            run(ledger, statement)
        assert ledger.audit.newest(9) == before
    ledger.audit.add(OTHER)
    assert [act for _, act in ledger.audit.newest(9)] == [OTHER, ACT]


def run(ledger: Ledger, statement: str) -> None:
    """Say this to the ledger's own database."""
    with ledger.store.begin() as connection:
        connection.execute(text(statement))


def test_a_forgotten_job_stays_in_the_audit(ledger: Ledger) -> None:
    """``jobs purge`` takes the job away, and not what was done with it."""
    job = start_job(ledger, [make_chunk_row(2)])
    ledger.audit.add(ACT)
    ledger.jobs.forget(job.id)
    assert [act for _, act in ledger.audit.newest(9)] == [ACT]
