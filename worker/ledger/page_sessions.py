"""The sessions of people who have signed in to the page. Only hashes of their cookies are stored."""

from __future__ import annotations

from sqlalchemy import text

from worker.ledger.people import Person, PersonRecord, Role
from worker.ledger.store import Store

_TOUCH_EVERY = 60.0
"""Seconds between two records of a session's use: each is a write."""

_EXPIRED = text("DELETE FROM page_sessions WHERE ends <= :now OR seen <= :now - :idle")
_SIGNED_IN = text("UPDATE people SET signed_in = :now WHERE key = :person AND token_hash = :person_hash")
_BEGIN = text("""
    INSERT INTO page_sessions (token_hash, person, seen, ends)
    SELECT :token_hash, key, :now, :ends FROM people
    WHERE key = :person AND people.token_hash = :person_hash""")
_FIND = text("""
    SELECT p.name, p.role, s.seen FROM page_sessions s JOIN people p ON p.key = s.person
    WHERE s.token_hash = :token_hash AND s.ends > :now AND s.seen > :now - :idle""")
_TOUCH = text("UPDATE page_sessions SET seen = :now WHERE token_hash = :token_hash")
_END = text("DELETE FROM page_sessions WHERE token_hash = :token_hash")


class PageSessions:
    """The sessions of one ledger. ``token_hash`` is always the SHA-256 of the cookie's value, in hex."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, token_hash: str, known: PersonRecord, seconds: float) -> bool:
        """Begin a session of so many seconds, at most.

        Return False if the person was removed, or their token renewed, since they were looked up.
        """
        with self._store.begin() as connection:
            now = self._store.now(connection)
            key = {"person": known.person.name.casefold(), "person_hash": known.token_hash}
            values = {**key, "token_hash": token_hash, "now": now, "ends": now + seconds}
            connection.execute(_SIGNED_IN, values)
            return bool(connection.execute(_BEGIN, values).rowcount == 1)

    def person(self, token_hash: str, idle: float) -> Person | None:
        """Return a session's person, with their role of now; None if it has ended.

        ``idle``: seconds without a request after which a session ends. Records that it was used.
        """
        with self._store.read() as connection:
            now = self._store.now(connection)
            values = {"token_hash": token_hash, "now": now, "idle": idle}
            row = connection.execute(_FIND, values).one_or_none()
        if row is None:
            return None
        if now - row.seen > min(_TOUCH_EVERY, idle / 4):
            with self._store.begin() as connection:
                connection.execute(_TOUCH, {"token_hash": token_hash, "now": now})
        return Person(row.name, Role(row.role))

    def end(self, token_hash: str) -> None:
        """End a session; no effect if there is none."""
        with self._store.begin() as connection:
            connection.execute(_END, {"token_hash": token_hash})

    def delete_expired(self, idle: float) -> None:
        """Delete the sessions that have ended."""
        with self._store.begin() as connection:
            connection.execute(_EXPIRED, {"now": self._store.now(connection), "idle": idle})
