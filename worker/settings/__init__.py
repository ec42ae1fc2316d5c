"""Settings: read once, checked once. Precedence: flag, environment, ``siproster.toml``, default.

Only ``cli`` and ``tasks`` use them and hand plain values down. Every value remembers its source; no secret is
in a ``repr`` or a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from worker.channels import Channel
from worker.errors import UsageError
from worker.files import make_folder
from worker.model import DatabaseLogin, Endpoint
from worker.reasons import reason_of
from worker.settings import addresses, channels, credential_hosts, file, keys
from worker.settings.names import DEFAULTS, FLAGS, SECRETS, guess

HOSTS = {
    "prod": ("https://api.bandwidth.com", "https://voice.bandwidth.com"),
    "test": ("https://test.api.bandwidth.com", "https://test.voice.bandwidth.com"),
    "uat": ("https://test.api.bandwidth.com", "https://test.voice.bandwidth.com"),
}
"""``BW_ENVIRONMENT`` to API and Voice hosts (docs/bandwidth-api.md#hosts-and-authentication)."""

_FROM_HOSTS = "BW_ENVIRONMENT="
"""Prefix of the source of a host that follows from the environment."""

_CHECKS: Mapping[str, Callable[[str], str]] = {
    "SIPROSTER_BROKER": addresses.broker,
    "SIPROSTER_LEDGER": addresses.ledger,
    "SIPROSTER_KEY": keys.checked,
    "SIPROSTER_API_PATH": addresses.api_path,
    "SIPROSTER_ALLOW_HTTP": addresses.switch,
    "BW_ACCOUNT_ID": addresses.account,
    "BW_API_URL": addresses.api_host,
    "BW_VOICE_URL": addresses.api_host,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings. An empty string means not set."""

    values: Mapping[str, str] = field(repr=False)
    """Every name of ``DEFAULTS``, checked, with what follows from others filled in."""
    sources: Mapping[str, str]
    """The source of each one: ``flag --account``, ``environment``, ``siproster.toml``, ``default``."""
    options: Mapping[str, object]
    """Options of ``import`` that the file sets, by their long names: ``batch-size``."""
    warnings: tuple[str, ...]
    """Things that work, and that the user should know about."""
    databases: tuple[DatabaseLogin, ...] = field(default=(), repr=False)
    """The file's logins of databases that rosters are read from."""
    file: str = file.NAME
    """The name of the settings file, with the profile, as ``sources`` has it."""
    channels: Mapping[str, Channel] = field(default_factory=dict)
    """The notification channels, by name."""
    unusable_channels: Mapping[str, UsageError] = field(default_factory=dict)
    """The channels that are right, but can't be used here, each with the reason."""

    @property
    def broker(self) -> str:
        """Return the Redis URL; empty for embedded mode."""
        return self.values["SIPROSTER_BROKER"]

    @property
    def ledger(self) -> str:
        """Return ``sqlite:////absolute/path`` or ``postgresql://…``."""
        return self.values["SIPROSTER_LEDGER"]

    @property
    def voice_url(self) -> str:
        """Return scheme and host of the Voice API; empty for an environment of the user's own."""
        return self.values["BW_VOICE_URL"]

    def voice_host(self) -> str:
        """Return ``voice_url``, if it may get the token. Raises UsageError otherwise.

        With an API of the user's own the environment's Voice API is still Bandwidth's: another service, which
        would get a token that is not its own, and call.
        """
        given = [not self.sources[name].startswith(_FROM_HOSTS) for name in ("BW_API_URL", "BW_VOICE_URL")]
        stranger = not addresses.is_bandwidth(self.values["BW_API_URL"])
        if not self.voice_url or (given == [True, False] and stranger):
            raise UsageError(
                f"BW_VOICE_URL is not set, and BW_API_URL is {self.values['BW_API_URL']}",
                "set BW_VOICE_URL too; `siproster sandbox` prints the sandbox's",
            )
        return self.voice_url

    def channel(self, name: str) -> Channel:
        """Return a notification channel. Raises UsageError if there is none, or it can't be used here."""
        if name in self.unusable_channels:
            raise self.unusable_channels[name]
        if name not in self.channels:
            known = [*self.channels, *self.unusable_channels]
            raise UsageError(
                f"there is no notification channel {name!r}",
                guess(name, known) if known else f"write a [notify.{name}] table: docs/notifications.md",
            )
        return self.channels[name]

    def endpoint(self) -> Endpoint:
        """Return account, host and credentials. Raises UsageError, which names all that is missing."""
        if missing := self._missing():
            raise UsageError(
                f"not set: {', '.join(missing)}",
                "`siproster init` asks for them and writes siproster.toml; or set them in the environment: "
                "`siproster doctor` shows what is set",
            )
        for name in ("BW_ACCOUNT_ID", "BW_CLIENT_ID", "BW_CLIENT_SECRET"):
            value = self.values[name]
            if value and (value != value.strip() or (value[0] == value[-1] and value[0] in "'\"")):
                raise UsageError(
                    f"{name} ({self.sources[name]}) begins or ends with white space, or is in quotes",
                    "set it again without them; a file for `docker --env-file` has no quotes, and one from "
                    "Windows may have a carriage return at each line's end: dos2unix FILE",
                )
        basic = {"username": self.values["BW_USERNAME"], "password": self.values["BW_PASSWORD"]}
        return Endpoint(
            host=self.values["BW_API_URL"],
            account=self.values["BW_ACCOUNT_ID"],
            environment=self.values["BW_ENVIRONMENT"],
            api_path=self.values["SIPROSTER_API_PATH"],
            client_id=self.values["BW_CLIENT_ID"],
            client_secret=self.values["BW_CLIENT_SECRET"],
            **({} if self.values["BW_CLIENT_ID"] else basic),
        )

    def _missing(self) -> list[str]:
        """Return the missing settings: half a pair of credentials is a mistake even beside a complete one."""
        oauth, basic = ["BW_CLIENT_ID", "BW_CLIENT_SECRET"], ["BW_USERNAME", "BW_PASSWORD"]
        pairs = [pair for pair in (oauth, basic) if any(self.values[name] for name in pair)]
        needed = ["BW_ACCOUNT_ID", *(pairs[0] if pairs else oauth)]
        return [name for name in needed if not self.values[name]]

    def sealing_keys(
        self, new_key: Callable[[], str], sealed_with: Callable[[], Sequence[str]]
    ) -> list[bytes]:
        """Return the keys that open sealed secrets; the first one seals.

        Without ``SIPROSTER_KEY`` they are in ``<ledger>.key`` beside a SQLite ledger, made with ``new_key``
        on first use. Raises UsageError if others may read that file, if it is missing although rows were
        sealed (``sealed_with`` returns the fingerprints of their keys), and with PostgreSQL.
        """
        if self.values["SIPROSTER_KEY"]:
            return keys.parsed(self.values["SIPROSTER_KEY"])
        path = addresses.sqlite_path(self.ledger)
        if path is None:
            raise UsageError(
                "SIPROSTER_KEY is not set, but a ledger on PostgreSQL requires it",
                "generate one with `siproster keygen` and set it for every worker",
            )
        return keys.beside(path, new_key, sealed_with)

    def shown(self) -> list[tuple[str, str, str]]:
        """Return name, value without secrets, and source of each setting, for ``doctor``."""
        settings = [
            (name, "<hidden>" if value and name in SECRETS else addresses.hidden(value), source)
            for name, value in self.values.items()
            for source in [self.sources[name]]
        ]
        return settings + [(f"database {one.url}", one.shown, self.file) for one in self.databases]


def load(
    flags: Mapping[str, object], environ: Mapping[str, str], config: Path | None, profile: str
) -> Settings:
    """Return all settings, checked. ``flags``: a command's parameters by name; only ``FLAGS`` are read.

    ``config``: a file that must exist, or None for ``siproster.toml`` in the working folder, if there is one.
    Raises UsageError for any problem, with the setting's name and source, never with a secret.
    """
    return settled(flags, environ, file.read(config, profile), profile)


def load_each(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    config: Path | None,
    profiles: Sequence[str] | None,
) -> dict[str, Settings]:
    """Return the settings of several profiles, by name; None: of all that the file has. Raises as ``load``.

    Also raises UsageError for a variable that would override the accounts of several profiles by one.
    """
    contents = file.read_each(config, profiles)
    for name, content in contents.items() if len(contents) > 1 else ():
        for warning in _beaten(name, environ, content):
            if warning.startswith("BW_"):
                raise UsageError(warning, "unset it: several profiles have a value each")
    return {name: settled(flags, environ, content, name) for name, content in contents.items()}


def settled(
    flags: Mapping[str, object], environ: Mapping[str, str], content: file.Content, profile: str = ""
) -> Settings:
    """Return all settings, checked, with ``content`` as the settings file's. Raises as ``load``."""
    values: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name, default in DEFAULTS.items():
        values[name], sources[name] = _first(name, default, flags, environ, content)
        if values[name]:
            values[name] = _checked(name, values[name], sources[name])
    _fill_in(values, sources)
    credential_hosts.check(values, sources, content.name if content.found else "", environ)
    warnings = (*content.warnings, *_beaten(profile, environ, content), *_warnings(values, environ))
    usable, unusable = _channels(content, environ, allow_http=bool(values["SIPROSTER_ALLOW_HTTP"]))
    return Settings(
        values, sources, content.options, warnings, databases=tuple(content.databases.values()),
        file=content.name, channels=usable, unusable_channels=unusable,
    )  # fmt: skip


def _channels(
    content: file.Content, environ: Mapping[str, str], *, allow_http: bool
) -> tuple[dict[str, Channel], dict[str, UsageError]]:
    """Return the notification channels, and those that can't be used here. Raises UsageError for mistakes."""
    usable: dict[str, Channel] = {}
    unusable: dict[str, UsageError] = {}
    for name, table in content.channels.items():
        try:
            usable[name] = channels.parsed(
                name, table, environ, allow_http=allow_http, named=not content.found
            )
        except channels.UnusableHere as error:
            unusable[name] = error
        except UsageError as error:
            raise UsageError(f"{content.name}: {error.message}", error.hint) from None
    return usable, unusable


def channels_of_all_profiles(
    environ: Mapping[str, str], config: Path | None
) -> dict[tuple[str, str], Channel]:
    """Return every usable channel by profile and name; the profile "" has those above all profiles.

    Raises UsageError if the file can't be used, or a channel is wrong.
    """
    contents = file.read_each(config, ["", *file.profiles(config)])
    found: dict[tuple[str, str], Channel] = {}
    for profile, content in contents.items():
        allowed, source = _first("SIPROSTER_ALLOW_HTTP", "", {}, environ, content)
        allow_http = bool(allowed and _checked("SIPROSTER_ALLOW_HTTP", allowed, source))
        usable, _ = _channels(content, environ, allow_http=allow_http)
        found.update({(profile, name): channel for name, channel in usable.items()})
    return found


def _first(
    name: str, default: str, flags: Mapping[str, object], environ: Mapping[str, str], content: file.Content
) -> tuple[str, str]:
    """Return value and source. An empty variable counts as not set: Compose passes those on."""
    flag = FLAGS.get(name, "")
    if flags.get(flag):
        return str(flags[flag]), f"flag --{flag}"
    if environ.get(name):
        return environ[name], "environment"
    if content.settings.get(name):
        return content.settings[name], content.name
    return default, "default" if default else "not set"


def _checked(name: str, value: str, source: str) -> str:
    try:
        value.encode()
        return _CHECKS.get(name, str)(value)
    except UnicodeEncodeError:
        raise UsageError(f"{name} ({source}) is not UTF-8", "set it again in a UTF-8 terminal") from None
    except UsageError as error:
        raise UsageError(f"{name} ({source}): {error.message}", error.hint) from None


def _fill_in(values: dict[str, str], sources: dict[str, str]) -> None:
    """Fill in the hosts of the environment and the ledger's default location."""
    environment = values["BW_ENVIRONMENT"]
    if environment not in HOSTS and not values["BW_API_URL"]:
        raise UsageError(
            f"BW_ENVIRONMENT ({sources['BW_ENVIRONMENT']}): {addresses.hidden(environment)!r} is not known",
            f"use {', '.join(HOSTS)}, or set BW_API_URL",
        )
    for name, host in zip(("BW_API_URL", "BW_VOICE_URL"), HOSTS.get(environment, ("", "")), strict=True):
        if host and not values[name]:
            values[name], sources[name] = host, f"{_FROM_HOSTS}{environment}"
    if not values["SIPROSTER_LEDGER"]:
        path = default_ledger()
        _make_private(path.parent)
        values["SIPROSTER_LEDGER"], sources["SIPROSTER_LEDGER"] = f"sqlite:///{path}", "default"


def default_ledger(state_of: Callable[[str], Path] = platformdirs.user_state_path) -> Path:
    """Return the ledger in the user's state folder. Raises UsageError if there is no home directory.

    This happens in a container that runs under a user id without a name, and without HOME: platformdirs then
    raises RuntimeError.
    """
    try:
        return state_of("siproster") / "ledger.sqlite"
    except RuntimeError:
        raise UsageError(
            "no home folder is known for the ledger",
            "set HOME, or SIPROSTER_LEDGER to sqlite:////a/place.sqlite",
        ) from None


def _make_private(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        raise UsageError(
            f"the folder for the ledger can't be created: {folder}: {reason_of(error)}",
            "set XDG_STATE_HOME or HOME to a folder that you can write to, "
            "or SIPROSTER_LEDGER to sqlite:////another/place.sqlite",
        ) from None


def _beaten(profile: str, environ: Mapping[str, str], content: file.Content) -> list[str]:
    """Return warnings about variables that override the profile's account, which is easily missed."""
    if not profile:
        return []
    return [
        f"{name} from the environment is used, not the one in {content.name}"
        for name, value in content.settings.items()
        if environ.get(name, value) not in ("", value)
    ]


def _warnings(values: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    oauth, basic = values["BW_CLIENT_ID"], values["BW_USERNAME"]
    warnings = []
    if oauth and basic:
        warnings.append("both kinds of credentials are set: BW_CLIENT_ID is used, BW_USERNAME is not")
    elif basic:
        warnings.append(
            "BW_USERNAME is an API user, which Bandwidth decommissions on 2026-12-02; "
            "get OAuth credentials and set BW_CLIENT_ID and BW_CLIENT_SECRET"
        )
    if addresses.travels_in_clear(values["BW_API_URL"]):
        warnings.append(
            f"{values['BW_API_URL']} is not https: credentials and digests are sent in clear text"
        )
    if addresses.travels_in_clear(values["BW_VOICE_URL"]):
        warnings.append(f"{values['BW_VOICE_URL']} is not https: a call's token is sent in clear text")
    if mode := addresses.unverified(values["SIPROSTER_LEDGER"], environ):
        warnings.append(
            f"the ledger is on another host, and sslmode={mode} does not verify the server; "
            "add ?sslmode=verify-full&sslrootcert=FILE to SIPROSTER_LEDGER"
        )
    if values["SIPROSTER_BROKER"] and addresses.sqlite_path(values["SIPROSTER_LEDGER"]):
        warnings.append(
            "the ledger is SQLite: all workers must run on this host; "
            "for several hosts set SIPROSTER_LEDGER to a postgresql:// URL"
        )
    return warnings
