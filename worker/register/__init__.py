"""SIP REGISTER: checks whether users can register with the roster's passwords.

The one protocol that siproster implements itself: UDP, TCP and TLS on asyncio (RFC 3261), digest with MD5
(RFC 2617). ``verify`` goes through rows, ``probe`` finds out whether a realm's registrar can be believed at
all, and ``dialog`` is the exchange about one row (``challenge``: the registrar's question, ``result``: the
outcome). ``registrar`` knows its servers (``addresses``; ``options``: the user's choices) and holds the
connections (``datagrams``, ``streams``; ``transaction`` matches answers, ``message`` is their wire format).
``phone`` stays registered for a while.
"""

from worker.register.addresses import Lookup, ServerAddress, Waiting, servers_of, usual_server
from worker.register.options import AuthName, RegisterOptions
from worker.register.phone import registered
from worker.register.result import Entry, RegisterResult, Undecided, Verdict
from worker.register.timers import Pace, Timers
from worker.register.transaction import Transport
from worker.register.verify import Verifier

__all__ = [
    "AuthName",
    "Entry",
    "Lookup",
    "Pace",
    "RegisterOptions",
    "RegisterResult",
    "ServerAddress",
    "Timers",
    "Transport",
    "Undecided",
    "Verdict",
    "Verifier",
    "Waiting",
    "registered",
    "servers_of",
    "usual_server",
]
