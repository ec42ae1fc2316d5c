"""The header row: assigns columns to fields, once for the whole file."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from worker.errors import UsageError
from worker.model import Condition, Options, Problem, Row
from worker.roster.secret import may_be_secret
from worker.roster.selection import Test, cell_test
from worker.roster.template import FirstFilled, Template

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "username": ("username", "user", "login", "extension", "sipuser"),
    "password": ("password", "secret", "pass", "sippassword"),
    "domain": ("domain",),
    "realm": ("realm",),
    "application_id": ("applicationid", "appid", "httpvoicev2appid"),
    "hash1": ("hash1",),
    "hash1b": ("hash1b",),
}
"""Our fields and the column names, in plain form, that stand for them; the first one wins."""
_FIELD_NAMES: Final = [name for names in ALIASES.values() for name in names]
_CLOSE: Final = 0.85
"""How alike a mistyped name is (difflib's ratio): ``usernam``; ``Sunshine`` is not."""
SECRETS: Final = ("password", "hash1", "hash1b")
OWN: Final = "bw__"
"""Prefix of our own columns in result files."""
LISTED: Final = ["username", "realm", "id", "application_id"]
"""First columns in the header of ``credential list --csv``."""
MOST_COLUMNS: Final = 1000
LONGEST_COLUMN: Final = 1000
"""Most characters of a column's name."""
_header_words = re.compile(
    "(?:"
    "first|last|full|display|given|family|user|account|login|logon|auth|authorization|sip|voip|pbx|iax|line|device|web|"
    "portal|admin|voicemail|vm|mailbox|registration|register|caller|call|id|no|nr|num|name|number|ext|extension|phone|"
    "telephone|tel|did|mobile|cell|fax|e?mail|address|site|location|office|building|floor|room|city|country|street|zip|"
    "department|dept|team|group|company|organi[sz]ation|title|role|mac|ip|host|port|domain|realm|model|vendor|type|serial|"
    "description|comment|notes?|status|state|enabled|active|context|application|app|language|timezone|time|zone|date|"
    "created|updated|password|passwd|pass|pwd|secret|pin|code|key|token|hash|"
    "benutzer|kennung|kennwort|passwort|nebenstelle|durchwahl|rufnummer|nummer|vorname|nachname|standort|abteilung|"
    "utilisateur|identifiant|motdepasse|mot|de|passe|poste|numero|nom|prenom|usuario|contrasena|clave|nombre|apellido|"
    "utente|interno|nome|cognome|parola|senha|ramal|sobrenome|gebruiker|wachtwoord|toestel|naam|voornaam|achternaam|"
    "uzytkownik|haslo|wewnetrzny|numer|nazwa|imie|nazwisko"
    ")+"
).fullmatch
"""Match a column's plain name that is made of words which only stand in headers."""
_data_like = re.compile(r"[0-9]{3}|@|://|[0-9a-fA-F]{2}[:-][0-9a-fA-F]{2}").search
"""Match a cell that is hardly a column's name: an extension, a telephone number, an address."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The columns of a format, by the names that its header has; a column that is missing is left out."""

    username: tuple[str, ...]
    """The first of them that is filled in a record is its user name."""
    password: str = ""
    domain: str = ""
    hash1: str = ""
    hash1b: str = ""
    secrets: tuple[str, ...] = ()
    """Columns with other secrets (voicemail, web login), which the results never show."""
    judge: Callable[[Row, Sequence[str]], None] | None = None
    """Look at a record and its row: ``skip`` or ``refuse`` it, or add to its warnings."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The position of each field in a record. Positions count from 0; None: there is no such column."""

    width: int
    """Fields in a record, trailing columns without a name included."""
    named: int
    """Fields up to the last named column: a record may end there."""
    exact: int
    """The number of fields that needs no closer look; -1: a surplus field may not be empty."""
    user: int | Template | FirstFilled
    password: int | None
    """None: a roster of digests."""
    domain: int | None
    realm: int | None
    application: int | None
    carried: tuple[int, ...]
    neutralised: tuple[int, ...]
    """Positions whose cells may have our ``'`` before a formula's first character."""
    where: tuple[tuple[int, Test], ...]
    """Positions, and the test that the cell there has to pass for the row to be selected."""
    columns: tuple[str, ...]
    dropped: tuple[str, ...]
    mapping: Mapping[str, str]
    warnings: tuple[Problem, ...]
    hash1: int | None = None
    hash1b: int | None = None
    judge: Callable[[Row, Sequence[str]], None] | None = None
    """Judges a row by all fields of its record; the roster's format knows how."""

    @property
    def fields(self) -> frozenset[int]:
        """Return the positions that a row's user name, domain, realm and application are taken from."""
        user = (self.user,) if isinstance(self.user, int) else self.user.positions
        rest = (self.domain, self.realm, self.application)
        return frozenset([*user, *(at for at in rest if at is not None)])


_neutralised = re.compile(r"'+[=+\-@\t\r]").match
_word_like = re.compile(r"[^\W\d]+(?:[ _./-]+[^\W\d]+)*[ _-]?\d{0,2}").fullmatch
"""Match a cell that may be a column's name: letters, perhaps with a number at the end."""


def restored(cell: str) -> str:
    """Return a result file's cell without the ``'`` that keeps a spreadsheet from running it; removes one."""
    return cell[1:] if _neutralised(cell) else cell


def plain(name: str) -> str:
    """Return a column's name without insignificant differences: case, white space, ``_`` and ``-``."""
    return re.sub(r"[\s_\-]+", "", name).casefold()


def _is_header_name(name: str) -> bool:
    """Return whether it looks like anybody's column name: ``SIP Secret``, ``Prénom``, ``passwrd``."""
    bare = plain("".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)))
    mistyped = bare.isalpha() and difflib.get_close_matches(bare, _FIELD_NAMES, 1, _CLOSE)
    return bool(_header_words(bare) or mistyped) or known(name)


