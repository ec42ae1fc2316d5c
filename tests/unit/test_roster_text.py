"""Bytes to records: encodings, delimiters, quotes, line ends and line numbers."""

from __future__ import annotations

import codecs
import csv
import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rosters import GOOD, codes, opened, refused, rows_of
from worker.errors import UsageError
from worker.model import Blanks, Options
from worker.roster import open_roster

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=12)
TABLES = st.lists(
    st.tuples(st.from_regex(r"[a-z0-9.]{1,12}", fullmatch=True), CELLS, CELLS), min_size=1
).filter(lambda table: any(password for _, password, _ in table))
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]


def written(table: list[tuple[str, ...]], delimiter: str, end: str) -> tuple[str, list[int]]:
    """The table as CSV, and the physical line on which each record starts."""
    text, lines = "", []
    for record in table:
        lines.append(1 + text.count("\n") + text.count("\r") - text.count("\r\n"))
        buffer = io.StringIO(newline="")
        csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerow(record)
        text += buffer.getvalue()
    return text, lines


@given(
    table=TABLES,
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(ENCODINGS),
)
def test_what_was_written_is_read(
    table: list[tuple[str, str, str]], delimiter: str, end: str, encoding: str
) -> None:
    """With any encoding, delimiter and line end, the same passwords and cells are read on their lines."""
    header = ("username", "password", "note")
    text, lines = written([header, *table], delimiter, end)
    named = encoding if encoding in ("utf-16-le", "utf-16-be") else ""  # not plain to see in every text
    rows = rows_of(text.encode(encoding), weak_given=True, encoding=named, blanks=Blanks.KEEP)
    assert [row.password for row in rows] == [password for _, password, _ in table]
    shown = [(user, "" if note == password else note) for user, password, note in table]
    assert [(user, "" if note in (row.password, "<hidden>") else note)
            for row in rows for user, note in [row.cells]] == shown  # fmt: skip
    assert [row.line for row in rows] == lines[1:]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("user,pass\nbob,pässword".encode(), "utf-8"),
        ("user,pass\nbob,pässword".encode("utf-8-sig"), "utf-8-sig"),
        ("user,pass\nbob,pässword".encode("utf-16"), "utf-16"),
        (codecs.BOM_UTF16_BE + "user,pass\nbob,pässword".encode("utf-16-be"), "utf-16"),
        ("user,pass\nbob,pässword".encode("utf-16-le"), "utf-16-le"),
        ("user,pass\nbob,pässword".encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_the_encoding_is_found(data: bytes, encoding: str) -> None:
    """UTF-8, UTF-16 with and without BOM, and Windows-1252 give the same password."""
    with opened(data) as roster:
        assert roster.encoding == encoding
        assert [row.password for row in roster.rows()] == ["pässword"]


def test_the_last_byte_decides() -> None:
    """One byte far behind the first megabyte makes the whole file Windows-1252, with a warning."""
    many = "".join(f"user{n},{GOOD},{'x' * 30}\n" for n in range(30_000))
    with opened(f"user,pass,note\n{many}last,{GOOD},caf".encode() + b"\xe9") as roster:
        assert roster.encoding == "cp1252"
        assert [warning.code for warning in roster.warnings] == ["encoding_guessed"]
        assert "line 30002" in roster.warnings[0].text
        assert list(roster.rows())[-1].cells == ("last", "café")


def test_utf8_with_a_broken_spot_is_not_guessed() -> None:
    """A mixed file is refused with its line: as Windows-1252 its passwords would all be wrong."""
    data = "user,pass\na,äöüß-long\nb,ñandú-long\nc,caf".encode() + b"\xe9\n"
    assert "line 4" in refused(data)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "utf-16", "shift_jis"])
def test_undecodable_bytes_name_their_line(encoding: str) -> None:
    """If the encoding was named, the error names the first line that it can't decode."""
    data = "user,pass\r\nbob,".encode("utf-16" if encoding == "utf-16" else "ascii")
    broken = b"\x00\xdc" if encoding == "utf-16" else b"\xff\xff"
    assert "line 2" in refused(data + broken + data[2:], encoding=encoding)


