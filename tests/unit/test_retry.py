"""A retry runs the rows of an earlier job that are not in place, with the corrections made to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.jobs import HOST, KEY, OVER, Clock, plan_job, rows_in
from tests.unit.realms import Realms
from tests.unit.rosters import GOOD, opened
from worker.errors import LedgerError, UsageError
from worker.importing.corrections import Effect, check
from worker.importing.job import new_job
from worker.importing.job_start import release_chunks
from worker.importing.retry import EarlierRows, lost_zeros
from worker.importing.rows_in_place import rows_in_place
from worker.ledger import Ledger
from worker.ledger.codec import open_chunk, seal_chunk
from worker.model import Credential, Endpoint, Family, Job, JobState, Options, Outcome, Row, Status
from worker.roster import PASSWORD
from worker.seal import Seal

SEAL = Seal([KEY])
DAY = 86_400.0
HEADER = "username,password,realm,note\n"
STAFF = HEADER + "".join(f"{user},{GOOD}{user},office,about {user}\n" for user in ("alice", "bob", "carol"))


@pytest.fixture(scope="module")
def clock() -> Clock:
    """The clock of ``ledger``."""
    return Clock()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Ledger]:
    """One ledger; each job lets go of its account when it is over."""
    with closing(Ledger(f"sqlite:///{tmp_path_factory.mktemp('retry')}/ledger.db", clock)) as ledger:
        yield ledger


def imported(ledger: Ledger, content: str, options: Options, statuses: Mapping[int, Status]) -> Job:
    """Return an ended job: these rows have these statuses, the others of ended chunks none."""
    with opened(content, chunk_size=options.chunk_size) as roster:
        job = new_job(Endpoint("https://api.example.com", "9900001"), options, roster, SEAL.fingerprint)
        ledger.jobs.begin(job, "desk:1")
        release_chunks(ledger, job, plan_job(ledger, Realms(), job, roster))
    for chunk in ledger.chunks.kept(job.id):
        settle(ledger, job, chunk.seq, statuses)
    if not ledger.jobs.finish(job.id):
        ledger.jobs.stop(job.id, OVER[JobState.CANCELLED])
    return ledger.jobs.get(job.id)


def retried(ledger: Ledger, rows: EarlierRows, statuses: Mapping[int, Status]) -> Job:
    """Return an ended job that retries another."""
    endpoint = Endpoint("https://api.example.com", "9900001")
    job = new_job(endpoint, rows.options, rows, SEAL.fingerprint, rows.parent.id)
    ledger.jobs.begin(job, "desk:1")
    release_chunks(ledger, job, plan_job(ledger, Realms(), job, rows))
    for chunk in ledger.chunks.kept(job.id):
        settle(ledger, job, chunk.seq, statuses)
    ledger.jobs.finish(job.id)
    return ledger.jobs.get(job.id)


def settle(ledger: Ledger, job: Job, seq: int, statuses: Mapping[int, Status]) -> None:
    """Give a chunk's rows their statuses, as a delivery does; a chunk with rows left is released."""
    claim = ledger.chunks.claim(job.id, seq, "desk:1", 60)
    if claim is None:
        return
    rows = open_chunk(SEAL, job.id, seq, claim.sealed)
    known = [Outcome(row.line, statuses[row.line]) for row in rows if row.line in statuses]
    if known:
        ledger.chunks.record(claim, known, 60)
    if len(known) < len(rows):
        ledger.chunks.release(claim, 0, [], 0, 0)
        return
    left = [row for row in rows if not statuses[row.line].in_place]
    sealed = seal_chunk(SEAL, job.id, seq, left) if left else None
    ledger.chunks.end(claim, sealed, 7 * DAY, 0, 0)


def again(ledger: Ledger, job: Job, corrections: Mapping[int, Mapping[str, str]] | None = None) -> list[Row]:
    """Return the rows that a retry of the job would run."""
    return rows_in(EarlierRows(ledger, SEAL, job, job.options, corrections or {}))


def staff(ledger: Ledger) -> Job:
    """Alice is in place, Bob was refused, Carol's answer was lost."""
    statuses = {2: Status.CREATED, 3: Status.FAILED, 4: Status.UNKNOWN}
    return imported(ledger, STAFF, Options(), statuses)


