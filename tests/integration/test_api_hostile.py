"""Answers that no honest service gives: redirects elsewhere, endless bodies, secrets in texts."""

from __future__ import annotations

import datetime as dt
import logging
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.integration.api_client import Naps, Permits, credential
from tests.scripted import Asked, Scripted, Told, scripted
from worker import __version__, throttle
from worker.api import Api, request_xml, response_xml
from worker.errors import (
    AnswerLost,
    ForeignAnswer,
    ListRefused,
    SiprosterError,
    StopJob,
    TryLater,
    Unavailable,
)
from worker.model import Endpoint, Family, Realm, Stored

ROOT = Path(__file__).parents[2]
REALM = Realm("7", "acme-0a1b2c.auth.bandwidth.com")
ALICE = credential(REALM, "alice")
SECRET = "canary-9d2f"
TOKEN = "canary-71b0"
Answer = Callable[[Asked], Told]


def with_token(answer: Answer) -> Answer:
    """The answer for everything but the token, which is issued."""

    def told(asked: Asked) -> Told:
        if asked.path == "/api/v1/oauth2/token":
            return Told(body=f'{{"access_token":"{TOKEN}"}}'.encode())
        return answer(asked)

    return told


def always(told: Told) -> Answer:
    return with_token(lambda _: told)


