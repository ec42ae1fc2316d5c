"""``init``: asks for account, credentials and ledger, tries them, and writes siproster.toml."""

from __future__ import annotations

import json
import os
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import click

from worker.commands.context import Context
from worker.commands.doctor import (
    CheckResult,
    State,
    facts_of,
    own_checks,
    print_checks,
    service_checks,
    settings_checks,
)
from worker.commands.facts import print_json
from worker.commands.listing import asked
from worker.commands.options import json_option, yes_option
from worker.commands.screen import echo
from worker.commands.terminal import asks, visible
from worker.errors import SiprosterError, UsageError
from worker.files import new_part
from worker.reasons import reason_of
from worker.seal import new_key
from worker.settings import Settings, addresses, default_ledger, settled
from worker.settings.credential_hosts import ALLOW_HTTP
from worker.settings.file import NAME, Content
from worker.settings.names import DEFAULTS, SECRETS

_TO_ASK: Mapping[str, str] = {
    "BW_ACCOUNT_ID": "Account ID",
    "BW_ENVIRONMENT": "Environment (prod, test, uat), or the API's URL",
    "BW_CLIENT_ID": "OAuth client ID",
    "BW_CLIENT_SECRET": "OAuth client secret (not shown)",
    "SIPROSTER_LEDGER": "Ledger: a file, or a postgresql:// URL",
}
"""Settings that are asked for, and the question."""

_TAKEN = tuple(name for name in DEFAULTS if name != ALLOW_HTTP)
"""Settings that are taken from the environment; a settings file that is only found may not allow http."""


@click.command("init")
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=NAME,
    help=f"File to write.  [default: ./{NAME}]",
)
@yes_option
@json_option
def init(config: Path, yes: bool, as_json: bool) -> int:
    """Ask for account, credentials and ledger, try them, and write siproster.toml.

    What the environment sets (BW_ACCOUNT_ID, BW_CLIENT_SECRET …) is offered as the answer; without a terminal
    it is the answer. Nothing is written unless the service accepts the credentials. The file has mode 0600,
    since it contains the secret: keep it out of version control.

    Exits with 0 once the file is written, otherwise with the code of the first problem.
    """
    _check_place(config)
    if os.path.lexists(config):
        asked(f"{config} exists. Replace it, with everything in it?", yes=yes)
    given = {name: os.environ[name] for name in _TAKEN if os.environ.get(name)}
    values = _answers(given) if asks() else given
    settings = settled({}, {}, Content(str(config), settings=values))
    if not (values.get("SIPROSTER_KEY") or addresses.sqlite_path(settings.ledger)):
        values["SIPROSTER_KEY"] = new_key()
        echo("a new sealing key was generated, since the ledger is on PostgreSQL; workers need the same key")
        settings = settled({}, {}, Content(str(config), settings=values))
    settings.endpoint()
    echo("trying them …")
    results = list(_tried(Context({}, warn=False, settings=settings)))
    trouble = next((one for one in results if one.state is State.TROUBLE), None)
    if trouble is None:
        _write(config, _toml(settings, values))
    if as_json:
        print_json(
            {"file": None if trouble else str(config.absolute()), **facts_of(settings.shown(), results)}
        )
    else:
        print_checks([], results)
    if trouble:
        echo(f"{config} was not written", "red")
        return trouble.exit_code
    _print_next(config, values)
    return 0


def _answers(given: Mapping[str, str]) -> dict[str, str]:
    """Return the given values with the user's answers. Raises click.Abort on Ctrl-C."""
    answers = {name: value for name, value in given.items() if name not in ("BW_USERNAME", "BW_PASSWORD")}
    usual = {"BW_ENVIRONMENT": "prod", "SIPROSTER_LEDGER": f"sqlite:///{default_ledger()}"}
    if url := answers.pop("BW_API_URL", ""):
        answers["BW_ENVIRONMENT"] = url
    for name, question in _TO_ASK.items():
        setting, value = _asked_for(name, question, answers.pop(name, "") or usual.get(name, ""))
        answers[setting] = value
    if answers["SIPROSTER_LEDGER"] == usual["SIPROSTER_LEDGER"]:
        del answers["SIPROSTER_LEDGER"]
    return answers


