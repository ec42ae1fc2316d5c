"""The sentences of a notification, for people: a subject, and a few lines below it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from worker.reasons import plural

TEST = "siproster.test"

_LONGEST_SUBJECT = 200

_COUNTED = {
    "failed": "failed",
    "invalid": "invalid",
    "exists": "left alone (another password)",
    "unknown": "unconfirmed",
    "unprocessed": "not attempted",
}
"""Statuses of rows that are not in place, in the order in which they are told."""

_ENDED = {
    "stopped": "stopped",
    "approval_needed": "held back, nothing was sent",
    "overlap": "not run",
    "missed": "not run",
    "account_busy": "not completed",
    "failed": "failed",
    "unavailable": "not completed",
}
"""The beginning of the sentence for each result; the reason follows."""

_REASONS = {
    "overlap": "the previous run had not ended",
    "missed": "no scheduler was running",
    "account_busy": "another job was writing to the account",
    "unavailable": "the service did not answer",
}
"""The reason for each result, if the notification has none."""

_CAUSES = {"slot": "as scheduled", "manual": "started by hand"}


def subject(payload: Mapping[str, Any]) -> str:
    """Return one line: ``nightly: 598 of 600 rows in place, 2 failed``."""
    name = payload.get("schedule") or "siproster"
    if payload.get("type") == TEST:
        return _line(f"{name}: test notification")
    return _line(f"{name}: {_ending(payload)}")


def body(payload: Mapping[str, Any]) -> str:
    """Return the subject, and lines with the details and what to do next."""
    if payload.get("type") == TEST:
        lines = [subject(payload) + ".", "", "This channel works. No run has ended."]
    else:
        lines = [subject(payload) + ".", "", *_details(payload), *_users(payload), *_next_step(payload)]
    return "\n".join(map(_printable, lines)) + "\n"


def _ending(payload: Mapping[str, Any]) -> str:
    result, rows = str(payload.get("result", "")), _rows(payload.get("summary") or {})
    if result in ("in_place", "not_in_place"):
        return rows or _why(payload) or "ended"  # without a job, rows of an earlier import are told
    if result == "nothing_new":
        return "nothing new to import"
    words = _ENDED.get(result, f"ended with {result}")
    if result == "stopped" and " in place" in rows:
        words += f" with {rows}"
    why = _why(payload) or _REASONS.get(result, "")
    return f"{words}: {why}" if why else words


def _why(payload: Mapping[str, Any]) -> str:
    """Return the reason as a sentence: a job's begins with a code, which is for programs."""
    code = (payload.get("summary") or {}).get("reason") or ""
    return str(payload.get("why") or "").removeprefix(f"{code}: ").rstrip(".")


def _rows(summary: Mapping[str, Any]) -> str:
    """Return how many rows are in place and what became of the others; empty without a job."""
    counts = summary.get("counts") or {}
    every = int((summary.get("roster") or {}).get("rows") or sum(counts.values()))
    if not every:
        return "the roster has no rows" if summary else ""
    skipped = int(counts.get("skipped", 0))
    wanted, missing = every - skipped, int(summary.get("not_in_place") or 0)
    others = [f"{counts[status]:,} {words}" for status, words in _COUNTED.items() if counts.get(status)]
    if skipped:
        others.append(f"{skipped:,} skipped")
    if missing:
        place = f"{wanted - missing:,} of {plural(wanted, 'row')} in place"
    else:
        place = f"all {wanted:,} rows in place" if wanted > 1 else f"{wanted or 'no'} row in place"
    return ", ".join([place, *others])


def _details(payload: Mapping[str, Any]) -> Sequence[str]:
    cause = _CAUSES.get(str(payload.get("cause")), "")
    missed = int(payload.get("missed") or 0)
    facts = {
        "Schedule": payload.get("schedule"),
        "Run": " ".join(filter(None, [_time(payload.get("slot")), f"({cause})" if cause else ""])),
        "Reason": _why(payload),
        "Job": payload.get("job"),
        "Roster": ((payload.get("summary") or {}).get("roster") or {}).get("name"),
        "Missed": f"{plural(missed, 'earlier run')}, not made up for" if missed else "",
        "Next run": _time(payload.get("next")),
    }
    return [f"{name + ':':<10}{value}" for name, value in facts.items() if value]


def _users(payload: Mapping[str, Any]) -> Sequence[str]:
    names, more = payload.get("users") or [], int(payload.get("users_left_out") or 0)
    if not names:
        return []
    rest = [f"  and {more:,} more"] if more else []
    return ["", "Users who are not in place:", *(f"  {_line(str(name))}" for name in names), *rest]


def _next_step(payload: Mapping[str, Any]) -> Sequence[str]:
    job, name = payload.get("job"), payload.get("schedule")
    steps = {
        "not_in_place": f"siproster status {job}" if job else "",
        "stopped": f"siproster status {job}" if job else "",
        "approval_needed": f"siproster import --plan {job}" if job else "",
    }
    usual = f"siproster schedule show {name}" if payload.get("trouble") else ""
    step = steps.get(str(payload.get("result")), "") or usual
    return ["", f"What to do next: {step}"] if step else []


def _time(value: object) -> str:
    """Return a time from ISO 8601 for people: ``2026-11-29 02:00 UTC``."""
    try:
        return f"{dt.datetime.fromisoformat(str(value)).astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return str(value or "")


def _line(text: str) -> str:
    """Return one printable line of bounded length, which can't break a mail's header."""
    line = _printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST_SUBJECT else line[: _LONGEST_SUBJECT - 1].rstrip() + "…"


def _printable(text: str) -> str:
    """Return the text without control characters, and without what UTF-8 can't express."""
    return "".join(one if one.isprintable() else "�" for one in text)
