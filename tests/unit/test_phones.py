"""What a phone gets: columns, MAC addresses, templates and cards."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lxml import etree, html

from worker.errors import UsageError
from worker.model import Row
from worker.phones import (
    CARDS_BEGIN,
    Phone,
    PhoneColumns,
    QrFormat,
    Server,
    TemplateSet,
    Twins,
    Unfit,
    built_in,
    can_be_printed,
    cards,
)
from worker.phones.mac import normalised
from worker.roster import HIDDEN, DuplicateIndex

NEAR = Server("office.auth.example.com", 5060, "udp")
PRINTABLE = [chr(code) for code in range(32, 127)]
XML = {
    "poly": ("0015651a2b3c-registration.cfg", "string(//@reg.1.auth.password)"),
    "grandstream": ("cfg0015651a2b3c.xml", "string(//P34)"),
    "cisco": ("0015651a2b3c.xml", "string(//Password_1_)"),
    "linphone": ("1001.xml", "string(//*[@name='passwd'])"),
}
"""Set to its file with the password, and where it stands."""


def phone(**more: Any) -> Phone:
    """A phone with everything that can be known."""
    usual = Phone(
        2, "Boston", "Ann Lee", "101", "old101", "0015651a2b3c", "+19195550101", "1001", "", "Pw-4711-ann",
        "office.auth.example.com", NEAR, {"Floor": "3"},
    )  # fmt: skip
    return dataclasses.replace(usual, **more)


def columns(names: Sequence[str], **named: Sequence[str]) -> PhoneColumns:
    """The columns of a roster with these names."""
    return PhoneColumns(names, named, template=True)


# Columns and MAC addresses


@pytest.mark.parametrize(
    "text",
    [
        "00:15:65:1A:2B:3C", "00-15-65-1a-2b-3c", "0015.651a.2b3c", "0015651A2B3C", " 00 15 65 1a 2b 3c ",
        "001565-1a2b3c", "0015:651a:2b3c",
    ],
)  # fmt: skip
def test_a_mac_address_is_known_in_each_spelling(text: str) -> None:
    """Colons, dashes, dots, blanks or nothing between the digits make no difference."""
    assert normalised(text) == "0015651a2b3c"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("15651A2B3C", "10 hex digits, not 12; did a spreadsheet remove leading zeros"),
        ("00:15:65:1a:2b:3c:4d", "14 hex digits"),
        ("1.57E+11", "is not a MAC address"),
        ("00:15:65-1a:2b:3c", "is not a MAC address"),
        ("00:15:65:1a:2b:3g", "is not a MAC address"),
        ("../../etc/x", "is not a MAC address"),
        ("000000000000", "all zeros"),
        ("ff:ff:ff:ff:ff:ff", "of a group"),
        ("01005e000001", "of a group"),
    ],
)
def test_no_mac_address_is_guessed(text: str, reason: str) -> None:
    """A damaged address, or one that no device has, is an error with its reason."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        normalised(text)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["Site", "MAC Address", "Ext."], {"site": "Site", "mac": "MAC Address", "extension": "Ext."}),
        (["Vorname", "Nachname", "Durchwahl"], {"name": "Vorname + Nachname", "extension": "Durchwahl"}),
        (["FirstName", "LastName", "Number"], {"name": "FirstName + LastName", "extension": "Number"}),
        (["prenom", "nom", "poste"], {"name": "prenom + nom", "extension": "poste"}),
        (["phone_mac", "DDI", "displayname"], {"mac": "phone_mac", "did": "DDI", "name": "displayname"}),
        (["username", "machine"], {"old_user": "username"}),
    ],
)
def test_columns_are_found_by_their_names(names: list[str], found: dict[str, str]) -> None:
    """Usual names in several spellings and languages; a name that only looks alike is none."""
    assert columns(names).found == found


def test_two_columns_that_could_be_the_mac_address_are_refused() -> None:
    """A phone at the wrong address would get a stranger's password."""
    with pytest.raises(UsageError) as refused:
        columns(["MAC", "Device MAC"])
    assert refused.value.hint == "choose one: --column mac=MAC"
    assert columns(["MAC", "Device MAC"], mac=["device-mac"]).found == {"mac": "Device MAC"}


def test_a_column_that_is_not_there_is_refused() -> None:
    """The message lists the columns that there are."""
    with pytest.raises(UsageError) as refused:
        columns(["MAC", "Floor"], site=["Building"])
    assert "the columns are: MAC, Floor" in refused.value.hint


