"""`siproster verify` against Kamailio, which holds the digests that were posted."""

from __future__ import annotations

import signal
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.certificates import certificate
from tests.kamailio import Kamailio
from tests.phones import Phone, sipp
from tests.program import Program
from tests.sandbox import Sandbox
from tests.servers import free_port
from tests.sip import Asked, Users, scripted_registrar
from tests.system.accounts import add_realm
from tests.system.registrars import BRISK, imported, relay, verdicts, verified
from tests.system.rosters import User, result_rows, roster_of, users, write
from tests.system.runs import end_of, run, until

COLUMNS = [
    "bw__row", "bw__username", "bw__domain", "bw__realm", "bw__verify", "bw__bindings", "bw__error",
]  # fmt: skip


def host(sandbox: Sandbox) -> str:
    """The host name of the realm that everybody is on."""
    (realm,) = {held["realm"] for held in sandbox.credentials()}
    return str(realm)


def test_what_was_imported_registers(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """Every row registers, with the realm's host name from the API; the result file is private and whole."""
    wanted = [*users(5), User("bob@example.com", "pässwörd€-1"), User("+19195550100", "Pw-4711-plus")]
    roster = imported(office, sandbox, kamailio, wanted)
    facts, rows = verified(office, roster, kamailio.place)
    assert facts["counts"] == {"registers": 7}
    assert (facts["tried"], facts["registered_now"], facts["given_up"]) == (7, 0, [])
    assert list(rows[0]) == [*COLUMNS, "username"]
    assert [row["bw__row"] for row in rows] == [str(line) for line in range(2, 9)]
    assert {row["bw__realm"] for row in rows} == {host(sandbox)}
    assert (rows[5]["bw__username"], rows[6]["bw__username"]) == ("bob@example.com", "'+19195550100")
    file = Path(facts["files"]["verify"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.parent.name.startswith("siproster-verify-")


def test_wrong_passwords_and_invalid_rows_are_told(
    office: Program, sandbox: Sandbox, kamailio: Kamailio
) -> None:
    """Exit code 10, and each row by itself; an invalid row has its reason and is not tried."""
    imported(office, sandbox, kamailio, users(4))
    roster = roster_of(
        office.work / "tried.csv",
        [
            User("ext0", "Pw-of-somebody"),
            User("no body", "Pw-x-1234"),
            *users(3, first=1),
            User("stranger", "Pw-1-2-3"),
        ],
    )
    told = office.run("verify", roster, "--registrar", kamailio.place, *BRISK, "--results", "here")
    assert "0 of 5 phones are registered now; of 2 it is not known" in told.stdout
    facts, rows = verified(office, roster, kamailio.place, "--results", "here", code=10)
    assert verdicts(rows) == {
        "ext0": "wrong_password", "no body": "invalid", "ext1": "registers", "ext2": "registers",
        "ext3": "registers", "stranger": "wrong_password",
    }  # fmt: skip
    assert facts["tried"] == 5
    assert "character 3 is SPACE" in rows[1]["bw__error"]
    assert rows[0]["bw__error"] == "403 Forbidden"
    assert Path(facts["files"]["verify"]) == office.work / "here" / "verify.csv"


@pytest.mark.parametrize(("name", "column"), [("user", "hash1"), ("user@realm", "hash1b")])
def test_each_name_proves_its_own_digest(
    office: Program, sandbox: Sandbox, kamailio: Kamailio, name: str, column: str
) -> None:
    """With one of the two digests wrong, only the name that it belongs to is refused."""
    roster = imported(office, sandbox, kamailio, [*users(2), User("bob@example.com", "Pw-4711-bob")])
    kamailio.hold({**held, column: "0" * 32} for held in sandbox.credentials())
    (other,) = {"user", "user@realm"} - {name}
    _, rows = verified(office, roster, kamailio.place, "--auth-name", other)
    assert set(verdicts(rows).values()) == {"registers"}
    _, rows = verified(office, roster, kamailio.place, "--auth-name", name, code=10)
    assert set(verdicts(rows).values()) == {"wrong_password"}


def test_over_tcp(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """Rows register over TCP as well."""
    imported(office, sandbox, kamailio, users(30))
    roster = roster_of(office.work / "tried.csv", [*users(29), User("ext29", "Pw-of-somebody")])
    facts, rows = verified(
        office, roster, kamailio.place, "--transport", "tcp", "--concurrency", "10", code=10
    )
    assert facts["counts"] == {"registers": 29, "wrong_password": 1}
    assert rows[29]["bw__verify"] == "wrong_password"


def test_over_tls(
    office: Program, sandbox: Sandbox, make_kamailio: Callable[..., Kamailio], tmp_path: Path
) -> None:
    """Over TLS, the certificate must be for the realm and from a trusted authority."""
    run(office, "import", roster_of(office.work / "first.csv", users(1)))
    own = certificate(tmp_path, host(sandbox))
    kamailio = make_kamailio(certificate=own)
    roster = imported_too(office, sandbox, kamailio)
    office.environment["SSL_CERT_FILE"] = str(own[0])
    facts, _ = verified(office, roster, kamailio.tls_place, "--transport", "tls")
    assert facts["counts"] == {"registers": 6}
    del office.environment["SSL_CERT_FILE"]
    facts, rows = verified(office, roster, kamailio.tls_place, "--transport", "tls", code=5)
    assert facts["counts"] == {"cannot_tell": 6}
    assert "can't prove to be" in rows[0]["bw__error"]


def imported_too(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> Path:
    """Five more users, and all of them held."""
    run(office, "import", roster_of(office.work / "staff.csv", users(6)))
    kamailio.hold(sandbox.credentials())
    return office.work / "staff.csv"


def test_phones_that_are_registered_are_counted(
    office: Program, sandbox: Sandbox, kamailio: Kamailio, tmp_path: Path
) -> None:
    """The number of registered phones is reported, and neither way of asking changes it."""
    roster = imported(office, sandbox, kamailio, users(5))
    bound = [Phone(user.name, host(sandbox), user.password, user.name) for user in users(3)]
    assert all(sipp(tmp_path / "sipp", kamailio.place, bound).values())
    for options in ([], ["--with-contact"], []):
        finished = office.run(
            "verify", roster, "--registrar", kamailio.place, *BRISK, *options, "--results", "x"
        )
        assert finished.code == 0, finished.stderr
        assert "3 of 5 phones are registered now" in finished.stdout
        bindings = [row["bw__bindings"] for row in result_rows(office.work / "x" / "verify.csv")]
        assert bindings == ["1", "1", "1", "0", "0"]


def test_nobody_there(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """If nobody answers: exit code 5, one row asked, and unknown bindings are not reported as none."""
    roster = imported(office, sandbox, kamailio, users(5))
    dead = f"127.0.0.1:{free_port()}"
    finished = office.run("verify", roster, "--registrar", dead, "--results", "x")
    assert finished.code == 5
    assert f"does not answer: nothing listens on {dead} (udp); correct --registrar" in finished.stderr
    assert "how many phones are registered now is not known" in finished.stdout
    assert sorted(verdicts(result_rows(office.work / "x" / "verify.csv")).values()) == [
        *["cannot_tell"] * 4, "no_answer",
    ]  # fmt: skip


def test_a_nonce_that_expired_on_the_way(
    office: Program, sandbox: Sandbox, make_kamailio: Callable[..., Kamailio]
) -> None:
    """A nonce that expired is stale for Kamailio; the new one is answered, and the row registers."""
    kamailio = make_kamailio(nonce_seconds=1)
    roster = imported(office, sandbox, kamailio, users(1))
    with relay(kamailio.place, seconds=3) as between:
        facts, _ = verified(office, roster, between.place)
    assert facts["counts"] == {"registers": 1}
    assert between.passed == 2 + 1 + 2  # a challenge and a stale answer; the fresh one; a wrong password


def test_a_registrar_that_answers_every_password_alike(office: Program, sandbox: Sandbox) -> None:
    """If every password gets the same answer: exit code 5, no row registers; --with-contact is advised."""
    roster = roster_of(office.work / "staff.csv", users(5))
    run(office, "import", roster)
    asks = f'WWW-Authenticate: Digest realm="{host(sandbox)}", nonce="n"'
    with scripted_registrar(
        lambda asked: [asked.answered("200 OK") if asked.credentials else asked.answered("401 No", asks)]
    ) as registrar:
        facts, rows = verified(office, roster, registrar.place, code=5)
    assert set(verdicts(rows).values()) == {"cannot_tell"}
    assert "alike; --with-contact" in facts["given_up"][0]
    assert len(registrar.asked) == 4


def test_only_a_sample(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """A sample has so many random rows, in the roster's order, and is not always the same."""
    roster = imported(office, sandbox, kamailio, users(200))
    lines = []
    for _ in range(2):
        facts, rows = verified(office, roster, kamailio.place, "--sample", "20")
        assert facts["tried"] == 20
        lines.append([int(row["bw__row"]) for row in rows])
    assert lines[0] != lines[1]
    assert all(one == sorted(set(one)) for one in lines)


def test_realms_are_the_accounts(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """Short names in the roster become host names; a realm that isn't there makes its row invalid."""
    add_realm(sandbox, "branch")
    wanted = users(3)
    realms = ["office", "branch", "branch"]
    rows = [
        {"username": user.name, "password": user.password, "realm": realm}
        for user, realm in zip(wanted, realms, strict=True)
    ]
    run(office, "import", write(office.work / "staff.csv", rows))
    kamailio.hold(sandbox.credentials())
    rows.append({"username": "lost", "password": "Pw-4711-lost", "realm": "nowhere"})
    facts, found = verified(office, write(office.work / "more.csv", rows), kamailio.place, code=10)
    assert facts["counts"] == {"registers": 3, "invalid": 1}
    hosts = {held["composite"]: held["realm"] for held in sandbox.credentials()}
    assert [row["bw__realm"] for row in found] == [*(hosts[user.name] for user in wanted), "nowhere"]


def test_ctrl_c_keeps_what_is_known(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """Ctrl-C: exit code 130, finished rows are in the file, and the others are counted."""
    roster = imported(office, sandbox, kamailio, users(500))
    with relay(kamailio.place) as between:
        process = office.start(
            "verify", roster, "--registrar", between.place, "--rate", "20", "--results", "x"
        )
        until(lambda: between.passed > 12, process)
        process.send_signal(signal.SIGINT)
        finished = end_of(process)
    assert finished.code == 130
    rows = result_rows(office.work / "x" / "verify.csv")
    assert 3 <= len(rows) < 500
    assert set(verdicts(rows).values()) == {"registers"}
    assert f"interrupted: {500 - len(rows)} rows were not tried" in finished.stderr


def test_nothing_is_asked_when_the_roster_is_wrong(office: Program, sandbox: Sandbox) -> None:
    """A wrong roster or address gives exit code 6 or 3, and no REGISTER is sent."""
    good = roster_of(office.work / "staff.csv", users(3))
    bad = office.work / "bad.csv"
    bad.write_text("name,secret\nalice,Pw-4711-alice\n", "utf-8")
    with scripted_registrar(lambda _: []) as registrar:
        place = ["--registrar", registrar.place]
        assert office.run("verify", bad, *place).code == 6
        assert office.run("verify", office.work / "missing.csv", *place).code == 6
        assert office.run("verify", good, *place, "--realm", "nowhere").code == 3
        assert office.run("verify", good, *place, "--results", good / "below").code == 6
        assert registrar.asked == []
    for wrong in ("127.0.0.1:0", "127.0.0.1:70000", "a b", "sip:host:5060", ":5060"):
        finished = office.run("verify", good, "--registrar", wrong)
        assert finished.code == 6
        assert "must be HOST:PORT" in finished.stderr
    assert office.run("verify", good, "--resolver", "dns.example").code == 6


def test_no_secret_is_shown(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """No password, no digest and no response in the output of --debug, nor in the file."""
    canary = "Canary-4711-pw"
    imported(office, sandbox, kamailio, [User("ext0", canary), *users(2, first=1)])
    roster = roster_of(office.work / "tried.csv", [User("ext0", canary), User("ext1", f"{canary}-wrong")])
    finished = office.run(
        "verify", roster, "--registrar", kamailio.place, "--debug", "--json", "--results", "x"
    )
    assert finished.code == 10
    told = finished.stdout + finished.stderr + (office.work / "x" / "verify.csv").read_text("utf-8")
    assert "ext1" in told
    digests = {held[which] for held in sandbox.credentials() for which in ("hash1", "hash1b")}
    assert [secret for secret in (canary, "response=", "nonce=", *digests) if secret in told] == []


def test_an_imports_pace_is_not_a_registrars(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """The settings file's rate is for the API and not used; the options for reading the roster are."""
    roster = write(office.work / "staff.csv", [{"phone": "ext0", "password": "Pw-4711-ext0"}])
    (office.work / "siproster.toml").write_text(
        'rate = 500\nconcurrency = 200\ncreate-realm = true\nrealm = "office"\n[map]\nusername = "phone"\n',
        "utf-8",
    )
    run(office, "import", roster)
    kamailio.hold(sandbox.credentials())
    finished = office.run("verify", roster, "--registrar", kamailio.place)
    assert finished.code == 0, finished.stderr
    assert "at most 10 rows a second, 4 at once" in finished.stderr


def test_a_registrar_in_trouble(office: Program, sandbox: Sandbox) -> None:
    """Exit code 5 if nothing is known of any row; 10 if some register and others are unknown."""
    roster = roster_of(office.work / "staff.csv", users(2))
    run(office, "import", roster)
    known = Users(host(sandbox), {user.name: user.password for user in users(2)})
    with scripted_registrar(lambda asked: [asked.answered("503 Service Unavailable")]) as registrar:
        facts, _ = verified(office, roster, registrar.place, code=5)
    assert facts["counts"] == {"cannot_tell": 2}

    def at_times(asked: Asked) -> Sequence[bytes]:
        second = asked.headers["to"].startswith("<sip:ext1@")
        return [asked.answered("503 Service Unavailable")] if second else known(asked)

    with scripted_registrar(at_times) as registrar:
        facts, _ = verified(office, roster, registrar.place, code=10)
    assert facts["counts"] == {"registers": 1, "cannot_tell": 1}


def test_a_roster_of_digests(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """Rows without a password are tried with the digests that they have, under both names."""
    imported(office, sandbox, kamailio, users(3))
    realm = host(sandbox)
    rows = [
        {"username": user.name, "hash1": hash1, "hash1b": hash1b, "realm": realm}
        for user in users(3)
        for hash1, hash1b in [user.digests(realm)]
    ]
    rows[2] |= {"hash1": "0" * 32, "hash1b": "1" * 32}
    for name in ("user", "user@realm"):
        roster = write(office.work / "digests.csv", rows)
        facts, found = verified(office, roster, kamailio.place, "--auth-name", name, code=10)
        assert facts["counts"] == {"registers": 2, "wrong_password": 1}
        assert verdicts(found)["ext2"] == "wrong_password"