def test_what_is_not_in_place_comes_again(ledger: Ledger) -> None:
    """The rows that are not in place come with their lines, cells and passwords; those in place don't."""
    rows = again(ledger, staff(ledger))
    assert [(row.line, row.user, row.password, row.realm) for row in rows] == [
        (3, "bob", f"{GOOD}bob", "office"),
        (4, "carol", f"{GOOD}carol", "office"),
    ]
    assert rows[0].cells == ("bob", "office", "about bob")


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.UNPROCESSED])
def test_in_place_or_not(ledger: Ledger, status: Status) -> None:
    """Every status that is not in place is retried, save for entries that are no users; and none that is."""
    job = imported(ledger, STAFF, Options(), dict.fromkeys((2, 3, 4), status))
    assert bool(again(ledger, job)) is not (status.in_place or status is Status.SKIPPED)


def test_what_was_not_attempted_comes_again(ledger: Ledger) -> None:
    """A cancelled job's rows without an outcome are retried, beside those of the same chunk that failed."""
    job = imported(ledger, STAFF, Options(), {2: Status.CREATED, 3: Status.FAILED})
    assert [row.line for row in again(ledger, job)] == [3, 4]


def test_corrections_are_laid_over(ledger: Ledger) -> None:
    """A corrected cell replaces the earlier one, and an added password the sealed one, row by row."""
    corrections = {3: {"username": "robert", "note": ""}, 4: {PASSWORD: "a new one, 12 long"}}
    bob, carol = again(ledger, staff(ledger), corrections)
    assert (bob.user, bob.password, bob.cells) == ("robert", f"{GOOD}bob", ("robert", "office", ""))
    assert (carol.user, carol.password) == ("carol", "a new one, 12 long")


def test_a_corrected_password_is_told_apart_from_the_rosters(ledger: Ledger) -> None:
    """A corrected password is known as such in a later retry, too; a repeated one is no correction."""
    corrections = {3: {PASSWORD: "a new one, 12 long"}, 4: {PASSWORD: f"{GOOD}carol"}}
    first = EarlierRows(ledger, SEAL, staff(ledger), Options(), corrections)
    assert [row.corrected for row in rows_in(first)] == [True, False]
    assert [row.corrected for row in rows_in(first)] == [True, False]
    job = retried(ledger, first, dict.fromkeys((3, 4), Status.FAILED))
    second = EarlierRows(ledger, SEAL, job, Options(), {4: {"note": "corrected"}})
    assert [row.corrected for row in rows_in(second)] == [True, False]


def test_a_corrected_password_is_never_replaced_by_the_rosters(ledger: Ledger) -> None:
    """`verify JOB` reports a row whose password was corrected, and doesn't try the roster's password."""
    corrections = {3: {PASSWORD: "a new one, 12 long"}, 4: {"note": "corrected"}}
    rows = EarlierRows(ledger, SEAL, staff(ledger), Options(), corrections)
    job = retried(ledger, rows, dict.fromkeys((3, 4), Status.CREATED))
    with opened(STAFF) as roster:
        bob, carol = (row for page in rows_in_place(ledger, SEAL, job, roster) for row in page)
    assert [problem.code for problem in bob.problems] == ["corrected"]
    assert (bob.user, bob.password) == ("bob", "")
    assert (carol.problems, carol.password, carol.host) == ((), f"{GOOD}carol", HOST)


def test_a_spreadsheet_that_took_the_zeros_off_is_found_out(ledger: Ledger) -> None:
    """0103 that came back as 103 is another extension: the row is refused and says why."""
    job = imported(ledger, f"{HEADER}0103,{GOOD},office,x\n", Options(), {2: Status.FAILED})
    [row] = again(ledger, job, {2: {"username": "103"}})
    assert [problem.code for problem in row.problems] == ["spreadsheet_damage"]


def test_zeros_that_a_password_lost_are_found_out(ledger: Ledger) -> None:
    """A password that comes back as the job's own without its zeros went through a spreadsheet."""
    job = imported(ledger, f"{HEADER}bob,00123456789,office,x\n", Options(), {2: Status.FAILED})
    for password, found in (("123456789", ["spreadsheet_damage"]), ("00123456789", []), ("a new one 12", [])):
        [row] = again(ledger, job, {2: {PASSWORD: password}})
        assert [problem.code for problem in row.problems] == found


