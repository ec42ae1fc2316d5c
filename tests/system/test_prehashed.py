"""Digests in place of passwords: exported, imported again, and accepted only for their own realm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.accounts import APPLICATION, add_realm, delete, hold, on_account, secrets
from tests.system.leaks import files
from tests.system.rosters import SAMPLES, result_rows, roster_of, truth, users, write
from tests.system.runs import run

SAMPLE = {row["username"]: row for row in result_rows(SAMPLES / "prehashed.csv")}
OTHER = "9900002"


def outcomes(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Line, status and code of each row."""
    rows = result_rows(summary["files"]["results"])
    return [(row["bw__row"], row["bw__status"], row["bw__error_code"]) for row in rows]


@pytest.fixture
def exported(office: Program, sandbox: Sandbox, tmp_path: Path) -> Path:
    """Forty users, one with a domain and a number, that are stored; a list of them with their digests."""
    run(office, "import", roster_of(tmp_path / "staff.csv", users(40)))
    hold(sandbox, ["ann@clinic.example", "+19195551212"])
    listed = office.run("credential", "list", "--csv", "--show-digests")
    (tmp_path / "exported.csv").write_text(listed.stdout, "utf-8")
    return tmp_path / "exported.csv"


def test_what_was_exported_is_put_back(office: Program, sandbox: Sandbox, exported: Path) -> None:
    """The users are deleted and imported from the list: the service holds the very digests that it held."""
    before = truth(sandbox)
    assert len(before) == 42
    office.run("credential", "delete", "--from", exported, "--yes")
    assert on_account(sandbox) == set()
    summary = run(office, "import", exported)
    assert summary["counts"] == {"created": 42}
    assert truth(sandbox) == before
    assert run(office, "import", exported)["counts"] == {"unchanged": 42}


def test_nothing_shows_them(office: Program, sandbox: Sandbox, exported: Path) -> None:
    """No message, log, result file or ledger shows a digest, whatever the row's outcome."""
    known = secrets(sandbox)
    delete(sandbox, "ext1")
    wrong = exported.with_name("wrong.csv")
    rows = result_rows(exported)
    write(wrong, [*rows, {**rows[0], "username": "cut", "hash1": rows[0]["hash1"][:31]}])
    told = ""
    for options in (["--realm", "office"], ["--username", "{username}"], ["--domain", "x.example"]):
        finished = office.run("import", wrong, *options, "--debug")
        told += finished.stdout + finished.stderr
    places = {**files(office.home), "told": told.encode()}
    assert [
        (place, one) for one in known for place, held in places.items() if one[:31].encode() in held
    ] == []


def test_another_accounts_realm_is_another(
    office: Program, exported: Path, make_sandbox: Callable[..., Sandbox]
) -> None:
    """Another account's realm of the same short name has another host name, so the digests are refused."""
    elsewhere = make_sandbox("--account", OTHER)
    office.environment |= {"BW_API_URL": elsewhere.url, "BW_ACCOUNT_ID": OTHER}
    refused = run(office, "import", exported, code=10)
    assert {code for _, _, code in outcomes(refused)} == {"realm_unknown"}
    rows = result_rows(exported)
    unnamed = write(exported.with_name("unnamed.csv"), [{**row, "realm": ""} for row in rows])
    for options in ([], ["--realm", "office"]):
        refused = run(office, "import", unnamed, *options, code=10)
        assert {code for _, _, code in outcomes(refused)} == {"hash_realm"}
        assert "full host name" in result_rows(refused["files"]["failed"])[0]["bw__error"]
    assert on_account(elsewhere) == set()


def test_a_realm_of_the_same_account_is_another(office: Program, sandbox: Sandbox, exported: Path) -> None:
    """Digests made for one realm are refused if --realm names another for rows without a realm."""
    add_realm(sandbox, "branch")
    rows = result_rows(exported)
    unnamed = write(exported.with_name("unnamed.csv"), [{**row, "realm": ""} for row in rows])
    planned = office.run("plan", unnamed, "--realm", "branch", "--json")
    assert (planned.code, planned.json["problems"]) == (10, {"hash_realm": 42})
    host = rows[0]["realm"]
    assert run(office, "plan", unnamed, "--realm", host)["counts"] == {"unchanged": 42}


