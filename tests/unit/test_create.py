"""Every row gets the one outcome that is true of it, whatever the service answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.jobs import HOST, OTHER_HOST, digests_of, make_chunk_row
from tests.unit.registrar import (
    Batch,
    Registrar,
    in_other_case,
    lose,
    nameless,
    respells,
    without_echo,
)
from tests.unit.sessions import Session
from worker.errors import (
    AuthenticationRefused,
    ForeignAnswer,
    ListRefused,
    Refused,
    SiprosterError,
    Throttled,
    Unavailable,
)
from worker.importing.create import BatchCreator
from worker.model import Credential, Echo, EntryError, Family, Row, Status

APPLICATION = "7b2f8f6e-1111-2222-3333-abcdefabcdef"


class Desk(Session):
    """A chunk's session, and what creates rows in it."""

    def __init__(self, api: Registrar, family: Family = Family.ACCOUNT, *, earlier: int = 0) -> None:
        super().__init__(family, earlier=earlier)
        self.creator = BatchCreator(self, api)


def rows_of(*users: str) -> list[Row]:
    """Rows of these users, from line 2 on."""
    return [make_chunk_row(line, user) for line, user in enumerate(users, 2)]


def credential_of(row: Row, *, host: str = HOST, application: str = "") -> Credential:
    """Return the credential that is sent for a row."""
    return Credential(row.user, row.domain, host, *digests_of(row, host), application)


def posted(api: Registrar, rows: Sequence[Row]) -> Desk:
    """Return the desk after one batch."""
    desk = Desk(api)
    desk.creator.create(rows)
    return desk


CREATED, UNKNOWN = (Status.CREATED, ""), (Status.UNKNOWN, "not_mentioned")
UNPROVEN = (Status.UNCHANGED, "origin_unknown")


# Answers that came


def test_all_created() -> None:
    """Entries that a 201 names are created, with their ids, their digests stored and one attempt."""
    api, rows = Registrar(), rows_of("alice", "bob")
    desk = posted(api, rows)
    assert desk.told() == {2: CREATED, 3: CREATED}
    assert [desk.outcomes[line].credential_id for line in (2, 3)] == ["1", "2"]
    assert api.digests() == {row.composite: digests_of(row) for row in rows}
    assert {outcome.attempts for outcome in desk.outcomes.values()} == {1}
    assert (len(api.posts), api.looks, desk.permits) == (1, [], [30.0])


def test_valid_and_refused_together() -> None:
    """A 201 with both kinds gives each row its own: a refusal's code and text, the others created."""
    api = Registrar()
    api.refuses = {"bob": "23019", "dave": "23020"}
    desk = posted(api, rows_of("alice", "bob", "carol", "dave"))
    assert desk.told() == {2: CREATED, 3: (Status.FAILED, "23019"), 4: CREATED, 5: (Status.FAILED, "23020")}
    assert desk.outcomes[3].error == "refused with 23019"
    assert (len(api.posts), api.looks) == (1, [])


def test_all_refused() -> None:
    """An answer that refuses every entry fails every row, without a look-up."""
    api = Registrar()
    api.refuses = {"alice": "23019", "bob": "23014"}
    desk = posted(api, rows_of("alice", "bob"))
    assert desk.told() == {2: (Status.FAILED, "23019"), 3: (Status.FAILED, "23014")}
    assert api.looks == []


def test_a_refusal_without_a_code() -> None:
    """A refusal that names no code still has one of ours."""
    api = Registrar()
    api.refuses = {"alice": "23019"}
    api.error = lambda error: replace(error, code="")
    assert posted(api, rows_of("alice", "bob")).told() == {2: (Status.FAILED, "refused"), 3: CREATED}


def test_errors_without_a_name_are_matched_by_digest() -> None:
    """An echo that lacks the user name is matched by its digest, without asking."""
    api = Registrar()
    api.refuses, api.error = {"bob": "23014"}, nameless
    desk = posted(api, rows_of("alice", "bob", "carol"))
    assert desk.told() == {2: CREATED, 3: (Status.FAILED, "23014"), 4: CREATED}
    assert (len(api.posts), api.looks) == (1, [])


