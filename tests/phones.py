"""Phones of somebody else's making, with clear passwords: sipp for many, baresip for any password."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kamailio import needed
from tests.servers import free_port

SCENARIO = """<?xml version="1.0" encoding="UTF-8"?>
<scenario name="register">
  <send><![CDATA[
    REGISTER sip:[field1] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    Max-Forwards: 70
    From: <sip:[field0]@[field1]>;tag=[call_number]
    To: <sip:[field0]@[field1]>
    Call-ID: [call_id]
    CSeq: 1 REGISTER
    Contact: <sip:[field0]@[local_ip]:[local_port]>;expires=300
    Content-Length: 0

  ]]></send>
  <recv response="401" auth="true"/>
  <send><![CDATA[
    REGISTER sip:[field1] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    Max-Forwards: 70
    From: <sip:[field0]@[field1]>;tag=[call_number]
    To: <sip:[field0]@[field1]>
    Call-ID: [call_id]
    CSeq: 2 REGISTER
    Contact: <sip:[field0]@[local_ip]:[local_port]>;expires=300
    [field2]
    Content-Length: 0

  ]]></send>
  <recv response="403" optional="true" next="refused"/>
  <recv response="200"><action><log message="in [field3]"/></action></recv>
  <label id="ended"/>
  <nop next="end"/>
  <label id="refused"/>
  <nop><action><log message="out [field3]"/></action></nop>
  <label id="end"/>
</scenario>
"""


@dataclass(frozen=True)
class Phone:
    """Settings as they are typed into a phone."""

    name: str
    """The user name of its digests: ``alice``, ``bob@example.com``, ``alice@realm``."""
    realm: str
    password: str
    user: str
    """The user part of its address."""


def sipp(folder: Path, place: str, phones: Sequence[Phone]) -> dict[str, bool]:
    """Let them all register over UDP, each once; a digest's user name to whether it got in."""
    folder.mkdir()
    (folder / "register.xml").write_text(SCENARIO)
    lines = [
        f"{one.user};{one.realm};[authentication username={one.name} password={one.password}];{one.name}"
        for one in phones
    ]
    (folder / "phones.csv").write_text("\n".join(["SEQUENTIAL", *lines, ""]))
    log = folder / "log"
    command = [
        needed("sipp"), place, "-sf", "register.xml", "-inf", "phones.csv", "-m", str(len(phones)),
        "-r", "500", "-l", "20", "-i", "127.0.0.1", "-p", str(free_port()), "-nostdin", "-trace_logs",
        "-log_file", str(log),
        "-timeout", "60s", "-timeout_error",
    ]  # fmt: skip
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90)
    assert ended.returncode == 0, (ended.returncode, ended.stdout[-2000:], ended.stderr[-2000:])
    seen = [line.split() for line in log.read_text().splitlines()]
    return {name: word == "in" for word, name in seen}


ACCOUNT = '<sip:{user}@{realm}>;auth_user={name};auth_pass={password};outbound="sip:{place}";regint=60\n'
CONFIG = "module_path /usr/lib/baresip/modules\nmodule_app account.so\nsip_listen 127.0.0.1:0\n"

OUTCOME = re.compile(r"([^\s:]+)@\S+ (?:\{\S+\} )?(200 OK|403 Forbidden)").search
"""``ext0@realm: {0/UDP/v4} 200 OK``, ``reg: sip:ext0@realm: 403 Forbidden``."""
COLOUR = re.compile(r"\x1b\[[\d;]*m").sub


def baresip(folder: Path, place: str, phones: Sequence[Phone]) -> dict[str, bool]:
    """Let them register over UDP in one process; the user of each one's address to whether it got in."""
    folder.mkdir()
    (folder / "config").write_text(CONFIG)
    accounts = [
        ACCOUNT.format(user=one.user, realm=one.realm, name=one.name, password=one.password, place=place)
        for one in phones
    ]
    (folder / "accounts").write_text("".join(accounts), "utf-8")
    seen, printed = _registrations(_started(folder), len(phones))
    assert len(seen) == len(phones), printed
    return seen


def baresips(folders: Sequence[Path]) -> dict[str, bool]:
    """Start a baresip for each configuration folder; the user of each one's address to whether it got in.

    Only the place of its modules is set in addition, which its own packages know by another file.
    """
    for folder in folders:
        with (folder / "config").open("a") as config:
            config.write("module_path /usr/lib/baresip/modules\n")
    processes = [_started(folder) for folder in folders]
    seen: dict[str, bool] = {}
    for process in processes:
        got, printed = _registrations(process, 1)
        assert len(got) == 1, printed
        seen |= got
    return seen


def _started(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [needed("baresip"), "-f", str(folder), "-t", "60"], cwd=folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip


def _registrations(process: subprocess.Popen[str], wanted: int) -> tuple[dict[str, bool], str]:
    """Return which users got in, as soon as so many know, and all that was printed; ends the process."""
    assert process.stdout is not None
    seen: dict[str, bool] = {}
    printed = ""
    for line in process.stdout:
        printed += line
        if found := OUTCOME(COLOUR("", line)):
            seen[found[1]] = found[2] == "200 OK"
        if len(seen) == wanted:
            break
    process.kill()
    process.communicate()
    return seen, printed
