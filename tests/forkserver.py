"""Runs commands in processes of their own that inherit the program's modules instead of importing them.

``python forkserver.py ROOT SOCKET`` imports the program in ROOT once. A request on the socket is a length and
a JSON object with ``words``, ``folder`` and ``environment``; with it come the descriptors of stdin, stdout,
stderr and of a pipe, to which the process's id is written and, at its end, its status as ``wait`` has it.
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
            os.close(end_of_stdin)
            streams = [stdin, *(file.fileno() for file in printed)]
            process, told = self.begin(words, folder, environment, streams)
            opened.callback(os.close, told)
            os.close(stdin)
            late = not select.select([told], [], [], seconds)[0]
            if late:
                os.killpg(process, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(number_of(told))
            for file in printed:
                file.seek(0)
            stdout, stderr = (file.read() for file in printed)
            assert not late, f"{words} still ran after {seconds} s:\n{stdout}\n{stderr}"
            return code, stdout, stderr

    def begin(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str], streams: Sequence[int]
    ) -> tuple[int, int]:
        """Return a command's process id, and the descriptor that its status will be read from."""
        told, telling = os.pipe()
        request = json.dumps({"words": words, "folder": str(folder), "environment": environment}).encode()
        with self._sending:
            socket.send_fds(self._requests, [NUMBER.pack(len(request))], [*streams, telling])
            self._requests.sendall(request)
        os.close(telling)
        return number_of(told), told


class Forked(subprocess.Popen[str]):
    """A command that a fork server begins, in a process group of its own; all else is as in ``subprocess``.

    Only how a process begins, and how its status is learned, are other than there, since it is a child of the
    fork server's. These methods' names are CPython's own, of 3.11 to 3.14.
    """

    def __init__(self, server: ForkServer, command: Sequence[str], **given: Any) -> None:
        """Begin ``command``, whose first two words are the interpreter and the program's file."""
        self._server = server
        self._told = -1
        super().__init__(command, text=True, encoding="utf-8", **given)

    def _execute_child(self, *given: Any) -> None:
        """Begin the process; ``given`` are Popen's own arguments, and the six ends of its pipes."""
        words, folder, environment = given[0][2:], given[5], given[6]
        stdin, _, out, stdout, err, stderr = given[10:16]
        self.pid, self._told = self._server.begin(words, folder, environment, [stdin, stdout, stderr])
        for theirs in (stdin, *([stdout] if out != -1 else []), *([stderr] if err != -1 else [])):
            os.close(theirs)

    def _try_wait(self, flags: int) -> tuple[int, int]:
        """Return the process's id and status, or zeros while it runs."""
        if not select.select([self._told], [], [], 0 if flags & os.WNOHANG else None)[0]:
            return 0, 0
        status = number_of(self._told)
        os.close(self._told)
        return self.pid, status

    def _internal_poll(self, *_given: Any) -> int | None:
        """Return the exit code, or None while the process runs."""
        with self._waitpid_lock:  # type: ignore[attr-defined]
            if self.returncode is None and self._told != -1:
                process, status = self._try_wait(os.WNOHANG)
                if process:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode


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
                tell_end(child, descriptors)
            become(request, descriptors)
            return request
        for descriptor in descriptors:
            os.close(descriptor)


def tell_end(child: int, descriptors: Sequence[int]) -> NoReturn:
    """Wait for the end of this child, write its status, and exit. The streams are the child's alone."""
    *streams, telling = descriptors
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(child, 0)
    os.write(telling, NUMBER.pack(status))
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
    failpoints = sys.modules["worker.failpoints"]  # the only one that reads a setting while it is imported
    failpoints.hit.__self__.__init__(os.environ.get(failpoints.VARIABLE, ""))


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
