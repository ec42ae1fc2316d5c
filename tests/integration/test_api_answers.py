"""Answers that are not what they look like: a portal's, another user's, packed, without end."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import httpcore
import pytest

from tests.integration.api_client import Naps, Permits, credential
from tests.integration.test_api_hostile import ALICE, REALM, always, entries, response, served, with_token
from tests.scripted import Asked, Told, scripted, spoken
from worker.api import response_xml
from worker.api.deadline import Backend, Deadline
from worker.api.transport import LONGEST_PIECE, Interrupted, Transport, unpacked
from worker.errors import (
    AccountNotFound,
    AnswerLost,
    ForeignAnswer,
    NotFound,
    StopJob,
    Unavailable,
)
from worker.model import Answer, Echo, EntryError, Family, Stored

PAGE = b'<html xmlns="http://www.w3.org/1999/xhtml"><body><p>Please log in</p></body></html>'
STORED = Stored("17", "alice", REALM.host, ALICE.hash1, ALICE.hash1b)


def one(inner: str) -> bytes:
    return f"<SipCredentialResponse><SipCredential>{inner}</SipCredential></SipCredentialResponse>".encode()


def realm_answer(host: str, id_: str = "7", root: str = "RealmResponse") -> bytes:
    realm = f"<Realm><Id>{id_}</Id><Realm>{host}</Realm><Status>ACTIVE</Status></Realm>"
    return f"<{root}>{realm}</{root}>".encode()


# Somebody else's pages


def test_a_portal_is_no_empty_account(naps: Naps, permits: Permits) -> None:
    """A portal's well-formed XHTML with status 200 is never taken for the service's answer."""
    with served(always(Told(200, PAGE)), naps, budget=0) as (_, api):
        for family in Family:
            with pytest.raises(Unavailable, match="is malformed"):
                list(api.credentials(family, REALM))
            with pytest.raises(Unavailable, match="is malformed"):
                api.find(family, REALM, "alice")
            with pytest.raises(AnswerLost, match="is malformed"):
                api.delete(family, REALM, STORED, permits)
            with pytest.raises(AnswerLost, match="is malformed"):
                api.update(family, REALM, STORED, ALICE, permits)
            with pytest.raises(AnswerLost, match="is malformed"):
                api.create(family, REALM, [ALICE], permits)
        for ask in (api.realms, api.check, lambda: api.realm("acme")):
            with pytest.raises(Unavailable, match="is malformed"):
                ask()


@pytest.mark.parametrize("body", [PAGE, b"<html>Not found<br></html>", b'{"message":"Not Found"}'])
def test_a_404_of_somebody_else_makes_nobody_absent(naps: Naps, permits: Permits, body: bytes) -> None:
    """Only the service's own 404 means that a credential or a realm does not exist."""
    with served(always(Told(404, body)), naps, budget=0) as (_, api):
        with pytest.raises(Unavailable, match="is malformed"):
            api.find(Family.ACCOUNT, None, "alice")
        with pytest.raises(ForeignAnswer, match="HTTP 404"):
            api.delete(Family.REALM, REALM, STORED, permits)
        with pytest.raises(AccountNotFound):  # the list of all realms, which decides
            api.realm("acme")
        with pytest.raises(AccountNotFound):
            list(api.credentials(Family.ACCOUNT, None))


@pytest.mark.parametrize("status", [404, 400, 405, 418])
@pytest.mark.parametrize("body", [PAGE, b"<html>Not found<br></html>", b"", b"\x01"])
def test_what_is_said_about_one_realm_does_not_decide(naps: Naps, status: int, body: bytes) -> None:
    """If the look-up of one realm is refused, however that is worded, the list of all realms decides."""
    listed = realm_answer("acme-0a.auth.example", "1", "RealmsResponse")

    def answer(asked: Asked) -> Told:
        return Told(200, listed) if asked.path.endswith("/realms") else Told(status, body)

    with served(with_token(answer), naps) as (server, api):
        assert api.realm("Acme").id == "1"
        with pytest.raises(NotFound, match="sales"):
            api.realm("sales")
        assert len([one for one in server.asked if "/realms" in one.path]) == 4


