"""The page's work: each step is a command of this program in a child process, recorded in the ledger.

The page never does a job itself. A step is claimed in the ledger before its process starts, so that a second
click starts no second one; the process begins only once the ledger has its id, outlives the server, and is
found again by the next one. All that a step achieves is in the ledger, put there by the command.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from worker.errors import Conflict, LedgerError, SiprosterError, UsageError
from worker.importing.job import OF_PAGE, ON_BEHALF_OF
from worker.importing.process_id import interrupt, is_alive, process_id
from worker.ledger import Step, StepState, Upload, is_among
from worker.ledger.uploads import CORRECTIONS, PREFIX
from worker.model import Job, JobState
from worker.reasons import reason_of
from worker.states import Reason, Why
from worker.web.children import UNBOUNDED, Bounds, Child, Ended, failure, interrupted
from worker.web.corrections_file import corrections_file
from worker.web.plan_options import options_of
from worker.web.step_ends import is_done
from worker.web.threads import Threads
from worker.web.turns import Turns
from worker.web.work_site import WorkSite

log = logging.getLogger(__name__)

MOST_MEMORY: Final = 1536 << 20
"""Bytes of memory of a process that reads an uploaded file."""
INSPECT: Final = Bounds(MOST_MEMORY, 120)
PLAN: Final = Bounds(MOST_MEMORY, 3600)
AT_ONCE: Final = 2
"""Processes that read uploaded files at the same time; one for each person, where people sign in."""
_MOST_WAITING: Final = 20
"""Files of one person that wait for their turn; each has a thread."""
_SEEN_EVERY: Final = 30.0
"""Seconds after which a sign of life is recorded of a step that nobody looks after, or that waits."""
_LOST: Final = 180.0
"""Seconds without a sign of life after which a process of another machine is taken for dead."""


Command = Callable[[], Sequence[str]]
"""Returns a command's arguments once its step is claimed."""


@dataclass(frozen=True, slots=True)
class Asker:
    """The person who asks for a step, and the address that they ask from."""

    person: str
    origin: str = ""


