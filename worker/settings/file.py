"""``siproster.toml``: settings under the environment's names, options of commands under their long ones.

A ``[profile.NAME]`` table holds the same for one account and beats what stands above it.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.errors import UsageError
from worker.settings import addresses
from worker.settings.names import DEFAULTS, OPTIONS, SECRETS, text_or_whole

NAME = "siproster.toml"


@dataclass(frozen=True, slots=True)
class Content:
    """What the file says for the chosen profile."""

    name: str = NAME
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def read(config: Path | None, profile: str, me: int | None = None) -> Content:
    """The file's settings and options; nothing where ``config`` is None and no file is there.

    ``me``: the user who trusts himself and root; else the process's own. UsageError for a file that others
    may write, that was only found and belongs to somebody else, that can't be read, is no TOML, holds a name
    that is none of ours or a value of another kind, and for a profile that it doesn't have.
    """
    path = config or Path(NAME)
    if config is None and not path.exists():
        if profile:
            raise UsageError(
                f"--profile {profile} needs a {NAME} in the working folder", "or name one with --config FILE"
            )
        return Content()
    trusted = {os.geteuid() if me is None else me, 0} if config is None else None
    document = _document(path, trusted)
    tables = _profiles(path, document.pop("profile", {}))
    if profile and profile not in tables:
        raise UsageError(f"{path} has no profile {profile!r}", _guess(profile, tables))
    everyones = _sorted_out(path, document)
    own = {name: _sorted_out(path, table) for name, table in tables.items()}
    return _content(path, profile, everyones | own.get(profile, {}))


def _document(path: Path, trusted: set[int] | None) -> dict[str, object]:
    """``trusted``: whose the file must be; None: somebody named it."""
    try:
        with path.open(
            "rb"
        ) as file:  # looked at once it is open, so that nobody can put another in its place
            _refuse_strangers(path, os.fstat(file.fileno()), trusted)
            return tomllib.loads(file.read().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}", 'a text stands in quotes: name = "value"') from None


def _refuse_strangers(path: Path, facts: os.stat_result, trusted: set[int] | None) -> None:
    """Settings say where credentials are sent: whoever writes them could have them sent to himself.

    So nobody else may be able to write the file (as with ssh's, ssh_config(5)); and one that is only found,
    in a folder that may be anybody's, must be the user's own or root's (as with git's, safe.directory).
    """
    if not stat.S_ISREG(facts.st_mode):  # a pipe's end is its owner's alone
        return
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            f"{path} can be written by others: they could have your credentials sent to them",
            f"look what is in it, then run: chmod go-w {path}",
        )
    if trusted is not None and {facts.st_uid, path.lstat().st_uid} - trusted:
        raise UsageError(
            f"{path} in the working folder is another user's, who could have your credentials sent to him",
            f"look what is in it; if it is right: --config {path}",
        )


def _profiles(path: Path, profiles: object) -> dict[str, dict[str, object]]:
    if isinstance(profiles, dict) and all(isinstance(table, dict) for table in profiles.values()):
        return profiles
    raise UsageError(f"{path}: profile is not a table", "write [profile.NAME] above a profile's settings")


def _sorted_out(path: Path, table: Mapping[str, object]) -> dict[str, object]:
    """Settings by upper-case name, options by long name, each of the right kind."""
    return {name: value for key, given in table.items() for name, value in [_entry(path, key, given)]}


def _entry(path: Path, key: str, given: object) -> tuple[str, object]:
    setting, option = key.upper(), key.lower().replace("_", "-")
    if setting not in DEFAULTS and option not in OPTIONS:
        raise UsageError(f"{path}: {key} is not a setting", _guess(key, [*DEFAULTS, *OPTIONS]))
    try:
        if setting in DEFAULTS:
            return setting, text_or_whole(given)
        return option, OPTIONS[option](given)
    except TypeError as error:
        raise UsageError(f"{path}: {key} must be {error}") from None


def _guess(word: str, known: Iterable[str]) -> str:
    folded = {name.casefold(): name for name in sorted(known)}
    if not folded:
        return "it has no [profile.NAME] table"
    near = difflib.get_close_matches(word.casefold(), folded, n=1)
    return f"did you mean {folded[near[0]]}?" if near else f"known: {', '.join(folded.values())}"


def _content(path: Path, profile: str, merged: Mapping[str, object]) -> Content:
    settings = {name: str(value) for name, value in merged.items() if name in DEFAULTS}
    options = {name: value for name, value in merged.items() if name in OPTIONS}
    name = f"{path}, profile {profile}" if profile else str(path)
    secret = SECRETS & settings.keys() or any(addresses.hidden(value) != value for value in settings.values())
    exposed = secret and path.stat().st_mode & 0o077
    warning = f"{path} holds a secret and can be read by others; run: chmod 600 {path}"
    return Content(name, settings, options, (warning,) if exposed else ())
