"""One HTTP request and its whole answer, within a deadline and a size. Knows nothing of retries or of XML."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from worker import __version__
from worker.api.deadline import Deadline
from worker.errors import UsageError
from worker.wire import SIZE_LIMIT

CONNECT_SECONDS = 10.0

LONGEST_PIECE = 64 * 1024
"""Bytes that are unpacked at once."""

_GZIP = zlib.MAX_WBITS | 16  # zlib's way to say that the data has gzip's head and tail


class NotSent(Exception):
    """No connection was had, so the service never saw the request.

    The text is its cause's class, or DeadlinePassed.
    """


class Interrupted(Exception):
    """It was sent, at least in part, and no whole answer came.

    The text is its cause's class, or DeadlinePassed; or what is wrong with the answer.
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status says success."""
        return 200 <= self.status < 300


class Transport:
    """One pool of connections, shared by the threads of one process; never across a fork.

    TLS is always verified, proxies come from the environment, redirects are never followed, no cookie is
    kept. Answers may come packed with gzip and nothing else, since they are unpacked here, within bounds.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        timeout = httpx.Timeout(deadline, connect=min(CONNECT_SECONDS, deadline))
        self._client = httpx.Client(
            timeout=timeout,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            headers={"User-Agent": f"siproster/{__version__}", "Accept-Encoding": "gzip"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
        )
        self._ends = Deadline()
        self._ends.hold(self._client)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Raises NotSent or Interrupted. Neither repeats the library's text, which carries the whole URL.

        Raises UsageError for a URL that can't be asked for.
        """
        self._ends.begin(self.deadline)
        try:
            with self._client.stream(method, url, headers=headers, content=body or None) as response:
                return Reply(response.status_code, response.headers, _read(response))
        except (httpx.InvalidURL, UnicodeError) as error:
            raise UsageError(
                f"the service can't be asked for that name: {error}", "names have at most 64 characters"
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise NotSent(self._reason(error)) from None
        except httpx.HTTPError as error:
            raise Interrupted(self._reason(error)) from None

    def _reason(self, error: httpx.HTTPError) -> str:
        late = isinstance(error, httpx.TimeoutException) and self._ends.passed()
        return "DeadlinePassed" if late else _root(error)


def check_host(host: str) -> None:
    """Raise UsageError where the client can make nothing of ``host``: scheme and host of a URL."""
    try:
        _ = httpx.URL(host).host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UsageError(
            f"{host} is not the address of a host: {error}", "correct BW_API_URL (for calls: BW_VOICE_URL)"
        ) from None


def _root(error: BaseException) -> str:
    """The class of the first cause: ``SSLCertVerificationError`` says more than ``ConnectError``."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return type(error).__name__


def _read(response: httpx.Response) -> bytes:
    """The body, unpacked; Interrupted as soon as it is too large."""
    pieces, size = [], 0
    for piece in unpacked(response.iter_raw(), response.headers.get("Content-Encoding", "")):
        size += len(piece)
        if size > SIZE_LIMIT:
            raise Interrupted("AnswerTooLarge")
        pieces.append(piece)
    return b"".join(pieces)


def unpacked(raw: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """The body's pieces without their ``Content-Encoding``, each of LONGEST_PIECE at most where it had one.

    The library's own decoders make a whole piece at once of what the network brought at once, and
    64 KiB of gzip may hold 64 MiB. Raises Interrupted for a coding that was not asked for.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        yield from raw
    elif coding in ("gzip", "x-gzip"):
        yield from _gunzipped(raw)
    elif any(raw):  # an empty body has none
        raise Interrupted("UnknownContentEncoding")


def _gunzipped(raw: Iterable[bytes]) -> Iterator[bytes]:
    unpacking, begun = zlib.decompressobj(_GZIP), False
    try:
        for packed in raw:
            begun, rest = True, packed
            while rest and not unpacking.eof:
                yield unpacking.decompress(rest, LONGEST_PIECE)
                rest = unpacking.unconsumed_tail
    except zlib.error:
        raise Interrupted("BadGzip") from None
    if begun and not unpacking.eof:
        raise Interrupted("AnswerCut")
