"""`phones`: what the people who set up phones get, and that phones register with it."""

from __future__ import annotations

import csv
import io
import stat
from pathlib import Path

import pytest
from lxml import etree

from tests.dns_server import Dns
from tests.kamailio import Kamailio
from tests.phones import baresips
from tests.program import Finished, Program
from tests.sandbox import Sandbox
from tests.system.rosters import Row, write
from tests.system.runs import run

REALM = "office-1bfae4.auth.bandwidth.com"
NEAR = ("--registrar", "127.0.0.1:5060")
"""DNS doesn't know the sandbox's realm."""

COLUMNS = ("site", "ext", "did", "name", "MAC", "secret")
STAFF: list[Row] = [
    dict(zip(COLUMNS, cells, strict=True))
    for cells in (
        ("bos", "101", "+19195550101", "Ann Lee", "00-15-65-1A-2B-01", "Pw-4711-ann"),
        ("bos", "102", "+19195550102", 'Bob "B", Ö', "0015.651a.2b02", 'a"b,c;d&e<f>#%\\g'),
        ("nyc", "101", "", "=1+1", "", "=cmd()-4711x"),
    )
]
SITED = ("--username", "{site}-{ext}")


@pytest.fixture
def staff(office: Program) -> str:
    """A roster of three users at two sites."""
    return write(office.work / "staff.csv", STAFF).name


def lines_of(path: Path) -> list[Row]:
    """The lines of a CSV file of phones."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def mode(path: Path) -> int:
    """A file's mode."""
    return stat.S_IMODE(path.stat().st_mode)


def refused(ended: Finished, text: str, code: int = 6) -> None:
    """Assert that a run ended with this code and said so."""
    assert (ended.code, text in ended.stderr) == (code, True), ended


