"""The page itself: written piece by piece, so that memory doesn't grow with the roster."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from worker import __version__, advice, codes, files, report
from worker.model import Job, JobState, Status, utc_now
from worker.reasons import plural
from worker.report_page import text
from worker.report_page.pace import HEIGHT, WIDTH, Pace
from worker.report_page.tally import MarkedLines, Place, Tally

PAGE: Final = report.PAGE
BEGIN: Final = "<!doctype html>\n<!-- report by siproster -->"
"""How a page begins, by which one is known."""
MOST_ROWS: Final = 250_000
"""Rows of a job up to which all are in the page; of larger ones, only those that need attention are."""
_LARGEST: Final = 64 << 20
"""Characters of rows, after which the page has no more of them."""
_MOST_CODES: Final = 40
"""Codes listed under one status; a service of ours has far fewer."""
_HERE = Path(__file__).parent
_STYLE = (_HERE / "page.css").read_text("utf-8")
_SCRIPT = (_HERE / "page.js").read_text("utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


CSP: Final = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""The page's Content-Security-Policy, as it says itself, and as the header to serve it with."""

_PLACES = {Place.IN_PLACE.value: "yes", Place.OPEN.value: "no", Place.WAIVED.value: "left out"}
"""Place to whether the row is in place, in words."""
_TRIED = {
    "": "not tried", "registers": "yes", "wrong_password": "no: wrong password", "refused": "no: refused",
    "no_answer": "no answer", "cannot_tell": "can't tell",
}  # fmt: skip
"""The registrar's verdict to whether the user can register, in words."""
_MEANINGS = {code.name: code.meaning for code in codes.STATUSES}


@dataclass(frozen=True, slots=True)
class Later:
    """A later job of the family: its id, what it did, and how many of its rows are in place."""

    job: str
    what: str
    rows: int
    in_place: int


@dataclass(frozen=True, slots=True)
class About:
    """The facts on the page, apart from its rows."""

    job: Job
    """The job; of a lineage, the last one."""
    summary: Mapping[str, Any]
    pace: Pace | None
    later: Sequence[Later]
    lineage: str
    """The result of the whole family in words; empty: the page is about one job."""
    everybody: bool = True
    """Whether all rows are to be shown, or only those that need attention."""


@contextmanager
def new_page(about: About, columns: Sequence[str], folder: Path) -> Iterator[Callable[[MarkedLines], None]]:
    """Open the page's file and yield a function that adds rows, in the roster's order.

    It has mode 0600 and gets its name when it is complete. Raises SiprosterError if it can't be written.
    """
    tally = Tally(columns, names_built=bool(about.job.options.username))
    files.make_folder(folder)
    with report.explained(folder), tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder) as spool:
        rows = _Spool(spool)

        def add(page: MarkedLines) -> None:
            shown = tally.add(page, everybody=about.everybody)
            if shown:
                rows.add(text.rows_as_json(shown), len(shown))

        yield add
        tally.count()
        with report.new_file(folder / PAGE) as file:
            for piece in _template().generate(_values(about, tally, rows)):
                file.write(piece)


class _Spool:
    """Rows as JSON, on the disk until what comes before them in the page is known."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._size = 0
        self.rows = 0
        self.left_out = 0

    def add(self, block: str, rows: int) -> None:
        if self._size > _LARGEST:
            self.left_out += rows
            return
        self.rows += rows
        self._size += self._file.write(f"{block}\n")

    def blocks(self) -> Iterator[Markup]:
        """Yield the blocks: each is JSON, ready for the page."""
        self._file.seek(0)
        for line in self._file:
            yield Markup(line.rstrip("\n"))  # noqa: S704  as_json made it


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
        finalize=lambda value: text.visible(value) if type(value) is str else value,
    )  # fmt: skip
    environment.filters.update(
        prose=text.prose, command=text.with_command, number=lambda number: f"{number:,}",
        clock=lambda moment: f"{moment:%H:%M:%S}", share=_share,
    )  # fmt: skip
    return environment.get_template("page.html.j2")


def _values(about: About, tally: Tally, rows: _Spool) -> dict[str, Any]:
    """Return what the template is given."""
    summary = {**about.summary, "counts": tally.counts, "codes": tally.codes}
    divided_by, groups = tally.groups()
    total = tally.total
    return {
        "begin": Markup(BEGIN), "csp": Markup(CSP),  # noqa: S704  ours
        "style": Markup(_STYLE), "script": Markup(_SCRIPT),  # noqa: S704  ours
        "about": about, "job": about.job, "summary": summary, "version": __version__, "now": utc_now(),
        "state": advice.state_word(summary), "verdict": verdict(about, tally), "total": total,
        "open": tally.rows(Place.OPEN), "attention": total.attention,
        "in_place": tally.rows(Place.IN_PLACE), "waived": tally.rows(Place.WAIVED), "rows": rows,
        "left_out": advice.left_out(tally.rows(Place.WAIVED)),
        "steps": _steps(summary), "troubles": _troubles(summary), "meanings": _MEANINGS,
        "chart": about.pace, "width": WIDTH, "height": HEIGHT, "verified": summary["verify"],
        "columns": tally.columns, "realms": [realm for realm in tally.realms if realm],
        "list": "results.csv" if about.lineage else "failed.csv", "divided_by": divided_by, "groups": groups,
        "attention_columns": _attention_columns(about, tally), "users_columns": _users_columns(about, tally),
        "attention_filters": _attention_filters(summary), "users_filters": _users_filters(about),
        "facts": text.as_json(_facts(about, tally)),
    }  # fmt: skip


def _facts(about: About, tally: Tally) -> dict[str, Any]:
    """Return what the page's script needs beside the rows."""
    return {
        "kinds": [
            [kind.status.value, text.visible(kind.code), kind.place.value, kind.undo, kind.tried, kind.tell,
             int(kind.needs_attention), kind.job]
            for kind in tally.kinds
        ],
        "realms": [text.visible(realm) for realm in tally.realms],
        "columns": len(tally.columns),
        "places": _PLACES,
        "tried": _TRIED,
        "lineage": bool(about.lineage),
    }  # fmt: skip


