"""Several profiles in one process: which go together, and what each refusal names."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from worker.commands.profiles import Profiles
from worker.errors import UsageError

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
CANARY = "canary-7c1f"
EAST = f'[profile.east]\nBW_ACCOUNT_ID = "1"\nBW_CLIENT_ID = "a"\nBW_CLIENT_SECRET = "{CANARY}"\n'
WEST = f'[profile.west]\nBW_ACCOUNT_ID = "2"\nBW_CLIENT_ID = "b"\nBW_CLIENT_SECRET = "{CANARY}"\n'


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in an empty working folder, without settings in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SIPROSTER_KEY", "")


def profiles(text: str, *names: str, every: bool = False, account: str = "") -> Profiles:
    """Return the profiles as `worker` reads them from a file with this text."""
    path = Path("fleet.toml")
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    given: dict[str, Any] = {"profile": names, "all_profiles": every, "account": account, "config": path}
    return Profiles(given)


def refusal(text: str, *names: str, **more: Any) -> str:
    """Message and hint of the refusal of such profiles; it contains no secret."""
    with pytest.raises(UsageError) as caught:
        profiles(text, *names, **more).endpoints()
    said = f"{caught.value.message} | {caught.value.hint}"
    assert CANARY not in said
    assert KEY not in said
    return said


def accounts(chosen: Profiles) -> Sequence[tuple[str, str]]:
    """The accounts of the profiles, each with its credentials."""
    return [(endpoint.account, endpoint.client_id) for endpoint in chosen.endpoints()]


def test_each_profile_is_an_account_of_its_own() -> None:
    """Named profiles in their order, each once; all profiles; and without a profile the plain settings."""
    assert accounts(profiles(EAST + WEST, "west", "east", "west")) == [("2", "b"), ("1", "a")]
    assert accounts(profiles(EAST + WEST, every=True)) == [("1", "a"), ("2", "b")]
    assert accounts(profiles(EAST + WEST, "east")) == [("1", "a")]
    assert accounts(profiles(EAST.replace("[profile.east]", ""))) == [("1", "a")]


def test_one_account_in_two_profiles() -> None:
    """Profiles that differ in options of the import are one account; two sets of credentials are refused."""
    assert accounts(profiles(EAST + 'realm = "a"\n' + EAST.replace("east", "too"), every=True)) == [
        ("1", "a")
    ]
    said = refusal(EAST + WEST.replace('"2"', '"1"'), every=True)
    assert "profiles east and west have different settings for account 1 at https://api.bandwidth.com" in said


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("SIPROSTER_LEDGER", "postgresql://siproster:canary-7c1f@db.example/siproster"),
        ("SIPROSTER_BROKER", "redis://:canary-7c1f@127.0.0.1:6379/1"),
        ("SIPROSTER_KEY", KEY),
    ],
)
def test_what_a_process_has_once_must_not_differ(setting: str, value: str) -> None:
    """Another ledger, broker or key is refused by name, without its value; one above the profiles is fine."""
    said = refusal(f'{EAST}{WEST}{setting} = "{value}"\n', "east", "west")
    assert f"profiles east and west differ in {setting} | " in said
    profiles(f'{setting} = "{value}"\n{EAST}{WEST}', "east", "west")


@pytest.mark.parametrize(
    ("names", "more", "words"),
    [
        (("east", "north"), {}, "has no profile 'north' | did you mean east?"),
        (("east",), {"every": True}, "--all-profiles and --profile contradict each other"),
        (("east", "west"), {"account": "3"}, "--account names one account for several profiles"),
        ((), {"every": True, "account": "3"}, "--account names one account for several profiles"),
    ],
)
def test_a_choice_that_can_not_be_meant(names: Sequence[str], more: dict[str, Any], words: str) -> None:
    """An unknown profile, and options that contradict each other."""
    said = refusal(EAST + WEST, *names, **more)
    assert words.partition(" | ")[0] in said


def test_a_file_without_profiles_has_no_all_profiles(tmp_path: Path) -> None:
    """--all-profiles needs a file, and a table in it."""
    assert "fleet.toml has no [profile.NAME] table" in refusal('realm = "a"', every=True)
    given = {"profile": (), "all_profiles": True, "account": "", "config": None}
    with pytest.raises(UsageError, match=r"--all-profiles needs a siproster\.toml in the working folder"):
        Profiles(given)


def test_a_variable_for_several_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that would turn several accounts into one is refused; for one profile it is a warning."""
    monkeypatch.setenv("BW_ACCOUNT_ID", "7")
    assert "BW_ACCOUNT_ID from the environment is used, not the one in" in refusal(EAST + WEST, every=True)
    assert accounts(profiles(EAST + WEST, "east")) == [("7", "a")]


def test_what_is_missing_is_told_with_its_profile() -> None:
    """Incomplete settings name the profile that lacks them."""
    assert "profile west: not set: BW_CLIENT_ID, BW_CLIENT_SECRET" in refusal(
        f'{EAST}[profile.west]\nBW_ACCOUNT_ID = "2"', every=True
    )


def test_each_warning_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Profiles that share a setting share its warning."""
    profiles(f'SIPROSTER_BROKER = "redis://127.0.0.1:1/0"\n{EAST}{WEST}', every=True)
    assert capsys.readouterr().err.count("the ledger is SQLite") == 1