def test_corrections_of_other_rows_do_nothing(ledger: Ledger) -> None:
    """A correction of a row that is in place, or of no row, runs no row again."""
    corrections = {2: {"username": "other"}, 99: {"username": "nobody"}}
    assert [row.user for row in again(ledger, staff(ledger), corrections)] == ["bob", "carol"]


def test_a_wrong_row_is_wrong_until_it_is_corrected(ledger: Ledger) -> None:
    """A row that was never sent is validated again: invalid as before, valid once it is corrected."""
    job = imported(ledger, HEADER + f"alice,{GOOD},office,\nbob,,office,\n", Options(), {2: Status.CREATED})
    (bob,) = again(ledger, job)
    assert [problem.code for problem in bob.problems] == ["password_missing"]
    (bob,) = again(ledger, job, {3: {PASSWORD: GOOD}})
    assert (bob.problems, bob.password) == ((), GOOD)


def test_a_record_that_could_not_be_read(ledger: Ledger) -> None:
    """A record with too many fields keeps that problem; corrected, it is a row like any other."""
    job = imported(ledger, HEADER + f"alice,{GOOD},office,\nbob,x,y,z,1\n", Options(), {2: Status.CREATED})
    (bob,) = again(ledger, job)
    assert [problem.code for problem in bob.problems] == ["field_count"]
    (bob,) = again(ledger, job, {3: {"username": "bob", PASSWORD: GOOD}})
    assert (bob.user, bob.problems) == ("bob", ())


def test_shredded_passwords(ledger: Ledger, clock: Clock) -> None:
    """Once passwords are shredded, rows need one from the corrections; the refusal names the lines."""
    job = staff(ledger)
    clock.advance(7 * DAY + 1)
    ledger.chunks.shred_expired()
    with pytest.raises(UsageError, match="line 3 is shredded; it was kept for 7 days") as refused:
        again(ledger, job)
    assert "--corrections" in refused.value.hint
    rows = again(ledger, job, {3: {PASSWORD: GOOD}, 4: {PASSWORD: GOOD}})
    assert [row.password for row in rows] == [GOOD, GOOD]


def test_a_key_that_is_gone(ledger: Ledger) -> None:
    """With another key the rows don't open, and the error names the missing one."""
    job = staff(ledger)
    rows = EarlierRows(ledger, Seal([bytes(32)]), job, job.options, {})
    with pytest.raises(LedgerError, match=SEAL.fingerprint):
        rows_in(rows)


def test_a_retry_keeps_the_rosters_facts(ledger: Ledger) -> None:
    """The new job names the roster and its bytes, and the job it retries as its source."""
    job = staff(ledger)
    rows = EarlierRows(ledger, SEAL, job, Options(), {})
    made = new_job(Endpoint("https://api.example.com", "1"), Options(), rows, SEAL.fingerprint, parent=job.id)
    assert (made.roster, made.sha256, made.columns) == (job.roster, job.sha256, job.columns)
    assert (made.source, made.parent) == (f"job {job.id}", job.id)


def test_a_retry_of_a_retry(ledger: Ledger) -> None:
    """A second retry finds the lines, cells and passwords of the first roster again."""
    job = staff(ledger)
    rows = EarlierRows(ledger, SEAL, job, Options(), {4: {"note": "corrected"}})
    second = new_job(Endpoint("https://api.example.com", "9900001"), Options(), rows, SEAL.fingerprint)
    ledger.jobs.begin(second, "desk:1")
    release_chunks(ledger, second, plan_job(ledger, Realms(), second, rows))
    settle(ledger, second, 0, {3: Status.CREATED, 4: Status.FAILED})
    ledger.jobs.finish(second.id)
    (carol,) = again(ledger, ledger.jobs.get(second.id))
    assert (carol.line, carol.password, carol.cells[-1]) == (4, f"{GOOD}carol", "corrected")


