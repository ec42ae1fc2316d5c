"""Tests of the formats that are tables: how they are recognised, and what they never take for a password."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from hashlib import md5
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.model import Options, Row
from worker.roster import may_be_secret, open_roster, read_earlier_rows
from worker.roster.corrections import PASSWORD
from worker.roster.format import Start
from worker.roster.formats import FORMATS
from worker.roster.recognise import choose

PBX = Path(__file__).parents[2] / "samples" / "pbx"
EXPORTS = sorted(path for path in PBX.glob("*.[ct]sv") if ".expected" not in path.name)
OWN = (
    "freepbx",
    "fusionpbx",
    "3cx",
    "yeastar",
    "wazo",
    "grandstream",
    "switchvox",
    "vodia",
    "kamailio",
    "opensips",
)


def header_of(path: Path) -> list[str]:
    """Return the header of a sample export, whatever its encoding and delimiter."""
    content = path.read_bytes()
    text = content.decode("utf-16" if content.startswith(b"\xff\xfe") else "latin-1").lstrip("ï»¿")
    line = text.splitlines()[0]
    return next(csv.reader([line], delimiter=max(",;|\t", key=line.count)))


def read(tmp_path: Path, text: str, options: Options | None = None) -> tuple[str, list[Row]]:
    """Return the format that a roster with that text is recognised as, and its rows."""
    path = tmp_path / "export.csv"
    path.write_text(text, encoding="utf-8", newline="")
    with open_roster(str(path), options or Options()) as roster:
        return roster.format, list(roster.rows())


@pytest.mark.parametrize("name", OWN)
def test_a_header_alone_tells_the_format(name: str) -> None:
    """A sheet or a query has no text: the column names suffice, and the reason names some of them."""
    for path in (one for one in EXPORTS if one.stem.removesuffix("-hostile").removesuffix("-12") == name):
        found, why = choose(Start("sheet", tuple(header_of(path)), ""), "sheet", "auto")
        assert found is FORMATS[name]
        assert why.split("columns ")[1].split(", ")[0] in header_of(path)


@pytest.mark.parametrize(
    "header",
    [
        "username,password",
        "extension,secret,name",
        "ext,password",
        "user,domain,password",
        "Extension,SIP Password",
    ],
)
def test_plain_tables_stay_plain(header: str) -> None:
    """Columns that anybody may have are no format."""
    assert choose(Start("in.csv", tuple(header.split(",")), ""), "in.csv", "auto") == (None, "")


def test_a_digest_that_beats_the_secret_tells_freepbx(tmp_path: Path) -> None:
    """Of a file with few columns, too: else the digest would be ignored, and a stale secret sent."""
    found, (row,) = read(tmp_path, f"extension,name,secret,md5_cred\n1001,Ann,Kestrel-7731,{'ab' * 16}\n")
    assert found == "freepbx"
    assert ([one.code for one in row.problems], row.password) == (["digest_only"], "")


def test_a_tie_names_the_candidates_and_the_option() -> None:
    """Columns of two PBXs refuse the file, with both, their reasons, and how to choose."""
    header = ("AuthID", "AuthPassword", "SIPID", "VMNoPin", "Extension", "SIP/IAX Password", "Technology")
    with pytest.raises(UsageError, match=r"3cx \(columns AuthID.*grandstream \(columns Extension") as refused:
        choose(Start("in.csv", header, ""), "in.csv", "auto")
    assert "--from 3cx" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("trunk_name,sip_server,username,secret,auth_username,registration,trunkid,tech", "trunks"),
        ("username,password,default_extension,description,fname,lname", "User Manager"),
        ("cidnum,extension,destination,privacyman,alertinfo", "inbound routes"),
    ],
)
@pytest.mark.parametrize("wanted", ["auto", "freepbx"])
def test_other_exports_of_freepbx_are_refused_by_name(
    tmp_path: Path, header: str, what: str, wanted: str
) -> None:
    """Their secrets are no extension's; naming the format doesn't help."""
    with pytest.raises(UsageError, match=what):
        read(tmp_path, f"{header}\n{'x,' * header.count(',')}x\n", Options(source_format=wanted))


def test_old_freepbx_without_quotes_is_refused(tmp_path: Path) -> None:
    """One row that is too long shows that commas shift columns, in rows of the right length, too."""
    header = "action,extension,name,tech,devinfo_secret,vmpwd,password,,\n"
    with pytest.raises(UsageError, match="line 3 has more fields"):
        read(tmp_path, header + "edit,1,Ann,sip,Kestrel-7731,1,,,\nedit,2,Lund,Bo,sip,Os,prey-4410,2,,,\n")


def test_a_digest_beats_the_secret_and_a_retry_knows_it(tmp_path: Path) -> None:
    """The stale secret beside md5_cred is given up: a retry of the row can't send it either."""
    stored = digest("1001:asterisk:Newer-7731")
    text = f"extension,secret,md5_cred,tech,voicemail_vmpwd\n1001,Stale-7731,{stored},sip,1\n"
    name, (row,) = read(tmp_path, text)
    assert [name, row.password, *(one.code for one in row.problems)] == ["freepbx", "", "digest_only"]


