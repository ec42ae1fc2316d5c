"""Asterisk's configuration files: their grammar, as Asterisk reads it, and what is refused."""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from pathlib import Path

import pytest

from worker.errors import UsageError
from worker.model import Options, Row
from worker.roster import open_roster

HEADER = "[general]\n[phone](!)\ntype=friend\nhost=dynamic\n"


def rows(path: Path, text: str, name: str = "sip.conf") -> list[Row]:
    """Return the rows of a file with this content."""
    file = path / name
    file.write_text(text)
    with open_roster(str(file), Options(source_format="asterisk")) as roster:
        return list(roster.rows())


def passwords(path: Path, text: str) -> dict[str, str]:
    """Return user and password of the rows that can be sent."""
    return {row.user: row.password for row in rows(path, HEADER + text) if not row.problems}


@pytest.mark.parametrize(
    ("written", "password"),
    [
        ("secret=plain-secret", "plain-secret"),
        ("secret => arrow-secret", "arrow-secret"),
        ("  SECRET =\tblank secret \t; comment", "blank secret"),
        (r"secret=semi\;colon-1", "semi;colon-1"),
        ("secret=cut-here-1;not-this", "cut-here-1"),
        ("secret=equal=sign=1", "equal=sign=1"),
        (r"secret=back\slash-1", r"back\slash-1"),
        ('secret="quotes-stay"', '"quotes-stay"'),
        ("secret=in;-- a comment --;side", "inside"),
        ("secret=dash;----- only a comment", "dash"),
        ("secret=first-one-1\nsecret=last-one-2", "last-one-2"),
        ("secret=half-\nsecret += more-1", "half- more-1"),
        (";-- secret=no\n;-- secret=neither --;\n--;secret=yes-this-1", "yes-this-1"),
        ("secret=\u00a0no-break\u00a0", "\u00a0no-break\u00a0"),
        (r"\secret=escaped-name-1", "escaped-name-1"),
    ],
)
def test_a_value_is_what_asterisk_reads(tmp_path: Path, written: str, password: str) -> None:
    """Comments, arrows, escapes, blanks and repeated settings give the value that phones use."""
    assert passwords(tmp_path, f"[6001](phone)\n{written}\n") == {"6001": password}


def test_templates_inherit_in_their_order(tmp_path: Path) -> None:
    """Later templates win over earlier ones, and a section's own settings over all of them."""
    text = "[a](!)\nsecret=from-template-a\n[b](!,a)\nsecret=from-template-b\n"
    text += "[1](phone,a,b)\n[2](phone,b,a)\n[3](phone,a)\nsecret=of-its-own-3\n[4](3)\n"
    assert passwords(tmp_path, text) == {
        "1": "from-template-b", "2": "from-template-a", "3": "of-its-own-3", "4": "of-its-own-3",
    }  # fmt: skip


def test_an_addition_goes_to_the_first_section_of_its_name(tmp_path: Path) -> None:
    """``(+)`` adds to an earlier section, and a filter chooses among those that share a name."""
    text = "[6001]\ntype=endpoint\nauth=6001\n[6001]\ntype=auth\nusername=6001\npassword=old-secret-1\n"
    found = rows(tmp_path, text + "[6001](+type=auth)\npassword=new-secret-1\n", "pjsip.conf")
    assert [(row.line, row.user, row.password) for row in found] == [(4, "6001", "new-secret-1")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[6001\nsecret=x\n", 5),
        ("[6001](phone\nsecret=x\n", 5),
        ("[6001](phone)\nsecret=x--;y\n", 6),
        ("[6001](phone)\n;-- for ever\nsecret=x\n", 6),
        ("[6001](phone)\nsecret=" + "x" * 9000, 6),
        ('#include "sip.conf"\n', 5),
    ],
)
def test_a_file_in_doubt_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    """Asterisk can't read it either, or reads something else: nothing is imported."""
    with pytest.raises(UsageError, match=f"sip.conf:{line}: ") as caught:
        rows(tmp_path, HEADER + text)
    assert caught.value.hint


