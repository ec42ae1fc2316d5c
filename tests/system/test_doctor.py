"""``doctor``: what it finds, what it advises, and what it never shows."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.servers import Redis
from tests.system.rosters import roster_of, users

CHECKS = [
    "settings", "ledger", "key", "broker", "API", "account family", "realm family", "default realm", "clock",
]  # fmt: skip


def states(facts: dict[str, Any]) -> dict[str, str]:
    """Check to state; of several with one name the last."""
    return {check["name"]: check["state"] for check in facts["checks"]}


def check(facts: dict[str, Any], name: str) -> dict[str, str]:
    """The one check of this name that is not ok."""
    (found,) = (one for one in facts["checks"] if one["name"] == name and one["state"] != "ok")
    return dict(found)


def test_a_sound_set_up(office: Program) -> None:
    """With a sound set-up, every check is ok, exit code 0, and each setting has its value and source."""
    finished = office.run("doctor", "--json")
    assert (finished.code, finished.stderr) == (0, "")
    facts = finished.json
    assert facts["ok"] is True
    assert states(facts) == dict.fromkeys(CHECKS, "ok")
    settings = {one["name"]: (one["value"], one["source"]) for one in facts["settings"]}
    assert settings["BW_ACCOUNT_ID"] == ("9900001", "environment")
    assert settings["BW_CLIENT_SECRET"] == ("<hidden>", "environment")
    assert settings["SIPROSTER_API_PATH"] == ("/api/v2", "default")
    assert settings["SIPROSTER_BROKER"] == ("", "not set")


def test_a_sound_fleet(office: Program, redis_url: str, postgres_url: str) -> None:
    """With a broker and PostgreSQL too; neither its password nor the key is shown, in text or JSON."""
    office.environment |= {"SIPROSTER_BROKER": redis_url, "SIPROSTER_LEDGER": postgres_url}
    office.environment["SIPROSTER_KEY"] = office.run("keygen").stdout.strip()
    finished = office.run("doctor", "--json")
    assert finished.code == 0, finished.stdout
    assert states(finished.json) == {**dict.fromkeys(CHECKS, "ok"), "workers": "warning"}  # none is started
    everything = finished.stdout + office.run("doctor").stdout
    assert "postgresql://siproster:<hidden>@127.0.0.1" in everything
    assert "postgres-canary" not in everything
    assert office.environment["SIPROSTER_KEY"].rstrip("=") not in everything


def test_text_for_people(office: Program) -> None:
    """Without --json the same facts, one line a check."""
    shown = office.run("doctor")
    assert (shown.code, shown.stderr) == (0, "")
    lines = [line.strip() for line in shown.stdout.splitlines()]
    assert [line.split("  ")[0] for line in lines if line.startswith("✓")] == [f"✓ {name}" for name in CHECKS]
    assert any(line.split() == ["BW_ACCOUNT_ID", "9900001", "environment"] for line in lines)


def test_nothing_is_set(siproster: Program) -> None:
    """On a fresh machine: exit code 6, the missing settings by name, and the API is not checked."""
    finished = siproster.run("doctor", "--json")
    assert finished.code == 6
    facts = finished.json
    assert facts["ok"] is False
    assert "BW_ACCOUNT_ID, BW_CLIENT_ID, BW_CLIENT_SECRET" in check(facts, "settings")["text"]
    assert states(facts)["API"] == "skipped"
    assert states(facts)["ledger"] == "ok"


def test_a_setting_that_can_not_be(siproster: Program) -> None:
    """A malformed setting is the finding, not the end of doctor."""
    finished = siproster.run("doctor", "--json", BW_API_URL="api.bandwidth.com")
    assert finished.code == 6
    assert states(finished.json) == {"settings": "trouble"}
    assert "BW_API_URL (environment)" in finished.json["checks"][0]["text"]


def test_a_wrong_secret(office: Program) -> None:
    """Wrong credentials: exit code 2, what to check, and no API request with them."""
    finished = office.run("doctor", "--json", BW_CLIENT_SECRET="wrong-canary")
    assert finished.code == 2
    trouble = check(finished.json, "API")
    assert "no token for this client" in trouble["text"]
    assert "BW_CLIENT_SECRET" in trouble["hint"]
    assert "realm family" not in states(finished.json)
    assert "wrong-canary" not in finished.stdout + finished.stderr


def test_another_account(office: Program) -> None:
    """An account that the service doesn't know: exit code 3."""
    finished = office.run("doctor", "--account", "123", "--json")
    assert finished.code == 3
    assert check(finished.json, "API")["state"] == "trouble"