def known(name: str) -> bool:
    """Return whether a cell is one of our column names, so that its row is a header."""
    return any(plain(name) in names for names in ALIASES.values()) or name.casefold().startswith(OWN)


class Header:
    """The column names of a file, and the search for one of them."""

    def __init__(self, cells: Sequence[str], place: str) -> None:
        """Read the names. Raises UsageError if two columns share a name, or the line can't be a header."""
        self.place = place
        self.width = len(cells)
        self.names = [cell.strip().lstrip("\ufeff") for cell in cells]
        while self.names and not self.names[-1]:
            self.names.pop()
        self.named = len(self.names)
        self._refuse_endless()
        if any(name.casefold().startswith(OWN) for name in self.names):  # a result file
            self.names = [restored(name) for name in self.names]
        self._refuse_twins()

    def position(self, name: str, option: str) -> int:
        """Return the position of the column that an option names: exactly, else the only similar one.

        Raises:
            UsageError: there is none, or more than one; the message names the nearest.
        """
        alike = [at for at, other in enumerate(self.names) if plain(other) == plain(name) and other]
        exact = [at for at in alike if self.names[at] == name]
        found = exact or alike
        if len(found) != 1:
            reason = "fits several columns" if found else "is not a column"
            raise UsageError(f"{option}: {name!r} {reason} of {self.place}", self.guess([name]))
        if self.is_own(found[0]):
            raise UsageError(
                f"{option}: {name!r} is a column of results, which is not read", self.guess([name])
            )
        return found[0]

    def candidates(self, field: str) -> list[int]:
        """Return the columns that may be the field, the best name first."""
        names = ALIASES[field]
        found = [at for at, name in enumerate(self.names) if plain(name) in names and not self.is_own(at)]
        return sorted(found, key=lambda at: names.index(plain(self.names[at])))

    def is_own(self, position: int) -> bool:
        """Return whether it is one of the columns that our result files put before a roster's own."""
        return self.names[position].casefold().startswith(OWN)

    def guess(self, wanted: Sequence[str], taken: Collection[int] = ()) -> str:
        """Return a hint with the columns that exist, and the one nearest to the wanted name.

        A file without a header has a user's password in its first line: no cell of a line that may be a row
        is shown, and of a line that looks like a header only names that usually stand in headers.
        """
        sure = self._is_sure()
        shown = {
            at for at, name in enumerate(self.names) if _is_header_name(name) or (sure and _word_like(name))
        }
        if not sure and (len(shown) < min(2, self.named) or any(map(_data_like, self.names))):
            columns = "1 column" if self.named == 1 else f"{self.named} columns"
            return (
                f"its first line has {columns} and looks like data; "
                "it must be a header with column names, such as username and password"
            )
        plains = {plain(self.names[at]): self.names[at] for at in sorted(shown - set(taken))}
        near = [match for word in wanted for match in difflib.get_close_matches(plain(word), plains, 1)]
        listed = ", ".join(
            name if at in shown else f"(column {at + 1})" for at, name in enumerate(self.names) if name
        )
        did_you_mean = f"did you mean {plains[near[0]]!r}? The" if near else "the"
        return f"{did_you_mean} columns are: {listed}"

    def _is_sure(self) -> bool:
        """Return whether the line can't be a row: it names required columns, or is a result file's."""
        if any(name.casefold().startswith(OWN) for name in self.names):
            return True
        secrets = self.candidates("password") or (self.candidates("hash1") and self.candidates("hash1b"))
        return bool(self.candidates("username") and secrets) and not any(map(str.isdecimal, self.names))

    def _refuse_endless(self) -> None:
        """Refuse names too long for a header; a message, a job and a line of the results contain them all."""
        if self.named > MOST_COLUMNS:
            raise UsageError(
                f"{self.place} has {self.named:,} columns; {MOST_COLUMNS:,} is the limit",
                "export fewer columns, or give the right --delimiter",
            )
        for at, name in enumerate(self.names, 1):
            if len(name) > LONGEST_COLUMN:
                raise UsageError(
                    f"{self.place}: the name of column {at} has {len(name):,} characters; "
                    f"{LONGEST_COLUMN:,} is the limit",
                    "is a quote in the header not closed, or the header missing?",
                )

    def _refuse_twins(self) -> None:
        first: dict[str, int] = {}
        for at, name in enumerate(self.names):
            if name and first.setdefault(name.casefold(), at) != at:
                raise UsageError(
                    f"{self.place}: columns {first[name.casefold()] + 1} and {at + 1} have the same name",
                    "rename or remove one of them",
                )


