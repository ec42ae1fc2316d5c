"""A command that can't begin leaves the account free for the next one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.accounts import on_account
from tests.system.rosters import roster_of, users
from tests.system.runs import jobs, run


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    """Two users in a file."""
    return roster_of(tmp_path / "staff.csv", users(2))


def sql(program: Program, statement: str) -> None:
    """Run a statement on the ledger past the program."""
    with closing(sqlite3.connect(next(program.home.rglob("ledger.sqlite")))) as database, database:
        database.execute(statement)


def test_an_audit_that_fails_holds_no_account(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """If the audit fails, a new job, a plan or an undo leaves the account free at once."""
    first = run(office, "import", roster, "--max-failed", "0")["job"]
    sql(office, "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    for command in (["import", roster], ["plan", roster, "--save"], ["undo", first, "--yes"]):
        failed = office.run(*command)
        assert (failed.code, "disk is full" in failed.stderr) == (1, True), failed.stderr
    assert [job["job"] for job in jobs(office)] == [first]
    sql(office, "DROP TRIGGER full")
    assert run(office, "import", roster)["counts"] == {"unchanged": 2}
    assert len(on_account(sandbox)) == 2


def test_a_lost_key_is_not_replaced_in_silence(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """A lost key is not replaced while jobs need it; without jobs a new key does no harm."""
    job = run(office, "import", roster)["job"]
    key = next(office.home.rglob("ledger.sqlite.key"))
    kept = key.read_text()
    key.unlink()
    refused = office.run("import", roster)
    assert (refused.code, "is missing" in refused.stderr, key.exists()) == (6, True, False), refused.stderr
    key.write_text(kept)
    key.chmod(0o600)
    assert office.run("report", job).code == 0
    key.unlink()
    assert office.run("jobs", "purge", job, "--yes").code == 0
    assert run(office, "import", roster)["counts"] == {"unchanged": 2}
    assert key.read_text() != kept
    assert len(on_account(sandbox)) == 2


def test_an_operator_who_is_no_text_is_recorded(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """An operator's name that isn't UTF-8 is recorded in the audit all the same."""
    odd = os.fsdecode(b"u\xff")
    done = office.run("import", roster, SUDO_USER=odd, SSH_CONNECTION=f"{odd} 1 2 3")
    assert done.code == 0, done.stderr
    (act,) = office.run("jobs", "--audit", "--json").json
    assert (act["operator"].split(" (as ")[0], act["origin"]) == ("u\\udcff", "u\\udcff")
    assert len(on_account(sandbox)) == 2