def test_a_404_of_the_service(naps: Naps, permits: Permits) -> None:
    """The service's own 404, even without a code, means that what was asked for doesn't exist."""
    body = b"<R><ResponseStatus><Description>no</Description></ResponseStatus></R>"
    with served(always(Told(404, body)), naps, budget=0) as (_, api):
        assert api.find(Family.ACCOUNT, None, "alice") is None
        assert api.delete(Family.REALM, REALM, STORED, permits) is False


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize(("listed", "there"), [(("bob",), False), (("17",), True), (("18",), False)])
def test_a_404_without_a_word(
    naps: Naps, permits: Permits, family: Family, listed: tuple[str, ...], there: bool
) -> None:
    """An empty 404 may be anybody's: a read also needs the list, and a change counts as unanswered."""
    body = entries(*listed).replace(b"<UserName>1", b"<UserName>alice</UserName><x>1")
    body = body.replace(b"7</UserName>", b"7</x>").replace(b"8</UserName>", b"8</x>")
    there = there or (family is Family.ACCOUNT and listed == ("18",))

    def answer(asked: Asked) -> Told:
        return Told(200, body) if "?" in asked.path else Told(404)

    with served(with_token(answer), naps, budget=0) as (_, api):
        with pytest.raises(ForeignAnswer, match="HTTP 404"):
            api.delete(family, REALM, STORED, permits)
        if there:
            with pytest.raises(Unavailable, match="shows a user in its list"):
                api.read(family, REALM, STORED)
        else:
            assert api.read(family, REALM, STORED) is None


@pytest.mark.parametrize(
    "location",
    ["http://portal.example/login", "http://portal.example/?for=http://x/y?page=1&size=500", ""],
)
def test_a_list_that_is_moved_to_a_portal_is_not_empty(naps: Naps, location: str) -> None:
    """A 303 that names no page, or leads in a circle, stops the job: it is not the end of a list."""
    moved = Told(303, headers={"Location": location})
    with served(always(moved), naps) as (server, api):
        with pytest.raises(StopJob):
            list(api.credentials(Family.ACCOUNT, None))
        assert len(server.asked) <= 3


# Somebody else's credential


@pytest.mark.parametrize("name", ["bob", "alice@pbx.example", ""])
def test_another_credential_is_not_taken_for_it(naps: Naps, name: str) -> None:
    """The account family asks by name: an answer about another user, or about none, is no answer."""
    told = Told(body=one(f"<Id>17</Id><UserName>{name}</UserName><Hash1>{ALICE.hash1}</Hash1>"))
    with served(always(told), naps, budget=0) as (_, api):
        with pytest.raises(Unavailable, match="another credential"):
            api.find(Family.ACCOUNT, None, "alice")
        with pytest.raises(Unavailable, match="another credential"):
            api.read(Family.ACCOUNT, None, STORED)


def test_a_name_in_another_case_or_in_two_parts_is_the_same(naps: Naps) -> None:
    """The service's names know no case, and a domain may come by itself."""
    told = Told(body=one("<UserName>ALICE</UserName><Domain>PBX.example</Domain>"))
    with served(always(told), naps) as (_, api):
        found = api.find(Family.ACCOUNT, None, "alice@pbx.example")
    assert found is not None
    assert found.composite == "ALICE@PBX.example"


@pytest.mark.parametrize(
    ("inner", "same"),
    [
        ("<Id>17</Id>", True),
        ("<Id>17</Id><UserName>Alice</UserName>", True),
        (f"<UserName>alice</UserName><Realm>{REALM.host.upper()}</Realm>", True),
        ("<Id>18</Id><UserName>alice</UserName>", False),
        ("<Id>017</Id>", False),
        ("<Id>17</Id><UserName>bob</UserName>", False),
        ("<Id>17</Id><UserName>alice</UserName><Realm>other.example</Realm>", False),
        ("<UserName>bob</UserName>", False),
        ("<Hash1b>a</Hash1b>", False),
    ],
)
def test_the_realm_family_reads_the_one_it_asked_for(naps: Naps, inner: str, same: bool) -> None:
    """A credential is read by id: the answer must have that id and, if it names them, that name and realm."""
    with served(always(Told(body=one(inner))), naps, budget=0) as (_, api):
        if same:
            assert api.read(Family.REALM, REALM, STORED) is not None
        else:
            with pytest.raises(Unavailable, match="another credential"):
                api.read(Family.REALM, REALM, STORED)


