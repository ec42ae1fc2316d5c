"""``snapshot`` and ``diff``: the account's contents at one moment, and what changed since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.listing import Fact, counted, csv_option, one_form, print_all
from worker.commands.options import json_option
from worker.commands.outputs import refuse_streams
from worker.commands.scope import Scope, scope_options
from worker.commands.screen import echo
from worker.errors import UsageError
from worker.model import Family, Stored, utc_now
from worker.reasons import plural
from worker.snapshot import Change, Difference, Facts, Snapshot, write

_COLUMNS = (
    "change", "username", "realm", "id", "application_id", "differs",
    "username_before", "realm_before", "id_before", "application_id_before",
)  # fmt: skip
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}

file_path = click.Path(path_type=Path)


@click.command("snapshot")
@click.argument("file", metavar="FILE", type=file_path)
@scope_options
@json_option
@settings_options
def snapshot(file: Path, family: str, realm: str, as_json: bool, **given: Any) -> None:
    """Save the users of the account, or of a realm, to a sealed FILE.

    The file contains digests, so it can only be opened with the sealing key. `siproster diff FILE` shows what
    has changed since.
    """
    context = Context(given)
    scope = Scope(context.api, Family(family), realm)
    facts = Facts(
        family=scope.family, host=context.endpoint.host, account=context.endpoint.account,
        realm=scope.realm.host if scope.realm else "", taken=utc_now().isoformat(timespec="seconds"),
        key=context.seal.fingerprint,
    )  # fmt: skip
    number = write(file, facts, context.seal, counted(_now(scope)))
    written = f"{plural(number, 'credential')} of account {facts.account} written to {file}"
    echo(f"{written}, sealed with key {facts.key}")
    if as_json:
        print_json({"file": str(file.absolute()), **asdict(facts), "credentials": number})


@click.command("diff")
@click.argument("file", metavar="FILE", type=file_path)
@click.argument("later", metavar="[LATER]", type=file_path, required=False)
@csv_option
@json_option
@settings_options
def diff(file: Path, later: Path | None, as_csv: bool, as_json: bool, **given: Any) -> int:
    """Show what has changed on the account since snapshot FILE, or between FILE and LATER.

    Exit code 0: nothing changed; 10: something did. Digests are never shown.
    """
    one_form(as_csv=as_csv, as_json=as_json)
    context = Context(given)
    refuse_streams(context, str(file), str(later or ""))
    earlier = Snapshot(file)
    with closing(Difference()) as difference:
        before = difference.load("before", earlier.entries(context.seal))
        after = difference.load("after", _later(context, earlier, later))
        counts: Counter[str] = Counter()
        print_all(_told(difference, counts), _COLUMNS, _line, as_csv=as_csv, as_json=as_json)
    summary = ", ".join(f"{number:,} {kind}" for kind, number in counts.items()) or "no differences"
    echo(f"{summary}; {before:,} credentials at {earlier.facts.taken}, {after:,} afterwards")
    return 10 if counts else 0


def _later(context: Context, earlier: Snapshot, later: Path | None) -> Iterator[Stored]:
    """Yield the credentials of the later moment: a second file's, or those that are stored now."""
    facts = earlier.facts
    if later is not None:
        other = Snapshot(later)
        _same(earlier, (other.facts.host, other.facts.account, other.facts.realm), str(later))
        return other.entries(context.seal)
    _same(earlier, (context.endpoint.host, context.endpoint.account, facts.realm), "the settings")
    return counted(_now(Scope(context.api, facts.family, facts.realm)))


def _same(earlier: Snapshot, others: tuple[str, str, str], whose: str) -> None:
    own = (earlier.facts.host, earlier.facts.account, earlier.facts.realm)
    for what, mine, other in zip(("host", "account", "realm"), own, others, strict=True):
        if mine != other:
            raise UsageError(
                f"{earlier.path} is of {what} {mine or '(all)'}, {whose} of {other or '(all)'}",
                "compare snapshots of one account and realm; choose the account with --profile or --account",
            )


def _now(scope: Scope) -> Iterator[Stored]:
    return (scope.whole(held) for held in scope.entries())


def _told(difference: Difference, counts: Counter[str]) -> Iterator[Fact]:
    for change in difference.changes():
        counts[change.kind] += 1
        yield _fact(change)


def _fact(change: Change) -> Fact:
    sides = [change.stored, change.before or Stored("", "", "")]
    now, before = ([one.composite, one.realm, one.id, one.application] for one in sides)
    return dict(zip(_COLUMNS, [change.kind, *now, ";".join(change.differs), *before], strict=True))


def _line(fact: Fact) -> str:
    words = [f"{_SIGNS[fact['change'] or '']} {fact['username']:<32}", fact["realm"] or "-"]
    for field, name in (("application", "application_id"), ("realm", "realm"), ("case", "username")):
        if field in (fact["differs"] or "").split(";"):
            words.append(f"{field} was {fact[f'{name}_before'] or 'none'}")
    if "digests" in (fact["differs"] or ""):
        words.append("other digests")
    return "  ".join(words)
