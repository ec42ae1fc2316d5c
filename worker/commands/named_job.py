"""The job that a command line names: by its id, by a part of it that no other has, or as ``latest``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from worker.commands.context import Context
from worker.commands.terminal import echo
from worker.errors import Conflict, NotFound, UsageError
from worker.ledger import Jobs
from worker.model import Job
from worker.settings.addresses import hidden

LATEST = "latest"

_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9-]+").fullmatch
_PART = re.compile(r"[a-z0-9-]+").fullmatch
_ALIKE = 0.85
"""How alike a mistyped id is (difflib's ratio)."""
_LOOKED_AT = 200
"""The newest jobs, whose rosters and folders are compared with a path."""
_LISTS = "`siproster jobs` lists them"
_SHOWN = 10
"""Candidates listed for an ambiguous part."""


def named_job(context: Context, name: str) -> Job:
    """Return the job that ``name`` means, and print its id on stderr if that isn't the whole name.

    ``latest`` is the newest job of the account in the settings, or of the ledger if no account is set.
    Raises NotFound, and UsageError, which lists the candidates, if several ids begin or end with ``name``.
    """
    jobs = context.ledger.jobs
    ids = jobs.newest()
    if name in ids:
        return jobs.get(name)
    if not ids:
        raise NotFound(f"there is no job {name}: {no_jobs(context)}", _check_ledger(context))
    found = _latest(context, ids) if name == LATEST else _only_one(jobs, ids, name)
    if found is None:
        raise NotFound(f"there is no job {name} in this ledger", _near(jobs, ids, name))
    echo(f"{name} is job {found.id}")
    return found


def job_unless_file(context: Context, name: str) -> Job | None:
    """Return the job that ``name`` means, or None if it means a roster, where either may be given.

    A file of that name is meant; if it looks like a job's id, it has to be written with its folder, ``./``.
    Raises as ``named_job``.
    """
    if not _PART(name) or os.path.exists(name):  # noqa: PTH110  Path's raises for a long name
        return None
    if name == LATEST or _ID(name) or _matching(context.ledger.jobs.newest(), name):
        return named_job(context, name)
    return None


def no_jobs(context: Context) -> str:
    """Return, for a ledger without jobs, which one it is, and whether this command has just created it."""
    ledger = hidden(context.settings.ledger)
    if context.ledger_is_new:
        return f"the ledger {ledger} did not exist and was just created"
    return f"the ledger {ledger} has no jobs"


def _check_ledger(context: Context) -> str:
    source = context.settings.sources["SIPROSTER_LEDGER"]
    return f"if it should have jobs, check SIPROSTER_LEDGER (now from: {source})"


def refuse_outdated(context: Context, job: Job, hint: str) -> None:
    """Raise Conflict for a job whose schedule has imported its roster since: it would set old passwords.

    Each job of an inbox has other files, so that none of them is outdated.
    """
    if not job.options.inbox and (newer := context.ledger.jobs.overtaken_by(job.id)):
        raise Conflict(f"job {job.id} is outdated: job {newer} has imported the roster since", hint)


def _latest(context: Context, ids: Sequence[str]) -> Job:
    """Return the newest job of this account and host."""
    values = context.settings.values
    account, host = values["BW_ACCOUNT_ID"], values["BW_API_URL"]
    for job in map(context.ledger.jobs.get, ids):
        if not account or (job.account, job.host) == (account, host):
            return job
    raise NotFound(
        f"the ledger {hidden(context.settings.ledger)} has no job of account {account} at {host}",
        "`siproster jobs` lists those of all accounts",
    )


def _only_one(jobs: Jobs, ids: Sequence[str], part: str) -> Job | None:
    found = _matching(ids, part)
    if len(found) > 1:
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UsageError(
            f"{part!r} could be {len(found)} jobs: {', '.join(found[:_SHOWN])}{more}",
            "write more of the id; `siproster jobs` lists all jobs",
        )
    return jobs.get(found[0]) if found else None


def _near(jobs: Jobs, ids: Sequence[str], name: str) -> str:
    """Return a hint with the job that a mistyped id, or the path of its roster or its results, means."""
    if not name.strip():  # a variable of the shell that isn't set
        return _LISTS
    path = Path(os.path.normpath(Path(name).absolute()))
    if os.path.exists(path):  # noqa: PTH110 (Path.exists raises for a name that is too long)
        likely = _of_path(jobs, ids, path)
    else:
        likely = [one for one in ids if name in one] or get_close_matches(name, [LATEST, *ids], 1, _ALIKE)
    return f"did you mean {likely[0]}? `siproster jobs` lists all" if likely else _LISTS


def _of_path(jobs: Jobs, ids: Sequence[str], path: Path) -> list[str]:
    """Return the jobs whose roster, results or folder of results is at a path."""
    folder = path if os.path.isdir(path) else path.parent  # noqa: PTH112
    if (named := folder.name.removeprefix("siproster-")) in ids:
        return [named]
    results = (str(path), str(folder))
    newest = map(jobs.get, ids[:_LOOKED_AT])
    return [job.id for job in newest if job.source == str(path) or job.options.results in results]


def _matching(ids: Sequence[str], part: str) -> list[str]:
    return [one for one in ids if part and (one.startswith(part) or one.endswith(part))]
