"""The commands of the README, and of some pages, run as they are printed: one shell for each section."""

from __future__ import annotations

import csv
import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.documents import blocks, pages
from tests.program import CLI, Program, kill_group
from tests.sandbox import ACCOUNT, SECRET, USER, Sandbox
from tests.servers import free_port
from tests.system.rosters import SAMPLES, User, result_rows, roster_of, users, write
from tests.system.runs import end_of, job_of, run, until

ROOT = Path(__file__).parents[2]
(ACL,) = re.findall(
    r"^ +(ACL SETUSER .*)$", (ROOT / "docs" / "operations.md").read_text("utf-8"), re.MULTILINE
)
PYTHON = sys.executable

ELSEWHERE = ("docker compose", "pipx", "uv")
"""No container is started here, and nothing is installed from the network (tests/unit/test_doc_blocks.py)."""

WHOLE = "the whole page"
"""Stands for all sections of a page, in one shell."""


def sections(name: str, page: str) -> dict[tuple[str, str], list[list[str]]]:
    """Return the commands of each shell block, by page and section; above all sections, it has no name."""
    parts = re.findall(r"^(?:## (.+?)\n|# .+?\n)(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    commands = {
        (name, heading): [block.text.splitlines() for block in blocks(text) if block.kind == "sh"]
        for heading, text in parts
    }
    return {place: found for place, found in commands.items() if found}


SECTIONS = {place: found for name, page in pages().items() for place, found in sections(name, page).items()}
SECTIONS["docs/jobs.md", WHOLE] = [
    block for (name, _), found in SECTIONS.items() if name == "docs/jobs.md" for block in found
]
"""Page and heading to code blocks, of the sections that have some."""


@dataclass
class Reader:
    """A user who follows the documentation, with a sandbox in place of Bandwidth."""

    program: Program
    sandbox: Sandbox
    fixture: Callable[[str], Any]
    """Return a fixture's value, such as a URL: a server is started only for those who need it."""
    substitutions: dict[str, str] = field(default_factory=dict)
    """Printed to run, in every block."""
    jobs: list[str] = field(default_factory=list)
    """The job that JOB stands for in each block; empty: no block has one."""
    codes: dict[str, int] = field(default_factory=dict)
    """Exit codes that are not 0, by the command as printed."""
    in_place: set[str] = field(default_factory=set)
    """Users who must be on the registrar in the end."""

    @property
    def folder(self) -> Path:
        """Return the folder in which the commands are typed."""
        return self.program.work

    def follow(self, section: list[list[str]]) -> tuple[list[tuple[str, int]], str]:
        """Type a section's commands into one shell; return each with its exit code and output."""
        printed = [command for block in section for command in block if not command.startswith(ELSEWHERE)]
        jobs = self.jobs or [""] * len(section)
        typed = [
            self.typed(command, job)
            for block, job in zip(section, jobs, strict=True)
            for command in block
            if not command.startswith(ELSEWHERE)
        ]
        script = self.folder / "typed.sh"
        script.write_text("".join(f"{command}\necho $? >>codes\n" for command in typed), "utf-8")
        shown = self.shell(script)
        codes = (self.folder / "codes").read_text("utf-8").split()
        return list(zip(printed, map(int, codes), strict=True)), shown

    def typed(self, command: str, job: str) -> str:
        """Return the command with this machine's names in place of the example's."""
        for printed, real in {**self.substitutions, "JOB": job}.items():
            command = command.replace(printed, real)
        return command

    def shell(self, script: Path) -> str:
        """Run a script to its end, with the secret on the keyboard; what it printed."""
        log = self.folder / "typed.log"
        with log.open("w") as printed:
            process = subprocess.Popen(
                ["bash", str(script)],
                cwd=self.folder,
                env=self.program.environment,
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=printed,
                text=True,
                start_new_session=True,
            )
            self.program.started.append(process)
            try:
                process.communicate(f"{SECRET}\n", timeout=200)
            except subprocess.TimeoutExpired:
                kill_group(process)
        return log.read_text("utf-8")

    def interrupted_job(self, roster: str) -> str:
        """Return the id of a job that was interrupted with Ctrl-C."""
        self.sandbox.knobs(latency=0.2)
        posted = len(self.sandbox.log("POST", "sipcredentials"))
        process = self.program.start("import", roster, "--batch-size", "1", "--concurrency", "1")
        job = job_of(process)
        until(lambda: len(self.sandbox.log("POST", "sipcredentials")) > posted, process)
        process.send_signal(signal.SIGINT)
        assert end_of(process).code == 130
        self.sandbox.knobs(latency=0)
        return job


