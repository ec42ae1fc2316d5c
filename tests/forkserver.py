"""Runs commands in processes of their own that inherit the program's modules instead of importing them.

``python forkserver.py ROOT SOCKET`` imports the program in ROOT once. A request on the socket is a length and
a JSON object with ``words``, ``folder`` and ``environment``; with it come the descriptors of stdin, stdout,
stderr and of a pipe, to which the process's id is written and, at its end, its exit code.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

ALSO = (
    "celery.app.amqp",
    "encodings.idna",
    "kombu.transport.redis",
    "rich._emoji_codes",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "worker.tasks",
)
"""Modules that commands import when they need them."""

NUMBER = struct.Struct("!i")


class ForkServer:
    """The process that imports the program in ``root`` once. It ends with the one that made it."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self._sending = threading.Lock()
        self._requests, theirs = socket.socketpair()
        with theirs:
            subprocess.Popen(
                [sys.executable, __file__, str(root), str(theirs.fileno())],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def run(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float
    ) -> tuple[int, str, str]:
        """Return a command's exit code, and what it printed on stdout and stderr. Its stdin is empty."""
        with ExitStack() as opened:
            printed = [opened.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in "12"]
            stdin, end_of_stdin = os.pipe()
            told, telling = os.pipe()
            opened.callback(os.close, told)
            os.close(end_of_stdin)
            request = json.dumps({"words": words, "folder": str(folder), "environment": environment}).encode()
            with self._sending:
                theirs = [stdin, *(file.fileno() for file in printed), telling]
                socket.send_fds(self._requests, [NUMBER.pack(len(request))], theirs)
                self._requests.sendall(request)
            os.close(stdin)
            os.close(telling)
            process = number_of(told)
            late = not select.select([told], [], [], seconds)[0]
            if late:
                os.killpg(process, signal.SIGKILL)
            code = number_of(told)
            for file in printed:
                file.seek(0)
            stdout, stderr = (file.read() for file in printed)
            assert not late, f"{words} still ran after {seconds} s:\n{stdout}\n{stderr}"
            return code, stdout, stderr


def number_of(told: int) -> int:
    """Return the next number that a process has written."""
    number: int = NUMBER.unpack(os.read(told, NUMBER.size))[0]
    return number


def load(root: str) -> Any:
    """Import what ``python cli.py`` and its commands import; return the module ``cli``."""
    sys.path[0] = root
    cli = importlib.import_module("cli")
    commands = [f"worker.commands.{place.partition(':')[0]}" for place, _ in cli.COMMANDS.values()]
    for name in (*commands, *ALSO):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    return cli


def serve(requests: socket.socket) -> dict[str, Any] | None:
    """Return a request in each process that is to carry it out; None in this one, when no more will come."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries those who have told of an end
    while True:
        head, descriptors, *_ = socket.recv_fds(requests, NUMBER.size, 4)
        if not head:
            return None
        (length,) = NUMBER.unpack(head)
        request: dict[str, Any] = json.loads(requests.recv(length, socket.MSG_WAITALL))
        if not os.fork():
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if child := os.fork():
                tell_end(child, descriptors[3])
            become(request, descriptors)
            return request
        for descriptor in descriptors:
            os.close(descriptor)


def tell_end(child: int, telling: int) -> NoReturn:
    """Wait for the end of this child, write its exit code, and exit."""
    _, status = os.waitpid(child, 0)
    os.write(telling, NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def become(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Take on the request's streams, folder and environment, in a session of this process's own."""
    os.setsid()
    os.write(descriptors[3], NUMBER.pack(os.getpid()))
    for number in range(3):
        os.dup2(descriptors[number], number)
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()


def carry_out(program: Any, words: Sequence[str]) -> None:
    """Run a command to its end, as multiprocessing does: nothing is left undone but freeing the memory.

    That would take three times as long as a small command does.
    """
    sys.argv[:] = [program.__file__, *words]
    try:
        program.main()
    except SystemExit as end:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as an interpreter's end does
        atexit._run_exitfuncs()
        sys.stderr.flush()
        os._exit(int(end.code or 0))


if __name__ == "__main__":
    loaded = load(sys.argv[1])
    wanted = serve(socket.socket(fileno=int(sys.argv[2])))
    if wanted is not None:
        carry_out(loaded, wanted["words"])
