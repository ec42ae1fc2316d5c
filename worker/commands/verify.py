"""``verify``: each row's password, tried on the registrar itself."""

from __future__ import annotations

import random
import re
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from worker import report, roster
from worker.commands.options import from_file, json_option, parsed, reading_options
from worker.commands.running import tell_roster
from worker.commands.screen import ProgressScreen, say, tell_json
from worker.commands.session import Session, settings_options
from worker.commands.verdicts import OWN_COLUMNS, Sheet, tell
from worker.errors import UsageError
from worker.importing.checked import Checked, check
from worker.importing.realms import JobRealms, RealmSource
from worker.ledger import Progress
from worker.model import Options, utc_now
from worker.register import (
    Asking,
    AuthName,
    Entry,
    Finding,
    Lookup,
    Pace,
    Place,
    Transport,
    Verdict,
    Verifier,
)
from worker.roster import Roster
from worker.srv import check_address

_TOLD = 20
"""Problems of rows that are told one by one."""

_USUAL = {one.name: getattr(Options(), one.name) for one in fields(Options)}
"""What an import's options are by themselves: those that say how rows are sent mean nothing here."""

_ASKING = (
    click.option(
        "--registrar", metavar="HOST:PORT", default="", help="Where to ask  [what DNS says of each realm]"
    ),
    click.option("--resolver", metavar="ADDRESS", default="", help="DNS server to ask  [the system's]"),
    click.option(
        "--transport",
        type=click.Choice([one.value for one in Transport]),
        default=Transport.UDP.value,
        show_default=True,
        help="How REGISTER travels.",
    ),
    click.option(
        "--auth-name",
        type=click.Choice([one.value for one in AuthName]),
        default=AuthName.USER.value,
        show_default=True,
        help="User name in the digest: user proves Hash1, user@realm proves Hash1b.",
    ),
    click.option(
        "--with-contact",
        is_flag=True,
        help="Register as a phone does, for a moment, and take that binding away again.",
    ),
    click.option("--sample", metavar="N", type=click.IntRange(min=1), help="Only N rows, chosen at random."),
    click.option(
        "--rate",
        metavar="N",
        type=click.FloatRange(min=0, min_open=True),
        default=10.0,
        show_default=True,
        help="Rows a second, each of two REGISTERs.",
    ),
    click.option(
        "--concurrency",
        metavar="N",
        type=click.IntRange(1, 256),
        default=4,
        show_default=True,
        help="Rows at once.",
    ),
    click.option(
        "--results", metavar="DIR", default="", help="Where verify.csv goes  [./siproster-verify-TIME/]"
    ),
)


def _asking_options(command: Any) -> Any:
    for option in reversed(_ASKING):
        command = option(command)
    return command


@click.command("verify")
@click.argument("source", metavar="ROSTER")
@reading_options
@_asking_options
@json_option
@settings_options
@click.pass_context
def verify(ctx: click.Context, /, source: str, **given: Any) -> None:
    """Register with each password over SIP and say who can.

    It asks without a Contact, so no phone is disturbed, and tells which phones are registered now. The first
    row is also tried with a wrong password: a registrar that takes any proves nothing. Exit code 0: all can
    register; 10: some can't; 5: nothing could be found out.
    """
    session = Session(given)
    options = _options(ctx, given, session)
    asking = _asking(given)
    with roster.open_roster(source, options) as opened:
        tell_roster(opened)
        run = _Run(opened, session.client(options), options, given["sample"])
        folder = _folder(given["results"])
        report.make_folder(folder)
        say(
            f"at most {given['rate']:g} rows a second, {given['concurrency']} at once "
            "(--rate, --concurrency); two REGISTERs each"
        )
        verifier = Verifier(asking, Pace(given["rate"]), given["concurrency"])
        header = [*OWN_COLUMNS, *opened.columns]
        with report.new_table(
            folder / "verify.csv", header, "name a folder of yours with --results"
        ) as write:
            sheet = Sheet(write, run.host)
            began = time.monotonic()
            interrupted = _go(verifier, sheet, run)
    facts = _facts(given, run, sheet, verifier)
    facts["seconds"] = round(time.monotonic() - began, 3)
    facts["files"] = {"verify": str(folder / "verify.csv")}
    tell_json(facts) if given["as_json"] else tell(facts)
    sys.exit(_end(sheet, verifier.given_up, run.to_try, interrupted=interrupted))


