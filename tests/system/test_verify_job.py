"""`verify JOB` and `import --verify`: the rows that are in place, tried on the sandbox's own registrar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.accounts import change
from tests.system.rosters import User, result_rows, roster_of, users, write
from tests.system.runs import run

WRONG = User("no body", "Pw-4711-never-sent")


@pytest.fixture
def edge(make_sandbox: Callable[..., Sandbox], siproster: Program) -> Sandbox:
    """A sandbox whose registrar answers; the program is set up for it."""
    sandbox = make_sandbox("--sip-port", "0")
    siproster.environment |= sandbox.environment()
    return sandbox


def place(sandbox: Sandbox) -> str:
    """Return the address of the sandbox's registrar."""
    return f"127.0.0.1:{sandbox.control.get('health').json()['sip_port']}"


def verdicts(path: str) -> dict[str, str]:
    """Each user to what came of it."""
    return {row["bw__username"]: row["bw__verify"] for row in result_rows(path)}


def test_an_import_ends_with_the_proof(siproster: Program, edge: Sandbox) -> None:
    """Every row in place registers; verify.csv is with the results, and the job keeps the counts."""
    mine = roster_of(siproster.work / "staff.csv", users(12))
    summary = run(siproster, "import", mine, "--verify", "--registrar", place(edge))
    assert summary["verify"]["counts"] == {"registers": 12}
    assert summary["verify"]["registered_now"] == 0
    file = Path(summary["verify"]["files"]["verify"])
    assert file.parent == Path(summary["files"]["results"]).parent
    assert set(verdicts(str(file)).values()) == {"registers"}
    assert "12 of the 12 users in place that were tried" in Path(summary["files"]["page"]).read_text("utf-8")
    again = run(siproster, "report", summary["job"])
    assert again["verify"]["counts"] == {"registers": 12}


def test_rows_that_are_not_in_place_are_not_tried(siproster: Program, edge: Sandbox) -> None:
    """Invalid and existing rows have their own outcome; the exit code is the import's."""
    run(siproster, "import", roster_of(siproster.work / "first.csv", [User("ext0", "Pw-of-somebody-else")]))
    mine = roster_of(siproster.work / "staff.csv", [*users(3), WRONG])
    summary = run(siproster, "import", mine, "--verify", "--registrar", place(edge), code=10)
    assert summary["counts"] == {"created": 2, "exists": 1, "invalid": 1}
    assert verdicts(summary["verify"]["files"]["verify"]) == {"ext1": "registers", "ext2": "registers"}


def test_a_proof_that_fails_is_no_success(siproster: Program, edge: Sandbox) -> None:
    """If every row is in place, but the registrar proves nothing, the exit code is 5, never 0."""
    mine = roster_of(siproster.work / "staff.csv", users(3))
    edge.knobs(sip_status=503)
    finished = siproster.run("import", mine, "--verify", "--registrar", place(edge), "--json")
    assert finished.json["counts"] == {"created": 3}
    assert finished.code == 5


@pytest.mark.parametrize("words", [("--verify=2", "staff.csv"), ("staff.csv", "--verify", "2")])
def test_a_sample(siproster: Program, edge: Sandbox, words: tuple[str, ...]) -> None:
    """--verify=N tries N of them."""
    roster_of(siproster.work / "staff.csv", users(9))
    summary = run(siproster, "import", *words, "--registrar", place(edge))
    assert summary["verify"]["counts"] == {"registers": 2}


def test_what_can_not_be_said_with_it(siproster: Program, edge: Sandbox) -> None:
    """An invalid number, a plan or a detached job with --verify: exit code 6, and nothing was sent."""
    roster_of(siproster.work / "staff.csv", users(1))
    for words in (("--verify", "staff.csv"), ("staff.csv", "--verify=0"), ("staff.csv", "--verify=x"),
                  ("--plan", "20260101-000000-x-0000", "--verify=1"),
                  ("staff.csv", "--verify", "--registrar", "a b")):  # fmt: skip
        assert siproster.run("import", *words).code == 6, words
    assert edge.credentials() == []


def test_a_job_with_its_roster(siproster: Program, edge: Sandbox) -> None:
    """A finished job is verified with its roster: a password that somebody changed meanwhile is reported."""
    mine = roster_of(siproster.work / "staff.csv", users(6))
    job = run(siproster, "import", mine)["job"]
    change(edge, "ext4", realm="office")
    words = ("verify", job, "--registrar", place(edge), "--rate", "1000")
    without = siproster.run(*words)
    assert (without.code, "--roster FILE" in without.stderr) == (6, True)
    other = roster_of(siproster.work / "other.csv", users(7))
    refused = siproster.run(*words, "--roster", other)
    assert (refused.code, "contents differ" in refused.stderr) == (6, True)
    assert siproster.run(*words, "--roster", mine, "--realm", "office").code == 6
    facts = run(siproster, *words, "--roster", mine, code=10)
    assert facts["counts"] == {"registers": 5, "wrong_password": 1}
    assert verdicts(facts["files"]["verify"])["ext4"] == "wrong_password"
    assert Path(facts["files"]["verify"]).parent.name == f"siproster-{job}"
    assert "5 of the 6 users in place that were tried" in Path(facts["files"]["page"]).read_text("utf-8")
    assert run(siproster, "status", job)["verify"]["counts"] == facts["counts"]
    sample = run(siproster, *words, "--roster", mine, "--sample", "2", code=None)
    assert sample["tried"] == 2


def test_a_row_that_was_corrected_is_told_apart(siproster: Program, edge: Sandbox) -> None:
    """If the roster has another name or password than the job, the row is not tried, and reported."""
    mine = roster_of(siproster.work / "staff.csv", [WRONG, User("ext9", "")])
    job = run(siproster, "import", mine, code=10)
    failed = Path(job["files"]["failed"])
    name, password = result_rows(failed)
    write(failed, [{**name, "username": "nobody", "password": ""}, {**password, "password": "Pw-4712-new"}])
    retried = run(siproster, "retry", job["job"], "--corrections", failed)
    facts = run(siproster, "verify", retried["job"], "--roster", mine, "--registrar", place(edge), code=None)
    assert facts["counts"] == {"invalid": 2}
    told = result_rows(facts["files"]["verify"])
    assert [row["bw__username"] for row in told] == ["nobody", "ext9"]
    assert ["another name" in told[0]["bw__error"], "another password" in told[1]["bw__error"]] == [True] * 2
    assert edge.lines("sip") == []


def test_digests_in_place_of_passwords(siproster: Program, edge: Sandbox) -> None:
    """A roster of digests registers as well: either digest lets its user in."""
    run(siproster, "import", roster_of(siproster.work / "staff.csv", users(3)))
    exported = siproster.work / "exported.csv"
    exported.write_text(siproster.run("credential", "list", "--csv", "--show-digests").stdout)
    summary = run(siproster, "import", exported, "--verify", "--registrar", place(edge))
    assert summary["counts"] == {"unchanged": 3}
    assert summary["verify"]["counts"] == {"registers": 3}