def test_a_cell_that_can_not_be_used_is_empty_and_said() -> None:
    """A hidden cell and a damaged address leave their reason."""
    row = Row(7, "1001", "example.com", "", "", "secret-1", (HIDDEN, "12:34"), host="office")
    got = columns(["extension", "mac"]).phone(row, NEAR)
    assert (got.extension, got.mac, got.auth_user, got.sip_user) == (
        "", "", "1001@example.com", "1001%40example.com",
    )  # fmt: skip
    assert len(got.notes) == 2
    assert "contains the password" in got.notes[0]
    assert "'12:34' has 4 hex digits" in got.notes[1]


def test_a_phone_never_shows_its_password() -> None:
    """Its repr may be in a log."""
    assert "Pw-4711-ann" not in repr(phone())


def test_rows_that_share_a_file_know_each_other() -> None:
    """Each of them names another one, whatever the case and on whatever page."""
    with DuplicateIndex() as index:
        twins = Twins(index)
        twins.add([(2, "file:a.cfg"), (3, "file:b.cfg")])
        twins.add([(4, "file:A.cfg"), (5, "file:a.cfg")])
        assert [twins.other(line, "file:a.cfg") for line in (2, 4, 5)] == [4, 2, 2]
        assert twins.other(3, "file:b.cfg") is None


# Templates


def test_each_set_names_its_files_as_the_vendor_does() -> None:
    """MAC addresses are in lower case."""
    assert {name: TemplateSet(name).file_names(phone()) for name in built_in()} == {
        "baresip": ["1001/accounts", "1001/config"],
        "cisco": ["0015651a2b3c.xml"],
        "grandstream": ["cfg0015651a2b3c.xml"],
        "linphone": ["1001.xml"],
        "poly": ["0015651a2b3c-registration.cfg", "0015651a2b3c.cfg"],
        "yealink": ["0015651a2b3c.cfg"],
        "yealink-boot": ["0015651a2b3c.boot", "0015651a2b3c.cfg"],
    }


@pytest.mark.parametrize("name", sorted(XML))
def test_xml_holds_every_password_exactly_or_refuses_it(name: str) -> None:
    """An XML parser reads back what was written: each character at the start, inside, and at the end."""
    file, path = XML[name]
    templates = TemplateSet(name)
    tried = [text for c in PRINTABLE for text in (f"{c}Ab1", f"Ab{c}1", f"Ab1{c}", f"{c}{c}")]
    for password in [*tried, "]]>", "<!--", "&amp;", "&#10;", "{{ 7*7 }}", "{% raw %}"]:
        if password != password.strip():
            with pytest.raises(Unfit, match="blanks at its ends"):
                templates.files(phone(password=password))
            continue
        text = templates.files(phone(password=password))[file]
        assert etree.fromstring(text.encode()).xpath(path) == password


def yealink_value(text: str, key: str) -> str:
    """The value of a key in a file of ``key = value`` lines, each key once."""
    pairs = [line.partition(" = ") for line in text.splitlines() if not line.startswith("#")]
    (found,) = [value for name, _, value in pairs if name == key]
    return found


def test_yealink_holds_a_password_exactly_or_refuses_it() -> None:
    """Without quoting, characters that may end a value or begin a comment are refused."""
    templates = TemplateSet("yealink")
    for c in PRINTABLE:
        for password in (f"Ab{c}1", f"{c}Ab1", f"Ab1{c}"):
            if c in '"#;<>\\`' or password != password.strip():
                with pytest.raises(Unfit, match="password can't be written"):
                    templates.files(phone(password=password))
            else:
                (text,) = templates.files(phone(password=password)).values()
                assert yealink_value(text, "account.1.password") == password
    for password in ("%NULL%", "a%EMPTY%b", "x$MACx"):
        with pytest.raises(Unfit, match="word that Yealink replaces"):
            templates.files(phone(password=password))


