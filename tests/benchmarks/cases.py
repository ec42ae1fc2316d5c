"""What is measured: each section is a function that runs its cases and yields a record for each."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tests.benchmarks import ceiling, users
from tests.benchmarks.rig import (
    EMBEDDED,
    REDIS_POSTGRES,
    REDIS_SQLITE,
    SCRIPT,
    WORKERS,
    Contestant,
    Measured,
    Rig,
)
from tests.benchmarks.server import Case
from tests.program import CLI

CONTESTANTS = (SCRIPT, REDIS_SQLITE, REDIS_POSTGRES, EMBEDDED)
LATENCY = 0.2
IN_FLIGHT = 8
_MOST_SAMPLES = 120
_ONCE_FROM = 1_000_000
"""Rows from which a roster is imported in one round only."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    rows: tuple[int, ...]
    """Rosters of the imports at zero latency."""
    rounds: int
    latency_seconds: float
    """How long the imports with latency should take at least."""
    plan: int
    stored: int
    again: int
    pace_seconds: float


DEFAULT = Sizes((10_000, 100_000), 2, 8, 100_000, 200_000, 100_000, 20)
FULL = Sizes((10_000, 100_000, 1_000_000), 3, 60, 1_000_000, 1_000_000, 1_000_000, 60)
QUICK = Sizes((2_000,), 1, 1, 2_000, 2_000, 2_000, 3)


@dataclass(frozen=True)
class Record:
    """One measurement. What doesn't apply is None."""

    section: str
    what: str
    rows: int
    batch: int | None = None
    latency_ms: int | None = None
    round: int = 0
    seconds: float = 0.0
    """The whole command, with its start-up."""
    rows_per_second: float | None = None
    cpu_us_per_row: float | None = None
    """Of the command and its workers."""
    stores_cpu_us_per_row: float | None = None
    """Of Redis and PostgreSQL."""
    service_cpu_us_per_row: float | None = None
    """Of the stand-in, so that it can be seen not to be the limit."""
    command_mb: float | None = None
    worker_mb: float | None = None
    posts: int | None = None
    requests: int | None = None
    """All requests that the service saw."""
    of_limit: float | None = None
    """Share of what the service allows: by its latency and the requests in flight, or by its rate limit."""
    refused: float | None = None
    """Share of the posts that were answered with 429."""
    memory: tuple[tuple[float, float], ...] = ()
    """Seconds and resident megabytes of the command."""


Section = Callable[[Rig, Sizes], Iterator[Record]]


def imports(rig: Rig, sizes: Sizes) -> Iterator[Record]:
    """Import rosters of growing size at zero latency: every contestant in turn, in several rounds."""
    for rows in sizes.rows:
        roster = rig.roster(rows)
        for batch in (100, 500):
            for number in range(sizes.rounds if rows < _ONCE_FROM else 1):
                for contestant in CONTESTANTS:
                    options = _options(contestant, batch)
                    measured = rig.measure(contestant, roster, Case(), *options)
                    _expect(measured, {"created": rows})
                    yield _record("import", contestant.name, rows, measured, batch=batch, round=number)
    rows = min(sizes.rows[0], 5_000)
    measured = rig.measure(SCRIPT, rig.roster(rows), Case(), *_options(SCRIPT, 1))
    yield _record("import", "script, one a POST", rows, measured, batch=1)


def latency(rig: Rig, sizes: Sizes) -> Iterator[Record]:
    """Import with 200 ms a request and 8 requests in flight in all, workers together."""
    for batch in (100, 500):
        rows = int(sizes.latency_seconds / LATENCY) * IN_FLIGHT * batch
        for contestant in CONTESTANTS:
            each = IN_FLIGHT // WORKERS if contestant.broker else IN_FLIGHT
            options = _options(contestant, batch, each)
            measured = rig.measure(contestant, rig.roster(rows), Case(latency=LATENCY), *options)
            _expect(measured, {"created": rows})
            yield _late(contestant.name, rows, measured, batch)
    rows = int(sizes.latency_seconds / LATENCY) * IN_FLIGHT
    measured = rig.measure(SCRIPT, rig.roster(rows), Case(latency=LATENCY), *_options(SCRIPT, 1))
    yield _late("script, one a POST", rows, measured, 1)


def plans(rig: Rig, sizes: Sizes) -> Iterator[Record]:
    """Plan without an account; then plan and import against an account that is full."""
    rig.service.begin(Case())
    program = rig.home(EMBEDDED, account=False)
    command = [sys.executable, str(CLI), "plan", str(rig.roster(sizes.plan)), "--json"]
    yield _record("plan", "plan without an account", sizes.plan, rig.observe(program, command))
    rows = sizes.stored // 10
    new, differing, same = users.mixed_counts(rows)
    roster = rig.mixed_roster(sizes.stored, rows)
    program = rig.home(EMBEDDED)
    rig.service.begin(Case(stored=sizes.stored))
    command = [sys.executable, str(CLI), "plan", str(roster), "--on-existing", "update", "--json"]
    measured = rig.observe(program, command)
    _expect(measured, {"create": new, "update": differing, "unchanged": same})
    # Every stored entry is read, so these two are told by the entry.
    yield _record("plan", f"plan, {sizes.stored:,} stored", sizes.stored, measured)
    measured = rig.measure(EMBEDDED, roster, Case(stored=sizes.stored), "--batch-size", "500")
    _expect(measured, {"created": new, "unchanged": same, "exists": differing})
    yield _record("plan", f"import, {sizes.stored:,} stored", sizes.stored, measured)


