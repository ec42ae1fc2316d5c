"""The hand-written script that siproster is measured against: what an engineer writes in an afternoon.

    python script.py URL ROSTER --batch 100 --in-flight 8

Reads the CSV, makes the digests, posts batches with asyncio and httpx, parses the answers, counts. No checks,
no ledger, no second try: an error ends it, and nobody knows what was created by then. With ``--batch 1`` it
posts one credential at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import hashlib
import json
import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from xml.sax.saxutils import escape

import httpx
from lxml import etree


def md5(text: str) -> str:
    """Return the MD5 of a text in hex."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def batches(path: Path, size: int) -> Iterator[list[dict[str, str]]]:
    """Yield the roster's rows, ``size`` at a time."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        while batch := list(islice(rows, size)):
            yield batch


def body_of(batch: list[dict[str, str]], host: str) -> bytes:
    """Return the XML of one request."""
    entries = []
    for row in batch:
        user, password = row["username"], row["password"]
        hash1 = md5(f"{user}:{host}:{password}")
        hash1b = md5(f"{user}@{host}:{host}:{password}")
        entries.append(
            f"<SipCredential><UserName>{escape(user)}</UserName><Hash1>{hash1}</Hash1>"
            f"<Hash1b>{hash1b}</Hash1b><Realm>{host}</Realm></SipCredential>"
        )
    inner = "".join(entries)
    return f'<?xml version="1.0" encoding="UTF-8"?><SipCredentials>{inner}</SipCredentials>'.encode()


async def import_all(base: str, roster: Path, size: int, in_flight: int) -> int:
    """Post the whole roster; return how many credentials the service says it created."""
    account = f"/api/v2/accounts/{os.environ['BW_ACCOUNT_ID']}"
    client_id, secret = os.environ["BW_CLIENT_ID"], os.environ["BW_CLIENT_SECRET"]
    async with httpx.AsyncClient(base_url=base, timeout=60, trust_env=False) as client:
        form = {"grant_type": "client_credentials"}
        token = await client.post("/api/v1/oauth2/token", data=form, auth=(client_id, secret))
        client.headers["Authorization"] = f"Bearer {token.raise_for_status().json()['access_token']}"
        client.headers["Content-Type"] = "application/xml; charset=utf-8"
        realms = etree.fromstring((await client.get(f"{account}/realms")).raise_for_status().content)
        host = next(r.findtext("Realm", "") for r in realms.iter("Realm") if r.findtext("Default") == "true")
        work = batches(roster, size)
        created = 0

        async def post_batches() -> None:
            nonlocal created
            for batch in work:
                answer = await client.post(f"{account}/sipcredentials", content=body_of(batch, host))
                root = etree.fromstring(answer.raise_for_status().content)
                created += sum(1 for entry in root.iter("SipCredential") if entry.findtext("Id"))

        await asyncio.gather(*(post_batches() for _ in range(in_flight)))
    return created


def main() -> None:
    """Import, and print the result as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("roster", type=Path)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--in-flight", type=int, default=8)
    given = parser.parse_args()
    began = time.monotonic()
    created = asyncio.run(import_all(given.url, given.roster, given.batch, given.in_flight))
    print(json.dumps({"counts": {"created": created}, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
