"""Users that are stored: listed, shown and deleted from the command line, against the sandbox."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import CLI, Program
from tests.sandbox import ACCOUNT, Sandbox
from tests.system.accounts import APPLICATION, add_realm, hold, on_account, secrets
from tests.system.rosters import User, roster_of, write

FAMILIES = pytest.mark.parametrize("api", ["account", "realm"])
NAMES = ["alice", "bob@example.com", "+19195551212", "=cmd", "1", "10", "Carol"]


@pytest.fixture
def held(office: Program, sandbox: Sandbox) -> Program:
    """An account with a few users of every kind, and lists of three to a page."""
    hold(sandbox, NAMES)
    sandbox.knobs(largest_page=3)
    return office


@FAMILIES
def test_everybody_is_listed_in_every_form(held: Program, sandbox: Sandbox, api: str) -> None:
    """Lines, CSV and JSON list the same credentials, from all pages, and none contains a digest."""
    listed = {
        form: held.run("credential", "list", "--api", api, *form) for form in [(), ("--csv",), ("--json",)]
    }
    assert {one.code for one in listed.values()} == {0}
    facts = listed["--json",].json
    assert {fact["username"] for fact in facts} == set(NAMES)
    assert {fact["id"] for fact in facts} == {one["id"] for one in sandbox.credentials()}
    rows = list(csv.DictReader(io.StringIO(listed["--csv",].stdout)))
    assert list(rows[0]) == ["username", "realm", "id", "application_id"]
    assert {row["username"].removeprefix("'") for row in rows} == set(NAMES)
    assert {line.split()[0] for line in listed[()].stdout.splitlines()} == set(NAMES)
    assert "7 credentials" in listed[()].stderr
    told = "".join(one.stdout + one.stderr for one in listed.values())
    assert [digest for digest in secrets(sandbox) if digest in told] == []


def test_a_spreadsheet_runs_no_name(held: Program) -> None:
    """Cells of a CSV that would be formulas begin with a quote; JSON has the name as it is."""
    rows = csv.reader(io.StringIO(held.run("credential", "list", "--csv").stdout))
    names = [row[0] for row in rows]
    assert {"'=cmd", "'+19195551212", "alice"} <= set(names)


def test_digests_are_told_to_whoever_insists(held: Program, sandbox: Sandbox) -> None:
    """--show-digests prints all digests, even those that lists leave out, and warns on stderr."""
    sandbox.knobs(list_omits=["Hash1b"])
    listed = held.run("credential", "list", "--show-digests", "--json")
    assert {fact["username"]: (fact["hash1"], fact["hash1b"]) for fact in listed.json} == sandbox.digests()
    assert "as good as the password" in listed.stderr
    shown = held.run("credential", "show", "alice", "--show-digests", "--json")
    assert (shown.json["hash1"], shown.json["hash1b"]) == sandbox.digests()["alice"]
    assert "as good as the password" in shown.stderr


FILTERS: dict[str, set[str]] = {
    "--user LIC": {"alice"},
    "--user 1": {"1", "10", "+19195551212"},
    "--domain Example": {"bob@example.com"},
    "--domain e --user a": set(),
    "--user nobody": set(),
}


@pytest.mark.parametrize(("api", "spelling"), [("account", "split"), ("realm", "joined")])
def test_a_part_of_the_account(held: Program, sandbox: Sandbox, api: str, spelling: str) -> None:
    """Filters work for fragments of any length, any case and either spelling of a composite."""
    sandbox.knobs(spelling=spelling)
    words = ["credential", "list", "--api", api, "--json"]
    listed = [held.run(*words, *filters.split()) for filters in FILTERS]
    found = [{fact["username"] for fact in one.json} for one in listed]
    assert dict(zip(FILTERS, found, strict=True)) == FILTERS


def test_users_of_an_application(held: Program, sandbox: Sandbox) -> None:
    """Users are filtered by an application's id, or by part of its name, which the service compares."""
    hold(sandbox, ["dora"], application=APPLICATION)
    for wanted in (APPLICATION.upper(), "7b2f"):
        listed = held.run("credential", "list", "--application", wanted, "--json")
        assert [(fact["username"], fact["application_id"]) for fact in listed.json] == [("dora", APPLICATION)]


