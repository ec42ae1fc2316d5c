"""The command line: words, options, exit codes. Each command's body is loaded when it is called."""

from __future__ import annotations

import gc
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

import click

from worker import __version__
from worker.commands import facts, foreign_variables, terminal
from worker.commands.facts import Failure
from worker.commands.terminal import echo, visible
from worker.errors import SiprosterError, StreamIsInput, UsageError, place_of

COMMANDS = {
    "import": ("imports:import_", "Import a roster."),
    "plan": ("plans:plan_", "Show what an import would do, without sending anything."),
    "retry": ("resume_retry:retry", "Retry the rows of a job that are not in place."),
    "resume": ("resume_retry:resume", "Resume a job that was interrupted, paused or stopped."),
    "cancel": ("resume_retry:cancel", "Cancel a job."),
    "undo": ("undo:undo", "Undo what a job did."),
    "jobs": ("jobs:jobs", "List jobs, and remove old ones."),
    "status": ("jobs:status", "Show the progress of a job."),
    "report": ("jobs:report", "Rewrite the result files of a job."),
    "template": ("template:template", "Write an empty roster to fill in."),
    "init": ("init:init", "Set up account, credentials and ledger."),
    "formats": ("formats:formats", "List the roster formats that are read."),
    "explain": ("explain:explain", "Explain a status, error code or reason."),
    "verify": ("verify:verify", "Check over SIP which users can register."),
    "realm": ("realms:realm", "Manage realms."),
    "credential": ("credentials:credential", "List, show and delete users on the registrar."),
    "phones": ("phones:phones", "Write phone configuration files, a CSV file, or cards to print."),
    "call": ("call:call", "Place a test call to a user."),
    "snapshot": ("snapshots:snapshot", "Save the users of an account to a sealed file."),
    "diff": ("snapshots:diff", "Show what has changed since a snapshot."),
    "worker": ("worker:worker", "Run a Celery worker."),
    "workers": ("workers:workers", "List the workers that are alive, and what they do."),
    "schedule": ("schedule:schedule", "Manage recurring imports."),
    "scheduler": ("scheduler:scheduler", "Run scheduled imports, and send their notifications."),
    "serve": ("serve:serve_", "Serve the page, for people who don't use a terminal."),
    "people": ("people:people", "Manage who may sign in to the page."),
    "hash": ("keys:hash_", "Print a user's Hash1 and Hash1b."),
    "keygen": ("keys:keygen", "Generate a sealing key."),
    "sandbox": ("sandbox:sandbox", "Run a local stand-in for the API."),
    "demo": ("demo:demo", "Run a complete import against the sandbox."),
    "completion": ("completion:completion", "Print the line that enables completion in a shell."),
    "doctor": ("doctor:doctor", "Check settings, connections and credentials."),
}
"""Name → where its body is, and its line in ``--help``, which must not load any of them."""


class Commands(click.Group):
    """A click group that loads a command only when it is called, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"worker.commands.{module}"), name)
        if ctx.resilient_parsing:  # as at a Tab
            from worker.commands.completion import complete

            complete(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            # click itself suggests only commands that are loaded.
            raise click.exceptions.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="siproster")
def cli() -> None:
    """Import SIP credentials into Bandwidth's Registrar, and report on every row.

    \b
    First steps:
      siproster doctor               check the setup
      siproster plan staff.csv       check the roster; send nothing
      siproster import staff.csv     import it; results go to ./siproster-JOB/
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program, and end with its exit code."""
    # A page of rows is thousands of objects without cycles; searching them takes a tenth of an import.
    gc.set_threshold(100_000, 50, 100)
    terminal.leave_no_core()
    terminal.prepare()
    foreign_variables.drop(os.environ)
    if os.environ.get("_SIPROSTER_COMPLETE", "").endswith("_complete"):
        terminal.be_silent()
    code = terminal.flushed(_run(arguments))
    gc.freeze()  # at its end the interpreter would search every loaded module, for a tenth of a second
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    """Return a command's exit code. The one place where an exception becomes a message and a code."""
    _unwind_on_signals()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        _refuse_no_folder()
        _refuse_no_text(words)
        # Without standalone mode, click returns the command's result: its exit code, or None.
        return int(cli.main(words, prog_name="siproster", standalone_mode=False) or 0)
    except SystemExit as done:  # of a library's
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except Exception as error:
        if isinstance(error, OSError) and terminal.output_fails():
            return 1
        failure = _shown(error)
        usable = not isinstance(error, StreamIsInput)
    if usable and "--json" in takewhile(lambda word: word != "--", words):
        facts.print_failure(failure)
    return failure.exit


