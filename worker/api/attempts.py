"""Attempts: which requests are retried in place, and for how long (tenacity holds the loop).

A request that writes and may have reached the service is never repeated here: AnswerLost tells the caller to
look first. All others are repeated within the budget. The throttle, which delays all workers, is told of
every 429 and of the wait that the service asks for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TypeVar, cast
from urllib.parse import urlsplit

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_exponential_jitter,
    wait_random,
)

from worker.api.transport import THROUGH, Interrupted, NotSent, Reply, Transport
from worker.errors import AnswerLost, Throttled, TryLater, Unavailable
from worker.meter import METER
from worker.reasons import REFUSED
from worker.throttle import Cooling, Throttle
from worker.waits import HERE, Entry, WaitKind, Waits

T = TypeVar("T")
Permit = Callable[[float], None]
"""Called with the request's deadline in seconds right before it is sent; raises to prevent it."""

log = logging.getLogger(__name__)

LONGEST_COOLING = 120.0
"""Seconds that one answer may delay all workers, even if it asks for more."""

RESTS = 60.0
"""Seconds for which an account that gets nothing but errors is left alone, while others need its workers."""

_MILLISECONDS_FROM = 1e11
"""Epoch seconds stay below this until the year 5138; milliseconds have been above it since 1973."""

_RISING = wait_exponential_jitter(multiplier=0.25, max=10, jitter=0.5)
_JITTER = wait_random(0, 0.5)


