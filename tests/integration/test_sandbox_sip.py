"""The sandbox's registrar, met by a phone of plain sockets over UDP and TCP."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape

import httpx
import pytest

from tests.integration.registering import entry, of_one
from tests.integration.sandbox_client import CREDENTIALS, REALMS, client, realm_body, texts
from tests.integration.sip_phone import Phone, Wire, md5
from tests.sandbox import Sandbox
from worker.register import AuthName, RegisterOptions, RegisterResult, ServerAddress, Verdict

PASSWORD = "Tb7xQ2mK9rL4vN8s"
USERS = {"clitest": PASSWORD, "bob@somewhere.com": 'päss,"wörd\\', "+1919": PASSWORD}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with a registrar on a port of its own."""
    server = Sandbox(tmp_path_factory.mktemp("edge"), "--sip-port", "0")
    yield server
    server.close()


@pytest.fixture
def registrar(edge: Sandbox) -> Sandbox:
    """The same as new, with three users on its default realm."""
    edge.reset()
    store(edge, USERS)
    return edge


@pytest.fixture
def wire(registrar: Sandbox) -> Iterator[Callable[[str], Wire]]:
    """Makes connections to the registrar: ``udp``, ``tcp``."""
    made: list[Wire] = []

    def make(transport: str) -> Wire:
        made.append(Wire(registrar.sip_port, transport))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def realm(registrar: Sandbox) -> str:
    """The realm's host name."""
    return str(registrar.credentials()[0]["realm"])


@pytest.fixture
def phone(wire: Callable[[str], Wire], realm: str) -> Phone:
    """The phone of clitest, over UDP."""
    return Phone(wire("udp"), realm, "clitest", PASSWORD)


def store(sandbox: Sandbox, users: dict[str, str]) -> None:
    """Put users on the default realm, with the digests of their passwords."""
    with client(sandbox) as http:
        found = http.get("/api/v2/accounts/9900001/realms").text
        host = (
            found.partition("<Realms>")[2].partition("<Realm>")[2].partition("<Realm>")[2].partition("<")[0]
        )
        for name, password in users.items():
            inner = "".join(
                f"<{tag}>{escape(text)}</{tag}>"
                for tag, text in {
                    "UserName": name,
                    "Hash1": md5(name, host, password),
                    "Hash1b": md5(f"{name}@{host}", host, password),
                }.items()
            )
            body = f"<SipCredentials><SipCredential>{inner}</SipCredential></SipCredentials>"
            assert http.post(CREDENTIALS, content=body.encode()).status_code == 201


def bound(sandbox: Sandbox) -> dict[str, list[str]]:
    """Return contacts by user, as the sandbox itself reports them."""
    found: dict[str, list[str]] = {}
    for line in sandbox.lines("bindings"):
        found.setdefault(line["composite"], []).append(line["contact"])
    return found


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("user", "digest"), [("clitest", "hash1"), ("clitest@{realm}", "hash1b"),
                                              ("bob@somewhere.com", "hash1"), ("+1919", "hash1"),
                                              ("bob@somewhere.com@{realm}", "hash1b")])  # fmt: skip
def test_each_digest_opens_with_its_name(
    registrar: Sandbox, wire: Callable[[str], Wire], realm: str, transport: str, user: str, digest: str
) -> None:
    """A user answers with Hash1, user@realm with Hash1b, for composite names and non-ASCII passwords, too."""
    composite = user.removesuffix("@{realm}")
    to = f"sip:{composite.replace('@', '%40')}@{realm}"
    phone = Phone(wire(transport), realm, user.format(realm=realm), USERS[composite], to)
    assert (phone.register().status, registrar.lines("sip")[-1]["digest"]) == (200, digest)
    wrong = Phone(wire(transport), realm, user.format(realm=realm), PASSWORD + "x", to)
    assert (wrong.register().status, registrar.lines("sip")[-1]["digest"]) == (403, "")


def test_each_digest_alone_is_not_enough_for_the_other_name(registrar: Sandbox, phone: Phone) -> None:
    """With Hash1b changed, user still registers and user@realm does not: each name has its own digest."""
    with client(registrar) as http:
        inner = f"<Hash1>{md5('clitest', phone.realm, PASSWORD)}</Hash1><Hash1b>{'0' * 32}</Hash1b>"
        body = f"<SipCredential>{inner}</SipCredential>"
        assert http.put(f"{CREDENTIALS}/clitest", content=body).status_code == 200
    assert phone.register().status == 200
    phone.to, phone.name = f"sip:clitest@{phone.realm}", f"clitest@{phone.realm}"
    assert phone.register().status == 403


