"""Databases as rosters: the query's rows as exact texts, in one read-only snapshot, from real servers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.mariadb import MariaDb
from tests.servers import Postgres
from worker.errors import UsageError
from worker.model import DatabaseLogin, Options
from worker.roster import open_roster
from worker.roster.database import database_at
from worker.roster.database_address import address_of, log_in
from worker.roster.text import Malformed, Record

SAMPLES = Path(__file__).parents[2] / "samples/pbx"


class Account:
    """The password of the user who reads, where MariaDB's client programs look for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def options(self, server: MariaDb, user: str = MariaDb.USER, password: str = MariaDb.PASSWORD) -> str:
        """Return the URL's parameter for an option file with the password."""
        file = self.folder / f"{user}-{len(password)}.cnf"
        file.write_text(f"[client]\nuser={user}\npassword={password}\n")
        file.chmod(0o600)
        return f"?option-file={file}"


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """Option files in the test's folder."""
    return Account(tmp_path)


@pytest.fixture
def asterisk(mariadb_server: MariaDb) -> Iterator[MariaDb]:
    """A MariaDB that has a database like FreePBX's."""
    mariadb_server.run("CREATE DATABASE asterisk")
    mariadb_server.run((SAMPLES / "freepbx-database.sql").read_bytes(), "asterisk")
    yield mariadb_server
    mariadb_server.run("DROP DATABASE asterisk")


def read(url: str, query: str = "", source_format: str = "auto", encoding: str = "") -> list[Record]:
    """Return all records of a database."""
    options = Options(source_format=source_format, query=query, encoding=encoding)
    return list(database_at(url).records(options))


def query_file(folder: Path, sql: str) -> str:
    """Return the path of a file for ``--query``."""
    path = folder / "query.sql"
    path.write_text(sql)
    return str(path)


def anonymous(server: MariaDb, database: str) -> str:
    """Return a URL without the user, who is in an option file."""
    return f"mysql://127.0.0.1:{server.port}/{database}"


def test_freepbx_is_read_from_its_own_tables(asterisk: MariaDb, account: Account) -> None:
    """A device is a row, its secret the one of its id; trunks, which are no devices, don't appear."""
    header, *rows = read(anonymous(asterisk, "asterisk") + account.options(asterisk), source_format="freepbx")
    cells = [dict(zip(header[1], row, strict=True)) for _, row in rows]
    assert [line for line, _ in rows] == [2, 3, 4, 5, 6, 7]
    assert {one["extension"]: one["secret"] for one in cells} == {
        "0104": "Grün-Pässe-0104", "1001": 'pa"ss,\\1 x;', "1002": "5f4dcc3b5aa765d61d8327deb882cf99",
        "1003": "", "1004": "", "1005": "Pjsip-Secret-1005",
    }  # fmt: skip
    assert {one["extension"]: one["tech"] for one in cells}["1003"] == "iax2"


def test_values_are_taken_as_the_server_writes_them(
    asterisk: MariaDb, account: Account, tmp_path: Path
) -> None:
    """Integers, NULL, decimals, dates, bytes and three character sets become exact texts."""
    query = query_file(
        tmp_path,
        "SELECT 0104 AS a, 1.50 AS b, NULL AS c, DATE '2026-03-12' AS d, TRUE AS e, X'41' AS g,"
        " CONVERT('ü' USING latin1) AS h, CONVERT('ü€' USING utf16) AS i, '' AS j, CAST('NULL' AS CHAR) AS k,"
        " '007' AS l;\n",
    )
    url = anonymous(asterisk, "asterisk") + account.options(asterisk)
    assert read(url, query)[1] == (
        2, ["104", "1.50", "", "2026-03-12", "1", "A", "ü", "ü€", "", "NULL", "007"]
    )  # fmt: skip


def test_a_text_with_two_readings_is_refused(asterisk: MariaDb, account: Account, tmp_path: Path) -> None:
    """UTF-8 in a latin1 column may be either: the column is named, and --encoding decides."""
    url = anonymous(asterisk, "asterisk") + account.options(asterisk)
    query = query_file(tmp_path, "SELECT '1' AS username, CONVERT(X'C3BC' USING latin1) AS password")
    with pytest.raises(UsageError, match=r"row 2: column 'password' has the character set latin1") as refused:
        read(url, query)
    assert "--encoding utf-8" in refused.value.hint
    assert "--encoding cp1252" in refused.value.hint
    assert read(url, query, encoding="utf-8")[1] == (2, ["1", "ü"])
    assert read(url, query, encoding="cp1252")[1] == (2, ["1", "Ã¼"])


