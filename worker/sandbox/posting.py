"""POST of a list of credentials: each entry is judged by itself, and the answer holds both kinds."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.sandbox.answers import Call, Refusal, Reply
from worker.sandbox.credentials import path_realm, target_realm
from worker.sandbox.knobs import Values
from worker.sandbox.markup import Fields, document, fields, parse, tag, tags
from worker.sandbox.rules import EntryRefused, application, check_name, composite, digests
from worker.sandbox.store import Account
from worker.sandbox.stored import Credential, Realm

ECHOED = ("UserName", "Domain", "Hash1", "Hash1b", "Realm", "HttpVoiceV2AppId")


def create(account: Account, knobs: Values, call: Call) -> Reply:
    """Answer POST of a list: 201 with ValidSipCredentials and Errors, or 400 if no entry was valid."""
    path = path_realm(account, knobs, call)
    entries = read_list(call, knobs)
    posting = Posting(account, knobs, call, path, path or account.default_realm())
    for entry in entries:
        posting.take(entry)
    call.committed, call.refused = len(posting.stored), len(entries) - len(posting.stored)
    return posting.answer()


@dataclass(slots=True)
class Posting:
    """The processing of one posted list."""

    account: Account
    knobs: Values
    call: Call
    path: Realm | None
    """The realm of the path; None in the account family."""
    otherwise: Realm | None
    """The realm of entries that name none."""
    accepted: list[str] = field(default_factory=list)
    """Echoes, as XML."""
    refused: list[str] = field(default_factory=list)
    """Errors, as XML."""
    stored: set[str] = field(default_factory=set)
    """The names that this list stored, in lower case."""

    def take(self, entry: Fields) -> None:
        """Store one entry, or refuse it."""
        try:
            credential = self.admit(entry)
        except EntryRefused as error:
            self.refused.append(refusal(self.call, entry, error))
        else:
            self.stored.add(credential.key)
            self.accepted.append(acceptance(self.call, entry, credential))

    def admit(self, entry: Fields) -> Credential:
        """Store one entry; raises EntryRefused."""
        check_name(entry)
        both = digests(entry)
        chosen = application(entry, self.knobs.applications)
        realm = self.realm_of(entry)
        name = composite(entry)
        if name.lower() in self.stored:
            raise EntryRefused("23000", f"SIP credential {name} is duplicated in the list.")
        if self.account.find(name.lower(), self.path) is not None:
            raise self.exists(entry, name)
        if strikes(self.call, "other_case", name):
            name = name.swapcase()
        return self.account.create(name, realm, both, chosen, self.knobs.list_lag)

    def realm_of(self, entry: Fields) -> Realm:
        """Return the realm for the entry; in the realm family it can only be the path's."""
        if self.path is None:
            return target_realm(self.account, entry, self.otherwise)
        named = entry.get("Realm", "")
        if named and self.account.realm(named) is not self.path:
            raise EntryRefused("23018", f"Realm {named} differs from the realm of the path.")
        return target_realm(self.account, {}, self.path)

    def exists(self, entry: Fields, name: str) -> EntryRefused:
        """Return the refusal of a name taken on the account, or on the realm (which may show digests)."""
        if self.path is None:
            return EntryRefused("23009", f"SIP credential {name} does already exist on the account.")
        pair = f" with Hash1={entry.get('Hash1', '')} Hash1b={entry.get('Hash1b', '')}"
        shown = pair if self.knobs.show_digests else ""
        return EntryRefused("23026", f"SIP credential {name}{shown} does already exist on the realm.")

    def answer(self) -> Reply:
        """Return the answer to the whole list."""
        errors = "".join(["<Errors>", *self.refused, "</Errors>"]) if self.refused else ""
        if self.stored:
            valid = "".join(["<ValidSipCredentials>", *self.accepted, "</ValidSipCredentials>"])
            return Reply(201, document("SipCredentialsResponse", valid, errors))
        if self.knobs.none_valid_status == 201:
            return Reply(201, document("SipCredentialsResponse", errors))
        hint = tag("Description", "Please check your input parameters.")
        return Reply(
            400, document("SipCredentialsResponse", f"<ResponseStatus>{hint}</ResponseStatus>", errors)
        )


def read_list(call: Call, knobs: Values) -> list[Fields]:
    """Return the entries. Raises Refusal if the list as a whole is unacceptable."""
    entries = [fields(entry) for entry in parse(call.body, "SipCredentials").iterfind("SipCredential")]
    call.entries = len(entries)
    if not entries:
        raise Refusal(400, "23006", "The list of SIP credentials is empty.")
    if len(entries) > knobs.most_entries:
        raise Refusal(400, "23003", f"The list contains more than {knobs.most_entries} SIP credentials.")
    return entries


def strikes(call: Call, kind: str, name: str) -> bool:
    """Return whether a fault of the echo concerns this entry."""
    rule = call.faults.get(kind)
    return rule is not None and rule.concerns(name)


def acceptance(call: Call, entry: Fields, credential: Credential) -> str:
    """Return the echo of a stored entry: as it was sent, with Id, RealmId and Realm."""
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
    """Return the ``Error`` of a refused entry, with the echo that faults leave of it."""
    name = composite(entry)
    code = tags({"ErrorCode": error.code, "Description": error.text})
    if strikes(call, "no_echo", name):
        return f"<Error>{code}</Error>"
    nameless = strikes(call, "echo_without_name", name)
    sent = {element: entry.get(element, "") for element in (ECHOED[2:] if nameless else ECHOED)}
    return f"<Error>{code}<SipCredential>{tags(sent)}</SipCredential></Error>"
