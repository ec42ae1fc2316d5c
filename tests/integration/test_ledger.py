"""The ledger's database itself: opened by several at once, out of reach, and what is left in its file."""

from __future__ import annotations

import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.integration.ledger_processes import count_at, open_at, processes, ready, record_at
from tests.servers import free_port
from tests.unit.jobs import Clock, make_chunk_row, start_job
from worker.errors import LedgerAway, LedgerError, UsageError
from worker.ledger import Ledger
from worker.ledger.store import Store
from worker.waits import HERE, Wait, WaitKind

WRITERS = 4
EACH = 150


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Processes that have all started."""
    with processes(WRITERS) as pool:
        list(pool.map(ready, [0.3] * WRITERS))
        yield pool


def soon() -> list[float]:
    """Return the moment at which all processes begin."""
    return [time.time() + 0.2] * WRITERS


def test_several_may_create_it_at_once(pool: ProcessPoolExecutor, ledger_url: str) -> None:
    """Processes that open a ledger which isn't there yet, at the same moment, make one ledger."""
    identities = set(pool.map(open_at, [ledger_url] * WRITERS, soon()))
    with closing(Ledger(ledger_url)) as ledger:
        assert identities == {ledger.identity}
        assert ledger.jobs.newest() == []


def test_several_write_at_once(pool: ProcessPoolExecutor, ledger_url: str) -> None:
    """Four processes write and read at once: none is locked out, and no update of the same row is lost."""
    rows = [make_chunk_row(line) for line in range(2, 2 + WRITERS * EACH)]
    with closing(Ledger(ledger_url)) as ledger:
        job = start_job(ledger, rows)
        claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
        assert claim is not None
        parts = [range(2 + EACH * part, 2 + EACH * (part + 1)) for part in range(WRITERS)]
        written = pool.map(record_at, [ledger_url] * WRITERS, soon(), [claim] * WRITERS, parts)
        assert sum(written) == WRITERS * EACH
        progress = ledger.chunks.progress(job.id)
        assert (progress.settled, progress.troubled) == (WRITERS * EACH, WRITERS * EACH)
        assert ledger.rows.counts(job.id, len(rows)) == {"failed": WRITERS * EACH}