def test_a_secret_of_32_hex_digits_is_a_password(tmp_path: Path) -> None:
    """FreePBX's own secrets look like digests, and are none."""
    secret = md5(b"any", usedforsecurity=False).hexdigest()
    _, (row,) = read(tmp_path, f"extension,secret,tech,voicemail_vmpwd\n1001,{secret},sip,1\n")
    assert (row.password, row.problems, row.hash1) == (secret, (), "")


@pytest.mark.parametrize(
    ("context", "domain", "default", "mapped"),
    [
        ("office.example", "office.example", "", {}),
        ("default", "", "", {}),
        ("default", "else.example", "else.example", {}),
        ("office.example", "", "", {"domain": ""}),
        ("default", "default", "", {"domain": "user_context"}),
    ],
)
def test_a_context_is_a_domain_if_it_has_a_dot(
    tmp_path: Path, context: str, domain: str, default: str, mapped: dict[str, str]
) -> None:
    """FusionPBX calls a context by its domain; others get the domain of --domain, as rows without one do."""
    text = f"extension,password,user_context,domain_uuid\n1001,Kestrel-7731,{context},x\n"
    name, (row,) = read(tmp_path, text, Options(domain=default, map=mapped))
    assert (name, row.domain, row.problems) == ("fusionpbx", domain, ())


def digest(text: str) -> str:
    """Return MD5 in hex digits."""
    return md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("cells", "options", "problems", "warnings"),
    [
        (["a.example", "Kestrel-7731", digest("1001:a.example:Kestrel-7731"), "x"], {}, [], []),
        (["a.example", "Kestrel-7731", digest("1001:asterisk:Kestrel-7731"), ""], {}, [], ["hash_mismatch"]),
        (["a.example", "", digest("1"), digest("2")], {"realm": "a.example"}, ["digest_only"], []),
        (["a.example", "", digest("1"), digest("2")], {"realm": "a.example", "map": {"domain": ""}}, [], []),
        (["a.example", "", digest("1"), ""], {"map": {"domain": ""}}, ["digest_only"], []),
        (["a.example", "1234567890-1234567890-abcd", "", ""], {}, [], []),
        (["a.example", "1234567890-1234567890-abc", "", ""], {}, [], []),
    ],
)
def test_digests_of_kamailio(
    tmp_path: Path, cells: Sequence[str], options: dict[str, object], problems: list[str], warnings: list[str]
) -> None:
    """A password is compared with ha1; digests alone are used only for the realm that they were made for."""
    text = f"username,domain,password,ha1,ha1b\n1001,{','.join(cells)}\n"
    name, (row,) = read(tmp_path, text, Options(**options))  # type: ignore[arg-type]
    assert name == "kamailio"
    assert [one.code for one in row.problems] == problems
    assert [one.code for one in row.warnings] == warnings
    assert bool(row.hash1) is (not problems and not cells[1])


@pytest.mark.parametrize(("name", "carrier"), [("dbtext", "db_text"), ("kamcli.json", "kamcli's JSON")])
def test_other_carriers_of_the_table(name: str, carrier: str) -> None:
    """A db_text file and kamcli's JSON are recognised as such, and have the same rules."""
    with open_roster(str(PBX / "kamailio" / name), Options()) as roster:
        assert roster.recognised.startswith(f"{carrier}, columns username")
        found = [(row.user, [one.code for one in row.problems]) for row in roster.rows()]
    assert roster.format == "kamailio"
    assert ("1004", ["digest_only"]) in found


@pytest.mark.parametrize(("length", "cut"), [(24, []), (25, ["password_cut"]), (26, [])])
def test_a_password_as_wide_as_its_column_may_be_cut(tmp_path: Path, length: int, cut: list[str]) -> None:
    """OpenSIPS' column has 25 characters."""
    text = f"username,domain,password,ha1,ha1_sha256\n1001,a.example,{'aB3-' * 7:.{length}},,\n"
    name, (row,) = read(tmp_path, text)
    assert [name, *(one.code for one in row.warnings)] == ["opensips", *cut]


def test_the_output_of_a_database_client_is_unescaped(tmp_path: Path) -> None:
    """NULL and the escapes of mysql -B are read as what they stand for; a plain table by its names."""
    text = "username\tpassword\n1001\tpa\\\\ss\\t7731\n1002\tNULL\n1003\tNULL-7731\n"
    name, rows = read(tmp_path, text, Options(source_format="mysql-batch"))
    assert [name, *(row.password for row in rows)] == ["mysql-batch", "pa\\ss\t7731", "", "NULL-7731"]


