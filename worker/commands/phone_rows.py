"""The rows that ``phones`` is about: a roster's, or those of a job that are in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from worker.commands.context import Context
from worker.commands.running import print_roster
from worker.commands.screen import echo
from worker.commands.verify import reopened
from worker.errors import Unavailable
from worker.importing.generate import generated_passwords
from worker.importing.realms import JobRealms
from worker.importing.rows_in_place import rows_in_place
from worker.importing.validation import RosterPage, validated_pages
from worker.model import Job, Options
from worker.phones import Server
from worker.reasons import plural
from worker.register import ServerAddress, Transport, Undecided, servers_of, usual_server


@dataclass(frozen=True, slots=True)
class PhoneRows:
    """Rows that can be read more than once. Each has its realm's host name and its password, or problems."""

    name: str
    columns: Sequence[str]
    templated: bool
    """Whether the user names were built with ``--username``."""
    not_in_place: int
    """Rows of the job that are left out, since their users can't register with the roster's passwords."""
    pages: Callable[[], Iterator[RosterPage]]
    passwords: str = ""
    """The file of generated passwords; empty: there is none."""


@contextmanager
def rows_of_roster(context: Context, source: str, options: Options) -> Iterator[PhoneRows]:
    """Open the rows of a roster. Its realms are looked up, since only the service knows their host names."""
    with context.open_roster(source, options) as opened, generated_passwords(options, new=False) as passwords:
        print_roster(opened)
        realms = JobRealms(context.client(options), None, "", options)

        def pages() -> Iterator[RosterPage]:
            return validated_pages(opened, realms, options.api, passwords)

        yield PhoneRows(
            opened.name, opened.columns, bool(options.username), 0, pages, options.generate_passwords
        )


@contextmanager
def rows_of_job(context: Context, job: Job, path: str, file: str) -> Iterator[PhoneRows]:
    """Open the rows of a job that are in place, with their passwords.

    ``path``: its roster. ``file``: the generated passwords; empty: there are none.
    """
    options = replace(job.options, generate_passwords=file)
    with (
        reopened(context, job, path, "phones") as again,
        generated_passwords(options, new=False) as passwords,
    ):
        counts = context.ledger.rows.counts(job.id, job.rows)
        left_out = sum(rows for status, rows in counts.items() if status.in_trouble)
        in_place = sum(rows for status, rows in counts.items() if status.in_place)
        echo(f"{job.roster}: {in_place:,} of {plural(in_place + left_out, 'row')} in place")

        def pages() -> Iterator[RosterPage]:
            for page in rows_in_place(context.ledger, context.seal, job, again):
                if passwords:
                    passwords.claim(page)
                yield page

        yield PhoneRows(job.roster, job.columns, bool(job.options.username), left_out, pages, file)


class Servers:
    """The registrars of realms: the one that was given, or each realm's own by DNS, asked once."""

    def __init__(self, given: ServerAddress | None, transport: Transport, resolver: str) -> None:
        self._given = given
        self._transport = transport
        self._resolver = resolver
        self._known: dict[str, Server] = {}

    def of(self, realm: str) -> Server:
        """Return the registrar of a realm. Raises Unavailable if DNS can't tell."""
        if realm not in self._known:
            self._known[realm] = self._look_up(realm)
        return self._known[realm]

    def _look_up(self, realm: str) -> Server:
        if self._given:
            return Server(self._given.host, self._given.port, self._transport.value, proxy=True)
        try:
            found = servers_of(realm, self._transport, self._resolver)
        except Undecided as undecided:
            raise Unavailable(
                f"the registrar of {realm} can't be found: {undecided}",
                "nothing was written; try again later, or name it with --registrar HOST:PORT",
            ) from None
        server = found[0] if found else usual_server(realm, self._transport)
        return Server(server.host, server.port, self._transport.value, srv=bool(found))
