"""Logging in and out. One form asks for everything at once, and whatever is wrong in it has one answer.

Nothing that was typed is kept or logged.
"""

from __future__ import annotations

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federation.console.forms import read_form
from federation.console.pages import LOGIN, Console, checked_next, page, to
from federation.errors import FederationError, Unauthenticated
from federation.oauth.accounts import check_password
from federation.oauth.sessions import begin_session, end_session

LOGOUT = "/console/logout"
REFUSED = "The handle or the password is not right."


def login_routes(console: Console) -> list[Route]:
    """The login page, its form, and the form that logs out."""

    async def show(request: Request) -> Response:
        return page("login.html", next=checked_next(request.query_params.get("next", "")))

    async def log_in(request: Request) -> Response:
        next_path = ""
        try:
            fields = await read_form(request, console.url)
            next_path = checked_next(fields.get("next", ""))
            cookie = await console.turns.run(_entered, console, request, fields)
        except FederationError as error:
            return page("login.html", error.status, alert=error.message, next=checked_next(next_path))
        return console.with_session(to(next_path), cookie)

    async def log_out(request: Request) -> Response:
        try:
            await read_form(request, console.url)
        except FederationError as error:
            return page("refused.html", error.status, alert=error.message)
        await anyio.to_thread.run_sync(_left, console, request)
        return console.with_session(to(LOGIN), None)

    return [
        Route(LOGIN, show, methods=["GET"]),
        Route(LOGIN, log_in, methods=["POST"]),
        Route(LOGOUT, log_out, methods=["POST"]),
    ]


def _entered(console: Console, request: Request, fields: dict[str, str]) -> str:
    """The cookie of a new session; the one that the browser had before ends. Raises Unauthenticated, RateLimited."""
    handle = fields.get("handle", "").strip()
    console.may_try(request.client.host if request.client else "", handle)
    if check_password(console.database, handle, fields.get("password", "")) is None:
        raise Unauthenticated(REFUSED)
    _left(console, request)
    return begin_session(console.database, console.world, handle)


def _left(console: Console, request: Request) -> None:
    if (session := console.session_from(request)) is not None:
        end_session(console.database, session.handle, session.session_id)
