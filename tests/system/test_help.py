"""Every command prints its usage, and the program's own help is quick since it loads next to nothing."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.program import CLI, Program

HEAVY = {"celery", "kombu", "redis", "lxml", "sqlalchemy", "httpx", "tenacity", "rich", "cryptography"}


def commands(help_text: str) -> list[str]:
    """The names under the heading ``Commands``."""
    return re.findall(r"^  (\w+)  ", help_text.partition("\nCommands:\n")[2], re.MULTILINE)


def test_every_command_tells_its_usage(siproster: Program) -> None:
    """Each command that the help lists answers --help, in an interpreter that has imported nothing else."""
    listed = commands(siproster.run("--help").stdout)
    assert {"import", "plan", "retry", "realm", "worker", "demo", "doctor"} <= set(listed)
    for name in listed:
        shown = subprocess.run([sys.executable, str(CLI), name, "--help"], capture_output=True, text=True)
        assert (shown.returncode, shown.stderr) == (0, ""), name
        assert shown.stdout.startswith(f"Usage: siproster {name} "), name
        assert "--help" in shown.stdout, name


def test_commands_of_a_group_tell_their_usage(siproster: Program) -> None:
    """`realm` lists what is below it, and each of those answers --help."""
    below = commands(siproster.run("realm", "--help").stdout)
    assert below == ["create", "delete", "list", "show", "update"]
    for name in below:
        shown = siproster.run("realm", name, "-h")
        assert shown.stdout.startswith(f"Usage: siproster realm {name} ")


def test_help_loads_no_library_of_weight() -> None:
    """`siproster --help` imports neither Celery nor any other library that a command needs."""
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", str(CLI), "--help"], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in traced.stderr.splitlines()}
    assert {"click", "worker"} <= loaded
    assert loaded & HEAVY == set()


def test_an_unknown_command_is_wrong_usage(siproster: Program) -> None:
    """Exit code 6 and one helpful line with the command that is probably meant, no traceback."""
    for words, meant in (("improt", "import"), ("realm lst", "list"), ("jobs --limt 3", "--limit")):
        finished = siproster.run(*words.split())
        assert finished.code == 6
        assert re.search(f"No such .*Did you mean .*'{meant}'", finished.stderr)
        assert "Traceback" not in finished.stderr
    finished = siproster.run("qqq")
    assert (finished.code, "No such command 'qqq'.\n" in finished.stderr) == (6, True)
