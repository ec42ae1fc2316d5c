"""Each failure's message leads to its repair: what it says is typed, and then the command works."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import openpyxl
import pytest

from tests.program import Finished, Program
from tests.sandbox import ACCOUNT, SECRET, Sandbox
from tests.servers import Postgres
from tests.system.rosters import roster_of, users
from tests.system.runs import until
from tests.tls import fronted

_PYTHON = re.compile(r"Traceback|\b[A-Z]\w+(?:Error|Exception)\b|\bErrno\b")
"""Words of Python, which no message has."""

Said = re.Match[str]


@dataclass
class Desk:
    """An engineer with a roster, one command to run, and nothing but its message."""

    program: Program
    words: list[str]
    earlier: dict[str, bytes] = field(default_factory=dict)
    """Backups: the contents of files by their names."""

    @property
    def ledger(self) -> Path:
        """The SQLite ledger, which a first command has made."""
        return self.program.home / ".local/state/siproster/ledger.sqlite"

    def run(self) -> Finished:
        """Run the command."""
        return self.program.run(*self.words)

    def type(self, command: str) -> None:
        """Type a command that a message names; the program itself, or one of the shell."""
        name, *rest = shlex.split(command)
        if name == "siproster":
            done = self.program.run(*rest)
            assert done.code == 0, done.stderr
        else:
            subprocess.run([name, *rest], cwd=self.program.work, check=True)

    def write(self, name: str, content: str, mode: int = 0o600) -> None:
        """Write a file into the working folder."""
        file = self.program.work / name
        file.write_text(content)
        file.chmod(mode)


Step = Callable[[Desk], object]
Repair = Callable[[Desk, Said], object]


@dataclass(frozen=True)
class Failure:
    """A failure. ``says``: the part of the message that says what to do; ``exit``: the exit code."""

    name: str
    words: str
    says: str
    repair: Repair
    provoke: Step = lambda desk: None
    exit: int = 6


def setting(name: str, value: str = r"\1") -> Repair:
    """Set a variable; in the value, ``\\1`` is what the message names."""
    return lambda desk, said: desk.program.environment.update({said.expand(name): said.expand(value)})


def adding(*words: str) -> Repair:
    """Add words to the command."""
    return lambda desk, said: desk.words.extend(map(said.expand, words))


def instead_of(word: str, new: str = r"\1") -> Repair:
    """Type something else in the place of a word."""

    def repair(desk: Desk, said: Said) -> None:
        desk.words[desk.words.index(word)] = said.expand(new)

    return repair


def without(desk: Desk, said: Said) -> None:
    """Leave an option and its value out."""
    at = desk.words.index(said[1])
    del desk.words[at : at + 2]


def typed(desk: Desk, said: Said) -> None:
    """Type the command that the message names, then the failed one again."""
    desk.type(said[1])


def just_typed(desk: Desk, said: Said) -> None:
    """The command that the message names takes the place of the failed one."""
    desk.words = shlex.split(said[1])[1:]


def environment(**variables: str) -> Step:
    """Set variables before the failure."""
    return lambda desk: desk.program.environment.update(variables)


def file(name: str, content: str, mode: int = 0o600) -> Step:
    """Write a file before the failure."""
    return lambda desk: desk.write(name, content, mode)


def foreign_results(desk: Desk) -> None:
    """Put a file that siproster didn't write where the results would be."""
    (desk.program.work / "theirs").mkdir()
    desk.write("theirs/results.csv", "mine\n")


def workbook(desk: Desk) -> None:
    """A workbook without the sheet that is asked for."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Berlin"
    sheet.append(["username", "password"])
    sheet.append(["ext1", "Pw-abcdefgh1234"])
    book.save(desk.program.work / "staff.xlsx")


def numbers(desk: Desk) -> None:
    """A workbook whose extensions are numbers, as every spreadsheet makes them."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (["Extension", "SIP Password"], [301, "Pw-abcdefgh1234"]):
        sheet.append(row)
    book.save(desk.program.work / "numbers.xlsx")


def saved_as_csv(desk: Desk, said: Said) -> None:
    """Save the workbook's sheet as CSV, and use that."""
    desk.write("numbers.csv", "Extension,SIP Password\n301,Pw-abcdefgh1234\n")
    desk.words[-1] = "numbers.csv"


def sandbox_gone(desk: Desk) -> None:
    """The address of a sandbox that has ended."""
    desk.earlier["address"] = desk.program.environment["BW_API_URL"].encode()
    desk.program.environment["BW_API_URL"] = "http://127.0.0.1:9"


def address_corrected(desk: Desk, said: Said) -> None:
    """Name the address of one that runs."""
    desk.program.environment["BW_API_URL"] = desk.earlier["address"].decode()