def test_bytes_that_windows_1252_lacks_are_refused() -> None:
    """Bytes that are neither UTF-8 nor Windows-1252 are refused, with the line and the option to use."""
    text = refused(b"user,pass\nbob,x\xe9x\nal,x\x81x\n")
    assert "line 3" in text
    assert "--encoding" in text


def test_a_named_encoding_overrides() -> None:
    """Bytes of an old DOS code page come out right when it is named."""
    rows = rows_of("user,pass\nbob,Größe-Straße".encode("cp850"), encoding="cp850")
    assert rows[0].password == "Größe-Straße"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("user,pass,note\r\nbob,x,y\r\nann,ab\ud800c,z\r\n", 3, 7),
        ("user,pass,note\nb\udfffob,x,y\n", 2, 2),
        ("user,pass,\udc00\nbob,x,y\n", 1, 11),
        ('user,pass\nbob,"x\ny\ud800"\n', 3, 2),
        ("user,pass\nbob,x\n" * 100_000 + "\ud801", 200_001, 1),
    ],
)
def test_half_a_character_names_its_place(text: str, line: int, column: int) -> None:
    """Half a surrogate pair is reported by line and column, since no result file can hold it."""
    said = refused(text.encode("utf-7", "surrogatepass"), encoding="utf-7")
    assert f"line {line}, column {column}: an unpaired surrogate" in said


@pytest.mark.parametrize(
    ("data", "encoding", "place"),
    [
        (b"user,pass\nbob,x\0y\n", "cp1252", "line 2, column 6"),
        (b"user,pass\nbob,x\0y\n", "utf-8", "line 2, column 6"),
        ("user,pass\nbob,xy\n\0".encode("utf-16"), "", "line 3, column 1"),
        ("user,pass\0\n".encode("utf-8-sig"), "", "line 1, column 10"),
    ],
)
def test_a_nul_names_its_place(data: bytes, encoding: str, place: str) -> None:
    """A NUL is reported by line and column; in UTF-16, only a whole NUL character is one."""
    assert f"{place}: a NUL" in refused(data, encoding=encoding)


def test_utf_7_is_read() -> None:
    """UTF-7 is read, since it is an encoding of text, if an old one."""
    (row,) = rows_of("user,pass\nbob,Größe-Straße".encode("utf-7"), encoding="utf-7")
    assert row.password == "Größe-Straße"


@pytest.mark.parametrize(
    "encoding",
    [
        "no-such",
        "hex",
        "rot13",
        "unicode_escape",
        "raw_unicode_escape",
        "unicodeescape",
        "punycode",
        "idna",
        "undefined",
    ],
)
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    """A name that is no text encoding is an error of usage."""
    assert encoding in refused("user,pass\nbob,x", encoding=encoding)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b" \r\n\r\n ", "empty"),
        (b"\xef\xbb\xbf", "no password column"),
        (b"user,pass\n", "no rows"),
        (b"user,pass\n\n,\n", "no rows"),
        (b"PK\x03\x04rest", "Excel workbook or ZIP"),
        (b"\xd0\xcf\x11\xe0rest", "old Excel"),
        (b"\x1f\x8brest", "gzip"),
        (b"user,pass\nbob,\x00\x01\x02", "NUL"),
        (b"x" * 3_000_000, "longer than a million"),
    ],
)
def test_what_is_no_roster_is_refused(data: bytes, said: str) -> None:
    """A file that is empty, binary or without rows is refused with a message that says so."""
    assert said in refused(data)


