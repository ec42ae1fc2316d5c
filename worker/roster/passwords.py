"""Weak or suspicious passwords. No text here shows one, or a character of one."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from html.entities import name2codepoint
from typing import Final

from worker.model import Problem
from worker.roster.damage import ERRORS, is_boolean, maybe_rewritten

SHORT: Final = 8
"""Passwords with fewer characters are short."""
MANY: Final = 5
"""Least rows with one password that count as sharing it."""
_BUCKET = 50_000
_LONGEST_PIN = 6
_pin = re.compile(f"[0-9]{{1,{_LONGEST_PIN}}}").fullmatch
_full_name = re.compile(r"(?:[^\W\d_][\w.'’-]* ){1,3}[^\W\d_][\w'’-]*").fullmatch
"""Match two to four words that begin with a letter, such as a first and a last name."""
_FEWEST: Final = 3
"""Fewest passwords that can look like names: one or two may be passphrases."""
_made_up = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[^\s@]{8,}").fullmatch
_number = re.compile(r"\+?[0-9]{1,15}").fullmatch
"""Match an extension or a telephone number."""

_entity = re.compile(f"&(?:{'|'.join(name2codepoint)}|apos|#[0-9]{{1,7}}|#[xX][0-9A-Fa-f]{{1,6}});").search
_escape = re.compile(r"\\[\\tnr0]").search
_SINGLE_BYTE: Final = ("cp1252", "latin-1", "mac-roman", "cp850", "cp437")


def _is_mojibake(password: str) -> bool:
    """Return whether it looks like UTF-8 that was read in a single-byte encoding: ``Ã¶``."""
    return not password.isascii() and any(_read_again(password, codec) for codec in _SINGLE_BYTE)


def _read_again(password: str, codec: str) -> bool:
    try:
        # Windows-1252 has five gaps, which programs fill with the control characters of Latin-1.
        raw = b"".join(
            one.encode("latin-1" if "\x80" <= one <= "\x9f" else codec) for one in password if one > "\x7f"
        )
        return len(raw.decode()) < len(raw)
    except UnicodeError:
        return False


def is_decomposed(password: str) -> bool:
    """Return whether it has letters that are written as a letter and an accent (Unicode NFD)."""
    return not password.isascii() and not unicodedata.is_normalized("NFC", password)


_ODDITIES: Final[tuple[tuple[Callable[[str], object], Problem], ...]] = (
    (
        lambda password: password != password.strip(),
        Problem("password_space", "password: begins or ends with white space"),
    ),
    (
        re.compile("[\r\n]").search,
        Problem("password_control", "password: contains a line break; did an open quote swallow other rows?"),
    ),
    (
        re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]").search,
        Problem("password_control", "password: contains a control character"),
    ),
    (
        re.compile("[\u2018-\u201f\u00a0\u2007\u202f\u200b-\u200d\u2060\ufeff\ufffd]").search,
        Problem(
            "password_typographic",
            "password: contains a curly quote, a no-break space or an invisible character",
        ),
    ),
    (
        maybe_rewritten,
        Problem("spreadsheet_damage", "password: may have been rewritten by a spreadsheet"),
    ),
    (
        _is_mojibake,
        Problem(
            "password_mojibake",
            "password: looks like UTF-8 that was read as Windows-1252 and saved again; export it once more",
        ),
    ),
    (
        _entity,
        Problem(
            "password_entity", "password: contains an HTML entity; is it meant, or a web page's writing?"
        ),
    ),
    (
        re.compile("'[=+@-]").match,
        Problem(
            "password_apostrophe",
            "password: begins with ' before a formula's character; did a spreadsheet's export add it?",
        ),
    ),
)
"""Possible slips of the file's author."""
DECOMPOSED: Final = Problem(
    "password_decomposed",
    "password: has letters written as a letter and an accent, which phones don't type; "
    "--normalize nfc composes them",
)
ESCAPED: Final = Problem(
    "password_escaped",
    "password: contains a backslash escape, as a database client's batch output has; "
    "--from mysql-batch reads them",
)


def oddities(password: str) -> list[Problem]:
    """Return warnings about a suspicious password, which is used as it is."""
    return [problem for test, problem in _ODDITIES if test(password)]


def has_escapes(password: str) -> bool:
    """Return whether it contains a backslash and a character that a database client escapes so."""
    return bool(_escape(password))


