"""The house's rules, checked in the source: imports, where things are, and what tests never do."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

NOUNS = {"choices", "model", "states", "errors", "files", "hosts", "reasons", "table_form"}
"""Modules that every room may import, beside the rooms named for it."""

ROOMS: dict[str, set[str]] = {
    "states": set(),
    "choices": set(),
    "model": {"choices", "states", "table_form"},
    "table_form": set(),
    "errors": {"states"},
    "reasons": set(),
    "codes": {"states"},
    "digest": NOUNS,
    "seal": NOUNS,
    "failpoints": set(),
    "files": set(),
    "hosts": set(),
    "temp_db": NOUNS,
    "roster": NOUNS | {"temp_db", "text_workbook", "waits"},
    "roster_template": set(),
    "snapshot": NOUNS | {"temp_db", "seal"},
    "waits": {"meter"},
    "meter": set(),
    "logs": set(),
    "presence": {"reasons", "waits"},
    "metrics": NOUNS | {"ledger", "meter", "runtime", "schedules", "tasks"},
    "channels": set(),
    "throttle": NOUNS | {"waits"},
    "ledger": NOUNS | {"seal", "waits"},
    "settings": NOUNS | {"channels"},
    "ca_certificates": NOUNS,
    # Asks DNS alone; who needs a realm's edge gives its host name.
    "srv": NOUNS,
    "api": NOUNS | {"ca_certificates", "meter", "throttle", "waits"},
    "report": NOUNS | {"ledger", "seal", "text_workbook"},
    "advice": NOUNS | {"codes", "importing", "ledger"},
    "lineage_report": NOUNS | {"ledger", "report", "seal"},
    "text_workbook": set(),
    "phones": NOUNS | {"roster"},
    "importing": NOUNS
    | {"api", "digest", "failpoints", "ledger", "roster", "temp_db", "seal", "throttle", "waits"}
    | {"logs", "meter"},
    "schedules": NOUNS | {"ledger", "waits"},
    "notify": NOUNS | {"api", "ca_certificates", "channels", "ledger"},
    "register": NOUNS | {"digest", "srv", "ca_certificates", "waits"},
    "fleet": set(),
    "runtime": NOUNS | {"api", "fleet", "importing", "ledger", "seal", "throttle", "waits"},
    "progress": NOUNS | {"ledger", "waits"},
    "web": NOUNS
    | {"advice", "api", "codes", "importing", "ledger", "progress", "report", "report_page", "roster"}
    | {"roster_template"}
    | {"runtime", "schedules", "seal", "settings", "waits"},
    "report_page": NOUNS | {"advice", "codes", "ledger", "lineage_report", "phones", "report", "seal"},
    "tasks": NOUNS | {"fleet", "importing", "runtime", "settings", "waits", "logs", "presence"},
    # A process of its own, which must not share the program's mistakes.
    "sandbox": set(),
}
"""Room to the rooms that it may import. ``cli.py`` and ``commands`` may import all of them."""

FREE = {"cli", "commands"}

LIBRARIES: dict[str, set[str]] = {
    "apprise": {"notify"},
    "billiard": {"tasks"},
    "celery": {"tasks"},
    "certifi": {"api", "notify"},
    "click": FREE,
    "cronsim": {"schedules"},
    "cryptography": {"seal", "roster"},
    "dns": {"srv"},
    "fsspec": {"roster"},
    "httpcore": {"api"},
    "httpx": {"api"},
    "jinja2": {"phones", "report_page", "web"},
    "kombu": {"tasks"},
    "lxml": {"api", "roster"},
    "markupsafe": {"phones", "report_page", "web"},
    "paramiko": {"roster"},
    "platformdirs": {"settings"},
    "re2": {"roster"},
    "prometheus_client": {"metrics"},
    "psycopg": {"roster"},
    "pymysql": {"roster"},
    "python_multipart": {"web"},
    "redis": {"tasks", "throttle"},
    "rich": FREE,
    "segno": {"phones"},
    "socksio": {"api"},
    "sqlalchemy": {"ledger"},
    "starlette": {"sandbox", "web"},
    "tenacity": {"api"},
    "uvicorn": {"sandbox", "web"},
    "xlrd": {"roster"},
    "xlsxwriter": {"roster_template"},
    # In the standard library, only these open sockets or databases themselves; reasons knows their errors.
    "asyncio": {"register", "sandbox", "web"},
    "socket": {"api", "metrics", "notify", "reasons", "register", "sandbox", "web"},
    "ssl": {"api", "reasons", "register", "ca_certificates", "web"},
    "sqlite3": {"ledger", "roster", "temp_db"},
}
"""Library to the rooms that may import it. Every other room asks that room."""

TOP = {
    *("CHANGELOG.md", "CONTRIBUTING.md", "Dockerfile", "LICENSE", "Makefile", "README.md", "SECURITY.md"),
    *("cli.py", "constraints.txt"),
    *("docker-compose.yml", "docs", "pyproject.toml", "samples", "tests", "worker"),
}
STANDARD = sys.stdlib_module_names
PATCHING = {"mock", "pytest_mock", "fakeredis", "setattr", "task_always_eager", "mocker"}
LONGEST = 450
MOST_PARAMETERS = 6
REGISTRY = re.compile(r"https?://\S*/(simple|packages)/|index[-_]url|(pypi|pythonhosted|npmjs)\.org")
SOURCES = sorted([ROOT / "cli.py", *(ROOT / "worker").rglob("*.py")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def name(path: Path) -> str:
    """Return the path in the repository, for messages."""
    return str(path.relative_to(ROOT))


def room(path: Path) -> str:
    """Return the file's room: ``worker/ledger/jobs.py`` and ``worker/ledger.py`` are in ``ledger``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts == ("cli",) else parts[1]


