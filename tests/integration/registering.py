"""Try rows on a registrar, and return the results."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

from tests.sip import ScriptedRegistrar
from worker.register import Entry, Pace, RegisterOptions, RegisterResult, ServerAddress, Timers, Verifier

REALM = "acme-0a1b2c.auth.bandwidth.com"

QUICK = Timers(t1=0.01, t2=0.08, total=0.64)
"""A fiftieth of RFC 3261's: just as many messages. For registrars that never answer."""

SOON = Timers(t1=0.5, t2=1, total=3)
"""For registrars that answer some requests and leave others."""


def entry(user: str = "alice", password: str = "right", realm: str = REALM) -> Entry:
    """A row."""
    return Entry(2, user, realm, password)


def options_for(registrar: ScriptedRegistrar, **options: Any) -> RegisterOptions:
    """Return options for this registrar, with RFC 3261's timers unless the test says otherwise."""
    return RegisterOptions(server=ServerAddress("127.0.0.1", registrar.port), **options)


def tried(
    how: RegisterOptions, entries: Iterable[Entry], in_flight: int = 1
) -> tuple[list[RegisterResult], list[str]]:
    """Return the result of each row, and the reasons why the remaining rows were given up."""
    verifier = Verifier(how, Pace(1e9), in_flight)

    async def all_of_them() -> list[RegisterResult]:
        async with aclosing(verifier.results(entries)) as results:
            found = [result async for _, result in results]
        await verifier.close()
        return found

    return asyncio.run(all_of_them()), verifier.given_up


def of_one(how: RegisterOptions, one: Entry | None = None) -> RegisterResult:
    """Return the result of a single row."""
    ((found,), _) = tried(how, [one or entry()])
    return found
