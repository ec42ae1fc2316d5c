"""Realms, changed and deleted, against the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from tests.integration.api_client import Naps, Permits, client, credential
from tests.sandbox import Sandbox
from worker.api import Api
from worker.errors import AnswerLost, Conflict, NotFound, Refused, UsageError
from worker.model import Family


@pytest.fixture
def sandbox(sandbox: Sandbox) -> Sandbox:
    """One that makes and deletes realms at once, since no time passes for ``api``."""
    sandbox.knobs(realm_pending=0)
    return sandbox


@pytest.mark.parametrize("style", ["live", "guide"])
@pytest.mark.parametrize("name", ["sales", "sales-bad", "Sales-Team"])
def test_a_realm_is_changed_in_part(sandbox: Sandbox, api: Api, name: str, style: str) -> None:
    """The short name is sent, even one with hyphens; fields that aren't given stay as they were."""
    sandbox.knobs(realm_host=style)
    made = api.create_realm(name, "Sales & <more>")
    assert api.update_realm(made.host, default=True) == api.default_realm()
    found = api.realm(made.id)
    assert (found.default, found.description) == (True, "Sales & <more>")
    changed = api.update_realm(made.id, description="Others")
    assert (changed.default, changed.description, changed.host) == (True, "Others", made.host)
    assert api.update_realm(made.id, description="").description == ""


def test_a_description_is_not_what_is_shown_of_it(sandbox: Sandbox, api: Api) -> None:
    """A description with 32 hex digits and double spaces, which is never shown so, survives other changes."""
    text = f"key  {'ab' * 16}"
    made = api.create_realm("sales", text)
    assert made.description == "key <redacted>"
    sandbox.knobs(drop={"next": 1, "method": "PUT", "commit": True})
    assert api.update_realm(made.id, description=text + "!").description == "key <redacted>!"
    assert api.update_realm(made.id, default=True).default


@pytest.mark.parametrize("text", ["x" * 256, "a\x01b", "\ud800"])
def test_a_description_that_the_service_does_not_take(sandbox: Sandbox, api: Api, text: str) -> None:
    """A description of more than 255 characters, or that XML can't hold, is not sent."""
    with pytest.raises(UsageError, match="description"):
        api.create_realm("sales", text)
    with pytest.raises(UsageError, match="description"):
        api.update_realm("office", text)
    assert sandbox.log() == []
    assert api.create_realm("sales", "é" * 255).description == "é" * 255


def test_the_default_realm_stays_the_default_one(sandbox: Sandbox, api: Api) -> None:
    """Unsetting the default realm is refused before anything is sent; the hint says what to do instead."""
    with pytest.raises(UsageError) as caught:
        api.update_realm("office", default=False)
    assert "--default" in caught.value.hint
    assert sandbox.log() == []


@pytest.mark.parametrize("commit", [True, False])
def test_a_change_whose_answer_is_lost(sandbox: Sandbox, api: Api, commit: bool) -> None:
    """After a lost answer, the realm is read back to see whether the change was made."""
    made = api.create_realm("sales")
    sandbox.knobs(drop={"next": 1, "method": "PUT", "commit": commit})
    if commit:
        assert api.update_realm("sales", "Sales", default=True).default
    else:
        with pytest.raises(AnswerLost):
            api.update_realm("sales", "Sales")
        assert api.realm(made.id).description == ""


def test_a_change_that_is_refused(sandbox: Sandbox, api: Api) -> None:
    """The service's error number is reported."""
    sandbox.knobs(refuse={"next": 1, "method": "PUT", "code": "33005", "text": "The name can't change."})
    with pytest.raises(Refused) as caught:
        api.update_realm("office", "x")
    assert caught.value.code == "33005"


def test_a_realm_is_deleted(sandbox: Sandbox, api: Api) -> None:
    """A 202 only accepts the deletion: the call returns when the realm is gone."""
    made = api.create_realm("sales")
    assert api.delete_realm("sales") == made
    with pytest.raises(NotFound):
        api.delete_realm(made.id)


def test_the_default_realm_is_not_deleted(api: Api) -> None:
    """33006 says that it is the default one, and what to do first."""
    with pytest.raises(Conflict, match=r"default realm.*33006") as caught:
        api.delete_realm("office")
    assert "realm update OTHER --default" in caught.value.hint


def test_a_realm_with_credentials_is_not_deleted(api: Api, permits: Permits) -> None:
    """12666 says how many there are, and how they are deleted."""
    made = api.create_realm("sales")
    api.create(Family.REALM, made, [credential(made, f"user{number}") for number in range(3)], permits)
    with pytest.raises(Conflict, match=r"3 credentials.*12666") as caught:
        api.delete_realm("sales")
    assert f"siproster credential delete --realm {made.host}" in caught.value.hint


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("pending", [0, 60])
def test_a_deletion_whose_answer_is_lost(
    make_sandbox: Callable[..., Sandbox], commit: bool, pending: float
) -> None:
    """After a lost answer, a realm that is gone or going counts as deleted; else the error is raised."""
    sandbox = make_sandbox("--realm", "office", "--realm", "sales")
    sandbox.knobs(realm_pending=pending, drop={"next": 1, "method": "DELETE", "commit": commit})
    with closing(client(sandbox.url, Naps())) as api:
        if commit:
            assert api.delete_realm("sales").host.startswith("sales")
        else:
            with pytest.raises(AnswerLost):
                api.delete_realm("sales")
            assert api.realm("sales").status == "ACTIVE"