def again(rig: Rig, sizes: Sizes) -> Iterator[Record]:
    """Import a roster that is stored already, as it is after an import: no request may write."""
    for contestant in (EMBEDDED, REDIS_SQLITE):
        measured = rig.measure(contestant, rig.roster(sizes.again), Case(stored=sizes.again))
        _expect(measured, {"unchanged": sizes.again})
        assert not measured.service["requests"].get("post"), measured.service
        yield _record("again", f"the same roster again, {contestant.name}", sizes.again, measured)


def commands(rig: Rig, sizes: Sizes) -> Iterator[Record]:
    """Run the small commands on a ledger with one job: the median of five runs."""
    program = rig.home(EMBEDDED)
    rig.service.begin(Case())
    roster = rig.roster(min(sizes.rows))
    job = rig.observe(program, [sys.executable, str(CLI), "import", str(roster), "--json"]).summary["job"]
    for words in (["--help"], ["status", job], ["jobs"]):
        runs = [rig.observe(program, [sys.executable, str(CLI), *words]) for _ in range(5)]
        middle = sorted(runs, key=lambda run: run.finished.seconds)[2]
        yield _record("commands", words[0], 0, middle)


def pace(rig: Rig, sizes: Sizes) -> Iterator[Record]:
    """Import against a service that takes 20 requests a second: told so with --rate, and not told."""
    limit = 20.0
    rows = int(limit * sizes.pace_seconds) * 100
    for what, options in (("--rate 20", ["--rate", "20"]), ("no --rate", [])):
        measured = rig.measure(EMBEDDED, rig.roster(rows), Case(limit=limit), *options)
        _expect(measured, {"created": rows})
        taken = _by_second(measured, "by_second")
        # From the tenth second on, as long as that leaves some; the last second is not a whole one.
        steady = taken[10:-1] or taken[:-1]
        refused, posts = (measured.service["requests"].get(kind, 0) for kind in ("refused", "post"))
        yield _record(
            "pace", f"limit 20 requests/s, {what}", rows, measured, batch=100,
            of_limit=statistics.fmean(steady) / limit, refused=refused / (refused + posts),
        )  # fmt: skip


def service(rig: Rig, sizes: Sizes) -> Iterator[Record]:
    """Post as fast as bare sockets can: what the stand-in takes at most."""
    for batch in (1, 100, 500):
        rig.service.begin(Case())
        before = rig.service_cpu()
        posts, seconds = ceiling.post(rig.service.port, batch, min(2.0, sizes.latency_seconds))
        rows = posts * batch
        yield Record(
            "service", "the stand-in, from bare sockets", rows, batch=batch, seconds=seconds,
            rows_per_second=rows / seconds, posts=posts,
            service_cpu_us_per_row=(rig.service_cpu() - before) * 1e6 / rows,
        )  # fmt: skip


SECTIONS: dict[str, Section] = {
    "service": service, "import": imports, "latency": latency, "plan": plans, "again": again,
    "commands": commands, "pace": pace,
}  # fmt: skip


def _options(contestant: Contestant, batch: int, in_flight: int = IN_FLIGHT) -> list[str]:
    """Return the options that say how to post, for the script or the program."""
    if contestant.script:
        return ["--batch", str(batch), "--in-flight", str(in_flight)]
    return ["--batch-size", str(batch), "--concurrency", str(in_flight)]


def _expect(measured: Measured, counts: dict[str, int]) -> None:
    """A benchmark of something that went wrong is none."""
    found = measured.summary["counts"]
    assert found == {name: rows for name, rows in counts.items() if rows}, found


def _late(what: str, rows: int, measured: Measured, batch: int) -> Record:
    milliseconds = round(LATENCY * 1000)
    share = _of_latency(measured)
    return _record("latency", what, rows, measured, batch=batch, latency_ms=milliseconds, of_limit=share)


def _of_latency(measured: Measured) -> float:
    """Return how near to its limit the service was kept, from the first post to the last answer."""
    service = measured.service
    rounds = -(-service["requests"]["post"] // IN_FLIGHT)
    return float(rounds * LATENCY / (service["last_answer"] - service["first_post"]))


def _by_second(measured: Measured, name: str) -> list[int]:
    counts = {int(second): number for second, number in measured.service[name].items()}
    return [counts.get(second, 0) for second in range(max(counts, default=-1) + 1)]


def _record(section: str, what: str, rows: int, measured: Measured, **more: float) -> Record:
    finished, service = measured.finished, measured.service
    each = 1e6 / rows if rows else None
    step = -(-len(finished.memory) // _MOST_SAMPLES) or 1
    record = Record(
        section, what, rows,
        seconds=finished.seconds,
        rows_per_second=rows / finished.seconds if rows else None,
        cpu_us_per_row=measured.cpu * each if each else None,
        stores_cpu_us_per_row=measured.stores_cpu * each if each else None,
        service_cpu_us_per_row=measured.service_cpu * each if each else None,
        command_mb=finished.megabytes,
        worker_mb=measured.worker_megabytes or None,
        posts=service["requests"].get("post", 0) if rows else None,
        requests=sum(service["requests"].values()) if rows else None,
        memory=tuple((round(at, 2), round(mega, 1)) for at, mega in finished.memory[::step]),
    )  # fmt: skip
    return replace(record, **more)  # type: ignore[arg-type]
