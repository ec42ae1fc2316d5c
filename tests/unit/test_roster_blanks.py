"""``--blanks strip`` holds for every kind of roster: the blank is in no password that is sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest

from worker.errors import UsageError
from worker.model import Blanks, Options
from worker.roster import open_roster

ROWS = [(f"100{at}", f"Kestrel-773{at} ") for at in range(4)]


def table(path: Path) -> tuple[str, Options]:
    """A plain table."""
    return written(path / "staff.csv", "username,password", ",")


def freepbx(path: Path) -> tuple[str, Options]:
    """An export that PHP wrote."""
    lines = ["extension,secret,tech,devicetype,voicemail_vmpwd,name"]
    lines += [f'{user},"{password}",pjsip,fixed,4821,"a b"' for user, password in ROWS]
    (path / "staff.csv").write_text("\n".join(lines))
    return str(path / "staff.csv"), Options(source_format="freepbx")


def mysql_batch(path: Path) -> tuple[str, Options]:
    """The output of mysql -B."""
    place, _ = written(path / "staff.tsv", "username\tpassword", "\t")
    return place, Options(source_format="mysql-batch")


def workbook(path: Path) -> tuple[str, Options]:
    """A workbook."""
    book = openpyxl.Workbook()
    for row in [("username", "password"), *ROWS]:
        book.worksheets[0].append(row)
    book.save(path / "staff.xlsx")
    return str(path / "staff.xlsx"), Options()


def database(path: Path) -> tuple[str, Options]:
    """A database, by a query."""
    with sqlite3.connect(path / "staff.sqlite") as connection:
        connection.execute("CREATE TABLE staff (username TEXT, password TEXT)")
        connection.executemany("INSERT INTO staff VALUES (?, ?)", ROWS)
    connection.close()
    (path / "staff.sql").write_text("SELECT username, password FROM staff")
    return f"sqlite:///{path}/staff.sqlite", Options(query=str(path / "staff.sql"))


def written(path: Path, header: str, delimiter: str) -> tuple[str, Options]:
    """Write the rows below a header, and return the file's name."""
    path.write_text("\n".join([header, *(delimiter.join(row) for row in ROWS)]))
    return str(path), Options()


@pytest.mark.parametrize("make", [table, freepbx, mysql_batch, workbook, database])
def test_blanks_are_stripped(tmp_path: Path, make: Callable[[Path], tuple[str, Options]]) -> None:
    """Without the option the roster is refused, with it each password comes without its blank, or with it."""
    place, options = make(tmp_path)
    with pytest.raises(UsageError, match="begin or end with a blank"):
        open_roster(place, options)
    for blanks in Blanks:
        with open_roster(place, replace(options, blanks=blanks)) as roster:
            found = [(row.user, row.password) for row in roster.rows()]
        strip = blanks is Blanks.STRIP
        assert found == [(user, password.strip() if strip else password) for user, password in ROWS]
