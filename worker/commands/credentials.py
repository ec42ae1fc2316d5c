"""``credential``: lists the users stored on the account, and deletes users."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.listing import Fact, asked, csv_option, one_form, print_all
from worker.commands.options import count_type, json_option, yes_option
from worker.commands.outputs import refuse_streams
from worker.commands.removal import Removal, Targets
from worker.commands.scope import Held, Scope, scope_options
from worker.commands.screen import echo, on_stdout
from worker.errors import UsageError
from worker.model import Family, Stored
from worker.reasons import plural

COLUMNS = ("username", "realm", "id", "application_id")
DIGESTS = ("hash1", "hash1b")

digests_option = click.option("--show-digests", is_flag=True,
                              help="Also show the digests. Anyone who has them can register.")  # fmt: skip
domain_option = click.option("--domain", metavar="NAME", default="", help="Domain for users without one.")


_OUTCOMES = ("created", "updated", "unchanged", "exists", "failed", "unknown")
"""Outcomes of rows whose user may be on the service; ``failed``: stored in another case."""


@click.group("credential")
def credential() -> None:
    """List, show and delete users on the registrar."""


@credential.command("list")
@click.option("--user", metavar="FRAGMENT", default="", help="List only users whose name contains this.")
@click.option("--domain", metavar="FRAGMENT", default="", help="List only users whose domain contains this.")
@click.option("--application", metavar="NAME|UUID", default="",
              help="List only users whose application has this id, or a name with this in it.")  # fmt: skip
@click.option("--limit", metavar="N", type=count_type, help="List only the first N users.")
@digests_option
@scope_options
@csv_option
@json_option
@settings_options
def list_(
    user: str, domain: str, application: str, limit: int | None, show_digests: bool, family: str, realm: str,
    as_csv: bool, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """List all users on the account or on a realm.

    The list is streamed page by page: a million users take no more memory than ten.
    """
    one_form(as_csv=as_csv, as_json=as_json)
    filters, wanted = _filters(user, domain, application)
    scope = Scope(Context(given).api, Family(family), realm)
    _warn_of_digests(show_digests)
    columns = COLUMNS + DIGESTS if show_digests else COLUMNS
    chosen = itertools.islice((held for held in scope.entries(filters) if wanted(held.stored)), limit)
    found = print_all(
        _facts(scope, chosen, digests=show_digests), columns, _line, as_csv=as_csv, as_json=as_json
    )
    if not as_csv and not as_json:
        echo(plural(found, "credential"))


@credential.command("show")
@click.argument("user", metavar="USER")
@domain_option
@digests_option
@scope_options
@json_option
@settings_options
def show(
    user: str, domain: str, show_digests: bool, family: str, realm: str, as_json: bool, **given: Any
) -> None:
    """Show one user; USER is the name, or user@domain."""
    scope = Scope(Context(given).api, Family(family), realm)
    held = scope.find(_composite(user, domain))
    _warn_of_digests(show_digests)
    (fact,) = _facts(scope, iter([held]), digests=show_digests)
    if as_json:
        print_json(fact)
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in fact.items():
        if value:
            table.add_row(name, Text(value))
    on_stdout().print(table)


@credential.command("delete")
@click.argument("users", metavar="[USER]...", nargs=-1)
@click.option("--from", "file", metavar="FILE", default="",
              help="A CSV file with username, domain and realm, or a results.csv or failed.csv.")  # fmt: skip
@click.option("--status", "statuses", multiple=True, type=click.Choice(list(_OUTCOMES)),
              help="Use only rows with this status; required for a result file (repeatable).")  # fmt: skip
@domain_option
@scope_options
@yes_option
@json_option
@settings_options
def delete(
    users: tuple[str, ...], file: str, statuses: tuple[str, ...], domain: str, family: str, realm: str,
    yes: bool, as_json: bool, **given: Any,
) -> int:  # fmt: skip
    """Delete users, so that they can no longer register.

    You are asked to confirm first. Exit code 0: all were deleted; 10: some were not found or could not be
    deleted.
    """
    if bool(users) == bool(file):
        raise UsageError("name users, or a file with --from", "siproster credential delete alice bob")
    context = Context(given)
    refuse_streams(context, file)
    with closing(Targets(users, file, domain, realm, statuses)) as targets:
        echo(targets.told)
        removal = Removal(context.api, Family(family), targets)
        number = plural(targets.count, "user")
        where = f"account {context.endpoint.account} on {context.endpoint.host}"
        asked(f"Delete {number} from {where}? They will no longer be able to register.", yes=yes)
        context.audit(", ".join(users) or f"{number} of a file")
        print_all(removal.facts(), (), removal.line, as_csv=False, as_json=as_json)
    echo(removal.summary)
    if removal.ended_by:
        raise removal.ended_by
    return 0 if removal.all_deleted else 10


def _filters(user: str, domain: str, application: str) -> tuple[dict[str, str], Callable[[Stored], bool]]:
    """Return the filters for the service, and a predicate for what the service cannot filter.

    A filter of fewer than 3 characters is refused (33011). Domains are always compared here: the realm
    family's composite goes into UserName, and it is not known whether the service searches it for a domain.
    """
    if "@" in user:
        raise UsageError("--user must be part of the name before the @", "use --domain for the part after it")
    filters = {"userNamefragment": user} if 3 <= len(user) <= 64 else {}
    application_id = _uuid(application)
    if application and not application_id:
        if not 3 <= len(application) <= 64:
            raise UsageError(
                f"--application {application}: too short or too long",
                "give 3 to 64 characters of its name, or its id",
            )
        filters["applicationNameFragment"] = application
    user, domain = user.casefold(), domain.casefold()

    def wanted(stored: Stored) -> bool:
        name, _, behind = _parts(stored.composite.casefold())
        return (
            user in name
            and domain in behind
            and (not application_id or stored.application.casefold() == application_id)
        )

    return filters, wanted


def _parts(composite: str) -> tuple[str, str, str]:
    """Return user and domain, split at the last ``@``, since no domain contains one."""
    name, at, domain = composite.rpartition("@")
    return (name, at, domain) if at else (domain, "", "")


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text)) if text else ""
    except ValueError:
        return ""


def _composite(user: str, domain: str) -> str:
    return f"{user}@{domain}" if domain and "@" not in user else user


def _facts(scope: Scope, chosen: Iterator[Held], *, digests: bool) -> Iterator[Fact]:
    for held in chosen:
        stored = scope.whole(held) if digests else held.stored
        fact: dict[str, str | None] = {
            "username": stored.composite,
            "realm": stored.realm or (held.realm.host if held.realm else ""),
            "id": stored.id,
            "application_id": stored.application,
        }
        yield fact | {"hash1": stored.hash1, "hash1b": stored.hash1b} if digests else fact


def _line(fact: Fact) -> str:
    name, *rest = (value or "-" for value in fact.values())
    return "  ".join([f"{name:<32}", *rest])


def _warn_of_digests(shown: bool) -> None:
    if shown:
        echo("warning: a digest is as good as the password: anyone who reads this can register", "yellow")
