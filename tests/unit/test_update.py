"""Updates of existing users: only if unchanged since the look-up, recorded first, and read back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.jobs import HOST, PASSWORD, digests_of, make_chunk_row, make_realms
from tests.unit.registrar import Batch, Registrar, lose
from tests.unit.sessions import Session
from worker.errors import Conflict, ForeignAnswer, NotAllowed, Refused, SiprosterError, Unavailable
from worker.importing.compare import wanted
from worker.importing.update import RowUpdater
from worker.ledger import Fenced
from worker.model import Credential, Family, Realm, Row, Status, Stored

APP, OTHER_APP = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60", "7b2f8f6e-1111-2222-3333-abcdefabcdef"
UPDATED, UNPROVEN = (Status.UPDATED, ""), (Status.UNCHANGED, "origin_unknown")
CHANGED = "changed_since_plan"


class Desk(Session):
    """A chunk's session, and what updates rows in it."""

    def __init__(self, api: Registrar, family: Family = Family.ACCOUNT, **session: Any) -> None:
        super().__init__(family, make_realms(looked=True), earlier=3, **session)
        self.updater = RowUpdater(self, api)


def held(
    api: Registrar, user: str = "alice", application: str = "", family: Family = Family.ACCOUNT
) -> Stored:
    """Store somebody with another password, and return what is stored."""
    api.holds(Credential(user, "", HOST, "a1" * 16, "b1" * 16, application), family, "17")
    return current(api, user)


def current(api: Registrar, user: str = "alice") -> Stored:
    """Return the user as stored now."""
    return next(one for one in api.stored.values() if one.composite == user)


def somebody_sets(api: Registrar, user: str = "alice", **changes: Any) -> None:
    """Change a user past the program."""
    (place,) = (place for place, one in api.stored.items() if one.composite == user)
    api.stored[place] = replace(api.stored[place], **changes)


def row_of(before: Stored, line: int = 2, **fields: Any) -> Row:
    """Return a row that is planned as an update of this user."""
    return make_chunk_row(line, before.composite, before=before, **fields)


def updated(api: Registrar, *rows: Row, **desk: Any) -> Desk:
    """Return the desk after one batch."""
    made = Desk(api, **desk)
    made.updater.change(rows)
    return made


# The usual


@pytest.mark.parametrize("family", Family)
def test_digests_are_set(family: Family) -> None:
    """A user is read, recorded, set with a permit, and read back with the new digests."""
    api = Registrar()
    before = held(api, family=family)
    row = row_of(before)
    desk = Desk(api, family)
    api.before = lambda batch: (  # guard: intend before update
        None if desk.before_images == [(2, before)] else pytest.fail("it was changed before it was kept")
    )
    desk.updater.change([row])
    assert desk.told() == {2: UPDATED}
    assert (desk.outcomes[2].credential_id, desk.outcomes[2].attempts) == (before.id, 4)
    assert api.digests() == {"alice": digests_of(row)}
    assert (api.puts, api.reads, desk.permits, len(desk.before_images)) == (
        ["alice"],
        ["alice"] * 2,
        [30.0],
        1,
    )


@pytest.mark.parametrize(("asked", "sent"), [(OTHER_APP, OTHER_APP), ("", APP)])
def test_the_application(asked: str, sent: str) -> None:
    """The row's application is set; without one, the stored one is sent again (guard: ``_target``)."""
    api = Registrar()
    before = held(api, application=APP)
    puts: list[str] = []
    api.before = lambda batch: puts.extend(one.application for one in batch)
    desk = updated(api, row_of(before, application=asked))
    assert (desk.told(), puts, current(api).application) == ({2: UPDATED}, [sent], sent)


def test_an_application_that_the_look_did_not_show() -> None:
    """An application that the list left out is read, and sent again."""
    api = Registrar()
    before = replace(held(api, application=APP), application="", realm="")
    sent: list[str] = []
    api.before = lambda batch: sent.extend(one.application for one in batch)
    desk = updated(api, row_of(before))
    assert (desk.told(), sent, current(api).application) == ({2: UPDATED}, [APP], APP)
    assert desk.before_images[0][1].application == APP  # what is kept is what was read, not what was listed


