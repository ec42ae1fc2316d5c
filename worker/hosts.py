"""Hosts by their names alone; nobody is asked."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on this machine: localhost, 127.0.0.0/8, ::1."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def fits_dns(host: str) -> bool:
    """Whether DNS can hold this name: labels of 1 to 63 bytes, 253 in all (RFC 1035), in IDNA's spelling.

    An address fits, too. Python's resolver raises UnicodeError for other names in place of an OSError.
    """
    try:
        return ":" in host or len(host.encode("idna").rstrip(b".")) <= 253
    except UnicodeError:
        return False