def test_bytes_that_no_reading_fits_are_a_row_with_that_reason(
    asterisk: MariaDb, account: Account, tmp_path: Path
) -> None:
    """A binary column with bytes that are no UTF-8 costs its own row; the others are read."""
    query = query_file(tmp_path, "SELECT X'FF' AS password UNION ALL SELECT 'good'")
    _, (_, bad), good = read(anonymous(asterisk, "asterisk") + account.options(asterisk), query)
    assert isinstance(bad, Malformed)
    assert "column 'password'" in bad.reason
    assert good == (3, ["good"])


def test_writes_meanwhile_are_not_seen(asterisk: MariaDb, account: Account, tmp_path: Path) -> None:
    """Rows that are changed, added and deleted while the roster is read don't show."""
    asterisk.run(
        "CREATE TABLE many (username INT PRIMARY KEY, password VARCHAR(300));"
        "INSERT INTO many SELECT seq, RPAD('before', 300, 'x') FROM seq_1_to_30000", "asterisk",
    )  # fmt: skip
    query = query_file(tmp_path, "SELECT username, password FROM many ORDER BY username")
    url = anonymous(asterisk, "asterisk") + account.options(asterisk)
    records = database_at(url).records(Options(query=query))
    first = [next(records), next(records)]
    asterisk.run("UPDATE many SET password = 'after'; DELETE FROM many WHERE username > 10", "asterisk")
    rest = list(records)
    assert len(first) + len(rest) == 30_001
    assert {fields[1][:6] for _, fields in rest} == {"before"}


@pytest.mark.timeout(90)
def test_a_server_that_dies_while_it_is_read(
    make_mariadb: Callable[[], MariaDb], account: Account, tmp_path: Path
) -> None:
    """Half a roster is no roster: the command ends with a sentence, and nothing was sent."""
    server = make_mariadb()
    server.run(
        "CREATE DATABASE pbx; USE pbx;"
        " CREATE TABLE many AS SELECT seq, REPEAT('x', 250) AS pw FROM seq_1_to_100000"
    )
    query = query_file(tmp_path, "SELECT * FROM many")
    records = database_at(anonymous(server, "pbx") + account.options(server)).records(Options(query=query))
    next(records)
    next(records)
    server.kill()
    with pytest.raises(UsageError, match=r"the connection was cut .*; nothing was sent"):
        list(records)


def test_each_refusal_is_a_sentence_with_the_next_step(
    asterisk: MariaDb, account: Account, tmp_path: Path
) -> None:
    """Wrong password, database, table, column, permission and query: each is told, with what to do."""
    asterisk.run(
        "CREATE USER IF NOT EXISTS poor@'%' IDENTIFIED BY 'x'; GRANT SELECT ON asterisk.users TO poor@'%'"
    )
    good = account.options(asterisk)

    def told(url: str, **how: str) -> str:
        with pytest.raises(UsageError) as refused:
            read(url, **how)
        return f"{refused.value.message} | {refused.value.hint}"

    at = anonymous(asterisk, "asterisk")
    wrong = told(at + account.options(asterisk, password="wrong"), source_format="freepbx")
    assert "password was refused" in wrong
    assert "MYSQL_PWD" in wrong
    assert "no such database" in told(anonymous(asterisk, "nope") + good, source_format="freepbx")
    assert "no table 'asterisk.subscriber'" in told(at + good, source_format="kamailio")
    poor = told(at + account.options(asterisk, "poor", "x"), source_format="freepbx")
    assert "may not read" in poor
    assert "devices" in poor
    assert "GRANT SELECT" in poor
    assert "--from freepbx" in told(at + good)
    assert "no column 'nope'" in told(at + good, query=query_file(tmp_path, "SELECT nope FROM users"))
    assert "can't be understood" in told(at + good, query=query_file(tmp_path, "SELEC"))
    assert "writes" in told(at + good, query=query_file(tmp_path, "DELETE FROM users"))
    assert "connection refused" in told("mysql://127.0.0.1:1/asterisk", source_format="freepbx")
    assert asterisk.run("SELECT COUNT(*) FROM users", "asterisk").split()[-1] == "6"


def test_tls_is_used_as_asked(asterisk: MariaDb, account: Account) -> None:
    """ssl-mode=REQUIRED never falls back to a connection without TLS."""
    url = anonymous(asterisk, "asterisk") + account.options(asterisk)
    with pytest.raises(UsageError, match="no TLS connection"):
        read(f"{url}&ssl-mode=REQUIRED", source_format="freepbx")
    assert read(f"{url}&ssl-mode=DISABLED", source_format="freepbx")


