"""Files that were uploaded to the page: sealed in the ledger, so that no disk has any of them in clear.

A file is kept in sealed blocks until its plan has been carried out (the job's rows have sealed copies of
their own), nobody has done anything with it for a day, or it is discarded.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, text

from worker.errors import Conflict, NotFound, UsageError
from worker.ledger.store import Store
from worker.seal import Seal

BLOCK: Final = 1 << 20
"""Bytes of a block, the last one excepted."""
PREFIX: Final = "upload:"
"""Beginning of the place by which commands name an upload."""
ROSTER: Final = "roster"
CORRECTIONS: Final = "corrections"
"""Kinds of uploads: a roster, or a corrected failed.csv for ``retry``."""
KEPT_UNUSED: Final = 86_400.0
"""Seconds for which an upload without a plan is kept."""
_POSITIONING: Final = ("sheet", "header-line")
"""Settings that decide which cell is on a line and in a column."""
_LONGEST_NAME = 200
_RECEIVING = 3600.0
"""Seconds after which an upload that isn't complete was cut off."""
_REMEMBERED = 30 * 86_400.0
"""Seconds for which a shredded upload is remembered, if the ledger has no job of it."""

_BEGIN = text("""
    INSERT INTO uploads (id, person, name, kind, size, sha256, begun, touched, changes, settings, authors,
        plan, job)
    VALUES (:id, :person, :name, :kind, 0, '', :now, :now, 0, '{}', :authors, '', '')""")
_ADD_BLOCK = text("INSERT INTO upload_blocks (upload, nr, sealed) VALUES (:id, :nr, :sealed)")
_COMPLETE = text("""
    UPDATE uploads SET size = :size, sha256 = :sha256, received = :now, touched = :now
    WHERE id = :id AND received IS NULL AND shredded IS NULL""")
_SELECT = """
    SELECT u.*, s.step, s.state, s.child, s.error FROM uploads u
    LEFT JOIN steps s ON s.subject = 'upload:' || u.id"""
_GET = text(f"{_SELECT} WHERE u.id = :id AND u.received IS NOT NULL")
_LIST = text(f"""
    {_SELECT} WHERE u.received IS NOT NULL AND u.kind = 'roster' AND (:person = '' OR u.person = :person)
    ORDER BY u.received DESC, u.id DESC LIMIT :limit""")
_STORED = text("SELECT coalesce(sum(size), 0) FROM uploads WHERE person = :person AND shredded IS NULL")
_OF_JOB = text(f"""
    {_SELECT} JOIN jobs p ON p.id = u.plan JOIN jobs j ON j.root = p.root
    WHERE j.id = :job ORDER BY u.received DESC LIMIT 1""")
_BLOCK_OF = text("SELECT sealed FROM upload_blocks WHERE upload = :id AND nr = :nr")
_DELETE = text("DELETE FROM uploads WHERE id = :id")
_DELETE_BLOCKS = text("DELETE FROM upload_blocks WHERE upload = :id")
_DELETE_CELLS = text("DELETE FROM cell_corrections WHERE subject = :subject")
_SHRED = text("UPDATE uploads SET shredded = :now WHERE id = :id AND shredded IS NULL")
_TOUCH = text("""
    UPDATE uploads SET touched = :now, changes = changes + 1, plan = '',
        settings = coalesce(:settings, settings), authors = :authors
    WHERE id = :id AND shredded IS NULL AND job = '' AND NOT EXISTS (
        SELECT 1 FROM steps s
        WHERE s.subject = 'upload:' || uploads.id AND s.state = 'running' AND s.step = 'approve')""")
_AUTHORS = text("SELECT authors FROM uploads WHERE id = :id")
_SETTINGS = text("""
    SELECT u.settings FROM uploads u WHERE u.id = :id
        AND EXISTS (SELECT 1 FROM cell_corrections c WHERE c.subject = 'upload:' || u.id)""")
_SET_PLAN = text("""
    UPDATE uploads SET plan = :plan, touched = :now
    WHERE id = :id AND shredded IS NULL AND job = '' AND changes = :changes""")
_PLANS = text("""
    SELECT id FROM jobs WHERE source = :place AND saved IS NOT NULL AND state = 'planning'
        AND carried_out_by = '' ORDER BY created, id""")
