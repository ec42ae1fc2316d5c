"""``call``: one test call to a user and its outcome, or how another platform calls in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import click
from rich.table import Table
from rich.text import Text

from worker.api import Api, Order
from worker.commands import platforms
from worker.commands.call_outcome import CallOutcome, follow, placed
from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.listing import asked
from worker.commands.option_values import application_id, from_file
from worker.commands.options import Finite, json_option, yes_option
from worker.commands.screen import echo, on_stdout
from worker.commands.terminal import visible
from worker.commands.verify_runner import GENTLE_RATE, register_options
from worker.errors import NotFound, UsageError
from worker.model import Family, Realm, Stored
from worker.reasons import plural
from worker.register import Entry, Pace, RegisterOptions, RegisterResult, Transport, Verifier
from worker.srv import check_address

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_USER = re.compile(r"[A-Za-z0-9._\-!$&*+=~]+(@[A-Za-z0-9._\-!$&*+=~]+)*")
"""The pattern of a stored user's name (docs/bandwidth-api.md#field-rules)."""
_LONGEST_USER = 65
_LONGEST_URL = 2048

_IN_FILE = {"from": "call-from", "wait": "call-wait"} | {
    name: name for name in ("answer-url", "application", "realm")
}
"""Option to its name in siproster.toml, where ``from`` is the format of a roster."""


@click.command("call")
@click.argument("user", metavar="USER")
@click.option("--from", "number", metavar="NUMBER", default="",
              help="The account's number to call from, such as +19195551234.")  # fmt: skip
@click.option("--application", metavar="UUID", default="", help="The Voice application for the call.")
@click.option("--answer-url", metavar="URL", default="",
              help="URL that Bandwidth fetches instructions from once the call is answered.")  # fmt: skip
@click.option("--realm", metavar="REF", default="",
              help="The user's realm: id, host name or short name.  [default: the account's]")  # fmt: skip
@click.option("--wait", metavar="SECONDS", type=Finite(min=0, max=3600), default=180,
              show_default=True, help="How long to wait for the call's outcome.")  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Return as soon as the service has accepted the call.")
@click.option("--for", "platform", metavar="PLATFORM", type=click.Choice(platforms.PLATFORMS),
              help="Don't call; print what another platform (twilio, generic) needs to call in.")  # fmt: skip
@click.option("--check-phone", is_flag=True,
              help="First ask the registrar whether the user has a registered phone.")  # fmt: skip
@click.option("--registrar", metavar="HOST:PORT", default="",
              help="Registrar for --check-phone.  [default: from DNS]")  # fmt: skip
@click.option("--resolver", metavar="ADDRESS[:PORT]", default="",
              help="DNS server for --for and --check-phone.  [default: the system's]")  # fmt: skip
@yes_option
@json_option
@settings_options
@click.pass_context
def call(ctx: click.Context, /, as_json: bool, yes: bool, **given: Any) -> int:
    """Place a test call to USER (a name, or user@domain) and report its outcome.

    A call costs money, so the user is looked up, and you are asked to confirm. Only a registered phone can
    ring. Exit code 0: the call was answered; 10: it did not get through; 5: its outcome is not known; 3: no
    such user.
    """
    context = Context(given)
    file = context.settings.options
    given = from_file(ctx, given, {name: file[known] for name, known in _IN_FILE.items() if known in file})
    _check_user(given["user"])
    if given["platform"]:
        return _print_platform(context, given, as_json=as_json)
    if given["resolver"] and not given["check_phone"]:
        raise UsageError("--resolver requires --for or --check-phone", "a call makes no DNS look-ups")
    if given["registrar"] and not given["check_phone"]:
        raise UsageError("--registrar requires --check-phone", "Bandwidth routes the call itself")
    return _call(context, given, yes=yes, as_json=as_json)


def _call(context: Context, given: Mapping[str, Any], *, yes: bool, as_json: bool) -> int:
    """Check everything that can be checked beforehand, place the call, and return the exit code."""
    _check_given(given)
    number, answer_url = _number(given["number"]), _url(given["answer_url"])
    application = application_id(given["application"])
    host = context.voice_host
    options = register_options({"transport": Transport.UDP, "dns_wait": 0, **given})
    realm = _realm(context, given["realm"])
    stored = _stored(context.api, realm, given["user"])
    if given["check_phone"]:
        _print_phones(options, realm, stored)
    order = Order(number, _sip_uri(stored.composite, realm.host), application, answer_url)
    where = f"account {context.endpoint.account} on {host}"
    question = f"Call {order.to} from {number}, {where}? A call costs money."
    asked(question, yes=yes)
    calls = context.api.calls(host)
    call_id = calls.place(order)
    echo(f"call {call_id} to {order.to} was accepted by the service")
    if given["no_wait"]:
        outcome = placed()
    else:
        echo(f"waiting for its outcome, at most {given['wait']:g} s")
        outcome = follow(calls, call_id, given["wait"], notify=lambda state: echo(f"  {visible(state)}"))
    _print(call_id, order, outcome, as_json=as_json)
    return outcome.exit_code


