"""Commands and Apprise: programs that get the notification, hang, fail, or look for secrets."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.scripted import Told, scripted
from tests.unit.notifications import run_ended
from worker.channels import AppriseChannel, CommandChannel, When
from worker.notify import Message, NotDelivered, Sender

MESSAGE = Message("msg_0a1b", run_ended())


@pytest.fixture
def sender() -> Iterator[Sender]:
    """A sender as a scheduler has it."""
    with closing(Sender()) as sender:
        yield sender


def shell(script: str, timeout: float = 20.0) -> CommandChannel:
    """A channel that runs a script of the shell."""
    return CommandChannel(name="page", when=When.ALWAYS, argv=("sh", "-c", script), timeout=timeout)


def failed(sender: Sender, channel: CommandChannel | AppriseChannel) -> str:
    """The reason why an attempt failed."""
    with pytest.raises(NotDelivered) as caught:
        sender.send(channel, MESSAGE)
    return caught.value.reason


def test_the_payload_is_on_standard_input(sender: Sender, tmp_path: Path) -> None:
    """One JSON object, with the id that is the same for each attempt."""
    sender.send(shell(f"cat > {shlex.quote(str(tmp_path / 'got'))}"), MESSAGE)
    assert json.loads((tmp_path / "got").read_bytes()) == {"id": "msg_0a1b", **run_ended()}


def test_a_command_that_reads_nothing(sender: Sender) -> None:
    """A program may ignore its input, however long it is."""
    sender.send(shell("exec true"), Message("msg_1", run_ended(why="x" * 1_000_000)))


def test_no_shell_is_involved(sender: Sender, tmp_path: Path) -> None:
    """Arguments reach the program as they are written."""
    argv = ("sh", "-c", 'printf %s "$1" > "$2"', "sh", "$(id); `id` *", str(tmp_path / "got"))
    sender.send(CommandChannel(name="page", argv=argv), MESSAGE)
    assert (tmp_path / "got").read_text() == "$(id); `id` *"


def test_exit_codes(sender: Sender) -> None:
    """Only 0 means that it was delivered."""
    assert failed(sender, shell("exit 3")) == "sh exited with code 3"
    assert failed(sender, shell("kill -9 $$")) == "sh was ended by signal 9"
    assert failed(sender, CommandChannel(name="page", argv=("/nowhere/page",))) == (
        "/nowhere/page can't be run: no such file or directory"
    )


def test_a_command_that_hangs_is_killed_with_its_children(sender: Sender, tmp_path: Path) -> None:
    """After the timeout nothing that it has started is left."""
    began, pid = time.monotonic(), tmp_path / "pid"
    reason = failed(sender, shell(f"sleep 60 & echo $! > {shlex.quote(str(pid))}; wait", timeout=1.0))
    assert reason == "sh did not end within 1 s and was killed"
    assert time.monotonic() - began < 10
    child = Path("/proc", pid.read_text().strip(), "stat")
    while alive(child):  # a killed process ends as soon as it gets a processor
        assert time.monotonic() - began < 30
        time.sleep(0.02)


def alive(stat: Path) -> bool:
    """Whether the process of this file in /proc runs, and isn't just waiting to be reaped."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:  # gone, perhaps between its opening and its reading
        return False


def test_a_command_sees_no_secret(sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command gets only the usual variables of the environment, since any other may be a secret."""
    for name in ("BW_CLIENT_SECRET", "SIPROSTER_KEY", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "HOOK_SECRET"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    sender.send(shell(f"env > {shlex.quote(str(tmp_path / 'got'))}"), MESSAGE)
    seen = (tmp_path / "got").read_text()
    assert "canary" not in seen
    assert f"PATH={os.environ['PATH']}" in seen
    assert "LC_ALL=C.UTF-8" in seen


def test_apprise(sender: Sender) -> None:
    """The text reaches a service of Apprise's, here its plain JSON webhook."""
    with scripted(lambda _: Told()) as server:
        url = server.url.replace("http://", "json://")
        sender.send(AppriseChannel(name="chat", urls=(f"{url}/a", f"{url}/b")), MESSAGE)
    assert sorted(one.path for one in server.asked) == ["/a", "/b"]
    told = json.loads(server.asked[0].body)
    assert told["title"] == "nightly: 598 of 600 rows in place, 2 failed"
    assert "siproster status 20261129-acme-1" in told["message"]


def test_apprise_in_trouble(sender: Sender) -> None:
    """A URL of no service, a service that refuses, one that hangs: failed attempts that show no URL."""
    unknown = AppriseChannel(name="chat", urls=("nosuchservice://canary",))
    assert failed(sender, unknown) == "at least one of urls is not a URL of Apprise's"
    with scripted(lambda _: Told(500)) as server:
        url = server.url.replace("http://", "json://canary:canary@")
        refused = AppriseChannel(name="chat", urls=(url,))
        assert failed(sender, refused) == "at least one service did not accept the notification"
    began = time.monotonic()
    with (
        scripted(lambda _: Told(body=b"x" * 1000, drip=0.2)) as server,
        closing(Sender(longest=3.0)) as hasty,
    ):
        drips = AppriseChannel(name="chat", urls=(server.url.replace("http://", "json://"),))
        assert failed(hasty, drips) == "the process for Apprise did not end within 3 s and was killed"
    assert time.monotonic() - began < 30
