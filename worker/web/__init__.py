"""The page: siproster for people who don't use a terminal. ``siproster serve`` runs it.

How a page is added:

1. Write a handler, ``def handler(request: Request) -> Response``, in a module of its own. It runs in a
   thread, and may use the ledger. ``person_of(request)`` is the person (name and role),
   ``request.state.form`` the form of a POST, whose CSRF token has been checked already, and
   ``site_of(request)`` the `Site`.
   An ``async def`` handler runs on the event loop, for streams; it must not block.
2. Declare it in the module's ``ROUTES: list[Page]``: path, handler, methods, and the role that it needs.
   Roles contain each other: upload < approve < admin. `PUBLIC` needs none; only signing in is public.
3. Add the module's ``ROUTES`` to those of ``app.py``. A test asks each route as each role.
4. Write its template in ``templates/``, with ``{% extends "layout.html" %}`` and the blocks ``title`` and
   ``main``, and return ``render(request, "name.html", value=…)``. Everything is escaped, and a name
   that isn't given is an error. A form is ``<form method="post">`` and contains ``{{ csrf_field }}``
   first. No inline script or style runs (CSP): they are ``static/page.css`` and ``static/page.js``.
5. Raise a `SiprosterError` (NotFound, UsageError, Conflict …) or `PageError`: it becomes a page with its
   message and hint. After a change, answer with ``see_other(path)``, so that loading the page again
   repeats nothing.
6. Call ``audit(request, "what was done", subject)`` for what changes anything and isn't done by a child.
"""