def _print(call_id: str, order: Order, outcome: CallOutcome, *, as_json: bool) -> None:
    if as_json:
        sent = {"from": order.number, "to": order.to, "application_id": order.application}
        print_json({"call": call_id, **sent, **outcome.facts()})
        return
    on_stdout().print(Text(f"Call {call_id}: {visible(outcome.text)}"), soft_wrap=True)


def _print_platform(context: Context, given: Mapping[str, Any], *, as_json: bool) -> int:
    number = _number(given["number"]) if given["number"] else ""
    answer_url = _url(given["answer_url"]) if given["answer_url"] else ""
    check_address(given["resolver"])
    host = _realm(context, given["realm"]).host
    edge = platforms.edge_of(host, given["resolver"])
    told = platforms.parameters(given["platform"], given["user"], host, number, answer_url, edge)
    if as_json:
        print_json(platforms.facts(given["platform"], told, host, edge))
    else:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, value in platforms.shown(told, edge).items():
            table.add_row(name, Text(value))
        on_stdout().print(table)
    if edge.trouble:
        echo(f"warning: {edge.trouble.message}; {edge.trouble.hint}", "yellow")
    return edge.exit_code


def _realm(context: Context, ref: str) -> Realm:
    """Return the named realm, or the default one; only the service knows its host name."""
    return context.api.realm(ref) if ref else context.api.default_realm()


def _stored(api: Api, realm: Realm, user: str) -> Stored:
    """Return the user as stored on the realm. Raises NotFound: a call to nobody costs money, too.

    A name may be on several realms, of which the account returns one: then the realm itself is asked.
    """
    found = api.find(Family.ACCOUNT, realm, user)
    if found and found.realm.casefold() != realm.host.casefold():
        found = api.find(Family.REALM, realm, user)
    if found is None:
        raise NotFound(
            f"{user} is not on realm {realm.host}; no call was placed",
            f"`siproster credential list --realm {realm.host}` lists its users; "
            "--realm chooses another realm; a new user may take a few seconds to appear",
        )
    return found


def _print_phones(options: RegisterOptions, realm: Realm, stored: Stored) -> None:
    """Print how many phones are registered, asking the registrar with the stored digest."""
    found: list[RegisterResult] = []
    if stored.hash1:
        entry = Entry(0, stored.composite, realm.host, "", (stored.hash1, stored.hash1b or ""))
        echo(f"asking the registrar of {realm.host} for the phones of {stored.composite}")
        if Verifier(options, Pace(GENTLE_RATE), 1).run([entry], lambda _, one: found.append(one)):
            raise click.Abort
    if found and found[0].bindings is not None:
        number = found[0].bindings
        phones = plural(number, "phone is", "phones are") if number else "no phone is"
        rings = "" if number else ": the call will not ring"
        echo(f"{phones} registered as {stored.composite}{rings}", "" if number else "yellow")
    else:
        why = found[0].error if found else "the service doesn't show the digest needed to ask"
        echo(f"can't tell whether a phone is registered as {stored.composite}: {why}", "yellow")


def _sip_uri(user: str, host: str) -> str:
    """Return ``sip:user@realm``; the @ of a composite name is escaped (RFC 3261, section 25.1)."""
    return f"sip:{user.replace('@', '%40')}@{host}"


def _check_user(user: str) -> None:
    if not _USER.fullmatch(user) or len(user) > _LONGEST_USER:
        raise UsageError(
            f"{user!r} is not a user name", "give a stored name or user@domain, not a number or a URI"
        )


def _number(value: str) -> str:
    if not _E164.fullmatch(value):
        raise UsageError(f"--from {value}: not a number in E.164", "write it as +19195551234")
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or len(value) > _LONGEST_URL or not value.isascii() or re.search(r"[\s\x00-\x20]", value):
        raise UsageError(
            "--answer-url: not a complete http or https URL", "write it as https://example.com/answer"
        )
    return value


def _check_given(given: Mapping[str, Any]) -> None:
    needed = {
        "number": "--from NUMBER",
        "application": "--application UUID",
        "answer_url": "--answer-url URL",
    }
    if missing := [option for name, option in needed.items() if not given[name]]:
        raise UsageError(
            f"a call needs {', '.join(missing)}",
            "give them as options or in siproster.toml; see docs/calls.md",
        )
