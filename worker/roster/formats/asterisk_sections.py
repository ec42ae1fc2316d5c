"""The sections of Asterisk's configuration files, with what they inherit from templates and get by additions.

A section inherits the settings that another one has at this point of the file; of a setting's values the last
one wins. ``[x](+)`` adds to an earlier section. Source: Asterisk's configuration parser (main/config.c).

Sections are read as a stream. Kept in memory are only templates, sections that others inherit from or that
get additions, and these additions, with a bound for all of them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Final

from worker.roster.formats.asterisk_lines import BEGIN_FILE, BLANKS, END_FILE, NOT_READ, Lines, Plain
from worker.roster.formats.asterisk_near import Fate, Near, Use
from worker.roster.text import Record

_SETTINGS = """
    type secret md5secret remotesecret username defaultuser auth host insecure fromuser fromdomain
    callerid fullname context mailbox mailboxes hassip registersip trunkname macaddress mac requirecalltoken
    password md5_cred password_digest auth_type realm default_realm outbound_auth aors endpoint contact
    max_contacts accepts_auth sends_auth accepts_registrations sends_registrations remote_hosts
    inbound_auth/username inbound_auth/password inbound_auth/auth_type inbound_auth/md5_cred
    inbound_auth/password_digest inbound_auth/realm
    endpoint/callerid endpoint/context aor/mailboxes endpoint/mailboxes phoneprov/mac
    """
SETTINGS: Final = frozenset(_SETTINGS.split())
"""The settings that are kept, in lower case; others make no difference here."""
_SECRETS: Final = frozenset(
    {"secret", "md5secret", "password", "md5_cred", "inbound_auth/password", "inbound_auth/md5_cred"}
)
"""Settings that a section should have once."""
_ENTRIES: Final = frozenset({"register", "auth"})
"""Settings that are entries of their own: anywhere, and in ``[authentication]``."""
_LEADING: Final = frozenset(BLANKS + ">")
_MOST_NAMES = 10_000
"""Spellings of settings that are remembered."""
OF_GENERAL: Final = frozenset({"general", "authentication"})
"""Sections of sip.conf and users.conf that are no entries."""
_CASES = "which is not in lower case everywhere: then Asterisk may begin a new one; write it alike"
_MOST_KEPT = 1 << 24
"""Characters of templates and additions that are kept in memory."""
_MOST_INHERITED = 1 << 30
"""Characters that all sections together may inherit: a small file must not fill the disk."""
_OVERHEAD = 200
"""Bytes that count for a section or a setting, beside its characters."""
_MOST_ALIKE = 100
"""Sections of one name that others may add to: as in pjsip.conf, where an endpoint and its auth share one."""
_OF_AUTH: Final = ("username", "password", "md5_cred", "password_digest", "realm")
_known = re.compile(rf"^({'|'.join(sorted(SETTINGS))}) *= *([^\r\n]*)", re.MULTILINE).findall
"""Find the settings that are kept in the body of a plain section."""
_header = re.compile(r"\[([^\]]*)\](?:\(([^)]*)\)|(?!\())(.*)", re.DOTALL).fullmatch

Settings = dict[str, str]


@dataclass(slots=True)
class Section:
    """A section with its settings: a name in lower case to its last value."""

    number: int
    """The line where it starts, by the numbers of ``Lines``."""
    name: str
    settings: Settings = field(default_factory=dict, repr=False)
    template: bool = False
    problem: str = ""
    """Why its settings are in doubt; never a secret."""
    doubled: str = ""
    """The secret setting that it has twice, with different values; the last one counts."""
    ended: bool = False
    """Whether it was yielded: more settings are additions to it."""
    use: Use | None = None
    """How an auth is used, if that is known by its neighbours."""


@dataclass(frozen=True, slots=True)
class Loose:
    """A line that is an entry of its own."""

    number: int
    kind: str
    """``register`` or ``auth``, or ``NOT_READ`` for an included file that was not read."""
    value: str = field(repr=False)


def packed(entry: Section | Loose) -> Record:
    """Return a section or line as a record, which ``unpacked`` reads."""
    if isinstance(entry, Loose):
        return entry.number, [entry.kind, entry.value]
    settings = chain.from_iterable(entry.settings.items())
    return entry.number, ["", entry.name, entry.problem, entry.doubled, *settings]


def unpacked(record: Record) -> Section | Loose:
    """Return the section or line that was packed."""
    number, fields = record
    if fields[0]:
        return Loose(number, fields[0], fields[1])
    settings = dict(zip(fields[4::2], fields[5::2], strict=True))
    return Section(number, fields[1], settings, problem=fields[2], doubled=fields[3])


@dataclass(slots=True)
class Outline:
    """The sections that others take settings from, and what is added to sections later."""

    wanted: set[str] = field(default_factory=set)
    """The names, in lower case, of sections that others inherit from or add to."""
    added: dict[int, Settings] = field(default_factory=dict, repr=False)
    """The settings that are added to the section of that number."""
    doubts: dict[int, str] = field(default_factory=dict)
    """The problems of what is added to the section of that number."""
    complete: bool = True
    """Whether all of ``wanted`` was known when the pass began; else it has to be repeated."""

    def begin(self) -> None:
        """Begin a pass that fills it."""
        self.complete = True
        self.added.clear()
        self.doubts.clear()

    @property
    def is_empty(self) -> bool:
        """Return whether no section gets anything from a later one, and none was looked for in vain."""
        return self.complete and not self.added and not self.doubts

    def want(self, name: str) -> None:
        """Note the name of a section whose settings are needed later in the file."""
        if name not in self.wanted:
            self.wanted.add(name)
            self.complete = False


def sections(
    lines: Lines, outline: Outline, *, survey: bool = False, near: Near | None = None
) -> Iterator[Section | Loose]:
    """Yield every section that is no template, with all its settings, by the line where it starts.

    ``survey``: fill the outline; the sections lack what is added to them later. ``near``: join what stands
    together, and yield only the auth of it. Raises UsageError, with the line, for a file that Asterisk can't
    read either.
    """
    return _Reading(lines, outline, survey, near).sections()


class _Reading:
    """One pass over the lines."""

    def __init__(self, lines: Lines, outline: Outline, survey: bool, near: Near | None) -> None:
        self._lines = lines
        self._files = lines.files
        self._outline = outline
        self._survey = survey
        self._near = near
        self._known: dict[str, list[Section]] = {}
        self._names = {name: name for name in SETTINGS}
        """The settings by the names as they are written; empty for one that makes no difference."""
        self._cased: set[str] = set()
        """The settings that the open section, or one that it may inherit from, has with capitals."""
        self._ever_cased: set[str] = set()
        self._own: set[str] = set()
        """The secrets that were set since the last header."""
        self._above: list[Section] = []
        """The sections in which files are included."""
        self._sizes: dict[int, int] = {}
        self._kept = 0
        self._inherited = 0
        self._open = Section(0, "", ended=True)
        """The section that settings belong to."""

    def sections(self) -> Iterator[Section | Loose]:
        for start, lines, plain in self._lines:
            yield from self._of_lines(start, lines)
            if plain:
                yield from self._of_plain(start + len(lines), plain)
        for line, endpoint in self._near.left() if self._near else ():
            yield from self._alone(line, endpoint)
        if section := self._end():
            yield section

    def _of_plain(self, number: int, run: list[Plain]) -> Iterator[Section | Loose]:
        """Take sections as a PBX writes them, and join those that stand together."""
        if section := self._end():
            yield section
        fates: Iterable[Fate] = repeat(True)
        if self._near:
            fates, left = self._near.join(number, run, self._outline.wanted)
            for line, endpoint in left:
                yield from self._alone(line, endpoint)
        text, at = run[0].string, run[0].start()
        for plain, fate in zip(run, fates, strict=False):
            if fate is False:
                continue
            start = plain.start()
            number += text.count("\n", at, start)
            at = start
            if fate is True:
                yield from self._alone(number, plain)
            else:
                user, secret, md5, digest, realm = plain.group(*_OF_AUTH)
                settings = {"username": user or "", "password": secret or ""}
                if md5 or digest or realm:
                    settings |= {"md5_cred": md5 or "", "password_digest": digest or "", "realm": realm or ""}
                yield Section(number, plain["name"], settings, ended=True, use=fate)

    def _alone(self, number: int, plain: Plain) -> Iterator[Section | Loose]:
        """Take a plain section by itself; in the general way if others may depend on it."""
        name, pairs = plain["name"], _known(plain[0])
        settings, known = dict(pairs), name.lower()
        doubled = len(settings) != len(pairs) and not _SECRETS.isdisjoint(settings)
        if not doubled and known not in self._outline.wanted:
            yield Section(number, name, settings, ended=True)
            return
        lines = [line.strip(BLANKS) for line in plain[0].split("\n")[:-1]]
        yield from self._of_lines(number, lines)
        if section := self._end():
            yield section

    def _of_lines(self, start: int, lines: list[str]) -> Iterator[Section | Loose]:
        """Take lines in the general way."""
        names = self._names
        opened, settings = self._open, self._open.settings
        for number, line in enumerate(lines, start):
            key, equals, value = line.partition("=")
            name = names.get(key) if equals else None
            if name is None:
                if line[:1] == "[":
                    if section := self._end():
                        yield section
                    opened = self._header(number, line)
                    settings = opened.settings
                elif line:
                    yield from self._other(number, line)
                    opened, settings = self._open, self._open.settings
            elif name and not opened.ended and value and value[0] not in _LEADING:
                if name in _SECRETS:
                    self._note_secret(opened, name, value)
                settings[name] = value  # the usual line: the rest of its cost is the loop's
            elif name:
                self._put(number, name, value)

    def _other(self, number: int, line: str) -> Iterator[Section | Loose]:
        """Take a line that is neither a header nor a setting whose name is written as usual."""
        if line == BEGIN_FILE:
            self._above.append(self._open)
        elif line == END_FILE:
            if self._open is not self._above[-1] and (section := self._end()):
                yield section
            self._open, self._cased = self._above.pop(), set(self._ever_cased)
        elif line.startswith(NOT_READ):
            yield from self._loose(Loose(number, NOT_READ, line.removeprefix(NOT_READ).strip()))
        elif "=" not in line:  # Asterisk goes on with a message in its log; here it may be a damaged header
            self._open.problem = self._open.problem or f"line {number} is neither a setting nor a section"
        elif loose := self._setting(number, *line.split("=", 1)):
            yield from self._loose(loose)

    def _loose(self, loose: Loose) -> Iterator[Section | Loose]:
        """Yield the line behind the section that it stands in: entries come by their lines."""
        if self._open.name.lower() not in OF_GENERAL and (section := self._end()):
            yield section
        yield loose

    def _end(self) -> Section | None:
        """End the open section; return it, with what is added to it later, unless it is a template."""
        section = self._open
        if section.ended:
            return None
        section.ended = True
        if section.template:
            return None
        outline, number = self._outline, section.number
        if number in outline.added or number in outline.doubts:
            settings = section.settings | outline.added.get(number, {})
            return replace(
                section, settings=settings, problem=section.problem or outline.doubts.get(number, "")
            )
        return section

    def _header(self, number: int, line: str) -> Section:
        """Begin a section; return the one that the settings below belong to."""
        if line.find("]") == len(line) - 1:  # the usual one
            name, options, rest = line[1:-1], None, ""
        else:
            name, options, rest = self._parts(number, line)
        known = name.lower()
        self._own.clear()
        self._cased = set() if options is None else set(self._ever_cased)
        section = self._open = Section(number, name, {})
        if known == "authentication":
            self._names.pop("auth", None)  # from now on, look at each of them
        if options is None:
            if rest and rest.lstrip(BLANKS).startswith("("):
                section.problem = "Asterisk ignores the template, because of the blank before its parenthesis"
        elif options in self._known:  # the usual template
            self._inherit(number, self._known[options][0])
        else:
            for option in options.split(","):
                self._option(number, section, option.strip(BLANKS))
        if (section.template or known in self._outline.wanted) and self._open is section:
            self._outline.wanted.add(known)
            alike = self._known.setdefault(known, [])
            if len(alike) < _MOST_ALIKE:
                alike.append(section)
                self._keep(number, len(name) + _OVERHEAD)
        return self._open

    def _parts(self, number: int, line: str) -> tuple[str, str | None, str]:
        """Return a header's name, its options in parentheses if there are some, and what follows."""
        found = _header(line)
        if found is None:
            raise self._files.error(number, "the section's header has no end", "close it: [NAME](TEMPLATE)")
        name, options, rest = found.groups()
        return name, options, rest

    def _option(self, number: int, section: Section, option: str) -> None:
        """Apply ``!``, ``+``, ``+FILTER``, or the name of a section to inherit from."""
        if option == "!":
            self._open.template = section.template = True
        elif option.startswith("+"):
            self._open = self._target(section, option[1:])
        elif option:
            bases = self._known.get(option.lower())
            if bases:
                self._inherit(number, bases[0])
                return
            self._outline.want(option.lower())
            self._doubt(f"it inherits from [{option}], which is not in the file before it")

    def _target(self, section: Section, condition: str) -> Section:
        """Return the section that ``(+)`` adds to: the first one of its name that meets the condition."""
        name, _, value = condition.lower().partition("=")
        for known in self._known.get(section.name.lower(), ()):
            if not condition or known.settings.get(name, "").lower() == value:
                return known
        self._outline.want(section.name.lower())
        section.problem = "it adds to a section of the same name, which is not in the file before it"
        return section

    def _inherit(self, number: int, base: Section) -> None:
        size = self._sizes.get(base.number)
        if size is None:
            size = self._sizes[base.number] = sum(map(len, base.settings.values())) + _OVERHEAD
        self._inherited += size
        if self._inherited > _MOST_INHERITED:
            hint = "the file is not what a PBX writes; check it"
            raise self._files.error(number, "its sections inherit more than 1 GiB of settings", hint)
        if base.problem:
            self._doubt(base.problem)
        if not self._open.ended:
            self._open.settings |= base.settings
            return
        for key, value in base.settings.items():
            self._put(number, key, value)

    def _doubt(self, problem: str) -> None:
        section = self._open
        section.problem = section.problem or problem
        if section.ended and self._survey:
            self._outline.doubts.setdefault(section.number, problem)

    def _setting(self, number: int, name: str, value: str) -> Loose | None:
        """Note a setting whose name isn't written as usual; return a line that is an entry of its own."""
        written, name = name, name.removeprefix("\\").strip(BLANKS).lower()
        if name in _ENTRIES and (name == "register" or self._open.name.lower() == "authentication"):
            return Loose(number, name, value.removeprefix(">").strip(BLANKS))
        bare = written.removeprefix("\\").strip(BLANKS)
        if name[-1:] == "+" and name[:-1].rstrip(BLANKS) in SETTINGS:
            name = name[:-1].rstrip(BLANKS)
            if name in self._open.settings and (name in self._cased or bare[:-1].rstrip(BLANKS) != name):
                self._doubt(f"line {number} appends to {name}, {_CASES}")
            self._own.discard(name)
            self._put(number, name, self._open.settings.get(name, "") + value)
            return None
        if name in SETTINGS:
            self._put(number, name, value)
        if name in SETTINGS and bare != name:
            self._cased.add(name)
            self._ever_cased.add(name)
        elif name not in _ENTRIES and len(self._names) < _MOST_NAMES:
            self._names[written] = name if name in SETTINGS else ""
        return None

    def _put(self, number: int, name: str, value: str) -> None:
        if value[:1] == ">":
            value = value[1:]
        section = self._open
        value = value.strip(BLANKS)
        if name in _SECRETS:
            self._note_secret(section, name, value)
        section.settings[name] = value
        if section.ended and self._survey:
            self._outline.added.setdefault(section.number, {})[name] = value
            self._keep(number, len(value) + _OVERHEAD)

    def _note_secret(self, section: Section, name: str, value: str) -> None:
        if name in self._own and section.settings.get(name, value) != value:
            section.doubled = name
        self._own.add(name)

    def _keep(self, number: int, size: int) -> None:
        """Count what is kept in memory. Raises UsageError if it is too much."""
        self._kept += size
        if self._kept > _MOST_KEPT:
            text = f"templates and additions have more than {_MOST_KEPT:,} characters up to here"
            raise self._files.error(number, text, "split the file")
