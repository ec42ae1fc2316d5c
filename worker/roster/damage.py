"""Traces that a spreadsheet leaves in a value that it took for a number or a formula. Full-cell patterns."""

from __future__ import annotations

import re
from typing import Final

SCIENTIFIC: Final = r"[0-9]+(?:[.,][0-9]+)?[eE][+-][0-9]+"
"""``1.4E+10``: a long number, rounded."""
ROUNDED: Final = r"[0-9]{15}0+"
"""More than 15 digits, zeros from the 16th on: a spreadsheet keeps only 15."""
DAMAGED: Final = rf"{SCIENTIFIC}|=\"[^\"]*\"|#(?:N/A|REF!|NAME\?|VALUE!|DIV/0!|NUM!|NULL!|#+)"
"""Certainly not as typed: a rounded number, ``="0306703"``, an error or a column too narrow."""

damaged = re.compile(DAMAGED).fullmatch
rounded = re.compile(ROUNDED).fullmatch
