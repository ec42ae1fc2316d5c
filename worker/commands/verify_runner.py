"""Verification of rows on a registrar: shared by ``verify ROSTER``, ``verify JOB`` and
``import --verify``.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from worker import report
from worker.commands.context import Context
from worker.commands.progress_screen import progress_screen
from worker.commands.screen import echo
from worker.commands.verify_report import OWN_COLUMNS, VerifyWriter
from worker.errors import UsageError
from worker.importing.generate import Passwords
from worker.importing.realms import JobRealms
from worker.importing.rows_in_place import count_in_place, rows_in_place
from worker.importing.validation import RosterPages, validated_pages
from worker.ledger import Registration
from worker.model import Job, Options, Row, TableForm, utc_now
from worker.progress import RowsProgress
from worker.reasons import plural
from worker.register import (
    AuthName,
    Entry,
    Lookup,
    Pace,
    RegisterOptions,
    RegisterResult,
    ServerAddress,
    Transport,
    Verdict,
    Verifier,
    Waiting,
)
from worker.roster import Roster
from worker.srv import check_address

GENTLE_RATE = 10.0
"""Rows a second by default: the registrar is somebody's production system."""

GENTLE_FLIGHT = 4
"""Rows at once."""

DNS_WAIT = 60.0
"""Seconds that a realm's name may take to exist, by default."""

VERIFY = "verify.csv"

_TOLD = 20
"""Problems of rows that are printed one by one."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The options of a verification."""

    options: RegisterOptions
    registrar: str
    """The registrar as it was given; empty to use each realm's DNS records."""
    rate: float
    in_flight: int


class RowsToVerify(Protocol):
    """The rows that are to be tried, in the roster's order."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def tables(self) -> TableForm: ...
    @property
    def rows(self) -> int: ...
    @property
    def to_try(self) -> int: ...

    def chosen(self) -> Iterator[Row]:
        """Yield the rows to try, among those that can't be tried."""


class RowsOfRoster:
    """A roster's rows. The roster is read once beforehand, so that nothing is asked for a bad roster."""

    def __init__(
        self,
        opened: Roster,
        context: Context,
        options: Options,
        sample: int | None,
        passwords: Passwords | None = None,
    ) -> None:
        """Take ``passwords``: the generated ones, for rows without a password of their own."""
        self._opened, self._options, self._passwords = opened, options, passwords
        self._realms = JobRealms(context.client(options), None, "", options)
        self.name, self.sha256, self.columns = opened.name, opened.sha256, opened.columns
        self.tables = opened.options.tables
        self._sample = _Sample(sample)
        self.rows = self._invalid = 0
        for row in self._validated():
            self.rows += 1
            if row.problems:
                self._print_invalid(row)
            else:
                self._sample.offer(row.line)
        self.to_try = self._sample.size
        invalid = f", {self._invalid} invalid and not tried" if self._invalid else ""
        echo(f"{self.name}: {plural(self.rows, 'row')}, {self.to_try:,} to try{invalid}")

    def chosen(self) -> Iterator[Row]:
        """Yield the sample, and the rows that can't be tried."""
        return self._sample.of(self._validated())

    def _validated(self) -> Iterable[Row]:
        for page in validated_pages(self._opened, self._realms, self._options.api, self._passwords):
            for row in page:
                row.host = row.host or row.realm  # what the row says, where there is no such realm
                if not row.skipped:
                    yield row

    def _print_invalid(self, row: Row) -> None:
        self._invalid += 1
        if self._invalid <= _TOLD:
            for problem in row.problems:
                echo(f"  line {row.line}: {problem.code}: {problem.text}", "red")
        elif self._invalid == _TOLD + 1:
            echo("  …", "red")


class RowsOfJob:
    """The rows of a job that are in place, with the passwords of its roster."""

    def __init__(
        self,
        context: Context,
        job: Job,
        roster: RosterPages,
        sample: int | None,
        passwords: Passwords | None = None,
    ) -> None:
        """Take ``passwords``: the generated ones, for rows without a password of their own."""
        self._context, self._job, self._roster, self._passwords = context, job, roster, passwords
        self.name, self.sha256, self.columns = job.roster, job.sha256, job.columns
        self.tables = job.options.tables
        self.rows = count_in_place(context.ledger, job)
        self._sample = _Sample(sample)
        if sample:
            for row in self._placed():
                if not row.problems:
                    self._sample.offer(row.line)
        self.to_try = self._sample.size if sample else self.rows
        echo(f"{self.name}: {plural(self.rows, 'row')} in place, {self.to_try:,} to try")

    def chosen(self) -> Iterator[Row]:
        """Yield the sample, and the rows that can't be tried."""
        return self._sample.of(self._placed())

    def _placed(self) -> Iterator[Row]:
        context = self._context
        for page in rows_in_place(context.ledger, context.seal, self._job, self._roster):
            if self._passwords:
                self._passwords.claim(page)
            yield from page


