"""The header: which column is which, which are carried, and what the options choose."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.rosters import GOOD, codes, opened, refused, rows_of
from worker.errors import UsageError
from worker.model import Condition
from worker.roster import PASSWORD, may_be_secret, read_earlier_rows
from worker.roster.selection import parse_condition, shown


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("username", "username"),
        ("User Name", "username"),
        ("LOGIN", "username"),
        ("Extension", "username"),
        ("sip-user", "username"),
        ("Secret", "password"),
        ("SIP Password", "password"),
        ("pass_word", "password"),
        ("DOMAIN", "domain"),
        ("Realm", "realm"),
        ("HttpVoiceV2AppId", "application_id"),
        ("app-id", "application_id"),
        ("Application ID", "application_id"),
    ],
)
def test_names_match_however_they_are_written(header: str, field: str) -> None:
    """Case, white space, _ and - don't count."""
    others = {"username": "user", "password": "secret"}
    rest = [name for other, name in others.items() if other != field]
    with opened(f"{header},{','.join(rest)}\n{','.join([GOOD] * (len(rest) + 1))}\n") as roster:
        assert roster.mapping[field] == header


def test_each_column_ends_up_where_it_belongs() -> None:
    """All fields at once, in any order, beside a column that is only carried."""
    application = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"
    text = f"note,realm,secret,app_id,domain,user\nn,r1,{GOOD},{application},d.example,u\n"
    (row,) = rows_of(text)
    assert (row.user, row.domain, row.realm, row.application) == ("u", "d.example", "r1", application)
    assert row.password == GOOD
    assert row.cells == ("n", "r1", application, "d.example", "u")
    assert row.problems == ()


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("username,passwrd", "did you mean 'passwrd'?"),
        ("user,Passcode", "did you mean 'Passcode'?"),
        ("usernam,password", "did you mean 'usernam'?"),
        ("extension,hash1", "has hash1, but neither hash1b nor passwords"),
        ("extension,hash1b", "has hash1b, but neither hash1 nor passwords"),
        ("extension,password,secret", "'password' and 'secret' could both be"),
        ("user,USER,password", "columns 1 and 2 have the same name"),
        ("user name,user_name,password", "could both be the username"),
    ],
)
def test_a_doubtful_header_is_refused(header: str, said: str) -> None:
    """The message names the columns in question or the nearest one."""
    cells = ",".join(["x"] * (header.count(",") + 1))
    assert said in refused(f"{header}\n{cells}\n")


WAYS: dict[str, dict[str, Any]] = {
    "nothing said": {},
    "a column": {"map": {"password": "Secret"}},
    "another column": {"map": {"username": "Extension"}},
    "a condition": {"where": (Condition("site", "A"),)},
    "a column to carry": {"carry": ("Sunshine",)},
    "a template": {"username": "{Extension}"},
    "a delimiter": {"delimiter": ";"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "line",
    [
        *(
            "1001,Sunshine42",
            "Sunshine42",
            "ann,Sunshine42,phone",
            "ann,Sunshine,user",
            "1001,Sunshine,phone,mobile",
        ),
        *("ann,Sunshine42,Sales,ann@example.com", "1001;Sunshine42;x", "Sunshine,1001,user", "site,Sunshine"),
        *("1001,Sunshine42,extension,mobile", "00:11:22:33:44:55,Sunshine,device,model"),
    ],
)
def test_a_missing_header_shows_no_cell(line: str, way: str) -> None:
    """If the header is missing, the first line may hold a password: no message shows any of it."""
    text = refused(f"{line}\n{line}x\n", **WAYS[way]).replace("--carry", "").replace("'Sunshine'", "")
    assert "unshine" not in text
    assert "ann" not in text.replace("cannot", "")
    assert "columns are" not in text
    assert "header" in text


def test_only_words_of_headers_are_shown() -> None:
    """A line's unknown words are shown only if it is surely a header: if it names user and password."""
    text = refused(f"Extension,SIP Code,SIP Hash,Prénom,Quux\n1001,x,{GOOD},Ann,x\n")
    listed = "Extension, SIP Code, SIP Hash, Prénom, (column 5)"
    assert f"did you mean 'SIP Hash'? The columns are: {listed}" in text
    text = refused(f"Extension,Secret,Prénom,Quux\n1001,{GOOD},Ann,x\n", map={"realm": "nowhere"})
    assert "the columns are: Extension, Secret, Prénom, Quux" in text


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("username,password," + ",".join(f"c{n}" for n in range(999)), "has 1,001 columns"),
        (f"username,password,{'x' * 1001}", "the name of column 3 has 1,001 characters"),
        (f"username,password,{'x' * 131_072}", "longer than 131,072 characters"),
    ],
)
def test_a_header_has_a_bound(header: str, said: str) -> None:
    """A header's length is limited, since its names are in the job, in each page and in messages."""
    assert said in refused(f"{header}\nbob,{GOOD}\n")


