"""Kamailio, a SIP registrar of somebody else's making, set up to hold the digests that Bandwidth holds."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server, free_port

TABLES = Path("/usr/share/kamailio/db_sqlite")

CONFIG = """
debug=1
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
{tls}
loadmodule "db_sqlite.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "kex.so"
loadmodule "textops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "auth_db.so"
modparam("usrloc", "use_domain", 1)
modparam("registrar", "min_expires", 0)
modparam("auth", "nonce_expire", {nonce_seconds})
modparam("auth_db", "db_url", "sqlite:///{database}")
modparam("auth_db", "calculate_ha1", 0)
modparam("auth_db", "password_column", "ha1")
modparam("auth_db", "password_column_2", "ha1b")
modparam("auth_db", "use_domain", 1)
request_route {{
    if (!is_method("REGISTER")) {{
        sl_send_reply("405", "Method Not Allowed");
        exit;
    }}
    if (!www_authenticate("$td", "subscriber")) {{
        switch ($rc) {{
            case -5: www_challenge("$td", "1"); break;
            case -4: www_challenge("$td", "17"); break;
            default: sl_send_reply("403", "Forbidden");
        }}
        exit;
    }}
    save("location");
}}
"""

TLS = """
enable_tls=yes
listen=tls:127.0.0.1:{port}
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{key}")
"""


class Kamailio(Server):
    """Listens on loopback: ``port`` for UDP and TCP, ``tls_port`` where it has a certificate."""

    def __init__(
        self, folder: Path, *, nonce_seconds: int = 60, certificate: tuple[Path, Path] | None = None
    ) -> None:
        """``certificate``: its file and its key's."""
        port, self.tls_port = free_port(), free_port()
        self._database = folder / "kamailio.sqlite"
        self._make_tables()
        tls = ""
        if certificate:
            tls = TLS.format(port=self.tls_port, certificate=certificate[0], key=certificate[1])
        config = folder / "kamailio.cfg"
        config.write_text(
            CONFIG.format(port=port, tls=tls, nonce_seconds=nonce_seconds, database=self._database)
        )
        program = [needed("kamailio"), "-DD", "-E", "-m", "32", "-M", "8"]
        super().__init__([*program, "-f", config, "-Y", folder, "-w", folder], folder, port)
        self.wait_until(lambda: socket.create_connection(("127.0.0.1", port)).close())

    @property
    def place(self) -> str:
        """Return the address for ``--registrar`` over UDP and TCP."""
        return f"127.0.0.1:{self.port}"

    @property
    def tls_place(self) -> str:
        """Return the address for ``--registrar`` over TLS."""
        return f"127.0.0.1:{self.tls_port}"

    def hold(self, credentials: Iterable[Mapping[str, Any]]) -> None:
        """Let it know these users in place of all others: ``composite``, ``realm``, ``hash1``, ``hash1b``.

        It takes a digest's user name apart at the first ``@`` and compares with the second column
        wherever there is something behind it; so a name with a domain needs two rows.
        """
        rows: list[tuple[str, str, str, str]] = []
        for held in credentials:
            user, at, domain = held["composite"].partition("@")
            if at:
                rows += [
                    (user, domain, "", held["hash1"]),
                    (user, f"{domain}@{held['realm']}", "", held["hash1b"]),
                ]
            else:
                rows.append((user, held["realm"], held["hash1"], held["hash1b"]))
        with self._connected() as connection:
            connection.execute("DELETE FROM subscriber")
            connection.executemany(
                "INSERT INTO subscriber (username, domain, ha1, ha1b) VALUES (?, ?, ?, ?)", rows
            )

    def _make_tables(self) -> None:
        if not TABLES.exists():
            needed("")
        with self._connected() as connection:
            for table in ("standard", "auth_db"):
                connection.executescript((TABLES / f"{table}-create.sql").read_text())

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(self._database, timeout=20)


def needed(program: str) -> str:
    """Return the path of one of Debian's programs, or fail the test if it is missing."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        pytest.fail(f"{program or 'kamailio-sqlite-modules'} is not installed: run make ci-packages")
    return found
