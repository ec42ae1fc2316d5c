"""Rosters: files of users and passwords, read as a stream and validated row by row.

``source`` finds the bytes (``spool`` keeps those that come only once), ``encoding`` and ``text`` turn
them into records, ``layout`` assigns columns to fields (``template`` builds user names, ``secret``
recognises columns that are not shown), ``selection`` leaves rows out, ``rows`` and ``check`` validate each
row (``passwords``: weak ones;
``prehashed``: digests instead of passwords; ``hiding``: cells that reveal a secret), ``reader`` is the roster
itself, ``corrections`` brings an earlier job's rows back, ``duplicates`` remembers names.
``folder`` makes one roster of many files, ``remote`` says whom to trust elsewhere, and ``database`` reads a
query's rows (``database_address``: URLs, ``database_queries``: PBXs' own tables, ``database_drivers``);
``versions`` opens only those files that a schedule has not imported yet.
For files that are not imported, ``table`` finds the header and ``names`` reads the users named in them.
"""

from worker.roster.check import Rules, realm_problems
from worker.roster.corrections import HASH1, HASH1B, PASSWORD, fields_of, read_corrections, read_earlier_rows
from worker.roster.database_address import is_database
from worker.roster.duplicates import DuplicateIndex
from worker.roster.folder import local_files, refuse_leavers
from worker.roster.hiding import HIDDEN, never_sent
from worker.roster.names import Name, Names
from worker.roster.reader import Roster, open_roster
from worker.roster.rows import PAGE
from worker.roster.secret import may_be_secret
from worker.roster.selection import parse_condition
from worker.roster.source import local_paths
from worker.roster.versions import NewRoster, Version, open_new

__all__ = [
    "HASH1",
    "HASH1B",
    "HIDDEN",
    "PAGE",
    "PASSWORD",
    "DuplicateIndex",
    "Name",
    "Names",
    "NewRoster",
    "Roster",
    "Rules",
    "Version",
    "fields_of",
    "is_database",
    "local_files",
    "local_paths",
    "may_be_secret",
    "never_sent",
    "open_new",
    "open_roster",
    "parse_condition",
    "read_corrections",
    "read_earlier_rows",
    "realm_problems",
    "refuse_leavers",
]
