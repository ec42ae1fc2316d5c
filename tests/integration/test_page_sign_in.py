"""Signing in to the page: tokens, sessions, their ends, and those who guess."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest

from tests.integration.page import TOKENS, PageServer, Visitor
from tests.unit.jobs import start_job
from worker.ledger import Person, Role
from worker.web.site import Bounds
from worker.web.tokens import hash_of, person_token


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A page with people of all roles."""
    server = PageServer(tmp_path_factory.mktemp("page"))
    yield server
    server.stop()


@pytest.fixture
def lee(page: PageServer) -> Iterator[str]:
    """The token of a person of this test."""
    token = person_token("lee")
    page.ledger.people.add(Person("lee", Role.ADMIN), hash_of(token))
    yield token
    if page.ledger.people.find("lee"):
        page.ledger.people.remove("lee")


def is_in(visitor: httpx.Client) -> bool:
    """Whether this visitor is signed in."""
    return visitor.get("/").status_code == 200


def session_of(visitor: httpx.Client) -> str:
    """The value of the session's cookie."""
    return next(value for name, value in visitor.cookies.items() if "session" in name)


def test_a_token_opens_the_page(page: PageServer, lee: str) -> None:
    """A person's token begins a session, which shows their name; it may have blanks around it."""
    visitor = page.visitor()
    assert not is_in(visitor)
    assert visitor.sign_in(f" {lee}\n").headers["location"] == "/"
    assert ">lee</span>" in visitor.get("/").text
    known = page.ledger.people.find("LEE")
    assert known is not None
    assert known.signed_in is not None


@pytest.mark.parametrize(
    "change", ["cut", "longer", "folded", "another's", "name", "hash", "nul", "huge", "empty"]
)
def test_a_forged_token_is_refused(page: PageServer, lee: str, change: str) -> None:
    """Anything but exactly the token is refused, and nobody is signed in."""
    known = page.ledger.people.find("lee")
    assert known is not None
    forged = {
        "cut": lee[:-1], "longer": lee + "A", "folded": lee.swapcase(), "name": "lee",
        "another's": "lee." + TOKENS[Role.ADMIN].partition(".")[2], "hash": f"lee.{known.token_hash}",
        "nul": lee + "\0", "huge": "lee." + "a" * 100_000, "empty": "",
    }[change]  # fmt: skip
    visitor = page.visitor()
    answer = visitor.sign_in(forged)
    assert answer.status_code == 401
    assert lee not in answer.text
    assert not is_in(visitor)


def test_a_session_ends_with_the_person_or_their_token(page: PageServer, lee: str) -> None:
    """A renewed token, a removed person: the sessions end at once, and the old token is refused."""
    people, visitor = page.ledger.people, page.visitor()
    visitor.sign_in(lee)
    assert is_in(visitor)
    renewed = person_token("lee")
    people.renew("lee", hash_of(renewed))
    assert not is_in(visitor)
    assert visitor.sign_in(lee).status_code == 401
    assert visitor.sign_in(renewed).status_code == 303
    assert is_in(visitor)
    people.remove("lee")
    assert not is_in(visitor)
    assert visitor.sign_in(renewed).status_code == 401


def test_a_role_counts_from_the_next_request(page: PageServer, lee: str) -> None:
    """Who loses a role loses it in sessions that have begun, too."""
    visitor = page.visitor()
    visitor.sign_in(lee)
    assert visitor.get("/audit").status_code == 200
    page.ledger.people.set_role("lee", Role.UPLOAD)
    assert visitor.get("/audit").status_code == 403


@pytest.mark.parametrize(("steps", "step", "open_"), [(1, 7201, False), (7, 7000, False), (3, 7000, True)])
def test_a_session_expires(tmp_path: Path, steps: int, step: float, open_: bool) -> None:
    """A session ends two hours after its last request, and twelve after its beginning."""
    page = PageServer(tmp_path)
    try:
        visitor = page.visitor(Role.UPLOAD)
        for _ in range(steps):
            page.clock.advance(step)
            still = is_in(visitor)
        assert still is open_
        page.visitor(Role.UPLOAD)  # which cleans up
        assert page.stored("page_sessions") == 1 + open_
    finally:
        page.stop()


