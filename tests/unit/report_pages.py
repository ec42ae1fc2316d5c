"""Shared by the tests of the report page: jobs whose rows have been processed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.unit.jobs import KEY, Clock, make_chunk_row, make_job, make_realms
from worker.ledger import Ledger
from worker.ledger.codec import seal_chunk, seal_page
from worker.model import Job, Outcome, Row, Status
from worker.seal import Seal

SEAL = Seal([KEY])
COLUMNS = ("extension", "display name", "site", "did")
PAGE = 1000
HOSTILE = (
    "</script><script>alert(1)</script>", "<!--<script>", "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}", "javascript:alert(1)", "\"' onfocus=alert(1) autofocus x=\"", "a\u2028b\u2029c",
    "user\u202egnp.exe", "\ufeff\u200b", "]]>\x00\x1b[2J\x7f\x9b", "&lt;b&gt;", "\\u003c/script>\\",
    "=cmd|' /C calc'!A0", "line\r\nbreak\ttab", "😀 Ł",
)  # fmt: skip
"""Texts of a hostile roster, or service."""


@dataclass(frozen=True)
class Processed:
    """A row with its outcome; None: it has none."""

    row: Row
    outcome: Outcome | None


def row_of(line: int, status: Status | None = Status.CREATED, *cells: str, code: str = "", error: str = "",
           user: str = "", realm: int = 0) -> Processed:  # fmt: skip
    """Return a row with its own cells, in the order of COLUMNS unless others are given, and its outcome."""
    values = cells or (str(1000 + line), f"Person {line}", "Berlin", f"+49301{line:05}")
    row = make_chunk_row(line, user, cells=values, realm=realm)
    return Processed(row, Outcome(line, status, f"id{line}", code, error, 1) if status else None)


def processed_job(
    ledger: Ledger, rows: Sequence[Processed], *, columns: Sequence[str] = COLUMNS, roster: str = "staff.csv",
    parent: str = "", clock: Clock | None = None,
) -> Job:  # fmt: skip
    """Return a job whose chunk has ended; ``clock``: a second passes with each hundred rows."""
    job = replace(make_job(), columns=tuple(columns), roster=roster, parent=parent)
    job = replace(job, source=f"job {parent}" if parent else job.source)
    ledger.jobs.begin(job, "host:1")
    for key, realm in make_realms().items():
        ledger.jobs.add_realm(job.id, key, "", realm.realm, looked=False)
    for seq, at in enumerate(range(0, len(rows), PAGE)):
        part = [one.row for one in rows[at : at + PAGE]]
        ledger.rows.add_page(
            job.id, seq, part[0].line, part[-1].line, seal_page(SEAL, job.id, seq, part)
        )  # fmt: skip
    every = [one.row for one in rows]
    ledger.chunks.add(job.id, 0, [row.line for row in every], seal_chunk(SEAL, job.id, 0, every))
    ledger.jobs.has_read(job.id, len(rows), {})
    ledger.jobs.start(job.id)
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
    assert claim is not None
    outcomes = [one.outcome for one in rows if one.outcome]
    for at in range(0, len(outcomes), 100):
        ledger.chunks.record(claim, outcomes[at : at + 100], 60)
        if clock:
            clock.advance(1)
    if len(outcomes) == len(rows):
        ledger.chunks.end(claim, None, 60, 1, 0)
        ledger.jobs.finish(job.id)
    else:
        ledger.chunks.release(claim, 0, [], 0, 0)
    ledger.accounts.release(job.id)
    return ledger.jobs.get(job.id)
