"""Single credentials, read, changed and deleted, in both families."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from tests.integration.api_client import APPLICATION, Naps, Permits, client, credential
from tests.sandbox import Sandbox
from worker.api import Api
from worker.errors import AnswerLost, AuthenticationRefused, Conflict, Refused, StopJob
from worker.model import Credential, Family, Realm, Stored

OTHER_APPLICATION = "00000000-aaaa-bbbb-cccc-0123456789ab"

LOST: list[dict[str, dict[str, object]]] = [
    {"drop": {"next": 1, "commit": True}},
    {"drop": {"next": 1}},
    {"stall": {"next": 1, "commit": True, "seconds": 2}},
    {"html_success": {"next": 1, "commit": True}},
    {"bad_gateway": {"next": 1, "commit": True}},
]


def stored(api: Api, permits: Permits, family: Family, wanted: Credential, realm: Realm) -> Stored:
    """The credential, created and read back."""
    assert api.create(family, realm, [wanted], permits).ids
    found = api.find(family, realm, wanted.composite)
    assert found is not None
    return found


@pytest.mark.parametrize("user", ["alice", "+19195551212", "a!b$c&d*e=f~g", ".."])
@pytest.mark.parametrize("spelling", ["split", "joined"])
@pytest.mark.parametrize("family", Family)
def test_a_credential_is_set_and_set_again(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family, spelling: str, user: str
) -> None:
    """Digests and application are those wanted, id and name stay, and a second PUT changes nothing more."""
    sandbox.knobs(spelling=spelling)
    realm = api.default_realm()
    before = stored(api, permits, family, credential(realm, user, "example.com"), realm)
    wanted = credential(realm, user, "example.com", password="another one")
    wanted = replace(wanted, application=OTHER_APPLICATION)
    permits.deadlines.clear()
    for _ in range(2):
        api.update(family, realm, before, wanted, permits)
        after = api.read(family, realm, before)
        assert after == replace(
            before, hash1=wanted.hash1, hash1b=wanted.hash1b, application=OTHER_APPLICATION
        )
    assert len(permits.deadlines) == 2
    assert sandbox.digests() == {wanted.composite: (wanted.hash1, wanted.hash1b)}


@pytest.mark.parametrize("without", ["keep", "clear"])
@pytest.mark.parametrize("family", Family)
def test_the_application_survives_an_update_that_names_none(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family, without: str
) -> None:
    """The one that is there is sent again, for a service that would clear what isn't sent."""
    sandbox.knobs(put_without_application=without)
    realm = api.default_realm()
    before = stored(api, permits, family, credential(realm, "alice"), realm)
    api.update(
        family, realm, before, replace(credential(realm, "alice", password="x"), application=""), permits
    )
    assert [held["application"] for held in sandbox.credentials()] == [APPLICATION]


@pytest.mark.parametrize("family", Family)
def test_nobody_is_moved_to_another_realm(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family
) -> None:
    """An update to another realm, or of a credential of unknown realm, is refused before a PUT is sent."""
    sandbox.knobs(realm_pending=0)
    office, sales = api.default_realm(), api.create_realm("sales")
    before = stored(api, permits, family, credential(office, "alice"), office)
    with pytest.raises(Conflict, match="not on sales-"):
        api.update(family, office, before, credential(sales, "alice"), permits)
    if family is Family.ACCOUNT:
        with pytest.raises(Conflict, match="not told"):
            api.update(family, None, replace(before, realm=""), credential(sales, "alice"), permits)
    assert sandbox.log("PUT") == []
    assert [held["realm"] for held in sandbox.credentials()] == [office.host]


@pytest.mark.parametrize("fault", LOST, ids=str)
@pytest.mark.parametrize("family", Family)
def test_a_change_whose_answer_is_lost(
    sandbox: Sandbox, permits: Permits, family: Family, fault: dict[str, dict[str, object]]
) -> None:
    """A change is sent once, and reading back shows whether it was done; repeating it is safe."""
    with closing(client(sandbox.url, Naps(), deadline=0.5)) as api:
        realm = api.default_realm()
        before = stored(api, permits, family, credential(realm, "alice"), realm)
        wanted = credential(realm, "alice", password="another one")
        sandbox.knobs(**{kind: {**rule, "method": "PUT"} for kind, rule in fault.items()})
        with pytest.raises(AnswerLost):
            api.update(family, realm, before, wanted, permits)
        assert len(sandbox.log("PUT")) == 1
        found = api.read(family, realm, before)
        assert found is not None
        assert (found.hash1 == wanted.hash1) == (sandbox.digests()["alice"][0] == wanted.hash1)
        api.update(family, realm, before, wanted, permits)
        assert sandbox.digests() == {"alice": (wanted.hash1, wanted.hash1b)}


