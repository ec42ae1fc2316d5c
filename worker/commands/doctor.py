"""``doctor``: checks settings and connections, and suggests remedies. Prints no secret."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import click
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker import throttle
from worker.api import ROLE, Api, Claims
from worker.commands import watch
from worker.commands.context import Context, settings_options
from worker.commands.facts import print_json
from worker.commands.options import json_option
from worker.commands.screen import on_stdout
from worker.commands.window import shown as shown_time
from worker.errors import SiprosterError, Unavailable
from worker.model import Endpoint, Family, Job, Realm, utc_now
from worker.progress.job_waits import nobody
from worker.reasons import plural
from worker.runtime import RuntimeConfig
from worker.states import JobState
from worker.tasks import CeleryQueue, make_app
from worker.waits import worded

_API_SECONDS = 10.0
"""Seconds that one question to the API may take, with all its attempts."""

_CLOCKS_APART = 60.0
"""Seconds between two clocks from which tokens and waits until a given time may go wrong."""

_SHOWN_ACCOUNTS = 5
_SHOWN_JOBS = 5

_OVERDUE = dt.timedelta(minutes=1)
"""How late a scheduler, which looks once a second, can't be."""

_KEEPS = "noeviction"
"""Redis' policy that refuses messages when it is full, so that the sweep sends them again later."""

_NOBODY = "siproster-doctor"
"""A user name to look up in a realm; it doesn't matter whether it exists."""


