"""``[notify.NAME]`` of the settings file: the checks of notification channels.

Every check raises UsageError without the channel's name, which ``parsed`` adds. No message holds a secret,
or a URL beyond its host.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from email.utils import parseaddr
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from worker.channels import (
    AppriseChannel,
    Channel,
    CommandChannel,
    MailChannel,
    MailTls,
    WebhookChannel,
    When,
)
from worker.errors import UsageError
from worker.hosts import fits_dns, is_loopback
from worker.settings.names import guess

T = TypeVar("T")
E = TypeVar("E", When, MailTls)

TABLE = "notify"
PREFIX = f"{TABLE}."
"""Beginning of a channel's name among the file's entries."""

_SECRETS = ("secret", "password", "urls")
"""Keys whose value is secret."""

_PREFIX_OF_SECRET = "whsec_"  # noqa: S105  Standard Webhooks' prefix for every secret
_KEY_BYTES = range(24, 65)
"""The size of a secret, by the Standard Webhooks specification."""
_NEW_SECRET = "generate one with: echo whsec_$(openssl rand -base64 32)"  # noqa: S105

_PORTS = {MailTls.STARTTLS: 587, MailTls.TLS: 465, MailTls.NONE: 25}
_LONGEST_COMMAND = 600.0
_NO_TEXTS: tuple[str, ...] = ()
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+")


class UnusableHere(UsageError):
    """The channel is right, but this process can't use it: a variable is not set, a library is missing."""


def tables_of(path: Path, given: object) -> dict[str, object]:
    """Return the tables below ``notify``, each under PREFIX and its name. Raises UsageError."""
    if not isinstance(given, dict) or not all(isinstance(table, dict) for table in given.values()):
        raise UsageError(f"{path}: notify is not a table", "write [notify.NAME] above a channel's settings")
    for name in given:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{path}: {name!r} is not the name of a channel", "use letters, digits, - and _: [notify.ops]"
            )
    return {PREFIX + name: table for name, table in given.items()}


def refuse_exposed(path: Path, tables: Iterable[Mapping[str, object]]) -> None:
    """Raise UsageError if there is a secret in the tables; ``path`` can be read by others."""
    if any(key in table for table in tables for key in _SECRETS):
        raise UsageError(
            f"{path} contains the secret of a notification channel and can be read by others",
            f"run: chmod 600 {path}; or name a variable that holds the secret: secret_env",
        )


def parsed(
    name: str, table: Mapping[str, object], environ: Mapping[str, str], *, allow_http: bool, named: bool
) -> Channel:
    """Return the channel of a table.

    ``named``: the file was given with --config, and not just found. Raises UsageError for a mistake, and
    UnusableHere if there is none, but the channel can't be used here.
    """
    entries = _Entries(table, environ)
    try:
        kind = entries.text("kind")
        if kind not in _KINDS:
            raise UsageError(f"kind {kind!r} is not known", f"use {', '.join(_KINDS)}")
        common = {
            "name": name,
            "when": entries.one_of("when", When, When.ON_TROUBLE),
            "users": entries.value("users", _flag, default=False),
        }
        channel = _KINDS[kind](entries, common, allow_http)
        entries.refuse_rest(kind)
    except UsageError as error:
        raise type(error)(f"[{PREFIX}{name}]: {error.message}", error.hint) from None
    if not named and (channel.users or kind == CommandChannel.kind):
        what = "runs a command" if kind == CommandChannel.kind else "tells user names"
        raise UnusableHere(
            f"[{PREFIX}{name}] {what}, and siproster.toml was only found in the working folder",
            "check its contents; if they are right, use --config siproster.toml",
        )
    if entries.unset:
        raise UnusableHere(
            f"[{PREFIX}{name}]: the variable {entries.unset} is not set", "set it where siproster runs"
        )
    return channel


_SEE = "docs/notifications.md has an example of each kind; `siproster schedule test-notify NAME` tries it"


class _Entries:
    """The entries of one table. ``unset``: a variable that is named in place of a secret and is not set."""

    def __init__(self, table: Mapping[str, object], environ: Mapping[str, str]) -> None:
        self._table = table
        self._environ = environ
        self._read: set[str] = set()
        self.unset = ""

    def value(self, key: str, check: Callable[[object], T], default: T | None = None) -> T:
        """Return a value, checked. Raises UsageError if it is wrong, or missing without a default."""
        self._read.add(key)
        if key not in self._table:
            if default is None:
                raise UsageError(f"{key} is missing", _SEE)
            return default
        try:
            return check(self._table[key])
        except TypeError as error:
            raise UsageError(f"{key} must be {error}", _SEE) from None

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text."""
        return self.value(key, _text, default)

    def one_of(self, key: str, kind: type[E], default: E) -> E:
        """Return a member of ``kind``."""
        try:
            return kind(self.text(key, default.value))
        except ValueError:
            raise UsageError(f"{key} {self._table[key]!r} is not known", f"use {', '.join(kind)}") from None

    def secret(self, key: str, check: Callable[[object], T], hint: str, stand_in: T) -> T:
        """Return a secret, from the table or from the variable that ``KEY_env`` names.

        ``stand_in`` is returned for a variable that is not set, which ``unset`` then names.
        """
        named = f"{key}_env"
        self._read.add(named)
        if key in self._table and named in self._table:
            raise UsageError(f"{key} and {named} are both given", "leave one of them out")
        if named not in self._table:
            if key not in self._table:
                raise UsageError(f"{key} is missing", hint)
            return self.value(key, check)
        variable = self.text(named)
        if not (value := self._environ.get(variable)):
            self.unset = variable
            return stand_in
        try:
            return check(value.split() if isinstance(stand_in, tuple) else value)
        except TypeError as error:
            raise UsageError(f"the variable {variable} must be {error}", _SEE) from None

    def given(self, key: str) -> bool:
        """Return whether the table has this key, or the variable's."""
        return key in self._table or f"{key}_env" in self._table

    def refuse_rest(self, kind: str) -> None:
        """Raise UsageError for a key that this kind of channel doesn't have."""
        for key in self._table:
            if key not in self._read:
                known = sorted(self._read - {one for one in self._read if one.endswith("_env")})
                raise UsageError(f"{key} is not a setting of a {kind}", guess(key, known))


