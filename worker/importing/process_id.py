"""The identity of a worker process: machine and process, and whether that process may still exist."""

from __future__ import annotations

import functools
import os
import platform
import re
import signal
from pathlib import Path

from worker.errors import JobBusy
from worker.ledger import Ledger, shown
from worker.model import Job, JobState
from worker.waits import span

_is_pid = re.compile("[1-9][0-9]{0,8}").fullmatch


def _owner(pid: int) -> str:
    began = _began(pid)
    return f"{platform.node()}:{pid}{f'.{began}' if began else ''}"


_own = functools.cache(_owner)
"""For this process alone, whose pid stays its own; after a fork, the child has another."""


def process_id() -> str:
    """Return this process's id as leases record it: ``machine:pid``, on Linux ``machine:pid.start``.

    ``start`` tells it from a later process with the same pid, as after a container's restart.
    """
    return _own(os.getpid())


def process_id_of(pid: int) -> str:
    """Return the ``process_id`` of a process of this machine that exists, or has not been waited for."""
    return _owner(pid)


def is_alive(worker: str) -> bool:
    """Return whether the process with this ``process_id`` may still exist; True for other machines."""
    machine, _, process = worker.rpartition(":")
    if not machine:
        return False
    if machine != platform.node():
        return True
    pid, _, began = process.partition(".")
    if not _is_pid(pid):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not began or _began(int(pid)) in ("", began)


def may_interrupt(worker: str) -> bool:
    """Return whether ``interrupt`` can reach the process: it is on this machine, and this user's."""
    return _signalled(worker, 0)


def interrupt(worker: str) -> bool:
    """Ask the process with this ``process_id`` to end as after Ctrl-C; return whether it is one of ours."""
    return _signalled(worker, signal.SIGTERM)


def pid_of(worker: str) -> str:
    """Return the process number within a ``process_id``."""
    return worker.rpartition(":")[2].partition(".")[0]


def _signalled(worker: str, number: int) -> bool:
    pid = pid_of(worker)
    # Exactly as it would be recorded here: else anybody who can write to the ledger could name any process.
    if not _is_pid(pid) or worker != process_id_of(int(pid)):
        return False
    try:
        os.kill(int(pid), number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def free_dead_holder(ledger: Ledger, job: Job) -> None:
    """Release the account held by a process of this machine that died while it planned, or undid, a job.

    Raises JobBusy if that process ran a job: its requests may still arrive, so that job comes first.
    """
    writer = ledger.accounts.writer(job.host, job.account)
    if writer is None or writer.job == job.id or ":" not in writer.owner or is_alive(writer.owner):
        return
    if ledger.jobs.state(writer.job) in (JobState.RUNNING, JobState.PAUSED):
        raise JobBusy(
            f"job {writer.job} was writing to account {job.account} when its process ({shown(writer.owner)}) "
            f"died; it keeps the account for {span(writer.left)}",
            f"go on with it: siproster resume {writer.job}; or end it: siproster cancel {writer.job}",
        )
    ledger.accounts.release_dead(writer.job, writer.owner)


def _began(pid: int) -> str:
    """Return when a process began, in kernel ticks since boot; empty if the system doesn't tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return ""
    # The name in parentheses may contain anything; the 20th field after it is the start time (proc(5)).
    return stat.rpartition(")")[2].split()[19]