def test_signing_out_ends_the_session(page: PageServer) -> None:
    """After signing out, the cookie is gone, and a copy of it opens nothing."""
    visitor = page.visitor(Role.UPLOAD)
    copy = {"Cookie": f"siproster-session-{page.port}={session_of(visitor)}"}
    assert httpx.get(page.url, headers=copy).status_code == 200
    answer = visitor.submit("/sign-out")
    assert answer.headers["location"] == "/sign-in"
    assert not any("session" in name for name in visitor.cookies)
    assert httpx.get(page.url, headers=copy).status_code == 303


def test_a_live_page_ends_with_the_session(page: PageServer, lee: str) -> None:
    """Nobody goes on reading what they may not open any more: the page is loaded again, and says why."""
    visitor, people = page.visitor(), page.ledger.people
    job, renewed = start_job(page.ledger, host=page.site.host), person_token("lee")
    for token, end in (
        (lee, lambda: visitor.submit("/sign-out")),
        (lee, lambda: people.renew("lee", hash_of(renewed))),
        (renewed, lambda: people.set_role("lee", Role.UPLOAD)),
        (renewed, lambda: people.remove("lee")),
    ):
        people.set_role("lee", Role.ADMIN)
        visitor.sign_in(token)
        with visitor.stream("GET", f"/jobs/{job.id}/events") as answer:
            events = (line for line in answer.iter_lines() if line.startswith("event:"))
            assert next(events) == "event: facts"
            end()
            assert list(events)[-1] == "event: reload"
    with visitor.stream("GET", f"/jobs/{job.id}/events", headers={"Accept": "text/event-stream"}) as answer:
        assert next(answer.iter_lines()) == "event: reload"  # as a browser asks that has lost its connection


def test_a_session_is_not_chosen_by_others(page: PageServer, lee: str) -> None:
    """A cookie that was planted before signing in is not the one of the session (session fixation)."""
    visitor = page.visitor()
    visitor.cookies.set(f"siproster-session-{page.port}", "planted", domain="127.0.0.1", path="/")
    visitor.sign_in(lee)
    assert "planted" not in visitor.cookies.values()
    assert is_in(visitor)
    planted = {"Cookie": f"siproster-session-{page.port}=planted"}
    assert httpx.get(page.url, headers=planted).status_code == 303


def test_signing_in_again_ends_the_session_before(page: PageServer, lee: str) -> None:
    """There is one session for a browser."""
    visitor = page.visitor(Role.UPLOAD)
    before = {"Cookie": f"siproster-session-{page.port}={session_of(visitor)}"}
    visitor.sign_in(lee)
    assert httpx.get(page.url, headers=before).status_code == 303


@pytest.mark.parametrize(
    "cookie", ["", "a" * 5000, "\x00", "../../x", "' OR 1=1 --", "\xff\xfe"],
    ids=["none", "long", "nul", "path", "sql", "bytes"],
)  # fmt: skip
def test_a_made_up_cookie_opens_nothing(page: PageServer, cookie: str) -> None:
    """Cookies of any content are no session, and break nothing."""
    for name in ("session", "visitor"):
        answer = page.send(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nConnection: close\r\n"
            f"Cookie: siproster-{name}-{page.port}={cookie}\r\n\r\n"
        )
        assert answer.split(b" ")[1] in (b"303", b"400")


@pytest.mark.parametrize("secure", [False, True])
def test_cookies_are_kept_from_scripts_and_other_sites(tmp_path: Path, secure: bool) -> None:
    """HttpOnly, SameSite, for this host alone; with TLS also Secure, under a name that others can't set."""
    scheme = "https" if secure else "http"
    page = PageServer(tmp_path, secure=secure, origin=f"{scheme}://voice.example.com")
    host = {"Host": "voice.example.com"}
    try:
        first = httpx.get(f"{page.url}/sign-in", headers=host)
        jar = SimpleCookie(first.headers["set-cookie"])
        (visit,) = jar.values()
        token = first.text.partition('name="csrf" value="')[2][:64]
        answer = httpx.post(
            f"{page.url}/sign-in", data={"csrf": token, "token": TOKENS[Role.UPLOAD]},
            headers={**host, "Cookie": f"{visit.key}={visit.value}"},
        )  # fmt: skip
        (session,) = SimpleCookie(answer.headers["set-cookie"]).values()
    finally:
        page.stop()
    for cookie, same_site in ((visit, "lax"), (session, "strict")):
        assert cookie.key.startswith("__Host-") is secure
        assert bool(cookie["secure"]) is secure
        assert (cookie["httponly"], cookie["samesite"].lower()) == (True, same_site)
        assert (cookie["path"], cookie["domain"], cookie["expires"], cookie["max-age"]) == ("/", "", "", "")


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
        "/\n//evil.example", " //evil.example", "javascript:alert(1)", "evil", "", "/sign-out", "/a\r\nX: y",
        "http:evil.example", "/\u2215evil.example", "//evil.example@127.0.0.1/",
    ],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(page: PageServer, lee: str, target: str) -> None:
    """After signing in, people stay on this site, whatever the address says."""
    visitor = page.visitor()
    assert visitor.sign_in(lee, target).headers["location"] == "/"
    again = visitor.get("/sign-in", params={"next": target})
    assert again.headers["location"] == "/"