def archive(desk: Desk) -> None:
    """A ZIP archive with the roster in it."""
    with zipfile.ZipFile(desk.program.work / "staff.zip", "w") as packed:
        packed.write(desk.program.work / "staff.csv", "staff.csv")


def imported(desk: Desk) -> None:
    """An earlier job, and with it a ledger and its key."""
    assert desk.program.run("import", "staff.csv", "--results", "first").code == 0


def key_file(change: Callable[[Path], object]) -> Step:
    """Something that happens to the key beside a ledger with a job; there is a backup of it."""

    def step(desk: Desk) -> None:
        imported(desk)
        path = desk.ledger.with_name("ledger.sqlite.key")
        desk.earlier[path.name] = path.read_bytes()
        change(path)

    return step


def restored(desk: Desk, said: Said) -> None:
    """Put the file that the message names back from the backup."""
    path = Path(said[1])
    path.write_bytes(desk.earlier[path.name])
    path.chmod(0o600)


def another_key(desk: Desk) -> None:
    """A job that is sealed with the key beside the ledger, and then a SIPROSTER_KEY."""
    assert desk.program.run("import", "bad.csv", "--results", "first").code == 10
    path = desk.ledger.with_name("ledger.sqlite.key")
    desk.earlier["key"] = path.read_bytes().strip()
    desk.program.environment["SIPROSTER_KEY"] = desk.program.run("keygen").stdout.strip()


def second_key(desk: Desk, _said: Said) -> None:
    """Add the job's key behind a comma."""
    desk.program.environment["SIPROSTER_KEY"] += "," + desk.earlier["key"].decode()


def damaged(desk: Desk) -> None:
    """A ledger that is no database."""
    imported(desk)
    for path in desk.ledger.parent.glob("ledger.sqlite*-*"):
        path.unlink()
    desk.ledger.write_bytes(b"garbage" * 1000)


def newer(desk: Desk) -> None:
    """A ledger of a later version."""
    imported(desk)
    with closing(sqlite3.connect(desk.ledger)) as ledger, ledger:
        ledger.execute("UPDATE meta SET value = '99' WHERE name = 'version'")


def corrected(desk: Desk, said: Said) -> None:
    """Correct failed.csv, and run the command that the summary names."""
    path = Path(shlex.split(said[1])[-1])
    path.write_text(path.read_text().replace("ext 1", "ext1"))
    just_typed(desk, said)


def failed_twice(desk: Desk) -> None:
    """Two jobs with a wrong row, and the first one's failed.csv, corrected."""
    for folder in ("first", "again"):
        assert desk.program.run("import", "bad.csv", "--results", folder).code == 10
    failed = desk.program.work / "first/failed.csv"
    failed.write_text(failed.read_text().replace("ext 1", "ext1"))


def its_own_job(desk: Desk, said: Said) -> None:
    """Retry the job that the message names, with the same file."""
    desk.words = [*shlex.split(said[1])[1:], desk.words[-1]]


def path_of_ledger(desk: Desk) -> None:
    """A ledger that is given as a path."""
    desk.program.environment["SIPROSTER_LEDGER"] = str(desk.program.work / "own.sqlite")


LIST = "201,Pw-abcdefgh1234,Dana\n202,Pw-abcdefgh1235,Lee\n"

FAILURES = [
    Failure("no account", "import staff.csv", r"not set: (BW_ACCOUNT_ID)\n.*set them in the environment",
            setting(r"\1", ACCOUNT), environment(BW_ACCOUNT_ID="")),
    Failure("a wrong secret", "plan staff.csv", r"correct BW_CLIENT_ID, (BW_CLIENT_SECRET)",
            setting(r"\1", SECRET), environment(BW_CLIENT_SECRET="wrong"), exit=2),
    Failure("a wrong account", "plan staff.csv", "correct it with (--account) ID",
            adding(r"\1", ACCOUNT), environment(BW_ACCOUNT_ID="1234567"), exit=3),
    Failure("a proxy of no kind", "plan staff.csv", r"(HTTPS_PROXY): .*\n.*or unset it", setting(r"\1", ""),
            environment(HTTPS_PROXY="ftp://proxy:21")),
    Failure("a wrong realm", "plan staff.csv --realm nope", r"realms of the account: (\S+);",
            instead_of("nope"), exit=3),
    Failure("a wrong job", "status nope", "`(siproster jobs)` lists them", instead_of("nope", "latest"),
            imported, exit=3),
    Failure("a mistyped job", "status lastest", r"did you mean (\S+)\?", instead_of("lastest"), imported,
            exit=3),
    Failure("a job's middle", "status staff", r"did you mean (\S+-staff-\S+)\?", instead_of("staff"),
            imported, exit=3),
    Failure("a folder of results for a job", "status first", r"did you mean (\S+)\?", instead_of("first"),
            imported, exit=3),
    Failure("failed.csv of an earlier job", "retry latest --corrections first/failed.csv",
            r"for \S+: (siproster retry \S+ --corrections) FILE", its_own_job, failed_twice),
    Failure("a secret in quotes", "plan staff.csv", r"(BW_CLIENT_SECRET) \(environment\) .* in quotes",
            setting(r"\1", SECRET), environment(BW_CLIENT_SECRET=f"'{SECRET}'")),
    Failure("a ledger's path for its URL", "jobs", r"(SIPROSTER_LEDGER) .*\n\s+write it as (\S+)",
            setting(r"\1", r"\2"), path_of_ledger),
    Failure("a command that isn't needed", "jobs list", "did you mean `(siproster jobs)`", just_typed),
    Failure("a name for a command", "formats freepbx", "did you mean `(siproster formats show freepbx)`",
            just_typed),
    Failure("swapped columns", "plan swapped.csv", r"if they are swapped, add: (\S+) (\S+) (\S+) (\S+)",
            adding(r"\1", r"\2", r"\3", r"\4"),
            file("swapped.csv", "username,password\nPw-abcdefgh1234,201\nPw-abcdefgh1235,202\n")),
    Failure("a list without a header", "plan list.csv", r"put a line in front of it, such as (\S+)",
            lambda desk, said: desk.write("list.csv", f"{said[1]}\n{LIST}"), file("list.csv", LIST)),
    Failure("a wrong file name", "plan stuff.csv", r"did you mean (\S+)\?", instead_of("stuff.csv")),
    Failure("a wrong command", "imprt staff.csv", r"Did you mean '(\w+)'\?", instead_of("imprt")),
    Failure("a wrong option", "plan staff.csv --batchsize 5", "Did you mean one of: '(--[a-z-]+)'",
            instead_of("--batchsize")),
    Failure("a wrong delimiter", "plan staff.csv --delimiter ;", "leave out (--[a-z-]+),", without),
    Failure("a wrong header line", "plan staff.csv --header-line 2", "leave out (--[a-z-]+),", without),
    Failure("a wrong encoding", "plan staff.csv --encoding utf-77", "such as (utf-8)",
            instead_of("utf-77")),
    Failure("a wrong sheet", "plan staff.xlsx --sheet Bonn", r"(--sheet) NAME .* the sheets are: '(\w+)'",
            instead_of("Bonn", r"\2"), workbook),
    Failure("extensions that are numbers", "plan numbers.xlsx", "save the sheet as CSV and use that",
            saved_as_csv, numbers, exit=10),
    Failure("a sandbox that is gone", "plan staff.csv --patience 0", "start it again with `siproster sandbox",
            address_corrected, sandbox_gone, exit=5),
    Failure("a shell that isn't named", "completion", r"Choose from: (\w+), \w+, \w+$", adding(r"\1")),
    Failure("a ZIP archive", "plan staff.zip", "(zip://)MEMBER::FILE.zip",
            instead_of("staff.zip", r"\1staff.csv::staff.zip"), archive),
    Failure("an unknown password column", "plan odd.csv", r"(--map) (password=\S+) names it",
            adding(r"\1", r"\2"), file("odd.csv", "username,passwrd\next1,Pw-abcdefgh1234\n")),
    Failure("a PIN column", "plan pins.csv", "or use (--weak) (warn)", adding(r"\1", r"\2"),
            file("pins.csv", "username,password\n" + "".join(f"ext{at},{1040 + at}\n" for at in range(9)))),
    Failure("generated passwords that others may read", "plan staff.csv --generate-passwords made.csv",
            r"then run: (chmod 600 \S+)", typed,
            file("made.csv", "username,domain,realm,password,roster,line\n", 0o644)),
    Failure("a wrong time zone", "plan staff.csv --not-before '2026-01-01 05:30 Europe/Berlim'",
            r"did you mean (\S+)\?", instead_of("2026-01-01 05:30 Europe/Berlim", r"2026-01-01 05:30 \1")),
    Failure("a mistyped setting", "plan staff.csv", r"did you mean (\S+)\?",
            lambda desk, said: desk.write("siproster.toml", f"{said[1]} = 50\n"),
            file("siproster.toml", "batchsize = 50\n")),
    Failure("settings that others may write", "plan staff.csv", r"then run: (chmod go-w \S+)", typed,
            file("siproster.toml", "batch-size = 50\n", 0o666)),
    Failure("a missing profile", "plan staff.csv --profile b", r"no profile 'b'\n\s+known: (\w+)",
            instead_of("b"), file("siproster.toml", "[profile.a]\nrate = 50\n")),
    Failure("results of somebody else", "import staff.csv --results theirs",
            "another folder with --results", instead_of("theirs", "own"), foreign_results),
    Failure("a key that others may read", "import staff.csv", r"run: (chmod 600 \S+)", typed,
            key_file(lambda path: path.chmod(0o644))),
    Failure("a lost key", "import staff.csv", r"(\S+) is missing.*\n\s+put it back from a backup", restored,
            key_file(Path.unlink)),
    Failure("an overwritten key", "import staff.csv", r"(\S+) contains no key\n\s+put the file back",
            restored, key_file(lambda path: path.write_text("x\n"))),
    Failure("another key", "undo latest --yes", "add that key to SIPROSTER_KEY, behind a comma", second_key,
            another_key),
    Failure("a damaged ledger", "import staff.csv", "move it away with `(mv [^`]+)`", typed, damaged, exit=1),
    Failure("a newer ledger", "import staff.csv", "another ledger with (SIPROSTER_LEDGER)",
            setting(r"\1", "sqlite:///other.sqlite"), newer, exit=1),
    Failure("a wrong row", "import bad.csv", r"once corrected: (siproster retry .*)", corrected, exit=10),
]  # fmt: skip


