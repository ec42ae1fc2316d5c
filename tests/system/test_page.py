"""``siproster serve`` and ``people`` as their users run them: who may connect, with TLS, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.certificates import certificate
from tests.program import Program

SECONDS = 60.0


@pytest.fixture
def office(siproster: Program) -> Program:
    """The program with an account; nothing is ever sent to it."""
    siproster.environment |= {
        "BW_ACCOUNT_ID": "9900001", "BW_CLIENT_ID": "a", "BW_CLIENT_SECRET": "b",
        "BW_API_URL": "http://127.0.0.1:1", "BW_VOICE_URL": "http://127.0.0.1:1",
    }  # fmt: skip
    return siproster


def address_of(process: subprocess.Popen[str]) -> str:
    """The address that a server prints once it listens."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"the page is at (https?://\S+)/\n", line)
    assert found, (line, process.communicate(timeout=SECONDS))
    return found[1]


@contextmanager
def served(program: Program, *arguments: str | Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server on a free port, and its address; it is killed at the end if it still runs."""
    process = program.start("serve", "--port", "0", *arguments)
    yield address_of(process), process
    process.kill()


def ended(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> str:
    """Send the signal, and return what the process printed for people; it ends with 0."""
    process.send_signal(how)
    _, stderr = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, stderr
    return stderr


def sign_in(client: httpx.Client, url: str, token: str) -> int:
    """The status of signing in."""
    csrf = re.findall('name="csrf" value="([0-9a-f]+)"', client.get(f"{url}/sign-in").text)[0]
    return client.post(f"{url}/sign-in", data={"csrf": csrf, "token": token, "next": "/"}).status_code


def test_on_this_computer_it_needs_nothing(office: Program) -> None:
    """Without people, the page is for this computer alone; it says so, and ends at Ctrl-C."""
    with served(office, "--log-format", "text") as (url, process), httpx.Client() as client:
        assert url.startswith("http://127.0.0.1:")
        assert client.get(url).status_code == 200
        port = int(url.rpartition(":")[2])
        again = office.run("serve", "--port", str(port))
        assert again.code == 6
        assert f"127.0.0.1:{port} can't be used: Address already in use" in again.stderr
        said = ended(process, signal.SIGINT)
    assert "anybody on this computer, without signing in" in said
    assert "GET / 200" in said
    assert "Traceback" not in said
    acts = office.run("jobs", "--audit", "--json").json
    assert [(act["command"], act["subject"]) for act in acts] == [("serve", url)]


@pytest.mark.parametrize(
    "options",
    [
        ("--host", "0.0.0.0"),  # noqa: S104
        ("--origin", "https://voice.example.com"),
        ("--sign-in",),
        ("--four-eyes",),
    ],
    ids=" ".join,
)
def test_others_need_people(office: Program, options: tuple[str, ...]) -> None:
    """The page is not opened to others, nor signed in to, before there is somebody who may."""
    refused = office.run("serve", "--port", "0", *options)
    assert refused.code == 6
    assert "siproster people add NAME --role admin" in refused.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "nowhere.invalid", "--sign-in"), "nowhere.invalid:0 can't be used"),
        (("--host", "192.0.2.1"), "192.0.2.1:0 can't be used"),
        (("--tls-cert", "none.pem"), "none.pem, or its key, can't be used: no such file"),
        (("--tls-cert", "staff.csv"), "staff.csv, or its key, can't be used"),
        (("--tls-key", "staff.csv"), "--tls-key needs --tls-cert"),
        (("--origin", "voice.example.com"), "is not a URL of scheme and host"),
        (("--origin", "https://voice.example.com/page"), "is not a URL of scheme and host"),
        (("--origin", "https://u:s3cret@voice.example.com"), "--origin https://voice.example.com: is not"),
        (("--max-upload", "5"), "must be a size from 1K to 4G"),
        (("--max-upload", "many"), "must be a size from 1K to 4G"),
    ],
)
def test_wrong_options_are_told(office: Program, options: tuple[str, ...], said: str) -> None:
    """Each wrong option ends the command with 6 and says what is wrong, without a traceback."""
    (office.work / "staff.csv").write_text("username,password\n")
    office.run("people", "add", "dana", "--role", "admin")
    refused = office.run("serve", "--port", "0", *options)
    assert refused.code == 6
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_browsers_leave_the_default_port_out(office: Program) -> None:
    """An origin with its scheme's own port is the one without, or no browser could reach the page."""
    office.run("people", "add", "dana", "--role", "admin")
    with served(office, "--origin", "https://Voice.example.com:443") as (url, _):
        assert url == "https://voice.example.com"


def test_the_account_must_be_set(siproster: Program) -> None:
    """Without an account there is nothing to import to: the page doesn't start."""
    refused = siproster.run("serve", "--port", "0")
    assert refused.code == 6
    assert "BW_ACCOUNT_ID" in refused.stderr


def test_people_sign_in_across_restarts(office: Program) -> None:
    """A session outlives the server, and ends with a renewed token; the settings file has the options."""
    token = office.run("people", "add", "dana", "--role", "admin").stdout.strip()
    settings = 'serve-host = "0.0.0.0"\nserve-port = 0\nfour-eyes = true\nmax-upload = "1M"\n'
    (office.work / "siproster.toml").write_text(settings)
    with httpx.Client() as client:
        process = office.start("serve")
        port = address_of(process).rpartition(":")[2]
        url = f"http://127.0.0.1:{port}"
        assert client.get(url).headers["location"] == "/sign-in?next=%2F"
        assert sign_in(client, url, token) == 303
        assert client.get(url).status_code == 200
        said = ended(process)
        assert "WARNING  without TLS, tokens and passwords cross the network in clear text" in said
        process = office.start("serve", "--port", port)
        address_of(process)
        assert client.get(url).status_code == 200
        assert client.get(url, headers={"Host": "evil.example"}).status_code == 421
        renewed = office.run("people", "renew", "DANA", "--json").json
        assert client.get(url).status_code == 303
        assert sign_in(client, url, token) == 401
        assert sign_in(client, url, renewed["token"]) == 303
        said += ended(process)
    assert token not in said
    assert renewed["token"] not in said


def test_tls_is_the_server_s_own(office: Program, tmp_path: Path) -> None:
    """With a certificate, the page speaks TLS and nothing else; cookies are bound to it."""
    pem, key = certificate(tmp_path, "localhost")
    token = office.run("people", "add", "dana").stdout.strip()
    trusted = ssl.create_default_context(cafile=str(pem))
    with (
        served(office, "--host", "localhost", "--tls-cert", pem, "--tls-key", key) as (url, process),
        httpx.Client(verify=trusted) as client,
    ):
        assert url.startswith("https://localhost:")
        assert sign_in(client, url, token) == 303
        assert client.get(url).status_code == 200
        assert {cookie.name[:7] for cookie in client.cookies.jar if cookie.secure} == {"__Host-"}
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert plain.recv(100) == b""
        assert "WARNING" not in ended(process)


def test_people_are_managed_in_the_shell(office: Program) -> None:
    """Tokens are printed once, on stdout alone; the list has none; wrong names are refused."""
    added = office.run("people", "add", "dana", "--role", "approve")
    token = added.stdout.strip()
    assert re.fullmatch(r"dana\.[A-Za-z0-9_-]{43}", token)
    assert token not in added.stderr
    assert office.run("people", "add", "Dana").code == 4
    assert office.run("people", "add", "../dana").code == 6
    assert office.run("people", "add", "lee", "--role", "root").code == 6
    assert office.run("people", "renew", "lee").code == 3
    assert office.run("people", "remove", "lee", "--yes").code == 3
    listed = office.run("people", "list", "--json")
    assert [(one["name"], one["role"], one["signed_in"]) for one in listed.json] == [
        ("dana", "approve", None)
    ]
    assert token not in listed.stdout
    assert token not in office.run("people", "list").stdout
    assert office.run("people", "remove", "dana").code == 6
    assert office.run("people", "remove", "dana", "--yes").code == 0
    assert "nobody yet" in office.run("people", "list").stderr
    acts = office.run("jobs", "--audit", "--json").json
    assert [(act["command"], act["subject"]) for act in acts] == [
        ("people remove", "dana"),
        ("people add", "dana"),
    ]
    assert token not in str(acts)


def test_the_wheel_serves_the_page(office: Program, installed: Path) -> None:
    """What is installed has the templates and the style sheet, and serves them."""
    office.cli = installed / "cli.py"
    with served(office) as (url, process), httpx.Client() as client:
        assert "<h1>" in client.get(url).text
        assert client.get(f"{url}/people").status_code == 200
        assert "--accent" in client.get(f"{url}/static/page.css").text
        ended(process)
