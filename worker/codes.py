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


_ASK = "it happened again in a retry: ask Bandwidth"

STATUSES = (
    Code("created", "new, and made by this job", "nothing", effect="the row is in place"),
    Code("updated", "it existed; this job set its password or its application", "nothing",
         effect="the row is in place"),
    Code("unchanged", "it is there with exactly this password; not provably made by this job", "nothing",
         effect="the row is in place"),
    Code("exists", "it is there with another password, application, realm or spelling, and was left alone",
         "`bw__error_code` says what differs"),
    Code("invalid", "never sent: the row itself is wrong", "`bw__error_code` says what to correct",
         Cure.CORRECT),
    Code("failed", "the service refused it", "`bw__error_code` says why", Cure.CORRECT),
    Code("unknown", "sent, or perhaps sent, and the outcome could not be determined",
         "`retry` settles it; `resume`, where the job can be resumed", Cure.RETRY),
    Code("unprocessed", "not attempted: the job ended first",
         "`resume` goes on with it; where the job can't be resumed, `retry` does", Cure.RETRY),
)  # fmt: skip
"""In ``bw__status``."""

NOT_SENT = (
    Code("username_missing", "the user name is empty, or a column that `--username` needs is", "fill it in",
         Cure.CORRECT),
    Code("password_masked", "the password is nothing but `*` or dots",
         "the export hid the passwords: export them in clear", Cure.CORRECT),
    Code("password_missing", "the password is empty, and so are the digests",
         "fill it in; for `retry`, in a password column that you add to `failed.csv`", Cure.CORRECT),
    Code("hash_incomplete", "there is no password, and only one of the two digests",
         "give both digests, or a password", Cure.CORRECT),
    Code("bad_hash",
         "a digest is not 32 hexadecimal digits: a spreadsheet rewrote it (`1.2E+31`), it was cut off, or it"
         " is of another kind",
         "format the column as text in the spreadsheet and export it again; for `retry`, add a password "
         "column to `failed.csv`", Cure.CORRECT),
    Code("hash_realm",
         "nothing says for which realm the digests were made, it is not the row's realm, or that realm has "
         "still to be made",
         "give the full host name that they were made for, letter by letter, in the `realm` column or with "
         "`--realm` (an id, a short name or the account's default realm says nothing about digests); digests"
         " of another realm are of no use: give a password", Cure.CORRECT),
    Code("hash_name",
         "`--username`, `--domain` or a correction makes another user name than the one that the digests "
         "were made of", "leave the option out for these rows, or give passwords", Cure.CORRECT),
    Code("bad_characters",
         "a user name, domain or realm has a character that is not allowed there, or the password has half a "
         "character that UTF-8 can't hold",
         "correct it (`bw__error` names field, character and position): letters, digits and "
         "`. _ - ! $ & * + = ~` are allowed in user name and domain, `@` in a user name without a domain, "
         "and letters, digits and `. _ -` in a realm", Cure.CORRECT),
    Code("too_long",
         "user name or domain has more than 32 characters, with `--api realm` both together with their `@`; "
         "or the realm more than 64",
         "shorten it; with `--api account` a domain may move from the user name into its own column",
         Cure.CORRECT),
    Code("bad_application_id", "the application is not a UUID", "use the application's id, not its name",
         Cure.CORRECT),
    Code("spreadsheet_damage", "a spreadsheet rewrote the user name: `1.4E+10`, `=\"0306703\"`, `#N/A`",
         "format the column as text in the spreadsheet and export it again", Cure.CORRECT),
    Code("weak_password",
         "with `--weak refuse`: shorter than 8 characters, only digits, the user name itself, or shared by 5"
         " rows or more", "choose another password, or leave `--weak refuse` out", Cure.CORRECT),
    Code("field_count", "the record has fewer or more fields than the header",
         "put a value that contains the delimiter in quotes", Cure.CORRECT),
    Code("malformed", "the record is not well-formed CSV", "write a quote inside a value twice (`\"\"`)",
         Cure.CORRECT),
    Code("duplicate_in_file", "an earlier row is the same user, without regard to case",
         "keep one of them (`bw__error` names the other row's line), or make the names differ: `--username`,"
         " `--domain`, `--api realm`", Cure.CORRECT),
    Code("realm_unknown", "the account has no such realm, or more than one of that short name",
         "`siproster realm list` shows the realms, `siproster realm create NAME` makes one", Cure.CORRECT),
    Code("corrected",
         "`verify JOB` only: the row's name or password was corrected for a retry, so the roster no longer "
         "matches the job",
         "put the corrected row into a file of its own and run `siproster verify FILE`",
         effect="`verify` does not try the row"),
    Code("realm_not_active", "the realm is being made or deleted",
         "wait until `siproster realm show REF` says ACTIVE", Cure.RETRY),
)  # fmt: skip
"""Status ``invalid``."""

