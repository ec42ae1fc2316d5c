"""Which column is the user and which the password: specific names, languages, empty columns, hints."""

from __future__ import annotations

import pytest

from tests.unit.rosters import GOOD, codes, opened, refused, rows_of, warned
from worker.model import Row

OTHER = f"{GOOD}-web"


@pytest.mark.parametrize(
    ("header", "user", "password"),
    [
        ("Nebenstelle;Vorname;Kennwort", "Nebenstelle", "Kennwort"),
        ("Durchwahl;Vorname;SIP-Passwort", "Durchwahl", "SIP-Passwort"),
        ("Poste;Prénom;Mot de passe", "Poste", "Mot de passe"),
        ("Nom d'utilisateur;Nom;Mot de passe SIP", "Nom d'utilisateur", "Mot de passe SIP"),
        ("Extensión;Nombre;Contraseña", "Extensión", "Contraseña"),
        ("Extension;Nombre;Clave", "Extension", "Clave"),
        ("Interno;Nome;Password SIP", "Interno", "Password SIP"),
        ("Ramal;Nome;Senha", "Ramal", "Senha"),
        ("Toestel;Naam;Wachtwoord", "Toestel", "Wachtwoord"),
        ("Użytkownik;Nazwisko;Hasło", "Użytkownik", "Hasło"),
        ("Numer wewnetrzny;Imie;Haslo SIP", "Numer wewnetrzny", "Haslo SIP"),
    ],
)
def test_a_header_is_recognised_in_eight_languages(header: str, user: str, password: str) -> None:
    """With accents or without, in upper case, too, and decomposed as macOS writes them."""
    for spelled in (header, header.upper(), header.replace("ñ", "n\u0303").replace("é", "e\u0301")):
        with opened(f"{spelled}\n1001;x;{GOOD}\n") as roster:
            assert [roster.mapping[field].casefold() for field in ("username", "password")] == [
                name.casefold().replace("ñ", "n\u0303") if "\u0303" in spelled else name.casefold()
                for name in (user, password)
            ]


@pytest.mark.parametrize("plain", ["password", "Secret", "PASS", "Kennwort"])
@pytest.mark.parametrize(
    "specific",
    [
        *(
            "sip_secret",
            "SIP Password",
            "SIP/IAX Password",
            "AuthPassword",
            "auth password",
            "Registration Password",
        ),
        *("phone_password", "Device Secret", "devinfo_secret", "linesecret", "\tSIP-Secret "),
    ],
)
def test_a_plain_password_beside_a_specific_one_is_refused(plain: str, specific: str) -> None:
    """In either order, and quoted; the likely one is named first, and --map chooses either."""
    for names in ([plain, specific], [specific, plain]):
        text = f'extension,"{names[0]}","{names[1]}"\n1001,{OTHER}1,{OTHER}2\n'
        said = refused(text)
        assert f"{specific.strip()!r} and {plain!r} could both be the password" in said
        assert said.index(
            "--map password='" if " " in specific.strip() else f"--map password={specific.strip()}"
        ) < (said.index(f"--map password={plain}"))
        for chosen, password in zip(names, (f"{OTHER}1", f"{OTHER}2"), strict=True):
            assert [row.password for row in rows_of(text, map={"password": chosen.strip()})] == [password]


@pytest.mark.parametrize("general", ["username", "extension", "Number", "ext", "Benutzername"])
@pytest.mark.parametrize(
    "specific", ["sip_username", "AuthID", "auth id", "Registration Name", "linename", "SIP User"]
)
def test_a_plain_user_beside_a_specific_one_is_refused(general: str, specific: str) -> None:
    """A roster with a general and a specific column for the user name is refused, and both are named."""
    said = refused(f"{general},{specific},secret\n1001,x1001,{GOOD}\n")
    assert f"{specific!r} and {general!r} could both be the username" in said
    assert said.index("the likely one") < said.index(f"--map username={general}")


