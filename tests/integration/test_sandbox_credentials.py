"""The sandbox: creating, reading, changing and listing credentials, in both families."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.integration.sandbox_client import (
    CREDENTIALS,
    REALMS,
    accepted,
    client,
    code,
    entry,
    error_codes,
    md5,
    post,
    realm_body,
    roster,
    texts,
)
from tests.sandbox import Sandbox

APPLICATION = "93de2206-9669-4e07-948d-329f4b722ee2"
ON_OFFICE = f"{REALMS}/office/sipcredentials"


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of a sandbox as new."""
    sandbox.knobs(realm_pending=0)
    with client(sandbox) as connected:
        yield connected


def list_of(http: httpx.Client, **query: str) -> httpx.Response:
    """One page."""
    return http.get(CREDENTIALS, params={"page": "1", "size": "500", **query})


def names(answer: httpx.Response) -> list[str]:
    """The user names of a list."""
    return texts(answer, "SipCredentials/SipCredential/UserName")


def test_created_holds_valid_and_errors(sandbox: Sandbox, http: httpx.Client) -> None:
    """A 201 names the stored entries with Id and Realm, and beside them the refused ones with their echo."""
    answer = post(http, "alice", "no way", "bob")
    assert (answer.status_code, accepted(answer)) == (201, ["alice", "bob"])
    assert len(texts(answer, "ValidSipCredentials/SipCredential/Id")) == 2
    assert len(texts(answer, "ValidSipCredentials/SipCredential/RealmId")) == 2
    assert error_codes(answer) == ["23014"]
    assert texts(answer, "Errors/Error/SipCredential/UserName") == ["no way"]
    assert sandbox.digests() == {name: (md5(name), md5(name + "b")) for name in ("alice", "bob")}


@pytest.mark.parametrize("status", [400, 201])
def test_none_valid(sandbox: Sandbox, http: httpx.Client, status: int) -> None:
    """A list without a valid entry is 400 with a hint, or by knob the 201 that has been seen live."""
    sandbox.knobs(none_valid_status=status)
    answer = post(http, "no way", "a b")
    assert (answer.status_code, error_codes(answer)) == (status, ["23014", "23014"])
    assert code(answer) == ""
    assert len(texts(answer, "ResponseStatus/Description")) == (status == 400)


@pytest.mark.parametrize(
    ("body", "expected"),
    [(roster([]), "23006"), (roster(map(entry, ("a", "b", "c", "d"))), "23003")],
)
def test_list_refused_as_a_whole(sandbox: Sandbox, http: httpx.Client, body: str, expected: str) -> None:
    """An empty list and one beyond the bound are 400 with one code and no Errors."""
    sandbox.knobs(most_entries=3)
    answer = http.post(CREDENTIALS, content=body)
    assert (answer.status_code, code(answer), error_codes(answer)) == (400, expected, [])
    if expected == "23003":
        assert "more than 3" in texts(answer, "ResponseStatus/Description")[0]
    assert sandbox.credentials() == []


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (entry("x", UserName=""), "23001"),
        (entry("x", Hash1=""), "23001"),
        (entry("x" * 33), "23002"),
        (entry("x", Domain="d" * 33), "23002"),
        (entry("x", Hash1="0" * 65), "23002"),
        (entry("x", Realm="r" * 65), "23002"),
        (entry("x,y"), "23014"),
        (entry("x@y", Domain="z"), "23014"),
        (entry("@x"), "23014"),
        (entry("x", Domain="y@z"), "23015"),
        (entry("x", Hash1="xyz"), "23016"),
        (entry("x", Hash1b="0" * 31), "23016"),
        (entry("x", Realm="nowhere.auth.bandwidth.com"), "23017"),
        (entry("x", HttpVoiceV2AppId="1234"), "23020"),
        (entry("x", HttpVoiceV2AppId=APPLICATION), "23019"),
        (entry("TAKEN"), "23009"),
        (entry("Good"), "23000"),
    ],
)
def test_entry_rules(sandbox: Sandbox, http: httpx.Client, wrong: str, expected: str) -> None:
    """Every field rule refuses its entry with its code, and the good entry before it is stored."""
    sandbox.knobs(applications=["00000000-0000-0000-0000-000000000001"])
    post(http, "taken")
    answer = http.post(CREDENTIALS, content=roster([entry("good"), wrong]))
    assert (answer.status_code, accepted(answer), error_codes(answer)) == (201, ["good"], [expected])
    assert {held["composite"] for held in sandbox.credentials()} == {"taken", "good"}


