"""The main job, embedded: every row of a roster is in place, or the results say why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import (
    SAMPLES,
    Row,
    User,
    expected,
    made_once,
    records,
    result_rows,
    truth,
    users,
    write,
)
from tests.system.runs import run

APPLICATION = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"
DIRTY = SAMPLES / "dirty.csv"
EXPECTED = [tuple(row.values()) for row in result_rows(SAMPLES / "dirty.expected.csv")]


def outcomes(rows: list[Row]) -> list[tuple[str, ...]]:
    """Line, status and code of each row."""
    return [(row["bw__row"], row["bw__status"], row["bw__error_code"]) for row in rows]


def asked_for(source: Path) -> dict[str, User]:
    """The users of a roster with the columns of dirty.csv, by their line."""
    found = {}
    for line, row in records(source):
        user, domain = row.get("Username", "").strip(), row.get("Domain", "")
        found[str(line)] = User(f"{user}@{domain}" if domain else user, row.get("Password", ""))
    return found


@pytest.fixture
def dirty(office: Program, sandbox: Sandbox) -> dict[str, Any]:
    """The summary of the dirty sample's import into an empty account."""
    sandbox.knobs(applications=[APPLICATION])
    return run(office, "import", DIRTY, code=10)


def test_every_row_of_a_dirty_roster_ends_as_the_sample_says(dirty: dict[str, Any]) -> None:
    """One line per row in the roster's order, with the status and the codes that the sample expects."""
    rows = result_rows(dirty["files"]["results"])
    assert outcomes(rows) == EXPECTED
    assert {row["bw__job"] for row in rows} == {dirty["job"]}
    failed = result_rows(dirty["files"]["failed"])
    assert failed == [row for row in rows if row["bw__status"] != "created"]
    assert dirty["counts"] == {"created": 33, "invalid": 23, "failed": 3}


def test_the_registrar_holds_what_a_dirty_roster_says(dirty: dict[str, Any], sandbox: Sandbox) -> None:
    """Digests of passwords with colons, quotes, umlauts, blanks and a line break, recomputed one by one."""
    wanted = asked_for(DIRTY)
    created = [wanted[line] for line, status, _ in EXPECTED if status == "created"]
    assert truth(sandbox) == expected(sandbox, created)
    assert made_once(sandbox)
    assert len(created) == dirty["counts"]["created"]


def test_dirty_warnings_are_the_ones_of_the_samples_page(dirty: dict[str, Any]) -> None:
    """The warnings that samples/README.md counts, and no others."""
    assert dirty["warnings"] == {
        "password_space": 2, "password_control": 1, "weak_password": 8, "several_at_signs": 1,
        "username_trimmed": 2, "spreadsheet_damage": 2,
    }  # fmt: skip


CORRECTIONS: dict[str, Row] = {
    "13": {"Username": "7081"},
    "15": {"Username": "reception2"},
    "17": {"Username": "reception3@DENVER.example"},
    "18": {"Username": "7082"},
    "19": {"password": "given-later:7010"},
    "20": {"Username": "7083", "password": "given-later-ü"},
    "21": {"Username": "conf-2-north"},
    "22": {"Domain": "branch.example"},
    "23": {"Domain": "raleigh.example"},
    "24": {"Username": "cafe"},
    "26": {"Username": "oneill"},
    "28": {"Username": "7013"},
    "29": {"Username": "bad.user", "password": "a+b=c;d"},
    "30": {"Username": "14000000000"},
    "31": {"Username": "0306703"},
    "32": {"Username": "+19195550144"},
    "33": {"Application ID": APPLICATION},
    "34": {"Username": "conf-2-south", "Application ID": APPLICATION},
    "36": {"Application ID": ""},
    "37": {"Application ID": APPLICATION},
    "38": {"Realm": ""},
    "39": {"Username": "7020", "password": "retyped-7020!"},
    "40": {"Username": "7021", "password": "retyped-7021!"},
    "41": {"Username": "7022", "password": "retyped-7022!"},
    "63": {"Username": "hall"},
}
"""A person's corrections of the failed rows, by line. Line 12 stays: it is line 10's user in capitals."""


