"""The realm resources (docs/bandwidth-api.md#realms)."""

from __future__ import annotations

import re
import time

from worker.sandbox.answers import Call, Refusal, Reply
from worker.sandbox.knobs import Values
from worker.sandbox.markup import Fields, document, fields, parse, tags
from worker.sandbox.store import Account
from worker.sandbox.stored import Realm

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,28}[A-Za-z0-9])?").fullmatch
"""A DNS label of at most 30 characters."""
LONGEST_DESCRIPTION = 255


def list_all(account: Account, knobs: Values, call: Call) -> Reply:
    """Answer GET /realms."""
    check_set_up(knobs)
    return Reply(
        200,
        document(
            "RealmsResponse", "<Realms>", *(element(realm, knobs) for realm in account.realms()), "</Realms>"
        ),
    )


def create(account: Account, knobs: Values, call: Call) -> Reply:
    """Answer POST /realms: 201 with a realm that is still pending."""
    check_set_up(knobs)
    sent = fields(parse(call.body, "Realm"))
    call.entries = 1
    label, default = required(sent, "Realm"), flag(sent)
    if not LABEL(label):
        raise Refusal(400, "33003", f"{label} is not a valid realm name.")
    if any(realm.label.lower() == label.lower() for realm in account.realms()):
        raise Refusal(409, "33002", f"Realm {label} does already exist.")
    realm = account.add_realm(label, knobs.realm_host, description(sent), default)
    realm.due = time.monotonic() + knobs.realm_pending
    realm.then = "CREATE_FAILED" if knobs.realm_create_fails else "ACTIVE"
    call.committed = 1
    return Reply(201, document("RealmResponse", element(realm, knobs)))


def show(account: Account, knobs: Values, call: Call) -> Reply:
    """Answer GET /realms/{ref}."""
    check_set_up(knobs)
    return Reply(200, document("RealmResponse", element(find(account, knobs, call), knobs)))


def replace(account: Account, knobs: Values, call: Call) -> Reply:
    """Answer PUT /realms/{ref}: replaces the realm, save its name; the default one stays the default one."""
    check_set_up(knobs)
    realm = find(account, knobs, call)
    sent = fields(parse(call.body, "Realm"))
    call.entries = 1
    label, default, described = required(sent, "Realm"), flag(sent), description(sent)
    if label.lower() != realm.label.lower():
        raise Refusal(400, "33005", "The name of a realm can't change.")
    if realm.default and not default:
        raise Refusal(409, "33006", "The default realm can't cease to be the default one.")
    realm.description = described
    if default:
        account.make_default(realm)
    call.committed = 1
    return Reply(200, document("RealmResponse", element(realm, knobs)))


def delete(account: Account, knobs: Values, call: Call) -> Reply:
    """Answer DELETE /realms/{ref}: 202 and nothing else; the realm is deleted a little later."""
    check_set_up(knobs)
    realm = find(account, knobs, call)
    call.entries = 1
    if realm.default:
        raise Refusal(409, "33006", "The default realm can't be deleted.")
    if realm.names:
        raise Refusal(409, "12666", "The realm still has SIP credentials.")
    realm.due = time.monotonic() + knobs.realm_pending
    realm.pending, realm.then = "DELETE_PENDING", "GONE"
    call.committed = 1
    return Reply(202)


def find(account: Account, knobs: Values, call: Call) -> Realm:
    """Return the realm that the path names. Raises Refusal."""
    ref = call.params["realm"]
    realm = account.realm(ref, knobs.short_names)
    if realm is None:
        raise Refusal(404, "33001", f"Realm {ref} is not found.")
    return realm


def check_set_up(knobs: Values) -> None:
    """Raise Refusal if the account may not have realms."""
    if not knobs.account_set_up:
        raise Refusal(400, "33004", "The account is not set up for SIP credentials.")


def required(sent: Fields, name: str) -> str:
    """Return an element that must be there. Raises Refusal."""
    text = sent.get(name, "")
    if not text:
        raise Refusal(400, "1003", f"{name} is required.")
    return text


def description(sent: Fields) -> str:
    """Return the description: at most 255 characters (Bandwidth's error table, without a code)."""
    text = sent.get("Description", "")
    if len(text) > LONGEST_DESCRIPTION:
        raise Refusal(400, "", f"Description is longer than {LONGEST_DESCRIPTION} characters.")
    return text


def flag(sent: Fields) -> bool:
    """Return the Default element: required, true or false."""
    text = required(sent, "Default").lower()
    if text not in ("true", "false"):
        raise Refusal(400, "1003", "Default must be true or false.")
    return text == "true"


def element(realm: Realm, knobs: Values) -> str:
    """Return a realm as XML."""
    told = {
        "Id": realm.id,
        "Realm": realm.host,
        "Description": realm.description,
        "Default": "true" if realm.default else "false",
        "SipCredentialCount": str(len(realm.names)),
        "Status": realm.status,
    }
    for name in knobs.realm_omits:
        told.pop(name, None)
    return "".join(["<Realm>", tags(told), "</Realm>"])
