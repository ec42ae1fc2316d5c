"""The process that sends one notification by Apprise: ``urls``, ``title`` and ``body`` on standard input.

Exits with 0 if every service has accepted it, 3 if a URL is not Apprise's, 4 if a service has not.
"""

from __future__ import annotations

import json
import os
import sys

import apprise


def notify() -> int:
    """Send the notification and return the exit code."""
    given = json.load(sys.stdin)
    services = apprise.Apprise()
    if not all(services.add(url) for url in given["urls"]):
        return 3
    return 0 if services.notify(given["body"], given["title"]) else 4


if __name__ == "__main__":
    os._exit(notify())  # a plugin may leave threads behind, which an ordinary end would wait for