def test_an_echo_without_its_domain_means_no_other_row() -> None:
    """An echo that lost its domain doesn't match the row without one (guard: digest first)."""
    api = Registrar()
    api.refuses = {"bob@example.com": "23016", "bob": "23019"}
    api.error = lambda error: replace(error, composite="bob")
    desk = posted(api, [make_chunk_row(2, "bob", domain="example.com"), make_chunk_row(3, "bob")])
    assert desk.told() == {2: (Status.FAILED, "23016"), 3: (Status.FAILED, "23019")}
    assert (len(api.posts), api.looks) == (1, [])


def test_errors_without_an_echo_are_settled_one_by_one() -> None:
    """If refusals name no entry, rows that don't exist are sent alone, so that a refusal means one row."""
    api = Registrar()
    api.refuses, api.error = {"bob": "23014"}, without_echo
    desk = posted(api, rows_of("alice", "bob", "carol"))
    assert desk.told() == {2: CREATED, 3: (Status.FAILED, "23014"), 4: CREATED}
    assert api.posts == [["alice", "bob", "carol"], ["bob"]]
    assert [desk.outcomes[line].attempts for line in (2, 3, 4)] == [1, 2, 1]


def test_several_errors_without_an_echo() -> None:
    """Several refusals that name no entry each end at their own row."""
    api = Registrar()
    api.refuses, api.error = {"alice": "23014", "carol": "23019"}, without_echo
    desk = posted(api, rows_of("alice", "bob", "carol"))
    assert desk.told() == {2: (Status.FAILED, "23014"), 3: CREATED, 4: (Status.FAILED, "23019")}


def test_a_stored_row_that_is_not_named() -> None:
    """A row that a 201 leaves out, though it was stored, is looked up and found."""
    api = Registrar()
    api.echo = lambda echo: None if echo.composite == "bob" else echo
    desk = posted(api, rows_of("alice", "bob"))
    assert desk.told() == {2: CREATED, 3: UNPROVEN}
    assert (len(api.posts), api.looks) == (1, ["bob"])


def test_an_answer_that_says_nothing_at_all() -> None:
    """A row that the service neither stores nor refuses, even alone, is unknown."""
    api = Registrar()
    api.refuses, api.error = {"bob": "1"}, lambda error: None
    assert posted(api, rows_of("alice", "bob")).told() == {2: CREATED, 3: UNKNOWN}


def test_stored_in_another_case() -> None:
    """An echo in another case is a failure: digests of another spelling can't register."""
    api = Registrar()
    respells(api)
    desk = posted(api, rows_of("alice"))
    assert desk.told() == {2: (Status.FAILED, "case_differs")}
    assert "ALICE" in desk.outcomes[2].error
    assert desk.outcomes[2].credential_id == "1"


def test_an_echo_in_another_case_than_what_is_stored() -> None:
    """If an echo's case differs from what is stored, the row is looked up and counts as unproven."""
    api = Registrar()
    api.echo = in_other_case
    assert posted(api, rows_of("alice")).told() == {2: UNPROVEN}


def test_stored_otherwise_than_it_was_sent() -> None:
    """A user stored with another digest than was sent is reported, and may be this job's."""
    api = Registrar()

    def mangle(batch: Batch) -> None:
        api.stored = {place: replace(one, hash1b="c1" * 16) for place, one in api.stored.items()}

    api.after, api.echo = mangle, lambda echo: None
    api.contradicted = frozenset({"alice"})
    assert posted(api, rows_of("alice")).told() == {2: (Status.EXISTS, "digest_differs;origin_unknown")}


# Names that exist


@pytest.mark.parametrize("family", Family)
def test_exists_the_same(family: Family) -> None:
    """After 23009 or 23026 a user with our digests is unchanged, and doesn't count as created."""
    api, rows = Registrar(), rows_of("alice", "bob")
    api.holds(credential_of(rows[0]), family, "17")
    desk = Desk(api, family)
    desk.creator.create(rows)
    assert desk.told() == {2: (Status.UNCHANGED, ""), 3: CREATED}
    assert desk.outcomes[2].credential_id == "1"


