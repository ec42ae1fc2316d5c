"""The fault matrix, the service: answers that are lost, broken or strange, storms, and tokens that end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from tests.chaos.fleet import POSTS, Fleet, holds, posts
from tests.integration.api_client import client
from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import made_once, result_rows, roster_of, users, write
from tests.system.runs import all_in_place, run
from tests.unit.jobs import make_chunk_row
from tests.unit.sessions import Session
from worker.importing.create import BatchCreator
from worker.ledger import JobRealm

APPLICATION = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"

LOST: Mapping[str, Any] = {
    "drop": [{"commit": True}, {"commit": True, "reset": True}],
    "bad_gateway": {"commit": True},
    "html_success": {"commit": True},
    "cut": {"skip": 4},
}
"""Ways in which the answer to a list is lost after the work was done, one after the other."""


def each(faults: Mapping[str, Any], **trigger: Any) -> dict[str, Any]:
    """Return these faults, for lists of credentials, with this trigger."""
    rules = {kind: given if isinstance(given, list) else [given] for kind, given in faults.items()}
    return {kind: [{**POSTS, **trigger, **rule} for rule in given] for kind, given in rules.items()}


def test_answers_are_lost_after_the_work(office: Program, sandbox: Sandbox) -> None:
    """However an answer is lost, no row fails, is unknown or is sent twice: each is looked up.

    Guard: BatchCreator._create_absent.
    """
    sandbox.knobs(**each(LOST, next=1))
    roster = roster_of(office.work / "staff.csv", users(24))
    summary = run(office, "import", roster, "--batch-size", "4", "--concurrency", "1")
    rows = [(row["bw__status"], row["bw__error_code"]) for row in result_rows(summary["files"]["results"])]
    assert Counter(rows) == {("unchanged", "origin_unknown"): 20, ("created", ""): 4}
    assert made_once(sandbox)
    assert {line["refused"] for line in posts(sandbox)} == {0}
    assert sum(line["committed"] for line in posts(sandbox) if line["faults"]) == 20


def test_an_answer_that_never_comes(sandbox: Sandbox) -> None:
    """The work is done and the answer stalls: the request ends at its deadline, and a look-up settles it.

    Guard: Transport.deadline, which attempts.lost_or_retryable makes an AnswerLost.
    """
    sandbox.knobs(stall={**POSTS, "next": 1, "commit": True, "seconds": 60})
    with closing(client(sandbox.url, deadline=0.5)) as api:
        realm = api.default_realm()
        session = Session(realms={0: JobRealm(0, realm.id, realm.host, looked=True)})
        BatchCreator(session, api).create([make_chunk_row(line, host=realm.host) for line in (2, 3)])
    assert [outcome.code for outcome in session.outcomes.values()] == ["origin_unknown"] * 2
    assert made_once(sandbox)
    assert [line["committed"] for line in posts(sandbox)] == [2]


STRANGE: Mapping[str, Mapping[str, Any]] = {
    "an error without an echo": {"no_echo": {"users": "^(ext1|ext5)$"}},
    "an echo without a name": {"echo_without_name": {"users": "^(ext1|ext5)$"}},
    "400 as 201": {"status_swallowed": {}},
}


@pytest.mark.parametrize("how", STRANGE)
def test_a_strange_answer(office: Program, sandbox: Sandbox, how: str) -> None:
    """Errors inside a 201, with half an echo or none: every row gets its own outcome, and no other.

    Guard: BatchCreator._settle_unnamed.
    """
    sandbox.knobs(applications=[], **each(STRANGE[how], probability=1))
    rows = [
        {"username": user.name, "password": user.password, "app_id": APPLICATION if at in (1, 5) else ""}
        for at, user in enumerate(users(8))
    ]
    summary = run(office, "import", write(office.work / "staff.csv", rows), "--batch-size", "4", code=10)
    ends = [(row["bw__status"], row["bw__error_code"]) for row in result_rows(summary["files"]["results"])]
    assert ends == [("failed", "23019") if at in (1, 5) else ("created", "") for at in range(8)]
    assert made_once(sandbox)


def test_a_row_that_is_stored_and_not_mentioned(office: Program, sandbox: Sandbox) -> None:
    """A row that the answer leaves out is looked up, and found in place but unproven.

    Guard: BatchCreator._settle_unnamed.
    """
    sandbox.knobs(**each({"lost_echo": {"users": "^ext2$"}}, probability=1))
    summary = run(office, "import", roster_of(office.work / "staff.csv", users(8)), "--batch-size", "4")
    ends = [(row["bw__status"], row["bw__error_code"]) for row in result_rows(summary["files"]["results"])]
    assert ends == [("unchanged", "origin_unknown") if at == 2 else ("created", "") for at in range(8)]


def test_an_echo_in_another_case(office: Program, sandbox: Sandbox) -> None:
    """A user that the service stored in another case can't register with the digests sent, so its row fails.

    Guard: BatchCreator._match.
    """
    sandbox.knobs(other_case={**POSTS, "probability": 1, "users": "^ext2$"})
    summary = run(office, "import", roster_of(office.work / "staff.csv", users(4)), code=10)
    assert summary["counts"] == {"created": 3, "failed": 1}
    (failed,) = result_rows(summary["files"]["failed"])
    assert (failed["bw__username"], failed["bw__error_code"]) == ("ext2", "case_differs")


def test_one_asked_to_wait_is_all_asked_to_wait(fleet: Fleet) -> None:
    """While one answer's Retry-After runs, no worker on any host starts a request; then all rows are made.

    Guard: throttle._Redis.cool, which Attempts._judge calls.
    """
    storm = {"too_many_requests": {"answer": "seconds", "seconds": 4}}
    fleet.sandbox.knobs(latency=0.1, **each(storm, next=1, skip=3))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: fleet.worker(processes=2), range(2)))
    job = fleet.begin(users(64), "--chunk-size", "8", "--batch-size", "1", "--concurrency", "1")
    assert fleet.finish(job) == {"created": 64}
    log = fleet.sandbox.log(path="/accounts/")
    (asked,) = (line["time"] + line["seconds"] for line in log if line["faults"])
    # Requests that were sent, or had their turn, when the answer came may still arrive.
    assert not [line for line in log if asked + 0.5 < line["time"] < asked + 2.9]
    assert len([line for line in log if line["time"] > asked + 2.9]) > 32
    assert made_once(fleet.sandbox)


def test_storms(office: Program, sandbox: Sandbox) -> None:
    """With half of all requests answered 429, 503 or a proxy's 502, no row is lost and none fails.

    Guard: Attempts.retry, and AnswerLost for a 502 after a list was sent.
    """
    sandbox.knobs(
        too_many_requests={"probability": 0.2, "answer": "none"},
        unavailable=[{"probability": 0.1, "answer": kind} for kind in ("html", "no_code")],
        bad_gateway=[{"probability": 0.1, "commit": commit} for commit in (True, False)],
    )
    roster = roster_of(office.work / "staff.csv", users(24))
    summary = run(office, "import", roster, "--realm", "office", "--batch-size", "8")
    assert all_in_place(summary["counts"], 24)
    assert summary["retries"] > 0
    assert holds(sandbox, users(24))
    assert made_once(sandbox)


def test_the_token_ends_in_the_middle(office: Program, sandbox: Sandbox) -> None:
    """A token that expires earlier than announced is renewed after its 401, and no row is affected.

    Guard: the second attempt of Client._send.
    """
    sandbox.knobs(expires_in=1, send_expires_in=False, latency=0.25)
    roster = roster_of(office.work / "staff.csv", users(12))
    summary = run(office, "import", roster, "--batch-size", "1", "--concurrency", "1")
    assert summary["counts"] == {"created": 12}
    assert len(sandbox.log("POST", "oauth2/token")) > 2
    refused = [line for line in posts(sandbox) if line["status"] == 401]
    assert refused
    assert made_once(sandbox)
