"""``explain``: the codes of results, summaries and messages. Needs no settings and loads next to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

import click

from worker.codes import TABLES, Code, Table, command_of, effect_of, named
from worker.commands.facts import json_option, print_json
from worker.errors import UsageError

_LIST = re.compile(r"[\w-]+(?:[\s;,]+[\w-]+)*[\s;,]*")
"""Codes alone, as a cell of ``bw__error_code`` has them, or as they are typed; else it is a sentence."""

_LEADING = re.compile(r"([a-z0-9_]+)(?=: | \()")
"""A word that a summary explains: ``max_failed: 12 rows …``, ``digest_differs (3 rows): …``."""

_TOKEN = re.compile(r"[a-z0-9_]+")

_CLOSE = 3
"""Codes that are suggested for one that doesn't exist."""


@click.command("explain")
@click.argument("words", metavar="[CODE]...", nargs=-1)
@json_option
def explain(words: tuple[str, ...], as_json: bool) -> None:
    """Explain CODE: what it means, what it does to the row or the job, and what to do about it.

    CODE is a value of bw__status or bw__error_code (or several, joined by ;), a warning, the reason why a
    job stopped, or a number from the service. You can also paste a line from a summary or from `doctor`.
    Without CODE, all codes are listed.

    \b
      siproster explain digest_differs
      siproster explain '23014;application_differs'
      siproster explain 'max_failed: 12 rows are failed, unknown or invalid'
    """
    text = " ".join(words).strip().casefold()
    found = [entry for code in codes_in(text) for entry in named(code)] if text else _all()
    if as_json:
        print_json([_facts(*entry) for entry in found])
    else:
        click.echo("\n".join(_described(*entry) for entry in found) if text else _listed())


def codes_in(text: str) -> list[str]:
    """Return the codes that a text in lower case names, each once. Raises UsageError if there are none."""
    if _LIST.fullmatch(text):
        codes = list(dict.fromkeys(_TOKEN.findall(text.replace("-", "_"))))
        for code in codes:
            if not named(code):
                raise _unknown(code)
        return codes
    # In a sentence, words such as "stopped" or "exists" are codes only in certain places.
    known = [word for word in _LEADING.findall(text) if named(word)]
    known = known or [
        word for word in _TOKEN.findall(text) if (word.isdigit() or "_" in word) and named(word)
    ]
    if not known:
        raise UsageError("no code is named there", "`siproster explain` lists all codes")
    return list(dict.fromkeys(known))


def _unknown(code: str) -> UsageError:
    close = get_close_matches(code, {one.name for _, one in _all()}, _CLOSE)
    if close:
        return UsageError(f"there is no code {code}", f"did you mean {' or '.join(close)}?")
    if code.isdigit():
        return UsageError(
            f"siproster has no explanation of the service's code {code}",
            "`bw__error` has the service's own words; `siproster explain` lists all codes",
        )
    return UsageError(f"there is no code {code}", "`siproster explain` lists all codes")


def _all() -> list[tuple[Table, Code]]:
    return [(table, code) for table in TABLES for code in table.codes]


def _facts(table: Table, code: Code) -> dict[str, str]:
    return {
        "code": code.name,
        "table": table.title,
        "meaning": code.meaning,
        "effect": effect_of(table, code),
        "advice": code.advice,
        "command": command_of(table, code),
    }


def _described(table: Table, code: Code) -> str:
    facts = _facts(table, code)
    lines = (
        f"  {name:<8} {facts[name]}" for name in ("meaning", "effect", "advice", "command") if facts[name]
    )
    return "\n".join((f"{code.name} ({table.title})", *lines, ""))


def _listed() -> str:
    return "\n".join(line for table in TABLES for line in _lines_of(table))


def _lines_of(table: Table) -> Iterator[str]:
    widest = max(len(code.name) for code in table.codes)
    yield table.title
    yield from (f"  {code.name:<{widest}}  {code.meaning}" for code in table.codes)
    yield ""
