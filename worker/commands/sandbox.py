"""``sandbox``: starts the stand-in for the API, with the options that people need."""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from worker.errors import UsageError
from worker.sandbox import Options, main


@click.command("sandbox")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True,
              help="Address to listen on.")  # fmt: skip
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), default=8321, show_default=True,
              help="Port to listen on; 0 chooses a free one.")  # fmt: skip
@click.option("--sip-port", metavar="N", type=click.IntRange(0, 65535),
              help="Also run a SIP registrar on this port; 0 chooses a free one."
                   "  [default: none]")  # fmt: skip
@click.option("--account", "accounts", metavar="ID", multiple=True,
              help="Account to serve (repeatable).  [default: 9900001]")  # fmt: skip
@click.option("--realm", "realms", metavar="NAME", multiple=True,
              help="Initial realm; the first is the default (repeatable).  [default: office]")  # fmt: skip
@click.option("--knobs", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="JSON file of knobs, which control how the sandbox behaves.")  # fmt: skip
@click.option("--knob", metavar="NAME=JSON", multiple=True,
              help="A single knob, such as latency=0.2 (repeatable).")  # fmt: skip
@click.option("--with-stdin", is_flag=True,
              help="Stop when stdin is closed, for example because the parent process died.")  # fmt: skip
def sandbox(host: str, port: int, with_stdin: bool, **given: Any) -> None:
    """Run a local stand-in for the API, until Ctrl-C.

    It keeps everything in memory and misbehaves on demand: its knobs, log and contents are under /_sandbox/.
    """
    if with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        options = _options(**given)
        main(host=host, port=port, options=options, announce=partial(_announce, options))
    except ValueError as error:
        raise UsageError(str(error), "`siproster sandbox --help` lists the options") from None
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # the address follows, which is said already
        ports = f"{port}" if given["sip_port"] is None else f"{port} or {given['sip_port']}"
        raise UsageError(
            f"{host}:{ports} can't be used: {reason}",
            "is a sandbox running already? Use that one, or choose another port: --port 0 takes a free one",
        ) from None


def _options(
    accounts: tuple[str, ...], realms: tuple[str, ...], knobs: Path | None, knob: tuple[str, ...],
    sip_port: int | None,
) -> Options:  # fmt: skip
    usual = Options()
    settings = json.loads(knobs.read_text("utf-8")) if knobs else {}
    if not isinstance(settings, dict):
        raise ValueError(f"{knobs}: must be a JSON object of knobs and their values")
    for name, _, value in (one.partition("=") for one in knob):
        try:
            settings[name] = json.loads(value)
        except ValueError:
            raise ValueError(f"--knob {name}: {value!r} is not JSON") from None
    return Options(
        accounts=accounts or usual.accounts, realms=realms or usual.realms, knobs=settings, sip_port=sip_port
    )


def _announce(options: Options, url: str, registrar: str) -> None:
    """Print the sandbox's URL and the settings that point the program at it."""
    click.echo(f"sandbox ready at {url}")
    click.echo(f"  export BW_API_URL={url} BW_VOICE_URL={url} BW_ACCOUNT_ID={options.accounts[0]}")
    click.echo(f"  export BW_CLIENT_ID={options.client_id} BW_CLIENT_SECRET={options.client_secret}")
    if registrar:
        click.echo(f"  SIP registrar, UDP and TCP: {registrar}")


def _end_with_stdin() -> None:
    # Not sys.stdin: its lock, held by this thread, would abort the interpreter at exit.
    with suppress(OSError):  # a stdin that was closed from the start has ended, too
        while os.read(0, 4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
