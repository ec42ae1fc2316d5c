"""States, statuses and numbers in the page's words, for people who use no terminal."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

from worker.model import JobState, Status
from worker.reasons import plural
from worker.schedules.results import RunResult

GOOD, WARN, BAD, PLAIN = "good", "warn", "bad", ""
"""The class of the style sheet with which something is shown."""

STATUSES: Mapping[Status, tuple[str, str]] = {
    Status.CREATED: ("Created", GOOD),
    Status.UPDATED: ("Updated", GOOD),
    Status.UNCHANGED: ("Already up to date", GOOD),
    Status.DELETED: ("Deleted", GOOD),
    Status.EXISTS: ("Exists with other settings", BAD),
    Status.INVALID: ("Invalid", BAD),
    Status.FAILED: ("Refused by the service", BAD),
    Status.UNKNOWN: ("Unknown", BAD),
    Status.UNPROCESSED: ("Not attempted", WARN),
    Status.SKIPPED: ("Skipped", PLAIN),
}

STATES: Mapping[JobState, tuple[str, str]] = {
    JobState.PLANNING: ("Reading the roster", PLAIN),
    JobState.RUNNING: ("Running", PLAIN),
    JobState.PAUSED: ("Paused", WARN),
    JobState.STOPPED: ("Stopped", WARN),
    JobState.CANCELLED: ("Cancelled", WARN),
    JobState.DONE: ("Finished", GOOD),
}

STEPS = frozenset({"resume", "undo", "report"})
"""Steps of the page during which a job's page is live."""

RUNS: Mapping[str, tuple[str, str]] = {
    RunResult.IN_PLACE: ("All in place", GOOD),
    RunResult.NOT_IN_PLACE: ("Some not in place", BAD),
    RunResult.STOPPED: ("Stopped", WARN),
    RunResult.APPROVAL_NEEDED: ("Needs approval", WARN),
    RunResult.NOTHING_NEW: ("Nothing new", PLAIN),
    RunResult.OVERLAP: ("Skipped: the previous run was still going", WARN),
    RunResult.MISSED: ("Missed", WARN),
    RunResult.ACCOUNT_BUSY: ("Account busy", WARN),
    RunResult.UNAVAILABLE: ("No answer", WARN),
    RunResult.FAILED: ("Failed", BAD),
}


@dataclass(frozen=True, slots=True)
class Number:
    """A number on a page. ``fact``: its name among the live facts, if it is one."""

    name: str
    rows: int
    kind: str = PLAIN
    fact: str = ""

    @property
    def note(self) -> str:
        """Return a note that explains the number; empty: its name is enough."""
        return COUNTED.get(self.name, "")


COUNTED: Mapping[str, str] = {
    "Rows": "in the roster",
    "To create": "new users",
    "To change": "existing users, who get another password or application",
    "Left alone": "existing users with another password or application",
    "To be sent": "to the service",
    "To do": "not sent yet",
    "Not in place": "can't register with the roster's password",
    "Created": "new users",
    "Updated": "existing users who were changed",
    "Already up to date": "nothing to do",
    "Exists with other settings": "left alone, with another password or application",
    "Invalid": "not sent, because of an error in the row",
    "Refused by the service": "sent, but not accepted",
    "Unknown": "sent, but the answer was lost",
    "Not attempted": "the job ended or paused first",
    "Skipped": "on purpose: not phone users",
    "On the account, not in the roster": "perhaps people who have left",
}
"""Name of a number, or of a row's status, to a note that explains it."""


def code(text: str) -> Markup:
    """Return a text whose words between backticks, and options, are code; everything in it is escaped."""
    return Markup(_code.sub(r"<code>\1\2</code>", str(escape(text))))  # noqa: S704  escaped before


_code = re.compile(r"`([^`]*)`|(?<![\w-])(--[a-z][a-z-]+)")


def sentence(text: str) -> str:
    """Return a text as a sentence: with a capital and a full stop, and without the place of an upload."""
    text = _place.sub("", _beginning.sub("", text))
    first = text[:1] if _file.match(text) else text[:1].upper()
    return f"{first}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}" if text else ""


_beginning = re.compile(r"^.*? \(upload:[0-9a-f]+\): ")
_place = re.compile(r" \(upload:[0-9a-f]+\)")
_file = re.compile(r"\S*\w\.\w")
"""The name of a file, which is not changed."""


def moment(when: dt.datetime) -> str:
    """Return a moment as the page shows it."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


def duration(seconds: float) -> str:
    """Return a time, roughly: ``about 5 minutes``."""
    if seconds < 90:
        return f"about {plural(max(5, round(seconds / 5) * 5), 'second')}"
    if seconds < 5400:
        return f"about {plural(round(seconds / 60), 'minute')}"
    return f"about {plural(round(seconds / 3600), 'hour')}"


def size(number: int) -> str:
    """Return a size in bytes, rounded, with its unit: ``200 MB``."""
    if number < 1024:
        return plural(number, "byte")
    for unit in ("KB", "MB"):
        number = round(number / 1024)
        if number < 1024:
            return f"{number} {unit}"
    return f"{round(number / 1024)} GB"