@pytest.fixture
def reader(office: Program, sandbox: Sandbox, request: pytest.FixtureRequest) -> Reader:
    """The README's files in the working folder, and the program on the PATH."""
    work = office.work
    found = work.parent / "bin" / "siproster"
    found.parent.mkdir()
    found.write_text(f'#!/bin/sh\nexec "{PYTHON}" "{CLI}" "$@"\n', "utf-8")
    found.chmod(0o755)
    office.environment["PATH"] = f"{found.parent}{os.pathsep}{office.environment['PATH']}"
    (work / "samples").symlink_to(SAMPLES)
    roster_of(work / "staff.csv", users(20))
    return Reader(office, sandbox, request.getfixturevalue)


# Set-up of each section


def fresh_machine(reader: Reader) -> None:
    """Replace the installation by dry runs of make and pip: nothing is installed here."""
    pip = "-m pip install --dry-run --no-deps --no-build-isolation --quiet --constraint"
    reader.substitutions = {
        "make ": f"make --dry-run --directory {ROOT} ",
        "python3 -m venv": f"{PYTHON} -m venv --without-pip",
        "~/siproster-venv/bin/pip install --constraint constraints.txt .": (
            f"{PYTHON} {pip} {ROOT}/constraints.txt {ROOT}"
        ),
    }


def first_import(reader: Reader) -> None:
    """The account is the sandbox's; the second sandbox is on free ports."""
    for name in ("BW_ACCOUNT_ID", "BW_CLIENT_ID", "BW_CLIENT_SECRET"):
        del reader.program.environment[name]
    url = reader.sandbox.url
    reader.substitutions = {
        "BW_ACCOUNT_ID=5001234": f"BW_API_URL={url} BW_VOICE_URL={url} BW_ACCOUNT_ID={ACCOUNT}",
        "your-client-id": USER,
        "8321": str(free_port()),
        "5060": str(free_port()),
    }
    reader.in_place = {user.name for user in users(20)}


def families(reader: Reader) -> None:
    """An account with one realm, the default one."""
    reader.in_place = {user.name for user in users(20)}


def roster(reader: Reader) -> None:
    """The rosters that the examples are about."""
    shutil.copy(SAMPLES / "two-sites.csv", reader.folder)
    (reader.folder / "staff.csv.gz").write_bytes(gzip.compress((reader.folder / "staff.csv").read_bytes()))
    wanted = users(3, first=100)
    reader.in_place = {"bos-101", "+19195550100", *(user.name for user in users(20))}
    write(
        reader.folder / "export.csv", [{"Phone": user.name, "SIP secret": user.password} for user in wanted]
    )
    legacy = "user;password;name\n" + "".join(f"{user.name};{user.password}é;Zoë\n" for user in wanted)
    (reader.folder / "legacy.txt").write_bytes(legacy.encode("cp850"))


def registering(reader: Reader) -> None:
    """The roster is imported, and a registrar holds what was posted."""
    kamailio = reader.fixture("kamailio")
    run(reader.program, "import", "staff.csv")
    kamailio.hold(reader.sandbox.credentials())
    reader.substitutions = {  # DNS doesn't know the sandbox's realm
        f"siproster {command} staff.csv": f"siproster {command} staff.csv --registrar {kamailio.place}"
        for command in ("verify", "phones")
    }
    reader.in_place = {user.name for user in users(20)}


def troubled_jobs(reader: Reader) -> None:
    """A job of which one row failed, corrected since; two that were interrupted."""
    wanted = [*users(3, first=200), User("front desk", "Pw-4711-front")]
    summary = run(reader.program, "import", roster_of(reader.folder / "troubled.csv", wanted), code=10)
    failed = Path(summary["files"]["failed"])
    (row,) = result_rows(failed)
    write(failed, [{**row, "username": "front.desk"}])
    roster_of(reader.folder / "others.csv", users(20, first=300))
    interrupted = [reader.interrupted_job(name) for name in ("staff.csv", "others.csv")]
    reader.jobs = ["latest", summary["job"], summary["job"], *interrupted, interrupted[-1]]
    reader.substitutions = {
        "siproster undo JOB": "siproster undo JOB --yes"
    }  # there is no terminal to ask on
    # The second command gives no corrections, so the row is as wrong as it was.
    reader.codes = {"siproster retry JOB": 10, "siproster report latest": 130}
    reader.in_place = {"front.desk", *(user.name for user in users(20))}


