"""The documentation against the program: every command, option, setting and code is in it, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from cli import cli
from tests.documents import pages
from worker import __version__, codes, errors
from worker.schedules.results import RunResult
from worker.settings.names import DEFAULTS
from worker.states import Reason

ROOT = Path(__file__).parents[2]
ERRORS = (ROOT / "docs" / "errors.md").read_text("utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")
PAGES = {name: page for name, page in pages().items() if name != "CHANGELOG.md"}
"""The changelog also names what is gone, or was never there."""
SOURCES = [path for path in (ROOT / "worker").rglob("*.py") if "sandbox" not in path.relative_to(ROOT).parts]

FOREIGN = {
    *("--constraint", "--constraints", "--force", "--format", "--pip-args", "--reinstall"),
    *("--batch", "--command", "--execute", "--raw", "--table"),
    *("--env-file", "--rm", "--scale", "--user", "--volume", "--workdir"),
}
"""Options of other programs that the documentation names: pip, pipx, uv, docker compose, databases'."""

CODE_AT = {
    "skip": 1, "refuse": 1, "warn": 1, "verdict": 1, "Problem": 0, "_failed": 1, "_outcome": 2, "Outcome": 3,
}  # fmt: skip
"""The position of a row's error code among a call's arguments."""

DIFFERENCES = "';'.join(differs)"
"""How the codes of a comparison become one."""


# The program's own words


def below(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the program, by the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from below(command, (*words, name))


PROGRAM = dict(below(cli))


def options(command: click.Command) -> set[str]:
    """The long names of a command's options, without those for the program's own use."""
    parameters = [
        one for one in command.get_params(click.Context(command)) if not getattr(one, "hidden", False)
    ]
    return {word for one in parameters for word in (*one.opts, *one.secondary_opts) if word.startswith("--")}


def arguments(command: click.Command) -> list[str]:
    """The arguments as the usage line shows them."""
    context = click.Context(command)
    return [one.make_metavar(context) for one in command.params if isinstance(one, click.Argument)]


@cache
def tree(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text("utf-8"), str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    """Every function of a file."""
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))


def called(node: ast.AST) -> str:
    """The name of the function that a call calls; empty: it is no call."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
    return ""


def texts(node: ast.AST) -> set[str]:
    """The texts that stand in an expression, those inside of f-strings too."""
    return {
        one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)
    }


def words(node: ast.AST) -> set[str]:
    """Return the codes among the texts of an expression."""
    return {text for text in texts(node) if re.fullmatch(r"[a-z]+(_[a-z]+)*", text)}


def row_codes() -> set[str]:
    """Every error code and warning that a row, or a roster as a whole, can have."""
    found: set[str] = set()
    for path in SOURCES:
        for scope in (tree(path), *functions(path)):
            for argument in code_arguments(scope):
                found |= words(argument)
                if isinstance(argument, ast.Name):
                    found |= CONSTANTS.get(argument.id) or assigned_codes(path, scope)
                if ast.unparse(argument) == DIFFERENCES:
                    found |= set().union(*constants(ROOT / "worker" / "importing" / "compare.py").values())
    return found


def constants(path: Path) -> dict[str, set[str]]:
    """Return a file's constants that hold codes, each with its code; also in ``A, B = "a", "b"``."""
    found: dict[str, set[str]] = {}
    for node in tree(path).body:
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                pairs = list(zip(targets, values, strict=True))
            case ast.Assign(targets=[target], value=value):
                pairs = [(target, value)]
            case _:
                continue
        found |= {
            target.id: words(value)
            for target, value in pairs
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and words(value)
        }
    return found


CONSTANTS = {name: codes for path in SOURCES for name, codes in constants(path).items()}


def code_arguments(scope: ast.AST) -> Iterator[ast.expr]:
    """Yield the arguments given as error codes in a scope, without names of a function's own parameters."""
    parameters = {one.arg for one in ast.walk(scope) if isinstance(one, ast.arg)}
    for node in ast.walk(scope):
        at = CODE_AT.get(called(node))
        if isinstance(node, ast.Call) and at is not None and len(node.args) > at:
            argument = node.args[at]
            if not (isinstance(argument, ast.Name) and argument.id in parameters):
                yield argument


def assigned_codes(path: Path, scope: ast.AST) -> set[str]:
    """The codes of (code, text) that the functions return which a scope calls."""
    calls = {called(node) for node in ast.walk(scope)}
    return {
        word
        for function in functions(path)
        if function.name in calls
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple)
        for word in words(node.value.elts[0])
    }


