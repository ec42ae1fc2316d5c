"""Detect the encoding of a roster from all of its bytes.

UTF-8 (with or without BOM), UTF-16 (with BOM, or obvious), else Windows-1252; anything else must be
stated with ``--encoding``. A password read in the wrong encoding is a dead credential, so nothing is
guessed if the file contradicts itself. Text that no result file could hold is refused here, too.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import re
from dataclasses import dataclass
from itertools import chain
from typing import Final

from worker.errors import UsageError
from worker.model import Problem
from worker.roster.source import Source, blocks

FALLBACK = "cp1252"
GUESSED: Final = "Windows-1252"
"""The name of FALLBACK for people."""
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_ZIP = b"PK\x03\x04"
_BINARY = {
    _ZIP: "an Excel workbook or ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"SQLite format 3": "a database",
}
_UTF32 = "utf-32"
_SAVE_AS = "save it as CSV UTF-8, or as CSV, and try again"
_FOR_EYES = ("a PDF", "a picture")
_EXPORT = (
    "export the users from the PBX as CSV or as a workbook: nobody can read passwords reliably from this"
)
_FROM_ZIP = f"name a file in a ZIP archive: zip://MEMBER::FILE.zip; or {_SAVE_AS}"
_NAME_IT = "give the encoding with --encoding, such as cp850 or mac-roman"
_NOT_OF_FILES = frozenset({"unicode-escape", "raw-unicode-escape", "punycode", "idna", "undefined"})
"""Python's codecs of literals and host names: no program writes a table in them."""
_unusable = re.compile("[\0\ud800-\udfff]").search
LONGEST_LINE: Final = 1 << 20
"""Characters in one physical line, which is read as a whole."""
_UTF8_SEQUENCE = re.compile(
    b"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"  # RFC 3629, section 4
)
_HIGH = bytes(range(0x80, 0x100))


@dataclass(frozen=True, slots=True)
class Bytes:
    """The result of one pass over the bytes."""

    sha256: str
    encoding: str
    """A codec that decodes every byte of the file."""
    warnings: tuple[Problem, ...] = ()


def survey(source: Source, wanted: str = "", fallback: str = FALLBACK) -> Bytes:
    """Read all bytes and return their hash and encoding (``wanted`` overrides it).

    ``fallback``: the encoding of a text that is no Unicode.

    Raises:
        UsageError: empty, binary, not decodable, a line without end, or an invalid character; the
            message names the line.
    """
    sha256 = hashlib.sha256()
    first = b""
    nul = False
    for block in blocks(source):
        first = first or block
        sha256.update(block)
        nul = nul or b"\0" in block
    _refuse_no_text(source, first)
    encoding, warnings = _decide(source, first, nul, wanted, fallback)
    return Bytes(sha256.hexdigest(), encoding, warnings)


def _decide(
    source: Source, first: bytes, nul: bool, wanted: str, fallback: str
) -> tuple[str, tuple[Problem, ...]]:
    sure = _text_codec(wanted, first) if wanted else _by_its_start(first)
    if sure == _UTF32 and not wanted:
        raise UsageError(f"{source.shown} is UTF-32, which no application reads by itself", _SAVE_AS)
    if sure:
        _refuse_undecodable(source, sure)
        return sure, ()
    if nul:
        raise UsageError(f"{source.shown} is not a text file: it contains NUL bytes", _SAVE_AS)
    broken = _undecodable_line(source, "utf-8")
    if broken is None:
        return "utf-8", ()
    _refuse_mixed(source, broken)
    _refuse_undecodable(source, fallback)
    text = f"read as {_shown(fallback)}, since line {broken} is not UTF-8; if that is wrong, use --encoding"
    return fallback, (Problem("encoding_guessed", text),)


def _text_codec(wanted: str, first: bytes) -> str:
    """Return the codec of that name; the variant that strips a BOM if there is one."""
    try:
        io.TextIOWrapper(io.BytesIO(), wanted)  # this look-up refuses bytes-to-bytes codecs, such as hex
    except (LookupError, ValueError):  # a name with a NUL or half a surrogate is a ValueError
        raise UsageError(f"there is no text encoding {wanted!r}", "such as utf-8, utf-16, cp1252") from None
    name = codecs.lookup(wanted).name
    if name in _NOT_OF_FILES:
        raise UsageError(f"{wanted} is not an encoding of text files", "such as utf-8, utf-16, cp1252 are")
    with_bom = [other for bom, other in _BOMS.items() if first.startswith(bom)]
    return with_bom[0] if with_bom and name[:5] == with_bom[0][:5] else name


