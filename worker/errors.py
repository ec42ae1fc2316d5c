"""Exceptions, arranged by what the caller must do about them.

::

    SiprosterError
    ├── UsageError            exit 6   correct the command line, the settings or the roster
    │   ├── StreamIsInput     exit 6   standard output goes to a file that is read
    │   └── JobBusy           exit 6   another job writes to this account
    ├── NotConfirmed          exit 130 the user was asked to confirm, and declined
    ├── Interrupted           exit 130 the user ended the command
    ├── NotFound              exit 3   account, realm or job
    ├── Conflict              exit 4   it exists already, or can't be done now
    ├── StopJob                        no row can succeed: stop the job, don't retry
    │   ├── AuthenticationRefused   exit 2
    │   ├── AccountNotFound         exit 3
    │   └── NotAllowed              exit 4   the account's plan or role
    ├── TryLater                       nothing is wrong with the rows: wait, pause
    │   ├── Unavailable             exit 5
    │   ├── Throttled               exit 7
    │   └── Stopping                exit 130 this process was asked to end; says nothing about the service
    ├── AnswerLost                     it may have been carried out: look it up before sending it again
    │   └── ForeignAnswer              the same: the answer is not the service's own
    ├── Refused                        the service refused this one request; carries its code
    │   └── ListRefused                the service refused the whole list: split it
    └── LedgerError           exit 1   the ledger can't be used; says why
        ├── LedgerAway                 its database does not answer now; it may come back
        └── SealBroken                 rows in it don't open, now or later

No message holds a password or a digest: texts of the service are redacted before they get here.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import ClassVar

from worker.states import Reason


class SiprosterError(Exception):
    """Something the user can understand. ``hint`` says what to do next."""

    exit_code: ClassVar[int] = 1

    kind: ClassVar[str] = "failed"
    """The code of the error under ``--json``; scripts rely on it."""

    unconfirmed: bool = False
    """Whether a request that writes was sent before, and may have been done all the same."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SiprosterError):
    """Wrong usage, settings or an unreadable roster. Nothing was written."""

    exit_code = 6
    kind = "usage"


class StreamIsInput(UsageError):
    """Standard output goes to a file that is read: nothing may be printed there."""


class JobBusy(UsageError):
    """Another job writes to this host and account."""

    kind = "busy"


class NotConfirmed(SiprosterError):
    """Somebody was asked, and said no: nothing was done."""

    exit_code = 130
    kind = "not_confirmed"


class Interrupted(SiprosterError):
    """The user ended the command. ``hint`` says how to go on."""

    exit_code = 130
    kind = "interrupted"


class NotFound(SiprosterError):
    """The account, realm or job does not exist."""

    exit_code = 3
    kind = "not_found"


class Conflict(SiprosterError):
    """It exists already, or its state does not allow what was asked."""

    exit_code = 4
    kind = "conflict"


class StopJob(SiprosterError):
    """No row of the job can succeed; what was not attempted stays unprocessed."""

    kind = "stopped"
    reason: ClassVar[Reason] = Reason.STOPPED


class AuthenticationRefused(StopJob):
    """401 with a fresh token, or 403."""

    kind = "authentication"
    reason = Reason.AUTHENTICATION_REFUSED
    exit_code = reason.exit_code


class AccountNotFound(StopJob):
    """4022, or a 404 without a code: an unknown or locked account must not look empty."""

    kind = "account_not_found"
    reason = Reason.ACCOUNT_NOT_FOUND
    exit_code = reason.exit_code


class NotAllowed(StopJob):
    """33004, 23013: the account is not set up for SIP credentials."""

    kind = "not_allowed"
    reason = Reason.NOT_ALLOWED
    exit_code = reason.exit_code


class TryLater(SiprosterError):
    """The service can't answer now. ``retry_after``: seconds, where it said so."""

    def __init__(self, message: str, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class Unavailable(TryLater):
    """No connection, or 5xx until the budget for retries was spent."""

    exit_code = 5
    kind = "unavailable"


class Throttled(TryLater):
    """429 until the budget for retries was spent."""

    exit_code = 7
    kind = "rate_limited"


class Stopping(TryLater):
    """The process was asked to end while it waited: that says nothing about the service."""

    exit_code = 130
    kind = "interrupted"


class GivingWay(Stopping):
    """Another account needs the process, and this one's pace lets no request start for ``retry_after``."""


class AnswerLost(SiprosterError):
    """A request that writes was sent and its answer never came, or came cut."""

    exit_code = 5
    kind = "answer_lost"


class ForeignAnswer(AnswerLost):
    """A request that writes was refused, and not by the service's own words: a proxy's page, a bare 409.

    ``text``: the refusal in short.
    """

    def __init__(self, text: str) -> None:
        super().__init__(
            f"a request was sent, but its refusal didn't come from the service ({text}); "
            "it may have been carried out anyway"
        )
        self.text = text


class Refused(SiprosterError):
    """The service refused one request. ``code`` is its number, or empty where it gave none."""

    exit_code = 4
    kind = "refused"

    def __init__(self, code: str, text: str, hint: str = "") -> None:
        super().__init__(f"{code}: {text}" if code else text, hint)
        self.code = code
        self.text = text


class ListRefused(Refused):
    """A list of credentials was refused as a whole. ``bound``: N of 23003's "more than N"."""

    def __init__(self, code: str, text: str, bound: int | None = None) -> None:
        super().__init__(code, text)
        self.bound = bound


class LedgerError(SiprosterError):
    """The ledger can't be opened or used."""

    kind = "ledger"


class LedgerAway(LedgerError):
    """The ledger's database does not answer; it may come back by itself."""

    kind = "ledger_unavailable"


class SealBroken(LedgerError):
    """Sealed bytes that don't open: the key is missing, or they are not what was sealed there."""

    kind = "seal_broken"


def place_of(error: BaseException) -> str:
    """Return ``an internal error in`` and where it happened, in one line without values.

    Never its text, nor a traceback: values in them may be secret. Nor its class, which is no word for people:
    the lines of the code tell its authors more.
    """
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    steps = (f"{frame.name} ({PurePath(frame.filename).name}:{frame.lineno})" for frame in reversed(frames))
    return f"an internal error in {' < '.join(steps)}"
