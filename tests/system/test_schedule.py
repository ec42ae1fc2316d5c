"""Schedules as users make them: each command, each result of a run, and what it leaves for the next one."""

from __future__ import annotations

import base64
import datetime as dt
import json
import sqlite3
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.program import Finished, Program
from tests.sandbox import Sandbox
from tests.scripted import Told, scripted
from tests.system.rosters import User, expected, roster_of, truth, users
from tests.system.runs import end_of, run, until

STAFF = users(40)
NIGHTLY = ("--every", "30 2 * * *")
GUARDED = (*NIGHTLY, "--on-existing", "update", "--max-changes", "10%", "--require-rows", "30")
SECRET = f"whsec_{base64.b64encode(b'canary-of-a-webhook-secret-1').decode()}"


def added(office: Program, *options: str | Path, name: str = "nightly") -> Finished:
    """Add a schedule, whose roster is staff.csv unless a path is given."""
    roster = [one for one in options if isinstance(one, Path)] or [office.work / "staff.csv"]
    words = [one for one in options if not isinstance(one, Path)] or NIGHTLY
    finished = office.run("schedule", "add", name, *roster, *words)
    assert finished.code == 0, finished.stderr
    return finished


def ran(office: Program, code: int = 0, name: str = "nightly") -> dict[str, Any]:
    """Run a schedule by hand, and return its run, as ``schedule show --json`` tells it, too."""
    told = run(office, "schedule", "run", name, code=code)
    assert told == runs(office, name)[0]
    return told


def runs(office: Program, name: str = "nightly") -> list[dict[str, Any]]:
    """Return the schedule's runs, the newest first."""
    found: list[dict[str, Any]] = run(office, "schedule", "show", name, "--runs", "50")["runs"]
    return found


