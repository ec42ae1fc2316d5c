"""Folders and patterns as rosters: each file is a part, and all parts are one table."""

from __future__ import annotations

import glob
import importlib
import io
import re
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from worker.errors import UsageError
from worker.model import Absent, Options, Problem
from worker.reasons import plural, reason_of
from worker.roster.format import RosterFormat, Table
from worker.roster.remote import access_to, refuse_password, storage_options
from worker.roster.source import (
    Source,
    at_home,
    find,
    is_url,
    local_paths,
    package_for,
    without_secrets,
)
from worker.roster.text import CORRECT_HEADER, Fields, Malformed, Record

FILE = "file"
FILE_LINE = "file_line"
"""Columns that are added to every row: the name of its file, and the line in it."""

_ONE_FILE = ("http://", "https://", "file://", "local://")
"""Beginnings of URLs that name one file, whatever characters they have."""
_is_pattern = re.compile(r"[*?\[]").search


@dataclass(frozen=True, slots=True)
class Part:
    """An opened file of a folder: its table, its format, and the warnings about it."""

    table: Table
    format: RosterFormat | None
    warnings: tuple[Problem, ...]


@dataclass(slots=True)
class Folder:
    """The files of a folder or of a pattern, sorted by name (worker.roster.source.Source)."""

    place: str
    parts: Sequence[str]
    left_out: Sequence[str] = ()
    """Names of hidden files and subfolders, which are not read."""
    format: RosterFormat | None = None
    """The format of the parts, once they are read; None: a plain table."""
    warnings: list[Problem] = field(default_factory=list)
    starts: list[tuple[int, str]] = field(default_factory=list)
    """The number of lines before each part, and the part's name."""

    @property
    def name(self) -> str:
        """Return the folder's name, of a pattern that of the folder where it begins."""
        names = [one for one in re.split("[/\\\\]", without_secrets(self.place)) if one]
        return next((one for one in reversed(names) if not _is_pattern(one)), "roster")

    @property
    def shown(self) -> str:
        """Return the place, as messages name it."""
        return self.place

    def open(self) -> io.RawIOBase:
        """Raise UsageError: several files are not one."""
        raise UsageError(f"{self.place} is a folder, and a file is needed here", "give a file in it")

    def close(self) -> None:
        """Close nothing: each part is closed when it has been read."""

    def name_line(self, line: int) -> str:
        """Return a line of the roster as its file and the line in it."""
        before, file = self.starts[bisect(self.starts, (line,)) - 1]
        return f"{file}, line {line - before},"

    def records(self, open_part: Callable[[Source], Part]) -> Iterator[Record]:
        """Yield the header, with our two columns added, and the records of all parts.

        A record's line is its line in its file, plus the lines of the files before it: a running number.

        Raises:
            UsageError: a part can't be read, is empty, or of another format or other columns than the first.
        """
        self._tell_left_out()
        first: _Header | None = None
        offset = 0
        for place in self.parts:
            with closing(find(place)) as source:
                part = open_part(source)
                with closing(part.table), part.table.read() as records:
                    header = _Header(source.name, _header(part.table, records), part.format)
                    if first is None:
                        first, self.format = header, part.format
                        yield 1, header.with_file()
                    self.starts.append((offset, source.name))
                    order = first.order_of(header, self.place)
                    self.warnings += (
                        replace(one, text=f"{source.name}: {one.text}") for one in part.warnings
                    )
                    last = 1
                    for line, fields in records:
                        last = line + sum(cell.count("\n") for cell in fields if "\n" in cell)
                        yield offset + line, _ordered(header, order, line, fields)
            offset += last

    def _tell_left_out(self) -> None:
        if self.left_out:
            names = ", ".join(self.left_out[:5]) + ("…" if len(self.left_out) > 5 else "")
            text = f"hidden files and subfolders of {self.place} are not read: {names}"
            self.warnings.append(Problem("files_left_out", text))


@dataclass(frozen=True, slots=True)
class _Header:
    """The columns of one part."""

    file: str
    columns: Fields
    format: RosterFormat | None

    def with_file(self) -> Fields:
        """Return the columns and our two."""
        taken = {name.strip().casefold() for name in self.columns}
        return [*self.columns, *(f"roster_{own}" if own in taken else own for own in (FILE, FILE_LINE))]

    def order_of(self, other: _Header, place: str) -> list[int]:
        """Return where the other part has each of this one's columns. Raises UsageError if they differ."""
        if self.format != other.format:
            mine, others = (one.format.name if one.format else "a plain table" for one in (self, other))
            raise UsageError(
                f"{place}: {self.file} is {mine}, but {other.file} is {others}; one roster has one format",
                "import them one by one, or choose files with a pattern, or say --from",
            )
        if self.columns == other.columns:
            return list(range(len(self.columns)))
        if sorted(self.columns) != sorted(other.columns) or len(set(self.columns)) < len(self.columns):
            raise UsageError(
                f"{place}: {self.file} and {other.file} have other columns: {_difference(self, other)}",
                "one roster has one set of columns: choose files with a pattern, or import them one by one",
            )
        return [other.columns.index(name) for name in self.columns]


def _difference(one: _Header, other: _Header) -> str:
    """Return the first columns that only one of two parts has."""
    missing = [name for name in one.columns if name not in other.columns][:3]
    added = [name for name in other.columns if name not in one.columns][:3]
    told = [f"{name!r} only in {one.file}" for name in missing] + [
        f"{name!r} only in {other.file}" for name in added
    ]
    return ", ".join(told) or "a name stands twice, in another place"


