"""Sources of a roster's bytes: a file, standard input, or a URL; each can be read more than once."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import importlib
import io
import os
import re
import shlex
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast
from urllib.parse import unquote

from worker.errors import UsageError
from worker.reasons import reason_of
from worker.roster.remote import access_to, refuse_password, storage_options
from worker.roster.spool import NotKept, Spool

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 1 << 20
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*"
_url = re.compile(f"{_SCHEME}(?:://|::)").match
MOST_UNPACKED = 4 << 30
"""Bytes that a compressed roster may unpack to."""
_EXTRAS = {"s3": "s3", "s3a": "s3", "sftp": "sftp", "ssh": "sftp", "http": "https", "https": "https"}
"""Protocol to the extra of ours that installs its packages."""
_SHOWN = 300
"""Most characters of a path or URL in a message."""


class Source(Protocol):
    """A source of bytes that can be read from its start as often as needed."""

    @property
    def name(self) -> str:
        """Return the base name, for people and for the job's id."""
        ...

    @property
    def place(self) -> str:
        """Return the absolute path, the URL without user, password and query, or ``-``."""
        ...

    @property
    def shown(self) -> str:
        """Return the place, as messages name it."""
        ...

    def open(self) -> io.RawIOBase: ...

    def close(self) -> None: ...


class LocalFile:
    """A regular file, opened again for every pass."""

    def __init__(self, path: Path) -> None:
        self.name = _text(path.name)
        self.place = _text(str(path.absolute()))
        self._path = path.absolute()

    def open(self) -> io.RawIOBase:
        try:
            return self._path.open("rb", buffering=0)
        except OSError as error:
            raise unreadable(self.place, error) from None

    def close(self) -> None:
        """Close nothing: no stream stays open between two passes."""

    @property
    def shown(self) -> str:
        return self.place


class Spooled:
    """Bytes that come only once (standard input, a pipe, a URL), kept in a sealed temporary file."""

    def __init__(self, name: str, place: str, stream: BinaryIO) -> None:
        self.name = name
        self.place = place
        self._spool = spooled(place, stream)

    @property
    def shown(self) -> str:
        return "standard input" if self.place == "-" else self.place

    def open(self) -> io.RawIOBase:
        return self._spool.open()

    def close(self) -> None:
        self._spool.close()


class Hashed(io.RawIOBase):
    """A raw stream that hashes the bytes read through it."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self._sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = self._raw.readinto(buffer) or 0
        self._sha256.update(memoryview(buffer)[:count])
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()

    def hexdigest(self) -> str:
        """Return the hash of all bytes; the remaining ones are read now."""
        while block := self._raw.read(BLOCK):
            self._sha256.update(block)
        return self._sha256.hexdigest()


def find(place: str, stdin: BinaryIO | None = None) -> Source:
    """Return the source that ``place`` names: a path, ``-`` or a URL.

    Raises:
        UsageError: it is missing, a folder, or can't be read.
    """
    if place == "-":
        try:
            return Spooled("stdin", "-", stdin or _standard_input())
        except OSError as error:
            raise UsageError(f"standard input can't be read: {reason_of(error)}", "give a file") from None
    if _url(place):
        return _from_url(place)
    return _from_path(at_home(place))


def is_url(place: str) -> bool:
    """Return whether a place is a URL, or a chain of them, rather than a path."""
    return bool(_url(place))


def local_paths(place: str) -> tuple[Path, ...]:
    """Return the local files that ``place`` may name; none for ``-`` and remote places.

    For a URL both readings: fsspec opens its path as it is, and RFC 8089 has it percent-decoded.
    """
    last = place.rpartition("::")[2]
    if found := re.match("(?:file|local)://", last):
        path = last[found.end() :]
        return tuple(dict.fromkeys((at_home(path), at_home(unquote(path)))))
    return () if place == "-" or _url(place) else (at_home(place),)


def at_home(path: str) -> Path:
    """Return the path with ``~`` expanded."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user, or nobody's home is known
        return Path(path)


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise UsageError("standard input is closed", "give a file, or use < FILE")
    return sys.stdin.buffer


def find_and_keep(place: str) -> Source:
    """Return the source like ``find``, with a copy of its present content: later changes aren't seen.

    Raises:
        UsageError: it is missing, a folder, or can't be read.
    """
    found = find(place)
    if not isinstance(found, LocalFile):
        return found
    try:
        with io.BufferedReader(found.open(), BLOCK) as stream:
            return Spooled(found.name, found.place, stream)
    except OSError as error:
        raise unreadable(found.place, error) from None


def blocks(source: Source) -> Iterator[bytes]:
    """Yield all bytes of it, in blocks of one MiB (the last one is shorter)."""
    with io.BufferedReader(source.open(), BLOCK) as stream:
        while block := stream.read(BLOCK):
            yield block


def _from_path(path: Path) -> Source:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"{path} is a folder, not a roster", "give a file in it")
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):  # some devices never end
            raise UsageError(f"{path} is a device, not a roster", "give a file, or - for standard input")
        if stat.S_ISREG(mode):
            return _unpacked(path) if path.suffix == ".gz" else LocalFile(path)
        with path.open("rb") as stream:  # a pipe such as <(...): it can be read only once
            return Spooled(_text(path.name), _text(str(path)), stream)
    except OSError as error:
        raise unreadable(str(path), error) from None