_SET_JOB = text("UPDATE uploads SET job = :job, touched = :now WHERE id = :id")
# A job that was started has sealed rows of its own.
_CARRIED_OUT = text("""
    SELECT u.id, j.id AS job FROM uploads u
    JOIN jobs p ON p.id = u.plan OR p.source = 'upload:' || u.id
    JOIN jobs j ON j.id = p.carried_out_by OR (j.id = p.id AND p.saved IS NULL)
    WHERE u.shredded IS NULL AND j.started IS NOT NULL ORDER BY j.created""")
# A plan that has expired or was cancelled is none.
_UNUSED = text("""
    SELECT u.id, u.received FROM uploads u LEFT JOIN jobs p ON p.id = u.plan
    WHERE u.shredded IS NULL AND ((u.received IS NULL AND u.begun < :cut_off)
        OR (u.received IS NOT NULL AND u.touched < :unused AND (p.id IS NULL OR p.state <> 'planning')))""")
_FORGOTTEN = text("""
    DELETE FROM uploads WHERE shredded < :before
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = uploads.plan OR j.id = uploads.job)""")


_place = re.compile(f"{PREFIX}([0-9a-f]{{16}})").fullmatch


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was uploaded to the page."""

    id: str
    person: str
    """The name of the person who uploaded it."""
    name: str
    size: int
    """Bytes."""
    sha256: str
    received: dt.datetime
    settings: Mapping[str, Any]
    """Long options of ``plan`` without dashes, such as ``header-line``: a value, or a list of them."""
    authors: tuple[str, ...]
    """The names of those who uploaded or corrected it; with four eyes, none of them may approve it."""
    plan: str = ""
    """The saved plan of the upload as it is now; empty: it has to be planned (again)."""
    job: str = ""
    """The job that has carried the plan out."""
    kind: str = ROSTER
    step: str = ""
    """The last step that was begun: ``inspect``, ``plan``, ``approve``; empty: none."""
    child: str = ""
    """The process at work on that step (``process_id``); empty: none."""
    error: Mapping[str, Any] | None = None
    """Why the last step failed: ``code``, ``message``, ``hint``, ``exit``."""
    changes: int = 0
    """How often settings or cells were changed."""
    shredded: dt.datetime | None = None
    """When its content was shredded: carried out, discarded, or unused for a day."""

    @property
    def place(self) -> str:
        """Return the place by which commands name it: ``upload:ID``."""
        return f"{PREFIX}{self.id}"


class Receiving:
    """An upload that is being received. ``upload`` is set when it is complete."""

    def __init__(self, store: Store, seal: Seal, id_: str) -> None:
        self._store = store
        self._seal = seal
        self._id = id_
        self._rest = bytearray()
        self._blocks = 0
        self._sha256 = hashlib.sha256()
        self.size = 0
        """Bytes received so far."""
        self.upload: Upload | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes, of any number; each full block is sealed and stored at once."""
        self._sha256.update(data)
        self.size += len(data)
        self._rest += data
        while len(self._rest) >= BLOCK:
            self._store_block(bytes(self._rest[:BLOCK]))
            del self._rest[:BLOCK]

    def end(self) -> str:
        """Store the last block and return the SHA-256 of all bytes, in hex digits."""
        if self._rest:
            self._store_block(bytes(self._rest))
            self._rest.clear()
        return self._sha256.hexdigest()

    def _store_block(self, block: bytes) -> None:
        sealed = self._seal.close_over_bytes(block, _context(self._id, self._blocks))
        with self._store.begin() as connection:
            connection.execute(_ADD_BLOCK, {"id": self._id, "nr": self._blocks, "sealed": sealed})
        self._blocks += 1