def test_all_allowed_characters(sandbox: Sandbox, http: httpx.Client) -> None:
    """The special characters of the rule are taken, and found again by a percent-encoded path."""
    name = "Az0._-!$&*+=~"
    assert http.post(CREDENTIALS, content=roster([entry(name.replace("&", "&amp;"))])).status_code == 201
    assert http.get(f"{CREDENTIALS}/Az0._-%21%24%26%2A%2B%3D~").status_code == 200
    assert [held["composite"] for held in sandbox.credentials()] == [name]


def test_default_realm_that_is_pending(sandbox: Sandbox, http: httpx.Client) -> None:
    """While the default realm is pending, an entry that names no realm is 23022."""
    sandbox.knobs(realm_pending=60)
    http.post(REALMS, content=realm_body("north", "true"))
    assert error_codes(post(http, "bob")) == ["23022"]


def test_unique_on_the_account_or_on_the_realm(http: httpx.Client) -> None:
    """The account family knows a name once (23009), the realm family once per realm (23026, with digests)."""
    http.post(REALMS, content=realm_body("north"))
    on_north = f"{REALMS}/north/sipcredentials"
    assert post(http, "bob@x.org", path=ON_OFFICE).status_code == 201
    assert post(http, "bob@x.org", path=on_north).status_code == 201
    again = post(http, "BOB@x.org", path=on_north)
    assert error_codes(again) == ["23026"]
    assert re.search("[0-9a-f]{32}", texts(again, "Errors/Error/Description")[0])
    body = roster([entry("bob", Domain="X.ORG")])
    assert error_codes(http.post(CREDENTIALS, content=body)) == ["23009"]


def test_realm_family_refuses_another_realm(http: httpx.Client) -> None:
    """An entry whose Realm isn't the path's is 23018; the path's own host name is fine."""
    http.post(REALMS, content=realm_body("north"))
    host = texts(http.get(f"{REALMS}/office"), "Realm/Realm")[0]
    other = texts(http.get(f"{REALMS}/north"), "Realm/Realm")[0]
    body = roster([entry("a", Realm=host), entry("b", Realm=other)])
    answer = http.post(ON_OFFICE, content=body)
    assert (accepted(answer), error_codes(answer)) == (["a"], ["23018"])


def test_account_family_update(sandbox: Sandbox, http: httpx.Client) -> None:
    """PUT by composite sets digests, application and realm, keeps the id, and refuses a name (23004)."""
    http.post(REALMS, content=realm_body("north"))
    number = texts(post(http, "bob@x.org"), "ValidSipCredentials/SipCredential/Id")
    body = entry("", Hash1=md5("new"), Hash1b=md5("newb"), Realm="north", HttpVoiceV2AppId=APPLICATION)
    answer = http.put(f"{CREDENTIALS}/bob%40x.org", content=body)
    assert (answer.status_code, texts(answer, "SipCredential/Id")) == (200, number)
    held = sandbox.credentials()[0]
    assert (held["hash1"], held["hash1b"]) == (md5("new"), md5("newb"))
    assert (held["application"], held["realm"].split("-")[0]) == (APPLICATION, "north")
    assert (held["created"], held["updated"], held["deleted"]) == (1, 1, 0)
    assert code(http.put(f"{CREDENTIALS}/bob%40x.org", content=entry("bob"))) == "23004"
    assert code(http.put(f"{CREDENTIALS}/carol", content=body)) == "23007"


def test_realm_family_update(sandbox: Sandbox, http: httpx.Client) -> None:
    """PUT by id needs RealmId (23031) and refuses UserName (23030)."""
    made = post(http, "bob", path=ON_OFFICE)
    number = texts(made, "ValidSipCredentials/SipCredential/Id")[0]
    realm = texts(made, "ValidSipCredentials/SipCredential/RealmId")[0]
    one = f"{ON_OFFICE}/{number}"
    assert code(http.put(one, content=entry("", Hash1=md5("new")))) == "23031"
    assert code(http.put(one, content=entry("bob", RealmId=realm))) == "23030"
    assert code(http.put(one, content=entry("", Hash1=md5("new"), RealmId="1"))) == "23018"
    assert http.put(one, content=entry("", Hash1=md5("new"), RealmId=realm)).status_code == 200
    assert sandbox.credentials()[0]["hash1"] == md5("new")


