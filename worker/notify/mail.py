"""E-mail by SMTP: a readable text, and the payload as an attached JSON file."""

from __future__ import annotations

import logging
import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import formatdate, parseaddr

import certifi

from worker import ca_certificates
from worker.channels import MailChannel, MailTls
from worker.errors import UsageError
from worker.notify.message import Message, NotDelivered
from worker.reasons import TIMED_OUT, reason_of

log = logging.getLogger(__name__)

_STEP_SECONDS = 10.0
"""Seconds that one step of the conversation may take."""


def deliver(channel: MailChannel, message: Message, now: float, seconds: float) -> None:
    """Send one mail to all recipients; ``seconds``: for the whole conversation. Raises NotDelivered.

    If the server refuses some of the recipients, the others have the mail, so it counts as delivered.
    """
    late = threading.Event()
    try:
        smtp = _connection(channel)
        with _bounded(smtp, seconds, late):
            refused = _converse(smtp, channel, _mail(channel, message, now))
    except UsageError as error:
        raise NotDelivered(error.message) from None
    except (OSError, smtplib.SMTPException, UnicodeError, ValueError) as error:
        raise NotDelivered(TIMED_OUT if late.is_set() else reason_of(error)) from None
    if refused:
        log.warning("channel %s: the mail server refused %s", channel.name, ", ".join(refused))


def _connection(channel: MailChannel) -> smtplib.SMTP:
    """Return a connection that isn't open yet. Raises UsageError for unusable certificates."""
    if channel.tls is MailTls.TLS:
        return smtplib.SMTP_SSL(timeout=_STEP_SECONDS, context=ca_certificates.context(certifi.where()))
    return smtplib.SMTP(timeout=_STEP_SECONDS)


def _converse(smtp: smtplib.SMTP, channel: MailChannel, mail: EmailMessage) -> list[str]:
    """Send the mail and return the recipients that were refused."""
    smtp._host = channel.host  # type: ignore[attr-defined]  # the name for TLS, which only the constructor sets
    smtp.connect(channel.host, channel.port)
    if channel.tls is MailTls.STARTTLS:
        smtp.starttls(context=ca_certificates.context(certifi.where()))
    if channel.user:
        smtp.login(channel.user, channel.password)
    addresses = [parseaddr(one)[1] for one in channel.recipients]
    refused = smtp.send_message(mail, parseaddr(channel.sender)[1], addresses)
    with suppress(OSError, smtplib.SMTPException):  # the server has accepted the mail
        smtp.quit()
    return list(refused)


def _mail(channel: MailChannel, message: Message, now: float) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = message.subject
    mail["From"] = channel.sender
    mail["To"] = ", ".join(channel.recipients)
    mail["Date"] = formatdate(now)
    # The same for each attempt, by which a mail that arrives twice is recognised.
    mail["Message-ID"] = f"<{message.id}@{parseaddr(channel.sender)[1].rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's out-of-office reply is wanted
    mail.set_content(message.body)
    mail.add_attachment(message.json, maintype="application", subtype="json", filename="notification.json")
    return mail


@contextmanager
def _bounded(smtp: smtplib.SMTP, seconds: float, late: threading.Event) -> Iterator[None]:
    """Cut the connection when the time is over: its own timeout starts again with each byte that arrives."""
    over = threading.Event()

    def watch() -> None:
        pause = seconds
        while not over.wait(pause):
            late.set()
            pause = 0.1  # it may just be connecting, and have no socket yet
            if smtp.sock is not None:
                with suppress(OSError):
                    socket.socket.shutdown(smtp.sock, socket.SHUT_RDWR)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        smtp.close()
