"""The short form of ``make fuzz-rosters``."""

from __future__ import annotations

import random

from tests.chaos import fuzz_rosters

SEED = 20_260_801


def test_rosters_are_read_as_they_are() -> None:
    """Every record, line, field, user and password as the other reader has it, or a refusal with a reason."""
    broken, done = fuzz_rosters.campaign(SEED, 400)
    assert broken == []
    assert done["read"] > 300  # a campaign that refuses everything proves nothing
    assert done["rows"] > 4000


def test_the_independent_reader_sees_what_is_broken() -> None:
    """The independent reader finds malformed records and unclosed quotes, and keeps physical line numbers."""
    read = fuzz_rosters.independent('a,b\r\n\r\n"x\ny",1\r"z"z,2\n ,\nc,"', ",")
    assert read.records == [(1, ["a", "b"]), (3, ["x\ny", "1"]), (5, None), (7, None)]
    assert read.broken
    assert not fuzz_rosters.independent('a,b\n"x"x,1\n', ",").broken


def test_a_roster_depends_on_its_seed_alone() -> None:
    """The same seed makes the same roster, so that a broken promise can be reproduced."""
    assert fuzz_rosters.make(random.Random("7/3")) == fuzz_rosters.make(random.Random("7/3"))