def test_empty_columns_are_no_columns() -> None:
    """Empty columns are dropped, since a spreadsheet may export all of its 16,384."""
    (row,) = rows_of(f"username,password{',' * 16_382}\nbob,{GOOD}{',' * 16_382}\n")
    assert (row.user, row.password, row.cells) == ("bob", GOOD, ("bob",))


def test_the_better_name_wins() -> None:
    """If two columns could be the user name, the canonical one is taken, with a warning."""
    with opened(f"extension,username,password\n1,bob,{GOOD}\n") as roster:
        assert roster.mapping["username"] == "username"
        assert [warning.code for warning in roster.warnings] == ["column_ambiguous"]
        assert [row.user for row in roster.rows()] == ["bob"]


def test_map_names_a_column() -> None:
    """--map overrides the names; the column that it leaves is an ordinary one."""
    text = f"user,password,AuthID,Auth Password\nweb,webpass,1001,{GOOD}\n"
    mapped = {"username": "authid", "password": "Auth Password"}
    with opened(text, map=mapped) as roster:
        (row,) = roster.rows()
        assert (row.user, row.password) == ("1001", GOOD)
        assert roster.columns == ("user", "AuthID")
        assert roster.dropped == ("password", "Auth Password")


@pytest.mark.parametrize(
    ("column", "cell", "mapped"),
    [
        ("domain", "windows.example", "domain"),
        ("Realm", "two", "realm"),
        ("app_id", "crm", "application_id"),
    ],
)
def test_a_field_is_left_without_a_column(column: str, cell: str, mapped: str) -> None:
    """--map FIELD= leaves the column that has its name to the results, also for a retry."""
    text = f"user,{column},password\n1001,{cell},{GOOD}\n"
    with opened(text, map={mapped: ""}) as roster:
        (row,) = roster.rows()
        assert (row.domain, row.realm, row.application, row.problems) == ("", "", "", ())
        assert (roster.columns, row.cells) == (("user", column), ("1001", cell))
        assert mapped not in roster.mapping
        record = (2, {"user": "1001", column: cell, PASSWORD: GOOD})
        ((again,),) = read_earlier_rows([record], roster.columns, roster.options)
        assert (again.domain, again.realm, again.application, again.cells) == ("", "", "", row.cells)


