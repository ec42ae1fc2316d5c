"""E-mail through a real SMTP server: STARTTLS, TLS, signing in, and servers that hang or refuse."""

from __future__ import annotations

import email
import json
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope

from tests.certificates import certificate
from tests.scripted import spoken
from tests.servers import free_port
from tests.unit.notifications import run_ended
from worker.channels import MailChannel, MailTls, When
from worker.notify import Message, NotDelivered, Sender

PASSWORD = "canary-mail-4e1b"
MESSAGE = Message("msg_0a1b", run_ended(schedule="nightly"))


class Mailbox:
    """Keeps what it is sent. ``refused``: recipients that it doesn't take."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.refused: set[str] = set()

    async def handle_RCPT(  # noqa: N802  aiosmtpd's names
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Take or refuse a recipient."""
        if address in self.refused:
            return f"550 no {address} here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        """Keep a mail."""
        self.envelopes.append(envelope)
        return "250 OK"

    def mail(self) -> EmailMessage:
        """Return the only mail, parsed."""
        (envelope,) = self.envelopes
        content = envelope.content
        assert isinstance(content, bytes)
        parsed = email.message_from_bytes(content, policy=default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context with a certificate for localhost, which SSL_CERT_FILE trusts."""
    public, private = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(public, private)
    return context


@pytest.fixture
def sender() -> Iterator[Sender]:
    """A sender as a scheduler has it."""
    with closing(Sender()) as sender:
        yield sender


@pytest.fixture
def hasty() -> Iterator[Sender]:
    """A sender whose attempts take a second at most."""
    with closing(Sender(longest=1.0)) as sender:
        yield sender


@contextmanager
def served(mailbox: Mailbox, **options: Any) -> Iterator[MailChannel]:
    """A mail server for the length of a block, and a channel that leads to it."""
    port = free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield channel(port)
    finally:
        controller.stop()


def channel(port: int) -> MailChannel:
    """A channel to a server on this machine, in clear text."""
    return MailChannel(
        name="post", when=When.ALWAYS, host="localhost", port=port, tls=MailTls.NONE,
        sender="siproster <siproster@example.com>", recipients=("ops@example.com", "Noc <noc@example.com>"),
    )  # fmt: skip


def signing_in(channel: MailChannel, tls: MailTls) -> MailChannel:
    """The channel with TLS, a user and a password."""
    return replace(channel, tls=tls, user="siproster", password=PASSWORD)


def accepts(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    """Accept one user."""
    right = (data.login, data.password) == (b"siproster", PASSWORD.encode())
    return AuthResult(success=right, handled=False)


def failed(sender: Sender, channel: MailChannel, message: Message = MESSAGE) -> str:
    """The reason why an attempt failed; it is never final."""
    with pytest.raises(NotDelivered) as caught:
        sender.send(channel, message)
    assert not caught.value.final
    assert PASSWORD not in caught.value.reason
    return caught.value.reason


def test_a_mail(sender: Sender) -> None:
    """A readable text, the payload as JSON, and an id that is the same for each attempt."""
    mailbox = Mailbox()
    with served(mailbox) as channel:
        sender.send(channel, MESSAGE)
    mail = mailbox.mail()
    assert mailbox.envelopes[0].mail_from == "siproster@example.com"
    assert mailbox.envelopes[0].rcpt_tos == ["ops@example.com", "noc@example.com"]
    assert mail["Subject"] == "nightly: 598 of 600 rows in place, 2 failed"
    assert mail["Message-ID"] == "<msg_0a1b@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"]
    text = mail.get_body(("plain",))
    assert text is not None
    assert text.get_content().replace("\r", "").startswith("nightly: 598 of 600 rows in place, 2 failed.\n")
    (attached,) = mail.iter_attachments()
    assert json.loads(attached.get_content()) == {"id": "msg_0a1b", **run_ended()}


def test_starttls_and_a_password(sender: Sender, tls: ssl.SSLContext) -> None:
    """The connection is encrypted before the user signs in; the server refuses anything else."""
    mailbox = Mailbox()
    options = {"tls_context": tls, "require_starttls": True, "authenticator": accepts, "auth_required": True}
    with served(mailbox, **options) as channel:
        sender.send(signing_in(channel, MailTls.STARTTLS), MESSAGE)
        assert mailbox.mail()["Subject"]
        wrong = replace(signing_in(channel, MailTls.STARTTLS), password=f"{PASSWORD}x")
        assert failed(sender, wrong) == "the user name or password was refused"
        assert failed(sender, channel) == "the mail server refused (code 530)"


