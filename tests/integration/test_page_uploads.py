"""Uploads to the page: names, sizes, forms of every shape, slow and broken connections."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.page import PageServer, Visitor, multipart, read_all, until
from worker.ledger import Role
from worker.web.housekeeping import tidied
from worker.web.site import MIB, Bounds

FIELD = b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
FILE = b'--B\r\nContent-Disposition: form-data; name="roster"; filename="a.csv"\r\n\r\n%b\r\n'
END = b"--B--\r\n"
CONTENT = b"username,password\n101,s3cret-of-a-phone\n"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A page that takes files of 3 MiB at most, and three uploads at once."""
    server = PageServer(tmp_path_factory.mktemp("page"), bounds=Bounds(uploads=3))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A page that waits for nobody, but long enough for those who sign in on a busy machine."""
    bounds = Bounds(header_seconds=3, form_seconds=3, upload_pause=0.4, upload_rate=20_000)
    server = PageServer(tmp_path_factory.mktemp("impatient"), bounds=bounds)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def dana(page: PageServer) -> Visitor:
    """Somebody who uploads rosters."""
    return page.visitor(Role.UPLOAD)


@pytest.fixture(autouse=True)
def nothing_is_left(page: PageServer) -> Iterator[None]:
    """Each test leaves only complete uploads: every block belongs to one."""
    yield
    until_incomplete(page, 0)


def until_incomplete(page: PageServer, number: int) -> None:
    """Wait until the ledger has so many uploads that are not complete, and blocks of them."""
    until(lambda: incomplete(page) == number)


def incomplete(page: PageServer) -> int:
    """The number of uploads that are not complete, with blocks of none."""
    complete = page.ledger.uploads.newest()
    blocks = sum(-(-one.size // MIB) for one in complete)
    return page.stored("uploads") - len(complete) + page.stored("upload_blocks") - blocks


def head(page: PageServer, dana: Visitor, *lines: str, path: str = "/uploads") -> bytes:
    """The beginning of an upload's request, up to its body."""
    cookies = "; ".join(f"{name}={value}" for name, value in dana.cookies.items())
    common = [
        f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{page.port}", "Connection: close", f"Cookie: {cookies}",
        "Content-Type: multipart/form-data; boundary=B", *lines,
    ]  # fmt: skip
    return ("\r\n".join(common) + "\r\n\r\n").encode()


def status_of(answer: bytes) -> int:
    """The status of an answer; 0: there is none."""
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def stored(page: PageServer, answer: Any) -> tuple[str, bytes]:
    """Name and content of what was uploaded, as the ledger has them."""
    assert answer.status_code == 303, answer.text
    id_ = answer.headers["location"].removeprefix("/uploads/")
    upload = page.ledger.uploads.get(id_)
    assert (upload.person, upload.authors) == ("upload", ("upload",))
    return upload.name, b"".join(page.ledger.uploads.blocks(page.site.seal, id_))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("staff.csv", "staff.csv"),
        ("Müller & Söhne.csv", "Müller & Söhne.csv"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/shadow", "shadow"),
        ("C:\\temp\\con", "con"),
        (".htaccess", "htaccess"),
        ("..", "roster"),
        ("nul\0byte.csv", "nulbyte.csv"),
        ("a\r\nX-Evil: 1.csv", "aX-Evil: 1.csv"),
        ('quote".csv', 'quote".csv'),
        ("\u202evsc.exe", "vsc.exe"),
        ("\x1b[31mred.csv", "[31mred.csv"),
        ("<script>alert(1)</script>.csv", "script>.csv"),
        ("$(id).csv;rm -rf", "$(id).csv;rm -rf"),
        ("   ", "roster"),
        ("a" * 4000 + ".csv", "a" * 196 + ".csv"),
    ],
)
def test_a_name_is_only_shown(page: PageServer, dana: Visitor, name: str, kept: str) -> None:
    """A file's name is kept for people, printable and without folders; no file has it anywhere."""
    assert stored(page, dana.upload(name, CONTENT)) == (kept, CONTENT)
    folder = Path(page.site.results)
    assert {path.name for path in folder.iterdir()} <= {"ledger.db", "ledger.db-wal", "ledger.db-shm"}


def test_a_name_beyond_all_bounds_is_refused(dana: Visitor) -> None:
    """A header of a part is bounded: a name of 10,000 characters is no file's."""
    assert dana.upload("a" * 10_000, CONTENT).status_code == 400


