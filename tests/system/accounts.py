"""Users that are on the account before a test begins, put there past the program."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from xml.sax.saxutils import escape

import httpx

from tests.sandbox import ACCOUNT, SECRET, USER, Sandbox

APPLICATION = "7b2f8f6e-1111-2222-3333-abcdefabcdef"


def hold(sandbox: Sandbox, names: Iterable[str], realm: str = "office", application: str = "") -> None:
    """Store users of these names on a realm, with digests of no password in particular."""
    entries = (
        f"<UserName>{escape(name)}</UserName>{body(f'{name} at first', application)}" for name in names
    )
    inner = "".join(f"<SipCredential>{entry}</SipCredential>" for entry in entries)
    ask(sandbox, "POST", f"realms/{realm}/sipcredentials", f"<SipCredentials>{inner}</SipCredentials>")


def change(sandbox: Sandbox, name: str, *, application: str = "", realm: str = "", seed: str = "") -> None:
    """Change a user's digests (made from ``seed``), application or realm, as somebody else might."""
    named = f"<Realm>{realm}</Realm>" if realm else ""
    digests = body(seed or f"{name} at first", application)
    ask(sandbox, "PUT", f"sipcredentials/{name}", f"<SipCredential>{named}{digests}</SipCredential>")


def delete(sandbox: Sandbox, name: str) -> None:
    """Delete a user, as somebody else might."""
    ask(sandbox, "DELETE", f"sipcredentials/{name}")


def add_realm(sandbox: Sandbox, name: str) -> None:
    """A further realm, ACTIVE at once."""
    sandbox.knobs(realm_pending=0)
    ask(sandbox, "POST", "realms", f"<Realm><Realm>{name}</Realm><Default>false</Default></Realm>")


def on_account(sandbox: Sandbox) -> set[str]:
    """The names that are stored."""
    return {held["composite"] for held in sandbox.credentials()}


def secrets(sandbox: Sandbox) -> set[str]:
    """Every digest that the service holds, deleted ones included."""
    held = sandbox.credentials(deleted=True)
    return {digest for one in held for digest in (one["hash1"], one["hash1b"]) if digest}


def body(seed: str, application: str) -> str:
    """Digests and application as XML."""
    hash1, hash1b = (hashlib.md5(f"{seed} {which}".encode()).hexdigest() for which in (1, 2))  # noqa: S324
    app = f"<HttpVoiceV2AppId>{application}</HttpVoiceV2AppId>" if application else ""
    return f"<Hash1>{hash1}</Hash1><Hash1b>{hash1b}</Hash1b>{app}"


def ask(sandbox: Sandbox, method: str, path: str, xml: str = "") -> None:
    """Send one request that isn't the program's, and that succeeds."""
    answer = httpx.request(
        method, f"{sandbox.url}/api/v2/accounts/{ACCOUNT}/{path}", content=xml.encode(), auth=(USER, SECRET),
        headers={"Content-Type": "application/xml"}, trust_env=False, timeout=30,
    )  # fmt: skip
    assert answer.is_success, answer.text
    assert "<Error>" not in answer.text, answer.text
