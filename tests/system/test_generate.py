"""Generated passwords: on the disk before they are sent, the same in each later run, never in silence."""

from __future__ import annotations

import csv
import fcntl
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import Row, User, expected, result_rows, truth, write
from tests.system.runs import end_of, run, until

HEADER = ["username", "domain", "realm", "password", "roster", "line"]
APPLICATION = "3f2b8c1e-7a64-4d0f-9b35-c1e8a2d47f60"
OWN = "Tb7xQ2mK9rL4vN8s"


def staff(program: Program, *users: str, name: str = "staff.csv", **passwords: str) -> Path:
    """A roster of these users without passwords, except for those given."""
    rows = [{"username": user, "password": passwords.get(user, ""), "site": "bos"} for user in users]
    return write(program.work / name, rows)


def generated(program: Program, name: str = "new.csv") -> dict[str, str]:
    """The passwords of the file, by user; nobody else may read it."""
    path = program.work / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
        assert list(rows[0]) == HEADER
    return {row["username"]: row["password"] for row in rows}


def in_place(sandbox: Sandbox, passwords: Iterable[tuple[str, str]]) -> bool:
    """Whether the registrar holds the digests of exactly these passwords."""
    users = [User(name, password) for name, password in passwords]
    return truth(sandbox) == expected(sandbox, users)


def codes(summary: dict[str, object]) -> dict[str, str]:
    """The code of each user in the results."""
    files = summary["files"]
    assert isinstance(files, dict)
    return {row["bw__username"]: row["bw__error_code"] for row in result_rows(files["results"])}


def test_rows_without_a_password_get_one(office: Program, sandbox: Sandbox) -> None:
    """The file has the password of each user who has none in the roster, and no other."""
    path = staff(office, "a1", "a2", "a3", a2=OWN)
    summary = run(office, "import", path, "--generate-passwords", "new.csv")
    assert summary["counts"] == {"created": 3}
    assert summary["warnings"] == {"password_generated": 2}
    passwords = generated(office)
    assert list(passwords) == ["a1", "a3"]
    assert all(len(one) == 22 and one.isalnum() for one in passwords.values())
    assert in_place(sandbox, [*passwords.items(), ("a2", OWN)])
    assert list(office.work.glob(".*.part")) == []


def test_no_password_is_anywhere_else(office: Program) -> None:
    """Neither in the output nor in any other file of the user's folder, the ledger included."""
    path = staff(office, "a1", "a2")
    finished = office.run("import", path, "--generate-passwords", "new.csv", "--debug")
    for password in generated(office).values():
        assert password not in finished.stdout + finished.stderr
        for file in office.home.rglob("*"):
            if file.is_file() and file.name != "new.csv":
                assert password.encode() not in file.read_bytes(), file


def test_a_later_run_reads_the_file(office: Program, sandbox: Sandbox) -> None:
    """The same users are unchanged, a new one is added below, and nothing in the file changes."""
    run(office, "import", staff(office, "a1", "a2"), "--generate-passwords", "new.csv")
    before = (office.work / "new.csv").read_bytes()
    again = run(office, "import", staff(office, "A1", "a2", "b1"), "--generate-passwords", "new.csv", code=10)
    assert again["counts"] == {"created": 1, "unchanged": 1, "exists": 1}
    assert codes(again)["A1"] == "case_differs"
    after = (office.work / "new.csv").read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == before.count(b"\n") + 1
    assert in_place(sandbox, generated(office).items())
    unchanged = (office.work / "new.csv").stat()
    run(office, "import", staff(office, "a1", "a2", "b1"), "--generate-passwords", "new.csv")
    assert (office.work / "new.csv").stat() == unchanged or after == (office.work / "new.csv").read_bytes()


def test_a_user_who_exists_keeps_the_password(office: Program, sandbox: Sandbox) -> None:
    """A user who is on the registrar and not in the file keeps the password, with a code of its own."""
    run(office, "import", staff(office, "a1", a1=OWN))
    summary = run(office, "import", staff(office, "a1", "a2"), "--generate-passwords", "new.csv", code=10)
    assert summary["counts"] == {"created": 1, "exists": 1}
    assert codes(summary) == {"a1": "password_kept", "a2": ""}
    (row,) = result_rows(summary["files"]["failed"])
    assert "keeps the present one; --rotate generates another" in row["bw__error"]
    assert list(generated(office)) == ["a2"]
    assert in_place(sandbox, [("a1", OWN), *generated(office).items()])


