"""The sandbox: its knobs, its faults as a client meets them, its log, its beginning and its end."""

from __future__ import annotations

import email.utils
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.sandbox_client import (
    CREDENTIALS,
    REALMS,
    accepted,
    client,
    code,
    error_codes,
    md5,
    post,
    texts,
    token,
)
from tests.sandbox import ROOT, Sandbox

ONCE: dict[str, Any] = {"next": 1}


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of a sandbox as new."""
    with client(sandbox) as connected:
        yield connected


@pytest.mark.parametrize(("commit", "stored"), [(False, 0), (True, 1)])
@pytest.mark.parametrize(("reset", "raised"), [(False, httpx.RemoteProtocolError), (True, httpx.ReadError)])
def test_drop(
    sandbox: Sandbox, http: httpx.Client, commit: bool, stored: int, reset: bool, raised: type[Exception]
) -> None:
    """A dropped connection ends without a byte, by FIN or RST, before the commit or after it."""
    sandbox.knobs(drop=ONCE | {"commit": commit, "reset": reset})
    with pytest.raises(raised):
        post(http, "bob")
    assert len(sandbox.credentials()) == stored
    line = sandbox.log()[0]
    assert (line["status"], line["answered"]) == (201 if commit else None, None)
    assert (line["committed"], line["sent"], line["faults"]) == (stored, "nothing", ["drop"])
    assert http.get(REALMS).status_code == 200


def test_cut(sandbox: Sandbox, http: httpx.Client) -> None:
    """A cut answer is committed, and ends in the middle of its body."""
    sandbox.knobs(cut=ONCE)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        post(http, "bob")
    assert [held["composite"] for held in sandbox.credentials()] == ["bob"]
    assert [(line["status"], line["sent"]) for line in sandbox.log()] == [(201, "half")]


@pytest.mark.parametrize("commit", [False, True])
def test_stall(sandbox: Sandbox, http: httpx.Client, commit: bool) -> None:
    """A stalled request outlasts the client's patience; the work comes before or after the stall."""
    sandbox.knobs(stall=ONCE | {"seconds": 1, "commit": commit})
    with pytest.raises(httpx.ReadTimeout):
        http.post(CREDENTIALS, content=body_of("bob"), timeout=0.3)
    assert len(sandbox.credentials()) == commit
    time.sleep(1)
    assert len(sandbox.credentials()) == 1


def body_of(name: str) -> str:
    """A list with one entry."""
    return (
        f"<SipCredentials><SipCredential><UserName>{name}</UserName><Hash1>{md5(name)}</Hash1>"
        "</SipCredential></SipCredentials>"
    )


def test_too_many_requests(sandbox: Sandbox, http: httpx.Client) -> None:
    """429 comes with seconds, a date, or a reset in seconds or milliseconds, and an empty body."""
    ways = ["seconds", "date", "reset_seconds", "reset_milliseconds", "none"]
    sandbox.knobs(too_many_requests=[ONCE | {"answer": way, "seconds": 7} for way in ways])
    answers = {way: http.get(REALMS) for way in ways}
    assert {(answer.status_code, answer.content) for answer in answers.values()} == {(429, b"")}
    then = time.time() + 7
    headers = {way: answer.headers for way, answer in answers.items()}
    assert headers["seconds"]["Retry-After"] == "7"
    date = email.utils.parsedate_to_datetime(headers["date"]["Retry-After"])
    assert date.timestamp() == pytest.approx(then, abs=3)
    assert int(headers["reset_seconds"]["X-RateLimit-Reset"]) == pytest.approx(then, abs=3)
    assert int(headers["reset_milliseconds"]["X-RateLimit-Reset"]) / 1000 == pytest.approx(then, abs=3)
    assert not {"Retry-After", "X-RateLimit-Reset"} & set(headers["none"])
    assert http.get(REALMS).status_code == 200


def test_rate_limit(sandbox: Sandbox, http: httpx.Client) -> None:
    """Above its rate a rule strikes, below it requests pass, and other methods aren't counted."""
    sandbox.knobs(too_many_requests={"per_second": 0.001, "burst": 3, "method": "POST"})
    assert [post(http, f"user{number}").status_code for number in range(5)] == [201, 201, 201, 429, 429]
    assert http.get(REALMS).status_code == 200
    assert [line["status"] for line in sandbox.log("POST")] == [201, 201, 201, 429, 429]