@FAMILIES
def test_one_realm_alone(held: Program, sandbox: Sandbox, api: str) -> None:
    """--realm takes any name of it; without one, users of every realm are listed."""
    add_realm(sandbox, "sales")
    hold(sandbox, ["dora"], "sales")
    listed = held.run("credential", "list", "--api", api, "--realm", "sales", "--json").json
    assert [fact["username"] for fact in listed] == ["dora"]
    assert listed[0]["realm"].startswith("sales-")
    assert len(held.run("credential", "list", "--api", api, "--json").json) == len(NAMES) + 1
    assert held.run("credential", "list", "--api", api, "--realm", "nowhere").code == 3


def test_only_some_are_asked_for(held: Program, sandbox: Sandbox) -> None:
    """--limit ends the list, and the pages behind it are not read."""
    before = len(sandbox.log("GET", "sipcredentials"))
    assert len(held.run("credential", "list", "--limit", "2", "--json").json) == 2
    assert len(sandbox.log("GET", "sipcredentials")) == before + 1


def test_an_empty_account(office: Program) -> None:
    """An empty list is printed in every form, and is no failure."""
    assert office.run("credential", "list", "--json").json == []
    assert office.run("credential", "list", "--csv").stdout == "username,realm,id,application_id\n"
    listed = office.run("credential", "list")
    assert (listed.code, listed.stdout) == (0, "")


def test_a_list_that_ends_midway_does_not_look_whole(held: Program, sandbox: Sandbox) -> None:
    """If the account is locked while it is listed, the output is the error, and no part of the list."""
    sandbox.knobs(refuse={"next": 9, "skip": 1, "status": 404, "code": "4022", "path": "sipcredentials"})
    listed = held.run("credential", "list", "--json")
    assert (listed.code, listed.error) == (3, "account_not_found")


def test_wrong_usage_of_list(held: Program, sandbox: Sandbox) -> None:
    """Exit code 6 before anything is asked."""
    wrong = ["--csv --json", "--user a@b", "--application x", "--limit 0", "--api x"]
    before = len(sandbox.log())
    ends = [held.run("credential", "list", *words.split()) for words in wrong]
    assert [end.code for end in ends] == [6] * len(wrong)
    assert len(sandbox.log()) == before


@pytest.mark.parametrize(
    ("api", "words"),
    [("account", ["bob@example.com"]), ("realm", ["BOB", "--domain", "Example.com"])],
    ids=["account", "realm"],
)
def test_a_user_is_shown(held: Program, sandbox: Sandbox, api: str, words: list[str]) -> None:
    """A user is found by the composite name or its parts, in any case, and shown as the service spells it."""
    shown = held.run("credential", "show", *words, "--api", api, "--json")
    (truth,) = [one for one in sandbox.credentials() if one["composite"] == "bob@example.com"]
    assert shown.json == {
        "username": "bob@example.com",
        "realm": truth["realm"],
        "id": truth["id"],
        "application_id": "",
    }
    assert truth["realm"] in held.run("credential", "show", *words, "--api", api).stdout


@FAMILIES
def test_a_user_who_is_not_there(held: Program, sandbox: Sandbox, api: str) -> None:
    """A name that nobody has, or that is on another realm, gives exit code 3."""
    add_realm(sandbox, "sales")
    assert held.run("credential", "show", "nobody", "--api", api).code == 3
    shown = held.run("credential", "show", "alice", "--api", api, "--realm", "sales")
    assert shown.code == 3
    assert "alice is not on realm sales-" in shown.stderr


@FAMILIES
def test_users_are_deleted(held: Program, sandbox: Sandbox, api: str) -> None:
    """Each user has an outcome; if one of them didn't exist, the exit code is 10."""
    deleted = held.run("credential", "delete", "ALICE", "nobody", "10", "--api", api, "--yes", "--json")
    assert deleted.code == 10
    assert [(fact["username"], fact["outcome"]) for fact in deleted.json] == [
        ("alice", "deleted"),
        ("nobody", "not_found"),
        ("10", "deleted"),
    ]
    assert on_account(sandbox) == {*NAMES} - {"alice", "10"}
    rest = held.run("credential", "delete", "bob", "--domain", "example.com", "--api", api, "--yes")
    assert (rest.code, rest.stdout.split()[:2]) == (0, ["deleted", "bob@example.com"])
    assert "1 deleted" in rest.stderr


