"""A hostile service: it does what it is asked or doesn't, answers something else, and knows the truth."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

STALL = 0.6
"""Seconds that a stalled answer is late."""

MINE, OTHERS, BEFORE = "mine", "others", "before"

PAGE = b"<html><body><p>Blocked by policy</p></body></html>"
LOCKED = (
    b"<R><ResponseStatus><ErrorCode>4022</ErrorCode><Description>locked</Description></ResponseStatus></R>"
)

LOST = ("drop", "cut", "stall", "500", "page")
FOREIGN = ("403", "302", "404", "405", "409", "418", "4022", "401")
LIES = (
    "case",
    "hash1",
    "hash1b",
    "no hash1b",
    "application",
    "realm",
    "realm id",
    "no id",
    "no echo",
    "twice",
)
"""Ways in which an echo may lie; ``no id`` and ``no echo`` leave something out."""


@dataclass
class Held:
    """One user, and by whom it was made and set; ``hash1``, ``hash1b`` and ``application`` are how it is."""

    id: str
    name: str
    realm: str
    hash1: str
    hash1b: str
    application: str
    made_by: str
    set_by: list[str] = field(default_factory=list)
    hidden: int = 0
    """Looks that don't show it yet."""
    earlier: Held | None = None
    """The earlier state that such looks show; None: nothing."""


@dataclass(frozen=True)
class Temper:
    """The faults of a service. Each figure is a fault's probability at one request, or one entry."""

    faults: float = 0.0
    lies: float = 0.0
    commits: float = 0.5
    others: float = 0.0
    """That another ledger's job does something of its own first."""
    overtakes: float = 0.0
    """That a list, or a change, is dropped before it is done, and others do the very same."""
    lag: int = 0
    """Looks that show the state from before a write."""
    bound: int = 1000


@dataclass(frozen=True)
class Reply:
    """An answer. ``lost``: how it gets lost: ``drop`` (nothing arrives), ``cut``, or ``stall``."""

    status: int
    body: bytes = b""
    lost: str = ""


