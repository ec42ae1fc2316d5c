"""Digests in place of passwords: their realm, how they are sealed, sent and retried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.jobs import (
    HOST,
    KEY,
    OTHER_HOST,
    RowsOf,
    make_chunk_row,
    make_job,
    make_row,
    plan_job,
    rows_in,
)
from tests.unit.realms import Realms
from tests.unit.registrar import Registrar
from tests.unit.rosters import GOOD
from tests.unit.sessions import Session
from worker.digest import digests
from worker.importing.create import BatchCreator
from worker.importing.realms import JobRealms
from worker.importing.retry import EarlierRows
from worker.importing.validation import validated_pages
from worker.ledger import Ledger
from worker.ledger.codec import open_chunk, seal_chunk
from worker.model import Family, Options, Problem, Realm, Row, Status
from worker.roster import PASSWORD
from worker.seal import Seal

SEAL = Seal([KEY])
ONE, TWO = digests("bob", HOST, GOOD)
KNOWN = (Realm("17", HOST, default=True), Realm("18", OTHER_HOST))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of its own."""
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        yield ledger


def hashed(realm: str = HOST, *, user: str = "bob", **fields: Any) -> Row:
    """A row of digests that were made for HOST."""
    return make_row(2, user, **{"password": "", "hash1": ONE, "hash1b": TWO, "realm": realm, **fields})


def checked(row: Row, **options: Any) -> tuple[list[str], list[str], str]:
    """Return the codes of problems and warnings that the account adds to a row, and the problems' texts."""
    realms = JobRealms(Realms(*KNOWN), None, "", Options(**options))
    ((row,),) = validated_pages(RowsOf([row]), realms, Family.ACCOUNT)
    text = " ".join(problem.text for problem in row.problems)
    return [problem.code for problem in row.problems], [warning.code for warning in row.warnings], text


def test_the_realm_that_they_were_made_for() -> None:
    """Digests are accepted if the row or --realm has their realm's full host name."""
    assert checked(hashed())[:2] == ([], [])


@pytest.mark.parametrize(
    ("realm", "said"),
    [
        ("", "nobody says for which realm"),
        ("17", f"go on realm {HOST}, but '17'"),
        ("office", f"go on realm {HOST}, but 'office'"),
        ("branch", f"go on realm {OTHER_HOST}, but 'branch'"),
        (OTHER_HOST.split("-")[0], "but 'branch'"),
    ],
)
def test_any_other_name_of_a_realm_is_refused(realm: str, said: str) -> None:
    """An id, a short name or the default realm doesn't show what the digests were made for."""
    codes, _, text = checked(hashed(realm))
    assert codes == ["hash_realm"]
    assert said in text
    assert "full host name" in text
    assert ONE not in text


def test_a_host_name_is_held_to_the_byte() -> None:
    """Another spelling of the host name is refused, since digests are made over its bytes."""
    assert checked(hashed(HOST.capitalize()))[0] == ["hash_realm"]


def test_a_realm_that_is_not_there_is_refused() -> None:
    """A realm that doesn't exist, or that --create-realm has still to create, is refused."""
    assert checked(hashed("other-ffffff.auth.bandwidth.com"))[0] == ["realm_unknown"]
    codes, _, text = checked(hashed("new"), realm="new", create_realm=True)
    assert (codes, "--create-realm has still to make" in text) == (["hash_realm"], True)


def test_without_an_account_the_named_realm_is_believed() -> None:
    """`plan` without an account accepts any realm that is named, but not a row without one."""
    ((named, silent),) = validated_pages(RowsOf([hashed(), hashed("", user="al")]), None, Family.ACCOUNT)
    assert (named.problems, [problem.code for problem in silent.problems]) == ((), ["hash_realm"])