@pytest.mark.parametrize(("ways", "left"), [(("set", "keep"), "old"), (("set", "clear"), "")])
def test_update_without_application(
    sandbox: Sandbox, http: httpx.Client, ways: tuple[str, str], left: str
) -> None:
    """Sources disagree what a PUT without an application does to the stored one: both are there by knob."""
    sandbox.knobs(put_application=ways[0], put_without_application=ways[1])
    http.post(CREDENTIALS, content=roster([entry("bob", HttpVoiceV2AppId=APPLICATION)]))
    http.put(f"{CREDENTIALS}/bob", content=entry("", Hash1=md5("new")))
    assert sandbox.credentials()[0]["application"] == (APPLICATION if left else "")


def test_update_may_ignore_the_application(sandbox: Sandbox, http: httpx.Client) -> None:
    """With the knob a PUT answers 200 and leaves the stored application as it is."""
    sandbox.knobs(put_application="ignore")
    post(http, "bob")
    body = entry("", Hash1=md5("new"), HttpVoiceV2AppId=APPLICATION)
    assert http.put(f"{CREDENTIALS}/bob", content=body).status_code == 200
    assert sandbox.credentials()[0]["application"] == ""


def test_delete_in_both_families(sandbox: Sandbox, http: httpx.Client) -> None:
    """DELETE is 200 and empty; the second one is the family's own 404; the history counts on."""
    number = texts(post(http, "bob", "carol"), "ValidSipCredentials/SipCredential/Id")[1]
    answers = [http.delete(f"{CREDENTIALS}/bob"), http.delete(f"{ON_OFFICE}/{number}")]
    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * 2
    assert code(http.delete(f"{CREDENTIALS}/bob")) == "23007"
    assert code(http.delete(f"{ON_OFFICE}/{number}")) == "23025"
    assert sandbox.credentials() == []
    post(http, "bob")
    history = {held["composite"]: held for held in sandbox.credentials(deleted=True)}
    assert [history["bob"][count] for count in ("stored", "created", "deleted")] == [True, 2, 1]
    assert [history["carol"][count] for count in ("stored", "created", "deleted")] == [False, 1, 1]


def test_reads_in_both_spellings(sandbox: Sandbox, http: httpx.Client) -> None:
    """A read gives UserName and Domain, however they came, or by knob both in UserName."""
    post(http, "bob@x.org")
    split = http.get(f"{CREDENTIALS}/bob%40x.org")
    assert texts(split, "SipCredential/UserName") + texts(split, "SipCredential/Domain") == ["bob", "x.org"]
    sandbox.knobs(spelling="joined")
    joined = http.get(f"{CREDENTIALS}/bob%40x.org")
    assert texts(joined, "SipCredential/UserName") == ["bob@x.org"]
    assert texts(joined, "SipCredential/Domain") == []


def test_lists_may_leave_elements_out(sandbox: Sandbox, http: httpx.Client) -> None:
    """With the knob a list has no Hash1b, and the single GET still has it."""
    sandbox.knobs(list_omits=["Hash1b"])
    post(http, "bob")
    assert texts(list_of(http), "SipCredentials/SipCredential/Hash1b") == []
    assert texts(http.get(f"{CREDENTIALS}/bob"), "SipCredential/Hash1b") == [md5("bobb")]


def test_list_without_a_page_is_redirected(http: httpx.Client) -> None:
    """A list request without page and size is 303 to the first page of 500."""
    post(http, "bob")
    answer = http.get(CREDENTIALS)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{CREDENTIALS}?page=1&size=500")
    assert names(http.get(CREDENTIALS, follow_redirects=True)) == ["bob"]


@pytest.mark.parametrize("style", ["composite", "index"])
@pytest.mark.parametrize("path", [CREDENTIALS, ON_OFFICE])
def test_pages_follow_each_other(sandbox: Sandbox, http: httpx.Client, style: str, path: str) -> None:
    """Taking page and size from each foreign next link reads every credential once, in either page style."""
    sandbox.knobs(page_style=style)
    extensions = [str(number) for number in range(1000, 1025)]
    post(http, *extensions)
    query: dict[str, list[str]] = {"page": ["1"], "size": ["10"]}
    found: list[str] = []
    while query:
        answer = http.get(path, params=query)
        found += names(answer)
        link = "".join(texts(answer, "Links/next"))
        url = link.partition("<")[2].partition(">")[0]
        assert not url or url.startswith("http://dashboard.bandwidth.com/iris/accounts/")
        query = parse_qs(urlsplit(url).query)
    assert found == extensions


