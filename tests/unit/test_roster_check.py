"""The service's field rules, and warnings about passwords."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rosters import GOOD, codes, opened, refused, rows_of, warned
from worker.model import Family, Normalize, Options, Row, Weak
from worker.roster import Rules, read_earlier_rows
from worker.roster.check import trimmed_name
from worker.roster.layout import lay_out
from worker.roster.passwords import Survey
from worker.roster.rows import pages_of

UUID = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"
ALLOWED = re.compile(r"[A-Za-z0-9._\-!$&*+=~]+").fullmatch
NAMES = st.text(st.sampled_from("aZ09.-+=~!$&*_@é /"), max_size=36)


def decided(
    user: str = "bob",
    domain: str = "",
    realm: str = "",
    application: str = "",
    password: str = GOOD,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> Row:
    """One row under the rules of these options."""
    given = Options(**(options or {}), **more)
    layout = lay_out(["username", "domain", "realm", "application_id", "password"], "staff.csv", given)
    ((row,),) = pages_of([(2, [user, domain, realm, application, password])], layout, Rules(given))
    return row


@given(user=NAMES, domain=NAMES, family=st.sampled_from(Family))
def test_a_name_is_sound_when_the_service_takes_it(user: str, domain: str, family: Family) -> None:
    """Names are accepted exactly by the rules of the API description."""
    row = decided(user, domain, api=family)
    user = trimmed_name(user)
    composite = f"{user}@{domain}" if domain else user
    bare = user if domain else user.replace("@", "")
    sound = (
        user != ""
        and (bare == "" or ALLOWED(bare) is not None)
        and (domain == "" or ALLOWED(domain) is not None)
        and max(len(user), len(domain)) <= 32
        and (family is Family.ACCOUNT or len(composite) <= 32)
    )
    assert (row.problems == ()) == sound
    assert row.composite == composite


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (decided(""), ["username_missing"]),
        (decided(password=""), ["password_missing"]),
        (decided("", password=""), ["username_missing", "password_missing"]),
        (decided("a" * 33), ["too_long"]),
        (decided("a" * 32), []),
        (decided(domain="d" * 33), ["too_long"]),
        (decided("a" * 20, "d" * 20), []),
        (decided("a" * 20, "d" * 20, api=Family.REALM), ["too_long"]),
        (decided("a" * 20, "d" * 11, api=Family.REALM), []),
        (decided("bob@x", "y"), ["bad_characters"]),
        (decided("bob@x@y"), []),
        (decided(domain="a@b"), ["bad_characters"]),
        (decided(realm="r" * 65), ["too_long"]),
        (decided(realm="r" * 64), []),
        (decided(application=UUID.upper()), []),
        (decided(application=UUID.replace("-", "")), ["bad_application_id"]),
        (decided(application=f"{{{UUID}}}"), ["bad_application_id"]),
        (decided("b b" * 11, "d d", "r" * 65, "x", ""), [*("bad_characters", "too_long", "bad_characters"),
            *("too_long", "bad_application_id", "password_missing")]),
        (decided("1.4E+10"), ["spreadsheet_damage"]),
        (decided("1,4e-7"), ["spreadsheet_damage"]),
        (decided("12E4"), []),
        (decided('="0306703"'), ["spreadsheet_damage"]),
        (decided("#N/A"), ["spreadsheet_damage"]),
        (decided("########"), ["spreadsheet_damage"]),
        (decided("0306703"), []),
        (decided("+19195550143"), []),
        (decided("!$&*+=~._-"), []),
        (decided("\ud800"), ["bad_characters"]),
        (decided(password="x\udc80y" + GOOD), ["bad_characters"]),
    ],
)  # fmt: skip
def test_all_problems_of_a_row_are_told(row: Row, expected: list[str]) -> None:
    """Each rule at its limit, and a row that breaks all of them."""
    assert codes(row) == expected


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("ab cd", "username: character 3 is SPACE (U+0020); only letters"),
        ("bob x ", "character 4 is SPACE"),
        ("o’neill", "character 2 is ’ (RIGHT SINGLE QUOTATION MARK, U+2019)"),
        ("7012\u00a03", "character 5 is NO-BREAK SPACE (U+00A0)"),
        ("“bob”", "character 1 is “ (LEFT DOUBLE QUOTATION MARK, U+201C) (and 1 more)"),
        ("a\nb", "character 2 is CONTROL CHARACTER (U+000A)"),
        ("a" * 33, "username: 33 characters, at most 32 are allowed"),
        ("a@" + "d" * 32, "into a domain column"),
    ],
)
def test_a_problem_says_what_and_where(user: str, said: str) -> None:
    """Field, position, the character by name, and what is allowed."""
    assert said in decided(user).problems[0].text


def test_defaults_fill_what_a_row_leaves_open() -> None:
    """--domain, --realm and --application hold for rows without their own value only."""
    defaults = {"domain": "d.example", "realm": "main", "application": UUID}
    row = decided("bob", options=defaults)
    assert (row.domain, row.realm, row.application) == ("d.example", "main", UUID)
    other = UUID.replace("3f", "00")
    row = decided("bob", "own.example", "mine", other, options=defaults)
    assert (row.domain, row.realm, row.application) == ("own.example", "mine", other)


def test_a_name_with_its_own_at_takes_no_default_domain() -> None:
    """bob@x.example is complete, and gets no default domain."""
    row = decided("bob@x.example", options={"domain": "d.example"})
    assert (row.composite, row.problems) == ("bob@x.example", ())


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (decided(), []),
        (decided(password="a1b2c3d"), ["weak_password"]),
        (decided(password="12345678901234"), ["weak_password"]),
        (decided("conference", password="Conference"), ["weak_password"]),
        (decided("conference@x.example", password="conference"), ["weak_password"]),
        (decided("bob", "x.example", password="BOB@x.example"), ["weak_password"]),
        (decided(password=f" {GOOD}"), ["password_space"]),
        (decided(password=f"{GOOD}\u00a0"), ["password_space", "password_typographic"]),
        (decided(password=f"{GOOD}\t."), ["password_control"]),
        (decided(password=f"{GOOD}\n."), ["password_control"]),
        (decided(password=f"it’s-{GOOD}"), ["password_typographic"]),
        (decided(password="12345678.0"), ["spreadsheet_damage"]),
        (decided(password="12.03.2026"), ["spreadsheet_damage"]),
        (decided(password="2026-03-12"), ["spreadsheet_damage"]),
        (decided(password="12/03/2026"), ["spreadsheet_damage"]),
        (decided(password="1,234,567"), ["spreadsheet_damage"]),
        (decided(password="=12345678"), ["spreadsheet_damage"]),
        (decided(password="=SUM(A1:A9)"), ["spreadsheet_damage"]),
        (decided(password="12.Mrz"), ["spreadsheet_damage", "weak_password"]),
        (decided(password="=Kestrel-7731"), []),
        (decided(password="12-Kestrel"), []),
        (decided("12.Mrz"), ["spreadsheet_damage"]),
        (decided("=1003"), ["spreadsheet_damage"]),
        (decided("=A1+1"), ["spreadsheet_damage"]),
        (decided(password="KÃ¶nig-7731"), ["password_mojibake"]),
        (decided(password="MarÃ©e-4410"), ["password_mojibake"]),
        (decided(password="Gr├╢├ƒe-77"), ["password_mojibake"]),
        (decided(password="Õäöüß-7731x"), []),
        (decided(password="Kes&amp;trel-7731"), ["password_entity"]),
        (decided(password="Kes&#39;trel"), ["password_entity"]),
        (decided(password="Kes&trel;77"), []),
        (decided(password="Cafe\u0301-7731-x"), ["password_decomposed"]),
        (decided(password="Cafe\u0301-7731-x", normalize=Normalize.NONE), []),
        (decided(password="Cafe\u0301-7731-x", normalize=Normalize.NFC), []),
        (decided(password="'=Kestrel-7731"), ["password_apostrophe"]),
        (decided(password="'-Kestrel-7731"), ["password_apostrophe"]),
        (decided(password="'Kestrel-7731"), []),
        (decided(password="Kes\\trel-7731"), []),
        (decided("1001 "), ["username_trimmed"]),
        (decided("\u00a01001\u200b"), ["username_trimmed"]),
        (decided("1001.0"), ["spreadsheet_damage"]),
        (decided("12-Mar"), ["spreadsheet_damage"]),
        (decided("Mar-26"), ["spreadsheet_damage"]),
        (decided("2026-03-12"), ["spreadsheet_damage"]),
        (decided("12.03.2026"), ["spreadsheet_damage"]),
        (decided("1.001"), ["spreadsheet_damage"]),
        (decided("March-hall"), []),
        (decided("12-1"), []),
        (decided(password="pÄss-wörd-ñ-Ж7"), []),
        (decided(password='co:lon"quote,comma'), []),
        (decided("a@b@c"), ["several_at_signs"]),
        (decided("1234567890123450000"), ["spreadsheet_damage"]),
    ],
)
def test_oddities_are_warned_about(row: Row, expected: list[str]) -> None:
    """Oddities are warnings, and the row stays valid."""
    assert (warned(row), codes(row)) == (expected, [])


@given(st.text(min_size=1))
def test_a_password_is_never_touched_nor_told(password: str) -> None:
    """Any password is kept to the character, and no text or repr contains it."""
    row = decided("zz", password=password)
    assert row.password == password
    assert not any(len(password) > 12 and password in one.text for one in row.problems + row.warnings)
    assert f"password={password!r}" not in repr(row)


def test_weak_passwords_are_refused_on_demand() -> None:
    """With --weak refuse the warning becomes a problem, with all its reasons."""
    row = decided("1234", password="1234", weak=Weak.REFUSE)
    assert (codes(row), warned(row)) == (["weak_password"], [])
    text = row.problems[0].text
    assert text == "password: shorter than 8 characters, digits only, equal to the user name"


def test_a_password_of_many_rows_is_weak() -> None:
    """A password shared by five rows is a warning; one shared by four is not."""

    def text(count: int) -> str:
        return "user,pass\n" + "".join(f"u{n},{GOOD}\n" for n in range(count)) + "other,Zk3vW8pQ5xN2\n"

    assert [warned(row) for row in rows_of(text(5))] == [["weak_password"]] * 5 + [[]]
    assert [warned(row) for row in rows_of(text(4))] == [[]] * 5


def test_sharing_is_found_among_any_number_of_rows() -> None:
    """Among 200,000 passwords, the one that every thousandth row has is found, and no other."""
    survey = Survey()
    for start in range(0, 200_000, 1000):
        survey.add(1000, ["Shared-by-many", *(f"password {n}" for n in range(start, start + 999))])
    assert survey.shared() == {hash("Shared-by-many")}


def test_a_pin_column_is_not_taken_in_silence() -> None:
    """A column mostly of up to 6 digits is refused as PINs, unless --weak warn is given."""
    text = f"user,password\na,1234\nb,56789\nc,{GOOD}\n"
    said = refused(text)
    assert "column 'password' looks like a PIN column: 2 of its 3 values" in said
    assert "1234" not in said
    assert "PIN" in refused(text, weak=Weak.REFUSE, weak_given=True)
    assert len(rows_of(text, weak=Weak.WARN, weak_given=True)) == 3
    assert len(rows_of(text + f"d,{GOOD}x\n")) == 4
    assert "PIN" in refused("user,password\na,101\n")


def test_a_column_of_names_is_not_taken_in_silence() -> None:
    """A column mostly of first and last names is refused; single words, and a few of two, are passwords."""
    text = f"user,password\n101,Dana Ruíz\n102,Jean-Luc d'Arc\n103,{GOOD}\n"
    said = refused(text)
    assert "column 'password' looks like a column of people's names: 2 of its 3 values" in said
    assert "Dana" not in said
    assert len(rows_of(text, weak=Weak.WARN, weak_given=True)) == 3
    assert len(rows_of(text + f"104,{GOOD}x\n")) == 4
    assert len(rows_of("user,password\n101,Lighthouse\n102,Seagull 77\n")) == 2
    assert len(rows_of("user,password\n101,correct horse\n102,battery staple\n")) == 2


def test_swapped_columns_are_refused() -> None:
    """Passwords in the column of user names are refused, and not shown, until --map says which is which."""
    text = f"user,password\n{GOOD},+14155550101\n{GOOD}x,102\nlobby,{GOOD}y\n"
    said = refused(text)
    assert "columns 'user' and 'password' seem to be swapped" in said
    assert GOOD not in said
    swapped = rows_of(text, map={"username": "password", "password": "user"})
    assert [row.password for row in swapped[:2]] == [GOOD, f"{GOOD}x"]
    assert len(rows_of(text, map={"username": "user", "password": "password"})) == 3
    assert len(rows_of(f"user,password\nphone2001a,{GOOD}\nphone2002a,{GOOD}x\n")) == 2


def test_a_pbx_knows_its_own_user_names() -> None:
    """A configuration file can't have swapped columns: numbers as passwords are weak there, not refused."""
    text = "".join(f"[phone100{n}]\ntype=friend\nsecret=827364510{n}\n" for n in range(1, 4))
    assert [row.user for row in rows_of(text)] == ["phone1001", "phone1002", "phone1003"]


