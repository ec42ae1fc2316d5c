"""The exchange about one row: REGISTER, a challenge, one answer to it, and what that proves."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

from worker.digest import digests
from worker.register.addresses import Address
from worker.register.challenge import Challenge, asks, challenge, stale
from worker.register.message import Reply, Request, contacts, shown
from worker.register.options import AuthName, RegisterOptions
from worker.register.registrar import Registrar
from worker.register.result import Entry, RegisterResult, Undecided, Verdict

_BOUND_FOR = 60
"""Seconds of a binding of our own, should it not be taken away again; many registrars want no less."""


class Dialog:
    """One user's exchange: all its REGISTERs share a Call-ID, with rising CSeq numbers (RFC 3261, 10.2)."""

    def __init__(self, registrar: Registrar, entry: Entry, options: RegisterOptions) -> None:
        """Prepare the exchange. Raises ValueError if a text is not valid Unicode."""
        token = secrets.token_hex(8)
        hash1, hash1b = entry.digests or digests(entry.user, entry.host, entry.password)
        plain = options.auth_name is AuthName.USER
        self._name, self._ha1 = (entry.user, hash1) if plain else (f"{entry.user}@{entry.host}", hash1b)
        self._registrar = registrar
        self._user, self._host = entry.user, entry.host
        self._call_id, self._tag = f"{token}@siproster", token[:10]
        self._contact = f"siproster-{token}" if options.with_contact else ""
        self._cseq = 0
        self._binding: tuple[Address, Challenge] | None = None

    async def bind(self) -> RegisterResult:
        """Register the contact and keep it, until ``unbind`` or its time ends."""
        try:
            reply, address = await self._registrar.ask(self._request())
            if not asks(reply):
                return _unasked(reply)
            found, asked = await self._attempt(address, challenge(reply, self._host))
        except Undecided as undecided:
            return undecided.result
        self._binding = (address, asked) if found.verdict is Verdict.REGISTERS else None
        return found

    async def unbind(self) -> bool:
        """Take the contact away that ``bind`` has left; whether that was confirmed."""
        return self._binding is not None and await self._unbind(*self._binding)

    async def result(self) -> RegisterResult:
        """Return whether the user registers. Tries the password once, and again only after a stale nonce."""
        try:
            reply, address = await self._registrar.ask(self._request())
            if not asks(reply):
                return _unasked(reply)
            asked = challenge(reply, self._host)
            if not self._contact:
                return (await self._attempt(address, asked))[0]
            # A binding must be removed again, even if the user presses Ctrl-C meanwhile.
            return await asyncio.shield(self._registrar.finishing(self._bound(address, asked)))
        except Undecided as undecided:
            return undecided.result

    async def _attempt(self, address: Address, asked: Challenge) -> tuple[RegisterResult, Challenge]:
        """Answer the challenge. Return the result, and the challenge that was answered last."""
        reply = await self._answer(address, asked)
        if reply.status == asked.status and (renewed := stale(reply, self._host)):
            asked = renewed
            reply = await self._answer(address, asked)
        return self._judged(reply, asked), asked

    async def _bound(self, address: Address, asked: Challenge) -> RegisterResult:
        try:
            found, asked = await self._attempt(address, asked)
        except Undecided as undecided:
            return undecided.result
        if found.verdict is not Verdict.REGISTERS or await self._unbind(address, asked):
            return found
        note = f"siproster's own binding could not be removed; it expires within {_BOUND_FOR} s"
        return RegisterResult(found.verdict, note, found.bindings)

    async def _unbind(self, address: Address, asked: Challenge) -> bool:
        """Take our own contact away, and no other; whether that was confirmed."""
        try:
            reply = await self._answer(address, asked, expires=0, use=2)
            if asks(reply):  # the password is proven: it is only about the nonce
                reply = await self._answer(address, challenge(reply, self._host), expires=0)
        except Undecided:
            return False
        return 200 <= reply.status < 300

    async def _answer(
        self, address: Address, asked: Challenge, expires: int = _BOUND_FOR, use: int = 1
    ) -> Reply:
        request = self._request(expires)
        credentials = asked.answer(self._name, self._ha1, request.uri, use)
        return await self._registrar.ask_at(address, replace(request, credentials=credentials))

    def _request(self, expires: int = _BOUND_FOR) -> Request:
        self._cseq += 1
        return Request(self._user, self._host, self._call_id, self._tag, self._cseq, self._contact, expires)

    def _judged(self, reply: Reply, asked: Challenge) -> RegisterResult:
        """Return the result that an answer to the password proves."""
        if 200 <= reply.status < 300:
            others = [one for one in contacts(reply) if not self._contact or self._contact not in one]
            return RegisterResult(Verdict.REGISTERS, bindings=len(others))
        if asks(reply) and reply.status != asked.status:
            return RegisterResult(
                Verdict.CANNOT_TELL, f"{reply}: a proxy and the registrar both want a password"
            )
        if asks(reply) and stale(reply, self._host):
            return RegisterResult(
                Verdict.CANNOT_TELL, f"{reply}: the registrar calls each of its nonces stale"
            )
        if asks(reply) or reply.status == 403:
            return RegisterResult(Verdict.WRONG_PASSWORD, str(reply))
        return _refusal(reply)


def _unasked(reply: Reply) -> RegisterResult:
    """Return the result for an answer that came without a challenge: it proves nothing about the password."""
    if 200 <= reply.status < 300:
        return RegisterResult(Verdict.CANNOT_TELL, f"{reply}: the registrar did not ask for a password")
    return _refusal(reply)


def _refusal(reply: Reply) -> RegisterResult:
    """Return the result for a refusal; server errors say nothing about the user (RFC 3261, 21)."""
    if reply.status == 408:
        return RegisterResult(Verdict.NO_ANSWER, str(reply))
    if reply.status == 423:
        least = shown(" ".join(reply.values("min-expires")))
        return RegisterResult(Verdict.CANNOT_TELL, f"{reply}: it binds for {least or 'longer'} s at least")
    if reply.status < 400 or 500 <= reply.status < 600:
        return RegisterResult(Verdict.CANNOT_TELL, str(reply))
    return RegisterResult(Verdict.REFUSED, str(reply))
