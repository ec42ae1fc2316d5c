"""The output of ``mysql -B``, with the columns of another format, or of a plain table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from worker.errors import UsageError
from worker.model import Options
from worker.roster.batch_text import BatchText, has_other_escapes, is_batch, refuse_drawn
from worker.roster.format import About, Start, Table
from worker.roster.formats.columns import ColumnFormat
from worker.roster.formats.fusionpbx import FUSIONPBX
from worker.roster.formats.kamailio import KAMAILIO
from worker.roster.formats.opensips import OPENSIPS
from worker.roster.layout import Assignment
from worker.roster.text import Text


class MysqlBatch:
    """``--from mysql-batch``: how the text is cut; the columns are those of the table that it shows."""

    name = "mysql-batch"
    title = "The output of mysql -B, of a table of Kamailio, OpenSIPS or FusionPBX, or of a plain one"
    about = About(
        columns=(("username, password, domain …", "as in the table that it shows, or as in a plain one"),),
        decoys=("ha1", "ha1b"),
        notes=(
            r"NULL is an empty cell; \\, \t and \n are the characters that they stand for.",
            "A table drawn for a terminal (mysql -t, psql) is refused, with the command that makes a CSV.",
        ),
        example="username\tdomain\tpassword\tha1\n1001\toffice.example\tpa\\\\ss-7731\tNULL\n",
    )

    def recognise(self, start: Start) -> str:
        """Return the reason; empty unless the columns are those of a table that is known.

        Raises UsageError for a table that was drawn for a terminal, and if its backslashes leave a doubt.
        """
        refuse_drawn(start)
        found = next(_tables(start.header), None) if is_batch(start) else None
        if found and has_other_escapes(start):
            raise UsageError(
                f"{start.name} may be the output of mysql -B, but has backslashes that are not its escapes",
                f"use --from mysql-batch, or --from {found.name} to take each backslash as it is",
            )
        return f"tabs without quotes, and {found.name}'s {found.reason(start.header)}" if found else ""

    def open(self, text: Text, start: Start, options: Options) -> Table:
        """Return the records. Raises UsageError for a text that can't be the output of ``mysql -B``."""
        refuse_drawn(start)
        if text.delimiter != "\t":
            raise UsageError(
                f"{text.shown} is not separated by tabs, as the output of mysql -B is",
                "leave out --from mysql-batch, or make the file with mysql -B",
            )
        return BatchText(text.source, text.encoding, text.delimiter, text.sha256, text.first_line, text.strip)

    def assign(self, header: Sequence[str]) -> Assignment | None:
        """Return which columns are what in the table that it shows; None: as in a plain table."""
        found = next(_tables(header), None)
        return found.assign(header) if found else None


def _tables(header: Sequence[str]) -> Iterator[ColumnFormat]:
    return (one for one in (KAMAILIO, OPENSIPS, FUSIONPBX) if one.fits(header))


MYSQL_BATCH = MysqlBatch()