def writes(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the requests that could change something."""
    return [line for line in sandbox.log() if line["method"] != "GET" and "accounts" in line["path"]]


def ledger(office: Program) -> sqlite3.Connection:
    """Return a connection to the ledger of embedded mode."""
    (path,) = (office.home / ".local/state/siproster").glob("ledger.sqlite")
    return sqlite3.connect(path)


# Commands


def test_add_tells_when_it_runs(office: Program) -> None:
    """In words, the next five times local and in UTC, and what happens to them at clock changes."""
    roster_of(office.work / "staff.csv", STAFF)
    told = added(office, *NIGHTLY, "--tz", "Europe/Berlin", "--not-before", "02:30", "--not-after", "05:00")
    assert "at 02:30 every day (Europe/Berlin)" in told.stdout
    assert told.stdout.count("02:30 CE") >= 5
    assert (
        "clocks in Europe/Berlin go forward at 02:00; the run of 02:30 happens once, at 03:00" in told.stdout
    )
    (first, *_) = [line for line in told.stdout.splitlines() if "sending from" in line]
    slot, begins = first.split(", sending from ")
    assert begins.startswith(slot.strip())  # the window of a slot at its very beginning has begun
    shown = run(office, "schedule", "show", "nightly")
    assert (shown["every"], shown["zone"], len(shown["next"])) == ("30 2 * * *", "Europe/Berlin", 5)
    assert [one["name"] for one in json.loads(office.run("schedule", "list", "--json").stdout)] == ["nightly"]
    assert "at 02:30 every day" in office.run("schedule", "list").stdout


REFUSED: Sequence[tuple[Sequence[str], str]] = [
    (("a b", "staff.csv", *NIGHTLY), "is not a name for a schedule"),
    (("../up", "staff.csv", *NIGHTLY), "is not a name for a schedule"),
    (("n", "-", *NIGHTLY), "can't read standard input"),
    (("n", "staff.csv"), "give --every CRON or --at TIME"),
    (("n", "staff.csv", *NIGHTLY, "--at", "05:30"), "give --every CRON or --at TIME"),
    (("n", "staff.csv", "--at", "2020-01-01T05:30"), "is in the past"),
    (("n", "staff.csv", "--every", "@reboot"), "cron expression with five fields"),
    (("n", "staff.csv", "--every", "0 30 2 * * *"), "cron expression with five fields"),
    (("n", "staff.csv", "--every", "0 0 30 2 *"), "is not a cron expression"),
    (("n", "staff.csv", *NIGHTLY, "--tz", "Mars/Olympus"), "is not a time zone"),
    (("n", "staff.csv", "--every", "*/10 * * * *", "--jitter", "600"), "between two runs"),
    (("n", "staff.csv", *NIGHTLY, "--notify", "nobody"), "has no [notify.nobody]"),
    (("n", "staff.csv", *NIGHTLY, "--not-before", "26:00"), "is not a valid time"),
    (("n", "staff.csv", *NIGHTLY, "--absent=delete"), "--absent delete needs --max-changes"),
    (("n", "staff.csv", "--at", "2099-01-01T22:00", "--not-after", "2099-01-01T21:00"), "runs may only send"),
    (("n", "mysql://asterisk:canary@db/asterisk", *NIGHTLY), "the URL holds a password"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "why"), [pytest.param(*case, id=case[1]) for case in REFUSED])
def test_add_refuses(office: Program, words: Sequence[str], why: str) -> None:
    """Exit code 6, the reason, and no schedule."""
    refused = office.run("schedule", "add", *words)
    assert (refused.code, why in refused.stderr, "canary" in refused.stderr) == (6, True, False)
    assert office.run("schedule", "list", "--json").json == []


def test_names(office: Program) -> None:
    """A second schedule of a name is refused, and commands about one that isn't there say so."""
    roster_of(office.work / "staff.csv", STAFF)
    added(office)
    again = office.run("schedule", "add", "nightly", "staff.csv", *NIGHTLY)
    assert (again.code, "siproster schedule remove nightly" in again.stderr) == (4, True)
    for command in (["show"], ["run"], ["pause"], ["resume"], ["remove", "--yes"]):
        missing = office.run("schedule", command[0], "weekly", *command[1:])
        assert (missing.code, "there is no schedule 'weekly'" in missing.stderr) == (3, True), command


def test_pause_and_remove(office: Program, sandbox: Sandbox) -> None:
    """A paused schedule runs by hand alone; a removed one leaves its jobs."""
    roster_of(office.work / "staff.csv", STAFF)
    added(office)
    paused = run(office, "schedule", "pause", "nightly")
    assert paused == run(office, "schedule", "show", "nightly")
    assert "is already paused" in office.run("schedule", "pause", "nightly").stderr
    assert run(office, "schedule", "show", "nightly")["next"] == []
    job = ran(office)["job"]
    assert run(office, "schedule", "resume", "nightly")["paused"] is None
    assert "is not paused" in office.run("schedule", "resume", "nightly").stderr
    assert run(office, "schedule", "remove", "nightly", "--yes")["removed"]["name"] == "nightly"
    assert office.run("schedule", "show", "nightly").code == 3
    assert run(office, "status", job)["state"] == "done"
    assert truth(sandbox) == expected(sandbox, STAFF)


# Results of a run


def test_rows_that_are_not_in_place_are_told_again(office: Program, sandbox: Sandbox) -> None:
    """An unchanged roster is not imported again, but is no success while a row of it is not in place."""
    roster_of(office.work / "staff.csv", [*STAFF[:9], User("no user name", "Kestrel-7731-x")])
    added(office, *NIGHTLY, "--max-failed", "5")
    first = ran(office, code=10)
    sent = len(writes(sandbox))
    second = ran(office, code=10)
    assert [one["result"] for one in (first, second)] == ["not_in_place"] * 2
    assert f"1 row is not in place: run siproster retry {first['job']}" in second["why"]
    assert len(writes(sandbox)) == sent


def test_each_version_once(office: Program, sandbox: Sandbox) -> None:
    """The same version is imported once; another one again; with --again each time."""
    staff = roster_of(office.work / "staff.csv", STAFF[:30])
    added(office)
    first = ran(office)
    assert (first["result"], first["cause"]) == ("in_place", "manual")
    assert (office.work / f"siproster-{first['job']}" / "results.csv").exists()
    sent = len(writes(sandbox))
    second = ran(office)
    assert (second["result"], second["job"]) == ("nothing_new", None)
    assert first["job"] in second["why"]
    assert len(writes(sandbox)) == sent
    roster_of(staff, STAFF)
    assert ran(office)["result"] == "in_place"
    assert truth(sandbox) == expected(sandbox, STAFF)
    added(office, *NIGHTLY, "--again", name="again")
    jobs = {ran(office, name="again")["job"] for _ in range(2)}
    assert len(jobs - {None}) == 2


def test_a_file_that_is_put_back(office: Program, sandbox: Sandbox) -> None:
    """A roster that is again as it was two runs ago has changed since the last one, and is imported."""
    changed = [User(user.name, "kX8mQ2vN7rT4wZ1p") for user in STAFF[:3]]
    staff = roster_of(office.work / "staff.csv", STAFF)
    added(office, *NIGHTLY, "--on-existing", "update")
    for users_now in (STAFF, [*changed, *STAFF[3:]], STAFF):
        roster_of(staff, users_now)
        assert ran(office)["result"] == "in_place"
        assert truth(sandbox) == expected(sandbox, users_now)
        assert ran(office)["result"] == "nothing_new"


def test_a_folder(office: Program, sandbox: Sandbox) -> None:
    """Each run imports the files that are new; a version under another name is not new."""
    inbox = office.work / "inbox"
    inbox.mkdir()
    roster_of(inbox / "1.csv", STAFF[:10])
    added(office, inbox)
    assert ran(office)["result"] == "in_place"
    roster_of(inbox / "2.csv", STAFF[10:20])
    roster_of(inbox / "1-copy.csv", STAFF[:10])
    second = ran(office)
    assert run(office, "status", second["job"])["counts"] == {"created": 10}
    assert ran(office)["result"] == "nothing_new"
    assert truth(sandbox) == expected(sandbox, STAFF[:20])


def test_a_folder_has_no_leavers(office: Program, sandbox: Sandbox) -> None:
    """Users of files that were imported before are not missing from the new ones, and never deleted."""
    inbox = office.work / "inbox"
    bounds = (*NIGHTLY, "--max-changes", "50")
    for place in (inbox, inbox / "*.csv"):
        refused = office.run("schedule", "add", "other", place, *bounds, "--absent=delete")
        assert (refused.code, "a schedule imports its new files alone" in refused.stderr) == (
            (6, True) if "*" in str(place) else (0, False)  # the folder isn't there yet
        )
    inbox.mkdir()
    roster_of(inbox / "1.csv", STAFF[:30])
    assert "its new files alone" in ran(office, code=6, name="other")["why"]
    refused = office.run("schedule", "add", "third", inbox, *bounds, "--absent=delete")
    assert (refused.code, writes(sandbox)) == (6, [])
    added(office, inbox, *NIGHTLY, "--max-changes", "30")
    assert ran(office)["result"] == "in_place"
    roster_of(inbox / "2.csv", STAFF[30:35])
    second = ran(office)
    assert second["result"] == "in_place", second["why"]
    assert run(office, "status", second["job"])["absent"] is None
    assert truth(sandbox) == expected(sandbox, STAFF[:35])


def test_a_plan_of_a_folder_has_no_leavers(office: Program, sandbox: Sandbox) -> None:
    """A plan that a guard has kept is still one of the new files alone when it is carried out."""
    run(office, "import", roster_of(office.work / "staff.csv", STAFF[:20]))
    inbox = office.work / "inbox"
    inbox.mkdir()
    roster_of(inbox / "1.csv", STAFF[20:30])
    added(office, inbox, *NIGHTLY, "--max-changes", "5")
    plan = ran(office, code=11)["job"]
    summary = run(office, "import", "--plan", plan, "--yes")
    assert (summary["counts"], summary["absent"]) == ({"created": 10}, None)


def test_two_rosters_of_an_account_have_no_leavers(office: Program, sandbox: Sandbox) -> None:
    """Users of one schedule's roster would be leavers of the other, whichever was added first."""
    one, other = (roster_of(office.work / f"{name}.csv", STAFF[:5]) for name in ("one", "other"))
    deletes = (*NIGHTLY, "--max-changes", "10%", "--absent=delete")
    in_office, in_lab = ((*deletes, "--realm", realm) for realm in ("office", "lab"))
    added(office, one, *NIGHTLY, name="first")
    refused = office.run("schedule", "add", "second", other, *deletes)
    assert (refused.code, "schedule first imports another roster" in refused.stderr) == (6, True)
    added(office, one, *in_office, name="second")  # the same roster
    assert office.run("schedule", "remove", "first", "--yes").code == 0
    for words in (NIGHTLY, in_office):
        refused = office.run("schedule", "add", "third", other, *words)
        assert (refused.code, "schedule second imports another roster" in refused.stderr) == (6, True)
    added(office, other, *in_lab, name="third")


def test_rows_that_fail(office: Program) -> None:
    """Some failed rows are a result of their own; more than 10% stop the run, and the next one says so."""
    staff = roster_of(office.work / "staff.csv", [*STAFF, User("bad", "")])
    added(office)
    some = ran(office, code=10)
    assert some["result"] == "not_in_place"
    roster_of(staff, [*STAFF, *(User(f"bad{number}", "") for number in range(10))])
    stopped = ran(office, code=11)
    assert (stopped["result"], "max_failed" in stopped["why"]) == ("stopped", True)
    again = ran(office, code=11)
    assert (again["result"], again["job"]) == ("stopped", stopped["job"])
    assert "imports this version, and stopped: max_failed" in again["why"]


def test_credentials_that_are_refused(office: Program, sandbox: Sandbox) -> None:
    """Credentials refused while it reads: a failed run. Once they are right, the same version is imported."""
    roster_of(office.work / "staff.csv", STAFF)
    added(office)
    assert office.run("schedule", "run", "nightly", BW_CLIENT_SECRET="wrong-canary").code == 6
    failed = runs(office)[0]
    assert (failed["result"], "canary" in failed["why"]) == ("failed", False)
    assert ran(office)["result"] == "in_place"
    assert truth(sandbox) == expected(sandbox, STAFF)


def test_settings_of_another_account(office: Program, sandbox: Sandbox) -> None:
    """A run never goes to another account than the schedule was made for."""
    roster_of(office.work / "staff.csv", STAFF)
    added(office)
    assert office.run("schedule", "run", "nightly", BW_ACCOUNT_ID="9900002").code == 6
    assert "is for account 9900001" in runs(office)[0]["why"]
    assert not sandbox.credentials()


def test_a_roster_that_is_gone(office: Program) -> None:
    """A failed run that names the file; the next one imports it once it is back."""
    staff = office.work / "staff.csv"
    assert "does not exist yet" in added(office, staff).stderr
    assert "there is no file" in ran(office, code=6)["why"]
    roster_of(staff, STAFF)
    assert ran(office)["result"] == "in_place"


def test_results_that_can_not_be_written(office: Program, sandbox: Sandbox) -> None:
    """Before anything is sent it fails; the folder is named."""
    roster_of(office.work / "staff.csv", STAFF)
    (office.work / "file").write_text("")
    added(office, *NIGHTLY, "--results", str(office.work / "file"))
    failed = ran(office, code=6)
    assert "can't be written" in failed["why"]
    assert not sandbox.credentials()


def test_results_that_vanish(office: Program, sandbox: Sandbox) -> None:
    """If only the result files can't be written, the run names its job, whose rows aren't imported again."""
    roster_of(office.work / "staff.csv", STAFF)
    added(office)
    sandbox.knobs(latency=0.3)
    process = office.start("schedule", "run", "nightly")
    until(lambda: bool(sandbox.credentials()), process)
    (folder,) = office.work.glob("siproster-*")
    folder.rmdir()
    folder.write_text("in its place")
    assert end_of(process).code == 6
    failed = runs(office)[0]
    assert (failed["result"], f"siproster-{failed['job']}" == folder.name) == ("failed", True)
    assert "can't be written" in failed["why"]
    assert ran(office)["result"] == "nothing_new"
    folder.unlink()
    assert run(office, "report", failed["job"])["counts"] == {"created": 40}


def test_a_service_that_is_away(office: Program, sandbox: Sandbox) -> None:
    """The run is given back, and goes on when the service is there."""
    roster_of(office.work / "staff.csv", STAFF)
    added(office, *NIGHTLY, "--patience", "0")
    sandbox.knobs(unavailable={"probability": 1.0})
    waiting = ran(office, code=5)
    assert (waiting["state"], waiting["result"]) == ("due", None)
    removal = office.run("schedule", "remove", "nightly", "--yes")
    end = f"siproster cancel {waiting['job']}" if waiting["job"] else "siproster schedule show nightly"
    assert (removal.code, end in removal.stderr) == (4, True)
    assert "is going on" in office.run("schedule", "run", "nightly").stderr
    sandbox.knobs(unavailable=None)
    due_now(office)
    assert office.run("scheduler", "--once").code == 0
    assert runs(office)[0]["result"] == "in_place"
    assert truth(sandbox) == expected(sandbox, STAFF)


def test_an_account_that_is_busy(office: Program, sandbox: Sandbox) -> None:
    """While another import writes to the account, the run is given back; then it is carried out."""
    roster_of(office.work / "staff.csv", STAFF)
    other = roster_of(office.work / "other.csv", users(60, first=100))
    added(office)
    sandbox.knobs(latency=0.3)
    process = office.start("import", other, "--yes", "--batch-size", "5", "--concurrency", "1")
    until(lambda: bool(sandbox.credentials()), process)
    busy = ran(office, code=5)
    assert (busy["state"], "is writing to account" in busy["why"]) == ("due", True)
    assert end_of(process).code == 0
    sandbox.knobs(latency=0)
    due_now(office)
    assert office.run("scheduler", "--once").code == 0
    assert runs(office)[0]["result"] == "in_place"


def due_now(office: Program) -> None:
    """Let the time pass that a run which was given back waits."""
    with ledger(office) as connection:
        connection.execute("UPDATE schedule_runs SET not_before = 0 WHERE state = 'due'")


# Windows


def test_a_window_that_ends(office: Program, sandbox: Sandbox) -> None:
    """The next run resumes a job that the end of its window stopped: every row is sent once."""
    roster_of(office.work / "staff.csv", STAFF)
    pace = ("--batch-size", "2", "--concurrency", "1")
    sandbox.knobs(latency=0.3)
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3)
    added(office, *NIGHTLY, *pace, "--not-after", ends.isoformat())
    stopped = ran(office, code=11)
    assert (stopped["result"], "not_after" in stopped["why"]) == ("stopped", True)
    assert 0 < len(sandbox.credentials()) < len(STAFF)
    sandbox.knobs(latency=0)
    with ledger(office) as connection:  # the next night's window
        later = (ends + dt.timedelta(days=1)).isoformat()
        connection.execute("UPDATE schedules SET options = json_set(options, '$.not_after', ?)", (later,))
    went_on = ran(office)
    assert (went_on["result"], went_on["job"]) == ("in_place", stopped["job"])
    assert "was resumed" in went_on["why"]
    assert truth(sandbox) == expected(sandbox, STAFF)
    assert len(sandbox.credentials(deleted=True)) == len(STAFF)


