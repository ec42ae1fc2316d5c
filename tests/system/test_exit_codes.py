"""Each exit code of the program, from a run that ends with it, and what can be done next."""

from __future__ import annotations

import datetime as dt
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.servers import free_port
from tests.system.rosters import expected, made_once, result_rows, roster_of, truth, users, write
from tests.system.runs import end_of, job_of, jobs, run, until

APPLICATION = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"
OTHER = "0a6c3e91-d284-47b5-a1f0-5e8b7c2d9f36"
POSTS = {"method": "POST", "path": "sipcredentials"}


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    """Forty users in a file."""
    return roster_of(tmp_path / "staff.csv", users(40))


def posts(sandbox: Sandbox) -> int:
    """Return how many lists of credentials the service was sent."""
    return len(sandbox.log("POST", "sipcredentials"))


def test_2_for_a_wrong_secret(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """Credentials that the service refuses: nothing is sent, and the message says what to check."""
    finished = office.run("import", roster, "--json", BW_CLIENT_SECRET="wrong-canary-551")
    assert (finished.code, finished.error, posts(sandbox)) == (2, "authentication", 0)
    assert "BW_CLIENT_SECRET" in finished.stderr
    assert "wrong-canary-551" not in finished.stderr


def test_2_for_a_role_taken_away_in_the_middle(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """A 403 while posting stops the job: what was sent is unknown, the rest unprocessed; resume continues."""
    sandbox.knobs(refuse={"probability": 1, "skip": 2, "status": 403, **POSTS})
    stopped = run(office, "import", roster, "--batch-size", "5", "--concurrency", "1", code=2)
    assert stopped["state"] == "stopped"
    assert stopped["counts"] == {"created": 10, "unknown": 5, "unprocessed": 25}
    sandbox.knobs(refuse=None)
    assert run(office, "resume", stopped["job"])["counts"] == {"created": 40}
    assert made_once(sandbox)


def test_3_for_an_unknown_account(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """An unknown account (4022) is reported; nothing is sent and no job is left."""
    finished = office.run("import", roster, "--json", BW_ACCOUNT_ID="1234567")
    assert (finished.code, finished.error, posts(sandbox)) == (3, "account_not_found", 0), finished.stderr
    assert "4022" in finished.stderr
    assert jobs(office) == []


def test_3_for_a_realm_or_job_that_does_not_exist(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """A missing realm or job is named; nothing is sent and no job is left."""
    commands = [
        ["import", str(roster), "--realm", "no-such-thing"],
        ["plan", str(roster), "--realm", "no-such-thing"],
        ["realm", "show", "no-such-thing"],
        *([command, "no-such-thing"] for command in ("retry", "resume", "cancel", "status", "report")),
    ]
    ends = [office.run(*words, "--json") for words in commands]
    assert [(end.code, end.error) for end in ends] == [(3, "not_found")] * len(commands)
    assert [end.stderr for end in ends if "no-such-thing" not in end.stderr] == []
    assert jobs(office) == []
    assert posts(sandbox) == 0


def test_4_for_an_account_that_may_not(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """An account without SIP credentials (33004) is no failure of any row."""
    sandbox.knobs(account_set_up=False)
    finished = office.run("import", roster)
    assert finished.code == 4
    assert "33004" in finished.stderr


def test_4_for_a_job_that_is_over(office: Program, roster: Path) -> None:
    """A job that is done can't be cancelled any more."""
    done = run(office, "import", roster)
    assert office.run("cancel", done["job"]).code == 4


def test_5_when_the_service_is_killed_and_resumed_when_it_is_back(
    siproster: Program, make_sandbox: Callable[..., Sandbox], roster: Path
) -> None:
    """No row fails when the service dies in the middle; once it is back, resume puts every row in place."""
    server = make_sandbox("--knob", "latency=0.1")
    siproster.environment |= server.environment()
    command = ("import", roster, "--batch-size", "4", "--concurrency", "2", "--patience", "0.5", "--json")
    process = siproster.start(*command)
    until(lambda: server.credentials(), process)
    server.kill()
    finished = end_of(process)
    assert finished.code == 5, finished.stderr
    assert finished.json["state"] == "paused"
    assert set(finished.json["counts"]) <= {"created", "unknown", "unprocessed"}
    assert f"siproster resume {finished.json['job']}" in finished.stderr
    server.start()
    server.wait_until(lambda: server.control.get("health").raise_for_status())
    assert run(siproster, "resume", finished.json["job"])["state"] == "done"


def test_5_when_nobody_answers_at_all(office: Program, roster: Path) -> None:
    """If nobody answers, the command waits no longer than --patience and leaves no job."""
    office.environment["BW_API_URL"] = f"http://127.0.0.1:{free_port()}"
    finished = office.run("import", roster, "--patience", "0.1", "--json")
    assert (finished.code, finished.error) == (5, "unavailable"), finished.stderr
    assert jobs(office) == []


def test_5_when_the_broker_is_away(hosts: Program, sandbox: Sandbox, roster: Path) -> None:
    """Without its broker the import doesn't begin: nothing is sent and no job is left."""
    hosts.environment["SIPROSTER_BROKER"] = f"redis://127.0.0.1:{free_port()}/0"
    finished = hosts.run("import", roster)
    assert finished.code == 5, finished.stderr
    assert "Traceback" not in finished.stderr
    assert posts(sandbox) == 0
    hosts.environment.pop("SIPROSTER_BROKER")
    assert jobs(hosts) == []


def test_5_when_the_service_says_so(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """503 for longer than --patience pauses the job; resume goes on at once when it is over."""
    sandbox.knobs(unavailable={"probability": 1, "skip": 3, "seconds": 300, **POSTS})
    options = ("--batch-size", "5", "--concurrency", "1", "--patience", "0.1")
    paused = run(office, "import", roster, *options, code=5)
    assert (paused["state"], paused["counts"]) == ("paused", {"created": 15, "unknown": 5, "unprocessed": 20})
    sandbox.knobs(unavailable=None)
    assert run(office, "resume", paused["job"])["counts"] == {"created": 40}
    assert truth(sandbox) == expected(sandbox, users(40))
    assert made_once(sandbox)


def test_7_when_throttled_to_a_standstill(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """429 for longer than --patience pauses the job, names no row as failed, and resume finishes it."""
    sandbox.knobs(too_many_requests={"probability": 1, "skip": 3, "seconds": 300, **POSTS})
    options = ("--batch-size", "5", "--concurrency", "1", "--patience", "0.1")
    paused = run(office, "import", roster, *options, code=7)
    assert (paused["state"], paused["counts"]) == ("paused", {"created": 15, "unprocessed": 25})
    sandbox.knobs(too_many_requests=None)
    assert run(office, "resume", paused["job"])["counts"] == {"created": 40}
    assert made_once(sandbox)


WRONG_USAGE = {
    "no command of ours": ["imprt", "{roster}"],
    "no roster": ["import"],
    "no such option": ["import", "{roster}", "--fast"],
    "no such file": ["import", "{folder}/nothing.csv"],
    "a folder": ["import", "{folder}"],
    "an empty file": ["import", "{folder}/empty.csv"],
    "no password column": ["import", "{folder}/names.csv"],
    "no user column": ["import", "{folder}/secrets.csv"],
    "a quote never closed": ["import", "{folder}/quote.csv"],
    "a PIN column": ["import", "{folder}/pins.csv"],
    "bytes of another encoding": ["import", "{folder}/latin.csv", "--encoding", "utf-8"],
    "no such encoding": ["import", "{roster}", "--encoding", "utf-99"],
    "no such field": ["import", "{roster}", "--map", "colour=username"],
    "no column for user names": ["import", "{roster}", "--map", "username="],
    "no such column": ["import", "{roster}", "--map", "username=colour"],
    "no such column to choose by": ["import", "{roster}", "--where", "colour=red"],
    "no such column in a template": ["import", "{roster}", "--username", "{{colour}}"],
    "a template that isn't one": ["import", "{roster}", "--username", "{{username"],
    "no such policy": ["import", "{roster}", "--on-existing", "overwrite"],
    "a realm to make without a name": ["import", "{roster}", "--create-realm"],
    "an application that is a name": ["import", "{roster}", "--application", "outbound"],
    "no rate": ["import", "{roster}", "--rate", "0"],
    "a window that is over": ["import", "{roster}", "--not-after", "2020-01-01T00:00Z"],
    "nobody to leave it to": ["import", "{roster}", "--detach"],
    "no such settings file": ["import", "{roster}", "--config", "{folder}/none.toml"],
    "a setting that isn't one": ["import", "{roster}", "--config", "{folder}/wrong.toml"],
    "no such profile": ["import", "{roster}", "--profile", "berlin"],
    "results in a file": ["import", "{roster}", "--results", "{roster}"],
    "nothing but a header": ["import", "{folder}/header.csv"],
}


@pytest.fixture
def folder(tmp_path: Path, roster: Path) -> Path:
    """A folder of files that are wrong in one way each."""
    texts = {
        "empty.csv": b"",
        "header.csv": b"username,password\n",
        "names.csv": b"username,phone\nalice,1\n",
        "secrets.csv": b"colour,password\nred,abcdefgh-1\n",
        "quote.csv": b'username,password\nalice,"abcdefgh-1\nbob,abcdefgh-2\n',
        "pins.csv": b"username,password\n" + b"".join(b"u%d,%d\n" % (n, 1000 + n) for n in range(30)),
        "latin.csv": "username,password\nalice,Grün-gelb-1\n".encode("cp1252"),
        "wrong.toml": b"colour = 'red'\n",
    }
    for name, content in texts.items():
        (tmp_path / name).write_bytes(content)
    return roster.parent


def test_6_for_every_wrong_usage(office: Program, sandbox: Sandbox, roster: Path, folder: Path) -> None:
    """Each mistake is reported on stderr alone; nothing is sent, and the ledger has no job."""
    commands = [
        [word.format(roster=roster, folder=folder) for word in words] for words in WRONG_USAGE.values()
    ]
    ends = {wrong: office.run(*words) for wrong, words in zip(WRONG_USAGE, commands, strict=True)}
    assert {what: end.stderr for what, end in ends.items() if end.code != 6} == {}
    assert {what: end.stdout for what, end in ends.items() if end.stdout} == {}
    assert {what for what, end in ends.items() if not end.stderr or "Traceback" in end.stderr} == set()
    assert jobs(office) == []
    assert posts(sandbox) == 0
    assert list(office.work.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BW_ACCOUNT_ID", ""),
        ("BW_CLIENT_SECRET", ""),
        ("BW_API_URL", "api.bandwidth.com"),
        ("SIPROSTER_LEDGER", "mysql://canary-66@db/x"),
        ("SIPROSTER_BROKER", "amqp://canary-66@mq"),
        ("SIPROSTER_KEY", "canary-66-too-short"),
    ],
)
def test_6_for_wrong_settings(office: Program, sandbox: Sandbox, roster: Path, name: str, value: str) -> None:
    """A setting that is missing or can't be is named, its value is not shown, and nothing is sent."""
    office.environment[name] = value
    finished = office.run("import", roster)
    assert (finished.code, finished.stdout, posts(sandbox)) == (6, "", 0)
    assert name in finished.stderr
    assert "canary-66" not in finished.stderr


@pytest.mark.parametrize("name", ["BW_ACCOUNT_ID", "BW_API_URL", "SIPROSTER_KEY"])
def test_6_for_somebody_elses_job(office: Program, sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    """A job continues only with its own account, host and key; the error names what differs."""
    sandbox.knobs(applications=[APPLICATION])
    first = run(office, "import", mixed(tmp_path, refused=2), code=10)
    others = {
        "BW_ACCOUNT_ID": "1234567",
        "BW_API_URL": "http://localhost:1",
        "SIPROSTER_KEY": office.run("keygen").stdout.strip(),
    }
    office.environment[name] = others[name]
    refused = office.run("retry", first["job"])
    assert refused.code == 6
    assert first["job"] in refused.stderr
    assert name in refused.stderr
    assert len(jobs(office)) == 1


def test_10_when_rows_are_refused(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """The job ends, every row has its outcome, and the command to continue with is printed."""
    sandbox.knobs(applications=[APPLICATION])
    finished = office.run("import", mixed(tmp_path, refused=4), "--json")
    assert (finished.code, finished.json["counts"]) == (10, {"created": 36, "failed": 4})
    assert f"siproster retry {finished.json['job']} --corrections" in finished.stderr


def test_6_for_corrections_to_no_effect(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """A correction in a bw__ column, where the roster's own counts, is refused; the column is named."""
    sandbox.knobs(applications=[APPLICATION])
    first = run(office, "import", mixed(tmp_path, refused=2), code=10)
    failed = Path(first["files"]["failed"])
    write(failed, [{**row, "bw__username": f"x{row['bw__row']}"} for row in result_rows(failed)])
    refused = office.run("retry", first["job"], "--corrections", failed)
    assert (refused.code, "correct 'username' instead" in refused.stderr) == (6, True)
    assert len(jobs(office)) == 1


@pytest.mark.parametrize("bound", ["3", "7.5%"])
def test_11_when_too_many_rows_fail(office: Program, sandbox: Sandbox, tmp_path: Path, bound: str) -> None:
    """--max-failed stops the job one row above the bound; every row has a line in the results."""
    sandbox.knobs(applications=[APPLICATION])
    options = ("--max-failed", bound, "--batch-size", "2", "--concurrency", "1")
    stopped = run(office, "import", mixed(tmp_path, refused=8), *options, code=11)
    assert stopped["state"] == "stopped"
    assert stopped["why"].startswith("max_failed")
    assert stopped["counts"] == {"failed": 4, "unprocessed": 36}
    assert len(result_rows(stopped["files"]["results"])) == 40


def test_11_before_anything_is_sent(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """Invalid rows count for --max-failed: with too many of them nothing is sent at all."""
    rows = [{"user": user.name if at > 3 else "", "pass": user.password} for at, user in enumerate(users(40))]
    stopped = run(office, "import", write(tmp_path / "r.csv", rows), "--max-failed", "3", code=11)
    assert stopped["counts"] == {"invalid": 4, "unprocessed": 36}
    assert posts(sandbox) == 0


def test_11_at_the_end_of_the_window(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """--not-after stops cleanly: what was sent has its outcome, the rest is there for retry."""
    sandbox.knobs(latency=0.2)
    end = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3)).isoformat()
    options = ("--not-after", end, "--batch-size", "1", "--concurrency", "1")
    stopped = run(office, "import", roster, *options, code=11)
    assert stopped["why"].startswith("not_after")
    # How far it came is the machine's business: a slow one may not have begun to post.
    assert stopped["counts"].get("created", 0) == len(sandbox.credentials())
    sandbox.knobs(latency=0)
    assert run(office, "retry", stopped["job"])["counts"] == {"created": stopped["counts"]["unprocessed"]}
    assert truth(sandbox) == expected(sandbox, users(40))
    assert made_once(sandbox)


def test_130_for_ctrl_c_while_posting(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """Requests in flight end, the resume command is printed, and resume puts every row in place once."""
    sandbox.knobs(latency=0.1)
    process = office.start("import", roster, "--batch-size", "1", "--concurrency", "2", "--json")
    job = job_of(process)
    until(lambda: sandbox.credentials(), process)
    process.send_signal(signal.SIGINT)
    finished = end_of(process)
    assert (finished.code, finished.error) == (130, "interrupted")
    assert f"siproster resume {job}" in finished.stderr
    assert len(sandbox.credentials()) < 40
    sandbox.knobs(latency=0)
    resumed = run(office, "resume", job)
    assert (resumed["job"], resumed["counts"]) == (job, {"created": 40})
    assert [row["bw__username"] for row in result_rows(resumed["files"]["results"])] == [
        user.name for user in users(40)
    ]
    assert truth(sandbox) == expected(sandbox, users(40))
    assert made_once(sandbox)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_130_for_a_signal_while_reading(
    office: Program, sandbox: Sandbox, roster: Path, how: signal.Signals
) -> None:
    """Interrupted before anything was sent: nothing is, no half job is left, and the account is free."""
    sandbox.knobs(stall={"probability": 1, "path": "/realms$", "seconds": 300})
    process = office.start("import", roster)
    job_of(process)
    until(lambda: sandbox.log("GET", "/realms"), process)
    process.send_signal(how)
    assert end_of(process).code == 130
    assert jobs(office) == []
    assert posts(sandbox) == 0


def test_130_leaves_the_workers_at_it(hosts: Program, sandbox: Sandbox, roster: Path) -> None:
    """With a broker, Ctrl-C only stops watching: workers go on, and stderr says how to follow or cancel."""
    process = hosts.start("import", roster, "--json")
    job = job_of(process)
    until(lambda: "running" in [one["state"] for one in jobs(hosts)], process)
    process.send_signal(signal.SIGINT)
    finished = end_of(process)
    assert (finished.code, finished.error) == (130, "interrupted")
    assert f"siproster status {job} --follow" in finished.stderr
    assert f"siproster cancel {job}" in finished.stderr
    hosts.start("worker", "--processes", "1", log=hosts.home / "worker.log")
    assert hosts.run("status", job, "--follow").code == 0
    assert run(hosts, "report", job)["counts"] == {"created": 40}
    assert truth(sandbox) == expected(sandbox, users(40))


def mixed(folder: Path, refused: int) -> Path:
    """Forty rows, the first ``refused`` of which name an application that the account doesn't have."""
    rows = [
        {"username": user.name, "password": user.password, "app_id": OTHER if at < refused else APPLICATION}
        for at, user in enumerate(users(40))
    ]
    return write(folder / "mixed.csv", rows)
