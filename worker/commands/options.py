"""Options that commands share, with their help; ``option_values`` checks and converts what they hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from worker.commands.facts import json_option as json_option
from worker.commands.log_output import log_file_option
from worker.commands.terminal import ProgressForm, show_progress
from worker.model import Absent, Alphabet, Blanks, Family, Normalize, OnExisting, Weak
from worker.roster.formats import AUTO, FORMATS, GENERIC
from worker.settings.names import days_of
from worker.throttle import SLOWEST_RATE

F = TypeVar("F", bound=Callable[..., Any])

FIELDS = ("username", "password", "domain", "realm", "application_id", "hash1", "hash1b")


class Finite(click.FloatRange):
    """A number within bounds, neither NaN nor infinite: click's own bounds let those through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value}: must be a finite number", param, ctx)
        return number


class _Duration(click.ParamType[float]):
    """A duration, in days: ``90d``, ``12h``, ``90``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return value if isinstance(value, float) else days_of(value)
        except TypeError as error:
            self.fail(f"{value}: must be {error}", param, ctx)


duration_type = _Duration()


class _Rate(Finite):
    """Requests per second, at least one per hour: the throttle supports no slower rate."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if number < SLOWEST_RATE:
            self.fail(f"{value}: must be at least one per hour, which is 0.000278", param, ctx)
        return number


class _Absent(click.ParamType[str]):
    """``list`` or ``delete``. The option alone means the former, but takes a word that follows it."""

    name = "absent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in (Absent.LIST, Absent.DELETE):
            self.fail(
                f"{value}: must be list or delete; before another word, write --absent=list", param, ctx
            )
        return value


rate_type = _Rate(min=0, min_open=True)
"""A ``--rate`` that a throttle can keep."""

count_type = click.IntRange(1, 1_000_000_000)
"""A number of rows, users or jobs, far from what databases and iterators can't count any more."""

_READING = (
    click.option(
        "--realm",
        metavar="REF",
        default="",
        help="Realm for rows without one: id, host name or short name.  [default: the account's]",
    ),
    click.option(
        "--create-realm",
        is_flag=True,
        help="Create the realm given by --realm if it doesn't exist and a row needs it, and wait until it is"
        " ACTIVE. `plan` only reports that it would be created.",
    ),
    click.option("--make-default", is_flag=True, help="Make the created realm the account's default."),
    click.option("--domain", metavar="NAME", default="", help="Domain for rows without one."),
    click.option(
        "--application",
        metavar="UUID",
        default="",
        help="Application (HttpVoiceV2AppId) for rows without one.",
    ),
    click.option(
        "--api",
        type=click.Choice([f.value for f in Family]),
        default=Family.ACCOUNT.value,
        show_default=True,
        help="Endpoint family. With realm, names only have to be unique within a realm.",
    ),
    click.option(
        "--on-existing",
        type=click.Choice([o.value for o in OnExisting]),
        default=OnExisting.SKIP.value,
        show_default=True,
        help="What to do about users who exist with another password or application.",
    ),
    click.option(
        "--from",
        "source_format",
        type=click.Choice([AUTO, GENERIC, *FORMATS]),
        default=AUTO,
        show_default=True,
        help="Format of the roster; `siproster formats` lists them.",
    ),
    click.option(
        "--map",
        "map_",
        metavar="FIELD=COLUMN",
        multiple=True,
        help=f"Use this column for a field: {', '.join(FIELDS)} (repeatable). FIELD=: no column for it.",
    ),
    click.option(
        "--username",
        metavar="TEMPLATE",
        default="",
        help="Build user names from columns, such as '{site}-{extension}' or '+1{did}'.",
    ),
    click.option(
        "--where",
        metavar="COLUMN=VALUE",
        multiple=True,
        help="Use only rows with this value (repeatable). COLUMN!=VALUE: without it; COLUMN~REGEX: that match"
        " a regular expression.",
    ),
    click.option(
        "--skip",
        metavar="N",
        type=click.IntRange(0, 1_000_000_000),
        default=0,
        help="Leave out the first N of these rows.",
    ),
    click.option("--limit", metavar="N", type=count_type, help="Use only the first N rows."),
    click.option(
        "--carry",
        metavar="COLUMN",
        multiple=True,
        help="Copy a column to the results although its name or cells suggest a secret (repeatable).",
    ),
    click.option(
        "--delimiter", metavar="CHAR", default="", help="Delimiter: , ; | or tab.  [default: detected]"
    ),
    click.option(
        "--encoding",
        metavar="NAME",
        default="",
        help="Encoding, such as utf-8 or cp1252.  [default: detected]",
    ),
    click.option(
        "--query",
        metavar="FILE",
        default="",
        help="File with the SELECT that reads the roster from a database.  [default: the format's own]",
    ),
    click.option(
        "--sheet",
        metavar="NAME|N",
        default="",
        help="Sheet of a workbook.  [default: the first with a roster's column names]",
    ),
    click.option(
        "--header-line",
        metavar="N",
        type=click.IntRange(1, 1_000_000),
        help="Line with the column names, if other lines come before it.  [default: detected]",
    ),
    click.option(
        "--blanks",
        type=click.Choice([b.value for b in Blanks]),
        help="Strip or keep the blanks around all cells, passwords included. Without it, a roster with a"
        " blank at most of its passwords is refused.",
    ),
    click.option(
        "--normalize",
        type=click.Choice([n.value for n in Normalize]),
        help="Compose letters in passwords that are written as a letter and an accent, as phones type them;"
        " none leaves them and doesn't warn.",
    ),
    click.option(
        "--weak",
        type=click.Choice([w.value for w in Weak]),
        default=Weak.WARN.value,
        show_default=True,
        help="What to do about passwords that are short, all digits, equal to the user name, or shared by"
        " many rows.",
    ),
)

