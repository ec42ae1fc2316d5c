"""The page's work: real children against the sandbox, a server that is killed at any moment, two people."""

from __future__ import annotations

import base64
import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.page import until
from tests.integration.page_server import DANA, ERIN, Office, office
from tests.program import CLI, INHERITED
from tests.sandbox import Sandbox
from tests.unit.jobs import KEY, Clock
from worker.errors import Conflict, UsageError
from worker.importing.process_id import is_alive, process_id_of
from worker.ledger import CellCorrection, Ledger, Step, StepState, Upload
from worker.model import Job, JobState, Status
from worker.seal import Seal
from worker.web.children import Bounds, Child
from worker.web.plan_options import options_of
from worker.web.rows import Query, RowTables
from worker.web.work import Work

Servers = Callable[[str, Upload], subprocess.Popen[str]]

GOOD = "Tb7xQ2mK9rL4vN8s"
OTHER = "Ub7xQ2mK9rL4vN8s"
GONE = {"probability": 1.0}
ROSTER = f"Extension,SIP Secret,Site\n100,{GOOD},A\n101,{OTHER},A\n,{GOOD}1,B\n"


@pytest.fixture
def environment(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """The variables of the server and its children."""
    return {
        **INHERITED, **sandbox.environment(), "HOME": str(tmp_path), "LANG": "C.UTF-8",
        "SIPROSTER_LEDGER": f"sqlite:///{tmp_path}/ledger.db", "PYTHONPATH": str(CLI.parent),
        "SIPROSTER_KEY": base64.urlsafe_b64encode(KEY).decode(),
    }  # fmt: skip


@pytest.fixture
def site(environment: dict[str, str], tmp_path: Path) -> Iterator[Office]:
    """A server's facts."""
    site = office(environment["SIPROSTER_LEDGER"], tmp_path / "results")
    with closing(site.ledger):
        yield site


@pytest.fixture
def work(site: Office, environment: dict[str, str]) -> Work:
    """The server's work."""
    return Work(site, environment=environment)


def upload(site: Office, content: str = ROSTER, name: str = "staff.csv") -> Upload:
    """Give the page a file."""
    with site.ledger.uploads.receive(site.seal, "dana", name) as receiving:
        receiving.write(content.encode())
    assert receiving.upload
    return receiving.upload


def again(site: Office, one: Upload) -> Upload:
    """The upload as it is now."""
    return site.ledger.uploads.get(one.id)


def planned(work: Work, site: Office, one: Upload) -> Upload:
    """Plan it."""
    work.plan(one, DANA)
    work.wait(one.place)
    now = again(site, one)
    assert now.error is None
    return now


def mark(work: Work, job: Job) -> str:
    """What the page of the job says when it asks for an approval."""
    step = work.step(f"job:{job.id}")
    return step.mark if step else ""


def approved(work: Work, site: Office, one: Upload) -> Job:
    """Carry its plan out, and return the job."""
    work.approve(one, one.plan, ERIN)
    work.wait(one.place)
    now = again(site, one)
    assert now.error is None
    return site.ledger.jobs.get(now.job)


def test_from_the_file_to_its_results(site: Office, work: Work, sandbox: Sandbox) -> None:
    """Inspected, planned, corrected, planned again, approved: every row is in place, the file shredded."""
    one = upload(site)
    work.inspect(one, DANA)
    work.wait(one.place)
    inspection = work.inspection(one)
    assert inspection
    assert [column["field"] for column in inspection["columns"]] == ["username", "password", ""]
    first = planned(work, site, one)
    facts = work.planned(first)
    assert facts
    assert (facts["counts"], facts["plan"]) == ({"create": 2, "invalid": 1}, first.plan)
    rows = RowTables(site.ledger, site.seal)
    (bad,) = rows.show(site.ledger.jobs.get(first.plan), Query(troubled=True)).rows
    assert (bad.line, bad.status, bad.codes, bad.correctable) == (4, "invalid", ("username_missing",), True)
    site.ledger.cells.correct(site.seal, one.place, CellCorrection(4, "Extension", "102", "dana"))
    assert again(site, one).plan == ""
    second = planned(work, site, again(site, one))
    assert site.ledger.uploads.plans(one.id) == [second.plan]  # the one that it replaces is gone
    with pytest.raises(Conflict, match="was changed since"):
        work.approve(one, first.plan, ERIN)
    job = approved(work, site, second)
    assert (job.state, job.operator, job.parent) == (JobState.DONE, "erin (page)", second.plan)
    assert sorted(sandbox.digests()) == ["100", "101", "102"]
    folder = work.folder(job)
    assert folder.parent == site.results
    assert (folder / "results.csv").read_text("utf-8").count(",created,") == 3
    assert folder.stat().st_mode & 0o777 == 0o700
    assert again(site, one).shredded
    audit = [(act.operator, act.origin, act.command) for _, act in site.ledger.audit.newest(3)]
    assert audit[0] == ("erin (page)", "192.0.2.8", "import")
    assert audit[1] == ("dana (page)", "192.0.2.7", "plan")
    assert site.ledger.uploads.of_job(job.id) == again(site, one)


def test_settings_and_a_file_that_does_not_open(site: Office, work: Work) -> None:
    """What decides is in the inspection; the plan has the error; a setting that answers it helps."""
    one = upload(site, f"Extension,Kode,Site\n100,{GOOD},A\n101,{OTHER},A\n")
    work.inspect(one, DANA)
    work.wait(one.place)
    inspection = work.inspection(one)
    assert inspection
    assert "--map password=" in inspection["error"]["hint"]
    work.plan(one, DANA)
    work.wait(one.place)
    error = again(site, one).error
    assert error
    assert (error["exit"], "no password column" in error["message"]) == (6, True)
    site.ledger.uploads.set_settings(one.id, {"map": ["password=Kode"]}, "dana")
    assert planned(work, site, again(site, one)).plan


def test_a_second_click_starts_no_second_process(site: Office, work: Work, sandbox: Sandbox) -> None:
    """While a step is at work the same one begins no other, and another step is refused."""
    one = upload(site)
    sandbox.knobs(latency=0.5)  # so that it takes longer than the clicks
    for _ in range(3):
        work.plan(one, DANA)
    with pytest.raises(Conflict, match="plan is at work"):
        work.inspect(one, DANA)
    with pytest.raises(Conflict, match="plan is at work"):
        work.discard(one)
    sandbox.knobs(latency=0.0)
    work.wait(one.place)
    assert len(site.ledger.jobs.newest()) == 1
    work.discard(again(site, one))
    assert site.ledger.jobs.newest() == []
    with pytest.raises(Conflict, match="carried out or discarded"):
        work.plan(again(site, one), DANA)


def test_what_is_bounded(site: Office, environment: dict[str, str], sandbox: Sandbox) -> None:
    """A child that takes too much memory or too long is ended with an error that says what to do."""
    lines = "".join(f"{number},{GOOD},{'y' * 130_000}\n" for number in range(400))  # 52 MB, a page at once
    packed = gzip.compress(f"username,password,note\n{lines}".encode(), 1)
    with site.ledger.uploads.receive(site.seal, "dana", "staff.csv.gz") as receiving:
        receiving.write(packed)
    one = receiving.upload
    assert one
    small = Work(
        site, inspect=Bounds(memory=110 << 20, seconds=300), plan=Bounds(seconds=1), environment=environment
    )
    small.inspect(one, DANA)
    small.wait(one.place)
    error = again(site, one).error
    assert error
    assert (error["code"], "110 MiB" in error["message"]) == ("too_large", True)
    sandbox.knobs(latency=30.0)
    small.plan(one, DANA)
    small.wait(one.place)
    error = again(site, one).error
    assert error
    assert (error["code"], again(site, one).plan) == ("too_long", "")


def test_nobody_keeps_others_from_reading(site: Office, work: Work, sandbox: Sandbox) -> None:
    """While a person's file takes its time their next one waits, and that of somebody else is read."""
    slow, next_one, other = (upload(site) for _ in range(3))
    sandbox.knobs(latency=30.0)
    work.plan(slow, DANA)
    until(lambda: begun(site, slow))
    work.plan(next_one, DANA)
    work.inspect(other, ERIN)
    work.wait(other.place)
    assert work.inspection(other)
    assert begun(site, slow)
    assert not begun(site, next_one)
    sandbox.knobs(latency=0.0)
    kill_child(site, slow)
    work.wait(next_one.place)
    assert again(site, next_one).plan


def begun(site: Office, one: Upload) -> bool:
    """Whether the process of an upload's step is at work."""
    step = site.ledger.steps.get(one.place)
    return step is not None and step.state is StepState.RUNNING and step.begun


def kill_child(site: Office, one: Upload) -> None:
    """Kill the process of an upload's step."""
    os.killpg(int(again(site, one).child.rpartition(":")[2].partition(".")[0]), signal.SIGKILL)


def test_four_eyes(environment: dict[str, str], tmp_path: Path, sandbox: Sandbox) -> None:
    """Nobody approves what they uploaded, corrected or asked for; another person does."""
    site = office(environment["SIPROSTER_LEDGER"], tmp_path / "results", four_eyes=True)
    work = Work(site, environment=environment)
    one = upload(site)
    site.ledger.cells.correct(site.seal, one.place, CellCorrection(4, "Site", "C", "frank"))
    now = planned(work, site, again(site, one))
    for person in (DANA, type(DANA)("frank"), type(DANA)("Dana")):  # removed, and added again as Dana
        with pytest.raises(Conflict, match="somebody else has to approve"):
            work.approve(now, now.plan, person)
    job = approved(work, site, again(site, one))
    assert site.ledger.rows.counts(job.id, job.rows) == {Status.CREATED: 2, Status.INVALID: 1}
    site.ledger.cells.correct(site.seal, f"job:{job.id}", CellCorrection(4, "Extension", "102", "dana"))
    work.retry(job, ERIN)
    assert [step.step for step in work.pending()] == ["retry"]
    for person in (DANA, ERIN):
        with pytest.raises(Conflict, match="somebody else has to approve"):
            work.approve_step(job, person, mark(work, job))
    site.ledger.cells.correct(site.seal, f"job:{job.id}", CellCorrection(4, "Site", "D", "dana"))
    with pytest.raises(Conflict, match="changed since"):
        work.approve_step(job, type(DANA)("gina"), mark(work, job))
    work.retry(job, ERIN)
    work.approve_step(job, type(DANA)("gina"), mark(work, job))
    work.wait(f"job:{job.id}")
    step = work.step(f"job:{job.id}")
    assert step
    assert (step.state, step.error) == (StepState.ENDED, None)
    assert sorted(sandbox.digests()) == ["100", "101", "102"]
    assert site.ledger.cells.of(site.seal, f"job:{job.id}").cells == []
    retried = site.ledger.jobs.get(site.ledger.jobs.newest()[0])
    assert (retried.parent, retried.operator) == (job.id, "gina (page)")
    with site.ledger.store.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM upload_blocks").scalar_one() == 0
    work.retry(retried, DANA)
    work.approve_step(retried, ERIN, mark(work, retried))
    work.wait(f"job:{retried.id}")
    step = work.step(f"job:{retried.id}")
    assert step
    assert (step.state, step.error) == (StepState.ENDED, None)
    assert site.ledger.jobs.children(retried.id) == []  # all its rows are in place
    work.retry(retried, DANA)
    seen = mark(work, retried)
    work.withdraw(retried)
    work.undo(retried, DANA)
    with pytest.raises(Conflict, match="not what waits for approval"):
        work.approve_step(retried, ERIN, seen)
    with pytest.raises(Conflict):
        work.approve_step(retried, DANA, mark(work, retried))
    work.approve_step(retried, ERIN, mark(work, retried))
    work.wait(f"job:{retried.id}")
    assert sorted(sandbox.digests()) == ["100", "101"]


def test_four_eyes_for_other_plans(environment: dict[str, str], tmp_path: Path, sandbox: Sandbox) -> None:
    """Neither an outdated plan of an upload nor one's own plan gets around the four eyes."""
    site = office(environment["SIPROSTER_LEDGER"], tmp_path / "results", four_eyes=True)
    work = Work(site, environment=environment)
    one = planned(work, site, upload(site))
    plan = site.ledger.jobs.get(one.plan)
    with pytest.raises(Conflict, match="somebody else has to approve"):
        work.approve_plan(plan, DANA)
    site.ledger.uploads.set_settings(one.id, {"limit": 1}, "frank")
    with pytest.raises(Conflict, match="was changed since"):
        work.approve_plan(plan, ERIN)
    work.cancel(plan, DANA)
    work.schedule("nightly", "pause", ERIN)
    work.wait(f"cancel:{plan.id}")
    work.wait("schedule:nightly")
    assert site.ledger.jobs.state(plan.id) is JobState.CANCELLED
    step = work.step("schedule:nightly")
    assert step
    assert step.error
    assert (step.error["code"], step.error["exit"]) == ("not_found", 3)
    assert sandbox.log("POST", "/sipcredentials") == []


@pytest.fixture
def server(environment: dict[str, str], tmp_path: Path) -> Iterator[Servers]:
    """Start a server that begins a step of an upload, and return it once it has."""
    started: list[subprocess.Popen[str]] = []

    def start(step: str, one: Upload) -> subprocess.Popen[str]:
        url, results = environment["SIPROSTER_LEDGER"], str(tmp_path / "results")
        command = [sys.executable, "-m", "tests.integration.page_server", url, results, step, one.id]
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def kill(process: subprocess.Popen[str]) -> list[str]:
    """Kill a server once its step has begun, and return what it printed before."""
    assert process.stdout
    lines = []
    while (line := process.stdout.readline().strip()) != "begun":
        assert line, "it has died before"
        lines.append(line)
    process.kill()
    process.wait()
    return lines


def test_a_server_killed_before_its_process_was_recorded(site: Office, work: Work, server: Servers) -> None:
    """The process ends without having acted; the claim of the dead server is no obstacle."""
    one = upload(site)
    (child,) = kill(server("prepare", one))
    until(lambda: not is_alive(child))
    assert site.ledger.jobs.newest() == []
    assert planned(work, site, one).plan


def test_a_server_killed_while_its_process_is_at_work(
    site: Office, work: Work, sandbox: Sandbox, server: Servers
) -> None:
    """Its processes go on and end; the next server begins no second one, and finds what they have done."""
    one = upload(site)
    sandbox.knobs(unavailable=GONE)  # so that its process is at work until the service is back
    kill(server("plan", one))
    work.reap()
    assert again(site, one).child
    work.plan(one, DANA)
    sandbox.knobs(unavailable=None)
    until(lambda: not is_alive(again(site, one).child or "x:0"))
    work.reap()
    now = again(site, one)
    assert (now.child, now.error, site.ledger.uploads.plans(one.id)) == ("", None, [now.plan])
    sandbox.knobs(unavailable=GONE)
    kill(server("approve", now))
    work.reap()
    with pytest.raises(Conflict):
        site.ledger.cells.correct(site.seal, one.place, CellCorrection(4, "Extension", "102", "dana"))
    sandbox.knobs(unavailable=None)
    until(lambda: not is_alive(again(site, one).child or "x:0"))
    work.reap()
    job = site.ledger.jobs.get(again(site, one).job)
    assert (job.state, again(site, one).error) == (JobState.DONE, None)
    assert sorted(sandbox.digests()) == ["100", "101"]
    assert [request["method"] for request in sandbox.log("POST", "sipcredentials")] == ["POST"]
    assert again(site, one).shredded


def test_a_process_killed_with_its_server(
    site: Office, work: Work, sandbox: Sandbox, server: Servers
) -> None:
    """After a machine's restart a step is said to be interrupted, and is begun again."""
    one = upload(site)
    sandbox.knobs(latency=30.0)
    kill(server("plan", one))
    kill_child(site, one)
    until(lambda: not is_alive(again(site, one).child))
    work.reap()
    error = again(site, one).error
    assert error
    assert error["code"] == "interrupted"
    sandbox.knobs(latency=0.0)
    now = planned(work, site, one)
    assert approved(work, site, now).state is JobState.DONE


@pytest.fixture
def sleeping() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start a process that does nothing."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "600"]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_step_is_ended_by_its_own_server_while_that_lives(
    site: Office, work: Work, sleeping: Callable[[], subprocess.Popen[bytes]]
) -> None:
    """Another server sees that the process is gone, perhaps before its end is in the ledger."""
    one, server, child = upload(site), sleeping(), sleeping()
    owner = process_id_of(server.pid)
    assert site.ledger.steps.claim(Step(one.place, "inspect", "dana", server=owner))
    assert site.ledger.steps.hand_over(one.place, owner, process_id_of(child.pid))
    for process, at_work in ((child, True), (server, False)):
        process.kill()
        process.wait()
        work.reap()
        assert bool(again(site, one).child) is at_work
    error = again(site, one).error
    assert error
    assert error["code"] == "interrupted"