MASK: Final = (
    "*#xX.?_\\-\u2022\u25cf\u2219\u00b7\u25e6\u25cb\u25a0\u25aa\u2588\u26ab\u2b24\u2217\uff0a\u2026"
    "\uff38\uff58\u0425\u0445\u00d7\u2715\u2716\u2605\u2606\u25c6\uff03\uff1f\uff0e\uff0d\uff3f"
)
"""Characters that exports put for those of a password; full-width ones and drawn crosses, too."""
_masked = re.compile(
    # Possessive, so that a long run costs one pass.
    rf"([{MASK}])\1*+|(?:([{MASK}])\2{{3,}}+[ -]?+)++[0-9A-Za-z]{{0,4}}|.*[*\u2022\u25cf]{{4}}.*",
    re.DOTALL,
).fullmatch
_hidden = re.compile(
    "redacted|hidden|masked|filtered|removed|protected|encrypted|obfuscated|not shown|not exported|"
    "confidential|ausgeblendet|verborgen|versteckt|maskiert|gesch\xfctzt|masqu\xe9e?|cach\xe9e?|ocult[oa]|"
    "nascost[oa]|ukryte",
    re.IGNORECASE,
).fullmatch
_nothing = re.compile(
    r"null|nil|none|nan|nat|na|n/a|n\.a\.?|k\.\s?a\.?|s/d|s/o|\\n|undef|undefined|unset|set|empty|blank|missing|"
    r"unknown|void|not[ _-]?(?:set|available|applicable|specified|defined|assigned)|tb[dac]|todo|fixme|regen|"
    r"placeholder|"
    r"change[ _-]?(?:me|it|this)!?|to be (?:defined|determined|done)|(?:your|my|the)[ _-]?(?:password|secret)"
    r"(?:[ _-]?here)?|(?:enter|insert|set)[ _-]?(?:password|secret)(?:[ _-]?here)?|"
    # The name of a column: a second header inside the file, or a template's sample.
    r"_*(?:(?:sip|auth|phone)[ _-]?)?(?:password|passwort|kennwort|secret|mot de passe|contrase\xf1a|senha|"
    r"wachtwoord|has\u0142o)_*|"
    r"n/v|n\.\s?v\.|s\.\s?o\.|(?:not|to be|no) (?:set|generated|password)|(?:siehe|see|cf\.?|voir) .*|"
    r"keine?s?|kein(?: passwort| kennwort)|leer|fehlt|unbekannt|aucune?|vide|n\xe9ant|ningun[oa]|vac\xed[oa]|"
    r"nessun[oa]|vuot[oa]|nenhuma?|vazi[oa]|geen|leeg|onbekend|brak|pust[ey]",
    re.IGNORECASE,
).fullmatch
_SCHEMES = (
    r"s?(?:sha|md5)[0-9]*(?:[.-]crypt)?|ssha[0-9]*|crypt|des-crypt|blf-crypt|bcrypt|pbkdf2[\w-]*|argon2\w*|ntlm|lanman|"
    r"(?:cram|digest|hmac)-md5|scram-[\w-]+|plain-md[45]|ldap-md5|x-\w+|ns-mta-md5"
)
is_hash = re.compile(
    rf"\{{(?i:{_SCHEMES})(?:\.\w+)?\}}.+|"
    r"\$(?:1|2[abxy]?|5|6|7|y|gy|P|H|S|apr1|argon2(?:id?|d)|scrypt|pbkdf2[\w-]*|bcrypt[\w-]*|sha1|md5)\$.+|"
    r"(?:pbkdf2|argon2|bcrypt|scrypt|sha1|sha256|sha512|md5|crypt)[\w-]*\$.+\$.+|"
    r"\*[0-9A-F]{40}|ENC[(\[].+[)\]]|\$ANSIBLE_VAULT.*",
    re.DOTALL,
).fullmatch
"""Match stored passwords of LDAP, Dovecot, Unix, Django, MySQL, and encrypted ones."""
clear_scheme = re.compile(r"\{(?i:plain|clear|cleartext|b64|base64|hex)\}.+", re.DOTALL).fullmatch
"""Match a password behind the prefix of Dovecot's schemes in clear text."""
_variable = re.compile(r"\$+\{[^{}]*\}|\{\{[^{}]*\}\}|%\w+%|<[\w -]*(?:password|secret)[\w -]*>").fullmatch
_error = re.compile(ERRORS, re.IGNORECASE).fullmatch


