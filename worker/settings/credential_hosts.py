"""Servers that may be given credentials, depending on the source of their address and of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from worker.errors import UsageError
from worker.settings import addresses
from worker.settings.file import NAME

ALLOW_HTTP = "SIPROSTER_ALLOW_HTTP"

_HOSTS = ("BW_API_URL", "BW_VOICE_URL")
_SERVERS = (*_HOSTS, "SIPROSTER_API_PATH", "SIPROSTER_BROKER", "SIPROSTER_LEDGER")
"""Settings that name a server."""

_NAMED = f"check its contents; if they are right, use --config {NAME}"


def check(
    values: Mapping[str, str], sources: Mapping[str, str], found: str, environ: Mapping[str, str]
) -> None:
    """Raise UsageError if credentials could be led astray.

    ``found``: the settings file as a source, if nobody named it and it was just there in the working folder;
    else empty. Somebody else's checkout or archive may hold such a file: it must not say where foreign
    credentials go, nor that they may go there unencrypted.
    """
    if found:
        _refuse_leading_astray(values, sources, found, environ)
    for name in _HOSTS:
        if addresses.travels_in_clear(values[name]) and not values[ALLOW_HTTP]:
            raise UsageError(
                f"{name} ({sources[name]}): {values[name]} is not https: "
                "credentials would be sent in clear text",
                f"write it as https://HOST; {ALLOW_HTTP}=1 allows it anyway",
            )


def _refuse_leading_astray(
    values: Mapping[str, str], sources: Mapping[str, str], found: str, environ: Mapping[str, str]
) -> None:
    if values[ALLOW_HTTP] and sources[ALLOW_HTTP] == found:
        raise UsageError(f"{found} sets {ALLOW_HTTP}, but was only found in the working folder", _NAMED)
    server = next((name for name in _SERVERS if _is_server(name, values) and sources[name] == found), None)
    secret = next((name for name in _secrets(values, environ) if sources.get(name) != found), None)
    if server and secret:
        raise UsageError(
            f"{server} comes from {found}, which was only found in the working folder, and {secret} from "
            f"{sources.get(secret, 'the environment')}: so it is not sent to "
            f"{addresses.hidden(values[server])}",
            f"{_NAMED}; or put both in one place",
        )


def _is_server(name: str, values: Mapping[str, str]) -> bool:
    """Return whether the setting names a server; a SQLite ledger is a file, which is sent nothing."""
    return bool(values[name]) and not (name == "SIPROSTER_LEDGER" and addresses.sqlite_path(values[name]))


def _secrets(values: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the names of the secrets that would be used."""
    used = "BW_CLIENT_SECRET" if values["BW_CLIENT_ID"] else "BW_PASSWORD"
    yield from (name for name in (used, "SIPROSTER_KEY") if values[name])
    if environ.get("PGPASSWORD") and not addresses.sqlite_path(values["SIPROSTER_LEDGER"]):
        yield "PGPASSWORD"  # libpq gives it to any server that asks
