"""Values of the options of ``import`` and ``plan``: checked, and converted to ``model.Options``."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from worker.commands.options import FIELDS
from worker.commands.window import moment
from worker.errors import UsageError
from worker.model import Absent, Alphabet, Blanks, Family, Normalize, OnExisting, Options, TableForm, Weak
from worker.roster import parse_condition


def from_file(
    ctx: click.Context, given: dict[str, Any], file_options: Mapping[str, object]
) -> dict[str, Any]:
    """Return ``given``, completed with options from the settings file that the command line doesn't set."""
    merged = dict(given)
    for parameter in ctx.command.params:
        name = parameter.name or ""
        is_set = ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
        words = [word.removeprefix("--") for word in parameter.opts]
        found = [word for word in words if word in file_options]
        if found and not is_set:
            merged[name] = parameter.type_cast_value(ctx, file_options[found[0]])
            merged[f"{name}_given"] = True
    return merged


def refuse_given(ctx: click.Context, allowed: frozenset[str], where: str, why: str) -> None:
    """Raise UsageError if the command line sets options that have no meaning there."""
    refused = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name not in allowed
        and ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    ]
    if refused:
        raise UsageError(f"{', '.join(refused)} can't be used {where}", why)


def parsed(ctx: click.Context, given: Mapping[str, Any]) -> Options:
    """Return the options, checked. Raises UsageError, which names the option and the problem."""
    batch, times = given["batch_size"], window(given)
    return Options(
        realm=given["realm"],
        create_realm=_with_realm(given),
        make_default=given["make_default"],
        domain=given["domain"],
        application=application_id(given["application"]),
        api=Family(given["api"]),
        on_existing=OnExisting(given["on_existing"]),
        source_format=given["source_format"],
        map=dict(_map(pair) for pair in given["map_"]),
        username=given["username"],
        where=tuple(map(parse_condition, given["where"])),
        skip=given["skip"],
        limit=given["limit"],
        carry=tuple(given["carry"]),
        delimiter=given["delimiter"],
        encoding=given["encoding"],
        query=str(Path(given["query"]).expanduser().absolute()) if given.get("query") else "",
        sheet=given["sheet"],
        header_line=given["header_line"],
        blanks=Blanks(given["blanks"]) if given["blanks"] else None,
        normalize=Normalize(given["normalize"]) if given["normalize"] else None,
        weak=Weak(given["weak"]),
        weak_given=given.get("weak_given", False)
        or ctx.get_parameter_source("weak") is ParameterSource.COMMANDLINE,
        **generating(given, Weak(given["weak"]), OnExisting(given["on_existing"])),
        batch_size=batch,
        chunk_size=given.get("chunk_size") or max(500, 8 * batch),
        concurrency=given["concurrency"],
        rate=given["rate"],
        max_failed=max_failed(given["max_failed"]),
        max_changes=max_changes(given["max_changes"]),
        require_rows=given["require_rows"],
        not_before=times.not_before,
        not_after=times.not_after,
        patience=given["patience"],
        absent=_absent(given),
        keep_days=given["keep_days"],
        resume_days=given["resume_days"],
        results=str(Path(given["results"]).absolute()) if given.get("results") else "",
        tables=TableForm(excel=given.get("excel")),
    )


def with_outputs(options: Options, given: Mapping[str, Any]) -> Options:
    """Return an earlier job's options with the folder and the form of result files that are given now."""
    folder, excel = given["results"], given["excel"]
    return replace(
        options,
        results=str(Path(folder).absolute()) if folder else options.results,
        tables=options.tables if excel is None else replace(options.tables, excel=excel),
    )


def generating(given: Mapping[str, Any], weak: Weak, on_existing: OnExisting) -> dict[str, Any]:
    """Return the options that say how passwords are generated, checked. Raises UsageError."""
    file = given["generate_passwords"]
    if file == "-" or "://" in file:
        raise UsageError(
            f"--generate-passwords {file}: must be a file on this machine",
            "name one that siproster may create, such as --generate-passwords passwords.csv",
        )
    if not file and (given["rotate"] or weak is Weak.GENERATE):
        option = "--rotate" if given["rotate"] else "--weak generate"
        raise UsageError(f"{option} needs --generate-passwords FILE", "FILE is where the passwords are kept")
    if given["rotate"] and on_existing is OnExisting.FAIL:
        raise UsageError(
            "--rotate changes users who exist, and --on-existing fail sends nothing if there are any",
            "use one of them",
        )
    return {
        "generate_passwords": str(Path(file).absolute()) if file else "",
        "rotate": given["rotate"],
        "password_length": given["password_length"],
        "password_alphabet": Alphabet(given["password_alphabet"]),
    }


