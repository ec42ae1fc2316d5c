"""A local stand-in for the Registrar API: a process of its own, for tests, demonstrations and experiments.

It implements both families of endpoint as the API description has them, keeps all data in memory, misbehaves
on demand (``knobs``), and reports its requests and contents truthfully under ``/_sandbox/``. It imports
nothing else of this project, so that it can't share its mistakes.
"""

from worker.sandbox.options import Options
from worker.sandbox.server import main

__all__ = ["Options", "main"]
