"""Wazo (and XiVO): users exported as CSV; before 15.20 with other column names, and pipes.

Source: Wazo's documentation of the CSV import and export.
"""

from __future__ import annotations

from collections.abc import Sequence

from worker.model import Row
from worker.roster.format import About, skip
from worker.roster.formats.columns import NO, ColumnFormat, Columns, Judge, all_of, not_disabled, only_sip

_SIP = frozenset({"sip", "webrtc"})


def _judges(columns: Columns) -> Judge | None:
    protocol = columns.at("lineprotocol")
    return all_of(
        not_disabled(columns.at("enabled"), NO, "enabled"),
        only_sip(columns.at("protocol") if protocol is None else protocol, _SIP),
        _skip_without_line,
    )


def _skip_without_line(row: Row, _: Sequence[str]) -> None:
    if not row.user and not row.password:
        skip(row, "not_an_extension", "the user has no SIP line")


WAZO = ColumnFormat(
    name="wazo",
    title="Wazo and XiVO: users exported as CSV",
    about=About(
        columns=(
            ("sip_username", "user name; linename before 15.20"),
            ("sip_secret", "SIP password, in clear text; linesecret before 15.20"),
            ("line_protocol", "rows other than sip and webrtc are skipped"),
            ("enabled", "0: the row is skipped"),
        ),
        decoys=("password", "voicemail_password", "call_permission_password", "provisioning_code"),
        notes=("username and password are the web login.", "Old exports are separated by pipes."),
        example="firstname,lastname,username,password,line_protocol,sip_username,sip_secret,exten,context\n"
        "Ann,Hill,ann,Web7731xx,sip,r8k2mmq1,Kestrel-7731,1001,default\n",
    ),
    needs=(("sipusername", "sipsecret"), ("linename", "linesecret")),
    marks=(
        "firstname", "lastname", "lineprotocol", "exten", "context", "entityid", "callpermissionpassword",
        "voicemailname", "voicemailnumber", "supervisionenabled", "outgoingcallerid", "provisioningcode",
        "phonenumber", "mobilephonenumber", "incallexten", "ringseconds", "voicemailmailbox", "protocol",
    ),
    least=2,
    username=("sipusername", "linename"),
    password=("sipsecret", "linesecret"),
    secrets=("password", "voicemailpassword", "callpermissionpassword", "provisioningcode"),
    judges=_judges,
)  # fmt: skip
