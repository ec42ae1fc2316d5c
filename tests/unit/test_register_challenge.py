"""Choosing a challenge and answering it, and the error if none can be answered."""

from __future__ import annotations

import hashlib
import re

import pytest

from worker.digest import digests, response
from worker.register.challenge import Challenge, challenge, stale
from worker.register.message import Reply, parse
from worker.register.result import Undecided

REALM = "acme-0a1b2c.auth.bandwidth.com"
GOOD = f'Digest realm="{REALM}", nonce="n1", qop="auth", algorithm=MD5'
HA1, _ = digests("alice", REALM, "pw")


def asking(*challenges: str, status: int = 401) -> Reply:
    """Return an answer with these challenges, each in a header of its own."""
    name = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}[status]
    headers = "".join(f"{name}: {one}\r\n" for one in challenges)
    reply = parse(
        f"SIP/2.0 {status} No\r\nVia: x;branch=z9hG4bK1\r\nCSeq: 1 REGISTER\r\n{headers}\r\n".encode()
    )
    assert reply is not None
    return reply


def chosen(*challenges: str, status: int = 401) -> Challenge:
    """Return the challenge that is answered."""
    return challenge(asking(*challenges, status=status), REALM)


def md5(text: str) -> str:
    """In hexadecimal digits."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def parameters(value: str) -> dict[str, str]:
    """Return the parameters of an answering header."""
    assert value.startswith("Digest ")
    return {
        name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([\w-]+))', value)
    }


def test_an_answer_with_qop() -> None:
    """The response is RFC 2617's for its parameters, and names the algorithm."""
    name, value = chosen(GOOD + ', opaque="o"').answer("alice", HA1, f"sip:{REALM}")
    given = parameters(value)
    assert name == "Authorization"
    assert given["response"] == response(HA1, f"sip:{REALM}", "n1", given["cnonce"], "00000001")
    del given["response"], given["cnonce"]
    assert given == {
        "username": "alice", "realm": REALM, "nonce": "n1", "uri": f"sip:{REALM}", "algorithm": "MD5",
        "qop": "auth", "nc": "00000001", "opaque": "o",
    }  # fmt: skip


def test_an_answer_of_a_session() -> None:
    """MD5-sess: its digest is made of Hash1, the nonce and the first cnonce, which all answers share.

    RFC 2617, section 3.2.2.2; the numbers are hashlib's, by hand.
    """
    asked = chosen(f'Digest realm="{REALM}", nonce="n1", qop="auth", algorithm=md5-SESS')
    first, second = (parameters(asked.answer("alice", HA1, f"sip:{REALM}", use)[1]) for use in (1, 2))
    assert (first["algorithm"], first["nc"], second["nc"]) == ("MD5-sess", "00000001", "00000002")
    assert first["cnonce"] == second["cnonce"]
    session = md5(f"{HA1}:n1:{first['cnonce']}")
    for given in (first, second):
        of_request = md5(f"REGISTER:sip:{REALM}")
        assert given["response"] == md5(f"{session}:n1:{given['nc']}:{given['cnonce']}:auth:{of_request}")
    again = chosen(f'Digest realm="{REALM}", nonce="n1", qop="auth", algorithm=MD5-sess')
    assert parameters(again.answer("alice", HA1, "sip:x")[1])["cnonce"] != first["cnonce"]


def test_an_answer_without_qop() -> None:
    """Without qop in the challenge, the answer has none of its fields, nor an algorithm that nobody named."""
    _, value = chosen(f'Digest realm="{REALM}", nonce="n1"').answer("alice", HA1, f"sip:{REALM}")
    given = parameters(value)
    assert given["response"] == response(HA1, f"sip:{REALM}", "n1")
    assert given.keys() == {"username", "realm", "nonce", "uri", "response"}


def test_a_proxys_challenge() -> None:
    """A 407 is answered in the proxy's own header."""
    assert chosen(GOOD, status=407).answer("alice", HA1, "sip:x")[0] == "Proxy-Authorization"


def test_no_two_answers_are_alike() -> None:
    """Each answer has a cnonce of its own."""
    one = chosen(GOOD)
    assert one.answer("alice", HA1, "sip:x") != one.answer("alice", HA1, "sip:x")