def test_asking_changes_nothing_and_lists_who_is_there(registrar: Sandbox, phone: Phone) -> None:
    """A REGISTER without Contact binds nothing; its 200 lists the contacts with the seconds left to each."""
    assert (phone.register().contacts, bound(registrar)) == ({}, {})
    phone.register("Contact: <sip:clitest@192.0.2.7:5062;transport=udp>", "Expires: 600")
    phone.register('Contact: "Desk, \\"two\\"" <sip:clitest@192.0.2.8>;expires=60')
    contacts = phone.register().contacts
    assert list(contacts) == ["sip:clitest@192.0.2.7:5062;transport=udp", "sip:clitest@192.0.2.8"]
    assert list(contacts.values()) == [pytest.approx(600, abs=30), pytest.approx(60, abs=30)]
    assert bound(registrar) == {"clitest": list(contacts)}


def test_unbinding(registrar: Sandbox, phone: Phone) -> None:
    """Expires: 0 removes one contact, * removes all of them."""
    phone.register(
        "Contact: <sip:one@192.0.2.1>, <sip:two@192.0.2.2>", "Contact: sip:three@192.0.2.3;expires=900"
    )
    assert len(bound(registrar)["clitest"]) == 3
    assert list(phone.register("Contact: <sip:two@192.0.2.2>;expires=0").contacts) == [
        "sip:one@192.0.2.1",
        "sip:three@192.0.2.3",
    ]
    assert phone.register("Contact: *").status == 400
    assert phone.register("Contact: *", "Expires: 0").contacts == {}
    assert bound(registrar) == {}


def test_a_binding_ends_by_itself(registrar: Sandbox, phone: Phone) -> None:
    """After its seconds a phone is registered no more."""
    phone.register("Contact: <sip:one@192.0.2.1>;expires=3")
    assert bound(registrar) == {"clitest": ["sip:one@192.0.2.1"]}
    end = time.monotonic() + 60
    while phone.register().contacts:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert bound(registrar) == {}


def test_a_change_that_arrives_late_is_refused(registrar: Sandbox, phone: Phone) -> None:
    """In one Call-ID a lower CSeq changes nothing (RFC 3261, section 10.3, step 7); another Call-ID does."""
    phone.register("Contact: <sip:one@192.0.2.1>")
    later, phone.cseq = phone.cseq, 0
    assert phone.register("Contact: <sip:one@192.0.2.1>;expires=0").status == 500
    assert bound(registrar) == {"clitest": ["sip:one@192.0.2.1"]}
    phone.cseq, phone.call_id = 0, "after-a-restart"
    assert phone.register("Contact: <sip:one@192.0.2.1>;expires=0").status == 200
    assert later > 0
    assert bound(registrar) == {}


def test_a_challenge_is_new_each_time(phone: Phone) -> None:
    """Nonces don't repeat; the challenge has realm, algorithm and qop, and the answer its Via as it came."""
    answers = [phone.ask() for _ in range(3)]
    challenges = [answer.challenge() for answer in answers]
    assert len({one["nonce"] for one in challenges}) == 3
    assert {(one["realm"], one["algorithm"], one["qop"]) for one in challenges} == {
        (phone.realm, "MD5", "auth")
    }
    port = phone.wire.socket.getsockname()[1]
    assert all(f";rport={port};received=127.0.0.1" in answer.all("via")[0] for answer in answers)
    assert all("tag=" in answer.all("to")[0] for answer in answers)


def test_an_old_nonce_is_stale(registrar: Sandbox, phone: Phone) -> None:
    """The right password with an old nonce, a used up one, or a count seen before: 401, stale, not 403."""
    first = phone.ask().challenge()
    header = phone.authorization(first)
    assert phone.ask(header).status == 200
    assert phone.ask(header).challenge()["stale"] == "true"
    assert phone.ask(phone.authorization(first)).status == 200
    registrar.knobs(sip_nonce_seconds=0)
    stale = phone.ask(phone.authorization(first))
    assert (stale.status, stale.challenge()["stale"]) == (401, "true")
    registrar.knobs(sip_nonce_seconds=60, sip_nonce_uses=1)
    fresh = stale.challenge()
    assert [phone.ask(phone.authorization(fresh)).status for _ in range(2)] == [200, 401]