class Account:
    """One account of the service. Its methods are called with its lock held."""

    def __init__(
        self, luck: random.Random, temper: Temper, realms: dict[str, str], *, by_realm: bool
    ) -> None:
        self.luck = luck
        self.temper = temper
        self.realms = realms
        """Id → host name."""
        self.lock = threading.Lock()
        self.users: dict[tuple[str, str], Held] = {}
        self.sent: set[str] = set()
        """Names, in lower case, that arrived in a list or a change."""
        self.refused: dict[str, str] = {}
        """Names that the service takes in no list → code."""
        self.respelt: set[str] = set()
        self.mangled: set[str] = set()
        """Names that it stores with another Hash1b or application, and says so."""
        self.wrongs: list[str] = []
        """Violations that it has seen, such as the deletion of somebody else's credential."""
        self.others_do: Callable[[], None] = lambda: None
        self._by_realm = by_realm
        self._ids = itertools.count(1)

    # -- the truth

    def place(self, realm_id: str, name: str) -> tuple[str, str]:
        return (realm_id if self._by_realm else "", name.casefold())

    def make(self, realm: str, name: str, digests: tuple[str, str], application: str, by: str) -> Held | None:
        """Store a user; None where the name is taken."""
        place = self.place(self._id_of(realm), name)
        if place in self.users:
            return None
        stored = name.swapcase() if by is MINE and name in self.respelt else name
        if by is MINE and name in self.mangled:
            digests = digests[0], f"{self.luck.getrandbits(128):032x}"
        held = Held(str(next(self._ids)), stored, realm, *digests, application=application, made_by=by)
        held.hidden = self.temper.lag if by is MINE else 0
        self.users[place] = held
        return held

    def set(self, held: Held, digests: tuple[str, str], application: str | None, by: str) -> None:
        """Set a user's digests, and its application where one is given."""
        held.earlier, held.hidden = (
            replace(held, earlier=None, hidden=0),
            self.temper.lag if by is MINE else 0,
        )
        held.hash1, held.hash1b = digests
        held.application = held.application if application is None else application
        held.set_by.append(by)

    def remove(self, held: Held) -> None:
        """Delete a user, by us."""
        if held.made_by != MINE:
            self.wrongs.append(f"{held.name}, made by {held.made_by}, was deleted")
        self.users = {place: one for place, one in self.users.items() if one is not held}

    def show_all(self) -> None:
        """Let every look show the current state, as after some time."""
        for held in self.users.values():
            held.hidden = 0

    def _id_of(self, realm: str) -> str:
        return next(id_ for id_, host in self.realms.items() if host == realm)

    # -- requests

    def answer(self, method: str, path: list[str], query: dict[str, list[str]], body: bytes) -> Reply:
        """Do the request or not, and answer truthfully or not."""
        if self.luck.random() < self.temper.others:
            self.others_do()
        if method == "GET":
            return self._fault() or self._show(path, query)
        if method != "DELETE":
            self.sent.update(name.casefold() for name in self._names(method, path, body))
        if method != "DELETE" and self.luck.random() < self.temper.overtakes:
            self._do(method, path, body, OTHERS)
            return Reply(0, lost="drop")
        fault = self._fault()
        if fault is None:
            return self._do(method, path, body, MINE)
        if self.luck.random() < self.temper.commits:
            done = self._do(method, path, body, MINE)
            return replace(done, lost="cut") if fault.lost == "cut" else fault
        return fault

    def _fault(self) -> Reply | None:
        if self.luck.random() >= self.temper.faults:
            return None
        kind = self.luck.choice(LOST + FOREIGN)
        page = PAGE if self.luck.random() < 0.5 else b""
        if kind == "stall" and self.luck.random() < 0.8:  # it takes its time
            kind = "drop"
        if kind in ("drop", "cut", "stall"):
            return Reply(0, lost=kind)
        if kind == "page":
            return Reply(200, PAGE)
        return Reply(404, LOCKED) if kind == "4022" else Reply(int(kind), page)

    def _do(self, method: str, path: list[str], body: bytes, by: str) -> Reply:
        if method == "POST":
            return self._create(path, body, by)
        held = self._named(path)
        if held is None:
            return refusal(404, "23007")
        if method == "PUT":
            return self._update(held, body, by)
        self.remove(held)
        return Reply(200)

    def _create(self, path: list[str], body: bytes, by: str) -> Reply:
        entries = [fields(entry) for entry in ElementTree.fromstring(body)]  # noqa: S314  our own program's
        if len(entries) > self.temper.bound and by is MINE:
            return refusal(400, "23003", f"more than {self.temper.bound} entries")
        host = self.realms[path[1]] if path[0] == "realms" else ""
        valid, errors = [], []
        for entry in entries:
            name, realm = named(entry), host or entry["Realm"]
            code = self.refused.get(name, "")
            held = None
            if not code:
                digests = entry["Hash1"], entry["Hash1b"]
                held = self.make(realm, name, digests, entry.get("HttpVoiceV2AppId", ""), by)
                code = "" if held else "23026" if self._by_realm else "23009"
            if held:
                valid += self._echoes(held, entry)
            else:
                errors.append(self._error(code, entry))
        parts = (f"<ValidSipCredentials>{''.join(valid)}</ValidSipCredentials>" if valid else "") + (
            f"<Errors>{''.join(errors)}</Errors>" if errors else ""
        )
        body = f"<SipCredentialsResponse>{parts}</SipCredentialsResponse>".encode()
        return Reply(201 if valid else 400, body)

    def _echoes(self, held: Held, entry: dict[str, str]) -> list[str]:
        told = {**entry, "Id": held.id, "Realm": held.realm, "RealmId": self._id_of(held.realm)}
        told["Hash1b"] = held.hash1b
        if held.name != named(entry):
            told = told | {
                "UserName": entry["UserName"].swapcase(),
                "Domain": entry.get("Domain", "").swapcase(),
            }
        if self.luck.random() >= self.temper.lies:
            return [credential(told)]
        other = f"{self.luck.getrandbits(128):032x}"
        match self.luck.choice(LIES):
            case "case" if held.name == named(entry):  # else nobody could see it
                told["UserName"] = told["UserName"].swapcase()
            case "hash1":
                told["Hash1"] = self.luck.choice([other, ""])
            case "hash1b":
                told["Hash1b"] = self.luck.choice([other, ""])
            case "no hash1b" if held.hash1b == entry["Hash1b"]:  # else nobody could see it
                del told["Hash1b"]
            case "application":
                told["HttpVoiceV2AppId"] = f"{other[:8]}-1111-2222-3333-{other[:12]}"
            case "realm":
                told["Realm"] = "elsewhere.example"
            case "realm id":
                told["RealmId"] = "99"
            case "no id":
                del told["Id"]
            case "twice":
                return [credential(told), credential(told | {"Id": "4711"})]
            case _:
                return []
        return [credential(told)]

    def _error(self, code: str, entry: dict[str, str]) -> str:
        echo = credential(entry)
        if self.luck.random() < self.temper.lies:
            nameless = {tag: text for tag, text in entry.items() if tag not in ("UserName", "Domain")}
            echo = self.luck.choice(["", credential(nameless)])
        return f"<Error><ErrorCode>{code}</ErrorCode><Description>no</Description>{echo}</Error>"

    def _update(self, held: Held, body: bytes, by: str) -> Reply:
        sent = fields(ElementTree.fromstring(body))  # noqa: S314  our own program's
        digests = sent["Hash1"], sent["Hash1b"]
        restores = by is MINE and held.made_by is BEFORE and digests[0].startswith("0" * 8)
        if restores and held.set_by[-1:] != [MINE] and (held.hash1, held.hash1b) != digests:
            self.wrongs.append(f"{held.name} was set back, after {held.set_by} had set it")
        self.set(held, digests, sent.get("HttpVoiceV2AppId", "" if restores else None), by)
        return Reply(200, b"<SipCredentialResponse/>")

    # -- looks

    def _show(self, path: list[str], query: dict[str, list[str]]) -> Reply:
        if path[-1] != "sipcredentials":
            held = self._named(path)
            shown = held and self._shown(held)
            if not shown:
                return refusal(404, "23025" if self._by_realm else "23007")
            return Reply(200, f"<SipCredentialResponse>{shown}</SipCredentialResponse>".encode())
        fragment = query.get("userNamefragment", [""])[0].casefold()
        found = "".join(
            self._shown(held)
            for place, held in self.users.items()
            if fragment in held.name.casefold() and place[0] in ("", *path[1:2])
        )
        if not found:
            return refusal(404, "23008")
        listed = f"<SipCredentials>{found}</SipCredentials>"
        return Reply(200, f"<SipCredentialsResponse>{listed}</SipCredentialsResponse>".encode())

    def _shown(self, held: Held) -> str:
        """Return the user as a look shows it, which may lag; empty if it isn't shown yet."""
        if held.hidden:
            held.hidden -= 1
            if held.earlier is None:
                return ""
            held = held.earlier
        return credential({
            "Id": held.id, "UserName": held.name, "Hash1": held.hash1, "Hash1b": held.hash1b,
            "Realm": held.realm, "HttpVoiceV2AppId": held.application,
        })  # fmt: skip

    def _named(self, path: list[str]) -> Held | None:
        if self._by_realm:
            found = (one for place, one in self.users.items() if place[0] == path[1] and one.id == path[-1])
            return next(found, None)
        return self.users.get(self.place("", path[-1]))

    def _names(self, method: str, path: list[str], body: bytes) -> Iterator[str]:
        if method == "POST":
            yield from (named(fields(entry)) for entry in ElementTree.fromstring(body))  # noqa: S314
        elif held := self._named(path):
            yield held.name


