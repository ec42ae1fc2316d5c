"""Requests on one account: path, auth, attempts, and the function that reads the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

from worker.api import response_xml
from worker.api.attempts import Attempts, Permit, RetryableError, lost_or_retryable
from worker.api.token import TOKEN_PATH, Auth, Bearer, Password, basic
from worker.api.token_claims import Claims
from worker.api.transport import Reply, check_host
from worker.errors import SiprosterError, StopJob
from worker.model import Endpoint

T = TypeVar("T")

XML = {"Content-Type": "application/xml; charset=utf-8", "Accept": "application/xml"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class Client:
    """A client that sends requests about one account."""

    def __init__(
        self,
        endpoint: Endpoint,
        attempts: Attempts,
        media: Mapping[str, str] = XML,
        auth: Auth | None = None,
    ) -> None:
        check_host(endpoint.host)
        self._attempts = attempts
        self._account = f"{endpoint.host}{endpoint.api_path}/accounts/{segment(endpoint.account)}"
        self._media = media
        self._auth = auth or _auth(endpoint, attempts)

    def beside(self, endpoint: Endpoint, media: Mapping[str, str]) -> Client:
        """Return a client for another host of the service, with this token. ``media``: its content types."""
        return Client(endpoint, self._attempts, media, self._auth)

    def claims(self) -> Claims | None:
        """Return the token's claims, or None if there is no token yet or it has no claims."""
        return self._auth.claims()

    def ask(
        self,
        method: str,
        path: Sequence[str],
        read: Callable[[Reply], T],
        *,
        body: bytes = b"",
        permit: Permit | None = None,
        once: bool = False,
    ) -> T:
        """Send a request and return what ``read`` makes of the answer. With a ``permit`` it writes.

        ``once``: a repetition could not be detected afterwards, so the request is retried only if it was
        certainly not carried out: without a connection, and after a 401 or 429, but not after a 503.

        Raises what ``read`` raises, TryLater and StopJob; AnswerLost for a request that writes. If ``read``
        raises Malformed, the answer counts as lost. An exception about a request that writes is
        ``unconfirmed`` if the request may have been carried out: it was answered, but neither with words
        about what was sent nor with a 429, which certainly did nothing.
        """
        return self._ask(method, self._url(path), read, body, permit, once)

    def find(self, path: Sequence[str], query: Mapping[str, str], read: Callable[[Reply], T]) -> T:
        """Ask for the entries that match a query; return what ``read`` makes of them. Raises as ``ask``."""
        pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        return self._ask("GET", f"{self._url(path)}?{pairs}", read)

    def _url(self, path: Sequence[str]) -> str:
        return "/".join([self._account, *map(segment, path)])

    def _ask(
        self, method: str, url: str, read: Callable[[Reply], T], body: bytes = b"",
        permit: Permit | None = None, once: bool = False,
    ) -> T:  # fmt: skip
        writes = permit is not None
        answered = False  # by what does not say whether it was done

        def attempt() -> T:
            nonlocal answered
            try:
                reply = self._send(method, url, body, permit)
            except RetryableError as error:
                answered = answered or error.status == 503
                if once and error.status == 503:
                    raise lost_or_retryable(error.reason, error.status, writes=True) from None
                raise
            try:
                return read(reply)
            except StopJob:
                answered = True
                raise
            except response_xml.Malformed as error:
                reason = f"its answer (HTTP {reply.status}) is malformed: {error}"
                raise lost_or_retryable(reason, reply.status, writes) from None

        try:
            return self._attempts.retry(attempt)
        except SiprosterError as error:
            error.unconfirmed = error.unconfirmed or (writes and answered)
            raise

    def _send(self, method: str, url: str, body: bytes, permit: Permit | None) -> Reply:
        """Send the request and return its answer; after a 401, retry once with a new token."""
        shown = ""

        def headers() -> Mapping[str, str]:
            nonlocal shown
            shown = self._auth.header()
            return {**self._media, "Authorization": shown}

        reply = self._attempts.send(method, url, headers, body, permit)
        if reply.status == 401 and self._auth.renew(shown):
            reply = self._attempts.send(method, url, headers, body, permit)
        return reply


def segment(text: str) -> str:
    """Return a path segment, percent-encoded: ``+`` and ``@`` too, and names like ``..`` that would climb."""
    encoded = quote(text, safe="")
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")


def _auth(endpoint: Endpoint, attempts: Attempts) -> Auth:
    if endpoint.username and not endpoint.client_id:
        return Password(endpoint.username, endpoint.password)
    headers = {**FORM, "Authorization": basic(endpoint.client_id, endpoint.client_secret)}

    def fetch() -> Reply:
        return attempts.retry(
            lambda: attempts.send(
                "POST", endpoint.host + TOKEN_PATH, lambda: headers, b"grant_type=client_credentials"
            )
        )

    return Bearer(fetch)
