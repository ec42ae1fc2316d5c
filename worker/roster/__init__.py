"""Rosters: files of users and passwords, read as a stream and decided row by row.

``source`` finds the bytes (``spool`` keeps those that come only once), ``encoding`` and ``text`` turn
them into records, ``layout`` knows which column is which (``template`` builds user names, ``secret``
knows the columns that are not shown), ``rows`` and ``check`` decide each row (``passwords``: what is
weak; ``prehashed``: digests in their place; ``hiding``: cells that give one away), ``reader`` is the roster
itself, ``corrections`` brings an earlier job's rows back, ``duplicates`` remembers names.
For files that are not imported ``table`` finds their header, and ``names`` reads who is named in them.
"""

from worker.roster.check import Rules, realm_problems
from worker.roster.corrections import HASH1, HASH1B, PASSWORD, fields_of, read_corrections, read_earlier_rows
from worker.roster.duplicates import DuplicateIndex
from worker.roster.hiding import HIDDEN, never_sent
from worker.roster.names import Name, Names
from worker.roster.reader import Roster, open_roster
from worker.roster.rows import PAGE
from worker.roster.secret import may_be_secret
from worker.roster.source import local_paths

__all__ = [
    "HASH1",
    "HASH1B",
    "HIDDEN",
    "PAGE",
    "PASSWORD",
    "DuplicateIndex",
    "Name",
    "Names",
    "Roster",
    "Rules",
    "fields_of",
    "local_paths",
    "may_be_secret",
    "never_sent",
    "open_roster",
    "read_corrections",
    "read_earlier_rows",
    "realm_problems",
]
