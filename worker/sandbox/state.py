"""The state of a running sandbox."""

from __future__ import annotations

import random

from worker.sandbox.connections import Connections
from worker.sandbox.journal import Journal
from worker.sandbox.knobs import Json, Knobs
from worker.sandbox.options import Options
from worker.sandbox.sip import Bindings, Nonces, Registrar
from worker.sandbox.store import Account
from worker.sandbox.stored import Credential
from worker.sandbox.tokens import Tokens
from worker.sandbox.voice import Calls


class State:
    """Knobs, log, tokens, accounts, phones and calls; ``reset`` restores their initial state."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.connections = Connections()
        self.sip_port: int | None = None
        """The registrar's port; None if it does not run."""
        self.reset()

    def reset(self) -> None:
        """Restore the initial state. Raises KnobError if the options' knobs are wrong."""
        self.knobs = Knobs(self.options.knobs)
        self.chance = random.Random(self.knobs.values.seed)  # noqa: S311 - repeatable on purpose
        self.journal = Journal(self.options.log_limit)
        self.tokens = Tokens(self.options)
        self.accounts = {account: self._account(account) for account in self.options.accounts}
        self.calls = Calls()
        self.bindings = Bindings()
        self.registrar = Registrar(self.accounts.values(), self.knobs.values, self.bindings, Nonces())

    def set_knobs(self, given: dict[str, Json]) -> None:
        """Set the named knobs; a seed restarts the random numbers."""
        self.knobs.set(given)
        if "seed" in given:
            self.chance.seed(self.knobs.values.seed)

    def has_phone(self, credential: Credential) -> bool:
        """Return whether a call to this user rings somewhere; without a registrar every user has a phone."""
        needed = self.sip_port is not None and self.knobs.values.call_phone_needed
        return not needed or bool(self.bindings.of(credential.id))

    def _account(self, number: str) -> Account:
        account = Account(number)
        default = self.options.default_realm
        for position, label in enumerate(self.options.realms):
            is_default = position == 0 if default is None else label == default
            account.add_realm(label, self.knobs.values.realm_host, default=is_default)
        return account
