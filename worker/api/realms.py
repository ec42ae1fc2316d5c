"""Realms: found by id, host name or short name, made, changed and deleted (docs/bandwidth-api.md#realms)."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from worker.api import request_xml, response_xml
from worker.api.client import Client
from worker.api.faults import (
    NO_REALM,
    REALM_EXISTS,
    REALM_HAS_CREDENTIALS,
    REALM_IS_DEFAULT,
    Asked,
    absent,
    failed,
    fault,
    read_done,
)
from worker.api.transport import Reply
from worker.errors import (
    AnswerLost,
    Conflict,
    NotFound,
    Refused,
    SiprosterError,
    Unavailable,
    UsageError,
)
from worker.model import LONGEST_REALM, Realm, can_name_a_realm
from worker.waits import HERE, WaitKind

ACTIVE = "ACTIVE"
DELETE_PENDING = "DELETE_PENDING"
DEAD_ENDS = frozenset({"CREATE_FAILED", DELETE_PENDING, "DELETE_FAILED"})
"""States from which waiting leads nowhere."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,28}[A-Za-z0-9])?")
_LONGEST_DESCRIPTION = 255
_LABEL_ENDING = re.compile(r"[^.]*-([0-9a-f]+)\.(?![0-9a-f]+\.)")
"""``name-<hex>.``, but not ``name-<hex>.<hex>.``: in the guide's style the hex is a label of its own."""

_LOOKS = (0.0, 0.5, 1.0, 2.0)
"""Seconds before each look for a realm whose creation may have gone through."""


class Realms:
    """The realms of one account."""

    def __init__(self, client: Client, sleep: Callable[[float], None]) -> None:
        self._client = client
        self._sleep = sleep

    def list(self) -> list[Realm]:
        """Return all realms of the account."""
        return self._client.ask("GET", ("realms",), _read_list)

    def find(self, ref: str) -> Realm:
        """Return the realm with this id, host name or short name. Raises NotFound, or Conflict if ambiguous.

        A short name may not resolve by itself (404), or to a realm of another name, and the service may
        refuse a name that no realm has: then all realms are listed and compared. Raises UsageError for an
        impossible name, before any request.
        """
        check_ref(ref)
        realm = self._client.ask("GET", ("realms", ref), _read_found) if ref else None
        return realm if realm and _answers_to(realm, ref) else RealmIndex(self.list()).one(ref)

    def default(self) -> Realm:
        """Return the account's default realm. Raises NotFound."""
        return RealmIndex(self.list()).default()

    def create(self, name: str, description: str, default: bool, wait: float) -> Realm:
        """Make a realm and return it when it is ACTIVE, at most ``wait`` seconds later."""
        check_name(name)
        _check_description(description)
        body = request_xml.realm_xml(name, description, default)
        try:
            read = partial(_read_made, name)
            realm = self._client.ask("POST", ("realms",), read, body=body, permit=lambda _: None)
        except AnswerLost:
            realm = self._made_after_all(name)
        return self._active(realm, wait)

    def update(self, ref: str, description: str | None, default: bool | None) -> Realm:
        """Set the given values, and resend the others: a PUT replaces the whole realm."""
        if default is False:
            raise UsageError(
                "a realm can't cease to be the default one by itself",
                "make another one the default: siproster realm update OTHER --default",
            )
        _check_description(description or "")
        realm, text = self._exactly(self.find(ref))
        wanted = (text if description is None else description, realm.default or bool(default))
        # The service refuses the host name here (33005).
        body = request_xml.realm_xml(
            short_name(realm.host, account_ending([one.host for one in self.list()])), *wanted
        )
        try:
            self._client.ask("PUT", _path(realm), read_done, body=body, permit=lambda _: None)
        except AnswerLost:
            after, text = self._exactly(realm)
            if (text, after.default) != wanted:
                raise
            return after
        return self._exactly(realm)[0]

    def delete(self, ref: str) -> Realm:
        """Ask the service to delete it, and return it as it was; the deletion follows a little later."""
        realm = self.find(ref)
        try:
            self._client.ask("DELETE", _path(realm), read_done, permit=lambda _: None)
        except AnswerLost:
            after = self._again(realm)
            if after and after.status != DELETE_PENDING:
                raise
        except Refused as error:
            raise _undeletable(realm, error) from None
        return realm

    def _exactly(self, realm: Realm) -> tuple[Realm, str]:
        """Return the realm, read singly, and its unabridged description. Raises NotFound."""
        found = self._client.ask("GET", _path(realm), partial(_read_exactly, realm))
        if found is None:
            raise NotFound(f"the realm {realm.host} is gone", "`siproster realm list` shows what there is")
        return found

    def _again(self, realm: Realm) -> Realm | None:
        """Return the realm as it is now, or None if it no longer exists."""
        found = self._client.ask("GET", _path(realm), partial(_read_exactly, realm))
        return found and found[0]

    def _made_after_all(self, name: str) -> Realm:
        """Look for the realm after a creation whose answer was lost. Raises AnswerLost."""
        for seconds in _LOOKS:
            if seconds:
                self._sleep(seconds)
            try:
                return self.find(name)
            except NotFound:
                continue
        raise AnswerLost(f"whether the realm {name} was made is not known", "try again in a minute")

    def _active(self, realm: Realm, wait: float) -> Realm:
        pause, slept, start = 0.25, 0.0, time.monotonic()
        with HERE.entered(WaitKind.REALM, f"{realm.host} to become {ACTIVE}", wait):
            while realm.status != ACTIVE:
                if realm.status in DEAD_ENDS:
                    raise Conflict(f"the realm {realm.host} is in state {realm.status}", "ask Bandwidth why")
                if max(slept, time.monotonic() - start) >= wait:
                    raise Unavailable(
                        f"the realm {realm.host} is still {realm.status or 'without a state'} "
                        f"after {wait:g} s",
                        "try again in a minute: the realm need not be made again",
                    )
                self._sleep(pause)
                slept, pause = slept + pause, min(2 * pause, 5.0)
                realm = self._again(realm) or realm
        return realm


