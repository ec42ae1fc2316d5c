"""A page of cards to print, one for each user, with a QR code for a softphone that reads one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from worker.phones.phone import Phone
from worker.phones.syntax import printable

CARDS_BEGIN: Final = b"<!doctype html>\n<!-- phone cards by siproster -->"
"""The first bytes of a page of cards, by which one is known."""
_TEMPLATES = Path(__file__).parent / "templates"
_QUIET = 4
"""Modules of white around a QR code (ISO 18004)."""


class QrFormat(StrEnum):
    """The content of the cards' QR codes."""

    GSWAVE = "gswave"
    """The whole account, as Grandstream Wave reads it."""
    LINPHONE = "linphone"
    """The address of the user's provisioning file, as Linphone reads it."""
    NONE = "none"


def cards(phones: Iterable[Phone], qr: QrFormat, url: str = "") -> Iterator[str]:
    """Yield the page of cards piece by piece. ``url``: the folder with Linphone's provisioning files."""
    style = (_TEMPLATES / "_cards.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    page = environment.get_template("_cards.html.j2")
    blank = Markup('<span class="blank"> </span>')
    code = None if qr is QrFormat.NONE else _QrCodes(qr, url)
    return page.generate(cards=phones, style=Markup(style), style_hash=digest, blank=blank, qr=code)  # noqa: S704 (ours)


class _QrCodes:
    """Makes QR codes of one format."""

    def __init__(self, kind: QrFormat, url: str) -> None:
        self._content = _gswave if kind is QrFormat.GSWAVE else lambda phone: _linphone(phone, url)
        self.caption = "Grandstream Wave" if kind is QrFormat.GSWAVE else "Linphone"

    def __call__(self, phone: Phone) -> Markup:
        """Return the QR code as SVG; empty if the text is too long for one."""
        import segno  # here, since every import shows columns of phones on its page, and few print cards

        try:
            code = segno.make_qr(self._content(phone), error="l", encoding="utf-8", eci=False)
        except segno.DataOverflowError:
            return Markup()
        return Markup(code.svg_inline(border=_QUIET, light="#fff", omitsize=True))  # noqa: S704 (paths alone)


def _gswave(phone: Phone) -> str:
    """Return an account as Grandstream Wave reads it (docs/phones.md#qr-codes)."""
    server = phone.server
    proxy = f"{server.host}:{server.port}" if server.proxy else ""
    values = {
        "RegisterServer": phone.realm, "OutboundServer": proxy, "UserID": phone.sip_user,
        "AuthID": phone.auth_user, "AuthPass": phone.password,
        "AccountName": phone.extension or phone.user, "DisplayName": phone.name or phone.user,
    }  # fmt: skip
    account = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<AccountConfig version="1"><Account>{account}</Account></AccountConfig>'
    )


def _linphone(phone: Phone, url: str) -> str:
    return f"{url.rstrip('/')}/{phone.auth_user}.xml"


def can_be_printed(phone: Phone) -> bool:
    """Return whether a person can type the password from paper: no control character is in it."""
    return printable(phone.password)
