"""``siproster call``: one call against the sandbox, and what another platform needs."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.dns_server import Dns
from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.accounts import APPLICATION, add_realm, hold
from tests.system.rosters import roster_of, users

ORDER = ("--from", "+19195551234", "--application", APPLICATION, "--answer-url", "https://example.com/answer")


@pytest.fixture
def staff(office: Program, sandbox: Sandbox) -> Program:
    """The program, with alice and bob@example.com stored."""
    hold(sandbox, ["alice", "bob@example.com"])
    sandbox.knobs(call_rings=0.1, call_talks=0.1)
    return office


def host(sandbox: Sandbox) -> str:
    """The default realm's host name."""
    return str(sandbox.credentials()[0]["realm"])


def placed(sandbox: Sandbox) -> list[tuple[str, str]]:
    """From and to of every call that the service took."""
    return [(call["from"], call["to"]) for call in sandbox.lines("calls")]


def test_a_call_that_is_answered(staff: Program, sandbox: Sandbox) -> None:
    """Exit code 0, the facts in JSON alone on stdout, and one call to sip:user@realm."""
    sandbox.knobs(call_ends="answered")
    called = staff.run("call", "alice", *ORDER, "--yes", "--json")
    assert called.code == 0, called.stderr
    assert called.json["outcome"] == "answered"
    assert called.json["answered"]
    assert called.json["to"] == f"sip:alice@{host(sandbox)}"
    assert placed(sandbox) == [("+19195551234", called.json["to"])]
    assert f"call {called.json['call']} to {called.json['to']} was accepted by the service" in called.stderr


def test_a_new_call_that_can_not_be_read_is_waited_for(staff: Program, sandbox: Sandbox) -> None:
    """A new call that answers 404 is pending, and is read again until it can be read."""
    sandbox.knobs(call_hidden=3)
    called = staff.run("call", "alice", *ORDER, "--yes")
    assert called.code == 0, called.stderr
    assert "can't be queried yet, which is normal for a new call" in called.stderr
    assert "it was answered" in called.stdout


@pytest.mark.parametrize(("cause", "words"), [("busy", "the phone was busy"), ("timeout", "nobody answered"),
                                              ("error", "is the phone registered?")])  # fmt: skip
def test_a_call_that_does_not_get_through(staff: Program, sandbox: Sandbox, cause: str, words: str) -> None:
    """Exit code 10, the cause in words and as the service calls it, and the service's own text."""
    sandbox.knobs(call_ends=cause)
    called = staff.run("call", "alice", *ORDER, "--yes")
    assert called.code == 10
    assert words in called.stdout
    assert f"({cause}): The call ended: {cause}" in called.stdout


def test_a_user_who_is_not_stored(staff: Program, sandbox: Sandbox) -> None:
    """A user who isn't stored on the realm gives exit code 3, before anything is asked or paid for."""
    add_realm(sandbox, "lab")
    hold(sandbox, ["carol"], "lab")
    for user in ("nobody", "carol"):
        called = staff.run("call", user, *ORDER)
        assert called.code == 3, called.stderr
        assert f"{user} is not on realm {host(sandbox)}; no call was placed" in called.stderr
        assert "siproster credential list --realm" in called.stderr
    assert placed(sandbox) == []


def test_a_name_on_two_realms_in_another_case(staff: Program, sandbox: Sandbox) -> None:
    """With --realm the call goes to the user of that realm, under the name that is stored there."""
    add_realm(sandbox, "lab")
    hold(sandbox, ["Alice"], "lab")
    called = staff.run("call", "ALICE", *ORDER, "--realm", "lab", "--yes", "--json")
    assert called.code == 0, called.stderr
    assert called.json["to"].startswith("sip:Alice@lab-")


def test_phones_that_are_registered(siproster: Program, make_sandbox: Callable[..., Sandbox]) -> None:
    """--check-phone asks the sandbox's registrar: no phone is registered, or it can't be told."""
    edge = make_sandbox("--sip-port", "0")
    siproster.environment |= edge.environment()
    roster = roster_of(siproster.work / "staff.csv", users(1))
    assert siproster.run("import", roster).code == 0
    place = f"127.0.0.1:{edge.sip_port}"
    words = ("call", "ext0", *ORDER, "--check-phone", "--registrar", place)
    assert "no phone is registered as ext0: the call will not ring" in siproster.run(*words).stderr
    edge.knobs(sip_status=503)
    assert "can't tell whether a phone is registered as ext0: 503" in siproster.run(*words).stderr
    assert placed(edge) == []


