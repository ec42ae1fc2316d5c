"""Checks of host names by their text alone; no DNS is asked."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether traffic to this host stays on this machine: localhost, 127.0.0.0/8, ::1."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def fits_dns(host: str) -> bool:
    """Return whether DNS can hold this name: labels of 1 to 63 bytes, 253 in all (RFC 1035), IDNA-encoded.

    An address fits, too. Python's resolver raises UnicodeError for other names instead of an OSError.
    """
    try:
        return ":" in host or len(host.encode("idna").rstrip(b".")) <= 253
    except UnicodeError:
        return False
