"""OpenSIPS: the table ``subscriber`` as CSV, from a workbook or a database."""

from __future__ import annotations

from worker.roster.format import About
from worker.roster.formats.subscriber import Subscribers

OPENSIPS = Subscribers(
    name="opensips",
    title="OpenSIPS: the table subscriber, as CSV, db_text or kamcli's JSON",
    about=About(
        columns=(
            ("username", "user name"),
            ("password", "SIP password, in clear text; may be empty"),
            ("domain", "domain; --map domain= leaves it out"),
            ("ha1", "a digest: compared with the password; alone it can't move"),
        ),
        decoys=("ha1", "ha1_sha256", "ha1_sha512t256"),
        notes=(
            "The file subscriber of the db_text module is read as well.",
            "The password column has 25 characters: password_cut warns of a password of exactly that length.",
            "Tables of 3.1 and older have ha1b: they look like Kamailio's, and are read in the same way.",
        ),
        example="id,username,domain,password,email_address,ha1,ha1_sha256,ha1_sha512t256,rpid\n"
        "1,1001,office.example,Kestrel-7731,,69801f786b7734d8292a8db2d20206e9,,,\n",
    ),
    needs=(("username", "ha1sha256"), ("username", "ha1sha512t256")),
    marks=("domain", "ha1", "password", "emailaddress", "rpid"),
    least=1,
    username=("username",),
    password=("password",),
    domain="domain",
)
