"""An empty roster to fill in, as CSV and as a workbook, with the rule for each of its columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from xlsxwriter import Workbook

RULES: Mapping[str, str] = {
    "username": "Required: the name that the phone registers with. 1 to 32 letters, digits and"
    " . _ - ! $ & * + = ~. Leading zeros count; names that differ only in case are the same user.",
    "password": "The SIP password, used exactly as written, blanks included. Fewer than 8 characters, or only"
    " digits, draw a warning. Empty: import with --generate-passwords FILE.",
    "domain": "Optional, up to 32 of the same characters. The user is then username@domain.",
    "realm": "Optional: the realm's id, host name or short name. Empty: --realm, or the account's default.",
    "application_id": "Optional: the id (a UUID) of the voice application that handles the user's calls.",
    "name": "Optional: whose phone it is. This column, and any that you add, is copied to the results.",
}
"""Columns of the generic roster, each with its rule (docs/bandwidth-api.md#field-rules)."""

ABOUT = ("column", "rule")

_WIDTH = 24


def table(rules: Mapping[str, str], delimiter: str = ",") -> str:
    """Return the line with the column names."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerow(rules)
    return text.getvalue()


def workbook(columns: Mapping[str, str]) -> bytes:
    """Return a workbook with the empty roster, all of whose cells are text, and a sheet with the rules."""
    content = io.BytesIO()
    with Workbook(content, {"in_memory": True}) as book:
        text = book.add_format({"num_format": "@"})
        heading = book.add_format({"num_format": "@", "bold": True})
        wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        roster, rules = book.add_worksheet("roster"), book.add_worksheet("rules")
        roster.set_column(0, len(columns) - 1, _WIDTH, text)
        roster.write_row(0, 0, columns, heading)
        roster.freeze_panes(1, 0)
        rules.set_column(0, 0, _WIDTH, wrapped)
        rules.set_column(1, 1, 4 * _WIDTH, wrapped)
        for line, pair in enumerate([ABOUT, *columns.items()]):
            rules.write_row(line, 0, pair, heading if line == 0 else None)
    return content.getvalue()