@pytest.mark.parametrize("name", ["user10{:02}", "001565a8c1{:02}", "1{:02}-berlin-lobby"])
def test_a_series_of_names_is_not_swapped_with_passwords_of_digits(name: str) -> None:
    """Names in a series are users, unless the numbers beside them are in one, too."""
    users = [name.format(at) for at in range(4)]
    digits = ("83749283", "19203847", "55610294", "70031985")
    assert len(rows_of("user,password\n" + "".join(map("{},{}\n".format, users, digits)))) == 4
    did = "".join(f"{user},+1415555010{at}\n" for at, user in enumerate(users))
    assert "seem to be swapped" in refused(f"user,password\n{did}")
    assert "seem to be swapped" in refused(f"user,password\n{users[0]},{digits[0]}\n")


def test_the_same_rules_hold_for_rows_that_come_again() -> None:
    """A row of a file and the same cells from an earlier job are decided alike, for any cells."""
    columns = "user,domain,realm,app_id,note"
    cells = [
        ("bob", "", "", "", "n"),
        ("b b", "d" * 40, "r" * 70, "x", ""),
        ("a@b", "c", "", UUID, "="),
        ("",) * 5,
    ]
    lines = [f"{','.join(record)},{password}" for record in cells for password in ("", "short", GOOD)]
    with opened(f"{columns},password\n" + "\n".join(lines), weak=Weak.REFUSE) as roster:
        rows = list(roster.rows())
        records = [
            (row.line, {**dict(zip(roster.columns, row.cells, strict=True)), "bw__password": row.password})
            for row in rows
        ]
        (again,) = read_earlier_rows(records, roster.columns, Options(weak=Weak.REFUSE))
    assert again == rows
    assert len(rows) == 11  # the last record without a password is blank


