"""A ledger of an earlier program is brought to this one's schema, and its jobs go on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

from tests.integration.deliveries import process, told
from tests.integration.test_undo import undo
from tests.unit.jobs import HOST, KEY, digests_of, make_chunk_row, make_job
from tests.unit.registrar import Registrar, lose
from worker.ledger import Act, Ledger
from worker.ledger.codec import seal_changes
from worker.ledger.schema import MIGRATIONS
from worker.model import Job, JobState, Status
from worker.seal import Seal
from worker.states import Reason, Why

ROWS = [make_chunk_row(line) for line in range(2, 5)]

Others = Sequence[tuple[str, Mapping[str, object]]]


def earlier_ledger(url: str, job: Job, *, empty: bool, version: int = 1, others: Others = ()) -> None:
    """A ledger of an earlier schema, with a running job and its one chunk, as that program left it.

    ``others``: more jobs and chunks, as what differs in their rows from those.
    """
    target = make_url(url)
    if target.drivername == "postgresql":
        target = target.set(drivername="postgresql+psycopg")
    else:
        Path(target.database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(target)
    blob = "BYTEA" if engine.dialect.name == "postgresql" else "BLOB"
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)"))
        for statement in (one for statements in MIGRATIONS[:version] for one in statements):
            own = statement if isinstance(statement, str) else statement[engine.dialect.name]
            connection.execute(text(own.replace("{blob}", blob)))
        fill(connection, job, empty=empty, version=version, others=others)
    engine.dispose()


def fill(connection: Connection, job: Job, *, empty: bool, version: int, others: Others) -> None:
    """The rows of each table."""
    seal = Seal([KEY])
    options = {name: value for name, value in asdict(job.options).items() if name != "absent"}
    packed = [[r.line, r.user, r.domain, r.realm_key, r.application, r.password] for r in ROWS]
    page = [[r.line, r.user, r.domain, r.realm_key, r.application, ["", ""]] for r in ROWS]
    tables: Mapping[str, Mapping[str, object]] = {
        "jobs": {
            "id": job.id, "state": "running", "why": "", "host": job.host, "environment": job.environment,
            "account": job.account, "options": json.dumps(options), "operator": "ada", "machine": "desk",
            "version": "0.0.9", "key": job.key, "roster": "staff.csv", "source": "/staff.csv",
            "sha256": job.sha256, "columns": '["name", "site"]', "warnings": "{}", "rows": 3, "parent": "",
            "created": 1_800_000_000.0, "started": 1_800_000_001.0,
        },
        "writers": {
            "host": job.host, "account": job.account, "job": job.id, "owner": "desk:1", "until": 4e9,
        },
        "realms": {"job": job.id, "key": 0, "ref": "", "id": "17", "host": HOST,
                   "empty" if version == 1 else "looked": int(empty)},
        "pages": {
            "job": job.id, "seq": 0, "first_line": 2, "last_line": 4,
            "sealed": seal.close_over(page, f"{job.id}/page/0"),
        },
        "chunks": {
            "job": job.id, "seq": 0, "state": "waiting", "first_line": 2, "rows": 3, "settled": 0,
            "troubled": 0, "generation": 0, "owner": "", "lease_until": 0.0, "attempts": 0, "barren": 0,
            "deaths": 0, "suspect": 0, "away": 0, "next_attempt_at": 0.0, "doubt": "", "requests": 7,
            "retries": 1, "sealed": seal.close_over(packed, f"{job.id}/chunk/0"),
        },
    }  # fmt: skip
    meta = text("INSERT INTO meta (name, value) VALUES (:name, :value)")
    connection.execute(
        meta, [{"name": "version", "value": str(version)}, {"name": "identity", "value": "the-same"}]
    )
    more = [(table, {**tables.get(table, {}), **differing}) for table, differing in others]
    for table, row in (*tables.items(), *more):
        names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), row)  # noqa: S608


def test_an_earlier_ledger_goes_on(ledger_url: str) -> None:
    """An earlier ledger's job is found as it was, finished and undone, with the audit."""
    job, api = make_job(), Registrar()
    earlier_ledger(ledger_url, job, empty=True)
    with closing(Ledger(ledger_url)) as ledger:
        assert (ledger.identity, ledger.store.check()) == ("the-same", len(MIGRATIONS))
        kept = ledger.jobs.get(job.id)
        assert (kept.options, kept.requests, kept.retries, kept.absent) == (job.options, 7, 1, None)
        assert (kept.saved, kept.carried_out_by, ledger.changes.rows(job.id)) == (None, "", 0)
        with process(ledger, kept, api) as worker:
            worker.deliver()
        assert told(ledger, job) == dict.fromkeys((2, 3, 4), (Status.CREATED, ""))
        assert api.digests() == {row.user: digests_of(row) for row in ROWS}
        assert ledger.jobs.state(job.id) is JobState.DONE
        assert set(undo(ledger, kept, api).values()) == {("removed", "")}
        ledger.audit.add(Act("ada", "desk", "", "0.1.0", "undo", {}, job.host, job.account, job.id))
    with closing(Ledger(ledger_url)) as again:
        assert [act.command for _, act in again.audit.newest(9)] == ["undo"]
        assert (again.identity, again.store.check()) == ("the-same", len(MIGRATIONS))


