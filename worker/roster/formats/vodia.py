"""Vodia: accounts as CSV, with semicolons; the first column is ``#alias``.

Source: Vodia's page on CSV files.
"""

from __future__ import annotations

from collections.abc import Sequence

from worker.model import Row
from worker.roster.format import About, skip
from worker.roster.formats.columns import ColumnFormat, Columns, Judge

_EXTENSIONS = frozenset({"", "extension", "extensions"})


def _judges(columns: Columns) -> Judge | None:
    at = columns.at("type")
    if at is None:
        return None

    def judge(row: Row, fields: Sequence[str]) -> None:
        if fields[at].strip().lower() not in _EXTENSIONS:
            skip(row, "not_an_extension", f"an account of the type {fields[at].strip()[:20]}")

    return judge


VODIA = ColumnFormat(
    name="vodia",
    title="Vodia: extensions exported as CSV",
    about=About(
        columns=(
            ("#alias", "user name"),
            ("password", "SIP password, in clear text"),
            ("type", "accounts other than extensions are skipped"),
        ),
        decoys=("mb_pin", "web_pass"),
        notes=(
            "An alias that lists several names is refused: give the row the one that the phone registers by.",
        ),
        example="#alias;first_name;last_name;position;cell;email;mac;mb_pin;web_pass;password\n"
        "1001;Ann;Hill;;;ann@corp.example;;4821;Web7731xx;Kestrel-7731\n",
    ),
    needs=(("#alias", "password"),),
    marks=("firstname", "lastname", "mbpin", "webpass", "mac", "position", "cell", "type", "mbsize"),
    least=1,
    username=("#alias",),
    password=("password",),
    secrets=("mbpin", "webpass"),
    judges=_judges,
)
