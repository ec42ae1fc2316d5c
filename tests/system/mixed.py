"""An account with users of every kind, and a roster that names them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import httpx

from tests.sandbox import ACCOUNT, SECRET, USER, Sandbox
from tests.system.accounts import add_realm, ask
from tests.system.rosters import Row, User, write

MINE = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"
OTHERS = "7b2f8f6e-1111-2222-3333-abcdefabcdef"
PASSWORD = "Pw-4711-the-rosters-own"


@dataclass(frozen=True)
class Case:
    """One row of the roster, who is stored under its name before, and what a plan must say."""

    name: str
    """``user`` or ``user@domain``, as the roster has it."""
    stored: str = ""
    """The name as it is stored; empty: nobody is."""
    password: str = PASSWORD
    """The password whose digests are stored."""
    application: str = MINE
    realm: str = "office"
    wants: str = MINE
    """The application that the roster asks for."""
    differs: str = ""


CASES = (
    Case("absent"),
    Case("absent@example.com"),
    Case("same", "same"),
    Case("same@example.com", "same@example.com"),
    Case("content", "content", application=OTHERS, wants=""),
    Case("password", "password", password="another one", differs="digest_differs"),
    Case("password@example.com", "password@example.com", password="another", differs="digest_differs"),
    Case("keeps", "keeps", password="another", application=OTHERS, wants="", differs="digest_differs"),
    Case("app", "app", application=OTHERS, differs="application_differs"),
    Case("noapp", "noapp", application="", differs="application_differs"),
    Case("both", "both", password="another one", application=OTHERS,
         differs="digest_differs;application_differs"),
    Case("case", "CASE", differs="case_differs"),
    Case("case@example.com", "Case@Example.com", differs="case_differs"),
    Case("realm", "realm", realm="branch", differs="realm_differs"),
)  # fmt: skip
LEAVER = Case("leaver", "leaver")
ELSEWHERE = Case("elsewhere", "elsewhere", realm="branch")
"""Somebody on a realm that the roster doesn't name: no leaver."""


def action_of(case: Case, policy: str, family: str) -> str:
    """Return the action that must be planned for a row."""
    if not case.stored or (family == "realm" and case.realm != "office"):
        return "create"
    if not case.differs:
        return "unchanged"
    settable = set(case.differs.split(";")) <= {"digest_differs", "application_differs"}
    return "update" if policy == "update" and settable else "exists"


STATUS = {"create": "created", "update": "updated", "unchanged": "unchanged", "exists": "exists"}
"""A plan's word to the one of the results, when it was carried out."""


def fill(sandbox: Sandbox) -> None:
    """Store everybody, past the program."""
    add_realm(sandbox, "branch")
    hosts = {realm: host_of(sandbox, realm) for realm in ("office", "branch")}
    for case in (*CASES, LEAVER, ELSEWHERE):
        if case.stored:
            store(sandbox, case.stored, case.password, hosts[case.realm], case.realm, case.application)


def store(
    sandbox: Sandbox, name: str, password: str, host: str, realm: str = "office", application: str = ""
) -> None:
    """Store one user with the digests of a password."""
    hash1, hash1b = User(name, password).digests(host)
    app = f"<HttpVoiceV2AppId>{application}</HttpVoiceV2AppId>" if application else ""
    entry = f"<UserName>{escape(name)}</UserName><Hash1>{hash1}</Hash1><Hash1b>{hash1b}</Hash1b>{app}"
    body = f"<SipCredentials><SipCredential>{entry}</SipCredential></SipCredentials>"
    ask(sandbox, "POST", f"realms/{realm}/sipcredentials", body)


def host_of(sandbox: Sandbox, realm: str = "office") -> str:
    """Return a realm's host name, as the service reports it."""
    url = f"{sandbox.url}/api/v2/accounts/{ACCOUNT}/realms"
    answer = httpx.get(url, auth=(USER, SECRET), trust_env=False, timeout=30).raise_for_status()
    return str(re.findall(rf"<Realm>({realm}-[^<]+)</Realm>", answer.text)[0])


def roster(path: Path) -> Path:
    """Write the roster, with a row for each case; every second row has its domain in a column of its own."""
    rows = []
    for at, case in enumerate(CASES):
        user, _, domain = case.name.partition("@")
        apart = {"username": user, "domain": domain} if at % 2 else {"username": case.name, "domain": ""}
        rows.append(
            {**apart, "password": PASSWORD, "application_id": case.wants, "note": f"row of {case.name}"}
        )
    return write(path, rows)


def held(sandbox: Sandbox) -> dict[tuple[str, str], tuple[str, str, str]]:
    """Realm and name of all that is stored to digests and application."""
    return {
        (one["realm"], one["composite"]): (one["hash1"], one["hash1b"], one["application"])
        for one in sandbox.credentials()
    }


def by_name(rows: list[Row], column: str) -> dict[str, str]:
    """The composite names of a result file to one column of it."""
    return {name_of(row): row[column] for row in rows}


def name_of(row: Mapping[str, str]) -> str:
    """``user`` or ``user@domain``."""
    return f"{row['bw__username']}@{row['bw__domain']}" if row["bw__domain"] else row["bw__username"]