def test_an_account_without_the_feature(office: Program, sandbox: Sandbox) -> None:
    """An account that is not set up for SIP credentials: exit code 4, and whom to ask."""
    sandbox.knobs(account_set_up=False)
    finished = office.run("doctor", "--json")
    assert finished.code == 4
    assert "ask Bandwidth" in check(finished.json, "API")["hint"]


def test_one_family_alone(office: Program, sandbox: Sandbox) -> None:
    """If only one family of endpoints answers, doctor says which."""
    sandbox.knobs(refuse={"probability": 1.0, "path": "/accounts/9900001/sipcredentials", "status": 403})
    finished = office.run("doctor", "--json")
    assert finished.code == 2
    found = states(finished.json)
    assert (found["account family"], found["realm family"]) == ("trouble", "ok")


def test_a_service_that_does_not_answer(office: Program) -> None:
    """Exit code 5."""
    finished = office.run("doctor", "--json", BW_API_URL="http://127.0.0.1:1")
    assert finished.code == 5
    assert check(finished.json, "API")["state"] == "trouble"


def test_a_broker_that_does_not_answer(office: Program) -> None:
    """Exit code 5, and its password stays hidden."""
    finished = office.run("doctor", "--json", SIPROSTER_BROKER="redis://user:canary@127.0.0.1:1/0")
    assert finished.code == 5
    assert states(finished.json)["broker"] == "trouble"
    assert states(finished.json)["API"] == "ok"
    assert "canary" not in finished.stdout + finished.stderr


def test_a_ledger_that_can_not_be_opened(office: Program) -> None:
    """Exit code 1, the other checks are made all the same, and the ledger's password stays hidden."""
    finished = office.run(
        "doctor", "--json", SIPROSTER_LEDGER="postgresql://user:canary@127.0.0.1:1/siproster"
    )
    assert finished.code == 1
    assert states(finished.json)["ledger"] == "trouble"
    assert states(finished.json)["default realm"] == "ok"
    assert "canary" not in finished.stdout + finished.stderr


def test_the_first_trouble_is_the_exit_code(office: Program) -> None:
    """Every trouble is found, whatever else is in trouble; the exit code is the first one's."""
    everything_wrong = {
        "SIPROSTER_LEDGER": "postgresql://u@127.0.0.1:1/x",
        "SIPROSTER_BROKER": "redis://127.0.0.1:1/0",
        "BW_CLIENT_SECRET": "wrong",
    }
    office.environment |= everything_wrong
    finished = office.run("doctor", "--json")
    assert finished.code == 1
    found = states(finished.json)
    assert [found[name] for name in ("ledger", "key", "broker", "API")] == ["trouble"] * 4


def test_a_key_that_others_may_read(office: Program) -> None:
    """A key file that others may read is trouble, with the command that fixes it."""
    assert office.run("doctor").code == 0
    (key,) = office.home.rglob("*.key")
    key.chmod(0o644)
    finished = office.run("doctor", "--json")
    assert finished.code == 6
    assert f"chmod 600 {key}" in check(finished.json, "key")["hint"]


def test_a_key_that_a_waiting_job_needs(office: Program, redis_url: str) -> None:
    """A job whose rows the present key can't open is named."""
    office.environment["SIPROSTER_BROKER"] = redis_url
    roster = roster_of(office.work / "staff.csv", users(2))
    job = office.run("import", roster, "--yes", "--detach", "--json").json["job"]
    key = office.run("keygen").stdout.strip()
    finished = office.run("doctor", "--json", SIPROSTER_KEY=key)
    assert finished.code == 6
    assert job in check(finished.json, "key")["text"]


def test_no_default_realm(office: Program, make_sandbox: Any) -> None:
    """A warning, not trouble: rows may name their realm."""
    own = make_sandbox("--default-realm", "")
    finished = office.run("doctor", "--json", **own.environment())
    assert finished.code == 0
    warning = check(finished.json, "default realm")
    assert (warning["state"], warning["text"]) == ("warning", "the account has none")


def test_what_is_known_to_end_is_warned_about(office: Program, sandbox: Sandbox) -> None:
    """HTTP Basic works with a warning that has the date of its end."""
    office.environment = {
        **{name: value for name, value in office.environment.items() if not name.startswith("BW_CLIENT")},
        "BW_USERNAME": "sandbox",
        "BW_PASSWORD": "sandbox",
    }
    finished = office.run("doctor", "--json")
    assert finished.code == 0
    assert "2026-12-02" in check(finished.json, "settings")["text"]
    assert "user name and password" in next(c["text"] for c in finished.json["checks"] if c["name"] == "API")


