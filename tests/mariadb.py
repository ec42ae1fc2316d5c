"""A real MariaDB for tests, in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pymysql

from tests.servers import Server, free_port, missing


class MariaDb(Server):
    """A MariaDB on a free port. ``USER`` owns the databases; killed and started again, it keeps its data."""

    USER = "siproster"
    PASSWORD = "mariadb-canary-40c7"

    def __init__(self) -> None:
        program, install = (
            shutil.which("mariadbd", path=_PATH),
            shutil.which("mariadb-install-db", path=_PATH),
        )
        if not (program and install):
            missing("MariaDB's mariadbd")
        user = "mysql" if os.geteuid() == 0 and "mysql" in {one.pw_name for one in pwd.getpwall()} else None
        folder = Path(tempfile.mkdtemp(prefix="siproster-mariadb-"))
        try:
            self._begin(program, install, folder, user)
        except BaseException:
            shutil.rmtree(folder)
            raise

    def _begin(self, program: str, install: str, folder: Path, user: str | None) -> None:
        if user:
            shutil.chown(folder, user)
        data = f"--datadir={folder / 'data'}"
        owner = [f"--user={user}"] if user else []
        subprocess.run(
            [install, "--no-defaults", data, *owner, *_FRESH],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        port = free_port()
        command = [
            program, "--no-defaults", data, *owner, f"--port={port}", "--bind-address=127.0.0.1",
            f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}", "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M",
            "--character-set-server=utf8mb4",
        ]  # fmt: skip
        super().__init__(command, folder, port)
        self.wait_until(lambda: self.root().close())
        grant = f"GRANT ALL ON *.* TO '{self.USER}'@'%' IDENTIFIED BY '{self.PASSWORD}' WITH GRANT OPTION"
        self.run(grant, user="root", password="")

    def root(self) -> pymysql.connections.Connection[pymysql.cursors.Cursor]:
        """Return a connection of the server's administrator."""
        try:
            return pymysql.connect(host="127.0.0.1", port=self.port, user="root", connect_timeout=5)
        except pymysql.err.OperationalError as error:
            raise ConnectionError(str(error)) from None

    def run(self, sql: str | bytes, database: str = "", *, user: str = USER, password: str = PASSWORD) -> str:
        """Run statements through MariaDB's own client, as an administrator does; return what it prints."""
        client = shutil.which("mariadb", path=_PATH)
        assert client
        done = subprocess.run(
            [client, "--no-defaults", "--host=127.0.0.1", f"--port={self.port}", f"--user={user}",
             "--default-character-set=utf8mb4", "--batch", *([database] if database else [])],
            input=sql if isinstance(sql, bytes) else sql.encode(), capture_output=True, check=False,
            env={**os.environ, "MYSQL_PWD": password},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode()

    def url(self, database: str, user: str = USER) -> str:
        """Return the URL of a database, without the password."""
        return f"mysql://{user}@127.0.0.1:{self.port}/{database}"

    def restart(self) -> None:
        """Start it again after a kill, with the same data."""
        self.start()
        self.wait_until(lambda: self.root().close())

    def remove(self) -> None:
        """End it at once and leave nothing behind."""
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder)


_FRESH = ("--auth-root-authentication-method=normal", "--skip-test-db")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin"