def used_reasons() -> set[str]:
    """The reasons for which the program stops or pauses a job somewhere."""
    nodes = (
        node for path in SOURCES if path.stem not in ("states", "codes") for node in ast.walk(tree(path))
    )
    named = (
        node for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Reason"
    )
    return {node.attr for node in named}


def service_codes() -> set[str]:
    """Every number of the service's that the program decides by."""
    constants = {text for path in SOURCES for text in texts(tree(path))}
    return {text for text in constants if re.fullmatch(r"1003|4022|1[23]\d{3}|23\d{3}|33\d{3}", text)}


# Contents of the documentation


def section(page: str, heading: str) -> str:
    """A section of a page, its heading left out, up to the next one of its level."""
    found = re.search(rf"^## {re.escape(heading)}$\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def first_cells(text: str) -> list[str]:
    """Return the words quoted as code in the first cell of each row of a text's tables."""
    rows = (line for line in text.splitlines() if line.startswith("| `"))
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def named_options(text: str) -> set[str]:
    """Every long option that a text names."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


COMMON = named_options(section(COMMANDS, "Common options"))


def headed(called_by: tuple[str, ...], command: click.Command) -> str:
    """The heading of a command in docs/commands.md."""
    return " ".join(["siproster", *called_by, *arguments(command)])


CALLABLE = [
    (called_by, command)
    for called_by, command in PROGRAM.items()
    if not isinstance(command, click.Group) or command.invoke_without_command
]


@pytest.mark.parametrize(
    ("called_by", "command"), CALLABLE, ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_each_command_is_described_with_its_options(
    called_by: tuple[str, ...], command: click.Command
) -> None:
    """A command's section in docs/commands.md names all of its options and no others."""
    told = named_options(section(COMMANDS, headed(called_by, command)))
    assert options(command) - told - COMMON == set()
    assert told - options(command) == set()


def test_each_described_command_exists() -> None:
    """docs/commands.md describes no command that the program doesn't have."""
    described = set(re.findall(r"^## (siproster .*)$", COMMANDS, re.MULTILINE))
    assert described == {headed(*one) for one in CALLABLE}


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_an_option_that_does_not_exist(page: str) -> None:
    """An option that the program doesn't have would mislead."""
    known = {"--version", *FOREIGN}.union(*(options(command) for command in PROGRAM.values()))
    assert named_options(PAGES[page]) - known == set()


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_command_that_does_not_exist(page: str) -> None:
    """Each word after the program's name in code is one of its commands."""
    code = re.findall(r"`([^`\n]+)`", re.sub("```.*?```", "", PAGES[page], flags=re.DOTALL))
    called = re.findall(r"\bsiproster ([a-z]+)(?: ([a-z]+))?", "\n".join(code))
    assert [one for one in called if not ({one[:1], one} & PROGRAM.keys())] == []


def test_each_setting_is_described() -> None:
    """docs/settings.md names every setting, and no other."""
    named = set(re.findall(r"`((?:SIPROSTER|BW)_[A-Z_]+)", PAGES["docs/settings.md"]))
    assert named == DEFAULTS.keys()


def test_each_row_code_is_described() -> None:
    """docs/errors.md has every error code and warning of the program, and no other."""
    described = [
        *first_cells(section(ERRORS, "Rows that were not sent")),
        *first_cells(section(ERRORS, "Entries that were skipped")),
        *first_cells(section(ERRORS, "Rows that were sent")),
        *first_cells(section(ERRORS, "Leavers")),
        *first_cells(section(ERRORS, "Warnings")),
    ]
    assert set(described) == row_codes()


def test_the_collection_of_codes_sees_each_kind_of_place() -> None:
    """Codes are found as an argument, behind `or`, outside of functions, and as a function's result."""
    assert {"duplicate_in_file", "refused", "password_masked", "digest_differs"} <= row_codes()


def test_no_code_is_hidden_from_the_collection() -> None:
    """Each is a constant, one behind `or`, what a function returned, or one of a comparison, a problem, an
    outcome or the service."""
    arguments = [one for path in SOURCES for one in code_arguments(tree(path))]
    plain = (ast.Constant, ast.BoolOp, ast.Name)
    others = {ast.unparse(one) for one in arguments if not isinstance(one, plain)}
    assert others == {"doubt.code", "outcome.code", "refusal.code", DIFFERENCES}


def test_each_reason_of_a_job_is_described() -> None:
    """docs/errors.md has every reason why a job stops or waits, and no other; each of them occurs."""
    assert set(first_cells(section(ERRORS, "Why a job stopped or waits"))) == set(Reason)
    assert {reason.name for reason in Reason} == used_reasons()


def test_each_result_of_a_run_is_described() -> None:
    """docs/errors.md has every result of a schedule's runs, and no other."""
    assert [one.name for one in codes.RUNS] == list(RunResult)


def test_each_error_of_a_command_is_described() -> None:
    """docs/errors.md has the code of each exception that ends a command, with its exit code, no other."""
    raised = {(kind.kind, f"exit code {kind.exit_code}") for kind in subclasses(errors.SiprosterError)}
    described = {(one.name, one.effect) for one in codes.FAILURES}
    assert described == raised | {("no_memory", "exit code 1"), ("unexpected", "exit code 1")}
    told = {(row[0].strip("`"), f"exit code {row[1]}") for row in table_of("Errors of a command")}
    assert told == described


def test_each_number_that_the_program_decides_by_is_described() -> None:
    """Each number of the service by which the program decides is described: users see it in results."""
    described = first_cells(section(ERRORS, "Codes of the service"))
    assert service_codes() - set(described) == set()
    assert sorted(described) == sorted(set(described))


def table_of(heading: str) -> list[list[str]]:
    """The cells of a table in docs/errors.md whose first column has codes."""
    rows = [line.strip("|").split(" | ") for line in section(ERRORS, heading).splitlines()]
    return [[cell.strip() for cell in row] for row in rows if row[0].startswith(" `")]


@pytest.mark.parametrize("table", [one for one in codes.TABLES if one.codes is not codes.UNDO],
                         ids=lambda table: table.title)  # fmt: skip
def test_each_code_is_described_as_the_program_does(table: codes.Table) -> None:
    """docs/errors.md has the program's own words: each code, its meaning, and what to do."""
    told = [[row[0], *row[-2:]] for row in table_of(table.title)]
    assert told == [[f"`{one.name}`", one.meaning, one.advice] for one in table.codes]


def test_each_effect_is_described_as_the_program_does() -> None:
    """docs/errors.md has the statuses of rows with a code, and state and exit code of jobs with a reason."""
    statuses = {row[0]: re.findall("`(.+?)`", row[1]) for row in table_of("Rows that were sent")}
    assert statuses == {f"`{one.name}`": re.findall("`(.+?)`", one.effect) for one in codes.SENT}
    left = {row[0].strip("`"): row[1:3] for row in table_of("Why a job stopped or waits")}
    saved = ["planning", "0, 10"]  # as `plan` itself ends
    assert left == {**{one: [one.state, str(one.exit_code)] for one in Reason}, Reason.SAVED: saved}


def test_each_code_of_an_undone_row_is_described() -> None:
    """docs/accounts.md has the codes of undo.csv, each with the program's own words; no other occurs."""
    rows = re.findall(
        r"^\| `(\w+)` \| (.*) \|$", section(PAGES["docs/accounts.md"], "Undoing an import"), re.MULTILINE
    )
    assert {(one.name, one.meaning) for one in codes.UNDO} <= set(rows)
    undo = ROOT / "worker" / "importing" / "undo.py"
    calls = [node for node in ast.walk(tree(undo)) if isinstance(node, ast.Call) and called(node) == "Undone"]
    given = {call.args[2] for call in calls if len(call.args) > 2}
    named = {word for one in given for word in words(one) | CONSTANTS.get(ast.unparse(one), set())}
    assert named - {"refused"} <= {one.name for one in codes.UNDO}


def test_each_code_has_one_meaning() -> None:
    """No code stands in two tables of rows, since its advice would come from one of them."""
    names = [one.name for one in (*codes.NOT_SENT, *codes.SENT, *codes.SERVICE)]
    assert sorted(names) == sorted(set(names))


def test_each_exit_code_is_described() -> None:
    """docs/errors.md has the program's exit codes, and no other."""
    raised = {kind.exit_code for kind in subclasses(errors.SiprosterError)}
    program = {str(code) for code in raised | {0, 10, 130, *(reason.exit_code for reason in Reason)}}
    assert set(first_cells(section(ERRORS, "Exit codes"))) == program


def subclasses(kind: type[errors.SiprosterError]) -> Iterator[type[errors.SiprosterError]]:
    """A class and all below it."""
    yield kind
    for below_it in kind.__subclasses__():
        yield from subclasses(below_it)


def test_the_changelog_has_this_version() -> None:
    """The changelog has a section for the current version."""
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_composed_services_exist() -> None:
    """`docker compose` is called with files that are there."""
    called = [
        line
        for page in PAGES.values()
        for line in re.findall(r"^`?docker compose [^`\n]*", page, re.MULTILINE)
    ]
    assert called
    files = [match[1] for line in called if (match := re.search(r"--env-file (\S+)", line))]
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []
