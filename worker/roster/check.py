"""Validate rows by the service's own field rules (docs/bandwidth-api.md#field-rules).

The one place that decides whether a row can be sent, for rows of a file and rows of a retry. All of a row's
problems are reported, each with its field, its position and what is allowed.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from worker.errors import UsageError
from worker.model import LONGEST_REALM, Family, Normalize, Options, Problem, Row, Weak, can_name_a_realm
from worker.roster.damage import (
    BOOLEANS,
    DAMAGED,
    DATES,
    FLOAT,
    FORMULA,
    GROUPED,
    ROUNDED,
    SCIENTIFIC,
    damaged,
    grouped,
    is_total,
    looks_like_number,
    not_a_name,
    rounded,
)
from worker.roster.passwords import (
    DECOMPOSED,
    ESCAPED,
    SHORT,
    clear_scheme,
    has_escapes,
    is_decomposed,
    is_hash,
    is_masked,
    is_name,
    is_placeholder,
    oddities,
    weaknesses,
)

LONGEST_NAME: Final = 32
"""UserName and Domain, each; in the realm family both together with their ``@``."""
_ALLOWED = r"A-Za-z0-9._\-!$&*+=~"
_ALLOWED_TEXT = "letters, digits and . _ - ! $ & * + = ~ are"

_ODD_WORD = "(?=[ntufwvopNTUFWVOP])(?i:nul|nil|non|nan|unde|true|fals|wahr|vrai|faux|ver[do]|waar|onwa|praw)"
"""Beginnings of words for nothing, and of truth values; the look-ahead is for speed."""
plain_name = re.compile(  # the first two alternatives spare most names the look-ahead
    rf"[0-9]{{1,15}}|(?![0-9=]|[a-zA-Z]{{3,9}}-[0-9]{{2,4}}\Z|{_ODD_WORD})[{_ALLOWED}]{{1,{LONGEST_NAME}}}"
    rf"|(?!(?:{SCIENTIFIC}|{ROUNDED}|{FLOAT}|{GROUPED}|{DATES}|{BOOLEANS}|{FORMULA}|(?i:null|none|nil|nan|undefined))\Z)(?=.{{1,{LONGEST_NAME}}}\Z)"
    rf"[{_ALLOWED}]+(?:@[{_ALLOWED}]+)?"
).fullmatch
plain_domain = re.compile(rf"[{_ALLOWED}]{{1,{LONGEST_NAME}}}").fullmatch
_CLEAR = r"!-%'-)+-\[\]-~"
"""Printable ASCII without ``&`` and backslash, which may belong to an entity or an escape, and ``*``."""
# A closer look at words in letters alone, and at what begins like a mask, a formula, or with a bracket.
_ODD_START = (
    r"[0-9=#*'\"(<\[{$%]|[a-zA-Z_%!?.-]+\Z|[xX._?-]{3}|"
    r"(?=[pabsmcE])(?:pbkdf2|argon2|bcrypt|scrypt|sha|md5|crypt|ENC[(\[])"  # the look-ahead is for speed
)
plain_password = re.compile(
    rf"(?!{_ODD_START})(?:[{_CLEAR}]{{{SHORT},}}|(?!.*[*]{{4}})[{_CLEAR}*]{{{SHORT},}})"
    rf"|(?!(?:[0-9.,:/-]+|{DAMAGED}|{DATES})\Z)[0-9][{_CLEAR}]{{{SHORT - 1},}}"
).fullmatch
"""Match printable ASCII without white space, long enough, with nothing to remark on."""
is_uuid = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}").fullmatch
_forbidden_in_user = re.compile(rf"[^{_ALLOWED}@]")
_forbidden = re.compile(rf"[^{_ALLOWED}]")
_forbidden_in_realm = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class RosterFacts:
    """The facts about each row that only the whole roster shows."""

    shared: frozenset[int] = frozenset()
    """Hashes of passwords that many rows have."""
    numbers_for_names: bool = False
    """Whether most user names are numbers or dates as a spreadsheet writes them."""
    escapes: bool = False
    """Whether the file may be a database client's batch output, which escapes by backslashes."""


