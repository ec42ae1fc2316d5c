"""Files for the people who set up phones: a line, configuration files and a printed card for each user.

``columns`` finds the roster's columns about phones, ``phone`` holds what is known of one, ``templates``
renders configuration files (``syntax``: what each vendor's files can hold; ``limits``: the time and memory
that a template may take), ``cards`` makes a page to print, ``twins`` finds phones that share an address or a
file.
"""

from worker.phones.cards import CARDS_BEGIN, QrFormat, can_be_printed, cards
from worker.phones.columns import FIELDS, PhoneColumns
from worker.phones.phone import Phone, Server
from worker.phones.syntax import Unfit
from worker.phones.templates import TemplateSet, built_in
from worker.phones.twins import Twins

__all__ = [
    "CARDS_BEGIN",
    "FIELDS",
    "Phone",
    "PhoneColumns",
    "QrFormat",
    "Server",
    "TemplateSet",
    "Twins",
    "Unfit",
    "built_in",
    "can_be_printed",
    "cards",
]
