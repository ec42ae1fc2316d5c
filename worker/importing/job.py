"""A new job: its id, and all the facts stored with it so that it can only be continued in the same way."""

from __future__ import annotations

import getpass
import platform
import re
import secrets
from collections.abc import Sequence
from pathlib import PurePath
from typing import Protocol

from worker import __version__
from worker.model import Endpoint, Job, JobState, Options, utc_now


class RosterFacts(Protocol):
    """The facts about a roster that a job stores."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def columns(self) -> Sequence[str]: ...


def new_job(endpoint: Endpoint, options: Options, roster: RosterFacts, key: str, parent: str = "") -> Job:
    """Return a job in state ``planning``; ``key``: the fingerprint of the sealing key."""
    created = utc_now()
    return Job(
        id=job_id(created.strftime("%Y%m%d-%H%M%S"), roster.name), state=JobState.PLANNING, why=None,
        host=endpoint.host, environment=endpoint.environment, account=endpoint.account,
        options=options, operator=operator(), machine=platform.node(), version=__version__, key=key,
        roster=roster.name, source=roster.source, sha256=roster.sha256, columns=tuple(roster.columns),
        rows=0, parent=parent, batch_bound=None, created=created, started=None, finished=None,
        requests=0, retries=0,
    )  # fmt: skip


def job_id(moment: str, roster: str) -> str:
    """Return an id that sorts by time and names the roster: ``20261122-224612-staff-7f3a``."""
    stem = PurePath(roster).stem if roster != "-" else "stdin"
    slug = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:24].strip("-") or "roster"
    return f"{moment}-{slug}-{secrets.token_hex(2)}"


def operator() -> str:
    """Return the name of the user who runs this process, as the system knows it."""
    try:
        return getpass.getuser().encode("utf-8", "replace").decode()
    except (KeyError, OSError):  # a container may run as a uid without a name
        return "unknown"
