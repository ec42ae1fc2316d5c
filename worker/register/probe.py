"""Probes a realm's registrar with one row, before the others: its answers may prove nothing."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import replace

from worker.register.dialog import Dialog
from worker.register.options import RegisterOptions
from worker.register.registrar import Registrar
from worker.register.result import Entry, RegisterResult, Verdict

log = logging.getLogger(__name__)

_TRIES = 3
"""Rows that may be refused before the registrar is taken to refuse everybody."""

_SILENT = 20
"""Consecutive rows without an answer after which no more are tried."""


_NO_REGISTRAR = "; an account of type BRIDGE has no registrar: ask Bandwidth which type yours is"
"""No source documents it, nor that such an account accepts a REGISTER: docs/bandwidth-api.md#realms."""

_NAMED = "; correct --registrar HOST:PORT or --transport, or leave both out to ask DNS"

_AS_A_PHONE = "; --with-contact asks as a phone does"


class RegistrarProbe:
    """A probe of one realm. The first row that registers is tried with a wrong password, too.

    The registrar must refuse that. Not every registrar checks the password of a REGISTER without a contact,
    and one that accepts every password proves nothing. If the right password is refused, a wrong one would
    show nothing and count towards a lockout, so the next row is tried instead.
    """

    def __init__(self, host: str, options: RegisterOptions) -> None:
        self._options = options
        self._registrar = Registrar(host, options)
        self._host = host
        self._proving = asyncio.Lock()
        self._proven = False
        self._refused = 0
        self._silent = 0
        self.given_up = ""
        """The reason why the other rows are not tried; empty if they are."""

    async def result(self, entry: Entry) -> RegisterResult:
        """Return the result for a row of this realm."""
        if not self._settled():
            async with self._proving:
                if not self._settled():
                    return await self._first(entry)
        if self.given_up:
            return RegisterResult(Verdict.CANNOT_TELL, f"not tried: {self.given_up}")
        found = await self._try(entry)
        self._silent = self._silent + 1 if found.verdict is Verdict.NO_ANSWER else 0
        if self._silent >= _SILENT:
            self.given_up = f"the registrar of {self._host} stopped answering: {found.error}"
        return found

    async def close(self) -> None:
        """Let go of the connections."""
        await self._registrar.close()

    def _settled(self) -> bool:
        return self._proven or bool(self.given_up)

    async def _first(self, entry: Entry) -> RegisterResult:
        right = await self._try(entry)
        if right.verdict is Verdict.REGISTERS:
            made_up = replace(entry, password=secrets.token_urlsafe(12), digests=None)
            return self._compared(right, await self._try(made_up))
        self._refused += 1
        if right.verdict is Verdict.NO_ANSWER:
            why = _NAMED if self._options.server else _NO_REGISTRAR
            self.given_up = f"the registrar of {self._host} does not answer: {right.error}{why}"
        elif self._refused >= _TRIES:
            self._everybody_refused(right)
        return right

    def _compared(self, right: RegisterResult, wrong: RegisterResult) -> RegisterResult:
        if wrong.verdict in (Verdict.WRONG_PASSWORD, Verdict.REFUSED):
            self._proven = True
            return right
        if wrong.verdict is Verdict.REGISTERS:
            self.given_up = f"the registrar of {self._host} answers a right and a wrong password alike"
            self.given_up += "" if self._options.with_contact else _AS_A_PHONE
        else:
            self.given_up = f"the registrar of {self._host} did not refuse a wrong password: {wrong.error}"
        return replace(right, verdict=Verdict.CANNOT_TELL, error=self.given_up)

    def _everybody_refused(self, last: RegisterResult) -> None:
        refusals = (Verdict.WRONG_PASSWORD, Verdict.REFUSED)
        if self._options.with_contact and last.verdict in refusals:
            self._proven = True  # this is what a phone does, so this is what a phone gets
        elif last.verdict in refusals:
            self.given_up = (
                f"the registrar of {self._host} refused the first {_TRIES} rows, "
                f"as it would if it answered every password alike: {last.error}{_AS_A_PHONE}"
            )
        else:
            self.given_up = f"the registrar of {self._host} proves nothing: {last.error}"

    async def _try(self, entry: Entry) -> RegisterResult:
        try:
            found = await Dialog(self._registrar, entry, self._options).result()
        except ValueError as error:
            return RegisterResult(Verdict.CANNOT_TELL, str(error))
        log.debug("%s at %s: %s %s", entry.user, entry.host, found.verdict, found.error)
        return found