_TRIMMED = Problem("username_trimmed", "username: blanks around it were removed")
_TOTAL = Problem("totals_row", "the row is a total of the table, and no user; remove it")
_no_name = re.compile(r"[(<\[]?(?:null|nil|none|nan|undefined|n/a|\\n)[)>\]]?", re.IGNORECASE).fullmatch
_address = re.compile(
    r"(?i:<?(?:sips?|tel):.*|(?:SIP|PJSIP|IAX2|SCCP|Local)/.*|.*<[^<>]*>|[^@\s]+@[^@\s]+:[0-9]{2,5}|.*;transport=.*)"
).fullmatch
"""Match ``sip:1001@pbx``, ``"Ann" <1001>``, ``PJSIP/1001``, ``1001@pbx:5060``."""


def trimmed_name(user: str) -> str:
    """Return a user name without white space and invisible characters around it."""
    return user.strip().strip("\u200b\u200c\u200d\u2060\ufeff").strip()


class Rules:
    """The field rules of one family, with the options' defaults for rows without a value of their own."""

    def __init__(self, options: Options, facts: RosterFacts | None = None, missing_user: str = "") -> None:
        """``missing_user``: why a name may be empty.

        Raises:
            UsageError: a default itself breaks the rules, so that no row could be sent.
        """
        self.domain = options.domain
        self.realm = options.realm
        self.application = options.application
        facts = facts or RosterFacts()
        self.shared = facts.shared
        self._facts = facts
        self._normalize = options.normalize
        self._refuse_weak = options.weak is not Weak.WARN
        self._in_all = options.api is Family.REALM
        self._missing_user = missing_user or "username: empty, but every row needs one"
        wrong = [
            *_domain_problems(self.domain),
            *realm_problems(self.realm),
            *_id_problems(self.application),
        ]
        if wrong:
            raise UsageError(f"the default for rows without their own: {wrong[0].text}", "correct the option")

    def judge(self, row: Row) -> None:
        """Set the row's problems and warnings: everything wrong or suspicious about its fields.

        Blanks around its user name are removed, and letters of its password composed if that is asked for.
        """
        if row.password and (trimmed := trimmed_name(row.user)) != row.user:
            row.user = trimmed
            row.warnings += (_TRIMMED,)
        if self._normalize is Normalize.NFC and not row.password.isascii():
            row.password = unicodedata.normalize("NFC", row.password)
        user, domain, password = row.user, row.domain, row.password
        sound = (
            plain_name(user)
            and (not domain or self._plain(user, domain))
            and (row.realm == self.realm or can_name_a_realm(row.realm))
            and (not row.application or is_uuid(row.application))
        )
        strong = (
            plain_password(password)
            and not (self.shared and hash(password) in self.shared)
            and not is_name(password, user, domain)
        )
        if not sound:
            row.problems = self._field_problems(user, domain, row.realm, row.application)
            row.warnings += _user_warnings(user)
        if not strong:
            weak = self._weakness(user, domain, password)
            total = (_TOTAL,) if is_total(user, password) else ()
            row.problems += (*total, *_password_problems(password), *(weak if self._refuse_weak else ()))
            row.warnings += (*self._oddities(password), *(() if self._refuse_weak else weak))

    def _field_problems(self, user: str, domain: str, realm: str, application: str) -> tuple[Problem, ...]:
        return (
            *self._user_problems(user, domain),
            *_domain_problems(domain),
            *realm_problems(realm),
            *_id_problems(application),
        )

    def _plain(self, user: str, domain: str) -> bool:
        return "@" not in user and bool(plain_domain(domain)) and self._fits(user, domain)

    def _fits(self, user: str, domain: str) -> bool:
        return not self._in_all or len(user) + 1 + len(domain) <= LONGEST_NAME

    def _oddities(self, password: str) -> list[Problem]:
        found = oddities(password)
        if self._normalize is None and is_decomposed(password):
            found.append(DECOMPOSED)
        if self._facts.escapes and has_escapes(password):
            found.append(ESCAPED)
        return found

    def _weakness(self, user: str, domain: str, password: str) -> tuple[Problem, ...]:
        return weaknesses(password, user, domain, hash(password) in self.shared) if password else ()

    def _user_problems(self, user: str, domain: str) -> list[Problem]:
        if not user:
            return [Problem("username_missing", self._missing_user)]
        if not_a_name(user) or (self._facts.numbers_for_names and looks_like_number(user)):
            text = "username: a spreadsheet rewrote it; format the column as text there and export again"
            return [Problem("spreadsheet_damage", text)]
        if _no_name(user):
            return [Problem("username_missing", "username: a placeholder for an empty value")]
        if _address(user):
            text = (
                "username: an address of a phone; give only its user, such as 1001 for sip:1001@pbx.example"
            )
            return [Problem("bad_characters", text)]
        problems = _bad_characters("username", user, _forbidden_in_user)
        if "@" in user and domain:
            at = user.index("@") + 1
            text = f"username: character {at} is @, which is only allowed in a row without a domain"
            problems.append(Problem("bad_characters", text))
        return problems + self._length_problems(user, domain)

    def _length_problems(self, user: str, domain: str) -> list[Problem]:
        if len(user) > LONGEST_NAME:
            apart = (
                "; you can put the part after @ into a domain column"
                if "@" in user and not self._in_all
                else ""
            )
            return [_too_long("username", user, LONGEST_NAME, apart)]
        if not self._fits(user, domain):
            return [_too_long("username with @ and domain", f"{user}@{domain}", LONGEST_NAME)]
        return []


