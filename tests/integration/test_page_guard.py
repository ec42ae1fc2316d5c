"""What every request to the page passes: hosts, roles, foreign forms, odd requests, headers, errors."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from tests.integration.page import PageServer, Visitor, multipart, until
from tests.unit.jobs import make_row, start_job
from worker.errors import LedgerAway, UsageError
from worker.ledger import Role
from worker.web.app import ROUTES
from worker.web.guard import HEADERS
from worker.web.sessions import Visit
from worker.web.site import Page, see_other

SECRET = "s3cret-of-a-phone"


def fail(request: Request) -> Response:
    """A page with a fault, whose text has a secret."""
    raise RuntimeError(SECRET)


def refuse(request: Request) -> Response:
    """A page that says what is wrong, with text from a hostile file."""
    kind = UsageError if request.path_params["kind"] == "usage" else LedgerAway
    raise kind("<script>alert(1)</script>", "nothing & nobody")


def done(request: Request) -> Response:
    """A page that changes something."""
    return see_other("/")


PAGES = [
    *ROUTES,
    Page("/fail", fail, ("GET", "POST"), Role.UPLOAD),
    Page("/refuse/{kind}", refuse, ("GET",), Role.UPLOAD),
    Page("/done", done, ("POST",), Role.UPLOAD),
]
CHANGES = [(page, method) for page in ROUTES for method in page.methods if method != "GET"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A page with people of all roles."""
    server = PageServer(tmp_path_factory.mktemp("page"), PAGES)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def admin(page: PageServer) -> Visitor:
    """An administrator."""
    return page.visitor(Role.ADMIN)


def path_of(page: Page) -> str:
    """The path of a page about something that doesn't exist."""
    return re.sub(r"\{[^}]*\}", "nobody", page.path)


def test_each_route_asks_for_its_role(page: PageServer) -> None:
    """Every method of every route is refused to all below its role, and to nobody else."""
    visitors = {role: page.visitor(role) for role in (None, *Role)}
    tokens, wrong = {role: visitor.csrf for role, visitor in visitors.items()}, []
    for one in ROUTES:
        for method in one.methods:
            for role, visitor in visitors.items():
                form = {"csrf": tokens[role]} if method == "POST" else None
                answer = visitor.request(method, path_of(one), data=form)
                to_sign_in = answer.headers.get("location", "").startswith("/sign-in?")
                refused = answer.status_code in (401, 403) or to_sign_in
                may = one.role is None or (role is not None and role.includes(one.role))
                if one.path == "/sign-in" and method == "POST":  # which refuses the token, not the role
                    refused = "This token is not valid" not in answer.text
                if refused == may:
                    wrong.append((method, one.path, role, answer.status_code))
                if one.path == "/sign-out":
                    visitors[role] = page.visitor(role)
                    tokens[role] = visitors[role].csrf
    assert wrong == []


def test_what_is_another_s_is_not_there(page: PageServer) -> None:
    """The uploads and jobs of others are answered as those that never were, whatever is asked of them."""
    with page.ledger.uploads.receive(page.site.seal, "approve", "board.csv") as receiving:
        receiving.write(b"user,password\n101,a\n")
    assert receiving.upload
    names = {"upload": receiving.upload.id, "job": start_job(page.ledger, [make_row(2)]).id}
    lee = page.visitor(Role.UPLOAD)
    token, asked = lee.csrf, 0
    for one in ROUTES:
        for method in one.methods if one.role is Role.UPLOAD else ():
            paths = [re.sub(r"\{(upload|job)\}", there, one.path) for there in ("nobody", *names.values())]
            if paths[0] == one.path:
                continue
            data = {"csrf": token} if method == "POST" else None
            answers = [lee.request(method, re.sub(r"\{\w+\}", "x", path), data=data) for path in paths]
            assert {answer.status_code for answer in answers} == {404}, one.path
            assert "board.csv" not in "".join(answer.text for answer in answers)
            asked += 1
    assert asked >= 10
    assert page.visitor(Role.APPROVE).get(f"/jobs/{names['job']}").status_code == 200


def test_only_signing_in_needs_no_role() -> None:
    """A new page is not public by mistake."""
    assert {page.path for page in ROUTES if page.role is None} == {"/sign-in"}


