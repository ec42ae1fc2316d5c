"""Pages of jobs and uploads at work: what they offer is what works, and they say what they wait for."""

from __future__ import annotations

import html
import re
import signal
import subprocess
from pathlib import Path

from tests.integration.page import PageServer
from tests.unit.jobs import start_job
from worker.importing.process_id import process_id_of
from worker.importing.sweep import SWEEPER
from worker.ledger import Role, Step


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


def test_what_waits_for_its_turn_says_so(tmp_path: Path) -> None:
    """An upload names the person whose other file is read first; others' count once all turns are taken."""
    page = PageServer(tmp_path)
    sleeping = subprocess.Popen(["sleep", "600"])
    server = process_id_of(sleeping.pid)  # another one of this machine
    visitors = {role.value: page.visitor(role) for role in Role}

    def waits(person: str, *, begun: bool) -> str:
        address = visitors[person].upload("a.csv", b"a,b\n").headers["location"]
        place = address.replace("/uploads/", "upload:")
        assert page.ledger.steps.claim(Step(place, "plan", person, server=server))
        assert not begun or page.ledger.steps.hand_over(place, server, f"{server}1")
        shown = visitors[person].get(f"{address}/plan").text
        return html.unescape(shown.partition('data-fact="waits">')[2].partition("<")[0])

    try:
        assert waits("upload", begun=True) == ""
        assert waits("upload", begun=False) == "Waiting until upload's other file has been read."
        assert waits("approve", begun=False) == ""
        assert waits("approve", begun=True) == ""
        assert waits("admin", begun=False) == "Waiting until other people's files have been read."
    finally:
        sleeping.kill()
        sleeping.wait()
        page.stop()
