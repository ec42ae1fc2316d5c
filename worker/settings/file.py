"""``siproster.toml``: settings under the environment's names, commands' options under their long ones.

A ``[profile.NAME]`` table holds the same for one account and overrides the top-level values. A
``[database."URL"]`` table holds the login of a database with rosters.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from worker.errors import UsageError
from worker.files import open_found
from worker.model import DatabaseLogin
from worker.reasons import reason_of
from worker.settings import addresses, channels, databases
from worker.settings.names import DEFAULTS, OF_LEDGER, OPTIONS, SECRETS, text_or_whole
from worker.settings.names import guess as _guess

NAME = "siproster.toml"

_LONGEST = 1 << 20
"""Bytes; a device that never ends is read no further."""


@dataclass(frozen=True, slots=True)
class Content:
    """The contents of the file for the chosen profile."""

    name: str = NAME
    found: bool = False
    """True if nobody named the file: it was found in the working folder."""
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, object] = field(default_factory=dict)
    databases: Mapping[str, DatabaseLogin] = field(default_factory=dict, repr=False)
    """The logins of databases, by URL."""
    channels: Mapping[str, Mapping[str, object]] = field(default_factory=dict, repr=False)
    """The tables of notification channels, by name."""
    warnings: tuple[str, ...] = ()


def read(config: Path | None, profile: str, me: int | None = None) -> Content:
    """Return the file's settings and options; none if ``config`` is None and there is no file.

    ``me``: the id of the user who trusts himself and root; by default the process's own. Raises UsageError
    for a file that others may write, that was only found and is not a regular file or belongs to somebody
    else, that can't be read, is not TOML, holds an unknown name or a value of the wrong kind, and for a
    profile that it doesn't have. Raises it, too, for a database's password or a channel's secret in a
    file that others may read.
    """
    return read_each(config, [profile], me)[profile]


def read_each(
    config: Path | None, profiles: Sequence[str] | None, me: int | None = None
) -> dict[str, Content]:
    """Return the contents for several profiles, by name; None: all that the file has. Raises as ``read``."""
    path = config or Path(NAME)
    trusted = {os.geteuid() if me is None else me, 0} if config is None else None
    try:
        document, exposed = _document(path, trusted)
    except FileNotFoundError as error:
        return dict.fromkeys([_without_file(path, config, profiles, error)], Content())
    tables = _profiles(path, document.pop("profile", {}))
    chosen = list(tables) if profiles is None else profiles
    if not chosen:
        raise UsageError(f"{path} has no [profile.NAME] table", "leave out --all-profiles, or add one")
    for profile in filter(None, chosen):
        if profile not in tables:
            raise UsageError(f"{path} has no profile {profile!r}", _guess(profile, tables))
    logins = _logins(path, document, tables, exposed=exposed)
    everyones = _sorted_out(path, document)
    own = {name: _sorted_out(path, table) for name, table in tables.items()}
    for name, table in own.items():
        _refuse_of_ledger(path, name, table)
    return {
        name: replace(
            _content(path, name, everyones | own.get(name, {}), found=config is None, exposed=exposed),
            databases=logins[""] | logins.get(name, {}),
        )
        for name in chosen
    }


def _logins(
    path: Path, document: dict[str, object], tables: Mapping[str, dict[str, object]], *, exposed: bool
) -> dict[str, dict[str, DatabaseLogin]]:
    """Take the logins of databases out of the tables; return them by profile, everyone's under ``""``."""
    found = {
        name: databases.logins(path, table.pop(databases.TABLE, {}))
        for name, table in {"": document, **tables}.items()
    }
    for logins in found.values() if exposed else ():
        databases.refuse_exposed(path, logins)
    return found


def _without_file(
    path: Path, config: Path | None, profiles: Sequence[str] | None, error: FileNotFoundError
) -> str:
    """Return the profile that needs no file: none. Raises UsageError if a file was named or is needed."""
    if config:
        raise UsageError(
            f"{path} can't be read: {reason_of(error)}", f"write it with: siproster init --config {path}"
        ) from None
    if profiles != [""]:
        needs = "--all-profiles" if profiles is None else f"--profile {profiles[0]}"
        raise UsageError(
            f"{needs} needs a {NAME} in the working folder", "or name one with --config FILE"
        ) from None
    return ""


