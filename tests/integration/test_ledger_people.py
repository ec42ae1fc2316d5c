"""People and their sessions on the page, in SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from tests.unit.jobs import Clock
from worker.errors import Conflict, NotFound, UsageError
from worker.ledger import Ledger, Person, Role

DANA = Person("Dana", Role.APPROVE)


def test_people_are_found_by_name_in_any_case(ledger: Ledger, clock: Clock) -> None:
    """A name is shown as it was given, and there is one of it."""
    ledger.people.add(DANA, "hash 1")
    for name in ("dana", "DANA"):
        found = ledger.people.find(name)
        assert found is not None
        assert (found.person, found.token_hash, found.created.timestamp()) == (DANA, "hash 1", clock.now)
        with pytest.raises(Conflict):
            ledger.people.add(Person(name, Role.UPLOAD), "hash 2")
    assert [one.person for one in ledger.people.all()] == [DANA]
    ledger.people.set_role("dana", Role.ADMIN)
    assert ledger.people.renew("DANA", "hash 2") == Person("Dana", Role.ADMIN)
    assert ledger.people.renew("DANA", "hash 3", Role.UPLOAD) == Person("Dana", Role.UPLOAD)
    ledger.people.remove("dAna")
    assert ledger.people.find("Dana") is None


def test_nobody_is_changed_who_is_not_there(ledger: Ledger) -> None:
    """Changes of unknown people and names that are none are refused."""
    with pytest.raises(NotFound):
        ledger.people.renew("lee", "hash")
    with pytest.raises(NotFound):
        ledger.people.set_role("lee", Role.ADMIN)
    with pytest.raises(NotFound):
        ledger.people.remove("lee")
    for name in ("", ".", "a..b", "-a", "a b", "a/b", "é", "a\n", "a" * 65):
        with pytest.raises(UsageError):
            ledger.people.add(Person(name, Role.UPLOAD), "hash")


def test_a_session_lasts_as_long_as_it_is_used(ledger: Ledger, clock: Clock) -> None:
    """A session ends when it was idle for too long, at its end, and with its person."""
    ledger.people.add(DANA, "hash")
    known = ledger.people.find("dana")
    assert known is not None
    assert ledger.page_sessions.begin("cookie", known, 1000)
    begun = clock.now
    for _ in range(4):
        clock.advance(190)
        assert ledger.page_sessions.person("cookie", idle=200) == DANA
    assert ledger.page_sessions.person("another", idle=200) is None
    clock.advance(201)
    assert ledger.page_sessions.person("cookie", idle=200) is None
    assert ledger.page_sessions.person("cookie", idle=2000) == DANA
    clock.advance(begun + 1001 - clock.now)
    assert ledger.page_sessions.person("cookie", idle=2000) is None
    signed_in = ledger.people.find("dana")
    assert signed_in is not None
    assert signed_in.signed_in is not None
    assert signed_in.signed_in.timestamp() == begun


def test_no_session_begins_with_an_old_token(ledger: Ledger) -> None:
    """A token that was renewed, or whose person was removed, since it was looked up begins nothing."""
    ledger.people.add(DANA, "hash 1")
    known = ledger.people.find("dana")
    assert known is not None
    ledger.page_sessions.begin("cookie", known, 1000)
    ledger.people.renew("dana", "hash 2")
    assert not ledger.page_sessions.begin("late", known, 1000)
    assert ledger.page_sessions.person("cookie", idle=200) is None
    assert ledger.page_sessions.person("late", idle=200) is None
    ledger.page_sessions.end("cookie")
    ledger.page_sessions.delete_expired(200)