def test_signing_in_leads_back(page: PageServer, lee: str) -> None:
    """After signing in, people see the page that they came for."""
    visitor = page.visitor()
    asked = visitor.get("/audit?offset=100")
    assert asked.headers["location"] == "/sign-in?next=%2Faudit%3Foffset%3D100"
    assert visitor.sign_in(lee, "/audit?offset=100").headers["location"] == "/audit?offset=100"


def test_those_who_guess_have_to_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After some refused tokens an address has to wait, also with the right one; the log says so."""
    page = PageServer(tmp_path, bounds=Bounds(tries=3))
    try:
        visitor = page.visitor()
        answers = [visitor.sign_in(f"admin.{number}").status_code for number in range(3)]
        assert answers == [401, 401, 401]
        slowed = visitor.sign_in(TOKENS[Role.ADMIN])
        assert slowed.status_code == 429
        assert int(slowed.headers["retry-after"]) >= 1
        assert not is_in(visitor)
        page.clock.advance(61)
        assert visitor.sign_in(TOKENS[Role.ADMIN]).status_code == 303
    finally:
        page.stop()
    assert caplog.text.count("a sign-in from 127.0.0.1 was refused: admin") == 3
    assert "sign-ins from 127.0.0.1 are refused for" in caplog.text


def test_who_signs_in_is_recorded(page: PageServer, lee: str, caplog: pytest.LogCaptureFixture) -> None:
    """The audit trail and the log name the person and the address, and never a token, right or wrong."""
    caplog.set_level(logging.DEBUG)
    visitor = page.visitor()
    visitor.sign_in("lee.hunter2")
    visitor.sign_in("hunter3.lee")
    visitor.sign_in(lee)
    session = session_of(visitor)
    visitor.submit("/sign-out")
    acts = [act for _, act in page.ledger.audit.newest(4)]
    assert [(act.operator, act.origin, act.command, act.subject) for act in acts] == [
        ("lee (page)", "127.0.0.1", "page sign-out", ""),
        ("lee (page)", "127.0.0.1", "page sign-in", ""),
        ("nobody (page)", "127.0.0.1", "page sign-in refused", ""),
        ("nobody (page)", "127.0.0.1", "page sign-in refused", "lee"),
    ]
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith(("httpx", "httpcore"))]
    assert "127.0.0.1 lee POST /sign-in 303" in "\n".join(ours)
    for secret in ("hunter2", "hunter3", lee, lee.partition(".")[2], session):
        assert secret not in "\n".join(ours)
        assert secret not in repr(acts)


def test_the_ledger_has_no_token(tmp_path: Path) -> None:
    """The ledger's files have neither tokens nor cookies, only hashes that open nothing."""
    page = PageServer(tmp_path)
    visitor = page.visitor(Role.ADMIN)
    new = visitor.submit("/people", name="kim", role="upload")
    token = new.text.partition('class="token">')[2].partition("<")[0]
    assert token.startswith("kim.")
    secrets = [*TOKENS.values(), token, *visitor.cookies.values()]
    page.stop()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert hash_of(token).encode() in files
    for secret in secrets:
        assert secret.rpartition(".")[2].encode() not in files


