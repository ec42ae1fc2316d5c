"""Log lines that carry their subject, such as a job and a chunk, and can be JSON objects."""

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
"""The possible subjects of a line, by their names in JSON logs."""

_NOTHING: Mapping[str, object] = MappingProxyType({})
_subjects: ContextVar[Mapping[str, object]] = ContextVar("subjects", default=_NOTHING)


@contextmanager
def about(**subjects: object) -> Iterator[None]:
    """Set subjects (some of ``SUBJECTS``) of the log lines in the block."""
    token = _subjects.set({**_subjects.get(), **subjects})
    try:
        yield
    finally:
        _subjects.reset(token)


class JsonLine(logging.Formatter):
    """A formatter that turns a record into one JSON object, with its known subjects.

    A traceback is left out, since it may hold a secret: only the exception's class is named.
    """

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.facts(record))

    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what the object holds."""
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
        return facts