@pytest.fixture
def kamailio_url(postgres_server: Postgres, tmp_path: Path) -> Iterator[str]:
    """The URL of a PostgreSQL database like Kamailio's, its password in a file of libpq's."""
    owner = postgres_server.create_database("kamailio")
    with psycopg.connect(owner) as connection:
        connection.execute((SAMPLES / "kamailio-database.sql").read_bytes())
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"*:*:*:*:{Postgres.PASSWORD}\n")
    passfile.chmod(0o600)
    yield f"postgresql://{Postgres.USER}@127.0.0.1:{postgres_server.port}/kamailio?passfile={passfile}"
    postgres_server.drop_database("kamailio")


def test_kamailio_is_read_from_postgresql(kamailio_url: str) -> None:
    """The subscriber table as it is, in the order of its ids."""
    header, *rows = read(kamailio_url, source_format="kamailio")
    assert header[1][:4] == ["id", "username", "domain", "password"]
    assert [(line, fields[1], fields[3]) for line, fields in rows] == [
        (2, "0301", "Kam-Secret-0301"), (3, "1302", 'with "quote", comma; and \\ back'),
        (4, "1303", "Schlüssel-1303"),
    ]  # fmt: skip


def test_postgresql_values_are_its_own_texts(kamailio_url: str, tmp_path: Path) -> None:
    """A value is what ``value::text`` gives; NULL is an empty cell."""
    query = query_file(
        tmp_path,
        "SELECT 42, 1.50, NULL::text, true, false, 'ab'::char(5), 'ü'::bytea, DATE '2026-03-12', ARRAY[1,2],"
        " '00000000-0000-0000-0000-000000000001'::uuid, '007'",
    )
    assert read(kamailio_url, query)[1][1] == [
        "42", "1.50", "", "true", "false", "ab", "ü", "2026-03-12", "{1,2}",
        "00000000-0000-0000-0000-000000000001",
        "007",
    ]  # fmt: skip


def test_postgresql_is_read_in_one_snapshot_that_never_writes(kamailio_url: str, tmp_path: Path) -> None:
    """Changes meanwhile don't show, and a query that writes is refused, also behind a COMMIT."""
    records = database_at(kamailio_url).records(Options(source_format="kamailio"))
    next(records)
    with psycopg.connect(kamailio_url) as connection:
        connection.execute("UPDATE subscriber SET password = 'after'")
    assert {fields[3] for _, fields in records}.isdisjoint({"after"})
    for sql in ("DELETE FROM subscriber", "SELECT 1; COMMIT; DELETE FROM subscriber"):
        with pytest.raises(UsageError):
            read(kamailio_url, query_file(tmp_path, sql))
    assert len(read(kamailio_url, source_format="kamailio")) == 4


def test_postgresql_refusals_are_sentences(kamailio_url: str) -> None:
    """Wrong password, no such database, no such table."""
    with pytest.raises(UsageError, match="password was refused"):
        read(kamailio_url.replace("siproster@", "stranger@"), source_format="kamailio")
    with pytest.raises(UsageError, match="no such database"):
        read(kamailio_url.replace("/kamailio?", "/nope?"), source_format="kamailio")
    with pytest.raises(UsageError, match="no table 'v_extensions'"):
        read(kamailio_url, source_format="fusionpbx")


