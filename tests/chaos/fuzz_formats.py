"""``python -m tests.chaos.fuzz_formats``: exports of every format, damaged at random, are read or refused.

The promises: no exception but UsageError, no input that takes longer than ``LONGEST`` seconds, no row with
one user's name and another user's password, and bounded memory. The originals are the samples of exports and
workbooks. Exit code 1 when a promise broke; the input's seed is printed.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from worker.errors import UsageError
from worker.model import Options
from worker.roster import open_roster

SAMPLES: Final = Path(__file__).parents[2] / "samples"
LONGEST: Final = 20
"""Seconds of CPU time for one input of at most four megabytes."""
MEMORY: Final = 600 << 20
"""Bytes that a whole campaign may add to the process: inputs are small, whatever they claim to be."""
CODECS: Final = (
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "cp1252",
    "cp1251",
    "latin-1",
    "utf-7",
    "cp037",
)
ODD: Final = (
    b'"', b"\\", b'\\"', b"\0", b"\x1a", b"\xff", b"\xc3", b"\r", b"\n", b"\n\n",
    b",", b";", b"\t", b"|", b":",
    b"[", b"]", b"(", b")", b"(!)", b"(+)", b"=>", b"=", b";--", b"--;", b"#include x\n",
    b"{", b"}", b"<", b">",
    b"&", b"&x;", b"<!--", b"]]>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"NULL", b"\\N", b"' or 1=1",
    b"\xef\xbb\xbf",
)  # fmt: skip
_TABLES: Final = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods")


@dataclass
class Result:
    """The outcome of a campaign."""

    broken: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)


class TookTooLong(Exception):
    """Raised by the alarm."""


@cache
def originals() -> Mapping[Path, Mapping[str, frozenset[str]]]:
    """Return the samples that can be read, each with its users and their passwords."""
    found = {}
    for path in sorted(SAMPLES.rglob("*")):
        if path.is_file() and ".expected." not in path.name and path.suffix not in (".md", ".sql"):
            try:
                found[path] = users_of(path)
            except UsageError:  # the sample is to be refused, or needs an option
                found[path] = {}
    return found


def users_of(path: Path) -> Mapping[str, frozenset[str]]:
    """Return the users that would be sent, and the passwords of each."""
    users: dict[str, set[str]] = {}
    with open_roster(str(path), Options()) as roster:
        for row in roster.rows():
            if not row.problems and row.password:
                users.setdefault(row.composite, set()).add(row.password)
    return {user: frozenset(passwords) for user, passwords in users.items()}


def damaged(chance: random.Random, raw: bytes) -> bytes:
    """Return the bytes with one to four kinds of damage."""
    for _ in range(chance.randint(1, 4)):
        raw = chance.choice(_DAMAGES)(chance, raw)
    return raw[:4_000_000]


def _cut(chance: random.Random, raw: bytes) -> bytes:
    return raw[: chance.randrange(len(raw) + 1)]


def _put(chance: random.Random, raw: bytes) -> bytes:
    at = chance.randrange(len(raw) + 1)
    return raw[:at] + chance.choice(ODD) * chance.choice((1, 1, 1, 2, 50)) + raw[at:]


def _swap(chance: random.Random, raw: bytes) -> bytes:
    """Swap two bytes that are no line ends: with those, lines of two entries would join."""
    some = bytearray(raw)
    if len(some) > 1:
        one, two = chance.randrange(len(some)), chance.randrange(len(some))
        if not {some[one], some[two]} & {10, 13}:
            some[one], some[two] = some[two], some[one]
    return bytes(some)


def _overwrite(chance: random.Random, raw: bytes) -> bytes:
    some = bytearray(raw)
    for _ in range(chance.randint(1, 20)):
        if some and some[at := chance.randrange(len(some))] not in (10, 13):
            some[at] = chance.randrange(256)
    return bytes(some)


def _encode(chance: random.Random, raw: bytes) -> bytes:
    return raw.decode("utf-8", "replace").encode(chance.choice(CODECS), "replace")


def _huge(chance: random.Random, raw: bytes) -> bytes:
    at = chance.randrange(len(raw) + 1)
    return raw[:at] + chance.choice((b"x", b"1", b'"', b"(", b"<a>", b"[a]\n", b",")) * 300_000 + raw[at:]


def _again(chance: random.Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    return b"".join(lines[:1] + chance.choices(lines, k=len(lines)) if chance.random() < 0.2 else lines * 2)


_DAMAGES: Final[tuple[Callable[[random.Random, bytes], bytes], ...]] = (
    _cut, _put, _put, _swap, _overwrite, _encode, _huge, _again,
)  # fmt: skip


def campaign(seed: str, inputs: int) -> Result:
    """Read so many damaged exports, and return what broke."""
    result = Result()
    before = _memory()
    signal.signal(signal.SIGPROF, _stop)
    paths = list(originals())
    with tempfile.TemporaryDirectory() as folder:
        for number in range(inputs):
            chance = random.Random(f"{seed}/{number}")
            path = chance.choice(paths)
            copy, same_lines = _written(chance, path, Path(folder))
            _read(result, f"{seed}/{number} {path.name}", copy, originals()[path], same_lines=same_lines)
    if _memory() - before > MEMORY:
        result.broken.append(f"memory grew by {(_memory() - before) >> 20} MB")
    return result


def _written(chance: random.Random, path: Path, folder: Path) -> tuple[Path, bool]:
    """Write a damaged copy, and return it and whether it has the original's number of lines."""
    original = path.read_bytes()
    raw = damaged(chance, original)
    (folder / path.name).write_bytes(raw)
    return folder / path.name, len(raw.splitlines()) == len(original.splitlines())