def test_waiting_has_an_end(staff: Program, sandbox: Sandbox) -> None:
    """--wait: a call that never settles ends with 5, saying how far it got."""
    sandbox.knobs(call_ends="queued")
    called = staff.run("call", "alice", *ORDER, "--yes", "--json", "--wait", "0.6")
    assert (called.code, called.json["outcome"], called.json["state"]) == (5, "pending", "queued")
    sandbox.knobs(call_hidden=60)
    called = staff.run("call", "alice", *ORDER, "--yes", "--wait", "0.6")
    assert called.code == 5
    assert "it is not known whether it rang" in called.stdout


def test_not_waiting(staff: Program, sandbox: Sandbox) -> None:
    """--no-wait prints the id, and doesn't read the call's state once."""
    called = staff.run("call", "alice", *ORDER, "--yes", "--json", "--no-wait")
    assert (called.code, called.json["outcome"]) == (0, "placed")
    assert sandbox.log("GET", "/calls/") == []


def test_composites_and_realms(staff: Program, sandbox: Sandbox) -> None:
    """user@domain is one user, its @ escaped; --realm names another realm than the default one."""
    add_realm(sandbox, "lab")
    hold(sandbox, ["carol"], "lab")
    assert staff.run("call", "bob@example.com", *ORDER, "--yes").code == 0
    assert staff.run("call", "carol", *ORDER, "--realm", "lab", "--yes").code == 0
    first, second = (to for _, to in placed(sandbox))
    assert first == f"sip:bob%40example.com@{host(sandbox)}"
    assert second.startswith("sip:carol@lab-")


def test_it_asks_first(staff: Program, sandbox: Sandbox) -> None:
    """Without a terminal and without --yes: exit code 6, and nobody was called."""
    refused = staff.run("call", "alice", *ORDER)
    assert refused.code == 6
    assert "costs money" in refused.stderr
    assert "nothing was done; to confirm, add --yes" in refused.stderr
    assert placed(sandbox) == []