SENT = (
    Code("digest_differs", "the user exists with another password",
         "if the roster is right, set its password with `--on-existing update`", Cure.UPDATE,
         effect="the row is `exists`"),
    Code("application_differs", "the user exists with another application",
         "if the roster is right, set its application with `--on-existing update`", Cure.UPDATE,
         effect="the row is `exists`"),
    Code("realm_differs",
         "with `--api account`: the account has this name on another realm, or doesn't tell on which; nobody"
         " is moved to another realm",
         "take another user name; or import the roster with `--api realm`, where a name is unique on its "
         "realm only", Cure.CORRECT,
         effect="the row is `exists` or `failed`"),
    Code("changed_since_plan",
         "somebody created, changed or (`failed`) deleted the user after the job looked, so it was left "
         "alone", "find out who did; a retry looks again", Cure.RETRY,
         effect="the row is `exists` or `failed`"),
    Code("application_not_set",
         "the password is set, but the service kept another application; with `origin_unknown`: no "
         "answer proves that this job set it",
         "set the application on Bandwidth's side, or ask Bandwidth",
         effect="the row is `failed`"),
    Code("not_taken", "the service said that it set the digests, and still shows the old ones",
         "run the row once more", Cure.RETRY, _ASK,
         effect="the row is `unknown`"),
    Code("case_differs",
         "the service has the name in other letters (`Alice`, not `alice`); digests are made for one "
         "spelling, so this user can't register with the roster's; with `origin_unknown`: this job may "
         "have created it",
         "use the service's spelling, which `bw__error` names, in the roster",
         Cure.CORRECT,
         effect="the row is `exists` or `failed`"),
    Code("origin_unknown",
         "the credential is there as wanted; no answer of the service names it, so nobody can prove that "
         "this job created or changed it, and `undo` keeps it",
         "nothing to do; `undo --include-unproven` takes it back",
         effect="the row is `unchanged`; with another code `exists` or `failed`"),
    Code("not_mentioned", "the service neither stored the row nor refused it, even alone",
         "run the row once more", Cure.RETRY, _ASK,
         effect="the row is `unknown`"),
    Code("refused",
         "the service refused the row, or to be asked for it, and gave no code; `unknown`: the refusal "
         "was not in the service's own words (a proxy's page, a bare 409), so the request may have been "
         "carried out all the same",
         "`bw__error` has the words; a retry asks for it",
         Cure.CORRECT,
         effect="the row is `failed` or `unknown`"),
    Code("crashed",
         "siproster itself failed on this row, or workers died over it three times; `unknown`: it may "
         "have been sent",
         "report it, with the output of `--debug` (which holds no secret); the other rows are not "
         "affected",
         Cure.RETRY,
         "report it, with the output of `--debug`, which holds no secret",
         effect="the row is `failed` or `unknown`"),
    Code("unconfirmed",
         "it was sent, or may have been, and the job stopped, or its worker died, before an answer "
         "settled it",
         "`resume` asks for it; where the job can't be resumed, a retry does",
         Cure.RETRY,
         effect="the row is `unknown`"),
)  # fmt: skip
"""Statuses ``exists``, ``failed``, ``unknown`` and ``unchanged``."""

