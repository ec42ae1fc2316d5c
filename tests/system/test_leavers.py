"""``--absent delete``: leavers are deleted, those in doubt are kept, and an undo brings them back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.accounts import APPLICATION, add_realm, change, delete, hold, on_account
from tests.system.mixed import held
from tests.system.rosters import Row, result_rows, roster_of, users, write
from tests.system.runs import run

STAFF = users(12)
LEFT = {"ext8", "ext9", "ext10", "ext11"}
DELETE = ("--absent", "delete", "--max-changes", "50%", "--yes")


@pytest.fixture
def fewer(either: Program, sandbox: Sandbox) -> Path:
    """A roster without the last four of the twelve users that it had when it was imported."""
    path = roster_of(either.work / "staff.csv", STAFF)
    run(either, "import", path)
    return roster_of(path, STAFF[:8])


@pytest.fixture
def shrunk(office: Program, sandbox: Sandbox) -> Path:
    """The same, in embedded mode."""
    path = roster_of(office.work / "staff.csv", STAFF)
    run(office, "import", path)
    return roster_of(path, STAFF[:8])


def told(summary: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what became of each user of absent.csv: outcome and code."""
    rows: list[Row] = result_rows(summary["files"]["absent"])
    return {row["username"]: (row["outcome"], row["error_code"]) for row in rows}


def deletions(sandbox: Sandbox) -> list[str]:
    """Return the users whom the service was asked to delete, once for each request."""
    return [line["path"].rpartition("/")[2] for line in sandbox.log("DELETE")]


def test_deleted_and_brought_back(either: Program, sandbox: Sandbox, fewer: Path) -> None:
    """Leavers are deleted after the rows, told user by user, and created again by an undo as they were."""
    before = held(sandbox)
    summary = run(either, "import", fewer, *DELETE)
    assert summary["counts"] == {"unchanged": 8}
    assert (summary["absent"], summary["leavers"]) == (4, {"deleted": 4})
    assert told(summary) == dict.fromkeys(LEFT, ("deleted", ""))
    assert on_account(sandbox) == {user.name for user in STAFF[:8]}
    again = run(either, "import", fewer, *DELETE)
    assert (again["leavers"], again["counts"]) == ({}, {"unchanged": 8})
    undone = run(either, "undo", summary["job"], "--yes")
    assert undone["counts"] == {"restored": 4}
    assert held(sandbox) == before
    rows = result_rows(undone["files"]["undo"])
    assert {row["bw__username"] for row in rows} == LEFT
    assert run(either, "undo", summary["job"], "--yes")["counts"] == {"restored": 4}
    assert held(sandbox) == before


@pytest.mark.parametrize("family", ["account", "realm"])
def test_kept_in_doubt(office: Program, sandbox: Sandbox, family: str) -> None:
    """A user is kept if the roster may mean it, or if it has another application than the roster's."""
    add_realm(sandbox, "other")
    hold(sandbox, ["0103", "19195550100", "bob", "carol@example.com", "leaver", "Dave"])
    hold(sandbox, ["fax"], application="aaaaaaaa-1111-2222-3333-abcdefabcdef")
    hold(sandbox, ["phone"], application=APPLICATION)
    if family == "realm":
        hold(sandbox, ["erin"])
    rows = [
        ("103", "", ""), ("+19195550100", "", ""), ("bob", "example.com", ""), ("carol", "", ""),
        ("dave", "", ""), ("erin", "", "other"), ("good", "", ""), ("bad", "", ""),
    ]  # fmt: skip
    path = write(office.work / "staff.csv", [
        {"username": user, "password": "" if user == "bad" else f"pw-{user}-xYz12", "domain": domain,
         "realm": realm, "application_id": APPLICATION if user == "good" else ""}
        for user, domain, realm in rows
    ])  # fmt: skip
    hold(sandbox, ["bad"])  # its row is invalid: that makes nobody a leaver
    options = ("--api", family, "--absent", "delete", "--max-changes", "100", "--yes")
    planned = run(office, "plan", path, *options[:-1], "--results", "plan", code=10)
    assert planned["leavers"]["delete"] == 2
    summary = run(office, "import", path, *options, code=10)
    similar = {"0103", "19195550100", "bob", "carol@example.com"} | ({"erin"} if family == "realm" else set())
    assert told(summary) == {
        "leaver": ("deleted", ""), "phone": ("deleted", ""), "fax": ("kept", "application_differs"),
        **dict.fromkeys(similar, ("kept", "name_similar")),
    }  # fmt: skip
    assert sorted(told(planned)) == sorted(told(summary))
    assert on_account(sandbox) >= {*similar, "fax", "Dave", "bad"}
    assert not on_account(sandbox) & {"leaver", "phone"}


