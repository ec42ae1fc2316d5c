"""Counts of rows by result, by site and by realm, taken while the rows are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from worker.lineage_report import REVERSED
from worker.model import Status
from worker.report_page.callers import what_to_tell
from worker.report_page.columns import ShownColumn, shown_columns, site_column
from worker.report_page.text import cut, cut_all

_REFUSED = ("wrong_password", "refused")
_MOST_LISTED = 25
"""Users who are not in place, listed for each site."""
MOST_SITES: Final = 200
"""Sites that are counted separately; a column with more values is not taken for one of sites."""

_MOST_SPELLINGS = 10_000

ShownRow = tuple[Any, ...]
"""A row's line, user, realm's index, kind's index, error, and the shown columns."""
_Key = tuple[str, str, str, str, str]
"""The facts that rows of one kind share: job, status, code, result of an undo, registrar's verdict."""


class MarkedLines(NamedTuple):
    """Result lines, with the result of an undo and the registrar's verdict for each; empty: there is none."""

    lines: Sequence[Sequence[str]]
    undone: Sequence[str]
    verdicts: Sequence[str]


class Place(StrEnum):
    """A row's place in the sign-off."""

    IN_PLACE = "in_place"
    OPEN = "open"
    """It should be in place, and isn't."""
    WAIVED = "waived"
    """It was skipped: it isn't meant to be in place."""


@dataclass(slots=True, eq=False)
class Kind:
    """Rows with the same result. ``job``: whose result it is."""

    index: int
    job: str
    status: Status
    code: str
    undo: str
    tried: str
    """The verdict of the registrar; empty: the row was not tried."""
    place: Place
    tell: str
    """The sentence for a caller."""
    needs_attention: bool
    """Whether the row is not in place, or its user was refused by the registrar."""
    rows: int = 0


@dataclass(slots=True, eq=False)
class Group:
    """The rows of a site, or of a realm."""

    name: str
    index: int
    rows: Counter[Kind] = field(default_factory=Counter)
    listed: list[tuple[int, str, str, Kind]] = field(default_factory=list)
    """Some users who need attention: line, user, what they are called, what became of them."""

    def count(self, place: Place) -> int:
        """Return how many rows count as this."""
        return sum(rows for kind, rows in self.rows.items() if kind.place == place)

    @property
    def planned(self) -> int:
        """Return all rows of the group."""
        return self.rows.total()

    @property
    def tried(self) -> int:
        """Return how many rows in place were tried on the registrar."""
        return sum(rows for kind, rows in self.rows.items() if kind.tried and kind.place is Place.IN_PLACE)

    @property
    def registering(self) -> int:
        """Return how many of those can register."""
        return sum(
            rows for kind, rows in self.rows.items()
            if kind.tried == "registers" and kind.place is Place.IN_PLACE
        )  # fmt: skip

    @property
    def attention(self) -> int:
        """Return how many rows need attention."""
        return sum(rows for kind, rows in self.rows.items() if kind.needs_attention)


