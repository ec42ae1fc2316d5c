"""REGISTER against a registrar that keeps users: what is asked, how often, and what it proves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.certificates import certificate
from tests.integration.registering import REALM, SOON, entry, of_one, options_for, tried
from tests.sip import Asked, Users, scripted_registrar
from worker.digest import digests
from worker.register import AuthName, Entry, Pace, RegisterResult, Transport, Verdict, Verifier

PHONE = "<sip:alice@192.0.2.77:5060>"


@pytest.fixture
def users() -> Users:
    """One user, who has a phone."""
    realm = Users(REALM, {"alice": "right"})
    realm.bindings[f"<sip:alice@{REALM}>"] = {PHONE}
    return realm


def passwords(asked: Sequence[Asked]) -> list[Asked]:
    """The requests that answer a challenge."""
    return [one for one in asked if one.credentials]


def test_one_question_and_one_answer(users: Users) -> None:
    """The first row takes four requests, since it proves the registrar, each other row two."""
    users.passwords |= {"bob": "right", "carol": "right"}
    with scripted_registrar(users) as registrar:
        found, given_up = tried(options_for(registrar), [entry(user) for user in ("alice", "bob", "carol")])
    assert [(one.verdict, one.bindings) for one in found] == [
        (Verdict.REGISTERS, 1), (Verdict.REGISTERS, 0), (Verdict.REGISTERS, 0),
    ]  # fmt: skip
    assert given_up == []
    assert len(registrar.asked) == 4 + 2 + 2
    assert Counter(one.credentials["username"] for one in passwords(registrar.asked)) == {
        "alice": 2, "bob": 1, "carol": 1,
    }  # fmt: skip


def test_no_phone_is_disturbed(users: Users) -> None:
    """No request has a Contact or an Expires, all are for the realm, and the bindings stay as they are."""
    with scripted_registrar(users) as registrar:
        of_one(options_for(registrar))
    assert {one.line for one in registrar.asked} == {f"REGISTER sip:{REALM} SIP/2.0"}
    assert {one.headers["to"] for one in registrar.asked} == {f"<sip:alice@{REALM}>"}
    assert {one.credentials["uri"] for one in passwords(registrar.asked)} == {f"sip:{REALM}"}
    assert {name for one in registrar.asked for name in one.headers} & {"contact", "expires"} == set()
    assert users.bindings == {f"<sip:alice@{REALM}>": {PHONE}}


def test_a_dialog_is_one(users: Users) -> None:
    """One Call-ID and From tag, rising numbers, a branch for each request (RFC 3261, 8.1.1.7 and 10.2)."""
    with scripted_registrar(users) as registrar:
        of_one(options_for(registrar))
    headers = [one.headers for one in registrar.asked[:2]]
    assert len({(one["call-id"], one["from"]) for one in headers}) == 1
    assert [one["cseq"] for one in headers] == ["1 REGISTER", "2 REGISTER"]
    assert len({one["via"] for one in headers}) == 2


def test_a_wrong_password_is_tried_once(users: Users) -> None:
    """A refusal is not tried again; where the right password is refused no made-up one is tried."""
    with scripted_registrar(users) as registrar:
        found = of_one(options_for(registrar), entry(password="wrong"))
    assert found == RegisterResult(Verdict.WRONG_PASSWORD, "403 Forbidden")
    assert len(passwords(registrar.asked)) == 1


def test_a_refusal_by_another_challenge() -> None:
    """401 to a password, without stale, refuses it as 403 does."""
    with scripted_registrar(lambda asked: [asked.answered("401 No", challenged())]) as registrar:
        found = of_one(options_for(registrar))
    assert found == RegisterResult(Verdict.WRONG_PASSWORD, "401 No")
    assert len(registrar.asked) == 2


def challenged(more: str = "") -> str:
    """A header that asks for a password."""
    return f'WWW-Authenticate: Digest realm="{REALM}", nonce="n"{more}'


@pytest.mark.parametrize(("stale", "attempts"), [(1, 2), (2, 2)])
def test_a_stale_nonce_allows_one_attempt_more(users: Users, stale: int, attempts: int) -> None:
    """A stale nonce allows one more attempt, and no third."""
    users.stale = stale
    with scripted_registrar(users) as registrar:
        found, _ = tried(options_for(registrar), [entry(password="wrong")])
    assert len(passwords(registrar.asked)) == attempts
    assert found[0].verdict is (Verdict.WRONG_PASSWORD if stale == 1 else Verdict.CANNOT_TELL)


def test_a_stale_nonce_and_the_right_password(users: Users) -> None:
    """The second attempt answers the new nonce."""
    users.stale = 1
    with scripted_registrar(users) as registrar:
        assert of_one(options_for(registrar)).verdict is Verdict.REGISTERS
    first, second, *_ = passwords(registrar.asked)
    assert first.credentials["nonce"] != second.credentials["nonce"]


def test_without_qop(users: Users) -> None:
    """A registrar of RFC 2069, without qop, is answered."""
    users.qop = ""
    with scripted_registrar(users) as registrar:
        assert of_one(options_for(registrar)).verdict is Verdict.REGISTERS
    assert "qop" not in passwords(registrar.asked)[0].credentials


def test_the_other_name_and_passwords_in_utf8() -> None:
    """`user@realm` is said in the digest alone; a password is hashed as its UTF-8 bytes."""
    users = Users(REALM, {f"bob@example.com@{REALM}": "pässwörd€"})
    with scripted_registrar(users) as registrar:
        how = options_for(registrar, auth_name=AuthName.USER_AT_REALM)
        assert of_one(how, entry("bob@example.com", "pässwörd€")).verdict is Verdict.REGISTERS
    assert registrar.asked[0].headers["to"] == f"<sip:bob%40example.com@{REALM}>"


def test_digests_in_place_of_a_password(users: Users) -> None:
    """A row's digests answer a challenge by themselves, each under its name; a wrong one is refused."""
    users.passwords[f"alice@{REALM}"] = "right"
    own = digests("alice", REALM, "right")
    with scripted_registrar(users) as registrar:
        for name in AuthName:
            found = of_one(options_for(registrar, auth_name=name), Entry(2, "alice", REALM, "", own))
            assert found == RegisterResult(Verdict.REGISTERS, bindings=1)
        spoilt = Entry(2, "alice", REALM, "", ("0" * 32, own[1]))
        assert of_one(options_for(registrar), spoilt).verdict is Verdict.WRONG_PASSWORD
    assert own[0] not in repr(spoilt) + repr(Entry(2, "alice", REALM, "", own))