def test_nobody_is_deleted_unasked(held: Program, sandbox: Sandbox) -> None:
    """Without a terminal and without --yes it ends with exit code 6, before any deletion."""
    deleted = held.run("credential", "delete", "alice")
    assert deleted.code == 6
    assert "add --yes" in deleted.stderr
    assert on_account(sandbox) == set(NAMES)
    assert sandbox.log("DELETE") == []


@pytest.mark.parametrize(("answer", "left"), [("y\n", set(NAMES) - {"alice"}), ("n\n", set(NAMES))])
def test_it_asks_on_a_terminal(held: Program, sandbox: Sandbox, answer: str, left: set[str]) -> None:
    """On a terminal, a question names the number of users and the account; only a yes deletes."""
    keyboard, terminal = os.openpty()
    os.write(keyboard, answer.encode())
    done = subprocess.run(
        [sys.executable, str(CLI), "credential", "delete", "alice"],
        cwd=held.work, env=held.environment, stdin=terminal, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    os.close(keyboard)
    os.close(terminal)
    assert f"Delete 1 user from account {ACCOUNT} on {sandbox.url}?" in done.stderr
    assert on_account(sandbox) == left
    assert (done.returncode == 0) == (left != set(NAMES))


def test_what_is_listed_can_be_deleted(held: Program, sandbox: Sandbox) -> None:
    """The CSV of a list names users and realms as --from wants them, formulas and all."""
    listed = held.work / "users.csv"
    listed.write_text(held.run("credential", "list", "--csv").stdout)
    deleted = held.run("credential", "delete", "--from", listed, "--api", "realm", "--yes")
    assert deleted.code == 0, deleted.stdout
    assert "7 users in the file: username from column username, realm from column realm" in deleted.stderr
    assert on_account(sandbox) == set()


def test_results_of_an_import_can_be_deleted(held: Program, sandbox: Sandbox) -> None:
    """A results.csv names the users to delete; rows whose outcome isn't named are left alone."""
    roster = roster_of(held.work / "x.csv", [User("x1", "Pw-1-xY-long"), User("x2", "Pw-2-xY-long")])
    held.run("import", roster, "--username", "{username}9", "--yes", "--results", held.work / "x")
    results = held.work / "x" / "results.csv"
    assert {"x19", "x29"} < on_account(sandbox)
    refused = held.run("credential", "delete", "--from", results, "--yes")
    assert (refused.code, {"x19", "x29"} < on_account(sandbox)) == (6, True)
    assert "--status" in refused.stderr
    words = ("credential", "delete", "--from", results, "--yes", "--json")
    assert held.run(*words, "--status", "exists").json == []
    deleted = held.run(*words, "--status", "created")
    assert [fact["outcome"] for fact in deleted.json] == ["deleted", "deleted"]
    assert on_account(sandbox) == set(NAMES)


def test_a_roster_with_domains_and_realms(held: Program, sandbox: Sandbox) -> None:
    """The roster's columns are used; a line that names no user, or an unknown realm, is reported."""
    rows = [
        {"User Name": "bob", "Domain": "example.com", "Realm": "office", "secret": "canary"},
        {"User Name": "alice", "Domain": "", "Realm": "nowhere", "secret": "canary"},
        {"User Name": "", "Domain": "", "Realm": "office", "secret": "canary"},
    ]
    deleted = held.run(
        "credential", "delete", "--from", write(held.work / "gone.csv", rows), "--yes", "--json"
    )
    assert deleted.code == 10
    assert [(fact["outcome"], fact["code"]) for fact in deleted.json] == [
        ("deleted", ""),
        ("failed", "realm_unknown"),
        ("failed", "username_missing"),
    ]
    assert on_account(sandbox) == set(NAMES) - {"bob@example.com"}
    assert "canary" not in deleted.stdout + deleted.stderr


def test_a_user_on_another_realm_stays(held: Program, sandbox: Sandbox) -> None:
    """A realm that is named counts with the account family, too: nobody else of that name is deleted."""
    add_realm(sandbox, "sales")
    deleted = held.run("credential", "delete", "alice", "--realm", "sales", "--yes")
    assert deleted.code == 10
    assert "alice is not on realm sales-" in deleted.stdout
    assert on_account(sandbox) == set(NAMES)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,phone\nalice,1\n", "no column with user names"),
        ("username\nalice\nbob,x\n", "line 3"),
        ("", "empty"),
    ],
)
def test_a_file_that_can_not_be_read(held: Program, sandbox: Sandbox, text: str, told: str) -> None:
    """The file is read to its end before anybody is deleted: exit code 6, and nobody was."""
    file = held.work / "gone.csv"
    file.write_text(text)
    deleted = held.run("credential", "delete", "--from", file, "--yes")
    assert deleted.code == 6
    assert told in deleted.stderr
    assert on_account(sandbox) == set(NAMES)


