"""The program's own functions, stage by stage: the one place to change when they are renamed or moved.

Each stage is given what the stage before it has made, so that it is measured alone, over a whole roster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.benchmarks import users
from tests.unit.sessions import Session
from worker import report, roster, throttle
from worker.api import Api, request_xml, response_xml
from worker.importing.change_log import change_of
from worker.importing.compare import fill_digests, wanted
from worker.importing.create import BatchCreator
from worker.importing.decide import decide
from worker.importing.job import new_job
from worker.importing.ledger_writer import LedgerWriter
from worker.importing.lookup import CredentialLookup
from worker.importing.plan_summary import PlanSummary
from worker.importing.realms import JobRealms
from worker.importing.validation import validated_pages
from worker.ledger import Claim, JobRealm, Ledger
from worker.ledger.codec import open_chunk, seal_changes, seal_chunk
from worker.model import (
    Answer,
    Credential,
    Endpoint,
    Family,
    Job,
    JobState,
    Options,
    Outcome,
    Realm,
    Row,
    Status,
)
from worker.seal import Seal

REALM = Realm(users.REALM_ID, users.HOST, default=True, credentials=0)
FAMILY = Family.ACCOUNT
LEASE = 120.0


@dataclass(frozen=True)
class Stage:
    """``work`` is measured with what ``prepare`` returned; it does it for every row of the roster."""

    name: str
    what: str
    prepare: Callable[[], Any]
    work: Callable[[Any], object]


class Service:
    """An account that has one realm and nobody on it, and stores whatever is posted."""

    def __init__(self, answers: Iterator[Answer]) -> None:
        self._answers = answers

    def realms(self) -> list[Realm]:
        return [REALM]

    def realm(self, ref: str) -> Realm:
        return REALM

    def default_realm(self) -> Realm:
        return REALM

    def create_realm(self, name: str, description: str = "", default: bool = False) -> Realm:
        raise AssertionError("no roster of a benchmark asks for a new realm")

    def credentials(self, family: Family, realm: Realm | None) -> Iterator[Any]:
        return iter(())

    def find(self, family: Family, realm: Realm | None, composite: str, *, expected: bool = False) -> None:
        return None

    def whole(self, family: Family, realm: Realm | None, stored: Any) -> Any:
        return stored

    def create(
        self, family: Family, realm: Realm, batch: Sequence[Row], permit: Callable[[float], None]
    ) -> Answer:
        permit(30.0)
        return next(self._answers)


class Way:
    """The path of a roster's rows through the program, and the data between its stages."""

    def __init__(self, folder: Path, path: Path, batch: int, url: str) -> None:
        self._folder, self._path, self._batch = folder, path, batch
        self._options = Options(batch_size=batch)
        self._seal = Seal([bytes(range(32))])
        self._ledger = Ledger(f"sqlite:///{folder}/ledger.db")
        self._endpoint = Endpoint(url, users.ACCOUNT, client_id=users.CLIENT, client_secret=users.SECRET)
        self._api = Api(self._endpoint, throttle.local(None))
        self._jobs = 0
        self._opened = roster.open_roster(str(path), self._options)
        self._rows = list(self._opened.rows())
        self._chunk_rows = [replace(row, realm_key=0, host=users.HOST) for row in self._rows]
        self._credentials = [wanted(row, users.HOST) for row in self._chunk_rows]
        self._bodies = [_answer(batch) for batch in self._cut(self._credentials)]

    def stages(self) -> list[Stage]:
        """Return every stage, in the order of a row's way."""
        return [
            Stage("read", "open_roster: hashed, counted, passwords surveyed", _nothing, self._read),
            Stage("rows", "Roster.pages: read once more, validated", _nothing, self._pages),
            Stage("duplicates", "validated_pages: realms, names on disk", self._read_pages, self._validate),
            Stage("decide", "look_up, decide, count: an empty account", self._validated, self._decide),
            Stage("seal, store", "LedgerWriter: pages and chunks into SQLite", self._decided, self._store),
            Stage("open", "open_chunk", self._sealed, self._open),
            Stage("digests", "fill_digests: two MD5", self._fresh_rows, self._digests),
            Stage("XML", "credentials_xml", _nothing, self._xml),
            Stage("request", "Api.create: XML, POST and answer", _nothing, self._request),
            Stage("answer", "read_answer", _nothing, self._answer),
            Stage("match", "BatchCreator: answer at hand, digests included", self._answers, self._match),
            Stage("change log", "changes, sealed", _nothing, self._change_log),
            Stage("outcomes", "Chunks.record into SQLite", self._claims, self._outcomes),
            Stage("results", "report.write", self._recorded, self._results),
        ]  # fmt: skip

    def close(self) -> None:
        """Close what was opened."""
        self._opened.close()
        self._api.close()
        self._ledger.close()

    def _cut(self, rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
        return (rows[at : at + self._batch] for at in range(0, len(rows), self._batch))

    def _job(self) -> Job:
        """Return a new job on an account of its own, since an account has one writing job at a time."""
        self._jobs += 1
        endpoint = Endpoint(self._endpoint.host, f"{self._jobs}")
        job = new_job(endpoint, self._options, self._opened, self._seal.fingerprint)
        self._ledger.jobs.begin(job, "bench:1")
        self._ledger.jobs.add_realm(job.id, 0, "", REALM)
        return job

    def _read(self, _: object) -> None:
        roster.open_roster(str(self._path), self._options).close()

    def _pages(self, _: object) -> None:
        for _page in self._opened.pages():
            pass

    def _read_pages(self) -> Everybody:
        return Everybody(list(self._opened.pages()))

    def _validate(self, roster_: Everybody) -> list[list[Row]]:
        return list(validated_pages(roster_, self._realms(), FAMILY))

    def _validated(self) -> list[list[Row]]:
        return self._validate(self._read_pages())

    def _realms(self) -> JobRealms:
        return JobRealms(Service(iter(())), None, "", self._options)

    def _decide(self, pages: list[list[Row]]) -> PlanSummary:
        summary = PlanSummary()
        with CredentialLookup(Service(iter(())), self._realms(), self._options, Everybody(pages)) as look:
            for page in pages:
                look.look_up(page)
                decide(page, self._options)
                summary.add(page)
        return summary

    def _decided(self) -> tuple[Job, list[list[Row]], PlanSummary]:
        pages = self._validated()
        return self._job(), pages, self._decide(pages)

    def _store(self, given: tuple[Job, list[list[Row]], PlanSummary]) -> Job:
        job, pages, summary = given
        writer = LedgerWriter(self._ledger, self._seal, job)
        for page in pages:
            writer.write(page)
        writer.finish(summary)
        return job

    def _sealed(self) -> list[bytes]:
        size = self._options.chunk_size
        chunks = (self._chunk_rows[at : at + size] for at in range(0, len(self._chunk_rows), size))
        return [seal_chunk(self._seal, "job", seq, rows) for seq, rows in enumerate(chunks)]

    def _fresh_rows(self) -> list[Row]:
        return [replace(row) for row in self._chunk_rows]

    def _open(self, sealed: list[bytes]) -> None:
        for seq, one in enumerate(sealed):
            open_chunk(self._seal, "job", seq, one)

    def _digests(self, rows: list[Row]) -> None:
        fill_digests(rows)

    def _xml(self, _: object) -> None:
        for batch in self._cut(self._credentials):
            request_xml.credentials_xml(batch, FAMILY)

    def _request(self, _: object) -> None:
        for batch in self._cut(self._credentials):
            self._api.create(FAMILY, REALM, batch, lambda _seconds: None)

    def _answer(self, _: object) -> None:
        for body, batch in zip(self._bodies, self._cut(self._credentials), strict=True):
            response_xml.read_answer(body, batch)

    def _answers(self) -> list[Answer]:
        batches = self._cut(self._credentials)
        return [
            response_xml.read_answer(body, batch) for body, batch in zip(self._bodies, batches, strict=True)
        ]

    def _match(self, answers: list[Answer]) -> list[Outcome]:
        session = Session(realms={0: JobRealm(0, REALM.id, REALM.host, looked=True)})
        creator = BatchCreator(session, Service(iter(answers)))
        for batch in self._cut(self._fresh_rows()):
            creator.create(batch)
        return list(session.outcomes.values())

    def _change_log(self, _: object) -> None:
        for number, batch in enumerate(self._cut(self._credentials)):
            changes = [change_of(line, 0, str(line), done) for line, done in enumerate(batch)]
            seal_changes(self._seal, "job", 0, number, changes)

    def _claims(self) -> tuple[Job, list[tuple[Claim, list[Row]]]]:
        job = self._store(self._decided())
        self._ledger.jobs.start(job.id)
        claims = []
        for seq in self._ledger.chunks.due(job.id, idle=True):
            claim = self._ledger.chunks.claim(job.id, seq, "bench:1", LEASE)
            assert claim is not None
            claims.append((claim, open_chunk(self._seal, job.id, seq, claim.sealed)))
        return job, claims

    def _outcomes(self, given: tuple[Job, list[tuple[Claim, list[Row]]]]) -> None:
        for claim, rows in given[1]:
            for batch in self._cut(rows):
                outcomes = [Outcome(row.line, Status.CREATED, str(row.line), "", "", 1) for row in batch]
                self._ledger.chunks.record(claim, outcomes, LEASE)

    def _recorded(self) -> Job:
        given = self._claims()
        self._outcomes(given)
        assert self._ledger.jobs.state(given[0].id) is JobState.RUNNING
        return self._ledger.jobs.get(given[0].id)

    def _results(self, job: Job) -> None:
        report.write(self._ledger, self._seal, job, self._folder / job.id)


class Everybody:
    """A roster whose pages are in memory (importing.validation.RosterPages)."""

    def __init__(self, pages: Sequence[list[Row]]) -> None:
        self._pages = pages
        self.records = sum(map(len, pages))
        self.whole = True

    def name_line(self, line: int) -> str:
        """Return a row's line in words."""
        return f"line {line}"

    def taken(self) -> Iterator[list[Row]]:
        return iter(())

    def pages(self) -> Iterator[list[Row]]:
        return iter(self._pages)


def _nothing() -> None:
    """Prepare nothing, as most stages need nothing new."""


def _answer(batch: Sequence[Credential]) -> bytes:
    """Return the service's answer to a batch: all of it created."""
    entries = "".join(
        f"<SipCredential><Id>{at}</Id><RealmId>{REALM.id}</RealmId><UserName>{one.user}</UserName>"
        f"<Hash1>{one.hash1}</Hash1><Hash1b>{one.hash1b}</Hash1b><Realm>{one.host}</Realm></SipCredential>"
        for at, one in enumerate(batch, 1_000_000_000)
    )
    valid = f"<ValidSipCredentials>{entries}</ValidSipCredentials>"
    return f"<SipCredentialsResponse>{valid}</SipCredentialsResponse>".encode()
