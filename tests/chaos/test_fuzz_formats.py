"""The short form of ``make fuzz-formats``."""

from __future__ import annotations

from pathlib import Path

from tests.chaos import fuzz_formats


def test_damaged_exports_are_read_or_refused() -> None:
    """No exception but UsageError, nothing that takes for ever, and no user with another one's password."""
    result = fuzz_formats.campaign("20261129", 120)
    assert result.broken == []
    assert result.done["read"] > 30  # a campaign that refuses everything proves nothing
    assert result.done["refused"] > 30


def test_a_shifted_row_is_noticed(tmp_path: Path) -> None:
    """A user with a password that the file gives to another one is told; what the damage wrote is not."""
    known = {"1001": frozenset(["Kestrel-1"]), "1002": frozenset(["Osprey-2"])}
    file = tmp_path / "staff.csv"
    file.write_text("1001,Kestrel-1\n1002,Osprey-2\n")
    assert list(fuzz_formats._shifted(file, {"1001": frozenset(["Osprey-2"])}, known)) == ["1001"]
    file.write_text("1001,Osprey-2\n")
    assert list(fuzz_formats._shifted(file, {"1001": frozenset(["Osprey-2"])}, known)) == []