@pytest.mark.parametrize("content", ["BW_ACCOUNT = '1'", "not toml"])
def test_a_file_that_can_not_be_read(office: Program, content: str) -> None:
    """A mistake in siproster.toml is reported with the file's name."""
    Path(office.work, "siproster.toml").write_text(content)
    finished = office.run("doctor", "--json")
    assert finished.code == 6
    assert "siproster.toml" in finished.json["checks"][0]["text"]


def test_what_the_token_says_is_advice(office: Program, sandbox: Sandbox) -> None:
    """Another account, a missing role or a voice-only account is a warning; only the service decides."""
    claims = {"accounts": ["5001234"], "roles": ["Voice", "Canary-role"], "express": True}
    sandbox.knobs(token_claims=claims)
    finished = office.run("doctor", "--json")
    assert finished.code == 0
    told = [check for check in finished.json["checks"] if check["name"] == "token"]
    assert [check["state"] for check in told] == ["warning"] * 3
    assert told[0]["text"] == "it is not for account 9900001, but for 5001234"
    assert told[1]["text"] == "it does not have the role 'SIP Credentials'"
    assert "voice-only" in told[2]["text"]
    assert "eyJ" not in finished.stdout
    sandbox.knobs(
        token_claims={"accounts": ["1"]}, refuse={"probability": 1, "status": 403, "path": "accounts"}
    )
    finished = office.run("doctor", "--json")
    assert (finished.code, states(finished.json)["API"]) == (2, "trouble")
    assert check(finished.json, "token")["text"].endswith("but for 1")


def test_a_token_that_says_what_it_should(office: Program, sandbox: Sandbox) -> None:
    """A token with the right account and role causes no warning."""
    sandbox.knobs(token_claims={"accounts": ["9900001"], "roles": ["sip credentials"], "express": False})
    assert states(office.run("doctor", "--json").json) == dict.fromkeys(CHECKS, "ok")


def test_what_does_not_go_on_by_itself(office: Program, redis_url: str, tmp_path: Path) -> None:
    """A job without a worker, a paused schedule and an overdue one: each with what to do."""
    roster = roster_of(tmp_path / "staff.csv", users(3))
    assert office.run("import", roster, "--detach", SIPROSTER_BROKER=redis_url).code == 0
    assert office.run("schedule", "add", "nightly", roster, "--every", "0 2 * * *").code == 0
    assert office.run("schedule", "pause", "nightly").code == 0
    facts = office.run("doctor", "--json", SIPROSTER_BROKER=redis_url).json
    job = check(facts, "job")
    assert "no worker answers for account 9900001: start one with `siproster worker`" in job["text"]
    assert "siproster status" in job["hint"]
    assert "nightly is paused since" in check(facts, "schedule")["text"]
    resume = check(facts, "schedule")["hint"].partition("siproster ")[2]
    assert office.run(*resume.split()).code == 0
    assert "schedule" not in states(office.run("doctor", "--json", SIPROSTER_BROKER=redis_url).json)
    with sqlite3.connect(office.home / ".local/state/siproster/ledger.sqlite") as ledger:
        ledger.execute("UPDATE schedules SET next_slot = next_slot - 200000")
    ledger.close()
    facts = office.run("doctor", "--json", SIPROSTER_BROKER=redis_url).json
    assert check(facts, "schedule")["hint"] == "start one with: siproster scheduler"


def test_a_job_that_its_command_left(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """A paused job that nobody holds: why, and how to go on."""
    roster = roster_of(tmp_path / "staff.csv", users(3))
    sandbox.knobs(refuse={"probability": 1.0, "method": "POST", "path": "sipcredentials", "status": 503})
    assert office.run("import", roster, "--patience", "0.2").code == 5
    sandbox.knobs(refuse=None)
    job = check(office.run("doctor", "--json").json, "job")
    assert "is paused: " in job["text"]
    resume = job["hint"].partition("siproster ")[2]
    assert office.run(*resume.split()).code == 0
    assert "job" not in states(office.run("doctor", "--json").json)


@pytest.mark.parametrize(
    ("settings", "state", "text"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "warning", "maxmemory-policy allkeys-lru"),
        ({"maxmemory": "1"}, "trouble", "Redis is full"),
    ],
)
def test_a_redis_that_loses_or_refuses_messages(
    office: Program, redis_server: Redis, settings: dict[str, str], state: str, text: str
) -> None:
    """Redis is asked for its limits, and whether it has reached them."""
    with redis_server.client() as client:
        before = client.config_get(*settings)
        try:
            for name, value in settings.items():
                client.config_set(name, value)
            facts = office.run("doctor", "--json", SIPROSTER_BROKER=redis_server.url).json
        finally:
            for name, value in before.items():
                client.config_set(name, value)
    found = check(facts, "broker")
    assert (found["state"], text in found["text"]) == (state, True), found
