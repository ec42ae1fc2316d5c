"""Rosters as people upload them: clean, dirty, hostile."""

from __future__ import annotations

from pathlib import Path

from tests.system.rosters import write

SCRIPTS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "'><svg/onload=alert(3)>",
    "javascript:alert(4)",
    "{{ 7 * 7 }}{% for x in y %}",
    "</textarea><script>alert(5)</script>",
    "`<b onmouseover=alert(6)>`",
    "--><script>alert(7)</script><!--",
    "x' autofocus onfocus='alert(8)",
)
"""Texts that run in a page that doesn't escape them."""


def clean(path: Path, users: int = 12, first: int = 2000) -> Path:
    """A roster without a fault, with a column that only looks like the password."""
    return write(path, [
        {"extension": f"{number}", "display name": f"Person {number}",
         "password": f"Pw-{number * 7919:08d}-xY", "voicemail pin": f"{number}"}
        for number in range(first, first + users)
    ])  # fmt: skip


def dirty(path: Path) -> Path:
    """Three good rows; one without a user name (line 5), a duplicate (line 6), one without a password (7)."""
    rows = [
        ("3000", "Ann"),
        ("3001", "Ben"),
        ("3002", "Cleo"),
        ("", "Dan"),
        ("3001", "Zora"),
        ("3005", "Flo"),
    ]
    passwords = ["Pw-aaaa-1111", "Pw-bbbb-2222", "Pw-cccc-3333", "Pw-dddd-4444", "Pw-eeee-5555", ""]
    return write(path, [
        {"extension": user, "display name": name, "password": password}
        for (user, name), password in zip(rows, passwords, strict=True)
    ])  # fmt: skip


def two_passwords(path: Path) -> Path:
    """Two columns that could have the password; line 3 has none in the second one."""
    return write(path, [
        {"extension": "3100", "password": "Pw-first-3100", "secret": "Pw-second-3100"},
        {"extension": "3101", "password": "Pw-first-3101", "secret": ""},
    ])  # fmt: skip


def hostile(folder: Path) -> Path:
    """A roster with a script in its name, in the names of its columns and in every kind of cell."""
    extra = '<img src="x" onerror="alert(9)">'
    return write(folder / '"><img src=x onerror=alert(0)>.csv', [
        {"username": script, "password": f"{script}-Pw-{number}", "domain": script if number % 2 else "",
         "realm": script if number % 3 == 2 else "", extra: script, "=cmd|' /C calc'!A0": script}
        for number, script in enumerate(SCRIPTS)
    ] + [{"username": "4000", "password": "Pw-harmless-4000", "domain": "", "realm": "", extra: "",
          "=cmd|' /C calc'!A0": ""}])  # fmt: skip