def test_an_empty_column_is_no_candidate() -> None:
    """Neither for the mapping nor for a hint; a blank is nothing."""
    with opened(f"extension,password,secret\n1001,,{GOOD}\n1002, ,{GOOD}2\n") as roster:
        assert (roster.mapping["password"], roster.warnings) == ("secret", ())
    with opened(f"ext,sip_secret,password\n1001,,{GOOD}\n1002,,{GOOD}2\n") as roster:
        assert roster.mapping["password"] == "password"
        assert [one.text for one in roster.warnings] == [
            "sip_secret is empty in every row, so password is used for the password"
        ]
    with opened(f"sip_username,extension,password\n,1001,{GOOD}\n") as roster:
        assert roster.mapping["username"] == "extension"
        assert roster.options.map == {"username": "extension"}  # an earlier job's cells don't show it
    assert "did you mean 'Passcode'" in refused(f"extension,SIP Code PIN,Passcode\n1001,,{GOOD}\n")
    assert "did you mean" not in refused("extension,Passcode,Name\n1001,,Ann\n1002,,Bo\n")


@pytest.mark.parametrize(
    "header",
    [
        "Extension,Voicemail Password,User Password,Name",
        "Extension,vmpwd,web_pass,Name",
        "Extension,PIN,Portal Password,Name",
        "Extension,Admin Password,Login Password,Name",
        "Extension,VMNoPin,DeskphoneWebPass,SrvcAccessPwd",
    ],
)
def test_a_hint_names_no_decoy(header: str) -> None:
    """A file with decoys alone is refused without a guess."""
    said = refused(f"{header}\n1001,{GOOD},{OTHER},x\n")
    assert "has no password column" in said
    assert "did you mean" not in said


@pytest.mark.parametrize(
    "header", ["Name,password", "First Name,Last Name,password", "Vorname,Nachname,Kennwort"]
)
def test_a_hint_for_the_user_names_no_person(header: str) -> None:
    """A person's name is no user."""
    said = refused(f"{header}\n{'Ann,' * header.count(',')}{GOOD}\n")
    assert "has no username column" in said
    assert "did you mean" not in said


def test_map_warns_where_another_column_is_likelier() -> None:
    """--map decides, but not in silence where it may be a slip."""
    text = f"extension,Name,Password,SIP Secret,Empty Password\n1001,Ann-Hill-7731,{OTHER},{GOOD},\n"
    for column, likelier in (("Name", "SIP Secret"), ("Password", "SIP Secret"), ("SIP Secret", "")):
        with opened(text, map={"password": column}) as roster:
            told = [one.text for one in roster.warnings if one.code == "column_ambiguous"]
            assert [likelier in one for one in told] == ([True] if likelier else [])


def test_a_file_without_passwords_is_refused_as_a_whole() -> None:
    """Not as hundreds of invalid rows."""
    said = refused("extension,secret\n1001,\n1002,\n")
    assert "the column of the passwords, 'secret', is empty in every row" in said


@pytest.mark.parametrize(
    ("encoding", "password"),
    [
        ("cp1252", "Größe-7731"),
        ("cp1251", "Пароль-7731"),
        ("cp1250", "Hasło-7731"),
        ("mac-roman", "Café-7731"),
    ],
)
def test_a_guessed_encoding_decides_no_password(encoding: str, password: str) -> None:
    """Without a BOM and not UTF-8, the digests would depend on a guess; --encoding decides."""
    text = f"extension,name,password\n1001,Ann,{GOOD}\n1002,Bo,{password}\n".encode(encoding)
    said = refused(text)
    assert "the passwords of 1 row have characters that depend on it (line 3)" in said
    assert "--encoding" in said
    assert [row.password for row in rows_of(text, encoding=encoding)] == [GOOD, password]


