"""Start a command within bounds, and only once its parent has recorded it: a program of its own.

``python child.py BYTES SECONDS COMMAND …`` waits for a line on standard input, then becomes the command. If
the parent dies first, the input ends, and nothing is started: a process that no ledger knows never acts.
0 stands for no bound.
"""

from __future__ import annotations

import os
import resource
import signal
import sys


def main() -> None:
    """Wait for the parent's line, bound this process, and replace it by the command."""
    memory, seconds, *command = sys.argv[1:]
    if not os.read(0, 1):
        return
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if int(memory):
        resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    signal.alarm(int(seconds))  # the parent is quicker, while it lives
    os.execv(command[0], command)  # noqa: S606  no shell, and the arguments are the parent's


if __name__ == "__main__":
    main()
