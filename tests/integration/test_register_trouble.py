"""REGISTER where things go wrong: silence, noise, refusals, broken connections, DNS."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, contextmanager
from typing import Any

import dns.rcode
import pytest

from tests.dns_server import Dns
from tests.integration.registering import QUICK, REALM, SOON, entry, of_one, options_for, tried
from tests.servers import free_port
from tests.sip import Asked, ScriptedRegistrar, Users, scripted_registrar
from worker.register import (
    Entry,
    Lookup,
    Pace,
    RegisterOptions,
    RegisterResult,
    ServerAddress,
    Timers,
    Transport,
    Verdict,
    Verifier,
    Waiting,
)
from worker.waits import HERE, WaitKind

ONCE = Timers(t1=30, t2=30, total=30)
"""Nothing is sent again within a test."""


@pytest.fixture
def users() -> Users:
    """One user."""
    return Users(REALM, {"alice": "right"})


# Silence


def test_a_datagram_is_sent_eleven_times(users: Users) -> None:
    """A datagram is sent eleven times, always the same; then the row has no answer, and the rest stops."""
    with scripted_registrar(lambda _: []) as registrar:
        found, given_up = tried(options_for(registrar, timers=QUICK), [entry(), entry("bob")])
        arrived(registrar, 11)
    assert len(set(registrar.messages)) == 1
    assert [one.verdict for one in found] == [Verdict.NO_ANSWER, Verdict.CANNOT_TELL]
    assert "did not answer in" in found[0].error
    assert "does not answer" in given_up[0]


def arrived(registrar: ScriptedRegistrar, count: int) -> None:
    """Return whether so many messages came; the last of them may take a moment."""
    end = time.monotonic() + 60
    while len(registrar.messages) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(registrar.messages) == count


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP, Transport.TLS])
def test_a_silent_registrar_is_told(transport: Transport) -> None:
    """The wait for a silent registrar names it, and ends with the transaction."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        port = server.getsockname()[1]
        datagrams.bind(("127.0.0.1", port))
        how = RegisterOptions(
            transport, server=ServerAddress("127.0.0.1", port), timers=Timers(t1=1, t2=1, total=1)
        )
        with ThreadPoolExecutor(1) as threads:
            found = threads.submit(of_one, how)
            while (wait := HERE.gravest()) is None and not found.done():
                time.sleep(0.01)
            assert found.result().verdict is Verdict.NO_ANSWER
    assert wait
    assert (wait.kind, HERE.gravest()) == (WaitKind.REGISTRAR, None)
    assert wait.reason.startswith(f"127.0.0.1:{port} ({transport}): no ")
    assert wait.left is not None


def test_a_slow_rate_is_told(users: Users) -> None:
    """The wait for the next row's turn is reported."""
    with scripted_registrar(users) as registrar, ThreadPoolExecutor(1) as threads:
        verifier = Verifier(options_for(registrar), Pace(0.6), 1)
        told = threads.submit(lambda: asyncio.run(all_of(verifier, [entry(), entry()])))
        paced: set[str] = set()
        while not told.done():
            if (wait := HERE.gravest()) and wait.kind is WaitKind.PACED:
                paced.add(wait.reason)
            time.sleep(0.01)
        assert told.result() == 2
    assert paced == {"--rate 0.6"}


async def all_of(verifier: Verifier, entries: list[Entry]) -> int:
    """Return how many rows came back."""
    async with aclosing(verifier.results(entries)) as results:
        count = len([result async for _, result in results])
    await verifier.close()
    return count


def test_a_provisional_answer_is_none(users: Users) -> None:
    """100 Trying slows the repetitions down; without a final answer it is a time-out all the same."""
    timers = Timers(t1=1, t2=3, total=4)
    assert len(list(timers.waits(lambda: False))) == 3
    with scripted_registrar(lambda asked: [asked.answered("100 Trying")]) as registrar:
        assert of_one(options_for(registrar, timers=timers)).verdict is Verdict.NO_ANSWER
        arrived(registrar, 2)