@given(st.data())
def test_every_row_comes_again_with_its_own_password(ledger: Ledger, data: st.DataObject) -> None:
    """However a job's rows lie in chunks, no password goes to another row."""
    size = data.draw(st.integers(1, 30))
    realms = data.draw(
        st.lists(st.sampled_from(["office", "branch", "nowhere"]), min_size=size, max_size=size)
    )
    statuses = st.sampled_from([Status.CREATED, Status.FAILED, Status.UNKNOWN, Status.EXISTS])
    known = data.draw(st.dictionaries(st.integers(2, size + 1), statuses))
    chunk_size = data.draw(st.integers(1, 7))
    lines = [f"user{at},{GOOD}{at},{realm},\n" for at, realm in enumerate(realms, 2)]
    options = Options(api=Family.REALM, chunk_size=chunk_size)
    job = imported(ledger, HEADER + "".join(lines), options, known)
    rows = again(ledger, job)
    sent = {at for at, realm in enumerate(realms, 2) if realm != "nowhere"}
    in_place = {line for line, status in known.items() if status.in_place and line in sent}
    assert [row.line for row in rows] == [at for at in range(2, size + 2) if at not in in_place]
    assert all((row.user, row.password) == (f"user{row.line}", f"{GOOD}{row.line}") for row in rows)
    ledger.jobs.forget(job.id)


def test_a_retry_makes_nobody_absent(ledger: Ledger) -> None:
    """A user in place is in the roster, though not among the rows of a retry, and so is not absent."""
    rows = EarlierRows(ledger, SEAL, staff(ledger), Options(), {})
    assert (rows.whole, rows.records) == (False, 2)


# The roster again


def shredded(ledger: Ledger, clock: Clock, content: str = STAFF) -> Job:
    """Return a job whose sealed passwords are shredded; alice is in place."""
    job = imported(ledger, content, Options(), {2: Status.CREATED, 3: Status.FAILED, 4: Status.UNKNOWN})
    clock.advance(7 * DAY + 1)
    ledger.chunks.shred_expired()
    return job


def with_roster(
    ledger: Ledger, job: Job, content: str, corrections: Mapping[int, Mapping[str, str]] | None = None
) -> list[Row]:
    """The rows of a retry that is given this roster."""
    with opened(content) as roster:
        return rows_in(EarlierRows(ledger, SEAL, job, job.options, corrections or {}, roster))


def test_the_roster_gives_shredded_passwords(ledger: Ledger, clock: Clock) -> None:
    """The roster gives passwords by line and name, as often as asked; corrections still win."""
    job = shredded(ledger, clock)
    rows = with_roster(ledger, job, STAFF, {4: {PASSWORD: "another one, 12 long", "note": "corrected"}})
    assert [(row.line, row.user, row.password) for row in rows] == [
        (3, "bob", f"{GOOD}bob"),
        (4, "carol", "another one, 12 long"),
    ]
    assert rows[1].cells[-1] == "corrected"
    with opened(STAFF) as roster:
        again_ = EarlierRows(ledger, SEAL, job, job.options, {}, roster)
        assert [row.password for row in rows_in(again_)] == [row.password for row in rows_in(again_)]


def test_a_sealed_password_is_taken_before_the_rosters(ledger: Ledger) -> None:
    """A password that the job has sealed is used again, and not the roster's."""
    job = staff(ledger)
    assert [row.password for row in with_roster(ledger, job, STAFF.replace(GOOD, "x" * 16))] == [
        f"{GOOD}bob",
        f"{GOOD}carol",
    ]


def test_another_name_on_the_line_is_refused(ledger: Ledger, clock: Clock) -> None:
    """A line with another name is refused, and both are named: no password goes to another user."""
    job = shredded(ledger, clock)
    with pytest.raises(UsageError, match="line 3 of the roster is robert, and the job had bob") as refused:
        with_roster(ledger, job, STAFF.replace("\nbob,", "\nrobert,"))
    assert "--corrections" in refused.value.hint
    assert GOOD not in refused.value.message + refused.value.hint


def test_a_roster_that_ends_before_the_line(ledger: Ledger, clock: Clock) -> None:
    """A roster that ends before the line leaves the row without a password, which is reported."""
    job = shredded(ledger, clock)
    with pytest.raises(UsageError, match="line 4 is shredded"):
        with_roster(ledger, job, STAFF.rpartition("\ncarol")[0] + "\n")


