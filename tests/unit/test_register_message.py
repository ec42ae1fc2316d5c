"""REGISTER on the wire: what is sent, and how answers are read."""

from __future__ import annotations

import pytest

from worker.register.message import Reply, Request, body_length, contacts, parse, shown, values_in

REQUEST = Request("bob@example.com", "acme.example", "call@siproster", "tag1", 7)
ANSWER = (
    "SIP/2.0 200 OK\r\n"
    "Via: SIP/2.0/UDP 192.0.2.1:5061;branch=z9hG4bK77ef;rport=5061;received=192.0.2.1\r\n"
    "CSeq: 7 REGISTER\r\n"
    "Contact: <sip:a@1.2.3.4>;expires=60\r\n"
    "\r\n"
)


def parsed(text: str) -> Reply:
    """An answer that is one."""
    reply = parse(text.encode())
    assert reply is not None
    return reply


def test_a_request_asks_for_bindings_only() -> None:
    """Request-URI, From and To name the realm, no Contact is in it, and an @ of a user name is escaped."""
    head, empty = REQUEST.encoded("udp", "192.0.2.1:5061", "z9hG4bK1").decode().split("\r\n\r\n")
    lines = head.split("\r\n")
    assert empty == ""
    assert lines[0] == "REGISTER sip:acme.example SIP/2.0"
    assert "Via: SIP/2.0/UDP 192.0.2.1:5061;branch=z9hG4bK1;rport" in lines
    assert "To: <sip:bob%40example.com@acme.example>" in lines
    assert "From: <sip:bob%40example.com@acme.example>;tag=tag1" in lines
    assert "CSeq: 7 REGISTER" in lines
    assert "Contact" not in head
    assert "Expires" not in head


def test_a_request_with_a_contact() -> None:
    """The contact is our own address, and says for how long."""
    request = Request("bob", "acme.example", "call", "tag", 1, "own-token", 60, ("Authorization", "Digest x"))
    lines = request.encoded("tls", "[2001:db8::1]:5061", "z9hG4bK1").decode().split("\r\n")
    assert "Contact: <sip:own-token@[2001:db8::1]:5061;transport=tls>;expires=60" in lines
    assert "Expires: 60" in lines
    assert "Authorization: Digest x" in lines


def test_credentials_are_in_no_repr() -> None:
    """Neither a request's nor an answer's repr shows credentials."""
    request = Request("bob", "acme.example", "c", "t", 1, credentials=("Authorization", "Digest canary"))
    assert "canary" not in repr(request)
    assert "canary" not in repr(parsed(ANSWER.replace("Contact:", "X: canary\r\nContact:")))


def test_an_answer() -> None:
    """An answer has the status, branch and number by which it is matched."""
    reply = parsed(ANSWER)
    assert (reply.status, reply.reason, reply.branch, reply.cseq) == (
        200,
        "OK",
        "z9hg4bk77ef",
        (7, "REGISTER"),
    )
    assert str(reply) == "200 OK"


def test_short_names_folded_lines_and_bare_line_feeds() -> None:
    """RFC 3261, sections 7.3.1 and 7.3.3; line endings as a careless server writes them."""
    text = "SIP/2.0 200 OK\nv: SIP/2.0/UDP h\n ;branch=z9hG4bKx\ncseq :\t7\n\tREGISTER\n"
    text += "M: <sip:a@b>,\n <sip:c@d>\n\n"
    reply = parsed(text)
    assert (reply.branch, reply.cseq) == ("z9hg4bkx", (7, "REGISTER"))
    assert contacts(reply) == ["<sip:a@b>", "<sip:c@d>"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\r\n\r\n",
        "REGISTER sip:a SIP/2.0\r\nVia: x;branch=z9hG4bK1\r\nCSeq: 1 REGISTER\r\n\r\n",
        ANSWER.replace("200 OK", "99 Low"),
        ANSWER.replace("200 OK", "٢٠٠ OK"),
        ANSWER.replace("Via", "Vai"),
        ANSWER.replace("Via:", "Via: SIP/2.0/UDP proxy;branch=z9hG4bK0,"),
        ANSWER.replace("Via:", "Via: SIP/2.0/UDP proxy;branch=z9hG4bK0\r\nVia:"),
        ANSWER.replace(";branch=z9hG4bK77ef", ""),
        ANSWER.replace("CSeq: 7 REGISTER\r\n", ""),
        ANSWER.replace("CSeq: 7 REGISTER\r\n", "CSeq: 7 REGISTER\r\nCSeq: 8 REGISTER\r\n"),
        ANSWER.replace("7 REGISTER", "seven REGISTER"),
        ANSWER.replace("CSeq", "X: y\r\n" * 300 + "CSeq"),
    ],
)
def test_what_is_no_answer_of_ours(text: str) -> None:
    """Answers that don't match are dropped: another method, Via or branch, or headers without end."""
    assert parse(text.encode()) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("<sip:a@b>", 1),
        ("<sip:a@b>, <sip:c@d>;q=0.7", 2),
        ('"Doe, J" <sip:a@b;x=1,2>;expires=60, sip:c@d', 2),
        ('"quote \\" and , comma" <sip:a@b>', 1),
        ('"never closed, <sip:a@b>', 1),
        ("*", 0),
        (" , ,, ", 0),
    ],
)
def test_counting_bindings(text: str, count: int) -> None:
    """Commas in quotes or angle brackets separate nothing."""
    assert len(contacts(parsed(ANSWER.replace("<sip:a@1.2.3.4>;expires=60", text)))) == count


def test_values_keep_their_text() -> None:
    """Text between commas is kept as it is."""
    assert values_in('a "b,c" <d,e> , f') == ['a "b,c" <d,e>', "f"]


@pytest.mark.parametrize(
    ("header", "length"),
    [("Content-Length: 12", 12), ("l: 0", 0), ("X: y", 0), ("Content-Length: 7\r\nl: 7", 7)],
)
def test_the_length_of_a_body(header: str, length: int) -> None:
    """Content-Length may have its short name, or be missing."""
    assert body_length(f"SIP/2.0 200 OK\r\n{header}\r\n\r\n".encode()) == length


@pytest.mark.parametrize(
    "header",
    [
        "Content-Length: -1",
        "l: 1e3",
        "l: ٣",
        "l: 99999",
        "l: 1\r\nl: 2",
        "Content-Length:",
        "l: 9999999999999999999",
    ],
)
def test_lengths_that_no_body_can_have(header: str) -> None:
    """A stream with an invalid Content-Length is not read on."""
    with pytest.raises(ValueError, match=r"."):
        body_length(f"SIP/2.0 200 OK\r\n{header}\r\n\r\n".encode())


def test_a_registrars_words_are_made_fit_to_show() -> None:
    """A registrar's text is shown without escape sequences and digests, on one line."""
    assert shown("\x1b[31mBad\r\nuser " + "ab" * 16 + " x") == "[31mBad  user … x"
    assert len(shown("long " * 1000)) <= 80
