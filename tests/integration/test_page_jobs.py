"""The page of a job: what it offers is what works, and it says what to do about the rest."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

from tests.integration.page import PageServer
from tests.unit.jobs import start_job
from worker.importing.process_id import process_id_of
from worker.importing.sweep import SWEEPER
from worker.ledger import Role


def test_pause_is_offered_where_it_works(tmp_path: Path) -> None:
    """A process of this machine is interrupted; for one elsewhere, or workers, the page has the command."""
    page = PageServer(tmp_path)
    sleeping = subprocess.Popen(["sleep", "600"])
    try:
        abel, job = page.visitor(Role.APPROVE), start_job(page.ledger, host=page.site.host)
        here = f"/jobs/{job.id}"
        for holder, told in (
            ("elsewhere:30587.12", "process 30587 on elsewhere works on it.*<code>kill 30587</code>"),
            (SWEEPER, f"Workers carry this job out.*<code>siproster cancel {job.id}</code>"),
            (process_id_of(sleeping.pid), ""),
        ):
            page.ledger.accounts.hand_over(job.id, holder)
            shown = abel.get(here).text
            assert (f'action="{here}/pause"' in shown) is not bool(told), holder
            assert f'action="{here}/cancel"' in shown
            assert bool(re.search(told or "can.t be paused", shown)) is bool(told)
            assert abel.submit(f"{here}/pause").status_code == (409 if told else 303)
        assert sleeping.wait(60) == -signal.SIGTERM
    finally:
        sleeping.kill()
        sleeping.wait()
        page.stop()
