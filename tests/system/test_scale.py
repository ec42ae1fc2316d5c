"""A large roster through several workers, and all that ledger, broker and service then hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.servers import Redis
from tests.system.leaks import Monitor, digests_in, files, leaks, tables
from tests.system.rosters import expected, made_once, result_rows, roster_of, truth, users
from tests.system.runs import run

ROWS = 20_000


def test_twenty_thousand_rows_through_two_workers(
    siproster: Program,
    make_sandbox: Callable[..., Sandbox],
    make_redis: Callable[[], Redis],
    postgres_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All in place, entry by entry, with no password or digest in MONITOR, append-only file or ledger."""
    broker, server = make_redis(), make_sandbox()
    siproster.environment |= server.environment()
    siproster.environment |= {"SIPROSTER_BROKER": broker.url, "SIPROSTER_LEDGER": postgres_url}
    siproster.environment["SIPROSTER_KEY"] = siproster.run("keygen").stdout.strip()
    wanted = users(ROWS)
    roster = roster_of(tmp_path / "staff.csv", wanted)
    monitor = Monitor(broker.url)
    for number in (1, 2):
        siproster.start("worker", "--processes", "1", log=tmp_path / f"worker{number}.log")
    summary = run(siproster, "import", roster, "--batch-size", "500")
    told = monitor.stop()
    broker.stop()
    assert summary["counts"] == {"created": ROWS}
    with capsys.disabled():
        took, requests = summary["seconds"], summary["requests"]
        print(f"\n{ROWS:,} rows in {took:.1f} s: {ROWS / took:,.0f} rows/s, {requests} requests")
    held = truth(server)
    assert held == expected(server, wanted)
    assert made_once(server)
    names = [row["bw__username"] for row in result_rows(summary["files"]["results"])]
    assert names == [user.name for user in wanted]
    places = {"MONITOR": told, **files(broker.folder), **tables(postgres_url)}
    assert told.count(b"siproster.deliver") >= summary["requests"] // 10
    assert leaks(places, {user.password.encode() for user in wanted[::100]}) == []
    known = {digest.encode() for pair in held.values() for digest in pair}
    assert {place for place, content in places.items() if digests_in(content, known)} == set()
    assert digests_in("".join(wanted[0].digests(server.credentials()[0]["realm"])).encode(), known)
