"""Files and folders that only their owner can access, whatever the umask."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, each with mode 0700. Existing ones stay as they are.

    Raises OSError; FileExistsError if something else has the name.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        try:
            one.mkdir(mode=0o700)
        except FileExistsError:  # another process created it meanwhile
            continue
        if one.stat().st_mode & 0o700 != 0o700:  # a umask can remove the owner's own rights, too
            one.chmod(0o700)
    if not folder.is_dir():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))


def new_file(path: Path) -> int:
    """Create a file of mode 0600, open it for writing and return its descriptor.

    Raises OSError; FileExistsError if something has that name, a dangling link included.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def new_part(path: Path) -> tuple[int, Path]:
    """Create a file beside ``path`` under an unguessable name, to be renamed when it is complete."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    return new_file(part), part


@contextmanager
def replacing_file(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a file of mode 0600 under another name, which is yielded too, and rename it at the end.

    A file of that name is replaced; if the block raises, it stays as it was. Raises OSError.
    """
    descriptor, part = new_part(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file of mode 0600 that gets its name when it is complete and on the disk.

    Raises OSError; FileExistsError if something has that name by then, which is left alone.
    """
    descriptor, part = new_part(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_name(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replaced_file(path: Path) -> Iterator[TextIO]:
    """Write a text file of mode 0600 that replaces its namesake when it is complete and on the disk.

    Raises OSError; UnicodeEncodeError for a lone surrogate.
    """
    descriptor, part = new_part(path)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def open_found(path: Path) -> BinaryIO:
    """Open a file that was found and not named, for reading, without waiting for the writer of a FIFO."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb")


def _give_name(part: Path, path: Path) -> None:
    """Give the file its name by a link: a rename would replace a file that appeared meanwhile."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: reserve the name, then rename over our own file
        os.close(new_file(path))
        part.replace(path)
