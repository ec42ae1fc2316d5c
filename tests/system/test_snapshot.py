"""Snapshots from the command line: taken, compared with now and with each other, against the sandbox."""

from __future__ import annotations

import csv
import io
import stat

import pytest

from tests.program import Program
from tests.sandbox import ACCOUNT, Sandbox
from tests.system.accounts import APPLICATION, add_realm, change, delete, hold, on_account, secrets

NAMES = ["alice", "bob@example.com", "carol", "dora", "+1919"]
FAMILIES = pytest.mark.parametrize("api", ["account", "realm"])


@pytest.fixture
def held(office: Program, sandbox: Sandbox) -> Program:
    """An account with a few users, and lists of two to a page."""
    hold(sandbox, NAMES)
    sandbox.knobs(largest_page=2)
    return office


@FAMILIES
def test_a_snapshot_gives_nothing_away(held: Program, sandbox: Sandbox, api: str) -> None:
    """A snapshot prints its account and count; its file is private, without a readable name or digest."""
    taken = held.run("snapshot", "before", "--api", api, "--json")
    assert taken.code == 0, taken.stderr
    file = held.work / "before"
    assert (taken.json["account"], taken.json["credentials"], taken.json["file"]) == (ACCOUNT, 5, str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content, told = file.read_bytes(), taken.stdout + taken.stderr
    assert [word for word in {*NAMES, *secrets(sandbox)} if word.encode() in content or word in told] == []


@FAMILIES
def test_nothing_changed(held: Program, sandbox: Sandbox, api: str) -> None:
    """Without changes: exit code 0, an empty answer in every form; digests not in lists are read singly."""
    sandbox.knobs(list_omits=["Hash1b"])
    assert held.run("snapshot", "before", "--api", api).code == 0
    sandbox.knobs(list_omits=[], spelling="joined")
    compared = held.run("diff", "before", "--json")
    assert (compared.code, compared.json) == (0, [])
    assert "no differences; 5 credentials at 20" in compared.stderr


@FAMILIES
def test_what_changed_since(held: Program, sandbox: Sandbox, api: str) -> None:
    """Each kind of change is listed by name, with exit code 10 and without digests."""
    assert held.run("snapshot", "before", "--api", api).code == 0
    hold(sandbox, ["eve"])
    delete(sandbox, "bob@example.com")
    change(sandbox, "alice", seed="another password")
    change(sandbox, "carol", application=APPLICATION)
    delete(sandbox, "dora")
    hold(sandbox, ["Dora"])
    compared = held.run("diff", "before", "--json")
    assert compared.code == 10
    assert {fact["username"]: (fact["change"], fact["differs"]) for fact in compared.json} == {
        "alice": ("changed", "digests"),
        "bob@example.com": ("removed", ""),
        "carol": ("changed", "application"),
        "Dora": ("changed", "digests;case"),
        "eve": ("added", ""),
    }
    (carol,) = [fact for fact in compared.json if fact["username"] == "carol"]
    assert (carol["application_id"], carol["application_id_before"]) == (APPLICATION, "")
    assert [digest for digest in secrets(sandbox) if digest in compared.stdout + compared.stderr] == []
    assert on_account(sandbox) == {"alice", "carol", "Dora", "eve", "+1919"}


def test_a_user_on_another_realm(held: Program, sandbox: Sandbox) -> None:
    """A user who was moved to another realm is one change, not one removed and one added."""
    add_realm(sandbox, "sales")
    assert held.run("snapshot", "before").code == 0
    change(sandbox, "alice", realm="sales")
    (fact,) = held.run("diff", "before", "--json").json
    assert (fact["change"], fact["username"], fact["differs"]) == ("changed", "alice", "realm")
    assert fact["realm"].startswith("sales-")
    assert fact["realm_before"].startswith("office-")
    assert "realm was office-" in held.run("diff", "before").stdout


def test_two_snapshots(held: Program, sandbox: Sandbox) -> None:
    """Two snapshots are compared without asking the service anything; lines and CSV agree."""
    held.run("snapshot", "before")
    hold(sandbox, ["=eve"])
    delete(sandbox, "carol")
    held.run("snapshot", "after")
    before = len(sandbox.log())
    lines = held.run("diff", "before", "after")
    table = held.run("diff", "before", "after", "--csv")
    assert len(sandbox.log()) == before
    assert (lines.code, table.code) == (10, 10)
    assert sorted(line.split()[:2] for line in lines.stdout.splitlines()) == [["+", "=eve"], ["-", "carol"]]
    rows = csv.DictReader(io.StringIO(table.stdout))
    assert sorted((row["change"], row["username"]) for row in rows) == [
        ("added", "'=eve"),
        ("removed", "carol"),
    ]
    assert "1 added" in lines.stderr
    assert "5 credentials at 20" in lines.stderr


@FAMILIES
def test_one_realm_alone(held: Program, sandbox: Sandbox, api: str) -> None:
    """A snapshot of a realm is compared with that realm, whatever happens on others."""
    add_realm(sandbox, "sales")
    hold(sandbox, ["seller"], "sales")
    taken = held.run("snapshot", "before", "--realm", "sales", "--api", api, "--json").json
    assert (taken["credentials"], taken["realm"].partition("-")[0]) == (1, "sales")
    hold(sandbox, ["eve"])
    assert held.run("diff", "before").code == 0
    change(sandbox, "seller", seed="x")
    assert [fact["username"] for fact in held.run("diff", "before", "--json").json] == ["seller"]
    held.run("snapshot", "all", "--api", api)
    compared = held.run("diff", "before", "all")
    assert compared.code == 6
    assert "is of realm sales-" in compared.stderr


def test_another_account(held: Program, sandbox: Sandbox) -> None:
    """Exit code 6 names both accounts; nothing is compared."""
    held.run("snapshot", "before")
    compared = held.run("diff", "before", "--account", "4711")
    assert compared.code == 6
    assert f"is of account {ACCOUNT}, the settings of 4711" in compared.stderr


def test_another_key(held: Program, sandbox: Sandbox) -> None:
    """Exit code 6 names the key that is missing; with it among the others the file opens."""
    first, second = (held.run("keygen").stdout.strip() for _ in range(2))
    assert held.run("snapshot", "before", SIPROSTER_KEY=first).code == 0
    compared = held.run("diff", "before", SIPROSTER_KEY=second)
    assert compared.code == 6
    assert "add that key to SIPROSTER_KEY" in compared.stderr
    assert held.run("diff", "before", SIPROSTER_KEY=f"{second},{first}").code == 0


def test_a_file_that_is_there_is_kept(held: Program, sandbox: Sandbox) -> None:
    """An existing file is never overwritten, and the service isn't asked in vain."""
    held.run("snapshot", "before")
    before = (held.work / "before").read_bytes()
    again = held.run("snapshot", "before")
    assert again.code == 6
    assert "already exists" in again.stderr
    assert (held.work / "before").read_bytes() == before


def test_a_damaged_file(held: Program, sandbox: Sandbox) -> None:
    """A snapshot that was cut off, or a file that is none: exit code 6 and a message, no partial result."""
    held.run("snapshot", "before")
    file = held.work / "before"
    file.write_bytes(file.read_bytes()[:-1])
    compared = held.run("diff", "before", "--json")
    assert (compared.code, compared.error) == (6, "usage")
    assert "was changed or is incomplete" in compared.stderr
    file.write_text("username\nalice\n")
    assert "is not a snapshot" in held.run("diff", "before").stderr


def test_a_service_that_goes_away_leaves_no_file(held: Program, sandbox: Sandbox) -> None:
    """If the service goes away, no file is left: a part of the account is no snapshot."""
    sandbox.knobs(refuse={"next": 9, "skip": 1, "status": 403, "path": "sipcredentials"})
    assert held.run("snapshot", "before").code == 2
    assert [file.name for file in held.work.iterdir()] == []
