"""The page on which the owner of an account sets its password with a one-time link: the first steward's is printed by
`serve`.

The link's code rides in the fragment, which no browser sends and no server logs; the page moves it into the form.
Without script the code is typed or pasted. Nothing of it is kept or logged.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federation.console.forms import read_form
from federation.console.pages import Console, page, refusal
from federation.errors import BadInput, FederationError
from federation.oauth.accounts import SETUP_PATH, redeem_link

PATH = SETUP_PATH


def setup_routes(console: Console) -> list[Route]:
    """The page and its form."""

    async def show(request: Request) -> Response:
        del request
        return _page("Set up your account")

    async def redeem(request: Request) -> Response:
        try:
            fields = await read_form(request, console.url)
            if fields.get("password") != fields.get("again"):
                raise BadInput("The two passwords differ. Open the link again and type the same twice.")
            code = fields.get("code", "").strip().removeprefix("#")
            handle = await console.turns.run(
                redeem_link, console.database, console.world, code, fields.get("password", "")
            )
        except FederationError as error:
            return _page("Not set up yet", error)
        return page("setup.html", heading="Done", handle=handle)

    return [Route(PATH, show, methods=["GET"]), Route(PATH, redeem, methods=["POST"])]


def _page(heading: str, error: FederationError | None = None) -> Response:
    values: dict[str, Any] = {"script": "setup.js", "heading": heading, "handle": None}
    return page("setup.html", **values) if error is None else refusal(error, "setup.html", **values)
