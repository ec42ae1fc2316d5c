"""Rules for an entry's elements, each refusal with its code (docs/bandwidth-api.md#field-rules)."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

from worker.sandbox.markup import Fields

LONGEST_NAME = 32
LONGEST_REALM = LONGEST_DIGEST = 64
CHARACTERS = re.compile(r"[A-Za-z0-9._\-!$&*+=~]+").fullmatch
CHARACTERS_AND_AT = re.compile(r"[A-Za-z0-9._\-!$&*+=~]+(@[A-Za-z0-9._\-!$&*+=~]+)*").fullmatch
NUMBER = re.compile(r"[0-9]{1,18}").fullmatch
"""An id, a page or a size: never so long that reading it as a number fails."""
DIGEST = re.compile(r"[0-9A-Fa-f]{32}").fullmatch
UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}").fullmatch


class Digests(NamedTuple):
    """The two digests of an entry, as bytes."""

    hash1: bytes
    hash1b: bytes | None


class EntryRefused(Exception):
    """Refuses one entry; the others continue."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def composite(entry: Fields) -> str:
    """Return the entry's name as the entry states it, valid or not."""
    user, domain = entry.get("UserName", ""), entry.get("Domain", "")
    return f"{user}@{domain}" if domain else user


def check_name(entry: Fields) -> None:
    """Raise EntryRefused unless UserName and Domain are present, short enough, and of valid characters."""
    user, domain = entry.get("UserName", ""), entry.get("Domain", "")
    if not user:
        raise EntryRefused("23001", "UserName is required.")
    if len(user) > LONGEST_NAME:
        raise EntryRefused("23002", f"UserName is longer than {LONGEST_NAME} characters.")
    if len(domain) > LONGEST_NAME:
        raise EntryRefused("23002", f"Domain is longer than {LONGEST_NAME} characters.")
    if not (CHARACTERS if domain else CHARACTERS_AND_AT)(user):
        raise EntryRefused("23014", "UserName contains characters that are not allowed.")
    if domain and not CHARACTERS(domain):
        raise EntryRefused("23015", "Domain contains characters that are not allowed.")


def digests(entry: Fields) -> Digests:
    """Return Hash1, which is required, and Hash1b."""
    hash1 = digest(entry, "Hash1")
    if hash1 is None:
        raise EntryRefused("23001", "Hash1 is required.")
    return Digests(hash1, digest(entry, "Hash1b"))


def digest(entry: Fields, name: str) -> bytes | None:
    """Return one digest as bytes, or None if it wasn't sent."""
    text = entry.get(name, "")
    if not text:
        return None
    if len(text) > LONGEST_DIGEST:
        raise EntryRefused("23002", f"{name} is longer than {LONGEST_DIGEST} characters.")
    if not DIGEST(text):
        raise EntryRefused("23016", f"{name} is not 32 hexadecimal digits.")
    return bytes.fromhex(text)


def application(entry: Fields, known: tuple[str, ...] | None) -> str:
    """Return HttpVoiceV2AppId: a UUID of one of the account's applications; empty if it wasn't sent."""
    text = entry.get("HttpVoiceV2AppId", "")
    if text and not UUID(text):
        raise EntryRefused("23020", "HttpVoiceV2AppId is not a UUID.")
    if text and known is not None and text.lower() not in map(str.lower, known):
        raise EntryRefused("23019", f"Application {text} is not found on the account.")
    # A list usually names one application: a million credentials then share one string.
    return sys.intern(text)
