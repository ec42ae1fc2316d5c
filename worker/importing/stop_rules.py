"""Rules that end a job early (its window, too many failures), and how long passwords are retained."""

from __future__ import annotations

import datetime as dt

from worker.ledger import Ledger
from worker.model import Job, Options
from worker.reasons import plural
from worker.states import Reason, Why


def is_past(moment: str) -> bool:
    """Return whether a time (ISO 8601; empty: never) has passed."""
    return bool(moment) and dt.datetime.now(dt.UTC) >= dt.datetime.fromisoformat(moment)


def stop_at_end_of_window(ledger: Ledger, job: Job) -> None:
    """Stop the job because ``--not-after`` has passed."""
    ledger.jobs.stop(job.id, Why(Reason.NOT_AFTER, f"the window ended at {job.options.not_after}"))


def stop_when_too_many_failed(ledger: Ledger, job: Job) -> bool:
    """Stop the job if more rows than ``--max-failed`` are failed, unknown or invalid; return whether."""
    if not job.options.max_failed:
        return False
    troubled = ledger.chunks.progress(job.id).troubled
    if troubled <= failures_allowed(job.options.max_failed, ledger.jobs.get(job.id).rows):
        return False
    rows = plural(troubled, "row is", "rows are")
    allowed = f"{job.options.max_failed} {'is' if job.options.max_failed == '1' else 'are'} allowed"
    text = f"{rows} failed, unknown or invalid; {allowed}"
    return ledger.jobs.stop(job.id, Why(Reason.MAX_FAILED, text))


def failures_allowed(max_failed: str, rows: int) -> float:
    """Return how many rows may fail: ``N`` as it is, ``N%`` of the roster's rows."""
    if max_failed.endswith("%"):
        return rows * float(max_failed[:-1]) / 100
    return float(max_failed)


def retention(options: Options) -> float:
    """Return for how many seconds the passwords of rows that are not in place stay sealed."""
    return options.keep_days * 86_400
