"""Accounts that have users already: each row's outcome is the one that was planned."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.program import CLI, Program
from tests.sandbox import Sandbox
from tests.system.mixed import (
    CASES,
    MINE,
    OTHERS,
    PASSWORD,
    STATUS,
    Case,
    action_of,
    by_name,
    fill,
    held,
    host_of,
    roster,
    store,
)
from tests.system.rosters import User, result_rows, roster_of, users, write
from tests.system.runs import jobs, run

# The mixed account


@pytest.mark.parametrize(
    ("policy", "family", "spelling"),
    [
        *itertools.product(["update"], ["account", "realm"], ["split", "joined"]),
        # How a spelling is read doesn't depend on the policy.
        *itertools.product(["skip", "fail"], ["account"], ["split"]),
        *itertools.product(["skip", "fail"], ["realm"], ["joined"]),
    ],
)
def test_plan_and_outcome_agree(
    office: Program, sandbox: Sandbox, policy: str, family: str, spelling: str
) -> None:
    """Row by row, under each policy, in both families, however the service spells a composite."""
    fill(sandbox)
    sandbox.knobs(spelling=spelling)
    before = held(sandbox)
    mine = roster(office.work / "mixed.csv")
    options = ("--api", family, "--on-existing", policy, "--yes")
    planned = {case.name: action_of(case, policy, family) for case in CASES}
    blocked = policy == "fail" and "exists" in planned.values()

    plan = run(office, "plan", mine, *options[:-1], "--results", "plan", code=10)
    rows = result_rows(plan["files"]["plan"])
    assert by_name(rows, "bw__action") == planned
    told = {case.name: "" if planned[case.name] == "create" else case.differs for case in CASES}
    assert by_name(rows, "bw__differs") == told
    assert held(sandbox) == before

    summary = run(office, "import", mine, *options, code=10)
    statuses = by_name(result_rows(summary["files"]["results"]), "bw__status")
    expected = {name: STATUS[action] for name, action in planned.items()}
    if blocked:
        expected = {name: "unprocessed" if word == "created" else word for name, word in expected.items()}
    assert statuses == expected
    assert held(sandbox) == before | ({} if blocked else wanted(sandbox, planned))


def wanted(sandbox: Sandbox, planned: dict[str, str]) -> dict[tuple[str, str], tuple[str, str, str]]:
    """Return the credentials that must be stored for the rows that are created or updated."""
    host = host_of(sandbox)
    cases = [case for case in CASES if planned[case.name] in ("create", "update")]
    return {
        (host, case.stored if planned[case.name] == "update" else case.name): (
            *User(case.name, PASSWORD).digests(host),
            case.wants or case.application,
        )
        for case in cases
    }


def test_leavers_are_told_and_left_alone(office: Program, sandbox: Sandbox) -> None:
    """Users on the roster's realm who are not in the roster are reported and kept; invalid rows are in it."""
    fill(sandbox)
    mine = roster(office.work / "mixed.csv")
    text = mine.read_text("utf-8").replace(f"same,,{PASSWORD}", "same,,")
    mine.write_text(text, "utf-8")
    summary = run(office, "import", mine, code=10)
    assert summary["absent"] == 1
    (leaver,) = result_rows(summary["files"]["absent"])
    assert (leaver["username"], leaver["realm"]) == ("leaver", host_of(sandbox))
    assert "leaver" in sandbox.digests()
    listed = run(office, "plan", mine, "--limit", "3", code=None)
    assert listed["absent"] is None


# Twice the same


@pytest.mark.parametrize("family", ["account", "realm"])
def test_the_same_roster_twice(office: Program, sandbox: Sandbox, family: str) -> None:
    """The second run writes nothing and lists each page once; every row is unchanged, exit 0."""
    mine = roster_of(office.work / "staff.csv", users(1200))
    run(office, "import", mine, "--api", family)
    first = len(sandbox.log())
    again = run(office, "import", mine, "--api", family, "--on-existing", "update")
    later = sandbox.log()[first:]
    assert again["counts"] == {"unchanged": 1200}
    assert [one["method"] for one in later if one["method"] != "GET" and "accounts" in one["path"]] == []
    pages = [one for one in later if one["path"].endswith("/sipcredentials")]
    assert len(pages) == 3
    assert again["requests"] == len(later)
    assert run(office, "plan", mine, "--api", family)["counts"] == {"unchanged": 1200}


