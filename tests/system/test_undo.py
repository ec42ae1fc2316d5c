"""An undo leaves the account as it was before the job, except for what somebody has changed since."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.program import Program, kill_group
from tests.sandbox import Sandbox
from tests.system.accounts import change, delete
from tests.system.mixed import OTHERS, PASSWORD, fill, held, host_of, roster, store
from tests.system.rosters import User, result_rows, roster_of, users, write
from tests.system.runs import end_of, jobs, run, until

Held = dict[tuple[str, str], tuple[str, str, str]]


def undone(program: Program, job: str, *more: str, code: int | None = 0) -> dict[str, dict[str, str]]:
    """Undo a job; return each user's result, by name."""
    facts = run(program, "undo", job, "--yes", *more, code=code)
    assert Path(facts["files"]["page"]).is_file()
    return {row["bw__username"]: row for row in result_rows(facts["files"]["undo"])}


def test_a_job_that_changed_nobody_can_be_looked_at(office: Program) -> None:
    """A second import of the same roster leaves nothing to undo, and `status` says so."""
    mine = roster_of(office.work / "staff.csv", users(3))
    run(office, "import", mine)
    again = run(office, "import", mine)["job"]
    assert undone(office, again) == {}
    shown = office.run("status", again)
    assert shown.code == 0, shown.stderr
    assert "nothing, since it had changed no user" in shown.stdout


def test_the_run_before_a_retry_is_named(office: Program) -> None:
    """Retries that changed nobody lead to the run whose users are in place, until that is undone, too."""
    (office.work / "staff.csv").write_text("username,password\next1,Pw-abcdefgh1234\next2,\n")
    first = run(office, "import", "staff.csv", code=10)["job"]
    for before in (first, "latest"):
        run(office, "retry", before, code=10)
    asked = office.run("undo", "latest")
    assert asked.code == 6
    assert f"To take that back, too: siproster undo {first}" in asked.stderr
    run(office, "undo", first, "--yes")
    assert first not in office.run("undo", "latest", "--yes").stderr


@pytest.mark.parametrize(
    ("either", "family", "behaviour"),
    [
        ("embedded", "account", "keep"),
        ("embedded", "account", "clear"),
        ("embedded", "realm", "keep"),
        ("embedded", "realm", "clear"),
        # What undo does depends on the mode in its ledger alone.
        ("workers", "account", "clear"),
        ("workers", "realm", "keep"),
    ],
    indirect=["either"],
)
def test_the_account_is_as_before(either: Program, sandbox: Sandbox, family: str, behaviour: str) -> None:
    """After an undo of updates and new users, all digests and applications are as before."""
    fill(sandbox)
    sandbox.knobs(put_without_application=behaviour)
    before = held(sandbox)
    mine = roster(either.work / "mixed.csv")
    summary = run(either, "import", mine, "--api", family, "--on-existing", "update", "--yes", code=10)
    assert held(sandbox) != before
    results = undone(either, summary["job"], code=0 if behaviour == "clear" else 10)
    left = differing(before, held(sandbox))
    if behaviour == "clear":
        assert left == set()
    else:  # a service that keeps an application can't be made to take it away: said so, password restored
        assert left == {"noapp"}
        assert results["noapp"]["bw__error_code"] == "application_not_set"
    assert "same" not in results  # it was not the job's


def differing(before: Held, after: Held) -> set[str]:
    """Return the names whose stored credentials differ."""
    return {
        name
        for realm, name in before.keys() | after.keys()
        if before.get((realm, name)) != after.get((realm, name))
    }


def changed_meanwhile(program: Program, sandbox: Sandbox) -> tuple[str, Held]:
    """Create six users and update two, then change some of them; return the job and what is stored."""
    host = host_of(sandbox)
    for name in ("set", "set2"):
        store(sandbox, name, "old password", host)
    names = ("made", "made2", "redone", "gone", "newpass", "set", "set2")
    mine = roster_of(program.work / "staff.csv", [User(name, PASSWORD) for name in names])
    job = run(program, "import", mine, "--on-existing", "update", "--yes")["job"]
    for name in ("redone", "gone"):
        delete(sandbox, name)
    store(sandbox, "redone", PASSWORD, host)
    change(sandbox, "newpass", realm="office")
    change(sandbox, "set2", realm="office")
    return str(job), held(sandbox)