def test_a_lost_datagram_is_sent_again(users: Users) -> None:
    """A third copy that arrives is enough; with the password, too, it counts as the same attempt."""
    copies = itertools.count(1)
    with scripted_registrar(lambda asked: users(asked) if next(copies) % 3 == 0 else []) as registrar:
        assert of_one(options_for(registrar)).verdict is Verdict.REGISTERS
    assert len(registrar.asked) == 4


def test_silence_after_the_password(users: Users) -> None:
    """A registrar that is silent after the password is not asked again, nor is another one."""
    with scripted_registrar(lambda asked: [] if asked.credentials else users(asked)) as registrar:
        assert of_one(options_for(registrar, timers=SOON)).verdict is Verdict.NO_ANSWER
    assert len(registrar.asked) == 2


def test_nobody_listens() -> None:
    """If nobody listens, the host says so at once, and the full 32 seconds are not waited."""
    for transport, said in ((Transport.UDP, "nothing listens on"), (Transport.TCP, "connection refused")):
        how = RegisterOptions(
            transport=transport, server=ServerAddress("127.0.0.1", free_port()), timers=ONCE
        )
        found = of_one(how)
        assert found.verdict is Verdict.NO_ANSWER
        assert said in found.error


def test_a_registrar_that_falls_silent(users: Users) -> None:
    """Twenty rows in a row without an answer (408 counts as none) are enough to stop."""
    rows = [entry(), *(entry(f"user{number}") for number in range(25))]

    def some(asked: Asked) -> Sequence[bytes]:
        mine = asked.headers["to"] == f"<sip:alice@{REALM}>"
        return users(asked) if mine else [asked.answered("408 Request Timeout")]

    with scripted_registrar(some) as registrar:
        found, given_up = tried(options_for(registrar), rows)
    verdicts = [one.verdict for one in found]
    assert verdicts == [Verdict.REGISTERS, *[Verdict.NO_ANSWER] * 20, *[Verdict.CANNOT_TELL] * 5]
    assert "stopped answering" in given_up[0]


# Noise


def noise(asked: Asked) -> list[bytes]:
    """Return messages that a client must ignore: each has something that doesn't belong to this request."""
    via = asked.headers["via"]
    number = int(asked.headers["cseq"].split()[0])
    return [
        b"",
        b"\x00\xff" * 40,
        b"SIP/2.0 200 OK\r\n\r\n",
        asked.raw,
        asked.answered("200 OK", via=via.replace("z9hG4bK", "z9hG4bKx")),
        asked.answered("200 OK", cseq=f"{number + 1} REGISTER"),
        asked.answered("200 OK", cseq=f"{number} INVITE"),
        asked.answered("200 OK", via=""),
        asked.answered("200 OK", via=f"SIP/2.0/UDP proxy;branch=z9hG4bKp, {via}"),
        asked.answered("180 Ringing"),
    ]


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_what_answers_something_else_is_dropped(users: Users, transport: Transport) -> None:
    """Another branch, another number, another method, two Vias, noise: none of it ends the waiting."""
    told: Callable[[Asked], list[bytes]] = (
        noise if transport is Transport.UDP else lambda asked: [one for one in noise(asked)[3:] if one]
    )
    with scripted_registrar(lambda asked: [*told(asked), *users(asked)]) as registrar:
        how = options_for(registrar, transport=transport, timers=ONCE)
        assert of_one(how).verdict is Verdict.REGISTERS
        assert of_one(how, entry(password="wrong")).verdict is Verdict.WRONG_PASSWORD


def test_answers_that_come_late_or_twice(users: Users) -> None:
    """The first final answer counts; the challenge's second copy doesn't answer the password."""
    with scripted_registrar(lambda asked: [*users(asked), asked.answered("500 Late")] * 2) as registrar:
        assert of_one(options_for(registrar, timers=ONCE)).verdict is Verdict.REGISTERS