def test_the_change_log_of_an_earlier_ledger_goes_on(ledger_url: str) -> None:
    """Changes of a chunk that an earlier program began are numbered after those that it recorded."""
    job, api = make_job(), Registrar()
    change = {
        "job": job.id,
        "chunk": 0,
        "nr": 0,
        "rows": 0,
        "sealed": seal_changes(Seal([KEY]), job.id, 0, 0, []),
    }
    earlier_ledger(ledger_url, job, empty=True, version=4, others=[("deeds", change)])
    with closing(Ledger(ledger_url)) as ledger:
        with process(ledger, ledger.jobs.get(job.id), api) as worker:
            worker.deliver()
        assert told(ledger, job) == dict.fromkeys((2, 3, 4), (Status.CREATED, ""))
        assert [key.nr for key, _ in ledger.changes.of_chunk(job.id, 0)] == [0, 1]


@pytest.mark.parametrize("empty", [True, False])
def test_what_an_earlier_job_knew_of_its_realm(ledger_url: str, empty: bool) -> None:
    """Users that an earlier version's job left unproven are removed only if their realm was empty before."""
    job, api = make_job(), Registrar()
    earlier_ledger(ledger_url, job, empty=empty)
    api.after = lose(1)
    with closing(Ledger(ledger_url)) as ledger:
        with process(ledger, ledger.jobs.get(job.id), api) as worker:
            worker.deliver()
        assert set(told(ledger, job).values()) == {(Status.UNCHANGED, "origin_unknown")}
        result = ("removed", "") if empty else ("kept", "origin_unknown")
        assert set(undo(ledger, job, api, include_unproven=True).values()) == {result}


LATER = {Reason.EXPIRED, Reason.MAX_CHANGES, Reason.REQUIRE_ROWS}
"""Reasons that no ledger of an earlier version has."""


def test_reasons_of_an_earlier_ledger(ledger_url: str) -> None:
    """The first word of an earlier ledger's ``why`` or ``waits_for`` is read and shown as a reason."""
    job = make_job()
    told = {f"j-{reason}": Why(reason, "stopped: it is so: see 3 rows") for reason in set(Reason) - LATER}
    waits = ("throttled: HTTP 429", "unavailable: no connection", "no word")
    others: Others = [
        *(("jobs", {"id": name, "state": why.reason.state, "why": str(why)}) for name, why in told.items()),
        ("jobs", {"id": "j-strange", "state": "stopped", "why": "nobody knows"}),
        *(("chunks", {"seq": seq, "waits_for": why}) for seq, why in enumerate(waits, start=1)),
    ]
    earlier_ledger(ledger_url, job, empty=True, version=3, others=others)
    with closing(Ledger(ledger_url)) as ledger:
        assert {name: ledger.jobs.get(name).why for name in told} == told
        assert ledger.jobs.get(job.id).why is None
        assert ledger.jobs.get("j-strange").why == Why(Reason.STOPPED, "nobody knows")
        assert {away.seq: away.why for away in ledger.waits.away(job.id)} == {
            1: Why(Reason.THROTTLED, "HTTP 429"),
            2: Why(Reason.UNAVAILABLE, "no connection"),
            3: Why(Reason.UNAVAILABLE, "no word"),
        }