def test_what_somebody_changed_is_kept_and_named(office: Program, sandbox: Sandbox) -> None:
    """A credential with another password or id is left alone, with the reason; the others are reverted."""
    job, after = changed_meanwhile(office, sandbox)
    results = undone(office, job, code=10)
    assert {name: (row["bw__undo"], row["bw__error_code"]) for name, row in results.items()} == {
        "made": ("removed", ""), "made2": ("removed", ""), "gone": ("removed", ""),
        "set": ("restored", ""), "redone": ("kept", "id_differs"), "newpass": ("kept", "digest_differs"),
        "set2": ("kept", "digest_differs"),
    }  # fmt: skip
    host = host_of(sandbox)
    assert held(sandbox) == {
        (host, "set"): (*User("set", "old password").digests(host), ""),
        **{key: value for key, value in after.items() if key[1] in ("redone", "newpass", "set2")},
    }


def test_another_application_is_a_change(office: Program, sandbox: Sandbox) -> None:
    """A user with another application than the job's is kept, if somebody changed it since."""
    mine = write(
        office.work / "staff.csv",
        [{"username": name, "password": PASSWORD, "application_id": OTHERS} for name in ("alice", "bob")],
    )
    job = run(office, "import", mine)["job"]
    host = host_of(sandbox)
    delete(sandbox, "alice")
    store(sandbox, "alice", PASSWORD, host, application=OTHERS.replace("1111", "2222"))
    results = undone(office, job, code=10)
    assert results["bob"]["bw__undo"] == "removed"
    assert results["alice"]["bw__undo"] == "kept"


def test_it_asks_first(office: Program, sandbox: Sandbox) -> None:
    """Without a terminal and --yes nothing is reverted, and the exit code is 6."""
    job = run(office, "import", roster_of(office.work / "staff.csv", users(2)))["job"]
    refused = office.run("undo", job)
    assert (refused.code, "add --yes" in refused.stderr) == (6, True)
    assert len(sandbox.credentials()) == 2


@pytest.mark.parametrize("rate", ["nan", "inf"])
def test_a_rate_that_is_none(office: Program, rate: str) -> None:
    """A wrong --rate is refused before anything is looked up."""
    refused = office.run("undo", "20261122-224612-staff-7f3a", "--rate", rate, "--yes")
    assert (refused.code, f"{rate}: must be a finite number" in refused.stderr) == (6, True)


def test_twice_is_once(office: Program, sandbox: Sandbox) -> None:
    """A second undo, perhaps in another folder, asks the service nothing; the job can't be retried."""
    job = run(office, "import", roster_of(office.work / "staff.csv", users(3)))["job"]
    undone(office, job)
    store(sandbox, "ext1", "somebody's own", host_of(sandbox))
    first = len(sandbox.log())
    shutil.rmtree(office.work / f"siproster-{job}")
    assert undone(office, job)["ext1"]["bw__undo"] == "removed"
    assert [one for one in sandbox.log()[first:] if "sipcredentials" in one["path"]] == []
    assert office.run("retry", job).code == 4
    assert sandbox.digests().keys() == {"ext1"}


@pytest.mark.parametrize("point", ["taken_back", "undone"])
def test_killed_in_the_middle_it_goes_on(office: Program, sandbox: Sandbox, point: str) -> None:
    """After a SIGKILL, with or without a recorded deletion, the next undo finishes."""
    host = host_of(sandbox)
    for user in users(150):
        store(sandbox, user.name, "old password", host)
    before = held(sandbox)
    mine = roster_of(office.work / "staff.csv", users(300))
    job = run(office, "import", mine, "--on-existing", "update", "--yes")["job"]
    killed = office.run("undo", job, "--yes", SIPROSTER_FAILPOINTS=f"{point}=kill@2")
    assert killed.code == -signal.SIGKILL
    assert held(sandbox) != before
    results = undone(office, job)
    assert held(sandbox) == before
    assert {row["bw__undo"] for row in results.values()} == {"removed", "restored"}
    assert len(results) == 300


