"""An index on disk of stored credentials, by place and name, and of which were named."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.jobs import HOST, OTHER_HOST
from tests.unit.rosters import nameless_files
from worker.importing.credential_index import CredentialIndex
from worker.model import Stored

ALICE = Stored("1", "Alice@example.com", HOST, "a1" * 16, "b1" * 16, "app")
BOB = Stored("2", "bob", OTHER_HOST, None, "b2" * 16)


@pytest.fixture
def index() -> Iterator[CredentialIndex]:
    """Return an empty index."""
    with closing(CredentialIndex()) as index:
        yield index


def unnamed(index: CredentialIndex) -> list[str]:
    """Return the names of those who were not named, in the index's order."""
    return [one.composite for one in index.unnamed()]


def test_what_was_loaded_is_found_whole(index: CredentialIndex) -> None:
    """A loaded entry is found by its name in any case, with every element, also those that are empty."""
    index.load("account", [ALICE, BOB])
    names = ["ALICE@EXAMPLE.COM", "nobody", "bob", "alice"]
    assert index.named("account", names) == [ALICE, None, BOB, None]


def test_a_place_is_its_own(index: CredentialIndex) -> None:
    """The same name on two realms is two users; naming one of them doesn't name the other."""
    there = Stored("9", "alice@EXAMPLE.com", OTHER_HOST)
    index.load("17", [ALICE])
    index.load("18", [there])
    assert index.named("18", ["alice@example.com"]) == [there]
    assert list(index.unnamed()) == [Stored("1", "Alice@example.com", HOST, application="app")]
    assert index.named("17", ["alice@example.com"]) == [ALICE]
    assert unnamed(index) == []


def test_an_entry_that_comes_twice_counts_once(index: CredentialIndex) -> None:
    """Pages of a list that changes may overlap; of two entries the later one counts."""
    later = Stored("1", "alice@example.com", HOST, "c1" * 16, "d1" * 16)
    index.load("account", [ALICE, BOB, later])
    assert unnamed(index) == ["bob", "alice@example.com"]
    assert index.named("account", ["alice@example.com"]) == [later]


def test_who_was_not_named(index: CredentialIndex) -> None:
    """The unnamed are sorted by realm and name, without digests; a name that nobody has is no error."""
    names = [(host, name) for host in (HOST, OTHER_HOST) for name in ("carl", "Anna", "bert")]
    index.load("account", [Stored(name, f"{name}.{host[0]}", host, "a1" * 16) for host, name in names])
    index.named("account", ["BERT.O", "nobody"])
    left = list(index.unnamed())
    assert [(one.realm, one.composite) for one in left] == [
        (OTHER_HOST, "Anna.b"), (OTHER_HOST, "bert.b"), (OTHER_HOST, "carl.b"),
        (HOST, "Anna.o"), (HOST, "carl.o"),
    ]  # fmt: skip
    assert {(one.hash1, one.hash1b) for one in left} == {(None, None)}


def test_names_may_hold_anything(index: CredentialIndex) -> None:
    """Names may hold NUL; a name with half a surrogate pair is never found."""
    nul = Stored("3", "nul\0and more", HOST)
    index.load("account", [nul])
    assert index.named("account", ["NUL\0AND MORE", "half \ud800", "nul"]) == [nul, None, None]


@given(st.dictionaries(st.text(max_size=8).map(str.casefold), st.booleans(), max_size=40))
def test_everybody_is_named_or_not(held: dict[str, bool]) -> None:
    """Each user is found by its own name, and is either named or unnamed, for any names."""
    held = {name: asked for name, asked in held.items() if name == name.casefold()}
    with closing(CredentialIndex()) as index:
        index.load("account", [Stored(str(at), name, HOST) for at, name in enumerate(held)])
        asked = [name for name, wanted in held.items() if wanted]
        assert [one.composite if one else None for one in index.named("account", asked)] == asked
        assert sorted(unnamed(index)) == sorted(held.keys() - set(asked))


def test_many_names_at_once(index: CredentialIndex) -> None:
    """More names than one statement takes are loaded and found, each in its place."""
    everybody = [Stored(str(at), f"user{at}", HOST) for at in range(4500)]
    index.load("account", everybody)
    asked = [f"USER{at}" for at in range(0, 4500, 2)]
    assert index.named("account", asked) == everybody[::2]
    assert len(unnamed(index)) == 2250


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files through /proc")
def test_no_digest_is_in_its_file_in_clear() -> None:
    """The file has no name and mode 0600, and holds names but no digest (guard: ``_sealed``)."""
    before = nameless_files()
    with closing(CredentialIndex()) as index:
        index.load("account", (user(at) for at in range(200_000)))  # more than it keeps in memory
        files = nameless_files() - before
        assert {stat.S_IMODE(os.fstat(number).st_mode) for number in files} == {0o600}
        content = b"".join(os.pread(number, os.fstat(number).st_size, 0) for number in files)
    assert content.count(b"user") > 1000
    assert b"0000a1a1a1" not in content
    assert bytes.fromhex("0000a1a1a1") not in content
    assert nameless_files() <= before


def user(at: int) -> Stored:
    """Somebody whose digests are easily found."""
    name = f"user{at}@{'branch.' * 10}example.com"
    return Stored(f"id{at}", name, HOST, f"{at:08x}0000a1a1a1a1a1a1a1a1a1a1", "0000a1a1a1" * 3 + "00")


def test_numbers_that_differ_by_zeros_are_found(index: CredentialIndex) -> None:
    """Zeros that were cut or added in front of a number, in the same place and with the same domain."""
    index.load("17", [Stored("1", "0351", HOST), Stored("2", "352@x", HOST), Stored("3", "0a", HOST)])
    index.load("18", [Stored("4", "0999", OTHER_HOST), Stored("5", "000", OTHER_HOST)])
    asked = ["351", "00351", "0352@x", "0352", "a", "999", "0"]
    assert index.differing_by_zeros("17", asked) == {0: "0351", 1: "0351", 2: "352@x"}
    assert index.differing_by_zeros("18", asked) == {5: "0999", 6: "000"}
