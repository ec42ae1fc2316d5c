"""Everything that is stored, page after page, against the sandbox and against stranger services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.integration.api_client import APPLICATION, Naps, Permits, client, credential
from tests.integration.test_api_hostile import REALM, entries, served, with_token
from tests.sandbox import Sandbox
from tests.scripted import Asked, Told
from worker.api import Api
from worker.errors import AccountNotFound, NotAllowed, Refused, StopJob
from worker.model import Family, Realm, Stored

ODD = [
    "!",
    "$9",
    "+1",
    "+19195551212",
    "-a",
    "0",
    "007",
    "1",
    "10",
    "100",
    "2",
    "500",
    "A~b",
    "a&b=c",
    "..",
    "=x",
]
"""Names that look like an index, a path or a query, in no order."""


def names(found: Iterator[Stored]) -> list[str]:
    return [entry.composite for entry in found]


def scope(family: Family, realm: Realm) -> Realm | None:
    """Return the realm to list if the family needs one, or None for the whole account."""
    return realm if family is Family.REALM else None


def fill(api: Api, permits: Permits, realm: Realm, users: list[str]) -> None:
    assert not api.create(Family.REALM, realm, [credential(realm, user) for user in users], permits).refused


@pytest.mark.parametrize("style", ["composite", "index"])
@pytest.mark.parametrize("size", [2, 3, 5, 500])
@pytest.mark.parametrize("family", Family)
def test_names_that_sort_oddly_are_all_listed_once(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family, size: int, style: str
) -> None:
    """Extensions that look like page numbers, the 1 of the first page among them, end no list early."""
    realm = api.default_realm()
    fill(api, permits, realm, ODD)
    sandbox.knobs(page_style=style)
    listed = names(api.credentials(family, scope(family, realm), size=size))
    assert sorted(listed) == sorted(ODD)


def test_the_usual_page_that_begins_with_extension_1(sandbox: Sandbox, api: Api, permits: Permits) -> None:
    """Page 2 of the usual size is called 1, as the first page is; it is read all the same."""
    realm = api.default_realm()
    users = [*(f"+{number:03}" for number in range(500)), *map(str, range(1, 90))]
    fill(api, permits, realm, users)
    assert sorted(names(api.credentials(Family.ACCOUNT, None))) == sorted(users)
    assert len(sandbox.log("GET", "sipcredentials")) == 3


@pytest.mark.parametrize("family", Family)
def test_pages_are_read_as_they_are_asked_for(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family
) -> None:
    """The first entry is there after one request: nobody waits for, or keeps, the rest of the list."""
    realm = api.default_realm()
    fill(api, permits, realm, [f"user{number:04}" for number in range(60)])
    listed = api.credentials(family, scope(family, realm), size=20)
    before = len(sandbox.log("GET", "sipcredentials"))
    assert next(listed).composite == "user0000"
    assert len(sandbox.log("GET", "sipcredentials")) == before + 1
    assert len(list(listed)) == 59
    assert len(sandbox.log("GET", "sipcredentials")) == before + 3


def test_a_size_that_the_service_cuts(sandbox: Sandbox, api: Api, permits: Permits) -> None:
    """Pages shorter than asked for lead on from where they end."""
    realm = api.default_realm()
    fill(api, permits, realm, [*ODD, *(f"user{number}" for number in range(40))])
    sandbox.knobs(largest_page=7)
    assert len(set(names(api.credentials(Family.ACCOUNT, None, size=5000)))) == len(ODD) + 40


@pytest.mark.parametrize("family", Family)
def test_entries_that_stand_right_under_the_root(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family
) -> None:
    """Entries right under the root, as one SDK expects them, are read as well, page after page."""
    realm = api.default_realm()
    fill(api, permits, realm, ODD)
    sandbox.knobs(list_entries="bare")
    assert sorted(names(api.credentials(family, scope(family, realm), size=5))) == sorted(ODD)


@pytest.mark.parametrize("empty", ["23008", "empty"])
@pytest.mark.parametrize("family", Family)
def test_nothing_is_stored(sandbox: Sandbox, api: Api, family: Family, empty: str) -> None:
    """Both answers for an empty list give nothing, and no error."""
    realm = api.default_realm()
    sandbox.knobs(empty_list=empty)
    assert list(api.credentials(family, scope(family, realm))) == []


@pytest.mark.parametrize(
    ("knobs", "kind"),
    [({"account_locked": True}, AccountNotFound), ({"account_set_up": False}, NotAllowed)],
)
@pytest.mark.parametrize("family", Family)
def test_an_account_that_cannot_does_not_look_empty(
    sandbox: Sandbox, api: Api, family: Family, knobs: dict[str, object], kind: type[Exception]
) -> None:
    """An account that is locked or not set up raises an error, and doesn't look empty."""
    realm = api.default_realm()
    sandbox.knobs(**knobs)
    with pytest.raises(kind):
        list(api.credentials(family, scope(family, realm)))


