"""``people``: who may sign in to the page."""

from __future__ import annotations

import datetime as dt
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.listing import asked
from worker.commands.options import json_option, yes_option
from worker.commands.screen import echo, on_stdout, print_on_stdout
from worker.ledger import Person, Role
from worker.web.tokens import hash_of, person_token

_ROLES = click.Choice([role.value for role in Role])


@click.group("people")
def people() -> None:
    """Manage the people who may sign in to the page.

    Roles: upload (upload rosters, and see their own), approve (also see, approve, retry and undo all jobs),
    admin (also manage people, and read the audit log).
    """


@people.command("add", short_help="Add a person, and print their token.")
@click.argument("name", metavar="NAME")
@click.option("--role", type=_ROLES, default=Role.UPLOAD.value, show_default=True, help="What they may do.")
@json_option
@settings_options
def add(name: str, role: str, as_json: bool, **given: Any) -> None:
    """Add a person, and print the token that they sign in with: once, since the ledger has only its hash."""
    context = Context(given)
    person, token = Person(name, Role(role)), person_token(name)
    context.ledger.people.check_new(name)
    context.audit(name)
    context.ledger.people.add(person, hash_of(token))
    _print_token(person, token, as_json=as_json)
    if len(context.ledger.people.all()) == 1:
        echo("The page asks for tokens from its next start: restart `siproster serve` if it is running.")


@people.command("renew", short_help="Replace a person's token.")
@click.argument("name", metavar="NAME")
@click.option("--role", type=_ROLES, help="Change what they may do.  [default: as before]")
@json_option
@settings_options
def renew(name: str, role: str | None, as_json: bool, **given: Any) -> None:
    """Replace a person's token, and print the new one. The old one is refused, and their sessions end."""
    context = Context(given)
    known = context.ledger.people.get(name)
    token = person_token(known.name)
    context.audit(known.name)
    person = context.ledger.people.renew(known.name, hash_of(token), Role(role) if role else None)
    _print_token(person, token, as_json=as_json)


@people.command("list", short_help="List the people.")
@json_option
@settings_options
def list_(as_json: bool, **given: Any) -> None:
    """List the people who may sign in to the page."""
    found = Context(given).ledger.people.all()
    if as_json:
        print_json([
            {
                "name": one.person.name, "role": one.person.role, "token_created": one.created.isoformat(),
                "signed_in": one.signed_in.isoformat() if one.signed_in else None,
            }
            for one in found
        ])  # fmt: skip
        return
    if not found:
        echo("nobody yet; add a person with: siproster people add NAME --role admin")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("name", "role", "token created", "last signed in"):
        table.add_column(heading)
    for one in found:
        table.add_row(*map(Text, (one.person.name, one.person.role, _day(one.created), _day(one.signed_in))))
    on_stdout().print(table)


@people.command("remove", short_help="Remove a person, and end their sessions.")
@click.argument("name", metavar="NAME")
@yes_option
@json_option
@settings_options
def remove(name: str, yes: bool, as_json: bool, **given: Any) -> None:
    """Remove a person: their token is refused, and their sessions end."""
    context = Context(given)
    known = context.ledger.people.get(name)
    asked(f"Remove {known.name}?", yes=yes)
    context.audit(known.name)
    context.ledger.people.remove(known.name)
    echo(f"{known.name} is removed")
    if as_json:
        print_json({"removed": {"name": known.name, "role": known.role}})


def _print_token(person: Person, token: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": person.name, "role": person.role, "token": token})
        return
    print_on_stdout(token)
    echo(f"{person.name} signs in to the page with this token, and may {_MAY[person.role]}.")
    echo("It is shown only once: share it securely. To replace it: siproster people renew " + person.name)


_MAY = {
    Role.UPLOAD: "upload rosters",
    Role.APPROVE: "upload rosters, and approve them",
    Role.ADMIN: "do everything, including managing people",
}


def _day(time: dt.datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%MZ}" if time else "-"
