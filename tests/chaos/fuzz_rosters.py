"""``python -m tests.chaos.fuzz_rosters``: rosters of every make, read by siproster and by another reader.

The other, independent one is Python's csv over the whole decoded text; it knows encoding and delimiter, which
siproster often has to find. Every record, its line and its fields must be the same, and every row must
have that user and that password. Where siproster refuses, the file must be broken or ambiguous (``EXCUSES``).
Exit code 1 when a promise broke; the roster's seed is printed.
"""

from __future__ import annotations

import argparse
import codecs
import csv
import functools
import io
import random
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

from worker.errors import UsageError
from worker.model import Options, Row
from worker.roster import open_roster
from worker.roster.header import known
from worker.roster.hiding import HIDDEN
from worker.roster.source import find
from worker.roster.text import LONGEST, MOST_LINES, Malformed, Text

GUESSED: Final = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-bom-be", "cp1252")
"""Encodings that siproster finds by itself."""
NAMED: Final = (
    *(
        "utf-8",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "utf-7",
        "cp1252",
        "cp850",
        "latin-1",
        "mac-roman",
        "koi8-r",
    ),
    *("shift_jis", "gb18030", "iso2022_jp", "euc_kr", "cp037"),
)
DELIMITERS: Final = {",": 6, ";": 4, "\t": 3, "|": 2}
ODD_DELIMITERS: Final = (":", "~", "^", "§", " ")
ENDS: Final = ("\n", "\r\n", "\r")
LETTERS: Final = "abcxyzABC019._-!$&*+=~@"
ODD: Final = (
    "äöüßéñ€ø“”’\u00a0\u200b\ufeff日本語한🎉e\u0301"
    "\t\x01\x0b\x0c\x1a\x1b\x1c\x1d\x1e\x85\u2028\u2029'`\\/<>#%&=^~| ,;"
)
NAMES: Final = (
    "note",
    "Full Name",
    "site",
    "e-mail",
    "Größe",
    "",
    "a, b; c",
    'the "x"',
    "two\nlines",
    "Ext.",
)


@dataclass(frozen=True, slots=True)
class Made:
    """A roster as it was made."""

    data: bytes
    text: str
    """The bytes, decoded."""
    delimiter: str
    options: Options
    encoding: str
    damaged: bool = False
    """A byte in it is no UTF-8, among others that plainly are: it can't be read."""


@dataclass
class Reading:
    """Result of the independent reader."""

    records: list[tuple[int, list[str] | None]] = field(default_factory=list)
    """Line and fields; None: not well-formed, but on one line."""
    broken: bool = False
    """A record over several lines is not well-formed, has no end, or is too long."""


def make(luck: random.Random) -> Made:
    """Make one roster: mostly valid, often odd, sometimes torn."""
    named = luck.random() < 0.3
    encoding = luck.choice(NAMED if named else GUESSED)
    odd = luck.random() < 0.1
    delimiter = (
        luck.choice(ODD_DELIMITERS) if odd else luck.choices(*zip(*DELIMITERS.items(), strict=True))[0]
    )
    text = _Writer(luck, delimiter).text()
    if luck.random() < 0.2:
        text = _torn(luck, text, delimiter)
    codec = {"utf-16-bom-be": "utf-16-be"}.get(encoding, encoding)
    text = "".join(character for character in text if _can_write(codec, character))
    text = text.removeprefix("\ufeff") if codec.startswith("utf") else text
    data = (codecs.BOM_UTF16_BE if encoding == "utf-16-bom-be" else b"") + text.encode(codec)
    options = Options(
        weak_given=True, encoding=codec if named else "",
        delimiter=delimiter if odd or luck.random() < 0.2 else "",
    )  # fmt: skip
    damaged = encoding == "utf-8" and not named and sum(map(str.isascii, text)) < len(text) - 3
    if damaged and luck.random() < 0.1:
        at = luck.choice([at for at in range(len(data)) if data[at] < 0x80])
        return Made(data[:at] + b"\xe9" + data[at:], text, delimiter, options, codec, damaged)
    return Made(data, text, delimiter, options, codec)