WARNINGS = (
    Code("weak_password",
         "shorter than 8 characters, only digits, the user name itself, or shared by 5 rows or more; the "
         "sharing is found with certainty in up to 50,000 rows, in a million from 25 rows on",
         "choose others, or `--weak refuse`"),
    Code("password_space", "white space at the password's start or end; it is used",
         "check that it is intended"),
    Code("password_control", "a line break or another control character in the password",
         "a quote that is not closed swallows the rows behind it"),
    Code("password_typographic", "a curly quote, no-break space or invisible character",
         "word processors and chat programs put them in"),
    Code("spreadsheet_damage",
         "the password looks rewritten by a spreadsheet, or the user name has zeros from its 16th digit on",
         "compare it with the source"),
    Code("cell_hidden",
         "a carried cell contains the row's password (6 characters or more, in any case, "
         "percent-encoded, with HTML entities or in Base64) or equals a shorter one, or holds a digest "
         "(exactly 32 hexadecimal digits in a row): it is `<hidden>` in the results; in an `invalid` row "
         "so are user name, domain and realm, and the words of a reason that names them",
         "is the column a copy of the password? Then take it out of the roster; passwords of fewer than "
         "4 characters, and those that equal the user name or, in a row that can be sent, the domain, "
         "hide nothing"),
    Code("several_at_signs", "more than one `@` in the user name", "check that it is intended"),
    Code("column_ambiguous", "more than one column may be the field; the first is taken",
         "`--map FIELD=COLUMN`"),
    Code("column_unnamed", "a column without a name is left out", "name it in the header"),
    Code("hash_mismatch",
         "the row has a password and digests for this realm, and they are not of that password; the password"
         " is used", "which of them is stale?"),
    Code("hash_not_used", "of the two columns with digests there is only one; it is not used",
         "nothing: the digests are made from the passwords"),
    Code("encoding_guessed", "read as Windows-1252, since it is not UTF-8",
         "look at a name with an accent in `results.csv`; else `--encoding`"),
)  # fmt: skip
"""The row is sent all the same."""