def test_what_is_read_first_is_not_stale(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    """On SQLite a transaction that reads before it writes waits its turn (guard: BEGIN IMMEDIATE)."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    with closing(Ledger(url)) as ledger:
        job = start_job(ledger, [make_chunk_row(2)])
        list(pool.map(count_at, [url] * WRITERS, soon(), [job.id] * WRITERS, [EACH] * WRITERS))
        assert ledger.jobs.get(job.id).rows == 1 + WRITERS * EACH


def in_files(folder: Path, secret: bytes) -> list[str]:
    """The files of a SQLite ledger, its log included, that hold these bytes."""
    return [path.name for path in folder.iterdir() if secret in path.read_bytes()]


def test_shredded_rows_leave_the_file(tmp_path: Path) -> None:
    """After a shred and a checkpoint nothing of the sealed rows is in file or log (guard: secure_delete)."""
    rows = [make_chunk_row(line) for line in range(2, 500)]
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        job = start_job(ledger, rows, [make_chunk_row(900)])
        sealed = ledger.chunks.sealed(job.id, 0) or b""
        pieces = [sealed[at : at + 24] for at in range(0, len(sealed), 500)]
        pieces = [piece for piece in pieces if in_files(tmp_path, piece)]  # the others lie across two pages
        assert len(pieces) > 10
        claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
        assert claim is not None
        ledger.chunks.end(claim, None, 0, 0, 0)
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
            assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        assert [piece for piece in pieces if in_files(tmp_path, piece)] == []
        assert in_files(tmp_path, ledger.chunks.sealed(job.id, 1) or b"none") == ["ledger.db"]


@pytest.mark.parametrize("how", ["purge", "shred", "done"])
def test_what_is_removed_leaves_the_log(tmp_path: Path, how: str) -> None:
    """A purge, a shred and a job's end restart the WAL, though others have the ledger open."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    with closing(Ledger(url, clock := Clock())) as ledger, closing(Ledger(url)) as other:
        job = start_job(ledger, [make_chunk_row(line) for line in range(2, 500)])
        sealed = ledger.chunks.sealed(job.id, 0) or b""
        pieces = [sealed[at : at + 24] for at in range(0, len(sealed), 500)]
        assert [piece for piece in pieces if in_files(tmp_path, piece)]
        claim = ledger.chunks.claim(job.id, 0, "desk:1", 60)
        assert claim is not None
        ledger.chunks.end(claim, sealed if how == "shred" else None, 60, 0, 0)
        clock.advance(61)
        if how == "purge":
            ledger.jobs.forget(job.id)
        elif how == "shred":
            assert ledger.chunks.shred_expired() == 1
        else:
            assert ledger.jobs.finish(job.id)
        assert [piece for piece in pieces if in_files(tmp_path, piece)] == []
        assert (tmp_path / "ledger.db-wal").stat().st_size == 0
        assert other.jobs.newest() == ([] if how == "purge" else [job.id])


def test_a_reader_keeps_the_log_and_nobody_waits_for_it(tmp_path: Path) -> None:
    """A job is forgotten at once, even while another connection reads and so keeps the log."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    with closing(Ledger(url)) as ledger, closing(sqlite3.connect(tmp_path / "ledger.db")) as reader:
        job = start_job(ledger, [make_chunk_row(2)])
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM jobs").fetchall()
        ledger.jobs.forget(job.id)
        assert ledger.jobs.newest() == []


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """The file, its log and its index are the owner's alone, and so is the folder made for them."""
    folder = tmp_path / "state" / "siproster"
    with closing(Ledger(f"sqlite:///{folder}/ledger.db")) as ledger:
        start_job(ledger, [make_chunk_row(2)])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_holds_no_password_in_clear(ledger_url: str) -> None:
    """No table of the ledger shows a password of its rows, on either database."""
    with closing(Ledger(ledger_url)) as ledger:
        start_job(ledger, [make_chunk_row(2, password="Zq8-canary-31f")])
        with ledger.store.read() as connection:
            for table in ("jobs", "chunks", "pages", "outcomes", "realms", "writers", "meta"):
                rows = connection.execute(text(f"SELECT * FROM {table}")).all()  # noqa: S608
                cells = [
                    bytes(cell) if isinstance(cell, memoryview) else cell for row in rows for cell in row
                ]
                assert "canary" not in repr(cells)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """A file that is no ledger is a clear error, and stays as it was."""
    path = tmp_path / "ledger.db"
    path.write_text("dear diary, " * 500)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger(f"sqlite:///{path}")
    assert path.read_text().startswith("dear diary")


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    """A folder that can't be made, or a folder in the file's place, is a clear error naming the place."""
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match=r"file/ledger\.db can't be opened"):
        Ledger(f"sqlite:///{tmp_path}/file/ledger.db")
    with pytest.raises(LedgerError, match="can't be opened: is a directory"):
        Ledger(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("url", ["", "ledger.db", "mysql://host/db", "sqlite://ledger.db"])
def test_a_url_of_another_kind(url: str) -> None:
    """A URL of neither SQLite nor PostgreSQL is a usage error with an example."""
    with pytest.raises(UsageError, match="SIPROSTER_LEDGER") as refused:
        Ledger(url)
    assert "sqlite:///" in refused.value.hint


def test_a_server_out_of_reach() -> None:
    """If PostgreSQL doesn't answer, the LedgerError doesn't contain the password."""
    with pytest.raises(LedgerError, match="the ledger failed") as failed:
        Ledger(f"postgresql://siproster:Zq8-canary-31f@127.0.0.1:{free_port()}/ledger")
    assert "canary" not in failed.value.message + failed.value.hint + repr(failed.value.__cause__)


def test_the_database_has_the_clock(postgres_url: str) -> None:
    """Without a clock of its own a PostgreSQL ledger goes by the server's, which all hosts share."""
    with closing(Ledger(postgres_url)) as ledger:
        job = start_job(ledger, [make_chunk_row(2)])
        assert ledger.chunks.claim(job.id, 0, "desk:1", 60) is not None
        with ledger.store.read() as connection:
            left = "SELECT lease_until - extract(epoch FROM now()) FROM chunks"
            assert float(connection.execute(text(left)).scalar_one()) == pytest.approx(60, abs=5)
            assert ledger.store.now(connection) != ledger.store.now(connection)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PGSSLMODE", "canary", 'invalid sslmode value: "canary"'),
        ("PGSERVICE", "canary", 'definition of service "canary" not found'),
        ("PGTARGETSESSIONATTRS", "canary", 'invalid target_session_attrs value: "canary"'),
        ("PGOPTIONS", "-c canary=1", "FATAL:"),
    ],
)
def test_a_variable_of_libpq_is_named(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """A variable of libpq is named: it changes the connection, and libpq's own message doesn't say so."""
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        Ledger(postgres_url)
    assert said in caught.value.message
    assert name in caught.value.hint


def test_a_server_that_is_away_is_no_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server is down, variables of libpq are still named, since one of them may lead there."""
    monkeypatch.setenv("PGSSLMODE", "prefer")
    with pytest.raises(LedgerError) as caught:
        Ledger(f"postgresql://u@127.0.0.1:{free_port()}/d")
    assert "PGSSLMODE" in caught.value.hint


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """A ledger whose file another program holds locked."""
    Ledger(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other


def waited_for() -> Wait:
    """Return the wait that this process is in, as soon as it is in one."""
    end = time.monotonic() + 60
    while (wait := HERE.gravest()) is None and time.monotonic() < end:
        time.sleep(0.02)
    assert wait
    return wait


def test_a_locked_ledger_is_waited_for_and_said(tmp_path: Path) -> None:
    """A wait for a locked ledger says what holds it up and until when, and ends with the lock."""
    path = tmp_path / "ledger.db"
    with locked(path) as other, ThreadPoolExecutor(1) as threads:
        opened = threads.submit(Ledger, f"sqlite:///{path}")
        try:
            wait = waited_for()
        finally:
            other.execute("ROLLBACK")
        opened.result().close()
    assert (wait.kind, wait.reason) == (WaitKind.LEDGER, "another process holds SQLite's lock")
    assert wait.left is not None
    assert 0 < wait.left <= 30


def test_a_ledger_that_stays_locked_has_advice(tmp_path: Path) -> None:
    """The error says that the ledger may come back, and doesn't mention a job where there is none."""
    path = tmp_path / "ledger.db"
    with locked(path), pytest.raises(LedgerAway, match="locked by another process") as away:
        Store(f"sqlite:///{path}", lock_wait=0.1)
    assert "run the command again" in away.value.hint


def test_threads_of_one_process_take_turns_at_writing(tmp_path: Path) -> None:
    """A write transaction waits for another thread's to end, and gives up as between processes."""
    store = Store(f"sqlite:///{tmp_path / 'ledger.db'}", lock_wait=0.2)
    with closing(store), ThreadPoolExecutor(1) as other:
        with store.begin():
            with pytest.raises(LedgerAway, match="locked by another process"):
                other.submit(store.check).result()
            waiting = other.submit(store.check)
            time.sleep(0.05)
            assert not waiting.done()
        assert waiting.result() > 0


def test_reading_waits_for_a_lock_that_keeps_readers_out(tmp_path: Path) -> None:
    """A program with SQLite's exclusive locking mode keeps readers out, too."""
    path = tmp_path / "ledger.db"
    store = Store(f"sqlite:///{path}", lock_wait=0.1)
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerAway, match="locked by another process"), store.read():
            pass