def test_a_zip_archive_is_read_by_the_name_of_its_file() -> None:
    """One that is no workbook is refused, with the address that reads it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("staff.csv", "user,pass\n")
    assert "zip://MEMBER::FILE.zip" in refused(content.getvalue())


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("user;pass;note\nbob;a,b,c,d;1,5\n", ";"),
        ("user|pass\nbob|a,b,c\n", "|"),
        ("user\tpass\nbob\ta;b;c\n", "\t"),
        ('user,pass,note\nbob,x,"a;b;c\nd;e;f"\n', ","),
        ('"user";"pass";"Name, first;last"\nbob;x;"y;z"\n', ";"),
    ],
)
def test_the_delimiter_is_found(text: str, delimiter: str) -> None:
    """Other delimiters inside values, quoted or not, don't mislead."""
    with opened(text) as roster:
        assert roster.delimiter == delimiter


@pytest.mark.parametrize(
    ("said", "delimiter"), [("tab", "\t"), ("\\t", "\t"), (":", ":"), ("Semicolon", ";")]
)
def test_a_named_delimiter_overrides(said: str, delimiter: str) -> None:
    """A delimiter can be named as a character, a word or an escape."""
    text = f"user{delimiter}pass\nbob{delimiter}a,b,c"
    assert rows_of(text, delimiter=said)[0].password == "a,b,c"


@pytest.mark.parametrize("said", ["::", '"', "\n", "nothing"])
def test_an_impossible_delimiter_is_refused(said: str) -> None:
    """A delimiter must be one character, and no quote or line end."""
    assert "delimiter" in refused("user,pass\nbob,x", delimiter=said)


def test_lines_are_physical() -> None:
    """Quoted line breaks and blank lines count: a row's line is where an editor shows it."""
    text = (
        'user,pass,note\r\n\r\na,x,"1\r\n2\r\n3"\r\n   \r\n,,\r\nb,y,\r\n\u00a0\r\n\u2003,\u2029,\r\nc,z,\r\n'
    )
    assert [(row.line, row.user) for row in rows_of(text)] == [(3, "a"), (8, "b"), (11, "c")]


def test_a_lone_carriage_return_ends_a_line() -> None:
    """A lone carriage return ends a line, as in files of an old Mac."""
    assert [(row.line, row.user) for row in rows_of("user,pass\ra,x\r\rb,y")] == [(2, "a"), (4, "b")]


def test_a_malformed_record_harms_no_other() -> None:
    """Text behind a closing quote makes that row alone invalid, and isn't shown."""
    rows = rows_of(f'user,pass\na,{GOOD}\nb,"{GOOD}"x\nc,{GOOD}\n')
    assert [(row.line, codes(row)) for row in rows] == [(2, []), (3, ["malformed"]), (4, [])]
    assert (rows[1].user, rows[1].cells, rows[1].password) == ("", ("",), "")
    assert GOOD not in rows[1].problems[0].text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('user,pass,note\na,x,\nb,"y"x,"z\nc,z,1\n"\n', 3),
        ('user,pass,note\na,x,\n"b"x,y"y,"z\nc,z,1\n"\n', 3),
        ('user,pass,note\na,x,\nb,"12" pipe",z\nc,z,1\n', 3),
        (f'user,pass,note\na,x,\nb,y,{"z" * 140_000},"z\nc,z,1\n"\n', 3),
        ('user,pass\na,x\nb,"y\nc,z\nd,w\n', 3),
        ('user,pass\na,x\nb,"y', 3),
        ('user,pass,note\na,"x\ny","z\nc,w,\n', 3),
        ('user,pass\r\na,x\r\n"b,y\r\nc,z\r\n"d",w\r\n', 3),
        ('user,pass\na,x\nb,"y\n' + "c,z\n" * 40_000, 3),
        ('user,"pass\na,x\n', 1),
    ],
)
def test_an_open_quote_names_its_line(text: str, line: int) -> None:
    """A quote that swallows rows is an error with its line, whether or not another quote closes it."""
    assert f"line {line}: a quote opens here" in refused(text)