def test_a_window_that_has_not_begun(office: Program, sandbox: Sandbox) -> None:
    """The run waits for it, and reads the roster when it begins."""
    staff = roster_of(office.work / "staff.csv", STAFF[:10])
    begins = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=4)
    added(office, *NIGHTLY, "--not-before", begins.isoformat())
    waiting = ran(office, code=5)
    assert (waiting["state"], "the window begins at" in waiting["why"]) == ("due", True)
    roster_of(staff, STAFF)
    until(lambda: dt.datetime.now(dt.UTC) > begins)
    assert office.run("scheduler", "--once").code == 0
    assert runs(office)[0]["result"] == "in_place"
    assert truth(sandbox) == expected(sandbox, STAFF)


def test_a_window_that_is_over(office: Program, sandbox: Sandbox) -> None:
    """A run whose window is over sends nothing."""
    roster_of(office.work / "staff.csv", STAFF)
    warned = added(office, *NIGHTLY, "--not-after", "2020-01-01T05:00")
    assert "warning: --not-after 2020-01-01 05:00Z: runs may only send from" in warned.stderr
    assert "the window ended at 2020-01-01 05:00Z; nothing was sent" in ran(office, code=6)["why"]
    assert not sandbox.credentials()


def test_a_plan_outside_of_its_window(office: Program, sandbox: Sandbox) -> None:
    """An approved plan isn't carried out after its window, unless another one is given."""
    roster_of(office.work / "staff.csv", STAFF)
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
    added(office, *NIGHTLY, "--max-changes", "5", "--not-after", ends.isoformat())
    plan = ran(office, code=11)["job"]
    until(lambda: dt.datetime.now(dt.UTC) > ends)
    refused = office.run("import", "--plan", plan, "--yes")
    assert (refused.code, "--not-after TIME" in refused.stderr) == (6, True)
    assert not sandbox.credentials()
    assert run(office, "import", "--plan", plan, "--yes", "--not-after", "2099-01-01")["state"] == "done"


