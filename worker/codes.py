"""Every code that users meet: what it means, and what to do about it.

docs/errors.md has the same texts, which a test holds to these. In an advice, names between backticks are
code; JOB stands for the job's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from worker.states import JobState, Reason


class Cure(StrEnum):
    """The command that may bring a row with this code into place."""

    NONE = ""
    CORRECT = "correct"
    """`retry` with a corrected failed.csv."""
    RETRY = "retry"
    """`retry` as it is: nothing is wrong with the row."""
    UPDATE = "update"
    """`retry --on-existing update`."""


_CURES = {
    Cure.NONE: "",
    Cure.CORRECT: "siproster retry JOB --corrections failed.csv",
    Cure.RETRY: "siproster retry JOB",
    Cure.UPDATE: "siproster retry JOB --on-existing update",
}


@dataclass(frozen=True, slots=True)
class Code:
    """One code. ``meaning`` and ``advice`` are sentences without a full stop."""

    name: str
    meaning: str
    advice: str
    cure: Cure = Cure.NONE
    again: str = ""
    """The advice when the job was a retry already; empty: the same."""
    effect: str = ""
    """The effect on the row or the job; empty: that of the table, or of the reason."""
    command: str = ""
    """The command to type; empty: that of the cure, or of the reason."""

    def after(self, *, retried: bool) -> tuple[str, Cure]:
        """Return the advice and the command; ``retried``: a retry has just ended with this code."""
        return (self.again, Cure.NONE) if retried and self.again else (self.advice, self.cure)


_ASK = "a retry ended in the same way: ask Bandwidth"

STATUSES = (
    Code("created", "new; created by this job", "nothing", effect="the row is in place"),
    Code("updated", "existed; this job set its password or application", "nothing",
         effect="the row is in place"),
    Code("unchanged", "exists with exactly this password and application; not provably created by this job",
         "nothing", effect="the row is in place"),
    Code("exists", "exists with another password, application, realm or spelling, and was not changed",
         "`bw__error_code` says what differs"),
    Code("invalid", "not sent: the row itself is wrong", "`bw__error_code` says what to correct",
         Cure.CORRECT),
    Code("failed", "the service refused it", "`bw__error_code` says why", Cure.CORRECT),
    Code("unknown", "sent, or possibly sent, but the outcome could not be determined",
         "`resume` checks again; if the job can't be resumed, `retry` does", Cure.RETRY),
    Code("unprocessed", "not attempted: the job ended first",
         "`resume` attempts it; if the job can't be resumed, `retry` does", Cure.RETRY),
)  # fmt: skip
"""In ``bw__status``."""

NOT_SENT = (
    Code("username_missing", "the user name, or a column that `--username` uses, is empty", "fill it in",
         Cure.CORRECT),
    Code("password_masked", "the password consists only of `*` or dots",
         "the export hid the passwords: export them in clear text", Cure.CORRECT),
    Code("password_missing", "the row has neither a password nor digests",
         "add a password; for `retry`, in a password column that you add to `failed.csv`", Cure.CORRECT),
    Code("hash_incomplete", "the row has no password and only one of the two digests",
         "give both digests, or a password", Cure.CORRECT),
    Code("bad_hash",
         "a digest is not 32 hexadecimal digits: it was rewritten by a spreadsheet (`1.2E+31`) or cut off, or"
         " is another kind of hash",
         "format the column as text in the spreadsheet and export it again; for `retry`, add a password "
         "column to `failed.csv`", Cure.CORRECT),
    Code("hash_realm",
         "the row doesn't say which realm its digests were computed for, or that realm is not the row's realm"
         " or doesn't exist yet",
         "give the full host name that the digests were computed for, exactly as the API returns it, in the "
         "`realm` column or with `--realm` (an id, a short name or the account's default realm is not "
         "enough); digests for another realm can't be used, so give a password instead", Cure.CORRECT),
    Code("hash_name",
         "`--username`, `--domain` or a correction changes the user name that the digests were computed for",
         "omit the option for these rows, or give passwords", Cure.CORRECT),
    Code("bad_characters",
         "a user name, domain or realm contains a character that is not allowed there, or the password "
         "contains an unpaired surrogate, which UTF-8 can't represent",
         "correct it (`bw__error` names the field, character and position): user names and domains may "
         "contain letters, digits and `. _ - ! $ & * + = ~`, a user name without a domain also `@`, and a "
         "realm letters, digits and `. _ -`", Cure.CORRECT),
    Code("too_long",
         "the user name or domain is longer than 32 characters (with `--api realm`: both together, with the "
         "`@`), or the realm is longer than 64",
         "shorten it; with `--api account`, you can move a domain from the user name into its own column",
         Cure.CORRECT),
    Code("bad_application_id", "the application is not a UUID", "use the application's id, not its name",
         Cure.CORRECT),
    Code("spreadsheet_damage", "a spreadsheet rewrote the user name: `1.4E+10`, `=\"0306703\"`, `#N/A`",
         "format the column as text in the spreadsheet and export it again", Cure.CORRECT),
    Code("weak_password",
         "with `--weak refuse`: the password is shorter than 8 characters, all digits, equal to the user "
         "name, or shared by 5 or more rows",
         "choose another password, or leave out `--weak refuse`", Cure.CORRECT),
    Code("field_count", "the record has fewer or more fields than the header",
         "quote every value that contains the delimiter", Cure.CORRECT),
    Code("malformed", "the record is not well-formed CSV", "double each quote inside a value (`\"\"`)",
         Cure.CORRECT),
    Code("duplicate_in_file", "an earlier row is the same user, regardless of case",
         "keep only one of them (`bw__error` gives the other row's line), or make the names unique with "
         "`--username`, `--domain` or `--api realm`", Cure.CORRECT),
    Code("realm_unknown", "the account has no such realm, or several with that short name",
         "list the realms with `siproster realm list`, or create one with `siproster realm create NAME`",
         Cure.CORRECT),
    Code("corrected",
         "`verify JOB` only: the row's name or password was corrected for a retry, so the roster no longer "
         "matches the job",
         "put the corrected row in a file of its own and run `siproster verify FILE`",
         effect="`verify` does not try the row"),
    Code("realm_not_active", "the realm is being created or deleted",
         "wait until `siproster realm show REF` shows ACTIVE", Cure.RETRY),
)  # fmt: skip
"""Status ``invalid``."""

SENT = (
    Code("digest_differs", "the user exists with another password",
         "if the roster is right, set its password with `--on-existing update`", Cure.UPDATE,
         effect="the row is `exists`"),
    Code("application_differs", "the user exists with another application",
         "if the roster is right, set its application with `--on-existing update`", Cure.UPDATE,
         effect="the row is `exists`"),
    Code("password_kept",
         "the user exists, has no password in the roster or the file of generated ones, and keeps the present one",
         "nothing if the phone has that password; otherwise give the user a generated one with `--rotate`",
         effect="the row is `exists`", command="siproster retry JOB --rotate"),
    Code("realm_differs",
         "with `--api account`: the account has this user name on another realm, or doesn't say on which "
         "one; siproster doesn't move users between realms",
         "choose another user name, or import the roster with `--api realm`, where names only have to be "
         "unique within their realm", Cure.CORRECT,
         effect="the row is `exists` or `failed`"),
    Code("changed_since_plan",
         "somebody created, changed or (`failed`) deleted the user after the job looked it up, so siproster "
         "didn't change it", "find out who did; a retry looks the user up again", Cure.RETRY,
         effect="the row is `exists` or `failed`"),
    Code("application_not_set",
         "the password was set, but the service kept another application; with `origin_unknown`, no "
         "response proves that this job set the password",
         "set the application on Bandwidth's side, or ask Bandwidth",
         effect="the row is `failed`"),
    Code("not_taken", "the service reported that it set the digests, but still shows the old ones",
         "retry the row", Cure.RETRY, _ASK,
         effect="the row is `unknown`"),
    Code("case_differs",
         "the service has the name in a different case (`Alice`, not `alice`); digests are computed for one "
         "spelling, so the user can't register with the spelling in the roster; with `origin_unknown`, this "
         "job may have created the user",
         "change the roster to the service's spelling, which `bw__error` gives",
         Cure.CORRECT,
         effect="the row is `exists` or `failed`"),
    Code("origin_unknown",
         "the credential exists as requested, but no response confirmed it, so nothing proves that this job "
         "created or changed it, and `undo` leaves it as it is",
         "nothing; to undo it anyway, use `undo --include-unproven`",
         effect="the row is `unchanged`; with another code `exists` or `failed`"),
    Code("not_mentioned", "the service neither stored nor refused the row, even when it was sent alone",
         "retry the row", Cure.RETRY, _ASK,
         effect="the row is `unknown`"),
    Code("refused",
         "the service refused the row or its look-up without giving a code; `unknown`: the refusal didn't "
         "come from the service itself (a proxy's page, a bare 409), so the request may have been carried "
         "out anyway",
         "see `bw__error`; a retry looks the row up",
         Cure.CORRECT,
         effect="the row is `failed` or `unknown`"),
    Code("crashed",
         "siproster failed on this row, or workers died three times while processing it; `unknown`: the row "
         "may have been sent",
         "report it with the output of `--debug`, which contains no secrets; other rows are not affected",
         Cure.RETRY,
         "report it with the output of `--debug`, which contains no secrets",
         effect="the row is `failed` or `unknown`"),
    Code("unconfirmed",
         "the row was or may have been sent, but the job stopped or its worker died before a response "
         "confirmed the outcome",
         "`resume` looks the user up; if the job can't be resumed, a retry does",
         Cure.RETRY,
         effect="the row is `unknown`"),
)  # fmt: skip
"""Statuses ``exists``, ``failed``, ``unknown`` and ``unchanged``."""

WARNINGS = (
    Code("weak_password",
         "shorter than 8 characters, all digits, equal to the user name, or shared by 5 or more rows; "
         "sharing is always detected in rosters of up to 50,000 rows, and in a million rows if 25 or more "
         "share a password",
         "choose other passwords, or use `--weak refuse`"),
    Code("password_generated",
         "the row had no usable password, so one was generated", "keep the file: nothing else has it"),
    Code("password_space", "the password begins or ends with white space, which is used as it is",
         "check that this is intended"),
    Code("password_control", "the password contains a line break or another control character",
         "look for an unclosed quote, which swallows the rows that follow"),
    Code("password_typographic", "the password contains a curly quote, no-break space or invisible character",
         "check whether a word processor or chat program put it there"),
    Code("spreadsheet_damage",
         "a spreadsheet may have rewritten the password, or the user name has only zeros from its 16th digit "
         "on",
         "compare it with the source"),
    Code("cell_hidden",
         "a carried cell contains the row's password (6 characters or more, in any case, "
         "percent-encoded, with HTML entities or in Base64), equals a shorter password, or contains a digest "
         "(exactly 32 consecutive hexadecimal digits), so it is `<hidden>` in the results; in an `invalid` "
         "row, so are the user name, domain and realm, and any error text that quotes them",
         "if the column is a copy of the password, remove it from the roster; passwords of fewer than "
         "4 characters, and those that equal the user name or, in a row that can be sent, the domain, are "
         "not hidden"),
    Code("several_at_signs", "the user name contains more than one `@`", "check that this is intended"),
    Code("column_ambiguous", "more than one column matches the field; the first one is used",
         "choose one with `--map FIELD=COLUMN`"),
    Code("column_unnamed", "a column without a name is ignored", "name it in the header"),
    Code("hash_mismatch",
         "the row has a password and digests for this realm, but the digests don't match the password; the"
         " password is used", "find out which of them is out of date"),
    Code("hash_not_used", "the roster has only one of the two digest columns, which is not used",
         "nothing: the digests are computed from the passwords"),
    Code("encoding_guessed", "the file is not UTF-8, so it was read as Windows-1252",
         "check a name with an accent in `results.csv`; if it is wrong, use `--encoding`"),
)  # fmt: skip
"""The row is sent anyway."""

REASONS = (
    Code("authentication_refused",
         "the service answered 401 to a fresh token, or 403; rows that were sent and got such a response are "
         "`unknown`",
         "check `BW_CLIENT_ID`, `BW_CLIENT_SECRET`, `BW_ENVIRONMENT`, and whether the credentials have the "
         "role for SIP credentials; then `resume`"),
    Code("account_not_found", "the account is unknown or locked (4022, or a 404 without a code)",
         "check `BW_ACCOUNT_ID` and `BW_API_URL`; then `resume`"),
    Code("not_allowed", "the account is not set up for SIP credentials (23013, 33004)",
         "ask Bandwidth; then `resume`"),
    Code("stopped",
         "the response didn't come from the service (a redirect, or a proxy's page), or a list of "
         "credentials didn't end: it exceeded twice the realms' own count plus 10,000",
         "check `BW_API_URL`, `SIPROSTER_API_PATH` and the proxy settings; then `resume`"),
    Code("seal_broken",
         "sealed rows of a chunk can't be opened: their bytes were changed in the ledger, or their key is "
         "missing",
         "put the key back into `SIPROSTER_KEY` or restore a backup of the ledger, then `resume`; otherwise "
         "import the roster again"),
    Code("max_failed", "more rows than `--max-failed` allows were failed, unknown or invalid",
         "see `failed.csv`; `resume` processes the remaining rows, and `retry` also those in `failed.csv`"),
    Code("not_after", "the time given by `--not-after` was reached", "`resume` in the next window"),
    Code("unavailable",
         "the service could not be reached, or answered with errors, for longer than `--patience`",
         "`resume`"),
    Code("broker", "Redis did not respond for longer than `--patience`",
         "run `siproster doctor`; then `resume`"),
    Code("no_worker",
         "no worker for the account responded for longer than `--patience`",
         "start `siproster worker`; then `resume`",
         command="siproster worker"),
    Code("account_busy",
         "another job was using the account for longer than `--patience`",
         "wait for that job; then `resume`"),
    Code("throttled", "the service limits the request rate",
         "`resume`; use a lower `--rate` in the next import"),
    Code("interrupted", "the job was interrupted with Ctrl-C, or its command was terminated", "`resume`"),
    Code("cancelled", "somebody cancelled the job with `cancel`", "`retry` processes the remaining rows",
         command="siproster retry JOB"),
    Code("exists",
         "`--on-existing fail`: some users exist with another password or application, so nothing was sent",
         "see `failed.csv`; `retry` with another `--on-existing`",
         command="siproster retry JOB --on-existing skip"),
    Code("saved", "the job is a saved plan that has not been carried out yet",
         "`siproster import --plan JOB`, or `cancel`",
         command="siproster import --plan JOB"),
    Code("carried_out", "the job is a saved plan that was carried out by the job named here",
         "see that job",
         command="siproster status JOB"),
    Code("undone", "`undo` is reverting, or has reverted, what the stopped job did",
         "import the roster again",
         command="siproster import ROSTER"),
)  # fmt: skip
"""The first word of a job's ``why``."""

