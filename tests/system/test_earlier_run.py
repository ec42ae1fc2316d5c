"""A roster that is imported again: names that differ from its last run only by zeros in front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.program import Program
from tests.system.runs import run

FIRST = ("0351", "0352", "2001", "02001")


def rewritten(program: Program, *names: str) -> Path:
    """Write the roster under its usual name, as a spreadsheet saved it."""
    path = program.work / "staff.csv"
    path.write_text("".join(["username,password\n", *(f"{name},Kestrel-{name}-x\n" for name in names)]))
    return path


def warned(summary: dict[str, Any]) -> int:
    """The number of rows with the warning."""
    return int(summary["warnings"].get("zeros_differ", 0))


@pytest.fixture
def big_office(office: Program) -> Program:
    """An account whose users are looked up singly, since listing them takes more requests."""
    many = office.work / "many.csv"
    many.write_text("".join(["username,password\n", *(f"u{at},Swallow-{at}-x\n" for at in range(2600))]))
    run(office, "import", many)
    return office


def test_a_name_that_lost_its_zeros_since_the_last_run(big_office: Program) -> None:
    """The plan says so before anything is sent, and so does the import; other names are not in doubt."""
    run(big_office, "import", rewritten(big_office, *FIRST))
    again = rewritten(big_office, "351", "0352", "2001", "3001")
    assert "zeros_differ" in big_office.run("plan", again).stdout
    assert warned(run(big_office, "plan", again)) == 1
    assert warned(run(big_office, "import", again)) == 1


def test_only_names_in_place_by_the_same_roster_count(big_office: Program) -> None:
    """Neither another roster's names, nor those of an undone run; a correction by retry counts."""
    first = run(big_office, "import", rewritten(big_office, "0351", "no good"), code=10)
    failed = Path(first["files"]["failed"])
    failed.write_text("00077".join(failed.read_text().rsplit("no good", 1)))
    run(big_office, "retry", first["job"], "--corrections", failed)
    other = big_office.work / "other.csv"
    other.write_text("username,password\n351,Kestrel-other-x\n")
    assert warned(run(big_office, "import", other)) == 0
    second = run(big_office, "import", rewritten(big_office, "00351", "077"))
    assert warned(second) == 2
    run(big_office, "undo", second["job"], "--yes")
    assert warned(run(big_office, "import", rewritten(big_office, "00351"))) == 1