def test_a_kept_password_even_with_on_existing_update(office: Program, sandbox: Sandbox) -> None:
    """`--on-existing update` sets the roster's passwords, and the roster has none here."""
    run(office, "import", staff(office, "a1", a1=OWN))
    words = ["--generate-passwords", "new.csv", "--on-existing", "update", "--yes"]
    summary = run(office, "import", staff(office, "a1"), *words, code=10)
    assert codes(summary) == {"a1": "password_kept"}
    assert not (office.work / "new.csv").exists()
    assert in_place(sandbox, [("a1", OWN)])


def test_rotate(office: Program, sandbox: Sandbox) -> None:
    """Users who exist get a generated password, once; `--rotate` changes none that the roster has."""
    path = staff(office, "a1", "a2", a1=OWN, a2=OWN + "2")
    run(office, "import", path)
    blank = staff(office, "a1", "a2", a2=OWN + "3")
    words: list[str | Path] = ["import", blank, "--generate-passwords", "new.csv", "--rotate"]
    refused = office.run(*words)
    assert (refused.code, (office.work / "new.csv").exists()) == (6, False)  # nobody has confirmed it
    summary = run(office, *words, "--yes", code=10)
    assert summary["counts"] == {"updated": 1, "exists": 1}
    assert list(generated(office)) == ["a1"]
    assert in_place(sandbox, [*generated(office).items(), ("a2", OWN + "2")])
    again = run(office, *words, "--yes", code=10)
    assert again["counts"] == {"unchanged": 1, "exists": 1}


def test_rotate_of_a_user_whose_name_differs(office: Program, sandbox: Sandbox) -> None:
    """No password is generated that could not be set: another spelling makes other digests."""
    run(office, "import", staff(office, "anna", anna=OWN))
    words = ["--generate-passwords", "new.csv", "--rotate", "--yes"]
    summary = run(office, "import", staff(office, "ANNA"), *words, code=10)
    assert codes(summary) == {"ANNA": "password_kept;case_differs"}
    assert not (office.work / "new.csv").exists()


@pytest.mark.parametrize(
    ("password", "code"),
    [("********", "password_masked"), ("1234", "weak_password"), ("a1", "weak_password")],
)
def test_passwords_that_are_replaced(office: Program, sandbox: Sandbox, password: str, code: str) -> None:
    """A mask and, with --weak generate, a weak password are replaced, and the summary says why."""
    path = staff(office, "a1", "a2", "a3", a1=password, a2=OWN, a3=OWN + "3")
    summary = run(office, "import", path, "--generate-passwords", "new.csv", "--weak", "generate")
    assert summary["warnings"] == {"password_generated": 1, code: 1}
    assert in_place(sandbox, [*generated(office).items(), ("a2", OWN), ("a3", OWN + "3")])


def test_weak_ones_are_kept_without_the_option(office: Program, sandbox: Sandbox) -> None:
    """A weak password is the user's own unless --weak generate says otherwise."""
    path = staff(office, "a1", "a2", a1="abc123x")
    run(office, "import", path, "--generate-passwords", "new.csv")
    assert in_place(sandbox, [*generated(office).items(), ("a1", "abc123x")])


def test_a_roster_without_a_password_column(office: Program, sandbox: Sandbox) -> None:
    """A list of names is enough; without the option it is refused as before."""
    path = write(office.work / "names.csv", [{"extension": "0103"}, {"extension": "0104"}])
    assert office.run("import", path).code == 6
    run(office, "import", path, "--generate-passwords", "new.csv")
    assert list(generated(office)) == ["0103", "0104"]
    assert in_place(sandbox, generated(office).items())


@pytest.mark.parametrize("empty", [{}, {"password": ""}], ids=["alone", "beside an empty one"])
def test_a_column_that_may_have_the_passwords(
    office: Program, sandbox: Sandbox, empty: dict[str, str]
) -> None:
    """The roster's own passwords are not replaced because their column has an unusual name."""
    row = {"extension": "0103", **empty, "Telefongeheimnis": OWN}
    path = write(office.work / "names.csv", [row])
    words = ["import", str(path), "--generate-passwords", "new.csv"]
    finished = office.run(*words)
    assert (finished.code, sandbox.credentials()) == (6, [])
    assert "--map password=" in finished.stderr
    run(office, *words, "--map", "password=")
    assert in_place(sandbox, generated(office).items())


