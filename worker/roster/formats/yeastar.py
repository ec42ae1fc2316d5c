"""Yeastar: the extensions of a P-Series or S-Series PBX, exported as CSV.

Source: Yeastar's pages on the parameters of the export file.
"""

from __future__ import annotations

from collections.abc import Sequence

from worker.model import Row
from worker.roster.check import LONGEST_NAME
from worker.roster.format import About, refuse
from worker.roster.formats.columns import ColumnFormat, Columns, Judge, all_of, only_sip


def _judges(columns: Columns) -> Judge | None:
    series_s = "registername" in columns and "registrationname" not in columns
    return all_of(only_sip(columns.at("type") if series_s else None, frozenset({"sip"})), _explain_length)


def _explain_length(row: Row, _: Sequence[str]) -> None:
    if len(row.user) > LONGEST_NAME and any(one.code == "too_long" for one in row.problems):
        row.problems = tuple(one for one in row.problems if one.code != "too_long")
        text = (
            f"username: {len(row.user)} characters, at most {LONGEST_NAME} are allowed; shorten the "
            "Registration Name in the PBX, or use --username '{Extension Number}' for all rows"
        )
        refuse(row, "too_long", text)


YEASTAR = ColumnFormat(
    name="yeastar",
    title="Yeastar P-Series (and S-Series): extensions exported as CSV",
    about=About(
        columns=(
            ("Registration Name", "user name; registername in the S-Series"),
            ("Registration Password", "SIP password, in clear text; registerpassword in the S-Series"),
            ("type", "S-Series: rows other than SIP are skipped"),
        ),
        decoys=("User Password", "Voicemail Access PIN", "loginpassword"),
        notes=(
            "A Registration Name may have 63 characters, but the service takes 32.",
            "It is random where the administrator left it empty: the phone, too, registers by that name.",
        ),
        example="First Name,User Password,Extension Number,Registration Name,Registration Password\n"
        "Ann,Web7731xx,1001,r8K2mmQ1,Kestrel-7731\n",
    ),
    needs=(("registrationname", "registrationpassword"), ("registername", "registerpassword")),
    marks=(
        "userpassword", "extensionnumber", "voicemailaccesspin", "ipphoneaccounts", "enablevoicemail",
        "callerid",
        "loginpassword", "maxregistrations",
    ),
    least=2,
    username=("registrationname", "registername"),
    password=("registrationpassword", "registerpassword"),
    secrets=("userpassword", "voicemailaccesspin", "voicemailpin", "loginpassword", "vmsecret"),
    judges=_judges,
)  # fmt: skip
