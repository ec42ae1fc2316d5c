"""``hash`` and ``keygen``."""

from __future__ import annotations

import base64
import hashlib
import os
import pty
import subprocess
import sys

import pytest

from tests.program import Program

REALM = "custxx.auth.bandwidth.com"
BOB = ("817d76e91aad032a8c272229f468bfb2", "39679d2a73c2e1ea719621bc0d8fdac8")
"""The digests of bob at somewhere.com, password ``password``, as printed in Bandwidth's guide."""


def digests(name: str, realm: str, password: str) -> tuple[str, str]:
    """Hash1 and Hash1b as the service makes them (docs/bandwidth-api.md#digests)."""
    texts = (f"{name}:{realm}:{password}", f"{name}@{realm}:{realm}:{password}")
    one, other = (hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in texts)
    return one, other


def test_the_guides_digests_come_out(siproster: Program) -> None:
    """Domain apart or inside the name, text or JSON: the pair that the guide prints."""
    split = siproster.run("hash", "bob", "--domain", "somewhere.com", "--realm", REALM, stdin="password")
    assert (split.code, split.stdout) == (0, f"Hash1   {BOB[0]}\nHash1b  {BOB[1]}\n")
    assert "as good as the password" in split.stderr
    joined = siproster.run("hash", "bob@somewhere.com", "--realm", REALM, "--json", stdin="password")
    assert joined.json == {
        "composite": "bob@somewhere.com",
        "realm": REALM,
        "hash1": BOB[0],
        "hash1b": BOB[1],
    }


@pytest.mark.parametrize(
    ("typed", "password"),
    [
        ("secret\n", "secret"),
        ("secret\r\n", "secret"),
        ("secret\n\n", "secret\n"),
        ("secret\r", "secret\r"),
        (" se:cret \t\n", " se:cret \t"),
        ("pässwörd\n", "pässwörd"),
    ],
)
def test_one_line_break_comes_off_and_nothing_else(siproster: Program, typed: str, password: str) -> None:
    """One final line break is removed; all else is the password to the byte: spaces, colons, UTF-8."""
    shown = siproster.run("hash", "alice", "--realm", REALM, "--json", stdin=typed)
    assert (shown.json["hash1"], shown.json["hash1b"]) == digests("alice", REALM, password)


def test_the_realm_is_taken_as_it_is(siproster: Program) -> None:
    """The host name's case changes the digests, and is not corrected."""
    shown = siproster.run("hash", "alice", "--realm", "Acme-0A.Auth.example", "--json", stdin="x").json
    assert (shown["hash1"], shown["hash1b"]) == digests("alice", "Acme-0A.Auth.example", "x")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["alice"], "--realm HOST is required"),
        (["alice", "--realm", "acme"], "siproster realm show acme"),
        (["bob@a.example", "--domain", "b.example", "--realm", REALM], "already has a domain"),
        (["", "--realm", REALM], "USER is empty"),
    ],
)
def test_what_makes_no_digest(siproster: Program, arguments: list[str], says: str) -> None:
    """If no digest can be made: exit code 6 with advice, and nothing on stdout."""
    refused = siproster.run("hash", *arguments, stdin="password")
    assert (refused.code, refused.stdout) == (6, "")
    assert says in refused.stderr


def test_no_password_is_no_digest(siproster: Program) -> None:
    """An empty stdin, as of a cron job, makes no digests of an empty password."""
    refused = siproster.run("hash", "alice", "--realm", REALM)
    assert (refused.code, refused.stdout) == (6, "")
    assert "no password was given on stdin" in refused.stderr


def test_a_password_is_never_an_argument(siproster: Program) -> None:
    """No option takes the password, since arguments show in the process list."""
    refused = siproster.run("hash", "alice", "--realm", REALM, "--password", "x")
    assert refused.code == 6
    assert "No such option" in refused.stderr


def test_bytes_that_are_no_text_are_refused(siproster: Program) -> None:
    """A password that isn't UTF-8 is refused, since its digests would be useless."""
    run = subprocess.run(
        [sys.executable, str(siproster.cli), "hash", "alice", "--realm", REALM],
        env=siproster.environment, cwd=siproster.work, input=b"p\xe4ss\n", capture_output=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (6, b"")
    assert b"not UTF-8" in run.stderr


def test_a_terminal_is_asked_without_an_echo(siproster: Program) -> None:
    """On a terminal the password is asked for twice and shows nowhere."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(siproster.cli), "hash", "alice", "--realm", REALM],
        env=siproster.environment, cwd=siproster.work, stdin=slave, stdout=subprocess.PIPE, stderr=slave,
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    for prompt in (b"Password: ", b"Repeat for confirmation: "):
        while prompt not in shown:
            shown += os.read(master, 1024)
        os.write(master, b"unseen-canary\n")
    stdout, _ = process.communicate(timeout=60)
    assert stdout.decode().split()[1::2] == list(digests("alice", REALM, "unseen-canary"))
    shown += os.read(master, 4096)
    os.close(master)
    assert b"unseen-canary" not in shown


def test_a_key_is_new_each_time(siproster: Program) -> None:
    """`keygen` prints 32 bytes in URL-safe base64 alone on stdout, never the same ones."""
    keys = [siproster.run("keygen").stdout for _ in range(2)]
    assert [len(base64.urlsafe_b64decode(key)) for key in keys] == [32, 32]
    assert keys[0] != keys[1]
    assert all(key.count("\n") == 1 for key in keys)


def test_a_key_is_taken(siproster: Program) -> None:
    """SIPROSTER_KEY takes the keys that `keygen` prints, several of them, too."""
    ring = ",".join(siproster.run("keygen").stdout.strip() for _ in range(2))
    checks = siproster.run("doctor", "--json", SIPROSTER_KEY=ring).json["checks"]
    (key,) = (check for check in checks if check["name"] == "key")
    assert (key["state"], key["text"][-13:]) == ("ok", "2 in the ring")