def test_one_answer_a_request(sandbox: Sandbox, http: httpx.Client) -> None:
    """Two faults that would take the same answer's place strike two requests, one after the other."""
    sandbox.knobs(bad_gateway=ONCE, unavailable=ONCE)
    assert sorted(http.get(REALMS).status_code for _ in range(3)) == [200, 502, 503]


def test_unavailable_and_bad_gateway(sandbox: Sandbox, http: httpx.Client) -> None:
    """503 comes as XML with 13566, without a code, or as HTML; 502 as HTML; a wrong 200 as HTML."""
    ways = ["xml", "no_code", "html"]
    sandbox.knobs(unavailable=[ONCE | {"answer": way, "seconds": 2} for way in ways])
    with_code, without, page = (http.get(REALMS) for _ in ways)
    assert [answer.status_code for answer in (with_code, without, page)] == [503] * 3
    assert (code(with_code), code(without)) == ("13566", "")
    assert with_code.headers["Retry-After"] == "2"
    sandbox.knobs(bad_gateway=ONCE, html_success=ONCE)
    wrong = [http.get(REALMS), http.get(REALMS)]
    assert sorted(answer.status_code for answer in wrong) == [200, 502]
    assert {answer.headers["Content-Type"].split(";")[0] for answer in (page, *wrong)} == {"text/html"}


def test_refused_by_pattern(sandbox: Sandbox, http: httpx.Client) -> None:
    """A rule with a body's pattern refuses every list that holds one poison row, and no other."""
    sandbox.knobs(refuse={"probability": 1, "body": "poison", "status": 400, "code": "23999"})
    assert code(post(http, "bob", "poison7")) == "23999"
    assert accepted(post(http, "bob")) == ["bob"]


def test_commit_before_a_bad_answer(sandbox: Sandbox, http: httpx.Client) -> None:
    """An answer of a fault with ``commit`` hides what was done; the log has both statuses."""
    sandbox.knobs(bad_gateway=ONCE | {"commit": True, "status": 504})
    assert post(http, "bob").status_code == 504
    line = sandbox.log()[0]
    assert (line["status"], line["answered"], line["committed"]) == (201, 504, 1)


def test_swallowed_status(sandbox: Sandbox, http: httpx.Client) -> None:
    """A refusal comes as 2xx with its ResponseStatus."""
    sandbox.knobs(status_swallowed={"probability": 1}, account_set_up=False)
    answer = post(http, "bob")
    assert (answer.status_code, code(answer)) == (201, "23013")
    assert http.get(REALMS).status_code == 200


def test_echoes_that_lack(sandbox: Sandbox, http: httpx.Client) -> None:
    """Errors come without their entry or its name, stored entries without their echo, as ``users`` says."""
    post(http, "taken1", "taken2")
    sandbox.knobs(
        no_echo={"probability": 1, "users": "1$"},
        echo_without_name={"probability": 1, "users": "2$"},
        lost_echo={"probability": 1, "users": "^lost"},
    )
    answer = post(http, "taken1", "taken2", "lost", "bob")
    assert (accepted(answer), error_codes(answer)) == (["bob"], ["23009", "23009"])
    assert texts(answer, "Errors/Error/SipCredential/UserName") == []
    assert texts(answer, "Errors/Error/SipCredential/Hash1") == [md5("taken2")]
    assert "lost" in sandbox.digests()


def test_other_case(sandbox: Sandbox, http: httpx.Client) -> None:
    """The service may store and echo another case than was sent."""
    sandbox.knobs(other_case=ONCE)
    assert accepted(post(http, "Bob")) == ["bOB"]
    assert list(sandbox.digests()) == ["bOB"]


def test_skip_and_next(sandbox: Sandbox, http: httpx.Client) -> None:
    """A rule passes over the first requests that match, strikes the next ones, and shows what is left."""
    sandbox.knobs(refuse={"next": 2, "skip": 1, "status": 403, "method": "GET"})
    assert [http.get(REALMS).status_code for _ in range(2)] == [200, 403]
    left = sandbox.control.get("knobs").json()["refuse"][0]
    assert (left["skip"], left["next"]) == (0, 1)
    assert [http.get(REALMS).status_code for _ in range(2)] == [403, 200]


def test_seed_repeats_the_same_faults(sandbox: Sandbox, http: httpx.Client) -> None:
    """With one seed the same requests meet the same faults; a probability strikes some, not all."""

    def statuses() -> list[int]:
        sandbox.knobs(seed=5, refuse={"probability": 0.5})
        return [http.get(REALMS).status_code for _ in range(20)]

    first = statuses()
    assert statuses() == first
    assert set(first) == {200, 400}


