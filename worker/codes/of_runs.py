"""Results of a schedule's runs."""

from __future__ import annotations

from worker.codes.code import Code

RUNS = (
    Code("in_place", "every row is in place", "nothing"),
    Code("not_in_place", "some rows are not in place after the job, or after that of an unchanged roster",
         "see the job's `failed.csv`; `retry` the job once they are corrected",
         command="siproster retry JOB --corrections failed.csv"),
    Code("stopped",
         "the job stopped before its end: `why` has the reason. After the end of a window, refused "
         "credentials and the like, the next run continues the job",
         "`siproster explain` the reason; `resume` the job if it shouldn't wait for the next run",
         command="siproster resume JOB"),
    Code("approval_needed",
         "`--max-changes` or `--require-rows` held the run back before anything was sent; its plan is kept, "
         "and the same version of the roster is not planned again",
         "look at it with `siproster report JOB`; if the roster is right, approve it with "
         "`siproster import --plan JOB`, otherwise correct the roster: the next run reads it",
         command="siproster import --plan JOB"),
    Code("nothing_new", "each version of the roster's files was imported before, or its job was cancelled",
         "nothing; `--again` imports it each time"),
    Code("overlap", "the run before this one had not ended, so this one was not started",
         "nothing, if it is rare; otherwise let it run less often"),
    Code("missed", "no scheduler was running at the time, and the schedule has `--catch-up none`",
         "start `siproster scheduler`", command="siproster scheduler"),
    Code("account_busy", "another job wrote to the account for 24 hours", "see it with `siproster jobs`",
         command="siproster jobs"),
    Code("unavailable", "the service, the broker or the workers did not answer for 24 hours",
         "run `siproster doctor`; the next run continues", command="siproster doctor"),
    Code("failed", "the roster or the settings can't be used, or the run's process died five times",
         "correct what `why` names; the next run tries again, or `siproster schedule run NAME` now"),
)  # fmt: skip
"""In ``schedule show``, ``schedule list`` and notifications."""
