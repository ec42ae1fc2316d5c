"""Records kept sealed: they come back as they were, as often as they are read, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

from worker.roster.kept import keep
from worker.roster.text import Malformed, Record


def test_records_come_back_as_they_were() -> None:
    """Any text comes back, also line breaks, half a surrogate pair, and records that could not be read."""
    records: list[Record] = [
        (1, ["extension", "secret"]),
        (4, ["1001", 'p"a\\s,s\r\n\0 é\ud800']),
        (9, Malformed("a quote is not closed")),
        (12, []),
    ]
    table = keep(iter(records), "pbx.conf")
    for _ in range(2):
        with table.read() as again:
            back = list(again)
        assert back == records
        assert [getattr(fields, "reason", "") for _, fields in back] == ["", "", "a quote is not closed", ""]
    table.close()


def test_two_readings_at_once() -> None:
    """A reading does not disturb another one."""
    table = keep(((at, [str(at)]) for at in range(5000)), "pbx.conf")
    with table.read() as one, table.read_again() as two:
        assert all(left == right for left, right in zip(one, two, strict=True))
    table.close()


def test_the_hash_tells_contents_apart() -> None:
    """Equal records have the same hash, others another one; a source's own hash is taken as it is."""
    first, same, other = (keep([(1, [cell])], "x") for cell in ("a", "a", "b"))
    assert first.sha256 == same.sha256 != other.sha256
    assert keep([(1, ["a"])], "x", "beef").sha256 == "beef"


def test_long_fields_take_no_more_memory() -> None:
    """A group of records ends by its size, too: 200 MB of long fields pass through a few megabytes."""

    def records() -> Iterator[Record]:
        for at in range(2000):
            yield at, ["x" * 100_000]

    tracemalloc.start()
    table = keep(records(), "long.conf")
    with table.read() as again:
        assert sum(len(fields[0]) for _, fields in again) == 200_000_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    table.close()
    assert peak < 30_000_000