class State(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    TROUBLE = "trouble"
    SKIPPED = "skipped"
    """Not looked at, since something before it is in trouble or not set."""


_SHOWN = {
    State.OK: ("✓", "green"),
    State.WARNING: ("!", "yellow"),
    State.TROUBLE: ("✗", "red"),
    State.SKIPPED: ("-", "dim"),
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. ``hint``: what to do about it."""

    name: str
    state: State
    text: str
    hint: str = ""
    exit_code: int = 0


@click.command("doctor")
@json_option
@settings_options
def doctor(as_json: bool, **given: Any) -> int:
    """Check settings, broker, ledger, key, API, realm and clock.

    Exits with 0, or with the code of the first problem: 2 for authentication, 3 for the account or realm,
    4 for the account's plan or role, 5 if something does not respond, 6 for a setting.
    """
    try:
        context = Context(given, warn=False)
    except SiprosterError as error:
        shown: list[tuple[str, str, str]] = []
        results = [_trouble("settings", error)]
    else:
        shown = context.settings.shown()
        results = [*settings_checks(context), *own_checks(context), *service_checks(context)]
        results += unfinished(context, results)
    if as_json:
        print_json(facts_of(shown, results))
    else:
        print_checks(shown, results)
    return next((one.exit_code for one in results if one.state is State.TROUBLE), 0)


def settings_checks(context: Context) -> Iterator[CheckResult]:
    """Check the settings themselves."""
    for warning in context.warnings:
        yield CheckResult("settings", State.WARNING, warning)
    try:
        endpoint = context.endpoint
    except SiprosterError as error:
        yield _trouble("settings", error)
    else:
        yield CheckResult("settings", State.OK, f"account {endpoint.account} at {endpoint.host}")


def own_checks(context: Context) -> Iterator[CheckResult]:
    """Check what belongs to the user: broker, ledger, key."""
    ledger = _found("ledger", lambda: _ledger(context))
    yield ledger
    yield _found("key", lambda: _key(context, ledger))
    yield _found("broker", lambda: _broker(context.settings.broker))
    yield from _channels(context)
    if context.settings.broker and ledger.state is State.OK:
        yield _found("workers", lambda: _workers(context))


def _ledger(context: Context) -> CheckResult:
    version = context.ledger.store.check()
    text = f"can be written; schema {version}, identity {context.ledger.identity[:8]}"
    return CheckResult("ledger", State.OK, text)


def _key(context: Context, ledger: CheckResult) -> CheckResult:
    text = f"seals as {context.seal.fingerprint}, {len(context.keys)} in the ring"
    if ledger.state is not State.OK:
        return CheckResult("key", State.OK, text)
    if older := [key for key in context.ledger.jobs.sealed_with() if key != context.seal.fingerprint]:
        text += f"; jobs in the ledger also need {', '.join(older)}"
    unreadable = _jobs_with_another_key(context)
    if not unreadable:
        return CheckResult("key", State.OK, text)
    return CheckResult(
        "key",
        State.TROUBLE,
        f"the rows of {', '.join(unreadable)} are sealed with a key that is not in SIPROSTER_KEY",
        "add it to SIPROSTER_KEY after the first key, or cancel such a job with `siproster cancel JOB`",
        exit_code=6,
    )


def _jobs_with_another_key(context: Context) -> list[str]:
    jobs = context.ledger.jobs
    return [job.id for job in map(jobs.get, jobs.running()) if not context.seal.can_open(job.key)]


def _broker(url: str) -> CheckResult:
    if not url:
        return CheckResult("broker", State.OK, "not set: the command does the work itself")
    # Checked separately: a faulty ledger or account must not hide a faulty broker.
    queue = CeleryQueue(make_app(RuntimeConfig(url, "", (), [Endpoint("", "")])), "")
    queue.check()
    memory = queue.memory()
    if 0 < memory.get("maxmemory", 0) <= memory["used_memory"]:
        raise Unavailable("Redis is full", "give it more memory (maxmemory), or a server of its own")
    policy = memory.get("maxmemory_policy", _KEEPS)
    if policy != _KEEPS:
        text = f"answers, but loses messages in silence once it is full (maxmemory-policy {policy})"
        hint = f"set it in redis.conf and now: redis-cli config set maxmemory-policy {_KEEPS}"
        return CheckResult("broker", State.WARNING, text, hint)
    return CheckResult("broker", State.OK, "answers")


def _workers(context: Context) -> CheckResult:
    """Check which workers serve the queue of this ledger and account."""
    if not _is_set(context):
        return CheckResult("workers", State.SKIPPED, "not checked: no account is set")
    endpoint = Endpoint(context.endpoint.host, context.endpoint.account)
    queue = CeleryQueue(
        make_app(RuntimeConfig(context.settings.broker, "", (), [endpoint])), context.ledger.identity
    )
    found = queue.workers(endpoint.host, endpoint.account)
    if not found:
        return CheckResult("workers", State.WARNING, nobody(endpoint.account))
    return CheckResult("workers", State.OK, f"{plural(len(found), 'answers', 'answer')}: {', '.join(found)}")


def unfinished(context: Context, results: Sequence[CheckResult]) -> list[CheckResult]:
    """Return what has not gone on by itself, if the ledger and the broker answer: jobs and schedules."""
    if any(one.state is State.TROUBLE for one in results if one.name in ("ledger", "broker")):
        return []
    newest = context.ledger.jobs.running()[: -_SHOWN_JOBS - 1 : -1]
    jobs = [_found("job", partial(_job, context, context.ledger.jobs.get(job))) for job in newest]
    return [*jobs, *_schedules(context)]


def _job(context: Context, job: Job) -> CheckResult:
    """Return what a job that is not over waits for."""
    if job.state is JobState.PAUSED and not context.ledger.accounts.holder_of(job):
        why = f": {job.why.text}" if job.why else ""
        hint = f"continue with: siproster resume {job.id}"
        return CheckResult("job", State.WARNING, f"{job.id} is paused{why}", hint)
    waits = watch.waits_of(context, job)
    waits.look_once(context.ledger.chunks.progress(job.id).settled)
    if wait := waits.current():
        hint = f"follow it with: siproster status {job.id} --follow"
        return CheckResult("job", State.WARNING, f"{job.id}: {worded(wait)}", hint)
    return CheckResult("job", State.OK, f"{job.id} is {job.state}")


def _schedules(context: Context) -> Iterator[CheckResult]:
    """List the schedules that are paused, and those whose run nobody begins."""
    late = utc_now() - _OVERDUE
    for one in context.ledger.schedules.all():
        if one.paused:
            hint = f"resume it with: siproster schedule resume {one.name}"
            text = f"{one.name} is paused since {shown_time(one.paused)}"
            yield CheckResult("schedule", State.WARNING, text, hint)
        elif one.next_slot and one.next_slot < late:
            text = f"{one.name} was due at {shown_time(one.next_slot)}, and no scheduler has begun it"
            yield CheckResult("schedule", State.WARNING, text, "start one with: siproster scheduler")


def service_checks(context: Context) -> Iterator[CheckResult]:
    """Check what belongs to Bandwidth: the API, its two families of endpoint, the realm, the clock."""
    if not _is_set(context):
        yield CheckResult("API", State.SKIPPED, "not checked: the settings come first")
        return
    limit = throttle.local(None)
    with closing(Api(context.endpoint, limit, budget=_API_SECONDS, deadline=_API_SECONDS)) as api:
        yield from _Service(context.endpoint, api).results()


class _Service:
    """Checks of the API, some of which need the results of earlier ones."""

    def __init__(self, endpoint: Endpoint, api: Api) -> None:
        self._endpoint = endpoint
        self._api = api
        self._realms: list[Realm] = []
        self._ahead: float | None = None

    def results(self) -> Iterator[CheckResult]:
        access = _found("API", self._access)
        yield access
        if claims := self._api.claims():
            yield from _token(claims, self._endpoint.account)
        if access.state is State.OK:
            yield _found("account family", self._account_family)
            yield _found("realm family", self._realm_family)
            yield _default_realm(self._realms)
            yield _clock(self._ahead)

    def _access(self) -> CheckResult:
        self._realms = self._api.realms()
        way = "OAuth credentials" if self._endpoint.client_id else "user name and password"
        number = plural(len(self._realms), "realm")
        return CheckResult("API", State.OK, f"{self._endpoint.host} accepts the {way}; {number}")

    def _account_family(self) -> CheckResult:
        self._ahead = self._api.check()
        return CheckResult("account family", State.OK, "answers (--api account)")

    def _realm_family(self) -> CheckResult:
        if not self._realms:
            return CheckResult("realm family", State.SKIPPED, "not checked: there is no realm to ask about")
        self._api.find(Family.REALM, self._realms[0], _NOBODY)
        return CheckResult("realm family", State.OK, "answers (--api realm)")


def _token(claims: Claims, account: str) -> Iterator[CheckResult]:
    """Check the token's own claims. This is advice: only the service decides whether a token is accepted."""
    if claims.lacks_account(account):
        accounts = claims.accounts or ()
        named = ", ".join(accounts[:_SHOWN_ACCOUNTS]) + (", …" if len(accounts) > _SHOWN_ACCOUNTS else "")
        yield CheckResult(
            "token",
            State.WARNING,
            f"it is not for account {account}, but for {named or 'none'}",
            "set BW_ACCOUNT_ID to one of these, or use credentials of this account",
        )
    if claims.lacks_role():
        hint = "give the credentials this role in Bandwidth's dashboard, or ask the account's administrator"
        yield CheckResult("token", State.WARNING, f"it does not have the role {ROLE!r}", hint)
    if claims.express:
        yield CheckResult(
            "token", State.WARNING, "it belongs to a voice-only (express) account",
            "ask Bandwidth whether this account may have SIP credentials",
        )  # fmt: skip


def _default_realm(realms: list[Realm]) -> CheckResult:
    default = next((realm for realm in realms if realm.default), None)
    if default is None:
        hint = "choose one with --realm or in a column, or create one: siproster realm create NAME"
        return CheckResult("default realm", State.WARNING, "the account has none", hint)
    if default.status != "ACTIVE":
        hint = f"`siproster realm show {default.id}` shows when it is ready"
        return CheckResult("default realm", State.WARNING, f"{default.host} is {default.status}", hint)
    return CheckResult("default realm", State.OK, default.host)


def _clock(ahead: float | None) -> CheckResult:
    if ahead is None:
        return CheckResult("clock", State.SKIPPED, "not checked: the service sent no time")
    # A Date header has whole seconds, and was under way for a while.
    apart = round(abs(ahead))
    if apart <= _CLOCKS_APART:
        return CheckResult("clock", State.OK, "agrees with the service's")
    which = "behind" if ahead > 0 else "ahead of"
    text = f"this machine's clock is {apart:,} s {which} the service's"
    return CheckResult("clock", State.WARNING, text, "set it with NTP: waits and --not-after depend on it")


def _channels(context: Context) -> Iterator[CheckResult]:
    """List the notification channels; `schedule test-notify` is what tries them."""
    for channel in context.settings.channels.values():
        users = ", with user names" if channel.users else ""
        text = f"{channel.name}: {channel.kind}, {channel.address}, {channel.when}{users}"
        yield CheckResult("notifications", State.OK, text)
    for error in context.settings.unusable_channels.values():
        yield CheckResult("notifications", State.WARNING, error.message, error.hint)


def _is_set(context: Context) -> bool:
    try:
        return bool(context.endpoint)
    except SiprosterError:
        return False


def _found(name: str, check: Callable[[], CheckResult]) -> CheckResult:
    try:
        return check()
    except SiprosterError as error:
        return _trouble(name, error)


def _trouble(name: str, error: SiprosterError) -> CheckResult:
    return CheckResult(name, State.TROUBLE, error.message, error.hint, error.exit_code)


def facts_of(shown: list[tuple[str, str, str]], results: list[CheckResult]) -> Mapping[str, Any]:
    """Return settings and checks as ``--json`` prints them."""
    return {
        "ok": all(one.state is not State.TROUBLE for one in results),
        "settings": [{"name": name, "value": value, "source": source} for name, value, source in shown],
        "checks": [
            {"name": one.name, "state": one.state, "text": one.text, "hint": one.hint} for one in results
        ],
    }


def print_checks(shown: list[tuple[str, str, str]], results: list[CheckResult]) -> None:
    """Print settings, if there are any, and checks with their hints on stdout."""
    console = on_stdout()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(style="dim")
    for name, value, source in shown:
        table.add_row(name, Text(value or "-", style="" if value else "dim"), Text(source))
    if shown:
        console.print(Text("Settings", style="bold"), table, "", sep="\n")
    console.print(Text("Checks", style="bold"))
    for one in results:
        sign, colour = _SHOWN[one.state]
        console.print(Padding(_line(sign, colour, one), (0, 0, 0, 2)))


def _line(sign: str, colour: str, one: CheckResult) -> Table:
    line = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    line.add_column(width=1, style=colour)
    line.add_column(width=15, style="bold")
    line.add_column(overflow="fold")
    text = Text(one.text, style="dim" if one.state is State.SKIPPED else "")
    if one.hint:
        text.append(f"\n→ {one.hint}", style=colour)
    line.add_row(sign, one.name, text)
    return line