def test_a_known_column_has_the_passwords(office: Program, sandbox: Sandbox) -> None:
    """The roster's own passwords are sent; the PIN of a mailbox is none of them."""
    path = write(office.work / "own.csv", [{"extension": "0103", "Kennwort (SIP)": OWN}])
    run(office, "import", path, "--generate-passwords", "new.csv")
    assert in_place(sandbox, [("0103", OWN)])
    path = write(office.work / "pin.csv", [{"extension": "0104", "password": "", "Mailbox PIN": "4711"}])
    run(office, "import", path, "--generate-passwords", "new.csv")
    assert in_place(sandbox, [("0103", OWN), *generated(office).items()])


def test_rows_that_are_wrong_otherwise_get_none(office: Program, sandbox: Sandbox) -> None:
    """A row that can't be sent, or names a user a second time, stays invalid and gets no password."""
    summary = run(
        office, "import", staff(office, "a1", "a b", "A1"), "--generate-passwords", "new.csv", code=10
    )
    assert codes(summary) == {"a1": "", "a b": "bad_characters;password_missing", "A1": "duplicate_in_file"}
    assert list(generated(office)) == ["a1"]


def test_digests(office: Program, sandbox: Sandbox) -> None:
    """Digests that are valid on the realm are used; damaged ones are left to be corrected."""
    host = office.run("realm", "list", "--json").json[0]["realm"]
    good, bad = User("a1", OWN).digests(host), ("1.2E+31", "x")
    rows: list[Row] = [
        {"username": name, "password": "", "hash1": one, "hash1b": two}
        for name, (one, two) in {"a1": good, "a2": bad, "a3": ("", "")}.items()
    ]
    path = write(office.work / "digests.csv", rows)
    words = ["--realm", host, "--generate-passwords", "new.csv"]
    summary = run(office, "import", path, *words, code=10)
    assert codes(summary) == {"a1": "", "a2": "bad_hash", "a3": ""}
    assert in_place(sandbox, [("a1", OWN), *generated(office).items()])


def test_digests_for_a_new_realm(office: Program, sandbox: Sandbox) -> None:
    """No digest can have been made for a realm that doesn't exist yet: said, and replaced; by its name."""
    rows: list[Row] = [{"username": "a1", "hash1": "0" * 32, "hash1b": "1" * 32}]
    path = write(office.work / "digests.csv", rows)
    words: list[str | Path] = [
        "import",
        path,
        "--realm",
        "annex",
        "--create-realm",
        "--generate-passwords",
        "new.csv",
    ]
    summary = run(office, *words)
    assert summary["warnings"] == {"password_generated": 1, "hash_realm": 1}
    (password,) = generated(office).values()
    assert truth(sandbox) == expected(sandbox, [User("a1", password, "annex")])
    path = write(office.work / "names.csv", [{"username": "a1"}])
    again = run(office, "import", path, "--realm", "annex", "--generate-passwords", "new.csv")
    assert again["counts"] == {"unchanged": 1}


def test_the_file_is_a_roster(office: Program, sandbox: Sandbox) -> None:
    """It can be imported as it is, into the same realms with the same passwords."""
    run(office, "import", staff(office, "a1", "a2@x.example"), "--generate-passwords", "new.csv")
    again = run(office, "import", "new.csv")
    assert again["counts"] == {"unchanged": 2}
    results = result_rows(again["files"]["results"])
    assert [(row["roster"], row["line"]) for row in results] == [("staff.csv", "2"), ("staff.csv", "3")]