def test_the_same_name_on_another_realm_is_not_found(naps: Naps) -> None:
    """A user that a realm's list shows on another realm is not the one that was looked for."""
    elsewhere = (
        "<SipCredential><Id>1</Id><UserName>alice</UserName><Realm>other.example</Realm></SipCredential>"
    )
    with served(always(Told(body=response(elsewhere))), naps) as (_, api):
        assert api.find(Family.REALM, REALM, "alice") is None


def test_another_realm_is_not_taken_for_it(naps: Naps) -> None:
    """An answer about another realm is never used: the list is searched instead, or an error raised."""
    other, own = "other-0a1b2c.auth.bandwidth.com", REALM.host

    def answer(asked: Asked) -> Told:
        if asked.path.endswith("/realms"):
            return Told(body=realm_answer(own, root="RealmsResponse"))
        return Told(body=realm_answer(other))

    with served(with_token(answer), naps, budget=0) as (_, api):
        assert api.realm("acme").host == own
        with pytest.raises(Unavailable, match="another realm"):
            api.update_realm("acme", description="x")
        with pytest.raises(AnswerLost, match="whether the realm new was made"):
            api.create_realm("new")


@pytest.mark.parametrize("ref", ["acme", "ACME", "acme-0a1b2c", "acme-0A1B2C.auth.bandwidth.com", "7"])
def test_a_realm_under_each_of_its_names(naps: Naps, ref: str) -> None:
    """One answer is enough where its id, host name or short name is what was asked for."""
    with served(always(Told(body=realm_answer(REALM.host))), naps) as (server, api):
        assert api.realm(ref) == REALM
        assert len(server.asked) == 2


# Lists that were posted


BOB = credential(REALM, "bob", password="Xc5vB8nM2qW7")


def echo_of(name: str, hash1: str, realm: str = REALM.host) -> str:
    return (
        f"<SipCredential><Id>9</Id><UserName>{name}</UserName><Hash1>{hash1}</Hash1><Realm>{realm}</Realm>"
        "</SipCredential>"
    )


def error_of(name: str) -> str:
    echo = f"<SipCredential><UserName>{name}</UserName></SipCredential>"
    return f"<Error><ErrorCode>23009</ErrorCode><Description>exists</Description>{echo}</Error>"


@pytest.mark.parametrize(
    ("echo", "errors"),
    [
        (echo_of("alice", BOB.hash1), ""),
        (echo_of("alice", ALICE.hash1, "other.example"), ""),
        (echo_of("stranger", ALICE.hash1), ""),
        (echo_of("ALICE", ALICE.hash1), error_of("Alice")),
    ],
)
def test_an_echo_of_something_else_tells_nothing(
    naps: Naps, permits: Permits, echo: str, errors: str
) -> None:
    """An echo with another digest, realm or name than was sent is ignored; the other rows' echoes count."""
    good = echo_of("bob", BOB.hash1)
    body = response(f"<ValidSipCredentials>{echo}{good}</ValidSipCredentials><Errors>{errors}</Errors>")
    with served(always(Told(201, body)), naps) as (_, api):
        answer = api.create(Family.ACCOUNT, REALM, [ALICE, BOB], permits)
    assert answer.accepted == (Echo("9", "bob", REALM.host, BOB.hash1),)
    assert answer.refused == ()
    assert answer.contradicted == (frozenset() if "stranger" in echo else {"alice"})