# Guards


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        (STAFF[:20], "20 changes (20 suddenly absent from the roster)"),
        (STAFF[:1], "the roster has 1 row for users (--require-rows 30)"),
        ([User(one.name, f"{one.password}-other") for one in STAFF], "40 changes (40 to update)"),
    ],
    ids=["half", "nearly empty", "other passwords"],
)
def test_a_damaged_export(office: Program, sandbox: Sandbox, damaged: list[User], why: str) -> None:
    """Nothing is sent, the receiver learns why, one plan waits for many nights, and it can be approved."""
    staff = roster_of(office.work / "staff.csv", STAFF)
    with scripted(lambda _: Told(204)) as receiver:
        notify(office, receiver.url)
        run(office, "import", staff)
        added(office, *GUARDED, "--notify", "ops")
        before, sent = truth(sandbox), len(writes(sandbox))
        roster_of(staff, damaged)
        held = ran(office, code=11)
        again = ran(office, code=11)
        assert office.run("scheduler", "--once").code == 0
    assert (truth(sandbox), len(writes(sandbox))) == (before, sent)
    assert (held["result"], again["result"], again["job"]) == (*["approval_needed"] * 2, held["job"])
    assert why in held["why"]
    assert f"plan {held['job']} of an earlier run still waits for approval" in again["why"]
    assert len(run(office, "jobs")) == 2  # the first import and one plan
    told = [Webhook(SECRET).verify(asked.body, dict(asked.headers)) for asked in receiver.asked]
    assert sorted(one["result"] for one in told) == ["approval_needed"] * 2
    assert all(why in one["why"] and one["job"] == held["job"] for one in told)
    everything = b"".join(asked.body for asked in receiver.asked)
    assert not any(one.password.encode() in everything for one in STAFF)
    approved = run(office, "import", "--plan", held["job"], "--yes")
    assert approved["not_in_place"] == 0
    asked_for = {one.name: one for one in [*STAFF, *damaged]}  # nobody is deleted
    assert truth(sandbox) == expected(sandbox, asked_for.values())
    assert ran(office)["result"] == "nothing_new"