class RealmIndex:
    """An index of one account's realms by id, host name and short name.

    A host name's first label is the short name, with the account's ending ``-<hex>`` or, in the style
    of the guide, without. A name with a hyphen of its own stays whole.
    """

    def __init__(self, realms: Sequence[Realm]) -> None:
        self._realms = realms
        self._by_name: dict[str, list[Realm]] = {}
        ending = account_ending([realm.host for realm in realms])
        for realm in realms:
            host = realm.host.casefold()
            for name in {realm.id, host, *_short_names(host, ending)} - {""}:
                self._by_name.setdefault(name, []).append(realm)

    def one(self, ref: str) -> Realm:
        """Return the realm with this id, host name or short name (case-insensitive).

        Raises NotFound, and Conflict if several realms match.
        """
        named: list[Realm] = [*self._by_name.get(ref, ()), *self._by_name.get(ref.casefold(), ())]
        found = list(dict.fromkeys(named))
        if not found:
            known = ", ".join(realm.host for realm in self._realms[:10]) or "none"
            raise NotFound(f"no realm is called {ref!r}", f"realms of the account: {known}; see --realm")
        if len(found) > 1:
            hosts = ", ".join(realm.host for realm in found)
            raise Conflict(f"{ref!r} names more than one realm: {hosts}", "give the id or the full host name")
        return found[0]

    def default(self) -> Realm:
        """Return the account's default realm. Raises NotFound."""
        for realm in self._realms:
            if realm.default:
                return realm
        raise NotFound("the account has no default realm", "name one with --realm")


def check_ref(ref: str) -> None:
    """Raise UsageError unless ``ref`` can be a realm's id, host name or short name; empty can be none."""
    if ref and not can_name_a_realm(ref):
        raise UsageError(
            f"{ref!r} can't be a realm",
            f"give its id, host name or short name: 1 to {LONGEST_REALM} letters, digits and . _ -",
        )