def test_nothing_is_listed_where_nothing_is_stored(office: Program, sandbox: Sandbox) -> None:
    """If the realms' counts say that an account is empty, its users are not listed."""
    run(office, "import", roster_of(office.work / "staff.csv", users(20)))
    assert sandbox.log("GET", "sipcredentials") == []


def test_a_small_roster_is_looked_up_row_by_row(office: Program, sandbox: Sandbox) -> None:
    """If the lists have more pages than the roster has rows, each row is looked up; --absent lists."""
    run(office, "import", roster_of(office.work / "many.csv", users(2100)))
    few = roster_of(office.work / "few.csv", users(3))
    first = len(sandbox.log())
    summary = run(office, "import", few)
    asked = [
        one["path"].rpartition("/")[2] for one in sandbox.log()[first:] if "sipcredentials" in one["path"]
    ]
    assert sorted(asked) == ["ext0", "ext1", "ext2"]
    assert (summary["counts"], summary["absent"]) == ({"unchanged": 3}, None)
    assert run(office, "plan", few, "--absent")["absent"] == 2097


@pytest.mark.parametrize("family", ["account", "realm"])
def test_what_a_list_leaves_out_is_read_singly(office: Program, sandbox: Sandbox, family: str) -> None:
    """A list without Hash1b proves nothing: the roster's users are read one by one, the others are not."""
    run(office, "import", roster_of(office.work / "staff.csv", users(30)))
    sandbox.knobs(list_omits=["Hash1b"])
    first = len(sandbox.log())
    again = run(office, "import", roster_of(office.work / "some.csv", users(10)), "--api", family)
    assert again["counts"] == {"unchanged": 10}
    singly = [one for one in sandbox.log("GET", "sipcredentials/")[0:] if one in sandbox.log()[first:]]
    assert len(singly) == 10


# Being asked


