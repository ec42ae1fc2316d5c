"""`siproster explain`: explains a code from a result file or a message, without any set-up."""

from __future__ import annotations

import subprocess
import sys

from tests.program import CLI, Program
from tests.sandbox import Sandbox
from tests.system.rosters import SAMPLES, result_rows
from tests.system.runs import run

HEAVY = {"celery", "redis", "lxml", "sqlalchemy", "httpx", "tenacity", "rich", "cryptography", "yaml"}


def test_a_code_is_told_with_all_that_helps(siproster: Program) -> None:
    """A code is printed with meaning, effect, advice, command and table; no setting is read, even broken."""
    told = siproster.run("explain", " Digest_Differs ", BW_API_URL="no url", SIPROSTER_KEY="none")
    assert (told.code, told.stderr) == (0, "")
    first, *_ = told.stdout.split("\n\n")
    assert first.splitlines() == [
        "digest_differs (Rows that were sent)",
        "  meaning  the user exists with another password",
        "  effect   the row is `exists`",
        "  advice   if the roster is right, set its password with `--on-existing update`",
        "  command  siproster retry JOB --on-existing update",
    ]
    assert not list(siproster.work.iterdir())
    assert not (siproster.home / ".local").exists()


def test_scripts_read_the_same(siproster: Program) -> None:
    """JSON is an array with an object for each code and table; without CODE, for all codes."""
    (found,) = siproster.run("explain", "23026", "--json").json
    assert found.keys() == {"code", "table", "meaning", "effect", "advice", "command"}
    assert (found["code"], found["table"]) == ("23026", "Codes of the service")
    both = siproster.run("explain", "weak_password", "--json").json
    assert [one["table"] for one in both] == ["Rows that were not sent", "Warnings"]
    every = siproster.run("explain", "--json").json
    assert len(every) > 80
    assert found in every


def test_all_codes_are_listed_by_table(siproster: Program) -> None:
    """A line each, under the heading of its table."""
    lines = siproster.run("explain").stdout.splitlines()
    assert lines[0] == "Statuses"
    under = {line: lines.index(line) for line in lines if line and not line.startswith(" ")}
    at = next(number for number, line in enumerate(lines) if line.startswith("  max_failed "))
    assert under["Why a job stopped or waits"] < at < under["Codes of the service"]


def test_an_unknown_code_is_wrong_usage(siproster: Program) -> None:
    """Exit code 6, on stderr alone, with the code that is probably meant."""
    told = siproster.run("explain", "digest_difers")
    assert (told.code, told.stdout) == (6, "")
    assert "there is no code digest_difers" in told.stderr
    assert "did you mean digest_differs" in told.stderr


def test_what_an_import_prints_is_explained(office: Program, sandbox: Sandbox) -> None:
    """Each cell of failed.csv, each warning, and the commands that the output advises can be explained."""
    sandbox.knobs(applications=["3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"])
    finished = office.run("import", SAMPLES / "dirty.csv", "--weak", "warn")
    assert finished.code == 10
    (folder,) = office.work.glob("siproster-*")
    cells = {row["bw__error_code"] for row in result_rows(folder / "failed.csv")} - {""}
    assert len(cells) > 5
    for advised in [
        line for line in (finished.stdout + finished.stderr).splitlines() if "siproster explain" in line
    ]:
        codes = advised.partition("siproster explain ")[2].split()
        assert office.run("explain", *codes).code == 0, advised
    assert "siproster explain" in finished.stdout
    assert "siproster explain" in finished.stderr
    assert office.run("explain", ";".join(sorted(cells))).code == 0


def test_a_summary_says_why_in_words_that_are_explained(office: Program) -> None:
    """`why` is understood as it stands in summary.json."""
    stopped = run(office, "import", SAMPLES / "dirty.csv", "--max-failed", "0", code=11)
    (told,) = office.run("explain", stopped["why"], "--json").json
    assert (told["code"], told["effect"]) == ("max_failed", "the job is stopped; exit code 11")


def test_it_starts_at_once() -> None:
    """`explain` loads no heavy library."""
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", str(CLI), "explain", "23026"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in traced.stderr.splitlines()}
    assert {"click", "worker"} <= loaded
    assert loaded & HEAVY == set()