@pytest.mark.parametrize("size", [1, MIB - 1, MIB, 2 * MIB + 1, 3 * MIB])
def test_a_file_is_kept_sealed(page: PageServer, dana: Visitor, size: int) -> None:
    """What was uploaded is in the ledger, byte for byte, and in clear in no file."""
    content = (CONTENT * (size // len(CONTENT) + 1))[:size]
    assert stored(page, dana.upload("staff.csv", content))[1] == content
    files = b"".join(path.read_bytes() for path in Path(page.site.results).iterdir() if path.is_file())
    assert b"s3cret-of-a-phone" not in files


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [3 * MIB + 1, 8 * MIB])
def test_a_file_that_is_too_large_is_refused(
    page: PageServer, dana: Visitor, size: int, chunked: bool
) -> None:
    """The bound holds with a length that is announced and without one; nothing is kept."""
    before = page.stored("uploads")
    request = multipart(dana.csrf, b"a.csv", bytes(size))
    if chunked:
        whole = request["content"]
        request["content"] = (whole[at : at + 65536] for at in range(0, len(whole), 65536))
    answer = dana.post("/uploads", **request)
    assert answer.status_code == 413
    assert "3 MB" in answer.text
    assert page.stored("uploads") == before


def test_a_length_is_refused_before_the_body(page: PageServer, dana: Visitor) -> None:
    """A request that announces too much is answered at once, without reading it."""
    for length in (str(4 << 20), str(1 << 62), "9" * 30):
        assert status_of(page.send(head(page, dana, f"Content-Length: {length}"))) in (400, 413)
    assert status_of(page.send(head(page, dana, "Content-Length: -1"))) == 400
    both = head(page, dana, "Content-Length: 5", "Transfer-Encoding: chunked")
    assert status_of(page.send(both + b"0\r\n\r\n")) == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (FIELD % (b"csrf", b"CSRF") + END, 400),
        (FIELD % (b"csrf", b"CSRF") + FILE % b"" + END, 400),
        (FILE % CONTENT + FIELD % (b"csrf", b"CSRF") + END, 403),
        (FIELD % (b"csrf", b"CSRF") + FILE % CONTENT + FILE % CONTENT + END, 400),
        (FIELD % (b"csrf", b"CSRF") + FILE % CONTENT + FIELD % (b"a", b"b") + END, 400),
        (FIELD % (b"csrf", b"CSRF") + FIELD % (b"a", b"b") * 16 + FILE % CONTENT + END, 400),
        (FIELD % (b"csrf", b"CSRF") + FIELD % (b"a", b"b" * 5000) + FILE % CONTENT + END, 400),
        (FIELD % (b"csrf", b"C" * 5000) + FILE % CONTENT + END, 400),
        (FIELD % (b"csrf", b"CSRF") + FILE % CONTENT, 400),
        (FIELD % (b"csrf", b"CSRF") + b"--B\r\nX: y\r\n\r\na\r\n" + END, 400),
        (FIELD % (b"csrf", b"CSRF") + b"--B\r\n" + b"X: y\r\n" * 20 + b"\r\na\r\n" + END, 400),
        (FIELD % (b"csrf", b"CSRF") + b"--B\r\nbroken\r\n\r\na\r\n" + END, 400),
        (b"", 403),
        (b"\0" * 1000, 400),
        (END, 403),
    ],
    ids=[
        "no file", "empty file", "file first", "two files", "field after", "many fields", "long field",
        "long token", "cut off", "no name", "many headers", "broken header", "nothing", "zeros", "end",
    ],
)  # fmt: skip
def test_forms_of_every_shape(page: PageServer, dana: Visitor, body: bytes, status: int) -> None:
    """A body that no browser sends for this form is refused, and nothing of it is kept."""
    before = page.stored("uploads")
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    answer = dana.post("/uploads", content=body.replace(b"CSRF", dana.csrf.encode()), headers=kind)
    assert answer.status_code == status, answer.text
    assert page.stored("uploads") == before


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "B" * 300,
        "multipart/mixed; boundary=B", "text/csv", "application/x-www-form-urlencoded", "",
    ],
)  # fmt: skip
def test_another_kind_of_body_is_refused(dana: Visitor, kind: str) -> None:
    """Only a multipart form with a usable boundary is read."""
    assert dana.post("/uploads", content=b"--B--\r\n", headers={"Content-Type": kind}).status_code == 415


@contextmanager
def begun(page: PageServer, dana: Visitor, content: bytes = CONTENT) -> Iterator[socket.socket]:
    """An upload whose file has begun, and comes no further."""
    with page.connect() as connection:
        part = FIELD % (b"csrf", dana.csrf.encode()) + FILE.removesuffix(b"\r\n") % content
        connection.sendall(head(page, dana, f"Content-Length: {len(part) + 100_000}") + part)
        yield connection


def trickle(connection: socket.socket, byte: bytes) -> bytes:
    """Send a byte now and then until the server answers, and return that; empty if it closes."""
    connection.settimeout(0.05)
    ends = time.monotonic() + 60
    while True:
        assert time.monotonic() < ends
        with suppress(ConnectionError):  # it has just answered, or closed
            connection.sendall(byte)
        try:
            return connection.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            return b""


def test_an_upload_that_stops_is_ended(impatient: PageServer) -> None:
    """A client that sends nothing more is refused after a pause, and its place is free again."""
    with begun(impatient, impatient.visitor(Role.UPLOAD)) as connection:
        assert status_of(read_all(connection)) == 408
    until_incomplete(impatient, 0)


