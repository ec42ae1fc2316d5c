"""The application: all pages, behind their checks. The package's docstring says how a page is added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from worker.web import (
    flow_pages,
    history_pages,
    job_pages,
    people_pages,
    schedule_pages,
    sign_in_pages,
    uploads,
)
from worker.web.error_pages import error_page
from worker.web.guard import Endpoint, Guard, endpoint
from worker.web.render import HERE
from worker.web.rows import RowTables
from worker.web.sign_in_throttle import SignInThrottle
from worker.web.site import Page, Site
from worker.web.work import Work

ROUTES: list[Page] = [
    *history_pages.ROUTES,
    *uploads.ROUTES,
    *flow_pages.ROUTES,
    *job_pages.ROUTES,
    *schedule_pages.ROUTES,
    *people_pages.ROUTES,
    *sign_in_pages.ROUTES,
]
"""All pages."""


def make_app(site: Site, pages: Sequence[Page] = ROUTES) -> Starlette:
    """Return the application for one site."""
    static = Mount("/static", StaticFiles(directory=HERE / "static"))
    app = Starlette(
        routes=[*_routes(pages), static],
        middleware=[Middleware(Guard, site=site)],
        exception_handlers={HTTPException: error_page},
    )
    app.router.redirect_slashes = False
    app.state.site = site
    app.state.work = Work(site)
    app.state.tables = RowTables(site.ledger, site.seal)
    app.state.navigation = [(page.path, page.label, page.role) for page in pages if page.label]
    app.state.uploads = Counter()
    app.state.streams = Counter()
    app.state.sign_in_throttle = SignInThrottle(site.bounds.tries)
    return app


def _routes(pages: Sequence[Page]) -> list[BaseRoute]:
    """Return one route for each path, so that another method is answered with all that the path has."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for page in pages:
        methods = paths.setdefault(page.path, {})
        for method in page.methods:
            methods[method] = endpoint(page)
        if "GET" in methods:
            methods.setdefault("HEAD", methods["GET"])
    return [Route(path, _by_method(methods), methods=list(methods)) for path, methods in paths.items()]


def _by_method(methods: Mapping[str, Endpoint]) -> Endpoint:
    async def respond(request: Request) -> Response:
        return await methods[request.method](request)

    return respond
