"""A server of the page that does nothing but begin a step, as a process of its own, to be killed.

``python -m tests.integration.page_server LEDGER RESULTS STEP UPLOAD`` prints a line once the step has begun,
and sleeps. ``STEP``: ``inspect``, ``plan``, ``approve``; or ``prepare``: a process that isn't let go.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.unit.jobs import KEY
from worker.ledger import Ledger, StepState
from worker.seal import Seal
from worker.web.children import UNBOUNDED, Child
from worker.web.work import Asker, Work

DANA = Asker("dana", "192.0.2.7")
ERIN = Asker("erin", "192.0.2.8")


@dataclass(frozen=True)
class Office:
    """The facts about a server that its work needs."""

    ledger: Ledger
    seal: Seal
    results: Path
    arguments: tuple[str, ...] = ()
    sign_in: bool = True
    four_eyes: bool = False


def office(url: str, results: str | Path, *, four_eyes: bool = False) -> Office:
    """A server's facts, with a connection to the ledger of its own."""
    return Office(Ledger(url), Seal([KEY]), Path(results), four_eyes=four_eyes)


def main() -> None:
    """Begin the step and wait to be killed."""
    url, results, step, id_ = sys.argv[1:]
    site = office(url, results)
    work, upload = Work(site), site.ledger.uploads.get(id_)
    if step == "prepare":
        print(Child(["plan", upload.place, "--save"], UNBOUNDED, os.environ).id, flush=True)
    elif step == "approve":
        work.approve(upload, upload.plan, ERIN)
    else:
        getattr(work, step)(upload, DANA)
    while step != "prepare" and _waits(site, upload.place):
        time.sleep(0.02)
    print("begun", flush=True)
    time.sleep(600)


def _waits(site: Office, subject: str) -> bool:
    """Whether the step's process has yet to begin."""
    step = site.ledger.steps.get(subject)
    return step is not None and step.state is StepState.RUNNING and not step.begun


if __name__ == "__main__":
    main()
