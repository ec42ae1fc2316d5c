"""What a person with a browser, or two at once, could try to have another password sent than was approved."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.integration.page import PageServer, Visitor, until
from tests.program import CLI, INHERITED
from tests.sandbox import Sandbox
from tests.unit.jobs import start_job
from tests.unit.test_workbook_sheets import workbook
from worker.ledger import CellCorrection, Ledger, Role, StepState
from worker.model import JobState
from worker.seal import Seal
from worker.web.children import UNBOUNDED, Child
from worker.web.work import Asker, Work

PASSWORD = "Tb7xQ2mK9rL4vN8s"
OTHER = "Ub7xQ2mK9rL4vN8s"
ROSTER = f"Extension,SIP Secret,Kode,Site\n100,{PASSWORD},{OTHER},A\n,{PASSWORD},{OTHER},B\n"


@pytest.fixture
def page(sandbox: Sandbox, tmp_path: Path) -> Iterator[PageServer]:
    """A page with four eyes, whose child processes reach the sandbox."""
    server = PageServer(tmp_path, host=sandbox.url, four_eyes=True)
    environment = {
        **INHERITED, **sandbox.environment(), "HOME": str(tmp_path), "LANG": "C.UTF-8",
        "SIPROSTER_LEDGER": f"sqlite:///{tmp_path}/ledger.db", "PYTHONPATH": str(CLI.parent),
        "SIPROSTER_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
    }  # fmt: skip
    server.begin_with(environment)
    yield server
    server.stop()


def planned(page: PageServer, visitor: Visitor, roster: str = ROSTER, **settings: str) -> str:
    """Upload a roster, plan it with these settings, and return its address."""
    address = visitor.upload("staff.csv", roster.encode()).headers["location"]
    page.work.wait(address.replace("/uploads/", "upload:"))
    assert visitor.submit(f"{address}/columns", None, next="plan", **settings).status_code == 303
    page.work.wait(address.replace("/uploads/", "upload:"))
    return str(address)


def test_a_password_is_typed_for_the_column_that_the_plan_takes(page: PageServer) -> None:
    """The columns were chosen after the file was looked at: the plan's own column has the input.

    Once it is discarded, its address says that.
    """
    uma = page.visitor(Role.UPLOAD)
    address = planned(page, uma, **{"map.password": "Kode"})
    shown = uma.get(f"{address}/plan").text
    assert re.findall(r'type="password" name="([^"]+)"', shown) == ["c.3.Kode"]
    # A second click on Discard, and the address of what was discarded, say so: its plan is gone, too.
    assert [uma.submit(f"{address}/discard").status_code for _ in range(2)] == [303, 303]
    gone = uma.get(f"{address}/plan")
    assert (gone.status_code, "was discarded" in gone.text) == (410, True)


def test_a_field_is_left_without_a_column(page: PageServer) -> None:
    """The choice that a field has no column reaches the plan, and is shown again."""
    uma, roster = page.visitor(Role.UPLOAD), ROSTER.replace("Kode", "domain").replace(OTHER, "crm")
    address = planned(page, uma, roster, **{"map.domain": " ", "map.password": "SIP Secret"})
    upload = page.ledger.uploads.get(address.removeprefix("/uploads/"))
    assert upload.settings == {"map": ["password=SIP Secret", "domain="]}
    assert page.ledger.jobs.get(upload.plan).options.map["domain"] == ""
    uma.get(f"{address}/columns")  # looks at the file again
    page.work.wait(upload.place)
    choices = re.findall(r'<option value=" "( selected)?>No column<', uma.get(f"{address}/columns").text)
    assert choices == [" selected"]


def test_a_column_that_looks_secret_is_copied_if_chosen(page: PageServer) -> None:
    """The page offers what its warning says, ``--carry``, for that column alone, and shows the choice."""
    uma = page.visitor(Role.UPLOAD)
    address = uma.upload("staff.csv", ROSTER.encode()).headers["location"]
    place = address.replace("/uploads/", "upload:")
    for chosen in ("", " checked"):
        uma.get(f"{address}/columns")  # looks at the file
        page.work.wait(place)
        shown = uma.get(f"{address}/columns").text
        assert re.findall(r'name="(carry.[^"]+)" value="1"( checked)?', shown) == [("carry.Kode", chosen)]
        assert (OTHER in shown) is bool(chosen)
        uma.submit(f"{address}/columns", None, next="look", **{"carry.Kode": "1"})
    page.work.wait(place)


def test_corrections_stay_on_their_sheet_in_a_shell_too(page: PageServer) -> None:
    """Corrections are typed for one sheet's lines: no command plans another sheet with them."""
    uma = page.visitor(Role.UPLOAD)
    place = uma.upload("staff.csv", ROSTER.encode()).headers["location"].replace("/uploads/", "upload:")
    page.ledger.cells.correct(page.site.seal, place, CellCorrection(3, "Extension", "101", "uma"))
    for option, code in (("--header-line=2", "conflict"), ("--skip=0", None)):
        child = Child(["plan", place, option, "--json"], UNBOUNDED, page.environment)
        child.go()
        end = child.wait(lambda: None)
        assert (end.error["code"] if end.error else None) == code


