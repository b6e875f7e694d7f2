"""A person's own account: where they are logged in, their password, their app, recovery codes and passkeys.

What changes how one logs in asks for the password again: a browser left open must not be enough to take an account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio.to_thread
import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federation.console.forms import read_form
from federation.console.pages import ACCOUNT, Console, page, refusal, to, to_login
from federation.errors import BadInput, FederationError, Unauthenticated
from federation.oauth import factors, sessions
from federation.oauth.accounts import change_password, check_password
from federation.oauth.passkeys import Passkeys
from federation.oauth.sessions import Session

DONE = {
    "ended": "The session is ended.",
    "others": "All your other sessions are ended.",
    "password": "Your password is changed, and your other sessions are ended.",
    "totp": "Your authenticator app is set up: from now on you log in with a code from it.",
    "no-totp": "Your authenticator app is removed.",
    "passkey": "Your passkey is added.",
    "no-passkey": "The passkey is removed.",
}
"""What the page says after a form was done; the address holds the key, never a text."""


@dataclass(frozen=True)
class Asked:
    """One form of the page: whose, and what was typed."""

    console: Console
    session: Session
    fields: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")

    @property
    def handle(self) -> str:
        return self.session.handle

    def end_others(self) -> None:
        """What was logged in without a factor must not go on beside it."""
        sessions.end_sessions(self.console.database, self.handle, keep=self.session.session_id)

    def passkeys(self) -> Passkeys:
        """The node's passkeys. Raises BadInput where it has none."""
        if self.console.passkeys is None:
            raise BadInput("This node takes no passkeys.")
        return self.console.passkeys


def account_routes(console: Console) -> list[Route]:
    """The page and its forms, each told by the field `do`."""

    async def show(request: Request) -> Response:
        session = await anyio.to_thread.run_sync(console.session_from, request)
        if session is None:
            return to_login(ACCOUNT)
        done = DONE.get(request.query_params.get("done", ""), "")
        return await anyio.to_thread.run_sync(lambda: page("account.html", **_overview(console, session), done=done))

    async def act(request: Request) -> Response:
        try:
            fields = await read_form(request, console.url)
            session = await anyio.to_thread.run_sync(console.session_from, request)
            if session is None:
                return to_login(ACCOUNT)
            asked = Asked(console, session, fields)
            if (free := FREE.get(asked["do"])) is not None:
                return await anyio.to_thread.run_sync(free, asked)
            if console.tries is not None:
                await anyio.to_thread.run_sync(console.tries.may_confirm, session.session_id)
            return await console.known_turns.run(_guarded, asked)
        except FederationError as error:
            return refusal(error)

    return [Route(ACCOUNT, show, methods=["GET"]), Route(ACCOUNT, act, methods=["POST"])]


def _overview(console: Console, session: Session) -> dict[str, Any]:
    passkeys = console.passkeys
    return {
        "session": session,
        "sessions": sessions.list_sessions(console.database, console.world, session.handle),
        "factors": factors.factors_of(console.database, session.handle),
        "passkeys": passkeys.listed(session.handle) if passkeys else [],
        "passkey": passkeys.adding_options(session.handle, session.session_id) if passkeys else None,
        "script": "passkey.js" if passkeys else None,
        "moment": _moment,
    }


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _done(key: str) -> Response:
    return to(f"{ACCOUNT}?done={key}")


# Forms that need no password


def _end(asked: Asked) -> Response:
    sessions.end_session(asked.console.database, asked.handle, asked["session"])
    return _done("ended")


def _end_others(asked: Asked) -> Response:
    asked.end_others()
    return _done("others")


def _confirm_totp(asked: Asked) -> Response:
    """The first code of a new app: only then it counts. It came with the password, sealed, a form before."""
    console = asked.console
    totp = factors.pending_secret(
        console.world, console.secret, asked.handle, asked.session.session_id, asked["sealed"]
    )
    try:
        factors.keep_totp(console.database, console.world, console.secret, asked.handle, totp, asked["code"])
    except BadInput as wrong:
        return _totp_page(asked, totp, asked["sealed"], wrong)
    asked.end_others()
    if factors.factors_of(console.database, asked.handle).recovery_codes:
        return _done("totp")
    return _new_codes(asked, DONE["totp"])


# Forms that ask for the password again


def _guarded(asked: Asked) -> Response:
    act = GUARDED.get(asked["do"])
    if act is None:
        raise BadInput("The form is malformed.")
    if check_password(asked.console.database, asked.handle, asked["password"]) is None:
        raise Unauthenticated("The password is not right; nothing was changed.")
    return act(asked)


def _password(asked: Asked) -> Response:
    if asked["new"] != asked["again"]:
        raise BadInput("The two new passwords differ; type them again.")
    change_password(asked.console.database, asked.handle, asked["new"], keep=asked.session.session_id)
    return _done("password")


def _new_totp(asked: Asked) -> Response:
    console = asked.console
    totp, sealed = factors.pending_totp(console.world, console.secret, asked.handle, asked.session.session_id)
    return _totp_page(asked, totp, sealed)


def _totp_page(asked: Asked, totp: str, sealed: str, error: FederationError | None = None) -> Response:
    uri = factors.setup_uri(totp, asked.handle, asked.console.name or asked.console.url)
    drawn = segno.make(uri, error="m").svg_inline(scale=5, border=4, svgclass=None, lineclass=None)
    values: dict[str, Any] = {
        "picture": Markup(drawn),  # noqa: S704 -- squares
        "groups": " ".join(totp[at : at + 4] for at in range(0, len(totp), 4)),
        "sealed": sealed,
    }
    return page("totp.html", **values) if error is None else refusal(error, "totp.html", **values)


def _no_totp(asked: Asked) -> Response:
    factors.remove_totp(asked.console.database, asked.handle)
    asked.end_others()
    return _done("no-totp")


def _new_codes(asked: Asked, done: str = "") -> Response:
    console = asked.console
    codes = factors.new_recovery_codes(console.database, console.world, console.secret, asked.handle)
    return page("codes.html", codes=codes, done=done)


def _add_passkey(asked: Asked) -> Response:
    asked.passkeys().add(asked.handle, asked.session.session_id, asked["name"], asked["passkey"])
    asked.end_others()
    if factors.factors_of(asked.console.database, asked.handle).recovery_codes:
        return _done("passkey")
    return _new_codes(asked, DONE["passkey"])


def _no_passkey(asked: Asked) -> Response:
    asked.passkeys().remove(asked.handle, asked["id"])
    asked.end_others()
    return _done("no-passkey")


FREE: Mapping[str, Callable[[Asked], Response]] = {
    "end": _end,
    "end-others": _end_others,
    "totp-code": _confirm_totp,
}
GUARDED: Mapping[str, Callable[[Asked], Response]] = {
    "password": _password,
    "totp": _new_totp,
    "no-totp": _no_totp,
    "codes": _new_codes,
    "passkey": _add_passkey,
    "no-passkey": _no_passkey,
}
"""The forms by what they do. Those of `FREE` take nothing away from how one logs in, or were begun with a password."""