def test_one_realm_of_an_account(sandbox: Sandbox, api: Api, permits: Permits) -> None:
    """Either family lists one realm alone, also where another one's name holds its own; None lists all."""
    sandbox.knobs(realm_pending=0)
    office, other = api.default_realm(), api.create_realm("my-office")
    fill(api, permits, office, ["alice", "bob"])
    fill(api, permits, other, ["carol"])
    for family in Family:
        assert names(api.credentials(family, office)) == ["alice", "bob"]
        assert names(api.credentials(family, other)) == ["carol"]
    assert names(api.credentials(Family.ACCOUNT, None)) == ["alice", "bob", "carol"]
    sandbox.knobs(list_omits=["Realm"])
    assert names(api.credentials(Family.ACCOUNT, other)) == ["carol"]


@pytest.mark.parametrize(
    ("label", "sent"),
    [
        ("office", "office"),
        ("my-office", "office"),
        ("a-b-c", "0a1b2c.auth.bandwidth.com"),
        ("Sales", "sales"),
    ],
)
def test_a_realms_filter_is_one_that_the_service_takes(naps: Naps, label: str, sent: str) -> None:
    """No hyphen and no capital (13116): the longest piece of the realm's own name, else what is behind it."""
    realm = Realm("17", f"{label}-0a1b2c.auth.bandwidth.com")
    with served(with_token(lambda _: Told(body=entries("a"))), naps) as (server, api):
        assert names(api.credentials(Family.ACCOUNT, realm)) == ["a"]
        assert parse_qs(urlsplit(server.asked[1].path).query)["realmFragment"] == [sent]


@pytest.mark.parametrize("family", Family)
def test_filters_go_out_as_they_are(sandbox: Sandbox, api: Api, permits: Permits, family: Family) -> None:
    """A filter is the service's to apply, and goes with every page."""
    realm = api.default_realm()
    fill(api, permits, realm, [f"sales{number}" for number in range(5)] + ["support"])
    found = api.credentials(family, scope(family, realm), {"userNamefragment": "SALES"}, size=2)
    assert names(found) == [f"sales{number}" for number in range(5)]
    queries = [line["query"] for line in sandbox.log("GET", "sipcredentials") if "size=2" in line["query"]]
    assert len(queries) == 3
    assert all("userNamefragment=SALES" in query for query in queries)


@pytest.mark.parametrize("family", Family)
def test_a_digest_that_a_list_leaves_out_is_read_singly(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family
) -> None:
    """A digest that the list leaves out is None; ``whole`` reads that credential, if anything is missing."""
    realm = api.default_realm()
    alice = credential(realm, "alice", "example.com")
    api.create(family, realm, [alice], permits)
    (complete,) = api.credentials(family, scope(family, realm))
    asked = api.requests
    assert api.whole(family, realm, complete) is complete
    assert api.requests == asked
    sandbox.knobs(list_omits=["Hash1b"])
    (entry,) = api.credentials(family, scope(family, realm))
    assert (entry.hash1, entry.hash1b) == (alice.hash1, None)
    found = api.whole(family, realm, entry)
    assert (found.hash1, found.hash1b, found.application) == (alice.hash1, alice.hash1b, APPLICATION)
    sandbox.knobs(get_omits=["Hash1b"])
    assert api.whole(family, realm, entry).hash1b is None


def test_an_entry_without_an_id(sandbox: Sandbox, api: Api, permits: Permits) -> None:
    """Entries without ids are distinguished by name, and can't be read or deleted singly."""
    realm = api.default_realm()
    fill(api, permits, realm, ["alice", "bob", "carol"])
    sandbox.knobs(list_omits=["Id", "Hash1b"])
    found = list(api.credentials(Family.REALM, realm, size=1))
    assert [entry.composite for entry in found] == ["alice", "bob", "carol"]
    assert api.whole(Family.REALM, realm, found[0]) is found[0]
    with pytest.raises(Refused, match="no id of alice"):
        api.read(Family.REALM, realm, found[0])
    with pytest.raises(Refused, match="no id of alice"):
        api.delete(Family.REALM, realm, found[0], permits)
    assert len(sandbox.credentials()) == 3