SERVICE = (
    Code("1003", "a required element is missing or empty",
         "report it: siproster sends what the API description asks for"),
    Code("23001", "a required element is missing or empty",
         "report it: siproster sends what the API description asks for"),
    Code("4022", "the account is unknown or locked; the job stops", "see `account_not_found`",
         effect="the job is stopped; rows not attempted are `unprocessed`"),
    Code("12666", "the realm still has credentials, so it can't be deleted", "delete them first",
         effect="`realm delete` deletes nothing"),
    Code("13116", "a list filter contains a character that is not allowed",
         "report it: siproster doesn't send such filters",
         effect="the list is not read"),
    Code("33011", "a list filter is shorter than 3 characters",
         "report it: siproster doesn't send such filters",
         effect="the list is not read"),
    Code("13566", "the service is temporarily unavailable", "nothing: siproster tries again", Cure.RETRY,
         effect="the request is sent again; no row fails because of it"),
    Code("23000", "a request contains the same entry twice", "report it"),
    Code("23002", "a field is too long", "shorten it", Cure.CORRECT),
    Code("23003", "the request contains more entries than the service accepts",
         "nothing: the batch is split, and the job remembers the limit; `--batch-size` sets a smaller size "
         "to begin with",
         Cure.RETRY,
         effect="the batch is split and sent again; no row fails because of it"),
    Code("23008", "the account has no credentials yet", "nothing", Cure.RETRY,
         effect="the list is treated as empty"),
    Code("23009", "the name exists on the account",
         "nothing: the user is looked up at once, and the row becomes `unchanged`, or `exists` with a code "
         "for each difference, or `unknown` with this code if the service doesn't show the user", Cure.RETRY,
         effect="the row is `unchanged`, `exists` or `unknown`"),
    Code("23026", "the name exists on the realm",
         "nothing: the user is looked up at once, and the row becomes `unchanged`, or `exists` with a code "
         "for each difference, or `unknown` with this code if the service doesn't show the user", Cure.RETRY,
         effect="the row is `unchanged`, `exists` or `unknown`"),
    Code("23013", "the account is not set up for SIP credentials; the job stops", "ask Bandwidth",
         effect="the job is stopped; rows not attempted are `unprocessed`"),
    Code("33004", "the account is not set up for SIP credentials; the job stops", "ask Bandwidth",
         effect="the job is stopped; rows not attempted are `unprocessed`"),
    Code("23014", "a field contains characters that are not allowed", "correct it", Cure.CORRECT),
    Code("23015", "a field contains characters that are not allowed", "correct it", Cure.CORRECT),
    Code("23016", "a field contains characters that are not allowed", "correct it", Cure.CORRECT),
    Code("23017", "the realm was not found", "check with `siproster realm list` whether it has been deleted",
         Cure.RETRY),
    Code("23018", "the realm was not found, or is not the one in the request's path",
         "check with `siproster realm list` whether it has been deleted", Cure.RETRY),
    Code("33001", "the realm was not found", "check with `siproster realm list` whether it has been deleted",
         Cure.RETRY),
    Code("23019", "the account has no such application", "create it, or correct `application_id`",
         Cure.CORRECT),
    Code("23020", "the application id is not a UUID", "correct it", Cure.CORRECT),
    Code("23021", "the account has no default realm", "import the roster again with `--realm`"),
    Code("23022", "the realm is not ACTIVE", "wait until `siproster realm show REF` shows ACTIVE",
         Cure.RETRY),
    Code("33002", "the realm already exists", "use the existing realm",
         effect="`realm create` creates no realm"),
    Code("33003", "this realm name is not allowed", "use 1 to 30 letters, digits and inner hyphens",
         effect="`realm create` creates no realm"),
    Code("33006", "the default realm can't be deleted or made a non-default realm",
         "make another realm the default first",
         effect="`realm delete` and `realm update` change nothing"),
)  # fmt: skip
"""Numbers of the service's."""