@pytest.mark.parametrize(
    ("password", "realm", "warnings"),
    [(GOOD, HOST, []), ("another-Pw-9", HOST, ["hash_mismatch"]), ("another-Pw-9", "office", []),
     (GOOD, OTHER_HOST, ["hash_mismatch"]), ("another-Pw-9", "", [])],
)  # fmt: skip
def test_a_password_is_held_against_its_digests(password: str, realm: str, warnings: list[str]) -> None:
    """A password is compared with digests if the row's realm is theirs; a stale digest causes a warning."""
    row = hashed(realm, password=password)
    assert checked(row)[:2] == ([], warnings)
    (kept,) = open_chunk(SEAL, "job", 0, seal_chunk(SEAL, "job", 0, [row]))
    assert (kept.password, kept.hash1) == (password, "")


def test_a_password_that_is_no_text_is_not_compared() -> None:
    """A password that isn't valid text is a problem already; comparing it must not raise."""
    wrong = Problem("bad_characters", "password: a broken character, which UTF-8 can't represent")
    assert checked(hashed(password="\ud800", problems=(wrong,)))[:2] == (["bad_characters"], [])


def test_digests_are_sent_as_they_are() -> None:
    """Digests without a password are stored as they are, and found again by them."""
    api, rows = (
        Registrar(),
        [make_chunk_row(2, "bob", password="", hash1=ONE, hash1b=TWO), make_chunk_row(3)],
    )
    for expected in (Status.CREATED, Status.UNCHANGED):
        session = Session()
        BatchCreator(session, api).create(rows)
        assert {outcome.status for outcome in session.outcomes.values()} == {expected}
    assert api.digests()["bob"] == (ONE, TWO)
    assert api.digests()["user3"] == digests("user3", HOST, rows[1].password)


def test_a_chunk_keeps_them_sealed() -> None:
    """A chunk keeps digests sealed and hidden; a chunk of an earlier version can be opened, too."""
    rows = [replace(hashed(), realm="", cells=(), realm_key=0), make_chunk_row(3, host="")]
    sealed = seal_chunk(SEAL, "job", 0, rows)
    assert open_chunk(SEAL, "job", 0, sealed) == rows
    assert ONE.encode() not in sealed
    assert not any(digest in repr(rows) for digest in (ONE, TWO))
    before = SEAL.close_over([[2, "bob", "", 0, "", GOOD]], "job/chunk/0")
    assert open_chunk(SEAL, "job", 0, before) == [Row(2, "bob", "", "", "", GOOD, realm_key=0)]


def test_digests_beside_a_password_are_never_sent() -> None:
    """Even if an earlier version sealed both, the digests sent are made of the password."""
    names = ("line", "user", "domain", "realm_key", "application", "password", "hash1", "hash1b")
    row = [2, "bob", "", 0, "", "another-Pw-9", ONE, TWO]
    for sealed in ({"version": 2, "rows": 1, **dict(zip(names, row, strict=True))}, [row]):
        rows = open_chunk(SEAL, "job", 0, SEAL.close_over(sealed, "job/chunk/0"))
        rows[0].host, api = HOST, Registrar()
        BatchCreator(Session(), api).create(rows)
        assert api.digests() == {"bob": digests("bob", HOST, "another-Pw-9")}


@pytest.mark.parametrize(
    ("said", "secrets"), [({}, ("", ONE, TWO)), ({PASSWORD: "Another-Pw-77x"}, ("Another-Pw-77x", "", ""))]
)
def test_a_retry_has_them_again(
    ledger: Ledger, said: Mapping[str, str], secrets: tuple[str, str, str]
) -> None:
    """A retry has the sealed digests again; a password that somebody adds wins."""
    job = make_job(realm=HOST)
    ledger.jobs.begin(job, "desk:1")
    row = hashed(cells=("bob", ""))
    summary = plan_job(ledger, Realms(*KNOWN), job, RowsOf([row])).summary
    assert (summary.to_send, summary.problems) == (1, {})
    job = ledger.jobs.get(job.id)
    options = Options(realm=HOST, username="", map={"username": "name"})
    (again,) = rows_in(EarlierRows(ledger, SEAL, job, options, {2: said} if said else {}))
    assert (again.password, again.hash1, again.hash1b) == secrets
    assert again.problems == ()
