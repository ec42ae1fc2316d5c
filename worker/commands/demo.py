"""``demo``: the complete workflow against the sandbox, with the program's own commands."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

import worker
from worker.commands.screen import on_stdout
from worker.digest import digests
from worker.errors import SiprosterError, UsageError
from worker.files import make_folder
from worker.model import Options, Row
from worker.reasons import reason_of
from worker.register import Entry, RegisterOptions, ServerAddress, registered
from worker.roster import open_roster
from worker.sandbox import Options as SandboxOptions

_PACKAGE = Path(worker.__file__).parent
_PROGRAM = _PACKAGE.parent / "cli.py"
_SAMPLES = (_PACKAGE / "samples", _PACKAGE.parent / "samples")
"""The folder in an installed package, and in a checkout."""

_ROSTER = "roster.csv"
_REALM = "acme"

_PACE = ("--batch-size", "5", "--concurrency", "4", "--patience", "10")
"""Batches so small that there is something to see."""

_TRIED = ("--sample", "25", "--rate", "100", "--results", "verify")
"""The sandbox's registrar has no other users, so it can be asked fast."""

_KNOBS = ("latency=0.2", "realm_pending=1.5", "call_hidden=1", "call_rings=2", "call_talks=2")
"""Seconds of a service that is some way off: for an answer, for a realm to become ACTIVE, for a call."""

_ORDER = (
    *("--from", "+19195550100"),
    *("--application", "7b2f8f6e-1111-2222-3333-abcdefabcdef"),
    *("--answer-url", "https://example.com/answer"),
)
"""A call's number, application and answer URL; the sandbox accepts any."""

_SHOWN = 5
"""Entries of the registrar that are shown one by one."""

_OURS = ("BW_", "SIPROSTER_")

_RESULTS_FOLDER = "results"
_RESULTS = (
    ("results.csv", "every row: its status, the credential's id, your own columns"),
    ("failed.csv", "those not in place (none), for `siproster retry`"),
    ("summary.json", "the job in numbers"),
    ("report.html", "all of it for people: open it in a browser, and hand it on"),
)
_NEXT = (
    ("BW_ACCOUNT_ID, BW_CLIENT_ID, BW_CLIENT_SECRET", "set these first"),
    ("siproster doctor", "check the setup"),
    ("siproster plan staff.csv", "check the roster; send nothing"),
    ("siproster import staff.csv", "post it"),
    ("siproster verify staff.csv --sample 25", "can they register?"),
)


@click.command("demo")
@click.option("--folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path),
              default=Path("siproster-demo"), show_default=True,
              help="Folder for the roster, the ledger and the results.")  # fmt: skip
def demo(folder: Path) -> None:
    """Run a complete import against a local stand-in for the service.

    Nothing leaves this machine, you don't need an account, and your own settings are not read. Exit code 0:
    every row of the sample roster is in place with the right digests, users can register over SIP, and a call
    to the first user's phone was answered.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the sandbox is ended then too
    _lay_out(folder)
    with _sandbox() as url:
        journey = Journey(folder, url)
        journey.look_around()
        journey.post()
        journey.prove()
        journey.register()
        journey.call()
    journey.print_next_steps()


class Journey:
    """The demo's steps, each under a heading. A command that fails ends the demo with its exit code."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self._console = on_stdout()
        self._environment = _environment(folder, url)
        self._steps = 0

    def look_around(self) -> None:
        """Show the realm and check the roster before anything is sent."""
        self._head("The service", f"a stand-in at {self._url}; nothing leaves this machine")
        self._run("realm", "create", _REALM, "--description", "Head office")
        self._head("The roster", "read and validated to the last row before anything is sent")
        self._run("plan", _ROSTER, "--realm", _REALM)

    def post(self) -> None:
        """Run the main import."""
        self._head("The import", "digests are computed here; no password leaves this machine")
        self._run("import", _ROSTER, "--realm", _REALM, "--results", _RESULTS_FOLDER, "--yes", *_PACE)

    def prove(self) -> None:
        """Compare the sandbox's stored digests with the roster's own passwords."""
        self._head("The registrar", "compare what it has stored with the roster, entry by entry")
        self._run("realm", "list")
        held = {entry["composite"]: entry for entry in _asked(self._url)}
        with open_roster(str(self._folder / _ROSTER), Options()) as roster:
            rows = list(roster.rows())
        wrong = [row for row in rows if not _matches(row, held.get(row.composite))]
        self._console.print(_entries(rows, held))
        if wrong or len(held) != len(rows):
            raise SiprosterError(
                f"{len(wrong)} of {len(rows)} rows are not on the registrar as they should be, "
                f"which holds {len(held)} entries"
            )
        self._say(
            f"{len(rows)} of {len(rows)} entries have the Hash1 and Hash1b of the roster's passwords.",
            "green",
        )

    def register(self) -> None:
        """Register some of the roster's users, each with the roster's password."""
        self._head("The phones", "ask over SIP who can register, without disturbing anyone's phone")
        registrar = f"127.0.0.1:{_asked_for(self._url, 'health')[0]['sip_port']}"
        self._run("verify", _ROSTER, "--realm", _REALM, "--registrar", registrar, *_TRIED)

    def call(self) -> None:
        """Call the roster's first user, whose phone is registered, and wait for the answer."""
        self._head("The call", "the first user's phone registers, and rings; a real call costs money")
        with open_roster(str(self._folder / _ROSTER), Options()) as roster:
            first = next(roster.rows())
        host = next(one["realm"] for one in _asked(self._url) if one["composite"] == first.composite)
        server = ServerAddress("127.0.0.1", int(_asked_for(self._url, "health")[0]["sip_port"]))
        phone = Entry(first.line, first.composite, host, first.password)
        with registered(phone, RegisterOptions(server=server)) as found:
            self._say(f"a phone registers as {first.composite}: {found.verdict}", "green")
            self._run("call", first.composite, "--realm", _REALM, *_ORDER, "--yes")

    def print_next_steps(self) -> None:
        """Print where the results are, and how to continue with a real account."""
        self._head("The results", "one line for every row of the roster, in its order; no secret in them")
        self._console.print(_pairs(_RESULTS))
        self._say(f"They are in {self._folder / _RESULTS_FOLDER}; the roster is beside that folder.")
        self._head("Your own account", "credentials come from the environment or siproster.toml")
        self._console.print(_pairs(_NEXT))

    def _head(self, title: str, what: str) -> None:
        self._steps += 1
        heading = Text(f"{self._steps}  {title}", style="bold cyan")
        self._console.print("", heading, sep="\n")
        self._say(what, "dim")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(f"   {text}", style=style), soft_wrap=True)

    def _run(self, *words: str, fine: tuple[int, ...] = (0,)) -> None:
        """Run one command of the program in the demo's folder, and print it as it would be typed.

        ``fine``: the exit codes with which the demo continues.
        """
        self._console.print(Text(f"$ siproster {shlex.join(words)}", style="bold"), soft_wrap=True)
        sys.stdout.flush()
        command = [sys.executable, str(_PROGRAM), *words]
        code = subprocess.run(command, cwd=self._folder, env=self._environment, check=False).returncode
        if code not in fine:
            raise click.exceptions.Exit(code)