def test_nobody_is_deleted_if_a_row_could_be_anybody(office: Program, sandbox: Sandbox, shrunk: Path) -> None:
    """If a row doesn't tell whom it means, everybody stays."""
    with shrunk.open("a", encoding="utf-8") as file:
        file.write(",a-password-without-a-name\n")
    summary = run(office, "import", shrunk, *DELETE, code=10)
    assert (summary["leavers"], summary["absent"], deletions(sandbox)) == ({}, None, [])
    assert len(on_account(sandbox)) == 12


def test_a_name_that_is_hidden_is_nobody_s(office: Program, sandbox: Sandbox, shrunk: Path) -> None:
    """A name that an invalid row hides, because it contains the password, may be any user's."""
    hold(sandbox, ["ext8abcdefg"])
    write(shrunk, [
        {"username": "ext0", "password": STAFF[0].password, "realm": ""},
        {"username": "ext8abcdefg", "password": "abcdefg", "realm": "nowhere"},
    ])  # fmt: skip
    summary = run(office, "import", shrunk, *DELETE[:2], "--max-changes", "100", "--yes", code=10)
    assert (summary["leavers"], deletions(sandbox)) == ({}, [])


def test_rows_come_first(either: Program, sandbox: Sandbox) -> None:
    """Nobody is deleted before every row of the roster has its outcome."""
    path = roster_of(either.work / "staff.csv", users(300))
    run(either, "import", path)
    roster_of(path, users(500)[50:])
    options = ("--absent", "delete", "--max-changes", "300", "--batch-size", "10", "--chunk-size", "40")
    summary = run(either, "import", path, *options, "--yes")
    assert summary["counts"] == {"created": 200, "unchanged": 250}
    assert summary["leavers"] == {"deleted": 50}
    methods = [line["method"] for line in sandbox.log() if "sipcredentials" in line["path"]]
    last_post = len(methods) - 1 - methods[::-1].index("POST")
    assert methods.index("DELETE") > last_post


@pytest.mark.parametrize(
    "options",
    [
        ("--absent", "delete"),
        (*DELETE, "--where", "username~ext"),
        (*DELETE, "--limit", "3"),
        (*DELETE, "--skip", "1"),
        ("--absent", "remove"),
    ],
)
def test_rash_deletions_are_refused(
    office: Program, sandbox: Sandbox, shrunk: Path, options: tuple[str, ...]
) -> None:
    """Without a bound, or with a part of the roster, nothing is even looked up."""
    before = len(sandbox.log())
    assert office.run("import", shrunk, *options).code == 6
    assert len(sandbox.log()) == before


def test_without_an_answer_nobody_is_deleted(office: Program, sandbox: Sandbox, shrunk: Path) -> None:
    """Off a terminal, deleting needs --yes; the question names the number and the account."""
    finished = office.run("import", shrunk, *DELETE[:-1])
    assert finished.code == 6
    assert "Delete 4 users not in the roster from account 9900001" in finished.stderr
    assert len(on_account(sandbox)) == 12


def test_a_bound_counts_leavers(office: Program, sandbox: Sandbox, shrunk: Path) -> None:
    """More leavers than allowed are held back; the approved plan deletes exactly those, if unchanged."""
    summary = run(office, "import", shrunk, *DELETE[:2], "--max-changes", "3", "--yes", code=11)
    assert "4 changes (4 to delete)" in summary["why"]
    assert summary["leavers"] == {"unprocessed": 4}
    shown = office.run("status", summary["job"]).stdout.splitlines()
    assert (
        len({line.index(word) for line in shown for word in ("unchanged ", "unprocessed ") if word in line})
        == 1
    )
    assert deletions(sandbox) == []
    hold(sandbox, ["late"])  # not in the plan
    change(sandbox, "ext9", seed="another password")
    delete(sandbox, "ext10")
    done = run(office, "import", "--plan", summary["job"], "--yes")
    assert told(done) == {
        "ext8": ("deleted", ""), "ext9": ("kept", "changed_since_plan"), "ext10": ("deleted", "user_gone"),
        "ext11": ("deleted", ""),
    }  # fmt: skip
    assert on_account(sandbox) == {*(user.name for user in STAFF[:8]), "ext9", "late"}
    undone = run(office, "undo", done["job"], "--yes")
    assert undone["counts"] == {"restored": 2}
    assert on_account(sandbox) == {*(user.name for user in STAFF[:8]), "ext8", "ext9", "ext11", "late"}


def test_a_saved_plan(either: Program, sandbox: Sandbox, fewer: Path) -> None:
    """`plan --save` lists whom it would delete, and deletes nobody."""
    plan = run(either, "plan", fewer, *DELETE[:-1], "--save", "--results", "plan")
    assert told(plan) == dict.fromkeys(LEFT, ("delete", ""))
    assert (plan["leavers"], deletions(sandbox)) == ({"delete": 4, "kept": 0}, [])
    assert run(either, "import", "--plan", plan["plan"], "--yes")["leavers"] == {"deleted": 4}
    assert on_account(sandbox) == {user.name for user in STAFF[:8]}


