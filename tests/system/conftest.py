"""The program, set up by its user for the sandbox."""

from __future__ import annotations

import pytest

from tests.program import Program
from tests.sandbox import Sandbox


@pytest.fixture
def office(siproster: Program, sandbox: Sandbox) -> Program:
    """The program with the sandbox's account and nothing else set: embedded mode."""
    siproster.environment |= sandbox.environment()
    return siproster
