"""JSON on stdout, for ``--json``: a command's facts, or the error that it failed with before it had any.

Imports little, so that reporting a failure is quick.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click

from worker.errors import UsageError

json_option = click.option("--json", "as_json", is_flag=True, help="Print only JSON to stdout.")

_IN_MEMORY = 8_000_000
"""Bytes of an array in memory; a longer one waits in a temporary file, sealed."""

_BLOCK = 65_536

_printed: list[str] = []
"""Not empty once JSON was printed, so that an error doesn't follow facts."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of a command that failed, as ``{"error": …}``.

    ``code``: a word of docs/errors.md. ``exit``: the exit code.
    """

    code: str
    message: str
    hint: str
    exit: int


def print_json(facts: Any) -> None:
    """Print facts as JSON, alone on stdout."""
    _printed.append("facts")
    click.echo(_text(facts, indent=2))


def print_array(facts: Iterable[Any]) -> None:
    """Print facts as one JSON array with a line for each, once all of them are there.

    If an error comes midway, nothing is printed: a part must not look like the whole. Raises UsageError if
    the temporary folder is full.
    """
    from worker.seal import StreamSeal  # loads a library that few commands need

    seal = StreamSeal()
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
        for line in _lines(facts):
            try:
                spool.write(seal.close_over(line.encode("utf-8", "surrogatepass")))
            except OSError as error:
                raise UsageError(
                    f"the temporary folder can't be written to: {error.strerror}",
                    "make room there, or name another folder in TMPDIR",
                ) from None
        spool.seek(0)
        _printed.append("facts")
        decoded = codecs.getincrementaldecoder("utf-8")("surrogatepass").decode
        sys.stdout.writelines(decoded(seal.open(block)) for block in iter(lambda: spool.read(_BLOCK), b""))


def print_failure(failure: Failure) -> None:
    """Print the error, unless facts were printed before: stdout holds one JSON value, whatever happens."""
    if not _printed:
        with contextlib.suppress(OSError):  # of a stdout that fails, which is said at the end
            print_json({"error": asdict(failure)})


def _lines(facts: Iterable[Any]) -> Iterator[str]:
    before = "["
    for fact in facts:
        yield f"{before}\n{_text(fact)}"
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _text(facts: Any, indent: int | None = None) -> str:
    """Return JSON in characters that stdout can encode."""
    legible = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    return json.dumps(facts, indent=indent, ensure_ascii=not legible)
