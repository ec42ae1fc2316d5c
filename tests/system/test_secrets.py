"""Secrets are nowhere but where they belong: canaries, and a search for them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.program import Program, kill_group
from tests.sandbox import Sandbox
from tests.servers import Postgres, Redis
from tests.system.leaks import (
    Monitor,
    Places,
    command_lines_until_end,
    digest_forms,
    files,
    forms,
    leaks,
    tables,
)
from tests.system.rosters import User, result_rows, roster_of, write
from tests.system.runs import end_of, job_of, run, until

CLIENT_SECRET = "client-canary-9f41-ü"
APPLICATION = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"
OTHER = "0a6c3e91-d284-47b5-a1f0-5e8b7c2d9f36"


def canary(number: int) -> str:
    """A password that occurs nowhere else."""
    return f"cAnArY:{number:03d}-zqß"


EARLIER = [User(f"taken{number}", canary(900 + number)) for number in range(5)]
"""Users that are on the account already."""

TROUBLED = f"""\
username,password,realm,application_id,name,Voicemail PIN,Web Password,note
fine1,{canary(1)},,,Ada,{canary(101)},{canary(102)},
fine2,{canary(2)},,{APPLICATION},Bob,{canary(103)},{canary(104)},
fine1,{canary(3)},,,twice,,,
no such name,{canary(4)},,,bad characters,,,
short,{canary(5)},,,a field is missing,,
long,{canary(6)},,,fields, too, many,,,
quoted,"{canary(7)}"x,,,malformed,,,
taken0,{canary(8)},,,exists,,,
taken1,{canary(9)},,,exists,,,
app,{canary(10)},,{OTHER},application unknown,,,
lost,{canary(11)},atlantis,,realm unknown,,,
blank," {canary(12)} ",,,blanks,,,
lines,"{canary(13)}
{canary(14)}",,,a line break,,,
,{canary(15)},,,no name,,,
fine3,{canary(16)},,,echo lost,,,
fine4,{canary(17)},,,echo lost,,,
"""
NUMBERS = [*range(1, 18), *range(101, 105), *range(900, 905)]
SENT = [
    User("fine1", canary(1)), User("fine2", canary(2)), User("taken0", canary(8)), User("taken1", canary(9)),
    User("app", canary(10)), User("blank", f" {canary(12)} "), User("lines", f"{canary(13)}\n{canary(14)}"),
    User("fine3", canary(16)), User("fine4", canary(17)), *EARLIER,
]  # fmt: skip
"""Users whose digests were made."""

FAULTS = {
    "lost_echo": {"probability": 1, "users": "fine3"},
    "drop": {"next": 1, "skip": 1, "method": "POST", "path": "sipcredentials", "commit": True},
    # The first one is the look at what is stored; the next ones ask for lost answers.
    "unavailable": {"next": 1, "skip": 1, "method": "GET", "path": "sipcredentials"},
    "bad_gateway": {"next": 1, "method": "POST", "path": "sipcredentials"},
}

RETRIED = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO .*HTTP 503", re.MULTILINE)
"""A line of the debug log, in UTC."""


@pytest.fixture(autouse=True)
def no_mask() -> Iterator[None]:
    """Clear the umask, so that file modes are the program's own."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def account(siproster: Program, make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A service whose client secret is a canary too; what the program leaves in TMPDIR is seen."""
    server = make_sandbox("--client-secret", CLIENT_SECRET)
    temporary = siproster.home / "tmp"
    temporary.mkdir()
    siproster.environment |= server.environment()
    siproster.environment |= {"BW_CLIENT_SECRET": CLIENT_SECRET, "TMPDIR": str(temporary)}
    return server


@pytest.fixture
def troubled(tmp_path: Path) -> Path:
    """Write a roster in which much is wrong, and every password is a canary."""
    path = tmp_path / "roster.csv"
    path.write_text(TROUBLED, "utf-8")
    return path


def secrets(host: str) -> set[bytes]:
    """Return everything that must not be found."""
    plain = [form for number in NUMBERS for form in forms(canary(number))]
    return {*plain, *digest_forms(SENT, host), *forms(CLIENT_SECRET)}


