"""Causes in plain words: why a connection, a certificate, a broker or a database failed, for people to read.

The one place that turns a library's exception into a reason. It imports none of these libraries: their
classes are known by name, so that every room can use it. A reason begins in lower case, ends without a
full stop, names no Python class, and repeats no library text that may hold a URL.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator

TIMED_OUT = "timed out"
CUT = "the connection was cut"
REFUSED = "connection refused"
NO_NAME = "the host name can't be resolved"
OTHER_HOST = "the certificate is for another host name"
UNKNOWN = "something unexpected went wrong"

_NO_CONNECTION = "no connection"
_NOT_A_NAME = "the host name is not a valid DNS name"
_NOT_TLS = "the other side doesn't speak TLS there"
_NO_LOGIN = "the user name or password was refused"
_DENIED = "the user is not allowed to do this"

_CERTIFICATES = {
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    62: OTHER_HOST,
    63: OTHER_HOST,
    64: OTHER_HOST,
}
"""OpenSSL's verification codes (openssl-verification-options(1)); any other one: not trusted."""

_TLS = {
    "HTTP_REQUEST": _NOT_TLS,
    "RECORD_LAYER_FAILURE": _NOT_TLS,
    "UNEXPECTED_EOF_WHILE_READING": CUT,
    "UNKNOWN_PROTOCOL": _NOT_TLS,
    "WRONG_VERSION_NUMBER": _NOT_TLS,
}
"""OpenSSL's reasons for which there are better words."""

_SYSTEM = {
    errno.ECONNREFUSED: REFUSED,
    errno.ECONNRESET: CUT,
    errno.ECONNABORTED: CUT,
    errno.EPIPE: CUT,
    errno.ESHUTDOWN: CUT,
    errno.ETIMEDOUT: TIMED_OUT,
    errno.ENETUNREACH: "the network can't be reached",
    errno.EHOSTUNREACH: "the host can't be reached",
}

_ABORTED = "Redis didn't execute the commands"
"""Less than redis-py knows: it raises the error of the command that was refused because of this one."""

_NAMES = {
    "aiohttp.ClientError": _NO_CONNECTION,
    "botocore.BotoCoreError": "S3 gave no usable answer",
    "botocore.ClientError": "S3 refused the request",
    "botocore.EndpointConnectionError": _NO_CONNECTION,
    "botocore.NoCredentialsError": "no credentials for S3 are set",
    "builtins.BrokenPipeError": CUT,
    "builtins.ConnectionError": CUT,
    "builtins.EOFError": CUT,
    "builtins.FileNotFoundError": "there is no such file",
    "builtins.PermissionError": _DENIED,
    "builtins.TimeoutError": TIMED_OUT,
    "builtins.UnicodeError": _NOT_A_NAME,
    "dns.DNSException": "DNS gave no usable answer",
    "dns.EmptyLabel": _NOT_A_NAME,
    "dns.LabelTooLong": _NOT_A_NAME,
    "dns.NameTooLong": _NOT_A_NAME,
    "dns.NoNameservers": "no DNS server gave a usable answer",
    "dns.NoResolverConfiguration": "no DNS server is set on this machine (/etc/resolv.conf)",
    "dns.Timeout": "no DNS server answered in time",
    "httpcore.ConnectError": _NO_CONNECTION,
    "httpcore.LocalProtocolError": "the request can't be expressed in HTTP",
    "httpcore.NetworkError": CUT,
    "httpcore.TimeoutException": TIMED_OUT,
    "httpcore.UnsupportedProtocol": "the address is neither http:// nor https://",
    "httpx.ConnectError": _NO_CONNECTION,
    "httpx.DecodingError": "the answer can't be decompressed",
    "httpx.HTTPError": "no usable answer",
    "httpx.InvalidURL": "the address is not a URL",
    "httpx.LocalProtocolError": "the request can't be expressed in HTTP",
    "httpx.NetworkError": CUT,
    "httpx.TimeoutException": TIMED_OUT,
    "httpx.UnsupportedProtocol": "the address is neither http:// nor https://",
    "kombu.ConnectionError": _NO_CONNECTION,
    "kombu.KombuError": "the broker gave no usable answer",
    "kombu.LimitExceeded": "too many connections at once",
    "kombu.OperationalError": _NO_CONNECTION,
    "paramiko.AuthenticationException": "the login was refused",
    "paramiko.SSHException": "no usable SSH connection",
    "redis.AuthenticationError": _NO_LOGIN,
    "redis.AuthenticationWrongNumberOfArgsError": _NO_LOGIN,
    "redis.AuthorizationError": _DENIED,
    "redis.BusyLoadingError": "Redis is still loading its data",
    "redis.ClusterDownError": "the Redis cluster is down",
    "redis.ConnectionError": _NO_CONNECTION,
    "redis.ExecAbortError": _ABORTED,
    "redis.InvalidResponse": "the other side doesn't speak Redis",
    "redis.MasterDownError": "this Redis replica has lost its primary",
    "redis.MaxConnectionsError": "Redis has too many connections",
    "redis.NoPermissionError": _DENIED,
    "redis.OutOfMemoryError": "Redis is out of memory",
    "redis.ReadOnlyError": "this Redis is a read-only replica",
    "redis.RedisError": "Redis gave no usable answer",
    "redis.TimeoutError": TIMED_OUT,
    "smtplib.SMTPAuthenticationError": _NO_LOGIN,
    "smtplib.SMTPException": "the mail server gave no usable answer",
    "smtplib.SMTPNotSupportedError": "the mail server doesn't offer TLS, or no way to sign in",
    "smtplib.SMTPRecipientsRefused": "the mail server refused every recipient",
    "smtplib.SMTPServerDisconnected": CUT,
    "socksio.SOCKSError": "the proxy doesn't speak SOCKS5",
}
"""Library and class to words; a class that isn't here has those of the class that it is made from."""