_GENERATING = (
    click.option(
        "--generate-passwords",
        metavar="FILE",
        default="",
        help="Generate passwords for rows without one. FILE keeps them, and a later run reads it again.",
    ),
    click.option("--rotate", is_flag=True, help="Also set generated passwords of users who exist."),
    click.option(
        "--password-length",
        metavar="N",
        type=click.IntRange(12, 64),
        default=22,
        show_default=True,
        help="Characters of generated passwords.",
    ),
    click.option(
        "--password-alphabet",
        type=click.Choice([one.value for one in Alphabet]),
        default=Alphabet.LETTERS_DIGITS.value,
        show_default=True,
        help="Characters of generated passwords; safe leaves out 0 O 1 l I.",
    ),
)

not_before_option = click.option(
    "--not-before",
    metavar="TIME",
    default="",
    help="Check the roster now, and send nothing before this time: ISO 8601, with a zone's name behind it if"
    " need be, or a time of day such as 22:00.",
)
not_after_option = click.option(
    "--not-after",
    metavar="TIME",
    default="",
    help="Stop at this time and finish requests in flight.",
)

_POSTING = (
    click.option(
        "--batch-size",
        metavar="N",
        type=click.IntRange(1, 5000),
        default=100,
        show_default=True,
        help="Credentials per request.",
    ),
    click.option(
        "--chunk-size",
        metavar="N",
        type=click.IntRange(1, 100_000),
        help="Rows per Celery task.  [default: 500 or 8 batches, whichever is larger]",
    ),
    click.option(
        "--concurrency",
        metavar="N",
        type=click.IntRange(1, 256),
        default=8,
        show_default=True,
        help="Requests in flight, per worker process; in total without a broker.",
    ),
    click.option(
        "--rate",
        metavar="N",
        type=rate_type,
        help="Maximum requests per second, for all workers together.  [default: what the service allows]",
    ),
    click.option(
        "--max-failed",
        metavar="N|N%",
        default="",
        help="Stop when more rows than this are failed, unknown or invalid.  [default: no limit; 10% for "
        "schedules]",
    ),
    click.option(
        "--max-changes",
        metavar="N|N%",
        default="",
        help="Send nothing, and save the plan for approval, if more users than this would be created, updated"
        " or deleted, or are suddenly absent from the roster.  [default: no limit]",
    ),
    click.option(
        "--require-rows",
        metavar="N",
        type=count_type,
        help="Send nothing, and save the plan for approval, if the roster has fewer rows than this.",
    ),
    not_before_option,
    not_after_option,
    click.option(
        "--patience",
        metavar="SECONDS",
        type=Finite(min=0),
        default=600,
        show_default=True,
        help="How long to wait for the service, the broker, the ledger, a worker or a busy account before"
        " pausing the job.",
    ),
    click.option(
        "--keep-days",
        metavar="N",
        type=Finite(min=0),
        default=7,
        show_default=True,
        help="Days to keep the sealed passwords of rows that are not in place, for `retry`.",
    ),
    click.option(
        "--resume-days",
        metavar="N",
        type=Finite(min=1),
        default=30,
        show_default=True,
        help="Days that a paused or stopped job can be resumed; then its passwords are shredded.",
    ),
)

absent_option = click.option(
    "--absent",
    metavar="[list|delete]",
    type=_Absent(),
    is_flag=False,
    flag_value=Absent.LIST.value,
    help="List all stored users, however small the roster, to find those who are not in it; delete also"
    " deletes them after the rows are done, and needs --max-changes.",
)
results_option = click.option(
    "--results", metavar="DIR", default="", help="Folder for the result files.  [default: ./siproster-JOB/]"
)
excel_option = click.option(
    "--excel/--no-excel",
    "excel",
    default=None,
    help="Write result files for a spreadsheet: with a BOM, and results.xlsx with text cells."
    "  [default: if the roster is a workbook, has semicolons, or is UTF-16]",
)


def _choose_progress(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value:
        show_progress(ProgressForm(value))
    return value


progress_option = click.option(
    "--progress",
    type=click.Choice([form.value for form in ProgressForm]),
    is_eager=True,  # so that messages about the other options come in this form, too
    callback=_choose_progress,
    help="How progress and waits are shown on stderr. auto: a display on a terminal, else lines; json: one"
    " JSON object a line, for programs.  [default: auto]",
)
yes_option = click.option("--yes", is_flag=True, help="Don't ask for confirmation.")


def reading_options(command: F) -> F:
    """Add the options that say how a roster is read."""
    return _all((*_READING, *_GENERATING), command)


def running_options(command: F) -> F:
    """Add the options of commands that work on rows for a while: how progress is shown, and the log."""
    return progress_option(log_file_option(command))


def generating_options(command: F) -> F:
    """Add the options that say how passwords are generated."""
    return _all(_GENERATING, command)


def posting_options(command: F) -> F:
    """Add the options that say how rows are sent."""
    return _all(_POSTING, command)


def _all(options: tuple[Callable[[F], F], ...], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command
