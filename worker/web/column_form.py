"""Show how an uploaded file is understood, and the form in which people match columns and choose options."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from worker.ledger import Upload
from worker.reasons import plural
from worker.roster.formats import FORMATS, GENERIC
from worker.roster.inspection import ITS_CELLS
from worker.web.job_view import known_jobs
from worker.web.site import Site
from worker.web.words import sentence

_FIELDS = {
    "username": ("User name", True),
    "password": ("Password", True),
    "domain": ("Domain", False),
    "realm": ("Realm", False),
    "application_id": ("Application", False),
}
"""Our fields, as people call them, and whether each row needs one."""

NO_COLUMN = " "
"""The choice that a field has no column; the name of a column has no blanks around it."""

_TEXTS = ("realm", "domain", "application", "username", "max-failed", "header-line", "encoding")
_CHOICES = {
    "on-existing": ("skip", "update", "fail"),
    "weak": ("warn", "refuse"),
    "blanks": ("strip", "keep"),
    "normalize": ("nfc", "none"),
    "delimiter": (",", ";", "tab", "|"),
    "from": (GENERIC, *FORMATS),
}
_FLAGS = ("create-realm",)
_CARRY = "carry."
"""In front of a column's name: it is copied to the results all the same."""
_ENCODINGS = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252"}
"""Encodings by the names that editors and spreadsheets show."""
_LOOKED_AT = 20
"""Jobs whose realms are offered."""


@dataclass(frozen=True, slots=True)
class FieldChoice:
    """The choice of the column that one of our fields comes from."""

    name: str
    label: str
    required: bool
    chosen: str
    """The column that the reader has chosen; empty: they leave it to the program; NO_COLUMN: none at all."""
    found: str
    """The column that it is taken from now; empty: none."""
    why: str
    columns: Sequence[str]
    none: str
    """The value of the choice that it has no column; empty: there is no such choice."""


@dataclass(frozen=True, slots=True)
class ColumnRow:
    """A column of the file."""

    name: str
    used: str
    """Its use, in words; empty: none."""
    kept: str
    """Whether an unused column is copied to the results, in words."""
    why: str
    decoy: bool
    samples: Sequence[str]
    hidden: str
    """Why its cells are not shown; empty: they are."""
    carry: bool | None
    """Whether it is copied to the results although its cells look like secrets; None: they don't."""

    @property
    def notable(self) -> bool:
        """Return whether the reader should look at it."""
        return bool(self.used or self.decoy or self.why or self.hidden)


@dataclass(frozen=True, slots=True)
class ColumnsView:
    """The texts and choices on the page of a file's columns."""

    understood: Sequence[str]
    warnings: Sequence[str]
    error: Mapping[str, Any] | None
    sheets: Sequence[Mapping[str, Any]]
    fields: Sequence[FieldChoice]
    columns: Sequence[ColumnRow]
    lines: Sequence[Mapping[str, Any]]
    """The first lines, if it isn't known which of them has the column names."""
    settings: Mapping[str, Any]
    formats: Sequence[tuple[str, str]]
    realms: Sequence[str]


def view_of_columns(site: Site, upload: Upload, facts: Mapping[str, Any]) -> ColumnsView:
    """Return what is known of an uploaded file. ``facts``: of ``plan --columns --json``."""
    title = facts.get("format", {}).get("title", "")
    columns = [{**one, "why": _short(one["why"], title)} for one in facts.get("columns", [])]
    described = [_column(one, upload.settings.get("carry", ())) for one in columns]
    formats = [(name, one.title) for name, one in FORMATS.items()]
    return ColumnsView(
        list(_understood(facts)), [sentence(one["text"]) for one in facts.get("warnings", [])],
        facts.get("error"), facts.get("sheets", []), list(_fields(columns, upload.settings)),
        described, facts.get("lines", []), upload.settings, formats, _realms(site),
    )  # fmt: skip