def test_an_echo_of_what_was_sent(naps: Naps, permits: Permits) -> None:
    """Another case, or an echo without digest and realm, is no contradiction."""
    silent = "<SipCredential><UserName>bob</UserName></SipCredential>"
    echoes = echo_of("ALICE", ALICE.hash1.upper(), REALM.host.upper()) + silent
    body = response(f"<ValidSipCredentials>{echoes}</ValidSipCredentials><Errors>{error_of('')}</Errors>")
    with served(always(Told(201, body)), naps) as (_, api):
        answer = api.create(Family.ACCOUNT, REALM, [ALICE, BOB], permits)
    assert [echo.composite for echo in answer.accepted] == ["ALICE", "bob"]
    assert answer.refused == (EntryError("23009", "exists"),)


WHOLE = {
    "Id": "9", "RealmId": REALM.id, "UserName": "alice", "Hash1": ALICE.hash1, "Hash1b": ALICE.hash1b,
    "Realm": REALM.host, "HttpVoiceV2AppId": ALICE.application,
}  # fmt: skip
LIES = [
    *({tag: ""} for tag in ("Hash1", "Hash1b", "Realm", "HttpVoiceV2AppId")),
    {"Hash1": ALICE.hash1b}, {"Hash1b": ALICE.hash1}, {"Hash1b": "x" * 65}, {"Realm": "other.example"},
    {"RealmId": "18"}, {"HttpVoiceV2AppId": "00000000-0000-0000-0000-000000000000"},
]  # fmt: skip


def told_of_alice(naps: Naps, permits: Permits, told: dict[str, str], more: str = "") -> Answer:
    inner = "".join(f"<{tag}>{text}</{tag}>" for tag, text in told.items())
    valid = f"<ValidSipCredentials><SipCredential>{inner}</SipCredential></ValidSipCredentials>{more}"
    with served(always(Told(201, response(valid))), naps) as (_, api):
        return api.create(Family.REALM, REALM, [ALICE, BOB], permits)


@pytest.mark.parametrize("lie", LIES)
def test_an_echo_that_contradicts_what_was_sent(naps: Naps, permits: Permits, lie: dict[str, str]) -> None:
    """Everything in an echo is compared with what was sent, and an empty digest contradicts it."""
    answer = told_of_alice(naps, permits, WHOLE | lie)
    assert answer.accepted == ()
    assert answer.contradicted == {"alice"}


@pytest.mark.parametrize("left_out", [tag for tag in WHOLE if tag != "UserName"])
def test_an_echo_that_leaves_something_out(naps: Naps, permits: Permits, left_out: str) -> None:
    """A field that an echo leaves out contradicts nothing: the entry still counts as accepted."""
    told = {tag: text for tag, text in WHOLE.items() if tag != left_out}
    assert [one.composite for one in told_of_alice(naps, permits, told).accepted] == ["alice"]


@pytest.mark.parametrize("hash1", [ALICE.hash1, ""])
def test_an_entry_that_is_told_twice(naps: Naps, permits: Permits, hash1: str) -> None:
    """An entry reported as both stored and refused, or as stored twice, counts as neither."""
    echo = f"<SipCredential><UserName>alice</UserName><Hash1>{hash1}</Hash1></SipCredential>"
    refused = f"<Errors><Error><ErrorCode>23019</ErrorCode>{echo}</Error></Errors>"
    answer = told_of_alice(naps, permits, WHOLE, refused)
    assert (answer.accepted, answer.refused) == ((), ())
    nameless = f"<SipCredential><Hash1>{ALICE.hash1}</Hash1></SipCredential>"
    answer = told_of_alice(naps, permits, WHOLE, refused.replace(echo, nameless))
    assert (answer.accepted, answer.refused) == ((), ())
    again = f"<ValidSipCredentials>{echo}</ValidSipCredentials>"
    assert told_of_alice(naps, permits, WHOLE, again).accepted == ()


# The deadline


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"


def dripping(connection: socket.socket, before: bytes) -> None:
    """Read a request's head, then say ``before`` byte by byte, and then a good answer."""
    connection.recv(65536)
    for byte in before:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)
    connection.sendall(GOOD)


INTERIM = b"HTTP/1.1 102 Processing\r\n\r\n"


