"""``--metrics``: where a worker, or a scheduler, answers Prometheus and health checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from worker.commands.context import Context
from worker.commands.screen import echo
from worker.metrics import MetricsServer, Places

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
