"""`plan --columns`, plans that were killed, and commands on behalf of a person of the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import roster_of, users
from tests.system.runs import jobs

PASSWORD = "Tb7xQ2mK9rL4vN8s"
DANA = json.dumps({"person": "dana", "origin": "192.0.2.7"})


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    """A roster with a decoy."""
    path = tmp_path / "staff.csv"
    path.write_text(
        f"Extension,SIP Secret,Voicemail PIN,Name\n100,{PASSWORD},1234,Ann\n101,{PASSWORD}1,2345,Bo\n"
    )
    return path


def test_columns_are_shown(siproster: Program, roster: Path) -> None:
    """People and programs are told what each column is; without an account, and without a ledger."""
    shown = siproster.run("plan", roster, "--columns")
    assert shown.code == 0
    assert "SIP Secret           password; its name says that it is the phone's password" in shown.stdout
    assert "Name                 Ann, Bo" in shown.stdout
    found = siproster.run("plan", roster, "--columns", "--json")
    assert [one["field"] for one in found.json["columns"]] == ["username", "password", "", ""]
    assert PASSWORD not in shown.stdout + shown.stderr + found.stdout + found.stderr
    assert not list(siproster.home.rglob("ledger*"))


def test_what_decides_is_told(siproster: Program, roster: Path) -> None:
    """A roster that can't be read as it is: exit 6, one JSON object with columns and error."""
    found = siproster.run("plan", roster, "--columns", "--map", "password=Nobody", "--json")
    assert found.code == 6
    assert (found.json["error"]["code"], found.json["error"]["exit"]) == ("usage", 6)
    assert "'Nobody' is not a column" in found.json["error"]["message"]
    assert len(found.json["columns"]) == 4
    gone = siproster.run("plan", "gone.csv", "--columns", "--json")
    assert gone.code == 6
    assert "there is no file" in gone.stderr
    for option in (["--save"], ["--results", "x"], ["--exit-on-change"]):
        assert siproster.run("plan", roster, "--columns", *option).code == 6


def test_a_plan_that_was_killed_is_never_sent(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """`resume` of a plan whose process was killed sends nothing, although it resumes such an import."""
    wanted = roster_of(tmp_path / "staff.csv", users(3))
    office.run("plan", wanted, "--save", SIPROSTER_FAILPOINTS="planned_page=kill")
    (job,) = jobs(office)
    resumed = office.run("resume", job["job"], "--yes")
    assert resumed.code == 4
    assert f"plan the roster again: siproster plan {wanted} --save" in resumed.stderr
    assert sandbox.log("POST", "/sipcredentials") == []
    assert office.run("import", wanted, "--yes").code == 0  # the account is free


def test_a_command_on_behalf_of_a_person(office: Program, tmp_path: Path) -> None:
    """Job and audit name the person of the page and their address; what the page never sets is refused."""
    wanted = roster_of(tmp_path / "staff.csv", users(2))
    done = office.run("import", wanted, "--json", SIPROSTER_ON_BEHALF_OF=DANA)
    assert (done.code, done.json["operator"]) == (0, "dana (page)")
    assert "warning" not in done.stderr
    audit = office.run("jobs", "--audit", "--json").json
    assert [(one["operator"], one["origin"]) for one in audit] == [("dana (page)", "192.0.2.7")]
    for wrong in ("dana", "{}", '{"person": "", "origin": ""}', '{"person": "a\\nb", "origin": ""}',
                  '{"person": "dana", "origin": "home"}'):  # fmt: skip
        refused = office.run("plan", wanted, "--save", SIPROSTER_ON_BEHALF_OF=wrong)
        assert refused.code == 6
        assert "unset SIPROSTER_ON_BEHALF_OF" in refused.stderr
