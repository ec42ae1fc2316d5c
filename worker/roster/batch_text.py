r"""Read the output of ``mysql -B``: tabs, ``NULL``, and the escapes ``\\``, ``\t``, ``\n`` and ``\0``.

Source: MySQL's documentation of ``--batch`` and ``--raw``. Tables that are drawn for a terminal are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TextIO

from worker.errors import UsageError
from worker.roster.format import Start
from worker.roster.text import LONGEST, Fields, Malformed, Record, Text, without_dos_end

_BATCH: Final = 1 << 16
"""Characters, plus the rest of a line, that are split together."""
_ESCAPES: Final = {"\\\\": "\\", "\\t": "\t", "\\n": "\n"}
_escape = re.compile(r"\\[\\tn]").sub
_wrong_escape = re.compile(r"(?<!\\)(?:\\\\)*\\(?![\\tn0])").search
_nul = re.compile(r"(?<!\\)(?:\\\\)*\\0").search
_WRONG_ESCAPE: Final = (
    r"a backslash that begins none of mysql's escapes (\\ \t \n): is it the output of mysql -B?"
)
_NUL: Final = r"a NUL character (\0), which text can't hold"
_drawn = re.compile(r"[^\n|]*\|[^\n]*\n ?-+(?:\+-+)+ ?\r?\n|[+╔┌][-═─+┬╤╗┐]+\r?\n[ ]*[|│║]").match
"""Whether a text, without the white space before it, begins with such a table; linear in its length."""


def is_batch(start: Start) -> bool:
    """Return whether a text is separated by tabs, without quotes, as ``mysql -B`` does it."""
    first = start.text.partition("\n")[0].rstrip("\r").lstrip("\ufeff")
    cells = "\t".join(start.header).lstrip("\ufeff")
    quoted = '\t"' in start.text or '\n"' in start.text
    return len(start.header) > 1 and first == cells and not quoted


def has_other_escapes(start: Start) -> bool:
    """Return whether a text begins with backslashes in it that are none of the escapes of ``mysql -B``."""
    whole = start.text[: start.text.rfind("\n") + 1]  # the last line may be cut off within an escape
    return bool(_wrong_escape(whole))


def refuse_drawn(start: Start) -> None:
    """Raise UsageError for a table with lines around it, as ``psql`` and ``mysql -t`` draw it."""
    if _drawn(start.text.lstrip()):
        raise UsageError(
            f"{start.name} is a table drawn for a terminal, which pads and cuts its cells",
            'make a CSV of it: psql --csv -c "SELECT * FROM subscriber" > subscriber.csv, '
            'or mysql -B -e "SELECT * FROM subscriber" > subscriber.tsv',
        )


@dataclass(frozen=True, slots=True)
class BatchText(Text):
    """A text in which each line is a record, since nothing is quoted."""

    def records(self, lines: TextIO) -> Iterator[Record]:
        """Yield every record that isn't blank, the header first. ``NULL`` is an empty cell."""
        line = self.first_line
        for _ in range(1, line):
            lines.readline()
        while some := lines.readlines(_BATCH):
            without_dos_end(some)
            for at, one in enumerate(some, line):
                if one and not one.isspace():
                    cells = _cells(one)
                    yield at, [*map(str.strip, cells)] if self.strip and cells else cells
            line += len(some)


def _cells(line: str) -> Fields:
    if len(line) > LONGEST:
        return Malformed(f"longer than {LONGEST:,} characters")
    escaped = "\\" in line
    if escaped and (_wrong_escape(line) or _nul(line)):
        return Malformed(_WRONG_ESCAPE if _wrong_escape(line) else _NUL)
    cells = line.rstrip("\r\n").split("\t")
    if "NULL" in line:
        cells = ["" if cell == "NULL" else cell for cell in cells]
    return [_escape(lambda found: _ESCAPES[found[0]], cell) for cell in cells] if escaped else cells
