"""The sandbox: authentication, accounts, realms."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

import httpx
import pytest

from tests.integration.sandbox_client import (
    ACCOUNT_PATH,
    CREDENTIALS,
    FORM,
    REALMS,
    client,
    code,
    post,
    realm_body,
    texts,
    token,
)
from tests.sandbox import SECRET, USER, Sandbox


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of a sandbox as new."""
    with client(sandbox) as connected:
        yield connected


@pytest.mark.parametrize("odd", ["\x01", "<", "]]>", "&amp;", "\r\nX: y", "\x7f", "é\ufffe", "%", "\ud800"])
@pytest.mark.parametrize(
    "path",
    [
        REALMS,
        CREDENTIALS,
        f"{REALMS}/office/sipcredentials",
        f"{ACCOUNT_PATH}/calls",
        f"{REALMS}/office/elsewhere",
    ],
)
def test_what_is_echoed_is_well_formed(http: httpx.Client, path: str, odd: str) -> None:
    """A refusal repeats the path that was asked for, in XML or JSON that can be read."""
    answer = http.get(f"{path}/{quote('x' + odd, safe='', errors='surrogatepass')}")
    assert answer.status_code == 404
    if path.endswith("/calls"):
        assert "x" in answer.json()["description"]
    else:
        assert "x" in "".join(texts(answer, "ResponseStatus/Description"))


def test_elements_that_realms_leave_out(sandbox: Sandbox, http: httpx.Client) -> None:
    """realm_omits leaves elements out of lists and single reads, and nothing else."""
    sandbox.knobs(realm_omits=["SipCredentialCount"])
    assert texts(http.get(REALMS), "Realms/Realm/SipCredentialCount") == []
    shown = http.get(f"{REALMS}/office")
    assert (texts(shown, "Realm/SipCredentialCount"), texts(shown, "Realm/Status")) == ([], ["ACTIVE"])


def test_a_page_that_is_not_named_is_elsewhere_whatever_the_path(http: httpx.Client) -> None:
    """A list without a page gets a 303 on the path that was asked, in ASCII, whatever the realm's name."""
    answer = http.get(f"{REALMS}/OFFICE/sipcredentials")
    assert (answer.status_code, answer.headers["Location"]) == (
        303, f"{REALMS}/OFFICE/sipcredentials?page=1&size=500",
    )  # fmt: skip
    assert http.get(f"{REALMS}/%C3%A9%0D%0A/sipcredentials").status_code == 404


def with_token(sandbox: Sandbox, bearer: str) -> int:
    """The status of a request with this token."""
    headers = {"Authorization": f"Bearer {bearer}"}
    return httpx.get(sandbox.url + REALMS, headers=headers, trust_env=False).status_code


def test_token_opens_the_api_until_it_expires(sandbox: Sandbox) -> None:
    """A token is good for ``expires_in`` seconds and answered 401 afterwards."""
    sandbox.knobs(expires_in=1)
    answer = token(sandbox).json()
    assert answer["expires_in"] == 1
    assert with_token(sandbox, answer["access_token"]) == 200
    time.sleep(1.1)
    assert with_token(sandbox, answer["access_token"]) == 401


def test_token_endpoint_refuses_others(sandbox: Sandbox) -> None:
    """A wrong secret is 401, another grant 400, both as JSON."""
    url = f"{sandbox.url}/api/v1/oauth2/token"
    wrong = httpx.post(url, data=FORM, auth=(USER, "wrong"), trust_env=False)
    assert (wrong.status_code, wrong.json()) == (401, {"error": "invalid_client"})
    grant = httpx.post(url, data={"grant_type": "password"}, auth=(USER, SECRET), trust_env=False)
    assert (grant.status_code, grant.json()) == (400, {"error": "unsupported_grant_type"})


def test_expires_in_can_be_left_out(sandbox: Sandbox) -> None:
    """With the knob the token's answer has no ``expires_in``, and the token works."""
    sandbox.knobs(send_expires_in=False)
    answer = token(sandbox).json()
    assert "expires_in" not in answer
    assert with_token(sandbox, answer["access_token"]) == 200


def test_basic_can_be_ended(sandbox: Sandbox, http: httpx.Client) -> None:
    """HTTP Basic works as in the guide, and is 401 once the knob ends it; no credentials are 401 too."""
    assert http.get(REALMS).status_code == 200
    assert httpx.get(sandbox.url + REALMS, trust_env=False).status_code == 401
    sandbox.knobs(basic_allowed=False)
    assert http.get(REALMS).status_code == 401


def test_account_unknown_or_locked(sandbox: Sandbox, http: httpx.Client) -> None:
    """Another account, and a locked one, are 404 with 4022: never an empty list."""
    other = http.get("/api/v2/accounts/1/realms")
    assert (other.status_code, code(other)) == (404, "4022")
    sandbox.knobs(account_locked=True)
    locked = http.get(f"{CREDENTIALS}?page=1&size=5")
    assert (locked.status_code, code(locked)) == (404, "4022")


def test_both_paths_and_spellings(http: httpx.Client) -> None:
    """Today's path and the guide's lead to the same credentials, in either spelling."""
    assert post(http, "bob", path="/api/accounts/9900001/sipCredentials").status_code == 201
    assert http.get(f"{CREDENTIALS}/bob").status_code == 200
    assert http.get(f"{ACCOUNT_PATH}/sipCredentials/BOB").status_code == 200


