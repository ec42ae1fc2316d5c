"""Rosters from databases, as users import them: by URL, the password in the environment and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mariadb import MariaDb
from tests.program import Program
from tests.system.leaks import files
from tests.system.rosters import SAMPLES
from tests.system.runs import run


@pytest.fixture
def asterisk(mariadb_server: MariaDb) -> Iterator[MariaDb]:
    """A MariaDB that has a database like FreePBX's."""
    mariadb_server.run("CREATE DATABASE asterisk")
    mariadb_server.run((SAMPLES / "pbx/freepbx-database.sql").read_bytes(), "asterisk")
    yield mariadb_server
    mariadb_server.run("DROP DATABASE asterisk")


def query_of(program: Program) -> Path:
    """Return a file with a query of the program's user."""
    path = program.work / "phones.sql"
    path.write_text(
        "-- phones alone\n"
        "SELECT d.id AS username, s.data AS password, d.description AS name\n"
        "FROM devices d JOIN sip s ON s.id = d.id AND s.keyword = 'secret'\n"
        "WHERE s.data <> '' ORDER BY d.id;\n"
    )
    return path


def test_a_query_of_ones_own(office: Program, asterisk: MariaDb) -> None:
    """--query FILE: its columns are a table; a report needs no database."""
    office.environment["MYSQL_PWD"] = MariaDb.PASSWORD
    summary = run(office, "import", asterisk.url("asterisk"), "--query", query_of(office))
    assert summary["counts"] == {"created": 4}
    assert summary["roster"]["name"] == "asterisk"
    del office.environment["MYSQL_PWD"]
    assert office.run("report", summary["job"]).code == 0


def test_the_password_of_the_database_is_nowhere(office: Program, asterisk: MariaDb) -> None:
    """Ledger, results, messages and the debug log hold neither the password nor the user who reads."""
    arguments = ["import", asterisk.url("asterisk"), "--query", str(query_of(office)), "--debug"]
    finished = office.run(*arguments, MYSQL_PWD=MariaDb.PASSWORD)
    assert finished.code == 0
    places = {**files(office.home), "stdout": finished.stdout.encode(), "stderr": finished.stderr.encode()}
    assert [place for place, content in places.items() if MariaDb.PASSWORD.encode() in content] == []


def test_a_password_in_the_url_is_refused(office: Program, asterisk: MariaDb) -> None:
    """Exit 6 with the right way, and the password is not repeated."""
    for url in (
        asterisk.url("asterisk").replace("@", ":hunter2/?#@"),
        "postgresql://me:hunter2@db.example/kamailio",
        "postgresql://me@db.example/kamailio?password=hunter2",
    ):
        finished = office.run("import", "--query", query_of(office), url)
        assert finished.code == 6
        assert "the URL holds a password" in finished.stderr
        assert "MYSQL_PWD" in finished.stderr or "PGPASSWORD" in finished.stderr
        assert "hunter2" not in finished.stderr


def test_a_job_says_what_can_be_read_again(office: Program, asterisk: MariaDb) -> None:
    """`verify JOB` names the URL to give; a database that changed since is not the job's roster any more."""
    office.environment["MYSQL_PWD"] = MariaDb.PASSWORD
    query = query_of(office)
    job = run(office, "import", asterisk.url("asterisk"), "--query", query)["job"]
    told = office.run("verify", job)
    assert told.code == 6
    assert f"--roster mysql://USER@127.0.0.1:{asterisk.port}/asterisk" in told.stderr
    asterisk.run(
        "UPDATE sip SET data = 'another-Secret-1' WHERE id = '1001' AND keyword = 'secret'", "asterisk"
    )
    changed = office.run("verify", job, "--roster", asterisk.url("asterisk"))
    assert changed.code == 6
    assert "have changed since" in changed.stderr


def test_a_query_needs_a_database(office: Program) -> None:
    """--query with a file as the roster is refused: one of them is a mistake."""
    roster = office.work / "staff.csv"
    roster.write_text("user,password\n1001,Secret-aa-1001\n")
    finished = office.run("plan", roster, "--query", query_of(office))
    assert (finished.code, "--query reads a database" in finished.stderr) == (6, True)