@pytest.mark.parametrize(
    "before",
    [b"HTTP/1.1 102 Processing\r\nX-Slow: " + b"x" * 160 + b"\r\n\r\n", INTERIM * 7],
    ids=["headers", "interim answers"],
)
def test_no_head_outlasts_the_deadline(before: bytes) -> None:
    """Headers that come byte by byte, and interim answers one after another, end with the request's time."""
    speak = partial(dripping, before=before)
    late = pytest.raises(Interrupted, match="no complete answer within")
    with spoken(speak) as url, closing(Transport(1)) as transport, late:
        transport.send("GET", url, {}, b"")


def test_a_slow_reader_does_not_outlast_the_deadline() -> None:
    """A body that is taken a little at a time is not sent for longer than the request may last."""
    body, taken, over = b"x" * 12_000_000, [], threading.Event()

    def sip(connection: socket.socket) -> None:
        try:
            while piece := connection.recv(65536):
                taken.append(len(piece))
                time.sleep(0.02)
        finally:
            over.set()

    late = pytest.raises(Interrupted, match="no complete answer within")
    with spoken(sip) as url:
        with closing(Transport(1)) as transport, late:
            transport.send("POST", url, {}, body)
        assert over.wait(60)
    assert sum(taken) < len(body)


def test_nothing_is_sent_after_the_deadline() -> None:
    """A connection that is kept is not written to after the deadline, since leases rely on it."""
    with scripted(lambda asked: Told(200)) as server, closing(Transport(30)) as transport:
        transport.send("GET", server.url, {}, b"")
        transport.deadline = 0.0
        with pytest.raises(Interrupted, match="no complete answer within"):
            transport.send("POST", server.url, {}, b"x")
        assert [asked.method for asked in server.asked] == ["GET"]


def test_a_host_with_several_addresses_is_reached_by_any() -> None:
    """If no server listens at one of a host's addresses, the next address is tried."""
    tried = ["127.0.0.2", "127.0.0.1"]
    with scripted(lambda asked: Told(200)) as server:
        backend = Backend(httpcore.SyncBackend(), begun(10), lambda host, port: tried)
        stream = backend.connect_tcp("api.example", int(server.url.rpartition(":")[2]), 10)
        with closing(stream):
            assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"


class Silent(httpcore.NetworkBackend):
    """Nobody answers under any address; keeps how long each was waited for."""

    def __init__(self) -> None:
        self.waited: list[float | None] = []

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *rest: object, **others: object
    ) -> httpcore.NetworkStream:
        self.waited.append(timeout)
        raise httpcore.ConnectTimeout


@pytest.mark.parametrize(("many", "most"), [(2, 10.0), (5, 6.0)])
def test_many_addresses_share_the_deadline(many: int, most: float) -> None:
    """Each has ten seconds at most, and no more than its part of what the request has left."""
    silent = Silent()
    backend = Backend(silent, begun(30), lambda host, port: ["127.0.0.2"] * many)
    with pytest.raises(httpcore.ConnectTimeout):
        backend.connect_tcp("api.example", 443, 10)
    assert len(silent.waited) == many
    assert silent.waited[0] is not None
    assert most - 1 < silent.waited[0] <= most


class Open(httpcore.NetworkBackend, httpcore.NetworkStream):
    """A connection at once, whose handshake keeps how long it may take."""

    def __init__(self) -> None:
        self.shaken: float | None = None

    def connect_tcp(self, *rest: object, **others: object) -> httpcore.NetworkStream:
        return self

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self.shaken = timeout
        return self


def test_a_handshake_has_what_is_left() -> None:
    """Connecting, a proxy's answer and TLS are one request's time, not ten seconds each."""
    inner = Open()
    stream = Backend(inner, begun(5), lambda host, port: [host]).connect_tcp("127.0.0.1", 443, 10)
    stream.start_tls(ssl.create_default_context(), "api.example", 10)
    assert inner.shaken is not None
    assert inner.shaken <= 5


def begun(seconds: float) -> Deadline:
    deadline = Deadline()
    deadline.begin(seconds)
    return deadline


