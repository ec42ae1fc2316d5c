"""Suggestions about a command line that was not understood: the option or command that was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

import click

_DRY_RUN = {"--dry-run", "--dryrun", "--check", "--noop", "--no-op", "--simulate", "--what-if", "-n"}

_WITHOUT_SENDING = {
    "import": "to see what it would do, without sending anything: siproster plan ROSTER",
    "schedule add": "to see what an import would do, without sending anything: siproster plan ROSTER",
    "verify": "`verify` changes nothing; to check the roster alone: siproster plan ROSTER",
    "plan": "`plan` sends nothing",
    "retry": "to see the rows that it would send: siproster report JOB writes them to failed.csv",
    "resume": "to see what is left to do: siproster status JOB",
}
"""Command to the way to see its effect without having it."""

_ASKS = "it says what it would do, and does it only once you agree"

_OPTIONS = {
    "-y": "--yes", "-f": "--yes", "--force": "--yes", "--assume-yes": "--yes", "--no-confirm": "--yes",
    "-v": "--debug", "--verbose": "--debug", "-o": "--results", "--output": "--results", "--out": "--results",
    "-q": "--progress none", "--quiet": "--progress none", "--silent": "--progress none",
    "--no-progress": "--progress none", "--update": "--on-existing update",
    "--overwrite": "--on-existing update", "--replace": "--on-existing update",
    "--skip-existing": "--on-existing skip", "--format": "--from", "--parallel": "--concurrency",
    "--threads": "--concurrency", "--workers": "--concurrency", "--delete": "--absent delete",
    "--background": "--detach", "--separator": "--delimiter", "--charset": "--encoding", "--tail": "--follow",
    "--password": "", "--secret": "", "--client-secret": "",
}  # fmt: skip
"""Names in other programs to ours, with a value if one is meant; empty: a secret, which is no option."""

_NO_SECRETS = "secrets are never options, which `ps` shows: set BW_CLIENT_SECRET, or run `siproster init`"

_COMMANDS = {
    "list": "jobs", "ls": "list", "rm": "delete", "remove": "delete", "delete": "remove", "add": "create",
    "create": "add", "new": "create", "edit": "update", "set": "update", "get": "show", "info": "show",
    "load": "import", "upload": "import", "post": "import", "validate": "plan", "check": "plan",
    "dry-run": "plan", "rerun": "retry", "continue": "resume", "stop": "cancel", "abort": "cancel",
    "revert": "undo", "rollback": "undo", "history": "jobs", "user": "credential", "users": "credential",
    "config": "init", "login": "init", "setup": "init", "test": "verify", "register": "verify",
    "cron": "schedule", "web": "serve", "ui": "serve", "version": "--version", "help": "--help",
}  # fmt: skip
"""Names of commands in other programs to ours, of which one is suggested if the group has it."""

_MOST = 3
"""Commands that are named for an option."""
_LISTING = ("list", "ls", "show", "all")
_SURPLUS = "Got unexpected extra argument"
_QUOTES = "a value with blanks has to be in quotes: 'staff list.csv'"
_FOLDER = "; several rosters: one after the other, or all in a folder: siproster plan FOLDER"

_not_a_choice = re.compile(r"'(.*)' is not one of ", re.DOTALL).match


def hint(error: click.ClickException) -> str:
    """Return what was probably meant, with what to type; empty if nothing comes close."""
    match error:
        case click.NoSuchOption(ctx=click.Context() as ctx):
            return _option(error.option_name, ctx)
        case click.exceptions.NoSuchCommand(ctx=click.Context() as ctx) if (
            not error.possibilities or error.command_name in _COMMANDS
        ):
            return _command(error.command_name, ctx)
        case click.BadParameter(param=click.Parameter(type=click.Choice() as choice)):
            return _value(error.message, map(str, choice.choices))
        case click.UsageError(ctx=click.Context() as ctx) if error.message.startswith(_SURPLUS):
            takes_roster = any(one.name == "source" for one in ctx.command.params)
            return _QUOTES + (_FOLDER if takes_roster else "")
    return ""


def _path(ctx: click.Context) -> str:
    """Return the command's name without the program's: ``schedule add``."""
    return ctx.command_path.partition(" ")[2]


def _option(name: str, ctx: click.Context) -> str:
    known = _names(ctx.command)
    if name in _DRY_RUN:
        asks = _ASKS if "--yes" in known else ""
        return _WITHOUT_SENDING.get(_path(ctx), asks)
    meant = _OPTIONS.get(name)
    if meant == "":
        return _NO_SECRETS
    if meant and meant.partition(" ")[0] in known:
        return f"did you mean {meant}?"
    return _others_with(name, ctx)


def _others_with(name: str, ctx: click.Context) -> str:
    """Return which other commands have an option; empty if none has it. It loads them all."""
    root = ctx.find_root().command
    if not isinstance(root, click.Group) or not name.startswith("--"):
        return ""
    having = [path for path, command in _commands(root, ctx.find_root(), "") if name in _names(command)]
    listed = ", ".join(f"`{path}`" for path in having[:_MOST]) + (
        " and others" if len(having) > _MOST else ""
    )
    return f"{name} is an option of {listed}, not of `{_path(ctx)}`" if having else ""


def _commands(group: click.Group, ctx: click.Context, prefix: str) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from _commands(command, ctx, f"{prefix}{name} ")
        elif command:
            yield f"{prefix}{name}", command


def _names(command: click.Command) -> set[str]:
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    return {name for option in options for name in option.opts}


def _command(name: str, ctx: click.Context) -> str:
    group = ctx.command
    known = group.list_commands(ctx) if isinstance(group, click.Group) else []
    meant = _COMMANDS.get(name, "")
    if meant in known:
        return f"did you mean `{ctx.command_path} {meant}`?"
    if meant == "--help":
        return "did you mean `siproster --help`, or `siproster COMMAND --help`?"
    if meant.startswith("--"):
        return f"did you mean `siproster {meant}`?"
    if isinstance(group, click.Group) and group.invoke_without_command and name in _LISTING:
        return f"did you mean `{ctx.command_path}`?"
    show = f"; did you mean `{ctx.command_path} show {name}`?" if "show" in known else ""
    return (
        f"{ctx.command_path} has: {', '.join(known)}{show}"
        if ctx.parent
        else "all commands: siproster --help"
    )


def _value(message: str, choices: Iterable[str]) -> str:
    found = _not_a_choice(message)
    near = get_close_matches(found[1].lower(), list(choices), 1, 0.5) if found else []
    return f"did you mean {near[0]}?" if near else ""
