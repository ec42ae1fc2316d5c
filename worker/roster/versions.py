"""Versions of a roster's files, so that a schedule imports each of them once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from worker.errors import UsageError
from worker.model import DatabaseLogin, Options
from worker.roster.folder import Folder, refuse_leavers
from worker.roster.reader import Roster, open_found
from worker.roster.recognise import find_roster
from worker.roster.source import find

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a file: the hash of its bytes (SHA-256), and its name."""

    sha256: str
    name: str


@dataclass(frozen=True, slots=True)
class NewRoster:
    """A roster of those files that are new, and the versions of all its files."""

    roster: Roster | None
    """Opened; None if no file is new."""
    versions: Sequence[Version]
    """Versions of the new files."""
    known: Sequence[Version]
    """Versions of files that are known."""

    def close(self) -> None:
        """Close the roster."""
        if self.roster:
            self.roster.close()


def open_new(
    place: str, options: Options, is_known: Callable[[str, bool], bool], logins: Iterable[DatabaseLogin] = ()
) -> NewRoster:
    """Open a roster; for a folder or pattern (an inbox), only the files whose version is not known.

    ``is_known``: return whether the version with this hash was imported: of a file in an inbox (True) at any
    time; of a single file (False) last, since a file that is again as it was earlier has changed.
    ``logins``: as ``open_roster``.

    Raises:
        UsageError: as ``open_roster``, a file was changed while it was read, or the users who are not in an
            inbox are to be deleted.
    """
    source = find_roster(place, logins=logins)
    if not isinstance(source, Folder):
        roster = open_found(source, options)
        version = Version(roster.sha256, roster.name)
        if is_known(version.sha256, False):
            roster.close()
            return NewRoster(None, [], [version])
        return NewRoster(roster, [version], [])
    refuse_leavers(place, options)
    versions = {part: _version(part) for part in source.parts}
    new = {part: one for part, one in versions.items() if not is_known(one.sha256, True)}
    known = [one for part, one in versions.items() if part not in new]
    if not new:
        return NewRoster(None, [], known)
    roster = open_found(replace(source, parts=list(new)), replace(options, inbox=True))
    for part, before in new.items():
        if _version(part) != before:
            roster.close()
            raise UsageError(
                f"{before.name} was changed while it was read; nothing was sent",
                "write files elsewhere and move them into the folder when they are complete",
            )
    return NewRoster(roster, list(new.values()), known)


def _version(part: str) -> Version:
    digest = hashlib.sha256()
    with closing(find(part)) as source, source.open() as raw:
        while block := raw.read(_BLOCK):
            digest.update(block)
    return Version(digest.hexdigest(), source.name)
