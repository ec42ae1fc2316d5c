"""``siproster sandbox``: the stand-in as people start it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess

import httpx

from tests.program import Program
from tests.sandbox import Sandbox


def announced(process: subprocess.Popen[str]) -> tuple[str, dict[str, str]]:
    """Return the URL that the sandbox announces, and the variables that it says to set."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    variables = dict(re.findall(r"(\w+)=(\S+)", lines[1] + lines[2]))
    return lines[0].removeprefix("sandbox ready at ").strip(), variables


def test_what_it_announces_works(siproster: Program) -> None:
    """The printed variables are all that the program needs to talk to it; its options are obeyed."""
    process = siproster.start("sandbox", "--port", "0", "--account", "77", "--realm", "hq", "--realm", "lab")
    url, variables = announced(process)
    assert variables["BW_API_URL"] == variables["BW_VOICE_URL"] == url
    siproster.environment |= variables
    realms = siproster.run("realm", "list", "--json").json
    assert [(realm["realm"].partition("-")[0], realm["default"]) for realm in realms] == [
        ("hq", True),
        ("lab", False),
    ]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


def test_knobs_come_from_the_command_line_and_a_file(siproster: Program) -> None:
    """--knob beats --knobs, and both reach the sandbox."""
    (siproster.work / "knobs.json").write_text('{"most_entries": 7, "realm_pending": 3}')
    process = siproster.start("sandbox", "--port", "0", "--knobs", "knobs.json", "--knob", "most_entries=5")
    url, _ = announced(process)
    knobs = httpx.get(f"{url}/_sandbox/knobs", trust_env=False).json()
    assert (knobs["most_entries"], knobs["realm_pending"]) == (5, 3)


def test_it_ends_with_its_stdin_when_asked(siproster: Program) -> None:
    """--with-stdin: a sandbox ends when the process at the other end of its stdin is gone."""
    process = siproster.start("sandbox", "--port", "0", "--with-stdin")
    announced(process)
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (0, "")


def test_a_wrong_knob_is_wrong_usage(siproster: Program) -> None:
    """Exit code 6, saying which, for a knob that doesn't exist and for a value that is no JSON."""
    unknown = siproster.run("sandbox", "--port", "0", "--knob", "latenzy=1")
    assert unknown.code == 6
    assert "unknown: latenzy" in unknown.stderr
    broken = siproster.run("sandbox", "--port", "0", "--knob", "latency=fast")
    assert broken.code == 6
    assert "'fast' is not JSON" in broken.stderr


def test_the_registrar_is_told_and_answers(siproster: Program) -> None:
    """--sip-port: its line names a port that answers datagrams and streams; an open stream delays no end."""
    process = siproster.start("sandbox", "--port", "0", "--sip-port", "0")
    announced(process)
    assert process.stdout is not None
    line = process.stdout.readline()
    host, port = line.strip().rpartition(" ")[2].split(":")
    request = b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\r\n"
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as asked:
            asked.settimeout(30)
            asked.connect((host, int(port)))
            asked.sendall(request)
            assert asked.recv(65536).startswith(b"SIP/2.0 405 ")
    with socket.create_connection((host, int(port))):
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (0, "")


def test_a_registrars_port_that_is_taken(siproster: Program) -> None:
    """Exit code 6, whether the datagram's or the stream's port is the one that is taken."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind(("127.0.0.1", 0))
            if kind is socket.SOCK_STREAM:
                taken.listen()
            refused = siproster.run("sandbox", "--port", "0", "--sip-port", str(taken.getsockname()[1]))
        assert refused.code == 6
        assert "Address already in use" in refused.stderr


def test_a_port_that_is_taken(siproster: Program, sandbox: Sandbox) -> None:
    """Exit code 6 with the way out."""
    refused = siproster.run("sandbox", "--port", str(sandbox.port))
    assert refused.code == 6
    assert "Address already in use" in refused.stderr
    assert "--port 0" in refused.stderr
