"""Settings that are addresses: their checks, and how they are shown.

Every check takes the text as set and returns it as used, or raises UsageError without the setting's name,
which the caller adds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from worker.errors import UsageError
from worker.hosts import fits_dns, is_loopback

_SQLITE = "sqlite:///"
_POSTGRES = "postgres://"
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_VERIFYING = {"ssl_cert_reqs": ("required", "cert_required"), "ssl_check_hostname": ("true", "1", "yes")}

# Up to the last @, so that a password with an unescaped / or @ is hidden, too.
_USER_INFO = re.compile(r"//(?:([^:@/?#]*):)?.*@", re.DOTALL)
_SECRET_PARAMETER = re.compile(r"([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&#]*", re.IGNORECASE)


def hidden(text: str) -> str:
    """Return the text with possible secrets in a URL replaced by ``<hidden>``."""
    without_user = _USER_INFO.sub(lambda found: f"//{found[1] + ':' if found[1] else ''}<hidden>@", text)
    return _SECRET_PARAMETER.sub(r"\1<hidden>", without_user)


def api_host(text: str) -> str:
    """Return scheme and host, as in Bandwidth's own client; the paths are appended to it."""
    if "://" not in text:
        raise UsageError(f"{hidden(text)!r} has no scheme", "write it as https://HOST")
    url = _split(text)
    if url.scheme not in ("https", "http") or not url.hostname:
        raise UsageError(f"{hidden(text)!r} is not a web address", "write it as https://HOST")
    if url.username is not None or url.path.strip("/") or url.query or url.fragment:
        raise UsageError(
            f"{hidden(text)!r} contains more than scheme and host",
            f"write it as {url.scheme}://{url.netloc.rpartition('@')[2]}; "
            "the API's path is SIPROSTER_API_PATH",
        )
    return f"{url.scheme}://{url.netloc}"


def travels_in_clear(host: str) -> bool:
    """Return whether data sent there can be read on the way."""
    return host.startswith("http://") and not is_loopback(urlsplit(host).hostname or "")


def is_bandwidth(host: str) -> bool:
    """Return whether the URL is one of Bandwidth's own hosts."""
    return f".{urlsplit(host).hostname}".endswith(".bandwidth.com")


def api_path(text: str) -> str:
    """Return ``/api/v2`` or another absolute path."""
    if not re.fullmatch(r"(/[\w.-]+)+/?", text, re.ASCII):
        raise UsageError(f"{hidden(text)!r} is not a path", "write it as /api/v2")
    return text.rstrip("/")


def switch(text: str) -> str:
    """Return ``1`` for yes, or an empty text for no."""
    if text.lower() not in ("1", "true", "yes", "0", "false", "no"):
        raise UsageError(f"{hidden(text)!r} says neither yes nor no", "write 1, or leave it out")
    return "1" if text.lower() in ("1", "true", "yes") else ""


def account(text: str) -> str:
    """Return an account's id, which goes into paths unchanged."""
    if not re.fullmatch(r"[\w-]+", text, re.ASCII):
        raise UsageError(
            f"{hidden(text)!r} is not an account id", "it is the number that the dashboard shows"
        )
    return text


def broker(text: str) -> str:
    """Return a Redis URL without the parameters that are applied anyway: with TLS, verifying the server.

    No other parameters are accepted than TLS's files: the broker's client and the throttle's each have their
    own, and some of them verify less, or load code.
    """
    url = _split(text)
    if url.scheme not in ("redis", "rediss") or not url.hostname:
        raise UsageError(f"{hidden(text)!r} is not the URL of a Redis", "write it as redis://HOST:6379/0")
    if not re.fullmatch(r"/?\d{0,9}", url.path, re.ASCII):
        raise UsageError(
            f"{hidden(text)!r}: {url.path} is not a Redis database", "write its number, such as /0"
        )
    files = [pair for pair in parse_qsl(url.query, keep_blank_values=True) if _is_file(*pair, url.scheme)]
    return urlunsplit(url._replace(query=urlencode(files, quote_via=quote)))


def _is_file(name: str, value: str, scheme: str) -> bool:
    """Return whether a parameter of a broker's URL must be passed on. Raises UsageError for unknown ones."""
    if scheme == "rediss" and name in _TLS_FILES:
        if not Path(value).is_file():
            raise UsageError(f"{name}: there is no file {value}", "name a PEM file by its absolute path")
        return True
    if scheme == "rediss" and name in _VERIFYING:
        if value.lower() in _VERIFYING[name]:
            return False
        raise UsageError(
            f"{name}={value} would let anyone impersonate the server",
            "leave it out; set your own certificate authority with ssl_ca_certs=FILE or SSL_CERT_FILE",
        )
    raise UsageError(
        f"{name!r} is not a parameter of a broker's URL", f"rediss:// takes {', '.join(_TLS_FILES)}"
    )


