"""FusionPBX: extensions exported as CSV, or the table ``v_extensions``.

Source: FusionPBX's app/extensions (extension_download.php, app_config.php).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.model import Options, Row
from worker.roster.batch_text import is_batch
from worker.roster.format import About, Start, Table, skip
from worker.roster.formats.columns import YES, ColumnFormat, Columns, Judge
from worker.roster.layout import Assignment
from worker.roster.php_csv import PhpText
from worker.roster.text import Text


@dataclass(frozen=True, slots=True)
class FusionPbx(ColumnFormat):
    """The columns are those that the user ticked, in the order of the ticks."""

    def recognise(self, start: Start) -> str:
        """Return the columns that tell the format; empty for the output of ``mysql -B``."""
        return "" if is_batch(start) else self.reason(start.header)

    def open(self, text: Text, start: Start, options: Options) -> Table:
        """Return the records, as PHP writes them."""
        return PhpText.of(text)

    def assign(self, header: Sequence[str]) -> Assignment:
        """Return which of the header's columns are what; a context counts as a domain if it has a dot."""
        return replace(ColumnFormat.assign(self, header), is_domain=_has_dot)


def _has_dot(context: str) -> bool:
    return "." in context


def _judges(columns: Columns) -> Judge | None:
    at = columns.at("enabled")
    if at is None:
        return None

    def judge(row: Row, fields: Sequence[str]) -> None:
        if fields[at].strip().lower() not in YES:  # false may be an empty cell
            skip(row, "disabled", "the extension is switched off (enabled)")

    return judge


FUSIONPBX = FusionPbx(
    name="fusionpbx",
    title="FusionPBX: extensions exported as CSV",
    about=About(
        columns=(
            ("extension", "user name"),
            ("password", "SIP password, in clear text, if that column was ticked"),
            ("user_context", "domain, where it has a dot; --map domain= leaves it out"),
            ("enabled", "rows without 1, t or true are skipped"),
        ),
        notes=(
            "The export is one file for each domain; it names the domain only in user_context.",
            "The columns are those that were ticked: tick extension, password, user_context and enabled.",
            "The file is read as PHP writes it; a value that ends in a backslash can't be, and is refused.",
        ),
        example="extension,password,effective_caller_id_name,user_context,enabled\n"
        '1001,Kestrel-7731,"Ann Hill",office.example,true\n',
    ),
    needs=(("extension",),),
    marks=(
        "extensionuuid", "domainuuid", "usercontext", "effectivecalleridname", "effectivecalleridnumber",
        "outboundcalleridname", "outboundcalleridnumber", "emergencycalleridname", "emergencycalleridnumber",
        "directoryfirstname", "directorylastname", "directoryvisible", "directoryextenvisible", "limitmax",
        "limitdestination", "missedcallapp", "tollallow", "callscreenenabled", "sipforcecontact",
        "nibbleaccount",
        "sipbypassmedia", "absolutecodecstring", "numberalias", "mwiaccount", "followmeuuid",
    ),
    least=2,
    username=("extension",),
    password=("password",),
    domain="usercontext",
    judges=_judges,
)  # fmt: skip
