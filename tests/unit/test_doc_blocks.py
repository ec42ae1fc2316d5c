"""The documentation's code blocks: the program takes each of its command lines, and each file can be read.

tests/system runs those of the README and of the pages that teach (test_doc_sessions.py, test_readme.py).
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import yaml
from lxml import etree

from cli import cli
from tests.documents import Block, blocks, pages
from worker.settings import file

BLOCKS = [(name, block) for name, page in pages().items() for block in blocks(page)]

KINDS = {"", "console", "json", "nginx", "python", "sh", "sql", "text", "toml", "xml", "yaml"}

OTHERS = {
    "baresip": "a softphone; test_doc_sessions.py runs it",
    "docker": "no container is started in tests; test_compose.py holds its files against the program",
    "mysql": "test_pbx_samples.py and test_database_rosters.py read databases",
    "psql": "the same",
    "gzip": "test_readme.py runs it",
    "make": "test_readme.py has make print what it would do",
    "pip": "needs the network",
    "pipx": "needs the network",
    "pg_dump": "PostgreSQL's own; a test would need a second database",
    "python3": "installs; test_readme.py runs it without the network",
    "rm": "deletes what the page has made",
    "scp": "needs a PBX",
    "sqlite3": "test_doc_sessions.py backs a ledger up with it",
    "systemctl": "no service is started in tests; test_systemd.py holds the units against systemd",
    "umask": "the shell's own",
    "uv": "needs the network",
    **dict.fromkeys(
        ("cat", "cd", "chmod", "cut", "echo", "export", "mkdir", "printf", "read", "sed", "unset"), "usual"
    ),
}
"""Programs other than siproster in shell blocks, each with the reason why not every block is run."""


def lines(block: Block) -> list[str]:
    """Return the command lines of a shell block, without comments and the text of here-documents."""
    if block.kind == "console":
        typed = [command.split("\n", 1)[0] for command in block.commands]
    else:
        typed = block.text.splitlines()
    return [line for line in typed if line and not line.startswith("#")]


def shell_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the shell blocks, as the shell splits it, with its page and line."""
    for name, block in BLOCKS:
        for line in lines(block) if block.kind in ("sh", "console") else ():
            for command in COMMAND.findall(re.sub(r"\s#.*|\d>&\d", "", line)):
                if words := _words(command):
                    yield f"{name}:{block.line}", words


COMMAND = re.compile(r"""(?:'[^']*'|"[^"]*"|[^'"|&;])+""")
"""One command of a list or a pipeline."""


def _words(command: str) -> list[str]:
    """Return a command's words, without redirections and variables in front."""
    command = re.sub(r"(?<=\s)\d?[<>]+\s*\S+", "", command)
    words = shlex.split(command)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    return words


SHELL = list(shell_commands())
PROGRAM = [
    pytest.param(words[1:], id=f"{at} {shlex.join(words[1:])}")
    for at, words in SHELL
    if words[0] == "siproster"
]


def units() -> Iterator[list[str]]:
    """Yield the arguments of siproster in `docker compose run`."""
    for _, words in SHELL:
        if words[:3] == ["docker", "compose", "run"]:
            yield words[words.index("worker") + 1 :]


def accepted(line: list[str]) -> None:
    """Let the program's own parser take a command line; raises click.UsageError."""
    context = click.Context(cli)
    if line in (["--version"], ["--help"]):
        return
    name, command, rest = cli.resolve_command(context, line)
    while isinstance(command, click.Group) and rest and rest[0] in command.commands:
        name, command, rest = command.resolve_command(context, rest)
    assert command is not None
    command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("line", PROGRAM)
def test_each_command_line_is_understood(line: list[str]) -> None:
    """The program's own parser takes every line of the documentation, as a shell splits it."""
    accepted(line)


@pytest.mark.parametrize("line", [*units()], ids=shlex.join)
def test_each_command_in_a_container_is_understood(line: list[str]) -> None:
    """The same holds for the program's arguments in containers."""
    accepted(line)


def test_an_unknown_option_would_be_seen() -> None:
    """The check above fails for an option or a command that the program doesn't have."""
    for line in (["import", "staff.csv", "--no-such-option"], ["schedule", "list", "more"], ["imprt"]):
        with pytest.raises(click.UsageError):
            accepted(line)


def test_every_other_program_is_known() -> None:
    """Each command line begins with siproster or a program that is listed; none is listed in vain."""
    called = {words[0].rsplit("/", 1)[-1]: at for at, words in SHELL}
    called.pop("siproster")
    assert {name: at for name, at in called.items() if name not in OTHERS} == {}
    assert OTHERS.keys() - called.keys() - {"pg_dump"} == set()


def test_every_block_says_what_it_is() -> None:
    """A block without a kind would be neither read nor run, so it has no command in it."""
    assert {block.kind for _, block in BLOCKS} <= KINDS
    plain = [(name, block) for name, block in BLOCKS if block.kind in ("", "text")]
    commands = re.compile(r"^ *(\$ |siproster [a-z])", re.MULTILINE)
    assert [f"{name}:{block.line}" for name, block in plain if commands.search(block.text)] == []


def json_lines(text: str) -> list[object]:
    """Return the values of a JSON text, or of one with a value on each line."""
    try:
        return [json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines()]


READERS: dict[str, Callable[[str], object]] = {
    "json": json_lines,
    "python": ast.parse,
    "toml": tomllib.loads,
    "xml": lambda text: etree.fromstring(text.encode()),
    "yaml": yaml.safe_load,
}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param(one.kind, one.text, id=f"{name}:{one.line}")
        for name, one in BLOCKS
        if one.kind in READERS
    ],
)
def test_each_file_can_be_read(kind: str, text: str) -> None:
    """Files in the documentation are well-formed."""
    assert READERS[kind](text) is not None


@pytest.mark.parametrize(
    "text", [pytest.param(one.text, id=f"{name}:{one.line}") for name, one in BLOCKS if one.kind == "toml"]
)
def test_each_settings_file_is_taken(text: str, tmp_path: Path) -> None:
    """The program reads each `siproster.toml` of the documentation, with all of its profiles."""
    settings = tmp_path / "siproster.toml"
    settings.write_text(text, "utf-8")
    settings.chmod(0o600)
    document = tomllib.loads(text)
    content = file.read_each(settings, ["", *document.get("profile", {})])
    assert any(one.settings or one.options or one.databases or one.channels for one in content.values())
