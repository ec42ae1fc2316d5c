"""Realms from the command line, against the sandbox."""

from __future__ import annotations

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.accounts import add_realm, hold, on_account


def test_a_realm_is_made_and_waited_for(office: Program, sandbox: Sandbox) -> None:
    """`realm create` returns when the realm is ACTIVE, says what it waits for, and makes no default one."""
    sandbox.knobs(realm_pending=1.0)
    made = office.run("realm", "create", "acme", "--description", "Head office", "--json")
    assert made.code == 0, made.stderr
    assert "waiting up to 120 s until it is ACTIVE" in made.stderr
    assert made.json["realm"].startswith("acme-")
    assert (made.json["status"], made.json["default"]) == ("ACTIVE", False)
    assert (made.json["description"], made.json["credentials"]) == ("Head office", 0)
    assert len(sandbox.log("GET", f"/realms/{made.json['id']}")) > 1


def test_waiting_has_an_end(office: Program, sandbox: Sandbox) -> None:
    """A realm that stays pending ends the command with exit code 5; it need not be made again."""
    sandbox.knobs(realm_pending=60)
    made = office.run("realm", "create", "slow", "--wait", "0.5")
    assert made.code == 5
    assert "still CREATE_PENDING after 0.5 s" in made.stderr
    assert office.run("realm", "show", "slow", "--json").json["status"] == "CREATE_PENDING"


def test_a_default_realm_is_made_only_when_asked(office: Program) -> None:
    """--default makes the new realm the account's default one, and no other is."""
    assert office.run("realm", "create", "acme", "--default").code == 0
    listed = office.run("realm", "list", "--json").json
    assert {realm["realm"].partition("-")[0]: realm["default"] for realm in listed} == {
        "office": False,
        "acme": True,
    }


def test_a_list_tells_every_realm(office: Program, sandbox: Sandbox) -> None:
    """The table for people holds each realm's whole host name, its state and its number of credentials."""
    (realm,) = office.run("realm", "list", "--json").json
    listed = office.run("realm", "list")
    assert (listed.code, listed.stderr) == (
        0,
        f"signing in at {sandbox.url} (BW_API_URL, from environment)\n",
    )
    heading, line = listed.stdout.splitlines()
    assert heading.split() == ["realm", "id", "state", "default", "credentials"]
    assert line.split() == [realm["realm"], realm["id"], "ACTIVE", "yes", "0"]


@pytest.mark.parametrize("by", ["id", "realm", "short name"])
def test_a_realm_is_shown_by_any_of_its_names(office: Program, sandbox: Sandbox, by: str) -> None:
    """Id, host name and short name find the same realm, also where the service resolves no short names."""
    sandbox.knobs(short_names=False)
    (realm,) = office.run("realm", "list", "--json").json
    ref = {"short name": "OFFICE"}.get(by) or realm[by]
    assert office.run("realm", "show", ref, "--json").json == realm
    assert realm["realm"] in office.run("realm", "show", ref).stdout


def test_a_realm_that_is_not_there(office: Program) -> None:
    """Exit code 3, and the names of those that are."""
    shown = office.run("realm", "show", "offfice")
    assert shown.code == 3
    assert "no realm is called 'offfice'" in shown.stderr
    assert "office-" in shown.stderr


def test_a_realm_that_is_there_already(office: Program, sandbox: Sandbox) -> None:
    """Exit code 4, and nothing was made."""
    made = office.run("realm", "create", "office")
    assert made.code == 4
    assert "exists already" in made.stderr
    assert "siproster realm list" in made.stderr
    assert len(office.run("realm", "list", "--json").json) == 1


def test_a_name_that_can_not_be(office: Program, sandbox: Sandbox) -> None:
    """Exit code 6 before anything is asked of the service."""
    made = office.run("realm", "create", "head office")
    assert made.code == 6
    assert "letters, digits and inner hyphens" in made.stderr
    assert sandbox.log() == []


def test_without_an_account(siproster: Program) -> None:
    """Exit code 6 names every setting that is missing."""
    listed = siproster.run("realm", "list")
    assert listed.code == 6
    assert "not set: BW_ACCOUNT_ID, BW_CLIENT_ID, BW_CLIENT_SECRET" in listed.stderr


def test_a_realm_is_changed(office: Program, sandbox: Sandbox) -> None:
    """`realm update` sets what is given, and only that; without anything to set it ends with exit code 6."""
    add_realm(sandbox, "sales-team")
    changed = office.run("realm", "update", "SALES-TEAM", "--description", "Sales & more", "--json")
    assert changed.code == 0, changed.stderr
    assert (changed.json["description"], changed.json["default"]) == ("Sales & more", False)
    changed = office.run("realm", "update", changed.json["id"], "--default", "--json")
    assert (changed.json["description"], changed.json["default"]) == ("Sales & more", True)
    assert office.run("realm", "show", "office", "--json").json["default"] is False
    nothing = office.run("realm", "update", "office")
    assert nothing.code == 6
    assert "--description" in nothing.stderr


def test_a_realm_is_deleted(office: Program, sandbox: Sandbox) -> None:
    """The order is taken with --yes alone, as there is no terminal to ask on; the realm goes."""
    add_realm(sandbox, "sales")
    refused = office.run("realm", "delete", "sales")
    assert refused.code == 6
    assert "add --yes" in refused.stderr
    assert sandbox.log("DELETE") == []
    deleted = office.run("realm", "delete", "sales", "--yes", "--json")
    assert deleted.code == 0, deleted.stderr
    assert deleted.json["deleted"]["realm"].startswith("sales-")
    assert office.run("realm", "show", "sales").code == 3


def test_a_realm_that_can_not_be_deleted(office: Program, sandbox: Sandbox) -> None:
    """The default one, and one with users: exit code 4, the reason with its number, and what to do first."""
    default = office.run("realm", "delete", "office", "--yes")
    assert default.code == 4
    assert "33006" in default.stderr
    assert "siproster realm update OTHER --default" in default.stderr
    add_realm(sandbox, "sales")
    hold(sandbox, ["alice", "bob"], "sales")
    full = office.run("realm", "delete", "sales", "--yes")
    assert full.code == 4
    assert "2 credentials" in full.stderr
    assert "12666" in full.stderr


def test_what_the_refusal_says_works(office: Program, sandbox: Sandbox) -> None:
    """The commands that the refusal of 12666 advises empty the realm, so that it can be deleted."""
    add_realm(sandbox, "sales")
    hold(sandbox, ["alice", "+1919"], "sales")
    hold(sandbox, ["carol"])
    host = office.run("realm", "show", "sales", "--json").json["realm"]
    users = office.work / "users.csv"
    users.write_text(office.run("credential", "list", "--realm", host, "--csv").stdout)
    deleted = office.run("credential", "delete", "--realm", host, "--from", users, "--yes")
    assert deleted.code == 0, deleted.stdout
    assert office.run("realm", "delete", host, "--yes").code == 0
    assert on_account(sandbox) == {"carol"}
