"""The file of generated passwords: a private CSV that later runs read again, and that only ever grows.

Each record is one line. The file is replaced as a whole by a copy with the new lines, once that is on the
disk, so nobody ever finds half of it. Until then the copy is ``.NAME.part`` beside it, and locked: of two
runs at once, the second one is refused.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import shlex
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Self

from worker.errors import UsageError
from worker.failpoints import hit
from worker.reasons import reason_of
from worker.roster.damage import damaged
from worker.roster.passwords import is_masked, is_placeholder
from worker.temp_db import temp_db, text_key

HEADER: Final = ("username", "domain", "realm", "password", "roster", "line")

_CACHE_KIB = 16_384
_GROUP = 2000
_LONGEST = 4096
"""Bytes of a line."""
_TABLE = "CREATE TABLE entries (name TEXT PRIMARY KEY, at INTEGER) WITHOUT ROWID"
_INSERT = "INSERT OR IGNORE INTO entries VALUES (?, ?)"
_NAMED = "SELECT asked.key, at FROM json_each(?) AS asked CROSS JOIN entries ON name = asked.value"


@dataclass(frozen=True, slots=True)
class Entry:
    """A user's generated password."""

    user: str
    domain: str
    realm: str
    """The realm's host name, or the short name of one that was still to be created."""
    password: str = field(repr=False)
    roster: str
    line: str
    """The roster's name, and the line of the user's row: for people."""

    @property
    def composite(self) -> str:
        """Return ``user`` or ``user@domain``."""
        return f"{self.user}@{self.domain}" if self.domain else self.user


