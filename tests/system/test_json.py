"""JSON for scripts: stdout holds it and nothing else, in both modes."""

from __future__ import annotations

import json
import platform
import re
import signal
from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import SAMPLES, roster_of, users
from tests.system.runs import end_of, run, until

FIELDS = {
    "job", "state", "reason", "why", "account", "operator", "version", "options", "roster", "realms",
    "counts", "started", "finished", "seconds", "requests", "retries", "files",
}  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").fullmatch


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    """Ten users in a file."""
    return roster_of(tmp_path / "Staff List 2026.csv", users(10))


def test_a_summary_has_what_scripts_rely_on(either: Program, sandbox: Sandbox, roster: Path) -> None:
    """--json alone on stdout, with every documented field, equal to summary.json; progress is on stderr."""
    finished = either.run("import", roster, "--json", "--debug")
    assert finished.code == 0, finished.stderr
    summary = finished.json
    assert summary.keys() >= FIELDS
    assert summary == json.loads(Path(summary["files"]["summary"]).read_text("utf-8"))
    assert re.fullmatch(r"\d{8}-\d{6}-staff-list-2026-[0-9a-f]{4}", summary["job"])
    assert (summary["state"], summary["reason"], summary["why"]) == ("done", "", "")
    assert summary["account"] == "9900001"
    assert summary["roster"].keys() == {"name", "sha256", "rows"}
    assert (summary["roster"]["name"], summary["roster"]["rows"]) == ("Staff List 2026.csv", 10)
    assert summary["realms"] == [sandbox.credentials()[0]["realm"]]
    assert summary["counts"] == {"created": 10}
    assert TIME(summary["started"])
    assert TIME(summary["finished"])
    assert all(Path(path).is_file() for path in summary["files"].values())
    assert summary["job"] in finished.stderr


def test_every_command_that_tells_facts_tells_them_as_json(either: Program, roster: Path) -> None:
    """jobs, status, report, retry and resume print the same summary of a job, alone on stdout.

    All its rows are in place, so that neither of the last two begins anything.
    """
    done = run(either, "import", roster)
    assert either.run("jobs", "--json").json == [done]
    for command in ("status", "report", "resume", "retry"):
        assert run(either, command, done["job"]) == done, command
    said = either.run("retry", done["job"]).stderr
    assert "nothing to run again: 10 rows are in place; no job was made\n" in said
    assert either.run("jobs", "--json").json == [done]


def test_plan_tells_its_counts_as_json(office: Program, sandbox: Sandbox) -> None:
    """`plan --json` counts what would be sent and what is wrong, and leaves no job and no request."""
    sandbox.knobs(applications=["3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"])
    found = run(office, "plan", SAMPLES / "dirty.csv", code=10)
    assert (found["to_send"], found["invalid"], found["roster"]["rows"]) == (36, 23, 59)
    assert sum(found["problems"].values()) >= found["invalid"]
    assert office.run("jobs", "--json").json == []
    assert {line["method"] for line in sandbox.log(path="/accounts/")} == {"GET"}


def test_a_queued_job_is_named_as_json(hosts: Program, roster: Path) -> None:
    """`import --detach --json` returns at once with the job's id; cancel then prints the job's summary."""
    queued = run(hosts, "import", roster, "--detach")
    assert list(queued) == ["job"]
    cancelled = run(hosts, "cancel", queued["job"])
    assert (cancelled["state"], cancelled["counts"]) == ("cancelled", {"unprocessed": 10})
    assert cancelled["reason"] == "cancelled"
    assert cancelled["why"] == f"cancelled: by {cancelled['operator']}@{platform.node()}"
    advised = hosts.run("report", queued["job"], "--json").stderr
    assert f"siproster retry {queued['job']}\n" in advised
    assert "corrections" not in advised


FAILURES = [
    ("jobs --bogus", "usage"),
    ("no-such-command", "usage"),
    ("status", "usage"),
    ("plan no-such-file.csv", "usage"),
    ("credential list --api x", "usage"),
    ("schedule show nightly", "not_found"),
]
"""Commands and the codes of their errors."""


@pytest.mark.parametrize(("words", "code"), FAILURES)
def test_a_failure_is_json_beside_its_text(office: Program, words: str, code: str) -> None:
    """stdout has the error alone, with the texts of stderr and the exit code; wrong usage of click's, too."""
    assert office.run(*words.split(), "--json").error == code
    assert office.run(*words.split()).stdout == ""


def test_json_that_is_an_argument_asks_for_none(office: Program) -> None:
    """Behind a lone `--`, `--json` is a job's name like any other, and the error is text."""
    assert office.run("status", "--", "--json").stdout == ""


def test_a_fault_of_the_program_is_json(office: Program, roster: Path) -> None:
    """A bug, too, leaves one JSON value on stdout; its hint has the line to report, without values."""
    failed = office.run("import", roster, "--json", SIPROSTER_FAILPOINTS="planned=raise")
    assert (failed.code, failed.error) == (1, "unexpected")
    assert "an internal error in " in failed.json["error"]["hint"]


def test_no_error_follows_facts(office: Program, sandbox: Sandbox, roster: Path) -> None:
    """An interrupted deletion prints the users that are done, and the one in flight as unconfirmed."""
    run(office, "import", roster)
    names = [user.name for user in users(10)]
    sandbox.knobs(latency=0.8)
    process = office.start("credential", "delete", *names, "--yes", "--json")
    until(lambda: len(sandbox.credentials()) < 9, process)
    process.send_signal(signal.SIGINT)
    deleted = end_of(process)
    assert deleted.code == 130
    assert "interrupted" in deleted.stderr
    *done, last = deleted.json
    assert {one["outcome"] for one in done} == {"deleted"}
    assert (last["outcome"], last["code"]) == ("failed", "unconfirmed")
    assert len(done) in (10 - len(sandbox.credentials()), 9 - len(sandbox.credentials()))


def test_people_get_a_table_instead(office: Program, roster: Path) -> None:
    """Without --json the summary on stdout is for reading: counts, what they mean, where the files are."""
    finished = office.run("import", roster)
    assert finished.code == 0
    assert "created" in finished.stdout
    assert "results.csv" in finished.stdout
    assert "{" not in finished.stdout
