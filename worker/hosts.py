"""Hosts by their names alone; nobody is asked."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on this machine: localhost, 127.0.0.0/8, ::1."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
