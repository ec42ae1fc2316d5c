"""Anything that a registrar sends is read as an answer, or as none, and nothing else happens."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from worker.register.challenge import challenge, stale
from worker.register.message import Reply, body_length, contacts, parse, shown
from worker.register.result import Undecided

HEAD = b"SIP/2.0 401 No\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCSeq: 1 REGISTER\r\n"
REALM = "acme.example"

pieces = st.sampled_from(
    ["Digest ", "Basic ", "realm=", f'"{REALM}"', "nonce=", '"n"', "qop=", "auth", "algorithm=MD5",
     "stale=true", "opaque=", ",", ";", '"', "\\", "<", ">", " ",
     "\t", "=", "\r\n ", "é", "\x00", "*", "SHA-256"]
)  # fmt: skip
texts = st.lists(pieces | st.text(max_size=5), max_size=30).map("".join)
names = st.sampled_from(
    [
        "WWW-Authenticate",
        "Contact",
        "m",
        "v",
        "Via",
        "CSeq",
        "l",
        "Content-Length",
        "Proxy-Authenticate",
        " x",
        "",
    ]
)
headers = st.lists(st.tuples(names, texts).map(": ".join), max_size=8).map("\r\n".join)


def looked_at(reply: Reply) -> None:
    """Use an answer in every way in which the program does."""
    assert "\n" not in str(reply)
    assert all(one for one in contacts(reply))
    for look in (challenge, stale):
        said = ""
        try:
            if found := look(reply, REALM):
                _, said = found.answer("alice", "0" * 32, "sip:x")
        except Undecided as undecided:
            said = str(undecided)
        assert said.isprintable()
        assert len(said) < 3000


@given(st.binary(max_size=3000))
def test_any_bytes(raw: bytes) -> None:
    """Bytes that are no answer are dropped."""
    reply = parse(raw)
    assert reply is None or 100 <= reply.status < 700


@given(headers)
def test_any_headers(text: str) -> None:
    """An answer with headers of any kind is read or dropped."""
    if reply := parse(HEAD + text.encode("utf-8", "surrogatepass") + b"\r\n\r\n"):
        looked_at(reply)


@given(texts, st.sampled_from(["WWW-Authenticate", "Contact"]))
def test_any_value(text: str, name: str) -> None:
    """A challenge, or a binding, of any form: what goes back into a header can't leave it."""
    if reply := parse(HEAD + f"{name}: {text}\r\n\r\n".encode("utf-8", "surrogatepass")):
        looked_at(reply)


@given(headers)
def test_any_length(text: str) -> None:
    """A stream goes on behind a body of a sensible length, or ends."""
    with contextlib.suppress(ValueError):
        assert 0 <= body_length(HEAD + text.encode("utf-8", "surrogatepass")) < 65_536


@given(st.text())
def test_any_words_are_fit_to_show(text: str) -> None:
    """The words of any answer are shown short, on one line, printable."""
    assert shown(text).isprintable()
    assert len(shown(text)) <= 80


def test_what_grows_is_bounded() -> None:
    """The largest heads possible, each built to be slow, are read within pytest's time limit."""
    for filling in (
        b" \n",
        b"x: y\n",
        b'"a',
        b"a=",
        b'a="',
        b"\\",
        b",",
        b"<",
        b"Digest a=b ",
        b"a  ",
        b"\t",
    ):
        raw = HEAD + b"WWW-Authenticate: " + filling * (65_000 // len(filling)) + b"\r\n\r\n"
        if reply := parse(raw):
            looked_at(reply)
