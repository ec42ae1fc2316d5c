"""Several profiles in one process: `worker` and `scheduler` serve the accounts of all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from worker.commands.context import Context, settings_options
from worker.commands.screen import echo
from worker.errors import UsageError
from worker.model import Endpoint
from worker.runtime import RuntimeConfig
from worker.settings import Settings, load_each

F = TypeVar("F", bound=Callable[..., Any])

_COMMON = ("SIPROSTER_BROKER", "SIPROSTER_LEDGER", "SIPROSTER_KEY")
"""Settings that a process has once, whatever the number of its accounts."""


def profiles_options(command: F) -> F:
    """Add the options of ``settings_options``, with ``--profile`` repeatable, and ``--all-profiles``."""

    def several(command: F) -> F:
        every = click.option("--all-profiles", is_flag=True, help="Use all profiles in siproster.toml.")
        one = click.option(
            "--profile",
            metavar="NAME",
            multiple=True,
            help="Use [profile.NAME] from siproster.toml. Repeatable.",
        )
        return one(every(command))

    return settings_options(command, several)


class Profiles:
    """The chosen profiles, which have one ledger, broker and key; without a choice, the plain settings.

    ``context``: that of the first profile, for what they have in common.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Read the settings and print their warnings. Raises UsageError if they don't go together."""
        settings = load_each(given, os.environ, given["config"], _chosen(given))
        _refuse_differences(settings)
        alone = len(settings) == 1
        contexts = {name: Context(given, warn=alone, settings=one) for name, one in settings.items()}
        if not alone:  # each warning once
            for warning in dict.fromkeys(text for one in contexts.values() for text in one.warnings):
                echo(f"warning: {warning}", "yellow")
        self.context = next(iter(contexts.values()))
        self._contexts = contexts

    def runtime_config(self) -> RuntimeConfig:
        """Return the settings that a process needs to work for all accounts. Raises as ``endpoints``."""
        settings = self.context.settings
        return RuntimeConfig(settings.broker, settings.ledger, self.context.keys, self.endpoints())

    def endpoints(self) -> list[Endpoint]:
        """Return one endpoint for each account. Raises UsageError as ``Context.endpoint``.

        Also raises it if two profiles have different credentials for the same account.
        """
        found: dict[tuple[str, str], tuple[str, Endpoint]] = {}
        for name, context in self._contexts.items():
            endpoint = _of_profile(name, context)
            first, known = found.setdefault((endpoint.host, endpoint.account), (name, endpoint))
            if known != endpoint:
                raise UsageError(
                    f"profiles {first} and {name} have different settings for account {endpoint.account} "
                    f"at {endpoint.host}",
                    "give them the same credentials, BW_ENVIRONMENT and SIPROSTER_API_PATH, or leave one out",
                )
        return [endpoint for _, endpoint in found.values()]


def _chosen(given: Mapping[str, Any]) -> Sequence[str] | None:
    """Return the names of the chosen profiles; None: all. Raises UsageError for options that contradict."""
    names, every = list(dict.fromkeys(given["profile"])), given["all_profiles"]
    if every and names:
        raise UsageError("--all-profiles and --profile contradict each other", "use one of them")
    if given["account"] and (every or len(names) > 1):
        raise UsageError("--account names one account for several profiles", "leave it out")
    return None if every else names or [""]


def _refuse_differences(settings: Mapping[str, Settings]) -> None:
    first, *others = settings
    for name in others:
        for setting in _COMMON:
            if settings[first].values[setting] != settings[name].values[setting]:
                raise UsageError(
                    f"profiles {first} and {name} differ in {setting}",
                    "one process has one ledger, one broker and one key: start one for each, "
                    f"or move {setting} above the profiles",
                )


def _of_profile(name: str, context: Context) -> Endpoint:
    try:
        return context.endpoint
    except UsageError as error:
        raise UsageError(f"profile {name}: {error.message}" if name else error.message, error.hint) from None
