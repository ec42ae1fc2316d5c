"""Tidy up once a minute, even if nobody uses the page: ends of steps, shredding, sessions that ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import SiprosterError, place_of
from worker.web.site import Site
from worker.web.work import Work

log = logging.getLogger(__name__)

EVERY = 60.0


def tidy(site: Site, work: Work) -> None:
    """Record what child processes have ended with, shred what has expired, and forget sessions that ended."""
    work.reap()
    site.ledger.chunks.shred_expired()
    site.ledger.page_sessions.delete_expired(site.bounds.idle_seconds)


@contextmanager
def tidied(site: Site, work: Work, every: float = EVERY) -> Iterator[None]:
    """Tidy every so many seconds during the block, in a thread, whatever fails."""
    over = threading.Event()

    def loop() -> None:
        while True:
            try:
                tidy(site, work)
            except SiprosterError as error:
                log.error("%s; tried again in a minute", error.message)
            except Exception as error:  # a bug here must not end it: uploads would not be shredded
                log.error("%s; tried again in a minute", place_of(error))
            if over.wait(every):
                return

    thread = threading.Thread(target=loop, name="housekeeping", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