@pytest.mark.parametrize(
    "password",
    [
        *(
            "********",
            "\u2022\u2022\u2022\u2022",
            "*",
            "########",
            "xxxxxxxxxxxx",
            "XXXXXXXX",
            "--------",
            "________",
        ),
        *(
            "........",
            "????????",
            "-",
            "x",
            "\u25cf\u25cf\u25cf",
            "********1234",
            "xxxxxxxx12",
            "....7731",
            "XXXX-XXXX-7731",
        ),
        *(
            "K******1",
            "\u2022\u2022\u2022\u2022\u202231",
            "[redacted]",
            "[REDACTED]",
            "(hidden)",
            "<hidden>",
            "hidden",
            "<masked>",
        ),
        *("[Filtered]", "(verborgen)", " ******** ", "(ausgeblendet)", "not shown", "{hidden}", '"hidden"'),
    ],
)
def test_a_masked_password_is_not_sent(password: str) -> None:
    """Stars in place of a password would let anybody register; the row is invalid."""
    assert codes(decided(password=password)) == ["password_masked"]


@pytest.mark.parametrize(
    "password",
    [
        *(
            "NULL",
            "null",
            "\\N",
            "None",
            "nil",
            "nan",
            "NaN",
            "N/A",
            "n/a",
            "#N/A",
            "#REF!",
            "#NAME?",
            "(null)",
        ),
        *(
            "<null>",
            "[NULL]",
            "REGEN",
            "undefined",
            "TBD",
            "tbd",
            "changeme",
            "ChangeMe!",
            "change_me",
            "CHANGE-ME",
        ),
        *(
            "#VALUE!",
            "#DIV/0!",
            "#NV",
            "#WERT!",
            "#BEZUG!",
            "#NOM?",
            "#\xa1REF!",
            "#ARG!",
            "(none)",
            "<none>",
            "NaT",
        ),
        *(
            "unset",
            "not set",
            "placeholder",
            "your_password_here",
            "${password}",
            "$${default_password}",
            "{{ secret }}",
        ),
        *("secret", "Password", "SIP Secret", "Passwort", "__PASSWORD__", "n/v", "kein Passwort", "leer"),
        *(
            "aucun",
            "ninguno",
            "nessuna",
            "nenhuma",
            "geen",
            "brak",
            "N.V.",
            "see vault",
            "<set>",
            "to be set",
        ),
        *("%PASSWORD%", "<your password>", " NULL ", '"NULL"', "unknown", "TODO", "<NA>", "na"),
    ],
)
def test_a_word_for_nothing_is_no_password(password: str) -> None:
    """Words that databases and spreadsheets write for nothing would let anybody register."""
    assert codes(decided(password=password)) == ["password_placeholder"]


