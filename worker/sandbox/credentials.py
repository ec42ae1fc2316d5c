"""The credential resources of both families (docs/bandwidth-api.md#credentials).

The account family names a credential by its composite, the realm family by its id; everything
else they share. A path with ``realm`` in its parameters belongs to the realm family.
"""

from __future__ import annotations

from worker.sandbox.answers import Call, Refusal, Reply
from worker.sandbox.knobs import Values
from worker.sandbox.markup import Fields, document, fields, parse, tags
from worker.sandbox.realms import find as find_realm
from worker.sandbox.rules import LONGEST_REALM, EntryRefused, application, digests
from worker.sandbox.store import Account
from worker.sandbox.stored import Credential, Realm


def path_realm(account: Account, knobs: Values, call: Call) -> Realm | None:
    """Return the realm of the path; None in the account family. Raises Refusal."""
    if not knobs.account_set_up:
        raise Refusal(400, "23013", "The account is not set up for SIP credentials.")
    return find_realm(account, knobs, call) if "realm" in call.params else None


def show(account: Account, knobs: Values, call: Call) -> Reply:
    """Answer GET of one credential."""
    realm = path_realm(account, knobs, call)
    seen = account.visible(find(account, realm, call))
    if seen is None:
        raise not_found(realm, call)
    return one(seen, knobs, knobs.get_omits)


def update(account: Account, knobs: Values, call: Call) -> Reply:
    """Answer PUT of one credential: digests, application and, in the account family, the realm."""
    realm = path_realm(account, knobs, call)
    credential = find(account, realm, call)
    call.entries = 1
    sent = fields(parse(call.body, "SipCredential"))
    try:
        check_update(sent, realm)
        target = target_realm(account, sent, credential.realm)
        if target is not credential.realm and credential.key in target.names:
            raise EntryRefused("23026", f"{credential.name} does already exist on realm {target.host}.")
        chosen = updated_application(credential, application(sent, knobs.applications), knobs)
        account.update(credential, target, digests(sent), chosen, knobs.list_lag)
    except EntryRefused as refused:
        call.refused = 1
        raise Refusal(400, refused.code, refused.text) from refused
    call.committed = 1
    return one(credential, knobs, knobs.get_omits)


def delete(account: Account, knobs: Values, call: Call) -> Reply:
    """Answer DELETE of one credential: 200 and nothing else."""
    credential = find(account, path_realm(account, knobs, call), call)
    account.delete(credential)
    call.entries = call.committed = 1
    return Reply(200)


def find(account: Account, realm: Realm | None, call: Call) -> Credential:
    """Return the credential that the path names: a composite on the account, an id on a realm."""
    if realm is None:
        credential = account.find(call.params["credential"].lower())
    else:
        credential = account.by_id(call.params["credential"])
    if credential is None or (realm is not None and credential.realm is not realm):
        raise not_found(realm, call)
    return credential


def not_found(realm: Realm | None, call: Call) -> Refusal:
    """Return the 404 of either family."""
    name = call.params["credential"]
    if realm is None:
        return Refusal(404, "23007", f"SIP credential {name} is not found on the account.")
    return Refusal(404, "23025", f"SIP credential with id {name} is not found on the realm.")


def check_update(sent: Fields, realm: Realm | None) -> None:
    """Raise Refusal if a PUT lacks, or has, elements against its family's rules."""
    if realm is None:
        if "UserName" in sent or "Domain" in sent:
            raise EntryRefused("23004", "UserName and Domain can't change.")
        return
    if "UserName" in sent or "Domain" in sent:
        raise EntryRefused("23030", "UserName must not be sent in an update.")
    if not sent.get("RealmId"):
        raise EntryRefused("23031", "RealmId is required in an update.")
    if sent["RealmId"] != realm.id or sent.get("Realm", realm.host).lower() != realm.host.lower():
        raise EntryRefused("23018", "The realm differs from the realm of the path.")


def target_realm(account: Account, sent: Fields, otherwise: Realm | None) -> Realm:
    """Return the ACTIVE realm that an entry names, else ``otherwise``. Raises EntryRefused."""
    named = sent.get("Realm", "")
    if len(named) > LONGEST_REALM:
        raise EntryRefused("23002", f"Realm is longer than {LONGEST_REALM} characters.")
    realm = account.realm(named) if named else otherwise
    if realm is None and named:
        raise EntryRefused("23017", f"Realm {named} is not found.")
    if realm is None:
        raise EntryRefused("23021", "The account has no default realm.")
    if realm.status != "ACTIVE":
        raise EntryRefused("23022", f"Realm {realm.host} is not ACTIVE.")
    return realm


def updated_application(credential: Credential, sent: str, knobs: Values) -> str:
    """Return the application after a PUT: sources disagree about it, so knobs decide."""
    if sent:
        return sent if knobs.put_application == "set" else credential.application
    return credential.application if knobs.put_without_application == "keep" else ""


def one(credential: Credential, knobs: Values, omits: tuple[str, ...]) -> Reply:
    """Return a single credential as an answer."""
    return Reply(200, document("SipCredentialResponse", element(credential, knobs, omits)))


def element(credential: Credential, knobs: Values, omits: tuple[str, ...]) -> str:
    """Return a credential as XML, as reads return it."""
    user, domain = split(credential.name) if knobs.spelling == "split" else (credential.name, "")
    values = {
        "Id": str(credential.id),
        "RealmId": credential.realm.id,
        "UserName": user,
        "Domain": domain,
        "Hash1": credential.hash1.hex(),
        "Hash1b": credential.hash1b.hex() if credential.hash1b else "",
        "Realm": credential.realm.host,
        "HttpVoiceV2AppId": credential.application,
    }
    for name in omits:
        values.pop(name, None)
    return "".join(["<SipCredential>", tags(values), "</SipCredential>"])


def split(name: str) -> tuple[str, str]:
    """Split ``user@domain`` in two, at the last ``@``, since no domain contains one."""
    user, at, domain = name.rpartition("@")
    return (user, domain) if at else (name, "")
