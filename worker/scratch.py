"""A database for one run: for what is too much to keep in memory and nobody's to read."""

from __future__ import annotations

import sqlite3


def scratch(cache_kib: int) -> sqlite3.Connection:
    """SQLite's own temporary database (an empty file name), which goes when it is closed.

    A file of mode 0600 that has no name from its first moment on, and of which at most ``cache_kib`` KiB are
    in memory. Sorting goes to disk, too.
    """
    database = sqlite3.connect("", isolation_level=None)
    for setting in (
        "temp_store = FILE",
        f"cache_size = -{cache_kib}",
        "journal_mode = OFF",
        "synchronous = OFF",
    ):
        database.execute(f"PRAGMA {setting}")
    return database