def test_from_a_roster_to_registered_phones(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """baresip registers from the files that were written, with every kind of password that it can hold."""
    passwords = [
        "Pw-4711-ann",
        "two  blanks",
        ";a=b#c",
        "<&>'%20$",
        "back\\slash!",
        "pässwörd€🔑",
        "a,b|c{d}[e]",
    ]
    wanted = [{"username": f"10{at}", "password": one} for at, one in enumerate(passwords)]
    roster = write(
        office.work / "staff.csv", [*wanted, {"username": "b@example.com", "password": "Pw-4711-b"}]
    )
    job = run(office, "import", roster)["job"]
    kamailio.hold(sandbox.credentials())
    near = ("--registrar", kamailio.place)
    facts = run(office, "phones", job, "--roster", roster, "--template", "baresip", "--out", "phones", *near)
    assert (facts["written"], facts["left_out"], facts["not_in_place"]) == (8, 0, 0)
    folders = [path.parent for path in (office.work / "phones").glob("*/accounts")]
    assert baresips(folders) == {**{row["username"]: True for row in wanted}, "b%40example.com": True}


SIP_CONF = """[general]
realm = asterisk
register => 5550100:Trunk-Secret-1@sip.provider.example/5550100

[phone](!)
type = friend
host = dynamic

[6001](phone)
secret = Kestrel-7731
callerid = "Ann Hill" <6001>

[6002](phone)
secret => Sand\\;piper-88      ; a semicolon in the secret

[0351](phone)
secret = Zeros-in-front-1

[provider]
type = peer
host = sip.provider.example
defaultuser = 5550100
remotesecret = Trunk-Secret-1
"""


def test_from_a_sip_conf_to_registered_phones(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """Asterisk's file is imported, and baresip registers from what was written; the trunk is no phone."""
    (office.work / "sip.conf").write_text(SIP_CONF)
    job = run(office, "import", "sip.conf", code=None)["job"]
    kamailio.hold(sandbox.credentials())
    near = ("--registrar", kamailio.place)
    facts = run(
        office, "phones", job, "--roster", "sip.conf", "--template", "baresip", "--out", "phones", *near
    )
    assert (facts["written"], facts["left_out"], facts["not_in_place"]) == (3, 0, 0)
    folders = [path.parent for path in (office.work / "phones").glob("*/accounts")]
    assert baresips(folders) == {"6001": True, "6002": True, "0351": True}


def test_generated_passwords_get_in(office: Program, sandbox: Sandbox, kamailio: Kamailio) -> None:
    """The files have the passwords that the import generated, whose digests the registrar holds."""
    roster = write(office.work / "staff.csv", [{"username": f"10{at}", "password": ""} for at in range(4)])
    file = ("--generate-passwords", "new.csv")
    run(office, "import", roster, *file, "--realm", "new", "--create-realm")
    kamailio.hold(sandbox.credentials())
    near = ("--template", "baresip", "--registrar", kamailio.place)
    facts = run(office, "phones", "latest", "--roster", roster, *file, "--out", "phones", *near)
    assert (facts["written"], facts["left_out"], facts["not_in_place"]) == (4, 0, 0)
    folders = [path.parent for path in (office.work / "phones").glob("*/accounts")]
    assert baresips(folders) == {f"10{at}": True for at in range(4)}
    facts = run(office, "phones", roster, *file, "--realm", "new", "--out", "again", *near)
    assert facts["written"] == 4
    assert len({folder.joinpath("accounts").read_text() for folder in folders}) == 4
    for folder in folders:
        again = office.work / "again" / folder.relative_to(office.work / "phones") / "accounts"
        assert again.read_text() == folder.joinpath("accounts").read_text()


def test_the_file_of_generated_passwords(office: Program, sandbox: Sandbox) -> None:
    """A job knows its own; who kept an unknown password is left out, and it is said why."""
    run(office, "import", write(office.work / "old.csv", [{"username": "101", "password": "Pw-4711-old"}]))
    wanted = [{"username": f"10{at}", "password": one} for at, one in enumerate(["", "", "Pw-4711-own"], 1)]
    roster = write(office.work / "staff.csv", wanted)
    job = run(office, "import", roster, "--generate-passwords", "new.csv", code=10)["job"]
    before = (office.work / "new.csv").read_bytes()
    facts = run(office, "phones", job[-4:], "--roster", roster, "--out", "p.csv", *NEAR, code=10)
    assert (facts["job"], facts["written"], facts["not_in_place"]) == (job, 2, 1)
    passwords = [before.decode().splitlines()[1].split(",")[3], "Pw-4711-own"]
    assert [row["password"] for row in lines_of(office.work / "p.csv")] == passwords
    ended = office.run("phones", roster, "--generate-passwords", "new.csv", "--out", "p.csv", *NEAR)
    refused(ended, "new.csv has none either: users who existed before keep an unknown one", 10)
    assert [row["password"] for row in lines_of(office.work / "p.csv")] == ["", *passwords]
    ended = office.run("phones", roster, "--out", "p.csv", *NEAR)
    refused(ended, "if it was generated, add --generate-passwords FILE", 10)
    for words in ((job, "--roster", roster), (roster, "--generate-passwords", "new.csv")):
        refused(office.run("phones", *words, "--out", "new.csv", *NEAR), "would be overwritten")
    assert (office.work / "new.csv").read_bytes() == before


def test_a_csv_file_has_every_row_exactly(office: Program, sandbox: Sandbox, staff: str) -> None:
    """Passwords as they are, numbers as they are, and only other cells kept from running as formulas."""
    facts = run(office, "phones", staff, *SITED, "--out", "phones.csv", *NEAR)
    assert (facts["rows"], facts["written"], facts["left_out"]) == (3, 3, 0)
    assert facts["columns"] == {
        "site": "site",
        "name": "name",
        "extension": "ext",
        "mac": "MAC",
        "did": "did",
    }
    path = office.work / "phones.csv"
    assert mode(path) == 0o600
    assert lines_of(path) == [
        {
            "site": row["site"], "name": f"'{row['name']}" if at == 2 else row["name"],
            "extension": row["ext"], "old_user": "", "mac": mac, "did": row["did"],
            "auth_user": f"{row['site']}-{row['ext']}",
            "password": row["secret"], "realm": REALM, "registrar": "127.0.0.1", "port": "5060",
            "transport": "udp", "line": str(at + 2), "note": "",
        }
        for at, (row, mac) in enumerate(zip(STAFF, ["0015651a2b01", "0015651a2b02", ""], strict=True))
    ]  # fmt: skip
    # Its own file may be replaced; nothing was sent that writes.
    assert run(office, "phones", staff, *SITED, "--out", "phones.csv", *NEAR)["written"] == 3
    assert not [
        one for one in sandbox.log() if one["method"] not in ("GET", "POST") or "sipcred" in one["path"]
    ]


def test_a_csv_file_on_stdout_only_when_asked(office: Program, staff: str) -> None:
    """``-`` is stdout, in UTF-8 whatever the terminal's encoding; a summary is on stderr."""
    shown = office.run("phones", staff, *SITED, "--out", "-", *NEAR, PYTHONIOENCODING="ascii")
    assert shown.code == 0, shown
    assert [row["password"] for row in csv.DictReader(io.StringIO(shown.stdout))] == [
        row["secret"] for row in STAFF
    ]
    quiet = office.run("phones", staff, *SITED, "--out", "x.csv", *NEAR, "--debug")
    assert not [row for row in STAFF if row["secret"] in quiet.stdout + quiet.stderr]


def test_rows_that_can_not_be_set_up_are_said(office: Program) -> None:
    """Twins, damaged MAC addresses and invalid rows: in the outcomes with a reason, and exit code 10."""
    roster = write(office.work / "staff.csv", [
        {"username": "101", "password": "Pw-4711-a", "mac": "0015651a2b01"},
        {"username": "102", "password": "Pw-4711-b", "mac": "00:15:65:1A:2B:01"},
        {"username": "103", "password": "Pw-4711-c", "mac": "15651A2B03"},
        {"username": "104", "password": "", "mac": "0015651a2b04"},
        {"username": "105", "password": "Pw-4711-e", "mac": "0015651a2b05"},
        {"username": "106", "password": "Pw;4711-f", "mac": "0015651a2b06"},
    ])  # fmt: skip
    facts = run(office, "phones", roster, "--template", "yealink", "--out", "prov", *NEAR, code=10)
    assert (facts["written"], facts["left_out"]) == (1, 5)
    folder = office.work / "prov"
    assert {path.name for path in folder.iterdir()} == {"phones-outcomes.csv", "0015651a2b05.cfg"}
    assert (mode(folder), {mode(path) for path in folder.iterdir()}) == (0o700, {0o600})
    outcomes = lines_of(folder / "phones-outcomes.csv")
    assert [(row["line"], row["outcome"]) for row in outcomes] == [
        (str(line), "written" if line == 6 else "left out") for line in range(2, 8)
    ]
    reasons = [
        "line 3 has the same file",
        "line 2 has the same file",
        "10 hex digits",
        "empty",
        "",
        "no quoting",
    ]
    assert [text in row["reason"] for text, row in zip(reasons, outcomes, strict=True)] == [True] * 6
    run(office, "phones", roster, "--out", "phones.csv", *NEAR, code=10)
    lines = lines_of(office.work / "phones.csv")
    assert [bool(row["password"]) for row in lines] == [True, True, True, False, True, True]
    assert ["same mac" in row["note"] for row in lines] == [True, True, False, False, False, False]


def test_a_mac_address_that_is_amiss_is_said_on_the_screen(office: Program) -> None:
    """The CSV file has the rows, with a note that is easily missed."""
    roster = write(office.work / "staff.csv", [
        {"username": "101", "password": "Pw-4711-a", "mac": "0015651a2b01"},
        {"username": "102", "password": "Pw-4711-b", "mac": "00:15:65:1A:2B:01"},
        {"username": "103", "password": "Pw-4711-c", "mac": "15651A2B03"},
        {"username": "104", "password": "Pw-4711-d", "mac": "0015651a2b04"},
    ])  # fmt: skip
    shown = office.run("phones", roster, "--out", "phones.csv", *NEAR)
    assert (shown.code, "3 rows with a problem" in shown.stderr) == (0, True), shown


def test_no_cell_of_an_invalid_row_is_a_formula(office: Program) -> None:
    """A user name that isn't one may be a formula; a valid one is written exactly."""
    roster = write(office.work / "staff.csv", [
        {"username": '=HYPERLINK("//x")', "password": "Pw-4711-a"},
        {"username": "=user", "password": "Pw-4711-b"},
        *({"username": f"user{number}", "password": f"Pw-4711-c{number}"} for number in range(3)),
    ])  # fmt: skip
    run(office, "phones", roster, "--out", "phones.csv", *NEAR, code=10)
    written = [row["auth_user"] for row in lines_of(office.work / "phones.csv")]
    assert written == ['\'=HYPERLINK("//x")', "=user", "user0", "user1", "user2"]


def test_no_phones_file_takes_the_place_of_the_outcomes(office: Program) -> None:
    """A template may give a user's file the same name."""
    roster = write(office.work / "staff.csv", [{"username": "Phones-Outcomes", "password": "Pw-4711-a"}])
    (office.work / "own").mkdir()
    (office.work / "own" / "{user}.csv.j2").write_text("{{ password }}")
    shown = office.run("phones", roster, "--template", "own", "--out", "prov", *NEAR)
    assert (shown.code, "name the template differently" in shown.stderr) == (10, True), shown
    assert "prov was written, without any password" in shown.stderr


def test_a_job_has_the_rows_in_place_alone(office: Program, sandbox: Sandbox, staff: str) -> None:
    """Users with another password are left out of the files, and the command says how many there are."""
    sandbox.knobs()
    write(office.work / "before.csv", [{"username": "nyc-101", "password": "another-4711"}])
    run(office, "import", "before.csv")
    job = run(office, "import", staff, *SITED, code=10)["job"]
    refused(office.run("phones", job, "--out", "p.csv", *NEAR), f"siproster phones {job} --roster FILE")
    facts = run(office, "phones", job, "--roster", staff, "--out", "p.csv", *NEAR, code=10)
    assert (facts["job"], facts["rows"], facts["written"], facts["not_in_place"]) == (job, 2, 2, 1)
    assert [row["auth_user"] for row in lines_of(office.work / "p.csv")] == ["bos-101", "bos-102"]
    (office.work / staff).write_text((office.work / staff).read_text("utf-8").replace("Pw-4711", "Pw-4712"))
    refused(office.run("phones", job, "--roster", staff, "--out", "p.csv", *NEAR), "its contents differ")
    refused(office.run("phones", job, "--roster", staff, "--where", "site=bos", "--out", "p.csv"), "--where")


def test_no_input_and_no_foreign_file_is_overwritten(office: Program, staff: str) -> None:
    """Neither the roster, also under another name, nor somebody's file, nor a folder with files in it."""
    before = (office.work / staff).read_bytes()
    (office.work / "link.csv").symlink_to(staff)
    (office.work / "mine.csv").write_text("a,b\n1,2\n")
    for name in (staff, "link.csv"):
        refused(office.run("phones", staff, *SITED, "--out", name, *NEAR), "which is read")
        refused(office.run("phones", staff, *SITED, "--cards", name, *NEAR), "which is read")
    for option in ("--out", "--cards"):
        refused(office.run("phones", staff, *SITED, option, "mine.csv", *NEAR), "not written by siproster")
        assert "--results" not in office.run("phones", staff, option, "mine.csv", *NEAR).stderr
    refused(office.run("phones", staff, *SITED, "--template", "poly", "--out", ".", *NEAR), "is not empty")
    assert (office.work / staff).read_bytes() == before
    assert (office.work / "mine.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "say what to write"),
        (("--template", "yealink"), "--template needs a folder"),
        (("--template", "yealnk", "--out", "x"), "there is no such template"),
        (("--out", "-", "--json"), "both write to stdout"),
        (("--cards", "c.html", "--qr", "linphone"), "belong together"),
        (("--out", "x", "--column", "mac"), "must be FIELD=COLUMN"),
        (("--out", "x", "--column", "mac=Nowhere"), "there is no such column"),
        (("--out", "x", "--roster", "staff.csv"), "--roster requires a JOB"),
        (("--out", "x", "--registrar", "host:0"), "must be HOST:PORT"),
        (("--out", "x", "--cards", "./x"), "name the same file"),
    ],
)
def test_wrong_usage_writes_nothing(office: Program, staff: str, options: tuple[str, ...], text: str) -> None:
    """Each is refused with what to do instead."""
    refused(office.run("phones", staff, *SITED, *options), text)
    assert {path.name for path in office.work.iterdir()} <= {staff, "x"}


def test_the_registrar_is_found_by_dns(office: Program, staff: str) -> None:
    """SRV records by transport; without any, the realm's own host; without an answer, nothing is written."""
    dns = Dns({f"_sips._tcp.{REALM}": ["10 10 5071 edge1.example.com.", "20 10 5072 edge2.example.com."]})
    try:
        for transport, expected in (("tls", ("edge1.example.com", "5071")), ("udp", (REALM, "5060"))):
            options = ("--resolver", dns.address, "--transport", transport)
            run(office, "phones", staff, *SITED, "--out", "p.csv", *options)
            rows = lines_of(office.work / "p.csv")
            assert {(row["registrar"], row["port"], row["transport"]) for row in rows} == {
                (*expected, transport)
            }
        run(office, "phones", staff, *SITED, "--template", "linphone", "--out", "lin", *options)
        tree = etree.parse(office.work / "lin" / "bos-102.xml")
        assert tree.xpath("string(//*[@name='passwd'])") == STAFF[1]["secret"]
    finally:
        dns.close()
    away = office.run("phones", staff, *SITED, "--out", "q.csv", "--resolver", dns.address)
    refused(away, "name it with --registrar HOST:PORT", 5)
    assert not (office.work / "q.csv").exists()


def test_cards_are_for_their_owner_alone(office: Program, staff: str) -> None:
    """One HTML file of mode 0600, which may be replaced by a new one of its own."""
    for _ in range(2):
        facts = run(office, "phones", staff, *SITED, "--cards", "cards.html", *NEAR)
        assert facts["files"] == {"cards": "cards.html"}
    path = office.work / "cards.html"
    assert mode(path) == 0o600
    assert path.read_text("utf-8").count("<article") == 3