@pytest.mark.parametrize("kind", ["missing", "forged", "another's", "of a visitor"])
def test_a_form_without_its_token_is_refused(page: PageServer, admin: Visitor, kind: str) -> None:
    """Each route that changes something refuses a form with no token, a made-up one, or another session's."""
    others = {"another's": page.visitor(Role.ADMIN), "of a visitor": page.visitor()}
    token = others[kind].csrf if kind in others else {"missing": "", "forged": "0" * 64}[kind]
    refused, before = {}, page.stored("uploads")
    for one, method in CHANGES:
        body = multipart(token, b"a.csv", b"user\n") if one.reads_body else {"data": {"csrf": token}}
        refused[one.path] = admin.request(method, path_of(one), **body).status_code
    assert set(refused.values()) == {403}
    assert admin.get("/people").status_code == 200  # not signed out
    assert page.stored("uploads") == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_a_form_from_elsewhere_is_refused(admin: Visitor, headers: dict[str, str]) -> None:
    """A form that a browser sends from another site is refused, even with the right token."""
    assert admin.submit("/done", headers).status_code == 403
    assert admin.submit("/done", {"Origin": str(admin.base_url).rstrip("/")}).status_code == 303


def test_a_page_is_not_embedded_elsewhere(admin: Visitor) -> None:
    """Other sites may link to the page, but not load it as an image, by script or into a frame."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert admin.get("/", headers=link).status_code == 200
    for change in ({"Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Dest": "iframe"}):
        assert admin.get("/", headers=link | change).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "localhost", "127.0.0.1:1", "10.0.0.7:8470", "[::1", "a b", ""]
)
def test_another_host_name_is_refused(page: PageServer, host: str) -> None:
    """A name that was pointed at this address (DNS rebinding) gets nothing, not even a static file."""
    for path in ("/", "/sign-in", "/static/page.css"):
        answer = page.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        assert answer.split(b"\r\n")[0] in (b"HTTP/1.1 421 Misdirected Request", b"HTTP/1.1 400 Bad Request")


def test_two_hosts_and_none_are_refused(page: PageServer) -> None:
    """A request must name one host."""
    own = f"Host: 127.0.0.1:{page.port}\r\n"
    assert page.send(f"GET / HTTP/1.1\r\n{own}{own}Connection: close\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert page.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert page.send("GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421")
    with httpx.Client() as client:
        assert client.get(f"http://localhost:{page.port}/sign-in").status_code == 200


@pytest.mark.parametrize("path", ["/", "/sign-in", "/people", "/static/page.css", "/nothing"])
@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_odd_methods_are_refused(admin: Visitor, method: str, path: str) -> None:
    """Nothing but GET, HEAD and POST is answered, and no other site is told that it may do more."""
    answer = admin.request(method, path, headers={"Origin": "https://evil.example"})
    assert answer.status_code == (404 if path == "/nothing" else 405)
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_head_is_get_without_a_body(admin: Visitor) -> None:
    """HEAD has the status and the headers of GET."""
    head, get = admin.head("/people"), admin.get("/people")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd",
        "/static/%2fetc/passwd", "/static/..%5capp.py", "/static/page.css%00.html", "/static/" + "a" * 5000,
        "/static/", "/static", "/static/.", "/templates/layout.html", "//evil.example/", "/%00", "/people/",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_static_files(page: PageServer, path: str) -> None:
    """Every path that is no page's and no static file's is answered with 404."""
    answer = page.send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404"), answer[:200]
    assert b"import" not in answer


def test_every_answer_has_the_headers(page: PageServer, admin: Visitor) -> None:
    """Pages, redirects, static files and errors of every kind have the headers, and none names the server."""
    own = f"Host: 127.0.0.1:{page.port}\r\nConnection: close\r\n"
    nobody = page.visitor()
    answers = {
        "page": admin.get("/people"), "redirect": nobody.get("/people"),
        "static": nobody.get("/static/page.css"),
        "missing": nobody.get("/nothing"), "method": nobody.put("/"),
        "csrf": admin.post("/done", data={"a": ""}),
        "kind": admin.post("/done", json={}), "long": admin.post("/done", data={"a": "b" * (3 << 20)}),
        "fault": admin.get("/fail"), "role": page.visitor(Role.UPLOAD).get("/people"),
        "token": nobody.sign_in("x"), "session": nobody.post("/done"), "away": admin.get("/refuse/away"),
        "static missing": nobody.get("/static/nothing"), "host": nobody.get("/", headers={"Host": "evil"}),
    }  # fmt: skip
    statuses = {name: answer.status_code for name, answer in answers.items()}
    assert statuses == {
        "page": 200, "redirect": 303, "static": 200, "missing": 404, "method": 405, "csrf": 403, "kind": 415,
        "long": 413, "fault": 500, "role": 403, "token": 401, "session": 401, "away": 503,
        "static missing": 404, "host": 421,
    }  # fmt: skip
    found = {name: dict(answer.headers) for name, answer in answers.items()}
    for bad in (
        f"GET / HTTP/1.1\r\n{own}no colon\r\n\r\n",
        "nonsense\r\n\r\n",
        f"GET / HTTP/1.1\r\n{own}x: \0\r\n\r\n",
    ):
        head = page.send(bad).partition(b"\r\n\r\n")[0].decode()
        assert head.startswith("HTTP/1.1 400")
        found[bad] = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
    for name, headers in found.items():
        lower = {key: value.lower() for key, value in headers.items()}
        assert {key.lower(): lower.get(key.lower()) for key in HEADERS} == {
            key.lower(): value.lower() for key, value in HEADERS.items()
        }, name
        assert "server" not in headers


def test_a_fault_is_told_by_its_number(admin: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    """A page with a fault shows no traceback and no value, but a number that the log has, too."""
    for answer in (admin.get("/fail"), admin.submit("/fail")):
        assert answer.status_code == 500
        (number,) = re.findall("<code>([0-9a-f]{8})</code>", answer.text)
        assert f"error {number}: an internal error in fail (test_page_guard.py" in caplog.text
        assert SECRET not in answer.text
    assert SECRET not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_ledger_that_fails_is_not_described(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the database says is in the log alone, also if not even the session can be looked up."""
    server = PageServer(tmp_path)
    try:
        visitor = server.visitor(Role.UPLOAD)
        with server.ledger.store.begin() as connection:
            connection.execute(text("DROP TABLE page_sessions"))
        answer = visitor.get("/")
    finally:
        server.stop()
    assert answer.status_code == 503
    (number,) = re.findall("<code>([0-9a-f]{8})</code>", answer.text)
    assert re.search(f"error {number}: the ledger .*failed: no such table: page_sessions", caplog.text)
    assert "The ledger can&#39;t be used" in answer.text
    assert "page_sessions" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_text_from_elsewhere_is_only_text(admin: Visitor) -> None:
    """The text of an error may come from a hostile roster: it is shown, and never run."""
    answer = admin.get("/refuse/usage")
    assert answer.status_code == 400
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"csrf=" + b"a" * (2 << 20), 413),
        (b"a=&" * 20_001, 413),
        (b"csrf=%ff%fe", 400),
        (b"csrf=\xff", 400),
        (b"", 403),
        (b"csrf=a&csrf=b", 403),
    ],
    ids=["long", "many", "no UTF-8", "no ASCII", "empty", "twice"],
)
def test_forms_are_read_within_bounds(admin: Visitor, body: bytes, status: int) -> None:
    """A form that is too large, has too many fields or isn't text is refused."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert admin.post("/done", content=body, headers=kind).status_code == status
    chunked = admin.post("/done", content=iter([body]), headers=kind)
    assert chunked.status_code == status


def test_only_forms_are_taken(admin: Visitor) -> None:
    """JSON, text and multipart bodies are refused where a form is wanted, as is any body without POST."""
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=B", ""):
        assert admin.post("/done", content=b"{}", headers={"Content-Type": kind}).status_code == 415
    assert admin.request("GET", "/", content=b"{}").status_code == 400


def test_the_log_has_no_query_and_no_secret(
    page: PageServer, admin: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """A line for each request names person, address, method, path and status, but nothing behind the path."""
    caplog.set_level(logging.INFO, "worker")
    admin.get("/people", params={"token": SECRET})
    admin.get("/pe%1Bop%0Ale")
    until(lambda: "127.0.0.1 - GET /pe%1Bop%0Ale 404" in caplog.text)  # the line comes after the answer
    assert "127.0.0.1 admin GET /people 200" in caplog.text
    session = next(value for name, value in admin.cookies.items() if "session" in name)
    for secret in (SECRET, session, admin.csrf):
        assert secret not in caplog.text


def test_without_sign_in_everybody_is_the_one_who_runs_it(tmp_path: Path) -> None:
    """On this computer alone, nobody signs in; forms need their token all the same."""
    server = PageServer(tmp_path, PAGES, sign_in=False)
    try:
        visitor = server.visitor()
        assert "ada" in visitor.get("/people").text
        assert visitor.post("/done", data={"csrf": "x"}).status_code == 403
        assert visitor.submit("/done").status_code == 303
        (name,) = visitor.cookies
        assert "session" not in name
        planted = Visit("planted", None)  # by another site of this host: its author knows the token, too
        forged = httpx.post(
            f"{server.url}/done", data={"csrf": planted.csrf}, headers={"Cookie": f"{name}={planted.cookie}"}
        )
        assert forged.status_code == 403
    finally:
        server.stop()
