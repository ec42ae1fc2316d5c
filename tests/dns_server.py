"""A DNS server on a loopback port that knows some SRV records."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence

import dns.message
import dns.rcode
import dns.rrset

Records = Mapping[str, Sequence[str]]
"""Name to what follows ``SRV``: ``"10 20 5061 edge.example.com."``."""


class Dns:
    """Answers over UDP until it is closed. ``silent``: hears and says nothing; ``rcode``: refuses all."""

    def __init__(
        self, records: Records, *, silent: bool = False, rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    ) -> None:
        self.asked: list[str] = []
        self._records = records
        self._silent = silent
        self._rcode = rcode
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop: an empty datagram of its own wakes it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(65536)
            if not data:
                return
            query = dns.message.from_wire(data)
            self.asked.append(query.question[0].name.to_text())
            if not self._silent:
                self._socket.sendto(self._answer(query).to_wire(), sender)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query)
        name = query.question[0].name
        found = self._records.get(name.to_text().rstrip("."))
        answer.set_rcode(self._rcode if self._rcode or found is not None else dns.rcode.NXDOMAIN)
        if found and not self._rcode:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", *found))
        return answer