def test_ctrl_c_ends_it_cleanly_and_it_goes_on(office: Program, sandbox: Sandbox) -> None:
    """Ctrl-C: exit code 130, the command to continue with, and everything begun is recorded."""
    job = run(office, "import", roster_of(office.work / "staff.csv", users(60)), "--concurrency", "2")["job"]
    sandbox.knobs(latency=0.2)
    process = office.start("undo", job, "--yes")
    until(lambda: sandbox.log("DELETE"), process)
    process.send_signal(signal.SIGINT)
    ended = end_of(process)
    assert (ended.code, f"siproster undo {job}" in ended.stderr) == (130, True)
    deleted = 60 - len(sandbox.credentials())
    assert 0 < deleted < 60
    sandbox.knobs(latency=0)
    (listed,) = jobs(office)
    recorded = listed["undo"]["removed"]
    assert (listed["undo_state"], listed["undo_rows"], listed["not_in_place"]) == ("partly", 60, recorded)
    assert "partly undone" in office.run("jobs").stdout
    told = office.run("report", job)
    step = f"undo interrupted: {recorded} of 60 undone; continue with: siproster undo {job}"
    assert (told.code, step in told.stdout) == (10, True)
    first = len(sandbox.log("DELETE"))
    undone(office, job)
    assert sandbox.credentials() == []
    assert len(sandbox.log("DELETE")) - first == 60 - deleted
    assert "done, undone" in office.run("jobs").stdout


def test_a_service_that_stays_away(office: Program, sandbox: Sandbox) -> None:
    """If the service stays away: exit code 5; finished changes are kept, and the next undo does the rest."""
    job = run(office, "import", roster_of(office.work / "staff.csv", users(40)), "--patience", "2")["job"]
    sandbox.knobs(unavailable={"probability": 1, "method": "DELETE", "skip": 10})
    assert office.run("undo", job, "--yes").code == 5
    assert 0 < len(sandbox.credentials()) < 40
    sandbox.knobs(unavailable=None)
    undone(office, job)
    assert sandbox.credentials() == []


def test_answers_that_are_lost(office: Program, sandbox: Sandbox) -> None:
    """Deletions and changes that were done without an answer are found to be done."""
    host = host_of(sandbox)
    for user in users(5):
        store(sandbox, user.name, "old password", host)
    before = held(sandbox)
    mine = roster_of(office.work / "staff.csv", users(10))
    sandbox.knobs(drop={"probability": 1, "method": "PUT", "commit": True})
    summary = run(office, "import", mine, "--on-existing", "update", "--yes")
    assert summary["counts"] == {"created": 5, "unchanged": 5}
    sandbox.knobs(drop=[{"probability": 1, "method": method, "commit": True} for method in ("PUT", "DELETE")])
    undone(office, summary["job"], code=10)
    assert undone(office, summary["job"], "--include-unproven").keys() == {user.name for user in users(10)}
    assert held(sandbox) == before


def test_a_cancelled_job_is_taken_back_with_its_lost_answers(office: Program, sandbox: Sandbox) -> None:
    """Users whose answer was lost in a kill are kept and named; --include-unproven removes them."""
    mine = roster_of(office.work / "staff.csv", users(40))
    arguments = ("import", mine, "--batch-size", "5", "--concurrency", "1")
    killed = office.run(*arguments, SIPROSTER_FAILPOINTS="answered=kill@3")
    assert killed.code == -signal.SIGKILL
    assert len(sandbox.credentials()) == 15
    job = office.run("jobs", "--json").json[0]["job"]
    assert office.run("undo", job, "--yes").code == 4
    office.run("cancel", job)
    assert run(office, "report", job, code=10)["counts"] == {"created": 10, "unknown": 30}
    told = office.run("undo", job, "--yes")
    assert (told.code, f"siproster undo {job} --include-unproven" in told.stderr) == (10, True)
    results = undone(office, job, code=10).values()
    kept = [row["bw__error_code"] for row in results if row["bw__undo"] == "kept"]
    assert (len(sandbox.credentials()), kept) == (5, ["origin_unknown"] * 5)
    undone(office, job, "--include-unproven")
    assert sandbox.credentials() == []


