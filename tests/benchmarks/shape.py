"""``make shape``: the shape of the code in figures, to be compared before and after it is changed.

    python -m tests.benchmarks.shape [--json FILE]

Some are read off the source (modules, functions, parameters, imports). The others are counted while 1,000 and
2,000 rows are imported by the embedded worker: the difference is what a row costs.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import calls
from tests.benchmarks.rig import ROOT, Rig

ROWS = 1_000
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MOST_PARAMETERS = 6


def sources() -> list[Path]:
    """Return the program's files; the sandbox is a program of its own."""
    found = [ROOT / "cli.py", *sorted((ROOT / "worker").rglob("*.py"))]
    return [path for path in found if "sandbox" not in path.parts[:-1]]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, _FUNCTIONS):
            yield node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many a caller may give: without self or cls."""
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return len(every) - (bool(every) and every[0].arg in ("self", "cls"))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines from ``def`` to the end, the docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def imports() -> dict[str, set[str]]:
    """Return each module's imports of other modules of the program, wherever in it they stand."""
    modules = {_module(path): path for path in sources()}
    return {name: _imported(path, modules.keys() - {name}) for name, path in modules.items()}


def longest_chain(graph: dict[str, set[str]]) -> list[str]:
    """Return the longest chain of imports; an import that closes a circle is left out of it."""
    longest: dict[str, list[str]] = {}

    def from_here(name: str, above: frozenset[str]) -> list[str]:
        if name not in longest:
            chains = [from_here(one, above | {name}) for one in sorted(graph[name] - above - {name})]
            longest[name] = [name, *max(chains, key=len, default=[])]
        return longest[name]

    return max((from_here(name, frozenset()) for name in graph), key=len)


def of_source() -> dict[str, Any]:
    """Return the figures that are computed from the source."""
    every = [(path, function) for path in sources() for function in functions(path)]
    lengths = [length(function) for _, function in every]
    wide = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name} ({parameters(function)})"
        for path, function in every
        if parameters(function) > _MOST_PARAMETERS
    ]
    chain = longest_chain(imports())
    return {
        "modules": len(sources()),
        "lines": sum(len(path.read_text("utf-8").splitlines()) for path in sources()),
        "functions": len(every),
        "function_lines_median": statistics.median(lengths),
        "function_lines_p90": statistics.quantiles(lengths, n=10)[-1],
        "function_lines_most": max(lengths),
        f"functions_over_{_MOST_PARAMETERS}_parameters": len(wide),
        "wide_functions": wide,
        "longest_import_chain": len(chain),
        "import_chain": chain,
    }


def of_runs(rig: Rig) -> dict[str, Any]:
    """Return the figures of importing 1,000 rows, and what each row adds."""
    small, large = calls.of_import(rig, ROWS), calls.of_import(rig, 2 * ROWS)
    own = {name: number for name, number in small["files"].items() if name.startswith("worker")}
    all_calls = [sum(counts["files"].values()) for counts in (small, large)]
    return {
        "own_functions_called": len(small["functions"]),
        "own_functions_called_for_each_row": len(_each(small["functions"])),
        "own_calls_1000_rows": sum(own.values()),
        "all_calls_1000_rows": all_calls[0],
        "own_calls_a_row": calls_a_row(small, large),
        "all_calls_a_row": (all_calls[1] - all_calls[0]) / ROWS,
        "types_a_row": len(_each(small["types"])),
        "row_types": _each(small["types"]),
        "files_called_for_each_row": len(_each(own)),
        "files_run": len(own),
        "statements_1000_rows": sum(small["statements"].values()),
        "inserts_1000_rows": inserts(small),
        "requests_1000_rows": small["requests"],
    }


def calls_a_row(small: dict[str, Any], large: dict[str, Any]) -> float:
    """Return what a row adds to the calls of the functions that are called for each row.

    The others, such as the looks of the waiting command, come and go with the time that a run takes.
    """
    before, after = small["functions"], large["functions"]
    return float(sum(after.get(name, 0) - before[name] for name in _each(before)) / ROWS)


def inserts(counts: dict[str, Any]) -> dict[str, int]:
    """Return how many rows were inserted, by table: these don't depend on how long a run takes."""
    return {name: number for name, number in counts["statements"].items() if name.startswith("INSERT INTO")}


def main() -> None:
    """Print the figures as a table, and as JSON where asked."""
    parser = argparse.ArgumentParser(prog="make shape", description="The shape of the code in figures.")
    parser.add_argument("--json", type=Path, help="write them to this file, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="siproster-shape-") as folder:
        rig = Rig(Path(folder))
        try:
            figures = {**of_source(), **of_runs(rig)}
        finally:
            rig.close()
    for name, value in figures.items():
        if isinstance(value, list):
            print(f"{name.replace('_', ' ')}:", *value, sep="\n    ")
        else:
            shown = f"{value:,.1f}" if isinstance(value, float) else value
            print(f"{name.replace('_', ' '):<40} {shown}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _each(counts: dict[str, int]) -> list[str]:
    """Return what is there, or called, at least once for each row."""
    return sorted(name for name, number in counts.items() if number >= ROWS)


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, modules: set[str]) -> set[str]:
    """Return which of the modules a file imports; ``from a import b`` is ``a.b`` if that is a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & modules) or {node.module}
    return found & modules


if __name__ == "__main__":
    main()
