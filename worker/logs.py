"""Log lines about jobs and chunks: what a line is about goes with it, and one line can be one JSON object."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

SUBJECTS = ("job", "chunk", "line", "account", "schedule")
"""What a line may be about; the names are those of JSON logs."""

_NOTHING: Mapping[str, object] = MappingProxyType({})
_subjects: ContextVar[Mapping[str, object]] = ContextVar("subjects", default=_NOTHING)


@contextmanager
def about(**subjects: object) -> Iterator[None]:
    """Say what the block's log lines are about: some of ``SUBJECTS``."""
    token = _subjects.set({**_subjects.get(), **subjects})
    try:
        yield
    finally:
        _subjects.reset(token)


class JsonLine(logging.Formatter):
    """A formatter that makes one JSON object of a record, with what it is about as far as that is known.

    A traceback is left out, since it may hold a secret: only the exception's class is named.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = dt.datetime.fromtimestamp(record.created, dt.UTC)
        facts: dict[str, Any] = {
            "time": f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_subjects.get(),
            **{name: value for name in SUBJECTS if (value := getattr(record, name, None)) is not None},
        }
        if record.exc_info and record.exc_info[0]:
            facts["exception"] = record.exc_info[0].__name__
        return json.dumps(facts)
