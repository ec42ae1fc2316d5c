"""Causes in plain words: every exception of the libraries that we use, and of the system."""

from __future__ import annotations

import errno
import re
import smtplib
import socket
import sqlite3
import ssl
from collections.abc import Iterator

import dns.exception
import httpcore
import httpx
import kombu.exceptions
import psycopg
import pytest
import redis
import redis.exceptions
from sqlalchemy.exc import DBAPIError

from worker.reasons import CUT, NO_NAME, REFUSED, TIMED_OUT, UNKNOWN, plural, reason_of

ROOTS = (
    dns.exception.DNSException,
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpx.HTTPError,
    kombu.exceptions.KombuError,
    psycopg.Error,
    redis.exceptions.RedisError,
    smtplib.SMTPException,
    sqlite3.Error,
)


def family(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    """Return the class and all its subclasses."""
    yield kind
    for one in kind.__subclasses__():
        yield from family(one)


@pytest.mark.parametrize("root", ROOTS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_no_class_of_a_library_is_without_words(root: type[BaseException]) -> None:
    """Every exception that a library below us can raise has words, and they name no class."""
    told = {kind: reason_of(kind.__new__(kind)) for kind in family(root)}
    assert {kind for kind, words in told.items() if words in ("", UNKNOWN)} == set()
    assert [words for words in told.values() if re.search(r"[a-z][A-Z]|Error|Exception", words)] == []


def after(outer: BaseException, inner: BaseException) -> BaseException:
    """Return the outer exception, caused by the inner one."""
    outer.__cause__ = inner
    return outer


SYSTEM = [
    (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), REFUSED),
    (ConnectionResetError(errno.ECONNRESET, "reset by peer"), CUT),
    (BrokenPipeError(), CUT),
    (TimeoutError(), TIMED_OUT),
    (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), TIMED_OUT),
    (EOFError(), CUT),
    (OSError(errno.ENETUNREACH, "Network is unreachable"), "the network can't be reached"),
    (OSError(errno.EHOSTUNREACH, "No route to host"), "the host can't be reached"),
    (OSError(errno.EMFILE, "x"), "too many open files"),
    (OSError("Multiple exceptions"), "no connection"),
    (socket.gaierror(socket.EAI_NONAME, "x"), NO_NAME),
    (socket.gaierror(socket.EAI_AGAIN, "x"), f"{NO_NAME}: DNS does not answer"),
    (UnicodeError("label empty or too long"), "the host name is not a valid DNS name"),
    (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "TLS failed"),
    (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), CUT),
    (KeyError("secret"), UNKNOWN),
]


@pytest.mark.parametrize(("error", "words"), SYSTEM, ids=repr)
def test_the_systems_own_causes(error: BaseException, words: str) -> None:
    """Errors of the operating system, DNS and TLS are put into words; an error's own text never shows."""
    assert reason_of(error) == words


LIBRARIES = [
    (httpx.ConnectError("x"), "no connection"),
    (httpx.ProxyError("407 Proxy Authentication Required"), "the proxy refused the connection (HTTP 407)"),
    (httpx.RemoteProtocolError("Server disconnected without sending a response."), CUT),
    (
        httpx.ProxyError("Proxy Server could not connect: Host unreachable."),
        "the proxy could not connect: host unreachable",
    ),
    (httpx.ProxyError("Invalid username/password"), "the proxy refused the user name or password"),
    (
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        "the answer was cut",
    ),
    (httpx.RemoteProtocolError("illegal status line: bytearray(b'SSH-2.0')"), "the answer is not HTTP"),
    (redis.AuthenticationError("invalid password"), "the user name or password was refused"),
    (redis.OutOfMemoryError("x"), "Redis is out of memory"),
    (redis.ResponseError("MISCONF Redis is configured to save"), "Redis refused the command (MISCONF)"),
    (redis.BusyLoadingError("x"), "Redis is still loading its data"),
    (sqlite3.OperationalError("database is locked"), "database is locked"),
    (sqlite3.OperationalError("disk I/O error"), "disk I/O error"),
    (
        psycopg.OperationalError(
            'connection failed: connection to server at "::1", port 1 failed: refused\n\tIs'
        ),
        'connection to server at "::1", port 1 failed: refused',
    ),
    (psycopg.errors.UniqueViolation("duplicate key\nDETAIL: Key (a)=(secret)"), "duplicate key"),
]


@pytest.mark.parametrize(("error", "words"), LIBRARIES, ids=lambda value: str(value)[:30])
def test_what_the_libraries_say(error: BaseException, words: str) -> None:
    """Without a cause below it, a library's error is worded by its class or the first line of its text."""
    assert reason_of(error) == words


def test_the_deepest_known_cause_decides() -> None:
    """The deepest known cause decides, even if libraries wrap it, or something unknown lies below."""
    empty = IndexError("pop from empty list")
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    connection = after(redis.ConnectionError("Error 111"), after(refused, empty))
    assert reason_of(after(kombu.exceptions.OperationalError("Error 111"), connection)) == REFUSED
    assert reason_of(DBAPIError("SELECT 'secret'", None, sqlite3.OperationalError("locked"))) == UNKNOWN


def test_a_circle_of_causes_ends() -> None:
    """Two exceptions that name each other as cause don't cause an endless loop."""
    one, other = KeyError(), redis.ConnectionError()
    one.__cause__, other.__cause__ = other, one
    assert reason_of(one) == "no connection"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (2000, "2,000 rows")]
)
def test_a_number_agrees_with_its_noun(number: int, text: str) -> None:
    """So it does with a verb, and with a noun whose plural is another word."""
    assert plural(number, "row") == text
    assert plural(number, "row is", "rows are") == f"{text} {'is' if number == 1 else 'are'}"