@contextmanager
def served(
    answer: Answer,
    naps: Naps,
    *,
    deadline: float = 5.0,
    budget: float = 60.0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[tuple[Scripted, Api]]:
    """A server that answers so, and a client of it that never really sleeps."""
    pace = throttle.local(None, naps.sleep, naps.clock)
    with scripted(answer, tls) as server:
        endpoint = Endpoint(server.url, "9900001", client_id="client", client_secret=SECRET)
        with closing(Api(endpoint, pace, sleep=naps.sleep, deadline=deadline, budget=budget)) as api:
            yield server, api


def response(inner: str) -> bytes:
    return f"<SipCredentialsResponse>{inner}</SipCredentialsResponse>".encode()


def entries(*names: str, following: str = "") -> bytes:
    found = "".join(
        f"<SipCredential><Id>{name}</Id><UserName>{name}</UserName><Hash1>{ALICE.hash1}</Hash1>"
        f"<Hash1b>{ALICE.hash1b}</Hash1b></SipCredential>"
        for name in names
    )
    links = f'<Links><next>Link=&lt;{following}&gt;;rel="next";</next></Links>' if following else ""
    return response(f"{links}<SipCredentials>{found}</SipCredentials>")


# Other origins


def test_a_link_is_never_followed(naps: Naps) -> None:
    """Only page and size are taken from the next page's URL; its host, path and filters are ignored."""
    with scripted(always(Told())) as elsewhere:
        link = f"{elsewhere.url}/iris/other?page=b%2B1&amp;size=9&amp;userNamefragment=evil"
        pages = {"1": entries("aaa-1", following=link), "b+1": entries("aaa")}
        answer = with_token(lambda asked: Told(body=pages[parse_qs(urlsplit(asked.path).query)["page"][0]]))
        with served(answer, naps) as (server, api):
            assert api.find(Family.REALM, REALM, "aaa") is not None
            own = "/api/v2/accounts/9900001/realms/7/sipcredentials?userNamefragment=aaa"
            assert [asked.path for asked in server.asked[1:]] == [
                f"{own}&page=1&size=500",
                f"{own}&page=b%2B1&size=9",
            ]
        assert elsewhere.asked == []


def test_a_list_that_is_moved_is_asked_on_its_own_path(naps: Naps) -> None:
    """A 303 in place of a list gives page and size; where else it points is not asked."""
    with scripted(always(Told())) as elsewhere:

        def answer(asked: Asked) -> Told:
            if "page=1&" in asked.path:
                return Told(303, headers={"Location": f"{elsewhere.url}/x?page=2&size=20"})
            return Told(body=entries("aaa"))

        with served(with_token(answer), naps) as (server, api):
            assert api.find(Family.REALM, REALM, "aaa") is not None
            assert server.asked[-1].path.endswith("/sipcredentials?userNamefragment=aaa&page=2&size=20")
        assert elsewhere.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_a_write_or_a_token_elsewhere(naps: Naps, permits: Permits, status: int) -> None:
    """A redirect stops the job with a word about the host; the other origin sees nothing at all."""
    with scripted(always(Told())) as elsewhere:
        moved = Told(status, headers={"Location": f"{elsewhere.url}/api/v2/accounts/9900001"})
        with served(always(moved), naps) as (_, api):
            with pytest.raises(StopJob) as caught:
                api.create(Family.ACCOUNT, REALM, [ALICE], permits)
            assert "BW_API_URL" in caught.value.hint
        with served(lambda _: moved, naps) as (_, api), pytest.raises(StopJob):
            api.check()
        assert elsewhere.asked == []


# Answers without end


@pytest.mark.parametrize("links", [["1"], ["2", "1"], ["2", "3", "4", "5", "6", "7"]])
def test_a_list_without_news_ends(naps: Naps, links: list[str]) -> None:
    """Pages that lead in a circle, or on and on with the same entries, are not read for ever."""
    following = dict(zip(["1", *links], [*links, "1"], strict=True))

    def answer(asked: Asked) -> Told:
        page = parse_qs(urlsplit(asked.path).query)["page"][0]
        return Told(body=entries("xx", "yy", following=f"?page={following[page]}&amp;size=500"))

    with served(with_token(answer), naps) as (server, api):
        assert api.find(Family.REALM, REALM, "aa") is None
        assert len(server.asked) <= 4


def test_a_dripping_answer_ends_at_the_deadline(naps: Naps, permits: Permits) -> None:
    """An answer that comes byte by byte never hits a read's own timeout, yet it is not waited for."""
    dripping = Told(201, b"<R>" + b" " * 10_000 + b"</R>", drip=0.02)
    with served(always(dripping), naps, deadline=0.3, budget=0) as (_, api):
        with pytest.raises(AnswerLost, match=r"no complete answer within 0\.3 s"):
            api.create(Family.ACCOUNT, REALM, [ALICE], permits)
        with pytest.raises(Unavailable, match=r"no complete answer within 0\.3 s"):
            api.realms()


def test_a_huge_answer_is_not_kept(naps: Naps) -> None:
    """A body above the limit is dropped before it is parsed."""
    huge = Told(body=b"<R>" + b" " * response_xml.SIZE_LIMIT + b"</R>")
    with (
        served(always(huge), naps, budget=0) as (_, api),
        pytest.raises(Unavailable, match="larger than 16 MB"),
    ):
        api.realms()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Log in<br></body></html>",
        b'<!DOCTYPE R [<!ENTITY x "xx">]><R>&x;</R>',
        b"<R><ValidSipCredentials>",
        b"\x00\xff",
    ],
)
def test_a_success_that_is_not_the_services(naps: Naps, permits: Permits, body: bytes) -> None:
    """A 2xx that isn't well-formed is a lost answer for a write, and an absent service for a read."""
    with served(always(Told(201, body)), naps, budget=1) as (_, api):
        with pytest.raises(AnswerLost):
            api.create(Family.ACCOUNT, REALM, [ALICE], permits)
        with pytest.raises(Unavailable, match="is malformed"):
            api.realms()


_MUTE = b"<R><ResponseStatus><Description/></ResponseStatus></R>"


@pytest.mark.parametrize("body", [b"", b"<html>Blocked by policy 4711<br></html>", b"<html/>", _MUTE])
@pytest.mark.parametrize("status", [400, 405, 409, 413, 418])
def test_a_refusal_that_is_not_the_services(naps: Naps, permits: Permits, status: int, body: bytes) -> None:
    """A proxy's page settles no write: it may have been done, and nothing of the page is repeated."""
    realm, stored = REALM, Stored("17", "alice", REALM.host)
    with served(always(Told(status, body)), naps) as (_, api):
        for write in (
            lambda: api.create(Family.ACCOUNT, realm, [ALICE], permits),
            lambda: api.update(Family.ACCOUNT, realm, stored, ALICE, permits),
            lambda: api.delete(Family.ACCOUNT, realm, stored, permits),
        ):
            with pytest.raises(ForeignAnswer) as caught:
                write()
            assert caught.value.text == f"HTTP {status}"
            assert "4711" not in str(caught.value)