def test_a_row_whose_user_exists_is_run_again_with_its_password(ledger: Ledger) -> None:
    """A planned row that wasn't in place, as its user existed, is retried with its sealed password."""
    source = Realms()
    source.stored.holds(Credential("bob", "", HOST, "c1" * 16, "d1" * 16))
    with opened(STAFF) as roster:
        job = new_job(Endpoint("https://api.example.com", "9900001"), Options(), roster, SEAL.fingerprint)
        ledger.jobs.begin(job, "desk:1")
        release_chunks(ledger, job, plan_job(ledger, source, job, roster))
    for chunk in ledger.chunks.kept(job.id):
        settle(ledger, job, chunk.seq, dict.fromkeys((2, 4), Status.CREATED))
    assert ledger.jobs.finish(job.id)
    (bob,) = again(ledger, ledger.jobs.get(job.id))
    assert (bob.line, bob.user, bob.password) == (3, "bob", f"{GOOD}bob")


# Corrections without effect


def checked(
    ledger: Ledger, job: Job, corrections: Mapping[int, Mapping[str, str]], *, zeros_may_go: bool = False
) -> Effect:
    """Return which rows the corrections change; raise what a retry would be refused with."""
    rows = EarlierRows(ledger, SEAL, job, job.options, corrections, zeros_may_go=zeros_may_go)
    return check(rows, "failed.csv")


def as_written(user: str, **changes: str) -> dict[str, str]:
    """Return a correction of a row as the job wrote it, with some cells changed."""
    ours = {"bw__username": user, "bw__domain": "", "bw__realm": HOST}
    return {**ours, "username": user, "realm": "office", "note": f"about {user}", **changes}


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ("0351", "351", True),
        ("0351 ", "351", True),
        (" 0351", "351 ", True),
        ("000", "0", True),
        ("351", "0351", False),  # mends what a spreadsheet did before
        ("0351 ", "0351", False),
        ("0351", "", False),
        ("0351", "352", False),
        ("A-0351", "A-351", False),
    ],
)
def test_lost_zeros(before: str, after: str, lost: bool) -> None:
    """Zeros missing at the start of a number are found, whatever became of the blanks around it."""
    assert lost_zeros(before, after) is lost


@pytest.mark.parametrize("name", ["0351", "0351 "])
def test_a_file_that_a_spreadsheet_took_zeros_off_is_refused(ledger: Ledger, name: str) -> None:
    """The refusal names row and column, but no cell; only an option accepts 351 for extension 0351."""
    job = imported(ledger, f"{HEADER}{name},{GOOD},office,x\n", Options(), {2: Status.FAILED})
    said = {2: as_written("351", note="x")}
    with pytest.raises(UsageError, match="off user names; bw__row 2, column 'username'") as refused:
        checked(ledger, job, said)
    assert "351" not in refused.value.message + refused.value.hint
    assert "--allow-lost-zeros" in refused.value.hint
    assert checked(ledger, job, said, zeros_may_go=True).unused == []
    rows = rows_in(EarlierRows(ledger, SEAL, job, job.options, said, zeros_may_go=True))
    assert [(row.user, row.problems) for row in rows] == [("351", ())]


def test_zeros_of_a_names_parts_count(ledger: Ledger) -> None:
    """Zeros missing in a template's column count, though the user name itself is no number."""
    options = Options(username="{note}-{username}")
    job = imported(ledger, f"{HEADER}0351,{GOOD},office,bos\n", options, {2: Status.FAILED})
    with pytest.raises(UsageError, match="bw__row 2, column 'username'"):
        checked(ledger, job, {2: {"username": "351", "bw__username": "bos-0351"}})


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("bw__username", "robert", "correct 'username' instead"),
        ("BW__Username", "robert", "correct 'username' instead"),
        ("bw__realm", "branch", "correct 'realm' instead"),
        ("bw__domain", "example.com", "write user@domain in 'username'"),
    ],
)
def test_a_correction_in_our_own_column_is_refused(
    ledger: Ledger, column: str, value: str, said: str
) -> None:
    """A correction in a bw__ column has no effect: it is refused, naming the row and the right column."""
    correction = as_written("bob")
    correction.pop(column.casefold())
    with pytest.raises(UsageError, match=r"bw__(username|domain|realm) was changed.*; bw__row 3$") as refused:
        checked(ledger, staff(ledger), {3: {**correction, column: value}, 4: as_written("carol")})
    assert said in refused.value.hint
    assert value not in refused.value.message + refused.value.hint.replace("user@domain", "")


