"""The stand-in for the API as an own process, and what tests ask it for."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.servers import Server, free_port

ACCOUNT = "9900001"
USER = "sandbox"
SECRET = "sandbox"
ROOT = Path(__file__).parents[1]


class Sandbox(Server):
    """``python -m worker.sandbox`` with its own defaults: one account, the realm ``office`` as default."""

    def __init__(self, folder: Path, *options: str) -> None:
        port = free_port()
        program = [sys.executable, "-m", "worker.sandbox", "--port", str(port), *options]
        self.url = f"http://127.0.0.1:{port}"
        # Not through a proxy that the environment names: this is the loopback interface.
        self.control = httpx.Client(base_url=f"{self.url}/_sandbox", trust_env=False, timeout=30)
        super().__init__(program, folder, port, variables={"PYTHONPATH": str(ROOT)})
        self.wait_until(lambda: self.control.get("health").raise_for_status())

    def environment(self) -> dict[str, str]:
        """The variables that point the program at this sandbox, with OAuth."""
        return {
            "BW_ACCOUNT_ID": ACCOUNT,
            "BW_CLIENT_ID": USER,
            "BW_CLIENT_SECRET": SECRET,
            "BW_API_URL": self.url,
            "BW_VOICE_URL": self.url,
        }

    @property
    def sip_port(self) -> int:
        """Return the port of its registrar, if it was started with ``--sip-port``."""
        return int(self.control.get("health").json()["sip_port"])

    def knobs(self, **knobs: Any) -> None:
        """Set some knobs, leave the others; a name or value that can't be fails the test."""
        answer = self.control.put("knobs", json=knobs)
        assert answer.status_code == 200, answer.text

    def log(self, method: str = "", path: str = "") -> list[dict[str, Any]]:
        """Every request since the reset, in order; only those of a method, or with ``path`` in theirs."""
        return [
            line for line in self.lines("log") if line["method"].startswith(method) and path in line["path"]
        ]

    def credentials(self, *, deleted: bool = False) -> list[dict[str, Any]]:
        """The stored truth; ``deleted``: also what is no longer stored."""
        return self.lines("credentials", {"deleted": "true"} if deleted else {})

    def digests(self) -> dict[str, tuple[str, str | None]]:
        """Hash1 and Hash1b of each stored composite name."""
        return {held["composite"]: (held["hash1"], held["hash1b"]) for held in self.credentials()}

    def reset(self) -> None:
        """Reset knobs, log, tokens, realms and credentials to the start."""
        self.control.post("reset").raise_for_status()

    def close(self) -> None:
        """End the process and its control connection."""
        self.control.close()
        self.stop()

    def lines(self, what: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Return the JSON lines of one of its control paths: ``log``, ``calls``, ``bindings``, ``sip`` …"""
        answer = self.control.get(what, params=query).raise_for_status()
        return [json.loads(line) for line in answer.text.splitlines()]
