"""Who works: machine and process."""

from __future__ import annotations

import os
import platform


def owner() -> str:
    """This process, as leases name it."""
    return f"{platform.node()}:{os.getpid()}"


def described(worker: str) -> str:
    """Return an ``owner`` in words: ``process 30587 on vm``."""
    machine, _, pid = worker.rpartition(":")
    return f"process {pid} on {machine}" if machine else worker


def alive(worker: str) -> bool:
    """Whether an ``owner`` may still be there; of another machine's processes nothing is known."""
    machine, _, pid = worker.rpartition(":")
    if not machine:
        return False
    if machine != platform.node():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