class _Sample:
    """A number of lines drawn at random from all that are offered, in one pass; None for all of them."""

    def __init__(self, wanted: int | None) -> None:
        self._wanted = wanted
        self._drawn: list[int] = []
        self._offered = 0

    def offer(self, line: int) -> None:
        """Offer one more line to the draw."""
        self._offered += 1
        if self._wanted is None:
            return
        if len(self._drawn) < self._wanted:
            self._drawn.append(line)
        elif (at := random.randrange(self._offered)) < self._wanted:  # noqa: S311 (a sample, no secret)
            self._drawn[at] = line

    @property
    def size(self) -> int:
        """Return how many lines were drawn."""
        return self._offered if self._wanted is None else len(self._drawn)

    def of(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows that were drawn, and those that can't be tried."""
        drawn = None if self._wanted is None else frozenset(self._drawn)
        return (row for row in rows if drawn is None or row.problems or row.line in drawn)


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of a verification."""

    facts: dict[str, Any]
    """The facts that ``--json`` prints and the job keeps."""
    registrations: Mapping[int, Registration]
    """The results of the rows that were tried, by line."""
    code: int
    """The exit code: 0 all register, 10 some don't, 5 nothing could be found out, 130 interrupted."""


def prove(trial: Trial, tried: RowsToVerify, folder: Path) -> Proof:
    """Verify the rows, write ``verify.csv``, and print the results. Only in the main thread."""
    report.make_folder(folder)
    echo(
        f"at most {trial.rate:g} rows a second, {trial.in_flight} at once "
        "(--rate, --concurrency); two REGISTERs each"
    )
    verifier = Verifier(trial.options, Pace(trial.rate), trial.in_flight)
    header = [*OWN_COLUMNS, *tried.columns]
    began = time.monotonic()
    hint = "choose a folder that you can write to with --results"
    with report.new_table(folder / VERIFY, header, tried.tables, hint) as write:
        writer = VerifyWriter(write)
        interrupted = _go(verifier, writer, tried)
    facts = _facts(trial, tried, writer, verifier)
    facts["seconds"] = round(time.monotonic() - began, 3)
    facts["files"] = {"verify": str(folder / VERIFY)}
    code = _end(writer, verifier.given_up, tried.to_try, interrupted=interrupted)
    return Proof(facts, writer.registrations, code)


def server_address(text: str, transport: Transport) -> ServerAddress | None:
    """Return ``HOST:PORT``, ``[IPv6]:PORT``, or a host alone; None for an empty text. Raises UsageError."""
    if not text:
        return None
    usual = 5061 if transport is Transport.TLS else 5060
    found = re.fullmatch(r"(?:\[([^\]\s]+)\]|([^\s:/\[\]]+))(?::([0-9]{1,5}))?", text)
    number = int(found[3] or usual) if found else 0
    if found is None or not 0 < number < 65_536:
        raise UsageError(
            f"--registrar {text}: must be HOST:PORT", "for example 192.0.2.10:5060 or [2001:db8::10]:5060"
        )
    return ServerAddress(found[1] or found[2], number)


def register_options(given: Mapping[str, Any]) -> RegisterOptions:
    """Return the registrar options from the command's options. Raises UsageError."""
    transport = Transport(given["transport"])
    resolver = given.get("resolver", "")
    check_address(resolver)
    return RegisterOptions(
        transport=transport,
        auth_name=AuthName(given.get("auth_name", AuthName.USER)),
        with_contact=given.get("with_contact", False),
        lookup=Lookup(
            resolver, waiting=Waiting(given.get("dns_wait", DNS_WAIT), partial(echo, colour="yellow"))
        ),
        server=server_address(given["registrar"], transport),
    )


def _go(verifier: Verifier, writer: VerifyWriter, tried: RowsToVerify) -> bool:
    """Verify the rows and write the results. Return whether it was interrupted."""
    screen, progress = progress_screen(), RowsProgress(lambda: dict(writer.counts))

    def found(entry: Entry, result: RegisterResult) -> None:
        writer.found(entry, result)
        screen.show(progress.look(tried.to_try, writer.tried))

    with screen.running():
        interrupted = verifier.run(writer.entries(tried.chosen()), found)
    writer.close()
    return interrupted


def _facts(trial: Trial, tried: RowsToVerify, writer: VerifyWriter, verifier: Verifier) -> dict[str, Any]:
    return {
        "at": utc_now().isoformat(timespec="seconds").replace("+00:00", "Z"),
        "roster": {"name": tried.name, "sha256": tried.sha256, "rows": tried.rows},
        "registrar": trial.registrar or None,
        "transport": str(trial.options.transport),
        "auth_name": str(trial.options.auth_name),
        "with_contact": trial.options.with_contact,
        "tried": writer.tried,
        "counts": {str(verdict): rows for verdict, rows in writer.counts.items()},
        "reasons": writer.reasons,
        "registered_now": writer.with_phone,
        "bindings": writer.bindings,
        "given_up": verifier.given_up,
    }


def _end(writer: VerifyWriter, given_up: list[str], to_try: int, *, interrupted: bool) -> int:
    """Print the remaining messages, and return the exit code."""
    for reason in given_up:
        echo(reason, "yellow")
    if interrupted:
        echo(f"interrupted: {to_try - writer.tried} rows were not tried", "yellow")
        return 130
    if to_try and (not writer.decided or (given_up and writer.decided < writer.tried)):
        return 5
    return 0 if set(writer.counts) <= {Verdict.REGISTERS} else 10