def host_of(server: Sandbox) -> str:
    """The realm's host name."""
    return str(server.credentials()[0]["realm"])


def test_nowhere_on_the_way_through_workers(
    siproster: Program,
    account: Sandbox,
    troubled: Path,
    make_redis: Callable[[], Redis],
    postgres_server: Postgres,
    postgres_url: str,
) -> None:
    """No secret in Redis (MONITOR, append-only file), PostgreSQL (rows, raw files), logs, ps or output."""
    broker, key = make_redis(), siproster.run("keygen").stdout.strip()
    siproster.inherits = False  # ps is looked at
    siproster.environment |= {"SIPROSTER_BROKER": broker.url, "SIPROSTER_LEDGER": postgres_url}
    siproster.environment |= {"SIPROSTER_KEY": key}
    monitor = Monitor(broker.url)
    worker = siproster.start("worker", "--processes", "1", "--debug", log=siproster.home / "worker.log")
    said = [run(siproster, "import", roster_of(troubled.with_name("first.csv"), EARLIER), "--api", "realm")]
    account.knobs(applications=[APPLICATION], **FAULTS)
    options = ("--api", "realm", "--batch-size", "3", "--concurrency", "2", "--debug", "--json")
    process = siproster.start("import", troubled, *options)
    lines = command_lines_until_end(process)
    finished = end_of(process)
    assert finished.code == 10, finished.stderr
    retried = siproster.run("retry", finished.json["job"], "--debug")
    host = host_of(account)
    kill_group(worker)
    worker.wait()
    told = monitor.stop()
    broker.stop()
    output = "\n".join([str(said), finished.stdout, finished.stderr, retried.stdout, retried.stderr])
    places = {"ps": lines, "MONITOR": told, "output": output.encode()}
    places |= tables(postgres_url) | files(broker.folder) | files(siproster.home)
    hidden = secrets(host) | {key.encode(), Postgres.PASSWORD.encode()}
    assert leaks(places, hidden) == []
    raw = {"PostgreSQL's own files": b"".join(files(postgres_server.folder / "data").values())}
    assert leaks(raw, {b"cAnArY", *(d.encode() for user in SENT for d in user.digests(host))}) == []
    searched(places, troubled, account, host)


def searched(places: Places, roster: Path, account: Sandbox, host: str) -> None:
    """Assert that the search would find a secret: the places have content, and known secrets are found."""
    assert all(places[name] for name in ("ps", "MONITOR", "output", "table chunks", "table pages"))
    assert b"siproster.deliver" in places["MONITOR"]
    logged = [content for name, content in places.items() if name.endswith("worker.log")]
    assert [RETRIED.search(content) is not None for content in logged] == [True]
    assert leaks({"roster": roster.read_bytes()}, secrets(host))
    held = str(account.credentials()).encode()
    assert leaks({"registrar": held}, digest_forms(SENT[:1], host))


def test_nowhere_after_an_embedded_import(siproster: Program, account: Sandbox, troubled: Path) -> None:
    """No secret in the SQLite ledger and its log, the results, the output or TMPDIR."""
    run(siproster, "import", roster_of(troubled.with_name("first.csv"), EARLIER), "--api", "realm")
    account.knobs(applications=[APPLICATION], **FAULTS)
    options = ("--api", "realm", "--batch-size", "3", "--concurrency", "2", "--debug", "--json")
    finished = siproster.run("import", troubled, *options)
    assert finished.code == 10, finished.stderr
    retried = siproster.run("retry", finished.json["job"], "--debug")
    output = "\n".join([finished.stdout, finished.stderr, retried.stdout, retried.stderr]).encode()
    assert RETRIED.search(output)
    hidden = secrets(host_of(account))
    assert leaks({"output": output, **files(siproster.home)}, hidden) == []
    codes = {
        row["bw__username"]: row["bw__error_code"] for row in result_rows(finished.json["files"]["results"])
    }
    assert codes["taken0"] == "digest_differs"
    assert codes["app"] == "23019"


