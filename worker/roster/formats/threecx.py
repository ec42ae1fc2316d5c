"""3CX: the CSV of *Users > Export*. It has 61 to 64 columns, which grew at the end and in the middle.

Sources: public exports and generators of the import file of versions 15 to 18; newer headers are unverified.
"""

from __future__ import annotations

from worker.roster.format import About
from worker.roster.formats.columns import YES, ColumnFormat, not_disabled

THREECX = ColumnFormat(
    name="3cx",
    title="3CX: extensions (or users) exported as CSV",
    about=About(
        columns=(
            ("AuthID", "user name (it differs from Number)"),
            ("AuthPassword", "SIP password, in clear text"),
            ("Disabled", "1: the row is skipped"),
        ),
        decoys=("PIN", "DeskphoneWebPass", "SrvcAccessPwd"),
        notes=(
            "Columns are found by name: exports have 61 to 64 of them, in an order that changed.",
            "The headers of the newest version (20) are not verified.",
        ),
        example="Number,FirstName,LastName,AuthID,AuthPassword,PIN,DeskphoneWebPass,SrvcAccessPwd\n"
        "1001,Ann,Hill,aX3kq91Tzz,Kestrel-7731,4821,Web7731xx,Srv7731xx\n",
    ),
    needs=(("authid", "authpassword"),),
    marks=(
        "webmeetingfriendlyname", "webmeetingprivateroom", "srvcaccesspwd", "deskphonewebpass", "vmnopin",
        "vmplaycallerid", "sipid", "outboundcallerid", "queuestatus", "mac0", "interfaceip0",
    ),
    least=2,
    username=("authid",),
    password=("authpassword",),
    secrets=("pin", "deskphonewebpass", "srvcaccesspwd"),
    judges=lambda columns: not_disabled(columns.at("disabled"), YES, "Disabled"),
)  # fmt: skip