def lay_out(
    cells: Sequence[str], place: str, options: Options, assignment: Assignment | None = None
) -> Layout:
    """Assign columns to fields: by ``assignment``, if the roster is of a format, else by their names.

    ``--map`` overrides both.

    Raises:
        UsageError: a required column is missing, or an option names one that doesn't exist.
    """
    header = Header(cells, place)
    return _Deciding(header, options, assignment).layout()


class _Deciding:
    """The decisions, in order: the fields first, then the carried columns."""

    def __init__(self, header: Header, options: Options, assignment: Assignment | None) -> None:
        self.header = header
        self.options = options
        self.assignment = assignment
        self.warnings: list[Problem] = []
        self.users: list[int] = []
        self.chosen = self._mapped()
        for field in ALIASES:
            if field in options.map or (field == "username" and options.username):
                continue
            if assignment is None:
                self._choose(field)
            else:
                self._take(field, assignment)
        self._require_password()
        self.secret = self._secret_positions()
        self.user = self._user()

    def layout(self) -> Layout:
        header, chosen = self.header, self.chosen
        carried = [at for at, name in enumerate(header.names) if self._is_carried(at, name)]
        dropped = [name for at, name in enumerate(header.names) if at in self.secret and at not in carried]
        own = any(header.is_own(at) for at in range(len(header.names))) or header.names[:4] == LISTED
        return Layout(
            width=header.width,
            named=header.named,
            exact=header.named if header.named == header.width else -1,
            user=self.user,
            password=chosen.get("password"),
            domain=chosen.get("domain"),
            realm=chosen.get("realm"),
            application=chosen.get("application_id"),
            carried=tuple(carried),
            neutralised=tuple(at for at in range(header.width) if own and at != chosen.get("password")),
            where=tuple((self._selecting(one), cell_test(one)) for one in self.options.where),
            columns=tuple(header.names[at] for at in carried),
            dropped=tuple(dropped),
            mapping=self._mapping(),
            warnings=tuple(self.warnings),
            hash1=chosen.get("hash1"),
            hash1b=chosen.get("hash1b"),
            judge=self.assignment.judge if self.assignment else None,
        )

    def _mapped(self) -> dict[str, int]:
        """Return the fields that ``--map`` assigns."""
        chosen: dict[str, int] = {}
        for field, column in self.options.map.items():
            if not column and field in ALIASES:
                continue
            if field not in ALIASES:
                raise UsageError(
                    f"--map {field}={column}: there is no field {field!r}",
                    f"the fields are: {', '.join(ALIASES)}",
                )
            chosen[field] = self.header.position(column, f"--map {field}")
        shared = [
            field for field in chosen if field in SECRETS and list(chosen.values()).count(chosen[field]) > 1
        ]
        if shared:
            raise UsageError(
                f"--map takes one column for {shared[0]} and for another field",
                "a secret's column can't be used for another field, which the results show",
            )
        return chosen

    def _take(self, field: str, assignment: Assignment) -> None:
        """Take the field's column as the format has it; the first of several that may have the user name."""
        if field == "username":
            names: tuple[str, ...] = assignment.username
        else:
            names = (getattr(assignment, field, ""),)
        found = [self.header.names.index(name) for name in names if name and name in self.header.names]
        if found:
            self.chosen[field] = found[0]
        self.users = found if field == "username" else self.users

    def _choose(self, field: str) -> None:
        """Choose the field's column by its name; ambiguity gets a warning, for passwords a refusal."""
        found = [at for at in self.header.candidates(field) if at not in self.chosen.values()]
        if not found:
            return
        names = [self.header.names[at] for at in found]
        if len(found) > 1 and (field == "password" or plain(names[0]) == plain(names[1])):
            raise UsageError(
                f"{self.header.place}: {' and '.join(names)} could both be the {field}",
                f"choose one: --map {field}={names[0]}",
            )
        if len(found) > 1:
            text = f"{names[0]} is used for the {field}, not {', '.join(names[1:])}"
            self.warnings.append(Problem("column_ambiguous", f"{text}; --map {field}=COLUMN chooses another"))
        self.chosen[field] = found[0]

    def _require_password(self) -> None:
        """Require passwords, or both digests; a single digest column is of no use."""
        given = [field for field in ("hash1", "hash1b") if field in self.chosen]
        if len(given) == 2 or (not given and "password" in self.chosen):
            return
        if not given:
            if self.options.generate_passwords:
                self._refuse_overlooked()
                return
            raise self._missing("password")
        other = "hash1b" if given == ["hash1"] else "hash1"
        if "password" not in self.chosen:
            raise UsageError(
                f"{self.header.place} has {given[0]}, but neither {other} nor passwords",
                "both digests are needed, or a password column",
            )
        text = f"{given[0]} is not used: the digests are computed from the passwords"
        self.warnings.append(Problem("hash_not_used", text))

    def _refuse_overlooked(self) -> None:
        """Refuse to generate passwords for all rows where an unknown column may have them."""
        names = [name for at, name in enumerate(self.header.names) if not self.header.is_own(at)]
        alike = [name for name in names if may_be_secret(name)]
        if alike and "password" not in self.options.map:
            raise UsageError(
                f"{self.header.place} has no password column, but {alike[0]!r} may be one",
                f"--map password={alike[0]!r} takes it; --map password= generates a password for every row",
            )

    def _missing(self, field: str) -> UsageError:
        wanted = ALIASES[field]
        if field == "password":
            wanted = (*filter(may_be_secret, self.header.names), *wanted)
        guess = self.header.guess(wanted, self.chosen.values())
        hint = f"--map {field}=COLUMN names it; {guess}"
        return UsageError(f"{self.header.place} has no {field} column", hint)

    def _secret_positions(self) -> set[int]:
        """Return columns that surely hold a secret, or do by name unless needed or explicitly carried."""
        sure = {self.chosen[field] for field in SECRETS if field in self.chosen}
        expressly = {self.header.position(name, "--carry") for name in self.options.carry}
        if sure & expressly:
            name = self.header.names[min(sure & expressly)]
            raise UsageError(
                f"--carry {name}: a password or digest never goes into the results", "leave it out"
            )
        if self.assignment:
            sure |= {at for at, name in enumerate(self.header.names) if name in self.assignment.secrets}
        used = set(self.chosen.values()) | set(self.users) | expressly
        by_name = {
            at
            for at, name in enumerate(self.header.names)
            if may_be_secret(name) and not self.header.is_own(at)
        }
        return sure | (by_name - used)

    def _public(self, name: str, option: str) -> int:
        """Return the position of a column that is no secret: its values get into names or a job's options."""
        position = self.header.position(name, option)
        if position in self.secret:
            raise UsageError(
                f"{option}: {name!r} contains or may contain a secret, and would be visible in the results",
                f"if it is not a secret, use --carry {name}",
            )
        return position

    def _selecting(self, condition: Condition) -> int:
        """Return the position of a condition's column, whose name may have been cut off at an operator."""
        names, column = self.header.names, condition.column
        typed = f"{column}{condition.operator}{condition.value}"
        longer = [one for one in names if one.startswith(column) and typed.startswith(one)]
        if longer and column not in names:
            raise UsageError(
                f"--where: {column!r} is not a column of {self.header.place}, but {longer[0]!r} is",
                f"put the name in double quotes: --where '\"{longer[0]}\"=VALUE'",
            )
        return self._public(column, "--where")

    def _user(self) -> int | Template | FirstFilled:
        if self.options.username:
            return Template(self.options.username, lambda name: self._public(name, "--username"))
        if "username" not in self.chosen:
            raise self._missing("username")
        if len(self.users) > 1:
            return FirstFilled(tuple(self.users))
        return self.chosen["username"]

    def _is_carried(self, position: int, name: str) -> bool:
        if not name and any(self.header.names[position:]):
            text = f"column {position + 1} has no name and is ignored"
            self.warnings.append(Problem("column_unnamed", text))
        return bool(name) and position not in self.secret and not self.header.is_own(position)

    def _mapping(self) -> dict[str, str]:
        fields = ("username", "password", "domain", "realm", "application_id", "hash1", "hash1b")
        mapping = {field: self.header.names[self.chosen[field]] for field in fields if field in self.chosen}
        if self.options.username:
            return {**mapping, "username": self.options.username}
        if len(self.users) > 1:
            return {**mapping, "username": ", else ".join(self.header.names[at] for at in self.users)}
        return mapping
