"""Results of ``verify``: line by line in its file, and a summary for people."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from rich.table import Table
from rich.text import Text

from worker.commands.screen import on_stdout
from worker.ledger import Registration
from worker.model import Row
from worker.reasons import plural
from worker.register import Entry, RegisterResult, Verdict

OWN_COLUMNS = (
    "bw__row", "bw__username", "bw__domain", "bw__realm", "bw__verify", "bw__bindings", "bw__error",
)  # fmt: skip

INVALID = "invalid"
"""In place of a verdict: the row itself is wrong and was not tried."""

_LOOKS = {
    Verdict.REGISTERS: ("green", "can register with this password"),
    Verdict.WRONG_PASSWORD: ("red", "the registrar refuses this password"),
    Verdict.REFUSED: ("red", "the registrar refuses this user"),
    Verdict.NO_ANSWER: ("yellow", "no answer"),
    Verdict.CANNOT_TELL: ("magenta", "nothing was proven about this password"),
    INVALID: ("red", "not tried: the row itself is wrong"),
}


_REASONS = 3
"""Reasons printed for each verdict; every row's own is in bw__error."""

_MOST_REASONS = 1000
"""Different reasons that are counted, since each row may have another one."""


class VerifyWriter:
    """Passes a roster's rows to the registrar and writes them to the file, in their order."""

    def __init__(self, write: Callable[[Sequence[str]], None]) -> None:
        """Take ``write``, which writes the cells of a line."""
        self._write = write
        self._out: deque[Row] = deque()
        self.counts: Counter[str] = Counter()
        self.registrations: dict[int, Registration] = {}
        """The results of the rows that were tried, by line; equal ones are one object."""
        self._known: dict[Registration, Registration] = {}
        self._reasons: dict[str, Counter[str]] = {}
        self.bindings = 0
        """Phones that are registered, of all users together."""
        self.with_phone = 0
        """Users who have at least one."""

    def entries(self, rows: Iterable[Row]) -> Iterator[Entry]:
        """Yield the rows that can be tried."""
        for row in rows:
            self._out.append(row)
            if not row.problems:
                own = None if row.password else (row.hash1, row.hash1b)
                yield Entry(row.line, row.composite, row.host, row.password, own)

    def found(self, entry: Entry, result: RegisterResult) -> None:
        """Write a row that came back, and the invalid ones before it."""
        while (row := self._out.popleft()).line != entry.line:
            self._invalid(row)
        self.bindings += result.bindings or 0
        self.with_phone += bool(result.bindings)
        own = Registration(result.verdict.value, result.bindings, result.error)
        self.registrations[row.line] = self._known.setdefault(own, own)
        bindings = "" if result.bindings is None else str(result.bindings)
        self._line(row, result.verdict, bindings, result.error)

    def close(self) -> None:
        """Write the invalid rows behind the last one that came back."""
        while self._out:
            self._invalid(self._out.popleft())

    @property
    def tried(self) -> int:
        """Return the number of rows that were tried."""
        return self.counts.total() - self.counts[INVALID]

    @property
    def decided(self) -> int:
        """Return the number of rows with a definite result."""
        return sum(self.counts[one] for one in (Verdict.REGISTERS, Verdict.WRONG_PASSWORD, Verdict.REFUSED))

    @property
    def reasons(self) -> dict[str, list[dict[str, str | int]]]:
        """Return the most frequent reasons of each verdict with their row counts, for ``--json``."""
        return {
            verdict: [{"error": error, "rows": rows} for error, rows in errors.most_common(_REASONS)]
            for verdict, errors in self._reasons.items()
        }

    def _invalid(self, row: Row) -> None:
        if row.problems:  # else it was to be tried, and somebody pressed Ctrl-C
            texts = "; ".join(problem.text for problem in row.problems)
            self._line(row, INVALID, "", texts)

    def _line(self, row: Row, verdict: str, bindings: str, error: str) -> None:
        self.counts[verdict] += 1
        if error:
            self._count_reason(str(verdict), error)
        own = [str(row.line), row.user, row.domain, row.host, str(verdict), bindings, error]
        self._write([*own, *row.cells])

    def _count_reason(self, verdict: str, error: str) -> None:
        reasons = self._reasons.setdefault(verdict, Counter())
        if error in reasons or len(reasons) < _MOST_REASONS:
            reasons[error] += 1


def print_report(facts: Mapping[str, Any], file: TextIO | None = None) -> None:
    """Print the summary for people from the facts that ``--json`` has. ``file``: stdout."""
    console = on_stdout(file)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right")
    for verdict, rows in facts["counts"].items():
        colour, meaning = _LOOKS[verdict]
        table.add_row(f"{rows:,}", Text(verdict, style=f"bold {colour}"), Text(meaning, style="dim"))
    console.print(table)
    for line in _reasons(facts):
        console.print(Text(line), soft_wrap=True)
    unknown = facts["tried"] - facts["counts"].get(Verdict.REGISTERS, 0)
    sentence = f"{facts['registered_now']:,} of {facts['tried']:,} phones are registered now"
    sentence += f"; of {unknown:,} it is not known" if unknown else ""
    sentence = sentence if unknown < facts["tried"] else "how many phones are registered now is not known"
    console.print(Text(sentence, style="bold"))
    for path in facts["files"].values():
        console.print(Text(f"  {path}"), soft_wrap=True)


def _reasons(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the reasons why rows don't register, as lines."""
    for verdict, reasons in facts["reasons"].items():
        for reason in reasons:
            yield f"  {verdict}: {reason['error']} ({plural(reason['rows'], 'row')})"
        others = facts["counts"][verdict] - sum(reason["rows"] for reason in reasons)
        if others:
            yield f"  {verdict}: other reasons: see bw__error ({plural(others, 'row')})"