def test_order_holds_between_writes(http: httpx.Client) -> None:
    """A list read between many and few creations and a deletion is each time complete and in order."""
    many = [f"user{number * 7919 % 1000:03}" for number in range(1000)]
    for some in (many[:700], many[700:705], many[705:]):
        post(http, *some)
        held = names(list_of(http, size="5000"))
        assert held == sorted(many[: len(held)])
    http.delete(f"{CREDENTIALS}/user500")
    assert names(list_of(http, size="5000")) == sorted(set(many) - {"user500"})


@pytest.mark.parametrize("query", [{"page": "0"}, {"page": "3"}, {"page": ""}, {"size": "0"}, {"size": "x"}])
def test_bad_page(http: httpx.Client, query: dict[str, str]) -> None:
    """A page that isn't there, and a size that isn't one, are 23012."""
    post(http, "alice", "bob")
    answer = list_of(http, **query)
    assert (answer.status_code, code(answer)) == (400, "23012")


def test_empty_list(sandbox: Sandbox, http: httpx.Client) -> None:
    """An empty list is 404 with 23008, or by knob a 200 without entries."""
    answer = list_of(http)
    assert (answer.status_code, code(answer)) == (404, "23008")
    sandbox.knobs(empty_list="empty")
    answer = list_of(http)
    assert (answer.status_code, names(answer)) == (200, [])


def test_filters(http: httpx.Client) -> None:
    """Each fragment selects by its part without regard to case; one of two characters is 33011."""
    http.post(REALMS, content=realm_body("north"))
    post(http, "alice@Example.com", "alina")
    post(http, "bobby", path=f"{REALMS}/north/sipcredentials")
    assert names(list_of(http, userNamefragment="ALI")) == ["alice", "alina"]
    assert names(list_of(http, domainfragment="example")) == ["alice"]
    assert names(list_of(http, realmFragment="north")) == ["bobby"]
    assert code(list_of(http, userNamefragment="al")) == "33011"
    for refused in ("North", "north-0a", "no rth"):
        assert code(list_of(http, realmFragment=refused)) == "13116"


def test_entries_may_stand_right_under_the_root(sandbox: Sandbox, http: httpx.Client) -> None:
    """list_entries: both places are known."""
    post(http, "alice")
    assert [
        len(texts(list_of(http), path)) for path in ("SipCredentials/SipCredential", "SipCredential")
    ] == [1, 0]
    sandbox.knobs(list_entries="bare")
    assert [
        len(texts(list_of(http), path)) for path in ("SipCredentials/SipCredential", "SipCredential")
    ] == [0, 1]


def test_list_lag(sandbox: Sandbox, http: httpx.Client) -> None:
    """With a lag a write is in the truth at once, and in lists and single reads only later."""
    post(http, "alice")
    sandbox.knobs(list_lag=0.8)
    post(http, "bob")
    http.put(f"{CREDENTIALS}/alice", content=entry("", Hash1=md5("new")))
    assert len(sandbox.credentials()) == 2
    assert names(list_of(http)) == ["alice"]
    assert http.get(f"{CREDENTIALS}/bob").status_code == 404
    assert texts(http.get(f"{CREDENTIALS}/alice"), "SipCredential/Hash1") == [md5("alice")]
    assert error_codes(post(http, "bob")) == ["23009"]
    time.sleep(0.9)
    assert names(list_of(http)) == ["alice", "bob"]
    assert texts(http.get(f"{CREDENTIALS}/alice"), "SipCredential/Hash1") == [md5("new")]


@pytest.mark.parametrize(
    "body",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]><SipCredentials>&b;</SipCredentials>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><SipCredentials/>',
        "<SipCredentials>",
        "<Other/>",
        "",
    ],
)
def test_bodies_that_are_refused(http: httpx.Client, body: str) -> None:
    """A document type, an unfinished document and another root are 400 without a code."""
    answer = http.post(CREDENTIALS, content=body)
    assert (answer.status_code, code(answer)) == (400, "")


def test_content_type_is_required(http: httpx.Client) -> None:
    """A body that isn't declared as XML is 415 and stores nothing."""
    answer = http.post(CREDENTIALS, content=roster([entry("bob")]), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    assert http.get(f"{CREDENTIALS}/bob").status_code == 404