def test_a_plan_that_is_cancelled(office: Program, sandbox: Sandbox) -> None:
    """Later runs don't say that its version was imported."""
    roster_of(office.work / "staff.csv", STAFF)
    added(office, *NIGHTLY, "--max-changes", "5")
    plan = ran(office, code=11)["job"]
    assert f"Job {plan}: planned, " in office.run("status", plan).stdout
    assert f"approve it: siproster import --plan {plan}" in office.run("schedule", "show", "nightly").stdout
    assert office.run("cancel", plan).code == 0
    later = ran(office)
    assert later["result"] == "nothing_new"
    assert f"is not imported, or not in full: job {plan} is cancelled" in later["why"]
    assert not sandbox.credentials()


def test_an_approved_plan_that_stops(office: Program, sandbox: Sandbox) -> None:
    """The next run goes on with the job that carries the plan out."""
    roster_of(office.work / "staff.csv", STAFF)
    added(office, *NIGHTLY, "--max-changes", "5", "--batch-size", "2", "--concurrency", "1")
    plan = ran(office, code=11)["job"]
    sandbox.knobs(latency=0.3)
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=4)
    stopped = office.run("import", "--plan", plan, "--yes", "--not-after", ends.isoformat(), "--json")
    assert (stopped.code, stopped.json["reason"]) == (11, "not_after")
    sandbox.knobs(latency=0)
    went_on = ran(office)
    assert (went_on["result"], went_on["job"]) == ("in_place", stopped.json["job"])
    assert truth(sandbox) == expected(sandbox, STAFF)
    shown = office.run("schedule", "show", "nightly").stdout
    assert f"approved, and carried out by job {went_on['job']}" in shown


