"""The conversion between a job and the columns of its row in the ledger."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worker.model import (
    Absent,
    Alphabet,
    Blanks,
    Condition,
    Family,
    Job,
    JobState,
    Normalize,
    OnExisting,
    Options,
    Realm,
    TableForm,
    Weak,
)
from worker.states import Reason, Why


@dataclass(frozen=True, slots=True)
class JobRealm:
    """A realm as the job resolved it once.

    ``looked``: the credentials stored there were looked up before the job began.
    """

    key: int
    id: str
    host: str
    looked: bool

    @property
    def realm(self) -> Realm:
        """Return the realm as the API client takes it."""
        return Realm(id=self.id, host=self.host)


def columns_of_why(why: Why | None) -> dict[str, str]:
    """Return the two columns of a reason and its sentence; both empty if the job goes on."""
    return {"reason": why.reason.value if why else "", "why": why.text if why else ""}


def columns_of(job: Job) -> dict[str, Any]:
    """Return the columns that a new job is inserted with."""
    return {
        "id": job.id, "state": job.state, **columns_of_why(job.why), "host": job.host,
        "environment": job.environment, "account": job.account,
        "options": json.dumps(asdict(job.options)), "operator": job.operator, "machine": job.machine,
        "version": job.version, "key": job.key, "roster": job.roster, "source": job.source,
        "sha256": job.sha256, "columns": json.dumps(job.columns), "rows": job.rows,
        "parent": job.parent, "schedule": job.schedule,
        "slot": job.slot.timestamp() if job.slot else None, "created": job.created.timestamp(),
    }  # fmt: skip


def job_of(row: Mapping[str, Any]) -> Job:
    """Return the job of a database row, with its requests and retries."""
    return Job(
        id=row["id"], state=JobState(row["state"]), host=row["host"],
        why=Why(Reason(row["reason"]), row["why"]) if row["reason"] else None,
        environment=row["environment"], account=row["account"],
        options=options_of(json.loads(row["options"])), operator=row["operator"],
        machine=row["machine"], version=row["version"], key=row["key"], roster=row["roster"],
        source=row["source"], sha256=row["sha256"], columns=tuple(json.loads(row["columns"])),
        rows=row["rows"], parent=row["parent"], batch_bound=row["batch_bound"],
        created=_moment(row["created"]), started=_moment_or_none(row["started"]),
        finished=_moment_or_none(row["finished"]),
        requests=int(row["requests"]), retries=int(row["retries"]), absent=row["absent"],
        saved=_moment_or_none(row["saved"]), carried_out_by=row["carried_out_by"],
        undone=_moment_or_none(row["undone"]),
        verified=json.loads(row["verified"]) if row["verified"] else None,
        schedule=row["schedule"], slot=_moment_or_none(row["slot"]),
        paused_seconds=row["paused_seconds"], root=row["root"], expires=_moment_or_none(row["expires"]),
    )  # fmt: skip


def options_of(kept: dict[str, Any]) -> Options:
    """Return options from their stored JSON."""
    typed: dict[str, Any] = {
        "api": Family(kept["api"]),
        "on_existing": OnExisting(kept["on_existing"]),
        "weak": Weak(kept["weak"]),
        "where": tuple(Condition(*one) for one in kept["where"]),
        "carry": tuple(kept["carry"]),
        "tables": TableForm(**kept.get("tables", {})),  # jobs of earlier versions have none
        "absent": _absent(kept.get("absent")),
        "blanks": Blanks(kept["blanks"]) if kept.get("blanks") else None,
        "normalize": Normalize(kept["normalize"]) if kept.get("normalize") else None,
    }
    if "password_alphabet" in kept:  # a job of an earlier program has none
        typed["password_alphabet"] = Alphabet(kept["password_alphabet"])
    return Options(**{**kept, **typed})


def _absent(kept: Any) -> Absent:
    """Return the option as it is stored; a job of an earlier program has true or false."""
    return (Absent.LIST if kept else Absent.LEAVE) if isinstance(kept, bool | None) else Absent(kept)


def _moment(epoch: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch, dt.UTC)


def _moment_or_none(epoch: float | None) -> dt.datetime | None:
    return None if epoch is None else _moment(epoch)
