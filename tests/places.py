"""Real servers that hold files: one that speaks S3, and an SSH server."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.servers import Server, free_port, missing


class S3(Server):
    """moto's server: a service that speaks S3 and keeps its objects in memory."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        super().__init__(command, folder, port)
        self.url = f"http://127.0.0.1:{port}"
        self.wait_until(lambda: httpx.get(f"{self.url}/moto-api/data.json").raise_for_status())

    def put(self, path: str, content: str | None = None) -> None:
        """Create a bucket, or an object in it."""
        httpx.put(f"{self.url}/{path}", content=content).raise_for_status()

    def environment(self) -> dict[str, str]:
        """Return what AWS' own programs read as well."""
        return {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3-canary",
            "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip


class Sshd(Server):
    """OpenSSH's server, which lets the tests' own user in with the key of ``folder/user``."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            missing("OpenSSH's sshd")
        for name in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
            )
        if os.geteuid() == 0:  # where it gives up its rights; its package's service makes it
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        port = free_port()
        settings = {
            "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "PidFile": "none",
            "AuthorizedKeysFile": folder / "user.pub", "StrictModes": "no", "PasswordAuthentication": "no",
            "PermitRootLogin": "yes", "UsePAM": "no", "Subsystem": "sftp internal-sftp",
        }  # fmt: skip
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        super().__init__([program, "-D", "-e", "-f", "/dev/null", *options], folder, port)
        self.wait_until(lambda: socket.create_connection(("127.0.0.1", port)).close())

    def url(self, path: Path | str) -> str:
        """Return the URL of a file of this machine."""
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{path}"

    def let_in(self, home: Path) -> None:
        """Give a home the key that is let in."""
        (home / ".ssh").mkdir(exist_ok=True)
        shutil.copy(self.folder / "user", home / ".ssh/id_ed25519")
        (home / ".ssh/id_ed25519").chmod(0o600)

    def become_known(self, home: Path) -> None:
        """Enter the server's key in a home's known hosts."""
        (home / ".ssh").mkdir(exist_ok=True)
        key = (self.folder / "host.pub").read_text()
        (home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")
