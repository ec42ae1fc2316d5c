"""Deletion of users, one after the other, and the outcome of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from worker.api import Api
from worker.commands.listing import Fact
from worker.commands.scope import Scope
from worker.errors import (
    AnswerLost,
    Conflict,
    NotFound,
    Refused,
    SiprosterError,
    StopJob,
    TryLater,
    UsageError,
)  # fmt: skip
from worker.model import Family
from worker.reasons import plural
from worker.roster import Name, Names

DELETED, NOT_FOUND, FAILED = "deleted", "not_found", "failed"


class Targets:
    """Users to delete, named on the command line or in a file as it was when they were counted."""

    def __init__(
        self, users: Sequence[str], file: str, domain: str, realm: str, statuses: Sequence[str]
    ) -> None:
        """Open the file, if there is one. Raises UsageError if it can't be read to its end."""
        self._users = users
        self._file = Names(file, statuses) if file else None
        self._domain = domain
        self._realm = realm

    @property
    def count(self) -> int:
        """Return the number of users."""
        return self._file.count if self._file else len(self._users)

    @property
    def told(self) -> str:
        """Return the number of users and where they were named, for people."""
        if not self._file:
            return f"{self.count:,} named on the command line"
        columns = ", ".join(f"{field} from column {name}" for field, name in self._file.columns.items())
        return f"{plural(self.count, 'user')} in the file: {columns}"

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield composite name and realm reference; either is empty if a line or the command names none."""
        for name in self._file or (Name(0, user, "", "") for user in self._users):
            domain = name.domain or ("" if "@" in name.user else self._domain)
            composite = f"{name.user}@{domain}" if name.user and domain else name.user
            yield composite, name.realm or self._realm

    def close(self) -> None:
        """Let go of the file."""
        if self._file:
            self._file.close()


class Removal:
    """Deletes the targets while its facts are iterated."""

    def __init__(self, api: Api, family: Family, targets: Targets) -> None:
        self.ended_by: StopJob | TryLater | KeyboardInterrupt | None = None
        """The reason for an early end: an interruption, or an error because of which no later user could have
        been deleted, either."""
        self._api = api
        self._family = family
        self._targets = targets
        self._counts: Counter[str] = Counter()
        self._scopes: dict[str, Scope | SiprosterError] = {}

    @property
    def all_deleted(self) -> bool:
        """Return whether every target was there and has been deleted."""
        return self._counts[DELETED] == self._targets.count

    @property
    def summary(self) -> str:
        """Return the counts in words."""
        left = self._targets.count - self._counts.total()
        told = [f"{number:,} {outcome}" for outcome, number in self._counts.items()]
        return ", ".join([*told, f"{left:,} not attempted"] if left else told) or "no users to delete"

    @staticmethod
    def line(fact: Fact) -> str:
        """Return one outcome for people."""
        words = [f"{fact['outcome']:<9}", fact["username"] or "(no name)", fact["realm"], fact["error"]]
        return "  ".join(word for word in words if word)

    def facts(self) -> Iterator[Fact]:
        """Delete each user and yield the outcome; end early, without raising, if none can be deleted."""
        for composite, ref in self._targets:
            try:
                fact = self._one(composite, ref)
            except (StopJob, TryLater, KeyboardInterrupt) as error:
                self.ended_by = error
                if isinstance(error, KeyboardInterrupt) or error.unconfirmed:  # its deletion was sent
                    self._counts[FAILED] += 1
                    text = f"can't tell whether it was deleted: {str(error) or 'interrupted'}"
                    yield _fact(composite, ref, FAILED, "unconfirmed", text)
                return
            self._counts[fact["outcome"] or ""] += 1
            yield fact

    def _one(self, composite: str, ref: str) -> Fact:
        if not composite:
            return _fact(composite, ref, FAILED, "username_missing", "the line has no user name")
        scope = self._scope(ref)
        if isinstance(scope, SiprosterError):
            return _fact(composite, ref, FAILED, "realm_unknown", scope.message)
        try:
            return self._delete(scope, composite)
        except NotFound as error:
            return _fact(composite, scope.realm.host if scope.realm else "", NOT_FOUND, "", error.message)
        except UsageError as error:
            return _fact(composite, ref, FAILED, "bad_characters", error.message)

    def _delete(self, scope: Scope, composite: str) -> Fact:
        held = scope.find(composite)
        name, realm, id_ = held.stored.composite, held.stored.realm, held.stored.id
        try:
            there = self._api.delete(self._family, held.realm, held.stored, _permitted)
            return _fact(name, realm, DELETED if there else NOT_FOUND, id_=id_)
        except AnswerLost as error:
            if self._api.read(self._family, held.realm, held.stored) is None:
                return _fact(name, realm, DELETED, id_=id_)
            return _fact(name, realm, FAILED, "answer_lost", f"{error}; the user still exists", id_)
        except Refused as error:
            return _fact(name, realm, FAILED, error.code or "refused", error.text, id_)

    def _scope(self, ref: str) -> Scope | SiprosterError:
        """Return the scope of a realm reference, or the error why there is none; each is asked for once."""
        if ref not in self._scopes:
            try:
                self._scopes[ref] = Scope(self._api, self._family, ref)
            except (NotFound, Conflict, UsageError) as error:
                self._scopes[ref] = error
        return self._scopes[ref]


def _permitted(deadline: float) -> None:
    """Permit every request: no other process's lease concerns a command's own request."""


def _fact(composite: str, realm: str, outcome: str, code: str = "", error: str = "", id_: str = "") -> Fact:
    return {
        "username": composite,
        "realm": realm,
        "id": id_,
        "outcome": outcome,
        "code": code,
        "error": error,
    }