def test_either_users_or_a_file(held: Program) -> None:
    """Exit code 6 for neither and for both."""
    words = ["credential", "delete", "--yes"]
    for more in ([], ["alice", "--from", "x.csv"]):
        assert held.run(*words, *more).code == 6


@pytest.mark.parametrize(("commit", "outcome"), [(True, ("deleted", "")), (False, ("failed", "answer_lost"))])
def test_a_deletion_without_an_answer(
    held: Program, sandbox: Sandbox, commit: bool, outcome: tuple[str, str]
) -> None:
    """A deletion without an answer is settled by looking again."""
    sandbox.knobs(drop={"next": 1, "method": "DELETE", "commit": commit})
    deleted = held.run("credential", "delete", "alice", "--yes", "--json")
    assert [(fact["outcome"], fact["code"]) for fact in deleted.json] == [outcome]
    assert deleted.code == (0 if commit else 10)
    assert ("alice" in on_account(sandbox)) == (not commit)


def test_a_deletion_that_is_refused(held: Program, sandbox: Sandbox) -> None:
    """That user failed with the service's number; the others are deleted all the same."""
    sandbox.knobs(refuse={"next": 1, "method": "DELETE", "code": "23013x", "text": "Not this one."})
    deleted = held.run("credential", "delete", "alice", "1", "--yes", "--json")
    assert [(fact["outcome"], fact["code"]) for fact in deleted.json] == [
        ("failed", "23013x"),
        ("deleted", ""),
    ]
    assert deleted.code == 10


def test_deleting_ends_where_nobody_can_be_deleted(held: Program, sandbox: Sandbox) -> None:
    """If a refusal ends the deleting, all earlier results are printed; the exit code says why it ended."""
    sandbox.knobs(refuse={"next": 9, "skip": 1, "method": "DELETE", "status": 403})
    deleted = held.run("credential", "delete", "alice", "1", "10", "--yes", "--json")
    assert deleted.code == 2
    assert [(fact["outcome"], fact["code"]) for fact in deleted.json] == [
        ("deleted", ""),
        ("failed", "unconfirmed"),  # it was sent, and a 403 does not say that it was not done
    ]
    assert "1 deleted, 1 failed, 1 not attempted" in deleted.stderr


def test_standard_input_names_users(held: Program, sandbox: Sandbox) -> None:
    """`--from -` takes what another program writes."""
    deleted = held.run("credential", "delete", "--from", "-", "--yes", stdin="username\nalice\n")
    assert deleted.code == 0, deleted.stderr
    assert "alice" not in on_account(sandbox)


def test_a_pipe_that_ends_early(held: Program, tmp_path: Path) -> None:
    """`credential list | head` ends without a traceback."""
    command = f"{sys.executable} {CLI} credential list 2>{tmp_path / 'err'} | head -1"
    done = subprocess.run(
        ["sh", "-c", command], cwd=held.work, env=held.environment, capture_output=True, text=True, timeout=60
    )
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in (tmp_path / "err").read_text()
