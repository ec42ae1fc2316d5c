"""The facts about a server that its work needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from worker.ledger import Ledger
from worker.seal import Seal


class WorkSite(Protocol):
    """The facts about the server that its work needs (worker.web.site.Site)."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def seal(self) -> Seal: ...
    @property
    def arguments(self) -> Sequence[str]:
        """Return the options by which children find the server's settings: --config, --profile, --account."""

    @property
    def results(self) -> Path:
        """Return the folder that has a folder of result files for each job."""

    @property
    def sign_in(self) -> bool:
        """Return whether people sign in; otherwise, everybody is the same person."""

    @property
    def four_eyes(self) -> bool:
        """Return whether nobody may approve what they have uploaded, corrected or asked for themselves."""