def test_secrets_are_left_without_a_column() -> None:
    """Digests or passwords, where a roster has both; a column that is left out stays secret."""
    text = f"user,password,hash1,hash1b\n1001,{GOOD},{'0a' * 16},{'0b' * 16}\n"
    with opened(text, map={"password": ""}) as roster:
        (row,) = roster.rows()
        assert (row.password, row.hash1, roster.columns) == ("", "0a" * 16, ("user",))
        assert roster.warnings == ()
    with opened(text, map={"hash1": "", "hash1b": ""}) as roster:
        (row,) = roster.rows()
        assert (row.password, row.hash1, roster.columns) == (GOOD, "", ("user",))
        assert roster.warnings == ()
    left_out = {"password": "", "hash1": "", "hash1b": ""}
    assert "--map password= leaves no passwords" in refused(text, map=left_out)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"map": {"username": "Extention"}}, "did you mean 'extension'?"),
        ({"map": {"user": "extension"}}, "the fields are: username"),
        ({"map": {"username": "password", "password": "password"}}, "one column"),
        ({"map": {"username": "bw__id"}}, "is not read"),
        ({"username": "{sit}-{extension}"}, "did you mean 'site'?"),
        ({"username": "constant"}, "contains no column"),
        ({"username": "{}"}, "empty braces"),
        ({"username": "{site"}, "single brace"),
        ({"username": "{site.__class__}"}, "is not a column"),
        ({"username": "{site!r}"}, "is not a column"),
        ({"username": "{password}"}, "contains or may contain a secret"),
        ({"where": (Condition("town", "x"),)}, "is not a column"),
        ({"where": (Condition("password", "x"),)}, "contains or may contain a secret"),
        ({"where": (Condition("site", "Nowhere"),)}, "no row with site=Nowhere"),
        ({"carry": ("passwort",)}, "is not a column"),
        ({"carry": ("password",)}, "never goes into the results"),
        ({"domain": "not a domain"}, "domain: character 4"),
        ({"application": "app"}, "application_id: not a UUID"),
    ],
)
def test_options_that_cannot_be_met_are_refused(options: dict[str, object], said: str) -> None:
    """A column that doesn't exist, a secret that would show, or an invalid default is refused."""
    assert said in refused(f"extension,site,password,bw__id\n1,A,{GOOD},7\n", **options)


@pytest.mark.parametrize(
    ("template", "user"),
    [
        ("{site}-{extension}", "A-1"),
        ("+1{did}", "+19195550143"),
        ("{ Site }{{x}}", "A{x}"),
        ("{DID}.{did}", "9195550143.9195550143"),
    ],
)
def test_a_template_builds_user_names(template: str, user: str) -> None:
    """Columns between braces, everything else as it stands; doubled braces are braces."""
    text = f"extension,site,did,password\n1,A,9195550143,{GOOD}\n"
    assert [row.user for row in rows_of(text, username=template)] == [user]


def test_a_template_with_an_empty_column_makes_no_name() -> None:
    """A template with an empty column would build somebody else's name: the row is invalid."""
    (row,) = rows_of(f"extension,site,password\n1,,{GOOD}\n", username="{site}-{extension}")
    assert codes(row) == ["username_missing"]


def test_columns_of_a_name_are_carried() -> None:
    """Columns that build a user name are in the results, even when a header sounds secret."""
    with opened(f"pin,site,password\n1,A,{GOOD}\n", map={"username": "pin"}) as roster:
        assert roster.columns == ("pin", "site")


def test_where_and_limit_choose_rows() -> None:
    """All conditions hold for a chosen row, the first N of those are taken, and the count says so."""
    lines = [f"u{n},{GOOD},{'AB'[n % 2]},{n // 4}" for n in range(12)]
    text = "user,pass,site,floor\n" + "\n".join(lines)
    with opened(text, where=(Condition("Site", "B"), Condition("floor", "1"))) as roster:
        assert (roster.records, [row.user for row in roster.rows()]) == (2, ["u5", "u7"])
    with opened(text, where=(Condition("site", "B"),), limit=4) as roster:
        assert (roster.records, [row.user for row in roster.rows()]) == (4, ["u1", "u3", "u5", "u7"])


