"""XML in and out, with the standard library's parser.

A document type is refused where it starts, so no entity is ever declared, let alone expanded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from worker.sandbox.answers import Refusal

Fields = Mapping[str, str]
"""The child elements of one element: name to text, without the white space around it."""

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold (XML 1.0, production 2)."""

PROLOGUE = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds the tree; stops at a document type, before any entity that it declares can be used."""

    def doctype(self, *_: Any) -> None:
        """Refuse ``<!DOCTYPE``; the parser calls this when it meets one."""
        raise Refusal(400, "", "A document type is not allowed here.")


def parse(body: bytes, root: str) -> ElementTree.Element:
    """Return the root element. Raises Refusal (400) for another root, or a body that isn't well-formed."""
    parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314 - see the top of this file
    try:
        parser.feed(body)
        tree: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Refusal(400, "", "The body is not well-formed XML.") from error
    if tree.tag != root:
        raise Refusal(400, "", f"The body must start with {root}.")
    return tree


def fields(element: ElementTree.Element) -> Fields:
    """Return the element's children as a mapping; of two with one name the last counts."""
    return {child.tag: (child.text or "").strip() for child in element}


def tag(name: str, text: str) -> str:
    """Return one element with text."""
    return f"<{name}>{_escaped(text)}</{name}>"


def tags(values: Fields) -> str:
    """Return several elements with text, in the mapping's order; an empty text leaves its element out."""
    return "".join(
        # Digests, ids and most names need no escaping, and a test is cheaper.
        [
            f"<{name}>{text if text.isalnum() else _escaped(text)}</{name}>"
            for name, text in values.items()
            if text
        ]
    )


def _escaped(text: str) -> str:
    """Return ``text`` as an element's content; a character that XML can't hold becomes U+FFFD.

    A bare carriage return would be read back as a line feed (XML 1.0, section 2.11).
    """
    if text.isprintable():  # nearly every one, and asking is cheaper
        return escape(text)
    return escape(_ILLEGAL.sub("\ufffd", text), {"\r": "&#13;"})


def document(root: str, *parts: str) -> bytes:
    """Return a whole document around the parts."""
    return "".join([PROLOGUE, "<", root, ">", *parts, "</", root, ">"]).encode()


def status(root: str, code: str, text: str) -> bytes:
    """Return ``root/ResponseStatus`` with an ErrorCode, if there is one, and a Description."""
    inner = tags({"ErrorCode": code}) + tag("Description", text)
    return document(root, f"<ResponseStatus>{inner}</ResponseStatus>")