REASONS = (
    Code("authentication_refused",
         "401 with a fresh token, or 403; rows that were sent with such an answer are `unknown`",
         "check `BW_CLIENT_ID`, `BW_CLIENT_SECRET`, `BW_ENVIRONMENT`; the credentials may lack the role "
         "for SIP credentials; then `resume`"),
    Code("account_not_found", "the account is unknown or locked (4022, or a 404 without a code)",
         "check `BW_ACCOUNT_ID` and `BW_API_URL`; then `resume`"),
    Code("not_allowed", "the account is not set up for SIP credentials (23013, 33004)",
         "ask Bandwidth; then `resume`"),
    Code("stopped",
         "the answer was none of the service's (a redirect, or a proxy's), or a list of credentials had "
         "no end: more than twice what the realms say that they hold, and 10,000",
         "check `BW_API_URL`, `SIPROSTER_API_PATH` and the proxy settings; then `resume`"),
    Code("seal_broken",
         "sealed rows of a chunk don't open: their bytes were changed in the ledger, or they are sealed with"
         " a key that is gone",
         "put the key back into `SIPROSTER_KEY`, or restore the ledger's backup, then `resume`; else import "
         "the roster again"),
    Code("max_failed", "more rows than `--max-failed` went wrong",
         "see `failed.csv`; `resume` goes on with the rest, `retry` also runs those in it"),
    Code("not_after", "the window of `--not-after` ended", "`resume` in the next one"),
    Code("unavailable", "no connection, or errors of the service, for longer than `--patience`",
         "`resume`"),
    Code("broker", "Redis did not answer for longer than `--patience`", "`siproster doctor`; then `resume`"),
    Code("no_worker",
         "no worker answered for the account for longer than `--patience`",
         "start `siproster worker`; then `resume`",
         command="siproster worker"),
    Code("account_busy",
         "another job had the account for longer than `--patience`",
         "wait for that job; then `resume`"),
    Code("throttled", "the service limits the rate", "`resume`; a lower `--rate` in the next import"),
    Code("interrupted", "Ctrl-C, or the command was ended", "`resume`"),
    Code("cancelled", "somebody ran `cancel`", "`retry` runs the rest",
         command="siproster retry JOB"),
    Code("exists",
         "`--on-existing fail`: some users exist with another password or application, so nothing was sent",
         "see `failed.csv`; `retry` with another `--on-existing`",
         command="siproster retry JOB --on-existing skip"),
    Code("saved", "a plan that waits to be carried out", "`siproster import --plan JOB`, or `cancel`",
         command="siproster import --plan JOB"),
    Code("carried_out", "a plan that was carried out by the job that is named", "see that job",
         command="siproster status JOB"),
    Code("undone", "`undo` takes, or took, back what the stopped job had done", "import the roster anew",
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
    Code("12666", "the realm still has credentials, so it can't be deleted", "delete those first",
         effect="`realm delete` deletes nothing"),
    Code("13116", "a list filter has a character that is not allowed",
         "report it: siproster leaves such filters out",
         effect="the list is not read"),
    Code("33011", "a list filter has fewer than 3 characters",
         "report it: siproster leaves such filters out",
         effect="the list is not read"),
    Code("13566", "the service is unavailable for a moment", "nothing: it is tried again", Cure.RETRY,
         effect="the request is sent again; no row fails for it"),
    Code("23000", "the entry stands twice in one request", "report it"),
    Code("23002", "a field is too long", "shorten it", Cure.CORRECT),
    Code("23003", "more entries in one request than the service takes",
         "nothing: the list is split and the bound remembered for the job; `--batch-size` begins lower",
         Cure.RETRY,
         effect="the list is split and sent again; no row fails for it"),
    Code("23008", "the account has no credentials yet", "nothing", Cure.RETRY,
         effect="the list is taken for empty"),
    Code("23009", "the name exists on the account",
         "nothing: it is read back at once, and the row is `unchanged`, or `exists` with what differs; "
         "`unknown` with this code where the service doesn't show it", Cure.RETRY,
         effect="the row is `unchanged`, `exists` or `unknown`"),
    Code("23026", "the name exists on the realm",
         "nothing: it is read back at once, and the row is `unchanged`, or `exists` with what differs; "
         "`unknown` with this code where the service doesn't show it", Cure.RETRY,
         effect="the row is `unchanged`, `exists` or `unknown`"),
    Code("23013", "the account is not set up for SIP credentials; the job stops", "ask Bandwidth",
         effect="the job is stopped; rows not attempted are `unprocessed`"),
    Code("33004", "the account is not set up for SIP credentials; the job stops", "ask Bandwidth",
         effect="the job is stopped; rows not attempted are `unprocessed`"),
    Code("23014", "a field has characters that are not allowed", "correct it", Cure.CORRECT),
    Code("23015", "a field has characters that are not allowed", "correct it", Cure.CORRECT),
    Code("23016", "a field has characters that are not allowed", "correct it", Cure.CORRECT),
    Code("23017", "the realm was not found", "was it deleted meanwhile? `siproster realm list`",
         Cure.RETRY),
    Code("23018", "the realm was not found, or differs from that of the path",
         "was it deleted meanwhile? `siproster realm list`", Cure.RETRY),
    Code("33001", "the realm was not found", "was it deleted meanwhile? `siproster realm list`",
         Cure.RETRY),
    Code("23019", "the account has no such application", "create it, or correct `application_id`",
         Cure.CORRECT),
    Code("23020", "the application id is not a UUID", "correct it", Cure.CORRECT),
    Code("23021", "the account has no default realm", "import the roster again, with `--realm`"),
    Code("23022", "the realm is not ACTIVE", "wait until `siproster realm show REF` says ACTIVE",
         Cure.RETRY),
    Code("33002", "the realm exists already", "use it as it is",
         effect="`realm create` makes no realm"),
    Code("33003", "a realm can't have this name", "use 1 to 30 letters, digits and inner hyphens",
         effect="`realm create` makes no realm"),
    Code("33006", "the default realm can't be deleted, nor cease to be the default one",
         "make another one the default",
         effect="`realm delete` and `realm update` change nothing"),
)  # fmt: skip
"""Numbers of the service's."""

UNDO = (
    Code("digest_differs", "somebody has set another password since", "nothing: it is theirs now"),
    Code("application_differs", "somebody has set another application since", "nothing: it is theirs now"),
    Code("id_differs", "somebody has deleted it and made another one of that name",
         "nothing: it is theirs now"),
    Code("user_gone", "somebody has deleted a user whom the job had set", "nothing: there is nobody left"),
    Code("origin_unknown", "no answer of the service says that the job made or set it",
         "if nobody else has written to the account since the job began: `--include-unproven`",
         command="siproster undo JOB --include-unproven"),
    Code("answer_lost", "an answer never came, and it does not show that it was done", "run it again",
         effect="the user is `failed`; in `credential delete` too", command="siproster undo JOB"),
    Code("application_not_set", "the old password is set, the old application is not",
         "set the application on Bandwidth's side, or ask Bandwidth", effect="the user is `failed`"),
    Code("realm_differs", "the service does not tell that it is on the job's realm", "ask Bandwidth",
         effect="the user is `failed`"),
)  # fmt: skip
"""In undo.csv: why a user was not taken back (docs/accounts.md)."""


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
    Table("Warnings", "none: the row is sent all the same", WARNINGS),
    Table("Why a job stopped or waits", "", REASONS),
    Table("Codes of the service", "the row is `failed`", SERVICE),
    Table("Users that `undo` left", "the user is `kept` as it is", UNDO),
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
