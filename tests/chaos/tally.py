"""Count what a chaos run did, and its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

LOST_AFTER = "answers lost after the commit"
DUPLICATES = "duplicates put on the queue"
RESUMED = "resumes"
RETRIED = "retries of a job"
ROWS = "rows"
JOBS = "jobs"


class Tally:
    """Counts, by what is counted."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.violations: list[str] = []

    def add(self, what: str, count: int = 1) -> None:
        """Count something that happened."""
        self.done[what] += count

    def read_log(self, log: Iterable[Mapping[str, Any]]) -> None:
        """Count the requests, commits and faults in the sandbox's log of one job."""
        for line in log:
            self.done["requests"] += 1
            whole = line["sent"] == "whole" and line["answered"] == line["status"]
            if line["method"] == "POST" and line["committed"]:
                self.done["batches committed"] += 1
                self.done[LOST_AFTER] += not whole
                self.done["answers stalled after the commit"] += "stall" in line["faults"]
            if line["method"] == "POST" and line["entries"]:
                self.done["entries sent again, refused as existing"] += line["refused"]
            self.done["requests dropped or broken before the work"] += line["status"] is None
            self.done[f"answers {line['answered']}"] += line["answered"] in (401, 429, 503)

    def shown(self) -> str:
        """Return the counts as text."""
        lines = [f"  {count:>8,}  {what}" for what, count in sorted(self.done.items()) if count]
        statuses = ", ".join(f"{status} {count:,}" for status, count in self.statuses.most_common())
        return "\n".join([*lines, f"  rows by their end: {statuses}"])
