"""Switchvox: the CSV of *Setup > Extensions > Manage > Import Extensions > Export Extensions*.

Source: Sangoma's pages on importing extensions, 5.x to 8.
"""

from __future__ import annotations

from worker.roster.format import About
from worker.roster.formats.columns import ColumnFormat

SWITCHVOX = ColumnFormat(
    name="switchvox",
    title="Switchvox: SIP extensions exported as CSV",
    about=About(
        columns=(("ext", "user name"), ("phone_password", "SIP password, in clear text")),
        decoys=("password", "voicemail_password"),
        notes=("password is the web login.",),
        example="ext,fname,lname,email,title,location,password,voicemail_password,phone_password\n"
        "1001,Ann,Hill,ann@corp.example,,,Web7731xx,4821,Kestrel-7731\n",
    ),
    needs=(("ext", "phonepassword"),),
    marks=("fname", "lname", "loginemail", "location", "voicemailpassword", "digiumphonemacaddress"),
    least=1,
    username=("ext",),
    password=("phonepassword",),
    secrets=("password", "voicemailpassword"),
)