def _bare(password: str) -> str:
    """Return the text in brackets or quotes, ``(null)``; or the password itself."""
    text = password.strip()
    pairs = ("()", "[]", "<>", "{}", '""', "''")
    return text[1:-1].strip() if len(text) > 2 and text[0] + text[-1] in pairs else text


def is_masked(password: str) -> bool:
    """Return whether an export has masked it: if used, anybody who guesses so could register."""
    return bool(_masked(password.strip()) or _hidden(_bare(password)))


def is_placeholder(password: str) -> bool:
    """Return whether it is a placeholder for an empty value: ``NULL``, ``#N/A``, ``changeme``."""
    text = _bare(password)
    return bool(_nothing(text) or _error(text) or is_boolean(text) or _variable(password.strip()))


def weaknesses(password: str, user: str, domain: str, shared: bool) -> tuple[Problem, ...]:
    """Return one problem with all reasons why the password is weak; empty if it isn't."""
    return _weak(len(password) < SHORT, password.isdecimal(), is_name(password, user, domain), shared)


@functools.cache
def _weak(*true: bool) -> tuple[Problem, ...]:
    told = (
        f"shorter than {SHORT} characters",
        "digits only",
        "equal to the user name",
        "shared by many rows",
    )
    reasons = [reason for reason, holds in zip(told, true, strict=True) if holds]
    return (Problem("weak_password", f"password: {', '.join(reasons)}"),) if reasons else ()


def is_name(password: str, user: str, domain: str) -> bool:
    """Return whether it is the user name, with or without the domain, in any case."""
    folded = password.casefold()
    if domain or "@" in user:
        composite = f"{user}@{domain}".casefold()
        return folded in (composite, user.casefold(), composite.partition("@")[0])
    return folded == user.casefold()


def look_swapped(users: Collection[str], passwords: Collection[str]) -> bool:
    """Return whether most user names look like passwords, and most passwords like extensions.

    A series of names (``user1001``, MAC addresses of one maker) beside numbers that are none is in order.
    """
    made_up = [user for user in users if _made_up(user)]
    numbers = [one for one in passwords if _number(one)]
    mostly = len(made_up) * 2 > len(users) and len(numbers) * 2 > len(passwords)
    return mostly and (_in_series(numbers) or not _in_series(made_up))


def _in_series(cells: Collection[str]) -> bool:
    """Return whether most begin, or most end, as another one does for half their length."""
    for halves in (
        Counter(cell[: (len(cell) + 1) // 2] for cell in cells),
        Counter(cell[len(cell) // 2 :] for cell in cells),
    ):
        if sum(count for count in halves.values() if count > 1) * 2 > len(cells):
            return True
    return False


class Survey:
    """Statistics from the first pass over a roster's records and passwords, in bounded memory.

    Passwords are counted by their keyed hashes (Python's own, with a new key in each process), by lossy
    counting: after each bucket of 50,000 every count is decreased by one, and counts that reach zero are
    dropped. So some 100,000 counts are kept, however long the file is, and a password's count is too low by
    at most one for every 50,000 rows: sharing by 5 rows is found below that size, by 25 in a million.
    """

    def __init__(self) -> None:
        self.records = 0
        self.filled = 0
        self.pins = 0
        self.names = 0
        self._counts: Counter[int] = Counter()
        self._forget_at = _BUCKET

    def add(self, records: int, passwords: Iterable[str]) -> None:
        """Count a group of records' passwords; empty ones are skipped."""
        self.records += records
        filled = [password for password in passwords if password]
        self.filled += len(filled)
        short = [password for password in filled if len(password) <= _LONGEST_PIN]
        self.pins += sum([bool(_pin(password)) for password in short])
        self.names += sum([bool(_full_name(password)) for password in filled if " " in password])
        self._counts.update(map(hash, filled))
        if self.filled >= self._forget_at:
            self._forget_at += _BUCKET
            self._counts = Counter({key: count - 1 for key, count in self._counts.items() if count > 1})

    @property
    def looks_like_pins(self) -> bool:
        """Return whether most passwords are up to 6 digits."""
        return self.pins * 2 > self.filled

    @property
    def looks_like_names(self) -> bool:
        """Return whether most passwords look like a person's first and last name."""
        return self.filled >= _FEWEST and self.names * 2 > self.filled

    def shared(self) -> frozenset[int]:
        """Return the hashes of passwords that at least MANY rows have."""
        return frozenset(key for key, count in self._counts.items() if count >= MANY)
