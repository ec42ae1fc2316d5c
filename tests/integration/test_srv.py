"""SRV records of a realm, asked of a DNS server of the test's own."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import dns.rcode
import pytest

from tests.dns_server import Dns
from worker.errors import NotFound, Unavailable, UsageError
from worker.srv import Target, look_up

REALM = "acme-0a1b2c.auth.bandwidth.com"
NAME = f"_sip._udp.{REALM}"


def test_the_records_in_their_order() -> None:
    """The lowest priority number comes first; host names lose their last dot."""
    records = {NAME: ["20 0 5077 second.example.com.", "10 0 5061 first.example.com."]}
    with closing(Dns(records)) as server:
        assert look_up(REALM, resolver=server.address) == [
            Target("first.example.com", 5061, 10, 0),
            Target("second.example.com", 5077, 20, 0),
        ]
        assert server.asked == [f"{NAME}."]


def test_weight_decides_by_chance_in_proportion() -> None:
    """The heavier of two records with one priority mostly comes first, but not always."""
    records = {NAME: ["10 90 5060 heavy.example.com.", "10 10 5060 light.example.com."]}
    with closing(Dns(records)) as server:
        first = Counter(look_up(REALM, resolver=server.address)[0].host for _ in range(200))
    assert first["heavy.example.com"] > first["light.example.com"] > 0


@pytest.mark.parametrize(("transport", "service"), [("tcp", "_sip._tcp"), ("tls", "_sips._tcp")])
def test_each_transport_has_its_name(transport: str, service: str) -> None:
    """RFC 3263: _sip._udp, _sip._tcp, _sips._tcp."""
    with closing(Dns({f"{service}.{REALM}": ["1 1 5061 edge.example.com."]})) as server:
        assert look_up(REALM, transport, server.address)[0].port == 5061


@pytest.mark.parametrize(
    "records", [{}, {NAME: []}, {NAME: ["0 0 0 ."]}], ids=["no name", "empty", "not offered"]
)
def test_no_record(records: dict[str, list[str]]) -> None:
    """A missing name, a name without such a record, and the record "not offered" raise NotFound."""
    with closing(Dns(records)) as server, pytest.raises(NotFound, match=NAME):
        look_up(REALM, resolver=server.address)


def test_a_resolver_that_says_nothing_is_no_record_missing() -> None:
    """A resolver that is silent, fails or refuses raises Unavailable: the record may exist all the same."""
    with closing(Dns({}, silent=True)) as server:
        with pytest.raises(Unavailable, match="not known"):
            look_up(REALM, resolver=server.address, seconds=0.5)
        assert server.asked
    for rcode in (dns.rcode.SERVFAIL, dns.rcode.REFUSED):
        with closing(Dns({}, rcode=rcode)) as server, pytest.raises(Unavailable):
            look_up(REALM, resolver=server.address, seconds=2)


def test_a_name_that_dns_can_not_hold() -> None:
    """A realm's host with a label of more than 63 characters is no crash."""
    with pytest.raises(Unavailable):
        look_up(f"{'a' * 64}.example.com", resolver="127.0.0.1")


@pytest.mark.parametrize(
    "address", ["edge", "1.2.3", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "[::1]:x"]
)
def test_an_address_that_is_none(address: str) -> None:
    """An invalid address is a UsageError before anything is asked."""
    with pytest.raises(UsageError, match="not the address of a resolver"):
        look_up(REALM, resolver=address)
