"""Pages from templates: everything is escaped, and a name that isn't given is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from worker import __version__
from worker.ledger import Role
from worker.web.sessions import CSRF, Visit
from worker.web.site import site_of
from worker.web.words import code, moment, sentence

HERE = Path(__file__).parent

TEMPLATES = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
TEMPLATES.globals.update(version=__version__, Role=Role)
TEMPLATES.filters.update(code=code, moment=moment, number="{:,}".format, sentence=sentence)


def render(request: Request, name: str, status_code: int = 200, **values: Any) -> Response:
    """Return a page. Templates also have ``site``, ``person`` (or None), ``path`` and ``csrf_field``."""
    visit: Visit | None = getattr(request.state, "visit", None)
    csrf = Markup('<input type="hidden" name="{}" value="{}">').format(CSRF, visit.csrf if visit else "")
    page = TEMPLATES.get_template(name).render(
        site=site_of(request), person=visit.person if visit else None, path=request.url.path,
        navigation=request.app.state.navigation, csrf_field=csrf, status=status_code, **values,
    )  # fmt: skip
    return HTMLResponse(page, status_code)