@pytest.mark.parametrize(
    "password",
    [
        *(
            "Nullpunkt-77",
            "nonesuch!7",
            "xXxKestrel77",
            "x-ray-7731-q",
            "...Kestrel...",
            "Changeme-7731",
            "N/A-Kestrel",
        ),
        *(
            "Kes***trel-7",
            "#REF!kestrel",
            "hidden-valley-7",
            "--Kestrel-77",
            "(Kestrel-7731)",
            "%Kestrel%77x",
        ),
    ],
)
def test_passwords_with_such_parts_are_used(password: str) -> None:
    """Only a whole cell is a placeholder or a mask."""
    assert codes(decided(password=password)) == []


@pytest.mark.parametrize(
    "user", ["1,001", "1001,0", "12/03/2026", "12/03", "12 Mar", "2026-03-12 00:00:00", "10:30"]
)
def test_a_rewritten_number_is_no_name(user: str) -> None:
    """Numbers and dates with characters that no name has are told as a spreadsheet's damage."""
    assert codes(decided(user)) == ["spreadsheet_damage"]


@pytest.mark.parametrize("user", ["none", "NULL", "(null)", "nan", "undefined", "\\N"])
def test_a_word_for_nothing_is_no_user(user: str) -> None:
    """A database's word for nothing names nobody."""
    assert codes(decided(user)) == ["username_missing"]