def test_what_is_as_wanted_is_not_set() -> None:
    """A user already as wanted is unchanged, without a PUT; if this job had begun it, it is unproven."""
    api = Registrar()
    row = row_of(held(api))
    somebody_sets(api, hash1=digests_of(row)[0], hash1b=digests_of(row)[1])
    desk = updated(api, row)
    assert (desk.told(), api.puts, desk.before_images) == ({2: (Status.UNCHANGED, "")}, [], [])
    desk = updated(api, row, begun=[2])
    assert (desk.told(), api.puts, desk.before_images) == ({2: UNPROVEN}, [], [])


def test_what_only_the_list_did_not_show_is_not_set() -> None:
    """If only the list left out the wanted application, there is no PUT (guard: ``differences`` first)."""
    api = Registrar()
    row = make_chunk_row(2, "alice", application=APP)
    api.holds(wanted(row, HOST))
    desk = updated(api, replace(row, stored=replace(current(api), application="")))
    assert (desk.told(), api.puts, desk.before_images) == ({2: (Status.UNCHANGED, "")}, [], [])


# Others, meanwhile


@pytest.mark.parametrize(
    "changes", [{"hash1": "c1" * 16}, {"hash1b": "c1" * 16}, {"application": OTHER_APP}, {"id": "77"}]
)
@pytest.mark.parametrize("begun", [[], [2]])
def test_who_was_changed_since_is_left_alone(changes: dict[str, str], begun: list[int]) -> None:
    """A user whom somebody changed is not set, and nothing is recorded (guard: ``same(before, now)``)."""
    api = Registrar()
    before = held(api, application=APP)
    somebody_sets(api, **changes)
    desk = updated(api, row_of(before), begun=begun)
    assert desk.told() == {2: (Status.EXISTS, CHANGED)}
    assert (api.puts, desk.before_images) == ([], [])
    assert desk.outcomes[2].credential_id == current(api).id


def test_who_was_deleted_since() -> None:
    """A user deleted before or during the update fails, and is never created again."""
    api = Registrar()
    row = row_of(held(api))
    api.after = lambda batch: api.stored.clear()
    assert updated(api, row).told() == {2: (Status.FAILED, CHANGED)}
    assert updated(api, row).told() == {2: (Status.FAILED, CHANGED)}
    assert api.puts == ["alice"]


def test_who_is_changed_while_it_is_set() -> None:
    """If somebody changes the user during the update, the state read back counts, not the answer."""
    api = Registrar()
    row = row_of(held(api))
    api.after = lambda batch: somebody_sets(api, hash1="c1" * 16)
    assert updated(api, row).told() == {2: (Status.EXISTS, CHANGED)}


# Answers that don't come


def test_an_answer_lost_before_the_work() -> None:
    """After an answer lost before the work, it is set once more, recorded once (guard: ``begun.add``)."""
    api = Registrar()
    before = held(api)
    api.before = lose(1)
    desk = updated(api, row_of(before))
    assert (desk.told(), api.puts, desk.before_images) == ({2: UPDATED}, ["alice"] * 2, [(2, before)])


def test_an_answer_lost_after_the_work() -> None:
    """After an answer lost after the work, one PUT is enough, and the update counts as unproven."""
    api = Registrar()
    row = row_of(held(api))
    api.after = lose(1)
    desk = updated(api, row)
    assert (desk.told(), api.puts) == ({2: UNPROVEN}, ["alice"])
    assert api.digests() == {"alice": digests_of(row)}


@pytest.mark.parametrize(("done", "told"), [(True, UNPROVEN), (False, (Status.UNKNOWN, "refused"))])
def test_a_foreign_refusal(done: bool, told: tuple[Status, str]) -> None:
    """After a proxy's 409 the user is read back; if it isn't updated, it is tried once more, then unknown."""
    api = Registrar()
    rows = [row_of(held(api)), row_of(held(api, "bob"), 3)]

    def refuse(batch: Batch) -> None:
        if batch[0].user == "alice":
            raise ForeignAnswer("HTTP 409")

    if done:
        api.after = refuse
    else:
        api.before = refuse
    desk = updated(api, *rows)
    assert desk.told() == {2: told, 3: UPDATED}
    assert len(api.puts) == (2 if done else 3)
    assert desk.unconfirmed == set()


