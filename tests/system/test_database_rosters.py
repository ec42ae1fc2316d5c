"""Rosters from databases, as users import them: by URL, the password in the environment and nowhere else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.mariadb import MariaDb
from tests.program import Program
from tests.sandbox import Sandbox
from tests.servers import Postgres
from tests.system.leaks import files
from tests.system.rosters import SAMPLES, result_rows
from tests.system.runs import run


@pytest.fixture
def asterisk(mariadb_server: MariaDb) -> Iterator[MariaDb]:
    """A MariaDB that has a database like FreePBX's."""
    mariadb_server.run("CREATE DATABASE asterisk")
    mariadb_server.run((SAMPLES / "pbx/freepbx-database.sql").read_bytes(), "asterisk")
    yield mariadb_server
    mariadb_server.run("DROP DATABASE asterisk")


@pytest.fixture
def kamailio_database(postgres_server: Postgres) -> Iterator[str]:
    """The URL, without its password, of a PostgreSQL database like Kamailio's."""
    owner = postgres_server.create_database("kamailio")
    with psycopg.connect(owner) as connection:
        connection.execute((SAMPLES / "pbx/kamailio-database.sql").read_bytes())
    yield f"postgresql://{Postgres.USER}@127.0.0.1:{postgres_server.port}/kamailio"
    postgres_server.drop_database("kamailio")


def digests(user: str, realm: str, password: str) -> tuple[str, str]:
    """Return Hash1 and Hash1b of a user, as RFC 2617 and the service define them."""

    def md5(name: str) -> str:
        return hashlib.md5(f"{name}:{realm}:{password}".encode()).hexdigest()  # noqa: S324 (SIP's digest)

    return md5(user), md5(f"{user}@{realm}")


def test_freepbx_by_its_database(office: Program, sandbox: Sandbox, asterisk: MariaDb) -> None:
    """Every device is a line in the results; the digests are those of its own secret."""
    office.environment["MYSQL_PWD"] = MariaDb.PASSWORD
    summary = run(office, "import", "--from", "freepbx", asterisk.url("asterisk"), code=10)
    rows = {row["extension"]: row for row in result_rows(Path(summary["files"]["results"]))}
    assert {one: (row["bw__status"], row["bw__error_code"]) for one, row in rows.items()} == {
        "0104": ("created", ""), "1001": ("created", ""), "1002": ("created", ""),
        "1003": ("skipped", "not_sip"), "1004": ("invalid", "password_missing"), "1005": ("created", ""),
    }  # fmt: skip
    realm = sandbox.credentials()[0]["realm"]
    assert {name: held[0] for name, held in sandbox.digests().items()} == {
        user: digests(user, realm, password)[0]
        for user, password in {
            "0104": "Grün-Pässe-0104", "1001": 'pa"ss,\\1 x;', "1002": "5f4dcc3b5aa765d61d8327deb882cf99",
            "1005": "Pjsip-Secret-1005",
        }.items()
    }  # fmt: skip
    assert "trunk-secret" not in Path(summary["files"]["results"]).read_text()


def test_kamailio_by_its_database(office: Program, sandbox: Sandbox, kamailio_database: str) -> None:
    """The same from PostgreSQL; `--map domain=` leaves the domains out."""
    office.environment["PGPASSWORD"] = Postgres.PASSWORD
    run(office, "import", "--from", "kamailio", kamailio_database, "--map", "domain=")
    realm = sandbox.credentials()[0]["realm"]
    assert {name: held[0] for name, held in sandbox.digests().items()} == {
        "0301": digests("0301", realm, "Kam-Secret-0301")[0],
        "1302": digests("1302", realm, 'with "quote", comma; and \\ back')[0],
        "1303": digests("1303", realm, "Schlüssel-1303")[0],
    }


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


def login(program: Program, url: str, user: str, password: str, mode: int = 0o600) -> Path:
    """Write a siproster.toml with the login of a database, and return it."""
    path = program.work / "siproster.toml"
    path.write_text(f'[database."{url}"]\nuser = "{user}"\npassword = "{password}"\n')
    path.chmod(mode)
    return path


def test_a_login_in_the_settings_file(office: Program, asterisk: MariaDb, kamailio_database: str) -> None:
    """User and password of both kinds of server from siproster.toml alone, for `verify` and `doctor` too.

    Neither the ledger nor any output has the password.
    """
    url = asterisk.url("asterisk").replace(f"{MariaDb.USER}@", "")
    settings = login(office, url, MariaDb.USER, MariaDb.PASSWORD)
    query = query_of(office)
    done = office.run("import", url, "--query", query, "--debug", "--json")
    assert (done.code, done.json["counts"]) == (0, {"created": 4}), done.stderr
    nobody = ("--registrar", "127.0.0.1:9", "--transport", "tcp")  # refuses at once
    verified = office.run("verify", done.json["job"], "--roster", url, *nobody)
    assert verified.code != 6, verified.stderr  # the database was read again
    shown = office.run("doctor")
    assert f"database {url}" in shown.stdout.replace("\n", "")
    assert "password <hidden>" in shown.stdout
    password = MariaDb.PASSWORD.encode()
    outputs = [one.stdout + one.stderr for one in (done, verified, shown)]
    places = {**files(office.home), "outputs": "".join(outputs).encode()}
    assert [place for place, content in places.items() if password in content] == [
        place for place in places if place.endswith(settings.name)
    ]
    plain = kamailio_database.replace(f"{Postgres.USER}@", "")
    login(office, plain, Postgres.USER, Postgres.PASSWORD)
    assert office.run("plan", "--from", "kamailio", plain, "--map", "domain=").code == 0


def test_who_goes_before_the_settings_file(office: Program, asterisk: MariaDb) -> None:
    """The environment's password goes before; another user than the table's never gets its password."""
    url = asterisk.url("asterisk").replace(f"{MariaDb.USER}@", "")
    query = query_of(office)
    login(office, url, MariaDb.USER, "wrong-canary-1")
    assert "refused" in office.run("plan", url, "--query", query).stderr
    assert office.run("plan", url, "--query", query, MYSQL_PWD=MariaDb.PASSWORD).code == 0
    login(office, url, "somebody", MariaDb.PASSWORD)
    other = office.run("plan", asterisk.url("asterisk"), "--query", query)
    assert (other.code, "the user name or password was refused" in other.stderr) == (6, True)


def test_a_login_that_others_can_read_is_refused(office: Program, asterisk: MariaDb) -> None:
    """Mode 0644 and a password: exit 6 with the command that mends it."""
    url = asterisk.url("asterisk")
    login(office, url.replace(f"{MariaDb.USER}@", ""), MariaDb.USER, MariaDb.PASSWORD, 0o644)
    refused = office.run("plan", url, "--query", query_of(office))
    assert (refused.code, "chmod 600 siproster.toml" in refused.stderr) == (6, True)
    assert MariaDb.PASSWORD not in refused.stderr


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
