"""Monitoring of workers, schedulers and scheduled runs: ``--metrics`` and logs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from worker.commands.context import Context
from worker.commands.log_output import log_format_option, set_up_log
from worker.commands.options import running_options
from worker.commands.screen import echo
from worker.logs import about
from worker.metrics import MetricsServer, Places
from worker.metrics.counts import begin_counting

F = TypeVar("F", bound=Callable[..., Any])

Address = tuple[str, int]


class _Address(click.ParamType[Address]):
    """``[HOST:]PORT``, with an IPv6 address in brackets."""

    name = "[HOST:]PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        host, colon, port = str(value).rpartition(":")
        if not (port.isascii() and port.isdigit() and int(port) < 65536) or (colon and not host):
            self.fail(f"{value!r} is neither PORT nor HOST:PORT", param, ctx)
        return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def metrics_option(command: F) -> F:
    """Add ``--metrics``."""
    return click.option(
        "--metrics", metavar="[HOST:]PORT", type=_Address(),
        help="Answer /metrics (Prometheus), /health and /ready there.  [host: 127.0.0.1]",
    )(command)  # fmt: skip


@contextmanager
def metrics_server(
    address: Address | None, context: Context, identity: str, accounts: Sequence[str], *, pool: bool
) -> Iterator[MetricsServer | None]:
    """Run the metrics server during the block, if there is an address. Raises UsageError if it is taken.

    ``identity``: the ledger's, or its first 8 characters, which names on the broker have.
    """
    if address is None:
        yield None
        return
    settings = context.settings
    server = MetricsServer(*address, Places(settings.ledger, settings.broker, identity, accounts, pool))
    echo(f"  metrics  {server.url}/metrics")
    try:
        yield server
    finally:
        server.stop()


def run_options(command: F) -> F:
    """Add the options that a scheduler passes to a run, and those of commands that run for long."""
    slot = click.option(
        "--slot", metavar="EPOCH", type=float, hidden=True, help="The claimed run that is carried out."
    )
    counts = click.option(
        "--counts", metavar="FILE", type=click.Path(path_type=Path), hidden=True,
        help="The file of the scheduler's metrics that this run counts into.",
    )  # fmt: skip
    return slot(counts(log_format_option(running_options(command))))


@contextmanager
def monitored(
    schedule: str, counts: Path | None, given: Mapping[str, Any], *, started_by_scheduler: bool
) -> Iterator[Context]:
    """Yield the context of a run; its log lines name the schedule, and its scheduler's metrics count it."""
    if counts:
        begin_counting(counts.parent, counts.name)
    with about(schedule=schedule):
        context = Context(given)
        if started_by_scheduler:
            set_up_log(logging.DEBUG if given["debug"] else logging.INFO, given)
        yield context
