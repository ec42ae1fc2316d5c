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
    ended = dt.datetime.fromisoformat(job.options.not_after).astimezone(dt.UTC)
    ledger.jobs.stop(job.id, Why(Reason.NOT_AFTER, f"the window ended at {ended:%Y-%m-%d %H:%MZ}"))


def stop_when_too_many_failed(ledger: Ledger, job: Job) -> bool:
    """Stop the job if more rows than ``--max-failed`` are failed, unknown or invalid; return whether."""
    if not job.options.max_failed:
        return False
    troubled = ledger.chunks.progress(job.id).troubled
    why = too_many_failed(job.options, troubled, ledger.jobs.get(job.id).rows)
    return why is not None and ledger.jobs.stop(job.id, why)


def too_many_failed(options: Options, troubled: int, rows: int) -> Why | None:
    """Return why a job with so many rows failed, unknown or invalid must stop (``--max-failed``)."""
    if not options.max_failed or troubled <= allowed(options.max_failed, rows):
        return None
    found = plural(troubled, "row is", "rows are")
    bound = f"{options.max_failed} {'is' if options.max_failed == '1' else 'are'} allowed"
    return Why(Reason.MAX_FAILED, f"{found} failed, unknown or invalid; {bound}")


def allowed(bound: str, base: int) -> float:
    """Return how many are allowed: ``N`` as it is, ``N%`` of the base."""
    if bound.endswith("%"):
        return base * float(bound[:-1]) / 100
    return float(bound)


def retention(options: Options) -> float:
    """Return for how many seconds the passwords of rows that are not in place stay sealed."""
    return options.keep_days * 86_400