class _Run:
    """The rows that are to be tried: read once to know them, so that nothing is asked for a bad roster."""

    def __init__(self, opened: Roster, api: RealmSource, options: Options, sample: int | None) -> None:
        self._opened, self._options = opened, options
        self.name, self.sha256 = opened.name, opened.sha256
        self._realms = JobRealms(api, None, "", options)
        self.rows = self._invalid = 0
        good: list[int] = []
        for checked in self._checked():
            self.rows += 1
            if checked.row.problems:
                self._tell_invalid(checked)
            else:
                _draw(good, checked.row.line, self.rows - self._invalid, sample)
        self._sample = frozenset(good) if sample else None
        self.to_try = len(good) if sample else self.rows - self._invalid
        self._tell()

    def chosen(self) -> Iterator[Checked]:
        """The rows to be tried, among those that can't be, in the roster's order."""
        for checked in self._checked():
            if self._sample is None or checked.row.problems or checked.row.line in self._sample:
                yield checked

    def host(self, checked: Checked) -> str:
        """The host name of a row's realm, as the API returns it; what the row says where there is none."""
        realm = self._realms.realm(checked.realm)
        return realm.host if realm else checked.row.realm

    def _checked(self) -> Iterable[Checked]:
        for page in check(self._opened.rows(), self._realms, self._options.api):
            yield from page

    def _tell_invalid(self, checked: Checked) -> None:
        self._invalid += 1
        if self._invalid <= _TOLD:
            for problem in checked.row.problems:
                say(f"  line {checked.row.line}: {problem.code}: {problem.text}", "red")
        elif self._invalid == _TOLD + 1:
            say("  …", "red")

    def _tell(self) -> None:
        invalid = f", {self._invalid} invalid and not tried" if self._invalid else ""
        say(f"{self._opened.name}: {self.rows} rows, {self.to_try} to try{invalid}")


def _draw(drawn: list[int], line: int, number: int, size: int | None) -> None:
    """Take a line into a random sample of ``size``; it is the ``number``-th to be offered."""
    if size is None:
        return
    if len(drawn) < size:
        drawn.append(line)
    elif (at := random.randrange(number)) < size:  # noqa: S311 (a sample, no secret)
        drawn[at] = line


def _go(verifier: Verifier, sheet: Sheet, run: _Run) -> bool:
    """Try the rows and write them; whether somebody ended it."""
    screen = ProgressScreen()

    def found(entry: Entry, finding: Finding) -> None:
        sheet.found(entry, finding)
        screen.show(Progress(run.to_try, sheet.tried, 0))

    with screen.running():
        interrupted = verifier.run(sheet.entries(run.chosen()), found)
    sheet.close()
    return interrupted


def _facts(given: dict[str, Any], run: _Run, sheet: Sheet, verifier: Verifier) -> dict[str, Any]:
    """What ``--json`` prints."""
    return {
        "roster": {"name": run.name, "sha256": run.sha256, "rows": run.rows},
        "registrar": given["registrar"] or None,
        "transport": given["transport"],
        "auth_name": given["auth_name"],
        "with_contact": given["with_contact"],
        "tried": sheet.tried,
        "counts": {str(verdict): rows for verdict, rows in sheet.counts.items()},
        "registered_now": sheet.with_phone,
        "bindings": sheet.bindings,
        "given_up": verifier.given_up,
    }


def _end(sheet: Sheet, given_up: list[str], to_try: int, *, interrupted: bool) -> int:
    """Say what is left to say; the exit code."""
    for reason in given_up:
        say(reason, "yellow")
    if interrupted:
        say(f"interrupted: {to_try - sheet.tried} rows were not tried", "yellow")
        return 130
    if to_try and (not sheet.decided or (given_up and sheet.decided < sheet.tried)):
        return 5
    return 0 if set(sheet.counts) <= {Verdict.REGISTERS} else 10


def _options(ctx: click.Context, given: dict[str, Any], session: Session) -> Options:
    """How the roster is read; what the settings file says of imports' pace and folders is not meant here."""
    same_names = {name: _USUAL[name] for name in ("concurrency", "rate", "results")}
    options = parsed(ctx, {**_USUAL, **from_file(ctx, given, session.settings.options), **same_names})
    return replace(options, create_realm=False, make_default=False)  # users are tried, realms are not made


def _asking(given: dict[str, Any]) -> Asking:
    transport = Transport(given["transport"])
    check_address(given["resolver"])
    return Asking(
        transport=transport,
        auth_name=AuthName(given["auth_name"]),
        with_contact=given["with_contact"],
        lookup=Lookup(given["resolver"]),
        place=_place(given["registrar"], 5061 if transport is Transport.TLS else 5060),
    )


def _place(text: str, port: int) -> Place | None:
    """``HOST:PORT``, ``[IPv6]:PORT``, or a host alone."""
    if not text:
        return None
    found = re.fullmatch(r"(?:\[([^\]\s]+)\]|([^\s:/\[\]]+))(?::([0-9]{1,5}))?", text)
    number = int(found[3] or port) if found else 0
    if found is None or not 0 < number < 65_536:
        raise UsageError(
            f"--registrar {text}: it takes HOST:PORT", "for example 192.0.2.10:5060 or [2001:db8::10]:5060"
        )
    return Place(found[1] or found[2], number)


def _folder(results: str) -> Path:
    name = f"siproster-verify-{utc_now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    return Path(results or name).absolute()
