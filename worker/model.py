"""The nouns: types that travel between the rooms. Nothing here reads, sends or stores anything.

A type that holds a password, a digest or an API secret hides it in its ``repr``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from worker.choices import Absent as Absent
from worker.choices import Alphabet as Alphabet
from worker.choices import Family as Family
from worker.choices import OnExisting as OnExisting
from worker.choices import Weak as Weak
from worker.states import Action as Action
from worker.states import JobState as JobState
from worker.states import Status as Status
from worker.states import Why
from worker.table_form import Blanks as Blanks
from worker.table_form import Normalize as Normalize
from worker.table_form import TableForm as TableForm

LONGEST_REALM: Final = 64
"""Characters of a realm's host name, id or short name (docs/bandwidth-api.md#credentials)."""

FIRST_LEAVER: Final = -2_000_000_000
"""The line of the first leaver: users who are stored and not in the roster are rows with negative lines."""

NO_REALM: Final = -1
"""The key of a row without a usable realm."""

_realm_ref = re.compile(rf"(?=[._-]*[A-Za-z0-9])[A-Za-z0-9._-]{{1,{LONGEST_REALM}}}").fullmatch


def utc_now() -> dt.datetime:
    """Return the current time, in UTC, aware."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a row is not, or may not be, what its author meant.

    ``code`` is one of the words in docs/errors.md; ``text`` never holds a secret.
    """

    code: str
    text: str


@dataclass(slots=True)
class Row:
    """One row on its way from the roster to the service, with what is to be done with it.

    The roster's part: the physical line on which the record starts (the header is line 1), its fields and
    cells. ``problems`` make it invalid (all of them, not only the first); ``warnings`` don't. ``cells``
    are the values of the roster's carried columns, in their order, as text; a row whose number of fields is
    wrong has empty ones, since no cell of it can be attributed to a column. The rest is filled in on the way.
    """

    line: int
    user: str
    domain: str
    realm: str
    """The realm as the roster or ``--realm`` names it: id, host or short name; empty: the default."""
    application: str
    password: str = field(repr=False)
    cells: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    hash1: str = field(default="", repr=False)
    """The digest to be sent; before that, the roster's own, which is used if there is no password."""
    hash1b: str = field(default="", repr=False)
    skipped: Problem | None = None
    """The reason why the entry is not a phone user; then it is the only one of ``problems``."""
    corrected: bool = False
    """Whether its password was corrected for a retry, and so differs from the roster's."""
    generated: bool = False
    """Whether its password is one of the file of ``--generate-passwords``; while empty, may become one."""
    realm_key: int = NO_REALM
    """The job's own number of the realm that the row goes to (ledger.JobRealm)."""
    host: str = ""
    """The realm's host name, exactly as the API returns it; empty while unknown."""
    action: Action | None = None
    """None: the stored credentials were not looked up."""
    stored: Stored | None = field(default=None, repr=False)
    """The credential stored under the row's name; in a chunk, only if that is to be updated."""
    differs: tuple[str, ...] = ()
    """Codes of the differences between stored and wanted."""
    outcome: Outcome | None = None
    """The row's outcome, if it needs no request of its own."""

    @property
    def composite(self) -> str:
        """Return the name that the digests are made from (docs/bandwidth-api.md#digests)."""
        return f"{self.user}@{self.domain}" if self.domain else self.user

    @property
    def leaver(self) -> Stored:
        """Return the stored user of a row that leaves."""
        if self.stored is None:
            raise ValueError("a row of the roster is nobody to delete")
        return self.stored


@dataclass(frozen=True, slots=True)
class Realm:
    """A realm as the API returns it. ``host`` is the string that goes into the digests, exactly."""

    id: str
    host: str
    status: str = "ACTIVE"
    default: bool = False
    description: str = ""
    credentials: int | None = None
    """``SipCredentialCount``; None if the answer left it out."""


