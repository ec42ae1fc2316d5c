"""A client of the sandbox for its own tests: plain httpx, XML by hand, nothing of the program."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from xml.etree import ElementTree

import httpx

from tests.sandbox import ACCOUNT, SECRET, USER, Sandbox

ACCOUNT_PATH = f"/api/v2/accounts/{ACCOUNT}"
CREDENTIALS = f"{ACCOUNT_PATH}/sipcredentials"
REALMS = f"{ACCOUNT_PATH}/realms"
FORM = {"grant_type": "client_credentials"}


def client(sandbox: Sandbox) -> httpx.Client:
    """An authenticated client (HTTP Basic, so that no token gets in the way)."""
    return httpx.Client(
        base_url=sandbox.url,
        auth=(USER, SECRET),
        headers={"Content-Type": "application/xml; charset=utf-8"},
        trust_env=False,
        timeout=10,
    )


def token(sandbox: Sandbox) -> httpx.Response:
    """Return the token endpoint's answer to a client with the right secret."""
    url = f"{sandbox.url}/api/v1/oauth2/token"
    return httpx.post(url, data=FORM, auth=(USER, SECRET), trust_env=False)


def md5(text: str) -> str:
    """A digest to send; the sandbox doesn't know what it was made from."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def entry(name: str, **elements: str) -> str:
    """A SipCredential with both digests; ``elements`` come last and replace or add, empty ones leave out."""
    values = {"UserName": name, "Hash1": md5(name), "Hash1b": md5(name + "b"), **elements}
    inner = "".join(f"<{element}>{text}</{element}>" for element, text in values.items() if text)
    return f"<SipCredential>{inner}</SipCredential>"


def roster(entries: Iterable[str]) -> str:
    """A list of entries as the body of a POST."""
    return f"<SipCredentials>{''.join(entries)}</SipCredentials>"


def post(http: httpx.Client, *names: str, path: str = CREDENTIALS) -> httpx.Response:
    """Create these."""
    return http.post(path, content=roster(map(entry, names)))


def realm_body(label: str, default: str = "false", description: str = "") -> str:
    """A Realm as the body of a POST or PUT."""
    optional = f"<Description>{description}</Description>" if description else ""
    return f"<Realm><Realm>{label}</Realm>{optional}<Default>{default}</Default></Realm>"


def texts(answer: httpx.Response, path: str) -> list[str]:
    """The texts of every element at a path of an answer."""
    root = ElementTree.fromstring(answer.content)  # noqa: S314 - our own process made it
    return [element.text or "" for element in root.iterfind(path)]


def code(answer: httpx.Response) -> str:
    """ResponseStatus/ErrorCode; empty where there is none."""
    return "".join(texts(answer, "ResponseStatus/ErrorCode"))


def error_codes(answer: httpx.Response) -> list[str]:
    """The codes of an answer's Errors, in order."""
    return texts(answer, "Errors/Error/ErrorCode")


def accepted(answer: httpx.Response) -> list[str]:
    """The user names of ValidSipCredentials, in order."""
    return texts(answer, "ValidSipCredentials/SipCredential/UserName")
