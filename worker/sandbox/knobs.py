"""The knobs: the behaviour of the service, and its faults.

A knob is either a plain value or a fault. A fault is ``null`` (never), one rule, or a list of
rules; a rule is an object with exactly one trigger and, where wanted, conditions::

    {"probability": 0.1}                  of the requests that match, at random (see "seed")
    {"next": 2}                           the next two that match
    {"per_second": 40, "burst": 5}        those that match above this rate

    "skip": 3                             let three matching requests pass first
    "method": "POST", "path": "REGEX"     which requests match (the path, searched); without a
                                          path those on accounts do, the token endpoint doesn't
    "body": "REGEX"                       which requests match (the body as text, searched)

and the parameters of its kind, listed in ``KINDS``.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

Json = Any


class KnobError(ValueError):
    """Raised for an unknown knob or an invalid value; the text says what is possible."""


@dataclass(slots=True)
class Values:
    """The plain knobs and their defaults."""

    seed: int = 1
    """Seed of the random numbers that decide about probabilities."""
    latency: float = 0.0
    """Seconds before each answer."""
    expires_in: int = 3600
    """Seconds that a token lives."""
    send_expires_in: bool = True
    token_claims: Json = None
    """An object: tokens are JWTs with these claims, as ``{"accounts": ["9900001"]}``; null: they aren't."""
    basic_allowed: bool = True
    """True while the API takes HTTP Basic; the service ends it on 2026-12-02."""
    account_locked: bool = False
    """Every request on an account: 404 with 4022."""
    account_set_up: bool = True
    """False: 33004 on realms, 23013 on credentials."""
    realm_pending: float = 0.2
    """Seconds in CREATE_PENDING and DELETE_PENDING."""
    realm_create_fails: bool = False
    """A realm made now ends in CREATE_FAILED."""
    realm_host: str = "live"
    """live: ``name-<hex>.auth…``; guide: ``name.<hex>.auth…``; for realms made from now on."""
    short_names: bool = True
    """True if GET resolves a realm's short name."""
    realm_omits: tuple[str, ...] = ()
    """Elements that realms leave out, such as SipCredentialCount."""
    omit_codes: tuple[str, ...] = ()
    """Codes that a ResponseStatus leaves out: ["33001"] makes a realm's 404 carry a Description only."""
    most_entries: int = 1000
    """The bound of 23003."""
    none_valid_status: int = 400
    """Status when no entry of a list was valid: 400, or the 201 that has been seen live."""
    applications: tuple[str, ...] | None = None
    """The account's applications (23019 for others); None: every UUID is one."""
    spelling: str = "split"
    """Reads give ``user@domain`` as UserName and Domain (split) or in UserName (joined)."""
    list_omits: tuple[str, ...] = ()
    """Elements that lists leave out, such as Hash1b."""
    get_omits: tuple[str, ...] = ()
    """Elements that a single GET leaves out."""
    list_lag: float = 0.0
    """Seconds until reads show what was created or updated; a deletion shows at once."""
    page_style: str = "composite"
    """The page in ``Links/next``: the first entry's name (composite) or its index."""
    list_entries: str = "wrapped"
    """The place of a list's entries: in SipCredentials (wrapped), or right under the root (bare)."""
    largest_page: int = 5000
    """A larger size is cut to this."""
    empty_list: str = "23008"
    """23008: 404 with that code when a list has nothing; empty: 200 without entries."""
    show_digests: bool = True
    """True if the text of 23026 contains the submitted digests."""
    put_application: str = "set"
    """set: PUT sets the application it sends; ignore: the stored one stays."""
    put_without_application: str = "keep"
    """The effect of a PUT without an application on the stored one: keep or clear."""
    calls_per_second: int = 5
    """Calls that an account may place in one second; 429 above it."""
    call_ends: str = "hangup"
    """The end of a call: hangup (answered, then over), answered (and goes on), queued (for ever), or the
    disconnectCause of an unanswered one.
    """
    call_hidden: float = 0.0
    """Seconds in which a new call can't be read yet: 404."""
    call_rings: float = 0.2
    """Seconds until a call is answered, or ends."""
    call_talks: float = 0.2
    """Seconds from a call's answer to its end."""
    call_phone_needed: bool = True
    """True if a call to a user without a registered phone fails; only if the registrar runs."""
    sip_silent: bool = False
    """The registrar answers nothing."""
    sip_loses: int = 0
    """The number of times that each request over UDP is lost before it arrives."""
    sip_latency: float = 0.0
    """Seconds before each answer of the registrar."""
    sip_status: int = 0
    """The status that the registrar answers everything with, such as 503; 0: its own."""
    sip_accepts_anything: bool = False
    """Any answer to a challenge is good, and a wrong password registers like the right one."""
    sip_contact_needed: bool = False
    """True if a REGISTER without a Contact is refused with 400, right password or not."""
    sip_sha256: str = "no"
    """Challenges with SHA-256: no; first (before the one with MD5); only."""
    sip_md5_sess: str = "no"
    """Challenges with MD5-sess: no; first (before the one with MD5); only."""
    sip_nonce_seconds: float = 60.0
    """Seconds that a nonce is good; an answer to an older one is stale."""
    sip_nonce_uses: int = 100
    """The number of times that a nonce may be used."""