def _webhook(entries: _Entries, common: dict[str, Any], allow_http: bool) -> Channel:
    url = entries.secret("url", _text, "write it as https://HOST/PATH", "https://unset.invalid/")
    secrets = entries.secret("secret", _texts, _NEW_SECRET, _NO_TEXTS)
    return WebhookChannel(
        url=url, host=_checked_url(url, allow_http), secrets=tuple(map(_key, secrets)), **common
    )


def _checked_url(url: str, allow_http: bool) -> str:
    """Return scheme and host of a receiver's URL."""
    hint = "write it as https://HOST/PATH"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError("url is not a URL", hint) from None
    if parts.scheme not in ("https", "http") or not host or not fits_dns(host) or port == 0:
        raise UsageError("url is not a web address", hint)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError("url holds a blank or a character beyond ASCII", "percent-encode it: %20")
    if parts.username is not None or parts.fragment:
        raise UsageError(
            "url contains a user name or a #fragment", "leave it out: the signature is the proof"
        )
    if parts.scheme == "http" and not is_loopback(host) and not allow_http:
        raise UsageError(
            f"http://{host} is not https: the notification would be sent in clear text",
            "write it as https://HOST/PATH; SIPROSTER_ALLOW_HTTP=1 allows it anyway",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _key(secret: str) -> bytes:
    """Return the key of a Standard Webhooks secret."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX_OF_SECRET), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX_OF_SECRET) or len(key) not in _KEY_BYTES:
        raise UsageError("secret is not whsec_ and 24 to 64 bytes in Base64", _NEW_SECRET)
    return key


def _command(entries: _Entries, common: dict[str, Any], _allow_http: bool) -> Channel:
    argv = entries.value("argv", _texts)
    if not argv[0].strip():
        raise UsageError("argv has no program", 'write argv = ["/usr/local/bin/notify", "ops"]')
    timeout = entries.value("timeout", _number, 30.0)
    if not 0 < timeout <= _LONGEST_COMMAND:
        raise UsageError(f"timeout must be more than 0 and at most {_LONGEST_COMMAND:g} seconds", _SEE)
    return CommandChannel(argv=argv, timeout=timeout, **common)


def _email(entries: _Entries, common: dict[str, Any], _allow_http: bool) -> Channel:
    host, tls = entries.text("host"), entries.one_of("tls", MailTls, MailTls.STARTTLS)
    if not host or not fits_dns(host) or re.search(r"[\s/@]", host):
        raise UsageError(f"host {host!r} is not the name of a server", 'write host = "mail.example.com"')
    port = entries.value("port", _port, _PORTS[tls])
    user = entries.text("user", "")
    password = entries.secret("password", _text, "", "") if user or entries.given("password") else ""
    if password and not user:
        raise UsageError("password is given without user", "leave it out, or add user")
    if user and tls is MailTls.NONE and not is_loopback(host):
        raise UsageError(
            'the password would be sent in clear text: tls is "none"', 'write tls = "starttls" or "tls"'
        )
    sender, recipients = entries.text("from"), entries.value("to", _texts)
    for address in (sender, *recipients):
        _check_address(address)
    return MailChannel(
        host=host, port=port, tls=tls, user=user, password=password, sender=sender, recipients=recipients,
        **common,
    )  # fmt: skip


def _check_address(text: str) -> None:
    if not (_ADDRESS.fullmatch(parseaddr(text)[1]) and text.isprintable()):
        raise UsageError(f"{text!r} is not a mail address", 'write it as "ops@example.com"')


def _apprise(entries: _Entries, common: dict[str, Any], _allow_http: bool) -> Channel:
    urls = entries.secret("urls", _texts, "docs/notifications.md has examples", _NO_TEXTS)
    if any("://" not in url for url in urls):
        raise UsageError("urls holds a text that is not a URL", 'write them as "SERVICE://…"')
    if find_spec("apprise") is None:
        raise UnusableHere("the library apprise is missing", "run: pip install 'siproster[apprise]'")
    return AppriseChannel(urls=urls, **common)


_KINDS: Mapping[str, Callable[[_Entries, dict[str, Any], bool], Channel]] = {
    WebhookChannel.kind: _webhook,
    CommandChannel.kind: _command,
    MailChannel.kind: _email,
    AppriseChannel.kind: _apprise,
}


def _text(value: object) -> str:
    if isinstance(value, str) and value and "\0" not in value:
        return value
    raise TypeError("text in quotes, not empty and without NUL")


def _texts(value: object) -> tuple[str, ...]:
    values: Iterable[object] = value if isinstance(value, list) else [value]
    try:
        found = tuple(map(_text, values))
    except TypeError:
        found = ()
    if not found:
        raise TypeError('a list of texts: ["…", "…"]')
    return found


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError("true or false")


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise TypeError("a number")


def _port(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536:
        return value
    raise TypeError("a port from 1 to 65535")
