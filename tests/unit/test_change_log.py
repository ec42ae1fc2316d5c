"""A job's changes, sealed: enough to undo them, and to see whether somebody changed them since."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.jobs import HOST, KEY
from worker.errors import LedgerError
from worker.importing.change_log import change_of, mark
from worker.ledger.codec import Change, open_changes, seal_changes
from worker.model import Credential, Stored
from worker.seal import Seal

SEAL = Seal([KEY])
DONE = Credential("alice", "example.com", HOST, "a1" * 16, "b1" * 16, "app")
BEFORE = Stored("7", "alice@example.com", HOST, "c1" * 16, "d1" * 16, "earlier")

texts = st.text(max_size=12)
digests = st.none() | st.text("0123456789abcdef", min_size=32, max_size=32)
stored = st.builds(Stored, texts, texts, texts, digests, digests, texts)
changes = st.builds(
    Change,
    st.integers(2, 10**9),
    st.integers(0, 9),
    texts,
    texts,
    st.just("e1" * 16),
    texts,
    st.none() | stored,
)


@given(st.lists(changes, max_size=5), st.integers(0, 99), st.integers(0, 99))
def test_they_come_back_as_they_were(done: list[Change], chunk: int, nr: int) -> None:
    """Changes are opened as they were sealed, with their earlier state."""
    assert open_changes(SEAL, "job", chunk, nr, seal_changes(SEAL, "job", chunk, nr, done)) == done


def test_a_deed_tells_what_was_done() -> None:
    """A change names the user and the realm, has a mark of the digests, and the state before."""
    change = change_of(5, 1, "7", DONE, BEFORE)
    assert (change.line, change.realm_key, change.id, change.composite) == (5, 1, "7", "alice@example.com")
    assert (change.mark, change.application, change.before) == (mark("a1" * 16, "b1" * 16), "app", BEFORE)


@pytest.mark.parametrize("place", [("other", 3, 4), ("job", 4, 4), ("job", 3, 5)])
def test_moved_elsewhere_they_do_not_open(place: tuple[str, int, int]) -> None:
    """A change doesn't open for another job, chunk or number (guard: the seal's context)."""
    sealed = seal_changes(SEAL, "job", 3, 4, [change_of(5, 1, "7", DONE)])
    with pytest.raises(LedgerError, match="changed or moved"):
        open_changes(SEAL, *place, sealed)


def test_another_key_does_not_open_them() -> None:
    """With another key the error names the key that is missing."""
    sealed = seal_changes(SEAL, "job", 3, 4, [change_of(5, 1, "7", DONE)])
    with pytest.raises(LedgerError, match=SEAL.fingerprint):
        open_changes(Seal([bytes(32)]), "job", 3, 4, sealed)


def test_nothing_shows() -> None:
    """Neither sealed nor printed does a change show a digest or a mark."""
    change = change_of(5, 1, "7", DONE, BEFORE)
    secrets = ["a1" * 16, "b1" * 16, "c1" * 16, "d1" * 16, change.mark]
    sealed = seal_changes(SEAL, "job", 3, 4, [change])
    assert not [secret for secret in secrets if secret in repr(change) or secret.encode() in sealed]
    assert not [secret for secret in secrets if bytes.fromhex(secret) in sealed]


@given(digests, digests, digests, digests)
def test_marks_are_equal_where_digests_are(one: str, one_b: str, other: str, other_b: str) -> None:
    """Marks are equal if, and only if, both digests are; a missing digest equals only a missing one."""
    assert (mark(one, one_b) == mark(other, other_b)) is ((one, one_b) == (other, other_b))
    assert mark(one, one_b) == mark(one, one_b)