def test_the_sample_ends_as_its_page_says(office: Program, sandbox: Sandbox) -> None:
    """Status and code of each row, one warning, and digests on the service that are the file's own."""
    summary = run(office, "import", SAMPLES / "prehashed.csv", code=10)
    codes = ["password_missing", "hash_incomplete", "bad_hash", "bad_hash", "hash_realm", "hash_realm",
             "realm_unknown"]  # fmt: skip
    created = [(str(line), "created", "") for line in range(2, 9)]
    invalid = [(str(line), "invalid", code) for line, code in enumerate(codes, 9)]
    assert outcomes(summary) == [*created, *invalid]
    assert summary["warnings"] == {"hash_mismatch": 1}
    held = sandbox.digests()
    for user, stored in (("aaron", "aaron"), ("bella", "bella"), ("carlos@clinic.example",) * 2,
                         ("dina", "dina@clinic.example"), ("emil", "emil")):  # fmt: skip
        assert held[stored] == (SAMPLE[user]["hash1"].lower(), SAMPLE[user]["hash1b"].lower())
    assert held["fiona"][0] != SAMPLE["fiona"]["hash1"]
    assert not {"hash1", "hash1b", "password"} & set(result_rows(summary["files"]["failed"])[0])


def test_a_refused_row_is_retried_with_its_digests(office: Program, sandbox: Sandbox, exported: Path) -> None:
    """A refused row is retried with its sealed digests, unless it has got a password meanwhile."""
    before = sandbox.digests()
    for name in ("ext1", "ext2"):
        delete(sandbox, name)
    twice = {"ext1", "ext2"}
    rows = [
        row | {"application_id": APPLICATION} for row in result_rows(exported) if row["username"] in twice
    ]
    sandbox.knobs(applications=[])
    job = run(office, "import", write(exported.with_name("two.csv"), rows), code=10)
    assert {code for _, _, code in outcomes(job)} == {"23019"}
    sandbox.knobs(applications=[APPLICATION])
    corrected = [{**row, "password": ""} for row in result_rows(job["files"]["failed"])]
    corrected[1]["password"] = "Given-Later-77x"
    again = write(exported.with_name("corrected.csv"), corrected)
    assert run(office, "retry", job["job"], "--corrections", again)["counts"] == {"created": 2}
    assert sandbox.digests()["ext1"] == before["ext1"]
    assert sandbox.digests()["ext2"] != before["ext2"]


def test_a_corrected_name_is_not_given_the_digests_of_another(
    office: Program, sandbox: Sandbox, exported: Path
) -> None:
    """Digests don't fit a corrected name: refused, also by a later retry; with a password it is accepted."""
    delete(sandbox, "ext1")
    rows = [row for row in result_rows(exported) if row["username"] == "ext1"]
    sandbox.knobs(refuse={"next": 1, "method": "POST", "status": 400, "code": "23015"})
    job = run(office, "import", write(exported.with_name("one.csv"), rows), code=10)
    (failed,) = result_rows(job["files"]["failed"])
    corrected = write(exported.with_name("corrected.csv"), [{**failed, "username": "ext001"}])
    job = run(office, "retry", job["job"], "--corrections", corrected, code=10)
    again = run(office, "retry", job["job"], code=10)
    assert [outcomes(one) for one in (job, again)] == [[("2", "invalid", "hash_name")]] * 2
    assert "ext001" not in sandbox.digests()
    (failed,) = result_rows(again["files"]["failed"])
    given = write(exported.with_name("given.csv"), [{**failed, "password": "Given-Later-77x"}])
    assert run(office, "retry", again["job"], "--corrections", given)["counts"] == {"created": 1}
