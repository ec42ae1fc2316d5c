"""The options of ``plan`` that can be set for an upload on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from worker.errors import UsageError

SETTINGS: Final = frozenset({
    "realm", "create-realm", "domain", "application", "on-existing", "from", "map", "username", "where",
    "skip", "limit", "carry", "delimiter", "encoding", "sheet", "header-line", "blanks", "normalize", "weak",
    "max-failed", "max-changes", "require-rows", "rate", "not-before", "not-after",
})  # fmt: skip
"""Options of ``plan`` that an upload may set, without dashes; none names a file of the server's."""


def options_of(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as options of the command line. Raises UsageError for one that can't be one."""
    found: list[str] = []
    for name, value in settings.items():
        if name not in SETTINGS:
            raise UsageError(f"--{name} can't be set on the page", "plan the file in a terminal with it")
        for one in value if isinstance(value, list | tuple) else [value]:
            if "\0" in str(one):  # it would end the argument
                raise UsageError(f"--{name} has a NUL character", "type it again")
            if one is True:
                found.append(f"--{name}")
            elif one not in (None, False, ""):
                found.append(f"--{name}={one}")
    return found