_SOCKS_FAILED = "Proxy Server could not connect: "
_SOCKS_LOGIN = {
    "Invalid username/password": "the proxy refused the user name or password",
    "Requested NO AUTHENTICATION REQUIRED": "the proxy wants a user name and password",
}
_STATUS = re.compile(r"\b[1-5][0-9]{2}\b")
_REDIS_CODE = re.compile(r"[A-Z]{3,20}\b")
_DRIVER_PREFIX = re.compile(r"^connection (?:failed|is bad): ")
_ERRNO = re.compile(r"\[Errno -?[0-9]+\] ")


def plural(number: int, noun: str, many: str = "") -> str:
    """Return a number with its noun: ``1 row``, ``2,000 rows``; ``many``: the words for others than one."""
    return f"{number:,} {noun if number == 1 else many or f'{noun}s'}"


def reason_of(error: BaseException) -> str:
    """Return why it failed, in plain words: ``connection refused``, ``the certificate has expired``.

    The deepest known cause decides, since a library's own exception says little about it.
    """
    last_resort = UNKNOWN
    for cause in reversed(list(_causes(error))):
        words = _words(cause)
        if words == _ABORTED:
            last_resort = words
        elif words:
            return words
    return last_resort


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the exception and its causes, from the outside in."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    if isinstance(error, socket.gaierror):
        return f"{NO_NAME}: DNS does not answer" if error.errno == socket.EAI_AGAIN else NO_NAME
    if isinstance(error, OSError) and error.errno:
        return _SYSTEM.get(error.errno) or _lowered(os.strerror(error.errno))
    for kind in type(error).__mro__:
        library = kind.__module__.partition(".")[0]
        if tell := _TEXTS.get(f"{library}.{kind.__name__}"):
            return tell(str(error))
        if words := _NAMES.get(f"{library}.{kind.__name__}"):
            return words
    return _NO_CONNECTION if isinstance(error, OSError) else ""


def _tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        untrusted = f"the certificate isn't trusted: {_lowered(str(error.verify_message))}"
        return _CERTIFICATES.get(error.verify_code, untrusted)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return CUT
    reason = str(getattr(error, "reason", "") or "")  # set by the ssl module alone
    if reason in _TLS:
        return _TLS[reason]
    return f"TLS failed: {reason.lower().replace('_', ' ')}" if reason else "TLS failed"


def _answered(text: str) -> str:
    status = _STATUS.search(text)
    return f"it answered HTTP {status[0]}" if status else "it refused"


def _proxy(text: str) -> str:
    """Return why a proxy failed: its own text is not trusted, but for the status; SOCKS' is httpcore's."""
    if text.startswith(_SOCKS_FAILED):
        return f"the proxy could not connect: {_lowered(text.removeprefix(_SOCKS_FAILED))}"
    for beginning, words in _SOCKS_LOGIN.items():
        if text.startswith(beginning):
            return words
    status = _STATUS.search(text)
    return "the proxy refused the connection" + (f" (HTTP {status[0]})" if status else "")


def _protocol(text: str) -> str:
    """Return an HTTP protocol error of the other side in words, from h11's text."""
    if "complete message body" in text or "incomplete" in text:
        return "the answer was cut"
    return CUT if "disconnected" in text or "closed" in text else "the answer is not HTTP"


def _redis_refusal(text: str) -> str:
    if "DB index" in text:
        return "it has no database of this number"
    code = _REDIS_CODE.match(text)
    return "Redis refused the command" + (f" ({code[0]})" if code else "")


def _mail_refusal(text: str) -> str:
    """Return the code alone: a mail server's text may repeat addresses."""
    status = _STATUS.search(text)
    return "the mail server refused" + (f" (code {status[0]})" if status else "")


def _driver(text: str) -> str:
    """Return the first line only: in the following ones PostgreSQL repeats the row's values."""
    line = _DRIVER_PREFIX.sub("", _ERRNO.sub("", text.strip().partition("\n")[0]))
    return _lowered(line) or _NO_CONNECTION


def _lowered(text: str) -> str:
    """Return the text as part of a sentence; an abbreviation keeps its case."""
    text = text.rstrip(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


_TEXTS: dict[str, Callable[[str], str]] = {
    "aiohttp.ClientResponseError": _answered,
    "httpcore.ProxyError": _proxy,
    "httpcore.RemoteProtocolError": _protocol,
    "httpx.ProxyError": _proxy,
    "httpx.RemoteProtocolError": _protocol,
    "psycopg.Error": _driver,
    "redis.ResponseError": _redis_refusal,
    "smtplib.SMTPResponseException": _mail_refusal,
    "sqlite3.Error": _driver,
}
"""Classes whose text decides."""
