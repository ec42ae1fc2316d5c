"""Odd values of other programs' variables, which a library might read.

What can be ignored is, all at once; what can't ends with exit code 6 and names the variable.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.rosters import roster_of, users

NOWHERE = f"{__file__}/folder"
"""A path that root can't make either."""

FOREIGN = {
    # Celery, kombu, billiard
    "AUTOSCALE_KEEPALIVE": "odd",
    "CELERY_BROKER_URL": "odd://broker",
    "CELERY_CONFIG_MODULE": "no.such.module",
    "CELERY_CUSTOM_WORKER_POOL": "no.such:Pool",
    "CELERY_LOADER": "no.such.loader",
    "CELERY_LOG_LEVEL": "odd",
    "CELERY_RESULT_BACKEND": "odd://results",
    "CELERY_WORKER_REVOKES_MAX": "odd",
    "C_BENCH_EVERY": "odd",
    "C_FORCE_ROOT": "odd",
    "C_IMPDEBUG": "1",
    "C_STRICT_APP": "1",
    "C_WNOCONF": "odd",
    "DJANGO_SETTINGS_MODULE": "no.such",
    "EVENTLET_NOBLOCK": "odd",
    "KOMBU_LOG_DEBUG": "1",
    "PICKLE_PROTOCOL": "odd",
    "REMAP_SIGTERM": "SIGODD",
    # uvicorn, rich, click
    "COLUMNS": "²",
    "FORCE_COLOR": "",
    "JUPYTER_COLUMNS": "odd",
    "LINES": "-5",
    "PAGER": "'",
    "TERM": "odd",
    "TTY_COMPATIBLE": "odd",
    "TTY_INTERACTIVE": "odd",
    "UNICODE_VERSION": "odd",
    "WEB_CONCURRENCY": "odd",
    # libpq and psycopg: there is no PostgreSQL here
    "PGSERVICE": "odd",
    "PGSSLMODE": "odd",
    "PSYCOPG_IMPL": "odd",
    "PSYCOPG_WAIT_FUNC": "odd",
    # the system, OpenSSL, Python, other HTTP clients
    "CURL_CA_BUNDLE": NOWHERE,
    "FSSPEC_CONFIG_DIR": NOWHERE,
    "HOSTALIASES": NOWHERE,
    "LANGUAGE": "odd",
    "LC_ALL": "odd",
    "LOCALDOMAIN": "o d d",
    "NETRC": NOWHERE,
    "OPENSSL_CONF": NOWHERE,
    "PYTHONTZPATH": NOWHERE,
    "PYTHONWARNINGS": "ignore",
    "REQUESTS_CA_BUNDLE": NOWHERE,
    "RES_OPTIONS": "odd",
    "SQLITE_TMPDIR": NOWHERE,
    "TMPDIR": NOWHERE,
    "TZ": "Odd/Place",
    "XDG_CONFIG_HOME": NOWHERE,
    "no_proxy": "localhost,fe80::/10,fd07:b51a:cc66:f0::/64,::1,[::1],127.0.0.1",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
}
"""Each of them alone was a fault of the program, or could have been."""


def test_variables_that_are_no_business_of_ours(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """An import runs as ever, and only reports the entries of NO_PROXY that are ignored."""
    roster = roster_of(tmp_path / "staff.csv", users(3))
    office.environment |= FOREIGN
    done = office.run("import", roster, "--yes", "--json")
    assert done.code == 0, done.stderr
    assert done.json["counts"]["created"] == 3
    warned = [line for line in done.stderr.splitlines() if line.startswith("warning: no_proxy")]
    assert [line.split("'")[1] for line in warned] == ["fe80::/10", "fd07:b51a:cc66:f0::/64"]
    checked = office.run("doctor", "--json")
    assert checked.code == 0, checked.stdout
    assert [one["text"].split("'")[1] for one in checked.json["checks"] if "no_proxy" in one["text"]] == [
        "fe80::/10",
        "fd07:b51a:cc66:f0::/64",
    ]
    assert len(sandbox.credentials()) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "odd://canary-1@proxy.example"),
        ("SSL_CERT_FILE", NOWHERE),
        ("SSLKEYLOGFILE", NOWHERE),
        ("XDG_STATE_HOME", __file__),
    ],
)
def test_a_variable_that_can_not_be_used_is_named(office: Program, name: str, value: str) -> None:
    """Exit code 6 names the variable, but not its value, which may hold a password; doctor finds it, too."""
    office.environment[name] = value
    refused = office.run("doctor")
    assert refused.code == 6
    assert "✗ settings" in refused.stdout
    assert name in refused.stdout
    assert "canary" not in refused.stdout + refused.stderr


def test_nothing_is_begun_with_such_a_variable(office: Program, sandbox: Sandbox, tmp_path: Path) -> None:
    """An import with such a variable says so, sends nothing, and leaves no job."""
    roster = roster_of(tmp_path / "staff.csv", users(1))
    refused = office.run("import", roster, "--yes", SSL_CERT_FILE=NOWHERE)
    assert refused.code == 6
    assert f"SSL_CERT_FILE: {NOWHERE}" in refused.stderr
    assert sandbox.log() == []
    assert office.run("jobs", "--json").json == []
