"""Grandstream UCM: the CSV of *Extensions > Export*.

Sources: public import files for UCM6100 and UCM6510; newer firmware is unverified.
"""

from __future__ import annotations

from worker.roster.format import About
from worker.roster.formats.columns import YES, ColumnFormat, Columns, Judge, all_of, not_disabled, only_sip


def _judges(columns: Columns) -> Judge | None:
    return all_of(
        only_sip(columns.at("technology"), frozenset({"sip", "sip(webrtc)", "webrtc"})),
        not_disabled(columns.at("disablethisextension"), YES, "Disable This Extension"),
    )


GRANDSTREAM = ColumnFormat(
    name="grandstream",
    title="Grandstream UCM: extensions exported as CSV",
    about=About(
        columns=(
            ("AuthID", "user name; mostly empty"),
            ("Extension", "user name of rows without AuthID"),
            ("SIP/IAX Password", "SIP password, in clear text"),
            ("Technology", "rows other than SIP are skipped"),
            ("Disable This Extension", "yes: the row is skipped"),
        ),
        decoys=("Voicemail Password", "User Password", "Dial Trunk Password"),
        notes=("Newer firmware than that of UCM6100 and UCM6510 is not verified.",),
        example="Extension,Technology,SIP/IAX Password,AuthID,Voicemail Password,User Password,Codecs\n"
        '1001,SIP,Kestrel-7731,,4821,Web7731xx,"PCMU,PCMA"\n',
    ),
    needs=(("extension", "sip/iaxpassword"),),
    marks=(
        "technology", "authid", "callernumber", "calleridnumber", "cidnumber", "enablevoicemail",
        "ringtimeout",
        "skipvoicemailpasswordverification", "autorecord", "srtp", "faxmode", "strategy", "localsubnet1",
        "specificipaddress", "skiptrunkauth", "dialtrunkpassword", "disablethisextension",
    ),
    least=2,
    username=("authid", "extension"),
    password=("sip/iaxpassword",),
    secrets=("voicemailpassword", "userpassword", "dialtrunkpassword"),
    judges=_judges,
)  # fmt: skip
