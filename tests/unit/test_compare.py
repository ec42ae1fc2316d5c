"""Comparison of what is stored with what is wanted, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.jobs import HOST, OTHER_HOST, PASSWORD, digests_of, make_chunk_row
from worker.importing.compare import SETTABLE, differences, explained, same, wanted
from worker.model import Credential, Stored

APP, OTHER_APP = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60", "7b2f8f6e-1111-2222-3333-abcdefabcdef"
WANTED = Credential("alice", "example.com", HOST, "a1" * 16, "b1" * 16, APP)
HELD = Stored("7", "alice@example.com", HOST, "a1" * 16, "b1" * 16, APP)

OTHERWISE: Mapping[str, tuple[str, Any]] = {
    "case_differs": ("composite", "Alice@example.com"),
    "realm_differs": ("realm", OTHER_HOST),
    "digest_differs": ("hash1", "c1" * 16),
    "application_differs": ("application", OTHER_APP),
}
"""Each code, and what alone brings it about."""


def test_a_row_asks_for_its_digests() -> None:
    """A row's credential has its names, its application, and its password's digests for that realm."""
    row = make_chunk_row(2, "alice", domain="example.com", application=APP)
    assert wanted(row, HOST) == Credential("alice", "example.com", HOST, *digests_of(row, HOST), APP)


@given(st.sets(st.sampled_from(sorted(OTHERWISE))))
def test_each_difference_has_its_code(codes: set[str]) -> None:
    """Every difference is returned, and no other; digests aren't compared if spelling or realm differ."""
    stored = replace(HELD, **dict(OTHERWISE[code] for code in codes))
    if codes & {"case_differs", "realm_differs"}:
        codes = codes - {"digest_differs"}
    assert set(differences(WANTED, stored)) == codes
    assert bool(codes) is (differences(WANTED, stored) != ())


@pytest.mark.parametrize("digest", ["hash1", "hash1b"])
@pytest.mark.parametrize("told", ["c1" * 16, None, ""])
def test_both_digests_count(digest: str, told: str | None) -> None:
    """A digest that differs or is missing is a difference: no user counts as in place unseen."""
    stored = replace(HELD, **{digest: told})  # type: ignore[arg-type]
    assert differences(WANTED, stored) == ("digest_differs",)


@given(st.sampled_from([str.upper, str.lower, str.title]), st.booleans())
def test_hosts_and_ids_have_no_case(spell: Any, realm_told: bool) -> None:
    """Realm and application are compared in any case, and a realm that isn't reported is no difference."""
    stored = replace(HELD, realm=spell(HOST) if realm_told else "", application=spell(APP))
    assert differences(WANTED, stored) == ()


@pytest.mark.parametrize("application", ["", APP, OTHER_APP])
def test_who_wants_no_application_takes_the_one_that_is_there(application: str) -> None:
    """A row without an application is satisfied with any."""
    assert differences(replace(WANTED, application=""), replace(HELD, application=application)) == ()


def test_what_can_be_set() -> None:
    """A PUT can set digests and application, but not the realm or the name's spelling."""
    assert {code for code in OTHERWISE if code in SETTABLE} == {"digest_differs", "application_differs"}


@given(st.sets(st.sampled_from(sorted(OTHERWISE)), min_size=1))
def test_words_tell_no_digest(codes: set[str]) -> None:
    """Each code has a text that says what is stored, without digests."""
    stored = replace(HELD, **dict(OTHERWISE[code] for code in codes))
    text = explained(tuple(sorted(codes)), stored)
    assert text.count(";") == len(codes) - 1
    assert not [digest for digest in (stored.hash1, stored.hash1b) if str(digest) in text]
    assert PASSWORD not in text


CHANGES: Mapping[str, Any] = {
    "id": "8", "composite": "ALICE@example.com", "realm": OTHER_HOST, "hash1": "d1" * 16, "hash1b": None,
    "application": OTHER_APP,
}  # fmt: skip


@given(st.sets(st.sampled_from(sorted(CHANGES))))
def test_whatever_was_changed_is_seen(fields: set[str]) -> None:
    """Any field that changed since the look-up is noticed, the id of a user created again, too."""
    now = replace(HELD, **{name: CHANGES[name] for name in fields})
    assert same(HELD, now) is (not fields)


@pytest.mark.parametrize("name", ["realm", "application"])
def test_what_the_look_did_not_show_is_not_compared(name: str) -> None:
    """Realm and application may be missing in the look-up; if they were shown, they must not be gone."""
    assert same(replace(HELD, **{name: ""}), HELD)
    assert not same(HELD, replace(HELD, **{name: ""}))
    assert same(HELD, replace(HELD, **{name: str(getattr(HELD, name)).upper()}))