SET_ANEW = [User(user.name, canary(920 + at)) for at, user in enumerate(EARLIER[:4])]
"""All earlier users but one, with other passwords."""


def approved_done_and_undone(program: Program, folder: Path) -> tuple[str, list[Places]]:
    """Plan, carry out and undo an import with updates; return its output, and the places meanwhile."""
    run(program, "import", roster_of(folder / "first.csv", EARLIER), "--api", "realm")
    roster = roster_of(folder / "second.csv", [*SET_ANEW, User("fine1", canary(1))])
    options = ("--api", "realm", "--on-existing", "update", "--results", "planned", "--debug")
    said = [program.run("plan", roster, *options, "--save", "--json")]
    job = said[0].json["plan"]
    said.append(program.run("import", "--plan", job, "--yes", "--debug", "--json"))
    places = [files(program.home)]
    job = said[-1].json["job"]
    said += [program.run("undo", job, "--yes", "--debug"), program.run("jobs", "--audit", "--json")]
    places.append(files(program.home))
    assert [one.code for one in said] == [0, 0, 0, 0], [one.stderr for one in said]
    assert said[1].json["counts"] == {"created": 1, "updated": 4}
    found = {name.rpartition("/")[2] for name in places[-1]}
    assert found >= {"plan.csv", "absent.csv", "results.csv", "undo.csv"}
    return "".join(one.stdout + one.stderr for one in said), places


def old_and_new(host: str) -> set[bytes]:
    """Return digests that were there before, digests that were set, and their passwords."""
    everybody = [*EARLIER, *SET_ANEW]
    plain = {form for user in everybody for form in forms(user.password)}
    return plain | digest_forms(everybody, host) | {b"cAnArY"}


def test_old_digests_are_nowhere_when_users_are_set_anew(
    siproster: Program, account: Sandbox, tmp_path: Path
) -> None:
    """Old digests, which undo needs, are nowhere in clear: embedded, with a SQLite ledger."""
    output, places = approved_done_and_undone(siproster, tmp_path)
    hidden = old_and_new(host_of(account))
    for found in places:
        assert any("ledger.sqlite" in name for name in found)
        assert leaks(found, hidden) == []
    assert leaks({"output": output.encode()}, hidden) == []
    assert leaks({"registrar": str(account.credentials()).encode()}, digest_forms(EARLIER, host_of(account)))


def test_old_digests_are_nowhere_on_the_way_through_workers(
    siproster: Program,
    account: Sandbox,
    tmp_path: Path,
    make_redis: Callable[[], Redis],
    postgres_server: Postgres,
    postgres_url: str,
) -> None:
    """No old digest in Redis (MONITOR, append-only file), PostgreSQL (rows, raw files) or a worker's log."""
    broker, key = make_redis(), siproster.run("keygen").stdout.strip()
    siproster.environment |= {"SIPROSTER_BROKER": broker.url, "SIPROSTER_LEDGER": postgres_url}
    siproster.environment |= {"SIPROSTER_KEY": key}
    monitor = Monitor(broker.url)
    worker = siproster.start("worker", "--processes", "1", "--debug", log=siproster.home / "worker.log")
    output, places = approved_done_and_undone(siproster, tmp_path)
    kill_group(worker)
    worker.wait()
    told = monitor.stop()
    broker.stop()
    hidden = old_and_new(host_of(account))
    looked = {"MONITOR": told, "output": output.encode(), **tables(postgres_url), **files(broker.folder)}
    for found in [looked, *places]:
        assert leaks(found, hidden) == []
    raw = {"PostgreSQL's own files": b"".join(files(postgres_server.folder / "data").values())}
    assert leaks(raw, hidden) == []
    assert b"siproster.deliver" in told
    assert looked["table deeds"]
    assert looked["table undone"]


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_nowhere_after_a_kill(siproster: Program, account: Sandbox, troubled: Path, source: str) -> None:
    """A command killed while it reads or posts leaves nothing in clear: no ledger page, no copy of stdin."""
    for method, path in (("GET", "/realms"), ("POST", "/sipcredentials")):
        account.reset()
        account.knobs(stall={"probability": 1, "seconds": 300, "method": method, "path": f"{path}$"})
        process = siproster.start("import", troubled if source == "file" else "-")
        assert process.stdin is not None
        if source == "stdin":
            process.stdin.write(TROUBLED)
        process.stdin.close()
        process.stdin = None
        job = job_of(process)
        until(partial(account.log, method, path), process)
        kill_group(process)
        process.wait()
        hidden = {form for number in NUMBERS for form in forms(canary(number))}
        left = files(siproster.home)
        assert any("ledger" in name for name in left)
        assert leaks(left, hidden) == []
        account.knobs(stall=None)
        assert siproster.run("cancel", job).code == 0