def _by_its_start(first: bytes) -> str:
    """Return the encoding by its BOM, or UTF-16 if every other byte of the start is NUL."""
    if first.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):  # the former begins with UTF-16's
        return _UTF32
    for bom, name in _BOMS.items():
        if first.startswith(bom):
            return name
    start = first[:4096]
    if len(start) >= 16 and start.count(0) * 4 >= len(start) * 3 - 4:
        return _UTF32
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if max(even, odd) * 4 < len(start) or min(even, odd) * 16 > len(start):
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _refuse_no_text(source: Source, first: bytes) -> None:
    if not first.strip():
        raise UsageError(f"{source.shown} is empty", "a roster needs a header row and one row for each user")
    for magic, kind in _BINARY.items():
        if first.startswith(magic):
            hint = _FROM_ZIP if magic == _ZIP else _EXPORT if kind in _FOR_EYES else _SAVE_AS
            raise UsageError(f"{source.shown} is {kind}, not a text file", hint)


def _refuse_undecodable(source: Source, encoding: str) -> None:
    line = _undecodable_line(source, encoding)
    if line is not None:
        raise UsageError(f"{source.shown}, line {line}: these bytes are not {_shown(encoding)}", _NAME_IT)


def _shown(encoding: str) -> str:
    return GUESSED if encoding == FALLBACK else encoding


def _refuse_mixed(source: Source, broken: int) -> None:
    """Refuse UTF-8 with a broken spot: it would pass as Windows-1252, and every password would be wrong."""
    sequences, high = 0, 0
    for block in blocks(source):
        rest, found = _UTF8_SEQUENCE.subn(b"", block)
        sequences += found
        high += len(rest) - len(rest.translate(None, _HIGH))
    if sequences > high:
        raise UsageError(
            f"{source.shown} is UTF-8, but line {broken} is not",
            "correct that line, or give the encoding with --encoding",
        )


def _undecodable_line(source: Source, encoding: str) -> int | None:
    """Return the line of the first bytes that the encoding can't decode; None if it can decode all.

    Raises UsageError if they decode to text that can't be used.
    """
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    lines = _LineEnds()
    for block in chain(blocks(source), (b"",)):
        held, flag = decoder.getstate()
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as error:  # its start includes the bytes held back before the block
            decoder.setstate((held, flag))
            good = getattr(error, "start", 0) - len(held)
            lines.count(decoder.decode(block[: max(good, 0)]))
            return lines.number
        # Search only text that may hold one: ASCII decodes to no surrogate.
        if ("\0" in text or not text.isascii()) and (found := _unusable(text)):
            lines.count(text[: found.start()])
            raise _unusable_character(source, found[0], lines)
        lines.count(text)
        if lines.column > LONGEST_LINE:
            raise UsageError(
                f"{source.shown} is not a roster: line {lines.number} is longer than a million characters",
                _SAVE_AS,
            )
    return None


def _unusable_character(source: Source, character: str, before: _LineEnds) -> UsageError:
    """Return the error for a NUL or a lone surrogate, neither of which text can hold."""
    what = "a NUL" if character == "\0" else "an unpaired surrogate"
    return UsageError(
        f"{source.shown}, line {before.number}, column {before.column + 1}: {what}, which text can't contain",
        "correct it, or give another encoding with --encoding",
    )


class _LineEnds:
    """Counter of physical lines: LF, CR LF and a lone CR each end one."""

    def __init__(self) -> None:
        self.number = 1
        self.column = 0
        """Characters of the last line so far."""
        self._after_cr = False

    def count(self, text: str) -> None:
        if self._after_cr and text.startswith("\n"):
            text = text[1:]
        if text:
            self._after_cr = text.endswith("\r")
            self.number += line_ends(text)
            end = max(text.rfind("\n"), text.rfind("\r"))
            self.column = len(text) - end - 1 + (self.column if end < 0 else 0)


def line_ends(text: str) -> int:
    """Return how many line ends a text holds."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")