@pytest.mark.parametrize("name", built_in())
@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\tb", "a\0b", "a\x85b", "a\u2028b", "a\x1b[2Jb"])
def test_no_template_holds_a_line_break(name: str, bad: str) -> None:
    """It would begin a line of its own; the reason names the variable and not the value."""
    with pytest.raises(Unfit, match="password can't be written") as refused:
        TemplateSet(name).files(phone(password=bad))
    assert bad not in str(refused.value)


@pytest.mark.parametrize("name", sorted({*built_in()} - {"baresip"}))
def test_letters_beyond_ascii_are_refused_where_nobody_knows_their_encoding(name: str) -> None:
    """The digest is made over bytes, and which ones is not documented."""
    with pytest.raises(Unfit, match="beyond ASCII"):
        TemplateSet(name).files(phone(password="pässwörd-1"))


@pytest.mark.parametrize("password", ['a"b', '"', "a\\"])
def test_baresip_refuses_what_it_can_not_read(password: str) -> None:
    """It has no escape for a quote, and a backslash before the last one joins it to the value."""
    with pytest.raises(Unfit, match="baresip"):
        TemplateSet("baresip").files(phone(password=password))


@pytest.mark.parametrize("name", built_in())
def test_a_file_without_what_its_name_needs_is_refused(name: str) -> None:
    """A row without a MAC address, or with a user name that no file can have, gets no file."""
    lacking = phone(mac="") if name not in ("baresip", "linphone") else phone(user="../../x")
    with pytest.raises(Unfit, match="file's name"):
        TemplateSet(name).files(lacking)


@pytest.mark.parametrize("user", ["..", ".", "a/b", "/etc/x", "-rf", "a\\b", "C:x", ".hidden", "x."])
def test_no_cell_leads_out_of_the_folder(user: str) -> None:
    """A file's name is made of harmless characters alone."""
    with pytest.raises(Unfit):
        TemplateSet("baresip").file_names(phone(user=user))


def test_registrars_that_were_given_become_the_proxy() -> None:
    """Without one, phones ask DNS where it has SRV records; the SIP domain is always the realm."""
    given = Server("192.0.2.9", 5999, "tcp", proxy=True)
    found = Server("edge1.example.com", 5060, "udp", srv=True)
    (text,) = TemplateSet("yealink").files(phone(server=given)).values()
    assert yealink_value(text, "account.1.sip_server.1.address") == "office.auth.example.com"
    assert yealink_value(text, "account.1.outbound_proxy.1.address") == "192.0.2.9"
    assert yealink_value(text, "account.1.outbound_proxy.1.port") == "5999"
    assert yealink_value(text, "account.1.sip_server.1.transport_type") == "1"
    (text,) = TemplateSet("yealink").files(phone(server=found)).values()
    assert yealink_value(text, "account.1.sip_server.1.transport_type") == "3"
    assert "edge1" not in text
    for name in ("poly", "grandstream", "cisco", "linphone", "baresip"):
        assert "192.0.2.9" in "".join(TemplateSet(name).files(phone(server=given)).values())
        assert "edge1" not in "".join(TemplateSet(name).files(phone(server=found)).values())


def own(folder: Path, text: str, name: str = "{user}.txt.j2") -> TemplateSet:
    """A set of one template of the user's own."""
    (folder / name).write_text(text, "utf-8")
    return TemplateSet(str(folder))


def test_own_templates_know_the_roster_and_include_each_other(tmp_path: Path) -> None:
    """Columns of the roster by name; a template that begins with _ makes no file."""
    (tmp_path / "_part.j2").write_text("on floor {{ row['Floor'] }}")
    templates = own(tmp_path, "{{ name }} {% include '_part.j2' %}")
    assert templates.files(phone()) == {"1001.txt": "Ann Lee on floor 3"}


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("{{ pasword }}", "{user}.txt.j2", "there is no variable pasword"),
        ("{% include '_x.j2' %}", "{user}.txt.j2", "not in its folder"),
        ("{% include '/etc/passwd' %}", "{user}.txt.j2", "not in its folder"),
        ("a\n{% if %}", "{user}.txt.j2", "line 2: Expected an expression"),
        ("{{ password | shout }}", "{user}.txt.j2", "/{user}.txt.j2, line 1: No filter named 'shout'"),
        ("{% include '{user}.txt.j2' %}", "{user}.txt.j2", "{user}.txt.j2 includes itself"),
        ("{% extends '{user}.txt.j2' %}", "{user}.txt.j2", "{user}.txt.j2 includes itself"),
        ("x" * (1 << 20) + "y", "{user}.txt.j2", "is larger than 1,048,576 bytes"),
        ("x", "fixed.cfg.j2", "the same for every phone"),
        ("x", "{password}.cfg.j2", "{password} is unknown"),
        ("x", "readme.txt", "has no templates"),
    ],
)
def test_a_faulty_template_is_refused_before_anything_is_written(
    tmp_path: Path, text: str, name: str, reason: str
) -> None:
    """The message names the file, the line and what is wrong."""
    with pytest.raises(UsageError, match=re.escape(reason)):
        own(tmp_path, text, name)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ ''.__class__.__mro__ }}", "templates must not do this"),
        ("{{ row.update({'a': 'b'}) }}", "templates must not do this"),
        ("{{ row[password] }}", "a column or value that isn't there"),
        ("{{ row['Flor'] }}", "a column or value that isn't there"),
        ("{{ 1 // 0 }}", "a number that is too large, or a division by zero"),
        (
            "{% for i in range(1000000000) %}x{% endfor %}",
            "a number that is too large, or a division by zero",
        ),
        ("{% macro loop() %}{{ loop() }}{% endmacro %}{{ loop() }}", "it calls itself without end"),
        ("{{ 9 ** (9 ** 9) }}", "templates must not do this"),
    ],
)
def test_a_template_that_fails_leaves_the_row_out_and_quotes_nothing(
    tmp_path: Path, text: str, reason: str
) -> None:
    """The sandbox ends what a template may not do, and an error's text may quote a password."""
    with pytest.raises(Unfit, match=rf"txt.j2, line 2: {reason}$") as refused:
        own(tmp_path, f"\n{text}").files(phone())
    assert "Pw-4711-ann" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "more than 1 s"),
        ("{% for a in range(99999) %}{{ 'x' * 9999 }}{% endfor %}", "too much memory"),
        ("{{ 'x'.ljust(10000000000) }}", "too much memory"),
        ("{{ '%999999999d' % 1 }}", "too much memory"),
    ],
)
def test_a_template_that_takes_too_much_ends_the_command(tmp_path: Path, text: str, told: str) -> None:
    """A loop without an end, or a gigabyte for one phone, is the template's fault, not the row's."""
    templates = own(tmp_path, text)
    with pytest.raises(UsageError, match=told):
        templates.files(phone())
    assert TemplateSet("poly").files(phone()), "the limits are lifted again"


