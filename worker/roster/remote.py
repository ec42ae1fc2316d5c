"""Access to remote places: which credentials are used, and which servers are trusted."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, Final

from worker.errors import UsageError

_SSH = re.compile(r"(?:^|::)(sftp|ssh)://").search
_LOGIN_IN_URL = re.compile(r"(?:^|::)(sftp|ssh|s3|s3a|ftp|smb)://[^/?#]*:[^@]*@").search
_ACCESS: Final = {
    "sftp": "a key of ~/.ssh or of ssh-agent is used; try: sftp USER@HOST",
    "ssh": "a key of ~/.ssh or of ssh-agent is used; try: sftp USER@HOST",
    "s3": "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, are used; try: aws s3 ls s3://BUCKET/",
    "ftp": "the login of the URL's host in ~/.netrc is not used: copy the file, or serve it by sftp or https",
}
_USUAL = "check the address and your access to it"
_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "~/.ssh/known_hosts")


def refuse_password(url: str) -> None:
    """Raise UsageError for a URL with a password, which the process list shows."""
    if found := _LOGIN_IN_URL(url):
        raise UsageError(
            "the URL holds a password, which the process list and the shell's history show",
            f"leave it out: {access_to(found[1])}",
        )


def access_to(protocol: str) -> str:
    """Return what to check when a place of this protocol can't be read."""
    return _ACCESS.get(protocol, _USUAL)


def storage_options(url: str) -> dict[str, Any]:
    """Return fsspec's options for a URL: a server of SFTP must be a known host.

    By default fsspec trusts any key, and so does sshfs, which takes the protocol over where it is installed:
    anybody in between could hand over another roster.
    """
    found = _SSH(url)
    if not found:
        return {}
    fsspec: Any = importlib.import_module("fsspec")
    system: Any = importlib.import_module("fsspec.implementations.sftp").SFTPFileSystem
    fsspec.register_implementation(found[1], system, clobber=True)
    return {found[1]: {"host_key_policy": _known_hosts_only()}}


def _known_hosts_only() -> object:
    """Return a policy of paramiko's that accepts the keys in known_hosts alone."""
    paramiko: Any = importlib.import_module("paramiko")

    def missing_host_key(self: object, client: object, host: str, key: Any) -> None:
        known = paramiko.HostKeys()
        for file in (Path(one).expanduser() for one in _KNOWN_HOSTS):
            if file.is_file():
                known.load(str(file))
        if not known.check(host, key):
            raise UsageError(
                f"the SSH server {host} has a key that is not in ~/.ssh/known_hosts",
                "compare its fingerprint with the administrator's, and log in once: sftp USER@HOST",
            )

    return type("KnownHosts", (paramiko.MissingHostKeyPolicy,), {"missing_host_key": missing_host_key})()
