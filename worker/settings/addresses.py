"""What the settings that are addresses must look like, and how they are shown.

Every check takes the text as set and returns it as used, or raises UsageError without the
setting's name, which the caller adds.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from worker.errors import UsageError

_SQLITE = "sqlite:///"

# Up to the last @: a password with an unescaped / or @ must not show either.
_USER_INFO = re.compile(r"//(?:([^:@/?#]*):)?.*@", re.DOTALL)
_SECRET_PARAMETER = re.compile(r"([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&#]*", re.IGNORECASE)


def hidden(text: str) -> str:
    """The text with what may be a secret in a URL replaced by ``<hidden>``."""
    without_user = _USER_INFO.sub(lambda found: f"//{found[1] + ':' if found[1] else ''}<hidden>@", text)
    return _SECRET_PARAMETER.sub(r"\1<hidden>", without_user)


def api_host(text: str) -> str:
    """Scheme and host, as in Bandwidth's own client; the paths are appended to it."""
    if "://" not in text:
        raise UsageError(f"{hidden(text)!r} has no scheme", "write it as https://HOST")
    url = _split(text)
    if url.scheme not in ("https", "http") or not url.hostname:
        raise UsageError(f"{hidden(text)!r} is not a web address", "write it as https://HOST")
    if url.username is not None or url.path.strip("/") or url.query or url.fragment:
        raise UsageError(
            f"{hidden(text)!r} holds more than scheme and host",
            f"write it as {url.scheme}://{url.netloc.rpartition('@')[2]}; "
            "the API's path is SIPROSTER_API_PATH",
        )
    return f"{url.scheme}://{url.netloc}"


def travels_in_clear(host: str) -> bool:
    """Whether what is sent there can be read on the way."""
    return host.startswith("http://") and not is_loopback(urlsplit(host).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_bandwidth(host: str) -> bool:
    """Whether it is one of Bandwidth's own hosts."""
    return f".{urlsplit(host).hostname}".endswith(".bandwidth.com")


def api_path(text: str) -> str:
    """``/api/v2`` or another absolute path."""
    if not re.fullmatch(r"(/[\w.-]+)+/?", text, re.ASCII):
        raise UsageError(f"{hidden(text)!r} is not a path", "write it as /api/v2")
    return text.rstrip("/")


def switch(text: str) -> str:
    """``1``; empty for what says no."""
    if text.lower() not in ("1", "true", "yes", "0", "false", "no"):
        raise UsageError(f"{hidden(text)!r} says neither yes nor no", "write 1, or leave it out")
    return "1" if text.lower() in ("1", "true", "yes") else ""


def account(text: str) -> str:
    """An account's id, which stands in paths as it is."""
    if not re.fullmatch(r"[\w-]+", text, re.ASCII):
        raise UsageError(
            f"{hidden(text)!r} is not an account id", "it is the number that the dashboard shows"
        )
    return text


def broker(text: str) -> str:
    """A Redis URL."""
    url = _split(text)
    if url.scheme not in ("redis", "rediss") or not url.hostname:
        raise UsageError(f"{hidden(text)!r} is not the URL of a Redis", "write it as redis://HOST:6379/0")
    return text


def ledger(text: str) -> str:
    """``sqlite:///`` with the path made absolute, or ``postgresql://`` as it is."""
    if text.startswith(_SQLITE):
        return _sqlite(text.removeprefix(_SQLITE))
    if _split(text).scheme != "postgresql":
        raise UsageError(
            f"{hidden(text)!r} is not the URL of a ledger",
            "write it as postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:////absolute/path.sqlite",
        )
    return text


def _sqlite(name: str) -> str:
    """Absolute, since every worker must find the same file from wherever it is started."""
    if not name or name == ":memory:":
        raise UsageError("a ledger must be a file: one in memory is forgotten with the process")
    try:
        return f"{_SQLITE}{Path(name).expanduser().absolute()}"
    except RuntimeError:  # what pathlib raises for ~name, where nobody is called so
        raise UsageError(f"{name!r} begins with the home folder of a user who does not exist") from None
    except ValueError:  # NUL, which no path holds
        raise UsageError(f"{name!r} is not the path of a file") from None


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite ledger; None for another kind of ledger."""
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def _split(text: str) -> SplitResult:
    """The parts, the port being a number where there is one."""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        raise UsageError(
            f"{hidden(text)!r} is not a URL",
            "a / or @ in its password is written as %2F or %40",
        ) from None
    return url