def test_a_guess_that_no_password_depends_on_is_told() -> None:
    """Names alone are a warning."""
    with opened(f"extension,name,password\n1001,Jürgen,{GOOD}\n".encode("cp1252")) as roster:
        assert [one.code for one in roster.warnings] == ["encoding_guessed"]


def test_most_names_that_look_like_numbers_are_damage() -> None:
    """A whole column is refused row by row, a few names are a warning; --username takes them as they are."""
    lines = [f"{n}.0,{GOOD}{n}\n" for n in range(1001, 1005)]
    text = "extension,password\n" + "".join(lines)
    assert {problem.code for row in rows_of(text) for problem in row.problems} == {"spreadsheet_damage"}
    few = text + "".join(f"{n},{GOOD}{n}\n" for n in range(2000, 2005))
    assert [bool(row.problems) for row in rows_of(few)] == [False] * 9
    assert [len(row.warnings) for row in rows_of(few)] == [1] * 4 + [0] * 5
    assert [row.problems for row in rows_of(text, username="{extension}")] == [()] * 4


def test_a_user_id_is_taken_where_no_other_column_is_likelier() -> None:
    """Beside `Ext` it would be a guess; an extension is likelier; a hint is a command to type."""
    with opened(f"User ID,Name,password\n1001,Ann,{GOOD}\n") as roster:
        assert roster.mapping["username"] == "User ID"
    with opened(f"User ID,Extension,password\n17,1001,{GOOD}\n") as roster:
        assert roster.mapping["username"] == "Extension"
    said = refused(f"User ID,Ext,password\n17,1001,{GOOD}\n")
    assert "--map username='User ID' or --map username=Ext" in said
    assert "--map username=usernam names it" in refused(f"usernam,password\n1001,{GOOD}\n")


@pytest.mark.parametrize("column", ["Technology", "tech", "Channel Type", "Protokoll", "type"])
def test_extensions_of_another_technology_are_skipped(column: str) -> None:
    """In a table of no known PBX, too: their passwords are not those of SIP phones."""
    cells = ("pjsip", "IAX2", "", "virtual", "friend", "dahdi")
    text = "".join(f"100{at},{cell},{GOOD}{at}\n" for at, cell in enumerate(cells))
    rows = rows_of(f"Nebenstelle,{column},Kennwort\n{text}")
    assert [row.skipped.code if row.skipped else "" for row in rows] == [
        "", "not_sip", "", "not_sip", "", "not_sip",
    ]  # fmt: skip
    assert [bool(row.password) for row in rows] == [True, False, True, False, True, False]
    assert "is empty in every row" in refused(f"Nebenstelle,{column},Kennwort\n1,sip,\n2,sip,\n")


def test_a_technology_beside_extension_and_secret_is_freepbx() -> None:
    """The three columns by which FreePBX's rows are judged are enough of a mark."""
    with opened(f"extension,secret,tech\n1001,{GOOD},pjsip\n1002,{GOOD},iax2\n") as roster:
        assert roster.format == "freepbx"
        assert [bool(row.skipped) for row in roster.rows()] == [False, True]


@pytest.mark.parametrize("damaged", ["12.Mrz", "1003.0", "2026-03-12", "=1003"])
@pytest.mark.parametrize("header", ["username,secret", "extension,secret,tech,username"])
def test_rewritten_names_are_refused_in_formats_too(header: str, damaged: str) -> None:
    """A single one, which may be meant, is a warning; --username takes all as they are."""
    more = ",," if "tech" in header else ""

    def rows(*names: str, **options: str) -> list[Row]:
        lines = [header, *(f"{name},{GOOD}{name}{more}" for name in names)]
        return rows_of("\n".join(lines), **options)

    assert [codes(row) for row in rows(damaged, damaged, "1004")] == [["spreadsheet_damage"]] * 2 + [[]]
    single = rows("1001", damaged, "1004")
    assert [codes(row) for row in single] == [[], [], []]
    assert [warned(row) for row in single] == [[], ["spreadsheet_damage"], []]