def check_name(name: str) -> None:
    """Raise UsageError for a name that no realm can be made with (33003)."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be a realm's name",
            "a realm's name has 1 to 30 letters, digits and inner hyphens",
        )


def account_ending(hosts: Sequence[str]) -> str:
    """Return ``-<hex>``, the most frequent ending that the account's own realms share, or an empty text."""
    endings = Counter(match[1] for host in hosts if (match := _LABEL_ENDING.match(host.casefold())))
    return f"-{endings.most_common(1)[0][0]}" if endings else ""


def short_name(host: str, ending: str) -> str:
    """Return the name that the realm was created with: the first label without the account's own ending."""
    label = host.partition(".")[0]
    return label[: -len(ending)] if ending and label.casefold().endswith(ending) else label


def _check_description(text: str) -> None:
    """Raise UsageError for a description that the service, or XML, doesn't take."""
    if len(text) > _LONGEST_DESCRIPTION:
        raise UsageError(
            f"a realm's description has {_LONGEST_DESCRIPTION} characters at most, and this one {len(text)}",
            "shorten it",
        )
    try:
        request_xml.realm_xml("", text, default=False)
    except ValueError:
        raise UsageError("a realm's description can't hold a control character", "correct it") from None


def _short_names(host: str, ending: str) -> set[str]:
    label = host.casefold().partition(".")[0]
    return {label, short_name(label, ending)}


def _answers_to(realm: Realm, ref: str) -> bool:
    """Return whether ``ref`` is one of the realm's names, with any ending that may be the account's."""
    label = realm.host.casefold().partition(".")[0]
    own = _LABEL_ENDING.match(realm.host.casefold())
    short = label.removesuffix(f"-{own[1]}") if own else label
    return bool(realm.id and realm.id == ref) or ref.casefold() in (realm.host.casefold(), label, short)


def _path(realm: Realm) -> tuple[str, str]:
    return ("realms", realm.id or realm.host)


def _undeletable(realm: Realm, error: Refused) -> SiprosterError:
    """Return the error for a realm that the service does not delete: why, and what to do first."""
    if error.code == REALM_IS_DEFAULT:
        return Conflict(
            f"{realm.host} is the account's default realm ({error})",
            "make another one the default first: siproster realm update OTHER --default",
        )
    if error.code == REALM_HAS_CREDENTIALS:
        held = f"{realm.credentials:,} credentials" if realm.credentials else "credentials"
        return Conflict(
            f"the realm {realm.host} still has {held} ({error})",
            f"delete them first: siproster credential list --realm {realm.host} --csv > users.csv, then "
            f"siproster credential delete --realm {realm.host} --from users.csv",
        )
    return error


def _read_list(reply: Reply) -> list[Realm]:
    if not failed(reply):
        return response_xml.read_realms(reply.body)
    error = fault(reply, Asked.LIST)
    if isinstance(error, Refused) and error.code == NO_REALM:
        return []
    raise error


def _read_one(reply: Reply) -> Realm | None:
    if not failed(reply):
        return response_xml.read_realm(reply.body)
    error = fault(reply, Asked.ONE)
    if absent(reply, error):
        return None
    raise error


def _read_found(reply: Reply) -> Realm | None:
    """Return the realm, or None if the service shows none by that name: the list decides then."""
    if not failed(reply):
        return response_xml.read_realm(reply.body)
    error = fault(reply, Asked.ONE)
    if isinstance(error, Refused):
        return None
    raise error


def _read_exactly(realm: Realm, reply: Reply) -> tuple[Realm, str] | None:
    """Return the realm's present state and description. Raises Malformed if it is another realm."""
    found = _read_one(reply)
    if found is None:
        return None
    if found.host.casefold() != realm.host.casefold() or (realm.id and found.id not in ("", realm.id)):
        raise response_xml.Malformed("the answer is about another realm")
    return found, response_xml.read_description(reply.body)


def _read_made(name: str, reply: Reply) -> Realm:
    if not failed(reply):
        made = response_xml.read_realm(reply.body)
        if not _answers_to(made, name):
            raise response_xml.Malformed("the answer is about another realm")
        return made
    error = fault(reply, Asked.CHANGE)
    if isinstance(error, Refused) and error.code == REALM_EXISTS:
        raise Conflict(
            f"the realm exists already ({error})",
            "`siproster realm list` shows it; it need not be made again",
        )
    raise error