@pytest.mark.parametrize(
    ("alphabet", "length", "allowed"),
    [
        ("safe", 12, "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"),
        ("letters-digits", 40, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
        ("digits-symbols-letters", 64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!"),
    ],
)
def test_length_and_alphabet(office: Program, alphabet: str, length: int, allowed: str) -> None:
    """Each password has the length, only characters of the alphabet, and one of each class."""
    path = staff(office, *(f"u{number}" for number in range(300)))
    words = ["--generate-passwords", "new.csv", "--password-alphabet", alphabet, "--password-length", length]
    run(office, "import", path, *map(str, words))
    passwords = list(generated(office).values())
    assert len(set(passwords)) == 300
    assert {len(one) for one in passwords} == {length}
    assert set("".join(passwords)) <= set(allowed)
    for kind in (str.isupper, str.islower, str.isdigit):
        assert all(any(map(kind, one)) for one in passwords)
    assert all(one[0].isalpha() for one in passwords)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--rotate"], "--rotate needs --generate-passwords FILE"),
        (["--weak", "generate"], "--weak generate needs --generate-passwords FILE"),
        (["--generate-passwords", "-"], "must be a file on this machine"),
        (["--generate-passwords", "s3://bucket/new.csv"], "must be a file on this machine"),
        (["--generate-passwords", "new.csv", "--password-length", "11"], "12<=x<=64"),
        (["--generate-passwords", "new.csv", "--rotate", "--on-existing", "fail"], "use one of them"),
        (["--generate-passwords", "staff.csv"], "staff.csv, which is read"),
        (["--generate-passwords", "../work/staff.csv"], "which is read"),
        (["--generate-passwords", "r/results.csv", "--results", "r"], "is the result file"),
        (["--generate-passwords", "no/new.csv"], "no such file or directory"),
        (["--generate-passwords", "."], "can't be used"),
        (["--generate-passwords", "siproster.toml"], "is the settings file"),
    ],
)
def test_what_is_refused(office: Program, sandbox: Sandbox, words: list[str], told: str) -> None:
    """Wrong usage is exit 6, and nothing is sent or written."""
    path = staff(office, "a1")
    finished = office.run("import", path, *words)
    assert finished.code == 6, finished.stderr
    assert told in finished.stderr.lower() or told in finished.stderr
    assert sandbox.credentials() == []
    assert not (office.work / "new.csv").exists()


