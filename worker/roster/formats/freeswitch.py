"""The directory of FreeSWITCH, also as FusionPBX writes it: XML with domains, groups and users."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Final

from worker.model import Options
from worker.roster.format import About, Start, Table
from worker.roster.formats.digests import outdates, reason
from worker.roster.formats.freeswitch_xml import (
    BROKEN,
    CLOSE,
    EMPTY,
    NOT_READ,
    OPEN,
    USER,
    Tag,
    Tags,
    decoded,
    shown,
)
from worker.roster.formats.includes import Includes
from worker.roster.formats.verdict import OUTDATED, REFUSE, SKIP, UNREAD, judge_by, verdict
from worker.roster.kept import keep
from worker.roster.layout import Assignment
from worker.roster.text import Fields, Record, Text, apart

_SHOWN: Final = {
    "effective_caller_id_name": "name",
    "effective_caller_id_number": "caller_id_number",
    "outbound_caller_id_number": "outbound_caller_id_number",
    "user_context": "context",
    "accountcode": "accountcode",
}
"""Variables of a user that are carried, and their columns."""
HEADER: Final = (
    "username", "password", "domain", "a1_hash", "group", "kind", "number_alias", *_SHOWN.values(), "mailbox",
    "place", "verdict",
)  # fmt: skip
_PLACE: Final = HEADER.index("place")
Texts = dict[str, str]
_SECRETS: Final = ("password", "a1-hash")
_AROUND: Final = frozenset({"user", "users", "group", "groups", "domain", "section", "document", "include"})
_MOST_NESTED: Final = 50
_POINTER = verdict(SKIP, "pointer", "a pointer to a user who is defined elsewhere")
_GATEWAY = verdict(SKIP, "outbound", "a gateway: the user's PBX registers there itself")
_TWICE = verdict(REFUSE, "malformed", "its password is there twice, or with more than a name and a value")
_UNESCAPED = "has a & or < that is not written as XML has it (&amp; &lt;), so it may be read in two ways"
_PLACEHOLDER = verdict(REFUSE, "password_placeholder", "a variable, which the file doesn't set: vars.xml may")
_DIGEST_ONLY = verdict(
    REFUSE, "digest_only", "only an a1-hash is stored, which is of no use in another realm"
)
_OUTDATED = verdict(OUTDATED, "digest_only", reason("FreeSWITCH", "a1-hash", "password"))
_recognised = re.compile(
    r"\A\ufeff?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?=.*<(?:domain|user|users|groups)[\s>])"
    r"(document|section|domain|include|groups?|users?)\b",
    re.DOTALL,
).match


class FreeSwitch:
    """``--from freeswitch``."""

    name = "freeswitch"
    title = "FreeSWITCH directory (XML), also of FusionPBX"
    about = About(
        columns=(
            ("user id", "user name"),
            ("param password", "SIP password, in clear text"),
            (
                "param a1-hash",
                "a digest, which can't move: the user needs a new password, unless it is there and matches",
            ),
            ("domain name", "domain; --map domain= leaves it out"),
            (
                "variables effective_caller_id_name, user_context …",
                "carried, with group, mailbox and number_alias",
            ),
        ),
        decoys=("vm-password", "reverse-auth-pass", "the password of a gateway"),
        notes=(
            'Values with $${…} are taken from X-PRE-PROCESS cmd="set" of the same files; others are refused.',
            'X-PRE-PROCESS cmd="include" is followed into the folder of the file; nothing is ever run.',
            "Pointers and gateways are skipped. A DTD is refused.",
            "FusionPBX writes & and < as they are: a user with such a password is refused with its line.",
        ),
        example='<domain name="pbx.example.com">\n'
        '  <user id="1001"><params><param name="password" value="Kestrel-7731"/></params></user>\n'
        "</domain>\n",
    )

    def recognise(self, start: Start) -> str:
        """Return the element that a directory has."""
        found = _recognised(start.text)
        return f"XML with <{found[1]} …>" if found else ""

    def open(self, text: Text, start: Start, options: Options) -> Table:
        """Return the users. Raises UsageError, with the line, for XML that may hide users or domains."""
        files = Includes(text, options.encoding)
        users = records(Tags(files), take_domains=not (options.domain or "domain" in options.map))
        with closing(text.source):
            return replace(keep(users, text.shown, "", text.encoding), sha256=files.sha256)

    def assign(self, header: Sequence[str]) -> Assignment:
        """Return the assignment of the columns that ``open`` makes."""
        judge = judge_by(HEADER.index("verdict"))
        columns = ("username",), "password", "domain"
        return Assignment(*columns, secrets=("a1_hash",), internal="verdict", judge=judge)


@dataclass(slots=True)
class _Scope:
    """A domain or a group: what its users inherit."""

    name: str = ""
    params: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class _User:
    """A user as far as it was read."""

    line: int
    attributes: dict[str, str]
    domain: _Scope
    group: _Scope
    params: dict[str, str] = field(default_factory=dict, repr=False)
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    gateways: list[Tag] = field(default_factory=list)
    place: str = ""
    """The place of its password, or digest."""
    problem: str = ""
    """The verdict that says why it is in doubt."""

    def all_params(self) -> Texts:
        """Return its params with those of its group and domain, which count less."""
        above = self.domain.params or self.group.params
        return self.domain.params | self.group.params | self.params if above else self.params


def records(tags: Tags, *, take_domains: bool) -> Iterator[Record]:
    """Yield a record for every user, the header first.

    ``take_domains``: refuse a domain whose name is a variable; else leave it out, as the options say.
    """
    yield 1, list(HEADER)
    yield from apart(_Directory(tags, take_domains).records())


class _Directory:
    """The elements that are open while the tags are read."""

    def __init__(self, tags: Tags, take_domains: bool) -> None:
        self._tags = tags
        self._files = tags.files
        self._take_domains = take_domains
        self._open: list[Tag] = []
        self._section = "directory"
        self._domain = self._group = _Scope()
        self._user: _User | None = None
        self._inside: list[str] = []
        """The elements that are open in the user."""

    def records(self) -> Iterator[Record]:
        for tag in self._tags:
            if tag.kind == USER:
                if self._user is not None:
                    yield from self._unended(self._user, tag)
                if self._section == "directory":
                    yield tag.line, self._placed(tag.line, self._whole(tag))
            elif tag.kind == NOT_READ:
                yield from self._not_read(tag)
            elif self._user is not None:
                yield from self._in_user(self._user, tag)
            elif tag.kind == BROKEN:
                raise self._files.error(
                    tag.line, tag.name, "correct it; outside of users it concerns all that follow"
                )
            elif tag.kind == CLOSE:
                self._close(tag)
            elif tag.name == "user" and self._section == "directory":
                self._user = _User(tag.line, self._tags.attributes(tag), self._domain, self._group)
                if tag.kind == EMPTY:
                    yield from self._end(self._user)
            else:
                self._enter(tag)
        unclosed = self._open[-1] if self._open else None
        line, name = (
            (self._user.line, "user")
            if self._user
            else (unclosed.line, unclosed.name)
            if unclosed
            else (0, "")
        )
        if name:
            raise self._files.error(
                line, f"<{name}> is never closed: the file ends too early", "export it again"
            )

    def _enter(self, tag: Tag) -> None:
        name = tag.name
        if name == "param" and len(self._open) > 1 and self._open[-1].name == "params":
            self._inherited(tag, self._open[-2].name)
        elif name == "section":
            self._section = self._tags.attributes(tag).get("name", "")
        elif name == "domain":
            self._domain = _Scope(self._domain_name(tag))
        elif name == "group":
            self._group = _Scope(shown(self._tags.attributes(tag).get("name", "")))
        if tag.kind == EMPTY:
            self._left(name)
        elif len(self._open) == _MOST_NESTED:
            raise self._files.error(
                tag.line, f"more than {_MOST_NESTED} elements in each other", "check the file"
            )
        else:
            self._open.append(tag)

    def _close(self, tag: Tag) -> None:
        if not self._open or self._open[-1].name != tag.name:
            inside = f"<{self._open[-1].name}>" if self._open else "no element"
            raise self._files.error(
                tag.line, f"</{tag.name}> ends {inside}", "correct the file, or export it again"
            )
        self._open.pop()
        self._left(tag.name)

    def _left(self, name: str) -> None:
        if name == "section":
            self._section = "directory"
        elif name == "domain":
            self._domain = _Scope()
        elif name == "group":
            self._group = _Scope()

    def _domain_name(self, tag: Tag) -> str:
        name = decoded(self._tags.attributes(tag).get("name", ""))
        if name is None:
            raise self._files.error(tag.line, f"the domain's name {_UNESCAPED}", "correct it")
        if "${" not in name:
            return name
        if self._take_domains:
            text = f"the domain's name is a variable, {name}, which the file doesn't set"
            raise self._files.error(
                tag.line, text, "give it with --domain NAME, or import without: --map domain="
            )
        return ""

    def _inherited(self, tag: Tag, owner: str) -> None:
        """Note a password that a domain or group gives to its users."""
        attributes = self._tags.attributes(tag)
        name = attributes.get("name", "")
        if name in _SECRETS and owner in ("domain", "group"):
            scope = self._domain if owner == "domain" else self._group
            scope.params[name] = attributes.get("value", "")

    def _whole(self, tag: Tag) -> Fields:
        """Return the fields of a usual user, who was read at once: nothing in it has to be decoded."""
        pairs, attributes = self._tags.pairs(tag.params), self._tags.attributes(tag)
        params, variables = dict(pairs), dict(self._tags.pairs(tag.variables))
        domain, group = self._domain, self._group
        variable = "$${" in tag.text or "$${" in tag.params  # it may hold anything
        if len(params) == len(pairs) and not (variable or domain.params or group.params):
            return _fields(attributes, params, variables, domain.name, group.name, "")
        user = _User(tag.line, attributes, domain, group, params, variables)
        if any(name in _SECRETS and params[name] != value for name, value in pairs):
            user.problem = _TWICE
        return _fields_of(user)

    def _unended(self, user: _User, tag: Tag) -> Iterator[Record]:
        user.problem = user.problem or self._refused(tag, "another user begins before this one ends")
        yield from self._end(user)

    def _in_user(self, user: _User, tag: Tag) -> Iterator[Record]:
        inside = self._inside
        if tag.kind == BROKEN:
            user.problem = user.problem or self._refused(tag, tag.name)
        elif tag.kind == CLOSE:
            if not inside and tag.name == "user":
                yield from self._end(user)
            elif inside and inside[-1] == tag.name:
                inside.pop()
            else:
                user.problem = user.problem or self._refused(tag, f"</{tag.name}> ends no element")
                if tag.name in _AROUND:
                    yield from self._end(user)
                    if tag.name != "user":
                        self._close(tag)
        elif tag.name == "user":
            yield from self._unended(user, tag)
            self._user = _User(tag.line, self._tags.attributes(tag), self._domain, self._group)
        else:
            self._part(user, tag)
            if tag.kind == OPEN:
                inside.append(tag.name)
                if len(inside) > _MOST_NESTED:
                    raise self._files.error(
                        tag.line, f"more than {_MOST_NESTED} elements in each other", "check it"
                    )

    def _part(self, user: _User, tag: Tag) -> None:
        """Note an element of a user: only its own params count, not those of a gateway."""
        if tag.name == "gateway":
            user.gateways.append(tag)
        elif len(self._inside) == 1 and (tag.name, self._inside[0]) in (
            ("param", "params"),
            ("variable", "variables"),
        ):
            attributes = self._tags.attributes(tag)
            name, value = attributes.get("name", ""), attributes.get("value", "")
            if tag.name == "variable":
                user.variables[name] = value
                return
            if name in _SECRETS and (len(attributes) != 2 or user.params.get(name, value) != value):
                user.problem = user.problem or _TWICE
            if name in _SECRETS:
                user.place = self._files.place(tag.line)
            user.params[name] = value

    def _refused(self, tag: Tag, text: str) -> str:
        return verdict(REFUSE, "malformed", f"{self._files.place(tag.line)}: {text}")

    def _not_read(self, tag: Tag) -> Iterator[Record]:
        found = verdict(UNREAD, "include_not_read", f"its users are missing: {tag.name}")
        if self._user is None:
            yield tag.line, self._placed(tag.line, _line_of("include", "", found))
        else:
            self._user.problem = self._user.problem or found

    def _end(self, user: _User) -> Iterator[Record]:
        self._user = None
        self._inside.clear()
        yield user.line, self._placed(user.line, _fields_of(user))
        for gateway in user.gateways:
            name = shown(self._tags.attributes(gateway).get("name", ""))
            yield gateway.line, self._placed(gateway.line, _line_of("gateway", name, _GATEWAY))

    def _placed(self, line: int, fields: Fields) -> Fields:
        if self._files.several:
            fields[_PLACE] = self._files.place(line)
        return fields


def _line_of(kind: str, name: str, found: str) -> Fields:
    """Return the fields of an entry that is no user."""
    cells = {"kind": kind, "name": name, "verdict": found}
    return [cells.get(column, "") for column in HEADER]


def _fields_of(user: _User) -> Fields:
    """Return the fields of a user whose values have to be decoded."""
    attributes, params, variables = user.attributes, user.all_params(), user.variables
    found = user.problem or _unescaped(user, attributes.get("id", ""), *map(params.get, _SECRETS))
    texts = [{name: shown(value) for name, value in one.items()} for one in (attributes, params, variables)]
    texts[0]["id"] = decoded(attributes.get("id", "")) or ""
    texts[1] |= {name: decoded(params[name]) or "" for name in _SECRETS if name in params}
    return _fields(texts[0], texts[1], texts[2], user.domain.name, user.group.name, found)


def _fields(
    attributes: Texts, params: Texts, variables: Texts, domain: str, group: str, found: str
) -> Fields:
    """Return the fields of a user, by decoded values; ``found``: the verdict on it, if there is one."""
    name, password = attributes.get("id", ""), params.get("password", "")
    digest = params.get("a1-hash", "")
    kind, alias = attributes.get("type", "user"), attributes.get("number-alias", "")
    if kind == "pointer":
        found = _POINTER
    elif not found and (digest or "${" in password):
        found = _judged(name, domain, password, digest)
    texts = [variables.get(variable, "") for variable in _SHOWN]
    return [name, password, domain, digest, group, kind, alias, *texts, params.get("mailbox", ""), "", found]


def _unescaped(user: _User, *values: str | None) -> str:
    """Return the verdict on an id, password or digest that may be read in two ways; empty: none may."""
    wrong = [
        what
        for what, value in zip(("id", "password", "a1-hash"), values, strict=True)
        if decoded(value or "") is None
    ]
    place = f"{user.place}: " if user.place and "id" not in wrong else ""
    return verdict(REFUSE, "malformed", f"{place}the {wrong[0]} {_UNESCAPED}") if wrong else ""


def _judged(name: str, domain: str, password: str, digest: str) -> str:
    """Return the verdict on a password and a digest."""
    if "${" in password or ("${" in digest and not password):
        return _PLACEHOLDER
    if not digest:
        return ""
    if not password:
        return _DIGEST_ONLY
    return _OUTDATED if outdates(digest, name, password, domain) else ""
