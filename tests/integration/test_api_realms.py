"""Realms and the account, against the sandbox: found by every name, made, waited for, refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from tests.integration.api_client import Naps, Permits, client, credential
from tests.sandbox import Sandbox
from worker.api import Api
from worker.errors import (
    AccountNotFound,
    AnswerLost,
    Conflict,
    NotAllowed,
    NotFound,
    StopJob,
    Unavailable,
    UsageError,
)
from worker.model import Family


def test_realms_are_found_by_every_name(sandbox: Sandbox, api: Api) -> None:
    """List, default, id, host name and short name give the same realm, with the host as the API spells it."""
    realm = api.default_realm()
    assert api.realms() == [realm]
    assert (realm.status, realm.default) == ("ACTIVE", True)
    assert realm.host.startswith("office-")
    for ref in (realm.id, realm.host, "office", "OFFICE"):
        assert api.realm(ref) == realm


@pytest.mark.parametrize("omitted", [[], ["33001"]])
@pytest.mark.parametrize("style", ["live", "guide"])
def test_a_short_name_that_does_not_resolve(
    sandbox: Sandbox, api: Api, style: str, omitted: list[str]
) -> None:
    """If GET doesn't know short names, with or without an error code, all realms are listed and compared."""
    sandbox.knobs(realm_host=style, short_names=False, omit_codes=omitted, realm_pending=0)
    made = api.create_realm("sales-bad")
    assert api.realm("Sales-Bad") == made
    assert api.realm("office") == api.default_realm()
    with pytest.raises(NotFound) as caught:
        api.realm("sales")
    assert made.host in caught.value.hint


def test_a_short_name_of_two_realms(sandbox: Sandbox, api: Api) -> None:
    """One short name in both styles of host name is a conflict, not a guess."""
    sandbox.knobs(short_names=False, realm_pending=0)
    first = api.create_realm("sales")
    ending = first.host.partition(".")[0].removeprefix("sales")
    sandbox.knobs(realm_host="guide")
    second = api.create_realm(f"sales{ending}")
    with pytest.raises(Conflict) as caught:
        api.realm("sales")
    assert first.host in str(caught.value)
    assert second.host in str(caught.value)


def test_an_empty_reference_names_no_realm(sandbox: Sandbox, api: Api) -> None:
    """An empty reference is no realm, and the list is not mistaken for one."""
    with pytest.raises(NotFound):
        api.realm("")


def test_no_default_realm(make_sandbox: Callable[..., Sandbox]) -> None:
    """If an account has no default realm, the hint says to name one with --realm."""
    sandbox = make_sandbox("--default-realm", "")
    with closing(client(sandbox.url, Naps())) as api, pytest.raises(NotFound) as caught:
        api.default_realm()
    assert "--realm" in caught.value.hint


def test_a_realm_is_made_and_waited_for(sandbox: Sandbox) -> None:
    """A new realm is ACTIVE when it is returned, and is the default one only on request."""
    with closing(client(sandbox.url)) as api:
        made = api.create_realm("sales", "Sales & <more>")
        assert (made.status, made.default, made.description) == ("ACTIVE", False, "Sales & <more>")
        assert api.create_realm("main", default=True).default
        assert api.default_realm().host.startswith("main-")


def test_a_realm_that_exists_is_a_conflict(sandbox: Sandbox, api: Api) -> None:
    """33002 says that it exists, and what to do."""
    with pytest.raises(Conflict, match="33002"):
        api.create_realm("office")


def test_a_realm_whose_making_fails_ends_the_wait(sandbox: Sandbox) -> None:
    """CREATE_FAILED is reported as soon as it is seen, not when the wait is over."""
    sandbox.knobs(realm_create_fails=True, realm_pending=0.05)
    with closing(client(sandbox.url)) as api, pytest.raises(Conflict, match="CREATE_FAILED"):
        api.create_realm("sales", wait=3600)


def test_a_realm_that_stays_pending_ends_the_wait(sandbox: Sandbox, api: Api, naps: Naps) -> None:
    """The wait for a realm is bounded; it sleeps a little at a time, and no longer than asked."""
    sandbox.knobs(realm_pending=3600)
    with pytest.raises(Unavailable, match="CREATE_PENDING"):
        api.create_realm("sales", wait=20)
    assert 20 <= sum(naps.taken) < 26


@pytest.mark.parametrize("name", ["", "-a", "a-", "a" * 31, "a.b", "a b", "é", "a\n"])
def test_a_name_that_cannot_be_is_not_sent(sandbox: Sandbox, api: Api, name: str) -> None:
    """A name that breaks the rules of 33003 is refused before anything is sent."""
    with pytest.raises(UsageError):
        api.create_realm(name)
    assert sandbox.log() == []


def test_a_realm_whose_answer_was_lost_is_looked_for(sandbox: Sandbox) -> None:
    """A realm whose answer was lost is found, and was made only once."""
    sandbox.knobs(drop={"next": 1, "method": "POST", "path": "realms", "commit": True})
    with closing(client(sandbox.url)) as api:
        assert api.create_realm("sales").status == "ACTIVE"
    assert len(sandbox.log("POST", "realms")) == 1


def test_a_realm_that_was_not_made_after_all(sandbox: Sandbox, api: Api) -> None:
    """If the request was lost on its way, the realm doesn't count as made."""
    sandbox.knobs(drop={"next": 1, "method": "POST", "path": "realms"})
    with pytest.raises(AnswerLost, match="sales"):
        api.create_realm("sales")


def test_a_check_is_one_cheap_request(sandbox: Sandbox, api: Api) -> None:
    """A check reads one entry of the list, and an empty account is no fault."""
    api.check()
    assert [line["query"] for line in sandbox.log("GET")] == ["page=1&size=1"]


@pytest.mark.parametrize(
    ("knobs", "kind"),
    [({"account_locked": True}, AccountNotFound), ({"account_set_up": False}, NotAllowed)],
)
def test_an_account_that_cannot(
    sandbox: Sandbox, api: Api, permits: Permits, knobs: dict[str, object], kind: type[StopJob]
) -> None:
    """Locked, unknown, or without the feature: everything says so, nothing looks empty."""
    realm = api.default_realm()
    sandbox.knobs(**knobs)
    calls: list[Callable[[], object]] = [
        api.check,
        api.realms,
        api.default_realm,
        lambda: api.realm("office"),
        lambda: api.create_realm("sales"),
        lambda: api.find(Family.ACCOUNT, realm, "alice"),
        lambda: api.find(Family.REALM, realm, "alice"),
        lambda: api.create(Family.ACCOUNT, realm, [credential(realm, "alice")], permits),
    ]
    for call in calls:
        with pytest.raises(kind):
            call()


def test_another_account_is_unknown(sandbox: Sandbox) -> None:
    """A wrong account number raises AccountNotFound."""
    with closing(client(sandbox.url, Naps(), account="1")) as api, pytest.raises(AccountNotFound):
        api.check()
