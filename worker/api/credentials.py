"""SIP credentials of both families: created in lists, found one by one (API description, section 4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime

from worker import wire
from worker.api.attempts import Permit
from worker.api.client import Client
from worker.api.faults import NO_CREDENTIALS, Asked, failed, fault
from worker.api.transport import Reply
from worker.errors import Refused, StopJob
from worker.model import Answer, Credential, Family, Realm, Stored

SHORTEST_FRAGMENT = 3
"""Characters of the shortest filter that a list takes (33011)."""

_LOOKS = (0.0, 0.5, 1.0, 2.0)
"""Seconds before each look for a credential that must exist: a list may lag behind a write."""


class Credentials:
    """The credentials of one account."""

    def __init__(self, client: Client, sleep: Callable[[float], None]) -> None:
        self._client = client
        self._sleep = sleep

    def create(self, family: Family, realm: Realm, batch: Sequence[Credential], permit: Permit) -> Answer:
        """Post one list."""
        body = wire.credentials_xml(batch, family)
        return self._client.ask("POST", _list_path(family, realm), _read_created, body=body, permit=permit)

    def find(self, family: Family, realm: Realm, composite: str, expected: bool) -> Stored | None:
        """Look for one name, more than once where it must exist."""
        look = self._by_list if family is Family.REALM else self._by_name
        for seconds in _LOOKS if expected else _LOOKS[:1]:
            if seconds:
                self._sleep(seconds)
            if found := look(realm, composite):
                return found
        return None

    def first_page(self) -> float | None:
        """Read the shortest list there is; how many seconds the service's clock is ahead of ours."""
        return self._client.ask(
            "GET", ("sipcredentials",), _read_page_for_its_date, query={"page": "1", "size": "1"}
        )

    def _by_name(self, realm: Realm, composite: str) -> Stored | None:
        return self._client.ask("GET", ("sipcredentials", composite), _read_one)

    def _by_list(self, realm: Realm, composite: str) -> Stored | None:
        """A realm's list, filtered by the user's part; too short a name takes reading all of it."""
        user, wanted = composite.partition("@")[0], composite.casefold()
        filters = {"userNamefragment": user} if len(user) >= SHORTEST_FRAGMENT else {}
        for entry in self._all(_list_path(Family.REALM, realm), filters):
            if entry.composite.casefold() == wanted:
                return self._whole(realm, entry)
        return None

    def _whole(self, realm: Realm, entry: Stored) -> Stored:
        """The entry with its digests: where the list left one out, the credential is read singly."""
        if entry.hash1 and entry.hash1b:
            return entry
        path = (*_list_path(Family.REALM, realm), entry.id)
        return self._client.ask("GET", path, _read_one) or entry

    def _all(self, path: Sequence[str], filters: Mapping[str, str]) -> Iterator[Stored]:
        """Every entry of a list, page after page.

        Pages may overlap, since a page is named by its first entry and the list moves meanwhile. One page
        without news is borne, as a 303 in place of the first is one; a second ends the list, and so does
        a page that was read before.
        """
        at: tuple[str, int] | None = ("1", wire.PAGE_SIZE)
        asked: set[tuple[str, int]] = set()
        before: set[str] = set()
        news = True
        while at and at not in asked:
            asked.add(at)
            query = {**filters, "page": at[0], "size": str(at[1])}
            page = self._client.ask("GET", path, _read_page, query=query)
            fresh = [entry for entry in page.entries if entry.id not in before]
            yield from fresh
            if not fresh and not news:
                return
            news, before, at = bool(fresh), {entry.id for entry in page.entries}, page.next


def _list_path(family: Family, realm: Realm) -> tuple[str, ...]:
    if family is Family.REALM:
        return ("realms", realm.id or realm.host, "sipcredentials")
    return ("sipcredentials",)


def _read_created(reply: Reply) -> Answer:
    """Entries stored and refused. Raises ListRefused where the answer is about none of them."""
    if not failed(reply):
        return wire.read_answer(reply.body)
    error = fault(reply, Asked.CREATE)
    if isinstance(error, StopJob):
        raise error
    answer = _entries(reply.body)
    if answer.accepted or answer.refused:
        return answer
    raise error


def _entries(body: bytes) -> Answer:
    """What a refusal says of single entries; one that isn't the service's XML says nothing of them."""
    try:
        return wire.read_answer(body)
    except wire.Malformed:
        return Answer()


def _read_page(reply: Reply) -> wire.Page:
    if reply.status == 303:
        # Where it points is another origin's business: its page and size are asked for on our own path.
        return wire.Page((), wire.read_page(reply.headers.get("Location", "")))
    if not failed(reply):
        return wire.read_credentials(reply.body)
    error = fault(reply, Asked.LIST)
    if isinstance(error, Refused) and error.code == NO_CREDENTIALS:
        return wire.Page((), None)
    raise error


def _read_page_for_its_date(reply: Reply) -> float | None:
    _read_page(reply)
    try:
        return parsedate_to_datetime(reply.headers.get("Date", "")).timestamp() - time.time()
    except ValueError:  # no date, or none that can be read
        return None


def _read_one(reply: Reply) -> Stored | None:
    if not failed(reply):
        return wire.read_credential(reply.body)
    error = fault(reply, Asked.ONE)
    if reply.status == 404 and isinstance(error, Refused):
        return None
    raise error
