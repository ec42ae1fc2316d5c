"""Wrong usage and wrong settings end with a documented exit code, never with an internal error."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import cli
from tests.sandbox import Sandbox
from worker.settings.names import DEFAULTS

CODES = {0, 2, 3, 4, 5, 6, 7, 10, 11, 130}
"""docs/errors.md; 1 is a fault."""

LONG = "x" * 70_000
VALUES = [
    "", " ", "\n", "-", "--", "-1", "0", "1", "nan", "inf", "1e400", "9" * 400, "9223372036854775807",
    "9223372036854775808", "1" * 5000, LONG, f"/{LONG}", "\udcff", "\u202e", "🦄", "ſ", "../..", "..", "/",
    "~", "~nobody-of-that-name/x", "http://[bad", "http://[::1", "file://[", "a::b://[", "%", "%00", "%zz",
    "?x=1", "#", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2999-02-30", "a=b", "=", "a=",
    "=b", "username=x", "{", "{}", "{x}", "{username", "{username!r:>{password}}", "{0.__class__}", "100%",
    "101%", "9" * 30 + "%", "tab", "utf-99", "idna", "rot13", "hex", "undefined", "unicode_escape", "utf-7",
    "punycode", "mbcs", "*", "a,b", "\\", "'",
]  # fmt: skip

ADDRESSES = [
    "http://xn--a.com", "https://xn--a", "https://é.example", "https://a..b", f"https://{'a' * 70}.example",
    "http://127.0.0.1:1", "https://[::1%25eth0]", "https://a b", "https://a\tb", "http://127.0.0.1:0",
    "redis://127.0.0.1:1/abc", "redis://127.0.0.1:1/0?timeout=abc",
    "rediss://127.0.0.1:1/0?ssl_cert_reqs=x", "postgresql://127.0.0.1:1/d?timeout=abc",
    "postgresql://127.0.0.1:1/d?connect_timeout=abc", "postgresql://127.0.0.1:1/d?sslmode=abc",
    "postgresql://127.0.0.1:1/d?a=1&a=2", "postgresql://%00@127.0.0.1:1/d", "postgresql://127.0.0.1:1/%00",
    "sqlite:///a?timeout=abc", "sqlite:///%00", f"sqlite:///{LONG}", "sqlite:///\udcff",
    "sqlite:////dev/null", "sqlite:////proc/x/y", "sqlite:///.",
]  # fmt: skip

COMMANDS: dict[str, list[list[str]]] = {
    "plan": [["ROSTER"], ["ODD"]],
    "jobs": [[], ["--audit"], ["purge"], ["purge", "ODD", "--yes"]],
    "status": [["ODD"]],
    "report": [["ODD"]],
    "retry": [["ODD"]],
    "resume": [["ODD"]],
    "cancel": [["ODD"]],
    "undo": [["ODD", "--yes"]],
    "verify": [["ODD", "--yes"]],
    "realm": [["list"], ["show", "ODD"], ["create", "ODD"], ["delete", "ODD", "--yes"], ["update", "ODD"]],
    "credential": [["list"], ["show", "ODD"], ["delete", "ODD", "--yes"]],
    "call": [["ODD", "--yes"]],
    "snapshot": [["ODD"]],
    "diff": [["ODD"], ["ODD", "ODD"]],
    "hash": [["ODD"]],
}


@pytest.fixture
def place(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a roster, and the sandbox's account in the environment."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        **sandbox.environment(),
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "staff.csv").write_text("username,password\nbob,Tb7xQ2mK9rL4vN8s\n")
    loggers = [
        logging.getLogger(),
        logging.getLogger("worker"),
    ]  # commands set them up for a process of their own
    before = [(one, one.handlers[:], one.level) for one in loggers]
    yield tmp_path
    for one, handlers, level in before:
        one.handlers[:] = handlers
        one.setLevel(level)


def outcome(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command in this process; return its exit code and stderr."""
    code = cli._run(words)
    return code, capsys.readouterr().err