@pytest.mark.parametrize(("said", "calls"), [(b"n\n", 0), (b"y\n", 1)])
def test_on_a_terminal_the_answer_counts(staff: Program, sandbox: Sandbox, said: bytes, calls: int) -> None:
    """The question names both ends and the account; only a yes calls."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(staff.cli), "call", "alice", *ORDER], env=staff.environment, cwd=staff.work,
        stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    os.write(master, said)
    _, stderr = process.communicate(timeout=60)
    os.close(master)
    assert f"Call sip:alice@{host(sandbox)} from +19195551234, account 9900001" in stderr
    assert process.returncode == (0 if calls else 130)
    assert len(placed(sandbox)) == calls


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["alice"], "a call needs --from NUMBER, --application UUID, --answer-url URL"),
        (["alice", *ORDER[:4]], "a call needs --answer-url URL"),
        (["alice", *ORDER, "--from", "9195551234"], "not a number in E.164"),
        (["alice", *ORDER, "--application", "mine"], "not a UUID"),
        (["alice", *ORDER, "--answer-url", "example.com"], "not a complete http or https URL"),
        (["alice", *ORDER, "--answer-url", "https://example.com/a b"], "not a complete http or https URL"),
        (["alice", *ORDER, "--answer-url", "https://exa[mple"], "not a complete http or https URL"),
        (["sip:alice@x", *ORDER], "is not a user name"),
        (["", *ORDER], "is not a user name"),
        (["alice", *ORDER, "--wait", "nan"], "finite"),
        (["alice", *ORDER, "--resolver", "127.0.0.1"], "--resolver requires --for"),
        (["alice", "--for", "fax"], "'fax' is not one of"),
        (["alice", "--for", "twilio", "--resolver", "dns"], "not the address of a resolver"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_before_anything_is_sent(
    staff: Program, sandbox: Sandbox, words: list[str], told: str
) -> None:
    """Exit code 6 says what is wrong; not one request was sent."""
    refused = staff.run("call", *words, "--yes")
    assert (refused.code, refused.stdout) == (6, "")
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr
    assert [line for line in sandbox.log() if "/sipcredentials" not in line["path"]] == []


def test_options_from_the_file(staff: Program, sandbox: Sandbox) -> None:
    """siproster.toml has the options, with --from as call-from (`from` is a roster's format). A flag wins."""
    (staff.work / "siproster.toml").write_text(
        f'from = "generic"\ncall-from = "+19195550001"\ncall-wait = 60\napplication = "{APPLICATION}"\n'
        'answer-url = "https://example.com/file"\n'
    )
    assert staff.run("call", "alice", "--yes").code == 0
    assert staff.run("call", "alice", "--yes", "--from", "+19195550002").code == 0
    assert [number for number, _ in placed(sandbox)] == ["+19195550001", "+19195550002"]
    assert staff.run("plan", roster_of(staff.work / "staff.csv", users(3))).code == 0


def test_a_lost_answer_is_never_called_again(staff: Program, sandbox: Sandbox) -> None:
    """After a lost answer: exit code 5, one order at the service, and advice to check before a new call."""
    sandbox.knobs(drop={"next": 1, "path": "/calls", "commit": True})
    lost = staff.run("call", "alice", *ORDER, "--yes", "--json")
    assert (lost.code, lost.error) == (5, "answer_lost")
    assert "the call may have been placed" in lost.stderr
    assert "before you call again" in lost.stderr
    assert len(sandbox.log("POST", "/calls")) == 1


def test_a_refusal(staff: Program, sandbox: Sandbox) -> None:
    """A refusal keeps the service's words: exit code 4 for the order, 2 for the credentials."""
    sandbox.knobs(applications=["0a6c3e91-d284-47b5-a1f0-5e8b7c2d9f36"])
    refused = staff.run("call", "alice", *ORDER, "--yes")
    assert refused.code == 4
    assert "validation: Invalid applicationId" in refused.stderr
    sandbox.knobs(refuse={"next": 1, "path": "/calls", "status": 403, "text": "Access is denied"})
    refused = staff.run("call", "alice", *ORDER, "--yes")
    assert refused.code == 2
    assert "Access is denied" in refused.stderr


def test_a_token_never_goes_to_another_service(staff: Program, sandbox: Sandbox) -> None:
    """With an API of one's own and no BW_VOICE_URL the call isn't sent to Bandwidth: exit code 6."""
    del staff.environment["BW_VOICE_URL"]
    refused = staff.run("call", "alice", *ORDER, "--yes")
    assert refused.code == 6
    assert "BW_VOICE_URL is not set" in refused.stderr
    assert [line for line in sandbox.log() if "oauth2" in line["path"]] == []


def test_another_platform_calls_in(staff: Program, sandbox: Sandbox) -> None:
    """--for twilio: To with the account's own port from DNS, the user name, and where the password goes."""
    records = {
        f"_sip._udp.{host(sandbox)}": ["20 0 5082 second.example.com.", "10 0 5081 first.example.com."]
    }
    with closing(Dns(records)) as server:
        told = staff.run("call", "bob@example.com", "--for", "twilio", "--resolver", server.address, "--json")
        shown = staff.run("call", "alice", *ORDER, "--for", "twilio", "--resolver", server.address)
    assert told.code == 0, told.stderr
    assert told.json["parameters"] == {
        "To": f"sip:+NUMBER@{host(sandbox)}:5081",
        "From": None,
        "SipAuthUsername": "bob@example.com",
        "SipAuthPassword": None,
        "Url": None,
    }
    assert (told.json["dns"], told.json["port"]) == ("found", 5081)
    assert [server["host"] for server in told.json["servers"]] == ["first.example.com", "second.example.com"]
    assert shown.code == 0
    for word in ("SipAuthPassword", "clear-text password", "+19195551234", "https://example.com/answer",
                 "first.example.com:5081"):  # fmt: skip
        assert word in shown.stdout
    assert placed(sandbox) == []


def test_no_record_and_no_answer_are_told_apart(staff: Program, sandbox: Sandbox) -> None:
    """Without a record SIP's usual port is given, exit code 0; a silent resolver is exit code 5."""
    with closing(Dns({})) as server:
        told = staff.run("call", "alice", "--for", "generic", "--resolver", server.address, "--json")
    assert (told.code, told.json["dns"], told.json["port"]) == (0, "no_record", None)
    assert told.json["parameters"]["request URI"] == f"sip:+NUMBER@{host(sandbox)}"
    assert "there is no SRV record" in told.stderr
    with closing(Dns({}, silent=True)) as server:
        told = staff.run("call", "alice", "--for", "generic", "--resolver", server.address, "--json")
    assert (told.code, told.json["dns"], told.json["port"]) == (5, "no_answer", None)
    assert told.json["parameters"]["request URI"].endswith(":PORT")
