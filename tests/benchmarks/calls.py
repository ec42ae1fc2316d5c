"""Counts what an embedded import does: functions called, objects made, SQL statements, requests.

    python -m tests.benchmarks.calls ROSTER [OPTION ...]

Runs the import in its own process, against the service that the environment names, and prints the counts as
JSON. Counts, unlike seconds, don't depend on what else the machine does; a few calls come and go with the
waiting command's looks at the ledger.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from tests.benchmarks.rig import EMBEDDED, ROOT, Rig
from tests.benchmarks.server import Case

_WORKER = str(ROOT / "worker")
_INLINED = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})
"""Functions of their own until Python 3.11 only."""


@dataclass
class _Tally:
    """The counts of one thread."""

    calls: Counter[int] = field(default_factory=Counter)
    """By the identity of the code, which hashes faster than the code."""
    codes: dict[int, CodeType] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)

    def note(self, frame: FrameType, kind: str) -> None:
        """Count one event of the interpreter (sys.setprofile)."""
        if kind == "call":
            code = frame.f_code
            self.calls[id(code)] += 1
            self.codes[id(code)] = code
            if code.co_name in ("__init__", "__new__", "<lambda>"):
                self._note_object(frame)

    def _note_object(self, frame: FrameType) -> None:
        """Count an object of the program's own types; a NamedTuple is made by a lambda with ``_cls``."""
        names = frame.f_code.co_varnames
        if not names or names[0] not in ("self", "_cls"):
            return
        made = frame.f_locals[names[0]]
        kind = made if isinstance(made, type) else type(made)
        if kind.__module__.startswith("worker"):
            self.types[f"{kind.__module__}.{kind.__qualname__}"] += 1


class Counting:
    """Counts in every thread that starts while it is on, and in this one."""

    def __init__(self) -> None:
        self._tallies: list[_Tally] = []
        self._mine = threading.local()
        self._statements: Counter[str] = Counter()
        event.listen(Pool, "connect", self._trace_connection)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Count until the block ends."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def told(self) -> dict[str, Any]:
        """Return calls by file and by function of our own, objects by type, and SQLite's statements."""
        files: Counter[str] = Counter()
        functions: dict[str, int] = {}
        types: Counter[str] = Counter()
        for tally in self._tallies:
            types.update(tally.types)
            for key, number in tally.calls.items():
                code = tally.codes[key]
                if code.co_name not in _INLINED and code.co_name != "<module>":
                    files[_file(code)] += number
                    name = f"{_file(code)}:{code.co_firstlineno} {code.co_qualname}"
                    functions[name] = functions.get(name, 0) + number
        return {
            "files": dict(files),
            "functions": {name: number for name, number in functions.items() if name.startswith("worker")},
            "types": dict(types),
            "statements": dict(self._statements),
        }

    def _trace_connection(self, connection: Any, _record: object) -> None:
        """Trace the statements of a new connection to the ledger, which is SQLite here."""
        connection.set_trace_callback(self._note_statement)

    def _note_statement(self, sql: str) -> None:
        """Count a statement by its first three words: ``INSERT INTO chunks``. One for each row of many."""
        self._statements[" ".join(sql.split(maxsplit=3)[:3])] += 1

    def _note(self, frame: FrameType, kind: str, _argument: object) -> None:
        tally = getattr(self._mine, "tally", None)
        if tally is None:
            tally = self._mine.tally = _Tally()
            self._tallies.append(tally)
        tally.note(frame, kind)


def _file(code: CodeType) -> str:
    """Return the program's file that a function is in, or what else it belongs to."""
    path = code.co_filename
    if path.startswith(_WORKER):
        return str(Path(path).relative_to(ROOT))
    return "(generated)" if path.startswith("<") else "(libraries)"


def of_import(rig: Rig, rows: int, *options: str) -> dict[str, Any]:
    """Import a roster of so many new users in a process of its own; return its counts and the service's."""
    program = rig.home(EMBEDDED)
    rig.service.begin(Case())
    finished = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.calls", str(rig.roster(rows)), *options],
        cwd=program.work, env={**program.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    counts: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return {**counts, "requests": rig.service.counts()["requests"]}


def main() -> None:
    """Import a roster, counting, and print the counts as the last line."""
    import cli

    counting = Counting()
    try:
        with counting.on():
            cli.main(["import", *sys.argv[1:]])
    except SystemExit as done:
        print(json.dumps(counting.told()))
        sys.exit(done.code)


if __name__ == "__main__":
    main()
