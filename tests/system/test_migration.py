"""docs/migration.md: the whole migration, its commands run in their order as they are printed."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.kamailio import Kamailio
from tests.program import CLI, Program
from tests.sandbox import Sandbox
from tests.system.accounts import hold
from tests.system.rosters import Row, result_rows, write

RUNBOOK = (Path(__file__).parents[2] / "docs" / "migration.md").read_text("utf-8")
COMMANDS = [
    command
    for block in re.findall(r"^```sh\n(.*?)^```$", RUNBOOK, re.DOTALL | re.MULTILINE)
    for command in block.splitlines()
]
JOBS = {"./rehearsal": "REHEARSAL", "./plan": "PLAN", "./wave1": "WAVE1", "./wave2": "WAVE2",
        "./digests": "DIGESTS"}  # fmt: skip
"""A command's results folder, and what the runbook calls its job."""
ASKING = ("siproster undo ", "siproster realm delete ", "siproster credential delete ")
"""Commands that ask on a terminal, which there is none here."""
WRONG, RIGHT = "bos front desk", "bos-front-desk"
CODES = {
    "plan staff.csv": 10, "import --plan": 11, "resume": 10, "report": 10, "import staff.csv --realm": 10,
    "diff": 10, "phones staff.csv": 10, "phones REHEARSAL": 10,
}  # fmt: skip
"""Commands that report something on the way: one user's name is wrong until it is corrected."""


def staff() -> list[Row]:
    """Two sites; one user name can't be one, and one phone's MAC address is missing."""
    rows = [
        {"site": site, "extension": str(number), "username": f"{site}-{number}", "name": f"User {number}",
         "mac": f"00:15:65:00:{at:02x}:{number - 100:02x}", "password": f"Pw-{site}{number}-4711"}
        for at, site in enumerate(("bos", "nyc"))
        for number in range(101, 106)
    ]  # fmt: skip
    return [*rows, {**rows[0], "extension": "199", "username": WRONG, "mac": ""}]


def subscribers() -> list[Row]:
    """Users of whom Kamailio has only digests, of a password that nobody knows."""
    return [
        {"username": f"lab-{number}", "domain": "office.example", "password": "", "ha1": 32 * digit,
         "ha1b": 32 * digit}
        for number, digit in ((1, "a"), (2, "b"))
    ]  # fmt: skip


class Night:
    """Somebody who follows the runbook, with a sandbox and Kamailio in place of Bandwidth."""

    def __init__(self, program: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
        self._program, self._sandbox, self._kamailio = program, sandbox, kamailio
        self.jobs: dict[str, str] = {}
        self.shown: dict[str, str] = {}
        found = program.work.parent / "bin" / "siproster"
        found.parent.mkdir()
        found.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{CLI}" "$@"\n', "utf-8")
        found.chmod(0o755)
        program.environment["PATH"] = f"{found.parent}{os.pathsep}{program.environment['PATH']}"

    def type(self, command: str) -> int:
        """Run a command as it is printed, with this night's job ids and time; its exit code."""
        self._kamailio.hold(self._sandbox.credentials())
        later = command.replace("2026-11-28T22:00", "2099-11-28T22:00").replace(" --notify ops", "")
        typed = later.replace("2026-11-22T05:30Z", f"{datetime.now(UTC) + timedelta(hours=1):%FT%TZ}")
        for name, job in self.jobs.items():
            typed = re.sub(rf"\b{name}\b", job, typed)
        if typed.startswith(("siproster verify", "siproster phones")) or "--verify" in typed:
            typed += f" --registrar {self._kamailio.place}"
        if typed.startswith(ASKING):
            typed += " --yes"
        ended = subprocess.run(
            ["bash", "-c", typed], cwd=self._program.work, env=self._program.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
        )  # fmt: skip
        self.shown[command] = ended.stdout
        if (
            (results := re.search(r"--results (\S+)", command))
            and results[1] in JOBS
            and "report" not in typed
        ):
            listed = self._program.run("jobs", "--json").json
            self.jobs[JOBS[results[1]]] = max(job["job"] for job in listed)
        return ended.returncode


def correct_failed(work: Path) -> None:
    """Correct the user's name in the rows that failed."""
    failed = work / "wave1" / "failed.csv"
    write(failed, [{**row, "username": RIGHT} for row in result_rows(failed)])


def correct_roster(work: Path) -> None:
    """Correct the same in the roster."""
    roster = work / "staff.csv"
    roster.write_text(roster.read_text("utf-8").replace(WRONG, RIGHT), "utf-8")


BEFORE: dict[str, Callable[[Path], None]] = {
    "siproster retry WAVE1": correct_failed,
    "siproster import staff.csv --absent": correct_roster,
}
"""What a person does before a command, by its beginning."""


def expected(command: str) -> int:
    """The exit code of a command."""
    return next((code for begin, code in CODES.items() if command.startswith(f"siproster {begin}")), 0)


@pytest.mark.timeout(600)
def test_the_runbook_runs_as_printed(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """From the export to the leavers: each command ends as it should, and the right users are left."""
    write(office.work / "staff.csv", staff())
    write(office.work / "subscriber.csv", subscribers())
    hold(sandbox, ["old-colleague"])
    night = Night(office, sandbox, kamailio)
    for command in COMMANDS:
        for begin, prepare in BEFORE.items():
            if command.startswith(begin):
                prepare(office.work)
        assert (command, night.type(command)) == (command, expected(command)), night.shown[command]
    assert night.jobs.keys() == set(JOBS.values())
    wanted = {row["username"].replace(WRONG, RIGHT) for row in staff()}
    generated = {row["username"] for row in subscribers()}
    assert sandbox.digests().keys() == wanted | generated
    assert not (office.work / "provisioning").exists()
    summary = json.loads((office.work / "all" / "summary.json").read_text("utf-8"))
    assert (summary["counts"], summary["absent"]) == ({"unchanged": len(wanted)}, 1)
    with (office.work / "phones-back" / "verify.csv").open(encoding="utf-8", newline="") as file:
        assert [row["bw__verify"] for row in csv.DictReader(file)] == ["registers"] * 5
    with (office.work / "digests" / "verify.csv").open(encoding="utf-8", newline="") as file:
        assert [row["bw__verify"] for row in csv.DictReader(file)] == ["registers"] * 2
    assert not any("siproster: " in shown for command, shown in night.shown.items() if "DIGESTS" in command)
    lines = list(csv.DictReader((office.work / "new-phones.csv").read_text("utf-8").splitlines()))
    kept = list(csv.DictReader((office.work / "passwords.csv").read_text("utf-8").splitlines()))
    assert {one["auth_user"]: one["password"] for one in lines} == {
        one["username"]: one["password"] for one in kept
    }
