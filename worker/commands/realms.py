"""``realm``: the realms of the account."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table
from rich.text import Text

from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.listing import asked
from worker.commands.options import Finite, json_option, yes_option
from worker.commands.screen import echo, on_stdout
from worker.errors import UsageError
from worker.model import Realm

_HEADINGS = ("realm", "id", "state", "default", "credentials", "description")
"""Headings of a realm's facts; a list leaves out the description, for which a line has no room."""


@click.group("realm")
def realm() -> None:
    """List, show, create, change and delete realms.

    A realm's full host name is part of every digest, and only the service knows it.
    """


@realm.command("list")
@json_option
@settings_options
def list_(as_json: bool, **given: Any) -> None:
    """List the account's realms."""
    found = Context(given).api.realms()
    if as_json:
        print_json([_facts(one) for one in found])
        return
    if not found:
        echo("the account has no realm yet; create one with: siproster realm create NAME")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in _HEADINGS[:-1]:
        table.add_column(heading, overflow="fold", justify="right" if heading == "credentials" else "left")
    for one in found:
        table.add_row(*_cells(one)[:-1])
    on_stdout().print(table)


@realm.command("show")
@click.argument("ref", metavar="REF")
@json_option
@settings_options
def show(ref: str, as_json: bool, **given: Any) -> None:
    """Show one realm; REF is its id, host name or short name."""
    _print(Context(given).api.realm(ref), as_json=as_json)


@realm.command("create")
@click.argument("name", metavar="NAME")
@click.option("--description", metavar="TEXT", default="", help="Description to show beside the name.")
@click.option("--default", "default", is_flag=True,
              help="Make it the account's default realm, used wherever no realm is given.")  # fmt: skip
@click.option("--wait", metavar="SECONDS", type=Finite(min=0), default=120, show_default=True,
              help="How long to wait for the realm to become ACTIVE.")  # fmt: skip
@json_option
@settings_options
def create(name: str, description: str, default: bool, wait: float, as_json: bool, **given: Any) -> None:
    """Create a realm and wait until it accepts credentials.

    NAME is its short name: 1 to 30 letters, digits and inner hyphens.
    """
    context = Context(given)
    context.audit(name)
    echo(f"creating realm {name}; waiting up to {wait:g} s until it is ACTIVE")
    _print(context.api.create_realm(name, description, default, wait), as_json=as_json)


@realm.command("update")
@click.argument("ref", metavar="REF")
@click.option("--description", metavar="TEXT", help="Description to show beside the name; '' removes it.")
@click.option("--default", "default", is_flag=True,
              help="Make it the account's default realm, replacing the current one.")  # fmt: skip
@json_option
@settings_options
def update(ref: str, description: str | None, default: bool, as_json: bool, **given: Any) -> None:
    """Change a realm; REF is its id, host name or short name.

    A new default realm receives every request that doesn't name a realm, from everyone who uses this account.
    """
    if description is None and not default:
        raise UsageError("nothing to change", "use --description TEXT, --default, or both")
    context = Context(given)
    context.audit(ref)
    _print(context.api.update_realm(ref, description, default or None), as_json=as_json)


@realm.command("delete")
@click.argument("ref", metavar="REF")
@yes_option
@json_option
@settings_options
def delete(ref: str, yes: bool, as_json: bool, **given: Any) -> None:
    """Delete a realm that has no credentials and is not the default. You are asked to confirm first."""
    context = Context(given)
    one = context.api.realm(ref)
    where = f"account {context.endpoint.account} on {context.endpoint.host}"
    asked(f"Delete the realm {one.host} from {where}?", yes=yes)
    context.audit(one.host)
    deleted = context.api.delete_realm(one.id)
    echo(f"accepted: {one.host} is being deleted; check with: siproster realm list")
    if as_json:
        print_json({"deleted": _facts(deleted)})


def _print(one: Realm, *, as_json: bool) -> None:
    if as_json:
        print_json(_facts(one))
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for heading, cell in zip(_HEADINGS, _cells(one), strict=True):
        if cell:
            table.add_row(heading, cell)
    on_stdout().print(table)


def _facts(one: Realm) -> dict[str, Any]:
    return {
        "realm": one.host,
        "id": one.id,
        "status": one.status,
        "default": one.default,
        "credentials": one.credentials,
        "description": one.description,
    }


def _cells(one: Realm) -> list[Text]:
    state = Text(one.status, style="green" if one.status == "ACTIVE" else "yellow")
    count = "" if one.credentials is None else f"{one.credentials:,}"
    default = Text("yes" if one.default else "no")
    return [Text(one.host), Text(one.id), state, default, Text(count), Text(one.description)]
