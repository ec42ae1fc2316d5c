"""Looking up what is stored under a roster's names, and the number of requests that it costs."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.jobs import HOST, RowsOf, make_row
from tests.unit.realms import BRANCH, OFFICE, Realms
from tests.unit.registrar import Registrar
from tests.unit.rosters import opened
from worker.errors import NotFound, Refused, Unavailable
from worker.importing.lookup import CredentialLookup
from worker.importing.realms import JobRealms
from worker.importing.validation import validated_pages
from worker.model import Condition, Credential, Family, Options, Problem, Realm, Row, Stored

WRONG = (Problem("password_missing", "password: empty, but every row needs one"),)
MANY = 1200
"""Credentials of three pages."""


def holding(*users: tuple[str, Realm], family: Family = Family.ACCOUNT) -> Registrar:
    """A registrar that holds these users."""
    stored = Registrar()
    for name, realm in users:
        user, _, domain = name.partition("@")
        stored.holds(Credential(user, domain, realm.host, "a1" * 16, "b1" * 16), family, realm.id)
    return stored


def account(*users: tuple[str, Realm], counts: Sequence[int | None], family: Family) -> Realms:
    """An account whose realms say that they hold so many."""
    office, branch = (
        replace(realm, credentials=count) for realm, count in zip((OFFICE, BRANCH), counts, strict=True)
    )
    return Realms(office, branch, stored=holding(*users, family=family))


Seen = tuple[list[str | None], list[str] | None]


def looked(source: Realms, rows: Iterable[Row], *, whole: bool = True, **options: Any) -> Seen:
    """Return the user found under each row's name, as ``name/id``, and the users who are absent."""
    options_, rows = Options(**options), list(rows)
    realms = JobRealms(source, None, "", options_)
    roster = RowsOf(rows, len(rows), whole=whole)
    with CredentialLookup(source, realms, options_, roster) as look:
        found = []
        for page in validated_pages(roster, realms, options_.api):
            look.look_up(page)
            found += [row.stored for row in page]
        absent = look.absent()
        names = None if absent is None else [one.composite for one in absent]
    return [f"{one.composite}/{one.id}" if one else None for one in found], names


def rows_of(*users: str, **fields: Any) -> list[Row]:
    """Return a row for each user."""
    return [make_row(line, user, **fields) for line, user in enumerate(users, 2)]


# Number of requests

ALICE, BOB = ("alice", OFFICE), ("bob", OFFICE)


@pytest.mark.parametrize("family", Family)
def test_nothing_is_asked_where_nothing_is_stored(family: Family) -> None:
    """If the realms' counts are 0, nothing is asked (guard: ``stored == 0``), and nobody is absent."""
    source = account(counts=(0, 0), family=family)
    assert looked(source, rows_of("alice", "bob"), api=family) == ([None, None], [])
    assert (source.listed, source.stored.looks) == ([], [])


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize(
    ("rows", "count", "everybody", "lists"),
    [
        (2, MANY, False, 0),  # two rows, three pages
        (2, MANY, True, 1),
        (3, MANY, False, 1),  # as many rows as pages: the list tells more
        (4, MANY, False, 1),
        (1, 1, False, 1),
        (2, None, False, 1),  # how many there are is not told
    ],
)
def test_the_cheaper_way(family: Family, rows: int, count: int | None, everybody: bool, lists: int) -> None:
    """Rows cost a request each, pages of 500 one; --absent and unknown counts need the list."""
    source = account(ALICE, BOB, counts=(count, 0), family=family)
    wanted = rows_of(*("alice", "carol", "dave", "erin")[:rows])
    found, absent = looked(source, wanted, api=family, absent=everybody)
    assert found == ["alice/1", None, None, None][:rows]
    assert len(source.listed) == lists
    assert source.stored.looks == ([] if lists else [row.user for row in wanted])
    assert absent == (["bob"] if lists else None)


def test_the_accounts_count_is_the_sum_of_its_realms() -> None:
    """The account's count is the sum of its realms, since a name is unique on the account."""
    source = account(ALICE, ("bob", BRANCH), counts=(400, 700), family=Family.ACCOUNT)
    assert looked(source, rows_of("alice", "bob"))[0] == ["alice/1", "bob/2"]
    assert source.stored.looks == ["alice", "bob"]


def test_each_realm_is_looked_at_in_its_own_way() -> None:
    """Realm family: a realm is listed for many rows, asked for few, and skipped if it is empty."""
    users = [(f"u{number}", OFFICE) for number in range(5)]
    source = account(*users, ("v0", BRANCH), counts=(MANY, MANY), family=Family.REALM)
    source.known.append(Realm("19", "depot-0a1b2c.auth.bandwidth.com", credentials=0))
    rows = [
        *rows_of("u0", "u1", "u9", realm="office"),
        make_row(8, "v0", realm="branch"),
        make_row(9, "w", realm="depot"),
    ]
    found, absent = looked(source, rows, api=Family.REALM)
    assert found == ["u0/1", "u1/2", None, "v0/6", None]
    assert (source.listed, source.stored.looks) == ([HOST], ["v0"])
    assert absent is None  # of the branch nobody knows


