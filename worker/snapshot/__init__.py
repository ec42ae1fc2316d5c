"""What an account held at one moment, sealed in a file, and what two such moments differ in."""

from worker.snapshot.difference import Change, Difference
from worker.snapshot.sealed import Facts, Snapshot, write

__all__ = ["Change", "Difference", "Facts", "Snapshot", "write"]