def test_tls_from_the_first_byte(sender: Sender, tls: ssl.SSLContext) -> None:
    """The other usual way, with the same checks."""
    mailbox = Mailbox()
    options = {"ssl_context": tls, "authenticator": accepts, "auth_require_tls": False}
    with served(mailbox, **options) as channel:
        sender.send(signing_in(channel, MailTls.TLS), MESSAGE)
    assert mailbox.mail()["Subject"]


def test_a_certificate_for_another_name(sender: Sender, tls: ssl.SSLContext) -> None:
    """The name in the certificate must be the server's: nothing is sent, no password either."""
    mailbox = Mailbox()
    with served(mailbox, tls_context=tls, authenticator=accepts) as channel:
        other = replace(signing_in(channel, MailTls.STARTTLS), host="127.0.0.1")
        assert failed(sender, other) == "the certificate is for another host name"
    assert mailbox.envelopes == []


def test_a_server_without_tls(sender: Sender) -> None:
    """A server that doesn't offer STARTTLS, or somebody in between, gets neither password nor mail."""
    mailbox = Mailbox()
    with served(mailbox) as channel:
        assert "doesn't offer TLS" in failed(sender, signing_in(channel, MailTls.STARTTLS))
        assert "doesn't offer TLS" in failed(sender, replace(channel, tls=MailTls.STARTTLS))
    assert mailbox.envelopes == []


def test_a_refused_recipient(sender: Sender, caplog: pytest.LogCaptureFixture) -> None:
    """The others have the mail, so it isn't sent again; if there are none, it is."""
    mailbox = Mailbox()
    mailbox.refused = {"noc@example.com"}
    with served(mailbox) as channel:
        sender.send(channel, MESSAGE)
        assert "channel post: the mail server refused noc@example.com" in caplog.text
        mailbox.refused.add("ops@example.com")
        assert failed(sender, channel) == "the mail server refused every recipient"
    assert len(mailbox.envelopes) == 1


def drip(connection: socket.socket) -> None:
    """Greet byte by byte, for ever."""
    connection.sendall(b"220-")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def greet_and_hang(connection: socket.socket) -> None:
    """Greet, and say nothing to whatever comes."""
    connection.sendall(b"220 mail.example.com\r\n")
    time.sleep(60)


@pytest.mark.parametrize("speak", [drip, greet_and_hang, lambda _: time.sleep(60)])
def test_a_server_that_hangs(hasty: Sender, speak: Callable[[socket.socket], None]) -> None:
    """Neither silence nor an endless greeting holds an attempt beyond its deadline."""
    began = time.monotonic()
    with spoken(speak) as url:
        assert failed(hasty, channel(int(url.rpartition(":")[2]))) == "timed out"
    assert time.monotonic() - began < 30


def test_garbage(sender: Sender) -> None:
    """A server that doesn't speak SMTP is a failed attempt, told in plain words."""
    with spoken(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url:
        reason = failed(sender, channel(int(url.rpartition(":")[2])))
    assert re.search("mail server|cut", reason)


def test_no_header_is_smuggled_in(sender: Sender) -> None:
    """A reason with line feeds stays in the subject, and adds neither recipients nor headers."""
    mailbox, why = Mailbox(), "no\r\nBcc: evil@example.com\r\n\r\nbody\ud800\x1b[31m"
    with served(mailbox) as channel:
        sender.send(channel, Message("msg_1", run_ended("failed", why=why, summary=None, schedule="x\ny")))
    assert mailbox.mail()["Bcc"] is None
    assert mailbox.envelopes[0].rcpt_tos == ["ops@example.com", "noc@example.com"]
    assert mailbox.mail()["Subject"].startswith("x y: failed: no Bcc: evil@example.com body")


def test_the_password_is_not_logged(
    sender: Sender, tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """At no level, in no record of ours."""
    caplog.set_level(logging.DEBUG)
    with served(Mailbox(), tls_context=tls, authenticator=accepts) as channel:
        sender.send(signing_in(channel, MailTls.STARTTLS), MESSAGE)
        failed(sender, replace(signing_in(channel, MailTls.STARTTLS), user="nobody"))
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("worker")]
    assert PASSWORD not in "".join(ours)
