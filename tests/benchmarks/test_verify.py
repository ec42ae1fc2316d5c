"""Measure how long `siproster verify` takes for a large roster (`pytest -s` shows it); assert only counts."""

from __future__ import annotations

import pytest

from tests.kamailio import Kamailio
from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import roster_of, users

ROWS = 2_000


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_large_roster_at_fifty_in_flight(
    siproster: Program, sandbox: Sandbox, kamailio: Kamailio, transport: str
) -> None:
    """Each row is two REGISTERs to a Kamailio of the same machine: more than a thousand rows a second."""
    siproster.environment |= sandbox.environment()
    wanted = users(ROWS)
    realm = siproster.run("realm", "list", "--json").json[0]["realm"]
    kamailio.hold(
        {"composite": user.name, "realm": realm, "hash1": hash1, "hash1b": hash1b}
        for user in wanted
        for hash1, hash1b in [user.digests(realm)]
    )
    roster = roster_of(siproster.work / "roster.csv", wanted)
    pace = ["--rate", "100000", "--concurrency", "50", "--transport", transport]
    finished = siproster.run("verify", roster, "--registrar", kamailio.place, *pace, "--json")
    facts = finished.json
    print(f"\nverify, {transport}: {ROWS:,} rows in {facts['seconds']:.1f} s, "
          f"{ROWS / facts['seconds']:,.0f} rows/s")  # fmt: skip
    assert facts["counts"] == {"registers": ROWS}