@pytest.mark.parametrize("point", ["planned", "claimed", "intended", "answered", "recorded", "ending"])
def test_killed_while_deleting(office: Program, sandbox: Sandbox, shrunk: Path, point: str) -> None:
    """Killed at any point, it is resumed: nobody is deleted twice, nor anybody who was changed meanwhile."""
    killed = office.run("import", shrunk, *DELETE, "--concurrency", "1", SIPROSTER_FAILPOINTS=f"{point}=kill")
    assert killed.code == -9
    change(sandbox, "ext9", seed="another password") if "ext9" in on_account(sandbox) else None
    summary = run(office, "resume", "latest", "--yes")
    outcomes = {name: outcome for name, (outcome, _) in told(summary).items()}
    stayed = {name for name, outcome in outcomes.items() if outcome == "kept"}
    assert outcomes.keys() == LEFT
    assert stayed <= {"ext9"}
    assert on_account(sandbox) == {*(user.name for user in STAFF[:8]), *stayed}
    assert len(deletions(sandbox)) == len(set(deletions(sandbox)))
    unproven = {name for name, (_, code) in told(summary).items() if code == "origin_unknown"}
    assert len(unproven) == (1 if point == "answered" else 0)


def test_lost_answers(office: Program, sandbox: Sandbox, shrunk: Path) -> None:
    """A deletion without an answer is looked at again; undo restores only what is proven, or asked for."""
    before = held(sandbox)
    sandbox.knobs(drop={"next": 2, "method": "DELETE", "commit": True})
    summary = run(office, "import", shrunk, *DELETE, "--concurrency", "1")
    codes = sorted(code for _, code in told(summary).values())
    assert codes == ["", "", "origin_unknown", "origin_unknown"]
    assert on_account(sandbox) == {user.name for user in STAFF[:8]}
    assert run(office, "undo", summary["job"], "--yes", code=10)["counts"] == {"kept": 2, "restored": 2}
    whole = run(office, "undo", summary["job"], "--include-unproven", "--yes")
    assert whole["counts"] == {"restored": 4}
    assert held(sandbox) == before


@pytest.mark.parametrize(
    ("knobs", "outcome", "left"),
    [
        ({"refuse": {"next": 1, "method": "DELETE", "status": 400, "code": "23017", "text": "no"}},
         ("failed", "23017"), 1),
        ({"bad_gateway": {"next": 9, "method": "DELETE", "status": 409}}, ("unknown", "refused"), None),
        ({"unavailable": {"next": 2, "method": "DELETE"}}, None, 0),
    ],
)  # fmt: skip
def test_refused_deletions(
    office: Program, sandbox: Sandbox, shrunk: Path,
    knobs: dict[str, Any], outcome: tuple[str, str] | None, left: int | None,
) -> None:  # fmt: skip
    """A refusal is told with its code and with exit code 10; a proxy's page refuses nothing for sure."""
    sandbox.knobs(**knobs)
    summary = run(office, "import", shrunk, *DELETE, "--concurrency", "1", code=10 if outcome else 0)
    found = list(told(summary).values())
    assert found.count(("deleted", "")) == len(LEFT) - (found.count(outcome) if outcome else 0)
    assert left is None or len(on_account(sandbox)) == 8 + left
    assert (outcome in found) == (outcome is not None)
    if left:
        said = office.run("retry", summary["job"]).stderr
        assert "1 user who is not in the roster may still be stored (absent.csv)" in said


def test_digests_that_are_hidden(office: Program, sandbox: Sandbox, shrunk: Path) -> None:
    """Digests that a list leaves out are read user by user; a user whose digests stay hidden is kept."""
    sandbox.knobs(list_omits=["Hash1b"])
    assert run(office, "plan", shrunk, *DELETE[:-1])["leavers"] == {"delete": 4, "kept": 0}
    sandbox.knobs(get_omits=["Hash1b"])
    summary = run(office, "import", shrunk, *DELETE, code=None)
    assert told(summary) == dict.fromkeys(LEFT, ("kept", "digests_hidden"))
    sandbox.knobs(get_omits=[])
    summary = run(office, "import", shrunk, *DELETE)
    assert summary["leavers"] == {"deleted": 4}


def test_undo_leaves_a_new_user_alone(office: Program, sandbox: Sandbox, shrunk: Path) -> None:
    """If somebody has made a user of a leaver's name since, undo keeps it; killed, undo is continued."""
    summary = run(office, "import", shrunk, *DELETE)
    hold(sandbox, ["ext10"])
    new = held(sandbox)
    killed = office.run("undo", summary["job"], "--yes", SIPROSTER_FAILPOINTS="taken_back=kill@2")
    assert killed.code == -9
    facts = run(office, "undo", summary["job"], "--yes", code=10)
    assert facts["counts"] == {"kept": 1, "restored": 3}
    assert len(on_account(sandbox)) == 12
    assert new.items() <= held(sandbox).items()
