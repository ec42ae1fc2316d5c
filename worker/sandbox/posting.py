"""POST of a list of credentials: each entry is judged for itself, and the answer holds both kinds."""

from __future__ import annotations

from worker.sandbox.answers import Call, Refusal, Reply
from worker.sandbox.credentials import path_realm, target_realm
from worker.sandbox.knobs import Values
from worker.sandbox.markup import Fields, document, fields, parse, tag, tags
from worker.sandbox.rules import EntryRefused, application, check_name, composite, digests
from worker.sandbox.store import Account
from worker.sandbox.stored import Credential, Realm

ECHOED = ("UserName", "Domain", "Hash1", "Hash1b", "Realm", "HttpVoiceV2AppId")


def create(account: Account, knobs: Values, call: Call) -> Reply:
    """POST of a list: 201 with ValidSipCredentials and Errors, or 400 when no entry was valid."""
    realm = path_realm(account, knobs, call)
    entries = read_list(call, knobs)
    otherwise = realm or account.default_realm()
    accepted: list[str] = []
    refused: list[str] = []
    stored: set[str] = set()
    for entry in entries:
        try:
            credential = admit(account, knobs, call, entry, otherwise, realm, stored)
        except EntryRefused as error:
            refused.append(refusal(call, entry, error))
        else:
            stored.add(credential.key)
            accepted.append(acceptance(call, entry, credential))
    call.committed, call.refused = len(accepted), len(refused)
    return answer(accepted, refused, knobs)


def read_list(call: Call, knobs: Values) -> list[Fields]:
    """The entries. Raises Refusal when the list as a whole can't be taken."""
    entries = [fields(entry) for entry in parse(call.body, "SipCredentials").iterfind("SipCredential")]
    call.entries = len(entries)
    if not entries:
        raise Refusal(400, "23006", "The list of SIP credentials is empty.")
    if len(entries) > knobs.most_entries:
        raise Refusal(400, "23003", f"The list contains more than {knobs.most_entries} SIP credentials.")
    return entries


def admit(
    account: Account,
    knobs: Values,
    call: Call,
    entry: Fields,
    otherwise: Realm | None,
    path: Realm | None,
    stored: set[str],
) -> Credential:
    """Store one entry, or raise EntryRefused. ``stored``: the names that this list stored already."""
    check_name(entry)
    both = digests(entry)
    chosen = application(entry, knobs.applications)
    realm = target_realm(account, entry, otherwise) if path is None else same_realm(account, entry, path)
    name = composite(entry)
    key = name.lower()
    if key in stored:
        raise EntryRefused("23000", f"SIP credential {name} is duplicated in the list.")
    if account.find(key, path) is not None:
        raise exists(knobs, entry, name, path)
    if strikes(call, "other_case", name):
        name = name.swapcase()
    return account.create(name, realm, both, chosen, knobs.list_lag)


def same_realm(account: Account, entry: Fields, path: Realm) -> Realm:
    """The path's realm; an entry that names another one is refused."""
    named = entry.get("Realm", "")
    if named and account.realm(named) is not path:
        raise EntryRefused("23018", f"Realm {named} differs from the realm of the path.")
    return target_realm(account, {}, path)


def exists(knobs: Values, entry: Fields, name: str, path: Realm | None) -> EntryRefused:
    """The name is taken: on the account, or on the realm, whose text has been seen to show the digests."""
    if path is None:
        return EntryRefused("23009", f"SIP credential {name} does already exist on the account.")
    shown = (
        f" with Hash1={entry.get('Hash1', '')} Hash1b={entry.get('Hash1b', '')}" if knobs.show_digests else ""
    )
    return EntryRefused("23026", f"SIP credential {name}{shown} does already exist on realm {path.host}.")


def strikes(call: Call, kind: str, name: str) -> bool:
    """Whether a fault of the echo concerns this entry."""
    rule = call.faults.get(kind)
    return rule is not None and rule.concerns(name)


def acceptance(call: Call, entry: Fields, credential: Credential) -> str:
    """The echo of a stored entry: as it was sent, with Id, RealmId and Realm."""
    name = composite(entry)
    if strikes(call, "lost_echo", name):
        return ""
    sent = {element: entry.get(element, "") for element in ECHOED}
    if credential.name != name:
        sent |= {"UserName": sent["UserName"].swapcase(), "Domain": sent["Domain"].swapcase()}
    made = {"Id": str(credential.id), "RealmId": credential.realm.id}
    echo = tags(made | sent | {"Realm": credential.realm.host})
    return f"<SipCredential>{echo}</SipCredential>"


def refusal(call: Call, entry: Fields, error: EntryRefused) -> str:
    """The ``Error`` of a refused entry, with the echo that faults leave of it."""
    name = composite(entry)
    code = tags({"ErrorCode": error.code, "Description": error.text})
    if strikes(call, "no_echo", name):
        return f"<Error>{code}</Error>"
    nameless = strikes(call, "echo_without_name", name)
    sent = {element: entry.get(element, "") for element in (ECHOED[2:] if nameless else ECHOED)}
    return f"<Error>{code}<SipCredential>{tags(sent)}</SipCredential></Error>"


def answer(accepted: list[str], refused: list[str], knobs: Values) -> Reply:
    """The answer to the whole list."""
    errors = "".join(["<Errors>", *refused, "</Errors>"]) if refused else ""
    if accepted:
        valid = "".join(["<ValidSipCredentials>", *accepted, "</ValidSipCredentials>"])
        return Reply(201, document("SipCredentialsResponse", valid, errors))
    if knobs.none_valid_status == 201:
        return Reply(201, document("SipCredentialsResponse", errors))
    hint = tag("Description", "Please check your input parameters.")
    return Reply(400, document("SipCredentialsResponse", f"<ResponseStatus>{hint}</ResponseStatus>", errors))
