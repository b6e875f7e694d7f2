"""Logging in and out. One form asks for password and code at once, and whatever is wrong in it has one answer.

With two steps, either the second would tell that the password was right, or everybody would have to be asked for a code
that many do not have; and what happened in the first would have to be kept. Nothing that was typed is kept or logged.
"""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federation.console.forms import Turns, read_form
from federation.console.pages import LOGIN, Console, checked_next, page, refusal, to
from federation.errors import FederationError
from federation.limiting import asking
from federation.oauth.entering import log_in
from federation.oauth.sessions import end_session

LOGOUT = "/console/logout"


def login_routes(console: Console) -> list[Route]:
    """The login page, its form, and the form that logs out."""

    async def show(request: Request) -> Response:
        return _page(console, checked_next(request.query_params.get("next", "")))

    async def enter(request: Request) -> Response:
        next_path = ""
        try:
            fields = await read_form(request, console.url)
            next_path = fields.get("next", "")
            turns = await anyio.to_thread.run_sync(_may_try, console, request, fields)
            cookie = await turns.run(_entered, console, request, fields)
            mark = await anyio.to_thread.run_sync(_marked, console, request, fields)
        except FederationError as error:
            return _page(console, checked_next(next_path), error)
        answer = console.with_session(to(checked_next(next_path)), cookie)
        return console.with_mark(answer, mark) if mark else answer

    async def leave(request: Request) -> Response:
        try:
            await read_form(request, console.url)
            await anyio.to_thread.run_sync(_left, console, request)
        except FederationError as error:
            return refusal(error)
        return console.with_session(to(LOGIN), None)

    return [
        Route(LOGIN, show, methods=["GET"]),
        Route(LOGIN, enter, methods=["POST"]),
        Route(LOGOUT, leave, methods=["POST"]),
    ]


def _page(console: Console, next_path: str, error: FederationError | None = None) -> Response:
    values: dict[str, Any] = {
        "next": next_path,
        "passkey": console.passkeys.login_options() if console.passkeys else None,
        "script": "passkey.js" if console.passkeys else None,
    }
    return page("login.html", **values) if error is None else refusal(error, "login.html", **values)


def _entered(console: Console, request: Request, fields: dict[str, str]) -> str:
    """The cookie of a new session; the one that the browser had before ends. Raises Unauthenticated."""
    if console.passkeys and "passkey" in fields:
        cookie = console.passkeys.log_in(fields["passkey"])
    else:
        handle, password, code = _handle(console, fields), fields.get("password", ""), fields.get("code", "")
        cookie = log_in(console.database, console.world, console.secret, handle, password, code)
    _left(console, request)
    return cookie


def _handle(console: Console, fields: dict[str, str]) -> str:
    """The account that a form names; none where a passkey will tell."""
    return "" if console.passkeys and "passkey" in fields else fields.get("handle", "").strip()


def _may_try(console: Console, request: Request, fields: dict[str, str]) -> Turns:
    """Where to wait for one's turn. Raises RateLimited: those who try too often must not keep others waiting."""
    if console.tries is None:
        return console.turns
    handle, device = _handle(console, fields), console.mark_of(request)
    console.tries.may_try(address_of(request), handle, device)
    return console.known_turns if console.tries.knows(handle, device) else console.turns


def _marked(console: Console, request: Request, fields: dict[str, str]) -> str | None:
    handle = _handle(console, fields)
    if console.tries is None or not handle:
        return None
    return console.tries.succeeded(address_of(request), handle, console.mark_of(request))


def _left(console: Console, request: Request) -> None:
    if (session := console.session_from(request)) is not None:
        end_session(console.database, session.handle, session.session_id)


def address_of(request: Request) -> str:
    """The address that a request is counted under."""
    return asking.address() or (request.client.host if request.client else "")
