"""A registrar whose answers are damaged in any way: each row gets a result, and nothing crashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.registering import REALM, entry, options_for, tried
from tests.sip import Asked, ScriptedRegistrar, Users, scripted_registrar
from worker.register import Timers, Transport, Verdict

BRIEF = Timers(t1=0.02, t2=0.02, total=0.02)

Damage = tuple[int, int, bytes]
"""Offset in an answer, number of bytes removed there, and the bytes put in their place."""

pieces = st.binary(max_size=8) | st.sampled_from(
    [b"\r\n", b"\r\n\r\n", b"SIP/2.0 200 OK\r\n", b"Content-Length: 9999\r\n", b"stale=true",
     b"Contact: *\r\n", b", algorithm=SHA-256",
     b'"', b"\\", b"\r\n ", b"CSeq: 2 REGISTER\r\n", b"\x00" * 3000]
)  # fmt: skip
damages = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60), pieces), min_size=1, max_size=4)


@dataclass
class Damaging:
    """A registrar of one user that damages its answers, all of them or some."""

    users: Users = field(default_factory=lambda: Users(REALM, {"alice": "right"}))
    damages: list[list[Damage]] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Sequence[bytes]:
        after = bool(asked.credentials)
        return [damaged(answer, self.damages[after]) for answer in self.users(asked)]


def damaged(answer: bytes, damages: list[Damage]) -> bytes:
    """Return the answer with these damages done to it."""
    for at, length, piece in damages:
        answer = answer[:at] + piece + answer[at + length :]
    return answer or b"\n"


@pytest.fixture(scope="module")
def registrar() -> Iterator[tuple[ScriptedRegistrar, Damaging]]:
    """One for all examples."""
    damaging = Damaging()
    with ExitStack() as stack:
        yield stack.enter_context(scripted_registrar(damaging)), damaging


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=damages | st.just([]), after=damages | st.just([]))
def test_damaged_answers(
    registrar: tuple[ScriptedRegistrar, Damaging],
    transport: Transport,
    before: list[Damage],
    after: list[Damage],
) -> None:
    """Each row has one result whose text can be shown; a wrong password never registers."""
    server, damaging = registrar
    damaging.damages = [before, after]
    rows = [entry(), entry(password="wrong")]
    (right, wrong), _ = tried(options_for(server, transport=transport, timers=BRIEF), rows)
    for found in (right, wrong):
        assert found.error.isprintable()
        assert (found.bindings is None) or found.verdict in (Verdict.REGISTERS, Verdict.CANNOT_TELL)
    if right.verdict is Verdict.REGISTERS:  # then a wrong password was refused, and so this one is
        assert wrong.verdict is not Verdict.REGISTERS
