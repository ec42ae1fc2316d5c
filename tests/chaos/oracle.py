"""Judge the result of a job by the service's own history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.rosters import Fate, Wanted

Held = Mapping[str, Any]
Result = Mapping[str, str]

_ENDS: Mapping[Fate, frozenset[str]] = {
    Fate.NEW: frozenset({"created", "unchanged"}),
    Fate.SAME: frozenset({"unchanged"}),
    Fate.OTHER: frozenset({"exists"}),
    Fate.INVALID: frozenset({"invalid"}),
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken. ``kind``: lost, doubled, unknown, or wrong."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind.upper()}: {self.text}"


@dataclass(frozen=True, slots=True)
class Truth:
    """The service's side. ``history`` has what was deleted, too; ``realm`` is the host of all rows."""

    history: Sequence[Held]
    realm: str
    first: str = ""
    """The job that began it: a new row of its that is unchanged must say that its origin is unknown."""

    def by_name(self) -> dict[str, list[Held]]:
        """Return every credential that ever was, by its name."""
        names: dict[str, list[Held]] = {}
        for held in self.history:
            names.setdefault(held["composite"], []).append(held)
        return names


def judge(rows: Sequence[Wanted], results: Sequence[Result], truth: Truth) -> list[Violation]:
    """Return every promise that the job's end breaks."""
    by_name = truth.by_name()
    lines = Counter(int(result["bw__row"]) for result in results)
    by_line = {int(result["bw__row"]): result for result in results}
    found = [Violation("lost", f"line {row.line} has no line in the results")
             for row in rows if not lines[row.line]]  # fmt: skip
    found += [Violation("doubled", f"line {line} has {count} lines in the results")
              for line, count in lines.items() if count > 1]  # fmt: skip
    for row in rows:
        if row.line in by_line:
            found += _judge_result(row, by_line[row.line], truth.first)
        found += _judge_stored(row, by_name.pop(row.name, []), truth.realm)
    found += [Violation("wrong", f"{name} is stored and nobody asked for it") for name in by_name]
    return found


def _judge_result(row: Wanted, result: Result, first: str) -> Iterator[Violation]:
    status, code = result["bw__status"], result["bw__error_code"]
    told = f"line {row.line} ({row.fate}) is {status} {result['bw__error_code']}: {result['bw__error']}"
    if status == "unprocessed":
        yield Violation("lost", told)
    elif status == "unknown":
        yield Violation("unknown", told)
    elif status not in _ENDS[row.fate]:
        yield Violation("wrong", told)
    elif row.fate is Fate.NEW and (result["bw__job"], status, code) == (first, "unchanged", ""):
        yield Violation("wrong", f"{told}, though nobody else was there")


def _judge_stored(row: Wanted, held: Sequence[Held], realm: str) -> Iterator[Violation]:
    if row.fate is Fate.INVALID:
        if held:
            yield Violation("wrong", f"line {row.line} is invalid, and was sent")
        return
    if not held:
        yield Violation("lost", f"line {row.line}: {row.name} is not stored")
        return
    histories = [(one["created"], one["updated"], one["deleted"]) for one in held]
    if histories != [(1, 0, 0)]:
        yield Violation("doubled", f"line {row.line}: {row.name} was created, updated, deleted {histories}")
    digests = (held[0]["hash1"], held[0]["hash1b"])
    if (digests == row.digests(realm)) == (row.fate is Fate.OTHER):
        yield Violation("wrong", f"line {row.line}: {row.name} has the wrong digests")


def falsely_claimed(results: Iterable[Result], before: Collection[str]) -> list[Violation]:
    """Rows that a job says it made, and that were there before it began."""
    return [
        Violation("wrong", f'line {result["bw__row"]} was there before job {result["bw__job"]} "made" it')
        for result in results
        if result["bw__status"] == "created" and name_of(result) in before
    ]


def name_of(result: Result) -> str:
    """``user`` or ``user@domain``."""
    user, domain = result["bw__username"], result["bw__domain"]
    return f"{user}@{domain}" if domain else user


def overlaid(results: Sequence[Result], retried: Sequence[Result]) -> list[Result]:
    """The results of a job with those of its retry in their places."""
    later = {result["bw__row"]: result for result in retried}
    return [later.get(result["bw__row"], result) for result in results]
