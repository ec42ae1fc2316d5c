"""The rows that are meant: ``--where COLUMN=VALUE``, ``COLUMN!=VALUE`` and ``COLUMN~REGEX``.

Regular expressions are RE2's, whose time is proportional to a cell's length, whatever the expression: with
Python's own, ``(a+)+$`` may take longer than anybody waits.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from worker.errors import UsageError
from worker.model import Condition

Test = Callable[[str], object]
"""A function of a cell; a true result selects the row."""

_CONDITION = re.compile(r'(?:"((?:[^"]|"")+)"|(?!!=)([^"=~].*?))(!=|=|~)(.*)', re.DOTALL).fullmatch
_HINT = "write COLUMN=VALUE, COLUMN!=VALUE or COLUMN~REGEX; quote a name that contains = ~ or !: '\"a=b\"=x'"
_MOST_MEMORY = 8 << 20
"""Bytes that one expression may take."""


def parse_condition(text: str) -> Condition:
    """Return the condition of ``--where``: the first ``=``, ``!=`` or ``~`` ends an unquoted column's name.

    Raises UsageError if there is no operator or no column, or for an invalid expression.
    """
    match = _CONDITION(text)
    column = match and (match[1].replace('""', '"') if match[1] else match[2])
    if match is None or not column:
        raise UsageError(f"--where {text}: is not a condition", _HINT)
    condition = Condition(column, match[4], match[3])
    cell_test(condition)
    return condition


def cell_test(condition: Condition) -> Test:
    """Return the function that tests a column's cells. Raises UsageError for an invalid expression."""
    value = condition.value
    if condition.operator == "=":
        return value.__eq__
    if condition.operator == "!=":
        return value.__ne__
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_MEMORY
    try:
        search: Test = re2.compile(value, options).search
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise UsageError(
            f"--where {shown(condition)}: the regular expression for column {condition.column!r} is invalid: "
            f"{reason}",
            "the syntax is RE2's: Perl's, without look-around and back-references",
        ) from None
    return search


def shown(condition: Condition) -> str:
    """Return the condition as it is typed, without the shell's quotes."""
    column = condition.column
    if set(column) & set('="~!'):
        column = '"' + column.replace('"', '""') + '"'
    return f"{column}{condition.operator}{condition.value}"