def test_corrections_stay_on_the_sheet_that_was_found(page: PageServer, tmp_path: Path) -> None:
    """Other columns would lead to another sheet, and a password typed for one user to another user."""
    old, users = [["Nr", "Kode"], ["900", OTHER]], [["Extension", "Kode"], ["100", PASSWORD]]
    file, uma = workbook(tmp_path / "staff.xlsx", {"Old": old, "Users": users}), page.visitor(Role.UPLOAD)
    address = uma.upload(file.name, file.read_bytes()).headers["location"]
    place = address.replace("/uploads/", "upload:")
    page.work.wait(place)
    assert uma.submit(f"{address}/columns", None, next="plan", **{"map.password": "Kode"}).status_code == 303
    page.work.wait(place)
    plan = page.ledger.uploads.named(place).plan  # type: ignore[union-attr]
    typed = {"w.2.Kode": "", "c.2.Kode": "typed-for-user-100"}
    assert uma.submit(f"{address}/corrections", None, plan=plan, **typed).status_code == 303
    page.work.wait(place)
    other = {"map.password": "Kode", "map.username": "Nr"}
    assert uma.submit(f"{address}/columns", None, next="plan", **other).status_code == 409
    assert uma.submit(f"{address}/columns", None, next="plan", sheet="Users", **other).status_code == 303


def test_a_limit_is_lifted_only_by_an_approver(page: PageServer) -> None:
    """The uploader can't go on with a job that a limit stopped, since the limit would no longer apply."""
    uma, abel = page.visitor(Role.UPLOAD), page.visitor(Role.APPROVE)
    address = planned(page, uma, **{"map.password": "SIP Secret", "max-failed": "1%"})
    id_ = address.removeprefix("/uploads/")
    assert abel.submit(f"{address}/approve", None, plan=page.ledger.uploads.get(id_).plan).status_code == 303
    page.work.wait(f"upload:{id_}")
    job = page.ledger.jobs.get(page.ledger.jobs.newest()[0])
    assert job.state is JobState.STOPPED
    here = f"/jobs/{job.id}"
    assert abel.get(address).headers["location"] == here
    assert f"{here}/resume" not in uma.get(here).text
    assert uma.submit(f"{here}/resume", None).status_code == 403
    # Asked for in the moment before the limit stopped it, the limit holds as well.
    page.work.resume(replace(job, state=JobState.RUNNING), Asker("uma"))
    page.work.wait(f"job:{job.id}")
    assert page.ledger.jobs.state(job.id) is JobState.STOPPED
    assert f"{here}/resume" in abel.get(here).text
    assert abel.submit(f"{here}/resume", None).status_code == 303
    page.work.wait(f"job:{job.id}")
    assert page.ledger.jobs.state(job.id) is JobState.DONE


def test_live_pages_are_bounded(page: PageServer) -> None:
    """Nobody holds all connections: a person has so many live pages; when they are closed, others again."""
    uma = page.visitor(Role.UPLOAD)
    job = start_job(page.ledger, host=page.site.host)
    abel = page.visitor(Role.APPROVE)
    address, most = f"/jobs/{job.id}/events", page.site.bounds.streams_each
    with ExitStack() as stack:
        for _ in range(most):
            assert stack.enter_context(abel.stream("GET", address)).status_code == 200
        assert abel.get(address).status_code == 503
        assert uma.get("/").status_code == 200
    until(lambda: opened(abel, address) == 200)


def opened(visitor: Visitor, address: str) -> int:
    """Open a live page for a moment."""
    with visitor.stream("GET", address) as answer:
        return answer.status_code


@dataclass
class Interrupted:
    """A server's facts; while a step is checked, somebody else's request comes in between."""

    ledger: Ledger
    seal: Seal
    results: Path
    between: Callable[[], None] = field(default=lambda: None)
    arguments: tuple[str, ...] = ()
    sign_in: bool = True

    @property
    def four_eyes(self) -> bool:
        """Let the other request be answered."""
        self.between()
        return True


def test_a_claim_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    """Each request looks for dead processes: a step that has none yet is not one of them."""
    site = Interrupted(Ledger(f"sqlite:///{tmp_path}/ledger.db"), Seal([bytes(32)]), tmp_path)
    work = Work(site, environment=INHERITED)
    with site.ledger.uploads.receive(site.seal, "uma", "a.csv") as receiving:
        receiving.write(b"a,b\n")
    job = start_job(site.ledger)
    one = receiving.upload
    assert one
    assert site.ledger.uploads.set_plan(one, job.id)
    seen: list[StepState | None] = []

    def look() -> None:
        work.reap()
        step = work.step(one.place)
        seen.append(step.state if step else None)

    site.between = look
    work.approve(site.ledger.uploads.get(one.id), job.id, Asker("abel"))
    work.wait(one.place)
    assert seen == [StepState.RUNNING]
    site.ledger.close()


def test_corrections_after_the_approval_count_for_nothing(tmp_path: Path) -> None:
    """A cell that is corrected between the check and the start of a retry ends it: nothing is sent."""
    site = Interrupted(Ledger(f"sqlite:///{tmp_path}/ledger.db"), Seal([bytes(32)]), tmp_path)
    work = Work(site, environment=INHERITED)
    job = start_job(site.ledger)
    subject = f"job:{job.id}"
    site.ledger.cells.correct(site.seal, subject, CellCorrection(2, "password", PASSWORD, "uma"))
    work.retry(job, Asker("abel"))
    step = work.step(subject)
    assert step
    site.between = lambda: site.ledger.cells.correct(
        site.seal, subject, CellCorrection(2, "password", OTHER, "abel")
    )
    work.approve_step(job, Asker("zoe"), step.mark)
    work.wait(subject)
    ended = work.step(subject)
    assert ended
    assert ended.error
    assert ended.error["code"] == "conflict"
    assert "changed since" in ended.error["message"]
    assert site.ledger.jobs.children(job.id) == []
    site.ledger.close()
