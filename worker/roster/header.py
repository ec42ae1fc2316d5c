"""The header: a file's column names, the search for one of them, and hints that show no secret."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from worker.errors import UsageError
from worker.reasons import plural
from worker.roster.column_names import may_be_hinted, rank_of, sip_likeness
from worker.roster.secret import may_be_secret

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
_MOJIBAKE_BOM: Final = "\xef\xbb\xbf"
"""UTF-8's byte order mark, read in a single-byte encoding and saved again."""
_FIELD_NAMES: Final = [name for names in ALIASES.values() for name in names]
RANKED: Final = ("username", "password")
"""Fields whose columns have names in many words and languages (worker.roster.column_names)."""
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
    "benutzer|nutzer|teilnehmer|klappe|kennung|kennwort|passwort|nebenstelle|durchwahl|rufnummer|nummer|vorname|nachname|standort|abteilung|"
    "utilisateur|identifiant|motdepasse|mot|de|passe|poste|numero|nom|prenom|usuario|contrasena|clave|nombre|apellido|"
    "utente|interno|nome|cognome|parola|senha|ramal|sobrenome|gebruiker|wachtwoord|toestel|naam|voornaam|achternaam|"
    "uzytkownik|haslo|wewnetrzny|numer|nazwa|imie|nazwisko"
    ")+"
).fullmatch
"""Match a column's plain name that is made of words which only stand in headers."""
_data_like = re.compile(r"[0-9]{3}|@|://|[0-9a-fA-F]{2}[:-][0-9a-fA-F]{2}").search
"""Match a cell that is hardly a column's name: an extension, a telephone number, an address."""
_has_digit = re.compile("[0-9]").search


_delimited = re.compile(r"[^,;\t|]+[,;\t|]").match
"""Match a cell that holds a delimiter."""
_neutralised = re.compile(r"'+[=+\-@\t\r]").match
_word_like = re.compile(r"[^\W\d]+(?:[ _./-]+[^\W\d]+)*[ _-]?\d{0,2}").fullmatch
"""Match a cell that may be a column's name: letters, perhaps with a number at the end."""


def restored(cell: str) -> str:
    """Return a result file's cell without the ``'`` that keeps a spreadsheet from running it; removes one."""
    return cell[1:] if _neutralised(cell) else cell


def plain(name: str) -> str:
    """Return a column's name without insignificant differences: case, white space, ``_`` and ``-``."""
    return re.sub(r"[\s_\-]+", "", name).casefold()


def is_header_name(name: str) -> bool:
    """Return whether it looks like anybody's column name: ``SIP Secret``, ``Prénom``, ``passwrd``."""
    bare = plain("".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)))
    mistyped = bare.isalpha() and difflib.get_close_matches(bare, _FIELD_NAMES, 1, _CLOSE)
    return bool(_header_words(bare) or mistyped) or known(name)


def known(name: str) -> bool:
    """Return whether a cell is a column name that stands for a field, so that its row is a header."""
    return (
        any(plain(name) in names for names in ALIASES.values())
        or any(rank_of(field, name) is not None for field in RANKED)
        or name.casefold().startswith(OWN)
    )