def test_a_realm_is_named_in_many_ways() -> None:
    """Rows that name one realm differently are counted together (guard: ``_key``)."""
    source = account(ALICE, counts=(MANY, 0), family=Family.REALM)
    refs = ("office", HOST, "17", "")
    rows = [make_row(line, f"user{line}", realm=ref) for line, ref in enumerate(refs, 2)]
    looked(source, rows, api=Family.REALM)
    assert (source.listed, source.stored.looks) == ([HOST], [])


def test_a_realm_that_is_still_to_be_made_holds_nobody() -> None:
    """--create-realm: nothing is asked about a realm that doesn't exist yet."""
    source = account(ALICE, counts=(1, 0), family=Family.REALM)
    rows = rows_of("alice", realm="depot")
    assert looked(source, rows, api=Family.REALM, realm="depot", create_realm=True) == ([None], [])
    assert source.listed == []


def test_rows_of_unknown_realms_cost_nothing() -> None:
    """A missing realm, or no default one, is the row's own problem and costs no request."""
    source = account(ALICE, counts=(MANY, 0), family=Family.REALM)
    rows = [make_row(2, "alice", realm="office"), make_row(3, "bob", realm="nowhere")]
    assert looked(source, rows, api=Family.REALM)[0] == ["alice/1", None]
    source = Realms(replace(BRANCH, credentials=MANY))
    roster = [make_row(2, "alice", realm="branch"), make_row(3, "bob")]
    with pytest.raises(NotFound, match="no default realm"):
        looked(source, roster, api=Family.REALM)


# Lists that leave something out


def test_parts_are_read_singly() -> None:
    """Entries without digests prove nothing: they are read singly, if they are in the roster."""
    users = [(f"u{number}", OFFICE) for number in range(50)]
    source = account(*users, counts=(50, 0), family=Family.ACCOUNT)
    source.omits = True
    options = Options(concurrency=3)
    realms = JobRealms(source, None, "", options)
    rows = rows_of("u3", "u7", "nobody", "u11")
    with CredentialLookup(source, realms, options, RowsOf(rows, 4)) as look:
        (page,) = validated_pages(RowsOf(rows), realms, Family.ACCOUNT)
        look.look_up(page)
        found = [row.stored for row in page]
    assert [one and (one.composite, one.hash1, one.hash1b) for one in found] == [
        ("u3", "a1" * 16, "b1" * 16), ("u7", "a1" * 16, "b1" * 16), None, ("u11", "a1" * 16, "b1" * 16),
    ]  # fmt: skip
    assert sorted(source.stored.looks) == ["u11", "u3", "u7"]
    assert source.listed == [None]


def test_rows_are_asked_for_side_by_side() -> None:
    """As many rows are looked up at once as --concurrency says; afterwards no thread is left."""
    source = account(*((f"u{n}", OFFICE) for n in range(8)), counts=(10_000, 0), family=Family.ACCOUNT)
    together = threading.Barrier(4)
    source.stored.looking = lambda composite: together.wait(timeout=30)
    found, _ = looked(source, rows_of(*(f"u{number}" for number in range(8))), concurrency=4)
    assert found == [f"u{number}/{number + 1}" for number in range(8)]
    assert [one for one in threading.enumerate() if one.name.startswith("look")] == []


def test_a_name_that_can_not_be_asked_for() -> None:
    """A name that can't be looked up is left to its POST; the other rows are looked up."""
    source = account(ALICE, BOB, counts=(MANY, 0), family=Family.ACCOUNT)

    def refuse(composite: str) -> None:
        if composite == "alice":
            raise Refused("23004", "no such name")

    source.stored.looking = refuse
    assert looked(source, rows_of("alice", "bob"))[0] == [None, "bob/2"]


def test_a_row_that_is_not_sent_is_not_asked_for() -> None:
    """A row that is not sent is not looked up, since nothing depends on what is stored."""
    source = account(ALICE, BOB, counts=(10_000, 0), family=Family.ACCOUNT)
    rows = [make_row(2, "alice"), make_row(3, "b\ud800<", problems=WRONG), make_row(4, "bob", problems=WRONG)]
    assert looked(source, rows)[0] == ["alice/1", None, None]
    assert source.stored.looks == ["alice"]


