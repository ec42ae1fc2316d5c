"""Every code that users meet: what it means, and what to do about it.

docs/errors.md has the same texts, which a test holds to these. In an advice, names between backticks are
code; JOB stands for the job's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.codes.code import Code, Cure
from worker.codes.of_commands import FAILURES
from worker.codes.of_jobs import REASONS, SERVICE, UNDO
from worker.codes.of_rows import LEAVERS, NOT_SENT, SENT, SKIPPED, STATUSES, WARNINGS
from worker.codes.of_runs import RUNS
from worker.states import JobState, Reason

__all__ = [
    "FAILURES",
    "LEAVERS",
    "NOT_SENT",
    "REASONS",
    "RUNS",
    "SENT",
    "SERVICE",
    "SKIPPED",
    "STATUSES",
    "TABLES",
    "UNDO",
    "WARNINGS",
    "Code",
    "Cure",
    "Table",
    "command_of",
    "decisive",
    "effect_of",
    "named",
    "of_reason",
    "of_row",
]

_CURES = {
    Cure.NONE: "",
    Cure.CORRECT: "siproster retry JOB --corrections failed.csv",
    Cure.RETRY: "siproster retry JOB",
    Cure.UPDATE: "siproster retry JOB --on-existing update",
}


@dataclass(frozen=True, slots=True)
class Table:
    """Codes that occur in one place; ``effect``: what each does, unless the code says otherwise."""

    title: str
    effect: str
    codes: tuple[Code, ...]


TABLES = (
    Table("Statuses", "the row is not in place", STATUSES),
    Table("Rows that were not sent", "the row is `invalid`: it is not sent", NOT_SENT),
    Table("Entries that were skipped", "the row is `skipped`: it is not sent", SKIPPED),
    Table("Rows that were sent", "", SENT),
    Table("Leavers", "the user is `kept`: not deleted", LEAVERS),
    Table("Warnings", "none: the row is sent anyway", WARNINGS),
    Table("Why a job stopped or waits", "", REASONS),
    Table("Results of a schedule's runs", "the run has ended, and its channels are notified", RUNS),
    Table("Codes of the service", "the row is `failed`", SERVICE),
    Table("Errors of a command", "", FAILURES),
    Table("Users that `undo` didn't restore", "the user is `kept`: left as it is", UNDO),
)
"""All codes, under the headings of docs/errors.md, and of docs/accounts.md for the last."""

_OF_ROWS: Mapping[str, Code] = {code.name: code for code in (*NOT_SENT, *SKIPPED, *SENT, *SERVICE)}


def named(name: str) -> list[tuple[Table, Code]]:
    """Return what a code means in each table that has it; empty: no table does."""
    return [(table, code) for table in TABLES for code in table.codes if code.name == name]


def effect_of(table: Table, code: Code) -> str:
    """Return what a code does to the row or the job."""
    if table.codes is not REASONS:
        return code.effect or table.effect
    reason = Reason(code.name)
    state = "is kept as a plan" if reason.state is JobState.PLANNING else f"is {reason.state}"
    return f"the job {state}; exit code {reason.exit_code}"


def command_of(table: Table, code: Code) -> str:
    """Return the command to type; empty: none helps by itself."""
    if table.codes is REASONS:
        return code.command or "siproster resume JOB"
    return code.command or _CURES[code.cure]


def of_row(name: str) -> Code:
    """Return the code of a row; of a number that is not known, that the service refused it."""
    if found := _OF_ROWS.get(name):
        return found
    return Code(name, "the service refused the row", "`bw__error` has the service's words", Cure.CORRECT)


def of_reason(name: str) -> Code | None:
    """Return the reason why a job stopped or waits; None for one that is not known."""
    return next((code for code in REASONS if code.name == name), None)


def decisive(joined: str) -> list[str]:
    """Return those of a row's codes, joined by ``;``, that stand in its way.

    What ``--on-existing update`` could set is left out where something else would stop it.
    """
    names = [name for name in joined.split(";") if name]
    others = [name for name in names if of_row(name).cure is not Cure.UPDATE]
    return others or names