@pytest.mark.parametrize(
    "user",
    [
        *(
            "sip:1001@pbx.example",
            "sips:1001@pbx",
            "<sip:1001@pbx>",
            '"Ann" <1001>',
            "Ann Hill <1001>",
            "PJSIP/1001",
        ),
        *("SIP/1001", "tel:+19195550143", "1001@pbx:5060", "1001@pbx;transport=tcp"),
    ],
)
def test_an_address_is_no_user(user: str) -> None:
    """The message says what was expected instead."""
    (problem,) = decided(user).problems
    assert problem.code == "bad_characters"
    assert "give only its user, such as 1001 for sip:1001@pbx.example" in problem.text


def test_composed_letters_are_sent() -> None:
    """--normalize nfc sends the letters that phones type, and only then."""
    assert decided(password="Cafe\u0301-7731-x", normalize=Normalize.NFC).password == "Caf\xe9-7731-x"
    assert decided(password="Cafe\u0301-7731-x").password == "Cafe\u0301-7731-x"


@pytest.mark.parametrize("user", ["TRUE", "false", "WAHR", "FALSO", "VERO"])
def test_a_truth_value_is_no_name(user: str) -> None:
    """A spreadsheet wrote it; a name that only begins alike is one."""
    assert codes(decided(user)) == ["spreadsheet_damage"]
    assert codes(decided("Vero")) == codes(decided("trueman")) == codes(decided("a=b")) == []


