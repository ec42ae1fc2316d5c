"""The results of verify, summed up for people and as facts."""

from __future__ import annotations

import io
from typing import Any

from tests.unit.jobs import HOST, make_row
from worker.commands.verify_report import VerifyWriter, print_report
from worker.register import RegisterResult, Verdict


def sheet_of(*results: RegisterResult) -> VerifyWriter:
    """Return a sheet with some rows' results."""
    sheet = VerifyWriter(lambda cells: None)
    rows = [make_row(line, f"u{line}", host=HOST) for line in range(2, 2 + len(results))]
    for entry, result in zip(sheet.entries(rows), results, strict=True):
        sheet.found(entry, result)
    return sheet


def facts_of(sheet: VerifyWriter) -> dict[str, Any]:
    """Return the facts as ``--json`` has them."""
    counts = {str(verdict): rows for verdict, rows in sheet.counts.items()}
    shown = {"counts": counts, "reasons": sheet.reasons, "tried": sheet.tried}
    return {**shown, "registered_now": 0, "files": {"verify": "verify.csv"}}


def test_the_summary_says_why() -> None:
    """Each reason with its rows, the most frequent first; what is left is counted."""
    silent = [RegisterResult(Verdict.CANNOT_TELL, "DNS did not answer about x")] * 3
    others = [RegisterResult(Verdict.CANNOT_TELL, f"reason {number}") for number in range(4)]
    wrong = RegisterResult(Verdict.WRONG_PASSWORD, "403 Forbidden")
    sheet = sheet_of(*others, *silent, wrong, RegisterResult(Verdict.REGISTERS, bindings=1))
    told = io.StringIO()
    print_report(facts_of(sheet), told)
    lines = [line.strip() for line in told.getvalue().splitlines()]
    assert "cannot_tell: DNS did not answer about x (3 rows)" in lines
    assert "cannot_tell: reason 0 (1 row)" in lines
    assert "cannot_tell: other reasons: see bw__error (2 rows)" in lines
    assert "wrong_password: 403 Forbidden (1 row)" in lines
    assert [one["rows"] for one in sheet.reasons["cannot_tell"]] == [3, 1, 1]
    assert set(sheet.reasons) == {"cannot_tell", "wrong_password"}


def test_reasons_are_bounded() -> None:
    """A thousand different reasons are counted each by itself, and all others together."""
    errors = [*(f"404 {number}" for number in range(1000)), *["too late"] * 5]
    sheet = sheet_of(*(RegisterResult(Verdict.REFUSED, error) for error in errors))
    told = io.StringIO()
    print_report(facts_of(sheet), told)
    assert "refused: other reasons: see bw__error (1,002 rows)" in told.getvalue()
    assert "too late" not in told.getvalue()