def test_a_cancelled_job_is_not_taken_back_before_its_last_answer(office: Program, sandbox: Sandbox) -> None:
    """A cancelled job can't be undone while a request is in flight, which might arrive after the undo."""
    store(sandbox, "alice", "old password", host_of(sandbox))
    before = held(sandbox)
    mine = roster_of(office.work / "staff.csv", [User("alice", PASSWORD)])
    sandbox.knobs(stall={"next": 1, "method": "PUT", "seconds": 8.0})
    process = office.start("import", mine, "--on-existing", "update", "--yes")
    until(lambda: sandbox.log("PUT"), process)
    job = office.run("jobs", "--json").json[0]["job"]
    office.run("cancel", job)
    early = office.run("undo", job, "--yes")
    assert (early.code, "in flight" in early.stderr, held(sandbox) == before) == (6, True, True)
    purged = office.run("jobs", "purge", job, "--yes")
    assert (purged.code, "in flight" in purged.stderr) == (6, True), purged.stderr
    process.communicate()
    assert held(sandbox) != before
    undone(office, job)
    assert held(sandbox) == before


def test_a_stopped_job_is_over_with_it(office: Program, sandbox: Sandbox) -> None:
    """A job that was stopped by --max-failed and then undone can't be resumed."""
    rows = [*users(10), User("no good", "x"), User("nor this", "y")]
    mine = roster_of(office.work / "staff.csv", rows)
    job = run(office, "import", mine, "--max-failed", "1", code=11)["job"]
    undone(office, job)
    assert office.run("resume", job).code == 4
    assert sandbox.credentials() == []


def test_one_undoing_at_a_time(office: Program, sandbox: Sandbox) -> None:
    """While an undo runs, another undo or a purge of the job, and an import to the account, are refused."""
    job = run(office, "import", roster_of(office.work / "staff.csv", users(60)), "--concurrency", "1")["job"]
    sandbox.knobs(latency=0.2)
    process = office.start("undo", job, "--yes")
    until(lambda: sandbox.log("DELETE"), process)
    second = office.run("undo", job, "--yes")
    assert (second.code, "is being undone by" in second.stderr) == (6, True)
    purged = office.run("jobs", "purge", job, "--yes")  # what undo needs would be gone
    assert (purged.code, "is being undone by" in purged.stderr) == (6, True)
    other = office.run("import", "staff.csv")
    assert (other.code, job in other.stderr) == (6, True)
    kill_group(process)
    process.communicate()
    sandbox.knobs(latency=0)
    undone(office, job)
    assert sandbox.credentials() == []


def test_an_expired_hold_lets_others_in(office: Program, sandbox: Sandbox) -> None:
    """After an undo the next import begins at once."""
    job = run(office, "import", roster_of(office.work / "staff.csv", users(2)))["job"]
    undone(office, job)
    assert run(office, "import", "staff.csv")["counts"] == {"created": 2}


def test_the_audit_tells_who_did_what(office: Program, sandbox: Sandbox) -> None:
    """Every command that changes something is in the audit, with its options, without secrets, for good."""
    store(sandbox, "alice", "old password", host_of(sandbox))
    mine = roster_of(office.work / "staff.csv", [User("alice", PASSWORD), User("bob", PASSWORD)])
    job = run(office, "import", mine, "--on-existing", "update", "--yes")["job"]
    undone(office, job)
    office.run("credential", "delete", "alice", "--yes", SSH_CONNECTION="192.0.2.7 1 192.0.2.1 22")
    office.run("jobs", "purge", job, "--yes")
    acts: list[dict[str, Any]] = office.run("jobs", "--audit", "--json").json
    assert [act["command"] for act in acts] == ["jobs purge", "credential delete", "undo", "import"]
    bulk = acts[-1]
    assert (bulk["subject"], bulk["options"]) == (
        job,
        {"--on-existing": "update", "--yes": True, "--json": True},
    )
    assert acts[1]["origin"] == "192.0.2.7"
    assert {act["account"] for act in acts} == {"9900001"}
    shown = office.run("jobs", "--audit")
    assert "credential delete" in shown.stdout
    assert PASSWORD not in shown.stdout + str(acts)


def test_an_address_in_the_audit_lets_nobody_in(office: Program, sandbox: Sandbox) -> None:
    """A file's URL in the audit has no user, password or signed query."""
    url = "https://someone:CANARY-1@files.example.com/staff.csv?sig=CANARY-2"
    job = run(office, "import", roster_of(office.work / "staff.csv", users(1)), "--results", url)["job"]
    undone(office, job)
    (bulk,) = [act for act in office.run("jobs", "--audit", "--json").json if act["command"] == "import"]
    assert bulk["options"]["--results"] == "https://files.example.com/staff.csv"