def test_sqlite_is_read_and_never_written(tmp_path: Path) -> None:
    """A SQLite file is opened for reading alone; values are its own."""
    path = tmp_path / "pbx.db"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE subscriber (id INTEGER PRIMARY KEY, username TEXT, password TEXT, domain TEXT)"
        )
        connection.execute("INSERT INTO subscriber VALUES (7, '0107', 'Sqlite-Sécret', NULL)")
    connection.close()
    assert read(f"sqlite:///{path}", source_format="kamailio")[1] == (2, ["7", "0107", "Sqlite-Sécret", ""])
    with pytest.raises(UsageError, match="the query writes"):
        read(f"sqlite:///{path}", query_file(tmp_path, "DELETE FROM subscriber"))
    other = tmp_path / "other.db"
    for statement in (f"ATTACH '{other}' AS other", f"VACUUM INTO '{other}'", "PRAGMA user_version = 2"):
        with pytest.raises(UsageError, match="the query writes"):
            read(f"sqlite:///{path}", query_file(tmp_path, statement))
    assert not other.exists()
    assert read(
        f"sqlite:///{path}", query_file(tmp_path, "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i+1 FROM n "
        "WHERE i < 2) SELECT upper(username) AS username, password, i FROM subscriber, n")
    )[2][1] == ["0107", "Sqlite-Sécret", "2"]  # fmt: skip
    (tmp_path / "text.db").write_text("no database")
    with pytest.raises(UsageError, match="file is not a database"):
        read(f"sqlite:///{tmp_path / 'text.db'}", source_format="kamailio")
    with pytest.raises(UsageError, match="no table 'v_extensions'"):
        read(f"sqlite:///{path}", source_format="fusionpbx")


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("mysql://u@db.example/x", True), ("mysql://u@db.example/x?ssl-mode=verify_identity", False),
        ("mysql://u@db.example/x?ssl-mode=REQUIRED", True), ("mysql://u@127.0.0.1/x", False),
        ("postgresql://u@db.example/x?sslmode=require", True), ("postgresql://[::1]/x", False),
        ("postgresql://u@db.example/x?sslmode=verify-full", False),
    ],
)  # fmt: skip
def test_a_connection_that_others_may_read_is_warned_about(url: str, warned: bool) -> None:
    """On another host only TLS with a verified name is silent."""
    assert [one.code for one in database_at(url).warnings] == ["tls_not_verified"] * warned


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://h", "names no database"), ("mysql://h:port/x", "can't be understood"),
        ("mysql://h/x?sslmode=require", "not a parameter of a mysql URL"), ("sqlite://x.db", "names no file"),
        ("sqlite:///nowhere.db", "there is no file nowhere.db"), ("postgres://h/", "names no database"),
        ("mysql://h/x?ssl-mode=maybe", "'MAYBE' is unknown"), ("mysql://h/x?option-file=no", "no file no"),
    ],
)  # fmt: skip
def test_an_address_that_is_wrong_is_told(url: str, told: str) -> None:
    """Each with what a right one looks like."""
    with pytest.raises(UsageError, match=told) as refused:
        read(url, source_format="kamailio")
    assert refused.value.hint


def test_which_login_is_for_which_url() -> None:
    """Host, port, database and user must fit; the URL's own file, and the environment, go before."""

    def given(url: str, **environ: str) -> tuple[str, str]:
        address, password = log_in(address_of(url), logins, environ)
        return address.user, password

    logins = [
        DatabaseLogin("mysql://PBX.example:3306/asterisk", "reader", "first-1"),
        DatabaseLogin("postgresql:///kamailio", password="two"),
    ]
    assert given("mariadb://pbx.EXAMPLE/asterisk") == ("reader", "first-1")
    assert given("mysql://reader@pbx.example/asterisk?ssl-mode=REQUIRED") == ("reader", "first-1")
    assert given("mysql://other@pbx.example/asterisk") == ("other", "")
    assert given("mysql://pbx.example:3307/asterisk") == ("", "")
    assert given("mysql://pbx.example/crm") == ("", "")
    assert given("mysql://pbx.example/asterisk?option-file=x") == ("reader", "")
    assert given("mysql://pbx.example/asterisk", MYSQL_PWD="three") == ("reader", "")
    assert given("postgres://me@/kamailio") == ("me", "two")
    assert given("postgres://me@/kamailio?passfile=x") == ("me", "")
    assert given("postgres://me@/kamailio", PGPASSWORD="three") == ("me", "")
    assert "first-1" not in repr(database_at("mysql://pbx.example/asterisk", logins))


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ("trunk_name, username, secret", "trunks"),
        ("default_extension, username, password", "User Manager"),
        ("device_pool, username, password", "Cisco BAT"),
        ("url, username, password, totp", "a password manager"),
        ("userPrincipalName, passwordProfile, username, password", "Microsoft Entra"),
    ],
)
def test_a_table_of_something_else_is_refused_by_name(tmp_path: Path, columns: str, kind: str) -> None:
    """A query's columns tell what it reads, as a file's header does; --map says that it is meant."""
    sqlite3.connect(tmp_path / "other.db").close()
    cells = (f"'{name}-Value-1' AS {name}" for name in columns.split(", "))
    url, query = f"sqlite:///{tmp_path}/other.db", query_file(tmp_path, f"SELECT {', '.join(cells)}")
    with pytest.raises(UsageError, match=kind) as refused:
        open_roster(url, Options(query=query))
    assert "Value-1" not in refused.value.message + refused.value.hint
    if "--map password" in refused.value.hint:
        meant = Options(query=query, map={"password": "password"})
        with open_roster(url, meant) as roster:
            assert roster.records == 1
