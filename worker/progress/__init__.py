"""The progress of a job: one source for the terminal, ``--progress json``, ``status --json`` and the page."""

from worker.progress.facts import Pace, ProgressFacts, ProgressReader, RowsProgress, facts_of, observed

__all__ = ["Pace", "ProgressFacts", "ProgressReader", "RowsProgress", "facts_of", "observed"]