def test_a_cut_over_is_not_to_be_run_now(office: Program) -> None:
    """Only a recurring schedule is offered to be run when it was added."""
    roster_of(office.work / "staff.csv", STAFF)
    assert "siproster schedule run nightly" in added(office).stderr
    once = added(office, "--at", "2099-01-01T22:00", name="cutover")
    assert "schedule run" not in once.stderr


def test_show_has_the_options(office: Program) -> None:
    """As they are typed, those that schedules have by default among them."""
    roster_of(office.work / "staff.csv", STAFF)
    added(office, *NIGHTLY, "--where", "site!=New York", "--map", "password=SIP secret", "--map", "domain=",
          "--rate", "2.5")  # fmt: skip
    shown = office.run("schedule", "show", "nightly").stdout
    assert "--map 'password=SIP secret' --map domain= --where 'site!=New York'" in shown
    assert "--rate 2.5 --max-failed 10%" in shown


def test_a_plan_that_is_outdated(office: Program, sandbox: Sandbox) -> None:
    """A plan of a damaged export can't be carried out any more once the right one was imported."""
    staff = roster_of(office.work / "staff.csv", STAFF)
    added(office, *NIGHTLY, "--max-changes", "10%", "--absent=delete", "--on-existing", "update")
    run(office, "import", staff)
    assert ran(office)["result"] == "in_place"
    roster_of(staff, STAFF[:20])
    plan = ran(office, code=11)["job"]
    begins = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=15)).isoformat()
    waiting = office.start("import", "--plan", plan, "--yes", "--not-before", begins)
    roster_of(staff, STAFF)
    newer = ran(office)["job"]
    for refused in (office.run("import", "--plan", plan, "--yes"), end_of(waiting)):
        assert (refused.code, f"is outdated: job {newer} has imported" in refused.stderr) == (4, True)
    assert sandbox.log("DELETE") == []
    assert truth(sandbox) == expected(sandbox, STAFF)