def test_a_file_is_never_larger_than_a_phone_can_read(tmp_path: Path) -> None:
    """One of more than a mebibyte is refused."""
    with pytest.raises(Unfit, match="more than 1,048,576 characters"):
        own(tmp_path, "{% for a in range(200) %}{{ 'x' * 9999 }}{% endfor %}").files(phone())


@pytest.mark.parametrize(
    ("names", "user"),
    [
        (("{user}.cfg.j2", "{extension}.cfg.j2"), "101"),
        (("{mac}.cfg.j2", "{MAC}.cfg.j2"), "1001"),
        (("{user}.j2", "{user}/config.j2"), "1001"),
    ],
)
def test_no_file_of_a_phone_takes_the_place_of_another(
    tmp_path: Path, names: Sequence[str], user: str
) -> None:
    """Two templates with one name for a row leave it out, instead of losing one of its files."""
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{{ password }}")
    with pytest.raises(Unfit, match="two templates give it the same file"):
        TemplateSet(str(tmp_path)).files(phone(user=user))


def test_markup_is_escaped_and_other_files_are_not(tmp_path: Path) -> None:
    """By the name's end, or the first tag; a SIP address is no tag."""
    values = phone(password="a<&b")
    for name, text, written in (
        ("{user}.xml.j2", "{{ password }}", "a&lt;&amp;b"),
        ("{user}.cfg.j2", "<phone a='1'>{{ password }}", "<phone a='1'>a&lt;&amp;b"),
        ("{mac}.cfg.j2", "<sip:{{ password }}>", "<sip:a<&b>"),
        ("{MAC}.txt.j2", "{{ password }}", "a<&b"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        assert [*own(folder, text, name).files(values).values()] == [written]


# Cards


def page_of(*phones: Phone, qr: QrFormat = QrFormat.GSWAVE, url: str = "") -> Any:
    """The page of cards, parsed."""
    text = "".join(cards(phones, qr, url))
    assert text.encode().startswith(CARDS_BEGIN)
    return html.fromstring(text)


def test_a_card_shows_what_a_person_types() -> None:
    """Whatever is in a name or a password is text, and no markup."""
    hostile = phone(name="<script>alert(1)</script>", password='a"b<c>&d  e\\')
    page = page_of(hostile, phone(user="1002"))
    assert len(page.findall(".//article")) == 2
    assert page.findall(".//script") == []
    assert page.find(".//h1").text == hostile.name
    assert page.find_class("exact")[0].text_content() == hostile.password
    assert len(page.find_class("blank")) == 2  # drawn, since nobody can count them on paper
    assert page.find(".//dd").text == "1001"
    assert page.find_class("more")[0].find(".//dd").text == NEAR.host


def test_a_page_of_cards_loads_and_sends_nothing() -> None:
    """Its policy allows its own style sheet alone, by the hash, and nothing refers elsewhere."""
    page = page_of(phone())
    (policy,) = page.xpath("//meta[@http-equiv]/@content")
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert page.xpath("//@src | //@href | //@style | //@onclick") == []


def test_a_qr_code_is_drawn_for_the_softphone_that_was_chosen() -> None:
    """One for each card, or none; a password that is longer than a code can hold has a word instead."""
    assert len(page_of(phone(), phone()).findall(".//svg")) == 2
    linphone = page_of(phone(), qr=QrFormat.LINPHONE, url="https://prov.example.com/")
    assert linphone.find(".//figcaption").text == "Linphone"
    assert page_of(phone(), qr=QrFormat.NONE).findall(".//svg") == []
    assert page_of(phone(password="x" * 4000)).findall(".//svg") == []


def test_a_password_that_nobody_can_type_gets_no_card() -> None:
    """A control character is invisible on paper."""
    assert can_be_printed(phone())
    assert not can_be_printed(phone(password="a\tb"))