class PasswordFile:
    """The file, opened and checked. A context manager. ``writable``: entries may be added to it.

    Raises UsageError, here and from each method, if the file can't be used, with the file and the line.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self._target = path.resolve()
        self._part: BinaryIO | None = None
        self._file: BinaryIO | None = None
        self._added = False
        self._db = temp_db(_CACHE_KIB)
        self._db.execute(_TABLE)
        try:
            with self._explained():
                if writable:
                    self._part = _locked_part(self._target)
                self._file = self._opened()
                self._before = _identity(os.fstat(self._file.fileno())) if self._file else None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def index(self, host_of: Callable[[str], str]) -> None:
        """Read all entries. ``host_of`` returns the host name of the realm that an entry names."""
        entries = self._entries()
        while group := list(islice(entries, _GROUP)):
            names = [_name(host_of(entry.realm), entry.composite) for _, _, entry in group]
            rows = [(name, at) for name, (at, _, _) in zip(names, group, strict=True)]
            self._db.executemany(_INSERT, rows)
            for (_, line, entry), first in zip(group, self._at(names), strict=True):
                if first is None or first.password != entry.password:
                    raise UsageError(
                        f"{self.path}, line {line}: {entry.composite} has another password above",
                        "delete the wrong one of the two lines",
                    )

    def find(self, users: Sequence[tuple[str, str]]) -> list[str | None]:
        """Return the password of each user, given as realm and composite name in any case, or None."""
        found = self._at([_name(*user) for user in users])
        return [entry.password if entry else None for entry in found]

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries; ``commit`` puts all of them into the file at once."""
        if self._part is None:
            raise UsageError(f"{self.path} was opened for reading only", "nothing was written to it")
        with self._explained():
            self._begin(self._part)
            rows = []
            for entry in entries:
                rows.append((_name(entry.realm, entry.composite), self._part.tell()))
                self._part.write(_line(_cells(entry)))
            self._part.flush()
        self._db.executemany(_INSERT, rows)

    def commit(self) -> None:
        """Put the added entries into the file; they are on the disk when this returns."""
        part = self._part
        if part is None or not self._added:
            return
        with self._explained():
            os.fsync(part.fileno())
            self._refuse_changed()
            hit("passwords_written")
            _part_of(self._target).replace(self._target)
            _sync_folder(self._target.parent)
        # The lock is gone with the part's name: only what is on the disk is read from now on.
        self._part, self._added = None, False
        part.close()

    def close(self) -> None:
        """Close the file. Entries that were added and not committed are dropped."""
        self._db.close()
        if self._file is not None:
            self._file.close()
        if self._part is not None:
            with suppress(OSError):
                _part_of(self._target).unlink(missing_ok=True)
            with suppress(OSError):  # a full disk, which was said already: closing writes what is buffered
                self._part.close()

    def _begin(self, part: BinaryIO) -> None:
        """Let the part begin with all that the file has."""
        if self._added:
            return
        self._added = True
        facts = os.fstat(self._file.fileno()) if self._file else None
        if facts is None or self._file is None or not facts.st_size:
            part.write(_line(HEADER))
            return
        if facts.st_uid != os.geteuid():  # root's import leaves the file to its owner
            os.fchown(part.fileno(), facts.st_uid, facts.st_gid)
        self._file.seek(0)
        shutil.copyfileobj(self._file, part)

    def _opened(self) -> BinaryIO | None:
        """Return the file opened for reading; None if there is none yet."""
        try:
            descriptor = os.open(self._target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except FileNotFoundError:
            return None
        file = os.fdopen(descriptor, "rb")
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode) and not mode & 0o077:
            return file
        file.close()
        if not stat.S_ISREG(mode):
            raise UsageError(f"{self.path} is not a regular file", "name a file for generated passwords")
        raise UsageError(
            f"{self.path} is accessible to others, but holds passwords",
            f"check who may have read it, then run: chmod 600 {shlex.quote(str(self.path))}",
        )

    def _entries(self) -> Iterator[tuple[int, int, Entry]]:
        """Yield offset, line number and entry of each record of the file."""
        if self._file is None:
            return
        self._file.seek(0)
        at = 0
        for number, raw in enumerate(iter(partial(self._file.readline, _LONGEST), b""), 1):
            if number == 1:
                self._check_header(raw)
            elif raw.strip():
                yield at, number, self._entry(raw, number)
            at += len(raw)

    def _check_header(self, raw: bytes) -> None:
        header = tuple(_split(raw.removeprefix(b"\xef\xbb\xbf")) or ())
        if header != HEADER:  # not shown: it may be the first line of any file
            raise UsageError(
                f"{self.path} is not a file of generated passwords: its first line is not {','.join(HEADER)}",
                "name another file, which may be a new one",
            )

    def _entry(self, raw: bytes, line: int) -> Entry:
        cells = _split(raw)
        if not raw.endswith(b"\n") or not cells or len(cells) != len(HEADER) or not (cells[0] and cells[3]):
            raise UsageError(
                f"{self.path}, line {line} is not a whole record: it was cut off or changed",
                f"restore the file, or delete that line if its user has no password yet; {_FIELDS}",
            )
        entry = Entry(*cells)
        if damaged(entry.password) or is_masked(entry.password) or is_placeholder(entry.password):
            raise UsageError(
                f"{self.path}, line {line}: the password is no longer as it was generated: a spreadsheet or "
                "somebody else rewrote it",
                "restore the file, or delete that line if its user has no password yet",
            )
        return entry

    def _at(self, names: Sequence[str]) -> list[Entry | None]:
        """Return the entry of each name, read where it is; None where there is none."""
        found: list[Entry | None] = [None] * len(names)
        asked = self._db.execute(_NAMED, (json.dumps(names),)).fetchall()
        source = self._part if self._added else self._file
        if source is None:
            return found
        with self._explained():
            for key, at in asked:
                raw = os.pread(source.fileno(), _LONGEST, at)
                found[int(key)] = self._entry(raw[: raw.find(b"\n") + 1], 0)
        return found

    def _refuse_changed(self) -> None:
        """Refuse to replace a file that somebody else has written meanwhile: nothing in it may get lost."""
        try:
            now = _identity(self._target.stat())
        except FileNotFoundError:
            now = None
        if now != self._before:
            raise UsageError(
                f"{self.path} was changed by somebody else meanwhile",
                "nothing was sent; run the command again",
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(
                f"{self.path} can't be used for generated passwords: {reason_of(error)}",
                "nothing was sent; name a file in a folder of your own that you can write to",
            ) from None


_FIELDS = f"each line has {len(HEADER)} fields and ends with a line break"


def _locked_part(path: Path) -> BinaryIO:
    """Return the empty part of a file, locked. Raises UsageError if another process has it, and OSError."""
    part = _part_of(path)
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        file = os.fdopen(os.open(part, flags, 0o600), "r+b")
        try:
            os.fchmod(file.fileno(), 0o600)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last owner may have given it the file's own name, or deleted it, before it was locked.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), part.stat()):
                    file.truncate()
                    return file
        except BlockingIOError:
            file.close()
            raise UsageError(
                f"{path} is in use by another siproster",
                "wait until that one has begun to send, or use another file",
            ) from None
        except BaseException:
            file.close()
            raise
        file.close()


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _identity(facts: os.stat_result) -> tuple[int, ...]:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _name(realm: str, composite: str) -> str:
    return text_key(f"{realm} {composite}".casefold())


def _cells(entry: Entry) -> tuple[str, ...]:
    return entry.user, entry.domain, entry.realm, entry.password, entry.roster, entry.line


def _line(cells: Sequence[str]) -> bytes:
    """Return a record as one line: a line break in a roster's name becomes a blank."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([" ".join(cell.splitlines()) for cell in cells])
    return text.getvalue().encode("utf-8", "replace")


def _split(raw: bytes) -> list[str] | None:
    """Return the cells of a line; None if it is no record."""
    try:
        return next(csv.reader([raw.decode("utf-8").rstrip("\r\n")], strict=True), None)
    except (UnicodeDecodeError, csv.Error):
        return None