class RetryableError(Exception):
    """An attempt that failed and is worth retrying.

    ``reason``: why, in plain words, with the status if there was one. ``retry_after``: seconds, if the
    service asked for a wait.
    """

    def __init__(self, reason: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after


class Attempts:
    """Sends and retries requests, recording in ``waits`` what it waits for. Threads may share it."""

    def __init__(
        self,
        transport: Transport,
        throttle: Throttle,
        sleep: Callable[[float], None],
        budget: float,
        waits: Waits = HERE,
        account: str = "",
    ) -> None:
        self._account = account
        self._waits = waits
        self._transport = transport
        self._throttle = throttle
        self._sleep = sleep
        self._budget = budget
        self._counting = threading.Lock()
        self.requests = 0
        self.retries = 0

    def retry(self, attempt: Callable[[], T]) -> T:
        """Repeat ``attempt`` while it raises RetryableError and the budget lasts, then raise TryLater."""
        began = time.monotonic()
        try:
            return attempt()
        except RetryableError as error:
            first = error
        # Imported late: loading tenacity and the registry of waits costs more than one request should.
        with self._waits.entered(began=began) as entry:
            retrying = Retrying(
                stop=partial(self._spent, began),
                wait=_pause,
                retry=retry_if_exception_type(RetryableError),
                sleep=self._sleep,
                before_sleep=partial(self._note, entry, began),
                reraise=True,
            )
            try:
                return retrying(_after(first, attempt))
            except RetryableError as last:
                raise _given_up(last, self._rest()) from None

    def send(
        self,
        method: str,
        url: str,
        headers: Callable[[], Mapping[str, str]],
        body: bytes = b"",
        permit: Permit | None = None,
    ) -> Reply:
        """Make one attempt, once the throttle lets it start. A ``permit`` means that the request writes.

        Returns any answer that waiting cannot improve. Raises RetryableError or AnswerLost, and Throttled if
        the service has asked for a longer wait than one request is allowed.
        """
        try:
            ticket = self._throttle.wait(self._budget)
        except Cooling as cooling:
            raise _too_long(cooling.seconds) from None
        given = headers()
        if permit:
            permit(self._transport.deadline)
        with self._counting:
            self.requests += 1
        code: int | str = "not_sent"
        try:
            with self._waits.entered(WaitKind.ANSWER, seconds=self._transport.deadline):
                reply = self._transport.send(method, url, given, body)
            code = reply.status
        except NotSent as error:
            raise RetryableError(str(error)) from None
        except Interrupted as error:
            code = "no_answer"
            raise lost_or_retryable(str(error), None, writes=permit is not None) from None
        finally:
            if METER.on:
                METER.count("requests", 1, self._account, "write" if permit else "read", str(code))
        if log.isEnabledFor(logging.DEBUG):
            # The path names accounts and users but no secret; the host may contain any text.
            path = urlsplit(url).path
            log.debug("%s %s: HTTP %d, %d bytes", method, path, reply.status, len(reply.body))
        if reply.status == 429:
            self._throttle.refused(ticket)
        self._judge(reply, writes=permit is not None)
        return reply

    def _judge(self, reply: Reply, writes: bool) -> None:
        if reply.status in (429, 503):
            asked = asked_wait(reply.headers, time.time())
            if asked:
                self._throttle.cool(min(asked, LONGEST_COOLING))
            what = "it asks for fewer requests" if reply.status == 429 else "it is not available"
            raise RetryableError(f"{what} (HTTP {reply.status})", reply.status, asked)
        if reply.status == 408 or reply.status >= 500:
            raise lost_or_retryable(f"it answered HTTP {reply.status}", reply.status, writes)

    def _spent(self, began: float, state: RetryCallState) -> bool:
        # Sleep counts even if the clock doesn't advance with it, as in a test.
        elapsed = max(time.monotonic() - began, state.idle_for)
        return elapsed + state.upcoming_sleep > self._throttle.longest_wait(self._budget)

    def _rest(self) -> float | None:
        """Let the account rest if others need its workers; return for how many seconds."""
        if self._throttle.longest_wait(self._budget) >= self._budget:
            return None
        self._throttle.cool(RESTS)
        return RESTS

    def _note(self, entry: Entry, began: float, state: RetryCallState) -> None:
        with self._counting:
            self.retries += 1
        METER.count("retries", 1, self._account)
        error = _error_of(state)
        if error.status == 429 or error.retry_after is not None:
            self._waits.turn(entry, WaitKind.SLOWED, str(error.status), state.upcoming_sleep)
        else:
            left = self._budget - (time.monotonic() - began)
            self._waits.turn(entry, WaitKind.SERVICE, error.reason, left)
        # Never the exception's own text: the library's carries the URL.
        log.info(
            "%s; attempt %d: again in %.1f s",
            error.reason,
            state.attempt_number,
            state.upcoming_sleep,
        )


def lost_or_retryable(reason: str, status: int | None, writes: bool) -> AnswerLost | RetryableError:
    """Return the error of an answer that never came, or came broken: a write may have been done."""
    if not writes:
        return RetryableError(reason, status)
    return AnswerLost(f"a request was sent, and whether the service did it is not known: {reason}")


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that the service asks to wait, or None.

    ``Retry-After`` in seconds or as a date (RFC 9110, section 10.2.3), or the older host's
    ``X-RateLimit-Reset`` in epoch seconds or milliseconds, told apart by their size. ``now``: epoch seconds.
    """
    after, reset = headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "")
    if _is_number(after):
        return float(after)
    if after:
        try:
            return max(0.0, parsedate_to_datetime(after).timestamp() - now)
        except (ValueError, OverflowError):
            return None
    if _is_number(reset):
        moment = float(reset)
        return max(0.0, (moment / 1000 if moment > _MILLISECONDS_FROM else moment) - now)
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def _pause(state: RetryCallState) -> float:
    asked = _error_of(state).retry_after
    return _RISING(state) if asked is None else asked + _JITTER(state)


def _after(first: RetryableError, attempt: Callable[[], T]) -> Callable[[], T]:
    """Return ``attempt`` as tenacity is to see it: its first call has been made, and raised ``first``."""
    made = [first]

    def again() -> T:
        if made:
            raise made.pop()
        return attempt()

    return again


def _error_of(state: RetryCallState) -> RetryableError:
    # Only RetryableError is retried, so nothing else gets here.
    return cast("RetryableError", state.outcome and state.outcome.exception())


def _too_long(seconds: float) -> Throttled:
    return Throttled(
        f"the service asked for {seconds:.0f} s without requests (HTTP 429 or 503), too long to wait for",
        "wait a while; --patience says how long to wait, --rate keeps below the limit",
        seconds,
    )


def _given_up(last: RetryableError, rest: float | None) -> TryLater:
    """Return the error for a request that is given up; ``rest``: seconds for which the account rests."""
    asked = max(last.retry_after or 0.0, rest or 0.0) or None
    if last.status == 429:
        return Throttled(
            "the service limits the rate (HTTP 429) and did not relent in time",
            "wait a while; --rate keeps below the limit",
            asked,
        )
    return Unavailable(
        f"the service did not answer as it should in time: {last.reason}",
        _remedy(last.reason),
        asked,
    )


def _remedy(reason: str) -> str:
    """Return what to do about a service that can't be reached."""
    if "certificate" in reason:
        return (
            "if a proxy of your company's opens TLS, set SSL_CERT_FILE to the PEM file of its authority; "
            "else check BW_API_URL and this machine's date; `siproster doctor` tries it"
        )
    if reason.startswith(THROUGH):
        return (
            f"correct {reason.split(':')[0].removeprefix(THROUGH)}, or unset it; `siproster doctor` tries it"
        )
    if reason == REFUSED:
        return (
            "check BW_API_URL and the network; the sandbox ends with its terminal: start it again with "
            "`siproster sandbox`; `siproster doctor` tries it"
        )
    return "check the network, BW_API_URL and the proxy settings; `siproster doctor` tries them"
