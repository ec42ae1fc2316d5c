"""Codes of rows: their statuses, why they were not sent, what became of them, and warnings."""

from __future__ import annotations

from worker.codes.code import Code, Cure

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
    Code("deleted", "a stored user who is not in the roster, deleted by this job; only in `absent.csv`",
         "nothing; `undo` creates the user again", effect="the user can't register any more"),
    Code("skipped",
         "not sent: the entry is not the user of a phone, such as a trunk of a PBX",
         "`bw__error_code` says what it is", effect="the row doesn't count as trouble"),
    Code("failed", "the service refused it", "`bw__error_code` says why", Cure.CORRECT),
    Code("unknown", "sent, or possibly sent, but the outcome could not be determined",
         "`resume` checks again; if the job can't be resumed, `retry` does", Cure.RETRY),
    Code("unprocessed", "not attempted: the job ended first",
         "`resume` attempts it; if the job can't be resumed, `retry` does", Cure.RETRY),
)  # fmt: skip
"""In ``bw__status``."""

NOT_SENT = (
    Code("username_missing",
         "the user name is empty or a placeholder such as `none`; or a column that `--username` "
         "uses is empty", "fill it in", Cure.CORRECT),
    Code("password_masked",
         "the password is a mask, such as a run of `*`, `x` or dots, with or without its last characters, or "
         "`[redacted]`",
         "the export hid the passwords: export them in clear text", Cure.CORRECT),
    Code("password_placeholder",
         "the password is a word that a database, a spreadsheet or a PBX writes for an empty value, such as "
         "`NULL`, `#N/A`, `REGEN` or `changeme`: anybody can guess it",
         "give the user a password of their own", Cure.CORRECT),
    Code("password_scheme",
         "the password has a storage scheme in front of it, such as `{PLAIN}`",
         "export the password without the scheme", Cure.CORRECT),
    Code("totals_row",
         "the row is a total from a spreadsheet, not a user: its name is a word such as `Total` or "
         "`Summe`, and its password is a number or empty", "remove the row", Cure.CORRECT),
    Code("digest_only",
         "there is only a digest or a hash of the password: a digest that a PBX made for another "
         "realm, which no other realm can use, or a hash such as `{SSHA}…` or `$2y$…`; or the PBX "
         "uses a digest that doesn't match the password beside it",
         "give the user a new password, such as with `--generate-passwords FILE`, and their phone, too; if "
         "the password is right, remove the digest from the export", Cure.CORRECT),
    Code("password_missing", "the row has neither a password nor digests",
         "add a password (`failed.csv` has no password column: add one)", Cure.CORRECT),
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
         "a user name, domain or realm contains a character that is not allowed there, or the password one "
         "that UTF-8 can't represent",
         "correct it (the row's error names the field, character and position): user names and domains may "
         "contain letters, digits and `. _ - ! $ & * + = ~`, a user name without a domain also `@`, and a "
         "realm letters, digits and `. _ -`", Cure.CORRECT),
    Code("too_long",
         "the user name or domain is longer than 32 characters (with `--api realm`: both together, with the "
         "`@`), or the realm is longer than 64",
         "shorten it; with `--api account`, you can move a domain from the user name into its own column",
         Cure.CORRECT),
    Code("bad_application_id", "the application is not a UUID", "use the application's id, not its name",
         Cure.CORRECT),
    Code("number_cell", "the user name or password is a number in a workbook: its leading zeros are lost",
         "format the column as text in the spreadsheet and enter the value again; if none of them has "
         "leading zeros, save the sheet as CSV and use that instead", Cure.CORRECT),
    Code("formula_not_calculated", "the user name or password is a formula whose result is not stored",
         "open the workbook in a spreadsheet and save it", Cure.CORRECT),
    Code("spreadsheet_damage",
         "a spreadsheet or a script rewrote the user name or the password (`1.4E+10`, "
         "`=\"0306703\"`), or the user name alone (`#N/A`, `TRUE`, `1,001`); if most user names look "
         "like these, also `1001.0`, `12-Mar`, `2026-03-12`, `=1003`",
         "format the column as text in the spreadsheet and export it again; if the names are "
         "right, `--username '{COLUMN}'` uses them as they are", Cure.CORRECT),
    Code("weak_password",
         "with `--weak refuse`: the password is shorter than 8 characters, all digits, equal to the user "
         "name, or shared by 5 or more rows",
         "choose another password, or leave out `--weak refuse`", Cure.CORRECT),
    Code("section_unclear",
         "the settings of a section of an Asterisk file are uncertain: it inherits from, or adds "
         "to, a section that is not in the file before it, Asterisk ignores its template, or `+=` appends "
         "to a setting whose name is written in another case",
         "correct the section, or import the file that includes this one", Cure.CORRECT),
    Code("include_not_read",
         "a file that the roster includes was not read: it is missing, or outside of the roster's folder; "
         "`#exec` is never run",
         "copy the files into one folder, with the same names, and import it again; or import the missing "
         "file by itself", Cure.CORRECT),
    Code("field_count", "the record has fewer or more fields than the header",
         "quote every value that contains the delimiter", Cure.CORRECT),
    Code("malformed", "the record is not well-formed",
         "in CSV, double each quote inside a value (`\"\"`); in XML, write `&amp;`, `&lt;` and `&quot;`",
         Cure.CORRECT),
    Code("duplicate_in_file", "an earlier row is the same user, regardless of case",
         "keep only one of them (the row's error gives the other row's line), or make the names unique with "
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

SKIPPED = (
    Code("not_sip",
         "the extension uses a technology other than SIP, such as IAX or DAHDI, or is virtual",
         "nothing"),
    Code("trunk", "the entry is a trunk, or an account with a provider", "nothing"),
    Code("outbound", "the PBX itself uses the entry to register with another server", "nothing"),
    Code("not_an_extension", "the entry has no extension; it may be only a mailbox", "nothing"),
    Code("pointer", "the entry points to a user who is defined elsewhere", "nothing"),
    Code("disabled", "the extension is switched off in the PBX",
         "nothing; switch it on there and export it again if its phone is to register"),
)  # fmt: skip
"""In ``bw__error_code`` of rows that are ``skipped``."""

SENT = (
    Code("digest_differs", "the user exists with another password",
         "if the roster is right, set its password with `--on-existing update`", Cure.UPDATE,
         effect="the row is `exists`"),
    Code("application_differs", "the user exists with another application",
         "if the roster is right, set its application with `--on-existing update`", Cure.UPDATE,
         effect="the row is `exists`"),
    Code("password_kept",
         "the user exists, has no password in the roster or the file of generated ones, and keeps the present"
         " one",
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
         "the password is shorter than 8 characters, all digits, equal to the user name, or shared by 5 or "
         "more rows; sharing is always detected in rosters of up to 50,000 rows, and in a million rows if 25 "
         "or more share a password",
         "choose other passwords, or use `--weak refuse`"),
    Code("password_generated", "the row had no usable password, so one was generated",
         "keep the file: the password is stored nowhere else"),
    Code("password_space", "the password begins or ends with white space, which is used as it is",
         "check that this is intended"),
    Code("password_control", "the password contains a line break or another control character",
         "look for an unclosed quote, which swallows the rows that follow"),
    Code("password_typographic", "the password contains a curly quote, no-break space or invisible character",
         "check whether a word processor or chat program put it there"),
    Code("spreadsheet_damage",
         "a spreadsheet may have rewritten the password (`12.03.2026`, `=1003`), or the user name has only "
         "zeros from its 16th digit on, or looks like a number, date or formula: `1001.0`, `1.001`, "
         "`12-Mar`, `=1003`",
         "compare it with the source"),
    Code("username_trimmed", "blanks or invisible characters around the user name were removed",
         "nothing, unless they belong to the name"),
    Code("zeros_differ",
         "the user is new, but differs only by leading zeros from a user who is stored (compared "
         "if the stored users were listed, as with `--absent`) or who was in the roster's last run",
         "if a spreadsheet removed the zeros, format the column as text and export it again; "
         "otherwise a new user is created"),
    Code("password_mojibake",
         "the password looks like UTF-8 that was read in another encoding and saved again, such as `Ã¶` "
         "for `ö`",
         "export the roster again from its source, as UTF-8"),
    Code("password_entity", "the password contains an HTML entity, such as `&amp;`",
         "compare it with the source: in a web page, `&amp;` stands for `&`"),
    Code("password_decomposed",
         "the password has letters that are stored as a base letter and a separate accent, as "
         "macOS does; phones send composed letters",
         "`--normalize nfc` composes them; `--normalize none` keeps them without a warning"),
    Code("password_apostrophe", "the password begins with `'` before `=`, `+`, `-` or `@`",
         "compare it with the source: exports put a `'` there so that spreadsheets don't run a formula"),
    Code("password_escaped",
         "the password, in a file with tabs, contains `\\\\`, `\\t`, `\\n`, `\\r` or `\\0`, as a database "
         "client writes special characters",
         "if the file is such output, read it with `--from mysql-batch`"),
    Code("cell_hidden",
         "a carried cell contains the row's password (6 characters or more, in any case, "
         "percent-encoded, with HTML entities, in hex digits or Base64), equals a shorter password, or "
         "contains a digest (exactly 32 consecutive hexadecimal digits), so it is `<hidden>` in the results; "
         "in an `invalid` row, so are the user name, domain and realm, and any error text that quotes them",
         "if the column is a copy of the password, remove it from the roster; passwords of fewer than "
         "4 characters, and those that equal the user name or, in a row that can be sent, the domain, are "
         "not hidden"),
    Code("several_at_signs", "the user name contains more than one `@`", "check that this is intended"),
    Code("column_ambiguous", "more than one column matches the field; the first one is used",
         "choose one with `--map FIELD=COLUMN`, or none with `--map FIELD=`"),
    Code("hidden_cells", "the sheet has hidden rows, columns or cells, which are read like the others",
         "check that they should be imported"),
    Code("sheets_left_out",
         "other sheets of the workbook also have the column names of a roster, but are not read",
         "if they should be imported, read each of them with `--sheet NAME`"),
    Code("header_found", "the column names are not on the first line; the lines before them are not read",
         "if another line has the names, use `--header-line N`"),
    Code("column_secret",
         "a column is not carried into the results, since its cells look like generated passwords, or "
         "most of them equal the row's password or are digests",
         "nothing, if it holds secrets; otherwise carry it with `--carry COLUMN`"),
    Code("column_unnamed", "a column without a name is ignored", "name it in the header"),
    Code("password_cut",
         "the password is exactly as long as the database's column, which may have cut it",
         "compare it with the phone's configuration, or verify it with `siproster verify`"),
    Code("password_quoted",
         "the password in Asterisk's configuration is in quotes, which are part of it there",
         "compare it with the phone's configuration, or verify it with `siproster verify`"),
    Code("password_twice",
         "a section of Asterisk's configuration sets the password, or its digest, to two values; the last "
         "one counts", "remove the other one"),
    Code("also_outbound",
         "the PBX itself authenticates with the phone's password, too (`outbound_auth`)",
         "check that the entry is a phone; if it is a trunk, leave it out"),
    Code("hash_mismatch",
         "the row has a password and digests for this realm or the PBX's, but the digests don't match the "
         "password; the password is used", "find out which of them is out of date"),
    Code("hash_not_used", "the roster has only one of the two digest columns, which is not used",
         "nothing: the digests are computed from the passwords"),
    Code("encoding_guessed", "the file is not UTF-8, so it was read as Windows-1252",
         "check a name with an accent in `results.csv`; if it is wrong, use `--encoding`"),
    Code("files_left_out", "hidden files and subfolders of a folder are not read",
         "if they should be imported, import them as separate rosters"),
    Code("tls_not_verified",
         "a database on another host is read without verifying the server's identity",
         "add `ssl-mode=VERIFY_IDENTITY` or `sslmode=verify-full` to its URL"),
)  # fmt: skip
"""The row is sent anyway."""

LEAVERS = (
    Code("name_similar",
         "the roster has a user whose name differs only by zeros or a `+` in front, by having a domain, or "
         "by its realm",
         "if the roster is right, delete the user with `siproster credential delete`"),
    Code("application_differs", "the user has an application that no user of the roster has",
         "if it is a leaver, delete the user with `siproster credential delete`"),
    Code("realm_unknown", "the service doesn't say on which of the roster's realms the user is",
         "check with `siproster credential show USER`"),
    Code("changed_since_plan", "somebody has changed the user since the job looked it up",
         "import the roster again"),
    Code("digests_hidden",
         "the service doesn't show both digests of the user, so `undo` could not create it again",
         "delete the user with `siproster credential delete`"),
    Code("user_gone", "somebody else has deleted the user", "nothing", effect="the user is `deleted`"),
    Code("origin_unknown",
         "the user is gone, but no response confirms that this job deleted it; `undo` doesn't create it "
         "again",
         "nothing; to undo it anyway, use `undo --include-unproven`", effect="the user is `deleted`"),
)  # fmt: skip
"""In absent.csv, with ``--absent delete``."""