class Uploads:
    """The uploads of one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @contextmanager
    def receive(self, seal: Seal, person: str, name: str, kind: str = ROSTER) -> Iterator[Receiving]:
        """Receive a file: ``write`` its bytes; at the end of the block ``Receiving.upload`` is the upload.

        If the block raises, nothing of the file is left. ``name``: the file's as the browser gave it; only
        its last part is used.
        """
        receiving = Receiving(self._store, seal, id_ := secrets.token_hex(8))
        values = {"id": id_, "person": person, "name": _clean(name), "kind": kind,
                  "authors": json.dumps([person])}  # fmt: skip
        with self._store.begin() as connection:
            connection.execute(_BEGIN, {**values, "now": self._store.now(connection)})
        try:
            yield receiving
            sha256 = receiving.end()
            with self._store.begin() as connection:
                now = self._store.now(connection)
                done = {"id": id_, "size": receiving.size, "sha256": sha256, "now": now}
                if connection.execute(_COMPLETE, done).rowcount != 1:
                    raise Conflict("the upload took too long and was discarded", "upload the file again")
        except BaseException:
            with self._store.begin() as connection:
                _forget(connection, id_)
            self._store.clean()
            raise
        receiving.upload = self.get(id_)

    def get(self, id_: str) -> Upload:
        """Return an upload. Raises NotFound."""
        with self._store.read() as connection:
            row = connection.execute(_GET, {"id": id_}).mappings().one_or_none()
        if row is None:
            raise NotFound(f"there is no upload {id_}", "upload the file on the page of `siproster serve`")
        return _upload(row)

    def named(self, place: str) -> Upload | None:
        """Return the upload that ``upload:ID`` names; None: the place is none. Raises NotFound."""
        found = _place(place)
        return self.get(found[1]) if found else None

    def newest(self, person: str = "", limit: int = 100) -> list[Upload]:
        """Return the uploaded rosters of a person (empty: of everybody), newest first, shredded ones too."""
        with self._store.read() as connection:
            rows = connection.execute(_LIST, {"person": person, "limit": limit}).mappings().all()
        return [_upload(row) for row in rows]

    def stored(self, person: str) -> int:
        """Return how many bytes of a person's files are stored."""
        with self._store.read() as connection:
            return int(connection.execute(_STORED, {"person": person}).scalar_one())

    def of_job(self, job: str) -> Upload | None:
        """Return the upload that a plan, its job, or a retry of that comes from; None: from elsewhere."""
        with self._store.read() as connection:
            row = connection.execute(_OF_JOB, {"job": job}).mappings().one_or_none()
        return _upload(row) if row else None

    def blocks(self, seal: Seal, id_: str) -> Iterator[bytes]:
        """Yield the file's bytes, a block at a time. Raises NotFound, UsageError if it was shredded."""
        upload = self.get(id_)
        refuse_shredded(upload)
        for nr in range(-(-upload.size // BLOCK)):
            yield self.block(seal, id_, nr)

    def block(self, seal: Seal, id_: str, nr: int) -> bytes:
        """Return one block; empty after the last one, or if the upload was shredded meanwhile."""
        with self._store.read() as connection:
            sealed = connection.execute(_BLOCK_OF, {"id": id_, "nr": nr}).scalar_one_or_none()
        return seal.open_bytes(bytes(sealed), _context(id_, nr)) if sealed is not None else b""

    def set_settings(self, id_: str, settings: Mapping[str, Any], person: str) -> None:
        """Replace the options that it is planned with; an earlier plan of it is no longer valid.

        Raises Conflict if it was shredded or carried out, or ``refuse_moved`` does for its corrections.
        """
        with self._store.begin() as connection:
            before = connection.execute(_SETTINGS, {"id": id_}).scalar_one_or_none()
            if before is not None:
                refuse_moved(json.loads(before), settings)
            change(connection, id_, person, self._store.now(connection), json.dumps(dict(settings)))

    def set_plan(self, upload: Upload, plan: str) -> bool:
        """Record the plan that was saved of the upload, as it was then; return whether it is still so."""
        values = {"id": upload.id, "plan": plan, "changes": upload.changes}
        with self._store.begin() as connection:
            return connection.execute(_SET_PLAN, {**values, "now": self._store.now(connection)}).rowcount == 1

    def plans(self, id_: str) -> list[str]:
        """Return the saved plans of the upload that nobody has carried out or cancelled, oldest first."""
        with self._store.read() as connection:
            return list(connection.execute(_PLANS, {"place": f"{PREFIX}{id_}"}).scalars())

    def set_job(self, id_: str, job: str) -> None:
        """Record the job that carries out the plan, and shred the file: the job has its rows."""
        with self._store.begin() as connection:
            now = self._store.now(connection)
            connection.execute(_SET_JOB, {"id": id_, "job": job, "now": now})
            _shred(connection, id_, now)
        self._store.clean()

    def shred(self, id_: str) -> None:
        """Shred the file and its corrections: it is discarded, or its rows are in a job."""
        with self._store.begin() as connection:
            _shred(connection, id_, self._store.now(connection))
        self._store.clean()


def change(connection: Connection, id_: str, person: str, now: float, settings: str | None = None) -> None:
    """Add an author, and drop the plan, which is no longer of the upload as it is.

    Raises Conflict if it was shredded or carried out.
    """
    found = connection.execute(_AUTHORS, {"id": id_}).scalar_one_or_none()
    authors = list(dict.fromkeys([*json.loads(found or "[]"), person]))
    values = {"id": id_, "settings": settings, "authors": json.dumps(authors), "now": now}
    if connection.execute(_TOUCH, values).rowcount != 1:
        raise Conflict(f"upload {id_} can't be changed any more", "upload the file again")


def shred_unused(connection: Connection, now: float) -> int:
    """Shred uploads that were carried out, or that nobody uses; return how many."""
    carried_out = connection.execute(_CARRIED_OUT).all()
    for row in carried_out:
        connection.execute(_SET_JOB, {"id": row.id, "job": row.job, "now": now})
        _shred(connection, row.id, now)
    unused = connection.execute(_UNUSED, {"cut_off": now - _RECEIVING, "unused": now - KEPT_UNUSED}).all()
    for row in unused:
        if row.received is not None:
            _shred(connection, row.id, now)
        else:
            _forget(connection, row.id)
    connection.execute(_FORGOTTEN, {"before": now - _REMEMBERED})
    return len(carried_out) + len(unused)


def shred_cells(connection: Connection, subject: str) -> None:
    """Shred the corrected cells of an upload or a job."""
    connection.execute(_DELETE_CELLS, {"subject": subject})


def refuse_shredded(upload: Upload) -> None:
    """Raise UsageError if the file was shredded."""
    if upload.shredded:
        used = f"job {upload.job} has its rows" if upload.job else "it was discarded, or unused for a day"
        raise UsageError(f"upload {upload.id} ({upload.name}) was shredded: {used}", "upload the file again")


def refuse_moved(before: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise Conflict if other settings than ``before`` could take corrected cells to other rows' lines.

    A line of one sheet is another row in the next: a password typed for one user would be sent for another.
    """
    for name in _POSITIONING:
        if str(before.get(name) or "") != str(settings.get(name) or ""):
            raise Conflict(
                f"cells were corrected, and with another --{name} they would be those of other rows",
                f"leave --{name} as it was, or upload the file again and choose it before you correct cells",
            )


def _forget(connection: Connection, id_: str) -> None:
    for statement in (_DELETE_BLOCKS, _DELETE):
        connection.execute(statement, {"id": id_})


def _shred(connection: Connection, id_: str, now: float) -> None:
    connection.execute(_SHRED, {"id": id_, "now": now})
    connection.execute(_DELETE_BLOCKS, {"id": id_})
    shred_cells(connection, f"{PREFIX}{id_}")


def _clean(name: str) -> str:
    """Return the last part of a file's name, printable and not too long."""
    last = name.replace("\\", "/").rpartition("/")[2].encode("utf-8", "replace").decode()
    shown = "".join(one for one in last if one.isprintable()).strip()
    return shown[-_LONGEST_NAME:].strip(" .") or "roster"


def _context(id_: str, nr: int) -> str:
    return f"upload/{id_}/{nr}"


def _upload(row: RowMapping) -> Upload:
    return Upload(
        id=row["id"], person=row["person"], name=row["name"], size=row["size"], sha256=row["sha256"],
        received=_moment(row["received"]), settings=json.loads(row["settings"]),
        authors=tuple(json.loads(row["authors"])), plan=row["plan"], job=row["job"], kind=row["kind"],
        step=row["step"] or "", child=(row["child"] or "") if row["state"] == "running" else "",
        error=json.loads(row["error"]) if row["error"] else None, changes=row["changes"],
        shredded=None if row["shredded"] is None else _moment(row["shredded"]),
    )  # fmt: skip


def _moment(epoch: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch, dt.UTC)
