"""Texts of the commands as the page shows them."""

from __future__ import annotations

import pytest

from worker.web.plan_view import WARNINGS
from worker.web.words import sentence


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("staff.csv (upload:1f): it has no password column", "It has no password column."),
        ("staff.csv (upload:1f) is a PDF, not a text file", "staff.csv is a PDF, not a text file."),
        ("'x' is no column of staff.csv (upload:1f)", "'x' is no column of staff.csv."),
        ("choose one: --map password=A", "Choose one: --map password=A."),
    ],
)
def test_a_sentence_leaves_files_their_names(text: str, shown: str) -> None:
    """A file has the name that its owner knows, and no place of ours."""
    assert sentence(text) == shown


def test_a_warning_is_short_enough_for_a_row() -> None:
    """A row says what is wrong with it; how exactly that is found out is in the manual."""
    assert WARNINGS["weak_password"].endswith("shared by 5 or more rows.")