def test_a_list_that_lags(sandbox: Sandbox, permits: Permits) -> None:
    """A credential written a moment ago may be missing from the list, which is returned as it is."""
    with closing(client(sandbox.url)) as api:
        realm = api.default_realm()
        fill(api, permits, realm, ["alice"])
        sandbox.knobs(list_lag=60)
        fill(api, permits, realm, ["bob"])
        assert names(api.credentials(Family.ACCOUNT, None)) == ["alice"]


def test_a_list_that_changes_while_it_is_read(sandbox: Sandbox, api: Api, permits: Permits) -> None:
    """A credential that is added behind, and one that goes, take no other from the list."""
    realm = api.default_realm()
    users = [f"user{number:02}" for number in range(20)]
    fill(api, permits, realm, users)
    listed = api.credentials(Family.ACCOUNT, None, size=5)
    first = next(listed)
    assert api.delete(Family.ACCOUNT, None, Stored("", "user05", realm.host), permits)
    fill(api, permits, realm, ["user99"])
    assert {first.composite, *names(listed)} == {*users, "user99"} - {"user05"}


def without_end(page: Callable[[int], bytes], *held: int | None) -> Callable[[Asked], Told]:
    """A service whose list goes on: ``page`` of a number, called ``p1``, ``p2`` …; what its realms hold."""
    counts = ["" if count is None else f"<SipCredentialCount>{count}</SipCredentialCount>" for count in held]
    realms = "".join(
        f"<Realm><Realm>r{number}.example</Realm>{one}</Realm>" for number, one in enumerate(counts)
    )

    def answer(asked: Asked) -> Told:
        if asked.path.endswith("/realms"):
            return Told(body=f"<RealmsResponse><Realms>{realms}</Realms></RealmsResponse>".encode())
        return Told(body=page(int(parse_qs(urlsplit(asked.path).query)["page"][0].removeprefix("p"))))

    return with_token(answer)


def ever_new(page: int) -> bytes:
    return entries(*(f"u{page}-{number}" for number in range(500)), following=f"http://x/?page=p{page + 1}")


def there_and_back(page: int) -> bytes:
    return entries(
        *(f"u{page % 2}-{number}" for number in range(500)), following=f"http://x/?page=p{page + 1}"
    )


@pytest.mark.parametrize("page", [ever_new, there_and_back])
@pytest.mark.parametrize("family", Family)
def test_a_list_without_end(naps: Naps, family: Family, page: Callable[[int], bytes]) -> None:
    """The list is read as far as the realms' own counts say, with some room, and then ends."""
    with served(without_end(page, 3, 4), naps) as (server, api):
        with pytest.raises(
            StopJob, match="no end: 10,500 so far, and the account's realms hold 7 by"
        ) as caught:
            list(api.credentials(family, scope(family, REALM)))
        assert "BW_API_URL" in caught.value.hint
        assert len(server.asked) == 1 + 21 + 1


@pytest.mark.parametrize("held", [(9_000, 300), (None, 3)])
def test_a_long_list_is_read_to_its_end(naps: Naps, held: tuple[int | None, ...]) -> None:
    """A list is read to its end if the realms hold as many, or don't say; they are asked once."""

    def page(number: int) -> bytes:
        return ever_new(number) if number < 24 else entries("last")

    with served(without_end(page, *held), naps) as (server, api):
        assert len(names(api.credentials(Family.ACCOUNT, None))) == 23 * 500 + 1
        assert len([one for one in server.asked if one.path.endswith("/realms")]) == 1


@pytest.mark.parametrize("users", [("a", "b"), ()])
def test_pages_that_bring_nothing_new_end_a_list(naps: Naps, users: tuple[str, ...]) -> None:
    """The same page under new names, or pages without entries, end a list."""

    def page(number: int) -> bytes:
        return entries(*users, following=f"http://x/?page=p{number + 1}")

    with served(without_end(page, 2), naps) as (server, api):
        assert names(api.credentials(Family.ACCOUNT, None)) == list(users)
        assert len(server.asked) <= 4


def test_a_moved_list_in_another_size(naps: Naps) -> None:
    """A 303 to the first page in a size of the service's own is followed on our own path."""

    def answer(asked: Asked) -> Told:
        if parse_qs(urlsplit(asked.path).query)["size"] == ["5000"]:
            return Told(303, headers={"Location": "/elsewhere?page=1&size=500"})
        return Told(body=entries("a", "b"))

    with served(with_token(answer), naps) as (server, api):
        assert names(api.credentials(Family.REALM, REALM, size=5000)) == ["a", "b"]
        assert [asked.path.rpartition("?")[2] for asked in server.asked[1:]] == [
            "page=1&size=5000",
            "page=1&size=500",
        ]
