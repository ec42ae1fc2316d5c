"""The meaning of a call's states, and how long they are read."""

from __future__ import annotations

import pytest

from tests.integration.api_client import Naps
from worker.api import CallState
from worker.commands.call_outcome import CallOutcome, follow, judged
from worker.errors import Unavailable


class Told:
    """Calls whose states come one after the other, the last for good; None: not readable."""

    def __init__(self, *states: CallState | None) -> None:
        self._states = list(states)
        self.reads = 0

    def read(self, call_id: str) -> CallState | None:
        self.reads += 1
        return self._states.pop(0) if len(self._states) > 1 else self._states[0]


class Away:
    """A service that is gone after the call was placed."""

    def read(self, call_id: str) -> CallState | None:
        raise Unavailable("the service did not answer as it should in time", "check the network")


def state(state: str, cause: str = "", error: str = "", answered: str = "") -> CallState:
    return CallState(state, cause, error, answered, "2026-11-24T11:00:00Z" if cause else "")


RINGING = state("initiated")
ANSWERED = state("answered", answered="2026-11-24T10:59:00Z")


def followed(*states: CallState | None, wait: float = 100) -> tuple[CallOutcome, Told, Naps, list[str]]:
    """Return the outcome of a call with these states, and how it was waited for."""
    calls, naps, told = Told(*states), Naps(), list[str]()
    found = follow(calls, "c-1", wait, notify=told.append, sleep=naps.sleep, clock=naps.clock)
    return found, calls, naps, told


@pytest.mark.parametrize(
    ("seen", "outcome", "code"),
    [
        (ANSWERED, "answered", 0),
        (state("answered"), "answered", 0),
        (state("disconnected", "hangup"), "completed", 0),
        (state("disconnected", "callback-error", answered="2026-11-24T10:59:00Z"), "completed", 0),
        (state("disconnected"), "failed", 10),
        (state("disconnected", "busy"), "failed", 10),
        (state("some-new-state", "some-new-cause"), "failed", 10),
        (RINGING, "pending", 5),
        (state("some-new-state"), "pending", 5),
        (None, "pending", 5),
    ],
)  # fmt: skip
def test_what_a_state_means(seen: CallState | None, outcome: str, code: int) -> None:
    """Answered is 0 whatever comes later, ended unanswered is 10, and an unknown outcome is 5."""
    found = judged(seen, 30)
    assert (found.outcome, found.exit_code) == (outcome, code)


def test_causes_are_told_in_words() -> None:
    """A cause is put into words, beside its code and the service's text; an unknown one is shown as it is."""
    text = judged(state("disconnected", "rejected", "480 Temporarily Unavailable"), 30).text
    assert "is the phone registered? (rejected): 480 Temporarily Unavailable" in text
    assert judged(state("disconnected", "brand-new"), 30).text == "it did not get through: brand-new"
    ended = judged(state("disconnected", "callback-error", answered="x"), 30).text
    assert ended.startswith("it was answered; then it ended: Bandwidth could not get an answer")


def test_it_is_read_until_it_is_settled() -> None:
    """A call is read until it is answered; each state is reported once, and nothing is read after that."""
    found, calls, naps, told = followed(None, None, RINGING, RINGING, ANSWERED)
    assert (found.outcome, calls.reads, len(naps.taken)) == ("answered", 5, 4)
    assert told == ["can't be queried yet, which is normal for a new call", "initiated", "answered"]


def test_waiting_has_an_end() -> None:
    """A call that never settles is read ever more slowly until the time is over, and once at the end."""
    found, calls, naps, _ = followed(RINGING, wait=30)
    assert (found.outcome, found.exit_code) == ("pending", 5)
    assert "initiated after 30 s" in found.text
    assert sum(naps.taken) == pytest.approx(30)
    assert max(naps.taken) == 5
    assert calls.reads == len(naps.taken) + 1 < 15


def test_no_time_at_all_is_one_look() -> None:
    """--wait 0 reads the call's state once."""
    found, calls, naps, _ = followed(None, wait=0)
    assert (found.outcome, calls.reads, naps.taken) == ("pending", 1, [])


def test_a_service_that_goes_away_is_no_failure_of_the_call() -> None:
    """If the call can't be read, its outcome is unknown, with the exit code of the error."""
    naps = Naps()
    found = follow(Away(), "c-1", 30, notify=lambda _: None, sleep=naps.sleep, clock=naps.clock)
    assert (found.outcome, found.exit_code) == ("unknown", 5)
    assert "did not answer" in found.text


def test_facts_have_null_for_what_nobody_told() -> None:
    """Every fact is present; one that was not reported is null."""
    facts = judged(ANSWERED, 30).facts()
    assert facts["disconnect_cause"] is None
    assert facts["answered"] == "2026-11-24T10:59:00Z"
    assert judged(None, 30).facts().keys() == facts.keys()