def test_token_endpoint_is_struck_only_by_its_path(sandbox: Sandbox) -> None:
    """A rule without a path leaves the token endpoint alone; one with its path strikes it."""
    sandbox.knobs(bad_gateway={"probability": 1}, html_success=ONCE | {"path": "oauth2"})
    assert token(sandbox).text.startswith("<html>")
    assert token(sandbox).json()["token_type"] == "Bearer"


def test_latency(sandbox: Sandbox, http: httpx.Client) -> None:
    """With latency each answer takes at least so long, by the log's own clock."""
    sandbox.knobs(latency=0.2)
    http.get(REALMS)
    assert sandbox.log()[0]["seconds"] >= 0.2


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"latancy": 1}, "latency"),
        ({"latency": -1}, "latency"),
        ({"latency": True}, "latency"),
        ({"spelling": "both"}, "split, joined"),
        ({"list_omits": "Hash1b"}, "list of texts"),
        ({"short_names": 1}, "true or false"),
        ({"drop": {"next": 1, "probability": 1}}, "exactly one"),
        ({"drop": {}}, "exactly one"),
        ({"drop": {"next": 1, "seconds": 1}}, "commit"),
        ({"drop": {"next": 1.5}}, "whole number"),
        ({"drop": {"next": 1, "path": "("}}, "regular expression"),
        ({"drop": 1}, "object"),
        ({"unavailable": {"next": 1, "answer": "json"}}, "no_code"),
        ([], "object"),
    ],
)
def test_wrong_knobs_change_nothing(sandbox: Sandbox, given: Any, named: str) -> None:
    """A knob that can't be is 400 with what could be, and leaves the others as they were."""
    before = sandbox.control.get("knobs").json()
    mixed = {"seed": 9, **given} if isinstance(given, dict) else given
    answer = sandbox.control.put("knobs", json=mixed)
    assert answer.status_code == 400
    assert named in answer.json()["error"]
    assert sandbox.control.get("knobs").json() == before


def test_log_is_complete_and_without_digests(sandbox: Sandbox, http: httpx.Client) -> None:
    """The log numbers every request of the API, counts entries, and holds no digest; a cursor goes on."""
    post(http, "alice", "no way")
    http.get(f"{CREDENTIALS}/alice")
    http.get("/nowhere")
    lines = sandbox.log()
    assert [(line["number"], line["status"]) for line in lines] == [(1, 201), (2, 200), (3, 404)]
    assert (lines[0]["entries"], lines[0]["committed"], lines[0]["refused"]) == (2, 1, 1)
    assert md5("alice") not in json.dumps(lines)
    newer = sandbox.control.get("log", params={"after": 2}).text.splitlines()
    assert [json.loads(line)["path"] for line in newer] == ["/nowhere"]


def test_reset(sandbox: Sandbox, http: httpx.Client) -> None:
    """A reset discards all changes to credentials, realms and knobs, and empties the log."""
    post(http, "bob")
    sandbox.knobs(latency=0.1, drop=ONCE)
    sandbox.reset()
    health = sandbox.control.get("health").json()
    assert health == {"ok": True, "requests": 0, "credentials": {"9900001": 0}, "sip_port": None}
    knobs = sandbox.control.get("knobs").json()
    assert (knobs["latency"], knobs["drop"], sandbox.log()) == (0, [], [])


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_process_says_where_it_is_and_ends_cleanly(sent: signal.Signals) -> None:
    """With port 0 the one line on stdout has the real port; either signal ends the process with 0."""
    program = [sys.executable, "-m", "worker.sandbox", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with httpx.Client(base_url=url, trust_env=False) as kept_alive:
            assert kept_alive.get("/_sandbox/health").json()["ok"]
            process.send_signal(sent)
            out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    "option", ["--knob=latency=x", "--knob=x=1", "--default-realm=north", "--knobs=/nowhere"]
)
def test_wrong_options_are_explained(option: str) -> None:
    """A wrong option ends the start with a sentence, never a traceback."""
    program = [sys.executable, "-m", "worker.sandbox", "--port", "0", option]
    ended = subprocess.run(program, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "error: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_log_limit_keeps_the_newest(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With a limit the log keeps its newest lines under their own numbers."""
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"), "--log-limit", "2")
    try:
        with client(sandbox) as http:
            for _ in range(5):
                http.get(REALMS)
        assert [line["number"] for line in sandbox.log()] == [4, 5]
    finally:
        sandbox.close()