def test_answers_in_pieces_and_several_in_one(users: Users) -> None:
    """On a stream, Content-Length separates messages, however they are cut; keep-alives are ignored."""

    def pieces(asked: Asked) -> Sequence[bytes]:
        early = asked.answered("100 Trying", body="SIP/2.0 200 OK\r\n\r\n")
        (answer,) = users(asked)
        whole = b"\r\n\r\n" + early + b"\r\n" + answer
        return [whole[:40], whole[40:41], whole[41:]]

    with scripted_registrar(pieces) as registrar:
        how = options_for(registrar, transport=Transport.TCP, timers=ONCE)
        assert of_one(how).verdict is Verdict.REGISTERS


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SIP/2.0 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"SIP/2.0 200 OK\r\nContent-Length: 70000\r\n\r\n",
        b"SIP/2.0 200 OK\r\nX: " + b"y" * 40_000,
    ],
)
def test_a_stream_that_can_not_be_read_on(users: Users, answer: bytes) -> None:
    """A stream that broke, or whose next message can't be found, ends the wait for an answer."""
    with scripted_registrar(lambda _: [answer, b""]) as registrar:
        found = of_one(options_for(registrar, transport=Transport.TCP, timers=ONCE))
    assert found.verdict is Verdict.NO_ANSWER
    assert "broke" in found.error


def test_a_connection_that_ends_is_opened_again(users: Users) -> None:
    """A registrar that closes after each row still works: the first request may be sent twice."""
    users.passwords |= {f"user{number}": "right" for number in range(5)}
    ends = [b""]
    with scripted_registrar(lambda asked: [*users(asked), *(ends if asked.credentials else [])]) as registrar:
        rows = [entry(f"user{number}") for number in range(5)]
        found, _ = tried(options_for(registrar, transport=Transport.TCP, timers=ONCE), rows)
    assert [one.verdict for one in found] == [Verdict.REGISTERS] * 5
    assert registrar.connections >= 6


def test_a_question_is_asked_again_over_a_new_connection(users: Users) -> None:
    """A request is repeated once if its connection ended: an idle one may have been closed long ago."""
    copies = itertools.count(1)

    def breaking(asked: Asked) -> Sequence[bytes]:
        return [b""] if not asked.credentials and next(copies) % 2 else users(asked)

    with scripted_registrar(breaking) as registrar:
        found = of_one(options_for(registrar, transport=Transport.TCP, timers=ONCE))
    assert found.verdict is Verdict.REGISTERS
    assert next(copies) == 5


def test_a_password_is_not_sent_twice_over_a_broken_connection(users: Users) -> None:
    """Nobody knows whether a password on a broken connection was seen: the row has no answer."""
    with scripted_registrar(lambda asked: [b""] if asked.credentials else users(asked)) as registrar:
        found = of_one(options_for(registrar, transport=Transport.TCP, timers=ONCE))
    assert found.verdict is Verdict.NO_ANSWER
    assert len([one for one in registrar.asked if one.credentials]) == 1


# Refusals


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("404 Not Found", Verdict.REFUSED),
        ("403 Forbidden", Verdict.REFUSED),
        ("606 Not Acceptable", Verdict.REFUSED),
        ("302 Moved Temporarily", Verdict.CANNOT_TELL),
        ("503 Service Unavailable", Verdict.CANNOT_TELL),
        ("200 OK", Verdict.CANNOT_TELL),
        ("408 Request Timeout", Verdict.NO_ANSWER),
        ("401 Unauthorized", Verdict.CANNOT_TELL),
    ],
)
def test_before_a_password_was_asked_for(status: str, verdict: Verdict) -> None:
    """No answer to a REGISTER without credentials says whether a password is right or wrong."""
    with scripted_registrar(lambda asked: [asked.answered(status)]) as registrar:
        found = of_one(options_for(registrar))
    assert found.verdict is verdict
    assert status in found.error
    assert len(registrar.asked) == 1


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("403 Forbidden", Verdict.WRONG_PASSWORD),
        ("404 Not Found", Verdict.REFUSED),
        ("500 Oops", Verdict.CANNOT_TELL),
        ("301 Moved Permanently", Verdict.CANNOT_TELL),
        ("423 Interval Too Brief", Verdict.CANNOT_TELL),
        ("407 Proxy Authentication Required", Verdict.CANNOT_TELL),
    ],
)
def test_after_the_password(users: Users, status: str, verdict: Verdict) -> None:
    """After the password, only a refusal of the credentials concerns it; nothing else is asked."""
    with scripted_registrar(
        lambda asked: [asked.answered(status)] if asked.credentials else users(asked)
    ) as registrar:
        found = of_one(options_for(registrar))
    assert found.verdict is verdict
    assert len(registrar.asked) == 2


