"""Snapshots: what a file reveals, which damage is noticed, and the differences of two."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SiprosterError, UsageError
from worker.model import Family, Stored
from worker.seal import Seal
from worker.snapshot import Change, Difference, Facts, Snapshot, write

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
SEAL = Seal([KEY])
HASH1, HASH1B = "1be6abcaa8e9956021d30f33a3925b99", "e028e6577a0bb1b90a33d30a110dbdfe"
OFFICE, SALES = "office-0a1b2c.auth.bandwidth.com", "sales-0a1b2c.auth.bandwidth.com"
FACTS = Facts(
    Family.ACCOUNT,
    "https://api.example.com",
    "9900001",
    OFFICE,
    "2026-11-22T22:46:12+00:00",
    SEAL.fingerprint,
)
ALICE = Stored("17", "alice", OFFICE, HASH1, HASH1B, "7b2f")


def many(count: int) -> list[Stored]:
    return [replace(ALICE, id=str(number), composite=f"user{number}") for number in range(count)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of the snapshot."""
    return tmp_path / "before.snapshot"


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_what_is_written_is_read(file: Path, count: int) -> None:
    """Everything written is read, in order, for any number of chunks; None stays None."""
    entries = [*many(count), Stored("x", "n", "")]
    assert write(file, FACTS, SEAL, iter(entries)) == count + 1
    read = Snapshot(file)
    assert read.facts == FACTS
    assert list(read.entries(SEAL)) == entries


def test_only_its_owner_may_read_it_and_only_with_the_key(file: Path) -> None:
    """Mode 0600; neither a digest nor a user's name is in the bytes; another key opens nothing."""
    write(file, FACTS, SEAL, [ALICE])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [word for word in ("alice", HASH1, HASH1B) if word.encode() in file.read_bytes()] == []
    with pytest.raises(UsageError, match=SEAL.fingerprint) as caught:
        list(Snapshot(file).entries(Seal([OTHER_KEY])))
    assert "SIPROSTER_KEY" in caught.value.hint
    assert list(Snapshot(file).entries(Seal([OTHER_KEY, KEY]))) == [ALICE]


def test_a_snapshot_is_never_written_over(file: Path) -> None:
    """A file that exists is never overwritten: exit code 6."""
    file.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        write(file, FACTS, SEAL, [ALICE])
    assert file.read_text() == "mine"


def test_one_that_ends_midway_leaves_nothing(file: Path) -> None:
    """A file gets its name when it is whole, so that a part never looks like all."""

    def broken() -> Iterator[Stored]:
        yield from many(1500)
        raise SiprosterError("the service went away")

    with pytest.raises(SiprosterError, match="went away"):
        write(file, FACTS, SEAL, broken())
    assert list(file.parent.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A missing folder is reported before the service is asked anything."""
    entries = iter([ALICE])
    with pytest.raises(UsageError, match="can't be written"):
        write(tmp_path / "nowhere" / "x", FACTS, SEAL, entries)
    assert next(entries) is ALICE


def test_any_byte_that_was_changed_is_seen(file: Path) -> None:
    """A snapshot with one bit changed in facts, lengths or seals is refused or reported as damaged."""
    write(file, FACTS, SEAL, many(3))
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(UsageError):
            list(Snapshot(file).entries(SEAL))


@pytest.mark.parametrize(
    "harm",
    [
        lambda chunks: chunks[:-1],
        lambda chunks: chunks[1:],
        lambda chunks: [chunks[1], chunks[0], *chunks[2:]],
        lambda chunks: [chunks[0], *chunks],
        lambda chunks: [*chunks, b"\0\0\0\1x"],
        lambda chunks: [chunks[-1]],
        lambda chunks: [b"\xff\xff\xff\xff"],
    ],
)
def test_chunks_keep_their_number_and_order(file: Path, harm: Callable[[list[bytes]], list[bytes]]) -> None:
    """Nothing can be cut off, swapped, repeated or added, although each chunk opens by itself."""
    write(file, FACTS, SEAL, many(2500))
    head, _, rest = file.read_bytes().partition(b"\n")
    chunks = []
    while rest:
        end = 4 + int.from_bytes(rest[:4], "big")
        chunks.append(rest[:end])
        rest = rest[end:]
    assert len(chunks) == 4
    file.write_bytes(head + b"\n" + b"".join(harm(chunks)))
    with pytest.raises(UsageError, match="changed or is incomplete"):
        list(Snapshot(file).entries(SEAL))


@given(st.binary(max_size=200))
def test_no_other_file_is_taken_for_one(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Any bytes give an error message for the user, not an internal error."""
    file = tmp_path_factory.mktemp("other") / "file"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="not a snapshot"):
        Snapshot(file)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '"x"', "1", '{"format": "siproster snapshot 1", "key": 5}', "[" * 4000]
)
def test_json_that_is_no_header(file: Path, text: str) -> None:
    """JSON of another kind is refused as no snapshot."""
    file.write_text(text + "\n")
    with pytest.raises(UsageError, match="not a snapshot"):
        Snapshot(file)


