"""Notifications as users set them up: test-notify, doctor, and the end of a run told by the scheduler."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tests.program import Program
from tests.schemas import validator
from tests.scripted import Scripted, Told, scripted
from tests.system.rosters import User, roster_of, users

SECRET = f"whsec_{base64.b64encode(b'canary-of-a-webhook-secret').decode()}"
VALID = validator("run-ended")
"""Raises for a payload that is not as documented."""

CONFIG = ("--config", "siproster.toml")


@pytest.fixture
def receiver() -> Iterator[Scripted]:
    """A receiver that takes everything."""
    with scripted(lambda _: Told(204)) as server:
        yield server


def configure(office: Program, receiver: Scripted, more: str = "") -> Path:
    """A settings file with a webhook, a command and what else is given; return what the command writes."""
    told = office.work / "told.json"
    path = office.work / "siproster.toml"
    path.write_text(
        f'[notify.ops]\nkind = "webhook"\nwhen = "always"\nurl = "{receiver.url}/hook/canary-path"\n'
        f'secret = "{SECRET}"\n[notify.page]\nkind = "command"\nargv = ["tee", "{told}"]\n{more}'
    )
    path.chmod(0o600)
    return told


def add_schedule(office: Program, *channels: str) -> list[User]:
    """A schedule of a roster with these channels; return the roster's users."""
    people = users(20)
    roster_of(office.work / "acme.csv", people)
    words = [word for channel in channels for word in ("--notify", channel)]
    finished = office.run("schedule", "add", "nightly", "acme.csv", "--every", "0 2 * * *", *words, *CONFIG)
    assert finished.code == 0, finished.stderr
    return people


def test_each_channel_is_tried(office: Program, receiver: Scripted) -> None:
    """test-notify says for each channel what became of it; the receivers see a test, and no run."""
    told = configure(office, receiver)
    add_schedule(office, "ops", "page")
    finished = office.run("schedule", "test-notify", "nightly", *CONFIG)
    assert (finished.code, finished.stderr) == (0, "")
    assert f"✓ ops (webhook: {receiver.url}): delivered" in finished.stdout
    assert "✓ page (command: tee): delivered" in finished.stdout
    (asked,) = receiver.asked
    payload = Webhook(SECRET).verify(asked.body, dict(asked.headers))
    assert (payload["type"], payload["schedule"], payload["channel"]) == ("siproster.test", "nightly", "ops")
    assert json.loads(told.read_text())["channel"] == "page"


def test_a_channel_in_trouble(office: Program, receiver: Scripted) -> None:
    """A channel that fails doesn't hide the others: exit code 5, and what to do about it."""
    more = (
        '[notify.down]\nkind = "webhook"\nurl = "http://127.0.0.1:9/canary-path"\n'
        f'secret = "{SECRET}"\n[notify.unset]\nkind = "webhook"\nurl_env = "HOOK"\nsecret = "{SECRET}"\n'
    )
    configure(office, receiver, more)
    hook = f"{receiver.url}/x"
    office.environment["HOOK"] = hook
    add_schedule(office, "down", "ops", "unset")
    office.environment["HOOK"] = ""
    finished = office.run("schedule", "test-notify", "nightly", "--json", *CONFIG)
    assert finished.code == 5
    errors = {one["channel"]: one["error"] for one in finished.json}
    assert errors == {
        "down": "connection refused", "ops": "", "unset": "[notify.unset]: the variable HOOK is not set",
    }  # fmt: skip
    shown = office.run("schedule", "test-notify", "nightly", *CONFIG).stdout
    assert "→ set it where siproster runs" in shown
    assert "canary" not in finished.stdout + shown


def test_a_schedule_without_channels(office: Program, receiver: Scripted) -> None:
    """There is nothing to test, and the hint says how to change that."""
    configure(office, receiver)
    add_schedule(office)
    finished = office.run("schedule", "test-notify", "nightly", *CONFIG)
    assert finished.code == 6
    assert "notifies nobody" in finished.stderr
    assert "--notify CHANNEL" in finished.stderr


def test_the_end_of_a_run_is_told(office: Program, receiver: Scripted) -> None:
    """The scheduler delivers what a run left behind; a channel for trouble alone hears nothing here."""
    told = configure(office, receiver)
    people = add_schedule(office, "ops", "page")
    run = office.run("schedule", "run", "nightly", *CONFIG)
    assert run.code == 0, run.stderr
    assert receiver.asked == []
    assert office.run("scheduler", "--once", *CONFIG).code == 0
    (asked,) = receiver.asked
    payload = Webhook(SECRET).verify(asked.body, dict(asked.headers))
    assert (payload["type"], payload["result"]) == ("siproster.run.ended", "in_place")
    assert payload["summary"]["counts"] == {"created": 20}
    VALID(payload)
    assert not told.exists()
    shown = office.run("schedule", "show", "nightly", *CONFIG).stdout
    assert "ops: delivered" in shown
    assert "page: not wanted" in shown
    sent = asked.body.decode() + str(asked.headers)
    assert SECRET not in sent
    assert [one for one in people if one.name in sent or one.password in sent] == []


def test_users_are_named_where_asked_for(office: Program, receiver: Scripted) -> None:
    """Rows that are not in place are told by name to a channel with users = true, and to no other."""
    told = configure(office, receiver, "users = true\n")
    add_schedule(office, "ops", "page")
    with (office.work / "acme.csv").open("a") as roster:
        roster.write("canary-user,\n")
    assert office.run("schedule", "run", "nightly", *CONFIG).code == 10
    assert office.run("scheduler", "--once", *CONFIG).code == 0
    assert VALID(json.loads(told.read_text()))["users"] == ["canary-user"]
    (asked,) = receiver.asked
    assert b"canary" not in asked.body
    assert json.loads(asked.body)["result"] == "not_in_place"


def test_doctor_lists_channels(office: Program, receiver: Scripted) -> None:
    """Each with its kind and address, without paths and secrets; one that can't be used is a warning."""
    configure(
        office, receiver, 'users = true\n[notify.x]\nkind = "webhook"\nurl = "https://h/"\nsecret_env = "X"\n'
    )
    finished = office.run("doctor", "--json", *CONFIG)
    checks = [one for one in finished.json["checks"] if one["name"] == "notifications"]
    assert [(one["state"], one["text"]) for one in checks] == [
        ("ok", f"ops: webhook, {receiver.url}, always"),
        ("ok", "page: command, tee, on-trouble, with user names"),
        ("warning", "[notify.x]: the variable X is not set"),
    ]
    assert "canary" not in finished.stdout + office.run("doctor", *CONFIG).stdout
    assert receiver.asked == []


@pytest.mark.parametrize(
    ("roster", "result"),
    [
        ("canary-a,canary-Pw-1x\ncanary-b,canary-Pw-2x\n", "failed"),
        ("username,password\ncanary-a,canary-Pw-1x\ncanary-a,canary-Pw-2x\n", "stopped"),
    ],
)
def test_trouble_names_nobody(office: Program, receiver: Scripted, roster: str, result: str) -> None:
    """A roster that can't be used is told with the reason, and without its users and passwords."""
    configure(office, receiver)
    add_schedule(office, "ops")
    (office.work / "acme.csv").write_text(roster)
    assert office.run("schedule", "run", "nightly", *CONFIG).code in (6, 11)
    assert office.run("scheduler", "--once", *CONFIG).code == 0
    (asked,) = receiver.asked
    payload = VALID(json.loads(asked.body))
    assert (payload["result"], payload["trouble"]) == (result, True)
    assert payload["why"]
    assert b"canary" not in asked.body
