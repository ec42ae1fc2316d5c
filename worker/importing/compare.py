"""The comparison of stored and wanted credentials: the one place that decides whether they are the same."""

from __future__ import annotations

from collections.abc import Iterable

from worker.digest import digests
from worker.failpoints import hit
from worker.model import Credential, Row, Stored

CASE, REALM, DIGEST, APPLICATION = "case_differs", "realm_differs", "digest_differs", "application_differs"

NOT_SET, NOT_TAKEN = "application_not_set", "not_taken"
"""The password was updated and the application was not; an update was confirmed and doesn't show."""

KEPT = "password_kept"
"""The row has no password, and its user exists: the password that is set stays."""

ORIGIN_UNKNOWN = "origin_unknown"
"""Code added to a row's others if no answer proves that its credential is this job's work."""

SETTABLE = frozenset({DIGEST, APPLICATION})
"""Differences that a PUT can change. No user is moved to another realm; spelling can't change (23004)."""


def wanted(row: Row, host: str) -> Credential:
    """Return the credential that a row asks for, on the realm with this host name."""
    own = (row.hash1, row.hash1b)
    hash1, hash1b = digests(row.composite, host, row.password) if row.password else own
    return Credential(row.user, row.domain, host, hash1, hash1b, row.application)


def fill_digests(rows: Iterable[Row]) -> None:
    """Set ``hash1`` and ``hash1b`` of every row that has a password and no digests yet.

    ``rows`` are those of an opened chunk: beside a password, digests can only be from an earlier call
    (codec.open_chunk); other rows brought their own. Raises ValueError if a name or password is not valid
    Unicode.
    """
    for row in rows:
        if row.hash1:
            continue
        hit("row", row.user)
        if row.password:
            row.hash1, row.hash1b = digests(row.composite, row.host, row.password)


def differences(credential: Row | Credential, stored: Stored) -> tuple[str, ...]:
    """Return codes for the differences between the stored and the wanted credential.

    Spelling and realm go into the digests, so if one of them differs the digests aren't listed as well.
    A row that asks for no application accepts the stored one. An element that is not known differs.
    """
    found = []
    if stored.composite != credential.composite:
        found.append(CASE)
    if stored.realm and stored.realm.casefold() != credential.host.casefold():
        found.append(REALM)
    if not found and (stored.hash1, stored.hash1b) != (credential.hash1, credential.hash1b):
        found.append(DIGEST)
    if credential.application and stored.application.casefold() != credential.application.casefold():
        found.append(APPLICATION)
    return tuple(found)


def explained(codes: tuple[str, ...], stored: Stored) -> str:
    """Return the differences in words, without any digest."""
    texts = {
        CASE: f"the service has it as {stored.composite}",
        REALM: f"the account has this user on realm {stored.realm}",
        DIGEST: "the account has this user with another password",
        APPLICATION: f"the account has this user with application {stored.application or 'none'}",
        KEPT: "the roster has no password for this user, who exists and keeps the present one; "
        "--rotate generates another one",
        ORIGIN_UNKNOWN: "whether this job made it can't be proven",
    }
    return "; ".join(texts[code] for code in codes)


def same(before: Stored, now: Stored) -> bool:
    """Return whether nothing changed between the look-up and a single read.

    Elements that a list may leave out (realm, application) are compared only if the look-up has shown them.
    """
    return (
        (before.id, before.composite, before.hash1, before.hash1b)
        == (now.id, now.composite, now.hash1, now.hash1b)
        and before.realm.casefold() in ("", now.realm.casefold())
        and before.application.casefold() in ("", now.application.casefold())
    )  # fmt: skip