@dataclass(slots=True)
class Rule:
    """One rule of a fault: its trigger and conditions, and the parameters of its kind."""

    given: dict[str, Json]
    """The rule as it was set; ``next`` and ``skip`` count down here."""
    path: re.Pattern[str] | None
    body: re.Pattern[str] | None
    users: re.Pattern[str] | None
    allowance: float = 0.0
    refilled: float = 0.0

    def matches(self, method: str, path: str, body: bytes) -> bool:
        """Return whether the conditions hold for a request."""
        if str(self.given.get("method", method)).upper() != method:
            return False
        if self.path is not None and not self.path.search(path):
            return False
        return self.body is None or bool(self.body.search(body.decode("utf-8", "replace")))

    def strikes(self, chance: Callable[[], float]) -> bool:
        """Return whether the trigger applies to this matching request, which is counted."""
        if self.given.get("skip", 0) > 0:
            self.given["skip"] -= 1
            return False
        if "probability" in self.given:
            return chance() < float(self.given["probability"])
        if "per_second" in self.given:
            return self._above_rate()
        left = int(self.given["next"])
        self.given["next"] = max(left - 1, 0)
        return left > 0

    def _above_rate(self) -> bool:
        now = time.monotonic()
        earned = (now - self.refilled) * self.given["per_second"]
        self.allowance = min(self.allowance + earned, float(max(self.given.get("burst", 1), 1)))
        self.refilled = now
        if self.allowance < 1:
            return True
        self.allowance -= 1
        return False

    def concerns(self, composite: str) -> bool:
        """Return whether the fault concerns this entry of a list (``users``)."""
        return self.users is None or bool(self.users.search(composite))


COMMON = {"probability", "next", "per_second", "burst", "skip", "method", "path", "body"}
ONCE_SEEN = {"users"}
KINDS: Mapping[str, frozenset[str]] = {
    kind: frozenset(parameters)
    for kind, parameters in {
        # The connection goes: "commit" true does the work first; "reset" ends it with RST, not FIN.
        "drop": {"commit", "reset"},
        # Nothing for "seconds" (default 30), then the answer, if somebody still waits.
        "stall": {"commit", "seconds"},
        # The work is done; headers and half of the body arrive, then the connection ends.
        "cut": set(),
        # 429; "answer": seconds, date, reset_seconds, reset_milliseconds, none; "seconds" to wait.
        "too_many_requests": {"commit", "answer", "seconds"},
        # 503; "answer": xml (13566), no_code, html; "seconds" puts a Retry-After in.
        "unavailable": {"commit", "answer", "seconds"},
        # An HTML page with "status" 502 (default) or another.
        "bad_gateway": {"commit", "status"},
        # A 200 that is an HTML page: a proxy, or a wrong host.
        "html_success": {"commit"},
        # "status", "code" and "text" as given: 401, 403, a list refused as a whole …
        "refuse": {"commit", "status", "code", "text"},
        # An answer that should be 4xx comes as 2xx, with its ResponseStatus.
        "status_swallowed": set(),
        # In Errors: no SipCredential; a SipCredential without UserName and Domain.
        "no_echo": ONCE_SEEN,
        "echo_without_name": ONCE_SEEN,
        # Stored, but absent from ValidSipCredentials.
        "lost_echo": ONCE_SEEN,
        # Stored and echoed with upper and lower case swapped.
        "other_case": ONCE_SEEN,
    }.items()
}
NEVER_ANSWERED = (
    *("busy", "timeout", "cancel", "rejected", "callback-error", "invalid-bxml", "application-error"),
    *("account-limit", "node-capacity-exceeded", "error", "unknown"),
)
"""Bandwidth's causes of a call's end (its documentation of the disconnect event), but for ``hangup``."""
CHOICES: Mapping[str, tuple[object, ...]] = {
    "realm_host": ("live", "guide"),
    "spelling": ("split", "joined"),
    "page_style": ("composite", "index"),
    "list_entries": ("wrapped", "bare"),
    "empty_list": ("23008", "empty"),
    "none_valid_status": (400, 201),
    "put_application": ("set", "ignore"),
    "put_without_application": ("keep", "clear"),
    "call_ends": ("hangup", "answered", "queued", *NEVER_ANSWERED),
    "sip_sha256": ("no", "first", "only"),
    "sip_md5_sess": ("no", "first", "only"),
}
ANSWERS: Mapping[str, tuple[str, ...]] = {
    "too_many_requests": ("seconds", "date", "reset_seconds", "reset_milliseconds", "none"),
    "unavailable": ("xml", "no_code", "html"),
}
TRIGGERS = ("probability", "next", "per_second")
NUMBERS = {"probability", "next", "per_second", "burst", "skip", "seconds", "status"}
FLAGS = {"commit", "reset"}
PATTERNS = ("path", "body", "users")


