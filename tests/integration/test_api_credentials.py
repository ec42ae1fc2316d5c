"""Lists of credentials and look-ups, against the sandbox and the faults it can have."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.integration.api_client import APPLICATION, DEADLINE, Naps, Permits, client, credential, posts
from tests.sandbox import Sandbox
from worker.api import Api
from worker.errors import (
    AccountNotFound,
    AuthenticationRefused,
    ListRefused,
    NotAllowed,
    StopJob,
)
from worker.model import Answer, Family


@pytest.mark.parametrize("family", Family)
def test_a_list_is_created(sandbox: Sandbox, api: Api, permits: Permits, family: Family) -> None:
    """Each entry is stored with its digests and named in the answer; the permit got the deadline."""
    realm = api.default_realm()
    batch = [credential(realm, "alice"), credential(realm, "+1919")]
    bob = credential(realm, "bob", "example.com")
    answers = [api.create(family, realm, some, permits) for some in (batch, [bob])]
    stored = {held["composite"]: held["id"] for held in sandbox.credentials()}
    assert answers == [
        Answer(ids=(stored["alice"], stored["+1919"])),
        Answer(ids=(stored["bob@example.com"],)),
    ]
    batch.append(bob)
    assert sandbox.digests() == {one.composite: (one.hash1, one.hash1b) for one in batch}
    assert {held["application"] for held in sandbox.credentials()} == {APPLICATION}
    assert permits.deadlines == [DEADLINE, DEADLINE]


@pytest.mark.parametrize("family", Family)
def test_good_and_bad_entries_in_one_list(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family
) -> None:
    """A 201 that holds refusals: every entry has its own answer, and no digest is in the texts."""
    realm = api.default_realm()
    alice = credential(realm, "alice")
    api.create(family, realm, [alice], permits)
    answer = api.create(family, realm, [alice, credential(realm, "b d"), credential(realm, "eve")], permits)
    assert [echo.composite for echo in answer.accepted] == ["eve"]
    exists = "23009" if family is Family.ACCOUNT else "23026"
    assert [(error.code, error.composite) for error in answer.refused] == [
        (exists, "alice"),
        ("23014", "b d"),
    ]
    assert alice.hash1 not in repr(answer)
    assert alice.hash1 == answer.refused[0].hash1


@pytest.mark.parametrize("status", [400, 201])
def test_a_list_without_a_good_entry(sandbox: Sandbox, api: Api, permits: Permits, status: int) -> None:
    """A 400 or a 201 that holds only errors is an answer about entries, not about the list."""
    sandbox.knobs(none_valid_status=status)
    realm = api.default_realm()
    answer = api.create(Family.ACCOUNT, realm, [credential(realm, "b d"), credential(realm, "é")], permits)
    assert answer.accepted == ()
    assert [error.code for error in answer.refused] == ["23014", "23014"]


@pytest.mark.parametrize("swallowed", [False, True])
def test_a_list_that_is_too_long(sandbox: Sandbox, api: Api, permits: Permits, swallowed: bool) -> None:
    """23003 refuses the list as a whole and names the bound, even behind a 201."""
    sandbox.knobs(most_entries=2)
    if swallowed:
        sandbox.knobs(status_swallowed={"probability": 1})
    realm = api.default_realm()
    batch = [credential(realm, f"user{number}") for number in range(3)]
    with pytest.raises(ListRefused) as caught:
        api.create(Family.ACCOUNT, realm, batch, permits)
    assert (caught.value.code, caught.value.bound) == ("23003", 2)
    assert posts(sandbox) in ([400], [201])


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 413, "text": "too large"}, ListRefused),
        ({"status": 400, "code": "23006"}, ListRefused),
        ({"status": 404, "code": "23017"}, ListRefused),
        ({"status": 404}, AccountNotFound),
        ({"status": 403}, AuthenticationRefused),
        ({"status": 401}, AuthenticationRefused),
        ({"status": 400, "code": "23013"}, NotAllowed),
        ({"status": 404, "code": "4022"}, AccountNotFound),
        ({"status": 302}, StopJob),
    ],
)
def test_a_list_that_is_refused(
    sandbox: Sandbox, api: Api, permits: Permits, fault: dict[str, object], kind: type[Exception]
) -> None:
    """A refusal of the list is ListRefused, which can be split; a refusal of the account stops the job."""
    realm = api.default_realm()
    sandbox.knobs(refuse={"next": 2, "method": "POST", "path": "sipcredentials", **fault})
    with pytest.raises(kind):
        api.create(Family.ACCOUNT, realm, [credential(realm, "alice")], permits)
    assert sandbox.credentials() == []


def test_a_character_that_xml_cannot_hold_is_not_sent(sandbox: Sandbox, api: Api, permits: Permits) -> None:
    """A control character in a name is an error of the caller's: nothing is sent."""
    realm = api.default_realm()
    with pytest.raises(ValueError, match="XML can't hold"):
        api.create(Family.ACCOUNT, realm, [credential(realm, "a\x01b")], permits)
    assert (posts(sandbox), permits.deadlines) == ([], [])


