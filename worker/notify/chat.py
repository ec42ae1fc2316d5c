"""Chats and other services by the Apprise library, in a process of its own.

Its plugins have no bound for a whole request, so the process is killed when its time is over. The URLs, which
hold secrets, go in on standard input, where no list of processes shows them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from worker.channels import AppriseChannel
from worker.notify import command
from worker.notify.message import Message, NotDelivered

_CHILD = Path(__file__).with_name("apprise_process.py")

_NETWORK = ("PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PYTHONPATH")
"""Variables that the library needs to reach a service, by a part of their name."""


def deliver(channel: AppriseChannel, message: Message, seconds: float) -> None:
    """Send the text to each of the channel's URLs. Raises NotDelivered unless all of them took it."""
    given = {"urls": channel.urls, "title": message.subject, "body": message.body}
    network = {
        name: value for name, value in os.environ.items() if any(part in name.upper() for part in _NETWORK)
    }
    # -P: the modules beside the child must not be found under the names of other libraries.
    argv = [sys.executable, "-P", str(_CHILD)]
    try:
        command.run(argv, json.dumps(given).encode(), seconds, network)
    except NotDelivered as failed:
        reason = failed.reason.removeprefix(f"{argv[0]} ")
        raise NotDelivered(_REASONS.get(reason, f"the process for Apprise {reason}")) from None


_REASONS = {
    "exited with code 3": "at least one of urls is not a URL of Apprise's",
    "exited with code 4": "at least one service did not accept the notification",
}
"""Exit codes of the process (apprise_process.py) in words."""