UNDO = (
    Code("digest_differs", "somebody has set another password since", "nothing: the job's password is gone"),
    Code("application_differs", "somebody has set another application since",
         "nothing: siproster doesn't undo what others did"),
    Code("id_differs", "somebody has deleted the user and created another one with the same name",
         "nothing: siproster doesn't undo what others did"),
    Code("user_gone", "somebody has deleted a user that the job had changed", "nothing"),
    Code("origin_unknown",
         "no response from the service confirms that the job created or changed the user: a response was "
         "lost, or the job ended before it arrived. The change may be this job's or that of another job, "
         "perhaps from another ledger, with the same roster",
         "undo it with `--include-unproven` if nobody else has written to the account since the job began",
         command="siproster undo JOB --include-unproven"),
    Code("answer_lost",
         "a response never arrived, and the user doesn't show that the request was carried out",
         "run `undo` again", effect="the user is `failed`", command="siproster undo JOB"),
    Code("application_not_set", "the old password is set, but the old application is not",
         "set the application on Bandwidth's side, or ask Bandwidth", effect="the user is `failed`"),
    Code("realm_differs", "the service doesn't say that the user is on the job's realm", "ask Bandwidth",
         effect="the user is `failed`"),
)  # fmt: skip
"""In undo.csv: why a user was kept or failed (docs/accounts.md)."""


