"""Results never overwrite the files they are made from: exit code 6 before any work, with both names."""

from __future__ import annotations

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.runs import run
from tests.system.test_odd_places import shell

ROSTER = "username,password\nbob,Tb7xQ2mK9rL4vN8s\nann,Zk3vW8pQ5xN2\n"


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (b"SIPROSTER plan absent.csv --results .", "absent.csv"),
        (b"SIPROSTER plan file://$PWD/plan.csv --results .", "plan.csv"),
        (b"SIPROSTER plan - --results . < plan.csv", "plan.csv"),
        (b"SIPROSTER plan plan.csv --json >> plan.csv", "plan.csv"),
        (b"SIPROSTER verify verify.csv --results .", "verify.csv"),
        (b"SIPROSTER credential delete --from users.csv --yes --json >> users.csv", "users.csv"),
        (b"SIPROSTER diff users.snapshot --csv >> users.snapshot", "users.snapshot"),
    ],
)
def test_what_is_read_is_spared(siproster: Program, line: bytes, read: str) -> None:
    """A result is refused if it would overwrite an input, named as a file, a URL or a standard stream."""
    path = siproster.work / read
    path.write_text(ROSTER)
    code, _, said = shell(siproster, line)
    assert (code, "would be overwritten" in said, path.read_text()) == (6, True, ROSTER), said


def test_no_command_writes_over_what_its_job_read(office: Program, sandbox: Sandbox) -> None:
    """Roster, corrections, settings and ledger are refused as outputs; nothing is sent, no file changes."""
    roster = office.work / "results.csv"
    roster.write_text(f"{ROSTER}cat,\n")  # a row for the retry
    refused = office.run("import", roster, "--results", ".")
    assert (refused.code, sandbox.credentials()) == (6, []), refused.stderr
    assert f"results.csv would be overwritten, but is {roster}" in refused.stderr
    planned = run(office, "plan", roster, "--save", code=None)["plan"]
    job = run(office, "import", roster, code=10)["job"]
    failed = office.work / f"siproster-{job}" / "failed.csv"
    config = office.work / "summary.json"
    config.write_text("")
    before = {path: path.read_bytes() for path in (roster, failed, config)}
    for arguments in (
        ("report", job, "--results", "."),
        ("resume", job, "--results", "."),
        ("import", "--plan", planned, "--results", "."),
        ("retry", job, "--corrections", failed, "--results", failed.parent),
        ("report", job, "--results", "out", "--config", "summary.json"),
        ("undo", job, "--results", "notes", "--yes"),
    ):
        if arguments[0] == "undo":
            (office.work / "notes").mkdir()
            (office.work / "notes" / "undo.csv").write_text("what I have to undo today")
        elif "--config" in arguments:
            (office.work / "out").mkdir()
            (office.work / "out" / "summary.json").symlink_to(config)
        done = office.run(*arguments)
        assert (done.code, "would be overwritten" in done.stderr) == (6, True), (arguments, done.stderr)
    assert {path: path.read_bytes() for path in before} == before
    assert len(sandbox.credentials()) == 2