def test_realm_is_pending_then_active(sandbox: Sandbox, http: httpx.Client) -> None:
    """A new realm is CREATE_PENDING, takes no credential (23022), and is ACTIVE after the delay."""
    sandbox.knobs(realm_pending=0.5)
    made = http.post(REALMS, content=realm_body("north", description="Nord & Süd".replace("&", "&amp;")))
    assert made.status_code == 201
    assert texts(made, "Realm/Status") == ["CREATE_PENDING"]
    assert texts(made, "Realm/Description") == ["Nord & Süd"]
    host = texts(made, "Realm/Realm")[0]
    early = post(http, "bob", path=f"{REALMS}/north/sipcredentials")
    assert texts(early, "Errors/Error/ErrorCode") == ["23022"]
    time.sleep(0.6)
    assert texts(http.get(f"{REALMS}/{host}"), "Realm/Status") == ["ACTIVE"]
    assert post(http, "bob", path=f"{REALMS}/north/sipcredentials").status_code == 201


def test_realm_creation_can_fail(sandbox: Sandbox, http: httpx.Client) -> None:
    """With the knob a new realm ends in CREATE_FAILED."""
    sandbox.knobs(realm_pending=0, realm_create_fails=True)
    http.post(REALMS, content=realm_body("north"))
    assert texts(http.get(f"{REALMS}/north"), "Realm/Status") == ["CREATE_FAILED"]


def test_realm_by_id_host_and_short_name(sandbox: Sandbox, http: httpx.Client) -> None:
    """All three names lead to a realm; the short one does not with the knob, whose 404 may lack its code."""
    realm = http.get(f"{REALMS}/office")
    number, host = texts(realm, "Realm/Id")[0], texts(realm, "Realm/Realm")[0]
    assert host.startswith("office-")
    assert host.endswith(".auth.bandwidth.com")
    assert [http.get(f"{REALMS}/{ref}").status_code for ref in (number, host, host.upper())] == [200] * 3
    sandbox.knobs(short_names=False)
    assert code(http.get(f"{REALMS}/office")) == "33001"
    sandbox.knobs(omit_codes=["33001"])
    missing = http.get(f"{REALMS}/office")
    assert (missing.status_code, code(missing)) == (404, "")
    assert texts(missing, "ResponseStatus/Description") != []


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (realm_body("OFFICE"), 409, "33002"),
        (realm_body("-north"), 400, "33003"),
        (realm_body("n" * 31), 400, "33003"),
        (realm_body("north", description="x" * 256), 400, ""),
        (realm_body("north.example"), 400, "33003"),
        ("<Realm><Realm>north</Realm></Realm>", 400, "1003"),
        ("<Realm><Default>false</Default></Realm>", 400, "1003"),
        ("<Realm><Realm>north</Realm>", 400, ""),
    ],
)
def test_realm_that_cannot_be(http: httpx.Client, body: str, status: int, expected: str) -> None:
    """Each wrong realm is refused with its code, and none is made."""
    answer = http.post(REALMS, content=body)
    assert (answer.status_code, code(answer)) == (status, expected)
    assert len(texts(http.get(REALMS), "Realms/Realm/Id")) == 1


def test_realm_update(http: httpx.Client) -> None:
    """PUT replaces the description and can make a realm the default one; it can't rename or undo that."""
    http.post(REALMS, content=realm_body("north", description="old"))
    changed = http.put(f"{REALMS}/north", content=realm_body("north", "true"))
    assert texts(changed, "Realm/Description") == []
    assert texts(http.get(REALMS), "Realms/Realm/Default") == ["false", "true"]
    host = texts(changed, "Realm/Realm")[0]
    assert code(http.put(f"{REALMS}/north", content=realm_body(host, "true"))) == "33005"
    assert code(http.put(f"{REALMS}/north", content=realm_body("north", "false"))) == "33006"


def test_realm_delete(sandbox: Sandbox, http: httpx.Client) -> None:
    """DELETE is 202 and empty, the realm goes a little later; the default one and one in use stay."""
    sandbox.knobs(realm_pending=0)
    http.post(REALMS, content=realm_body("north"))
    post(http, "bob", path=f"{REALMS}/north/sipcredentials")
    assert texts(http.get(f"{REALMS}/north"), "Realm/SipCredentialCount") == ["1"]
    assert code(http.delete(f"{REALMS}/office")) == "33006"
    assert code(http.delete(f"{REALMS}/north")) == "12666"
    http.delete(f"{CREDENTIALS}/bob")
    sandbox.knobs(realm_pending=0.5)
    gone = http.delete(f"{REALMS}/north")
    assert (gone.status_code, gone.content) == (202, b"")
    assert texts(http.get(f"{REALMS}/north"), "Realm/Status") == ["DELETE_PENDING"]
    time.sleep(0.6)
    assert http.get(f"{REALMS}/north").status_code == 404


def test_account_without_the_feature(sandbox: Sandbox, http: httpx.Client) -> None:
    """An account that isn't set up answers 33004 on realms and 23013 on credentials."""
    sandbox.knobs(account_set_up=False)
    assert code(http.get(REALMS)) == "33004"
    assert code(post(http, "bob")) == "23013"


def test_without_a_default_realm(make_sandbox: Callable[..., Sandbox]) -> None:
    """Without a default realm, an entry that names no realm is refused with 23021."""
    with client(make_sandbox("--default-realm", "")) as http:
        assert texts(post(http, "bob"), "Errors/Error/ErrorCode") == ["23021"]


def test_started_with_other_realms(make_sandbox: Callable[..., Sandbox]) -> None:
    """The options decide which realms there are, which is the default one, and how hosts are written."""
    made = make_sandbox(
        *("--realm", "north", "--realm", "south", "--default-realm", "south"),
        *("--knob", 'realm_host="guide"', "--account", "42"),
    )
    with client(made) as http:
        realms = http.get("/api/v2/accounts/42/realms")
    assert texts(realms, "Realms/Realm/Default") == ["false", "true"]
    assert [host.split(".")[0] for host in texts(realms, "Realms/Realm/Realm")] == ["north", "south"]