def test_a_slow_upload_is_ended(impatient: PageServer) -> None:
    """A client that sends a byte now and then (slow loris) is refused: it never pauses, but it is slow."""
    with begun(impatient, impatient.visitor(Role.UPLOAD)) as connection:
        assert status_of(trickle(connection, b"u")) == 408
    until_incomplete(impatient, 0)


def test_a_slow_form_is_ended(impatient: PageServer) -> None:
    """A form has to come as a whole within its time."""
    line = head(impatient, impatient.visitor(Role.UPLOAD), "Content-Length: 500", path="/sign-in")
    line = line.replace(b"multipart/form-data; boundary=B", b"application/x-www-form-urlencoded")
    with impatient.connect() as connection:
        connection.sendall(line + b"csrf=")
        assert status_of(read_all(connection)) == 408


def test_headers_have_to_come_in_time(impatient: PageServer) -> None:
    """A connection whose request never begins, or comes a byte at a time, is closed."""

    def answer(sent: bytes) -> bytes:
        with impatient.connect() as connection:
            connection.sendall(sent)
            return trickle(connection, b"a" if sent else b"")

    with ThreadPoolExecutor() as threads:
        begun = threads.map(answer, [b"", b"G", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "])
        assert [*begun] == [b""] * 3


def test_header_bombs_are_refused(page: PageServer) -> None:
    """Headers beyond the bound, many or long, end the connection."""
    own = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n"
    for bomb in ("X: " + "a" * 200_000, "".join(f"X{n}: a\r\n" for n in range(20_000)), "a" * 200_000):
        assert status_of(page.send(own + bomb + "\r\n\r\n")) in (0, 400)
    assert status_of(page.send(f"GET /{'a' * 200_000} HTTP/1.1\r\n\r\n")) in (0, 400)


def test_connections_are_bounded(tmp_path: Path) -> None:
    """Beyond the bound a connection is closed at once; when others end, there is room again."""
    server = PageServer(tmp_path, bounds=Bounds(connections=3))
    request = f"GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n"
    try:
        idle = [server.connect() for _ in range(3)]
        time.sleep(0.1)
        assert status_of(server.send(request)) == 0
        for connection in idle:
            connection.close()
        until(lambda: status_of(server.send(request)) == 200)
    finally:
        server.stop()


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_killed_connection_leaves_nothing(page: PageServer, how: str) -> None:
    """An upload of which a block has arrived when its connection dies is not in the ledger."""
    dana, before = page.visitor(Role.UPLOAD), page.stored("uploads")
    with begun(page, dana, bytes(MIB * 3 // 2)) as connection:
        until_incomplete(page, 2)  # the upload and a block of it
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until_incomplete(page, 0)
    assert page.stored("uploads") == before


def test_uploads_at_once_are_bounded(page: PageServer) -> None:
    """A person has two uploads at once, all together three; then the next has to wait, and later can."""
    dana, kim = page.visitor(Role.UPLOAD), page.visitor(Role.APPROVE)
    with begun(page, dana), begun(page, dana):
        until_incomplete(page, 2)
        assert [one.upload("a.csv", CONTENT).status_code for one in (dana, kim)] == [503, 303]
        with begun(page, kim):
            until_incomplete(page, 3)
            assert kim.upload("a.csv", CONTENT).headers["retry-after"] == "10"
    until_incomplete(page, 0)
    until(lambda: dana.upload("a.csv", CONTENT).status_code == 303)  # the place is free after the ledger


def test_an_upload_is_recorded(page: PageServer, dana: Visitor) -> None:
    """The audit trail has who uploaded which file, from where."""
    dana.upload("staff.csv", CONTENT)
    ((_, act),) = page.ledger.audit.newest(1)
    assert (act.operator, act.origin, act.command, act.subject) == (
        "upload (page)", "127.0.0.1", "page upload", "staff.csv",
    )  # fmt: skip


def test_nobody_fills_the_disk(tmp_path: Path) -> None:
    """A person who has as much stored as they may discards something first; others go on."""
    server = PageServer(tmp_path, bounds=Bounds(stored_each=1, tries=10_000), max_upload=1024)
    try:
        dana, kim = server.visitor(Role.UPLOAD), server.visitor(Role.APPROVE)
        first = dana.upload("a.csv", b"x" * 1024)
        assert [one.upload("b.csv", b"x").status_code for one in (dana, kim)] == [413, 303]
        assert dana.submit(f"{first.headers['location']}/discard").status_code == 303
        assert dana.upload("b.csv", b"x").status_code == 303
    finally:
        server.stop()


def test_what_nobody_uses_is_shredded(tmp_path: Path) -> None:
    """A server by itself shreds an upload that is a day old, and forgets sessions that ended."""
    server = PageServer(tmp_path)
    try:
        assert server.visitor(Role.UPLOAD).upload("a.csv", CONTENT).status_code == 303
        server.clock.advance(86_401)
        with tidied(server.site, server.work, every=0.01):
            until(lambda: not server.stored("upload_blocks") + server.stored("page_sessions"))
    finally:
        server.stop()