def test_what_is_corrected_in_both_columns_is_fine(ledger: Ledger) -> None:
    """Corrections in both columns are accepted, and so are unchanged names and zeros lost in ours alone."""
    job = staff(ledger)
    both = as_written("robert")
    assert checked(ledger, job, {3: both, 4: as_written("carol")}).unused == []
    numbers = imported(ledger, f"{HEADER}0351,{GOOD},office,x\n", Options(), {2: Status.FAILED})
    assert checked(ledger, numbers, {2: as_written("0351", bw__username="351", note="x")}).unused == []


def test_corrections_to_no_effect_are_told(ledger: Ledger) -> None:
    """A correction of a row in place is reported as without effect; one of an unknown row is refused."""
    job = staff(ledger)
    said = {2: as_written("alice", note="changed"), 3: as_written("bob")}
    assert checked(ledger, job, said) == Effect(used=0, unused=[2])
    assert checked(ledger, job, {2: as_written("alice")}) == Effect()
    for change in ({"note": "changed"}, {PASSWORD: "Xy7-another-one"}):
        assert checked(ledger, job, {3: as_written("bob", **change)}) == Effect(used=1)
    with pytest.raises(UsageError, match="has no row 99"):
        checked(ledger, job, {99: as_written("bob")})


@pytest.mark.parametrize(
    ("users", "passwords", "refused"),
    [
        (("carol", "bob"), ("", ""), "bw__row 3; 4"),  # the roster's columns were sorted, and ours weren't
        (("Carol", "dave"), ("", ""), "bw__row 3"),  # a cell was removed, and those below went up
        (("carol", "bob"), (GOOD, ""), "bw__row 4"),
        (("carol", "bob"), (GOOD, GOOD), ""),
        (("robert", "bob"), ("", ""), "bw__row 4"),
        (("carol", "carol"), ("", ""), "bw__row 3"),
        (("alice", "carol"), ("", ""), ""),  # in place: the row is a duplicate
        (("robert", "caroline"), ("", ""), ""),
    ],
)
def test_no_row_takes_the_user_of_another_with_its_own_password(
    ledger: Ledger, users: tuple[str, str], passwords: tuple[str, str], refused: str
) -> None:
    """Rows are matched by their lines, so that a user would silently get another's sealed password."""
    job = staff(ledger)
    said = {
        line: {**as_written(user, bw__username=before), PASSWORD: password}
        for line, before, user, password in zip((3, 4), ("bob", "carol"), users, passwords, strict=True)
    }
    if refused:
        with pytest.raises(UsageError, match=f"users of other rows.*{refused}$") as error:
            checked(ledger, job, said)
        assert "bob" not in error.value.message + error.value.hint
    else:
        assert checked(ledger, job, said).unused == []


@pytest.mark.parametrize(
    ("content", "options", "cells"),
    [
        (  # FreePBX: the user name is the first filled of several columns, and the other one stays
            f"extension,name,tech,devicetype,secret,account\n101,Ann,pjsip,fixed,{GOOD}a,101\n"
            f"102,Bob,pjsip,fixed,{GOOD}b,102\n",
            Options(realm="office", source_format="freepbx"),
            ({"account": "102"}, {"account": "101"}),
        ),
        (  # one row names the realm, the other one has the default
            f"{HEADER}anna,{GOOD}a,,x\nbob,{GOOD}b,office,x\n",
            Options(realm="office"),
            ({"username": "bob"}, {"username": "anna"}),
        ),
    ],
    ids=["several columns", "default realm"],
)
def test_exchanged_users_are_found_by_their_names(
    ledger: Ledger, content: str, options: Options, cells: tuple[Mapping[str, str], Mapping[str, str]]
) -> None:
    """Two users are the same if the service would take them so, however their cells differ."""
    job = imported(ledger, content, options, dict.fromkeys((2, 3), Status.FAILED))
    with pytest.raises(UsageError, match=r"users of other rows.*bw__row 2; 3$"):
        checked(ledger, job, dict(zip((2, 3), cells, strict=True)))