def schedules(reader: Reader) -> None:
    """There is no channel; the roster is in the working folder, and small; the scheduler looks once."""
    reader.substitutions = {
        " --notify ops": "",
        "/srv/rosters/": "",
        "/srv/results": "results",
        "--require-rows 500": "--require-rows 5",
        "siproster scheduler": "siproster scheduler --once",
    }
    reader.in_place = {user.name for user in users(20)}


def several_hosts(reader: Reader) -> None:
    """Use a PostgreSQL, and a Redis with the user of docs/operations.md; servers run in the background."""
    more = users(20, first=400)
    url = reader.fixture("redis_url")
    with redis.Redis.from_url(url) as client:
        client.execute_command(*ACL.split())
    roster_of(reader.folder / "more-staff.csv", more)
    reader.in_place = {user.name for user in [*users(20), *more]}
    reader.substitutions = {
        "rediss://siproster:PASSWORD@redis.example.net:6379/0": url.replace("//", "//siproster:PASSWORD@"),
        "postgresql://siproster:PASSWORD@db.example.net/siproster?sslmode=verify-full": reader.fixture(
            "postgres_url"
        ),
        "siproster worker": "siproster worker &",
        "siproster scheduler": "siproster scheduler &",
    }


def backups(reader: Reader) -> None:
    """A ledger with a job, in the usual place."""
    reader.program.environment.pop("SIPROSTER_LEDGER", None)
    run(reader.program, "import", "staff.csv")


def security(reader: Reader) -> None:
    """A password in a file."""
    (reader.folder / "password.txt").write_text("Tb7xQ2mK9rL4vN8s\n", "utf-8")


NEEDS: dict[tuple[str, str], Callable[[Reader], None]] = {
    ("README.md", "Try it"): fresh_machine,
    ("README.md", "Installation"): fresh_machine,
    ("README.md", "Your first import"): first_import,
    ("README.md", "What else you can do"): registering,
    ("README.md", "Tests"): fresh_machine,
    ("docs/realms.md", "Creating a realm"): families,
    ("docs/rosters.md", "Columns"): roster,
    ("docs/jobs.md", WHOLE): troubled_jobs,
    ("docs/schedules.md", "A nightly roster"): schedules,
    ("docs/scaling.md", ""): several_hosts,
    ("docs/operations.md", "Backups"): backups,
    ("docs/security.md", "Files"): security,
}
"""Page and heading to what has to be there before its commands are typed."""


@pytest.mark.parametrize("place", NEEDS, ids=" ".join)
def test_every_command_does_what_it_is_there_for(place: tuple[str, str], reader: Reader) -> None:
    """Typed in their order, a section's commands end as they should, and their users are in place."""
    NEEDS[place](reader)
    codes, shown = reader.follow(SECTIONS[place])
    assert codes == [(command, reader.codes.get(command, 0)) for command, _ in codes], shown
    # Those of a detached import come when the workers come to them.
    assert until(lambda: reader.in_place <= reader.sandbox.digests().keys()), shown


def test_no_section_is_forgotten() -> None:
    """Each section of the README with commands is run, and none that is gone has a set-up."""
    assert NEEDS.keys() <= SECTIONS.keys()
    assert {place for place in SECTIONS if place[0] == "README.md"} <= NEEDS.keys()


def test_the_first_import_takes_five_lines() -> None:
    """The first import takes five lines, from nothing to a roster on the registrar."""
    _, commands = SECTIONS["README.md", "Your first import"]
    assert len(commands) == 5
    assert commands[-1] == "siproster import staff.csv"


def test_the_columns_of_the_results_are_those_described(reader: Reader) -> None:
    """The documentation lists every bw__ column that a result file has, in its order."""
    summary = run(reader.program, "import", "staff.csv")
    with Path(summary["files"]["results"]).open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    told = re.search(
        r"`results\.csv`[^`]*(`bw__job`, `bw__row`.*?)then the roster's own",
        "".join(pages().values()),
        re.DOTALL,
    )
    assert told
    assert re.findall(r"`(bw__\w+)`", told[1]) == [name for name in columns if name.startswith("bw__")]
