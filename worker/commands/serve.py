"""``serve``: the page, for people who don't use a terminal."""

from __future__ import annotations

import ipaddress
import logging
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from worker.commands.context import Context, settings_options
from worker.commands.log_output import log_file_option, log_format_option, set_up_log
from worker.commands.option_values import from_file
from worker.commands.screen import echo, print_on_stdout
from worker.errors import UsageError
from worker.importing.job import operator
from worker.ledger import Person, Role
from worker.roster.source import without_secrets
from worker.web.app import make_app
from worker.web.housekeeping import tidied
from worker.web.server import listen, serve, tls_context
from worker.web.site import MIB, Site

_LARGEST = 4096 * MIB
_UNITS = {"": 1, "k": 1 << 10, "m": MIB, "g": 1 << 30}

_IN_FILE = {
    "host": "serve-host", "port": "serve-port", "results": "results",
    **{name: name for name in ("tls-cert", "tls-key", "origin", "sign-in", "four-eyes", "max-upload")},
}  # fmt: skip
"""Option to its name in siproster.toml."""


class _Size(click.ParamType[int]):
    """A size in bytes: ``200M``, ``1G``, ``5000000``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,10})([kmg]?)", str(value).lower().removesuffix("b").removesuffix("i"))
        size = int(found[1]) * _UNITS[found[2]] if found else 0
        if not 1024 <= size <= _LARGEST:
            self.fail(f"{value}: must be a size from 1K to 4G, such as 200M", param, ctx)
        return size


@click.command("serve")
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. People have to sign in for any address but this computer's own.",
)
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=8470,
    show_default=True,
    help="Port to listen on; 0 chooses a free one.",
)
@click.option(
    "--tls-cert",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Certificate with its chain (PEM), to serve the page with TLS.",
)
@click.option(
    "--tls-key",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The certificate's key (PEM), if it is not in the same file.",
)
@click.option(
    "--origin",
    metavar="URL",
    default="",
    help="URL of the proxy in front, such as https://voice.example.com. It must pass on the client's"
    " address (X-Forwarded-For).",
)
@click.option("--sign-in", is_flag=True, help="Require people to sign in, on this computer, too.")
@click.option(
    "--four-eyes",
    is_flag=True,
    help="Don't let people approve rosters that they uploaded or corrected.",
)
@click.option(
    "--max-upload",
    metavar="SIZE",
    type=_Size(),
    default="200M",
    show_default=True,
    help="Largest file that can be uploaded.",
)
@click.option(
    "--results",
    metavar="DIR",
    default="",
    help="Folder in which each job gets a folder for its result files.  [default: the current folder]",
)
@log_format_option
@log_file_option
@settings_options
@click.pass_context
def serve_(ctx: click.Context, /, **given: Any) -> None:
    """Serve the page: upload a roster, check it, approve it, and follow the import, in a browser.

    Only this computer can connect, unless you give --host or --origin; then people sign in with tokens, which
    `siproster people add` makes. Stop it with Ctrl-C: running jobs continue.
    """
    context = Context(given)
    set_up_log(logging.DEBUG if given["debug"] else logging.INFO, given)
    file = context.settings.options
    given = from_file(ctx, given, {name: file[known] for name, known in _IN_FILE.items() if known in file})
    sign_in = _signs_in(context, given)
    tls = tls_context(given["tls_cert"], given["tls_key"]) if given["tls_cert"] else None
    if given["tls_key"] and not tls:
        raise UsageError("--tls-key needs --tls-cert", "name the certificate's file, too")
    listener = listen(given["host"], given["port"])
    site = _site(context, given, listener.getsockname(), sign_in=sign_in)
    context.audit(site.origin)
    app = make_app(site)
    with tidied(site, app.state.work):
        serve(app, listener, site.bounds, tls, lambda: _announce(site, given))
    echo("the page has stopped; running jobs continue")


def _signs_in(context: Context, given: Mapping[str, Any]) -> bool:
    """Return whether people sign in. Raises UsageError if they have to, and there is nobody who can."""
    people = context.ledger.people.all()
    reachable = bool(given["origin"]) or not _is_loopback(given["host"])
    asked = given["sign_in"] or given["four_eyes"]
    if (reachable or asked) and not people:
        why = "others can reach the page" if reachable else "people would have to sign in"
        raise UsageError(
            f"{why}, and there is nobody who may use it yet",
            "add yourself first with: siproster people add NAME --role admin",
        )
    return bool(people)


def _site(context: Context, given: Mapping[str, Any], address: tuple[Any, ...], *, sign_in: bool) -> Site:
    endpoint, here, port = context.endpoint, ipaddress.ip_address(address[0]).is_loopback, address[1]
    scheme = "https" if given["tls_cert"] else "http"
    origin = _origin(given["origin"]) or f"{scheme}://{_reached_as(given['host'])}:{port}"
    names = {"localhost", "127.0.0.1", "[::1]"} if here else _own_names()
    return Site(
        ledger=context.ledger,
        seal=context.seal,
        host=endpoint.host,
        account=endpoint.account,
        origin=origin,
        local_person=Person(operator(), Role.ADMIN),
        results=Path(given["results"]).expanduser().absolute(),
        arguments=_arguments(given),
        hosts=frozenset() if given["origin"] else frozenset(f"{name}:{port}" for name in names),
        any_address=not (given["origin"] or here),
        sign_in=sign_in,
        four_eyes=given["four_eyes"],
        secure=origin.startswith("https:"),
        proxied=bool(given["origin"]),
        max_upload=given["max_upload"],
    )


def _origin(url: str) -> str:
    """Return scheme, host and port of ``--origin``. Raises UsageError if it is something else."""
    if not url:
        return ""
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.path not in ("", "/")
        or parts.query
        or "@" in parts.netloc
    ):
        raise UsageError(
            f"--origin {without_secrets(url)}: is not a URL of scheme and host",
            "for example --origin https://voice.example.com",
        )
    default = {"http": ":80", "https": ":443"}[parts.scheme]  # browsers leave it out
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(default)}"


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reached_as(host: str) -> str:
    """Return the host part of a URL for the address that is listened on."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  compared, not bound
        return platform.node().lower()
    return f"[{host}]" if ":" in host else host.lower()


def _own_names() -> set[str]:
    name = platform.node().lower()
    return {name, name.partition(".")[0], "localhost"}


def _arguments(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the options with which child processes find the same settings."""
    config = Path(given["config"]).absolute() if given["config"] else ""
    pairs = (("--config", config), ("--profile", given["profile"]), ("--account", given["account"]))
    return tuple(word for name, value in pairs if value for word in (name, str(value)))


def _announce(site: Site, given: Mapping[str, Any]) -> None:
    """Print where the page is, and who can use it."""
    print_on_stdout(f"the page is at {site.origin}/")
    echo(f"  account  {site.account} at {site.host}")
    if site.sign_in:
        number = len(site.ledger.people.all())
        echo(f"  people   {number} can sign in with their tokens; `siproster people list` shows them")
    else:
        echo("  people   anybody on this computer, without signing in; --sign-in changes that")
    if not site.secure and (site.proxied or not _is_loopback(given["host"])):
        echo(
            "  WARNING  without TLS, tokens and passwords cross the network in clear text: use --tls-cert",
            "red",
        )
        echo("           and --tls-key, or a proxy with TLS in front and --origin", "red")