class Tally:
    """Counts rows and returns them as the page's tables have them."""

    def __init__(self, columns: Sequence[str], *, names_built: bool = False) -> None:
        self.columns: Sequence[ShownColumn] = shown_columns(columns, names_built=names_built)
        self.kinds: list[Kind] = []
        self.realms: list[str] = []
        self._kinds: dict[_Key, Kind] = {}
        self._of_realms: dict[str, Group] = {}
        self._of_sites: dict[str, Group] = {}
        self._spellings: dict[str, Group] = {}
        """The cells of the sites' column → the site's group; sites are the same however they are cased."""
        self._at = site_column(columns)
        self._site_name = columns[self._at] if self._at is not None else ""
        self._counts: Counter[tuple[Kind, Group, Group | None]] = Counter()

    def add(self, page: MarkedLines, *, everybody: bool) -> list[ShownRow]:
        """Count rows, and return those to show: all, or only those that need attention.

        Whole columns are worked on, and only rows that need attention are looked at one by one: there are
        many rows, and most have the same result.
        """
        job, line, status, user, domain, host, _id, code, error, _attempts, *own = zip(
            *page.lines, strict=True
        )
        kinds = self._kinds_of(list(zip(job, status, code, page.undone, page.verdicts, strict=True)))
        realms = self._realms_of(host)
        sites = [None] * len(kinds) if self._at is None else self._sites_of(own[self._at])
        self._counts.update(zip(kinds, realms, sites, strict=True))
        numbers = [*map(int, line)]
        names = cut_all([f"{one}@{at}" if at else one for one, at in zip(user, domain, strict=True)])
        cells = [column.texts(own) for column in self.columns]
        called = cells[0] if cells else [""] * len(kinds)
        for at, kind in enumerate(kinds):
            if kind.needs_attention:
                for group in (realms[at], sites[at]):
                    if group and len(group.listed) < _MOST_LISTED:
                        group.listed.append((numbers[at], names[at], called[at], kind))
        indexes = [realm.index for realm in realms], [kind.index for kind in kinds]
        rows = zip(numbers, names, *indexes, cut_all(error), *cells, strict=True)
        return [row for row, kind in zip(rows, kinds, strict=True) if everybody or kind.needs_attention]

    def count(self) -> None:
        """Count what was added, for all that is asked from here on."""
        for (kind, *groups), rows in self._counts.items():
            kind.rows += rows
            for group in filter(None, groups):
                group.rows[kind] += rows
        self._counts.clear()

    @property
    def counts(self) -> Mapping[str, int]:
        """Return the rows by status, in the order of the statuses."""
        counts: Counter[Status] = Counter()
        for kind in self.kinds:
            counts[kind.status] += kind.rows
        return {status.value: counts[status] for status in Status if counts[status]}

    @property
    def codes(self) -> Mapping[str, Counter[str]]:
        """Return the rows by status and codes, joined by ``;`` as in the results; without those of none."""
        codes: dict[str, Counter[str]] = {}
        for kind in self.kinds:
            if kind.code:
                codes.setdefault(kind.status.value, Counter())[kind.code] += kind.rows
        return codes

    def rows(self, place: Place) -> int:
        """Return how many rows count as this."""
        return sum(kind.rows for kind in self.kinds if kind.place is place)

    @property
    def total(self) -> Group:
        """Return all rows as one group."""
        return Group("", 0, Counter({kind: kind.rows for kind in self.kinds}))

    def groups(self) -> tuple[str, list[Group]]:
        """Return by what the sign-off is divided, and its groups: sites, or else realms."""
        if self._at is not None:
            return self._site_name, sorted(self._of_sites.values(), key=lambda group: group.name.casefold())
        groups = sorted(self._of_realms.values(), key=lambda group: -group.planned)
        return "realm", groups[:MOST_SITES]

    def _kinds_of(self, keys: Sequence[_Key]) -> list[Kind]:
        for key in dict.fromkeys(keys):
            if key not in self._kinds:
                self._kinds[key] = self._new_kind(*key)
        return [self._kinds[key] for key in keys]

    def _new_kind(self, job: str, word: str, code: str, undo: str, verdict: str) -> Kind:
        status = Status(word)
        place = Place.WAIVED if status is Status.SKIPPED else Place.OPEN
        if status.in_place and undo not in REVERSED:
            place = Place.IN_PLACE
        tell = what_to_tell(status, code, undo, verdict)
        attention = place is Place.OPEN or verdict in _REFUSED
        kind = Kind(len(self.kinds), job, status, code, undo, verdict, place, tell, attention)
        self.kinds.append(kind)
        return kind

    def _realms_of(self, hosts: Sequence[str]) -> list[Group]:
        for host in dict.fromkeys(hosts):
            if host not in self._of_realms:
                self._of_realms[host] = Group(host or "(no realm)", len(self.realms))
                self.realms.append(host)
        return [self._of_realms[host] for host in hosts]

    def _sites_of(self, cells: Sequence[str]) -> list[Group | None]:
        found = {cell: self._spellings.get(cell) or self._site(cell) for cell in dict.fromkeys(cells)}
        return [found[cell] for cell in cells]

    def _site(self, cell: str) -> Group | None:
        """Return the group of a site that is new, or spelled in a new way; None if they are too many."""
        key = cell.strip().casefold()
        if key not in self._of_sites:
            if len(self._of_sites) == MOST_SITES:  # then it is no column of sites
                self._at = None
                return None
            self._of_sites[key] = Group(cut(cell.strip()) or "(none)", len(self._of_sites))
        group = self._of_sites[key]
        if len(self._spellings) < _MOST_SPELLINGS:
            self._spellings[cell] = group
        return group