def test_other_backslashes_in_a_tab_file_leave_a_doubt(tmp_path: Path) -> None:
    """A table of Kamailio's with tabs may be raw or escaped: the options that decide are named."""
    text = (
        "username\tdomain\tpassword\tha1\n1001\ta.example\tpa\\ss-7731\t\n1002\ta.example\tpa\\\\ss-7731\t\n"
    )
    with pytest.raises(UsageError, match="not its escapes") as refused:
        read(tmp_path, text)
    assert "--from kamailio" in (refused.value.hint or "")
    _, rows = read(tmp_path, text, Options(source_format="kamailio"))
    assert [row.password for row in rows] == ["pa\\ss-7731", "pa\\\\ss-7731"]


@pytest.mark.parametrize(
    "text",
    [
        " id | username | password \n----+----------+----------\n  1 | 1001     | Kestrel-7731\n",
        "+----+----------+\n| id | username |\n+----+----------+\n|  1 | 1001     |\n",
    ],
)
def test_tables_drawn_for_a_terminal_are_refused(tmp_path: Path, text: str) -> None:
    """The command that makes a CSV is named."""
    with pytest.raises(UsageError, match="drawn for a terminal") as refused:
        read(tmp_path, text)
    assert "psql --csv" in (refused.value.hint or "")


@pytest.mark.parametrize("export", EXPORTS, ids=lambda path: path.stem)
def test_a_retry_reads_the_same_users(export: Path) -> None:
    """The carried columns, without any secret, lead to the same users and domains by the format's rules."""
    with open_roster(str(export), Options()) as roster:
        rows = [row for row in roster.rows() if row.user and not row.problems]
        cells = ((row.line, dict(zip(roster.columns, row.cells, strict=True))) for row in rows)
        records = ((line, {**carried, PASSWORD: "Kestrel-7731"}) for line, carried in cells)
        again = [row for page in read_earlier_rows(records, roster.columns, roster.options) for row in page]
    assert [(row.line, row.user, row.domain) for row in again] == [
        (row.line, row.user, row.domain) for row in rows
    ]


@pytest.mark.parametrize("name", [*OWN, "mysql-batch"])
def test_the_example_that_is_shown_is_read_by_the_format(tmp_path: Path, name: str) -> None:
    """`formats show` prints an export that is recognised, and whose rows are sound."""
    found, rows = read(tmp_path, FORMATS[name].about.example)
    assert found == name
    assert [(row.problems, row.warnings) for row in rows] == [((), ())]
    assert [row.password for row in rows] in (["Kestrel-7731"], ["pa\\ss-7731"])


@pytest.mark.parametrize("name", OWN)
def test_no_decoy_is_shown_in_the_results(name: str) -> None:
    """Columns that a format calls decoys are among its secrets, or have a secret's name."""
    one = FORMATS[name]
    assignment = one.assign(one.about.decoys)
    assert assignment is not None
    assert [
        decoy for decoy in one.about.decoys if not (decoy in assignment.secrets or may_be_secret(decoy))
    ] == []


def test_a_named_format_without_its_columns_is_refused(tmp_path: Path) -> None:
    """Naming a format makes no user names of other columns."""
    with pytest.raises(UsageError, match="no password column"):
        read(tmp_path, "extension,password\n1001,Kestrel-7731\n", Options(source_format="3cx"))


@pytest.mark.parametrize("stem", ["fusionpbx-hostile", "mysql-batch-hostile", "kamailio"])
def test_a_title_before_the_header_and_a_last_dos_mark_change_nothing(tmp_path: Path, stem: str) -> None:
    """Lines before the header are left out, as told, and line numbers stay those of the file."""
    (path,) = PBX.glob(f"{stem}.[ct]sv")
    content = path.read_text("utf-8")
    _, plain = read(tmp_path, content, Options(source_format=stem.removesuffix("-hostile")))
    options = Options(source_format=stem.removesuffix("-hostile"), header_line=2)
    _, rows = read(tmp_path, f"Export of 2026\n{content}\x1a", options)
    assert [(row.line - 1, row.user, row.password) for row in rows] == [
        (row.line, row.user, row.password) for row in plain
    ]


def test_a_password_that_is_given_up_is_hidden_all_the_same(tmp_path: Path) -> None:
    """A secret that a digest beats is not sent, and no other cell shows it."""
    header = "extension,secret,tech,devicetype,voicemail_vmpwd,name,md5_cred\n"
    name, (row,) = read(
        tmp_path, f"{header}1001,Kestrel-7731,pjsip,fixed,4821,Ann Kestrel-7731,{'0a' * 16}\n"
    )
    assert (name, row.password, [one.code for one in row.problems]) == ("freepbx", "", ["digest_only"])
    assert "<hidden>" in row.cells
    assert "Kestrel-7731" not in str(row.cells)