SITES = "user,pass,site,a=b\n" + "".join(f"u{n},{GOOD},{site},{n % 2}\n" for n, site in enumerate(
    ["Bonn", "bonn", "Berlin", "", "Köln"]
))  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "users"),
    [
        ("site=Bonn", ["u0"]),
        ("site!=Bonn", ["u1", "u2", "u3", "u4"]),
        ("site!=", ["u0", "u1", "u2", "u4"]),
        ("site~^B", ["u0", "u2"]),
        ("site~(?i)^bonn$", ["u0", "u1"]),
        ("site~ö", ["u4"]),
        ("Site~=", []),
        ("site=~", []),
        ('"a=b"=1', ["u1", "u3"]),
        ('"a=b"!=1', ["u0", "u2", "u4"]),
        ('"site"=Bonn', ["u0"]),
    ],
)
def test_conditions(typed: str, users: list[str]) -> None:
    """``=`` and ``!=`` compare the whole cell, ``~`` searches; a quoted name may contain an operator."""
    condition = parse_condition(typed)
    if users:
        assert [row.user for row in rows_of(SITES, where=(condition,))] == users
    else:
        assert f"has no row with {typed}".casefold() in refused(SITES, where=(condition,)).casefold()
    assert parse_condition(shown(condition)) == condition


@pytest.mark.parametrize("typed", ["site", "=x", "!=x", '"site', '""=x', ""])
def test_no_condition(typed: str) -> None:
    """Without a column or an operator, it is no condition."""
    with pytest.raises(UsageError, match="is not a condition"):
        parse_condition(typed)


@pytest.mark.parametrize(
    "expression", ["(", "a(?=b)", r"(a)\1", "x{9999999}", "(((a{1,1000}){1,1000}){1,1000})"]
)
def test_an_invalid_expression_names_the_column(expression: str) -> None:
    """Syntax errors, look-around, back-references and expressions that are too large are refused at once."""
    with pytest.raises(UsageError, match="for column 'site' is invalid"):
        parse_condition(f"site~{expression}")


def test_an_expression_takes_no_more_time_than_the_cell_is_long() -> None:
    """Python's own expressions would never end on this one."""
    text = f"user,pass,site\nu1,{GOOD},{'a' * 50_000}b\nu2,{GOOD},aa\n"
    assert [row.user for row in rows_of(text, where=(parse_condition("site~^(a+)+$"),))] == ["u2"]


@pytest.mark.parametrize("typed", ["a=b=1", "a=b!=1"])
def test_a_name_with_an_operator_must_be_quoted(typed: str) -> None:
    """The refusal shows how to write the column that was meant."""
    assert "--where '\"a=b\"=VALUE'" in refused(SITES, where=(parse_condition(typed),))


def test_a_condition_on_a_secret_is_refused() -> None:
    """A regular expression would tell a password, letter by letter."""
    assert "may contain a secret" in refused(SITES, where=(parse_condition("pass~^T"),))


def test_skip_leaves_out_the_first_selected_rows() -> None:
    """``skip`` counts after ``where``, and before ``limit``."""
    rest: dict[str, Any] = {"where": (parse_condition("site!="),), "skip": 1}
    assert [row.user for row in rows_of(SITES, **rest)] == ["u1", "u2", "u4"]
    assert [row.user for row in rows_of(SITES, **rest, limit=2)] == ["u1", "u2"]
    with opened(SITES, skip=3) as roster:
        assert (roster.records, roster.whole) == (2, False)
    assert "no row beyond the first 5" in refused(SITES, skip=5)

    assert "no row with site=Bonn beyond the first 1" in refused(
        SITES, where=(parse_condition("site=Bonn"),), skip=1
    )


def test_a_record_that_cannot_be_attributed_is_never_filtered_out() -> None:
    """A record with the wrong number of fields can't be filtered out by ``where``, and is reported."""
    rows = rows_of(f"user,pass,site\na,{GOOD},A\nb,{GOOD}\nc,{GOOD},B\n", where=(Condition("site", "A"),))
    assert [(row.user, codes(row)) for row in rows] == [("a", []), ("", ["field_count"])]