def corrected(failed: str, folder: Path) -> Path:
    """Return failed.csv as a person gives it back: with a password column, filled if there was none."""
    rows = [row | {"password": ""} | CORRECTIONS.get(row["bw__row"], {}) for row in result_rows(failed)]
    return write(folder / "corrected.csv", rows)


def mended() -> dict[str, User]:
    """The users that the corrections ask for, by line; passwords not retyped are the roster's."""
    before = {str(line): row for line, row in records(DIRTY)}
    found = {}
    for line, said in CORRECTIONS.items():
        row = before[line] | said
        user, domain = row["Username"], row["Domain"] if line not in ("39", "40", "41") else ""
        found[line] = User(f"{user}@{domain}" if domain else user, said.get("password", row["Password"]))
    return found


def test_corrected_rows_end_in_place(
    dirty: dict[str, Any], office: Program, sandbox: Sandbox, tmp_path: Path
) -> None:
    """failed.csv, corrected, goes through `retry --corrections`; only what nobody corrected stays out."""
    file = corrected(dirty["files"]["failed"], tmp_path)
    again = run(office, "retry", dirty["job"], "--corrections", file, code=10)
    rows = result_rows(again["files"]["results"])
    failed = [line for line, status, _ in EXPECTED if status != "created"]
    assert [row["bw__row"] for row in rows] == failed
    assert [row["bw__row"] for row in rows if row["bw__status"] != "created"] == ["12"]
    wanted = asked_for(DIRTY)
    first = [wanted[line] for line, status, _ in EXPECTED if status == "created"]
    assert truth(sandbox) == expected(sandbox, [*first, *mended().values()])
    assert made_once(sandbox)