def test_an_empty_opaque_goes_back() -> None:
    """An opaque is sent back as it came, empty or missing."""
    assert chosen(GOOD + ', opaque=""').answer("a", HA1, "sip:x")[1].endswith(', opaque=""')


@pytest.mark.parametrize(
    "before",
    [
        f'Digest realm="{REALM}", nonce="n0", algorithm=SHA-256, qop="auth"',
        'Digest realm="another.example", nonce="n0"',
        'Basic realm="x"',
        "Negotiate abcdef==",
        f'Digest realm="{REALM}"',
        f'Digest realm="{REALM}", nonce="n0", qop="auth-int"',
        f'Digest realm="{REALM}", nonce="n0", algorithm=MD5-sess',
        f'Digest realm="{REALM}", nonce="{"n" * 2000}"',
        f'Digest realm="{REALM}", nonce="n\\"',
        "",
    ],
)
def test_the_first_that_can_be_answered(before: str) -> None:
    """Challenges that can't be answered are skipped, in headers of their own or in one (RFC 8760, 2.4)."""
    later = f'Digest realm="{REALM}", nonce="n2"'
    assert chosen(before, GOOD, later).nonce == "n1"
    if before and "\\" not in before:
        assert chosen(f"{before}, {GOOD}, {later}").nonce == "n1"


def test_sessions_are_answered_in_their_turn() -> None:
    """The topmost that can be answered, MD5-sess or MD5 (RFC 8760, section 2.4)."""
    session = f'Digest realm="{REALM}", nonce="n0", algorithm=MD5-sess, qop="auth"'
    assert (chosen(session, GOOD).algorithm, chosen(GOOD, session).algorithm) == ("MD5-sess", "MD5")


@pytest.mark.parametrize(
    "written",
    [
        f'digest Realm="{REALM}",NONCE="n1",QOP="auth-int, auth",Algorithm=md5',
        f'Digest  realm = "{REALM}" , nonce = "n1" , qop=auth',
        f'Digest realm="{REALM}", nonce=n1, nonce="n9", algorithm="MD5"',
    ],
)
def test_as_careless_servers_write_it(written: str) -> None:
    """Case, spaces and quotes are read as careless servers write them; a repeated parameter counts once."""
    assert (chosen(written).nonce, chosen(written).realm) == ("n1", REALM)


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        (
            f'Digest realm="{REALM}", nonce="n", algorithm=SHA-256',
            "the server wants SHA-256; the stored digest",
        ),
        ('Digest realm="other.example", nonce="n"', "asks for the realm 'other.example'"),
        ('Basic realm="x"', "the server wants basic, not Digest"),
        (f'Digest realm="{REALM}", nonce="n", qop="auth-int"', "qop=auth-int"),
        (f'Digest realm="{REALM}", nonce="n", algorithm=MD5-sess', "MD5-sess without qop"),
        (f'Digest realm="{REALM}", nonce="n", algorithm=AKAv1-MD5, qop="auth"', "AKAV1-MD5; the stored"),
        (f'Digest realm="{REALM}", nonce=""', "damaged"),
        (f'Digest realm="{REALM}", nonce="n", opaque="\x07"', "damaged"),
        ("", "does not say how"),
    ],
)
def test_what_is_said_where_none_can_be_answered(offered: str, said: str) -> None:
    """The error names what stands in the way."""
    with pytest.raises(Undecided, match=re.escape(said)) as caught:
        chosen(offered)
    assert "401 No" in str(caught.value)


def test_a_stale_nonce() -> None:
    """Only stale=true asks for another attempt; the new nonce is the one to answer."""
    renewed = stale(asking(GOOD.replace("n1", "n2") + ", stale=TRUE"), REALM)
    assert renewed is not None
    assert renewed.nonce == "n2"
    assert stale(asking(GOOD + ", stale=false"), REALM) is None
    assert stale(asking(GOOD), REALM) is None


def test_nothing_secret_is_in_a_repr() -> None:
    """No repr contains a nonce or anything secret."""
    assert "n1" not in repr(chosen(GOOD))
