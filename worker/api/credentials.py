"""SIP credentials of both families: in lists and one by one (docs/bandwidth-api.md#credentials)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import partial

from worker.api import request_xml, response_xml
from worker.api.attempts import Permit
from worker.api.client import Client
from worker.api.faults import CHECK_URL, NO_CREDENTIALS, Asked, absent, failed, fault, read_done
from worker.api.transport import Reply
from worker.errors import Conflict, Refused, StopJob, Unavailable
from worker.model import Answer, Credential, Echo, EntryError, Family, Realm, Row, Stored

SHORTEST_FRAGMENT, LONGEST_FRAGMENT = 3, 64
"""Length in characters that a list accepts for a filter (33011)."""

_ROOM = 10_000
"""Entries that a list may have beyond the number that the realms report."""

_MOST_UNCOUNTED = 20_000_000
"""Entries after which a list counts as endless if the realms don't report how many they hold."""

_LOOKS = (0.0, 0.5, 1.0, 2.0)
"""Seconds before each look for a credential that must exist: a list may lag behind a write."""

Written = Callable[[Stored | None], bool]
"""A function that returns True if what was read shows a write that was just done."""


class Credentials:
    """The credentials of one account. ``realms`` lists the account's realms."""

    def __init__(
        self, client: Client, sleep: Callable[[float], None], realms: Callable[[], Sequence[Realm]]
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._realms = realms

    def create(
        self, family: Family, realm: Realm, batch: Sequence[Row | Credential], permit: Permit
    ) -> Answer:
        """Post one list."""
        path, body = _list_path(family, realm), request_xml.credentials_xml(batch, family)
        realm_id = realm.id if family is Family.REALM else ""
        attempts = 0

        def permitted(deadline: float) -> None:
            nonlocal attempts
            attempts += 1
            permit(deadline)

        read = partial(_read_created, batch, realm_id)
        answer = self._client.ask("POST", path, read, body=body, permit=permitted)
        return replace(_without_contradictions(answer, batch, realm_id), repeated=attempts > 1)

    def find(self, family: Family, realm: Realm | None, composite: str, expected: bool) -> Stored | None:
        """Look for one name, more than once where it must exist."""
        for seconds in _LOOKS if expected else _LOOKS[:1]:
            if seconds:
                self._sleep(seconds)
            if found := self._look(family, realm, composite):
                return found
        return None

    def first_page(self) -> float | None:
        """Read the shortest list there is; how many seconds the service's clock is ahead of ours."""
        first = {"page": "1", "size": "1"}
        return self._client.find(("sipcredentials",), first, _read_page_for_its_date)

    def list(
        self, family: Family, realm: Realm | None, filters: Mapping[str, str], size: int
    ) -> Iterator[Stored]:
        """Yield all stored credentials, page after page."""
        if family is Family.REALM or realm is None:
            return self._all(_list_path(family, realm), filters, size)
        host = realm.host.casefold()
        only = _fragment("realmFragment", _realm_fragment(host))
        found = self._all(_list_path(family, None), {**filters, **only}, size)
        return (entry for entry in found if self._is_on(host, entry))

    def _is_on(self, host: str, entry: Stored) -> bool:
        """Return whether an entry is on the realm. One that names no realm is read singly."""
        if not entry.realm:
            entry = self.read(Family.ACCOUNT, None, entry) or entry
        return entry.realm.casefold() in ("", host)

    def read(
        self, family: Family, realm: Realm | None, stored: Stored, written: Written | None = None
    ) -> Stored | None:
        """Return one credential, or None. While ``written`` returns False, read it again."""
        found = self._single(family, realm, stored)
        for seconds in _LOOKS[1:]:
            if written is None or written(found):
                break
            self._sleep(seconds)
            found = self._single(family, realm, stored)
        return found

    def whole(self, family: Family, realm: Realm | None, stored: Stored) -> Stored:
        """Return the entry with its digests, read singly if the list left one out."""
        if (stored.hash1 and stored.hash1b) or not _address(family, stored):
            return stored
        return self.read(family, realm, stored) or stored

    def update(
        self, family: Family, realm: Realm | None, stored: Stored, credential: Credential, permit: Permit,
        clear: bool = False,
    ) -> None:  # fmt: skip
        """Set digests and application."""
        _refuse_to_move(family, stored, credential)
        # It is not known whether a PUT without an application clears it, so the present one is sent again.
        had = "" if clear else stored.application
        wanted = replace(credential, application=credential.application or had)
        path = _one_path(family, realm, stored)
        body = request_xml.update_xml(wanted, realm.id if realm and family is Family.REALM else "")
        self._client.ask("PUT", path, read_done, body=body, permit=permit)

    def delete(self, family: Family, realm: Realm | None, stored: Stored, permit: Permit) -> bool:
        """Take it away; False: it was gone."""
        return self._client.ask("DELETE", _one_path(family, realm, stored), _read_deleted, permit=permit)

    def _look(self, family: Family, realm: Realm | None, composite: str) -> Stored | None:
        if family is Family.ACCOUNT:
            return self._single(family, None, Stored("", composite, ""))
        entry = self._listed(family, realm, composite)
        return self.whole(family, realm, entry) if entry else None

    def _single(self, family: Family, realm: Realm | None, stored: Stored) -> Stored | None:
        """Read one credential. A 404 without a body may come from anywhere, so the list must confirm it."""
        wanted = (stored.id, realm.host if realm else "") if family is Family.REALM else ("", "")
        read = partial(_read_this, *wanted, stored.composite)
        found, is_sure = self._client.ask("GET", _one_path(family, realm, stored), read)
        if found or is_sure:
            return found
        entry = self._listed(family, realm, stored.composite)
        if entry and _may_be(entry.id, wanted[0]):
            raise Unavailable(
                "the service shows a user in its list, and says HTTP 404 when it is asked for that user",
                "try again in a minute",
            )
        return None

    def _listed(self, family: Family, realm: Realm | None, composite: str) -> Stored | None:
        """Return the credential from the list, filtered by its user part unless that is too short."""
        wanted, host = composite.casefold(), realm.host if realm and family is Family.REALM else ""
        filters = _fragment("userNamefragment", composite.partition("@")[0])
        for entry in self._all(_list_path(family, realm), filters, response_xml.PAGE_SIZE):
            if entry.composite.casefold() == wanted and _may_be(entry.realm, host):
                return entry
        return None

    def _all(self, path: Sequence[str], filters: Mapping[str, str], size: int) -> Iterator[Stored]:
        """Yield every entry of a list, page after page. Only the ids of the last page are remembered.

        Raises StopJob for a list that continues beyond the number of credentials that the account's realms
        report.

        Pages may overlap, since a page is named by its first entry and the list changes meanwhile. One page
        without new entries is accepted, such as a 303 in place of the first; a second ends the list, and so
        does a page that was read before. A page that begins with an extension 1 looks like that too, since
        the first page is called 1: then the page before it is requested in another size, which moves the
        border.
        """
        at: tuple[str, int] | None = ("1", size)
        read: set[str] = set()
        before: set[str] = set()
        news, given, most = True, 0, _ROOM
        while at:
            query = {**filters, "page": at[0], "size": str(at[1])}
            page = self._client.find(path, query, _read_page)
            fresh = [entry for entry in page.entries if _identity(entry) not in before]
            given += len(fresh)
            if given > most:
                most = self._most_entries(given)
            yield from fresh
            if not fresh and not news:
                if page.moved:
                    raise StopJob("the service sends a list's reader on and on, and shows nothing", CHECK_URL)
                return
            news = bool(fresh)
            if fresh:
                before = {_identity(entry) for entry in page.entries}
                read.add(at[0])
            at = _following(at, page.next, read, news)

    def _most_entries(self, given: int) -> int:
        """Return the bound on a list that has yielded ``given`` entries. Raises StopJob beyond it.

        The bound is twice the sum that all realms report, since users may be created meanwhile and pages
        overlap. Filters are ignored: a filtered list is never longer than the whole one.
        """
        counts = [realm.credentials for realm in self._realms()]
        held = None if None in counts else sum(count or 0 for count in counts)
        most = _MOST_UNCOUNTED if held is None else 2 * held + _ROOM
        if given > most:
            told = "don't say how many they hold" if held is None else f"hold {held:,} by their own count"
            raise StopJob(
                f"the service's list of credentials has no end: {given:,} so far, "
                f"and the account's realms {told}",
                f"{CHECK_URL}, else ask Bandwidth",
            )
        return most


def _following(
    at: tuple[str, int], following: tuple[str, int] | None, read: set[str], news: bool
) -> tuple[str, int] | None:
    """Return the next page to request; None at the end of the list, or if the links form a cycle."""
    if following is None or following[0] not in read:
        return following
    return (at[0], at[1] - 1 if at[1] > 2 else at[1] + 1) if news else None


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _may_be(told: str, wanted: str) -> bool:
    """Return whether two names can be the same, as far as both are known."""
    return not told or not wanted or _same(told, wanted)


def _without_contradictions(answer: Answer, batch: Sequence[Row | Credential], realm_id: str) -> Answer:
    """Return the answer with contradictory entries reduced to their names.

    An entry is contradictory if it disagrees with itself or with the list that was sent. ``realm_id``: the id
    of the realm in the path; empty if the path has none.
    """
    if answer.ids is not None:
        return answer
    sent = {credential.composite.casefold(): credential for credential in batch}
    by_hash = {credential.hash1: name for name, credential in sent.items()}
    told = Counter(echo.composite.casefold() for echo in answer.accepted if echo.composite)
    refused = {error.composite.casefold() for error in answer.refused}
    refused |= {by_hash[error.hash1] for error in answer.refused if error.hash1 in by_hash}

    def is_true(echo: Echo) -> bool:
        name = echo.composite.casefold()
        if name not in sent or name in refused or told[name] > 1:
            return False
        return echo.realm_id in (None, realm_id or echo.realm_id) and _echoes(echo, sent[name])

    def is_plain(error: EntryError) -> bool:
        return by_hash.get(error.hash1, error.composite.casefold()) not in told

    accepted = tuple(filter(is_true, answer.accepted))
    contradicted = told.keys() & sent.keys() - {echo.composite.casefold() for echo in accepted}
    return Answer(accepted, tuple(filter(is_plain, answer.refused)), contradicted=frozenset(contradicted))


def _echoes(echo: Echo, sent: Row | Credential) -> bool:
    """Return whether an echo matches what was sent. A missing field matches; an empty one differs."""
    return (
        (echo.realm is None or _same(echo.realm, sent.host))
        and (echo.hash1 is None or _same(echo.hash1, sent.hash1))
        and (echo.hash1b is None or _same(echo.hash1b, sent.hash1b))
        and (not sent.application or echo.application is None or _same(echo.application, sent.application))
    )


def _identity(entry: Stored) -> str:
    return entry.id or f"{entry.realm}/{entry.composite.casefold()}"


def _fragment(name: str, text: str) -> dict[str, str]:
    """Return the filter, or an empty dict if the text is too short for one."""
    return {name: text[:LONGEST_FRAGMENT]} if len(text) >= SHORTEST_FRAGMENT else {}


def _realm_fragment(host: str) -> str:
    """Return the part of a realm's host name, in lower case, to filter a list by.

    Hyphens and capitals are refused (13116), so it is the longest piece between hyphens; of those of the
    realm's own name, where one is long enough, since the account's ending is in all of its realms' names.
    """
    *own, rest = host.split("-")
    longest = max(own, key=len, default="")
    return longest if len(longest) >= SHORTEST_FRAGMENT else rest


def _refuse_to_move(family: Family, stored: Stored, wanted: Credential) -> None:
    """Raise Conflict if an update would move a credential: only the account family's PUT names a realm."""
    if stored.realm.casefold() == wanted.host.casefold() or (family is Family.REALM and not stored.realm):
        return
    raise Conflict(
        f"{stored.composite} is on realm {stored.realm or '(not told)'}, not on {wanted.host}",
        "a user is never moved to another realm: delete it there and create it here",
    )


def _list_path(family: Family, realm: Realm | None) -> tuple[str, ...]:
    if family is Family.ACCOUNT:
        return ("sipcredentials",)
    if realm is None:
        raise ValueError("the realm family's paths name a realm")
    return ("realms", realm.id or realm.host, "sipcredentials")


def _address(family: Family, stored: Stored) -> str:
    """Return the identifier by which the family addresses a single credential."""
    return stored.id if family is Family.REALM else stored.composite


def _one_path(family: Family, realm: Realm | None, stored: Stored) -> tuple[str, ...]:
    address = _address(family, stored)
    if not address:  # without it the path would be the whole list's
        raise Refused("", f"the service told no id of {stored.composite}", "ask with --api account")
    return (*_list_path(family, realm), address)


def _read_created(batch: Sequence[Row | Credential], realm_id: str, reply: Reply) -> Answer:
    """Return the entries stored and refused. Raises ListRefused if the answer is about none of them."""
    if not failed(reply):
        return response_xml.read_answer(reply.body, batch, realm_id)
    error = fault(reply, Asked.CREATE)
    if isinstance(error, StopJob):
        raise error
    answer = _entries(reply.body)
    if answer.accepted or answer.refused:
        return answer
    raise error


def _entries(body: bytes) -> Answer:
    """Return what a refusal says about single entries; nothing if it is not the service's XML."""
    try:
        return response_xml.read_answer(body)
    except response_xml.Malformed:
        return Answer()


def _read_page(reply: Reply) -> response_xml.ListPage:
    if reply.status == 303:
        # The link may point to another origin, so only its page and size are used, on our own path.
        where = response_xml.read_page(reply.headers.get("Location", ""))
        if where is None:  # a portal's, and no end of the list
            raise fault(reply, Asked.LIST)
        return response_xml.ListPage((), where, moved=True)
    if not failed(reply):
        return response_xml.read_credentials(reply.body)
    error = fault(reply, Asked.LIST)
    if isinstance(error, Refused) and error.code == NO_CREDENTIALS:
        return response_xml.ListPage((), None)
    raise error


def _read_page_for_its_date(reply: Reply) -> float | None:
    _read_page(reply)
    try:
        return parsedate_to_datetime(reply.headers.get("Date", "")).timestamp() - time.time()
    except (ValueError, OverflowError):  # no date, or none that can be read
        return None


def _read_this(id_: str, host: str, composite: str, reply: Reply) -> tuple[Stored | None, bool]:
    """Return the credential, or None if it does not exist, and whether that is certain.

    In the realm family the id decides (on the realm of this host name), else the name. The credential is None
    if it is not there; the flag is False for a 404 without a body. Raises Malformed if the answer is about
    another credential. What is unknown on either side is not compared, but a credential without an id must
    have the name.
    """
    if not failed(reply):
        found = response_xml.read_credential(reply.body)
        known = bool(id_) and found.id == id_
        same = known or not (id_ and found.id)
        named = _may_be(found.composite, composite) if known else _same(found.composite, composite)
        if not (same and named and _may_be(found.realm, host)):
            raise response_xml.Malformed("the answer is about another credential")
        return found, True
    error = fault(reply, Asked.ONE)
    if absent(reply, error):
        return None, bool(reply.body.strip())
    raise error


def _read_deleted(reply: Reply) -> bool:
    try:
        read_done(reply)
    except Refused as error:
        if absent(reply, error):
            return False
        raise
    return True