@pytest.mark.parametrize("sent", [False, True])
def test_a_stop_after_it_was_sent_leaves_the_row_in_doubt(sent: bool) -> None:
    """A 403 to the change itself leaves the row unconfirmed: it may have been done."""
    api = Registrar()
    error = NotAllowed("no")
    error.unconfirmed = sent

    def refuse(batch: Batch) -> None:
        raise error

    api.after = refuse
    desk = Desk(api)
    with pytest.raises(NotAllowed):
        desk.updater.change([row_of(held(api))])
    assert (desk.outcomes, desk.unconfirmed) == ({}, {2} if sent else set())


def test_a_refusal_does_not_settle_what_was_sent_before() -> None:
    """Set by a first request whose answer was lost, not shown then, and refused the second time."""
    api = Registrar()
    row = row_of(held(api))
    api.after, api.behind = lose(1), 1

    def refuse(batch: Batch) -> None:
        if len(api.puts) > 1:
            raise Refused("23022", "realm is not active")

    api.before = refuse
    assert updated(api, row).told() == {2: UNPROVEN}


def test_answers_lost_again_and_again() -> None:
    """If answers are lost again and again, the service is away: the row has no outcome, earlier ones do."""
    api = Registrar()
    rows = [row_of(held(api, "bob"), 2), row_of(held(api), 3), row_of(held(api, "carol"), 4)]
    seen = lose(9)
    api.before = lambda batch: seen(batch) if batch[0].user == "alice" else None
    desk = Desk(api)
    with pytest.raises(Unavailable, match="none of 2 changes"):
        desk.updater.change(rows)
    assert (desk.told(), api.puts) == ({2: UPDATED}, ["bob", "alice", "alice"])


def test_a_lost_answer_and_somebody_else() -> None:
    """If neither the old nor the new digests show after a lost answer, the user is left alone."""
    api = Registrar()
    lost = lose(1)

    def change_and_lose(batch: Batch) -> None:
        somebody_sets(api, hash1="c1" * 16)
        lost(batch)

    api.after = change_and_lose
    assert updated(api, row_of(held(api))).told() == {2: (Status.EXISTS, CHANGED)}
    assert api.puts == ["alice"]


def test_an_earlier_claim_has_begun() -> None:
    """A row that an earlier claim began is set if it wasn't, and recorded only once."""
    api = Registrar()
    desk = updated(api, row_of(held(api)), begun=[2])
    assert (desk.told(), desk.before_images, api.puts) == ({2: UPDATED}, [], ["alice"])


@pytest.mark.parametrize(("behind", "told"), [(3, UPDATED), (4, (Status.UNKNOWN, "not_taken"))])
def test_reads_that_lag_behind(behind: int, told: tuple[Status, str]) -> None:
    """Reads that lag are waited for; a change that never shows is unknown (guard: ``written``)."""
    api = Registrar()
    row = row_of(held(api))
    api.behind = behind
    assert updated(api, row).told() == {2: told}


def test_a_lost_answer_and_a_read_that_lags() -> None:
    """If a read lags after a lost answer, setting the digests once more does no harm."""
    api = Registrar()
    row = row_of(held(api))
    api.after, api.behind = lose(1), 1
    assert updated(api, row).told() == {2: UPDATED}
    assert (api.puts, api.digests()) == (["alice"] * 2, {"alice": digests_of(row)})


# Refusals


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("had", [APP, ""])
def test_an_application_that_is_kept(had: str, lost: int) -> None:
    """If the service keeps the old application, the row fails, with its id, after a lost answer, too."""
    api = Registrar()
    before = held(api, application=had)
    api.keeps_applications, api.after = True, lose(lost)
    desk = updated(api, row_of(before, application=OTHER_APP))
    code = "application_not_set;origin_unknown" if lost else "application_not_set"
    assert desk.told() == {2: (Status.FAILED, code)}
    assert (had or "none") in desk.outcomes[2].error
    assert desk.outcomes[2].credential_id == before.id


def test_a_refusal() -> None:
    """A refused row has the service's code, or one of ours, and the others go on."""
    api = Registrar()
    rows = [row_of(held(api, user), line) for line, user in enumerate(("alice", "bob", "carol"), 2)]
    api.refuses = {"alice": "23019"}
    assert updated(api, *rows).told() == {2: (Status.FAILED, "23019"), 3: UPDATED, 4: UPDATED}
    api = Registrar()
    row = row_of(held(api))

    def move(batch: Batch) -> None:
        raise Conflict("alice is on realm branch, not on office")

    api.before = move
    assert updated(api, row).told() == {2: (Status.FAILED, "realm_differs")}


