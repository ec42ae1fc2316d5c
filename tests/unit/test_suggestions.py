"""A command line that was not understood leads to the one that was meant."""

from __future__ import annotations

import shlex

import click
import pytest

from cli import cli
from worker.commands.suggestions import hint


def hinted(line: str) -> str:
    """Return what is suggested for a command line that click refuses."""
    with pytest.raises(click.ClickException) as refused:
        cli.main(shlex.split(line), prog_name="siproster", standalone_mode=False)
    own = hint(refused.value)
    return own or refused.value.format_message()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("import --dry-run staff.csv", "siproster plan ROSTER"),
        ("schedule add nightly staff.csv --dry-run", "siproster plan ROSTER"),
        ("retry --dry-run latest", "siproster report JOB"),
        ("resume -n latest", "siproster status JOB"),
        ("undo --dry-run latest", "only once you agree"),
        ("realm delete --dry-run acme", "only once you agree"),
        ("import --quiet staff.csv", "did you mean --progress none?"),
        ("import --overwrite staff.csv", "did you mean --on-existing update?"),
        ("undo --force latest", "did you mean --yes?"),
        ("import --password x staff.csv", "secrets are never options"),
        ("import --on-exist skip staff.csv", "'--on-existing'"),
        ("import --on-existing updat staff.csv", "did you mean update?"),
        ("import --from asterix staff.csv", "did you mean asterisk?"),
        ("status latest --progress jsn", "did you mean json?"),
        ("impotr staff.csv", "'import'"),
        ("realm shwo acme", "'show'"),
        ("credential remove dana", "`siproster credential delete`"),
        ("schedule delete nightly", "`siproster schedule remove`"),
        ("list", "`siproster jobs`"),
        ("help import", "`siproster COMMAND --help`"),
        ("version", "`siproster --version`"),
        ("verify a.csv --batch-size 3", "is an option of `import`, `plan`, `schedule add`, not of `verify`"),
        ("jobs list", "did you mean `siproster jobs`?"),
        ("schedule nightly", "did you mean `siproster schedule show nightly`?"),
        ("realm frob", "siproster realm has: create, delete, list, show, update"),
        ("frob", "siproster --help"),
        ("plan staff list.csv", "in quotes: 'staff list.csv'; several rosters: one after the other"),
        ("status latest now", "in quotes"),
    ],
)
def test_what_was_meant_is_suggested(line: str, told: str) -> None:
    """Options and commands of other programs, and mistyped ones, have a suggestion that exists."""
    assert told in hinted(line)


@pytest.mark.parametrize("line", ["import staff.csv --frob", "status", "import a --limit x"])
def test_nothing_is_made_up(line: str) -> None:
    """If nothing comes close, there is no suggestion of ours."""
    with pytest.raises(click.ClickException) as refused:
        cli.main(shlex.split(line), prog_name="siproster", standalone_mode=False)
    assert hint(refused.value) == ""


def test_an_option_is_only_suggested_to_a_command_that_has_it() -> None:
    """`jobs` has no --yes, so that --force is no mistake for it."""
    assert "--yes" not in hinted("jobs --force")