def test_the_step_of_an_upload_that_is_forgotten(site: Office, work: Work) -> None:
    """A server that starts again after a month ends it, and isn't stopped by it on every page."""
    for step in ("inspect", "plan", "approve"):
        assert site.ledger.steps.claim(Step(f"upload:{step}", step, "dana", server=process_id_of(2**22 + 1)))
    work.reap()
    assert site.ledger.steps.in_state(StepState.RUNNING) == []


def test_servers_on_two_machines(
    environment: dict[str, str], tmp_path: Path, sleeping: Callable[[], subprocess.Popen[bytes]]
) -> None:
    """A step of this machine is seen alive, however long it waits; one of a silent machine is given up."""
    clock = Clock(time.time())
    with closing(Ledger(environment["SIPROSTER_LEDGER"], clock)) as ledger:
        steps, work = ledger.steps, Work(Office(ledger, Seal([KEY]), tmp_path), environment=environment)
        for subject, server in (("job:1", process_id_of(sleeping().pid)), ("job:2", "elsewhere:1")):
            assert steps.claim(Step(subject, "undo", "dana", server=server))
        for states in (["running", "running"], ["running", "running"], ["running", "ended"]):
            clock.advance(80)
            work.reap()
            found = [steps.get("job:1"), steps.get("job:2")]
            assert [one.state for one in found if one] == states
            assert found[0]
            assert found[0].seen == steps.now()


def test_settings_are_options_of_plan() -> None:
    """Values can't be taken for other options, and no option may name a file of the server's."""
    settings = {"map": ["password=Kode", "username=A"], "header-line": 3, "create-realm": True, "sheet": ""}
    options = ["--map=password=Kode", "--map=username=A", "--header-line=3", "--create-realm"]
    assert options_of(settings) == options
    for name in ("generate-passwords", "query", "results", "config", "save"):
        with pytest.raises(UsageError):
            options_of({name: "/etc/passwd"})
    with pytest.raises(UsageError, match="NUL"):
        options_of({"map": ["password=Ko\0de"]})


def test_a_child_inherits_nothing_to_read_from() -> None:
    """Its input is at its end, so a question is no obstacle, and its output is in no file with a name."""
    child = Child(["hash", "100", "--domain", "x"], Bounds(seconds=60), dict(os.environ))
    child.go()
    end = child.wait(lambda: None)
    assert end.facts is None
    assert end.error
    assert end.error["exit"] == 6
