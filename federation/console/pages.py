"""What the pages of a node share: templates that escape whatever is put into them, headers, the session's cookie.

A page runs no script but those whose hash its policy names, asks nothing of another site, and is kept by nobody.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from federation.console.forms import Turns
from federation.errors import FederationError
from federation.limiting.logins import DEVICE_DAYS, LoginLimits
from federation.oauth.passkeys import Passkeys, possible
from federation.oauth.realm import Realm
from federation.oauth.sessions import Session, session_of
from federation.storage.database import Database
from federation.world import World

TEMPLATES = Path(__file__).parent / "templates"
LOGIN = "/console/login"
ACCOUNT = "/console/account"
MAX_NEXT = 2048
_NEXT = re.compile(r"/(oauth/authorize|console(/[a-z0-9-]+)*)(\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?")


@dataclass(frozen=True)
class Console:
    """What every page needs of its node. `tries` are asked before each try of a password or code; passwords are looked
    at in `turns`, of people and devices that are known in `known_turns`: strangers keep only strangers waiting."""

    database: Database
    world: World
    url: str
    name: str = ""
    secret: bytes = field(default=b"", repr=False)
    tries: LoginLimits | None = None
    turns: Turns = field(default_factory=Turns)
    known_turns: Turns = field(default_factory=Turns)
    passkeys: Passkeys | None = None

    @property
    def cookie_name(self) -> str:
        """With TLS a name that browsers take from this very host alone, with `Secure` and for every path. Without, on
        one machine, the port is in the name: browsers send a cookie to every port."""
        if self.url.startswith("https://"):
            return "__Host-session"
        return f"session-{urlsplit(self.url).port or 80}"

    @property
    def mark_name(self) -> str:
        """The cookie of a device that somebody has logged in from."""
        return self.cookie_name.replace("session", "device")

    def cookie_of(self, request: Request) -> str | None:
        """The session's cookie; None without, and where there are two, of which one was slipped in."""
        return _one_cookie(request, self.cookie_name)

    def mark_of(self, request: Request) -> str | None:
        """The device's mark; None as for the session's cookie."""
        return _one_cookie(request, self.mark_name)

    def with_mark(self, response: Response, mark: str) -> Response:
        """The response, which also marks the browser as one that an account was entered from."""
        response.set_cookie(
            self.mark_name,
            mark,
            max_age=DEVICE_DAYS * 86_400,
            path="/",
            secure=self.url.startswith("https://"),
            httponly=True,
            samesite="strict",
        )
        return response

    def session_from(self, request: Request) -> Session | None:
        """Who is logged in and asks; None if nobody is. It reads the database: call it in a thread."""
        cookie = self.cookie_of(request)
        return session_of(self.database, self.world, cookie) if cookie else None

    def with_session(self, response: Response, cookie: str | None) -> Response:
        """The response, which also gives the browser its cookie; with None it takes it away.

        `SameSite=Lax`: who is sent here by a dashboard to consent is found logged in, a form of another site is not."""
        response.set_cookie(
            self.cookie_name,
            cookie or "",
            max_age=None if cookie else 0,
            path="/",
            secure=self.url.startswith("https://"),
            httponly=True,
            samesite="lax",
        )
        return response


def _one_cookie(request: Request, wanted: str) -> str | None:
    found = [
        value.strip()
        for header in request.headers.getlist("cookie")
        for name, _, value in (pair.partition("=") for pair in header.split(";"))
        if name.strip() == wanted
    ]
    return found[0] if len(found) == 1 else None


def console_of(realm: Realm, name: str, tries: LoginLimits | None = None) -> Console:
    """The console of a node, whose name people see."""
    secret = realm.keys.secret
    passkeys = (
        Passkeys(realm.database, realm.world, realm.url, name, secret, realm.spent) if possible(realm.url) else None
    )
    return Console(realm.database, realm.world, realm.url, name, secret, tries, passkeys=passkeys)


def to_login(next_path: str) -> Response:
    """Sends somebody who is not logged in to the login page, and from there on to a page of this node."""
    return to(f"{LOGIN}?{urlencode({'next': checked_next(next_path)})}")


def to(path: str) -> Response:
    """Sends the browser to another page of this node, which it asks for with GET."""
    return RedirectResponse(path, 303, {"cache-control": "no-store"})


def checked_next(wanted: str) -> str:
    """Where to go after the login: the consent page or one of the console, never another site; else the account."""
    return wanted if len(wanted) <= MAX_NEXT and _NEXT.fullmatch(wanted) else ACCOUNT


def page(
    template: str,
    status: int = 200,
    *,
    script: str | None = None,
    form_targets: Sequence[str] = ("'self'",),
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page from a template in `templates/`, with at most one script, named there too.

    `form_targets` are the sources that its forms may lead to, also by redirects, which some browsers check too."""
    made, running = _environment().get_template(template), None if script is None else _text(script)
    text = made.render(style=_text("style.css"), script=running, **values)
    return HTMLResponse(text, status, page_headers(running, form_targets) | dict(headers or {}))


def refusal(error: FederationError, template: str = "refused.html", **values: Any) -> HTMLResponse:
    """A page that says what was refused, in the words of the error."""
    return page(template, error.status, headers=error.headers, alert=error.message, **values)


def page_headers(script: str | None = None, form_targets: Sequence[str] = ("'self'",)) -> dict[str, str]:
    """The headers of a page. The referrer stays within the node; with none at all browsers would hide the origin of a
    form too."""
    style = _source(_text("style.css"))
    allowed = f"script-src {_source(script)}; " if script else ""
    return {
        "content-security-policy": (
            f"default-src 'none'; {allowed}style-src {style}; form-action {' '.join(form_targets)}; "
            "base-uri 'none'; frame-ancestors 'none'"
        ),
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
    }


def _source(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@functools.cache
def _text(name: str) -> Markup:
    """A style or script of this package, which goes into pages as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 -- a file of this package


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
