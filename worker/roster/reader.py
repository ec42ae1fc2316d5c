"""A roster: opening it surveys the file, and its pages are read after that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from types import TracebackType
from typing import BinaryIO, Self

from worker.errors import UsageError
from worker.model import Options, Problem, Row, Weak
from worker.roster.encoding import survey
from worker.roster.hiding import name_without_secrets
from worker.roster.layout import Layout, known, lay_out, plain
from worker.roster.passwords import Survey
from worker.roster.rows import chosen, fits, pages_of, rules_for
from worker.roster.selection import shown
from worker.roster.source import Hashed, Source, find, unreadable
from worker.roster.text import Malformed, Record, Text, find_delimiter, named_delimiter

_GROUP = 1000


class Roster:
    """A surveyed roster; ``pages`` yields its rows. A context manager."""

    def __init__(self, source: Source, options: Options) -> None:
        """Survey the source. Raises UsageError if it can't be read, which says where and what to do."""
        facts = survey(source, options.encoding)
        self._source = source
        self._options = options
        self._text = Text(source, facts.encoding, _delimiter(source, facts.encoding, options))
        self._layout = header_of(self._text, options)
        self.name = source.name
        found = self._look_through()
        self._rules = rules_for(self._layout, options, found.shared())
        self.source = source.place
        self.columns = self._layout.columns
        self.dropped = self._layout.dropped
        self.encoding = facts.encoding
        self.delimiter = self._text.delimiter
        self.records = found.records
        self.whole = options.whole_roster
        self.sha256 = facts.sha256
        self.mapping: Mapping[str, str] = self._layout.mapping
        self.warnings: tuple[Problem, ...] = facts.warnings + self._layout.warnings

    def taken(self) -> Iterator[list[Row]]:
        """Return no rows: no user is in place before a roster's first import."""
        return iter(())

    def rows(self) -> Iterator[Row]:
        """Yield the rows of ``pages`` one by one, for callers that match single lines."""
        return chain.from_iterable(self.pages())

    def pages(self) -> Iterator[list[Row]]:
        """Yield every selected row, in the file's order; a malformed record is a row with problems.

        Raises:
            UsageError: the file has changed since it was surveyed.
        """
        try:
            raw = Hashed(self._source.open())
            with self._text.lines(raw) as lines:
                yield from pages_of(self._chosen(self._text.records(lines)), self._layout, self._rules)
                same = raw.hexdigest() == self.sha256
        except (UnicodeError, UsageError):  # the first pass could read it to the end
            same = False
        except OSError as error:  # a disk or a network that fails in the middle
            raise unreadable(self.source, error) from None
        if not same:
            raise _changed(self._source)

    def close(self) -> None:
        """Release the copy of a source that can be read only once."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _chosen(self, records: Iterator[Record]) -> Iterator[Record]:
        return chosen(islice(records, 1, None), self._layout, self._options)

    def _look_through(self) -> Survey:
        """Make the first pass over the records: count them, and survey their passwords."""
        found = Survey()
        password, exact = self._layout.password, self._layout.exact
        with self._text.lines() as lines:
            records = self._chosen(self._text.records(lines))
            while group := [  # only passwords: a thousand whole records may take a hundred megabytes
                row[password]
                if password is not None and (len(row) == exact or fits(row, self._layout))
                else ""
                for _, row in islice(records, _GROUP)
            ]:
                found.add(len(group), group)
                self.name = name_without_secrets(self.name, group)
        self._refuse_none(found)
        self._refuse_pins(found)
        return found

    def _refuse_none(self, found: Survey) -> None:
        if found.records:
            return
        source = self._source.shown
        if self._options.where:
            asked = " and ".join(map(shown, self._options.where))
            beyond = f" beyond the first {self._options.skip}" if self._options.skip else ""
            raise UsageError(
                f"{source} has no row with {asked}{beyond}",
                "= and != compare the whole cell, ~ finds the expression anywhere in it; case counts",
            )
        if self._options.skip:
            raise UsageError(
                f"{source} has no row beyond the first {self._options.skip}", "use a smaller --skip"
            )
        raise UsageError(f"{source} has a header, but no rows", "nothing to do")

    def _refuse_pins(self, found: Survey) -> None:
        source = self._source.shown
        expressly = self._options.weak_given and self._options.weak is not Weak.REFUSE
        if found.looks_like_pins and not expressly:
            raise UsageError(
                f"{source}: column {self._layout.mapping['password']!r} looks like a PIN column: "
                f"{found.pins} of its {found.filled} values are 4 to 6 digits",
                "choose the column of SIP passwords with --map password=COLUMN, or use --weak warn",
            )


def open_roster(source: str, options: Options, stdin: BinaryIO | None = None) -> Roster:
    """Open a roster and survey it: a path, ``-`` (standard input), or a URL that fsspec opens.

    Raises:
        UsageError: it can't be read, or its columns can't be told apart.
    """
    found = find(source, stdin)
    try:
        return Roster(found, options)
    except UnicodeError:  # all its bytes could be decoded a moment ago
        found.close()
        raise _changed(found) from None
    except OSError as error:
        found.close()
        raise unreadable(found.shown, error) from None
    except BaseException:
        found.close()
        raise


def header_of(text: Text, options: Options) -> Layout:
    """Return the layout that a file's first record defines.

    Raises:
        UsageError: there is no header, or a required column is missing.
    """
    with text.lines() as lines:
        line, cells = next(text.records(lines), (1, []))
    if isinstance(cells, Malformed):
        raise UsageError(
            f"{text.source.shown}, line {line}: the header is not well-formed CSV: {cells.reason}"
        )
    return lay_out(cells, text.source.shown, options)


def _changed(source: Source) -> UsageError:
    return UsageError(
        f"{source.shown} has changed, or vanished, while it was being read",
        "nothing was sent; run the command again when nothing is writing to the file",
    )


def _delimiter(source: Source, encoding: str, options: Options) -> str:
    if options.delimiter:
        return named_delimiter(options.delimiter)
    mapped = {plain(column) for column in options.map.values()}
    return find_delimiter(source, encoding, lambda name: known(name) or plain(name) in mapped)