def test_what_must_exist_is_looked_for_until_it_is_seen() -> None:
    """A name refused as existing is expected to show, even in a list that lags (guard: ``expected``)."""
    api, rows = Registrar(), rows_of("alice")
    api.holds(credential_of(rows[0]))
    api.lag = 1
    assert posted(api, rows).told() == {2: (Status.UNCHANGED, "")}


def other_password(row: Row) -> Credential:
    return credential_of(replace(row, password="another one"), application=APPLICATION)


DIFFERENT: dict[str, Callable[[Row], Credential]] = {
    "digest_differs": other_password,
    "application_differs": lambda row: credential_of(row, application="00000000-0000-0000-0000-000000000000"),
    "realm_differs": lambda row: credential_of(row, host=OTHER_HOST, application=APPLICATION),
    "case_differs": lambda row: replace(credential_of(row, application=APPLICATION), user=row.user.upper()),
}


@pytest.mark.parametrize("code", DIFFERENT)
def test_exists_with_something_else(code: str) -> None:
    """A user with another digest, application, realm or spelling is left alone, and that is reported."""
    api, row = Registrar(), make_chunk_row(2, "alice", application=APPLICATION)
    held = DIFFERENT[code](row)
    api.holds(held)
    desk = posted(api, [row])
    assert desk.told() == {2: (Status.EXISTS, code)}
    assert next(iter(api.stored.values())).hash1 == held.hash1


def test_an_application_is_compared_only_where_one_is_wanted() -> None:
    """A row that asks for no application is content with any; a UUID's case doesn't count."""
    api, rows = Registrar(), [make_chunk_row(2, "alice"), make_chunk_row(3, "bob", application=APPLICATION)]
    api.holds(credential_of(rows[0], application=APPLICATION))
    api.holds(credential_of(rows[1], application=APPLICATION.upper()))
    assert posted(api, rows).told() == {2: (Status.UNCHANGED, ""), 3: (Status.UNCHANGED, "")}


def test_half_a_credential_is_not_ours() -> None:
    """A user whose second digest is missing differs: such a phone can't register."""
    api, row = Registrar(), make_chunk_row(2, "alice")
    api.holds(credential_of(row))
    api.stored = {place: replace(held, hash1b=None) for place, held in api.stored.items()}
    assert posted(api, [row]).told() == {2: (Status.EXISTS, "digest_differs")}


def test_exists_but_is_not_shown() -> None:
    """A name that exists, according to the refusal, but isn't shown, is unknown."""
    api = Registrar()
    api.refuses = {"alice": "23009"}
    desk = posted(api, rows_of("alice"))
    assert desk.told() == {2: (Status.UNKNOWN, "23009")}
    assert "doesn't show it" in desk.outcomes[2].error


def test_a_look_up_that_is_refused() -> None:
    """A row whose look-up is refused is unknown, and the chunk can end."""
    api = Registrar()
    api.refuses = {"alice": "23009"}

    def refuse(composite: str) -> None:
        raise Refused("23012", "bad page")

    api.looking = refuse
    assert posted(api, rows_of("alice", "bob")).told() == {2: (Status.UNKNOWN, "23012"), 3: CREATED}


# Lists refused as a whole


def test_too_many_entries() -> None:
    """A list is cut at once to the bound that 23003 names, and the bound is remembered."""
    api = Registrar(most_entries=4)
    rows = rows_of(*(f"user{number}" for number in range(10)))
    desk = posted(api, rows)
    assert set(desk.told().values()) == {CREATED}
    assert [len(post) for post in api.posts] == [10, 4, 4, 2]
    assert desk.limits == [4]


def test_too_many_entries_without_a_figure() -> None:
    """If the refusal names no bound, the list is halved until it is accepted."""
    api = Registrar()

    def refuse(batch: Batch) -> None:
        if len(batch) > 2:
            raise ListRefused("23003", "too many entries")

    api.before = refuse
    desk = posted(api, rows_of("a1", "a2", "a3", "a4", "a5"))
    assert set(desk.told().values()) == {CREATED}
    assert [len(post) for post in api.posts] == [5, 3, 2, 1, 2]