@pytest.fixture
def desk(office: Program) -> Desk:
    """A desk with a roster that is right, and one with a row that isn't."""
    desk = Desk(office, [])
    roster_of(office.work / "staff.csv", users(3))
    desk.write("bad.csv", "username,password\next 1,Pw-abcdefgh1234\next2,Pw-abcdefgh1235\n")
    return desk


def assert_repaired(desk: Desk, failure: Failure) -> None:
    """The command fails without words of Python; its message is followed, and the command works."""
    desk.words = shlex.split(failure.words)
    failure.provoke(desk)
    failed = desk.run()
    everything = failed.stderr + failed.stdout
    assert failed.code == failure.exit, everything
    assert not _PYTHON.search(everything), everything
    said = re.search(failure.says, everything)
    assert said, everything
    failure.repair(desk, said)
    works = desk.run()
    assert works.code == 0, works.stderr


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_the_message_leads_to_the_repair(desk: Desk, failure: Failure) -> None:
    """Each of the failures that an engineer alone can cause and repair."""
    assert_repaired(desk, failure)


def test_a_certificate_of_an_unknown_authority(desk: Desk, sandbox: Sandbox, tmp_path: Path) -> None:
    """A proxy that opens TLS signs with an authority of its own."""
    with fronted(tmp_path, sandbox.port) as front:
        failure = Failure(
            "a certificate", "import staff.csv --patience 0.5", "set (SSL_CERT_FILE) to the PEM file",
            setting(r"\1", str(front.certificate)),
            environment(BW_API_URL=f"https://localhost:{front.port}"), exit=5,
        )  # fmt: skip
        assert_repaired(desk, failure)


def test_no_worker(desk: Desk, redis_url: str) -> None:
    """A job that no worker takes holds its account; then a worker is started, and the job is resumed."""

    def started(desk: Desk, said: Said) -> None:
        desk.program.start(*said[1].split()[1:], "--processes", "1", log=desk.program.home / "worker.log")
        until(lambda: desk.program.run("workers", "--json").json["workers"])
        desk.words = said[2].split()[1:]

    worker = r"start one with `(siproster worker)`\ncontinue with: (siproster resume \S+)"
    assert_repaired(desk, Failure(
        "no worker", "import staff.csv --patience 0.5", worker, started,
        environment(SIPROSTER_BROKER=redis_url), exit=5,
    ))  # fmt: skip


def test_a_busy_account(desk: Desk, redis_url: str) -> None:
    """A job that nobody works on keeps others from its account until it is cancelled."""
    desk.program.environment["SIPROSTER_BROKER"] = redis_url
    assert_repaired(desk, Failure(
        "a busy account", "import staff.csv --detach", r"end it: (siproster cancel \S+)", typed,
        lambda desk: desk.type("siproster import staff.csv --detach"),
    ))  # fmt: skip


def test_a_missing_database(desk: Desk, postgres_server: Postgres) -> None:
    """The ledger's database was never created."""
    ledger = postgres_server.url("siproster_repairs")
    key = desk.program.run("keygen").stdout.strip()
    assert_repaired(desk, Failure(
        "a missing database", "jobs", r"create it with `createdb (\w+)`",
        lambda _desk, said: postgres_server.create_database(said[1]),
        environment(SIPROSTER_LEDGER=ledger, SIPROSTER_KEY=key), exit=1,
    ))  # fmt: skip