def _as_url(text: str) -> str:
    """Return a hint with the URL of a ledger that is written as a path, or as Heroku and Django write it."""
    if text.startswith("/"):
        return f"write it as {_SQLITE}{text}"
    if text.startswith(_POSTGRES):
        return f"write it as {hidden(f'postgresql://{text.removeprefix(_POSTGRES)}')}"
    return ""


def ledger(text: str) -> str:
    """Return ``sqlite:///`` with the path made absolute, or ``postgresql://`` unchanged."""
    if text.startswith(_SQLITE):
        return _sqlite(text.removeprefix(_SQLITE))
    url = _split(text)
    if url.scheme != "postgresql":
        raise UsageError(
            f"{hidden(text)!r} is not the URL of a ledger",
            _as_url(text)
            or "write it as postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:////absolute/path.sqlite",
        )
    if (url.netloc and "@" in text.partition(url.netloc)[2]) or "#" in text:
        raise UsageError(
            f"{hidden(text)!r} is not a URL", "a /, @ or # in its password is written as %2F, %40 or %23"
        )
    for host in _postgresql_hosts(text):
        if host[:1] not in ("/", "@"):
            _check_host(text, host)
    given = parse_qs(url.query)
    if twice := next((name for name, values in given.items() if len(values) > 1 and name != "host"), ""):
        raise UsageError(f"{twice} is given twice", "write each parameter of the ledger's URL once")
    for mode in given.get("sslmode", []):
        if mode not in _SSL_MODES:
            raise UsageError(
                f"sslmode={mode} is not one of libpq's modes", f"use one of {', '.join(_SSL_MODES)}"
            )
    return text


def unverified(url: str, environ: Mapping[str, str]) -> str:
    """Return the ``sslmode`` if it leaves a remote database server unverified, else an empty text.

    libpq takes what the URL leaves out from its own variables; without any it uses TLS if the server offers
    it, and accepts every certificate (libpq-ssl). It connects to ``hostaddr`` rather than ``host``. A service
    file may set anything, and precedes the variables (libpq-pgservice): it counts as another host.
    """
    if not url.startswith("postgresql:"):
        return ""
    query = parse_qs(urlsplit(url).query)
    addresses = ",".join(query.get("hostaddr", [])) or environ.get("PGHOSTADDR", "")
    hosts = _postgresql_hosts(url) or environ.get("PGHOST", "").split(",")
    asked = [address or host for address, host in zip_longest(addresses.split(","), hosts, fillvalue="")]
    service = "service" in query or environ.get("PGSERVICE")
    local = not service and all(not host or host[0] in "/@" or is_loopback(host.lower()) for host in asked)
    default = "prefer" if service else environ.get("PGSSLMODE") or "prefer"
    mode = query.get("sslmode", [default])[-1]
    return "" if local or mode == "verify-full" else mode


def _postgresql_hosts(url: str) -> list[str]:
    """Return the hosts that a database's URL names, without ports; SQLAlchemy takes the query's first."""
    parts = urlsplit(url)
    named = ",".join(parse_qs(parts.query).get("host", [])) or parts.netloc.rpartition("@")[2]
    return [re.sub(r"^\[(.*)\].*|:\d+$", r"\1", host) for host in named.split(",")] if named else []


_ABSOLUTE = "write it as sqlite:////absolute/path.sqlite"


def _sqlite(name: str) -> str:
    """Return an absolute URL, since every worker must find the same file from wherever it is started."""
    if not name or name == ":memory:":
        raise UsageError("a ledger must be a file: one in memory is forgotten with the process", _ABSOLUTE)
    try:
        return f"{_SQLITE}{Path(name).expanduser().absolute()}"
    except RuntimeError:  # what pathlib raises for ~name, where nobody is called so
        raise UsageError(f"{name!r} begins with the home folder of an unknown user", _ABSOLUTE) from None
    except ValueError:  # NUL, which no path holds
        raise UsageError(f"{name!r} is not the path of a file", _ABSOLUTE) from None


def sqlite_path(url: str) -> Path | None:
    """Return the file of a SQLite ledger, or None for another kind of ledger."""
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def _split(text: str) -> SplitResult:
    """Return the parts of a URL, after checking host and port. Raises UsageError."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise UsageError(
            f"{hidden(text)!r} is not a URL",
            "a / or @ in its password is written as %2F or %40",
        ) from None
    if port == 0:
        raise UsageError(
            f"{hidden(text)!r}: nothing can be reached at port 0", "write it with the server's port"
        )
    for host in (url.hostname or "").split(","):  # a ledger's URL may name several
        _check_host(text, host)
    return url


def _check_host(text: str, host: str) -> None:
    if host and not fits_dns(host):
        raise UsageError(
            f"{hidden(text)!r} is not the address of a host",
            "each part between the dots has 1 to 63 characters, and the whole name at most 253",
        )