def test_a_poison_row_is_found() -> None:
    """A list that is refused for one of its rows is split down to that row; the others are created."""
    api = Registrar()

    def refuse(batch: Batch) -> None:
        if any(credential.user == "mallory" for credential in batch):
            raise ListRefused("23006", "can't be read")

    api.before = refuse
    rows = rows_of(*"abcdefgh", "mallory", *"ijklmnop")
    desk = posted(api, rows)
    assert {row.user for row in rows if desk.told()[row.line] != CREATED} == {"mallory"}
    assert desk.told()[10] == (Status.FAILED, "23006")
    assert len(api.posts) <= 2 * 17 - 1


@given(st.sets(st.integers(0, 15)), st.integers(1, 16), st.integers(1, 16))
def test_any_poison_any_bound(poison: set[int], bound: int, size: int) -> None:
    """Any rows may poison a list, and its bound be any: each row has its own right outcome."""
    api = Registrar(most_entries=bound)
    bad = {f"user{number}" for number in poison}

    def refuse(batch: Batch) -> None:
        if any(credential.user in bad for credential in batch):
            raise ListRefused("", "no")

    api.before = refuse
    rows = rows_of(*(f"user{number}" for number in range(size)))
    desk = posted(api, rows)
    expected = {row.line: (Status.FAILED, "refused") if row.user in bad else CREATED for row in rows}
    assert desk.told() == expected


def test_a_realm_that_is_gone() -> None:
    """A list refused for its realm is not split: each row of it would be refused alone, too."""
    api = Registrar()

    def refuse(batch: Batch) -> None:
        raise ListRefused("23022", "realm is not active")

    api.before = refuse
    desk = posted(api, rows_of(*"abcdefgh"))
    assert set(desk.told().values()) == {(Status.FAILED, "23022")}
    assert len(api.posts) == 1


def test_a_realm_that_is_gone_fails_its_own_rows_only() -> None:
    """In a list of several realms only the rows of the one that is gone fail (guard: one realm)."""
    api = Registrar()

    def refuse(batch: Batch) -> None:
        if any(credential.host == OTHER_HOST for credential in batch):
            raise ListRefused("23022", "realm is not active")

    api.before = refuse
    rows = [make_chunk_row(line, realm=line % 2) for line in range(2, 10)]
    desk = posted(api, rows)
    assert {row.realm_key for row in rows if desk.told()[row.line] == CREATED} == {0}
    assert {row.realm_key for row in rows if desk.told()[row.line] == (Status.FAILED, "23022")} == {1}


# Answers that were lost


def test_lost_after_the_commit() -> None:
    """A user found with our digests after a lost answer is unproven: another ledger may have created it."""
    api = Registrar()
    api.after = lose(1)
    desk = posted(api, rows_of("alice", "bob"))
    assert desk.told() == {2: UNPROVEN, 3: UNPROVEN}
    assert (len(api.posts), api.looks) == (1, ["alice", "bob"])
    assert desk.outcomes[2].credential_id == "1"
    assert desk.unconfirmed == set()


def test_another_ledgers_users_are_not_claimed() -> None:
    """If our list is lost and somebody creates the same users meanwhile, they don't count as created."""
    api, rows = Registrar(), rows_of("alice", "bob")

    def overtaken(batch: Batch) -> None:
        for row in rows:
            api.holds(credential_of(row))
        lose(1)(batch)

    api.before = overtaken
    assert posted(api, rows).told() == {2: UNPROVEN, 3: UNPROVEN}


def test_lost_before_the_commit() -> None:
    """Rows that don't exist after a lost answer are sent again, and created."""
    api = Registrar()
    api.before = lose(1)
    desk = posted(api, rows_of("alice", "bob"))
    assert desk.told() == {2: CREATED, 3: CREATED}
    assert (len(api.posts), desk.outcomes[2].attempts) == (2, 2)


def test_lost_over_somebody_elses_credential() -> None:
    """After a lost answer, a name that others hold with another password is exists."""
    api, rows = Registrar(), rows_of("alice", "bob")
    api.holds(other_password(rows[0]))
    api.after = lose(1)
    assert posted(api, rows).told() == {2: (Status.EXISTS, "digest_differs"), 3: UNPROVEN}


def test_a_lagging_list_after_a_lost_answer() -> None:
    """If a look-up lags behind a lost write, the second post is refused as existing and read back."""
    api = Registrar()
    api.after, api.lag = lose(1), 1
    assert posted(api, rows_of("alice")).told() == {2: UNPROVEN}
    assert api.posts == [["alice"], ["alice"]]