def test_with_contact_binds_and_unbinds_its_own(users: Users) -> None:
    """One binding for a moment; the phone's stays, and ours is not counted."""
    with scripted_registrar(users) as registrar:
        found = of_one(options_for(registrar, with_contact=True))
    assert found == RegisterResult(Verdict.REGISTERS, bindings=1)
    asked, bound, unbound, *_ = [one.headers for one in registrar.asked]
    assert (asked["expires"], bound["expires"], unbound["expires"]) == ("60", "60", "0")
    assert unbound["contact"] == bound["contact"].replace("expires=60", "expires=0")
    assert "*" not in unbound["contact"]
    assert registrar.asked[2].credentials["nc"] == "00000002"
    assert users.bindings == {f"<sip:alice@{REALM}>": {PHONE}}


def test_with_contact_and_nonces_that_are_good_once(users: Users) -> None:
    """The password is proven by then, so the new nonce is answered, whatever it is called."""

    def once(asked: Asked) -> Sequence[bytes]:
        if asked.credentials and asked.credentials["nc"] != "00000001":
            return [asked.answered("401 Again", users.challenge())]
        return users(asked)

    with scripted_registrar(once) as registrar:
        assert of_one(options_for(registrar, with_contact=True)).error == ""
    assert users.bindings == {f"<sip:alice@{REALM}>": {PHONE}}


def test_with_contact_that_can_not_be_taken_back(users: Users) -> None:
    """A binding that can't be removed is reported, with the time that it lasts."""

    def once(asked: Asked) -> Sequence[bytes]:
        return [] if asked.headers["expires"] == "0" else users(asked)

    with scripted_registrar(once) as registrar:
        found = of_one(options_for(registrar, with_contact=True, timers=SOON))
    assert found.verdict is Verdict.REGISTERS
    assert "within 60 s" in found.error


def test_ctrl_c_takes_a_binding_away_all_the_same(users: Users) -> None:
    """Stopped while the registrar takes its time over the binding, the row is left out, not the unbinding."""
    verifier: Verifier
    loop: asyncio.AbstractEventLoop

    def stopping(asked: Asked) -> Sequence[bytes]:
        if asked.credentials and asked.headers["expires"] == "60":
            loop.call_soon_threadsafe(verifier.stop)
        return users(asked)

    async def some() -> list[tuple[Entry, RegisterResult]]:
        nonlocal loop
        loop = asyncio.get_running_loop()
        found = [one async for one in verifier.results([entry(), entry()])]
        await verifier.close()
        return found

    with scripted_registrar(stopping) as registrar:
        verifier = Verifier(options_for(registrar, with_contact=True), Pace(1e9), 1)
        asyncio.run(some())
    assert registrar.asked[-1].headers["expires"] == "0"
    assert users.bindings == {f"<sip:alice@{REALM}>": {PHONE}}


