"""Deliberate faults: which of them strike a request, and how they change its answer."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from email.utils import formatdate

from worker.sandbox.answers import Call, Reply
from worker.sandbox.knobs import KINDS, Knobs, Rule
from worker.sandbox.refusals import refusal

HTML = "text/html; charset=utf-8"
ANSWERED = ("too_many_requests", "unavailable", "bad_gateway", "html_success", "refuse")
"""The faults that put an answer of their own in the place of the service's."""
EXCLUSIVE = frozenset({"drop", *ANSWERED})


def draw(knobs: Knobs, chance: random.Random, call: Call) -> Mapping[str, Rule]:
    """Return the faults that strike this request, by kind.

    Of a kind's rules the first that strikes counts, and of the kinds that take the answer's place
    only one: the others aren't asked, so that their ``next`` waits for a request it can have.
    """
    struck: dict[str, Rule] = {}
    for kind in KINDS:
        if kind in EXCLUSIVE and not EXCLUSIVE.isdisjoint(struck):
            continue
        for rule in knobs.rules.get(kind, ()):
            if rule.matches(call.method, call.path, call.body) and rule.strikes(chance.random):
                struck[kind] = rule
                break
    return struck


def due(call: Call, commit: bool) -> dict[str, Rule]:
    """Return the drawn faults that come before the work is done, or after it."""
    return {kind: rule for kind, rule in call.faults.items() if rule.given.get("commit", False) is commit}


def stall_seconds(due_now: Mapping[str, Rule]) -> float:
    """Return the seconds of silence before the answer; 0 for none."""
    return float(due_now["stall"].given.get("seconds", 30.0)) if "stall" in due_now else 0.0


def replace(due_now: Mapping[str, Rule], root: str) -> Reply | None:
    """Return the answer that a fault gives in the place of the service, or None if no such fault is due."""
    if "drop" in due_now:
        return Reply(0, sent=0.0)
    for kind in ANSWERED:
        if kind in due_now:
            return ANSWER[kind](due_now[kind], root)
    return None


def too_many_requests(rule: Rule, root: str) -> Reply:
    """Return a 429 with an empty body, and the time to come back in one of the observed forms."""
    seconds = float(rule.given.get("seconds", 1.0))
    then = time.time() + seconds
    headers = {
        "seconds": ("Retry-After", str(math.ceil(seconds))),
        "date": ("Retry-After", formatdate(math.ceil(then), usegmt=True)),
        "reset_seconds": ("X-RateLimit-Reset", str(math.ceil(then))),
        "reset_milliseconds": ("X-RateLimit-Reset", str(math.ceil(then * 1000))),
    }
    named = rule.given.get("answer", "seconds")
    return Reply(429, headers=(headers[named],) if named in headers else ())


def unavailable(rule: Rule, root: str) -> Reply:
    """Return a 503: the service's own XML with 13566 or without a code, or a page of HTML."""
    seconds = rule.given.get("seconds")
    headers = () if seconds is None else (("Retry-After", str(math.ceil(seconds))),)
    answer = rule.given.get("answer", "xml")
    if answer == "html":
        return page(503, "Service Unavailable", headers)
    code = "13566" if answer == "xml" else ""
    reply = refusal(root, 503, code, "The service is unavailable.")
    reply.headers = headers
    return reply


def bad_gateway(rule: Rule, root: str) -> Reply:
    """Return a proxy's page of HTML."""
    return page(rule.given.get("status", 502), "Bad Gateway")


def html_success(rule: Rule, root: str) -> Reply:
    """Return a page of HTML with the status 200."""
    return page(200, "Welcome")


def refuse(rule: Rule, root: str) -> Reply:
    """Return the status, code and text that the rule gives."""
    text = rule.given.get("text", "The request is refused.")
    return refusal(root, rule.given.get("status", 400), rule.given.get("code", ""), text)


def page(status: int, title: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Return a page of HTML."""
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><hr></body></html>"
    return Reply(status, body.encode(), HTML, headers)


ANSWER = {
    "too_many_requests": too_many_requests,
    "unavailable": unavailable,
    "bad_gateway": bad_gateway,
    "html_success": html_success,
    "refuse": refuse,
}


def distort(call: Call, reply: Reply) -> Reply:
    """Return the service's own answer as the faults leave it."""
    if "status_swallowed" in call.faults and reply.status >= 400:
        reply.status = 201 if call.method == "POST" else 200
    if "cut" in call.faults:
        reply.sent = 0.5
    return reply
