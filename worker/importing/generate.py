"""Passwords for rows that have none: read from the file of generated ones, or generated into it.

``claim`` runs before duplicates are marked, since it makes rows valid; ``fill`` runs after the look-up: a
user who exists keeps the password that is set, unless ``--rotate`` says otherwise. ``record`` and ``commit``
put new passwords on the disk before anything is sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from worker.errors import UsageError
from worker.importing.compare import SETTABLE, differences
from worker.importing.generate_file import Entry, PasswordFile
from worker.model import NO_REALM, Alphabet, Options, Problem, Row
from worker.roster import HIDDEN

_UPPER, _LOWER, _DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz", "0123456789"
CLASSES: Final[dict[Alphabet, tuple[str, ...]]] = {
    Alphabet.SAFE: ("ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnopqrstuvwxyz", "23456789"),
    Alphabet.LETTERS_DIGITS: (_UPPER, _LOWER, _DIGITS),
    # Symbols that need no escape in a URL, in XML, in a shell's quotes or in a phone's configuration file.
    Alphabet.DIGITS_SYMBOLS_LETTERS: (_UPPER, _LOWER, _DIGITS, "-._~!"),
}
"""Classes of characters; a password has at least one of each, and begins with a letter."""

_REPLACED: Final = frozenset({
    "password_missing", "password_masked", "password_placeholder", "weak_password", "digest_only",
})  # fmt: skip
"""Problems that a generated password solves. A damaged digest isn't one: it may be what was meant."""

_GENERATED: Final = Problem("password_generated", "password: generated")


class Passwords:
    """The generated passwords of one roster."""

    def __init__(self, file: PasswordFile, options: Options, roster: str, *, new: bool) -> None:
        """``roster``: its name, for people. ``new``: passwords may be generated, and not only read."""
        self._file = file
        self._options = options
        self._roster = roster
        self._new = new
        self._indexed = False
        self.path = file.path
        self.recorded = 0
        """Passwords that were added to the file."""
        self._draw = generator(options.password_alphabet, options.password_length)

    def claim(self, page: Sequence[Row], host_of: Callable[[str], str] = str) -> None:
        """Give rows without a usable password the file's; mark the others, if new ones may be generated.

        The problems of such a row become warnings. ``host_of``: the host name of the realm that a reference
        names. Raises UsageError if the file can't be read, or has another password for a row that already
        has a generated one (of an earlier job or a saved plan).
        """
        if not self._indexed:
            self._file.index(host_of)
            self._indexed = True
        rows = [row for row in page if row.generated or (row.problems and is_replaceable(row))]
        for row, password in zip(rows, self._find(rows), strict=True):
            if row.generated and row.password:
                if password not in (None, row.password):
                    raise UsageError(
                        f"{self._file.path} has another password for {row.composite} than the one that was "
                        f"generated for line {row.line}",
                        "restore the file as it was, or import the roster as a new job",
                    )
            elif password or self._new:
                _replace(row, password or "")

    def fill(self, page: Sequence[Row]) -> None:
        """Generate the passwords of marked rows whose users don't exist, or may be given another one."""
        for row in page:
            if row.generated and not row.password and not row.problems and self._may_set(row):
                row.password = self._draw()
                row.warnings += (_GENERATED,)

    def record(self, page: Sequence[Row]) -> None:
        """Add the passwords of rows that will be sent to the file, unless it has them."""
        rows = [row for row in page if row.generated and row.password and row.action and row.action.writes]
        new = [row for row, password in zip(rows, self._find(rows), strict=True) if password is None]
        self.recorded += len(new)
        if new:
            self._file.add([
                Entry(row.user, row.domain, self._realm(row), row.password, self._roster, str(row.line))
                for row in new
            ])  # fmt: skip

    def commit(self) -> None:
        """Return when all recorded passwords are on the disk. Raises UsageError; nothing was sent then."""
        self._file.commit()

    def _may_set(self, row: Row) -> bool:
        if row.stored is None:
            return True
        return self._options.rotate and SETTABLE.issuperset(differences(row, row.stored))

    def _find(self, rows: Sequence[Row]) -> list[str | None]:
        """Return the file's passwords, by realm and user.

        A realm may be in the file as the row names it: it had still to be created then.
        """
        found = self._file.find([(self._realm(row), row.composite) for row in rows])
        if None in found:
            named = self._file.find([(row.realm, row.composite) for row in rows])
            found = [one if one is not None else other for one, other in zip(found, named, strict=True)]
        return found

    def _realm(self, row: Row) -> str:
        return row.host or row.realm or self._options.realm


@contextmanager
def generated_passwords(
    options: Options, roster: str = "", *, new: bool = True, writable: bool = False
) -> Iterator[Passwords | None]:
    """Open the passwords of ``--generate-passwords``; None without that option. Raises UsageError."""
    if not options.generate_passwords:
        yield None
        return
    with PasswordFile(Path(options.generate_passwords), writable=writable) as file:
        yield Passwords(file, options, roster, new=new)


def generator(alphabet: Alphabet, length: int) -> Callable[[], str]:
    """Return a function that returns a new password each time, equally likely among all that qualify.

    It has a character of each class and begins with a letter, so that no spreadsheet takes it for a number or
    a formula.
    """
    classes = [frozenset(one) for one in CLASSES[alphabet]]
    characters = "".join(CLASSES[alphabet])
    fair = 256 - 256 % len(characters)
    table = bytes(ord(characters[byte % len(characters)]) for byte in range(256))
    uneven = bytes(range(fair, 256))

    def draw() -> str:
        while True:
            password = secrets.token_bytes(2 * length).translate(table, uneven).decode("ascii")[:length]
            whole = len(password) == length and password[0].isalpha()
            if whole and all(map(frozenset(password).intersection, classes)):
                return password

    return draw


def is_replaceable(row: Row) -> bool:
    """Return whether nothing is wrong with a row but its password, and its user is known for sure."""
    codes = {problem.code for problem in row.problems}
    # A digest for a realm that --create-realm has still to create can't be of any use either.
    new_realm = row.realm_key != NO_REALM and not row.host
    unusable = _REPLACED | {"hash_realm"} if new_realm else _REPLACED
    return (
        codes <= unusable
        and not row.skipped
        and HIDDEN not in (row.user, row.domain, row.realm, row.application)
    )


def _replace(row: Row, password: str) -> None:
    """Give the row a generated password, or mark it for one; its problems become warnings."""
    row.warnings += tuple(problem for problem in row.problems if problem.code != "password_missing")
    row.problems = ()
    row.password, row.hash1, row.hash1b, row.generated = password, "", "", True
