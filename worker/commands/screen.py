"""Output for people: messages on stderr, the summary at the end. Never a password, never a digest."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from worker import advice, codes
from worker.commands import terminal
from worker.commands.facts import print_json
from worker.commands.terminal import visible
from worker.importing.plan_summary import PlanSummary
from worker.model import Action, JobState, Status
from worker.reasons import plural

_UNBOUNDED = 1_000_000
"""Columns of what is no terminal."""

_TRAILING = re.compile(r"(?:\x1b\[[0-9;]*m| )+$", re.MULTILINE)
"""Blanks at a line's end, and the colours that a user forced into a file among them."""

COLOURS: Mapping[str, str] = {
    Status.CREATED: "green", Status.UPDATED: "green", Status.UNCHANGED: "green", Status.EXISTS: "yellow",
    Status.DELETED: "green", Status.INVALID: "red", Status.SKIPPED: "dim", Status.FAILED: "red",
    Status.UNKNOWN: "magenta", Status.UNPROCESSED: "yellow",
}  # fmt: skip
"""How each status is shown."""

_MEANINGS = {
    Status.CREATED: "new on the registrar",
    Status.UPDATED: "set to the roster's password or application",
    Status.UNCHANGED: "already there with this password",
    Status.EXISTS: "exists with another password, application, realm or spelling; not changed",
    Status.DELETED: "not in the roster; deleted",
    Status.INVALID: "not sent: the row itself is wrong",
    Status.SKIPPED: "not sent: no user of a phone",
    Status.FAILED: "refused by the service",
    Status.UNKNOWN: "sent, but the outcome could not be determined",
    Status.UNPROCESSED: "not attempted",
}

_LEAVERS = {
    "deleted": "not in the roster; removed from the registrar",
    "kept": "not in the roster, but changed since or in doubt (absent.csv says why)",
    "failed": "not in the roster; the service refused to delete it",
    "unknown": "not in the roster; can't tell whether it was deleted",
    "unprocessed": "not in the roster; not deleted yet",
}

_UNDER = " " * 10
"""Indentation of details about the rows counted above."""

_ACTIONS = {
    Action.CREATE: "new on the registrar",
    Action.UPDATE: "exists with another password or application; will be changed",
    Action.UNCHANGED: "already there with this password",
    Action.EXISTS: "exists with another password, application, realm or spelling; not changed",
    Action.INVALID: "not sent: the row itself is wrong",
    Action.SKIP: "not sent: no user of a phone",
}
_KNOWN_ALONE = (Action.INVALID, Action.SKIP)
"""Actions that are known without the account."""


def echo(text: str, colour: str = "") -> None:
    """Print a line for people on stderr."""
    terminal.echo(text, colour)


def print_reading(
    name: str, summary: PlanSummary, write: Callable[..., None] = echo, *, advise: bool = True
) -> None:
    """Print the result of a plan: rows by action, the codes of each, and warnings with their first lines.

    ``write`` takes a line and its colour: on stderr, or on stdout if it is the command's output. ``advise``:
    add what to do about each code, which an import prints at its end.
    """
    write(
        f"{name}: {plural(summary.rows, 'row')}, {summary.to_send:,} to send"
        + (f", {summary.invalid} invalid" if summary.invalid else "")
        + (f", {summary.skipped} skipped" if summary.skipped else "")
    )
    for action in Action:
        if summary.actions[action] and (summary.looked_up or action in _KNOWN_ALONE):
            write(f"  {summary.actions[action]:>7,} {action:<9}  {_ACTIONS[action]}")
            _print_codes(summary.codes.get(action, {}), write, advise=advise and action.leads_to_trouble)
    if summary.unidentified_rows:
        count = plural(summary.unidentified_rows, "row")
        write(f"  leavers are not listed: {count} can't be read and could mean any user on the registrar; "
             "correct the roster and try again", "yellow")  # fmt: skip
    if summary.absent:
        users = plural(summary.absent, "user is", "users are")
        kept = f"; {summary.kept_leavers:,} kept in doubt" if summary.kept_leavers else ""
        what = f"{summary.leavers:,} to delete{kept}" if summary.leavers or kept else "not changed"
        write(f"  {users} on these realms but not in the roster; {what}", "yellow")
    for code, rows in sorted(summary.warnings.items()):
        lines = ", ".join(map(str, summary.warned_lines[code]))
        place = "line" if rows == 1 else "lines"
        more = " …" if rows > len(summary.warned_lines[code]) else ""
        write(f"  warning: {code}: {plural(rows, 'row')} ({place} {lines}{more})", "yellow")
    if summary.warnings:
        write(f"  what they mean: siproster explain {' '.join(sorted(summary.warnings))}")