@dataclass(frozen=True, slots=True)
class Table:
    """Codes that occur in one place; ``effect``: what each does, unless the code says otherwise."""

    title: str
    effect: str
    codes: tuple[Code, ...]


TABLES = (
    Table("Statuses", "the row is not in place", STATUSES),
    Table("Rows that were not sent", "the row is `invalid`: it is not sent", NOT_SENT),
    Table("Rows that were sent", "", SENT),
    Table("Warnings", "none: the row is sent anyway", WARNINGS),
    Table("Why a job stopped or waits", "", REASONS),
    Table("Codes of the service", "the row is `failed`", SERVICE),
    Table("Users that `undo` didn't restore", "the user is `kept`: left as it is", UNDO),
)
"""All codes, under the headings of docs/errors.md, and of docs/accounts.md for the last."""

_OF_ROWS: Mapping[str, Code] = {code.name: code for code in (*NOT_SENT, *SENT, *SERVICE)}


def named(name: str) -> list[tuple[Table, Code]]:
    """Return what a code means in each table that has it; empty: no table does."""
    return [(table, code) for table in TABLES for code in table.codes if code.name == name]


def effect_of(table: Table, code: Code) -> str:
    """Return what a code does to the row or the job."""
    if table.codes is not REASONS:
        return code.effect or table.effect
    reason = Reason(code.name)
    state = "is kept as a plan" if reason.state is JobState.PLANNING else f"is {reason.state}"
    return f"the job {state}; exit code {reason.exit_code}"


def command_of(table: Table, code: Code) -> str:
    """Return the command to type; empty: none helps by itself."""
    if table.codes is REASONS:
        return code.command or "siproster resume JOB"
    return code.command or _CURES[code.cure]


def of_row(name: str) -> Code:
    """Return the code of a row; of a number that is not known, that the service refused it."""
    if found := _OF_ROWS.get(name):
        return found
    return Code(name, "the service refused the row", "`bw__error` has the service's words", Cure.CORRECT)


def of_reason(name: str) -> Code | None:
    """Return the reason why a job stopped or waits; None for one that is not known."""
    return next((code for code in REASONS if code.name == name), None)


def decisive(joined: str) -> list[str]:
    """Return those of a row's codes, joined by ``;``, that stand in its way.

    What ``--on-existing update`` could set is left out where something else would stop it.
    """
    names = [name for name in joined.split(";") if name]
    others = [name for name in names if of_row(name).cure is not Cure.UPDATE]
    return others or names