class Header:
    """The column names of a file, and the search for one of them."""

    def __init__(self, cells: Sequence[str], place: str) -> None:
        """Read the names; of several columns with one name, the later ones get a suffix.

        Raises UsageError if the line can't be a header.
        """
        self.place = place
        self.width = len(cells)
        self.names = [cell.strip().lstrip("\ufeff").removeprefix(_MOJIBAKE_BOM) for cell in cells]
        while self.names and not self.names[-1]:
            self.names.pop()
        self.named = len(self.names)
        self._refuse_endless()
        if any(name.casefold().startswith(OWN) for name in self.names):  # a result file
            self.names = [restored(name) for name in self.names]
        self.given = self.names
        """The names as the file has them; ``names`` are all different."""
        self.names = self._without_twins()

    def position(self, name: str, option: str) -> int:
        """Return the position of the column that an option names: exactly, else the only similar one.

        Raises:
            UsageError: there is none, or more than one; the message names the nearest.
        """
        field = option.removeprefix("--map ")
        alike = [at for at, other in enumerate(self.names) if plain(other) == plain(name) and other]
        exact = [at for at in alike if self.names[at] == name]
        found = exact or alike
        if len(exact) == 1 and (twins := self.twins(exact[0])):
            raise self.same_name(exact[0], twins[0])
        if len(found) != 1:
            reason = "fits several columns" if found else "is not a column"
            raise UsageError(f"{option}: {name!r} {reason} of {self.place}", self.guess([name], (), field))
        if self.is_own(found[0]):
            raise UsageError(
                f"{option}: {name!r} is a column of results, which is not read", self.guess([name], (), field)
            )
        return found[0]

    def candidates(self, field: str) -> list[int]:
        """Return the columns that may be the field, the best name first."""
        names = ALIASES[field]
        ranks = {at: _rank(field, name, names) for at, name in enumerate(self.given) if not self.is_own(at)}
        found = {at: rank for at, rank in ranks.items() if rank is not None}
        return sorted(found, key=found.__getitem__)

    def is_own(self, position: int) -> bool:
        """Return whether it is one of the columns that our result files put before a roster's own."""
        return self.names[position].casefold().startswith(OWN)

    def twins(self, position: int) -> list[int]:
        """Return the other columns with the same name."""
        name = self.given[position].casefold()
        return [at for at, one in enumerate(self.given) if one.casefold() == name and at != position]

    def same_name(self, one: int, other: int) -> UsageError:
        """Return the error for two columns with the same name, one of which is needed."""
        first, second = sorted((one, other))
        return UsageError(
            f"{self.place}: columns {first + 1} and {second + 1} have the same name",
            "rename or remove one of them",
        )

    def guess(self, wanted: Sequence[str], taken: Collection[int] = (), field: str = "password") -> str:
        """Return a hint with the columns that exist, and the one nearest to the wanted name for ``field``.

        A file without a header has a user's password in its first line: no cell of a line that may be a row
        is shown, and of a line that looks like a header only names that usually stand in headers.
        """
        shown = self._shown()
        if not shown:
            columns = plural(self.named, "column")
            if self.named == 1 and _delimited(self.names[0]):
                return (
                    "each line is in quotes as a whole, which makes it one column: in a spreadsheet, split "
                    "it (Data > Text to Columns), and save it as CSV again"
                )
            add = "put a line in front of it, such as username,password,name"
            if self.candidates("username") and not any(map(_has_digit, self.names)):
                # A line put in front of a header would make that a user.
                return (
                    f"its first line has {columns} and may be data: if it is the header, choose the column "
                    f"with --map {field}=COLUMN; if not, {add}"
                )
            return f"its first line has {columns} and looks like data, not like a header: {add}"
        near = self.nearest(wanted, taken, field)
        listed = ", ".join(
            name if at in shown else f"(column {at + 1})" for at, name in enumerate(self.names) if name
        )
        did_you_mean = f"did you mean {near!r}? The" if near else "the"
        return f"{did_you_mean} columns are: {listed}"

    @property
    def may_be_shown(self) -> bool:
        """Return whether the line looks like column names, some of which messages may quote."""
        return bool(self._shown())

    def nearest(self, wanted: Sequence[str], taken: Collection[int] = (), field: str = "password") -> str:
        """Return the column that a hint names as the likely one for ``field``; empty if there is none."""
        return self._near(wanted, sorted(self._shown() - set(taken)), field)

    @property
    def shown(self) -> list[str]:
        """Return the names that may be shown; empty ones stand for those that may be data.

        If most of them usually stand in headers, one names the users, and no cell looks like data, any word
        is a name.
        """
        shown = self._shown()
        users = shown.intersection(self.candidates("username"))
        if users and len(shown) * 2 > self.named and not any(map(_data_like, self.names)):
            shown |= {at for at, name in enumerate(self.names) if _word_like(name) and not _has_digit(name)}
        return [name if at in shown else "" for at, name in enumerate(self.names)]

    def _shown(self) -> set[int]:
        """Return the columns whose names may be shown; none if the line looks like data."""
        sure = self._is_sure()
        shown = {
            at for at, name in enumerate(self.names) if is_header_name(name) or (sure and _word_like(name))
        }
        if not sure and (len(shown) < min(2, self.named) or any(map(_data_like, self.names))):
            return set()
        return shown

    def _near(self, wanted: Sequence[str], among: Sequence[int], field: str) -> str:
        """Return the name that is meant most likely; empty if none is, or only such that are never meant."""
        names = [self.names[at] for at in among if may_be_hinted(field, self.names[at])]
        if field == "username":
            names = [name for name in names if not may_be_secret(name)]
        plains = {plain(name): name for name in sorted(names, key=sip_likeness)}
        near = [match for word in wanted for match in difflib.get_close_matches(plain(word), plains, 1)]
        return plains[near[0]] if near else ""

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

    def _without_twins(self) -> list[str]:
        """Return the names with a suffix for the second and later columns of the same name."""
        taken = {name.casefold() for name in self.given}
        seen: set[str] = set()
        names = []
        for at, name in enumerate(self.given):
            new, number = name, 2
            if name and name.casefold() in seen:
                if name.casefold().startswith(OWN):
                    raise self.same_name(self.twins(at)[0], at)
                while new.casefold() in taken:
                    new, number = f"{name}_{number}", number + 1
            seen.add(new.casefold())
            taken.add(new.casefold())
            names.append(new)
        return names


def _rank(field: str, name: str, names: Sequence[str]) -> int | None:
    if field in RANKED:
        return rank_of(field, name)
    return names.index(plain(name)) if plain(name) in names else None
