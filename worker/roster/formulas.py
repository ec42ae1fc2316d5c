"""Remove the quote that keeps a spreadsheet from running a cell."""

from __future__ import annotations

import re

_neutralised = re.compile(r"'+[=+\-@\t\r]").match


def restored(cell: str) -> str:
    """Return a result file's cell without its leading ``'`` against formulas; removes exactly one."""
    return cell[1:] if _neutralised(cell) else cell
