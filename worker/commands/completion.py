"""``completion``: the line that switches completion on; and what arguments and options complete to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from worker.commands.facts import json_option, print_json
from worker.commands.screen import echo, print_on_stdout

if TYPE_CHECKING:  # loaded only when needed, since a Tab has to be quick
    from worker.ledger.known import KnownJob, KnownNames
    from worker.settings import Settings

_LINES = {
    "bash": ('eval "$(_SIPROSTER_COMPLETE=bash_source siproster)"', "~/.bashrc"),
    "zsh": ('eval "$(_SIPROSTER_COMPLETE=zsh_source siproster)"', "~/.zshrc, below compinit"),
    "fish": ("_SIPROSTER_COMPLETE=fish_source siproster | source", "~/.config/fish/config.fish"),
}
"""Shell to the line, and where it belongs."""

Items = list[CompletionItem[str]]


@click.command("completion")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice([*_LINES]))
@json_option
def completion(shell: str, as_json: bool) -> None:
    """Print the line that enables completion in a shell.

    Tab then completes commands, options and their values, job ids, plans, realms, schedules and profiles. Job
    ids and realms come from the ledger; the service is not asked.
    """
    line, file = _LINES[shell]
    if as_json:
        print_json({"shell": shell, "line": line, "file": file})
        return
    echo(f"put this line into {file}, and open a new shell:")
    print_on_stdout(line)


def complete(command: click.Command, group: str = "") -> None:
    """Let each parameter of a command, and of those below it, complete to the values of its metavar."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            complete(below, command.name or "")
    for parameter in command.params:
        if completer := _completer(parameter, group):
            parameter.shell_complete = partial(_quietly, completer)  # type: ignore[method-assign]


Completer = Callable[[click.Context], Iterable[CompletionItem[str]]]
"""Return all that a value could be."""


def _quietly(completer: Completer, ctx: click.Context, incomplete: str) -> Items:
    """Return the possible values; none if they can't be found out, since an error is no help there."""
    with suppress(Exception):
        found = list(completer(ctx))
        places = [item for item in found if item.type != "plain"]
        names = [item for item in found if item.type == "plain"]
        begins = [item for item in names if item.value.startswith(incomplete)]
        if places:  # the shell completes them itself, but only if nothing else is offered
            return begins if incomplete and begins else places
        return begins or [item for item in names if incomplete in item.value]
    return []


def _completer(parameter: click.Parameter, group: str) -> Completer | None:
    """Return what completes a parameter; None: click itself, which knows choices and paths."""
    if isinstance(parameter, click.Option):
        found = _OF_OPTION.get(parameter.opts[0])
    else:
        found = _OF_NAME.get(group) if parameter.metavar == "NAME" else None
    return found or _OF_METAVAR.get((parameter.metavar or "").strip("[]."))


def _files(_: click.Context) -> Items:
    return [CompletionItem("", type="file")]


def _folders(_: click.Context) -> Items:
    return [CompletionItem("", type="dir")]


def _jobs_or_files(ctx: click.Context) -> Items:
    with suppress(Exception):  # without a ledger there are files all the same
        return [*_jobs(ctx), *_files(ctx)]
    return _files(ctx)


def _jobs(ctx: click.Context) -> Items:
    from worker.model import JobState

    over = (JobState.DONE, JobState.CANCELLED)
    fits: dict[str, Callable[[KnownJob], bool]] = {
        "resume": lambda job: job.state not in over and not job.plan,
        "cancel": lambda job: job.state not in over and not job.carried_out,
        "retry": lambda job: not job.plan,
        "undo": lambda job: job.begun,
    }
    fit = fits.get(ctx.info_name or "")
    jobs = [job for job in _known(ctx).jobs() if fit is None or fit(job)]
    found = [_item(job.id, f"{job.state}, {job.roster}") for job in jobs]
    return [*found, _item("latest", "the newest job of the account")] if found else []


def _plans(ctx: click.Context) -> Items:
    from worker.model import JobState

    return [
        _item(job.id, f"plan of {job.roster}, {job.rows:,} rows")
        for job in _known(ctx).jobs()
        if job.plan and not job.carried_out and job.state is JobState.PLANNING
    ]


def _realms(ctx: click.Context) -> Items:
    return [_item(host) for host in _known(ctx).realms()]


def _schedules(ctx: click.Context) -> Items:
    return [_item(name) for name in _known(ctx).schedules()]


def _profiles(ctx: click.Context) -> Items:
    from worker.settings import file

    return [_item(name) for name in file.profiles(ctx.params.get("config"))]


def _channels(ctx: click.Context) -> Items:
    return [_item(name) for name in _settings(ctx).channels]


def _formats(_: click.Context) -> Items:
    from worker.roster.formats import FORMATS, GENERIC

    return [_item(name) for name in (GENERIC, *FORMATS)]


def _codes(_: click.Context) -> Items:
    from worker.codes import TABLES

    return [_item(code.name) for table in TABLES for code in table.codes]


def _item(value: str, help_: str = "") -> CompletionItem[str]:
    return CompletionItem(value, help=help_ or None)


_OF_METAVAR: dict[str, Completer] = {
    "JOB": _jobs, "ROSTER": _files, "ROSTER|JOB": _jobs_or_files, "FILE": _files, "LATER": _files,
    "DIR": _folders, "REF": _realms, "HOST": _realms, "FORMAT": _formats, "CODE": _codes,
    "CHANNEL": _channels,
}  # fmt: skip

_OF_NAME: dict[str, Completer] = {"schedule": _schedules, "formats": _formats}
"""Group to the completer of the argument NAME of its commands."""

_OF_OPTION: dict[str, Completer] = {"--plan": _plans, "--profile": _profiles}


def _settings(ctx: click.Context) -> Settings:
    from worker.settings import load

    given = ctx.params
    profile = given.get("profile") or ""
    return load(given, os.environ, given.get("config"), profile if isinstance(profile, str) else profile[0])


def _known(ctx: click.Context) -> KnownNames:
    from worker.ledger.known import KnownNames

    return KnownNames(_settings(ctx).ledger)
