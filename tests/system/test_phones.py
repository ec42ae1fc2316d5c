"""The digests that were posted, held by a real registrar: foreign phones get in with the passwords."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.kamailio import Kamailio
from tests.phones import Phone, baresip, sipp
from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.registrars import imported, verdicts, verified
from tests.system.rosters import User, roster_of, users


def realm_of(sandbox: Sandbox) -> str:
    """The host name of the default realm."""
    (host,) = {held["realm"] for held in sandbox.credentials()}
    return str(host)


def phones(wanted: Sequence[User], realm: str, *, at_realm: bool = False) -> list[Phone]:
    """Each user's phone; ``at_realm``: it says ``user@realm`` in its digest."""
    return [
        Phone(
            f"{user.name}@{realm}" if at_realm else user.name,
            realm,
            user.password,
            user.name.replace("@", "%40"),
        )
        for user in wanted
    ]


def otherwise(wanted: Sequence[User]) -> list[User]:
    """The same users, with every fifth password wrong."""
    return [
        User(user.name, f"{user.password}?") if number % 5 == 0 else user
        for number, user in enumerate(wanted)
    ]


@pytest.mark.parametrize("at_realm", [False, True], ids=["Hash1", "Hash1b"])
def test_sipp_gets_in_with_the_rosters_passwords_only(
    office: Program, sandbox: Sandbox, kamailio: Kamailio, tmp_path: Path, at_realm: bool
) -> None:
    """Plain names and names with a domain, under both names of a phone; a wrong password stays out."""
    wanted = [*users(10), *(User(f"{user.name}@example.com", user.password) for user in users(10, first=20))]
    imported(office, sandbox, kamailio, wanted)
    typed = phones(otherwise(wanted), realm_of(sandbox), at_realm=at_realm)
    got_in = sipp(tmp_path / "sipp", kamailio.place, typed)
    assert got_in == {phone.name: number % 5 != 0 for number, phone in enumerate(typed)}


def test_baresip_gets_in_with_passwords_beyond_ascii(
    office: Program, sandbox: Sandbox, kamailio: Kamailio, tmp_path: Path
) -> None:
    """Digests are made over UTF-8 bytes, as phones make them; a letter that only looks alike stays out."""
    passwords = ["pässwörd€-1", "пароль-слово", "密码密码密码密码", "naïve-e\u0301-combining", "emoji-🔑-key"]
    wanted = [User(f"ext{number}", password) for number, password in enumerate(passwords)]
    imported(office, sandbox, kamailio, wanted)
    realm = realm_of(sandbox)
    wrong = [
        Phone("ext0", realm, "pässword€-1", "wrong0"),
        Phone("ext3", realm, "naïve-é-combining", "wrong3"),
    ]
    got_in = baresip(tmp_path / "baresip", kamailio.place, [*phones(wanted, realm), *wrong])
    assert got_in == {**{user.name: True for user in wanted}, "wrong0": False, "wrong3": False}


def test_a_thousand_rows_on_which_phones_and_verify_agree(
    office: Program, sandbox: Sandbox, kamailio: Kamailio, tmp_path: Path
) -> None:
    """A roster of right and wrong passwords: sipp gets in where `verify` says so, on every row."""
    wanted = [
        *users(800),
        *(User(f"{user.name}@site.example", user.password) for user in users(200, first=800)),
    ]
    imported(office, sandbox, kamailio, wanted)
    tried = otherwise(wanted)
    got_in = sipp(tmp_path / "sipp", kamailio.place, phones(tried, realm_of(sandbox)))
    facts, rows = verified(office, roster_of(office.work / "tried.csv", tried), kamailio.place, code=10)
    assert facts["counts"] == {"registers": 800, "wrong_password": 200}
    assert {name: verdict == "registers" for name, verdict in verdicts(rows).items()} == got_in
    # Phones that got in are registered now, and no others.
    assert {row["username"]: row["bw__bindings"] for row in rows} == {
        name: "1" if inside else "" for name, inside in got_in.items()
    }
    assert facts["registered_now"] == 800
