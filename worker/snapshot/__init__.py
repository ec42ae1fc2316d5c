"""The state of an account at one moment, sealed in a file, and the difference of two such states."""

from worker.snapshot.difference import Change, Difference
from worker.snapshot.sealed import Facts, Snapshot, write

__all__ = ["Change", "Difference", "Facts", "Snapshot", "write"]
