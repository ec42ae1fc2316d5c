"""People and the audit log, for administrators."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from worker.errors import NotFound, UsageError
from worker.ledger import Person, Role
from worker.web.render import render
from worker.web.site import Page, audit, offset_of, person_of, see_other, site_of
from worker.web.tokens import hash_of, person_token

_ACTS = 100
"""Entries of the audit log on one page."""

_MOST_ACTS = 10_000


def show(request: Request) -> Response:
    """Return the people who may sign in."""
    return _page(request)


def add(request: Request) -> Response:
    """Add a person, and show their token, this once."""
    people, form = site_of(request).ledger.people, request.state.form
    person = Person(form.get("name", "").strip(), _role(form.get("role", "")))
    people.check_new(person.name)
    audit(request, "people add", person.name, role=person.role)
    token = person_token(person.name)
    people.add(person, hash_of(token))
    return _page(request, person, token)


def renew(request: Request) -> Response:
    """Replace a person's token, and show the new one, this once."""
    people, known = site_of(request).ledger.people, _known(request)
    audit(request, "people renew", known.name)
    token = person_token(known.name)
    return _page(request, people.renew(known.name, hash_of(token)), token)


def change_role(request: Request) -> Response:
    """Change what a person may do, at once."""
    known, role = _known(request), _role(request.state.form.get("role", ""))
    _refuse_self(request, known)
    audit(request, "people role", known.name, role=role)
    site_of(request).ledger.people.set_role(known.name, role)
    return see_other("/people")


def remove(request: Request) -> Response:
    """Remove a person, and end their sessions."""
    known = _known(request)
    _refuse_self(request, known)
    audit(request, "people remove", known.name)
    site_of(request).ledger.people.remove(known.name)
    return see_other("/people")


def acts(request: Request) -> Response:
    """Return the audit log, newest first."""
    start = min(offset_of(request), _MOST_ACTS)
    found = site_of(request).ledger.audit.newest(_ACTS + 1, start)
    return render(
        request, "audit.html", acts=found[:_ACTS], offset=start,
        before=max(0, start - _ACTS), after=start + _ACTS if len(found) > _ACTS else 0,
    )  # fmt: skip


def _page(request: Request, person: Person | None = None, token: str = "") -> Response:
    found = site_of(request).ledger.people.all()
    return render(request, "people.html", people=found, new=person, token=token, roles=list(Role))


def _known(request: Request) -> Person:
    name = request.path_params["name"]
    if known := site_of(request).ledger.people.find(name):
        return known.person
    raise NotFound(f"there is no person {name[:64]!r}", "load the list again")


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise UsageError("choose a role", f"one of {', '.join(Role)}") from None


def _refuse_self(request: Request, known: Person) -> None:
    if known.name.casefold() == person_of(request).name.casefold():
        raise UsageError(
            "you can't change or remove yourself",
            "ask another administrator, or use `siproster people` in a shell",
        )


ROUTES = [
    Page("/people", show, ("GET",), Role.ADMIN, label="People"),
    Page("/people", add, ("POST",), Role.ADMIN),
    Page("/people/{name}/renew", renew, ("POST",), Role.ADMIN),
    Page("/people/{name}/role", change_role, ("POST",), Role.ADMIN),
    Page("/people/{name}/remove", remove, ("POST",), Role.ADMIN),
    Page("/audit", acts, ("GET",), Role.ADMIN, label="Audit"),
]