def _print_codes(joined: Mapping[str, int], write: Callable[..., None], *, advise: bool) -> None:
    """Print the codes of one action and, if wanted, what to do about each."""
    for code, rows in advice.counted(joined).items():
        what = f": {advice.sentence(codes.of_row(code))}" if advise else ""
        write(f"{_UNDER}{code} ({plural(rows, 'row')}){what}", "yellow" if advise else "")


class HarmlessConsole(Console):
    """A console that removes control characters from texts; those that rich itself writes stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else _lines(text), style, control)


def _lines(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(visible, text.split("\n")))


class _Trimmed(io.TextIOBase):
    """A stream that strips trailing blanks from a console's lines and passes them on."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._file.encoding

    def write(self, text: str) -> int:
        self._file.write(_TRAILING.sub(lambda end: end[0].replace(" ", ""), text))
        return len(text)

    def flush(self) -> None:
        self._file.flush()


class _PlainConsole(HarmlessConsole):
    """A console for files and pipes: as wide as what is printed."""

    def print(self, *objects: Any, **more: Any) -> None:
        wide = (self.measure(one).maximum for one in objects if not isinstance(one, str))
        super().print(*objects, **{"width": max(wide, default=_UNBOUNDED), **more})


def print_summary(summary: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the end of a job: JSON alone on stdout, or a table for people."""
    if as_json:
        print_json(summary)
        return
    console = on_stdout()
    for name, rows in summary["counts"].items():
        _print_status(console, summary, Status(name), rows)
    for word, users in (summary.get("leavers") or {}).items():
        console.print(Text(f"{users:>7,}  {word:<11}  {_LEAVERS[word]}"))
    took = f" in {summary['seconds']:.1f} s" if summary["seconds"] is not None else ""
    state = advice.state_word(summary)
    console.print(Text(f"Job {summary['job']}: {state}{took}, {plural(summary['requests'], 'request')}"
                       + (f", {summary['retries']} retried" if summary["retries"] else "")))  # fmt: skip
    lineage = summary["lineage"]
    if lineage["schedule"]:
        console.print(Text(f"made by schedule {lineage['schedule']}"), soft_wrap=True)
    if len(lineage["jobs"]) > 1:
        together = f"{lineage['sentence']}; in one file: siproster report --lineage {summary['job']}"
        console.print(Text(together), soft_wrap=True)
        if lineage["jobs"][-1] != summary["job"]:
            console.print(Text(f"the latest run: siproster status {lineage['jobs'][-1]}"), soft_wrap=True)
    if summary["undo_state"] == "done":
        results = ", ".join(f"{rows:,} {result}" for result, rows in (summary["undo"] or {}).items())
        told = f"{results} (undo.csv)" if results else "nothing, since it had changed no user"
        console.print(Text(f"undone since: {told}", style="yellow"))
    if summary["why"]:
        console.print(Text(str(summary["why"]), style="yellow"), soft_wrap=True)
    for told in filter(
        None, (advice.of_stop(summary), advice.next_step(summary), advice.password_retention(summary))
    ):
        console.print(Text(told, style="yellow"), soft_wrap=True)
    written = [path for path in summary["files"].values() if Path(path).exists()]
    for path in written:
        console.print(Text(f"  {path}"), soft_wrap=True)
    if written and (example := advice.a_code(summary)):
        console.print(Text(f"  what a code in them means: siproster explain {example}"), soft_wrap=True)
    if not written:
        echo(f"write the result files with: siproster report {summary['job']}")


def print_on_stdout(text: str, colour: str = "") -> None:
    """Print a line of requested output on stdout."""
    on_stdout().print(Text(text, style=colour), soft_wrap=True)


def on_stdout(file: TextIO | None = None) -> Console:
    """Return a console for facts, which off a terminal are never folded, cut or padded.

    ``file``: used in place of stdout.
    """
    file = file or sys.stdout
    if file.isatty():
        return HarmlessConsole(file=file, highlight=False)
    return _PlainConsole(file=cast(TextIO, _Trimmed(file)), highlight=False, width=_UNBOUNDED)


def _print_status(console: Console, summary: Mapping[str, Any], status: Status, rows: int) -> None:
    """Print one status: how many rows, and what is wrong with them, each code with what to do about it."""
    meaning = _MEANINGS[status]
    if status is Status.UNPROCESSED and summary["saved"] and summary["state"] == JobState.PLANNING:
        meaning = "will be sent when the plan is carried out"
    name = (f"{status:<11}  ", f"bold {COLOURS[status]}")
    console.print(Text.assemble(f"{rows:>7,}  ", name, (meaning, "dim")), soft_wrap=True)
    found, commands = advice.of_status(summary, status)
    for one in found:
        console.print(Text(f"{_UNDER}{one.code} ({plural(one.rows, 'row')}): {one.text}"), soft_wrap=True)
    for command in commands:
        console.print(Text(f"{_UNDER}{command}", style="yellow"), soft_wrap=True)