def _read(
    result: Result, told: str, path: Path, known: Mapping[str, frozenset[str]], *, same_lines: bool
) -> None:
    """Read one input. In a file of sections, a line that is cut off moves what follows to another section."""
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        users = users_of(path)
        result.done["read"] += 1
        result.done["users"] += len(users)
        if path.suffix in _TABLES or same_lines:
            result.broken.extend(
                f"{told}: {user} has the password of another" for user in _shifted(path, users, known)
            )
    except UsageError:
        result.done["refused"] += 1
    except TookTooLong:
        result.broken.append(f"{told}: longer than {LONGEST} s of CPU")
    except Exception:  # the promise is that there is no other
        result.broken.append(f"{told}: {traceback.format_exc(limit=-3)}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _shifted(
    path: Path, users: Mapping[str, frozenset[str]], known: Mapping[str, frozenset[str]]
) -> Iterator[str]:
    """Yield undamaged users with the undamaged password of another one that the file doesn't give them."""
    passwords = frozenset[str]().union(*known.values())
    raw = path.read_bytes()
    text = raw.decode("utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8", "replace")
    for user, own in users.items():
        if user in known and any(not _written_so(text, user, one) for one in (own - known[user]) & passwords):
            yield user


def _written_so(text: str, user: str, password: str) -> bool:
    """Return whether a line has both, or the user's section or its template has the password."""
    if any(user in line and password in line for line in text.splitlines()):
        return True
    _, *sections = re.split(r"^\[", text, flags=re.MULTILINE)
    templates = [one for one in sections if "(!)" in one.partition("\n")[0]]
    inherited = any(password in one for one in templates)
    return any(
        (one.startswith(user) and password in one)
        or (inherited and "(" in one.partition("\n")[0] and user in one)
        for one in sections
    )


def _stop(*_: object) -> None:
    raise TookTooLong


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main() -> int:
    """Run the campaign of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--inputs", type=int, default=10_000)
    given = parser.parse_args()
    result = campaign(given.seed, given.inputs)
    print(dict(result.done), f"broken: {len(result.broken)}", *result.broken[:50], sep="\n")
    return bool(result.broken)


if __name__ == "__main__":
    sys.exit(main())
