"""The scope of a command: the whole account, or one realm of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import click

from worker.api import Api
from worker.errors import NotFound, UsageError
from worker.model import Family, Realm, Stored

_LONGEST = 255
"""Characters of a name that is asked for; its bound is lower (docs/bandwidth-api.md#field-rules)."""
_SHOWN = 80

F = TypeVar("F", bound=Callable[..., Any])


def scope_options(command: F) -> F:
    """Add ``--api`` and ``--realm``, for commands about stored credentials."""
    for option in (
        click.option("--realm", metavar="REF", default="", help="Realm: id, host name or short name."),
        click.option("--api", "family", type=click.Choice([one.value for one in Family]), show_default=True,
                     default=Family.ACCOUNT.value, help="Endpoint family."),
    ):  # fmt: skip
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Held:
    """A stored credential, and the realm that the realm family addresses it by."""

    stored: Stored
    realm: Realm | None


class Scope:
    """The account, or the realm that ``ref`` names. Raises NotFound, Conflict if ``ref`` names several."""

    def __init__(self, api: Api, family: Family, ref: str = "") -> None:
        self.api = api
        self.family = family
        self.realm = api.realm(ref) if ref else None

    def entries(self, filters: Mapping[str, str] | None = None) -> Iterator[Held]:
        """Yield listed entries, streamed; the realm family is asked realm by realm."""
        realms: list[Realm | None] = [self.realm]
        if self.realm is None and self.family is Family.REALM:
            realms = [*self.api.realms()]
        for realm in realms:
            for stored in self.api.credentials(self.family, realm, filters):
                yield Held(stored, realm)

    def whole(self, held: Held) -> Stored:
        """Return the entry with its digests, read singly if the list left one out."""
        return self.api.whole(self.family, held.realm, held.stored)

    def find(self, composite: str) -> Held:
        """Return one credential; in the realm family without a realm, from the default one.

        Raises NotFound, and UsageError for what can't be a user's name.
        """
        if not composite.isprintable() or len(composite) > _LONGEST:
            raise UsageError(
                f"{ascii(composite)[:_SHOWN]} can't be a user name",
                "write it as `siproster credential list` shows it",
            )
        realm = self._realm_of_one
        stored = self.api.find(self.family, realm, composite)
        if stored is None:
            where = f"realm {realm.host}" if realm else "the account"
            raise NotFound(f"{composite} is not on {where}", "list the users with: siproster credential list")
        if realm and stored.realm.casefold() not in self._known(realm):
            raise NotFound(
                f"{composite} is not on realm {realm.host}, but on {stored.realm or '(unknown)'}",
                f"name that realm: --realm {stored.realm}" if stored.realm else "leave out --realm",
            )
        return Held(stored, realm)

    @cached_property
    def _realm_of_one(self) -> Realm | None:
        """Return the realm to search for a single name; asked for once, however many names there are."""
        if self.realm is None and self.family is Family.REALM:
            return self.api.default_realm()
        return self.realm

    def _known(self, realm: Realm) -> tuple[str, ...]:
        """Return the names that an answer may give the realm; the realm family's may leave it out."""
        host = realm.host.casefold()
        return (host, "") if self.family is Family.REALM else (host,)
