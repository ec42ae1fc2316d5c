"""Digests that a roster has instead of a password: only valid for the name and realm they were made from.

Checks what the row itself shows. Whether its realm is the one they were made for needs the account
(importing.prehashed). Source: the rules for legacy exports, and docs/bandwidth-api.md#digests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from worker.model import Problem, Row
from worker.roster.damage import damaged
from worker.roster.layout import Layout
from worker.roster.template import Template
from worker.roster.text import Fields

_whole = re.compile("[0-9A-Fa-f]{32}").fullmatch


def digests_from(layout: Layout) -> Callable[[Row, Fields], None] | None:
    """Return a function that adds a record's digests to its row; None if the file lacks either column."""
    one, two, domain = layout.hash1, layout.hash1b, layout.domain
    if one is None or two is None:
        return None
    built = isinstance(layout.user, Template)

    def lay_over(row: Row, fields: Fields) -> None:
        own = fields[domain] if domain is not None else ""
        changed = "--username" if built else "--domain" if row.domain and not own else ""
        add_digests(row, fields[one], fields[two], changed)

    return lay_over


def add_digests(row: Row, hash1: str, hash1b: str, changed: str = "") -> None:
    """Add the digests to the row, in lower case; and, if it has no password, their problems.

    ``changed``: the option that makes a user name other than the file's. A row with a password keeps only
    digests that can be compared with it.
    """
    if not (hash1 or hash1b):
        return
    wrong = tuple(_wrong(hash1, hash1b, changed))
    if row.password:
        if not wrong:
            row.hash1, row.hash1b = hash1.lower(), hash1b.lower()
        return
    row.problems = tuple(problem for problem in row.problems if problem.code != "password_missing") + wrong
    # Invalid ones are kept as they were, so that a retry reports the same.
    row.hash1, row.hash1b = (hash1, hash1b) if wrong else (hash1.lower(), hash1b.lower())


def _wrong(hash1: str, hash1b: str, changed: str) -> Iterator[Problem]:
    for name, digest in (("hash1", hash1), ("hash1b", hash1b)):
        if not digest:
            yield Problem(
                "hash_incomplete", f"{name}: empty, but without a password, both digests are needed"
            )
        elif damaged(digest):
            text = f"{name}: a spreadsheet rewrote it; format the column as text there and export again"
            yield Problem("bad_hash", text)
        elif not _whole(digest):
            text = f"{name}: not 32 hexadecimal digits, but {len(digest)} characters; was it cut off?"
            yield Problem("bad_hash", text)
    if changed:
        text = f"the digests were computed for the file's user name, but {changed} changes it"
        yield Problem("hash_name", text)