def test_failed_rows_import_as_they_are_with_a_password_column(
    dirty: dict[str, Any], office: Program, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A corrected failed.csv that has every password is a roster of its own, without the earlier job."""
    file = corrected(dirty["files"]["failed"], tmp_path)
    wanted = mended()
    rows = [row for row in result_rows(file) if row["bw__row"] in wanted]
    write(file, [row | {"password": wanted[row["bw__row"]].password} for row in rows])
    sandbox.reset()
    summary = run(office, "import", file)
    assert summary["counts"] == {"created": len(wanted)}
    assert truth(sandbox) == expected(sandbox, wanted.values())


NAMES = ("+19195550143", "=7003", "-7004", "=1+1", "~lobby", "$8.00")


def test_names_that_look_like_formulas_survive_the_round_trip(
    office: Program, sandbox: Sandbox, tmp_path: Path
) -> None:
    """`+1919…` through results, failed.csv and corrections to the registrar, exactly; carried cells too."""
    sandbox.knobs(applications=[])
    wanted = [User(name, f"secret {name} :ö") for name in NAMES]
    notes = ["@home", "'=quoted", "''+twice", "-", "plain", "'plain"]
    roster = [
        {"user": one.name, "secret": one.password, "application_id": APPLICATION, "note": note}
        for one, note in zip(wanted, notes, strict=True)
    ]
    first = run(office, "import", write(tmp_path / "roster.csv", roster), code=10)
    failed = result_rows(first["files"]["failed"])
    assert [row["bw__username"] for row in failed] == [
        "'+19195550143", "'=7003", "'-7004", "'=1+1", "~lobby", "$8.00",
    ]  # fmt: skip
    assert [row["note"] for row in failed] == ["'@home", "''=quoted", "'''+twice", "'-", "plain", "'plain"]
    sandbox.knobs(applications=[APPLICATION])
    again = run(office, "retry", first["job"], "--corrections", first["files"]["failed"])
    assert truth(sandbox) == expected(sandbox, wanted)
    second = result_rows(again["files"]["results"])
    assert [row["note"] for row in second] == [row["note"] for row in failed]


def test_the_clean_sample_is_in_place_as_it_is(office: Program, sandbox: Sandbox) -> None:
    """250 rows created without a warning; the roster's own columns come back, the password doesn't."""
    summary = run(office, "import", SAMPLES / "roster.csv")
    assert (summary["counts"], summary["warnings"]) == ({"created": 250}, {})
    before = [row for _, row in records(SAMPLES / "roster.csv")]
    assert truth(sandbox) == expected(sandbox, [User(row["username"], row["password"]) for row in before])
    carried = ["username", "name", "site", "department", "device"]
    rows = result_rows(summary["files"]["results"])
    assert [{name: row[name] for name in carried} for row in rows] == [
        {name: row[name] for name in carried} for row in before
    ]
    assert "password" not in rows[0]


def test_two_sites_with_the_same_extensions_are_refused(office: Program, sandbox: Sandbox) -> None:
    """Without a template the second site's 20 rows are duplicates of the first one's."""
    summary = run(office, "import", SAMPLES / "two-sites.csv", code=10)
    rows = result_rows(summary["files"]["results"])
    assert [row["bw__error_code"] for row in rows] == [""] * 20 + ["duplicate_in_file"] * 20
    assert len(sandbox.credentials()) == 20


@pytest.mark.parametrize("template", ["{site}-{extension}", "+1{did}"])
def test_a_template_tells_two_sites_apart(office: Program, sandbox: Sandbox, template: str) -> None:
    """With --username each row of both sites has a name of its own, and the digests are made for it."""
    summary = run(office, "import", SAMPLES / "two-sites.csv", "--username", template)
    assert summary["counts"] == {"created": 40}
    rows = [row for _, row in records(SAMPLES / "two-sites.csv")]
    assert truth(sandbox) == expected(sandbox, [User(template.format(**row), row["secret"]) for row in rows])


@pytest.mark.parametrize("family", ["account", "realm"])
def test_rows_go_to_their_own_realms_and_domains(
    siproster: Program, make_sandbox: Callable[..., Sandbox], family: str
) -> None:
    """Both families of endpoint put each user on the realm of its row, with digests made for that realm."""
    server = make_sandbox("--realm", "office", "--realm", "contact-center", "--realm", "factory")
    siproster.environment |= server.environment()
    summary = run(siproster, "import", SAMPLES / "sites.csv", "--api", family)
    assert (summary["counts"], summary["warnings"]) == ({"created": 60}, {})
    wanted = []
    for _, row in records(SAMPLES / "sites.csv", delimiter=";"):
        name = f"{row['user']}@{row['domain']}" if row["domain"] else row["user"]
        wanted.append(User(name, row["password"], row["realm"] or "office"))
    assert truth(server) == expected(server, wanted)
    paths = {line["path"].rpartition("/accounts/")[2] for line in server.log("POST", "sipcredentials")}
    realms = {held["realm_id"] for held in server.credentials()}
    per_realm = {f"9900001/realms/{realm}/sipcredentials" for realm in realms}
    assert paths == ({"9900001/sipcredentials"} if family == "account" else per_realm)


def test_excels_unicode_text_is_read_as_it_is(office: Program, sandbox: Sandbox) -> None:
    """UTF-16 with tabs: 16 rows created without a warning, digests from the passwords' UTF-8 bytes."""
    summary = run(office, "import", SAMPLES / "unicode-tabs.txt")
    assert (summary["counts"], summary["warnings"]) == ({"created": 16}, {})
    rows = [row for _, row in records(SAMPLES / "unicode-tabs.txt", "utf-16", "\t")]
    assert truth(sandbox) == expected(sandbox, [User(row["Extension"], row["SIP Password"]) for row in rows])
    names = [row["Name"] for row in result_rows(summary["files"]["results"])]
    assert names == [row["Name"] for row in rows]


def test_the_same_roster_again_changes_nothing(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """A second import of a roster finds every row in place and writes to none."""
    roster = write(tmp_path / "r.csv", [{"user": u.name, "pass": u.password} for u in users(250)])
    run(office, "import", roster)
    summary = run(office, "import", roster)
    assert summary["counts"] == {"unchanged": 250}
    assert made_once(sandbox)