def test_an_old_nonce_does_not_excuse_a_wrong_password(registrar: Sandbox, phone: Phone) -> None:
    """stale=true is only sent to a client that knows the password; a guess gets 403."""
    challenge = phone.ask().challenge()
    assert "stale" not in challenge
    registrar.knobs(sip_nonce_seconds=0)
    phone.password = "guess"
    assert phone.ask(phone.authorization(challenge)).status == 403


def test_the_way_of_before_qop(phone: Phone) -> None:
    """A phone that leaves qop out (RFC 2069) is accepted by its password, too."""
    assert phone.register(qop=False).status == 200
    phone.password = "guess"
    assert phone.register(qop=False).status == 403


def test_a_request_that_comes_again_gets_the_same_answer(registrar: Sandbox, phone: Phone) -> None:
    """Over UDP a retransmission is answered from memory: no second attempt, no second nonce."""
    data = phone.request(branch="z9hG4bK-again")
    answers = []
    for _ in range(3):
        phone.wire.send(data)
        answers.append(phone.wire.receive())
    assert len(set(answers)) == 1
    assert len(registrar.lines("sip")) == 1


def test_requests_in_a_tcp_stream(registrar: Sandbox, wire: Callable[[str], Wire], realm: str) -> None:
    """Several in one packet, one in pieces, empty lines and bodies between them: each gets its answer."""
    phone = Phone(wire("tcp"), realm, "clitest", PASSWORD)
    body = phone.request().replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: 5\r\n\r\nhello")
    phone.wire.send(b"\r\n\r\n" + body + phone.request() + phone.request())
    assert [phone.wire.receive().status for _ in range(3)] == [401, 401, 401]
    for byte in phone.request():
        phone.wire.send(bytes([byte]))
    assert phone.wire.receive().status == 401
    assert [line["transport"] for line in registrar.lines("sip")] == ["tcp"] * 4


def test_what_is_refused(registrar: Sandbox, phone: Phone) -> None:
    """404 for an unknown realm, 405 for another method, 403 for another's address, 400 for what is broken."""
    assert phone.ask(uri="sip:nowhere.auth.bandwidth.com").status == 404
    assert phone.ask(uri="sip:1101").status == 404  # a realm's id is none of its names here
    phone.wire.send(phone.request(method="INVITE"))
    answer = phone.wire.receive()
    assert (answer.status, answer.all("allow")) == (405, ["REGISTER"])
    phone.wire.send(phone.request().replace(b"Call-ID:", b"X-Other:"))
    assert phone.wire.receive().status == 400
    phone.wire.send(phone.request().replace(b"CSeq: ", b"CSeq: x"))
    assert phone.wire.receive().status == 400
    assert phone.ask("Authorization: Digest username=clitest").status == 400
    assert phone.register("Contact: <http://192.0.2.1>").status == 400
    assert phone.register(f"Contact: {', '.join(f'<sip:{n}@192.0.2.1>' for n in range(11))}").status == 400
    assert phone.ask(phone.authorization(phone.ask().challenge(), uri="sip:else.example.com")).status == 400
    other = Phone(phone.wire, phone.realm, "clitest", PASSWORD, to=f"sip:bob@{phone.realm}")
    assert other.register("Contact: <sip:one@192.0.2.1>").status == 403
    unknown = Phone(phone.wire, phone.realm, "nobody", PASSWORD)
    assert unknown.register().status == 403
    assert bound(registrar) == {}


def test_a_deleted_user_is_registered_no_more(registrar: Sandbox, phone: Phone) -> None:
    """With the credential its phones are gone, also for one of the same name that comes after it."""
    phone.register("Contact: <sip:one@192.0.2.1>")
    with client(registrar) as http:
        assert http.delete(f"{CREDENTIALS}/clitest").status_code == 200
    assert phone.register().status == 403
    store(registrar, {"clitest": PASSWORD})
    assert phone.register().contacts == {}


def test_an_edge_that_accepts_anything(registrar: Sandbox, phone: Phone) -> None:
    """sip_accepts_anything: a wrong password and a user who isn't get 200, too."""
    registrar.knobs(sip_accepts_anything=True)
    assert phone.register().status == 200
    phone.password = "guess"
    assert phone.register().status == 200
    assert Phone(phone.wire, phone.realm, "nobody", "x").register().status == 200


def test_an_edge_that_does_not_answer_questions(registrar: Sandbox, phone: Phone) -> None:
    """sip_contact_needed: without a Contact 400, whatever the password; with one all is as ever."""
    registrar.knobs(sip_contact_needed=True)
    assert phone.ask().status == 400
    assert phone.register("Contact: <sip:one@192.0.2.1>;expires=5").status == 200