def test_people_are_managed_on_the_page(page: PageServer) -> None:
    """An administrator adds people, changes roles, renews tokens and removes them; each is recorded."""
    admin = page.visitor(Role.ADMIN)

    def token_in(answer: httpx.Response) -> str:
        return answer.text.partition('class="token">')[2].partition("<")[0]

    first = token_in(admin.submit("/people", name="sam", role="upload"))
    second = token_in(admin.submit("/people/sam/renew"))
    sam = page.visitor()
    assert [sam.sign_in(token).status_code for token in (first, second)] == [401, 303]
    assert second not in admin.get("/people").text
    assert admin.submit("/people/SAM/role", role="approve").headers["location"] == "/people"
    assert sam.get("/people").status_code == 403
    assert admin.submit("/people/sam/remove").headers["location"] == "/people"
    assert not is_in(sam)
    acts = [
        (act.command, act.subject)
        for _, act in page.ledger.audit.newest(9)
        if act.operator.startswith("admin")
    ]
    assert acts[:4] == [
        ("page people remove", "sam"), ("page people role", "sam"), ("page people renew", "sam"),
        ("page people add", "sam"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/people", {"name": "../x", "role": "upload"}, 400),
        ("/people", {"name": "<b>", "role": "upload"}, 400),
        ("/people", {"name": "a" * 65, "role": "upload"}, 400),
        ("/people", {"name": "ADMIN", "role": "upload"}, 409),
        ("/people", {"name": "kay", "role": "root"}, 400),
        ("/people", {"name": "kay"}, 400),
        ("/people/nobody/renew", {}, 404),
        ("/people/nobody/remove", {}, 404),
        ("/people/admin/remove", {}, 400),
        ("/people/Admin/role", {"role": "upload"}, 400),
    ],
)
def test_what_can_t_be_done_to_people_changes_nothing(
    page: PageServer, path: str, fields: dict[str, str], status: int
) -> None:
    """Wrong names and roles are refused, as is removing oneself, and nothing is recorded of them."""
    before, acts = page.ledger.people.all(), page.ledger.audit.newest(1)
    admin = page.visitor(Role.ADMIN)
    acts = page.ledger.audit.newest(1)
    assert admin.post(path, data={"csrf": admin.csrf, **fields}).status_code == status
    assert {one.person for one in page.ledger.people.all()} == {one.person for one in before}
    assert page.ledger.audit.newest(1) == acts


def test_the_audit_trail_is_shown_in_pages(page: PageServer) -> None:
    """The trail names who did what, from where; an odd offset is none."""
    admin = page.visitor(Role.ADMIN)
    shown = admin.get("/audit").text
    assert "admin (page)" in shown
    assert "page sign-in" in shown
    for odd in ("-1", "x", "9" * 30, "1e3", "²"):
        assert admin.get("/audit", params={"offset": odd}).status_code == 200


@pytest.mark.parametrize(
    ("proxied", "header", "address"),
    [
        (False, "203.0.113.9", "127.0.0.1"),
        (True, "203.0.113.9", "203.0.113.9"),
        (True, "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (True, "2001:db8::1", "2001:db8::1"),
        (True, "<script>", "127.0.0.1"),
        (True, "", "127.0.0.1"),
    ],
)
def test_only_a_proxy_says_who_the_client_is(
    tmp_path: Path, proxied: bool, header: str, address: str
) -> None:
    """X-Forwarded-For counts behind a proxy alone, and there only what the proxy itself has added."""
    page = PageServer(tmp_path, proxied=proxied)
    try:
        visitor = Visitor(page.url)
        visitor.headers["X-Forwarded-For"] = header
        visitor.sign_in(TOKENS[Role.UPLOAD])
        visitor.close()
        ((_, act),) = page.ledger.audit.newest(1)
        assert act.origin == address
    finally:
        page.stop()


def test_behind_a_proxy_nothing_goes_on_in_clear(tmp_path: Path) -> None:
    """A request that came to the proxy without TLS is led to the address with it, and a form is refused."""
    page = PageServer(
        tmp_path, proxied=True, secure=True, origin="https://voice.example.com", hosts=frozenset()
    )
    try:
        own = {"Host": "voice.example.com", "X-Forwarded-Proto": "http"}
        answer = httpx.get(f"{page.url}/people?a=b", headers=own)
        assert (answer.status_code, answer.headers["location"]) == (307, "https://voice.example.com/people")
        assert httpx.post(f"{page.url}/sign-in", headers=own).status_code == 400
        assert (
            httpx.get(f"{page.url}/sign-in", headers=own | {"X-Forwarded-Proto": "https"}).status_code == 200
        )
        assert httpx.get(f"{page.url}/sign-in").status_code == 421
    finally:
        page.stop()
