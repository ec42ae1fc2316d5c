"""Anything that arrives at the sandbox's registrar is no request, or gets one well-formed answer."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sandbox import Options
from worker.sandbox.rules import Digests
from worker.sandbox.sip.message import Malformed, body_length, read_head
from worker.sandbox.state import State

LINE = "[^\\r\\n]*"
WELL_FORMED = re.compile(f"SIP/2\\.0 [2-5]\\d\\d {LINE}\\r\\n({LINE}: {LINE}\\r\\n)+\\r\\n".encode())
HOST = State(Options()).accounts["9900001"].realms()[0].host

WORDS = st.sampled_from(
    [
        *(
            "sip:",
            HOST,
            "a",
            "@",
            "<",
            ">",
            ";",
            ",",
            '"',
            "\\",
            "=",
            "expires",
            "0",
            "9" * 30,
            " ",
            "\t",
            "*",
        ),
        *(
            "%40",
            "\x00",
            "\u20ac",
            "tag=",
            "branch=",
            "rport",
            "Digest ",
            "username=",
            "realm=",
            "nonce=",
            "uri=",
        ),
        *("response=", "nc=", "qop=auth", "f" * 32, "1 REGISTER", "SHA-256", "://", "[", "]"),
    ]
)
VALUES = st.lists(WORDS, max_size=25).map("".join)
NAMES = st.sampled_from(
    ["Via", "v", "From", "To", "t", "Call-ID", "CSeq", "Contact", "m", "Expires", "Authorization",
     "Content-Length", "l", "X-Other", " folded", "no name"]
)  # fmt: skip
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=15)
COMPLETE = [
    ("Via", "SIP/2.0/UDP a;branch=z9hG4bK1"),
    ("From", "<sip:a@b>"),
    ("Call-ID", "c"),
    ("CSeq", "1 REGISTER"),
]

KNOWN = [
    *COMPLETE,
    ("To", f"<sip:a@{HOST}>"),
    (
        "Authorization",
        f'Digest username="a", realm="{HOST}", nonce="n", uri="sip:{HOST}", response="{"f" * 32}"',
    ),
]
"""A request of a user whose password nobody looks at."""


def request(method: str, uri: str, headers: list[tuple[str, str]]) -> bytes:
    """Return a request as a client would send it, line by line."""
    lines = [f"{method} {uri} SIP/2.0", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode()


def with_user() -> State:
    """A registrar that takes any password of its user ``a``."""
    state = State(Options(knobs={"sip_accepts_anything": True}))
    account = state.accounts["9900001"]
    account.create("a", account.realms()[0], Digests(b"1" * 16, b"2" * 16), "", 0)
    return state


def answered(state: State, head: bytes) -> bytes | None:
    """Return the answer, or None if it is no request at all."""
    try:
        read = read_head(head)
        body_length(read)
    except Malformed:
        return None
    return state.registrar.answer(read, "udp", ("192.0.2.1", 5060))


@given(st.binary(max_size=2_000))
def test_any_bytes(data: bytes) -> None:
    """The parser raises Malformed, and nothing else."""
    answer = answered(State(Options()), data)
    assert answer is None or WELL_FORMED.fullmatch(answer)


@pytest.mark.parametrize("knobs", [{}, {"sip_accepts_anything": True}, {"sip_sha256": "first"}])
@given(headers=HEADERS, uri=st.one_of(st.just(f"sip:{HOST}"), VALUES))
def test_any_headers(knobs: dict[str, object], headers: list[tuple[str, str]], uri: str) -> None:
    """A request with the headers that it needs and any others gets one answer, no line of their making."""
    state = State(Options(knobs=knobs))
    for head in (
        request("REGISTER", uri, headers),
        request("REGISTER", f"sip:{HOST}", [*COMPLETE, *headers]),
    ):
        answer = answered(state, head)
        assert answer is None or WELL_FORMED.fullmatch(answer)


@given(contacts=st.lists(VALUES, max_size=4), expires=VALUES)
def test_any_contacts(contacts: list[str], expires: str) -> None:
    """Behind the password any Contact is bound, or refused; the list of those bound is well-formed."""
    headers = [*KNOWN, *(("Contact", f"sip:a@b{one}") for one in contacts), ("Expires", expires)]
    answer = answered(with_user(), request("REGISTER", f"sip:{HOST}", headers))
    assert answer is None or WELL_FORMED.fullmatch(answer)


def test_a_complete_request_is_answered() -> None:
    """The requests of these tests are complete: with a To they are challenged."""
    answer = answered(State(Options()), request("REGISTER", f"sip:{HOST}", [*COMPLETE, ("To", "<sip:a@b>")]))
    assert answer is not None
    assert answer.startswith(b"SIP/2.0 401 ")
    answer = answered(with_user(), request("REGISTER", f"sip:{HOST}", [*KNOWN, ("Contact", "sip:a@b")]))
    assert answer is not None
    assert b"Contact: <sip:a@b>;expires=3600\r\n" in answer