def can_name_a_realm(ref: str) -> bool:
    """Return whether ``ref`` can be a realm's id, host name or short name (docs/bandwidth-api.md#realms).

    No source specifies the form of an id; all seen so far are digits.
    """
    return _realm_ref(ref) is not None


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential that is sent for one user. The digests are password-equivalent, so they are hidden."""

    user: str
    domain: str
    host: str
    """Host name of the realm that the digests were made for."""
    hash1: str = field(repr=False)
    hash1b: str = field(repr=False)
    application: str = ""

    @property
    def composite(self) -> str:
        """Return ``user`` or ``user@domain``."""
        return f"{self.user}@{self.domain}" if self.domain else self.user


@dataclass(slots=True)
class Stored:
    """The credential that the service holds for one user. None: the answer left the element out."""

    id: str
    composite: str
    realm: str
    hash1: str | None = field(default=None, repr=False)
    hash1b: str | None = field(default=None, repr=False)
    application: str = ""


@dataclass(slots=True)
class Echo:
    """An entry of ``ValidSipCredentials``: the service says that it is stored now.

    None: the echo left the element out. Empty: it is there, and holds nothing, or nothing that can be one.
    """

    id: str
    composite: str
    realm: str | None = None
    hash1: str | None = field(default=None, repr=False)
    hash1b: str | None = field(default=None, repr=False)
    application: str | None = None
    realm_id: str | None = None


@dataclass(frozen=True, slots=True)
class EntryError:
    """An entry of ``Errors``. ``composite`` and ``hash1`` are empty where the echo left them out."""

    code: str
    text: str
    """Redacted: contains no 32 hex digits in a row."""
    composite: str = ""
    hash1: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a create: entries that were stored, entries that were refused."""

    accepted: tuple[Echo, ...] = ()
    refused: tuple[EntryError, ...] = ()
    repeated: bool = False
    """Whether it was requested more than once: a delayed request (429, 503) may have been executed."""
    contradicted: frozenset[str] = frozenset()
    """Names, in lower case, that it calls stored while it contradicts itself or the request."""
    ids: tuple[str, ...] | None = None
    """The ids of all entries, if the answer repeats the list that was sent, letter by letter and in order;
    then its entries are not listed."""


@dataclass(slots=True)
class Outcome:
    """The outcome of one row, as the ledger stores it."""

    line: int
    status: Status
    credential_id: str = ""
    code: str = ""
    error: str = ""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The service's address, the account, and the API credentials."""

    host: str
    """Scheme and host, no path: ``https://api.bandwidth.com``."""
    account: str
    environment: str = "prod"
    api_path: str = "/api/v2"
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)


