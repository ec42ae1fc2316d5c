"""``python -m worker.sandbox``: the stand-in alone, with all its options."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from worker.sandbox.options import Options
from worker.sandbox.server import main


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line. An option that takes a list may be repeated."""
    usual = Options()
    parser = argparse.ArgumentParser(prog="python -m worker.sandbox", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8321, help="0: any free one")
    parser.add_argument("--account", action="append", dest="accounts", help="repeatable")
    parser.add_argument("--client-id", default=usual.client_id)
    parser.add_argument("--client-secret", default=usual.client_secret)
    parser.add_argument("--username", default=usual.username, help="of HTTP Basic")
    parser.add_argument("--password", default=usual.password)
    parser.add_argument("--realm", action="append", dest="realms", help="short name; repeatable")
    parser.add_argument("--default-realm", help="one of them; '' for none; otherwise the first")
    parser.add_argument("--knobs", type=Path, help="JSON file")
    parser.add_argument("--knob", action="append", default=[], metavar="NAME=JSON", help="repeatable")
    parser.add_argument("--sip-port", type=int, help="of the registrar, UDP and TCP; 0: any free one")
    parser.add_argument("--log-limit", type=int, help="keep only so many lines of the log")
    return parser


def read_options(given: argparse.Namespace) -> Options:
    """Return the options from the command line. Raises ValueError for an invalid value."""
    usual = Options()
    knobs: Any = json.loads(given.knobs.read_text()) if given.knobs else {}
    if not isinstance(knobs, dict):
        raise ValueError(f"{given.knobs}: an object is wanted: knob to value")
    settings = (setting.partition("=") for setting in given.knob)
    return Options(
        accounts=given.accounts or usual.accounts,
        client_id=given.client_id,
        client_secret=given.client_secret,
        username=given.username,
        password=given.password,
        realms=given.realms or usual.realms,
        default_realm=given.default_realm,
        knobs=knobs | {name: json.loads(value) for name, _, value in settings},
        sip_port=given.sip_port,
        log_limit=given.log_limit,
    )


def run() -> None:
    """Read the command line and serve."""
    command = parser()
    given = command.parse_args()
    try:
        main(host=given.host, port=given.port, options=read_options(given))
    except (ValueError, OSError) as error:
        command.error(str(error))


if __name__ == "__main__":
    run()