def test_included_files_stay_in_the_folder(tmp_path: Path) -> None:
    """A file outside, a link out and a device aren't read, and each is a row that says so."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "outside.conf").write_text("[9](phone)\nsecret=outside-1\n")
    (tmp_path / "conf" / "link.conf").symlink_to(tmp_path / "outside.conf")
    (tmp_path / "conf" / "inside.conf").write_text("[1](phone)\nsecret=inside-1\n")
    text = "#include ../outside.conf\n#include /dev/zero\n#include link.conf\n#include <inside.conf>\n"
    text += "#tryinclude not-there.conf\n#exec /bin/false\n"
    found = rows(tmp_path / "conf", HEADER + text)
    assert [row.problems[0].code if row.problems else row.user for row in found] == [
        "include_not_read", "include_not_read", "include_not_read", "1", "include_not_read",
    ]  # fmt: skip


def test_includes_without_bound_are_refused(tmp_path: Path) -> None:
    """Files that include several others, level by level, come to an end."""
    for level in range(12):
        (tmp_path / f"{level}.conf").write_text(f"#include {level + 1}.conf\n" * 9)
    with pytest.raises(UsageError, match="too many files"):
        rows(tmp_path, HEADER + "#include 0.conf\n")


def test_a_register_line_shows_no_secret(tmp_path: Path) -> None:
    """Only the host of an outbound registration is shown."""
    found = rows(tmp_path, HEADER + "[general](+)\nregister => tls://me:s3cr@t:word@itsp.example:5061/77\n")
    assert [(row.skipped.code if row.skipped else "", "itsp.example" in row.cells) for row in found] == [
        ("outbound", True)
    ]
    assert "cr@t" not in repr(found) + str(found[0].cells)


def test_trunks_are_told_by_what_uses_them(tmp_path: Path) -> None:
    """The auths that a registration or ``outbound_auth`` names are no phones', wherever they stand."""
    auths = "".join(
        f"[{one}]\ntype=auth\nusername={one}\npassword=secret-of-{one}\n" for one in ("a", "b", "c")
    )
    uses = "[r]\ntype=registration\noutbound_auth=a\n[e]\ntype=endpoint\noutbound_auth=x, b\nauth=b\n"
    uses += "[f]\ntype=endpoint\nauth=c\n"
    found = rows(tmp_path, auths + uses, "pjsip.conf")
    assert [row.user for row in found if not row.problems] == ["c"]
    assert [row.skipped.code for row in found if row.skipped] == ["outbound", "outbound", "outbound"]


@pytest.mark.parametrize(
    "text",
    [
        "[x](!)\ntype=friend\n" + "".join(f"[t{n}](!,x)\nsecret={'s' * 4000}\n" for n in range(6000)),
        "".join(f"[t{n}](!,t{n - 1},t{n - 1})\nsecret=s\n" for n in range(5_000)),
        "".join(f"[{n}]\n[{n}](+)\nsecret=s{n}\n" for n in range(8_000)),
        "[a]\n" * 4_000 + "[a](+type=x)\n" * 4_000,
        ";--\n" * 100_000,
        "[" * 100_000,
        "x=" + ";\\" * 4000,
    ],
    ids=["templates", "chain", "additions", "one name", "comments", "brackets", "escapes"],
)
def test_a_hostile_file_takes_bounded_time_and_memory(tmp_path: Path, text: str) -> None:
    """It is read or refused, without a traceback."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with suppress(UsageError):
        rows(tmp_path, text)
    assert time.monotonic() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.mark.parametrize(
    ("aor", "uses", "sent"),
    [
        ("max_contacts=1", "", True),
        ("", "", False),
        ("max_contacts=1\ncontact=sip:carrier.example", "", False),
        ("max_contacts=1", "[r]\ntype=registration\noutbound_auth=1\n", False),
        ("max_contacts=1", "[1]\ntype=endpoint\ncontext=from-pstn\naors=1\nauth=1\noutbound_auth=1\n", False),
    ],
)
def test_an_auth_for_both_directions_is_a_phones_if_phones_register(
    tmp_path: Path, aor: str, uses: str, sent: bool
) -> None:
    """FreePBX's Outbound Auth makes no trunk of an extension; a registration or a fixed contact does."""
    text = "[1]\ntype=endpoint\naors=1\nauth=1\noutbound_auth=1\n"
    text = uses + ("" if "endpoint" in uses else text) + f"[1]\ntype=aor\n{aor}\n"
    text += "[1]\ntype=auth\nusername=1\npassword=Kestrel-7731\n"
    (row,) = (one for one in rows(tmp_path, text, "pjsip.conf") if one.user)
    assert (not row.skipped, [one.code for one in row.warnings]) == (sent, ["also_outbound"] if sent else [])