@pytest.mark.parametrize(
    "column",
    [
        *("Password", "web_password", "vmsecret", "Voicemail PIN", "SrvcAccessPwd", "DeskphoneWebPass"),
        *("md5_cred", "a1-hash", "ha1", "HA1b", "hash1", "api token", "PINCode", "pin2", "Kennwort"),
        *(
            "Benutzer-Passwort",
            "contraseña",
            "Contrasen\u0303a",
            "Пароль",
            "パスワード",
            "userTokens",
            "remotesecret",
        ),
        *("VMPIN", "USERPIN2", "vm_pin2", "PINNr", "A1", "sip_a1", "SIPKey", "Auth Key 2", "PSK", "Key"),
        *("authhash", "Auth-Hash", "md5sum", "sipauth", "SIP Auth", "VMPW", "sippass", "webpass2"),
        *("authtoken", "Door Code", "accesscode", "Zugangscode", "Mot de passe", "presharedkey", "SHA512"),
    ],
)
def test_secret_columns_are_known_by_a_word(column: str) -> None:
    """Words and the ends of compounds, parted by all but letters or by camel case, in several languages."""
    assert may_be_secret(column)


@pytest.mark.parametrize(
    "column",
    [
        *("name", "Shipping", "secretary", "Compass", "passport", "spin", "description", "user_context"),
        *("keyboard", "spinning", "authorised_by", "AuthID", "auth user", "author", "line key 1"),
        *("Key Label", "hotkey", "monkey", "opinion", "mapping", "pinned", "bypass", "passenger", "hashtag"),
        *("Area Code", "postcode", "Account number", "voicemail number", "assault", "B1", "access level"),
    ],
)
def test_other_columns_are_not_secret(column: str) -> None:
    """A secret word inside another word doesn't make a column secret."""
    assert not may_be_secret(column)


def test_secret_columns_are_dropped_unless_carried() -> None:
    """--carry includes a column that may be secret, but never passwords and digests."""
    text = f"user,password,pin,token,hash1,name\nbob,{GOOD},1234,t,h,Bob\n"
    with opened(text) as roster:
        assert (roster.columns, roster.dropped) == (("user", "name"), ("password", "pin", "token", "hash1"))
        assert [warning.code for warning in roster.warnings] == ["hash_not_used"]
    with opened(text, carry=("Token",)) as roster:
        assert roster.columns == ("user", "token", "name")
        assert [row.cells for row in roster.rows()] == [("bob", "t", "Bob")]
    assert "never" in refused(text, carry=("hash1",))


def test_a_column_without_a_name_is_left_out_and_told() -> None:
    """A column without a name may hold anything: it is left out, with a warning."""
    with opened(f"user,,password\nbob,x,{GOOD}\n") as roster:
        assert roster.columns == ("user",)
        assert [warning.code for warning in roster.warnings] == ["column_unnamed"]


def test_our_own_columns_are_ignored() -> None:
    """failed.csv with a password column is a roster: bw__ columns are neither mapped nor carried."""
    text = f"bw__username,bw__realm,user,note,password\nold,r9,'+1919,'=x,'+{GOOD}\n"
    with opened(text) as roster:
        assert (roster.columns, roster.dropped) == (("user", "note"), ("password",))
        (row,) = roster.rows()
        assert (row.user, row.realm, row.cells, row.password) == ("+1919", "", ("+1919", "=x"), f"'+{GOOD}")


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ("'=1", "=1"),
        ("''=1", "'=1"),
        ("'-1", "-1"),
        ("'@a", "@a"),
        ("'\ta", "\ta"),
        ("'a", "'a"),
        ("=1", "=1"),
    ],
)
def test_exactly_one_quote_is_taken_off(cell: str, read: str) -> None:
    """Only before a formula's first character, only in a file with our columns."""
    for own, expected in (("bw__row", read), ("other", cell)):
        (row,) = rows_of(f"{own},user,password,note\n2,bob,{GOOD},{cell}\n")
        assert row.cells[-1] == expected


def test_a_quote_before_a_column_name_is_taken_off() -> None:
    """A file of ours has one where the name would run as a formula; any other file's name stays."""
    for own, name, note in (("bw__row", "+user", "=note"), ("other", "'+user", "'=note")):
        text = f"{own},'+user,password,'=note\n2,bob,{GOOD},n\n"
        with opened(text, map={"username": name}) as roster:
            assert (roster.mapping["username"], roster.columns[-1]) == (name, note)
