"""The one page that a new node needs: the first steward sets a password with the link that `serve` prints.

The link's code rides in the fragment, which no browser sends and no server logs; the page moves it into the form.
Without script the code is typed or pasted. Nothing of it is kept or logged.
"""

from __future__ import annotations

import base64
import hashlib
import html
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from federation.edge import bounded_body
from federation.errors import BadInput, FederationError
from federation.oauth.accounts import redeem_link
from federation.storage.database import Database
from federation.world import World

PATH = "/console/setup"
MAX_BYTES = 4096
AT_ONCE = 1

_SCRIPT = (
    'if(location.hash.length>1){document.getElementById("code").value=location.hash.slice(1);'
    'history.replaceState(null,"",location.pathname)}'
)
_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:2rem auto;padding:0 1rem}"
    "label{display:block;margin:1rem 0 .3rem}input,button{font:inherit;padding:.5rem;width:100%;box-sizing:border-box}"
    "button{margin-top:1.5rem}[role=alert]{border-inline-start:.3rem solid #b00;padding-inline-start:.7rem}"
)


def _source(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; script-src {_source(_SCRIPT)}; style-src {_source(_STYLE)}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

_FORM = """<p>Choose the password of this network's first steward: at least 12 characters, and used nowhere else.</p>
<form method="post" action="/console/setup" autocomplete="off">
<label for="code">Code of the setup link (what follows the # in it)</label>
<input id="code" name="code" required maxlength="200" spellcheck="false">
<label for="password">Password</label>
<input id="password" name="password" type="password" required minlength="12" autocomplete="new-password">
<label for="again">The same again</label>
<input id="again" name="again" type="password" required minlength="12" autocomplete="new-password">
<button>Set the password</button>
</form>
<script>{script}</script>"""


def setup_routes(database: Database, world: World, url: str) -> list[Route]:
    """The page and its form. `url` is the node's configured address: a form sent from elsewhere is refused."""
    turns = anyio.CapacityLimiter(AT_ONCE)

    async def page(request: Request) -> Response:
        del request
        return _page("Set up this node", _FORM.format(script=_SCRIPT))

    async def form(request: Request) -> Response:
        try:
            _check_origin(request, url)
            fields = _fields(await _body(request))
            if fields.get("password") != fields.get("again"):
                raise BadInput("The two passwords differ; type them again.")
            async with turns:  # hashing a password is costly on purpose; strangers must not make the node busy with it
                handle = await anyio.to_thread.run_sync(
                    redeem_link, database, world, fields.get("code", "").strip().removeprefix("#"), fields["password"]
                )
        except FederationError as error:
            said = f'<p role="alert">{html.escape(error.message)}</p>'
            return _page("Not set up yet", said + _FORM.format(script=_SCRIPT), error.status)
        return _page("Done", f"<p>The account <b>{html.escape(handle)}</b> has its password. The link is used up.</p>")

    return [Route(PATH, page, methods=["GET"]), Route(PATH, form, methods=["POST"])]


def _check_origin(request: Request, url: str) -> None:
    """A form counts only if the browser says that it comes from this node's own page."""
    if request.headers.get("origin") != url or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise BadInput(f"The form was not sent from this node's own page. Open it at {url}{PATH} instead.")


async def _body(request: Request) -> bytes:
    body = await bounded_body(request, MAX_BYTES)
    if body is None:
        raise BadInput("The form is too long.")
    return body


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=8)
    except ValueError as broken:
        raise BadInput("The form is malformed.") from broken
    return {"password": "", **dict(pairs)}


def _page(title: str, content: str, status: int = 200) -> Response:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1>{content}</main></body></html>"
    )
    return HTMLResponse(text, status, HEADERS)