def _domain_problems(domain: str) -> list[Problem]:
    problems = _bad_characters("domain", domain, _forbidden)
    return [*problems, _too_long("domain", domain, LONGEST_NAME)] if len(domain) > LONGEST_NAME else problems


def realm_problems(realm: str) -> list[Problem]:
    """Return the problems of a text that can't name a realm; none for an empty one (the default realm)."""
    if not realm or can_name_a_realm(realm):
        return []
    problems = _bad_characters("realm", realm, _forbidden_in_realm, "letters, digits and . _ - are")
    if len(realm) > LONGEST_REALM:
        problems.append(_too_long("realm", realm, LONGEST_REALM))
    return problems or [Problem("bad_characters", "realm: a name must contain a letter or a digit")]


def _id_problems(application: str) -> list[Problem]:
    if not application or is_uuid(application):
        return []
    text = "application_id: not a UUID (8-4-4-4-12 hexadecimal digits)"
    return [Problem("bad_application_id", text)]


def _password_problems(password: str) -> list[Problem]:
    if not password:
        return [Problem("password_missing", "password: empty, but every row needs one")]
    if is_placeholder(password):
        text = "password: a placeholder for an empty value; anybody could guess it"
        return [Problem("password_placeholder", text)]
    if is_masked(password):
        return [Problem("password_masked", "password: masked; the export hid the real one")]
    if damaged(password):
        text = "password: a spreadsheet rewrote it; format the column as text there and export again"
        return [Problem("spreadsheet_damage", text)]
    if is_hash(password):
        text = "password: a hash, as {SSHA}… or $2y$… are, from which nobody can tell the password"
        return [Problem("digest_only", text)]
    if clear_scheme(password):
        text = "password: begins with a storage scheme such as {PLAIN}; export the password alone"
        return [Problem("password_scheme", text)]
    try:
        password.encode()
    except UnicodeEncodeError:  # a lone surrogate: it has no UTF-8 bytes to make a digest from
        return [Problem("bad_characters", "password: a broken character, which UTF-8 can't represent")]
    return []


def _user_warnings(user: str) -> tuple[Problem, ...]:
    warnings = []
    if user.count("@") > 1:
        warnings.append(Problem("several_at_signs", "username: more than one @"))
    if rounded(user):
        text = "username: only zeros from the 16th digit on; a spreadsheet keeps only 15 digits"
        warnings.append(Problem("spreadsheet_damage", text))
    if looks_like_number(user) or grouped(user):
        text = "username: looks like a number, a date or a formula that a spreadsheet or a script wrote"
        warnings.append(Problem("spreadsheet_damage", text))
    return tuple(warnings)


def _bad_characters(
    field: str, value: str, forbidden: re.Pattern[str], allowed: str = _ALLOWED_TEXT
) -> list[Problem]:
    found = list(forbidden.finditer(value))
    if not found:
        return []
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    first = f"{field}: character {found[0].start() + 1} is {_described(found[0][0])}"
    return [Problem("bad_characters", f"{first}{more}; only {allowed} allowed")]


def _described(character: str) -> str:
    """Return ``’ (RIGHT SINGLE QUOTATION MARK, U+2019)``; only the name for an invisible character."""
    name = unicodedata.name(character, "CONTROL CHARACTER")
    if character.isprintable() and not character.isspace():
        return f"{character} ({name}, U+{ord(character):04X})"
    return f"{name} (U+{ord(character):04X})"


def _too_long(field: str, value: str, longest: int, hint: str = "") -> Problem:
    return Problem("too_long", f"{field}: {len(value)} characters, at most {longest} are allowed{hint}")