@functools.cache
def _can_write(codec: str, character: str) -> bool:
    """Whether the encoding gives the character back, which one made of escape sequences does not with ESC."""
    if codec.startswith("iso2022") and character in "\x0e\x0f\x1b":
        return False
    return character.encode(codec, "ignore").decode(codec) == character


class _Writer:
    """Writes a table as one program or another would."""

    def __init__(self, luck: random.Random, delimiter: str) -> None:
        self._luck = luck
        self._delimiter = delimiter
        self._end = luck.choice(ENDS)
        self._mixed = luck.random() < 0.1
        self._quote = luck.choice((0.0, 0.1, 0.5, 1.0))
        self._oddness = luck.choice((0.0, 0.05, 0.3))

    def text(self) -> str:
        """Header and rows, among blank lines."""
        luck = self._luck
        names = ["username", "password", *luck.sample(NAMES, luck.randint(0, 4))]
        luck.shuffle(names)
        lines = [self._record(names)]
        for _ in range(luck.choice((1, 3, 10, 60))):
            cells = [self._cell(name) for name in names]
            if luck.random() < 0.1 * bool(self._oddness):
                cells = cells[: luck.randint(0, len(cells))] + [self._cell("")] * luck.randint(0, 2)
            lines.append(self._record(cells))
            if luck.random() < 0.1:
                lines.append(luck.choice(("", " ", "\t", self._delimiter * luck.randint(1, 5), " \u00a0 ")))
        before = [""] * luck.choice((0, 0, 0, 2))
        text = "".join(line + self._line_end() for line in (*before, *lines))
        return text if luck.random() < 0.7 else text.rstrip("\r\n")

    def _line_end(self) -> str:
        return self._luck.choice(ENDS) if self._mixed else self._end

    def _cell(self, name: str) -> str:
        luck = self._luck
        if luck.random() < 0.002:
            return "x" * luck.choice((5000, LONGEST - 50, LONGEST, LONGEST + 1))
        letters = LETTERS + (ODD + self._delimiter + '"' if luck.random() < self._oddness else "")
        cell = "".join(
            luck.choices(letters, k=luck.randint(0 if name not in ("username", "password") else 6, 20))
        )
        if luck.random() < self._oddness / 3:
            cell = self._end.join((cell, *[cell[:3]] * luck.randint(1, 4)))
        return cell

    def _record(self, cells: list[str]) -> str:
        return self._delimiter.join(map(self._written, cells))

    def _written(self, cell: str) -> str:
        luck = self._luck
        if luck.random() < self._oddness / 30:
            return luck.choice(
                (f'"{cell}"x', f'"{cell}', f'x"{cell}"', f'"{cell}" ', f' "{cell}"', '"', '""', '"""')
            )
        must = any(letter in cell for letter in (self._delimiter, '"', "\r", "\n"))
        if must or luck.random() < self._quote:
            return '"' + cell.replace('"', '""') + '"'
        return cell


def _torn(luck: random.Random, text: str, delimiter: str) -> str:
    """Return the text cut, doubled, or with something inserted."""
    at = luck.randrange(len(text) + 1)
    return luck.choice((
        text[:at],
        text[:at] + luck.choice(('"', delimiter, "\r", "\n", '""', "\x00", '"\n')) + text[at:],
        text[:at] + text[at + 1 :],
        text[:at] + text,
        text + '\n"' + "x\n" * luck.choice((3, MOST_LINES + 1)),
    ))  # fmt: skip


def independent(text: str, delimiter: str) -> Reading:
    """Read the text with Python's csv, strictly; what is not well-formed on one line costs that line."""
    found, at = Reading(), 0
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)
    while at < len(lines):
        reader = csv.reader(lines[at:], delimiter=delimiter, strict=True)
        first = at
        try:
            for fields in reader:
                taken = lines[first : at + reader.line_num]
                if sum(map(len, taken)) > LONGEST or len(taken) > MOST_LINES:
                    found.broken |= len(taken) > 1 or _may_be_open(taken[0], delimiter)
                    found.records.append((first + 1, None))
                elif any(cell.strip() for cell in fields):
                    found.records.append((first + 1, fields))
                first = at + reader.line_num
            return found
        except csv.Error as error:
            found.broken |= at + reader.line_num > first + 1 or "end of data" in str(error)
            found.broken |= _may_be_open(lines[first], delimiter)
            found.records.append((first + 1, None))
            at += reader.line_num
    return found


