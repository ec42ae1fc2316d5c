"""The ASGI application: maps paths to resources."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import BaseRoute, Route

from worker.sandbox import credentials, listing, posting, realms
from worker.sandbox.answers import JSON_ROOT, JSON_TYPE, Call, Refusal, Reply
from worker.sandbox.control import Control
from worker.sandbox.endpoint import Endpoint, Handler
from worker.sandbox.knobs import Values
from worker.sandbox.state import State
from worker.sandbox.store import Account

AccountHandler = Callable[[Account, Values, Call], Reply]

PREFIXES = ("/api/v2", "/api")
"""Today's paths and the guide's; the same resources."""
VOICE_PREFIX = "/api/v2"
"""The Voice API has a host of its own; here it is the same one."""
XML_TYPES = ("application/xml", "text/xml")
JSON_TYPES = (JSON_TYPE,)


class SipCredentials(Convertor[str]):
    """A path convertor for both spellings: ``sipcredentials`` and the guide's ``sipCredentials``."""

    regex = "(?i:sipcredentials)"

    def convert(self, value: str) -> str:
        """Convert from the path."""
        return value

    def to_string(self, value: str) -> str:
        """Convert to a path."""
        return value


def application(state: State) -> Starlette:
    """Return the service: token endpoint, API, control paths; other paths are logged 404s."""
    register_url_convertor("sipcredentials", SipCredentials())
    token = Endpoint(
        state, "ErrorResponse", {"POST": lambda call: state.tokens.issue(state.knobs.values, call)}
    )
    nothing = Endpoint(state, "ErrorResponse", dict.fromkeys(("GET", "POST", "PUT", "DELETE"), no_such_path))
    resources = [route for prefix in PREFIXES for route in api(state, f"{prefix}/accounts/{{account}}")]
    app = Starlette(
        routes=[
            *Control(state).routes(),
            Route("/api/v1/oauth2/token", token),
            *resources,
            *voice(state, f"{VOICE_PREFIX}/accounts/{{account}}"),
        ]
    )
    app.router.default = nothing  # no route matches every path: not one with a line break
    return app


def api(state: State, account: str) -> list[BaseRoute]:
    """Return the API's resources under one spelling of an account's path."""

    def endpoint(root: str, **handlers: AccountHandler) -> Endpoint:
        return Endpoint(
            state, root, {method: guarded(state, handler) for method, handler in handlers.items()}
        )

    realm_list = endpoint("RealmsResponse", GET=realms.list_all, POST=realms.create)
    realm = endpoint("RealmResponse", GET=realms.show, PUT=realms.replace, DELETE=realms.delete)
    many = endpoint("SipCredentialsResponse", GET=listing.list_page, POST=posting.create)
    one = endpoint(
        "SipCredentialResponse", GET=credentials.show, PUT=credentials.update, DELETE=credentials.delete
    )
    return [
        Route(f"{account}/{{_:sipcredentials}}", many),
        Route(f"{account}/{{_:sipcredentials}}/{{credential}}", one),
        Route(f"{account}/realms", realm_list),
        Route(f"{account}/realms/{{realm}}", realm),
        Route(f"{account}/realms/{{realm}}/{{_:sipcredentials}}", many),
        Route(f"{account}/realms/{{realm}}/{{_:sipcredentials}}/{{credential}}", one),
    ]


def voice(state: State, account: str) -> list[BaseRoute]:
    """Return the Voice API's resources."""

    def create(owner: Account, knobs: Values, call: Call) -> Reply:
        return state.calls.create(owner, knobs, call, state.has_phone)

    def show(owner: Account, knobs: Values, call: Call) -> Reply:
        return state.calls.show(owner, knobs, call)

    many = Endpoint(state, JSON_ROOT, {"POST": guarded(state, create, JSON_TYPES)})
    one = Endpoint(state, JSON_ROOT, {"GET": guarded(state, show, JSON_TYPES)})
    return [Route(f"{account}/calls", many), Route(f"{account}/calls/{{call}}", one)]


def guarded(state: State, handler: AccountHandler, types: tuple[str, ...] = XML_TYPES) -> Handler:
    """Return the handler behind checks of authentication, account and content type."""

    def answer(call: Call) -> Reply:
        knobs = state.knobs.values
        if not state.tokens.allow(knobs, call):
            raise Refusal(401, "", "Authentication is required.")
        account = state.accounts.get(call.params["account"])
        if account is None or knobs.account_locked:
            raise Refusal(404, "4022", f"Account {call.params['account']} is unknown or locked.")
        media = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if call.method in ("POST", "PUT") and media not in types:
            raise Refusal(415, "", f"The content type must be {types[0]}.")
        return handler(account, knobs, call)

    return answer


def no_such_path(call: Call) -> Reply:
    """Return a 404 without a code."""
    raise Refusal(404, "", f"There is nothing at {call.path}.")
