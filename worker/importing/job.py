"""A new job: its id, and all the facts stored with it so that it can only be continued in the same way."""

from __future__ import annotations

import getpass
import ipaddress
import json
import os
import platform
import re
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Final, NamedTuple, Protocol

from worker import __version__
from worker.errors import UsageError
from worker.model import Endpoint, Job, JobState, Options, utc_now

ON_BEHALF_OF: Final = "SIPROSTER_ON_BEHALF_OF"
"""The variable by which the page's server names the person for whom it runs a command: a JSON object."""
OF_PAGE: Final = " (page)"
"""Follows the name of an operator who is a person of the page."""


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
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:24].strip("-") or "roster"
    return f"{moment}-{slug}-{secrets.token_hex(2)}"


class OnBehalfOf(NamedTuple):
    """The person for whom the page's server runs a command."""

    person: str
    origin: str
    """The address that they asked from; empty: not known."""


def on_behalf_of(environ: Mapping[str, str] = os.environ) -> OnBehalfOf | None:
    """Return the person for whom this command runs; None: for the user who runs it.

    Raises UsageError if the variable, which the page's server alone sets, isn't as that sets it.
    """
    if not (given := environ.get(ON_BEHALF_OF)):
        return None
    try:
        found = json.loads(given)
        person, origin = found["person"], found["origin"]
        if not (_person(person) and person.isprintable()):
            raise ValueError(person)
        return OnBehalfOf(person, str(ipaddress.ip_address(origin)) if origin else "")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(
            f"{ON_BEHALF_OF} is set, but not by the page of `siproster serve`", f"unset {ON_BEHALF_OF}"
        ) from None


_person = re.compile(r"\S(?:.{0,98}\S)?").fullmatch


def operator() -> str:
    """Return the name of the user who runs this process, or for whom the page does: ``dana (page)``."""
    if found := on_behalf_of():
        return f"{found.person}{OF_PAGE}"
    try:
        return getpass.getuser().encode("utf-8", "replace").decode()
    except (KeyError, OSError):  # a container may run as a uid without a name
        return "unknown"
