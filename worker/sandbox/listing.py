"""GET of a list of credentials: pages, links that lead elsewhere, and filters."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

from worker.sandbox.answers import Call, Refusal, Reply
from worker.sandbox.credentials import element, path_realm, split
from worker.sandbox.knobs import Values
from worker.sandbox.markup import document, tag
from worker.sandbox.order import by_key
from worker.sandbox.rules import NUMBER
from worker.sandbox.store import Account
from worker.sandbox.stored import Credential, Realm

USUAL_PAGE = {"page": "1", "size": "500"}
SHORTEST_FRAGMENT, LONGEST_FRAGMENT = 3, 64
REALM_FRAGMENT = re.compile(r"[.a-z0-9]*").fullmatch
FOREIGN = "http://dashboard.bandwidth.com/iris"
"""The start of the service's links: plain HTTP, another host, another path."""

FILTERS: dict[str, Callable[[Credential], str]] = {
    "userNamefragment": lambda credential: split(credential.name)[0],
    "domainfragment": lambda credential: split(credential.name)[1],
    "realmFragment": lambda credential: credential.realm.host,
    # An application's name is not known here, so its id stands in for it.
    "applicationNameFragment": lambda credential: credential.application,
}


class Window(NamedTuple):
    """The requested part of a list."""

    start: int
    size: int


def list_page(account: Account, knobs: Values, call: Call) -> Reply:
    """Answer GET of a list: one page, or 303 to the first one."""
    realm = path_realm(account, knobs, call)
    if "page" not in call.query or "size" not in call.query:
        query = urlencode(USUAL_PAGE | dict(call.query))
        return Reply(303, headers=(("Location", f"{quote(call.path)}?{query}"),))
    credentials = select(account, realm, call)
    if not credentials:
        return nothing(knobs)
    window = read_window(credentials, knobs, call)
    shown = credentials[window.start : window.start + window.size]
    entries = [element(credential, knobs, knobs.list_omits) for credential in shown]
    if knobs.list_entries == "wrapped":
        entries = ["<SipCredentials>", *entries, "</SipCredentials>"]
    parts = (links(credentials, window, knobs, call), *entries)
    return Reply(200, document("SipCredentialsResponse", *parts))


def select(account: Account, realm: Realm | None, call: Call) -> Sequence[Credential]:
    """Return a list's present entries, by name: without lag and filters the order itself, uncopied."""
    credentials: Sequence[Credential] = account.order_of(realm).sorted()
    if account.lags():
        credentials = [seen for one in credentials if (seen := account.visible(one)) is not None]
    for name, part in FILTERS.items():
        if name in call.query:
            wanted = fragment(name, call.query[name])
            credentials = [credential for credential in credentials if wanted in part(credential).lower()]
    return credentials


def fragment(name: str, text: str) -> str:
    """Return a filter's value, in lower case. Raises Refusal."""
    if not SHORTEST_FRAGMENT <= len(text) <= LONGEST_FRAGMENT:
        raise Refusal(400, "33011", f"A fragment has {SHORTEST_FRAGMENT} to {LONGEST_FRAGMENT} characters.")
    if name == "realmFragment" and not REALM_FRAGMENT(text):
        raise Refusal(400, "13116", "A realm's fragment has lower-case letters, digits and dots only.")
    return text.lower()


def nothing(knobs: Values) -> Reply:
    """Return the answer for a list without entries."""
    if knobs.empty_list == "empty":
        return Reply(200, document("SipCredentialsResponse", "<SipCredentials/>"))
    raise Refusal(404, "23008", "No SIP credentials are found on the account.")


def read_window(credentials: Sequence[Credential], knobs: Values, call: Call) -> Window:
    """Return the requested part: ``page`` is an index or a composite, ``size`` a number above 0."""
    page, size = call.query["page"], call.query["size"]
    if not NUMBER(size) or int(size) < 1:
        raise bad_page(call)
    start = first_entry(credentials, page, knobs)
    if not 0 <= start < len(credentials):
        raise bad_page(call)
    return Window(start, min(int(size), knobs.largest_page))


def first_entry(credentials: Sequence[Credential], page: str, knobs: Values) -> int:
    """Return the position of the page's first entry.

    Digits may be an index or an extension's name: they are a name only where pages are linked
    by name, such a credential exists, and they aren't the ``1`` of every first page.
    """
    key = page.lower()
    position = bisect_left(credentials, key, key=by_key)
    if not NUMBER(page):
        return position if page else -1
    is_name = position < len(credentials) and credentials[position].key == key
    if is_name and page != USUAL_PAGE["page"] and knobs.page_style == "composite":
        return position
    return int(page) - 1


def bad_page(call: Call) -> Refusal:
    """Return refusal 23012."""
    return Refusal(400, "23012", f"There is no page {call.query['page']} of size {call.query['size']}.")


def links(credentials: Sequence[Credential], window: Window, knobs: Values, call: Call) -> str:
    """Return ``Links`` with first and, unless this is the last page, next."""
    parts = [tag("first", link(call, "1", window.size, "first"))]
    following = window.start + window.size
    if following < len(credentials):
        by_name = knobs.page_style == "composite"
        page = credentials[following].name if by_name else str(following + 1)
        parts.append(tag("next", link(call, page, window.size, "next")))
    return "".join(["<Links>", *parts, "</Links>"])


def link(call: Call, page: str, size: int, relation: str) -> str:
    """Return one link as the service writes it."""
    path = call.path[call.path.index("/accounts/") :]
    return f'Link=<{FOREIGN}{path}?page={quote(page, safe="")}&size={size}>;rel="{relation}";'
