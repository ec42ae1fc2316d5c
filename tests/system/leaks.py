"""Places where a secret must not be found, and the forms that it could take there."""

from __future__ import annotations

import base64
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil
import psycopg
from psycopg import sql

from tests.system.rosters import User

Places = dict[str, bytes]
"""Contents that were searched, by a name for people."""

HEX = re.compile(rb"[0-9a-fA-F]{32,}")


def forms(secret: str) -> set[bytes]:
    """A secret as it is, and as encoders would write it."""
    raw = secret.encode()
    return {
        raw,
        secret.encode("utf-16-le"),
        quote(secret).encode(),
        raw.hex().encode(),
        base64.b64encode(raw),
    }


def digest_forms(wanted: Iterable[User], host: str) -> set[bytes]:
    """Both digests of each user, as text in both cases and as bytes."""
    texts = {digest for user in wanted for digest in user.digests(host)}
    return {form for text in texts for form in (text.encode(), text.upper().encode(), bytes.fromhex(text))}


def leaks(places: Mapping[str, bytes], secrets: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """Every place where a secret is found, and which."""
    return [(place, one) for one in secrets for place, content in places.items() if one in content]


def digests_in(content: bytes, known: set[bytes]) -> set[bytes]:
    """Return the known digests (32 hex digits in lower case) that are anywhere in the content."""
    runs = (found[0].lower() for found in HEX.finditer(content))
    return {run[at : at + 32] for run in runs for at in range(len(run) - 31)} & known


def files(folder: Path) -> Places:
    """Every file below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tables(url: str) -> Places:
    """Every row of every table of a PostgreSQL database."""
    found = {}
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name))).fetchall()
            cells = (cell for row in rows for cell in row)
            found[f"table {name}"] = b"\n".join(
                cell if isinstance(cell, bytes) else str(cell).encode() for cell in cells
            )
    return found


def command_lines_until_end(process: subprocess.Popen[str]) -> bytes:
    """Return the command lines of this program's processes, as ``ps`` shows them until ``process`` ends."""
    seen: set[str] = set()
    while process.poll() is None:
        lines = (" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"]))
        seen.update(line for line in lines if "cli.py" in line)
        time.sleep(0.02)
    return "\n".join(seen).encode("utf-8", "surrogateescape")  # of other people's processes, too


class Monitor:
    """Record every command that Redis receives until ``stop``, by its MONITOR command."""

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._socket = socket.create_connection((target.hostname or "", target.port or 0))
        self._socket.sendall(b"MONITOR\r\n")
        self._parts = [self._socket.recv(5)]
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def stop(self) -> bytes:
        """Stop, and return everything that was received."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        return b"".join(self._parts)

    def _listen(self) -> None:
        while part := self._socket.recv(1 << 16):
            self._parts.append(part)