class Work:
    """The steps of one server. All methods return at once; ``reap`` finds the ends of earlier servers' steps.

    A step that is at work already is left alone. Raises Conflict if another one is at work on the same upload
    or job, or if it can't be done now; UsageError if the upload was shredded.
    """

    def __init__(
        self, site: WorkSite, *, inspect: Bounds = INSPECT, plan: Bounds = PLAN,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._site = site
        self._ledger = site.ledger
        self._inspect = inspect
        self._plan = plan
        self._environment = os.environ if environment is None else environment
        self._turns = Turns(AT_ONCE, 1 if site.sign_in else AT_ONCE, _MOST_WAITING)
        self._threads = Threads()

    # Uploads

    def inspect(self, upload: Upload, asker: Asker) -> None:
        """Find out how the file is understood: ``plan --columns``, see ``inspection``."""
        self._begin(_step(upload.place, "inspect", asker), self._reading(upload, "--columns"), self._inspect)

    def inspection(self, upload: Upload) -> Mapping[str, Any] | None:
        """Return the JSON of ``plan --columns`` for the upload; None: it was not inspected yet."""
        return self._ledger.steps.results(self._site.seal, upload.place).get("inspect")

    def plan(self, upload: Upload, asker: Asker) -> None:
        """Plan the upload with its settings and corrections; then ``Upload.plan`` is the saved plan."""
        self._begin(_step(upload.place, "plan", asker), self._reading(upload, "--save"), self._plan)

    def planned(self, upload: Upload) -> Mapping[str, Any] | None:
        """Return the JSON of ``plan`` for the upload; None: not known, or outdated."""
        found = self._ledger.steps.results(self._site.seal, upload.place).get("plan")
        return found if found and found.get("plan") == upload.plan else None

    def approve(self, upload: Upload, plan: str, asker: Asker) -> None:
        """Carry out a plan of the upload: exactly the one that the person has seen.

        Raises Conflict if it was planned again since, or, with four eyes, for one of its authors.
        """
        step = replace(_step(upload.place, "approve", asker), arguments={"plan": plan})
        folder = self._new_folder(plan)

        def check() -> None:
            now = self._ledger.uploads.get(upload.id)
            if now.plan != plan or not plan:
                raise _changed()
            self._refuse_authors(now.authors, asker)

        command = ["import", "--plan", plan, "--yes", "--results", str(folder), "--json"]
        self._begin(step, command, UNBOUNDED, check)

    def discard(self, upload: Upload) -> None:
        """Shred the upload, and remove the plans made of it. Raises Conflict while it is worked on."""
        step = self._ledger.steps.get(upload.place)
        if step and step.state is StepState.RUNNING:
            raise _busy(step)
        self._forget_plans(upload, "")
        self._ledger.uploads.shred(upload.id)

    # Jobs

    def approve_plan(self, plan: Job, asker: Asker) -> None:
        """Carry out a saved plan that was not made of an upload: in a terminal, or held back by a guard.

        Raises Conflict for a plan of an upload that was changed since, or, with four eyes, for one of its
        authors, or for the person who made the plan.
        """
        folder = self._new_folder(plan.id)

        def check() -> None:
            upload = self._ledger.uploads.of_job(plan.id)
            if plan.source.startswith(PREFIX) and (upload is None or upload.plan != plan.id):
                raise _changed()
            authors = upload.authors if upload else ()
            self._refuse_authors((*authors, plan.operator.removesuffix(OF_PAGE)), asker)

        command = ["import", "--plan", plan.id, "--yes", "--results", str(folder), "--json"]
        self._begin(_step(_of(plan), "approve", asker), command, UNBOUNDED, check)

    def pause(self, job: Job) -> bool:
        """Let the job's process finish its requests in flight; return whether it runs on this machine."""
        return interrupt(self._ledger.accounts.holder_of(job))

    def report(self, job: Job, asker: Asker) -> None:
        """Write the result files of a job into a folder of the server, such as those of a terminal's job."""
        command = ["report", job.id, "--results", str(self.folder(job)), "--json"]
        self._begin(_step(_of(job), "report", asker), command, UNBOUNDED)

    def resume(self, job: Job, asker: Asker) -> None:
        """Resume a job that was paused, stopped or interrupted."""
        if job.state is JobState.PLANNING:
            raise Conflict(f"job {job.id} was never approved, or is being planned", "plan the upload again")
        command = ["resume", job.id, "--yes", "--results", str(self.folder(job)), "--json"]
        if job.state is not JobState.STOPPED:
            command += _limits(job)
        self._begin(_step(_of(job), "resume", asker), command, UNBOUNDED)

    def retry(self, job: Job, asker: Asker) -> None:
        """Retry the job's rows that are not in place, with the cells that were corrected.

        With four eyes it waits for another person (``approve_step``).
        """
        cells = self._ledger.cells.of(self._site.seal, _of(job))
        authors = tuple(dict.fromkeys([asker.person, *cells.people]))
        step = replace(_step(_of(job), "retry", asker), authors=authors, arguments={"cells": cells.version})
        self._ask_or_begin(step, job)

    def undo(self, job: Job, asker: Asker) -> None:
        """Undo what the job did. With four eyes it waits for another person (``approve_step``)."""
        step = replace(_step(_of(job), "undo", asker), authors=(asker.person,))
        self._ask_or_begin(step, job)

    def pending(self) -> list[Step]:
        """Return the retries and undos that wait for the approval of another person."""
        return self._ledger.steps.in_state(StepState.PENDING)

    def approve_step(self, job: Job, asker: Asker, mark: str) -> None:
        """Approve a pending retry or undo of the job: exactly the one (``Step.mark``) that the person saw.

        Raises Conflict for one of its authors, and if another one waits now.
        """
        step = self._ledger.steps.get(_of(job))
        if step is None or step.state is not StepState.PENDING or step.mark != mark:
            raise Conflict(f"it is not what waits for approval about job {job.id} now", "reload the page")
        cells = self._ledger.cells.of(self._site.seal, _of(job))
        self._refuse_authors((*step.authors, *cells.people), asker)
        if step.step == "retry" and step.arguments.get("cells", "") != cells.version:
            raise _corrected_since()
        with self._threads.claiming(step.subject):
            if self._ledger.steps.start(step, process_id()):
                begun = replace(step, person=asker.person, origin=asker.origin)
                self._start(begun, lambda: self._command_of(begun, job), UNBOUNDED)

    def withdraw(self, job: Job) -> None:
        """Remove a pending retry or undo of the job."""
        self._ledger.steps.withdraw(_of(job))

    def cancel(self, job: Job, asker: Asker) -> None:
        """Cancel the job: requests in flight finish, the rest stays unprocessed."""
        self._begin(_step(f"cancel:{job.id}", "cancel", asker), ["cancel", job.id, "--json"], UNBOUNDED)

    def schedule(self, name: str, action: str, asker: Asker) -> None:
        """Run, pause or resume a schedule. ``action``: ``run``, ``pause`` or ``resume``."""
        if action not in ("run", "pause", "resume"):
            raise UsageError(f"{action} can't be done with a schedule", "run, pause or resume")
        command = ["schedule", action, name, "--json"]
        self._begin(_step(f"schedule:{name}", action, asker), command, UNBOUNDED)

    def step(self, subject: str) -> Step | None:
        """Return the last step of ``upload:ID``, ``job:ID``, ``cancel:ID`` or ``schedule:NAME``."""
        return self._ledger.steps.get(subject)

    def folder(self, job: Job) -> Path:
        """Return the folder of the job's result files: its own if the page's server can find it."""
        own = Path(job.options.results) if job.options.results else None
        return own if own and own.is_absolute() else self._site.results / job.id

    def reap(self) -> None:
        """End the steps whose process is gone: of a server that was killed, or lost the ledger.

        Steps of this machine that are at work are seen alive: servers on other machines go by that.
        """
        now = self._ledger.steps.now()
        for step in self._ledger.steps.in_state(StepState.RUNNING):
            if not self._is_at_work(step, now):
                self._settle(
                    step, step.child, Ended(None, None if is_done(self._ledger, step) else interrupted())
                )
            elif _is_here(step) and now - step.seen > _SEEN_EVERY:
                self._saw(step.subject, step.child)

    def wait(self, subject: str, seconds: float | None = None) -> None:
        """Wait until a step that this server has begun has ended."""
        self._threads.wait(subject, seconds)

    # How a step is carried out

    def _begin(
        self, step: Step, command: Command | Sequence[str], bounds: Bounds,
        check: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """Claim a step and start its process, unless the same one is at work."""
        self.reap()
        with self._threads.claiming(step.subject):
            if not self._ledger.steps.claim(replace(step, server=process_id())):
                at_work = self._ledger.steps.get(step.subject)
                if at_work and at_work.step != step.step:
                    raise _busy(at_work)
                return
            if check:
                try:
                    check()
                except SiprosterError as error:
                    self._end_with(step, error)
                    raise
            self._start(step, command if callable(command) else lambda: command, bounds)

    def _ask_or_begin(self, step: Step, job: Job) -> None:
        if not self._site.four_eyes:
            self._begin(step, partial(self._command_of, step, job), UNBOUNDED)
            return
        self.reap()
        before = self._ledger.steps.get(step.subject)
        if not self._ledger.steps.claim(replace(step, state=StepState.PENDING)) and before:
            raise _busy(before)

    def _command_of(self, step: Step, job: Job) -> list[str]:
        """Return the command of a retry or undo."""
        if step.step == "undo":
            return ["undo", job.id, "--yes", "--results", str(self.folder(job)), "--json"]
        folder = self._new_folder(f"{job.id}-retry")
        command = ["retry", job.id, "--yes", "--results", str(folder), "--json"]
        corrections = self._corrections(job, step)
        return [*command, "--corrections", corrections.place] if corrections else command

    def _start(self, step: Step, command: Command, bounds: Bounds) -> None:
        self._threads.start(step.subject, partial(self._carry_out, step, command, bounds))

    def _carry_out(self, step: Step, command: Command, bounds: Bounds) -> None:
        """Run a step's process and settle its end; if the ledger is away, ``reap`` does that later.

        An error before the process began is the step's.
        """
        try:
            if bounds == UNBOUNDED:
                self._run(step, command(), bounds)
            else:
                with self._turns.turn(step.person):
                    self._run(step, command(), bounds)
        except LedgerError as error:
            log.warning("%s of %s: %s", step.step, step.subject, error.message)
        except SiprosterError as error:
            self._end_with(step, error)
        except OSError as error:
            why = f"its process could not be started: {reason_of(error)}"
            self._end_with(step, UsageError(why, "ask the administrator of this page"))

    def _end_with(self, step: Step, error: SiprosterError) -> None:
        """End a step whose process did not begin."""
        error_facts = failure(error.kind, error.message, error.hint, error.exit_code)
        self._ledger.steps.end(self._site.seal, step.subject, process_id(), error=error_facts)

    def _run(self, step: Step, command: Sequence[str], bounds: Bounds) -> None:
        steps, subject = self._ledger.steps, step.subject
        child = Child([*command, *self._site.arguments], bounds, self._environment_of(step, bounds))
        try:
            mine = steps.hand_over(subject, process_id(), child.id)
        except BaseException:
            child.drop()
            raise
        if not mine:
            child.drop()
            return
        child.go()
        self._settle(step, child.id, child.wait(lambda: self._saw(subject, child.id)))
        if step.step == "retry" and (corrections := self._ledger.uploads.named(command[-1])):
            self._ledger.uploads.shred(corrections.id)

    def _saw(self, subject: str, child: str) -> None:
        try:
            self._ledger.steps.heartbeat(subject, child)
        except LedgerError as error:
            log.warning("%s: %s", subject, error.message)

    def _environment_of(self, step: Step, bounds: Bounds) -> dict[str, str]:
        who = json.dumps({"person": step.person, "origin": step.origin})
        bound = {"MALLOC_ARENA_MAX": "2"} if bounds.memory else {}  # each arena reserves 64 MiB of addresses
        return {**self._environment, **bound, ON_BEHALF_OF: who}

    def _settle(self, step: Step, child: str, end: Ended) -> None:
        """Record the end of a step's process, and what follows from it."""
        error = end.error
        if step.subject.startswith("upload:"):
            if step.step == "plan" and not error:
                upload = self._ledger.uploads.get(step.subject.removeprefix("upload:"))
                error = None if upload.plan else _changed_meanwhile()
                self._forget_plans(upload, upload.plan)
            if step.step == "approve":
                self._ledger.chunks.shred_expired()
        if step.step == "retry" and (not error or is_done(self._ledger, step)):
            self._ledger.cells.forget(step.subject)
        results = {step.step: end.facts} if end.facts is not None else None
        self._ledger.steps.end(self._site.seal, step.subject, child, error=error, results=results)

    def _is_at_work(self, step: Step, now: float) -> bool:
        if self._threads.look_after(step.subject):
            return True  # perhaps its process has just ended, and its thread is about to record how
        if not _is_here(step):
            return now - step.seen < _LOST
        if step.server != process_id() and is_alive(step.server):
            return True  # the same in another server's thread
        return step.begun and is_alive(step.child)

    def _reading(self, upload: Upload, option: str) -> list[str]:
        if upload.shredded or upload.job:
            raise Conflict(f"upload {upload.id} was carried out or discarded", "upload the file again")
        return ["plan", upload.place, option, *options_of(upload.settings), "--json"]

    def _refuse_authors(self, authors: Sequence[str], asker: Asker) -> None:
        if self._site.four_eyes and is_among(asker.person, authors):
            raise Conflict(
                f"{asker.person} has uploaded, corrected or asked for it, so somebody else has to approve it",
                "ask a person with the role approve",
            )

    def _new_folder(self, name: str) -> Path:
        """Return the folder for a new job's results; a name of its own for each retry of one job."""
        folder, number = self._site.results / name, 2
        while name.endswith("-retry") and folder.exists():
            folder, number = self._site.results / f"{name}-{number}", number + 1
        return folder

    def _forget_plans(self, upload: Upload, but: str) -> None:
        """Remove plans of the upload that were replaced, unless somebody is carrying them out."""
        for plan in self._ledger.uploads.plans(upload.id):
            if plan != but and self._ledger.jobs.stop(plan, Why(Reason.CANCELLED, "it was planned again")):
                self._ledger.jobs.forget(plan)

    def _corrections(self, job: Job, step: Step) -> Upload | None:
        """Return the corrected cells of the job as its failed.csv, which is in the ledger alone.

        Raises Conflict if they are not those that were asked for, and perhaps approved.
        """
        cells = self._ledger.cells.of(self._site.seal, _of(job))
        if step.arguments.get("cells", "") != cells.version:
            raise _corrected_since()
        if not cells.cells:
            return None
        text = corrections_file(self._ledger, self._site.seal, job, cells.by_line)
        with self._ledger.uploads.receive(
            self._site.seal, step.person, "corrections.csv", CORRECTIONS
        ) as file:
            file.write(text.encode())
        return file.upload


def _step(subject: str, step: str, asker: Asker) -> Step:
    return Step(subject, step, asker.person, asker.origin)


def _is_here(step: Step) -> bool:
    """Return whether the step's processes are on this machine."""
    return step.server.rpartition(":")[0] == process_id().rpartition(":")[0]


def _of(job: Job) -> str:
    return f"job:{job.id}"


def _limits(job: Job) -> list[str]:
    """Return the job's limits as options, which hold even if one of them stops the job meanwhile.

    ``resume`` lifts the limit that stopped a job, which takes an approval.
    """
    limits = {"--max-failed": job.options.max_failed, "--not-after": job.options.not_after}
    return [f"{option}={limit}" for option, limit in limits.items() if limit]


def _busy(step: Step) -> Conflict:
    return Conflict(f"{step.step} is at work on {step.subject.replace(':', ' ')}", "wait until it has ended")


def _changed() -> Conflict:
    return Conflict("the upload was changed since it was planned", "plan it again")


def _corrected_since() -> Conflict:
    return Conflict("its corrections were changed since it was asked for", "ask for the retry again")


def _changed_meanwhile() -> dict[str, Any]:
    return failure("conflict", "the upload was changed while it was planned", "plan it again", 4)