def test_a_file_that_is_not_there(file: Path) -> None:
    """A missing file is reported in a sentence."""
    with pytest.raises(UsageError, match="no such file"):
        Snapshot(file)


# Differences


def differences(before: Iterable[Stored], after: Iterable[Stored]) -> list[Change]:
    with closing(Difference()) as difference:
        difference.load("before", before)
        difference.load("after", after)
        return list(difference.changes())


def shown(stored: Stored) -> Stored:
    """Return the credential without its digests, as a change has it."""
    return replace(stored, hash1=None, hash1b=None)


def test_nothing_changed() -> None:
    """Order, a repeated entry, and the case of realm and application make no difference."""
    entries = many(7000)
    again = [replace(one, realm=one.realm.upper(), application="7B2F") for one in reversed(entries)]
    assert differences(entries, [*again, again[0]]) == []


@pytest.mark.parametrize(
    ("after", "differs"),
    [
        (replace(ALICE, hash1=HASH1B), ("digests",)),
        (replace(ALICE, hash1b=None), ("digests",)),
        (replace(ALICE, application=""), ("application",)),
        (replace(ALICE, composite="Alice"), ("case",)),
        (replace(ALICE, realm=SALES, hash1=HASH1B), ("digests", "realm")),
        (replace(ALICE, id="18", hash1=HASH1B), ("digests",)),
        (replace(ALICE, id="", application="x"), ("application",)),
    ],
)
def test_a_credential_that_changed(after: Stored, differs: tuple[str, ...]) -> None:
    """A changed credential is listed with all its differences, even if created again or without an id."""
    assert differences([ALICE], [after]) == [Change("changed", shown(after), shown(ALICE), differs)]


def test_added_and_removed() -> None:
    """A user who is in one snapshot alone is listed once, in the order of the names."""
    bob, carol = replace(ALICE, id="1", composite="bob"), replace(ALICE, id="2", composite="carol")
    assert differences([bob, ALICE], [carol, ALICE]) == [
        Change("removed", shown(bob)),
        Change("added", shown(carol)),
    ]


def test_made_again_with_the_same_digests() -> None:
    """A user created again with the same digests is no change: only the id differs."""
    assert differences([ALICE], [replace(ALICE, id="99")]) == []


def test_moved_and_replaced() -> None:
    """Ids are compared first: a user who moved is changed, and the one in the old place is added."""
    moved, new = replace(ALICE, realm=SALES), replace(ALICE, id="99", hash1=HASH1B)
    assert differences([ALICE], [moved, new]) == [
        Change("added", shown(new)),
        Change("changed", shown(moved), shown(ALICE), ("realm",)),
    ]


def test_one_name_on_two_realms() -> None:
    """A user created again on one realm isn't confused with the other realm's user of that name."""
    other = replace(ALICE, id="18", realm=SALES)
    again = replace(ALICE, id="99")
    assert differences([ALICE, other], [again, other]) == []
    assert differences([ALICE, other], [again]) == [Change("removed", shown(other))]


Users = dict[tuple[str, str], tuple[str, str | None]]
"""Name and realm to application and Hash1."""

USERS: st.SearchStrategy[Users] = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.sampled_from([OFFICE, SALES])),
    st.tuples(st.sampled_from(["", "x"]), st.sampled_from([HASH1, HASH1B, None])),
)


@given(USERS, USERS)
def test_every_difference_is_found(before: Users, after: Users) -> None:
    """All users added, removed or changed are found, and no others, as by a comparison in memory."""

    def stored(users: Users) -> list[Stored]:
        return [
            Stored(f"{name}{realm}", name, realm, hash1, HASH1, application)
            for (name, realm), (application, hash1) in users.items()
        ]

    found = {
        (one.stored.composite, one.stored.realm): one.kind
        for one in differences(stored(before), stored(after))
    }
    wanted = dict.fromkeys(before.keys() - after.keys(), "removed")
    wanted |= dict.fromkeys(after.keys() - before.keys(), "added")
    wanted |= {user: "changed" for user in before.keys() & after.keys() if before[user] != after[user]}
    assert found == wanted


def test_no_change_holds_a_digest() -> None:
    """No change that is listed contains a digest."""
    found = differences([ALICE], [replace(ALICE, hash1=HASH1B), replace(ALICE, id="5", composite="bob")])
    assert len(found) == 2
    assert [one for one in found if one.stored.hash1 or one.stored.hash1b] == []
    assert [one for one in found if one.before and (one.before.hash1 or one.before.hash1b)] == []
