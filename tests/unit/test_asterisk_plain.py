"""Plain sections of Asterisk's files are taken at once, and joined with their neighbours: the rows are the same."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from worker.model import Options, Row
from worker.roster import open_roster

NAMES = ("1", "2", "3", "4-auth", "4", "ö", "\u00a0", "A")
VALUES = ("x", "=y", "a b", "", "Kestrel-7731", '"q"', "ü\u00a0", "a[b]", "a#b", "\\", "from-trunk-1", "(+)")
LINES = (
    "context={v}", "callerid={v} <1>", "mailboxes={v}", "realm={v}", "md5_cred={v}", "password_digest=MD5:{v}",
    "username={v}", "password={v}", "match=a.example", "contact=sip:{v}", "max_contacts={v}", "outbound_auth={n}",
    "auth={n}", "aors={n}, {m}", "auth={n},{m}", "endpoint={n}", "default_realm={v}", "secret={v}", "host=dynamic",
    "transport=udp", "type=friend", "type=AUTH", "mac={v}",
)  # fmt: skip
UNUSUAL = (
    "Password={v}", "password+={v}", " username = {v} ", "username=>{v}", "password={v};c", "password={v}\\;c",
    "register=>a:b@c.example", "no setting", "; comment", ";-- block\n--;", "\tx=\x0by", "password =", "",
    "x=" + "y" * 8000, "#exec nothing", "register=u:p@h.example",
)  # fmt: skip
KINDS = ("auth", "endpoint", "aor", "registration", "identify", "phoneprov", "global", "friend", "wizard", "x")
HEADERS = ("[{n}](!)", "[{n}](+)", "[{n}]({m})", "[{n}] ", "[general]", "[authentication]", "[{n}](+type=auth)")
FILLER = "[filler]\ntype=acl\n" + "permit=192.0.2.0/24\n" * 12_000
"""A plain section that takes most of what is read at once."""


def rows(path: Path) -> list[tuple[object, ...]]:
    """All that a row says, without the place, which only files with others in them have."""
    with open_roster(str(path), Options(source_format="asterisk")) as roster:
        return list(map(said, roster.rows()))


def said(row: Row) -> tuple[object, ...]:
    cells = list(row.cells)[:-1]  # without the place
    return row.line, row.user, row.password, row.problems, row.warnings, row.skipped, cells


def three_ways(path: Path, text: str) -> list[list[tuple[object, ...]]]:
    """The rows of the text as it is, with blanks that make all lines unusual, and by the way with two passes."""
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


@pytest.mark.parametrize("start", range(0, 400, 50))
def test_the_same_by_all_ways(tmp_path: Path, start: int) -> None:
    """Plain sections among others of all kinds, near and far: not one row differs."""
    for seed in range(start, start + 50):
        found = three_ways(tmp_path, some(seed))
        assert found[1:] == found[:1] * 3, seed