class Knobs:
    """All knobs. ``values`` are the plain ones, ``rules`` the faults' rules by kind."""

    def __init__(self, given: Mapping[str, Json] | None = None) -> None:
        self.values = Values()
        self.rules: dict[str, list[Rule]] = {}
        self.set(given or {})

    def set(self, given: Mapping[str, Json]) -> None:
        """Set the knobs named, leave the others; raises KnobError and changes nothing when one is wrong."""
        if not isinstance(given, Mapping):
            raise KnobError("an object is wanted: knob to value")
        names = [field.name for field in fields(Values)]
        unknown = sorted(set(given) - set(names) - set(KINDS))
        if unknown:
            raise KnobError(f"unknown: {', '.join(unknown)}; there are: {', '.join([*names, *KINDS])}")
        rules = {kind: read_rules(kind, value) for kind, value in given.items() if kind in KINDS}
        values = {name: read_value(name, value) for name, value in given.items() if name in names}
        self.rules |= rules
        for name, value in values.items():
            setattr(self.values, name, value)

    def shown(self) -> dict[str, Json]:
        """Return all knobs as JSON, with the remaining counts of ``next`` and ``skip``."""
        values = {field.name: getattr(self.values, field.name) for field in fields(Values)}
        return values | {kind: [rule.given for rule in self.rules.get(kind, [])] for kind in KINDS}


def read_value(name: str, value: Json) -> Json:
    """Return a plain knob's value, checked against its type and choices. Raises KnobError."""
    default = getattr(Values(), name)
    if name == "applications" and value is None:
        return None
    if name == "token_claims":
        if value is not None and not isinstance(value, dict):
            raise KnobError(f"{name}: null, or an object")
        return value
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise KnobError(f"{name}: one of {', '.join(map(str, CHOICES[name]))}")
        return value
    if default is None or isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise KnobError(f"{name}: a list of texts")
        return tuple(value)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise KnobError(f"{name}: true or false")
        return value
    return read_number(name, value, whole=isinstance(default, int))


def read_number(name: str, value: Json, whole: bool) -> float:
    """Return a number that is not negative. Raises KnobError."""
    wanted = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, wanted) or not 0 <= value < math.inf:
        raise KnobError(f"{name}: a {'whole ' if whole else ''}number, 0 or more")
    return value


def read_rules(kind: str, value: Json) -> list[Rule]:
    """Return a fault's rules, from null, one object, or a list of objects."""
    given = [] if value is None else value if isinstance(value, list) else [value]
    return [read_rule(kind, rule) for rule in given]


def read_rule(kind: str, given: Json) -> Rule:
    """Return one rule, checked. Raises KnobError, which names the problem."""
    allowed = COMMON | KINDS[kind]
    if not isinstance(given, dict):
        raise KnobError(f"{kind}: null, an object, or a list of objects")
    if set(given) - allowed:
        unknown = ", ".join(sorted(set(given) - allowed))
        raise KnobError(f"{kind}: unknown: {unknown}; there are: {', '.join(sorted(allowed))}")
    if sum(name in given for name in TRIGGERS) != 1:
        raise KnobError(f"{kind}: exactly one of {', '.join(TRIGGERS)}")
    for name, value in given.items():
        check_parameter(kind, name, value)
    patterns = {name: read_pattern(kind, name, given.get(name)) for name in PATTERNS}
    patterns["path"] = patterns["path"] or re.compile("/accounts/")
    burst = float(max(given.get("burst", 1), 1))
    return Rule(dict(given), **patterns, allowance=burst, refilled=time.monotonic())


def check_parameter(kind: str, name: str, value: Json) -> None:
    """Raise KnobError if a rule's parameter has an invalid value."""
    where = f"{kind}.{name}"
    if name in NUMBERS:
        read_number(where, value, whole=name in {"next", "skip", "burst", "status"})
    elif name in FLAGS and not isinstance(value, bool):
        raise KnobError(f"{where}: true or false")
    elif name not in FLAGS and not isinstance(value, str):
        raise KnobError(f"{where}: a text")
    if name == "answer" and value not in ANSWERS[kind]:
        raise KnobError(f"{where}: one of {', '.join(ANSWERS[kind])}")


def read_pattern(kind: str, name: str, value: str | None) -> re.Pattern[str] | None:
    """Return a compiled pattern, or None if the rule has none."""
    try:
        return None if value is None else re.compile(value)
    except re.error as error:
        raise KnobError(f"{kind}.{name}: not a regular expression ({error})") from error
