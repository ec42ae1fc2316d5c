"""The context of a command: settings, ledger, seal, the API; each made on first use."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from worker import __version__, ca_certificates, throttle
from worker.api import Api, proxies
from worker.commands import terminal
from worker.commands.log_output import set_up_log
from worker.commands.terminal import ProgressForm, echo
from worker.commands.waiting import wait_reporter
from worker.importing.job import on_behalf_of, operator
from worker.ledger import Act, Ledger
from worker.ledger.uploads import PREFIX, refuse_moved, refuse_shredded
from worker.model import Endpoint, Options
from worker.roster import Roster, open_roster
from worker.roster.reader import open_found
from worker.roster.source import without_secrets
from worker.roster.uploaded import CorrectedSource, UploadedFile, unpacked
from worker.runtime import Runtime, RuntimeConfig, request_budget
from worker.seal import Seal, new_key
from worker.settings import Settings, load
from worker.settings.addresses import is_bandwidth, sqlite_path

F = TypeVar("F", bound=Callable[..., Any])


_PROFILE = click.option(
    "--profile", metavar="NAME", default="", help="Use [profile.NAME] from siproster.toml."
)


def settings_options(command: F, profile: Callable[[F], F] = _PROFILE) -> F:
    """Add the options that choose account and settings; every command with settings has them."""
    for option in (
        click.option("--debug", is_flag=True, help="Log details to stderr (never secrets)."),
        profile,
        click.option(
            "--config",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Settings file.  [default: ./siproster.toml]",
        ),
        click.option("--account", metavar="ID", default="", help="Account.  [default: BW_ACCOUNT_ID]"),
    ):
        command = option(command)
    return command


class Context:
    """One run of a command. ``warn``: print warnings about the settings on stderr."""

    def __init__(
        self, given: Mapping[str, Any], *, warn: bool = True, settings: Settings | None = None
    ) -> None:
        """Read the settings as ``given`` says, unless they are given themselves."""
        self.settings = settings or load(given, os.environ, given.get("config"), given.get("profile") or "")
        self._choose_outputs(given)
        self._warn = warn
        self.ledger_is_new = False
        """Whether ``ledger`` is SQLite and did not exist before this command opened it."""
        if terminal.progress_form() is not ProgressForm.NONE:
            wait_reporter.start()
        for warning in self.warnings if warn else ():
            echo(f"warning: {warning}", "yellow")

    def _choose_outputs(self, given: Mapping[str, Any]) -> None:
        """Set up progress and log, as the command line says, else the settings file."""
        form = self.settings.options.get("progress")
        if form and "progress" in given and not given["progress"]:
            terminal.show_progress(ProgressForm(str(form)))
        set_up_log(logging.DEBUG if given.get("debug") else logging.ERROR, given)

    @property
    def warnings(self) -> list[str]:
        """Return warnings about settings and environment: they work, but the user should know."""
        return [*self.settings.warnings, *proxies.warnings(), *ca_certificates.warnings()]

    @cached_property
    def endpoint(self) -> Endpoint:
        """Return the account's endpoint. Prints a note on stderr if the host isn't Bandwidth's.

        Raises UsageError, which names the settings that are missing or unusable.
        """
        endpoint = self.settings.endpoint()
        proxies.routes()
        ca_certificates.check()
        self._print_host("BW_API_URL", "signing in at")
        return endpoint

    @cached_property
    def voice_host(self) -> str:
        """Return the host where calls are placed. Raises UsageError if it may not get the token."""
        host = self.settings.voice_host()
        self._print_host("BW_VOICE_URL", "calling through")
        return host

    def _print_host(self, name: str, what: str) -> None:
        host, source = self.settings.values[name], self.settings.sources[name]
        if self._warn and not is_bandwidth(host):
            echo(f"{what} {host} ({name}, from {source})")

    @cached_property
    def keys(self) -> list[bytes]:
        """Return the sealing keys."""
        return self.settings.sealing_keys(new_key, self._sealed_with)

    def _sealed_with(self) -> list[str]:
        # Opened for this query alone: a worker's connections must not survive its forks.
        with closing(Ledger(self.settings.ledger)) as ledger:
            return ledger.jobs.sealed_with()

    @cached_property
    def runtime_config(self) -> RuntimeConfig:
        """Return the settings that a process needs to work on chunks."""
        return RuntimeConfig(self.settings.broker, self.settings.ledger, self.keys, (self.endpoint,))

    @cached_property
    def runtime(self) -> Runtime:
        """Return this process's connections for working on chunks."""
        return Runtime(self.runtime_config, self.ledger)

    @cached_property
    def ledger(self) -> Ledger:
        """Return the ledger, opened; shared with this process's runtime."""
        path = sqlite_path(self.settings.ledger)
        with suppress(OSError):  # no path that a file can have: opening the ledger says so
            self.ledger_is_new = path is not None and not path.exists()
        return Ledger(self.settings.ledger)

    def audit(self, subject: str = "") -> None:
        """Record the running command before it acts; ``subject``: the job, realm or users it is about."""
        ctx = click.get_current_context()
        options = {
            option.opts[0]: ctx.params[option.name]
            for option in ctx.command.params
            if isinstance(option, click.Option)
            and option.name in ctx.params
            and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
        }
        behalf = on_behalf_of()
        act = Act(
            operator=_who(), machine=platform.node(),
            origin=behalf.origin if behalf else os.environ.get("SSH_CONNECTION", "").partition(" ")[0],
            version=__version__,
            command=ctx.command_path.partition(" ")[2],
            options={name: _plain(value) for name, value in options.items()},
            host=self.settings.values["BW_API_URL"], account=self.settings.values["BW_ACCOUNT_ID"],
            subject=subject,
        )  # fmt: skip
        self.ledger.audit.add(act)

    def open_roster(self, place: str, options: Options) -> Roster:
        """Open a roster: a place as ``open_roster`` has it, with the settings file's logins, or an upload.

        Raises UsageError, and NotFound for an upload that isn't in the ledger.
        """
        if source := self.upload(place):
            if source.corrections:
                before = self.ledger.uploads.get(place.removeprefix(PREFIX)).settings
                refuse_moved(before, {"sheet": options.sheet, "header-line": options.header_line})
            return open_found(source, options)
        return open_roster(place, options, logins=self.settings.databases)

    def upload(self, place: str) -> UploadedFile | CorrectedSource | None:
        """Return the file given to the page that ``upload:ID`` names, with its corrections; None: no upload.

        Raises NotFound if the ledger has none of that id, UsageError if it was shredded.
        """
        if not place.startswith(PREFIX) or not (upload := self.ledger.uploads.named(place)):
            return None
        refuse_shredded(upload)
        corrected = self.ledger.cells.of(self.seal, upload.place)
        block = partial(self.ledger.uploads.block, self.seal, upload.id)
        return unpacked(
            UploadedFile(upload.name, upload.place, upload.size, block, corrected.by_line, corrected.version)
        )

    @cached_property
    def seal(self) -> Seal:
        """Return the ring of sealing keys."""
        return Seal(self.keys)

    @cached_property
    def api(self) -> Api:
        """Return a client for the command's own questions."""
        return Api(self.endpoint, throttle.local(None))

    def client(self, options: Options) -> Api:
        """Return a client for a plan's questions, at the job's own rate and patience."""
        return Api(self.endpoint, throttle.local(options.rate), budget=request_budget(options))


def person() -> str:
    """Return the operator and their machine: ``alice@desk``."""
    return f"{_who()}@{platform.node()}"


def _who() -> str:
    """Return the operator's name; under sudo, also that of the user whose rights they had."""
    before = "" if on_behalf_of() else os.environ.get("SUDO_USER")
    return f"{before} (as {operator()})" if before else operator()


def _plain(value: Any) -> Any:
    """Return an option's value as it goes into JSON."""
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, str) and "://" in value:  # a file's URL may let somebody in
        return without_secrets(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