@pytest.mark.parametrize("fault", LOST, ids=str)
@pytest.mark.parametrize("family", Family)
def test_a_deletion_whose_answer_is_lost(
    sandbox: Sandbox, permits: Permits, family: Family, fault: dict[str, dict[str, object]]
) -> None:
    """A deletion is sent once; a look-up shows whether it was done, and repeating it is safe."""
    with closing(client(sandbox.url, Naps(), deadline=0.5)) as api:
        realm = api.default_realm()
        before = stored(api, permits, family, credential(realm, "alice"), realm)
        sandbox.knobs(**{kind: {**rule, "method": "DELETE"} for kind, rule in fault.items()})
        with pytest.raises(AnswerLost):
            api.delete(family, realm, before, permits)
        assert len(sandbox.log("DELETE")) == 1
        there = bool(sandbox.credentials())
        assert (api.read(family, realm, before) is not None) == there
        assert api.delete(family, realm, before, permits) == there
        assert sandbox.credentials() == []


@pytest.mark.parametrize("omitted", [[], ["23007", "23025"]])
@pytest.mark.parametrize("family", Family)
def test_what_is_gone(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family, omitted: list[str]
) -> None:
    """A deletion says whether the user existed, a read returns nothing, and a change is refused."""
    sandbox.knobs(omit_codes=omitted)
    realm = api.default_realm()
    before = stored(api, permits, family, credential(realm, "alice"), realm)
    assert api.delete(family, realm, before, permits)
    assert not api.delete(family, realm, before, permits)
    assert api.read(family, realm, before) is None
    with pytest.raises(Refused) as caught:
        api.update(family, realm, before, credential(realm, "alice"), permits)
    assert caught.value.code == ("" if omitted else "23007" if family is Family.ACCOUNT else "23025")


@pytest.mark.parametrize("swallowed", [False, True])
@pytest.mark.parametrize("family", Family)
def test_a_change_that_is_refused(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family, swallowed: bool
) -> None:
    """The service's error number is reported, even behind a 200, and nothing was changed."""
    realm = api.default_realm()
    before = stored(api, permits, family, credential(realm, "alice"), realm)
    sandbox.knobs(applications=[APPLICATION], status_swallowed={"probability": 1} if swallowed else None)
    wanted = replace(credential(realm, "alice", password="x"), application=OTHER_APPLICATION)
    with pytest.raises(Refused) as caught:
        api.update(family, realm, before, wanted, permits)
    assert caught.value.code == "23019"
    assert sandbox.digests() == {"alice": (before.hash1, before.hash1b)}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    ("fault", "kind"), [({"status": 403}, AuthenticationRefused), ({"status": 302}, StopJob)]
)
def test_what_stops_a_job_stops_a_change(
    sandbox: Sandbox, api: Api, permits: Permits, method: str, fault: dict[str, object], kind: type[Exception]
) -> None:
    """A refusal of our credentials, or somebody else's answer, concerns the whole job."""
    realm = api.default_realm()
    before = stored(api, permits, Family.ACCOUNT, credential(realm, "alice"), realm)
    sandbox.knobs(refuse={"next": 2, "method": method, **fault})
    calls: dict[str, Callable[[], object]] = {
        "PUT": lambda: api.update(Family.ACCOUNT, realm, before, credential(realm, "alice"), permits),
        "DELETE": lambda: api.delete(Family.ACCOUNT, realm, before, permits),
    }
    with pytest.raises(kind):
        calls[method]()


@pytest.mark.parametrize("family", Family)
def test_without_a_permit_nothing_changes(
    sandbox: Sandbox, api: Api, permits: Permits, family: Family
) -> None:
    """If the permit raises, its exception is passed on and neither request is sent."""
    realm = api.default_realm()
    before = stored(api, permits, family, credential(realm, "alice"), realm)

    def denied(deadline: float) -> None:
        raise PermissionError(f"the lease is gone, {deadline} s were wanted")

    with pytest.raises(PermissionError):
        api.update(family, realm, before, credential(realm, "alice"), denied)
    with pytest.raises(PermissionError):
        api.delete(family, realm, before, denied)
    assert sandbox.log("PUT") + sandbox.log("DELETE") == []


def test_the_realm_family_is_asked_with_its_realm(api: Api) -> None:
    """The realm family needs a realm: without one, an error is raised before anything is sent."""
    with pytest.raises(ValueError, match="realm"):
        api.read(Family.REALM, None, Stored("870001", "alice", ""))
