"""A token's claims: read for advice, whatever the token is."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.api.token_claims import Claims, read_claims


def jwt(content: object) -> str:
    """A token with this payload."""
    payload = base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJSUzI1NiJ9.{payload}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("content", "claims"),
    [
        ({}, Claims()),
        (
            {"accounts": ["5001", 5002], "roles": ["A"], "express": True},
            Claims(("5001", "5002"), ("A",), True),
        ),
        ({"accounts": 5001, "roles": "A, B", "express": "TRUE"}, Claims(("5001",), ("A", "B"), True)),
        ({"accounts": [], "roles": [None, {}, True], "express": "no"}, Claims((), ())),
        ({"accounts": {"a": 1}, "roles": None, "express": None}, Claims()),
        ({"accounts": True, "roles": ""}, Claims()),
    ],
)
def test_claims_in_any_shape(content: object, claims: Claims) -> None:
    """Lists, single values, numbers and texts are read as claims; any other shape is ignored."""
    assert read_claims(jwt(content)) == claims


@pytest.mark.parametrize(
    "token", ["", "abc", "a.b.c", "..", "é.é.é", jwt([]), jwt("x"), jwt(7), "a" * 9000, "[." * 3]
)
def test_a_token_that_is_no_jwt(token: str) -> None:
    """A token that is no JWT has no claims, and raises no error."""
    assert read_claims(token) is None


@given(st.text(max_size=80))
def test_no_token_is_a_fault(text: str) -> None:
    """Any text between the dots gives claims or None, and no exception."""
    for token in (
        text,
        f"a.{text}.b",
        f"a.{base64.urlsafe_b64encode(text.encode(errors='replace')).decode()}.b",
    ):
        found = read_claims(token)
        assert found is None or isinstance(found, Claims)


def test_what_a_token_lacks() -> None:
    """Only what a token names can be found lacking; roles are compared without case and blanks."""
    assert not Claims().lacks_account("1")
    assert not Claims().lacks_role()
    assert Claims(accounts=()).lacks_account("1")
    assert Claims(accounts=("1",)).lacks_account("11")
    assert not Claims(accounts=("1", "2")).lacks_account("2")
    assert Claims(roles=("Voice",)).lacks_role()
    for spelled in ("SIP Credentials", "sip credentials", "SIPCREDENTIALS", "sip_credentials"):
        assert not Claims(roles=("Voice", spelled)).lacks_role()