def test_what_ends_the_look_is_raised() -> None:
    """A service that stays away raises an error, and no row is taken for absent."""
    source = account(ALICE, counts=(MANY, 0), family=Family.ACCOUNT)

    def away(composite: str) -> None:
        raise Unavailable("HTTP 503")

    source.stored.looking = away
    with pytest.raises(Unavailable):
        looked(source, rows_of("alice"))


def test_lists_tell_how_far_they_are() -> None:
    """The watcher gets every entry of a list."""
    source = account(ALICE, BOB, counts=(2, 0), family=Family.ACCOUNT)
    passed: list[Stored] = []

    def watch(entries: Iterable[Stored]) -> Iterable[Stored]:
        for entry in entries:
            passed.append(entry)
            yield entry

    options = Options()
    realms = JobRealms(source, None, "", options)
    rows = rows_of("alice")
    with CredentialLookup(source, realms, options, RowsOf(rows, 1), watch) as look:
        (page,) = validated_pages(RowsOf(rows), realms, Family.ACCOUNT)
        look.look_up(page)
    assert [one.composite for one in passed] == ["alice", "bob"]


# Absent users


def test_who_is_stored_and_not_in_the_roster() -> None:
    """Users on the roster's realms are absent if no row names them, in any case; other realms don't count."""
    source = account(
        ("Alice", OFFICE), ("bob", OFFICE), ("carol", BRANCH), counts=(2, 1), family=Family.ACCOUNT
    )
    assert looked(source, rows_of("alice", "dave"))[1] == ["bob"]
    rows = [make_row(2, "alice"), make_row(3, "dave", realm="branch")]
    assert looked(source, rows)[1] == ["carol", "bob"]  # by realm, then by name


def test_a_user_whose_realm_is_not_told_may_be_a_leaver() -> None:
    """A user whose realm is not reported may be absent, and is listed."""
    source = account(ALICE, ("bob", Realm("", "")), counts=(2, 0), family=Family.ACCOUNT)
    assert looked(source, rows_of("alice"))[1] == ["bob"]


@pytest.mark.parametrize("family", Family)
def test_who_has_a_wrong_row_is_not_absent(family: Family) -> None:
    """A user whose row is invalid is in the roster, and so not absent (guard: ``_place_of``)."""
    source = account(ALICE, BOB, ("carol", OFFICE), counts=(3, 0), family=family)
    rows = [
        make_row(2, "alice"),
        make_row(3, "bob", problems=WRONG),
        make_row(4, "bob"),
        make_row(5, "alice"),
        make_row(6, "", problems=WRONG),
    ]
    found, absent = looked(source, rows, api=family)
    assert found == ["alice/1", "bob/2", "bob/2", "alice/1", None]
    assert absent == ["carol"]


def test_a_part_of_a_roster_makes_nobody_absent() -> None:
    """Users left out by --where, --limit or a retry are not absent: nothing is known about them."""
    source = account(ALICE, BOB, counts=(2, 0), family=Family.ACCOUNT)
    assert looked(source, rows_of("alice"), absent=True, whole=False) == (["alice/1"], None)


@pytest.mark.parametrize(
    ("options", "whole"),
    [
        ({}, True),
        ({"where": (Condition("site", "bos"),)}, False),
        ({"limit": 1}, False),
    ],
)
def test_what_a_whole_roster_is(options: dict[str, Any], whole: bool) -> None:
    """A whole roster is one of which no row is left out."""
    with opened("username,password,site\nalice,x,bos\n", **options) as roster:
        assert roster.whole is Options(**options).whole_roster is whole


def test_other_places_than_the_rosters_are_not_listed() -> None:
    """With the realm family, only the realms that rows name are listed."""
    source = account(ALICE, ("bob", BRANCH), counts=(1, 1), family=Family.REALM)
    assert looked(source, rows_of("alice"), api=Family.REALM) == (["alice/1"], [])
    assert source.listed == [HOST]


def test_a_number_without_its_zeros_is_warned_about_before_anything_is_sent() -> None:
    """351 would be created beside 0351, which a spreadsheet may have made of it; others are not in doubt."""
    users = ("0351", OFFICE), ("352", OFFICE), ("353", OFFICE)
    options = Options()
    realms = JobRealms(account(*users, counts=(3, 0), family=Family.ACCOUNT), None, "", options)
    roster = RowsOf(rows_of("351", "0352", "353", "ann"), 4)
    with CredentialLookup(
        account(*users, counts=(3, 0), family=Family.ACCOUNT), realms, options, roster
    ) as look:
        (page,) = validated_pages(roster, realms, Family.ACCOUNT)
        look.look_up(page)
    assert [[one.code for one in row.warnings] for row in page] == [
        ["zeros_differ"],
        ["zeros_differ"],
        [],
        [],
    ]
    assert "0351 is stored" in page[0].warnings[0].text