@pytest.mark.parametrize("with_contact", [False, True])
def test_a_registrar_that_takes_any_password(users: Users, with_contact: bool) -> None:
    """A registrar that takes any password proves nothing: no row counts as registering, the rest stops."""

    def anybody(asked: Asked) -> Sequence[bytes]:
        return [asked.answered("200 OK", *users.bind(asked))] if asked.credentials else users(asked)

    with scripted_registrar(anybody) as registrar:
        found, given_up = tried(options_for(registrar, with_contact=with_contact), [entry(), entry("bob")])
    assert [one.verdict for one in found] == [Verdict.CANNOT_TELL] * 2
    assert "a right and a wrong password alike" in given_up[0]
    assert ("--with-contact" in given_up[0]) is not with_contact
    assert {one.credentials["username"] for one in passwords(registrar.asked)} == {"alice"}
    assert users.bindings == {f"<sip:alice@{REALM}>": {PHONE}}


def test_a_registrar_that_refuses_everybody(users: Users) -> None:
    """After three rows it is not asked for a fourth; with a contact the refusals are a phone's own."""

    def nobody(asked: Asked) -> Sequence[bytes]:
        return [asked.answered("403 Forbidden")] if asked.credentials else users(asked)

    rows = [entry(f"user{number}") for number in range(5)]
    with scripted_registrar(nobody) as registrar:
        found, given_up = tried(options_for(registrar), rows)
        assert Counter(one.verdict for one in found) == {Verdict.WRONG_PASSWORD: 3, Verdict.CANNOT_TELL: 2}
        assert "refused the first 3 rows" in given_up[0]
        assert len(passwords(registrar.asked)) == 3
        found, given_up = tried(options_for(registrar, with_contact=True), rows)
    assert Counter(one.verdict for one in found) == {Verdict.WRONG_PASSWORD: 5}
    assert given_up == []


def test_one_realm_is_given_up_and_another_is_not(users: Users) -> None:
    """Each realm's registrar is proven by itself, so giving up one doesn't stop another."""
    other = Users("other.example", {"alice": "right"})

    def both(asked: Asked) -> Sequence[bytes]:
        return other(asked) if "other.example" in asked.line else [asked.answered("200 OK")]

    rows = [entry(realm=realm) for realm in (REALM, "other.example") * 2]
    with scripted_registrar(both) as registrar:
        found, _ = tried(options_for(registrar), rows * 2)
    assert [one.verdict for one in found[:4]] == [Verdict.CANNOT_TELL, Verdict.REGISTERS] * 2


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
def test_streams_are_shared(users: Users, transport: Transport, tmp_path: Path) -> None:
    """Many rows at once go over one connection, and each gets its own answer, in the rows' order."""
    files = tuple(map(str, certificate(tmp_path, REALM)))
    tls = (files[0], files[1]) if transport is Transport.TLS else None
    users.passwords |= {f"user{number}": f"pw{number}" for number in range(0, 100, 2)}
    rows = [entry(f"user{number}", f"pw{number}") for number in range(100)]
    with scripted_registrar(users, tls) as registrar:
        how = options_for(registrar, transport=transport)
        how.tls.load_verify_locations(files[0])
        found, _ = tried(how, rows, in_flight=20)
    assert [one.verdict is Verdict.REGISTERS for one in found] == [True, False] * 50
    assert registrar.connections == 1


def test_a_certificate_is_for_the_realm(users: Users, tmp_path: Path) -> None:
    """A server whose certificate is for another name gets no password."""
    files = tuple(map(str, certificate(tmp_path, "other.example")))
    with scripted_registrar(users, (files[0], files[1])) as registrar:
        how = options_for(registrar, transport=Transport.TLS)
        how.tls.load_verify_locations(files[0])
        found = of_one(how)
    assert found.verdict is Verdict.CANNOT_TELL
    assert f"can't prove to be {REALM}" in found.error
    assert registrar.asked == []


def test_no_more_at_once_than_allowed(users: Users) -> None:
    """Rows of a registrar that never answers: only so many datagrams of different rows are on their way."""
    seen: set[str] = set()

    def silent(asked: Asked) -> Sequence[bytes]:
        if asked.headers["to"].startswith("<sip:first"):
            return users(asked)
        seen.add(asked.headers["call-id"])
        return []

    users.passwords["first"] = "right"
    rows = [entry("first"), *(entry(f"user{number}") for number in range(6))]
    with scripted_registrar(silent) as registrar:
        verifier = Verifier(options_for(registrar), Pace(1e9), 3)

        async def begin() -> None:
            results = verifier.results(rows)
            await anext(results)
            waiting = asyncio.ensure_future(anext(results))
            while len(seen) < 3:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            verifier.stop()
            await asyncio.wait((waiting,))
            await verifier.close()

        asyncio.run(begin())
    assert len(seen) == 3
