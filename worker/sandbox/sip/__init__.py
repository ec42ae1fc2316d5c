"""A small registrar beside the API: phones REGISTER with it, over UDP and TCP, by the stored digests.

::

    server      sockets; which answer goes to whom
     └── registrar    one request, one answer
          ├── message     SIP's text, read within bounds, and answers written (RFC 3261, section 7)
          ├── challenge   digest authentication (RFC 2617, RFC 3261 section 22)
          └── bindings    which phone is registered where, and for how long (RFC 3261, section 10.3)
"""

from worker.sandbox.sip.bindings import Bindings
from worker.sandbox.sip.challenge import Nonces
from worker.sandbox.sip.registrar import Registrar
from worker.sandbox.sip.server import SipServer

__all__ = ["Bindings", "Nonces", "Registrar", "SipServer"]
