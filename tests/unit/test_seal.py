"""Sealing of secrets in the ledger: with which key, and for which place."""

from __future__ import annotations

import json
import logging
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import LedgerError, UsageError
from worker.ledger.codec import open_chunk, open_page, seal_chunk, seal_page
from worker.model import Row, Stored
from worker.seal import Seal, fingerprint, new_key

OLD, NEW = bytes(32), bytes(range(32))
CANARY = "Zq8-canary-31f"
PLACE = "job/chunk/7"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4)
)


@given(values, st.text(st.characters(codec="utf-8")))
def test_what_was_sealed_comes_back(value: object, context: str) -> None:
    """Any JSON value, with any text, opens in its place as it was."""
    seal = Seal([NEW])
    assert seal.open(seal.close_over(value, context), context) == value


def test_keys_rotate() -> None:
    """The first key seals and is named in the seal; every key of the ring opens, and no other."""
    before, both, after = Seal([OLD]), Seal([NEW, OLD]), Seal([NEW])
    old, new = before.close_over([CANARY], PLACE), both.close_over([CANARY], PLACE)
    assert both.open(old, PLACE) == both.open(new, PLACE) == after.open(new, PLACE) == [CANARY]
    assert both.fingerprint == after.fingerprint == fingerprint(NEW) != before.fingerprint
    assert both.can_open(before.fingerprint)
    assert not before.can_open(both.fingerprint)


def test_another_key_is_named_and_not_told() -> None:
    """Without its key sealed bytes don't open, and the message names the key that is missing."""
    sealed = Seal([OLD]).close_over([CANARY], PLACE)
    with pytest.raises(LedgerError, match=fingerprint(OLD)) as refused:
        Seal([NEW]).open(sealed, PLACE)
    assert "SIPROSTER_KEY" in refused.value.message
    assert "add the key" in refused.value.hint


@pytest.mark.parametrize("place", ["job/chunk/8", "job/page/7", "other/chunk/7", ""])
def test_moved_bytes_do_not_open(place: str) -> None:
    """Sealed bytes open in their own place only, and not in another chunk, page or job."""
    seal = Seal([NEW])
    with pytest.raises(LedgerError, match="changed or moved"):
        seal.open(seal.close_over([CANARY], PLACE), place)


@given(st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject) -> None:
    """A seal with any bit changed, even the version's, or with any bytes cut off doesn't open."""
    seal = Seal([NEW])
    sealed = bytearray(seal.close_over([CANARY], PLACE))
    if data.draw(st.booleans()):
        sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del sealed[data.draw(st.integers(0, len(sealed) - 1)) :]
    with pytest.raises(LedgerError):
        seal.open(bytes(sealed), PLACE)


def test_the_same_value_never_looks_the_same() -> None:
    """Two seals over one value differ, so that equal passwords can't be recognised in the ledger."""
    seal = Seal([NEW])
    assert seal.close_over([CANARY], PLACE) != seal.close_over([CANARY], PLACE)


def test_nothing_is_told_in_clear(caplog: pytest.LogCaptureFixture) -> None:
    """Neither key nor value is in sealed bytes, a repr, a traceback or a log."""
    caplog.set_level(logging.DEBUG)
    seal = Seal([NEW])
    sealed = seal.close_over([CANARY], PLACE)
    with pytest.raises(LedgerError) as refused:
        seal.open(sealed, "elsewhere")
    told = repr(seal) + "".join(traceback.format_exception(refused.value)) + caplog.text
    assert CANARY.encode() not in sealed
    assert not any(secret in told for secret in (CANARY, repr(NEW), NEW.hex()))


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, b""], [NEW + b"x"]])
def test_a_key_has_32_bytes(keys: list[bytes]) -> None:
    """No key, or one of another length, is a wrong setting that says how to make a right one."""
    with pytest.raises(UsageError, match="32 bytes") as refused:
        Seal(keys)
    assert "keygen" in refused.value.hint


def test_new_keys_are_new() -> None:
    """Each key is another one, and 32 bytes in URL-safe base64, as the setting takes them."""
    keys = {new_key() for _ in range(20)}
    assert len(keys) == 20
    assert {len(key) for key in keys} == {44}


texts, keys = st.text(), st.integers(0, 9)
digests = st.none() | st.text("0123456789abcdef", min_size=32, max_size=32)
stored = st.builds(Stored, texts, texts, texts, digests, digests, texts)
nothing = st.just("")
rows = st.builds(
    Row, st.integers(1), texts, texts, nothing, texts, texts.filter(bool),
    realm_key=st.integers(-1, 9), stored=st.none() | stored,
) | st.builds(
    Row, st.integers(1), texts, texts, nothing, texts, nothing,
    hash1=texts, hash1b=texts, realm_key=keys,
)  # fmt: skip
cells = st.lists(texts).map(tuple)
pages = st.builds(
    Row, st.integers(1), texts, texts, nothing, texts, nothing, cells,
    realm_key=keys, corrected=st.booleans(),
) | st.builds(Row, st.integers(1), texts, texts, texts, texts, nothing, cells)  # fmt: skip


@given(st.lists(rows), st.lists(pages))
def test_rows_survive_the_ledger(chunk: list[Row], page: list[Row]) -> None:
    """Rows of a chunk and of a page come back field by field, whatever text they hold."""
    seal = Seal([NEW])
    assert open_chunk(seal, "job", 3, seal_chunk(seal, "job", 3, chunk)) == chunk
    assert open_page(seal, "job", 3, seal_page(seal, "job", 3, page)) == page


def test_a_chunk_is_no_page() -> None:
    """A sealed chunk in a page's place doesn't open, so that passwords can't get into the results."""
    seal = Seal([NEW])
    sealed = seal_chunk(seal, "job", 3, [Row(2, "alice", "", "", "", CANARY)])
    with pytest.raises(LedgerError):
        open_page(seal, "job", 3, sealed)


def test_a_row_hides_its_password() -> None:
    """A row in a traceback or a log line shows no password."""
    assert CANARY not in repr(Row(2, "alice", "", "", "", CANARY))
    assert json.dumps(CANARY) not in repr([Row(2, "alice", "", "", "", CANARY)])