def _may_be_open(line: str, delimiter: str) -> bool:
    """Whether a line may end inside of a quote, by either reading of a quote within a field."""
    state = "start"
    for letter in line:
        if letter == '"':
            state = {"start": "quoted", "quoted": "closed", "closed": "quoted"}.get(state, "plain")
        elif state != "quoted":
            state = "start" if letter == delimiter else "plain"
    return line.count('"') % 2 == 1 or state == "quoted"


def _header(read: Reading) -> list[str]:
    names = (read.records[0][1] if read.records else None) or []
    return [re.sub(r"[\s_-]+", "", name.lstrip("\ufeff")).casefold() for name in names]


EXCUSES: Final[Mapping[str, Callable[[Made, Reading], bool]]] = {
    "a quote opens here that is not closed": lambda made, read: read.broken,
    "the header can't be read": lambda made, read: read.records[0][1] is None,
    "has no password column": lambda made, read: "password" not in _header(read),
    "has no username column": lambda made, read: "username" not in _header(read),
    "have the same name": lambda made, read: len(set(_header(read))) < len(_header(read)),
    "could both be the": lambda made, read: sum(map(known, _header(read))) > 2,
    "the name of column": lambda made, read: max(map(len, _header(read))) > 1000,
    "but no rows": lambda made, read: len(read.records) < 2,
    "is empty in every row": lambda made, read: not any(_passwords(read)),
    "begin or end with a blank": lambda made, read: (
        sum(one != one.strip(" ") for one in _passwords(read)) * 2 > sum(map(bool, _passwords(read)))
    ),
    "is a guess": lambda made, read: not "".join(_passwords(read)).isascii(),
    "rows have more fields than the header": lambda made, read: '"' not in made.text,
    "is empty": lambda made, read: not made.text.strip(),
    "a NUL, which": lambda made, read: "\0" in made.text,
    "it contains NUL bytes": lambda made, read: "\0" in made.text,
    # Windows-1252 that looks like UTF-8 with a broken spot: nobody can say which it is.
    "is UTF-8, but line": lambda made, read: made.encoding == "cp1252" and not made.options.encoding,
}
"""Why a roster may be refused: words of the message, and what must be true then."""


def _passwords(read: Reading) -> list[str]:
    """The passwords of the records that have as many fields as the header, at least."""
    header = _header(read)
    at = header.index("password") if "password" in header else header.index("pass")
    return [fields[at] for _, fields in read.records[1:] if fields and len(header) <= len(fields)]


def _trimmed(user: str) -> str:
    """A user name without blanks and invisible characters around it, one by one."""
    invisible = "\u200b\u200c\u200d\u2060\ufeff"
    while user and (user[0].isspace() or user[0] in invisible):
        user = user[1:]
    while user and (user[-1].isspace() or user[-1] in invisible):
        user = user[:-1]
    return user


def promises_broken(made: Made) -> tuple[list[str], str, int]:
    """Return the differences from the independent reader, a refusal's reason, and the rows compared."""
    read = independent(made.text, made.delimiter)
    if made.damaged:
        return _refused_for_its_bytes(made)
    try:
        with open_roster("-", made.options, io.BytesIO(made.data)) as opened:
            rows = list(opened.rows())
            how = (opened.encoding, opened.delimiter)
            below = [one for one in opened.warnings if one.code == "header_found"]
    except UsageError as refusal:
        reason = next((words for words in EXCUSES if words in refusal.message), "")
        if reason and EXCUSES[reason](made, read):
            return [], reason, 0
        return [f"refused: {refusal.message}"], reason, 0
    if below:
        return [], "a header below a torn one", 0
    if how[1] != made.delimiter:
        return [f"delimiter {how[1]!r}, not {made.delimiter!r}"], "", 0
    if made.data.decode(how[0]).removeprefix("\ufeff" * (how[0][:5] == "utf-1")) != made.text:
        if how[0] == "utf-8" and made.encoding == "cp1252":  # Windows-1252's ß“ are UTF-8's ߓ, too
            return [], "bytes that are UTF-8, too", 0
        return [f"read as {how[0]}, not {made.encoding}"], "", 0
    if read.broken:
        return ["read, although a quote is not closed"], "", 0
    return [*_records(made, read, how), *_rows(read, rows)], "", len(rows)