def test_a_retry_that_is_outdated(office: Program, sandbox: Sandbox) -> None:
    """Rows of an old version aren't retried once a newer one was imported: their passwords are old."""
    staff = roster_of(office.work / "staff.csv", [*STAFF, User("bad", "")])
    added(office, *NIGHTLY, "--on-existing", "update")
    older = ran(office, code=10)["job"]
    retried = run(office, "retry", older, code=None)["job"]
    changed = [User(STAFF[0].name, "kX8mQ2vN7rT4wZ1p"), *STAFF[1:]]
    roster_of(staff, changed)
    newer = ran(office)["job"]
    for job in (older, retried):
        refused = office.run("retry", job, "--yes")
        assert (refused.code, f"is outdated: job {newer} has imported" in refused.stderr) == (4, True)
    assert truth(sandbox) == expected(sandbox, changed)


def test_an_empty_export(office: Program, sandbox: Sandbox) -> None:
    """A failed run, told to the receiver each night: there is nothing that could be approved."""
    staff = roster_of(office.work / "staff.csv", STAFF)
    with scripted(lambda _: Told(204)) as receiver:
        notify(office, receiver.url)
        run(office, "import", staff)
        added(office, *GUARDED, "--notify", "ops")
        before = truth(sandbox)
        for empty in ("username,password\n", ""):
            staff.write_text(empty)
            assert ran(office, code=6)["result"] == "failed"
        assert office.run("scheduler", "--once").code == 0
    told = [json.loads(asked.body) for asked in receiver.asked]
    assert [(one["result"], one["job"]) for one in told] == [("failed", "")] * 2
    assert truth(sandbox) == before


