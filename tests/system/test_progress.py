"""``--progress`` and ``--log-file``, as programs and administrators use them."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.program import Program
from tests.system.rosters import users, write
from tests.system.runs import run

SECRET = "Tb7xQ2mK9rL4vN8s"


def roster(folder: Path, rows: int = 30) -> Path:
    """A roster with one row that is invalid."""
    made = [{"user": u.name, "pass": u.password} for u in users(rows)]
    return write(folder / "staff.csv", [*made, {"user": "", "pass": "x"}])


def events(stderr: str) -> list[dict[str, object]]:
    """Return the objects on stderr, of which each line is one."""
    found = [json.loads(line) for line in stderr.splitlines()]
    assert {event["event"] for event in found} <= {"progress", "reading", "message", "log"}
    return found


def test_every_command_that_works_on_rows_tells_programs_its_progress(
    office: Program, tmp_path: Path
) -> None:
    """With --progress json each line of stderr is an object, stdout stays the summary, and so do errors."""
    path = roster(tmp_path)
    done: list[dict[str, object]] = []
    kinds: dict[object, set[object]] = {}
    for command in (
        ("plan", path), ("import", path), ("status", "latest", "--follow"), ("undo", "latest", "--yes"),
        ("import", path), ("retry", "latest"), ("resume", "latest"), ("import", "none.csv"),
        ("import", path, "--on-existing", "maybe"),
    ):  # fmt: skip
        ended = office.run(*command, "--progress", "json", "--json", "--debug")
        found = events(ended.stderr)
        kinds.setdefault(command[0], {event["event"] for event in found})
        assert found
        done = found if command[0] == "import" and ended.code == 10 else done
    assert kinds["plan"] >= {"reading", "message"}
    assert kinds["undo"] >= {"progress", "message"}
    last = [event for event in done if event["event"] == "progress"][-1]
    assert (last["state"], last["rows"], last["settled"]) == ("done", 31, 31)
    assert last["counts"] == {"created": 30, "invalid": 1}


def test_status_has_the_progress_of_a_job_that_goes_on(hosts: Program, tmp_path: Path) -> None:
    """A job that waits for a worker has its progress in status --json, without a time left."""
    job = hosts.run("import", roster(tmp_path), "--detach", "--json").json["job"]
    progress = run(hosts, "status", job)["progress"]
    assert (progress["state"], progress["rows"], progress["settled"]) == ("running", 31, 1)
    assert (progress["wait_kind"], progress["seconds_left"]) == ("worker", None)
    followed = hosts.start("status", job, "--follow", "--progress", "json")
    assert followed.stderr is not None
    first = json.loads(followed.stderr.readline())
    assert (first["event"], first["job"], first["settled"]) == ("progress", job, 1)


@pytest.mark.parametrize("form", ["lines", "none"])
def test_other_forms_draw_nothing(office: Program, tmp_path: Path, form: str) -> None:
    """On a terminal, too, neither draws: no cursor moves."""
    shown = on_terminal(office, "import", roster(tmp_path), "--progress", form)
    assert "\x1b[?25l" not in shown
    assert "30  created" in re.sub(r"\x1b\[[0-9;]*m", "", shown)


def on_terminal(program: Program, *arguments: str | Path, columns: int = 80) -> str:
    """Return all that a command prints on a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(program.cli), *map(str, arguments)], cwd=program.work, stdin=theirs,
        stdout=theirs, stderr=theirs, start_new_session=True,
        env={**program.environment, "TERM": "xterm", "COLUMNS": str(columns)},
    )  # fmt: skip
    os.close(theirs)
    shown: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # a terminal's end
            while piece := os.read(ours, 65_536):
                shown.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    assert process.wait(60) in (0, 10)
    reader.join()
    os.close(ours)
    return b"".join(shown).decode()


def test_a_log_file_has_the_details_and_no_secret(office: Program, tmp_path: Path) -> None:
    """It has what is printed and every request, mode 0600, and no password; a second run adds to it."""
    path, log = roster(tmp_path), office.work / "siproster.log"
    ended = office.run("import", path, "--log-file", "siproster.log")
    text = log.read_text()
    assert ended.code == 10
    assert "DEBUG" not in ended.stderr
    assert "POST /api/v2/accounts/9900001/sipcredentials: HTTP 201" in text
    assert "31 rows, 30 to send, 1 invalid" in text
    assert log.stat().st_mode & 0o777 == 0o600
    assert [user.password for user in users(30) if user.password in text] == []
    office.run("verify", path, "--registrar", "127.0.0.1:9", "--log-file", "siproster.log")
    assert log.read_text().startswith(text)
    assert len(log.read_text()) > len(text)


@pytest.mark.parametrize("name", ["missing/log", "staff.csv", "."])
def test_a_log_file_that_can_not_be_is_refused(office: Program, tmp_path: Path, name: str) -> None:
    """Nothing is sent if the log can't be written, or would be written into the roster."""
    path = roster(office.work)
    before = path.read_text()
    ended = office.run("import", path, "--log-file", name)
    assert ended.code == 6
    assert f"--log-file {name}" in ended.stderr
    assert path.read_text() == before


def test_a_workers_log_file_may_be_rotated(hosts: Program, tmp_path: Path) -> None:
    """When the file is renamed, the worker and its processes go on in a new one."""
    log, old = hosts.work / "worker.log", hosts.work / "worker.log.1"
    worker = hosts.start("worker", "--processes", "1", "--log-file", "worker.log", log=tmp_path / "stderr")
    assert run(hosts, "import", write(tmp_path / "a.csv", [{"user": "a", "pass": SECRET}]))["state"] == "done"
    log.rename(old)
    assert run(hosts, "import", write(tmp_path / "b.csv", [{"user": "b", "pass": SECRET}]))["state"] == "done"
    worker.terminate()
    assert worker.wait(60) == 0
    for file in (log, old):
        assert "begins: 1 row" in file.read_text()
        assert file.stat().st_mode & 0o777 == 0o600
        assert SECRET not in file.read_text()