def test_without_a_permit_nothing_is_written(sandbox: Sandbox, api: Api) -> None:
    """If the permit raises, its exception is passed on and nothing is posted."""
    realm = api.default_realm()

    def denied(deadline: float) -> None:
        raise PermissionError(f"the lease is gone, {deadline} s were wanted")

    with pytest.raises(PermissionError):
        api.create(Family.ACCOUNT, realm, [credential(realm, "alice")], denied)
    assert posts(sandbox) == []


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("spelling", ["split", "joined"])
@pytest.mark.parametrize("omits", [[], ["Hash1b"], ["Hash1", "Hash1b"]])
def test_what_was_created_is_found(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family, spelling: str, omits: list[str]
) -> None:
    """Every name, in any case and spelling, is found whole, even where lists leave digests out."""
    realm = api.default_realm()
    users = [("alice", ""), ("bob", "example.com"), ("+19195551212", ""), ("a!b$c&d*e=f~g", ""), ("..", "")]
    batch = [credential(realm, user, domain) for user, domain in users]
    api.create(family, realm, batch, permits)
    sandbox.knobs(spelling=spelling, list_omits=omits)
    for one in batch:
        found = api.find(family, realm, one.composite.upper())
        assert found is not None
        assert found.composite == one.composite
        assert (found.hash1, found.hash1b, found.realm) == (one.hash1, one.hash1b, realm.host)
        assert found.application == APPLICATION
        assert one.hash1 not in repr(found)
    assert api.find(family, realm, "alice@example.com") is None
    assert api.find(family, realm, "bo") is None


@pytest.mark.parametrize("omitted", [[], ["23007", "23008"]])
@pytest.mark.parametrize("empty", ["23008", "empty"])
@pytest.mark.parametrize("family", Family)
def test_nothing_is_found_where_nothing_is(
    sandbox: Sandbox, api: Api, family: Family, empty: str, omitted: list[str]
) -> None:
    """An empty account has nobody; a list's 404 without a code stops instead, since it may be locked."""
    realm = api.default_realm()
    sandbox.knobs(empty_list=empty, omit_codes=omitted)
    if family is Family.REALM and empty == "23008" and omitted:
        with pytest.raises(AccountNotFound):
            api.find(family, realm, "alice")
    else:
        assert api.find(family, realm, "alice") is None


def test_a_digest_that_is_nowhere_stays_unknown(sandbox: Sandbox, api: Api, permits: Permits) -> None:
    """If neither the list nor the credential itself contains Hash1b, it is None, not a guess."""
    realm = api.default_realm()
    api.create(Family.REALM, realm, [credential(realm, "alice")], permits)
    sandbox.knobs(list_omits=["Hash1b"], get_omits=["Hash1b"])
    found = api.find(Family.REALM, realm, "alice")
    assert found is not None
    assert found.hash1b is None


@pytest.mark.parametrize("style", ["composite", "index"])
def test_a_name_too_short_for_a_filter(sandbox: Sandbox, api: Api, permits: Permits, style: str) -> None:
    """A two-digit extension is found by reading page after page, on our own path."""
    realm = api.default_realm()
    api.create(Family.REALM, realm, [credential(realm, str(name)) for name in range(10, 100)], permits)
    sandbox.knobs(largest_page=7, page_style=style)
    for name in ("10", "54", "99"):
        found = api.find(Family.REALM, realm, name)
        assert found is not None
        assert found.composite == name
    assert api.find(Family.REALM, realm, "9") is None
    assert {line["path"].rpartition("/")[2] for line in sandbox.log("GET", "sipcredentials")} == {
        "sipcredentials"
    }


def test_many_names_share_a_fragment(sandbox: Sandbox, api: Api, permits: Permits) -> None:
    """The one that is meant is found on whatever page of the filtered list it is."""
    realm = api.default_realm()
    names = [f"100{number}" for number in range(40)]
    api.create(Family.REALM, realm, [credential(realm, name) for name in names], permits)
    sandbox.knobs(largest_page=3)
    found = api.find(Family.REALM, realm, "100")
    assert found is None
    found = api.find(Family.REALM, realm, "10039")
    assert found is not None
    assert found.composite == "10039"


@pytest.mark.parametrize("family", Family)
def test_a_list_that_lags(sandbox: Sandbox, permits: Permits, family: Family) -> None:
    """A credential that must exist is looked for a little longer; another one isn't."""
    sandbox.knobs(list_lag=0.3)
    with closing(client(sandbox.url)) as api:
        realm = api.default_realm()
        api.create(family, realm, [credential(realm, "alice")], permits)
        assert api.find(family, realm, "alice") is None
        assert api.find(family, realm, "alice", expected=True) is not None
        assert api.find(family, realm, "nobody", expected=False) is None


def test_a_miss_that_stays_one(sandbox: Sandbox, api: Api, naps: Naps) -> None:
    """Even what must exist is given up after a few looks."""
    assert api.find(Family.ACCOUNT, api.default_realm(), "nobody", expected=True) is None
    assert len(sandbox.log("GET", "nobody")) == len(naps.taken) + 1 == 4
