"""A local stand-in for the Registrar API: a process of its own, for tests, demonstrations and trying things
out.

It speaks both families of endpoint as the API description has them, keeps everything in memory,
misbehaves on demand (``knobs``), and tells the truth about what it was asked and what it holds
under ``/_sandbox/``. It imports nothing else of this project, so that it can't share its mistakes.
"""

from worker.sandbox.options import Options
from worker.sandbox.server import main

__all__ = ["Options", "main"]
