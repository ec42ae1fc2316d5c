"""Long listings, never all in memory: lines for people and CSV, streamed, or one JSON array at the end."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import click

from worker.commands.facts import print_array
from worker.commands.screen import echo
from worker.commands.terminal import asks, visible
from worker.errors import NotConfirmed, UsageError
from worker.reasons import plural
from worker.report import neutral

T = TypeVar("T")
Fact = Mapping[str, str | None]

csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print only CSV to stdout.")

_SAY_EVERY = 10.0
"""Seconds between two words about how far it is."""


def print_all(
    facts: Iterable[Fact], columns: Sequence[str], line: Callable[[Fact], str], *, as_csv: bool, as_json: bool
) -> int:
    """Print all entries on stdout and return how many there were. ``line`` formats one for people.

    Errors midway propagate; JSON is printed only if there are none.
    """
    number = 0

    def told() -> Iterator[Fact]:
        nonlocal number
        for fact in facts:
            number += 1
            yield fact

    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([neutral(fact[column] or "") for column in columns] for fact in told())
    elif as_json:
        print_array(told())
    else:
        sys.stdout.writelines(visible(line(fact)) + "\n" for fact in told())
    return number


def one_form(*, as_csv: bool, as_json: bool) -> None:
    """Raise UsageError if both formats are requested, before anything is asked."""
    if as_csv and as_json:
        raise UsageError("--csv and --json can't be used together", "use only one of them")


def counted(entries: Iterable[T]) -> Iterator[T]:
    """Yield the entries; now and then print their number so far on stderr."""
    told = time.monotonic()
    for number, entry in enumerate(entries, 1):
        yield entry
        if time.monotonic() - told >= _SAY_EVERY:
            told = time.monotonic()
            echo(f"{plural(number, 'credential')} so far")


def asked(question: str, *, yes: bool) -> None:
    """Continue only after confirmation, on the terminal or with --yes.

    Raises UsageError, NotConfirmed, click.Abort.
    """
    if yes:
        return
    if not asks():
        raise UsageError(
            f"there is no terminal to confirm on: {question}",
            "nothing was done; to confirm, add --yes",
        )
    if not click.confirm(visible(question), err=True):
        raise NotConfirmed("not confirmed", "nothing was done")