def _header(table: Table, records: Iterator[Record]) -> Fields:
    """Return the names of the columns, without trailing ones that have none."""
    line, cells = next(records, (1, []))
    if isinstance(cells, Malformed):
        raise UsageError(
            f"{table.shown}, line {line}: the header can't be read: {cells.reason}", CORRECT_HEADER
        )
    while cells and not cells[-1].strip():
        cells = cells[:-1]
    if not cells:
        raise UsageError(f"{table.shown} is empty", "move it away, or choose the files with a pattern")
    return cells


def _ordered(header: _Header, order: Sequence[int], line: int, fields: Fields) -> Fields:
    """Return a record in the order of the first part, with the file and line that it comes from."""
    if isinstance(fields, Malformed):
        return Malformed(f"{fields.reason} ({header.file}, line {line})")
    width = len(header.columns)
    if len(fields) < width or any(fields[width:]):
        return Malformed(
            f"{plural(len(fields), 'field')}, but {plural(width, 'column')} ({header.file}, line {line})"
        )
    return [*(fields[at] for at in order), header.file, str(line)]


def folder_at(place: str) -> Folder | None:
    """Return the folder or the pattern that a place names; None if it names one file.

    Raises:
        UsageError: nothing is there that could be read.
    """
    if is_url(place):
        return _remote(place)
    path = at_home(place)
    try:
        found = _listed(path)
    except OSError:  # opening it as a file says why
        return None
    if found is None:
        return None
    files = [one for one in found if _is_read(one)]
    return _checked(
        Folder(str(path.absolute()), [*map(str, files)], [one.name for one in found if one not in set(files)])
    )


def refuse_leavers(place: str, options: Options) -> None:
    """Raise UsageError for ``--absent delete`` with a folder or pattern, of which only new files are read."""
    if options.absent is Absent.DELETE and _may_be_folder(place):
        raise UsageError(
            f"{without_secrets(place)} is a folder, and a schedule imports its new files alone: "
            "--absent delete would delete the users of all other files",
            "give a file that has everybody, or leave out --absent delete",
        )


def _may_be_folder(place: str) -> bool:
    """Return whether a place names a folder or a pattern, as far as that shows without listing it."""
    if is_url(place):
        return _is_remote(place)
    path = at_home(place)
    return path.is_dir() or (bool(_is_pattern(str(path))) and not path.exists())


def _listed(path: Path) -> list[Path] | None:
    """Return the entries of a folder, or the matches of a pattern; None for anything else."""
    if path.is_dir():
        return sorted(path.iterdir())
    if not _is_pattern(str(path)) or path.exists():
        return None
    if found := _matches(path):
        return found
    raise UsageError(f"no file matches {path}", "quote the pattern, so that the shell leaves it alone")


def _matches(pattern: Path) -> list[Path]:
    """Return what matches as in a shell, so no hidden files; sorted."""
    return sorted(map(Path, glob.glob(str(pattern))))  # noqa: PTH207 (Path.glob takes no absolute pattern)


def _is_read(path: Path) -> bool:
    return not _is_hidden(path.name) and not path.is_dir()


def _is_hidden(name: str) -> bool:
    """Return whether a name hides its file, as those that Windows and an open Excel put into a folder."""
    return name.startswith((".", "~$")) or name.casefold() in ("thumbs.db", "desktop.ini")


def _remote(url: str) -> Folder | None:
    """Return the folder that ends in ``/``, or the pattern with ``*``, of a remote place."""
    if not _is_remote(url):
        return None
    refuse_password(url)
    shown = without_secrets(url)
    base, _, pattern = url.rpartition("/")
    if "*" in base:
        raise UsageError(
            f"{shown}: only the last part of a URL may have a *", "read one folder after the other"
        )
    try:
        core: Any = importlib.import_module("fsspec.core")
        system, path = core.url_to_fs(url, **storage_options(url))
        listed = system.glob(f"{path.rstrip('/')}/*" if not pattern else path, detail=True)
    except UsageError:
        raise
    except ImportError:
        raise UsageError(f"{shown}: reading it requires another package", package_for(url)) from None
    except Exception as error:  # back ends raise their own; their texts may hold the URL
        raise UsageError(
            f"{shown} can't be listed: {reason_of(error)}", access_to(url.partition("://")[0])
        ) from None
    kinds = sorted((_base(name), facts["type"]) for name, facts in listed.items())
    files = [name for name, kind in kinds if kind == "file" and not _is_hidden(name)]
    left_out = [name for name, _ in kinds if name and name not in files]
    return _checked(Folder(shown, [f"{base}/{name}" for name in files], left_out))


def _is_remote(url: str) -> bool:
    one_file = "::" in url or "?" in url or url.startswith(_ONE_FILE)
    return not one_file and (url.endswith("/") or "*" in url)


def _base(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _checked(folder: Folder) -> Folder:
    if not folder.parts:
        raise UsageError(
            f"{folder.place} holds no file that could be a roster", "give a file, or another folder"
        )
    return folder


def local_files(place: str) -> tuple[Path, ...]:
    """Return the local files that are read for a place, those of a folder or pattern included."""
    found: list[Path] = []
    for path in local_paths(place):
        try:
            found += [path] if (listed := _listed(path)) is None else filter(_is_read, listed)
        except (OSError, UsageError):
            found.append(path)
    return tuple(found)
