"""Tables of rows for the page: what a plan would do with each row, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.jobs import HOST, KEY, PASSWORD, RowsOf, make_job, make_row, plan_job, start_job
from tests.unit.realms import Realms
from worker.digest import digests
from worker.errors import UsageError
from worker.importing.compare import DIGEST
from worker.ledger import Ledger
from worker.model import Credential, Job, OnExisting, Outcome, Problem, Row, Status
from worker.roster import read_corrections
from worker.seal import Seal
from worker.states import Reason, Why
from worker.web.corrections_file import corrections_file
from worker.web.rows import Query, RowTables, TableRow

SEAL = Seal([KEY])
MISSING = Problem("password_missing", "password: empty, but every row needs one")
WEAK = Problem("weak_password", "password: only digits")
BROKEN = Problem("field_count", "5 fields, but the header has 3 columns")


def saved(ledger: Ledger, rows: Sequence[Row], **options: Any) -> Job:
    """A saved plan of an account on which two of its users exist, one of them as the roster has it."""
    realms = Realms()
    for user, password in (("user3", PASSWORD), ("user4", "another")):
        realms.stored.holds(Credential(user, "", HOST, *digests(user, HOST, password)))
    job = make_job(**options)
    ledger.jobs.begin(job, "desk:1")
    plan_job(ledger, realms, job, RowsOf(rows), saved=True)
    return ledger.jobs.get(job.id)


ROWS = [
    make_row(2, cells=("Ann Hill", "Berlin")),
    make_row(3, cells=("Bo Lund", "Graz")),
    make_row(4, cells=("Cy Reed", "Berlin")),
    make_row(5, problems=(MISSING,), cells=("Dee Sand", "Graz")),
    make_row(6, warnings=(WEAK,), cells=("Ed Vale", "Łódź")),
    make_row(7, "", problems=(BROKEN,)),
    make_row(8, skipped=BROKEN, problems=(BROKEN,)),
]


def shown(tables: RowTables, job: Job, **query: object) -> list[int]:
    """The lines that a query chooses."""
    return [row.line for row in tables.show(job, Query(**query)).rows]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("on_existing", "action"), [(OnExisting.UPDATE, "update"), (OnExisting.SKIP, "exists")]
)
def test_rows_of_a_plan(ledger: Ledger, on_existing: OnExisting, action: str) -> None:
    """Each row has the action that carrying out would take, what differs, its codes and its cells."""
    job = saved(ledger, ROWS, on_existing=on_existing)
    tables = RowTables(ledger, SEAL)
    found = tables.show(job, Query())
    rows = {row.line: row for row in found.rows}
    actions = ["create", "unchanged", action, "invalid", "create", "invalid", "skip"]
    assert [row.status for row in found.rows] == actions
    assert (found.total, found.columns) == (7, ("name", "site"))
    assert rows[2] == TableRow(
        2, "create", False, "user2", "", HOST, (), "", (), (), {"name": "Ann Hill", "site": "Berlin"}, True
    )
    assert rows[4].differs == (DIGEST,)
    assert (rows[5].codes, rows[5].error, rows[5].correctable) == (("password_missing",), MISSING.text, True)
    assert (rows[6].warnings, rows[6].troubled) == (("weak_password",), False)
    assert (rows[7].correctable, rows[7].troubled) == (False, True)
    assert PASSWORD not in repr(found)
    counts = {"create": 2, action: 1, "unchanged": 1, "invalid": 2, "skip": 1}
    assert tables.counts(job) == counts


def test_choices_of_rows(ledger: Ledger) -> None:
    """Only troubled ones, those with a text in any case, a part of them."""
    job, tables = saved(ledger, ROWS), RowTables(ledger, SEAL)
    assert shown(tables, job, troubled=True) == [4, 5, 7]
    assert shown(tables, job, search="bERLIN") == [2, 4]
    assert shown(tables, job, search="łódź") == [6]
    assert shown(tables, job, search="PASSWORD_missing") == [5]
    assert shown(tables, job, search="graz", troubled=True) == [5]
    assert shown(tables, job, search="graz", troubled=True) == [5]  # remembered
    assert shown(tables, job, search="nobody") == []
    assert shown(tables, job, offset=2, limit=2) == [4, 5]
    assert shown(tables, job, troubled=True, offset=1, limit=1) == [5]
    assert shown(tables, job, offset=7) == []
    assert tables.show(job, Query(troubled=True, limit=1)).total == 3


def test_pages_of_many_rows(ledger: Ledger) -> None:
    """Any part of a roster is found, across the borders of pages, also where lines are missing."""
    lines = [line + line // 7 for line in range(2, 2503)]
    job = saved(ledger, [make_row(line, cells=(f"n{line}", "")) for line in lines])
    tables = RowTables(ledger, SEAL)
    for offset in (0, 995, 1990, 2490):
        assert shown(tables, job, offset=offset, limit=20) == lines[offset : offset + 20]
    assert shown(tables, job, search=f"n{lines[1500]}") == [lines[1500]]


def test_rows_of_a_job(ledger: Ledger) -> None:
    """What became of each row; a row without an outcome is no trouble while its job goes on."""
    job = start_job(ledger, [make_row(2), make_row(3)], [make_row(4), make_row(5)])
    claim = ledger.chunks.claim(job.id, 0, "desk:1", 60.0)
    assert claim
    failed = Outcome(3, Status.FAILED, "", "23019", "no such application", 1)
    ledger.chunks.record(claim, [Outcome(2, Status.CREATED, "77", attempts=1), failed], 60.0)
    tables = RowTables(ledger, SEAL)
    found = tables.show(job, Query()).rows
    assert [(row.line, row.status) for row in found] == [
        (2, "created"), (3, "failed"), (4, "unprocessed"), (5, "unprocessed"),
    ]  # fmt: skip
    assert (found[1].codes, found[1].error, found[1].troubled) == (("23019",), "no such application", True)
    assert shown(tables, job, troubled=True) == [3]
    ledger.jobs.stop(job.id, Why(Reason.CANCELLED, "by desk:7"))
    assert shown(tables, ledger.jobs.get(job.id), troubled=True) == [3, 4, 5]
    assert tables.counts(replace(job)) == {"created": 1, "failed": 1, "unprocessed": 2}


def test_corrections_are_a_file_that_retry_reads(ledger: Ledger, tmp_path: Path) -> None:
    """Corrected cells come back as they were typed, formulas too; cells that nobody corrected stay."""
    job = saved(ledger, [make_row(2, cells=("=1+1", "Graz")), make_row(3, cells=("Bo", "+43"))])
    cells = {2: {"site": "@Linz", "password": "=SUM(1)"}, 3: {"name": '\'-Bo "the" man'}}
    path = tmp_path / "failed.csv"
    path.write_text(corrections_file(ledger, SEAL, job, cells), "utf-8", newline="")
    found = dict(read_corrections(str(path), job.id, job.options, job.columns))
    assert found == {
        2: {"name": "=1+1", "site": "@Linz", "bw__password": "=SUM(1)"},
        3: {"name": '\'-Bo "the" man', "site": "+43"},
    }
    twins = corrections_file(ledger, SEAL, replace(job, columns=("name", "name")), {3: {"password": "new"}})
    assert twins.splitlines()[1].split(",")[2:] == ["Bo", "'+43", "new"]
    for wrong in ({2: {"sight": "x"}}, {99: {"site": "x"}}):
        with pytest.raises(UsageError):
            corrections_file(ledger, SEAL, job, wrong)
