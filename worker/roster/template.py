"""``--username``: a user name built from columns, such as ``{site}-{extension}`` or ``+1{did}``.

Only column names may stand between the braces; ``{{`` and ``}}`` are literal braces. Nothing
is evaluated and no attribute is reached, unlike with ``str.format``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from worker.errors import UsageError

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_HINT = "put a column's name in braces, as in '{site}-{extension}'; write {{ and }} for literal braces"


class Template:
    """A compiled template."""

    def __init__(self, text: str, position: Callable[[str], int]) -> None:
        """Compile it. ``position`` returns a column's position in a record, or raises UsageError."""
        self.text = text
        self._parts = [_part(text, match, position) for match in _PART.finditer(text)]
        self.positions = tuple(part for part in self._parts if isinstance(part, int))
        if not self.positions:
            raise UsageError(f"--username {text!r} contains no column, so all names would be the same", _HINT)

    def __call__(self, fields: Sequence[str]) -> str:
        """Return the user name; empty if a column that it needs is empty."""
        if not all(fields[position] for position in self.positions):
            return ""
        return "".join([fields[part] if isinstance(part, int) else part for part in self._parts])


class FirstFilled:
    """A user name in the first of several columns that is filled, as some exports have it."""

    def __init__(self, positions: tuple[int, ...]) -> None:
        self.positions = positions

    def __call__(self, fields: Sequence[str]) -> str:
        """Return the user name; empty if all columns are."""
        return next((fields[position] for position in self.positions if fields[position]), "")


def _part(text: str, match: re.Match[str], position: Callable[[str], int]) -> int | str:
    piece = match[0]
    if match[1] is not None:
        if not match[1].strip():
            raise UsageError(f"--username {text!r} has empty braces at character {match.start() + 1}", _HINT)
        return position(match[1].strip())
    if piece in ("{", "}"):
        raise UsageError(f"--username {text!r} has a single brace at character {match.start() + 1}", _HINT)
    return piece[0] if piece in ("{{", "}}") else piece
