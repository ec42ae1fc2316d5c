"""The roster's columns about phones: found by their names, or named with ``--column``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from worker.errors import UsageError
from worker.model import Row
from worker.phones import mac
from worker.phones.phone import Phone, Server
from worker.roster import HIDDEN

_NAMES: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "site": tuple((one,) for one in (
        "site", "sitename", "location", "office", "branch", "building", "standort", "niederlassung", "sede",
        "sucursal", "agence", "vestiging", "filial", "filiale",
    )),
    "name": (
        *((one,) for one in (
            "displayname", "fullname", "name", "effectivecalleridname", "calleridname", "realname",
            "anzeigename", "nom", "nombre", "nome", "naam", "nazwa",
        )),
        ("firstname", "lastname"), ("givenname", "familyname"), ("givenname", "surname"),
        ("vorname", "nachname"), ("prenom", "nom"), ("nombre", "apellido"), ("nome", "cognome"),
        ("voornaam", "achternaam"), ("imie", "nazwisko"),
    ),
    "extension": tuple((one,) for one in (
        "extension", "ext", "exten", "extensionnumber", "number", "nebenstelle", "durchwahl", "poste",
        "interno", "anexo", "ramal", "toestel", "wewnetrzny",
    )),
    "old_user": tuple((one,) for one in (
        "olduser", "oldusername", "previoususer", "username", "user", "sipusername", "authid", "authuser",
        "registrationname", "login", "account",
    )),
    "mac": tuple((one,) for one in (
        "mac", "macaddress", "macaddr", "macadr", "macadresse", "phonemac", "devicemac", "devicemacaddress",
        "phonemacaddress", "ethernetaddress", "hardwareaddress", "hwaddr", "hwaddress", "adressemac",
        "direccionmac", "indirizzomac", "enderecomac", "macadres", "adresmac",
    )),
    "did": tuple((one,) for one in (
        "did", "ddi", "didnumber", "ddinumber", "dids", "inbounddid", "directdial", "directnumber",
        "directline", "externalnumber", "e164",
    )),
}  # fmt: skip
"""Field to the names of its columns in plain form, the best first; two of them make one name."""

FIELDS: Final = tuple(_NAMES)
_SHOWN = 40


class PhoneColumns:
    """The positions of a roster's columns about phones, among those that are carried into results."""

    def __init__(self, columns: Sequence[str], named: Mapping[str, Sequence[str]], template: bool) -> None:
        """``named``: columns given by field. ``template``: user names were built; the old one is looked for.

        Raises UsageError if a named column doesn't exist, or two could be the MAC address.
        """
        self._columns = columns
        self._at: dict[str, tuple[int, ...]] = {}
        for field in FIELDS:
            if field in named:
                self._at[field] = tuple(self._position(field, name) for name in named[field])
            elif field != "old_user" or template:
                self._at[field] = find_columns(columns, field)

    @property
    def found(self) -> dict[str, str]:
        """Return the names of each field's columns; fields without one are left out."""
        return {
            field: " + ".join(self._columns[position] for position in at)
            for field, at in self._at.items()
            if at
        }

    def phone(self, row: Row, server: Server) -> Phone:
        """Return what is known of a row's phone; a cell that can't be used is empty, with a note."""
        notes: list[str] = []
        values = {field: self._value(field, row, notes) for field in FIELDS}
        try:
            values["mac"] = mac.normalised(values["mac"])
        except ValueError as error:
            notes.append(f"mac {values['mac'][:_SHOWN]!r} {error}")
            values["mac"] = ""
        if "old_user" not in self._at:
            values["old_user"] = row.composite
        return Phone(
            line=row.line, **values, user=row.user, domain=row.domain, password=row.password,
            realm=row.host, server=server, row=dict(zip(self._columns, row.cells, strict=True)),
            notes=tuple(notes),
        )  # fmt: skip

    def _value(self, field: str, row: Row, notes: list[str]) -> str:
        cells = [row.cells[at] for at in self._at.get(field, ())]
        if HIDDEN in cells:
            notes.append(f"{field} is not shown, because the cell contains the password or a digest")
            return ""
        return " ".join(cell for cell in cells if cell).strip()

    def _position(self, field: str, name: str) -> int:
        if name in self._columns:
            return self._columns.index(name)
        alike = [at for at, other in enumerate(self._columns) if plain(other) == plain(name)]
        if len(alike) != 1:
            raise UsageError(
                f"--column {field}={name}: {'fits several columns' if alike else 'there is no such column'}",
                f"the columns are: {', '.join(self._columns) or '(none)'}",
            )
        return alike[0]


def find_columns(columns: Sequence[str], field: str) -> tuple[int, ...]:
    """Return the positions of a field's columns by their names; of several, those with the best name.

    Raises UsageError if two could be the MAC address.
    """
    bare = [plain(name) for name in columns]
    found = [
        tuple(bare.index(one) for one in names)
        for names in _NAMES[field]
        if all(one in bare for one in names)
    ]
    if field == "name":  # "nom" is the family name where there is a "prenom"
        found.sort(key=len, reverse=True)
    if field == "mac" and len(found) > 1:
        names = [columns[at[0]] for at in found]
        raise UsageError(
            f"{' and '.join(names)} could both be the MAC address", f"choose one: --column mac={names[0]}"
        )
    return found[0] if found else ()


def plain(name: str) -> str:
    """Return a column's name without insignificant differences."""
    return "".join(c for c in name.casefold() if c.isalnum())