def test_ctrl_c_ends_the_wait_for_a_lock(tmp_path: Path) -> None:
    """Ctrl-C ends the wait at once, and not only when it gives up."""
    path = tmp_path / "ledger.db"
    opening = f"""
import threading, time
from worker.ledger import Ledger
from worker.waits import HERE
def tell():
    while HERE.gravest() is None: time.sleep(0.02)
    print("waiting", flush=True)
threading.Thread(target=tell, daemon=True).start()
Ledger("sqlite:///{path}")
"""
    with (
        locked(path),
        subprocess.Popen(
            [sys.executable, "-c", opening], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=15)
    assert error.rstrip().endswith("KeyboardInterrupt")


def test_a_postgresql_that_says_nothing_is_said() -> None:
    """A PostgreSQL that accepts the connection and never answers is reported as a wait with its end."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as threads:
        port = server.getsockname()[1]
        opened = threads.submit(Ledger, f"postgresql://u@127.0.0.1:{port}/x")
        taken, _ = server.accept()
        try:
            wait = waited_for()
        finally:
            taken.close()
            server.close()
        with pytest.raises(LedgerError):
            opened.result()
    assert (wait.kind, wait.reason) == (WaitKind.LEDGER, "no answer from PostgreSQL yet")
    assert wait.left is not None