FOREIGN = ForeignAnswer("HTTP 409")


def test_a_foreign_refusal_after_the_commit() -> None:
    """After a proxy's 409 to a list that was stored, its rows are looked up."""
    api = Registrar()
    api.after = raising(FOREIGN, 1)
    desk = posted(api, rows_of("alice", "bob"))
    assert desk.told() == {2: UNPROVEN, 3: UNPROVEN}
    assert (len(api.posts), api.looks) == (1, ["alice", "bob"])


def test_a_foreign_refusal_before_the_commit() -> None:
    """Rows that don't show after a foreign refusal are sent alone; a row refused again is unknown."""
    api = Registrar()

    def refuse(batch: Batch) -> None:
        if any(credential.user == "bob" for credential in batch):
            raise FOREIGN

    api.before = refuse
    desk = posted(api, rows_of("alice", "bob", "carol"))
    assert desk.told() == {2: CREATED, 3: (Status.UNKNOWN, "refused"), 4: CREATED}
    assert "HTTP 409" in desk.outcomes[3].error
    assert api.posts == [["alice", "bob", "carol"], ["alice"], ["bob"], ["carol"]]
    assert len(api.looks) == 4


@pytest.mark.parametrize("code", ["23019", "23022"])
def test_a_refusal_does_not_settle_what_was_sent_before(code: str) -> None:
    """A row may be stored by a first request, not shown then, and refused in the second: unproven."""
    api = Registrar()
    api.after, api.lag = lose(1), 1

    def refuse(batch: Batch) -> None:
        if len(api.posts) > 1:
            raise ListRefused(code, "no")

    api.before = refuse
    assert posted(api, rows_of("alice")).told() == {2: UNPROVEN}


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("error", [AuthenticationRefused("403"), Unavailable("503")])
def test_a_stop_after_it_was_sent_leaves_rows_in_doubt(error: SiprosterError, sent: bool) -> None:
    """A 403 to the list, or a 503 until patience ends, leaves rows unconfirmed: they may be stored."""
    api = Registrar()
    error.unconfirmed = sent
    api.after = raising(error, 1)
    desk = Desk(api)
    with pytest.raises(type(error)):
        desk.creator.create(rows_of("alice", "bob"))
    assert desk.unconfirmed == ({2, 3} if sent else set())


def raising(error: SiprosterError, times: int) -> Callable[[Batch], None]:
    """For ``before`` or ``after``: raise this error so often."""
    left = iter(range(times))

    def fail(batch: Batch) -> None:
        if next(left, None) is not None:
            raise error

    return fail


def test_two_lost_answers_fail_nothing() -> None:
    """After two lost answers the service is unavailable: no row fails, each stays unconfirmed."""
    api = Registrar()
    api.before = lose(2)
    desk = Desk(api)
    with pytest.raises(Unavailable, match="none of 2 requests"):
        desk.creator.create(rows_of("alice", "bob"))
    assert desk.outcomes == {}
    assert desk.unconfirmed == {2, 3}
    assert len(api.posts) == 2


@pytest.mark.parametrize("error", [Throttled("slow down"), Unavailable("away"), AuthenticationRefused("no")])
def test_waiting_and_stopping_are_the_callers_business(error: SiprosterError) -> None:
    """An error that concerns the whole job is raised as it is, and settles no row."""
    api = Registrar()

    def refuse(batch: Batch) -> None:
        raise error

    api.before = refuse
    desk = Desk(api)
    with pytest.raises(type(error)):
        desk.creator.create(rows_of("alice"))
    assert desk.outcomes == {}


def test_an_outage_while_asking_keeps_the_doubt() -> None:
    """Rows that an answer left out stay unconfirmed if they can't be looked up (guard: in_doubt)."""
    api = Registrar()
    api.echo = lambda echo: None if echo.composite == "bob" else echo

    def away(composite: str) -> None:
        raise Unavailable("away")

    api.looking = away
    desk = Desk(api)
    with pytest.raises(Unavailable):
        desk.creator.create(rows_of("alice", "bob"))
    assert desk.told() == {2: CREATED}
    assert desk.unconfirmed == {3}


