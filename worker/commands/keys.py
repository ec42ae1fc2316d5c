"""``hash`` and ``keygen``: secrets generated on request."""

from __future__ import annotations

import base64
import sys

import click

from worker.commands.facts import json_option, print_json
from worker.commands.terminal import asks
from worker.digest import digests
from worker.errors import UsageError
from worker.seal import fingerprint, new_key


@click.command("hash")
@click.argument("user", metavar="USER")
@click.option("--realm", metavar="HOST", default="", help="The realm's full host name, used as given.")
@click.option("--domain", metavar="NAME", default="", help="The user's domain, if there is one.")
@json_option
def hash_(user: str, realm: str, domain: str, as_json: bool) -> None:
    """Print Hash1 and Hash1b of USER, whose password is read from stdin.

    Only a line break at the end of the password is removed. On a terminal, you are prompted for the password,
    which is not shown.

    \b
      printf %s "$PASSWORD" |
        siproster hash alice --realm acme-0a1b2c.auth.bandwidth.com
    """
    composite = _composite(user, domain)
    _check_realm(realm)
    password = _password()
    try:
        hash1, hash1b = digests(composite, realm, password)
    except ValueError as error:
        raise UsageError(str(error), "give them in UTF-8") from None
    click.echo("anyone who has these digests can register: they are as good as the password", err=True)
    if as_json:
        print_json({"composite": composite, "realm": realm, "hash1": hash1, "hash1b": hash1b})
        return
    click.echo(f"Hash1   {hash1}\nHash1b  {hash1b}")


@click.command("keygen")
@json_option
def keygen(as_json: bool) -> None:
    """Generate a sealing key for SIPROSTER_KEY and print it."""
    key = new_key()
    if as_json:
        print_json({"key": key, "fingerprint": fingerprint(base64.urlsafe_b64decode(key))})
    else:
        click.echo(key)
    click.echo("keep it: rows sealed with it can't be read without it", err=True)


def _composite(user: str, domain: str) -> str:
    if not user:
        raise UsageError("USER is empty", "for example: siproster hash USER --realm HOST < FILE")
    if domain and "@" in user:
        raise UsageError(
            f"{user} already has a domain, but --domain gives {domain}",
            "give USER without its @, or leave --domain out",
        )
    return f"{user}@{domain}" if domain else user


def _check_realm(realm: str) -> None:
    """Refuse a short name: a digest made for one is useless, and nobody could see that by looking at it."""
    if not realm:
        raise UsageError(
            "--realm HOST is required: digests are computed for one realm",
            "`siproster realm list` shows the host names of the account's realms",
        )
    if "." not in realm:
        raise UsageError(
            f"--realm {realm} is a short name; digests need the full host name, as the service returns it",
            f"`siproster realm show {realm}` shows it",
        )


def _password() -> str:
    if asks():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    if sys.stdin is None:
        raise UsageError("standard input is closed", "for example: siproster hash USER --realm HOST < FILE")
    try:
        password = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(
            "the password on stdin is not UTF-8", "the service's digests are computed from UTF-8"
        ) from None
    password = password.removesuffix("\n").removesuffix("\r") if password.endswith("\n") else password
    if not password:
        raise UsageError(
            "no password was given on stdin", "for example: siproster hash USER --realm HOST < FILE"
        )
    return password