@pytest.mark.parametrize("password", ["1.23456E+10", "1,23E+11", '="03067031"', "9.87654321012E+12"])
def test_a_password_that_a_spreadsheet_surely_rewrote_is_refused(password: str) -> None:
    """Its characters are lost, so it can't be the phone's."""
    row = decided(password=password)
    assert codes(row) == ["spreadsheet_damage"]
    assert "format the column as text" in row.problems[0].text


@pytest.mark.parametrize("password", ["TRUE", "False", "WAHR", "VERDADEIRO", "(true)"])
def test_a_truth_value_is_no_password(password: str) -> None:
    """A password such as `true` is refused, since anybody could guess it."""
    assert codes(decided(password=password)) == ["password_placeholder"]


@pytest.mark.parametrize(
    "password",
    [
        *("{SSHA}5Hk3mZ0pQ2v", "{CRYPT}$1$abc$def", "{MD5}X03MO1qnZdYdgyfeuILPmQ==", "{SSHA512.HEX}00ff"),
        *("$2y$10$abcdefghijklmnopqrstuv", "$1$salt$abcdefgh/", "$6$rounds=5000$salt$hash", "$apr1$x$y"),
        *("$argon2id$v=19$m=65536,t=3$c2FsdA$aGFzaA", "pbkdf2_sha256$260000$salt$hash=", "$P$B12345678"),
        *("*2470C0C06DEE42FD1618BBB99005ADCA2EC9D1E1", "ENC(q3v2x)", "$ANSIBLE_VAULT;1.1;AES256"),
    ],
)
def test_a_hash_is_no_password(password: str) -> None:
    """Stored passwords of LDAP, Dovecot, Unix, Django, MySQL, and encrypted ones."""
    assert codes(decided(password=password)) == ["digest_only"]


def test_a_scheme_in_clear_text_is_no_part_of_the_password() -> None:
    """Dovecot's {PLAIN}; braces, dollars and stars alone are a password's own."""
    assert codes(decided(password="{PLAIN}Kestrel-7731")) == ["password_scheme"]
    for password in ("{Kestrel}-7731", "$Kestrel$7731", "*Kestrel-7731", "{Kestrel-7731}", "md5-Kestrel$7"):
        assert (codes(decided(password=password)), warned(decided(password=password))) == ([], [])


@pytest.mark.parametrize(
    "password", ["\uff38" * 8, "\u0425" * 8, "\u00d7" * 6, "\uff38" * 4 + "1234", "••••"]
)
def test_masks_of_other_alphabets(password: str) -> None:
    """Full-width and Cyrillic letters look like an x."""
    assert codes(decided(password=password)) == ["password_masked"]


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("Total", "2"),
        ("total:", ""),
        ("Summe", "12345678"),
        ("Gesamt", "1.234"),
        ("Grand Total", "17"),
        ("Sum", "3"),
    ],
)
def test_the_last_row_of_a_spreadsheet_is_no_user(user: str, password: str) -> None:
    """A word for a total and a number; with a password of its own it is a name like any other."""
    assert "totals_row" in codes(decided(user, password=password))
    assert codes(decided("total", password=GOOD)) == []
