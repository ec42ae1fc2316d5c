"""Any bytes as the service's answers: each row has one outcome, or waits behind an exception of ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.api_client import Naps
from tests.scripted import Asked, Told, scripted
from tests.unit.jobs import HOST, PASSWORD, digests_of, make_chunk_row, make_realms
from tests.unit.sessions import Session
from worker import throttle
from worker.api import Api
from worker.errors import SiprosterError
from worker.importing.create import BatchCreator
from worker.model import Endpoint, Family

ROWS = [make_chunk_row(2, "alice"), make_chunk_row(3, "bob", domain="pbx.example"), make_chunk_row(4, "al")]
SECRETS = [PASSWORD, *itertools.chain.from_iterable(map(digests_of, ROWS))]

STATUSES = (200, 201, 302, 303, 400, 401, 403, 404, 407, 408, 409, 429, 500, 503, 599)
CODES = ("23008", "23009", "23026", "23003", "23013", "33001", "33004", "4022", "12345", "", "x" * 600)
TEXTS = (
    "more than 2 entries",
    "more than 0 entries",
    "more than 99,999 entries",
    f"no: {SECRETS[1]}",
    "",
    "<a/>",
)
ROOTS = (
    "SipCredentialsResponse",
    "SipCredentialsResponse",
    "SipCredentialResponse",
    "RealmsResponse",
    "html",
)
FIELDS = {
    "UserName": ("alice", "ALICE", "bob", "bob@pbx.example", "al", "", "stranger"),
    "Domain": ("pbx.example", "", "other.example"),
    "Realm": (HOST, HOST.upper(), "other.example", SECRETS[2], f"{SECRETS[1]}.auth.bandwidth.com"),
    "Hash1": (*SECRETS[1:], "0" * 32, ""),
    "Hash1b": (*SECRETS[1:], "0" * 32, ""),
    "Id": ("17", "", "../..", SECRETS[1], SECRETS[2].upper(), f"7{SECRETS[1]}", "x" * 600, "\u009b2J"),
    "HttpVoiceV2AppId": ("", "7b2f8f6e-1111-2222-3333-abcdefabcdef", SECRETS[1]),
}


def element(name: str, inner: Sequence[str]) -> str:
    """An XML element."""
    return f"<{name}>{''.join(inner)}</{name}>"


@st.composite
def entries(draw: st.DrawFn) -> str:
    """A SipCredential with some of its elements, in any order."""
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), unique=True))
    return element("SipCredential", [element(name, draw(st.sampled_from(FIELDS[name]))) for name in names])


@st.composite
def refusals(draw: st.DrawFn) -> str:
    """Draw the content of an Error or of ResponseStatus."""
    said = f"<ErrorCode>{draw(st.sampled_from(CODES))}</ErrorCode>"
    return f"{said}<Description>{draw(st.sampled_from(TEXTS))}</Description>"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw an answer's body, more or less as the service might send it."""
    errors = [element("Error", [draw(refusals()), *draw(st.lists(entries(), max_size=1))])
              for _ in range(draw(st.integers(0, 3)))]  # fmt: skip
    parts = [
        element("ValidSipCredentials", draw(st.lists(entries(), max_size=4))),
        element("Errors", errors),
        element("ResponseStatus", [draw(refusals())]),
        element("SipCredentials", draw(st.lists(entries(), max_size=3))),
        draw(entries()),
        "<Links><next>?page=2&amp;size=3; rel=next</next></Links>",
    ]
    chosen = draw(st.lists(st.sampled_from(parts), unique=True, max_size=4))
    return element(draw(st.sampled_from(ROOTS)), chosen).encode()


@st.composite
def torn(draw: st.DrawFn) -> bytes:
    """Such a body, cut, or with some bytes written over."""
    whole = draw(bodies())
    at = draw(st.integers(0, len(whole)))
    return whole[:at] + draw(st.binary(max_size=4)) + whole[draw(st.integers(at, len(whole))) :]


answers = st.builds(
    Told,
    status=st.sampled_from(STATUSES) | st.sampled_from((200, 201, 201, 400)),
    body=bodies() | torn() | st.binary(max_size=40),
    headers=st.sampled_from(
        [{}, {"Retry-After": "3"}, {"Retry-After": "soon"}, {"Location": "/x?page=2&size=9"}]
    ),
)


class Service:
    """Answers in turn, again and again from the first one, whatever it is asked."""

    def __init__(self) -> None:
        self.answers: Iterator[Told] = iter(())

    def __call__(self, asked: Asked) -> Told:
        return next(self.answers)


@pytest.fixture(scope="module")
def service() -> Service:
    """The service of all examples."""
    return Service()


@pytest.fixture(scope="module")
def patient_api(service: Service) -> Iterator[Api]:
    """A client of the service that never really sleeps."""
    naps = Naps()
    pace = throttle.local(None, naps.sleep, naps.clock)
    with scripted(service) as server:
        endpoint = Endpoint(server.url, "9900001", username="u", password=PASSWORD)
        with closing(Api(endpoint, pace, sleep=naps.sleep, budget=5)) as api:
            yield api


@given(st.lists(answers, min_size=1, max_size=5), st.sampled_from(Family), st.booleans(), st.booleans())
@settings(max_examples=120)
def test_any_answers(
    service: Service, patient_api: Api, script: list[Told], family: Family, looked: bool, doubtful: bool
) -> None:
    """Posted or asked for, no row has two outcomes; without an exception of ours each has one; no text
    holds a password or a digest.
    """  # fmt: skip
    service.answers = itertools.cycle(script)
    session = Session(family, make_realms(looked=looked))
    creator = BatchCreator(session, patient_api)
    rows = [replace(row) for row in ROWS]
    told, done = "", False
    try:
        (creator.look_up_and_create if doubtful else creator.create)(rows)
        done = True
    except SiprosterError as error:
        told = f"{error.message} {error.hint}"
    outcomes = list(session.outcomes.values())
    lines = sorted(outcome.line for outcome in outcomes)
    assert lines == [2, 3, 4] if done else len(lines) == len(set(lines))
    texts = " ".join([told, *(" ".join([one.error, one.code, one.credential_id]) for one in outcomes)])
    assert not [secret for secret in SECRETS if secret in texts.replace(SECRETS[2].upper(), SECRETS[2])]
    assert texts.isprintable()
    assert all(len(outcome.credential_id) < 65 for outcome in outcomes)
    assert not [outcome for outcome in outcomes if outcome.code == "crashed"]