def test_each_thread_keeps_a_connection_of_its_own() -> None:
    """Requests of one thread share a connection, and no other thread's requests use it."""
    served_by: list[int] = []  # the server has a thread for each connection

    def answer(_: Asked) -> Told:
        served_by.append(threading.get_ident())
        return Told(200)

    with scripted(answer) as server, closing(Transport(5, None, {})) as transport:
        for _ in range(2):
            transport.send("GET", server.url, {}, b"")
        with ThreadPoolExecutor(1) as other:
            for _ in range(3):
                other.submit(transport.send, "GET", server.url, {}, b"").result()
            transport.send("GET", server.url, {}, b"")
    mine, others = served_by[0], served_by[2]
    assert served_by == [mine, mine, others, others, others, mine]
    assert mine != others


def open_descriptors() -> int:
    """Return how many files and sockets this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_connections_end_with_their_thread() -> None:
    """A worker lives through the threads of many jobs, and must not hold a socket for each."""
    with scripted(lambda _: Told(200)) as server, closing(Transport(5, None, {})) as transport:
        before = open_descriptors()
        for _ in range(20):
            thread = threading.Thread(target=transport.send, args=("GET", server.url, {}, b""))
            thread.start()
            thread.join()
        deadline = time.monotonic() + 60
        while open_descriptors() > before + 2 and time.monotonic() < deadline:
            time.sleep(0.01)  # the server, in this process too, closes its side a moment later
        assert open_descriptors() <= before + 2


# Packed answers


def body_of(reply_to: Callable[[Asked], Told]) -> bytes:
    with scripted(reply_to) as server, closing(Transport(20)) as transport:
        return transport.send("GET", server.url, {}, b"").body


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip"])
@pytest.mark.parametrize("size", [0, 1, LONGEST_PIECE, 3 * LONGEST_PIECE + 7])
def test_gzip_is_asked_for_and_unpacked(coding: str, size: int) -> None:
    """gzip is the only coding that a request offers."""
    text = b"<R>" + b"ab" * size
    told: list[str] = []

    def answer(asked: Asked) -> Told:
        told.append(asked.headers["accept-encoding"])
        return Told(200, gzip.compress(text), {"Content-Encoding": coding})

    assert body_of(answer) == text
    assert told == ["gzip"]


@pytest.mark.parametrize("coding", ["deflate", "br", "zstd", "gzip, gzip", "compress"])
def test_a_coding_that_was_not_asked_for_is_refused(coding: str) -> None:
    """An unrequested content coding is refused, unless the body is empty."""
    with pytest.raises(Interrupted, match="packed in a way"):
        body_of(lambda _: Told(200, zlib.compress(b"x"), {"Content-Encoding": coding}))
    assert body_of(lambda _: Told(200, b"", {"Content-Encoding": coding})) == b""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(b"x" * 1000)[:-9], "was cut"),
        (b"no gzip at all", "gzip is broken"),
        (b"\x1f", "was cut"),
    ],
    ids=["cut", "none", "one byte"],
)
def test_a_broken_gzip_is_no_answer(body: bytes, reason: str) -> None:
    """A gzip body that is cut or damaged is not taken for the whole."""
    with pytest.raises(Interrupted, match=reason):
        body_of(lambda _: Told(200, body, {"Content-Encoding": "gzip"}))


def test_a_bomb_is_unpacked_in_small_pieces() -> None:
    """A compressed bomb is unpacked in small pieces, so that the size limit stops it in time."""
    bomb = gzip.compress(b"\0" * (4 * response_xml.SIZE_LIMIT))
    assert len(bomb) < 80_000  # so it may well arrive at once
    sizes = [len(piece) for piece in unpacked([bomb], "gzip")]
    assert max(sizes) <= LONGEST_PIECE
    assert sum(sizes) == 4 * response_xml.SIZE_LIMIT
    with pytest.raises(Interrupted, match="larger than 16 MB"):
        body_of(lambda _: Told(200, bomb, {"Content-Encoding": "gzip"}))


# Cookies


def test_no_cookie_is_kept(naps: Naps) -> None:
    """A service that sets cookies gets none back: they would pile up, and nobody has asked for a session."""
    told = Told(body=entries("a"), headers={"Set-Cookie": "session=1; Path=/"})
    with served(always(told), naps) as (server, api):
        api.check()
        api.check()
        assert [asked.headers.get("cookie") for asked in server.asked] == [None] * 3