BROKEN = {
    "another file": ("username,password\na1,x\n", "is not a file of generated passwords"),
    "cut off": ("{header}\na9,,office,Abcdef", "line 2 is not a whole record"),
    "cut off in its last field": ("{header}\na9,,office,Abcdefgh23456,staff.csv,2", "line 2 is not a whole"),
    "no password": ("{header}\na9,,office,,staff.csv,2\n", "line 2 is not a whole record"),
    "a wrong line": ("{header}\na9,,office,Abc12345,staff.csv,2\na8;;office\n", "line 3 is not a whole"),
    "two passwords": (
        "{header}\na9,,office,Abc1,s,2\nA9,,OFFICE,Abc2,s,3\n",
        "line 3: A9 has another password",
    ),
    "no text": ("{header}\na9,,office,\udcff,s,2\n", "line 2 is not a whole record"),
    "an empty line": ("\n", "is not a file of generated passwords"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused(office: Program, sandbox: Sandbox, case: str) -> None:
    """It is neither read as something else nor replaced; the message has the line, and no password."""
    content, told = BROKEN[case]
    path = office.work / "new.csv"
    path.write_text(content.format(header=",".join(HEADER)), "utf-8", "surrogateescape")
    path.chmod(0o600)
    before = path.read_bytes()
    finished = office.run("import", staff(office, "a1"), "--generate-passwords", "new.csv")
    assert (finished.code, path.read_bytes()) == (6, before)
    assert told in finished.stderr
    assert "Abc" not in finished.stderr
    assert sandbox.credentials() == []
    assert not list(office.work.glob("siproster-*")), "no empty folder for results is left"


def test_a_file_that_others_may_read(office: Program, sandbox: Sandbox) -> None:
    """A wider mode is refused: somebody may have read the passwords already."""
    run(office, "import", staff(office, "a1"), "--generate-passwords", "new.csv")
    (office.work / "new.csv").chmod(0o640)
    finished = office.run("import", staff(office, "a2"), "--generate-passwords", "new.csv")
    assert (finished.code, "chmod 600" in finished.stderr) == (6, True)
    assert len(sandbox.credentials()) == 1


def test_an_empty_file(office: Program, sandbox: Sandbox) -> None:
    """An empty file of the right mode is a new one, also as the rest of a run that was killed."""
    (office.work / "new.csv").touch(mode=0o600)
    (office.work / ".new.csv.part").write_text("username,dom", encoding="utf-8")
    run(office, "import", staff(office, "a1"), "--generate-passwords", "new.csv")
    assert in_place(sandbox, generated(office).items())


def test_two_runs_at_once(office: Program, sandbox: Sandbox) -> None:
    """The second one is refused while the first writes; nothing of the file is lost."""
    path = office.work / "new.csv"
    with (office.work / ".new.csv.part").open("w", encoding="utf-8") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        finished = office.run("import", staff(office, "a1"), "--generate-passwords", path)
    assert (finished.code, "in use by another siproster" in finished.stderr) == (6, True)
    assert sandbox.credentials() == []
    run(office, "import", staff(office, "a1"), "--generate-passwords", path)
    assert list(generated(office)) == ["a1"]


@pytest.mark.parametrize("point", ["planned_page", "passwords_written", "planned", "claimed", "answered"])
def test_a_kill_loses_nothing(office: Program, sandbox: Sandbox, point: str) -> None:
    """However far an import came, the next one ends with the passwords of the file on the registrar."""
    path = staff(office, *(f"u{number}" for number in range(20)))
    words: list[str | Path] = ["import", path, "--generate-passwords", "new.csv"]
    killed = end_of(office.start(*words, SIPROSTER_FAILPOINTS=f"{point}=kill"))
    assert killed.code == -9
    kept = generated(office) if (office.work / "new.csv").exists() else {}
    assert bool(kept) is (point not in ("planned_page", "passwords_written"))
    assert bool(sandbox.credentials()) is (point == "answered")
    job = office.run("jobs", "--json").json[0]["job"]
    resumed = run(office, "resume", job)
    assert resumed["not_in_place"] == 0
    assert kept.items() <= generated(office).items()
    assert in_place(sandbox, generated(office).items())
    again = run(office, *words)
    assert again["counts"] == {"unchanged": 20}
    assert in_place(sandbox, generated(office).items())


def test_the_file_is_there_before_the_first_request(office: Program, sandbox: Sandbox) -> None:
    """While the first credentials are under way, their passwords are on the disk already."""
    sandbox.knobs(latency=1.0)
    process = office.start("import", staff(office, "a1"), "--generate-passwords", "new.csv")
    until(lambda: (office.work / "new.csv").exists(), process)
    assert sandbox.log("POST", "sipcredentials") == []
    assert end_of(process).code == 0
    assert in_place(sandbox, generated(office).items())


def test_a_plan_writes_nothing(office: Program, sandbox: Sandbox) -> None:
    """It says how many would be generated, with an account or without one; the file is read."""
    path = staff(office, "a1", "a2")
    run(office, "import", staff(office, "a1", name="first.csv"), "--generate-passwords", "new.csv")
    before = (office.work / "new.csv").read_bytes()
    planned = run(office, "plan", path, "--generate-passwords", "new.csv")
    assert planned["counts"] == {"create": 1, "unchanged": 1}
    assert planned["warnings"] == {"password_generated": 1}
    assert (office.work / "new.csv").read_bytes() == before
    assert run(office, "plan", path, "--generate-passwords", "other.csv", code=10)["counts"] == {
        "create": 1, "exists": 1,
    }  # fmt: skip
    assert not (office.work / "other.csv").exists()
    nobody = office.run("plan", path, "--generate-passwords", "new.csv", "--json", BW_ACCOUNT_ID="")
    assert (nobody.code, nobody.json["to_send"]) == (0, 2)


def test_a_saved_plan(office: Program, sandbox: Sandbox) -> None:
    """Its passwords are in the file when it is saved, and are those that are sent when it is carried out."""
    path = staff(office, "a1", "a2")
    plan = run(office, "plan", path, "--generate-passwords", "new.csv", "--save")["plan"]
    kept = generated(office)
    assert list(kept) == ["a1", "a2"]
    (office.work / "new.csv").unlink()
    summary = run(office, "import", "--plan", plan)
    assert summary["counts"] == {"created": 2}
    assert generated(office) == kept
    assert in_place(sandbox, kept.items())


def test_a_saved_plan_and_another_file(office: Program, sandbox: Sandbox) -> None:
    """If the file has other passwords than the plan by then, nothing is sent: it would be wrong."""
    plan = run(office, "plan", staff(office, "a1"), "--generate-passwords", "new.csv", "--save")["plan"]
    (password,) = generated(office).values()
    path = office.work / "new.csv"
    path.write_text(path.read_text("utf-8").replace(password, "Another1Password23456x"), encoding="utf-8")
    finished = office.run("import", "--plan", plan)
    assert (finished.code, sandbox.credentials()) == (6, [])
    assert "has another password for a1 than the one that was generated for line 2" in finished.stderr
    assert password not in finished.stderr


def test_retry(office: Program, sandbox: Sandbox) -> None:
    """Rows that failed are sent with the passwords of the file; rows without one get them, if asked for."""
    sandbox.knobs(applications=[APPLICATION.replace("3f", "4f")])
    words = ["--generate-passwords", "new.csv", "--application", APPLICATION]
    first = run(office, "import", staff(office, "a1", "a2"), *words, code=10)
    kept = generated(office)
    sandbox.knobs(applications=[APPLICATION])
    (office.work / "new.csv").unlink()
    assert run(office, "retry", first["job"])["counts"] == {"created": 2}
    assert generated(office) == kept
    assert in_place(sandbox, kept.items())


def test_retry_generates(office: Program, sandbox: Sandbox) -> None:
    """A job whose rows had no password is retried with generated ones."""
    first = run(office, "import", staff(office, "a1", "a2", a2=OWN), code=10)
    words = ["retry", first["job"], "--generate-passwords", "new.csv", "--password-length", "30"]
    assert run(office, *words)["counts"] == {"created": 1}
    assert [len(one) for one in generated(office).values()] == [30]
    assert in_place(sandbox, [*generated(office).items(), ("a2", OWN)])


def test_retry_rotates(office: Program, sandbox: Sandbox) -> None:
    """Users who kept their password get a generated one by the command that `explain` names."""
    run(office, "import", staff(office, "a1", a1=OWN))
    first = run(office, "import", staff(office, "a1"), "--generate-passwords", "new.csv", code=10)
    assert "siproster retry JOB --rotate" in office.run("explain", "password_kept").stdout
    assert run(office, "retry", first["job"], "--rotate", "--yes")["counts"] == {"updated": 1}
    assert in_place(sandbox, generated(office).items())


def test_retry_when_the_sealed_passwords_are_gone(office: Program, sandbox: Sandbox) -> None:
    """The roster and the file together have all passwords."""
    sandbox.knobs(applications=[APPLICATION.replace("3f", "4f")])
    path = staff(office, "a1", "a2", a2=OWN)
    words = ["--generate-passwords", "new.csv", "--keep-days", "0", "--application", APPLICATION]
    first = run(office, "import", path, *words, code=10)
    sandbox.knobs(applications=[APPLICATION])
    run(office, "import", staff(office, "z1", name="other.csv", z1=OWN))  # shreds what has expired
    assert run(office, "retry", first["job"], "--roster", path)["counts"] == {"created": 2}
    assert in_place(sandbox, [*generated(office).items(), ("a2", OWN), ("z1", OWN)])


def test_workers_send_them_too(hosts: Program, sandbox: Sandbox) -> None:
    """With a broker, the file is the command's, and the workers get the passwords from the ledger."""
    hosts.start("worker", "--processes", "1", log=hosts.home / "worker.log")
    run(hosts, "import", staff(hosts, "a1", "a2"), "--generate-passwords", "new.csv")
    assert in_place(sandbox, generated(hosts).items())


def test_verify_reads_the_file(office: Program, make_sandbox: Callable[..., Sandbox]) -> None:
    """`verify` tries the passwords of the file: for a roster, for a job, and where the file was moved to."""
    sandbox = make_sandbox("--sip-port", "0")
    office.environment |= sandbox.environment()
    path = staff(office, "a1", "a2", a2=OWN)
    registrar = ["--registrar", f"127.0.0.1:{sandbox.sip_port}", "--json"]
    words = ["--generate-passwords", "new.csv"]
    job = run(office, "import", path, *words)["job"]
    for tried in (
        ["verify", path, *words],
        ["verify", job, "--roster", path],
        ["verify", "latest", "--roster", path, *words],
    ):
        finished = office.run(*tried, *registrar)
        assert finished.code == 0, (tried, finished.stdout, finished.stderr)
    unknown = office.run("verify", path, *registrar)
    assert (unknown.code, "password_missing" in unknown.stderr) == (10, True)