def _asked_for(name: str, question: str, default: str) -> tuple[str, str]:
    """Return the setting that a question is about and its answer, asking until it is a valid one.

    A secret is not shown, and neither is one in the address that is offered.
    """
    shown = "as in the environment" if name in SECRETS and default else addresses.hidden(default)
    text = visible(f"{question} [{shown}]" if default else question)
    while True:
        answer = str(
            click.prompt(text, default=default, show_default=False, hide_input=name in SECRETS, err=True)
        ).strip()
        if not answer:
            echo("an answer is needed; Ctrl-C ends without writing anything")
            continue
        setting, value = _setting(name, answer)
        try:
            settled({}, {}, Content("the answer", settings={setting: value}))
        except UsageError as error:
            echo(error.message, "red")
            echo(error.hint)
        else:
            return setting, value


def _setting(name: str, answer: str) -> tuple[str, str]:
    """Return the setting that an answer is the value of: a URL or a path means another one than a word."""
    if name == "BW_ENVIRONMENT" and "://" in answer:
        return "BW_API_URL", answer
    if name == "SIPROSTER_LEDGER" and "://" not in answer:
        return name, f"sqlite:///{answer}"
    return name, answer


def _check_place(config: Path) -> None:
    """Raise UsageError if no file can be there, before anything is asked."""
    if config.is_dir() or not config.absolute().parent.is_dir():
        reason = "it is a folder" if config.is_dir() else "there is no such folder"
        raise UsageError(f"{config} can't be written: {reason}", "name another file with --config FILE")


def _tried(context: Context) -> Iterator[CheckResult]:
    """Check the service first: with wrong credentials, no ledger is created either."""
    found = []
    for result in chain(settings_checks(context), service_checks(context)):
        found.append(result)
        yield result
    if all(one.state is not State.TROUBLE for one in found):
        yield from own_checks(context)


def _toml(settings: Settings, values: Mapping[str, str]) -> str:
    """Return the file's text: each value as it is used, so that it means the same in any folder."""
    used = {name: settings.values[name] or value for name, value in values.items()}
    lines = (f"{name} = {_quoted(value)}" for name, value in used.items())
    text = "\n".join(
        chain(("# Written by `siproster init`. It contains secrets: keep it to yourself.",), lines)
    )
    if tomllib.loads(text) != used:  # nothing is written that would be read back as something else
        raise UsageError("a value contains a character that a settings file can't hold", "check the values")
    return f"{text}\n"


def _quoted(value: str) -> str:
    """Return a TOML basic string, which is a JSON string but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(path: Path, text: str) -> None:
    """Write the file with mode 0600, complete or not at all. Raises UsageError."""
    part = None
    try:
        descriptor, part = new_part(path)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path} can't be written: {reason_of(error)}", "name another file with --config FILE"
        ) from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _print_next(path: Path, values: Mapping[str, str]) -> None:
    """Print the next command, and a warning if the environment will get in the file's way."""
    with_config = "" if path == Path(NAME) else f" --config {shlex.quote(str(path))}"
    others = {name: value for name, value in os.environ.items() if name not in values}
    try:
        settled({}, others, Content(str(path), found=not with_config, settings=values))
    except SiprosterError as error:
        echo(f"warning: with the present environment, {path} is refused: {error.message}", "yellow")
        echo(f"         {error.hint}", "yellow")
    for name, value in values.items():
        if os.environ.get(name, value) != value:
            echo(f"warning: {name} from the environment is used instead of the one in {path}", "yellow")
    echo(f"written to {path} (mode 0600). Next:")
    echo("  siproster template --xlsx staff.xlsx   an empty roster to fill in")
    echo(f"  siproster plan staff.xlsx{with_config}   check it; nothing is sent")
