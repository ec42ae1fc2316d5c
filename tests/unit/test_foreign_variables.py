"""Variables of other programs, and what is left of them."""

from __future__ import annotations

import os

from worker.commands import foreign_variables


def test_what_others_exported_goes() -> None:
    """Variables of Celery, kombu and their like are removed, by name or prefix; all others are kept."""
    foreign = {
        "CELERY_BROKER_URL", "C_FORCE_ROOT", "C_IMPDEBUG", "KOMBU_LOG_DEBUG", "PICKLE_PROTOCOL",
        "REMAP_SIGTERM", "DJANGO_SETTINGS_MODULE", "PSYCOPG_IMPL", "WEB_CONCURRENCY",
        "UVICORN_PORT", "_MP_FORK_LOGFILE_",
    }  # fmt: skip
    ours = {
        "BW_ACCOUNT_ID", "SIPROSTER_KEY", "PGSSLMODE", "CC", "C_INCLUDE_PATH", "MY_CELERY_X", "PATH",
        "LC_CTYPE", "HTTPS_PROXY", "SSL_CERT_FILE", "TMPDIR", "TERM", "FSSPEC_S3", "PICKLE_PROTOCOLS",
    }  # fmt: skip
    environ = dict.fromkeys(foreign | ours, "odd\n\udcff")
    foreign_variables.drop(environ)
    assert set(environ) == ours


def test_values_that_can_only_be_a_mistake_go() -> None:
    """Values that can only be a mistake are removed: an invalid screen size, an unknown completion."""
    for name, good, bad in (
        ("COLUMNS", ("1", "80", "9999"), ("", "0", "-5", "²", "x", "99999", "8 0")),
        ("LINES", ("24",), ("odd",)),
        ("_SIPROSTER_COMPLETE", ("bash_source", "zsh_complete"), ("", "odd", "bash")),
    ):
        for value in (*good, *bad):
            environ = {name: value}
            foreign_variables.drop(environ)
            assert (name in environ) is (value in good), value


def test_the_processes_own_environment_changes() -> None:
    """The process's own environment is changed, which libraries read and child processes inherit."""
    os.environ["KOMBU_ODD"] = "1"
    foreign_variables.drop(os.environ)
    assert "KOMBU_ODD" not in os.environ