@functools.cache
def tree(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text("utf-8"), name(path))


def imported(path: Path) -> set[str]:
    """Dotted names of all that a file imports, wherever in it; ``from a import b`` gives ``a.b``."""
    return {dotted for node in ast.walk(tree(path)) for dotted in dotted_names(node)}


def dotted_names(node: ast.AST) -> Iterator[str]:
    """Yield the modules that one statement imports; ``import_module("a.b")`` counts, too."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=0):
            yield from (f"{module}.{alias.name}" for alias in names)
        case ast.ImportFrom():
            yield "a relative import"
        case ast.Call(
            func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"),
            args=[ast.Constant(value=str(module)), *_],
        ):
            yield module


def rooms_of(path: Path) -> set[str]:
    """The other rooms that a file imports from; ``worker`` itself holds the version alone."""
    others = {dotted.split(".")[1] for dotted in imported(path) if dotted.startswith("worker.")}
    return others - {room(path), "__version__"}


def definitions(path: Path) -> Iterator[str]:
    """Names of a file's classes and functions."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return (node.name for node in ast.walk(tree(path)) if isinstance(node, kinds))


def tracked() -> list[Path]:
    """The files of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for file in listed.stdout.split("\0") if file and (path := ROOT / file).is_file()]


def test_rooms_import_only_what_they_may() -> None:
    """The table of rooms holds, and no room is left out of it."""
    assert {name(path): more for path in SOURCES if (more := rooms_of(path) - allowed(path))} == {}


def allowed(path: Path) -> set[str]:
    """The rooms that a file may import from; ``worker`` itself imports none."""
    if room(path) in FREE:
        return ROOMS.keys() | FREE
    return set() if room(path) == "__init__" else ROOMS[room(path)]


def test_each_library_has_its_room() -> None:
    """celery is imported in tasks, httpx and lxml in api; other rooms must ask these."""
    found = {
        f"{name(path)}: {library}"
        for path in SOURCES
        for library in {dotted.split(".")[0] for dotted in imported(path)} - {"worker", "_typeshed"}
        if room(path) not in LIBRARIES.get(library, {room(path)} if library in STANDARD else set())
    }
    assert found == set()


def test_the_package_itself_imports_nothing() -> None:
    """The package itself imports nothing: its version is read before anything is installed."""
    assert imported(ROOT / "worker/__init__.py") == set()


def test_docstrings_are_text() -> None:
    """Python 3.13 and later refuse to compile a docstring that holds a lone surrogate, such as an escape."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = {
        f"{path}:{node.body[0].lineno}"
        for path in (*SOURCES, *ROOT.glob("tests/**/*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, documented) and _surrogate.search(ast.get_docstring(node) or "")
    }
    assert found == set()


_surrogate = re.compile("[\ud800-\udfff]")


def test_files_stay_readable() -> None:
    """A file that outgrows its job becomes a folder with a room for each."""
    lengths = {name(path): len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    assert {file: length for file, length in lengths.items() if length > LONGEST} == {}


def test_functions_take_few_parameters() -> None:
    """More than six parameters are a type that is not named yet. Options of a command are exempt."""
    found = {
        f"{name(path)}: {node.name}"
        for path in (*SOURCES, *TESTS)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and len(parameters(node)) > MOST_PARAMETERS
        and not any(".command(" in ast.unparse(one) for one in node.decorator_list)
    }
    assert found == set()


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the names of a function's parameters, without ``self``, ``*`` and ``**``."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [one for one in names if one not in ("self", "cls")]


def test_names_say_what_things_are() -> None:
    """No file, class or function is named helper, utils or manager."""
    names = {
        word
        for path in SOURCES
        for word in (*path.relative_to(ROOT).with_suffix("").parts, *definitions(path))
    }
    assert {word for word in names if re.search("helper|utils?(_|$)|manager", word, re.IGNORECASE)} == set()


def test_tests_patch_nothing() -> None:
    """No mocks, no replaced attributes, no eager Celery, no imitated Redis."""
    assert {name(path): found for path in TESTS if (found := set(words_that_patch(path)))} == {}


def words_that_patch(path: Path) -> Iterator[str]:
    """Return those words of PATCHING that are part of an import, or name an attribute or an argument."""
    yield from (part for dotted in imported(path) for part in dotted.split(".") if part in PATCHING)
    for node in ast.walk(tree(path)):
        match node:
            case ast.Attribute(attr=word) | ast.arg(arg=word) | ast.keyword(arg=str(word)) if (
                word in PATCHING
            ):
                yield word


def test_tests_say_what_they_prove() -> None:
    """Every test has a docstring."""
    silent = [
        f"{name(path)}: {node.name}"
        for path in TESTS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_the_process_is_left_in_one_place() -> None:
    """Commands return their exit code; only cli.py, and the sandbox, a process of its own, may exit."""
    leaving = {"sys.exit", "exit", "quit", "SystemExit"}
    found = {
        f"{name(path)}: {left}"
        for path in SOURCES
        if room(path) != "sandbox"
        for node in ast.walk(tree(path))
        for left in [ast.unparse(node.func) if isinstance(node, ast.Call) else ""]
        if left in leaving or (isinstance(node, ast.Raise) and "SystemExit" in ast.unparse(node))
    }
    assert found == {"cli.py: sys.exit"}


def test_a_process_is_cut_off_only_where_somebody_insists() -> None:
    """``os._exit`` runs no ``finally``.

    Only a second signal, tests that let a process die, and the process for Apprise, in which nothing but a
    library's threads may be left, may use it.
    """
    calls = {
        name(path)
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os._exit"
    }
    assert calls == {
        "worker/commands/watch.py", "worker/register/verify.py", "worker/failpoints.py",
        "worker/notify/apprise_process.py",
    }  # fmt: skip


def test_system_tests_stay_outside() -> None:
    """System tests see the program as users do: neither they nor their helpers import it."""
    outside = [path for path in TESTS if path.parent.name == "system" or path.parent == ROOT / "tests"]
    assert [name(path) for path in outside if any(word.startswith("worker") for word in imported(path))] == []


def test_the_top_level_holds_what_was_agreed() -> None:
    """The top level holds the entries that were agreed, and no others."""
    entries = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {entry for entry in entries if not entry.startswith(".")} - TOP == set()


def test_no_file_names_a_registry() -> None:
    """No file names a package registry: where packages come from is up to those who install them."""
    texts = {name(path): path.read_text("utf-8", errors="replace") for path in tracked()}
    assert [file for file, text in texts.items() if REGISTRY.search(text)] == []


def test_imports_are_found_wherever_they_are(tmp_path: Path) -> None:
    """The rules above see imports inside functions, of several names, and by a call."""
    path = tmp_path / "sample.py"
    path.write_text(
        "import a.b\nfrom c import d, e\ndef f():\n    from g.h import i\n"
        "    importlib.import_module('j.k')\nfrom . import l\n"
    )
    found = {dotted for node in ast.walk(ast.parse(path.read_text())) for dotted in dotted_names(node)}
    assert found == {"a.b", "c.d", "c.e", "g.h.i", "j.k", "a relative import"}
