"""``rediss://``: neither Celery nor the throttle takes a server for Redis that can't prove its name."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Redis
from tests.tls import HOST, Front, fronted
from worker import throttle
from worker.errors import Unavailable
from worker.model import Endpoint
from worker.runtime import RuntimeConfig
from worker.settings.addresses import broker
from worker.tasks import CeleryQueue, make_app


@pytest.fixture
def front(redis_server: Redis, redis_url: str, tmp_path: Path) -> Iterator[Front]:
    """An empty Redis behind TLS, with a certificate of its own authority."""
    assert redis_url
    with fronted(tmp_path, redis_server.port) as one:
        yield one


def check(url: str) -> None:
    """Check the broker as `doctor`, `import` and a starting worker do."""
    CeleryQueue(make_app(RuntimeConfig(broker(url), "", (), [Endpoint("", "")])), "").check()


def test_celery_takes_only_a_server_that_proves_its_name(
    front: Front, redis_server: Redis, tmp_path: Path
) -> None:
    """With the user's own authority it works; without it, or under another name, nothing is said to it."""
    trusted = f"?ssl_ca_certs={front.certificate}"
    check(f"rediss://{HOST}:{front.port}/0{trusted}")
    check(f"rediss://{HOST}:{front.port}/0{trusted}&ssl_cert_reqs=required&ssl_check_hostname=true")
    with pytest.raises(Unavailable, match="the certificate isn't trusted") as unknown:
        check(f"rediss://{HOST}:{front.port}/0")
    assert "SSL_CERT_FILE" in unknown.value.hint
    with (
        fronted(tmp_path, redis_server.port, "other.example") as other,
        pytest.raises(Unavailable, match="the certificate is for another host name"),
    ):
        check(f"rediss://{HOST}:{other.port}/0?ssl_ca_certs={other.certificate}")


def test_the_throttle_takes_only_a_server_that_proves_its_name(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """With the authority the rate is shared through TLS; without it, this process keeps it, and says so."""
    url = broker(f"rediss://{HOST}:{front.port}/0?ssl_ca_certs={front.certificate}")
    here, there = throttle.shared(url, "tls", 4.0), throttle.shared(url, "tls", 4.0)
    began = time.monotonic()
    for turn in range(6):
        (here if turn % 2 else there).wait()
    assert time.monotonic() - began > 0.8  # two that kept it by themselves would be done in 0.25 s
    with caplog.at_level(logging.WARNING, "worker.throttle"):
        assert not caplog.records
        throttle.shared(f"rediss://{HOST}:{front.port}/0", "tls", 4.0).wait()
    assert "Redis does not answer" in caplog.text