def _document(path: Path, trusted: set[int] | None) -> tuple[dict[str, object], bool]:
    """Return the file's tables, and whether others may read it.

    ``trusted``: the users who may own it, or None if the file was named. Raises FileNotFoundError unchanged.
    The file is checked once it is open, so that nobody can replace it in between.
    """
    try:
        with path.open("rb") if trusted is None else open_found(path) as file:
            facts = os.fstat(file.fileno())
            if trusted is not None:
                _refuse_found(path, facts, trusted)
            if stat.S_ISREG(facts.st_mode):  # a pipe's end is its owner's alone
                _refuse_written_by_others(path, facts)
            content = file.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            raise UsageError(
                f"{path} is larger than {_LONGEST:,} bytes, too large for a settings file",
                "name the right one with --config FILE",
            )
        return tomllib.loads(content.decode("utf-8-sig")), bool(facts.st_mode & 0o077)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(
            f"{path} can't be read: {reason_of(error)}", f"let this user read it (`ls -l {path}`)"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8", "save it as UTF-8 in the editor") from None
    except RecursionError:
        raise UsageError(f"{path}: its arrays or tables are nested too deeply", "write them flat") from None
    except ValueError as error:  # TOMLDecodeError is one, and so is a number of too many digits
        raise UsageError(
            f"{path} is not TOML: {error}",
            'a line is name = "value", with text in quotes, and a heading [profile.NAME]',
        ) from None


def _refuse_found(path: Path, facts: os.stat_result, trusted: set[int]) -> None:
    """Refuse a file that was only found and that somebody else could have written.

    Settings say where credentials are sent, so whoever writes them could have them sent to himself. A file in
    the working folder, which may be anybody's, must be the user's own or root's, as with git's
    safe.directory; so must the link, if it is one.
    """
    link, leads_to = path.lstat(), path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(
            f"{path} in the working folder is not a regular file", f"give it explicitly: --config {path}"
        )
    if {facts.st_uid, link.st_uid} - trusted or not os.path.samestat(facts, leads_to):
        raise UsageError(
            f"{path} in the working folder belongs to another user, who could redirect your credentials",
            f"check its contents; if they are right, use --config {path}",
        )


def _refuse_written_by_others(path: Path, facts: os.stat_result) -> None:
    """Refuse a file that others may write, as ssh does (ssh_config(5))."""
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            f"{path} can be written by others, who could redirect your credentials",
            f"check its contents, then run: chmod go-w {path}",
        )


def _profiles(path: Path, profiles: object) -> dict[str, dict[str, object]]:
    if isinstance(profiles, dict) and all(isinstance(table, dict) for table in profiles.values()):
        return profiles
    raise UsageError(f"{path}: profile is not a table", "write [profile.NAME] above a profile's settings")


def _sorted_out(path: Path, table: Mapping[str, object]) -> dict[str, object]:
    """Return settings by upper-case name, options by long name, each checked, and tables of channels."""
    rest = {key: given for key, given in table.items() if key != channels.TABLE}
    own = {name: value for key, given in rest.items() for name, value in [_entry(path, key, given)]}
    return own | channels.tables_of(path, table.get(channels.TABLE, {}))


def _entry(path: Path, key: str, given: object) -> tuple[str, object]:
    setting, option = key.upper(), key.lower().replace("_", "-")
    if setting not in DEFAULTS and option not in OPTIONS:
        raise UsageError(
            f"{path}: {key} is not a setting",
            _guess(key, [*DEFAULTS, *OPTIONS, databases.TABLE, channels.TABLE, "profile"]),
        )
    try:
        if setting in DEFAULTS:
            return setting, text_or_whole(given)
        return option, OPTIONS[option](given)
    except TypeError as error:
        raise UsageError(
            f"{path}: {key} must be {error}", "`siproster import --help` says which values options take"
        ) from None


def _refuse_of_ledger(path: Path, profile: str, table: Mapping[str, object]) -> None:
    """Refuse options in a profile that would remove the jobs of other profiles, too."""
    if found := sorted(OF_LEDGER & table.keys()):
        raise UsageError(
            f"{path}, profile {profile}: {found[0]} applies to all jobs of the ledger",
            "write it above the first [profile.NAME]",
        )


def _content(
    path: Path, profile: str, merged: Mapping[str, object], *, found: bool, exposed: bool
) -> Content:
    settings = {name: str(value) for name, value in merged.items() if name in DEFAULTS}
    options = {name: value for name, value in merged.items() if name in OPTIONS}
    name = f"{path}, profile {profile}" if profile else str(path)
    tables = {
        name.removeprefix(channels.PREFIX): value
        for name, value in merged.items()
        if name.startswith(channels.PREFIX) and isinstance(value, dict)
    }
    if exposed:
        channels.refuse_exposed(path, tables.values())
    secret = SECRETS & settings.keys() or any(addresses.hidden(value) != value for value in settings.values())
    warning = f"{path} contains a secret and can be read by others; run: chmod 600 {path}"
    return Content(
        name, found, settings, options, channels=tables, warnings=(warning,) if secret and exposed else ()
    )


def profiles(config: Path | None) -> list[str]:
    """Return the names of the file's profiles; none if there is no file. Raises UsageError."""
    path = config or Path(NAME)
    try:
        document, _ = _document(path, None if config else {os.geteuid(), 0})
    except FileNotFoundError:
        return []
    return list(_profiles(path, document.get("profile", {})))