def _lay_out(folder: Path) -> None:
    """Create the demo's folder with the roster, for its owner alone, since it holds passwords."""
    found = next((folder / _ROSTER for folder in _SAMPLES if (folder / _ROSTER).exists()), None)
    if found is None:
        raise SiprosterError(f"the sample {_ROSTER} is missing", "install siproster again")
    roster = folder / _ROSTER
    try:
        make_folder(folder)
        if roster.exists() and roster.read_bytes() != found.read_bytes():
            raise UsageError(f"{roster} is not the demo's roster", "choose another folder with --folder")
        shutil.copyfile(found, roster)
        roster.chmod(0o600)
    except OSError as error:
        raise SiprosterError(
            f"the demo's folder {folder} can't be used: {reason_of(error)}",
            "choose another one with --folder",
        ) from None


def _environment(folder: Path, url: str) -> dict[str, str]:
    """Return the user's environment with the sandbox's account and a ledger of the demo's own."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    known = SandboxOptions()
    return others | {
        "BW_API_URL": url,
        "BW_VOICE_URL": url,
        "BW_ACCOUNT_ID": known.accounts[0],
        "BW_CLIENT_ID": known.client_id,
        "BW_CLIENT_SECRET": known.client_secret,
        "SIPROSTER_LEDGER": f"sqlite:///{folder.absolute() / 'ledger.sqlite'}",
        "NO_PROXY": "127.0.0.1",
    }


@contextmanager
def _sandbox() -> Iterator[str]:
    """Run a sandbox on a free port, at most as long as this process, and yield its URL."""
    words = [
        "sandbox",
        "--port",
        "0",
        "--sip-port",
        "0",
        "--with-stdin",
        *(word for knob in _KNOBS for word in ("--knob", knob)),
    ]
    with subprocess.Popen(
        [sys.executable, str(_PROGRAM), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is the import's to hear first: what is in flight wants its answer
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("sandbox ready at "):
                raise SiprosterError("the sandbox did not start")
            yield line.removeprefix("sandbox ready at ").strip()
        finally:
            process.terminate()


def _asked(url: str) -> list[dict[str, Any]]:
    """Return every credential that the sandbox holds."""
    return _asked_for(url, "credentials")


def _asked_for(url: str, what: str) -> list[dict[str, Any]]:
    """Return the sandbox's answer, line by line. Bypasses proxies: this is the loopback interface."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/_sandbox/{what}", timeout=30) as answer:
        return [json.loads(line) for line in answer]


def _matches(row: Row, held: Mapping[str, Any] | None) -> bool:
    return held is not None and (held["hash1"], held["hash1b"]) == digests(
        row.composite, held["realm"], row.password
    )


def _entries(rows: list[Row], held: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return a table of the first few, without their digests, which are as good as passwords."""
    table = Table(box=None, padding=(0, 0, 0, 3))
    for heading in ("user", "id", "realm", "Hash1", "Hash1b"):
        table.add_column(heading)
    for row in rows[:_SHOWN]:
        entry = held.get(row.composite, {})
        mine = digests(row.composite, str(entry.get("realm", "")), row.password)
        signs = (
            Text("✓", style="green") if entry.get(name) == digest else Text("✗", style="red")
            for name, digest in zip(("hash1", "hash1b"), mine, strict=True)
        )
        table.add_row(row.composite, entry.get("id"), entry.get("realm"), *signs)
    return table


def _pairs(pairs: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 3))
    table.add_column(style="bold")
    table.add_column(style="dim")
    for thing, what in pairs:
        table.add_row(thing, what)
    return table