def test_a_crash_of_our_own() -> None:
    """After a crash of our own, the row is unknown, since it may have been set; no exception is quoted."""
    api = Registrar()
    rows = [row_of(held(api, user), line) for line, user in enumerate(("alice", "bob"), 2)]

    def crash(batch: Batch) -> None:
        if batch[0].user == "alice":
            raise TypeError("Zq8-canary-31f")

    api.after = crash
    desk = updated(api, *rows)
    assert desk.told() == {2: (Status.UNKNOWN, "crashed"), 3: UPDATED}
    assert "please report it" in desk.outcomes[2].error
    assert "TypeError" not in desk.outcomes[2].error
    assert not [secret for secret in ("canary", PASSWORD) if secret in desk.outcomes[2].error]


def test_a_row_without_digests() -> None:
    """A password that has no UTF-8 form crashes its own row, before anything of it is changed."""
    api = Registrar()
    desk = updated(api, row_of(held(api), password="half \ud800"))
    assert (desk.told(), api.puts, desk.before_images) == ({2: (Status.UNKNOWN, "crashed")}, [], [])


@pytest.mark.parametrize("error", [Unavailable("HTTP 503"), NotAllowed("403"), Fenced("taken over")])
def test_what_is_not_the_rows_fault_ends_the_batch(error: SiprosterError) -> None:
    """An error that isn't the row's settles no row, and no later row is read."""
    api = Registrar()
    rows = [row_of(held(api, user), line) for line, user in enumerate(("alice", "bob"), 2)]

    def refuse(deadline: float) -> None:
        raise error

    desk = Desk(api, permit=refuse)
    with pytest.raises(type(error)):
        desk.updater.change(rows)
    assert (desk.told(), api.puts, api.reads) == ({}, [], ["alice"])
    assert len(desk.before_images) == 1


def test_nothing_new_starts_when_it_must_give_way() -> None:
    """Before each row it is asked whether to continue (guard: ``_go_on``)."""
    api = Registrar()
    rows = [row_of(held(api, user), line) for line, user in enumerate(("alice", "bob"), 2)]
    asked = iter([None, Unavailable("giving way")])

    def go_on() -> None:
        if error := next(asked):
            raise error

    desk = Desk(api, check_continue=go_on)
    with pytest.raises(Unavailable):
        desk.updater.change(rows)
    assert (desk.told(), api.puts) == ({2: UPDATED}, ["alice"])


def test_a_row_that_is_to_be_created_has_nothing_to_set() -> None:
    """A row that is to be created is an internal error here: no request is made."""
    api = Registrar()
    assert updated(api, make_chunk_row(2, "alice")).told() == {2: (Status.UNKNOWN, "crashed")}
    assert (api.puts, api.reads) == ([], [])


def test_rows_of_other_realms() -> None:
    """Each is set with the digests of its own realm's host name."""
    api = Registrar()
    realms = {key: one.host for key, one in make_realms().items()}
    rows = []
    for line, host in enumerate(realms.values(), 2):
        api.holds(
            Credential(f"user{line}", "", host, "a1" * 16, "b1" * 16), Family.REALM, Realm(host, host).id
        )
        rows.append(row_of(current(api, f"user{line}"), line, realm=line - 2))
    updated(api, *rows, family=Family.REALM)
    assert api.digests() == {row.user: digests_of(row, realms[row.realm_key]) for row in rows}


def hide_hash1b(api: Registrar) -> None:
    """Make the service leave out everybody's Hash1b, before a change and after it."""
    for place, one in api.stored.items():
        api.stored[place] = replace(one, hash1b=None)


@pytest.mark.parametrize("killed", [False, True])
def test_a_hash1b_that_nobody_is_told(*, killed: bool) -> None:
    """If Hash1b is never listed, the new Hash1 shows that the user was updated."""
    api = Registrar()
    held(api)
    hide_hash1b(api)
    row = row_of(current(api))
    if killed:  # after the change, before its outcome was kept
        somebody_sets(api, hash1=digests_of(row)[0])
    api.after = lambda batch: hide_hash1b(api)
    assert updated(api, row, begun={2} if killed else ()).told() == {2: UNPROVEN if killed else UPDATED}