def test_sha_256_is_told_apart(users: Users) -> None:
    """SHA-256 is reported, and no attempt is made that could only be refused."""
    sha = f'WWW-Authenticate: Digest realm="{REALM}", nonce="n", algorithm=SHA-256'
    with scripted_registrar(lambda asked: [asked.answered("401 Unauthorized", sha)]) as registrar:
        found = of_one(options_for(registrar))
    assert found.verdict is Verdict.CANNOT_TELL
    assert "the server wants SHA-256; the stored digest can't answer it" in found.error
    assert len(registrar.asked) == 1


def test_a_broken_character_is_no_crash() -> None:
    """A password that has no UTF-8 form can't be tried."""
    found = of_one(RegisterOptions(server=ServerAddress("127.0.0.1", free_port())), entry(password="\ud800"))
    assert found == RegisterResult(Verdict.CANNOT_TELL, "a user name, realm or password is not valid Unicode")


# DNS


@contextmanager
def nameserver(
    *records: str, service: str = "_sip._udp", realm: str = REALM, silent: bool = False,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
) -> Iterator[Lookup]:  # fmt: skip
    """DNS that has these records of a realm."""
    with closing(Dns({f"{service}.{realm}": records}, silent=silent, rcode=rcode)) as server:
        yield Lookup(server.address, seconds=1)


@pytest.mark.parametrize(
    ("transport", "service"),
    [(Transport.UDP, "_sip._udp"), (Transport.TCP, "_sip._tcp"), (Transport.TLS, "_sips._tcp")],
)
def test_records_are_tried_by_priority(users: Users, transport: Transport, service: str) -> None:
    """The lowest priority number comes first; a server where nobody listens is skipped for all rows."""
    users.passwords["bob"] = "right"
    with scripted_registrar(users) as registrar:
        records = [f"20 0 {registrar.port} localhost.", f"10 0 {free_port()} localhost."]
        with nameserver(*records, service=service) as lookup:
            if transport is Transport.TLS:  # the scripted one speaks none: that is no connection, too
                found = of_one(RegisterOptions(transport=transport, lookup=lookup, timers=QUICK))
                assert found.verdict is Verdict.NO_ANSWER
                assert f":{registrar.port} " in found.error
            else:
                rows = [entry(), entry("bob")]
                both, _ = tried(RegisterOptions(transport=transport, lookup=lookup, timers=ONCE), rows)
                assert [one.verdict for one in both] == [Verdict.REGISTERS] * 2


@pytest.mark.parametrize("status", ["403 Forbidden", ""])
def test_an_answer_is_not_looked_for_elsewhere(users: Users, status: str) -> None:
    """After a 403, or silence after a password, the next server is not asked."""

    def unwilling(asked: Asked) -> Sequence[bytes]:
        return ([asked.answered(status)] if status else []) if asked.credentials else users(asked)

    with (
        scripted_registrar(unwilling) as first,
        scripted_registrar(users) as second,
        nameserver(f"1 0 {first.port} localhost.", f"2 0 {second.port} localhost.") as lookup,
    ):
        assert of_one(RegisterOptions(lookup=lookup, timers=SOON)).verdict is not Verdict.REGISTERS
        assert second.asked == []


def test_a_silent_server_is_passed_over(users: Users) -> None:
    """Time-outs lead to the next one (RFC 3263, section 4.3), and the rows behind begin there."""
    users.passwords["bob"] = "right"
    with (
        scripted_registrar(lambda _: []) as first,
        scripted_registrar(users) as second,
        nameserver(f"1 0 {first.port} localhost.", f"2 0 {second.port} localhost.") as lookup,
    ):
        found, _ = tried(RegisterOptions(lookup=lookup, timers=SOON), [entry(), entry("bob")])
    assert [one.verdict for one in found] == [Verdict.REGISTERS] * 2
    assert len(first.asked) == 1


