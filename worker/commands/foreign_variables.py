"""Foreign environment variables that would change, or break, the behaviour of the libraries in use.

siproster has settings of its own; variables exported for another Celery application are not meant for it.
This module loads nothing, since it runs before everything else.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping

_FOREIGN = re.compile(
    "(CELERY|KOMBU|DJANGO|UVICORN|_MP_FORK)_.*"
    "|C_(BENCH(_EVERY)?|FAKEFORK|FORCE_ROOT|IMPDEBUG|REMDEBUG|STRICT_APP|WARN_APP|WNOCONF)"
    "|AUTOSCALE_KEEPALIVE|DISABLE_TRACEBACKS|EVENTLET_NOBLOCK|FORKED_BY_MULTIPROCESSING|MP_(LOG|MAIN_FILE)"
    "|NOSETPS|PICKLE_PROTOCOL|REMAP_SIGTERM|TIMER_DEBUG|USE_FAST_LOCALS"  # Celery, kombu and billiard
    "|PSYCOPG_(IMPL|WAIT_FUNC)"
    "|WEB_CONCURRENCY|FORWARDED_ALLOW_IPS"  # uvicorn
    "|UNICODE_VERSION|JUPYTER_(COLUMNS|LINES)|DATABRICKS_RUNTIME_VERSION"  # rich
)

_COMPLETION = re.compile("(bash|zsh|fish)_(source|complete)")
"""The values that click's completion accepts; for any other one click exits silently with code 1."""

_SIZE = re.compile("[1-9][0-9]{0,3}")

_MEANT = {"COLUMNS": _SIZE, "LINES": _SIZE, "_SIPROSTER_COMPLETE": _COMPLETION}
"""Variables to the only values that they can have."""

_ANYTHING = re.compile(".*", re.DOTALL)


def drop(environ: MutableMapping[str, str]) -> None:
    """Take these variables out of the environment, and values of a few that can only be a mistake."""
    for name in [*environ]:
        if _FOREIGN.fullmatch(name) or not _MEANT.get(name, _ANYTHING).fullmatch(environ[name]):
            del environ[name]
