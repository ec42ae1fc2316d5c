"""The form of tables: what is done about blanks and letters when they are read, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Blanks(StrEnum):
    """The treatment of blanks around cells."""

    STRIP = "strip"
    KEEP = "keep"


class Normalize(StrEnum):
    """The treatment of letters that are written as a letter and an accent (Unicode NFD)."""

    NFC = "nfc"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TableForm:
    """The form of result tables: as the roster came, or as a spreadsheet opens them rightly."""

    delimiter: str = ","
    """The roster's; a comma if it was a workbook."""
    encoding: str = "utf-8"
    """The roster's codec."""
    workbook: bool = False
    """Whether the roster was a workbook."""
    excel: bool | None = None
    """``--excel`` or ``--no-excel``; None: as the roster was."""

    @property
    def spreadsheet(self) -> bool:
        """Return whether a spreadsheet will open them: then they have a BOM, and there is results.xlsx."""
        usual = self.workbook or self.delimiter == ";" or self.encoding.startswith("utf-16")
        return usual if self.excel is None else self.excel

    @property
    def codec(self) -> str:
        """Return the codec to write with."""
        if self.encoding.startswith("utf-16"):
            return "utf-16"
        return "utf-8-sig" if self.spreadsheet else self.encoding
