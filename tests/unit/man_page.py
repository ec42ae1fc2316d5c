"""The man page, from the program's own commands and options, and from tables in docs.

It is of our own making, since click-man writes a page for each of some fifty commands, without settings and
exit codes. It is kept in the repository, so that building a wheel needs none of the program's libraries.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from cli import cli
from worker import __version__

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "siproster.1"

_HEAD = """\
.\\" Written by `make docs`; edits are lost.
.TH SIPROSTER 1 "" "siproster {version}" "User Commands"
.ad l
.nh
.SH NAME
siproster \\- bulk import of SIP credentials into Bandwidth's Registrar
.SH SYNOPSIS
.B siproster
.I COMMAND
.RI [ OPTIONS ]
.RI [ ARGUMENTS ]
"""

_FILES = {
    "./siproster.toml": "Settings, options and profiles, if no file is named with --config.",
    "~/.local/state/siproster/ledger.sqlite": "The ledger on Linux; ledger.sqlite.key beside it is its key.",
    "./siproster-JOB/": "The result files of a job: results.csv, failed.csv, summary.json.",
}


def written() -> str:
    """Return the man page in roff."""
    top = click.Context(cli, info_name="siproster", max_content_width=80)
    parts = [
        _HEAD.format(version=_escaped(__version__)),
        ".SH DESCRIPTION\n",
        *_paragraphs(cli.help or ""),
        ".SH OPTIONS\n",
        *_options(cli, top),
        ".SH COMMANDS\n",
        *(part for name in cli.list_commands(top) for part in _command(name, top)),
        ".SH ENVIRONMENT\n",
        "Each of them can be set in siproster.toml instead. docs/settings.md lists other variables.\n",
        *_table("settings.md", "Settings", columns=(1, 2)),
        ".SH FILES\n",
        *(f".TP\n.I {_escaped(name)}\n{_escaped(told)}\n" for name, told in _FILES.items()),
        ".SH EXIT STATUS\n",
        *_table("errors.md", "Exit codes", columns=(1,)),
        ".SH SEE ALSO\n",
        "The documentation in docs/: getting started, a first import, migrations, errors, security.\n",
    ]
    return "".join(parts)


def _command(name: str, parent: click.Context) -> Iterator[str]:
    """Yield the section of a command, and those of the commands below it."""
    group = parent.command
    assert isinstance(group, click.Group)
    command = group.get_command(parent, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=parent)
    if not isinstance(command, click.Group) or command.invoke_without_command:
        usage = [one.make_metavar(context) for one in command.params if isinstance(one, click.Argument)]
        yield f".SS {_escaped(' '.join([context.command_path, *usage]))}\n"
        yield from _paragraphs(command.help or "")
        yield from _options(command, context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from _command(below, context)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for one in command.get_params(context):
        record = one.get_help_record(context) if isinstance(one, click.Option) else None
        if record and "--help" not in one.opts:
            names, told = record
            yield f".TP\n.B {_escaped(names)}\n{_escaped(told)}\n"


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text; after ``\\b``, lines stay as they are."""
    for at, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if at:
            yield ".PP\n"
        if paragraph.startswith("\b"):
            kept = textwrap.dedent(paragraph.removeprefix("\b").strip("\n"))
            yield f".nf\n{_escaped(kept)}\n.fi\n"
        else:
            yield f"{_escaped(' '.join(paragraph.split()))}\n"


def _table(page: str, heading: str, columns: tuple[int, ...]) -> Iterator[str]:
    """Yield the rows of the first table below a heading of a page in docs, as a list of terms."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    _, _, after = text.partition(f"# {heading}\n")
    for row in re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)[0].splitlines()[2:]:  # type: ignore[index]
        cells = [_plain(cell) for cell in re.split(r"(?<!\\)\|", row.strip("|"))]
        told = "; ".join(cells[at] for at in columns if cells[at])
        yield f".TP\n.B {_escaped(cells[0])}\n{_escaped(told)}\n"


def _plain(cell: str) -> str:
    """Return a cell of a Markdown table without its marks."""
    cell = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", cell)
    return cell.replace("`", "").replace("\\|", "|").strip()


def _escaped(text: str) -> str:
    """Return a text as roff prints it: no line of it is a request, and a hyphen can be copied as typed."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("|", "|\\:")  # a line may break there
    text = text.translate({ord("…"): "...", ord("→"): "->", ord("’"): "'"})
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(written(), "utf-8")