def _cells(tally: Tally) -> list[tuple[str, str]]:
    return [(f"cell{at}", column.label) for at, column in enumerate(tally.columns)]


def _attention_columns(about: About, tally: Tally) -> list[tuple[str, str]]:
    """Return the columns of the engineers' table: the script's word for each, and its heading."""
    realm = [("realm", "Realm")] if sum(map(bool, tally.realms)) > 1 else []
    tried = [("tried", "Registering")] if about.summary["verify"] else []
    job = [("job", "Job")] if about.lineage else []
    return [
        ("user", "User"), ("line", "Line"), ("status", "Status"), ("code", "Code"),
        ("error", "What is wrong"), *tried, *realm, *_cells(tally), *job,
    ]  # fmt: skip


def _users_columns(about: About, tally: Tally) -> list[tuple[str, str]]:
    """Return the columns of the help desk's table."""
    cells, tried = _cells(tally), [("tried", "Registering")] if about.summary["verify"] else []
    return [
        ("user", "User"), *cells[:2], ("place", "In place"), *tried, ("tell", "Tell the caller"), *cells[2:],
    ]  # fmt: skip


Filter = tuple[str, str, list[tuple[str, str]]]
"""A choice beside the search: the script's word for it, its label, and its options with their words."""


def _attention_filters(summary: Mapping[str, Any]) -> list[Filter]:
    troubled = [word for word in summary["counts"] if Status(word).in_trouble]
    names = list(advice.of_trouble(summary["codes"]))[:_MOST_CODES]
    return [
        ("status", "Status", [("", "all"), *((word, word) for word in troubled)]),
        ("code", "Code", [("", "all"), *((name, name) for name in names)]),
    ]


def _users_filters(about: About) -> list[Filter]:
    found: list[Filter] = [("place", "In place", [("", "all"), *_PLACES.items()])]
    if about.summary["verify"]:
        tried = [(verdict, _TRIED[verdict]) for verdict in ("registers", "wrong_password", "refused")]
        found.append(("tried", "Registering", [("", "all"), *tried]))
    return found


def verdict(about: About, tally: Tally) -> tuple[str, str]:
    """Return the result in a sentence, and in a word whether that is good: ``good``, ``bad`` or ``open``."""
    job, in_place, still = about.job, tally.rows(Place.IN_PLACE), tally.rows(Place.OPEN)
    users = in_place + still
    if job.saved and not job.carried_out_by and job.state is JobState.PLANNING and not about.lineage:
        return f"A plan for {plural(users, 'user')}: nothing has been sent yet.", "open"
    if not still:
        return f"{advice.all_in_place(users)}.", "good" if users else "open"
    running = job.state.active
    return f"{in_place:,} of {plural(users, 'user')} {'is' if users == 1 else 'are'} in place" + (
        " so far." if running else "."
    ), "open" if running else "bad"


def _steps(summary: Mapping[str, Any]) -> list[str]:
    """Return what is to be done about the job as a whole."""
    found = (advice.of_stop(summary), advice.next_step(summary), advice.password_retention(summary))
    return [step for step in found if step]


def _troubles(summary: Mapping[str, Any]) -> list[tuple[Status, int, list[advice.Advice], int, list[str]]]:
    """Return the statuses of rows not in place: rows, codes with advice, further codes, commands."""
    found = []
    for word, rows in summary["counts"].items():
        status = Status(word)
        if status.in_trouble:
            listed, commands = advice.of_status(summary, status)
            found.append((status, rows, listed[:_MOST_CODES], len(listed[_MOST_CODES:]), commands))
    return found


def _share(part: int, whole: int) -> str:
    """Return a part in percent; all and nothing only if they are exactly that."""
    if part in (0, whole):
        return "100 %" if part else "0 %"
    return f"{min(99.9, max(0.1, 100 * part / whole)):.1f} %"
