"""Traces that a spreadsheet leaves in a value that it took for a number or a formula. Full-cell patterns."""

from __future__ import annotations

import re
from typing import Final

SCIENTIFIC: Final = r"[0-9]+(?:[.,][0-9]+)?[eE][+-][0-9]+"
"""``1.4E+10``: a long number, rounded."""
ROUNDED: Final = r"[0-9]{15}0+"
"""More than 15 digits, zeros from the 16th on: a spreadsheet keeps only 15."""
ERRORS: Final = (
    r"#(?:N/A|N/D|NV|NB|REF!|NAME\?|VALUE!|DIV/0!|NUM!|NULL!|SPILL!|CALC!|FIELD!|BEZUG!|WERT!|ZAHL!|NOM\s?\?|"
    r"VALEUR!|NOMBRE!|\xa1REF!|\xa1VALOR!|\xbfNOMBRE\?|\xa1NUM!|VALOR!|NOME\?|RIF!|VALORE!|VERW!|NAAM\?|WAARDE!|"
    r"ADR!|ARG!|NAZWA\?|LICZBA!)"
)
"""Texts that spreadsheets in eight languages write for a formula without a value."""
DAMAGED: Final = rf"{SCIENTIFIC}|=\"[^\"]*\"|{ERRORS}|##+"
"""Certainly not as typed: a rounded number, ``="0306703"``, an error or a column too narrow."""
_MONTH = (
    "(?:jan|feb|mar|m\xe4r|mrz|mrt|apr|avr|may|mai|mei|maj|mag|jun|juin|cze|giu|jul|juil|lip|lug|aug|ago|ao\xfb|sie|"
    "sep|sept|set|wrz|oct|okt|out|ott|pa\u017a|nov|lis|dec|dez|d\xe9c|dic|gru|ene|abr|gen)[a-z\xfb\xe9\xe7]{0,7}"
)
FLOAT: Final = "[0-9]+[.]0{1,2}"
"""``1001.0``: a script that took a column with a gap for fractions."""
_DAY = "[0-3]?[0-9]"
_YEAR = "(?:[12][0-9])?[0-9]{2}"
DATES: Final = (
    rf"[12][0-9]{{3}}-[01]?[0-9]-{_DAY}|{_DAY}[.][01]?[0-9][.]{_YEAR}|"
    rf"(?i:{_DAY}[-.]{_MONTH}(?:[-.]{_YEAR})?|{_MONTH}-{_YEAR})"
)
"""``12-Mar``, ``2026-03-12``: 3-12 was an extension, perhaps."""
BOOLEANS: Final = (
    "(?i:true|false)|WAHR|FALSCH|VRAI|FAUX|VERDADERO|VERDADEIRO|FALSO|VERO|WAAR|ONWAAR|PRAWDA|FA[L\u0141]SZ"
)
"""A spreadsheet's truth values, in eight languages."""
FORMULA: Final = "=.+"
"""A formula that was exported in place of its result; a name may begin so."""
_ODD = re.compile(
    rf"{BOOLEANS}|"
    r"[0-9]{1,3}(?:[,'’\xa0\u202f ][0-9]{3})+(?:[.,]0+)?|[0-9]+,0{1,2}|"
    rf"{_DAY}/[01]?[0-9](?:/{_YEAR})?|[01]?[0-9]/{_DAY}/{_YEAR}|[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9])?|"
    rf"(?:{DATES})[ T][0-9:.]+Z?|(?i:{_DAY}[.]?[/ ]+{_MONTH}(?:[-./ ]+{_YEAR})?|{_MONTH}[.]?[/ ]+{_YEAR})"
).fullmatch
"""Match numbers and dates with characters that no user name has: ``1,001``, ``12/03/2026``."""
GROUPED: Final = r"[0-9]{1,3}(?:[.][0-9]{3})+"
"""``1.001``: a number as some countries write it, or the name of a site and an extension."""

damaged = re.compile(DAMAGED).fullmatch
rounded = re.compile(ROUNDED).fullmatch
looks_like_number = re.compile(rf"{FLOAT}|{DATES}|{FORMULA}").fullmatch
"""Match a number, a date or a formula that may also be a user name; if most names are, none of them is."""
may_hold_numbers = re.compile("[-.=]").search
"""Match joined texts if ``looks_like_number`` may match one of them: cheaper than asking for each."""
grouped = re.compile(GROUPED).fullmatch


_formula = re.compile(r"=[+-]?(?:[0-9.,]+|\$?[A-Z]{1,3}\$?[0-9]+|[A-Z][A-Z.]*\(.*\))").fullmatch
"""Match ``=1003``, ``=B7``, ``=CONCAT(A1;B1)``; a password may begin with ``=``."""
is_boolean = re.compile(BOOLEANS).fullmatch
_total = re.compile(
    r"(?:grand[ -]?)?totals?|total (?:users|extensions|rows|general)|sub-?totals?|sum|summe|"
    r"gesamt(?:summe|zahl)?|insgesamt|count|anzahl|nombre|somme|totaux|totale|somma|suma|cantidad|soma|totaal|aantal|razem|"
    r"\u0142\u0105cznie|average|mittelwert",
    re.IGNORECASE,
).fullmatch
_amount = re.compile(r"[0-9][0-9.,'\xa0 ]*|").fullmatch


def not_a_name(user: str) -> bool:
    """Return whether a user name is a spreadsheet's number, date or error, which no name can be."""
    return bool(damaged(user) or _ODD(user))


def maybe_rewritten(password: str) -> bool:
    """Return whether a password may be a number, a date or a formula that a spreadsheet wrote."""
    if password.startswith("="):
        return bool(_formula(password))
    return bool(_ODD(password) or looks_like_number(password))


def is_total(user: str, password: str) -> bool:
    """Return whether a row is the last one of a spreadsheet: ``Total``, and a number or nothing."""
    return bool(_amount(password.strip()) and _total(user.strip().rstrip(":").rstrip()))