def leaf(words: list[str]) -> click.Command:
    """The command that the first words name."""
    command = cli.cli.get_command(click.Context(cli.cli), words[0])
    assert command is not None
    if isinstance(command, click.Group) and len(words) > 1 and words[1] in command.commands:
        return command.commands[words[1]]
    return command


def options(words: list[str]) -> list[click.Option]:
    """Return those of its options that take a value."""
    found = [one for one in leaf(words).params if isinstance(one, click.Option)]
    return [one for one in found if not one.is_flag and "--config" not in one.opts]


@pytest.mark.parametrize("seed", range(2))
def test_no_value_is_a_fault(place: Path, capsys: pytest.CaptureFixture[str], seed: int) -> None:
    """Any text as argument or option gives a documented exit code, for every command that ends by itself."""
    rng = random.Random(seed)
    faults = []
    for name, forms in COMMANDS.items():
        for form in forms:
            for _ in range(5):
                words = [name, *(rng.choice(VALUES) if word == "ODD" else word for word in form)]
                words = [str(place / "staff.csv") if word == "ROSTER" else word for word in words]
                for option in rng.sample(known := options(words), min(len(known), rng.randint(0, 2))):
                    words += [option.opts[0], rng.choice(VALUES)]
                code, said = outcome(words, capsys)
                if code not in CODES or "bug in siproster" in said:
                    faults.append(([word[:60] for word in words], code, said[-300:]))
    assert faults == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jobs", "--limit", "9223372036854775808"], "'--limit'"),
        (["jobs", "--audit", "--limit", "9223372036854775808"], "'--limit'"),
        (["credential", "list", "--limit", "9223372036854775808"], "'--limit'"),
        (["plan", "staff.csv", "--limit", "9223372036854775808"], "'--limit'"),
        (["verify", "staff.csv", "--sample", "9223372036854775808"], "'--sample'"),
        (["plan", "staff.csv", "--not-after", "9999-12-31T23:59:59-14:00"], "not a valid time"),
        (["plan", "staff.csv", "--rate", "0.0000001"], "at least one per hour"),
        (["plan", "staff.csv", "--rate", "9" * 400], "must be a finite number"),
        (["plan", "http://[bad"], "http://[bad"),
        (["plan", LONG], "file name too long"),
        (["credential", "show", LONG], "can't be a user name"),
        (["realm", "show", "x" * 30_000, "--api", "x"], "No such option"),
    ],
)
def test_wrong_usage_is_told(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    """Wrong usage has exit code 6, and a message that says what is wrong."""
    code, told = outcome(words, capsys)
    assert (code, said in told) == (6, True), told[-500:]
    assert place.is_dir()


@pytest.mark.parametrize(
    ("ledger", "said"),
    [
        ("?timeout=abc", 'invalid connection option "timeout"'),
        ("?sslmode=abc", "sslmode=abc is not one of libpq's modes"),
        ("?sslmode=require&sslmode=require", "sslmode is given twice"),
        ("?channel_binding=bad", 'invalid channel_binding value: "bad"'),
        ("?target_session_attrs=zz", 'invalid target_session_attrs value: "zz"'),
        ("?load_balance_hosts=zz", 'invalid load_balance_hosts value: "zz"'),
        ("?ssl_min_protocol_version=zz", 'invalid "ssl_min_protocol_version" value: "zz"'),
        ("?keepalives=zz", 'invalid integer value "zz" for connection option "keepalives"'),
        ("?connect_timeout=x", "bad value for connect_timeout: 'x'"),
        ("?sslnegotiation=direct&sslmode=prefer", 'weak sslmode "prefer"'),
        ("?port=99999", 'invalid port number: "99999"'),
        ("?service=nope", 'definition of service "nope" not found'),
        ("?hostaddr=x", "could not parse network address"),
    ],
)
def test_a_ledgers_parameters_are_libpqs(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, ledger: str, said: str
) -> None:
    """A parameter that libpq doesn't accept is reported before any connection is made."""
    monkeypatch.setenv("SIPROSTER_LEDGER", f"postgresql://127.0.0.1:1/d{ledger}")
    code, told = outcome(["jobs"], capsys)
    assert (code, said in told, "SIPROSTER_LEDGER" in told) == (6, True, True), told
    assert "resume" not in told
    assert place.is_dir()


@pytest.mark.parametrize("parameter", ["keepalives=zz", "channel_binding=bad"])
def test_a_ledgers_parameter_beside_libpqs_variables(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, parameter: str
) -> None:
    """libpq's variables are named as well, since the wrong value may be theirs."""
    monkeypatch.setenv("SIPROSTER_LEDGER", f"postgresql://127.0.0.1:1/d?{parameter}")
    monkeypatch.setenv("PGAPPNAME", "x")
    code, told = outcome(["jobs"], capsys)
    assert (code, "SIPROSTER_LEDGER decides" in told, "PGAPPNAME" in told) == (6, True, True), told
    assert place.is_dir()


@pytest.mark.parametrize("name", DEFAULTS)
def test_no_setting_is_a_fault(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Any text in a variable gives a documented exit code: hosts, ledgers, brokers and credentials."""
    faults = []
    for value in [*random.Random(name).sample(VALUES, 20), *ADDRESSES]:
        monkeypatch.setenv(name, value)
        code, said = outcome(["jobs", "--limit", "1"], capsys)
        # A ledger that can't be used ends with 1, and says so; nobody is asked over the network.
        if code not in CODES | {1} or "bug in siproster" in said:
            faults.append((value[:60], code, said[-300:]))
    assert faults == []


@pytest.mark.parametrize(
    "address", ["http://xn--a.com", "https://xn--a", "https://é\u200d.example", "https://a\x7fb"]
)
def test_a_host_that_can_not_be_is_told(
    place: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    """An invalid host is reported before the client finds out in the middle of a request."""
    words = ["realm", "list"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BW_API_URL", address)
        patch.setenv("SIPROSTER_ALLOW_HTTP", "1")
        code, said = outcome(words, capsys)
    assert (code, "is not the address of a host" in said, "BW_API_URL" in said) == (6, True, True), said
    assert place.is_dir()


@pytest.mark.parametrize("name", ["BW_CLIENT_ID", "BW_CLIENT_SECRET", "BW_ACCOUNT_ID"])
def test_a_setting_that_is_no_text_is_named(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A setting whose bytes are not UTF-8 is named."""
    monkeypatch.setenv(name, os.fsdecode(b"\xff"))
    code, said = outcome(["realm", "list"], capsys)
    assert (code, f"{name} (environment) is not UTF-8" in said) == (6, True), said
    assert place.is_dir()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('realm = "a\\u0000b"', "realm must be text in quotes, without NUL"),
        ('results = "\\u0000"', "results must be text"),
        ('BW_CLIENT_SECRET = "\\u0000"', "BW_CLIENT_SECRET must be text"),
        (f"rate = {'9' * 400}", "rate must be a number that is not too large"),
        (f"patience = {'9' * 5000}", "is not TOML"),
        ("limit = 9223372036854775808", "limit"),
        (f"where = {'[' * 3000}{']' * 3000}", "nested too deeply"),
        ("not-after = 9999-12-31T23:59:59-14:00", "not a valid time"),
        ("not-after = 9999-99-31T23:59:59Z", "is not TOML"),
        (f"map = {{{', '.join(f'a{n} = 1' for n in range(3))}}}", "map must be text"),
    ],
)
def test_no_settings_file_is_a_fault(
    place: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """A settings file with invalid values, or invalid TOML, is a usage error and never an internal error."""
    (place / "siproster.toml").write_text(text)
    code, told = outcome(["plan", str(place / "staff.csv")], capsys)
    assert (code, said in told) == (6, True), told
