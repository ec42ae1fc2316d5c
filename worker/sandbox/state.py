"""Everything that a running sandbox holds."""

from __future__ import annotations

import random

from worker.sandbox.connections import Connections
from worker.sandbox.journal import Journal
from worker.sandbox.knobs import Json, Knobs
from worker.sandbox.options import Options
from worker.sandbox.store import Account
from worker.sandbox.tokens import Tokens


class State:
    """Knobs, log, tokens and accounts; ``reset`` makes them what they were at the start."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.connections = Connections()
        self.reset()

    def reset(self) -> None:
        """Back to the start. Raises KnobError when the options' knobs are wrong."""
        self.knobs = Knobs(self.options.knobs)
        self.chance = random.Random(self.knobs.values.seed)  # noqa: S311 - repeatable on purpose
        self.journal = Journal(self.options.log_limit)
        self.tokens = Tokens(self.options)
        self.accounts = {account: self._account(account) for account in self.options.accounts}

    def set_knobs(self, given: dict[str, Json]) -> None:
        """Set the knobs named; a seed starts the random numbers anew."""
        self.knobs.set(given)
        if "seed" in given:
            self.chance.seed(self.knobs.values.seed)

    def _account(self, number: str) -> Account:
        account = Account(number)
        default = self.options.default_realm
        for position, label in enumerate(self.options.realms):
            is_default = position == 0 if default is None else label == default
            account.add_realm(label, self.knobs.values.realm_host, default=is_default)
        return account
