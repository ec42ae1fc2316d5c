"""Certificates to trust, by the environment: SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE.

The libraries that read these variables fail without naming them, or silently trust no certificate.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from worker.errors import UsageError
from worker.reasons import reason_of

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""The only file names under which OpenSSL finds a certificate in a folder (openssl-rehash(1))."""

_UNSET = "unset it, and the usual certificates are trusted"


def context(usual: str | None = None, environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """Return a client's context that verifies certificates and host names. Raises UsageError as ``check``.

    ``usual``: the certificate file to use if the environment names none; None: the system's.
    """
    check(environ)
    if file := environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    if folders := environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=folders)
    return ssl.create_default_context(cafile=usual)


def check(environ: Mapping[str, str] = os.environ) -> None:
    """Raise UsageError, which names the variable, if the environment lets no TLS connection succeed.

    SSL_CERT_DIR counts only if SSL_CERT_FILE is not set, as in httpx.
    """
    if file := environ.get("SSL_CERT_FILE"):
        _check_file(file)
    elif folders := environ.get("SSL_CERT_DIR"):
        _check_folders(folders)
    if log := environ.get("SSLKEYLOGFILE"):
        _check_key_log(log)


def warnings(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return warnings about these variables that don't prevent a connection."""
    log = environ.get("SSLKEYLOGFILE")
    if not log:
        return []
    return [f"SSLKEYLOGFILE is set: who can read {log} can decrypt passwords and tokens on their way"]


def _check_file(file: str) -> None:
    try:
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        found.load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise UsageError(f"SSL_CERT_FILE: {file} holds no certificate in PEM form", _UNSET) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"SSL_CERT_FILE: {file} can't be read: {reason_of(error)}", _UNSET) from None


def _check_folders(folders: str) -> None:
    for folder in filter(None, folders.split(os.pathsep)):
        try:
            if any(_HASHED.fullmatch(path.name) for path in Path(folder).iterdir()):
                return
        except (OSError, ValueError):
            continue  # another file may work
    raise UsageError(
        f"SSL_CERT_DIR: no certificate is found in {folders}",
        f"run: openssl rehash FOLDER, which gives certificates the names that OpenSSL looks for; or {_UNSET}",
    )


def _check_key_log(log: str) -> None:
    try:
        with Path(log).open("ab"):
            pass
    except (OSError, ValueError) as error:
        raise UsageError(
            f"SSLKEYLOGFILE: {log} can't be written: {reason_of(error)}",
            "unset it: it is for those who debug TLS, and records the keys of every connection",
        ) from None