@pytest.mark.parametrize(
    ("section", "password", "codes"),
    [
        ("secret=S3cret-1\nmd5secret=b94b79510b8bf7272631f2e0e2f63413", "S3cret-1", []),
        ("secret=Stale-77\nmd5secret=b94b79510b8bf7272631f2e0e2f63413", "", ["digest_only"]),
        ('secret="Kestrel-7731"', '"Kestrel-7731"', ["password_quoted"]),
        ("secret=Kestrel-1\nsecret=Kestrel-2", "Kestrel-2", ["password_twice"]),
        ("secret=Kestrel-2\nsecret=Kestrel-2", "Kestrel-2", []),
    ],
)
def test_a_secret_in_doubt_is_refused_or_told(
    tmp_path: Path, section: str, password: str, codes: list[str]
) -> None:
    """A digest that wins is not overruled; quotes and a second value are warnings."""
    (row,) = rows(tmp_path, f"{HEADER}[6001](phone)\n{section}\n")
    assert (row.password, [one.code for one in (*row.problems, *row.warnings)]) == (password, codes)


def test_a_line_that_is_nothing_leaves_its_section_in_doubt(tmp_path: Path) -> None:
    """It may be the damaged header of the next section, whose secret would be taken for this one's."""
    text = "[1001]\ntype=friend\nsecret=Kestrel-7731\n1002](phones)\nsecret=Osprey-4410\n"
    text += "[1003]\ntype=friend\nsecret=Merlin-1\n"
    first, second = rows(tmp_path, text)
    assert [problem.code for problem in first.problems] == ["section_unclear"]
    assert "line 4" in first.problems[0].text
    assert (second.user, second.problems) == ("1003", ())


@pytest.mark.parametrize("outbound", ["", "outbound_auth=1\n"])
def test_a_digest_that_wins_is_not_overruled_by_a_warning(tmp_path: Path, outbound: str) -> None:
    """A phone with Outbound Auth, whose digest is not made from its password, keeps neither."""
    text = f"[1]\ntype=endpoint\naors=1\nauth=1\n{outbound}[1]\ntype=aor\nmax_contacts=1\n"
    text += "[1]\ntype=auth\nusername=1\npassword=Stale-77\nmd5_cred=b94b79510b8bf7272631f2e0e2f63413\n"
    (row,) = rows(tmp_path, text, "pjsip.conf")
    assert (row.password, [one.code for one in row.problems]) == ("", ["digest_only"])


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("[6001](phone)\nSecret=half-\nsecret+=more-1\n", ""),
        ("[6001](phone)\nsecret=half-\nSECRET += more-1\n", ""),
        ("[t](!,phone)\nSecret=half-\n[6001](t)\nsecret+=more-1\n", ""),
        ("[6001](phone)\nsecret=half-\n[6001](+)\nSecret+=more-1\n", ""),
        ("[6000](phone)\nSecret=other-1\n[6001]\ntype=friend\nsecret=half-\nsecret+=more-1\n", "half-more-1"),
        ("[6001](phone)\nSecret+=whole-1\n", "whole-1"),
    ],
)
def test_an_append_in_another_case_is_refused(tmp_path: Path, text: str, password: str) -> None:
    """Asterisk begins a new setting where the case differs: the password would be another."""
    row = next(one for one in rows(tmp_path, HEADER + text) if one.user == "6001")
    assert row.password == password or row.problems
    assert [one.code for one in row.problems] == ([] if password else ["section_unclear"])