def _refused_for_its_bytes(made: Made) -> tuple[list[str], str, int]:
    reason = "bytes that are not UTF-8"
    try:
        with open_roster("-", made.options, io.BytesIO(made.data)) as opened:
            return [f"read as {opened.encoding}, although a byte of it is no UTF-8"], reason, 0
    except UsageError as refusal:
        said = re.search(
            r", line \d+: these bytes are not|is UTF-8, but line \d+ is not|NUL", refusal.message
        )
        return [] if said else [f"refused: {refusal.message}"], reason, 0


def _records(made: Made, read: Reading, how: tuple[str, str]) -> Iterator[str]:
    """Yield each record that is not read as the independent reader reads it, by line and fields."""
    text = Text(find("-", io.BytesIO(made.data)), *how)
    with text.lines() as lines:
        ours = [
            (line, None if isinstance(fields, Malformed) else fields) for line, fields in text.records(lines)
        ]
    text.source.close()
    for mine, theirs in zip_longest(ours, read.records):
        if mine != theirs:
            yield f"record {mine!r:.200}, not {theirs!r:.200}"


def _rows(read: Reading, rows: list[Row]) -> Iterator[str]:
    """Yield each row that differs: in its line, user or password, or by having no problem."""
    header = _header(read)
    users = [name for name in ("username", "user") if name in header]  # torn, one name may be another
    passwords = [name for name in ("password", "pass") if name in header]
    if len(rows) != len(read.records) - 1 or not users or not passwords:
        yield f"{len(rows)} rows, not {len(read.records) - 1}, below {header!r:.200}"
        return
    user, password = header.index(users[0]), header.index(passwords[0])
    width = len(header)
    while header and not header[-1]:
        header.pop()
    for (line, fields), row in zip(read.records[1:], rows, strict=True):
        codes = {problem.code for problem in row.problems}
        if line != row.line:
            yield f"row on line {row.line}, not {line}"
        elif fields is None or not len(header) <= len(fields) <= width or any(fields[len(header) :]):
            if not codes & {"malformed", "field_count"} or row.user or row.password:
                yield f"line {line}: its fields can't be told apart, and it is a row"
        elif row.password != fields[password] or row.user not in (
            fields[user],
            _trimmed(fields[user]),
            HIDDEN,
        ):
            yield f"line {line}: {row.user!r} {row.password!r}, not {fields[user]!r} {fields[password]!r}"
        elif row.user not in (fields[user], _trimmed(fields[user])) and not row.problems:
            yield f"line {line}: sent as {row.user!r}"


def campaign(seed: int, rosters: int) -> tuple[list[str], Counter[str]]:
    """Read so many rosters; the promises that broke, each with its roster's own seed, and what was done."""
    broken: list[str] = []
    done: Counter[str] = Counter()
    for number in range(rosters):
        made = make(random.Random(f"{seed}/{number}"))
        found, reason, rows = promises_broken(made)
        broken += [f"roster {number} of seed {seed}: {text}" for text in found]
        done.update(
            {
                "rosters": 1,
                "rows": rows,
                "read": not found and not reason,
                f"not compared: {reason}": bool(reason),
            }
        )
    return broken, +done


def main() -> None:
    """Run a campaign and print its results."""
    arguments = argparse.ArgumentParser(description="Rosters against an independent reader.")
    arguments.add_argument("--seed", type=int, default=None)
    arguments.add_argument("--rosters", type=int, default=10_000)
    given = arguments.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    began = time.monotonic()
    broken, done = campaign(seed, given.rosters)
    for text in broken[:20]:
        print(text)
    for what, number in sorted(done.items()):
        print(f"{number:>9,}  {what}")
    print(f"seed {seed}: {len(broken) or 'no'} promises broken in {time.monotonic() - began:.1f} s")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
