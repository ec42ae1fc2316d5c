"""Files that a configuration file includes, and the numbering of the lines of all of them."""

from __future__ import annotations

import bisect
import glob
import hashlib
import io
import os
import stat
from pathlib import Path
from typing import Final

from worker.errors import UsageError
from worker.reasons import reason_of
from worker.roster.encoding import survey
from worker.roster.source import BLOCK, Hashed, LocalFile
from worker.roster.text import Text

_MOST_NESTED: Final = 10
"""Levels of inclusion, as in Asterisk."""
_MOST_FILES: Final = 10_000
MISSING: Final = "there is no such file"


class Includes:
    """A file, and those that it includes: local ones in its folder, or below."""

    def __init__(self, text: Text, encoding: str = "") -> None:
        """``encoding``: what ``--encoding`` gives; without, that of each file is detected."""
        self.text = text
        self._encoding = encoding
        self._folder = Path(text.source.place).parent if isinstance(text.source, LocalFile) else None
        self.begin()

    def begin(self) -> None:
        """Begin to read all files anew."""
        self._starts: list[tuple[int, str, int]] = []
        self._digests: list[str] = []

    @property
    def sha256(self) -> str:
        """Return the hash of the file, or of all files, that were read to their ends."""
        only = len(self._digests) == 1
        return self._digests[0] if only else hashlib.sha256("\n".join(self._digests).encode()).hexdigest()

    @property
    def several(self) -> bool:
        """Return whether files were included."""
        return len(self._starts) > 1

    def start(self, number: int, text: Text, line: int) -> None:
        """Note that the line of that number is this line of a file."""
        self._starts.append((number, text.source.name, line))

    def end(self, raw: Hashed) -> None:
        """Note that a file was read to its end."""
        self._digests.append(raw.hexdigest())

    def place(self, number: int) -> str:
        """Return ``FILE:LINE`` of the line of that number."""
        start, name, line = self._starts[bisect.bisect(self._starts, number, key=lambda one: one[0]) - 1]
        return f"{name}:{line + number - start}"

    def error(self, number: int, text: str, hint: str) -> UsageError:
        """Return the error for the line of that number."""
        return UsageError(f"{self.text.shown}: {self.place(number)}: {text}", hint)

    def find(self, name: str, beside: str = "") -> tuple[list[Path], str]:
        """Return the files that a name or pattern stands for, in their order; or the reason why none is read.

        ``beside``: the place of the file to whose folder the name is relative; empty: of the first one.
        """
        if self._folder is None:
            return [], "only a local file can include others"
        path = Path(os.path.normpath((Path(beside).parent if beside else self._folder) / name))
        if not path.is_relative_to(self._folder):
            return [], f"outside of the folder {self._folder}"
        try:
            magic = glob.has_magic(name)
            found = sorted(map(Path, glob.glob(str(path)))) if magic else [path]  # noqa: PTH207
            found = [one for one in found if one.exists()]
        except (OSError, ValueError) as error:
            return [], reason_of(error) if isinstance(error, OSError) else "no file can have this name"
        return found, "" if found else MISSING

    def open(self, path: Path, above: tuple[str, ...], number: int) -> Text | str:
        """Return the text of a file, or the reason why it is not read; empty: it has no content.

        ``above``: the places of the files that are open; ``number``: that of the line that includes it.
        Raises UsageError for a file that includes itself, and for too many.
        """
        source, real, folder = LocalFile(path), path.resolve(), Path(self.text.source.place).parent
        if source.place in above or str(real) in above:
            raise self.error(number, f"{path.name} includes itself", "remove this line")
        if len(above) > _MOST_NESTED or len(self._starts) > _MOST_FILES:
            text = (
                f"too many files are included; {_MOST_NESTED} levels and {_MOST_FILES:,} files are the limit"
            )
            raise self.error(number, text, "import the files one by one")
        if not real.is_relative_to(folder.resolve()):
            return f"a link out of the folder {folder}"
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                return "not a regular file"
            with io.BufferedReader(source.open(), BLOCK) as stream:
                if not stream.read(BLOCK).strip():
                    return ""
        except OSError as error:
            return reason_of(error)
        except UsageError as error:
            return str(error)
        facts = survey(source, self._encoding)
        if facts.warnings:
            raise UsageError(
                f"{source.place}, which {self.text.shown} includes, is not UTF-8",
                "give the encoding of all files with --encoding, such as cp1252",
            )
        return Text(source, facts.encoding, self.text.delimiter)
