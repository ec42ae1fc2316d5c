"""docs/schemas: a schema for each command with ``--json``, in keywords whose meaning never changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import fastjsonschema
import pytest

from tests.schemas import FOLDER, check, command_of, schema, validator
from tests.unit.test_docs import PROGRAM, options
from worker import codes
from worker.commands.doctor import State
from worker.ledger import Role
from worker.ledger.notifications import DeliveryState
from worker.ledger.schedule_columns import RunState
from worker.model import Action, JobState, Options
from worker.schedules.results import RunResult
from worker.states import Reason, Status
from worker.waits import WaitKind

NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
COMMANDS = {"-".join(words) for words, command in PROGRAM.items() if "--json" in options(command)}
OTHERS = {"common", "error", "progress", "run-ended"}
"""Schemas of what is not a command's facts."""

KEYWORDS = {
    "$schema", "$id", "$comment", "$defs", "$ref", "title", "description", "type", "const", "enum", "anyOf",
    "properties", "required", "additionalProperties", "propertyNames", "items", "maxItems", "minimum",
    "maximum", "pattern", "format",
}  # fmt: skip
"""These mean the same in 2020-12, which is declared, and in draft 7, for which the validator takes it."""

JOB = schema("common")["$defs"]["job"]["properties"]
ENUMS: dict[str, Iterable[str | None]] = {
    "common#job.state": JobState,
    "common#job.reason": ["", *Reason],
    "common#check.state": State,
    "common#run.state": RunState,
    "common#run.result": [*RunResult, None],
    "common#run.notifications.state": DeliveryState,
    "people-list#.role": Role,
    "common#error.code": [one.name for one in codes.FAILURES],
    "progress#progress.state": JobState,
    "common#progress.state": JobState,
    "common#progress.wait_kind": ["", *WaitKind],
    "progress#progress.wait_kind": ["", *WaitKind],
    "run-ended#.result": RunResult,
}
"""Properties whose values are an enum's."""


def parts(part: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each schema within a schema, with the names of the properties that lead to it."""
    yield path, part
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(part.get(keyword), dict):
            yield from parts(part[keyword], path)
    for one in part.get("anyOf", []):
        yield from parts(one, path)
    for name, one in part.get("properties", {}).items():
        yield from parts(one, f"{path}.{name}")
    for name, one in part.get("$defs", {}).items():
        yield from parts(one, f"{path}{name}")


PARTS = [found for name in NAMES for found in parts(schema(name), f"{name}#")]


def test_each_command_with_json_has_a_schema() -> None:
    """The schemas are those of the commands, no more and no fewer, and README.md names each file."""
    assert set(NAMES) == COMMANDS | OTHERS
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert set(re.findall(r"\]\(([a-z-]+)\.json\)", readme)) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_says_what_it_is(name: str) -> None:
    """A schema has a version in its id, and a title: the command whose facts it describes."""
    found = schema(name)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["$id"] == f"https://siproster.invalid/schemas/1/{name}.json"
    assert name in OTHERS or found["title"] == f"siproster {name_of(name)} --json"


def name_of(schema_name: str) -> str:
    """Return the words of the command that a schema is about."""
    return next(" ".join(words) for words in PROGRAM if "-".join(words) == schema_name)


def test_each_property_is_described() -> None:
    """Each property has a description and a type, or refers to a part that has; nothing is misspelt."""
    assert {(path, word) for path, part in PARTS for word in part.keys() - KEYWORDS} == set()
    properties = [
        (f"{path}.{name}", one) for path, part in PARTS for name, one in part.get("properties", {}).items()
    ]
    assert [path for path, one in properties if not one.keys() & {"description", "$ref"}] == []
    assert [
        path for path, one in properties if not one.keys() & {"type", "enum", "const", "anyOf", "$ref"}
    ] == []


@pytest.mark.parametrize("path", ENUMS)
def test_values_are_the_programs(path: str) -> None:
    """A property with an enum's values has all of them."""
    (values,) = (part["enum"] for found, part in PARTS if found == path and "enum" in part)
    assert set(values) == set(ENUMS[path])


def test_rows_are_counted_by_what_the_program_knows() -> None:
    """Counts have the statuses of rows, and those of a plan its actions; options are those of a job."""
    assert set(JOB["counts"]["propertyNames"]["enum"]) == set(Status) - {Status.DELETED}
    plan = schema("plan")["$defs"]["plan"]["properties"]
    assert set(plan["counts"]["propertyNames"]["enum"]) == set(Action)
    shown = {name for name in Options.__dataclass_fields__ if name != "tables"} | {"excel"}
    assert schema("common")["$defs"]["options"]["properties"].keys() == shown


def test_what_is_not_described_is_found() -> None:
    """The check of outputs refuses a new property, a missing one, another type and another exit code."""
    good = {"key": "x", "fingerprint": "0123456789abcdef"}
    check(["keygen", "--json"], 0, json.dumps(good))
    for bad in ({**good, "new": 1}, {"key": "x"}, {**good, "key": 1}, {**good, "fingerprint": "F"}):
        with pytest.raises(fastjsonschema.JsonSchemaException):
            check(["keygen", "--json"], 0, json.dumps(bad))
    error = {"error": {"code": "usage", "message": "x", "hint": "", "exit": 6}}
    check(["keygen", "--json"], 6, json.dumps(error))
    with pytest.raises(AssertionError):
        check(["keygen", "--json"], 1, json.dumps(error))
    with pytest.raises(ValueError, match="Expecting value"):
        check(["keygen", "--json"], 1, "")


def test_a_command_line_leads_to_its_schema() -> None:
    """The first two words name it, or the first one."""
    lines = (["schedule", "show", "nightly"], ["jobs", "purge", "x"], ["jobs", "--audit"], ["import", "x"])
    assert [command_of(words) for words in lines] == ["schedule-show", "jobs-purge", "jobs", "import"]


def test_every_schema_can_be_used() -> None:
    """Each one compiles with the parts that it refers to."""
    assert [name for name in NAMES if not callable(validator(name))] == []