def notify(office: Program, url: str) -> None:
    """Set up a channel ``ops`` that tells of trouble."""
    settings = office.work / "siproster.toml"
    settings.write_text(f'[notify.ops]\nkind = "webhook"\nurl = "{url}"\nsecret = "{SECRET}"\n')
    settings.chmod(0o600)


def test_a_plan_in_a_folder_does_not_hide(office: Program, sandbox: Sandbox) -> None:
    """While a plan waits, new files are imported, and each run says that it waits."""
    inbox = office.work / "inbox"
    inbox.mkdir()
    roster_of(inbox / "1.csv", STAFF[:30])
    added(office, inbox, *NIGHTLY, "--max-changes", "20")
    plan = ran(office, code=11)["job"]
    roster_of(inbox / "2.csv", STAFF[30:])
    second = ran(office)
    assert (second["result"], f"plan {plan} of an earlier run waits" in second["why"]) == ("in_place", True)
    assert ran(office, code=11)["job"] == plan
    assert office.run("import", "--plan", plan, "--yes").code == 0
    assert ran(office)["result"] == "nothing_new"
    assert truth(sandbox) == expected(sandbox, STAFF)


def test_on_existing_fail_looks_again(office: Program, sandbox: Sandbox) -> None:
    """A version that was refused for what the account held is tried by the next run."""
    roster_of(office.work / "staff.csv", STAFF)
    run(office, "import", roster_of(office.work / "old.csv", [User(STAFF[0].name, "kX8mQ2vN7rT4wZ1p")]))
    added(office, *NIGHTLY, "--on-existing", "fail")
    assert ran(office, code=11)["result"] == "stopped"
    assert ran(office, code=11)["result"] == "stopped"
    assert office.run("credential", "delete", STAFF[0].name, "--yes").code == 0
    assert ran(office)["result"] == "in_place"


# Secrets


def test_secrets_of_a_url(office: Program) -> None:
    """A URL that may let somebody in is sealed in the ledger, and shown without that."""
    url = "https://hr:canary-1@127.0.0.1:1/staff.csv?sig=canary-2"
    office.run("schedule", "add", "nightly", url, *NIGHTLY)
    shown = office.run("schedule", "show", "nightly", "--json")
    assert shown.json["roster"] == "https://127.0.0.1:1/staff.csv"
    failed = office.run("schedule", "run", "nightly")
    assert "connection refused" in failed.stderr  # it was opened again
    assert "canary" not in shown.stdout + failed.stderr + json.dumps(runs(office))
    for path in (office.home / ".local/state/siproster").iterdir():
        assert b"canary" not in path.read_bytes(), path
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077
