"""Bytes that can be read only once, kept for a second pass without ever being on disk in clear."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 1 << 20
"""Bytes of a block, the last one excepted."""
_SEALED = BLOCK + 16  # AES-GCM adds a tag of 16 bytes to each block
_KEY_BITS = 256


class Blocks(Protocol):
    """Bytes in numbered blocks of ``BLOCK`` bytes."""

    @property
    def size(self) -> int:
        """Return the number of bytes."""

    def block(self, number: int) -> bytes:
        """Return a block; empty after the last one."""


class NotKept(OSError):
    """Raised when the temporary file can't be made or written; the stream's own errors pass unchanged."""


class Spool:
    """An unlinked temporary file of sealed blocks.

    The key lives only in this object, so blocks that a crash leaves on the disk can't be opened. A block's
    number is its nonce: the key seals each number once.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._cipher = AESGCM(AESGCM.generate_key(_KEY_BITS))
        self._blocks = 0
        self.size = 0
        """Bytes that are kept."""
        with _disk_errors():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        try:
            while block := _full_block(stream):
                with _disk_errors():
                    self._file.write(self._cipher.encrypt(_nonce(self._blocks), block, None))
                    self._file.flush()
                self._blocks += 1
                self.size += len(block)
        except BaseException:
            with suppress(OSError):  # closing tries the failed write once more
                self._file.close()
            raise

    def open(self) -> io.RawIOBase:
        """Return a new reading from the start."""
        return BlockReading(self)

    def block(self, number: int) -> bytes:
        """Return the block, opened; empty after the last one."""
        if number >= self._blocks:
            return b""
        sealed = os.pread(self._file.fileno(), _SEALED, number * _SEALED)
        return self._cipher.decrypt(_nonce(number), sealed, None)

    def close(self) -> None:
        self._file.close()


class BlockReading(io.RawIOBase):
    """A reading of numbered blocks, from their start unless it is moved."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._number = 0
        self._rest = memoryview(b"")
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._blocks.size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        number, inside = divmod(start + offset, BLOCK)
        self._rest = memoryview(self._blocks.block(number))[inside:]
        self._number = number + 1
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self._rest:
            self._rest = memoryview(self._blocks.block(self._number))
            self._number += 1
        target = memoryview(buffer)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._position += count
        return count


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotKept(error.errno, error.strerror) from None


def _full_block(stream: BinaryIO) -> bytes:
    """Read exactly one block, shorter only at the end: a pipe returns what it has at the moment."""
    parts: list[bytes] = []
    missing = BLOCK
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
