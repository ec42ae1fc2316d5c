"""One HTTP request and its whole answer, within a deadline and a size. Knows nothing of retries or of XML."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from worker import __version__
from worker.wire import SIZE_LIMIT

CONNECT_SECONDS = 10.0


class NotSent(Exception):
    """No connection was had, so the service never saw the request. The text is its cause's class."""


class Interrupted(Exception):
    """It was sent, at least in part, and no whole answer came. The text is its cause's class."""


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

    TLS is always verified, proxies come from the environment, redirects are never followed.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        timeout = httpx.Timeout(deadline, connect=min(CONNECT_SECONDS, deadline))
        self._client = httpx.Client(
            timeout=timeout,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            headers={"User-Agent": f"siproster/{__version__}"},
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Raises NotSent or Interrupted. Neither repeats the library's text, which carries the whole URL."""
        end = time.monotonic() + self.deadline
        try:
            with self._client.stream(method, url, headers=headers, content=body or None) as response:
                return Reply(response.status_code, response.headers, _read(response, end))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise NotSent(_root(error)) from None
        except httpx.HTTPError as error:
            raise Interrupted(_root(error)) from None


def _root(error: BaseException) -> str:
    """The class of the first cause: ``SSLCertVerificationError`` says more than ``ConnectError``."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return type(error).__name__


def _read(response: httpx.Response, end: float) -> bytes:
    """The body. httpx bounds each read alone, so the clock and the size are looked at after each piece."""
    pieces, size = [], 0
    for piece in response.iter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > SIZE_LIMIT:
            raise Interrupted("AnswerTooLarge")
        if time.monotonic() > end:
            raise Interrupted("DeadlinePassed")
    return b"".join(pieces)