def _short(why: str, title: str) -> str:
    """Return a reason that names the format by its first words alone, and our fields as people call them."""
    for name, (label, _) in _FIELDS.items():
        for article in ("the", "phone's"):
            why = why.replace(f"{article} {name}", f"{article} {label.lower()}")
    return why.replace(title, title.partition(":")[0]) if title else why


def _understood(facts: Mapping[str, Any]) -> Iterator[str]:
    form = facts.get("format", {})
    if form.get("title"):
        recognised = "It is" if form["name"] == GENERIC else "It was recognised as"
        yield sentence(f"{recognised} {form['title']}")
    if form.get("why"):
        yield sentence(f"It has {form['why']}" if form["why"].startswith("column") else form["why"])
    if (rows := facts.get("roster", {}).get("rows")) is not None:
        yield f"It has {plural(rows, 'row')}."
    if facts.get("header_line"):
        yield f"The column names are on line {facts['header_line']}."
    if facts.get("encoding"):
        delimiter = {"\t": "tab", ",": "comma", ";": "semicolon"}.get(facts["delimiter"], facts["delimiter"])
        between = f", with a {delimiter} between columns" if delimiter else ""
        yield f"It is text in {_ENCODINGS.get(facts['encoding'], facts['encoding'])}{between}."


def _fields(columns: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> Iterator[FieldChoice]:
    chosen = {name: column or NO_COLUMN for name, _, column in map(_parts, settings.get("map", []))}
    names = [one["name"] for one in columns if one["name"]]
    for name, (label, required) in _FIELDS.items():
        found = next((one for one in columns if one["field"] == name), _suggested(columns, name))
        mine = chosen.get(name, "")
        none = NO_COLUMN if mine == NO_COLUMN or (found["name"] and not required) else ""
        yield FieldChoice(name, label, required, mine, found["name"], found["why"], names, none)


def _parts(mapped: str) -> tuple[str, str, str]:
    return mapped.partition("=")


def _suggested(columns: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """Return the column that a field may come from while the file can't be read as it is."""
    likely = [one for one in columns if one["suggested"] == name and one["name"] and not one["decoy"]]
    if len(likely) == 1 and not any(one["field"] for one in columns):  # which of several is what it asks
        return likely[0]
    return {"name": "", "why": ""}


def _column(one: Mapping[str, Any], carried: Collection[str]) -> ColumnRow:
    used = _FIELDS.get(one["field"], (one["field"], False))[0]
    carry = one["name"] in carried or (False if one["hidden"] == ITS_CELLS and one["name"] else None)
    kept = "Not copied to the results" if one["secret"] else "Copied to the results"
    return ColumnRow(one["name"] or f"Column {one['position']}", used, kept, sentence(one["why"]),
                     one["decoy"], one["samples"], one["hidden"], carry)  # fmt: skip


def _realms(site: Site) -> list[str]:
    """Return the realms of the account's last jobs."""
    ledger = site.ledger
    jobs = islice(known_jobs(ledger, ledger.jobs.newest()), _LOOKED_AT)
    return sorted({host for job in filter(site.serves, jobs) for host in ledger.jobs.hosts(job.id).values()})


def settings_of(form: Mapping[str, str]) -> dict[str, Any]:
    """Return what was chosen in the form, as options of ``plan``."""
    settings: dict[str, Any] = {name: text for name in _TEXTS if (text := form.get(name, "").strip())}
    settings |= {name: form[name] for name, values in _CHOICES.items() if form.get(name, "") in values}
    settings |= {name: True for name in _FLAGS if form.get(name)}
    if sheet := form.get("sheet", ""):
        settings["sheet"] = sheet
    if carried := [name.removeprefix(_CARRY) for name in form if name.startswith(_CARRY)]:
        settings["carry"] = carried
    chosen = {name: column for name in _FIELDS if (column := form.get(f"map.{name}", ""))}
    if mapped := [f"{name}={column.removeprefix(NO_COLUMN)}" for name, column in chosen.items()]:
        settings["map"] = mapped
    return settings
