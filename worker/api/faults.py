"""The single place that decides what a refusal means for the caller (docs/bandwidth-api.md#codes)."""

from __future__ import annotations

import re
from enum import Enum, auto

from worker.api import response_xml
from worker.api.transport import Reply
from worker.errors import (
    AccountNotFound,
    AuthenticationRefused,
    ForeignAnswer,
    ListRefused,
    NotAllowed,
    Refused,
    SiprosterError,
    StopJob,
)

NO_CREDENTIALS = "23008"
NO_REALM = "33001"
REALM_EXISTS = "33002"
REALM_IS_DEFAULT = "33006"
REALM_HAS_CREDENTIALS = "12666"
_ACCOUNT_UNKNOWN = "4022"
_NOT_SET_UP = frozenset({"23013", "33004"})
_TOO_MANY = "23003"
_BOUND = re.compile(r"more than ([0-9][0-9,]{0,8})")

CHECK_URL = "check BW_API_URL, SIPROSTER_API_PATH and the proxy settings"


class Asked(Enum):
    """The kind of request, where that decides what a refusal means."""

    LIST = auto()
    ONE = auto()
    """One realm or credential: a 404 without a code means that it isn't there."""
    CREATE = auto()
    """A list of credentials is to be made: splitting it may help."""
    CHANGE = auto()
    """One realm or credential is to be made, set or deleted."""

    @property
    def writes(self) -> bool:
        """Return whether the request may have been carried out, whatever was answered."""
        return self in (Asked.CREATE, Asked.CHANGE)


def code_and_text(reply: Reply) -> tuple[str, str]:
    """Return an answer's code and redacted text; only its status if it is not the service's XML."""
    try:
        code, text = response_xml.read_status(reply.body)
    except response_xml.Malformed:
        code, text = "", ""
    return code, text or f"HTTP {reply.status}"


def stop(reply: Reply, code: str, text: str) -> StopJob | None:
    """Return a StopJob if nothing on this account can succeed, else None."""
    if code in _NOT_SET_UP:
        return NotAllowed(
            f"the account may not have SIP credentials ({code}: {text})",
            "ask Bandwidth to set the account up for SIP credentials",
        )
    if code == _ACCOUNT_UNKNOWN:
        return _account_not_found(code, text)
    if reply.status in (401, 403):
        return AuthenticationRefused(
            f"the service refused these credentials (HTTP {reply.status}{_also(code, text)})",
            "check BW_ACCOUNT_ID and the credentials: `siproster doctor` says what they are good for; "
            "they may lack the role for SIP credentials, or the account the feature",
        )
    if 300 <= reply.status < 400 or reply.status == 407:
        return StopJob(
            f"the answer was HTTP {reply.status}, which isn't one of the service's answers", CHECK_URL
        )
    return None


def fault(reply: Reply, asked: Asked) -> SiprosterError:
    """Return the exception for a refusal: StopJob, ListRefused, Refused or ForeignAnswer.

    Only the service's own words refuse a write: for anything else it is a ForeignAnswer.
    """
    code, text = code_and_text(reply)
    if reason := stop(reply, code, text):
        return reason
    if reply.status == 404 and not code and asked in (Asked.LIST, Asked.CREATE):
        return _account_not_found("HTTP 404", text)
    if asked.writes and not (code or _own_words(reply)):
        return ForeignAnswer(f"HTTP {reply.status}")
    if asked is Asked.CREATE:
        bound = _BOUND.search(text) if code == _TOO_MANY else None
        return ListRefused(code, text, int(bound[1].replace(",", "")) if bound else None)
    return Refused(code, text)


def failed(reply: Reply) -> bool:
    """Return whether an answer refuses, by its status or by an ErrorCode inside a 2xx."""
    # The cheap check comes first, so that an answer with 500 accepted entries isn't parsed twice.
    return not reply.ok or (b"ResponseStatus" in reply.body and bool(code_and_text(reply)[0]))


def read_done(reply: Reply) -> None:
    """Accept the answer to a change or a deletion, or raise its refusal.

    The answer may be empty. A page of HTML is not the service's: it raises Malformed, and so counts as lost.
    """
    if failed(reply):
        raise fault(reply, Asked.CHANGE)
    if reply.body.strip():
        response_xml.read_done(reply.body)


def absent(reply: Reply, error: SiprosterError) -> bool:
    """Return whether a refusal says that the requested object does not exist.

    Raises Malformed for a 404 whose text is not the service's: a wrong host's page must not make a user look
    deleted. A 404 without a text may be the service's, which leaves out much at times.
    """
    if reply.status != 404 or not isinstance(error, Refused):
        return False
    if reply.body.strip():
        response_xml.read_refusal(reply.body)
    return True


def _own_words(reply: Reply) -> bool:
    """Return whether a refusal says something in the service's XML: a code, or a description."""
    try:
        return any(response_xml.read_status(reply.body))
    except response_xml.Malformed:
        return False


def _account_not_found(code: str, text: str) -> AccountNotFound:
    return AccountNotFound(
        f"the account is unknown or locked ({code}: {text})",
        "correct it with --account ID or BW_ACCOUNT_ID; `siproster doctor` shows what is set and from where; "
        "check BW_ENVIRONMENT too and, if a realm was named, whether it is still there: siproster realm list",
    )


def _also(code: str, text: str) -> str:
    return f", {code}: {text}" if code else ""
