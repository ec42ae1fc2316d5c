"""Hosts to which the token of a call may be sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.settings import load

LAB = "https://lab.example.com"
OLDER = "https://dashboard.bandwidth.com"
PROD, TEST = "https://voice.bandwidth.com", "https://test.voice.bandwidth.com"


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in an empty working folder, with a state folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize(
    ("environ", "host"),
    [
        ({}, PROD),
        ({"BW_ENVIRONMENT": "test"}, TEST),
        ({"BW_API_URL": OLDER}, PROD),
        ({"BW_API_URL": LAB, "BW_VOICE_URL": "https://voice.example.com"}, "https://voice.example.com"),
        ({"BW_VOICE_URL": LAB}, LAB),
    ],
)
def test_a_host_that_may_have_it(environ: dict[str, str], host: str) -> None:
    """The host is Bandwidth's own with Bandwidth's API, or else the one that somebody has set."""
    assert load({}, environ, None, "").voice_host() == host


@pytest.mark.parametrize(
    "environ",
    [
        {"BW_API_URL": LAB},
        {"BW_API_URL": "http://127.0.0.1:8321"},
        {"BW_API_URL": "https://notbandwidth.com"},
        {"BW_API_URL": "https://bandwidth.com.example.com"},
        {"BW_API_URL": LAB, "BW_ENVIRONMENT": "lab"},
    ],
)
def test_a_host_that_may_not(environ: dict[str, str]) -> None:
    """A token of one's own API doesn't go to Bandwidth, and a test's call doesn't reach a real phone."""
    with pytest.raises(UsageError, match="BW_VOICE_URL is not set"):
        load({}, environ, None, "").voice_host()


def test_a_voice_host_without_tls_is_warned_about() -> None:
    """A voice host without TLS, if allowed, causes a warning, except on the loopback interface."""
    environ = {"BW_VOICE_URL": "http://voice.example.com", "SIPROSTER_ALLOW_HTTP": "1"}
    warnings = load({}, environ, None, "").warnings
    assert any("http://voice.example.com is not https" in one for one in warnings)
    assert load({}, {"BW_VOICE_URL": "http://127.0.0.1:1"}, None, "").warnings == ()
