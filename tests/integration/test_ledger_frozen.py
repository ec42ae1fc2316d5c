"""A worker that stops in the middle of a transaction: its process is frozen, or its host has vanished."""

from __future__ import annotations

from contextlib import ExitStack, closing

import pytest
from sqlalchemy import text

from tests.unit.jobs import make_chunk_row, start_job
from worker.errors import LedgerError
from worker.ledger import Ledger


def test_a_worker_frozen_in_a_transaction_holds_nobody_up(postgres_url: str) -> None:
    """The sweep gets past the locks of a worker that froze within a transaction, which is then refused.

    Guard: ``_LONGEST_PAUSE`` (idle_in_transaction_session_timeout) of the ledger's connections; without it
    the sweep waits for ever.
    """
    with closing(Ledger(postgres_url)) as frozen, closing(Ledger(postgres_url)) as others:
        job = start_job(frozen, [make_chunk_row(2)])
        assert frozen.chunks.claim(job.id, 0, "host:1", lease=0.0)
        transaction = ExitStack()
        transaction.enter_context(frozen.store.begin()).execute(text("UPDATE chunks SET away = 0"))
        assert others.chunks.due(job.id, idle=True) == [0]
        with pytest.raises(LedgerError, match="idle-in-transaction"):
            transaction.close()
