"""The two hashes, against vectors that Bandwidth verified or printed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.digest import digests, response

TEXT = st.text(st.characters(exclude_categories=["Cs"]))

VECTORS = [
    (
        "clitest",
        "bwclitest-3efeaa.auth.bandwidth.com",
        "Tb7xQ2mK9rL4vN8s",
        "1be6abcaa8e9956021d30f33a3925b99",
        "e028e6577a0bb1b90a33d30a110dbdfe",
    ),
    (
        "bob@somewhere.com",
        "custxx.auth.bandwidth.com",
        "password",
        "817d76e91aad032a8c272229f468bfb2",
        "39679d2a73c2e1ea719621bc0d8fdac8",
    ),
    (
        "sipauthtest",
        "custxx.auth.bandwidth.com",
        "password",
        "fe438bddfc087dda89d29e637f5684ab",
        "79bb0e55551e14a2f329a282c7cf1456",
    ),
]


@pytest.mark.parametrize(("composite", "realm", "password", "hash1", "hash1b"), VECTORS)
def test_published_vectors(composite: str, realm: str, password: str, hash1: str, hash1b: str) -> None:
    """Both digests come out as the service has verified them and the guide prints them."""
    assert digests(composite, realm, password) == (hash1, hash1b)


def test_password_is_taken_as_utf8() -> None:
    """A password outside ASCII is hashed as its UTF-8 bytes, computed here with coreutils' md5sum."""
    # printf '%s' 'zoë:r.auth.bandwidth.com:pässwörd€' | md5sum
    # printf '%s' 'zoë@r.auth.bandwidth.com:r.auth.bandwidth.com:pässwörd€' | md5sum
    expected = ("86b6761d20761ad81577cb520f0ec1f9", "6f5cc1fec6a83239bcc648281328c4b9")
    assert digests("zoë", "r.auth.bandwidth.com", "pässwörd€") == expected


@given(TEXT, TEXT, TEXT)
def test_always_32_lower_case_hex_digits(composite: str, realm: str, password: str) -> None:
    """For any texts, both digests have the form that the API takes."""
    for digest in digests(composite, realm, password):
        assert re.fullmatch(r"[0-9a-f]{32}", digest)


@given(TEXT, TEXT, TEXT, TEXT)
def test_colons_are_only_separators(composite: str, realm: str, left: str, right: str) -> None:
    """A colon inside the password is part of the password: nothing is escaped, as RFC 2617 has it."""
    assert digests(composite, realm, f"{left}:{right}")[0] == digests(composite, f"{realm}:{left}", right)[0]


@given(TEXT, TEXT, TEXT)
def test_hash1b_is_hash1_of_the_name_with_its_realm(composite: str, realm: str, password: str) -> None:
    """Hash1b serves a phone whose user name is ``composite@realm``: one rule ties the two digests."""
    assert digests(composite, realm, password)[1] == digests(f"{composite}@{realm}", realm, password)[0]


@given(TEXT, TEXT.filter(lambda realm: realm != realm.upper()), TEXT)
def test_realm_is_used_exactly_as_given(composite: str, realm: str, password: str) -> None:
    """A realm in another case is another realm: nothing is folded."""
    assert digests(composite, realm, password) != digests(composite, realm.upper(), password)


@given(TEXT, TEXT)
def test_white_space_of_a_password_counts(composite: str, password: str) -> None:
    """A password is never trimmed: white space at its ends makes another digest."""
    assert digests(composite, "r", password + " ") != digests(composite, "r", password)


def test_broken_unicode_does_not_show_the_password() -> None:
    """A lone surrogate is refused with a sentence that holds nothing of the password."""
    with pytest.raises(ValueError, match="not valid Unicode") as caught:
        digests("alice", "r", "hunter2\udcff")
    assert "hunter2" not in str(caught.value)
    assert "udcff" not in str(caught.value)


def test_the_answer_to_a_challenge() -> None:
    """Both forms of RFC 2617, computed here with coreutils' md5sum."""
    # h=$(printf 'alice:r.example:pw' | md5sum | cut -c1-32)
    # a=$(printf 'REGISTER:sip:r.example' | md5sum | cut -c1-32)
    # printf "$h:nonce1:$a" | md5sum;  printf "$h:nonce1:00000002:c0ffee:auth:$a" | md5sum
    ha1, _ = digests("alice", "r.example", "pw")
    assert response(ha1, "sip:r.example", "nonce1") == "f5d359a772ead40632f2e42abe519589"
    assert (
        response(ha1, "sip:r.example", "nonce1", "c0ffee", "00000002") == "56b3532e1dd6c915e428649611442a64"
    )