def _unwind_on_signals() -> None:
    """Let SIGTERM and a closed terminal end a command as Ctrl-C does, so that it releases what it holds.

    Ignored signals (nohup) stay ignored; commands that end more gently replace these handlers.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _refuse_no_folder() -> None:
    """Refuse a working folder that was deleted: no path could be made absolute, here or in a library."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError(
            "the working folder does not exist any more", "change to another one: cd ~"
        ) from None


def _refuse_no_text(arguments: Sequence[str]) -> None:
    """Refuse an argument that is not UTF-8, unless it is a path: no name, job or option can be one."""
    for argument in arguments:
        if not argument.isprintable() and not os.path.lexists(argument):
            try:
                argument.encode()
            except UnicodeEncodeError:
                raise UsageError(
                    f"an argument is not UTF-8, and no file has that name: {argument}",
                    "type it in a terminal that uses UTF-8 (see `locale`)",
                ) from None


def _shown(error: Exception) -> Failure:
    """Print an error for people, and return it as ``--json`` has it."""
    match error:
        case click.Abort():
            echo("interrupted; nothing else was started")
            return Failure("interrupted", "interrupted; nothing else was started", "", 130)
        case click.ClickException():
            return _wrong_usage(error)
        case SiprosterError():
            failure = Failure(error.kind, error.message, error.hint, error.exit_code)
        case MemoryError():
            hint = "close other programs, or split the roster into smaller files"
            failure = Failure("no_memory", "there is not enough memory", hint, 1)
        case _:
            hint = "No row is lost: `siproster jobs` lists the jobs. Please report the bug with this line:"
            message = "unexpected error: this is a bug in siproster"
            failure = Failure("unexpected", message, f"{hint}\nsiproster {__version__}: {place_of(error)}", 1)
    echo(f"siproster: {failure.message}", "red")
    for line in filter(None, failure.hint.split("\n")):
        echo(f"           {line}")
    return failure


def _wrong_usage(error: click.ClickException) -> Failure:
    """Print click's message about wrong usage, which repeats what was typed, and what was probably meant."""
    from worker.commands import suggestions  # needed by nobody else

    hint = suggestions.hint(error)
    unknown = click.NoSuchOption | click.exceptions.NoSuchCommand
    if hint and isinstance(error, unknown):  # without names that only look alike
        error = click.UsageError(error.message, error.ctx)
    shown = io.StringIO()
    error.show(shown)
    for line in (*_plain(shown.getvalue()).rstrip().split("\n"), *([f"       {hint}"] if hint else [])):
        echo(line)
    context = getattr(error, "ctx", None)
    usage = f"{context.command_path} --help" if context else "siproster --help"
    return Failure("usage", visible(_plain(error.format_message())), hint or usage, 6)


_IN_PLAIN_WORDS = {
    "Choose from:\n\t": "Choose from: ",
    ",\n\t": ", ",
    "is not a valid float range": "is not a number",
    "is not a valid integer range": "is not a whole number",
}


def _plain(text: str) -> str:
    """Return click's text in plain words, and with a list of choices, indented by tabs, on one line."""
    for its, ours in _IN_PLAIN_WORDS.items():
        text = text.replace(its, ours)
    return text


if __name__ == "__main__":
    main()