def fields(element: ElementTree.Element) -> dict[str, str]:
    """The element's children by name."""
    return {child.tag: child.text or "" for child in element}


def named(entry: dict[str, str]) -> str:
    """The entry's composite."""
    return "@".join(filter(None, (entry["UserName"], entry.get("Domain", ""))))


def credential(told: dict[str, str]) -> str:
    """A SipCredential."""
    inner = "".join(
        f"<{tag}>{escape(text)}</{tag}>" for tag, text in told.items() if text or tag in ("Hash1", "Hash1b")
    )
    return f"<SipCredential>{inner}</SipCredential>"


def refusal(status: int, code: str, text: str = "no") -> Reply:
    """Return a refusal in the service's own format."""
    said = f"<ErrorCode>{code}</ErrorCode><Description>{text}</Description>"
    return Reply(status, f"<R><ResponseStatus>{said}</ResponseStatus></R>".encode())


class Liar:
    """The accounts behind one port."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        accounts = self.accounts

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                with suppress(ConnectionError):
                    super().handle_one_request()
                    return
                self.close_connection = True

            def serve(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) < length:  # its deadline was over before all of it was sent
                    self.close_connection = True
                    return
                url = urlsplit(self.path)
                _, _, _, _, account, *path = map(unquote, url.path.split("/"))
                held = accounts[account]
                with held.lock:
                    told = held.answer(self.command, path, parse_qs(url.query), body)
                self.tell(told)

            do_GET = do_POST = do_PUT = do_DELETE = serve  # noqa: N815  the names that http.server looks for

            def tell(self, told: Reply) -> None:
                self.close_connection = self.close_connection or bool(told.lost)
                if told.lost == "stall":
                    time.sleep(STALL)
                if told.lost in ("drop", "stall") or not told.status:
                    return
                self.send_response(told.status)
                self.send_header("Content-Length", str(len(told.body)))
                self.end_headers()
                self.wfile.write(told.body[: len(told.body) // 2] if told.lost else told.body)

            def log_request(self, code: object = "-", size: object = "-") -> None:
                """Print nothing on stderr."""

        return Handler