@pytest.mark.parametrize(
    ("text", "line", "how"),
    [
        ('a,"x\n' + "y\n" * 1001, 3, "1,000 lines"),
        ('a,x,"y\nz"\nb,"y",\n' + '"a\n",' * 2000, 6, "1,000 lines"),
        ('a,"' + ("x" * 1000 + '","\n') * 200, 3, "131,072 characters"),
        ('a,"' + ("x" * 100_000 + "\n") * 200, 3, "131,072 characters"),
    ],
)
def test_a_record_without_end_names_the_line_of_its_quote(text: str, line: int, how: str) -> None:
    """A record without end is an error with the line of its quote, whichever quote swallows the rows."""
    said = refused(f"user,pass,note\n\n{text}")
    assert (
        f"line {line}: a quote opens here that is not closed properly, or its record is longer than {how}"
        in said
    )


@pytest.mark.parametrize("cells", ["x" * 131_072, "," * 131_072, ",".join(["x" * 50_000] * 3)])
def test_one_line_that_is_too_long_harms_no_other(cells: str) -> None:
    """A line that is too long is an invalid row; lines and rows of the greatest length are read."""
    rows = rows_of(f"user,pass,note\na,{GOOD},{cells}\nb,{GOOD},{'x' * 131_052}\n")
    assert [(row.line, codes(row)) for row in rows] == [(2, ["malformed"]), (3, [])]
    assert "longer than 131,072 characters" in rows[0].problems[0].text


@pytest.mark.parametrize(
    "endless",
    [
        b'"x\n",' * 4_000_000,
        b'"' + b"x\n" * 10_000_000,
        b"x" * 24_000_000,
        ("\u0a0a" * 10_000_000).encode("utf-16-le"),
    ],
)
def test_memory_stays_flat(tmp_path: Path, endless: bytes) -> None:
    """A record or a line of 20 MB is given up long before it is in memory."""
    path = tmp_path / "roster.csv"
    path.write_bytes(b"user,pass\nbob," + endless)
    text = b"\xff\xfe" + "user,pass\n".encode("utf-16-le") + endless
    path.write_bytes(text if endless.startswith(b"\n\n") else b"user,pass\nbob," + endless)
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match=r"longer than|a quote opens here"):
            open_roster(str(path), Options())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_quotes_inside_a_field_are_text() -> None:
    """A field that doesn't begin with a quote may hold some; nothing is swallowed."""
    rows = rows_of('user,pass,note\na,x"y,12" pipe\nb,"z ""q""",Ted "T" Rhodes\n')
    assert [(row.password, row.cells[1]) for row in rows] == [
        ('x"y', '12" pipe'),
        ('z "q"', 'Ted "T" Rhodes'),
    ]


@pytest.mark.parametrize("record", ["a", "a,x", "a,x,1,2", "a,x,1,"])
def test_the_number_of_fields_must_fit(record: str) -> None:
    """Too few or too many fields make the row invalid and its cells empty; nothing is shifted."""
    rows = rows_of(f"user,pass,note\n{record}\nb,{GOOD},ok\n")
    assert [codes(row) for row in rows] == [["field_count"], []]
    assert rows[0].cells == ("", "")
    fields = record.count(",") + 1
    assert f"{fields} field{'s' if fields > 1 else ''}," in rows[0].problems[0].text
    assert "3 columns" in rows[0].problems[0].text


def test_trailing_columns_without_a_name_are_dropped() -> None:
    """Empty columns without a name may be missing; a value in one means that cells are shifted."""
    rows = rows_of(f"user,pass,,\na,{GOOD},,\nb,{GOOD}\nc,{GOOD},x,\nd,{GOOD},\n")
    assert [codes(row) for row in rows] == [[], [], ["field_count"], []]
    assert [row.cells for row in rows] == [("a",), ("b",), ("",), ("d",)]


@given(st.binary(max_size=300))
def test_no_bytes_make_a_traceback(data: bytes) -> None:
    """Any bytes after a header give rows or a UsageError, and no other exception."""
    try:
        rows_of(b"user,pass\n" + data)
    except Exception as error:
        assert type(error).__name__ == "UsageError"  # noqa: PT017 (what else it may raise is the question)