def on_a_terminal(program: Program, answer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program with a terminal to ask on."""
    keyboard, terminal = os.openpty()
    os.write(keyboard, answer.encode())
    done = subprocess.run(
        [sys.executable, str(CLI), *arguments], cwd=program.work, env=program.environment, stdin=terminal,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    os.close(keyboard)
    os.close(terminal)
    return done


def test_nothing_that_exists_is_changed_unasked(office: Program, sandbox: Sandbox) -> None:
    """Without a terminal and --yes, exit code 6 and no job; on a terminal, a no does the same."""
    store(sandbox, "alice", "old password", host_of(sandbox))
    roster_of(office.work / "staff.csv", [User("alice", PASSWORD), User("bob", PASSWORD)])
    before = held(sandbox)
    arguments = ("import", "staff.csv", "--on-existing", "update")
    refused = office.run(*arguments)
    assert (refused.code, "add --yes" in refused.stderr) == (6, True)
    declined = on_a_terminal(office, "n\n", *arguments)
    assert declined.returncode == 130
    assert "1 existing user" in declined.stderr
    assert held(sandbox) == before
    assert office.run("jobs", "--json").json == []
    assert on_a_terminal(office, "y\n", *arguments).returncode == 0
    assert sandbox.digests()["alice"] == User("alice", PASSWORD).digests(host_of(sandbox))


def test_new_users_are_not_asked_about(office: Program, sandbox: Sandbox) -> None:
    """If no existing user would be changed, no confirmation is needed."""
    roster_of(office.work / "staff.csv", users(2))
    assert office.run("import", "staff.csv", "--on-existing", "update").code == 0


# Limits of a PUT


def test_an_application_that_does_not_take(office: Program, sandbox: Sandbox) -> None:
    """If the service keeps the old application, the row fails, and undo restores the password."""
    store(sandbox, "alice", "old password", host_of(sandbox), application=OTHERS)
    before = held(sandbox)
    sandbox.knobs(put_application="ignore")
    mine = write(
        office.work / "staff.csv", [{"username": "alice", "password": PASSWORD, "application_id": MINE}]
    )
    summary = run(office, "import", mine, "--on-existing", "update", "--yes", code=10)
    (row,) = result_rows(summary["files"]["results"])
    assert (row["bw__status"], row["bw__error_code"]) == ("failed", "application_not_set")
    run(office, "undo", summary["job"], "--yes")
    assert held(sandbox) == before


@pytest.mark.parametrize("behaviour", ["keep", "clear"])
@pytest.mark.parametrize("family", ["account", "realm"])
def test_an_application_that_nobody_named_stays(
    office: Program, sandbox: Sandbox, behaviour: str, family: str
) -> None:
    """A PUT without an application may clear it, so the application that is stored is sent again."""
    store(sandbox, "alice", "old password", host_of(sandbox), application=OTHERS)
    sandbox.knobs(put_without_application=behaviour)
    mine = roster_of(office.work / "staff.csv", [User("alice", PASSWORD)])
    run(office, "import", mine, "--api", family, "--on-existing", "update", "--yes")
    assert [one["application"] for one in sandbox.credentials()] == [OTHERS]


def test_a_lagging_read_is_waited_for(either: Program, sandbox: Sandbox) -> None:
    """A read that shows a write a second late doesn't make it look undone."""
    store(sandbox, "alice", "old password", host_of(sandbox))
    sandbox.knobs(list_lag=1.0)
    mine = roster_of(either.work / "staff.csv", [User("alice", PASSWORD)])
    summary = run(either, "import", mine, "--on-existing", "update", "--yes")
    assert summary["counts"] == {"updated": 1}


def test_a_plan_lets_the_import_follow(office: Program, sandbox: Sandbox) -> None:
    """`plan && import`: exit code 0 if every row would be in place; 10 for changes only on request."""
    mine = roster_of(office.work / "staff.csv", users(2))
    assert office.run("plan", mine).code == 0
    assert office.run("plan", mine, "--exit-on-change").code == 10
    (office.work / "siproster.toml").write_text("exit-on-change = true\n", "utf-8")
    assert office.run("plan", mine).code == 10
    run(office, "import", mine)
    assert office.run("plan", mine).code == 0
    assert office.run("plan", roster_of(office.work / "changed.csv", [User("ext0", PASSWORD)])).code == 10
    refused = office.run("plan", mine, "--exit-on-change", BW_ACCOUNT_ID="")
    assert (refused.code, "no account is set" in refused.stderr) == (6, True)


# Plans that are kept


def saved(program: Program, *arguments: str | Path, code: int = 0) -> str:
    """Save a plan and return its id. ``code``: 10 if some rows would not be in place afterwards."""
    plan: dict[str, Any] = run(program, "plan", *arguments, "--save", code=code)
    return str(plan["plan"])


@pytest.mark.parametrize(
    ("either", "family"), [("embedded", "account"), ("embedded", "realm"), ("workers", "realm")],
    indirect=["either"],
)  # fmt: skip
def test_a_plan_is_carried_out(either: Program, sandbox: Sandbox, family: str) -> None:
    """An approved plan is carried out as it said, once, and without the roster."""
    fill(sandbox)
    before = held(sandbox)
    mine = roster(either.work / "mixed.csv")
    plan = saved(either, mine, "--api", family, "--on-existing", "update", code=10)
    mine.unlink()
    assert held(sandbox) == before
    assert either.run("resume", plan).code == 4
    summary = run(either, "import", "--plan", plan, "--yes", code=10)
    planned = {case.name: action_of(case, "update", family) for case in CASES}
    statuses = by_name(result_rows(summary["files"]["results"]), "bw__status")
    assert statuses == {name: STATUS[action] for name, action in planned.items()}
    assert summary["parent"] == plan
    again = either.run("import", "--plan", plan, "--yes")
    assert again.code == 4
    assert summary["job"] in again.stderr


def test_what_changed_since_the_plan_is_refused(office: Program, sandbox: Sandbox) -> None:
    """Users created, changed or deleted since the plan are refused; the others are done as approved."""
    host = host_of(sandbox)
    for name in ("set", "changed", "deleted", "kept", "lost", "agrees"):
        store(sandbox, name, PASSWORD if name in ("kept", "lost") else "old password", host)
    names = ("new", "made", "set", "changed", "deleted", "kept", "lost", "agrees")
    mine = roster_of(office.work / "staff.csv", [User(name, PASSWORD) for name in names])
    plan = saved(office, mine, "--on-existing", "update")
    office.run("credential", "delete", "deleted", "changed", "lost", "agrees", "--yes")
    store(sandbox, "made", "somebody's password", host)
    store(sandbox, "changed", "somebody's password", host)
    store(sandbox, "agrees", PASSWORD, host)
    before = held(sandbox)
    summary = run(office, "import", "--plan", plan, "--yes", code=10)
    rows = result_rows(summary["files"]["results"])
    assert by_name(rows, "bw__status") == {
        "new": "created", "made": "exists", "set": "updated", "changed": "exists", "deleted": "failed",
        "kept": "unchanged", "lost": "failed", "agrees": "unchanged",
    }  # fmt: skip
    codes = by_name(rows, "bw__error_code")
    assert {name for name, code in codes.items() if code == "changed_since_plan"} == {
        "made", "changed", "deleted", "lost",
    }  # fmt: skip
    after = held(sandbox)
    assert {name for _, name in after if after[host, name] != before.get((host, name))} == {"new", "set"}


def test_what_was_approved_can_not_be_changed_on_the_way(office: Program, sandbox: Sandbox) -> None:
    """With --plan, options that decide how rows are read or sent are refused; so is what is no plan."""
    mine = roster_of(office.work / "staff.csv", users(2))
    plan = saved(office, mine)
    for more in (("--realm", "x"), ("--on-existing", "update"), ("--batch-size", "3"), ("staff.csv",)):
        assert office.run("import", "--plan", plan, *more).code == 6
    job = run(office, "import", mine)["job"]
    assert office.run("import", "--plan", job).code == 6
    assert office.run("import").code == 6
    assert office.run("cancel", plan).code == 0
    assert office.run("import", "--plan", plan).code == 4


def test_a_plan_does_not_hold_the_account(office: Program, sandbox: Sandbox) -> None:
    """While a plan waits for approval, others may import."""
    plan = saved(office, roster_of(office.work / "staff.csv", users(2)))
    run(office, "import", roster_of(office.work / "others.csv", users(2, first=10)))
    assert run(office, "import", "--plan", plan)["counts"] == {"created": 2}


def test_a_plan_whose_carrying_out_was_killed_is_carried_out_again(office: Program, sandbox: Sandbox) -> None:
    """A plan whose command was killed before it sent anything is carried out again, as the message says."""
    plan = saved(office, roster_of(office.work / "staff.csv", users(2)))
    office.run("import", "--plan", plan, SIPROSTER_FAILPOINTS="planned=kill")
    job = jobs(office)[0]["job"]
    told = office.run("resume", job)
    assert (told.code, f"siproster import --plan {plan}" in told.stderr) == (4, True)
    assert run(office, "import", "--plan", plan)["counts"] == {"created": 2}


# Rows again


def test_a_retry_with_another_policy(office: Program, sandbox: Sandbox) -> None:
    """Rows that existed and were left alone are set by a retry that says so; others aren't touched."""
    store(sandbox, "alice", "old password", host_of(sandbox))
    mine = roster_of(office.work / "staff.csv", [User("alice", PASSWORD), User("bob", PASSWORD)])
    job = run(office, "import", mine, code=10)["job"]
    first = len(sandbox.log())
    summary = run(office, "retry", job, "--on-existing", "update", "--yes")
    assert summary["counts"] == {"updated": 1}
    assert summary["absent"] is None  # bob is in the roster, though not among the rows that are run again
    touched = [one["path"] for one in sandbox.log()[first:] if one["method"] in ("PUT", "POST")]
    assert [path for path in touched if "sipcredentials" in path and "alice" not in path] == []


def test_the_roster_again(office: Program, sandbox: Sandbox) -> None:
    """If the passwords are shredded, the roster gives them by line and name; another file is refused."""
    store(sandbox, "bob", "old password", host_of(sandbox))
    mine = roster_of(office.work / "staff.csv", [User(name, PASSWORD) for name in ("alice", "bob")])
    job = run(office, "import", mine, "--keep-days", "0", code=10)["job"]
    run(office, "import", roster_of(office.work / "other.csv", users(1)))  # shreds what is past its time
    shredded = office.run("retry", job)
    assert shredded.code == 6
    assert re.search(r"line 3 is shredded.*--roster", shredded.stderr, re.DOTALL)
    changed = write(office.work / "changed.csv", [{"username": "bob", "password": "x"}])
    refused = office.run("retry", job, "--roster", changed)
    assert (refused.code, "contents differ" in refused.stderr) == (6, True)
    summary = run(office, "retry", job, "--roster", mine, "--on-existing", "update", "--yes")
    assert summary["counts"] == {"updated": 1}
    assert sandbox.digests()["bob"] == User("bob", PASSWORD).digests(host_of(sandbox))


def test_every_kind_of_row_is_in_the_mixed_account() -> None:
    """The mixed account has a case for each action under each policy."""
    for policy in ("skip", "update"):
        actions = {action_of(case, policy, "account") for case in CASES}
        assert actions == {"create", "unchanged", "exists"} | ({"update"} if policy == "update" else set())
    assert isinstance(CASES[0], Case)


def test_a_retry_never_gives_somebody_anothers_password(office: Program, sandbox: Sandbox) -> None:
    """The second row of a name stays a duplicate in a retry, and in a retry of that."""
    store(sandbox, "d2", "old password", host_of(sandbox))
    rows = [User("d1", PASSWORD), User("d2", PASSWORD), User("D1", "Pw-of-the-second-row")]
    mine = roster_of(office.work / "staff.csv", rows)
    job = run(office, "import", mine, code=10)["job"]
    for _ in range(2):
        summary = run(office, "retry", job, "--on-existing", "update", "--yes", code=10)
        (last,) = [row for row in result_rows(summary["files"]["results"]) if row["bw__row"] == "4"]
        assert (last["bw__status"], last["bw__error_code"]) == ("invalid", "duplicate_in_file")
        assert "line 2 already has" in last["bw__error"]
        job = summary["job"]
    assert sandbox.digests()["d1"] == User("d1", PASSWORD).digests(host_of(sandbox))


def test_a_correction_takes_nobodys_name(office: Program, sandbox: Sandbox) -> None:
    """A correction that names a user who is in place fails as a duplicate, and changes no password."""
    rows = [User("k1", PASSWORD), User("k 2", "Pw-of-somebody-else")]
    first = run(
        office, "import", roster_of(office.work / "staff.csv", rows), "--on-existing", "update", code=10
    )
    failed = Path(first["files"]["failed"])
    (row,) = result_rows(failed)
    write(failed, [{**row, "username": "k1"}])
    summary = run(office, "retry", first["job"], "--corrections", failed, "--yes", code=10)
    (told,) = result_rows(summary["files"]["results"])
    assert told["bw__error_code"] == "duplicate_in_file"
    assert sandbox.digests()["k1"] == User("k1", PASSWORD).digests(host_of(sandbox))


@pytest.mark.parametrize("row", ['"u3",Passw0rd-aa3,extra', ",Passw0rd-aa3", "u 3,Passw0rd-aa3", '"u"3,x'])
def test_nobody_is_a_leaver_while_a_row_can_not_be_read(office: Program, sandbox: Sandbox, row: str) -> None:
    """If a row's name can't be read, it may be any stored user's, so nobody is listed as absent."""
    for name in ("u1", "u3"):
        store(sandbox, name, PASSWORD, host_of(sandbox))
    mine = office.work / "staff.csv"
    mine.write_text(f"username,password\nu1,{PASSWORD}\n{row}\n", "utf-8")
    plan = office.run("plan", mine, "--results", "plan", "--json")
    assert (plan.json["absent"], plan.json["files"].keys()) == (None, {"plan"})
    assert "1 row can't be read" in plan.stderr


def test_a_list_of_leavers_is_this_jobs_own(office: Program, sandbox: Sandbox) -> None:
    """In a folder that is used again, an earlier job's absent.csv doesn't remain."""
    for name in ("u1", "u2", "u3"):
        store(sandbox, name, PASSWORD, host_of(sandbox))
    mine = roster_of(office.work / "staff.csv", [User("u1", PASSWORD), User("u2", PASSWORD)])
    first = run(office, "import", mine, "--results", "here")
    assert Path(first["files"]["absent"]).exists()
    later = run(office, "import", mine, "--limit", "1", "--results", "here")
    assert (later["absent"], "absent" in later["files"]) == (None, False)
    assert not Path(first["files"]["absent"]).exists()