class Condition(NamedTuple):
    """A condition of ``--where`` that a row has to meet."""

    column: str
    value: str
    operator: str = "="
    """``=``, ``!=``, or ``~`` for a regular expression that matches anywhere in the cell."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``import``, stored with the job. Names and defaults: the command line's."""

    realm: str = ""
    create_realm: bool = False
    make_default: bool = False
    domain: str = ""
    application: str = ""
    api: Family = Family.ACCOUNT
    on_existing: OnExisting = OnExisting.SKIP
    source_format: str = "auto"
    map: Mapping[str, str] = field(default_factory=dict)
    """Our field (username, password, domain, realm, application_id) to the roster's column."""
    username: str = ""
    """Template, such as ``{site}-{extension}``; empty: the column as it is."""
    where: tuple[Condition, ...] = ()
    skip: int = 0
    limit: int | None = None
    carry: tuple[str, ...] = ()
    delimiter: str = ""
    encoding: str = ""
    query: str = ""
    sheet: str = ""
    """Name or number of a workbook's sheet; empty: the one with column names of a roster."""
    header_line: int | None = None
    blanks: Blanks | None = None
    normalize: Normalize | None = None
    weak: Weak = Weak.WARN
    weak_given: bool = False
    """Whether ``--weak`` was given explicitly: only then a PIN column is accepted as passwords."""
    generate_passwords: str = ""
    """Absolute path of the file of generated passwords; empty: none are generated."""
    rotate: bool = False
    """Whether existing users are given generated passwords, too."""
    password_length: int = 22
    password_alphabet: Alphabet = Alphabet.LETTERS_DIGITS
    batch_size: int = 100
    chunk_size: int = 800
    concurrency: int = 8
    rate: float | None = None
    max_failed: str = ""
    max_changes: str = ""
    """``N`` or ``N%``: the most changes that are sent without approval; empty: any number."""
    require_rows: int | None = None
    """The fewest rows that a roster must have."""
    not_before: str = ""
    """ISO 8601, UTC; empty: at once."""
    not_after: str = ""
    """ISO 8601, UTC; empty: no end."""
    patience: float = 600.0
    """Seconds that a waiting command waits for an unavailable service."""
    absent: Absent = Absent.LEAVE
    keep_days: float = 7.0
    """Days that the passwords of rows that are not in place stay sealed, for ``retry``."""
    resume_days: float = 30.0
    """Days that a job can be resumed after it was paused or stopped; then its passwords are shredded."""
    inbox: bool = False
    """Whether only the new files of a folder are read: most users are in the others."""
    results: str = ""
    """Folder of the result files; empty: ``./siproster-JOB/``."""
    tables: TableForm = field(default_factory=TableForm)
    """How the result files are written; known once the roster was read."""

    @property
    def whole_roster(self) -> bool:
        """Return whether the options leave out no row of the roster."""
        return not (self.where or self.skip or self.limit or self.inbox)

    @property
    def lists_everybody(self) -> bool:
        """Return whether all stored users are listed, even if looking up row by row takes fewer requests."""
        return bool(self.absent or self.max_changes)


@dataclass(frozen=True, slots=True)
class DatabaseLogin:
    """A user and a password for the database of one URL; either may be empty. Never stored with a job."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """Return what is set, for ``doctor``: the user, and that there is a password."""
        parts = (self.user and f"user {self.user}", self.password and "password <hidden>")
        return ", ".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the ledger stores it."""

    id: str
    state: JobState
    why: Why | None
    """Why it is paused, stopped, cancelled or saved as a plan; else None."""
    host: str
    environment: str
    account: str
    options: Options
    operator: str
    machine: str
    version: str
    key: str
    """Fingerprint of the sealing key; the key itself is never stored."""
    roster: str
    """The roster's name as shown; ``source`` is where it can be read again."""
    source: str
    sha256: str
    columns: tuple[str, ...]
    """The carried columns, in the roster's order."""
    rows: int
    parent: str
    """The job that this one retries, or the plan that it carries out; else empty."""
    batch_bound: int | None
    """The most entries in one request that the service is known to accept (23003)."""
    created: dt.datetime
    started: dt.datetime | None
    finished: dt.datetime | None
    requests: int
    retries: int
    absent: int | None = None
    """Users stored on the roster's realms and not in the roster; None: not all were listed."""
    saved: dt.datetime | None = None
    """When it was saved as a plan, for ``import --plan``."""
    carried_out_by: str = ""
    """For a saved plan, the job that carried it out."""
    undone: dt.datetime | None = None
    """When all its changes were undone, or kept with a reason."""
    verified: Mapping[str, Any] | None = None
    """Result of the last try of its rows on a registrar, as ``verify --json`` prints it."""
    schedule: str = ""
    """The name of the schedule that made it; else empty."""
    slot: dt.datetime | None = None
    """The slot of its schedule."""
    paused_seconds: float = 0.0
    """Seconds since its start in which it was paused, or stopped and not resumed yet."""
    root: str = ""
    """The first job of its family: those that retry one another, or carry out a plan."""
    expires: dt.datetime | None = None
    """When it can't be resumed, or carried out, any more, and its passwords are shredded; None: it goes on,
    or has ended."""