def test_no_message_quotes_a_wrong_roster(siproster: Program, account: Sandbox, tmp_path: Path) -> None:
    """An unreadable roster is reported by line and column; its cells are not quoted."""
    contents = {
        "quote": f'username,password\nada,{canary(1)}\nbob,"{canary(2)}\ncyd,{canary(3)}\n',
        "bytes": f"username,password\nada,{canary(1)}\nbob,{canary(2)}\udcff{canary(3)}\n",
        "header": f"{canary(1)},{canary(2)}\nada,{canary(3)}\n",
        "only": f"{canary(1)}\n{canary(2)}\n",
    }
    ends = []
    for name, content in contents.items():
        path = tmp_path / f"{name}.csv"
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        ends.append(siproster.run("import", path, "--encoding", "utf-8", "--debug"))
    assert [end.code for end in ends] == [6, 6, 6, 6]
    assert account.credentials() == []
    output = "".join(end.stdout + end.stderr for end in ends).encode()
    assert leaks({"output": output}, {b"cAnArY"}) == []


@pytest.mark.parametrize("column", ["bw__username", "bw__domain", "bw__realm"])
def test_no_message_quotes_a_correction(
    siproster: Program, account: Sandbox, tmp_path: Path, column: str
) -> None:
    """Shifted columns put a password in one of ours: row and column are reported, the cell is not."""
    roster = tmp_path / "roster.csv"
    roster.write_text(f"username,password,realm\nada,{canary(1)},\nbob,,\n", "utf-8")
    job = run(siproster, "import", roster, code=10)
    shifted = [{**row, column: canary(2)} for row in result_rows(job["files"]["failed"])]
    failed = write(Path(job["files"]["failed"]), shifted)
    refused = siproster.run("retry", job["job"], "--corrections", failed, "--debug", "--json")
    assert (refused.code, refused.error) == (6, "usage")
    assert f"{column} was changed" in refused.stderr
    assert "bw__row 3" in refused.stderr
    assert leaks({"output": (refused.stdout + refused.stderr).encode()}, {b"cAnArY"}) == []
    assert [user["composite"] for user in account.credentials()] == ["ada"]


def test_files_are_for_their_owner_alone(siproster: Program, account: Sandbox, troubled: Path) -> None:
    """Folders that the program makes are 0700 and files 0600, whatever the mask is."""
    account.knobs(stall={"next": 1, "method": "POST", "path": "sipcredentials", "seconds": 300})
    process = siproster.start("import", troubled)
    job = job_of(process)
    until(lambda: account.log("POST", "sipcredentials"), process)
    state = siproster.home / ".local" / "state" / "siproster"
    assert {path.name for path in state.iterdir()} >= {
        "ledger.sqlite",
        "ledger.sqlite-wal",
        "ledger.sqlite.key",
    }
    assert modes(state) == {0o600}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    kill_group(process)
    process.wait()
    assert siproster.run("resume", job).code == 10
    (results,) = siproster.work.glob("siproster-*")
    assert stat.S_IMODE(results.stat().st_mode) == 0o700
    assert modes(results) == {0o600}


def modes(folder: Path) -> set[int]:
    """The modes of a folder's files."""
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
