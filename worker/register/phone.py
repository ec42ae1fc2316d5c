"""A phone that stays registered for a while; it takes no calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from worker.register.dialog import Dialog
from worker.register.options import RegisterOptions
from worker.register.registrar import Registrar
from worker.register.result import Entry, RegisterResult


@contextmanager
def registered(entry: Entry, options: RegisterOptions) -> Iterator[RegisterResult]:
    """Register as the user's phone during the block, at most for a minute, and yield the result.

    Raises ValueError if a text is not valid Unicode.
    """
    bound = replace(options, with_contact=True)
    with asyncio.Runner() as runner:
        registrar = Registrar(entry.host, bound)
        dialog = Dialog(registrar, entry, bound)
        try:
            yield runner.run(dialog.bind())
        finally:
            runner.run(dialog.unbind())
            runner.run(registrar.close())