class Late(dict[str, Sequence[str]]):
    """Records that exist only after they were asked for so many times."""

    def __init__(self, times: int, *records: str) -> None:
        super().__init__({f"_sip._udp.{REALM}": records})
        self._left = times

    def get(self, name: str, default: Any = None) -> Any:
        self._left -= 1
        return default if self._left >= 0 else super().get(name, default)


async def local_only(place: ServerAddress, transport: Transport) -> list[tuple[str, int]]:
    """The addresses of a host: only this machine has one."""
    return [("127.0.0.1", place.port)] if place.host == "localhost" else []


@pytest.mark.parametrize("appears", [True, False])
def test_a_realm_whose_name_does_not_exist_yet(users: Users, appears: bool) -> None:
    """A new realm's name is looked up again until it exists or the time is over, with one message."""
    told: list[str] = []
    with scripted_registrar(users) as registrar:
        records = Late(1 if appears else 1000, f"1 0 {registrar.port} localhost.")
        with closing(Dns(records)) as server:
            waiting = Waiting(30 if appears else 0.7, told.append)
            lookup = Lookup(server.address, 5, waiting, local_only)
            found, _ = tried(RegisterOptions(lookup=lookup), [entry()])
    assert (found[0].verdict is Verdict.REGISTERS) is appears
    assert [("does not know" in line, REALM in line, "until" in line) for line in told] == [
        (True, True, True)
    ]
    if not appears:
        assert "may not be in DNS yet" in found[0].error
        assert len(server.asked) > 1


def test_a_silent_resolver_is_not_a_name_that_does_not_exist() -> None:
    """If the resolver is silent, nobody knows whether the name exists, and nothing is waited for."""
    told: list[str] = []
    with closing(Dns({}, silent=True)) as server:
        lookup = Lookup(server.address, 0.3, Waiting(30, told.append), local_only)
        found = of_one(RegisterOptions(lookup=lookup))
    assert (found.verdict, "did not answer" in found.error, told) == (Verdict.CANNOT_TELL, True, [])


@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.NOERROR])
def test_no_record_means_the_realms_own_host(rcode: dns.rcode.Rcode) -> None:
    """If DNS is sure that there is no record, the host itself is asked, on port 5060 or 5061."""
    for transport, service, port in (
        (Transport.TCP, "_sip._tcp", 5060),
        (Transport.TLS, "_sips._tcp", 5061),
    ):
        with nameserver(service=service, realm="localhost", rcode=rcode) as lookup:
            found = of_one(
                RegisterOptions(transport=transport, lookup=lookup, timers=ONCE), entry(realm="localhost")
            )
            assert found.verdict is Verdict.NO_ANSWER
            assert f":{port} " in found.error


@pytest.mark.parametrize("silent", [False, True])
def test_dns_that_does_not_answer_is_not_sure_of_anything(silent: bool) -> None:
    """A failing or silent nameserver is no missing record."""
    with nameserver(realm="localhost", silent=silent, rcode=dns.rcode.SERVFAIL) as lookup:
        found = of_one(RegisterOptions(lookup=lookup, timers=ONCE), entry(realm="localhost"))
    assert found.verdict is Verdict.CANNOT_TELL
    assert "whether it has a record is not known" in found.error


def test_a_realm_that_has_no_such_service() -> None:
    """A record whose target is a dot says so (RFC 2782): its host is not asked."""
    with nameserver("0 0 0 .", realm="localhost") as lookup:
        found = of_one(RegisterOptions(lookup=lookup, timers=ONCE), entry(realm="localhost"))
    assert found.verdict is Verdict.CANNOT_TELL
    assert "no SIP service over udp" in found.error


def test_a_realm_that_is_no_name() -> None:
    """A realm that is no valid DNS name gives CANNOT_TELL, and no crash."""
    with nameserver(rcode=dns.rcode.NXDOMAIN) as lookup:
        for realm in ("a" * 64, "a..b", "é" * 70):
            assert of_one(RegisterOptions(lookup=lookup), entry(realm=realm)).verdict is Verdict.CANNOT_TELL
