"""Sentences for the help desk: what to tell a caller about their account."""

from __future__ import annotations

from worker.model import Status

_UNTESTED = "If your phone doesn't register, check its user name, password and realm, and restart it."
_KEEP = "Don't change your phone: we are looking into it."
_IN_PLACE = {
    "registers": "Your account is set up, and its password worked when we tried it. If your phone doesn't "
    "register, check that it has the new password, and restart it.",
    "wrong_password": "Your account is set up, but the service refused its password when we tried it. "
    f"{_KEEP}",
    "refused": f"Your account is set up, but the service refused it when we tried it. {_KEEP}",
    "no_answer": f"Your account is set up; when we tried it, there was no answer. {_UNTESTED}",
}
_OTHERS = {
    Status.EXISTS: "There was already an account of this name, with other settings, and we left it as it is. "
    "Keep the settings that your phone has.",
    Status.INVALID: "Your account isn't set up yet: there is a mistake in our list. We'll correct it.",
    Status.FAILED: "Your account isn't set up yet: the service refused it. We are looking into it.",
    Status.UNKNOWN: "We can't tell yet whether your account is set up: the service's answer was lost. "
    "We'll check it.",
    Status.UNPROCESSED: "Your account isn't set up yet: it hasn't been processed yet.",
    Status.SKIPPED: "This entry is not a phone account, and was left out on purpose.",
}
_CODES = {
    "password_missing": "Your account isn't set up yet: our list has no password for you. We'll add one.",
    "duplicate_in_file": "This entry is in our list twice. Search for the name: the other entry shows "
    "the account's state.",
    "case_differs": "There is an account of this name with different capitalization. We are looking into it.",
    "realm_differs": "There is an account of this name in another realm. We are looking into it.",
    "disabled": "This extension was switched off in the old system, and was left out on purpose.",
}
"""For codes that say more than their row's status."""
_UNDONE = {
    "removed": "Your account was removed again, together with all others of this import.",
    "restored": "Your account was set back to the password and settings that it had before.",
}


def what_to_tell(status: Status, code: str, undo: str, verdict: str) -> str:
    """Return the sentence for the users of a kind of rows.

    ``undo``: the result of an undo; ``verdict``: the registrar's. Each is empty if there is none.
    """
    if undo in _UNDONE:
        return _UNDONE[undo]
    if status.in_place:
        return _IN_PLACE.get(verdict, f"Your account is set up. {_UNTESTED}")
    return next((_CODES[one] for one in code.split(";") if one in _CODES), _OTHERS[status])
