"""Plain sections of Asterisk's files are taken at once, and joined with others: the rows are the same."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from worker.model import Options, Row
from worker.roster import open_roster
from worker.roster.formats.asterisk_lines import plain_sections
from worker.roster.formats.asterisk_near import Near, Use

NAMES = ("1", "2", "3", "4-auth", "4", "ö", "\u00a0", "A")
VALUES = ("x", "=y", "a b", "", "Kestrel-7731", '"q"', "ü\u00a0", "a[b]", "a#b", "\\", "from-trunk-1", "(+)")
LINES = (
    "context={v}", "callerid={v} <1>", "mailboxes={v}", "realm={v}", "md5_cred={v}", "host=dynamic",
    "username={v}", "password={v}", "match=a.example", "contact=sip:{v}", "max_contacts={v}", "mac={v}",
    "auth={n}", "aors={n}, {m}", "auth={n},{m}", "endpoint={n}", "default_realm={v}", "secret={v}",
    "transport=udp", "type=friend", "type=AUTH", "outbound_auth={n}", "password_digest=MD5:{v}",
)  # fmt: skip
UNUSUAL = (
    "Password={v}", "password+={v}", " username = {v} ", "username=>{v}", "password={v};c", "password =",
    "register=>a:b@c.example", "no setting", "; comment", ";-- block\n--;", "\tx=\x0by", "",
    "x=" + "y" * 8000, "#exec nothing", "register=u:p@h.example", "password={v}\\;c",
)  # fmt: skip
KINDS = (
    "auth",
    "endpoint",
    "aor",
    "registration",
    "identify",
    "phoneprov",
    "global",
    "friend",
    "wizard",
    "x",
)
HEADERS = (
    "[{n}](!)",
    "[{n}](+)",
    "[{n}]({m})",
    "[{n}] ",
    "[general]",
    "[authentication]",
    "[{n}](+type=auth)",
)
FILLER = "[filler]\ntype=acl\n" + "permit=192.0.2.0/24\n" * 12_000
"""A plain section that takes most of what is read at once."""


def rows(path: Path) -> list[tuple[object, ...]]:
    """All that a row says, without the place, which only files with others in them have."""
    with open_roster(str(path), Options(source_format="asterisk")) as roster:
        return list(map(said, roster.rows()))


def said(row: Row) -> tuple[object, ...]:
    cells = list(row.cells)[:-1]  # without the place
    return row.line, row.user, row.password, row.problems, row.warnings, row.skipped, cells


def all_ways(path: Path, text: str) -> list[list[tuple[object, ...]]]:
    """The rows of the text as it is, and with blanks that make all lines unusual; both by two passes, too."""
    (path / "more.conf").write_text("; nothing\n")
    spaced = re.sub(r"(?<!\r)(?=\r?\n)", " ", text)
    found = []
    for content in (text, spaced, f"{text}\n#include more.conf\n", f"{spaced}\n#include more.conf\n"):
        (path / "pjsip.conf").write_text(content, newline="")
        found.append(rows(path / "pjsip.conf"))
    return found


def phone(pick: random.Random, name: str) -> str:
    """The sections of a phone, in any order."""
    parts = [
        f"[{name}]\ntype=endpoint\nauth={name}\naors={name}\ncallerid=Ann <{name}>\n",
        f"[{name}]\ntype=auth\nusername={name}\npassword=secret-of-{name}\n",
        f"[{name}]\ntype=aor\nmax_contacts=1\n",
    ]
    pick.shuffle(parts)
    return pick.choice(("", "\n", "\n\n")).join(parts)


def section(pick: random.Random) -> str:
    """A section of any kind, mostly plain."""
    n, m = pick.choice(NAMES), pick.choice(NAMES)
    header = "[{n}]" if pick.random() < 0.93 else pick.choice(HEADERS)
    kind = pick.choice(KINDS[: pick.choice((3, 3, 6, len(KINDS)))])
    lines = [header, *([f"type={kind}"] * (pick.random() < 0.95))]
    for _ in range(pick.randrange(5)):
        lines.append(pick.choice(LINES if pick.random() < 0.97 else UNUSUAL))
    if pick.random() < 0.3:
        lines[1:] = [line.replace("=", pick.choice((" = ", "= ", "  =")), 1) for line in lines[1:]]
    end = pick.choice(("\n", "\n", "\n", "\r\n"))
    text = "\n".join(one.format(n=n, m=m, v=pick.choice(VALUES)) for one in lines) + "\n"
    return text.replace("\n", end) + "\n" * pick.randrange(2)


def some(seed: int) -> str:
    """A file with a few phones, and sections that have to do with them or not."""
    pick = random.Random(seed)
    parts = [section(pick) for _ in range(pick.randrange(2, 16))]
    parts += [phone(pick, name) for name in pick.sample(NAMES, 4)] + [FILLER] * (seed % 8 == 0)
    pick.shuffle(parts)
    return "".join(parts)


@pytest.mark.parametrize("start", range(0, 100, 25))
def test_the_same_by_all_ways(tmp_path: Path, start: int) -> None:
    """Plain sections among others of all kinds, near and far: not one row differs."""
    for seed in range(start, start + 25):
        found = all_ways(tmp_path, some(seed))
        assert found[1:] == found[:1] * 3, seed


LONG = "permit=192.0.2.0/24\n" * 30_000
"""Two times more than is read at once."""
FAR = f"[filler]\ntype=acl\n{LONG}"
PHONES = "".join(phone(random.Random(0), f"{at:04}") for at in range(50))


@pytest.mark.parametrize(
    ("far", "line"),
    [
        ("[t]\ntype=registration\noutbound_auth=0007\n", "outbound"),
        ("[t]\ntype=endpoint\noutbound_auth=0007\n", "outbound"),
        ("[t]\ntype=endpoint\nauth=0007\ncallerid=Bo <1>\n", "Bo"),
        ("[t]\ntype=endpoint\nauth=0007,0008\ncallerid=Bo <1>\n", "Bo"),
        ("[t]\ntype=phoneprov\nendpoint=0007\nmac=aabbccddeeff\n", "aabbccddeeff"),
        ("[t]\ntype=identify\nendpoint=0007\n[0007]\ntype=aor\n", ""),
        ("[0007]\ntype=auth\nusername=77\npassword=Osprey-4410\n", "77"),
        ("[g]\ntype=global\ndefault_realm=office.example\n", "office.example"),
        ("[t]\ntype=endpoint\nauth=gone\n", "password_missing"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_stands_far_away_counts(tmp_path: Path, far: str, line: str, first: bool) -> None:
    """An auth that was decided by its neighbours is decided anew if something else names it."""
    found = all_ways(tmp_path, far + FAR + PHONES if first else PHONES + FAR + far)
    assert found[1:] == found[:1] * 3
    assert (line in str(found[0])) == (first or line != "Bo")  # of two endpoints, the first one counts


def test_a_section_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    """All of its settings are its own."""
    text = f"{PHONES}[1]\ntype=auth\nusername=1\n{LONG}password=Osprey-4410\n{PHONES}"
    found = all_ways(tmp_path, text)
    assert found[1:] == found[:1] * 3
    assert [row[1:4] for row in found[0][50:52]] == [("1", "Osprey-4410", ()), ("0000", "secret-of-0000", ())]


def test_neighbours_are_joined() -> None:
    """A phone's endpoint and aor need no more; what is used in another way is left to a second look."""
    text = PHONES + "[r]\ntype=registration\noutbound_auth=0001\n[9]\ntype=endpoint\nauth=9\n["
    run, near = list(plain_sections(text)), Near()
    fates, left = near.join(1, run, {"0002"})
    uses = {plain["name"]: fate for plain, fate in zip(run, fates, strict=True) if isinstance(fate, Use)}
    assert (len(run), sorted(uses), left) == (152, [f"{at:04}" for at in (0, *range(3, 50))], [])
    assert uses["0007"] == Use(True, "Ann <0007>")
    others = {plain["name"] for plain, fate in zip(run, fates, strict=True) if fate is True}
    assert others == {"0001", "0002", "r"}
    assert near.clashes(["x", "0007"])
    assert not near.clashes(["x", "0001"])
    lines = text.split("\n")
    assert [(plain["name"], lines[line - 1]) for line, plain in near.left()] == [
        ("0001", "[0001]"),
        ("9", "[9]"),
    ]