def test_doubtful_rows_are_asked_for_first() -> None:
    """Rows that an earlier claim may have sent are posted only if they don't exist (guard: ask first)."""
    api, rows = Registrar(), rows_of("alice", "bob")
    api.holds(credential_of(rows[0]))
    desk = Desk(api, earlier=3)
    desk.unconfirmed.update({2, 3})
    desk.creator.look_up_and_create(rows)
    assert desk.told() == {2: UNPROVEN, 3: CREATED}
    assert api.posts == [["bob"]]
    assert desk.unconfirmed == set()
    assert [desk.outcomes[line].attempts for line in (2, 3)] == [3, 4]


# Faults of our own


def test_a_row_that_crashes_the_code() -> None:
    """A row that raises an unexpected exception is unknown as crashed; its batch-mates are created."""
    api = Registrar()

    def crash(batch: Batch) -> None:
        if any(credential.user == "mallory" for credential in batch):
            raise TypeError("Zq8-canary-31f")

    api.before = crash
    desk = posted(api, rows_of("alice", "bob", "mallory", "carol", "dave"))
    assert desk.told()[4] == (Status.UNKNOWN, "crashed")  # it was on its way
    assert [line for line, told in desk.told().items() if told == CREATED] == [2, 3, 5, 6]
    assert "please report it" in desk.outcomes[4].error
    assert "TypeError" not in desk.outcomes[4].error
    assert "canary" not in desk.outcomes[4].error


def test_a_row_without_digests() -> None:
    """A password that has no UTF-8 form crashes its own row, before anything of it is sent."""
    api = Registrar()
    rows = [*rows_of("alice", "bob"), make_chunk_row(9, "mallory", password="half \ud800")]
    assert posted(api, rows).told() == {2: CREATED, 3: CREATED, 9: (Status.FAILED, "crashed")}
    assert all("mallory" not in post for post in api.posts)


def test_an_answer_that_crashes_the_code() -> None:
    """If reading an answer crashes, the rows were sent: users that exist then are unproven."""
    api = Registrar()

    def crash(batch: Batch) -> None:
        if len(batch) > 1:
            raise TypeError

    api.after = crash
    desk = posted(api, rows_of("alice", "bob"))
    assert set(desk.told().values()) == {UNPROVEN}


def test_a_look_up_that_crashes_the_code() -> None:
    """A row that can't be looked up is unknown, the other rows go on (guard: the row's own try)."""
    api = Registrar()

    def crash(composite: str) -> None:
        if composite == "mallory":
            raise TypeError("Zq8-canary-31f")

    api.looking, api.after = crash, lose(1)
    desk = posted(api, rows_of("alice", "mallory", "bob"))
    assert desk.told() == {2: UNPROVEN, 3: (Status.UNKNOWN, "crashed"), 4: UNPROVEN}
    assert "canary" not in desk.outcomes[3].error


# Anything at all


@given(st.data())
def test_no_row_is_without_an_outcome(data: st.DataObject) -> None:
    """Each row has exactly one outcome, and a true one, whatever is refused, unanswered or held by others."""
    size = data.draw(st.integers(1, 8))
    rows = rows_of(*(f"user{number}" for number in range(size)))
    users = st.sets(st.sampled_from([row.user for row in rows]))
    silent, refused, mute, held = (data.draw(users) for _ in range(4))
    api = Registrar()
    for row in rows:
        if row.user in held:
            api.holds(other_password(row))
    api.refuses = dict.fromkeys(refused - held, "23019")

    def error(said: EntryError) -> EntryError | None:
        return data.draw(st.sampled_from([said, nameless(said), without_echo(said)]))

    def echo(said: Echo) -> Echo | None:
        return None if said.composite in silent else said

    api.error, api.echo = error, echo
    if mute:
        api.after = lose(data.draw(st.integers(0, 1)))
    desk = posted(api, rows)
    assert sorted(desk.outcomes) == [row.line for row in rows]
    for row in rows:
        status, there = desk.outcomes[row.line].status, api.digests().get(row.composite)
        assert status.in_place is (there == digests_of(row))
        assert (status is Status.EXISTS) is (row.user in held)