def test_an_edge_that_wants_sha256(registrar: Sandbox, phone: Phone) -> None:
    """sip_sha256: the only challenge, which the stored digests can't answer; or the first of two."""
    registrar.knobs(sip_sha256="first")
    algorithms = [re.search(r"algorithm=([\w-]+)", one) for one in phone.ask().all("www-authenticate")]
    assert [found[1] for found in algorithms if found] == ["SHA-256", "MD5"]
    assert phone.register().status == 200
    registrar.knobs(sip_sha256="only")
    challenge = phone.ask().challenge("SHA-256")
    assert phone.ask(phone.authorization(challenge)).status == 403


def test_an_edge_that_wants_sessions(registrar: Sandbox, phone: Phone) -> None:
    """sip_md5_sess: the password opens it, a guess doesn't, nor plain MD5 where it is the only challenge."""
    registrar.knobs(sip_md5_sess="first")
    algorithms = [re.search(r"algorithm=([\w-]+)", one) for one in phone.ask().all("www-authenticate")]
    assert [found[1] for found in algorithms if found] == ["MD5-sess", "MD5"]
    assert phone.register().status == 200
    registrar.knobs(sip_md5_sess="only")
    asked = phone.ask().challenge("MD5-sess")
    assert phone.ask(phone.authorization({**asked, "algorithm": "MD5"})).status == 403
    assert phone.ask(phone.authorization(asked, qop=False)).status == 400
    assert phone.ask(phone.authorization(asked)).status == 200
    assert phone.ask(phone.authorization(asked)).status == 200
    assert phone.ask(phone.authorization(asked, own="another")).challenge("MD5-sess")["stale"] == "true"
    phone.password = "guess"
    assert phone.ask(phone.authorization(phone.ask().challenge("MD5-sess"))).status == 403


@pytest.mark.parametrize(("name", "digest"), [("user", "hash1"), ("user@realm", "hash1b")])
@pytest.mark.parametrize("with_contact", [False, True])
def test_sessions_are_answered_from_the_stored_digests(
    registrar: Sandbox, realm: str, name: str, digest: str, with_contact: bool
) -> None:
    """verify registers if the registrar offers MD5-sess alone; with a contact, the session goes on."""
    registrar.knobs(sip_md5_sess="only")
    place = ServerAddress("127.0.0.1", registrar.sip_port)
    found = of_one(
        RegisterOptions(server=place, auth_name=AuthName(name), with_contact=with_contact),
        entry("clitest", PASSWORD, realm),
    )
    assert found == RegisterResult(Verdict.REGISTERS, bindings=0)
    assert digest in {line["digest"] for line in registrar.lines("sip")}
    assert bound(registrar) == {}


def test_an_edge_that_is_silent_slow_or_out_of_order(registrar: Sandbox, phone: Phone) -> None:
    """sip_silent, sip_loses (the third copy arrives), sip_latency and sip_status."""
    registrar.knobs(sip_silent=True)
    phone.wire.send(phone.request())
    with pytest.raises(TimeoutError):
        phone.wire.receive(0.3)
    registrar.knobs(sip_silent=False, sip_loses=2)
    data = phone.request()
    for _ in range(2):
        phone.wire.send(data)
        with pytest.raises(TimeoutError):
            phone.wire.receive(0.2)
    phone.wire.send(data)
    assert phone.wire.receive().status == 401
    registrar.knobs(sip_loses=0, sip_latency=2)
    phone.wire.send(phone.request())
    with pytest.raises(TimeoutError):
        phone.wire.receive(0.2)
    assert phone.wire.receive().status == 401
    registrar.knobs(sip_latency=0, sip_status=503)
    assert phone.ask().status == 503


HOSTILE = [
    b"",
    b"\x00" * 60_000,
    b"REGISTER sip:x SIP/2.0",
    b"REGISTER sip:x SIP/2.0\r\n\r\n",
    b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n",
    b"REGISTER sip:x SIP/2.0\r\n" + b"Via: x\r\n" * 2_000 + b"\r\n",
    b"REGISTER sip:x SIP/2.0\r\nVia: " + b"a" * 50_000 + b"\r\n\r\n",
    b"REGISTER sip:x SIP/2.0\r\nVia: x\r\nTo: \xff\xfe\x00\r\n\r\n",
    b"REGISTER sip:x SIP/2.0\r\nVia: x\r\nContent-Length: 99999999999999\r\n\r\n",
    b"REGISTER sip:x SIP/2.0\r\nVia: x\r\nContent-Length: -1\r\n\r\n",
    b"REGISTER sip:x SIP/2.0\r\nVia: x\r\n folded\r\n\tmore\r\nno colon\r\n\r\n",
]