def test_the_services_own_words_refuse_a_write(naps: Naps, permits: Permits) -> None:
    """The service's own refusal of a write counts, with a code or without, whatever the status."""
    for said in ("<ErrorCode>23006</ErrorCode>", "<Description>no</Description>"):
        body = f"<R><ResponseStatus>{said}</ResponseStatus></R>".encode()
        with served(always(Told(409, body)), naps) as (_, api), pytest.raises(ListRefused):
            api.create(Family.ACCOUNT, REALM, [ALICE], permits)


STOPS = [Told(401), Told(403), Told(302), Told(407), Told(404),
         Told(404, b"<R><ResponseStatus><ErrorCode>4022</ErrorCode></ResponseStatus></R>")]  # fmt: skip


@pytest.mark.parametrize("told", STOPS, ids=lambda told: f"{told.status}{told.body[:1]!r}")
def test_what_stops_a_job_does_not_settle_its_write(naps: Naps, permits: Permits, told: Told) -> None:
    """A refusal that stops the job doesn't settle its write: the list may have been stored."""
    with served(always(told), naps) as (_, api):
        with pytest.raises(StopJob) as caught:
            api.create(Family.ACCOUNT, REALM, [ALICE], permits)
        assert caught.value.unconfirmed
        with pytest.raises(StopJob) as caught:
            list(api.credentials(Family.ACCOUNT, None))
        assert not caught.value.unconfirmed


@pytest.mark.parametrize(("statuses", "unconfirmed"), [((429,), False), ((503,), True), ((503, 429), True)])
def test_what_was_put_off_until_patience_ended(
    naps: Naps, permits: Permits, statuses: tuple[int, ...], unconfirmed: bool
) -> None:
    """A 429 did nothing; after a 503 the list may have been stored."""
    answers = iter(statuses)
    answer = with_token(lambda _: Told(next(answers, statuses[-1])))
    with served(answer, naps, budget=3) as (_, api), pytest.raises(TryLater) as caught:
        api.create(Family.ACCOUNT, REALM, [ALICE], permits)
    assert caught.value.unconfirmed is unconfirmed


def test_what_was_never_sent(naps: Naps, permits: Permits) -> None:
    """Without a token, or without a connection, nothing was sent."""
    with served(lambda _: Told(401), naps) as (_, api), pytest.raises(StopJob) as caught:
        api.create(Family.ACCOUNT, REALM, [ALICE], permits)
    assert not caught.value.unconfirmed
    endpoint = Endpoint("http://127.0.0.1:9", "9900001", username="u", password="p")
    with closing(Api(endpoint, throttle.local(None), sleep=naps.sleep, budget=1)) as api:
        with pytest.raises(Unavailable) as away:
            api.create(Family.ACCOUNT, REALM, [ALICE], permits)
        assert not away.value.unconfirmed


# Secrets


SECRETS = [ALICE.hash1, ALICE.hash1b, ALICE.hash1.upper(), SECRET, TOKEN]
ECHO = "".join(f"{secret} " for secret in SECRETS[:3])
SAID = f"<ErrorCode>23026</ErrorCode><Description>exists: {ECHO}</Description>"