def _unpacked(path: Path) -> Source:
    """Return the content of a compressed file."""
    try:
        with gzip.open(path) as stream:
            return Spooled(_text(path.stem), _text(str(path.absolute())), cast(BinaryIO, Bounded(stream)))
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UsageError(
            f"{path} can't be unpacked: it is damaged, or not a gzip file", "try: gunzip -t"
        ) from None


class Bounded(io.RawIOBase):
    """A stream that ends with an error at a size that no roster has: a small file may unpack to terabytes."""

    def __init__(self, stream: io.BufferedIOBase, most: int = MOST_UNPACKED) -> None:
        self._stream = stream
        self._most = self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = self._stream.readinto(buffer)
        self._left -= count
        if self._left < 0:
            size = f"{self._most / (1 << 30):g} GiB"
            raise UsageError(f"a compressed roster unpacks to more than {size}", "unpack it, and look at it")
        return count


def _text(path: str) -> str:
    """Return a path as text that any file and database accepts: its bytes may be no UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def _from_url(url: str) -> Source:
    refuse_password(url)
    shown = without_secrets(url)
    name = shown.rpartition("://")[2].partition("/")[2].rstrip("/").rpartition("/")[2] or "roster"
    try:
        with _opened(url) as stream:
            return Spooled(name, shown, stream)
    except UsageError:
        raise
    except ImportError:
        raise UsageError(f"{_short(shown)}: reading it requires another package", package_for(url)) from None
    except Exception as error:  # fsspec's back ends raise their own errors; their texts may hold the URL
        raise UsageError(
            f"{_short(shown)} can't be read: {reason_of(error)}", access_to(_protocol(url))
        ) from None


def _opened(url: str) -> AbstractContextManager[BinaryIO]:
    try:
        fsspec: Any = importlib.import_module("fsspec")
    except ValueError:  # fsspec reads its settings, JSON and INI files, on import
        raise UsageError(
            "the settings of fsspec, which opens URLs, can't be read",
            "check the files in FSSPEC_CONFIG_DIR (default: ~/.config/fsspec)",
        ) from None
    protocol = _protocol(url)
    if protocol not in fsspec.available_protocols():
        raise UsageError(
            f"{_short(protocol)} is not a protocol that fsspec knows", "https, s3, gs, sftp … are"
        )
    return cast(
        AbstractContextManager[BinaryIO], fsspec.open(url, "rb", compression="infer", **storage_options(url))
    )


def package_for(url: str) -> str:
    """Return the command that installs what a URL's protocol needs, or fsspec's own advice."""
    protocol = _protocol(url.rpartition("::")[2])
    if extra := _EXTRAS.get(protocol):
        return f"pip install 'siproster[{extra}]'"
    try:
        registry: Any = importlib.import_module("fsspec.registry")
    except ImportError:
        return "pip install fsspec"
    known: dict[str, dict[str, str]] = registry.known_implementations
    return known.get(protocol, {}).get("err") or "see fsspec's documentation for its package"


def _protocol(url: str) -> str:
    return re.split("://|::", url)[0]


def spooled(place: str, stream: BinaryIO) -> Spool:
    """Return a sealed copy of a stream. Raises UsageError if the temporary folder can't hold it."""
    try:
        return Spool(stream)
    except NotKept as error:
        raise UsageError(
            f"{place}: can't be copied to a temporary file: {reason_of(error)}",
            "make room in the temporary folder, or set TMPDIR to another one",
        ) from None


def without_secrets(url: str) -> str:
    """Return the URL without user, password and query, which may grant access. It may be no URL at all.

    If a password may hold a ``/``, ``?`` or ``#``, too much is left out rather than too little.
    """
    return "::".join(map(_link_without_secrets, re.split(f"::(?={_SCHEME}://)", url)))


def _link_without_secrets(link: str) -> str:
    """Return one link of a chain without them, as in ``zip://staff.csv::https://HOST/staff.zip``."""
    scheme, mark, rest = link.partition("://")
    host = re.split("[/?#]", rest)[0]
    if "@" in rest and ("@" in host or (":" in host and not host.startswith("["))):
        before = rest if ":" in host.partition("@")[0] else host
        rest = rest[before.rindex("@") + 1 :]
    return re.split("[?#]", f"{scheme}{mark}{rest}")[0]


def unreadable(path: str, error: OSError) -> UsageError:
    """Return the error that says why a file can't be read."""
    if isinstance(error, FileNotFoundError):
        return UsageError(f"there is no file {_short(path)}", _nearest(Path(path)))
    if isinstance(error, PermissionError):
        return UsageError(f"{_short(path)} can't be read by this user", "ask for permission to read it")
    return UsageError(f"{_short(path)} can't be read: {reason_of(error)}", "give another file")


def _short(place: str) -> str:
    """Return a path or URL, shortened for a message."""
    return place if len(place) <= _SHOWN else f"{place[:_SHOWN]}…"


def _nearest(path: Path) -> str:
    if re.match(r"[A-Za-z]:\\", str(path)):
        drive, _, rest = str(path).replace("\\", "/").partition(":")
        return f"in WSL, it is {shlex.quote(f'/mnt/{drive.lower()}{rest}')}"
    try:
        names = [near.name for near in path.parent.iterdir()]
        near = difflib.get_close_matches(path.name, names, 1)
        return f"did you mean {path.parent / near[0]}?" if near else f"the working folder is {Path.cwd()}"
    except OSError:  # no such folder, no right to look into it, or the working folder is gone
        return "check that its folder is right"