def statuses(wire: Wire) -> set[int]:
    """Return the status of every answer until the connection ends."""
    found: set[int] = set()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            found.add(wire.receive().status)
    return found


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_hostile_input_ends_nothing(
    registrar: Sandbox, wire: Callable[[str], Wire], phone: Phone, transport: str
) -> None:
    """Hostile input is dropped, refused or answered; the registrar goes on, without a traceback."""
    for data in HOSTILE:
        one = wire(transport)
        one.send(data)
        if transport == "tcp":
            one.socket.shutdown(socket.SHUT_WR)
            assert statuses(one) <= {400}
    assert phone.register().status == 200
    assert httpx.get(f"{registrar.url}/_sandbox/health", trust_env=False).status_code == 200
    assert "Traceback" not in (registrar.folder / "server.log").read_text()


@pytest.mark.parametrize("piece", [b"X: y\r\n", b"x" * 1_000, b" folded\r\n", b"Via: x, y, z\r\n"])
def test_a_head_that_never_ends_ends_the_connection(
    registrar: Sandbox, wire: Callable[[str], Wire], piece: bytes
) -> None:
    """A stream may send some kilobytes of headers, not what it likes: 16 KiB are the bound."""
    one = wire("tcp")
    one.send(b"REGISTER sip:x SIP/2.0\r\nVia: x\r\n")
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 10_000_000:
            one.send(piece * (10_000 // len(piece)))
            sent += 10_000
    assert sent < 10_000_000
    assert registrar.lines("sip") == []


def test_a_datagram_with_too_much_in_it_is_dropped(registrar: Sandbox, phone: Phone) -> None:
    """More headers, or a longer one, than anybody needs; the same with fewer is answered."""
    many, long = ["X-Other: y"] * 500, ["X-Other: " + "y" * 20_000]
    for headers in (many, long):
        phone.wire.send(phone.request(*headers))
        phone.wire.send(phone.request(*(header[:1_000] for header in headers[:50])))
        assert phone.wire.receive().status == 401
    assert len(registrar.lines("sip")) == 2


def test_a_realm_that_is_not_active(registrar: Sandbox, phone: Phone) -> None:
    """A realm that is still being created gets 404."""
    registrar.knobs(realm_pending=60)
    with client(registrar) as http:
        made = http.post(REALMS, content=realm_body("later"))
        assert made.status_code == 201
    (pending,) = texts(made, "Realm/Realm")
    assert phone.ask(uri=f"sip:{pending}").status == 404


def test_broken_contacts_and_answers(phone: Phone) -> None:
    """Long, odd and half headers of the parts that are read more closely get an answer, soon."""
    contacts = [
        *(",", '"', "<", "<>", '"' * 9_001, "<" * 9_001, " " * 9_000 + "<", ";" * 9_000),
        *("<sip:a@b>;expires=" + "9" * 5_000, "sip:" + "a" * 9_000),
    ]
    odd = [
        *(f"Contact: {text}" for text in contacts),
        "Expires: 1e9", "Expires: -1", "Expires: " + "9" * 9_000,
    ]  # fmt: skip
    assert {phone.register(header).status for header in odd} <= {200, 400}
    answers = ['username="' + "\\" * 9_001, ", , ,", "=" * 9_000, 'a="b" c="d"', "a=b, " * 1_000, " " * 9_000]
    assert {phone.ask(f"Authorization: Digest {text}").status for text in answers} == {400}
    assert phone.ask("Authorization: Basic YTpi").status == 400


def test_the_registrar_runs_only_when_asked_for(sandbox: Sandbox, registrar: Sandbox) -> None:
    """/_sandbox/health reports the registrar's port, or null if it isn't running."""
    assert sandbox.control.get("health").json()["sip_port"] is None
    assert registrar.control.get("health").json()["sip_port"] == registrar.sip_port > 0


def test_no_secret_is_in_the_log(registrar: Sandbox, phone: Phone) -> None:
    """The log names user and digest used, never a digest, nonce or answer."""
    phone.register()
    text = registrar.control.get("sip").text
    assert '"user": "clitest"' in text
    assert re.search(r"[0-9a-f]{32}", text) is None
