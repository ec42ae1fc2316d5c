"""Holds what the program prints with ``--json`` to docs/schemas."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import fastjsonschema

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"

_SOME = 25
"""Entries of a list that are checked at its beginning, and as many at its end: lists are long."""


@functools.cache
def schema(name: str) -> Any:
    """Return a schema of docs/schemas."""
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


@functools.cache
def validator(name: str) -> Callable[[Any], Any]:
    """Return the function that raises JsonSchemaException for facts that a schema doesn't describe.

    fastjsonschema takes 2020-12 for draft 7; tests/unit/test_schemas.py holds the schemas to what both have.
    """
    compiled: Callable[[Any], Any] = fastjsonschema.compile(
        strict(schema(name)), handlers={"https": lambda uri: strict(schema(Path(uri).stem))}
    )
    return compiled


def strict(part: Any) -> Any:
    """Return a schema that permits only the properties that it names: a new one must be described.

    Programs must accept others, since a later version may add some; so docs/schemas permits them.
    """
    if isinstance(part, list):
        return [strict(one) for one in part]
    if not isinstance(part, dict):
        return part
    closed = {"additionalProperties": False} if part.get("type") == "object" else {}
    return closed | {name: strict(value) for name, value in part.items()}


def command_of(words: Sequence[str]) -> str:
    """Return the name of the schema for a command line: of its first two words or of the first."""
    names = ("-".join(words[:2]), words[0])
    return next(name for name in names if (FOLDER / f"{name}.json").exists())


def check(words: Sequence[str], code: int, stdout: str) -> None:
    """Raise JsonSchemaException if a command that ended printed something else than its schema says.

    ``code``: its exit code. A command without ``--json``, or that was killed, is not checked.
    """
    options = list(takewhile(lambda word: word != "--", words))
    if "--json" not in options or "--help" in options or code < 0:
        return
    facts = json.loads(stdout)
    if isinstance(facts, dict) and facts.keys() == {"error"}:
        validator("error")(facts)
        assert facts["error"]["exit"] == code, (facts, code)
        return
    if isinstance(facts, list):
        facts = facts[:_SOME] + facts[_SOME:][-_SOME:]
    validator(command_of(words))(facts)


def check_events(words: Sequence[str], stderr: str) -> None:
    """Raise JsonSchemaException if ``--progress json`` printed a line that is not as progress.json says.

    A line that is no JSON is wrong usage, which was found before the options were.
    """
    if ("--progress", "json") in pairwise(words):
        for line in stderr.splitlines():
            if line.startswith("{"):
                validator("progress")(json.loads(line))
