"""`siproster explain` finds the codes in what people give it, and says enough of each."""

from __future__ import annotations

import re

import pytest

from worker import codes
from worker.commands.explain import codes_in
from worker.errors import UsageError
from worker.model import Status
from worker.states import JobState, Reason, Why

SENTENCES = [
    (str(Why(Reason.MAX_FAILED, "12 rows are failed, unknown or invalid; 10 are allowed")), ["max_failed"]),
    ("digest_differs (3 rows): the user exists with another password", ["digest_differs"]),
    ("  warning: weak_password: 23000 rows (lines 2, 3 …)", ["weak_password"]),
    ("  line 7: too_long: user name has 40 characters", ["too_long"]),
    ("exists: 2 users exist with another password or application", ["exists"]),
    ("the service refused it (33004): ask Bandwidth", ["33004"]),
    ("the account may not do this, 23013.", ["23013"]),
    ("look for origin_unknown, in results.csv!", ["origin_unknown"]),
]


@pytest.mark.parametrize(
    ("said", "found"), SENTENCES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_line_of_a_summary_is_understood(said: str, found: list[str]) -> None:
    """In a summary's line, the word before a colon or bracket counts, else one that can only be a code."""
    assert codes_in(said) == found


@pytest.mark.parametrize(
    "said", ["23014;application_differs", "23014; application_differs ;", "23014 application_differs"]
)
def test_several_codes_are_taken_as_the_results_join_them(said: str) -> None:
    """Several codes, joined as in the results, are each explained once, in order."""
    assert codes_in(said) == ["23014", "application_differs"]
    assert codes_in(f"{said};23014") == ["23014", "application_differs"]


def test_a_hyphen_is_as_good_as_an_underscore() -> None:
    """Hyphens are accepted in place of underscores, since options have them."""
    assert codes_in("max-failed") == ["max_failed"]


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("digest_difers", "did you mean digest_differs"),
        ("max_faild", "did you mean max_failed"),
        ("23062", "did you mean 23026"),
        ("99999", "`bw__error` has the service's own words"),
        ("qqq", "`siproster explain` lists all codes"),
        ("digest_differs;qqq", "`siproster explain` lists all codes"),
        ("it went wrong: somehow", "`siproster explain` lists all codes"),
    ],
)
def test_what_is_no_code_is_refused(said: str, hint: str) -> None:
    """An unknown code is refused with similar ones, even beside a known one."""
    with pytest.raises(UsageError) as caught:
        codes_in(said)
    assert hint in caught.value.hint


@pytest.mark.parametrize("table", codes.TABLES, ids=lambda table: table.title)
def test_each_code_has_an_effect_and_commands_that_exist(table: codes.Table) -> None:
    """Each code has an effect; a job's effect names its state, from the enum."""
    for code in table.codes:
        assert codes.effect_of(table, code), code.name
        command = codes.command_of(table, code)
        assert not command or re.match("siproster [a-z]+", command), code.name
        if table.codes is codes.REASONS:
            reason = Reason(code.name)
            kept = "kept as a plan" if reason.state is JobState.PLANNING else reason.state
            assert codes.effect_of(table, code) == f"the job is {kept}; exit code {reason.exit_code}"
    assert len({code.name for code in table.codes}) == len(table.codes)


def test_each_reason_and_status_is_explained() -> None:
    """Each of the enums' reasons and statuses is explained, in order, and whether a row is in place."""
    assert [code.name for code in codes.REASONS] == list(Reason)
    assert [code.name for code in codes.STATUSES] == list(Status)
    statuses, *_ = codes.TABLES
    effects = {code.name: codes.effect_of(statuses, code) for code in codes.STATUSES}
    expected = {one: f"the row is {'not ' if one.in_trouble else ''}in place" for one in Status}
    expected[Status.SKIPPED] = "the row doesn't count as trouble"
    expected[Status.DELETED] = "the user can't register any more"
    assert effects == expected