@pytest.mark.parametrize(
    "told",
    [
        Told(400, f"<R><ResponseStatus>{SAID}</ResponseStatus></R>".encode()),
        Told(403, f"<R><ResponseStatus>{SAID}</ResponseStatus></R>".encode()),
        Told(404, f"<R><ResponseStatus>{SAID}</ResponseStatus></R>".encode()),
        Told(500, ECHO.encode()),
        Told(503, ECHO.encode(), {"Retry-After": "500"}),
        Told(429, ECHO.encode()),
        Told(201, f"<{ECHO}".encode()),
        Told(302, ECHO.encode(), {"Location": f"/{ALICE.hash1}"}),
    ],
    ids=lambda told: str(told.status),
)
def test_no_secret_gets_into_an_error_or_a_log(
    told: Told, naps: Naps, permits: Permits, caplog: pytest.LogCaptureFixture
) -> None:
    """No error or log line contains a digest, token or client secret, even if the service repeats it."""
    caplog.set_level(logging.INFO)
    with served(always(told), naps) as (_, api):
        with pytest.raises(SiprosterError) as caught:
            api.create(Family.ACCOUNT, REALM, [ALICE], permits)
        with pytest.raises(SiprosterError):
            api.realms()
    shown = f"{caught.value} {caught.value!r} {caught.value.hint} {vars(caught.value)} {caplog.text}"
    assert [secret for secret in SECRETS if secret in shown] == []
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_repetition_is_logged_with_its_reason_alone(
    naps: Naps, permits: Permits, caplog: pytest.LogCaptureFixture
) -> None:
    """Reason, status, attempt: what a log needs, and nothing of the URL or the answer."""
    caplog.set_level(logging.INFO, "worker")
    busy = Told(503, b"busy", {"Retry-After": "9"})
    with served(always(busy), naps, budget=15) as (_, api), pytest.raises(TryLater):
        api.create(Family.ACCOUNT, REALM, [ALICE], permits)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "it is not available (HTTP 503); attempt 1"
    ]


# Contents of our requests


def test_what_every_request_carries(naps: Naps, permits: Permits) -> None:
    """Each request carries our user agent, content type and token in the form that the API wants."""
    with served(always(Told(201, response(""))), naps) as (server, api):
        api.create(Family.REALM, REALM, [ALICE], permits)
        token, post = server.asked
    assert (token.method, token.body) == ("POST", b"grant_type=client_credentials")
    assert token.headers["authorization"].startswith("Basic ")
    assert post.path == "/api/v2/accounts/9900001/realms/7/sipcredentials"
    assert post.headers["authorization"] == f"Bearer {TOKEN}"
    assert post.headers["content-type"] == "application/xml; charset=utf-8"
    assert post.headers["user-agent"] == f"siproster/{__version__}"
    assert post.body == request_xml.credentials_xml([ALICE], Family.REALM)


def test_the_older_path(naps: Naps) -> None:
    """The guide's host has its resources under another path, which the endpoint names."""
    with scripted(always(Told(body=entries("a")))) as server:
        endpoint = Endpoint(server.url, "9900001", api_path="/api", username="u", password="p")
        with closing(Api(endpoint, throttle.local(None), sleep=naps.sleep)) as api:
            api.check()
        assert server.asked[0].path == "/api/accounts/9900001/sipcredentials?page=1&size=1"


CHECK = """
import sys
from worker import throttle
from worker.api import Api, request_xml, response_xml
from worker.model import Endpoint
Api(Endpoint("http://api.invalid", "1", username="u", password="p"), throttle.local(None)).check()
"""


def test_a_proxy_of_the_environment_is_used() -> None:
    """A name that only the proxy can resolve is reached through HTTP_PROXY."""
    with scripted(always(Told(body=entries("a")))) as proxy:
        environment = {
            **os.environ,
            "HTTP_PROXY": proxy.url,
            "http_proxy": proxy.url,
            "PYTHONPATH": str(ROOT),
        }
        subprocess.run([sys.executable, "-c", CHECK], env=environment, check=True, timeout=60)
        path = "/api/v2/accounts/1/sipcredentials?page=1&size=1"
        assert [asked.path for asked in proxy.asked] == [f"http://api.invalid{path}"]


def strangers_certificate(folder: Path) -> ssl.SSLContext:
    """Return a server's TLS context with a self-signed certificate for 127.0.0.1 that no authority knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "stranger.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_a_stranger_is_not_spoken_to(naps: Naps, permits: Permits, tmp_path: Path) -> None:
    """A server without a trusted certificate gets no request, and the reason is reported."""
    stranger = strangers_certificate(tmp_path)
    with served(always(Told(201, b"<R/>")), naps, budget=1, tls=stranger) as (server, api):
        with pytest.raises(Unavailable, match="the certificate isn't trusted: self-signed certificate"):
            api.create(Family.ACCOUNT, REALM, [ALICE], permits)
        assert server.asked == []