def max_failed(value: str) -> str:
    """Return ``N`` or ``N%``, checked."""
    return _bound("--max-failed", value, "rows")


def max_changes(value: str) -> str:
    """Return ``N`` or ``N%``, checked."""
    return _bound("--max-changes", value, "changes")


def _bound(option: str, value: str, what: str) -> str:
    if value and not re.fullmatch(r"[0-9]+|[0-9]{1,3}(\.[0-9]+)?%", value):
        raise UsageError(
            f"{option} {value}: must be a number of {what} or a percentage", "for example 20 or 2%"
        )
    return value


def _absent(given: Mapping[str, Any]) -> Absent:
    """Return what is done with users who are not in the roster. Raises UsageError for a rash deletion."""
    absent = Absent(given["absent"] or "")
    if absent is not Absent.DELETE:
        return absent
    if not given["max_changes"]:
        raise UsageError(
            "--absent delete needs --max-changes: a roster that is cut off would delete everybody else",
            "for example --max-changes 2%",
        )
    for option in ("where", "skip", "limit"):
        if given[option]:
            raise UsageError(
                f"--absent delete can't be used with --{option}: users in the rows left out are not leavers",
                "import the whole roster",
            )
    return absent


class Window(NamedTuple):
    """A maintenance window: its ends in UTC, ISO 8601; empty: it has none."""

    not_before: str
    not_after: str


def window(given: Mapping[str, Any]) -> Window:
    """Return the window of ``--not-before`` and ``--not-after``.

    Raises UsageError for a time that is none, and for a window that is over or ends before it begins.
    """
    now = dt.datetime.now(dt.UTC)
    begins = not_before(given.get("not_before") or "", now)
    ends = not_after(given["not_after"], begins or now)
    if begins and ends and ends <= begins:
        raise UsageError(
            f"--not-after {given['not_after']}: is not after --not-before {given['not_before']}",
            "give the beginning and the end of the maintenance window",
        )
    return Window(begins.isoformat() if begins else "", ends.isoformat() if ends else "")


def not_before(value: str, now: dt.datetime) -> dt.datetime | None:
    """Return the beginning of a window, in UTC; None if it has none, or has begun."""
    begins = moment("--not-before", value, now) if value else None
    return begins if begins and begins > now else None


def not_after(value: str, after: dt.datetime) -> dt.datetime | None:
    """Return the end of a window, in UTC; None if it has none. Raises UsageError if it is over."""
    ends = moment("--not-after", value, after) if value else None
    if ends and ends <= dt.datetime.now(dt.UTC):
        raise UsageError(f"--not-after {value}: is in the past", "give the end of the maintenance window")
    return ends


def _with_realm(given: Mapping[str, Any]) -> bool:
    if given["create_realm"] and not given["realm"]:
        raise UsageError("--create-realm needs --realm NAME", "NAME is the realm's short name, such as acme")
    if given["make_default"] and not given["create_realm"]:
        raise UsageError(
            "--make-default needs --create-realm",
            "it makes the new realm the account's default",
        )
    return bool(given["create_realm"])


def application_id(value: str) -> str:
    """Return a UUID in its usual form; empty if there is none. Raises UsageError."""
    try:
        return str(uuid.UUID(value)) if value else ""
    except ValueError:
        raise UsageError(
            f"--application {value}: is not a UUID", "it is the application's id, not its name"
        ) from None


def _map(value: str) -> tuple[str, str]:
    field, equals, column = value.partition("=")
    if not (field and equals):
        raise UsageError(
            f"--map {value}: must be FIELD=COLUMN",
            "such as --map password=Secret; --map domain= for no column",
        )
    if field not in FIELDS:
        raise UsageError(f"--map {value}: there is no field {field!r}", f"fields are {', '.join(FIELDS)}")
    if field == "username" and not column:
        raise UsageError(
            "--map username=: every row needs a user name",
            "name its column with --map username=COLUMN, or build the name with --username TEMPLATE",
        )
    return field, column
