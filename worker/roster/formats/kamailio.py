"""Kamailio: the table ``subscriber`` as CSV, from a workbook or a database."""

from __future__ import annotations

from worker.roster.format import About
from worker.roster.formats.subscriber import Subscribers

KAMAILIO = Subscribers(
    name="kamailio",
    title="Kamailio: the table subscriber, as CSV, db_text or kamcli's JSON",
    about=About(
        columns=(
            ("username", "user name"),
            ("password", "SIP password, in clear text; may be empty"),
            ("domain", "domain; --map domain= leaves it out"),
            (
                "ha1, ha1b",
                "digests: used only if there is no password, and domain is the Bandwidth realm itself",
            ),
        ),
        decoys=("ha1", "ha1b", "vmpin"),
        notes=(
            "Also read: kamcli db show -F json subscriber, and the file subscriber of db_text.",
            "A password is compared with ha1: hash_mismatch warns of one that may be out of date.",
            "Tables of old versions have a password column of 25 characters: password_cut warns.",
        ),
        example="id,username,domain,password,ha1,ha1b\n"
        "1,1001,office.example,Kestrel-7731,69801f786b7734d8292a8db2d20206e9,2359fbfd22c5e29ed40ab6e98b24262b\n",
    ),
    needs=(("username", "ha1"),),
    marks=("domain", "ha1b", "password"),
    least=1,
    username=("username",),
    password=("password",),
    domain="domain",
    unlike=("ha1sha256", "ha1sha512t256"),
    narrow=lambda columns: "emailaddress" in columns or "rpid" in columns,
)
