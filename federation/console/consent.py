"""The page on which a person decides what a program may do on their behalf.

It says who asks, where that leads, what each scope shows under the policy in force, and until when. Whoever comes with
a request that is not known stays here: nobody is ever sent to an address that was not registered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from federation.console.forms import read_form
from federation.console.pages import Console, page, refusal, to, to_login
from federation.errors import BadInput, FederationError, Unauthenticated
from federation.oauth.authorizing import Question, approve, deny, open_request, question
from federation.oauth.realm import AUTHORIZE_PATH, Realm
from federation.oauth.redirects import origin_of
from federation.oauth.sessions import Session
from federation.policies.decide import decide
from federation.policies.policy import Policy
from federation.policies.tiers import ACTION_SCOPES, HANDLING_LABELS
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.registry import RECORD_TYPES

CONSENT = "/console/consent"
_NAME = re.compile(r"[A-Za-z0-9_-]{43}")

ACTIONS: Mapping[str, str] = {
    "exchange": "pull records as another network's node does",
    "introduce": "ask for introductions",
    "visit": "take part in the planning of joint visits",
    "statistics": "read tables of counts",
    "records:write": "create, change, share and withdraw this network's own records",
    "policy:write": "change who may see what",
    "peers:write": "see and change which other networks this one is linked with",
    "audit:read": "read the ledger: who was shown what, and when",
}
"""What each action scope lets a program do, after the word `may`."""

TIERS: Mapping[str, str] = {
    "open": "what anybody may read",
    "community": "what any network in agreement with this one may read",
    "partner": "what only its close partners may read",
}
"""Whose view each tier of reading scopes is, from the widest to the narrowest."""


@dataclass(frozen=True)
class Reading:
    """What a program would read of one type: whose view that is, the fields as they are held and those that are given
    less exactly, each with how, and the marks that the records may bear."""

    type: str
    meaning: str
    tier: str
    exact: tuple[str, ...]
    coarser: tuple[str, ...]
    marks: tuple[str, ...]


def consent_routes(console: Console, realm: Realm, policy: Callable[[], Policy]) -> list[Route]:
    """Where programs send people, and the page to decide on. `policy` gives the policy in force."""

    async def authorize(request: Request) -> Response:
        if request.method != "GET":  # HEAD comes with GET, and must not use a request up
            return Response(status_code=405, headers={"allow": "GET"})
        try:
            name = await anyio.to_thread.run_sync(_opened, realm, request)
        except FederationError as error:
            return refusal(error)
        return to(f"{CONSENT}?asked={name}")

    async def show(request: Request) -> Response:
        asked = request.query_params.get("asked", "")
        try:
            return await anyio.to_thread.run_sync(_page, console, realm, policy(), request, _checked(asked))
        except Unauthenticated:
            return to_login(f"{CONSENT}?asked={quote(asked, safe='')}")
        except FederationError as error:
            return refusal(error)

    async def decided(request: Request) -> Response:
        try:
            fields = await read_form(request, console.url)
            address = await anyio.to_thread.run_sync(_answered, console, realm, request, fields)
        except FederationError as error:
            return refusal(error)
        return RedirectResponse(address, 303, {"cache-control": "no-store"})

    return [
        Route(AUTHORIZE_PATH, authorize, methods=["GET"]),
        Route(CONSENT, show, methods=["GET"]),
        Route(CONSENT, decided, methods=["POST"]),
    ]


def _opened(realm: Realm, request: Request) -> str:
    asked = {name: request.query_params.getlist(name) for name in ("client_id", "request_uri")}
    if any(len(values) != 1 for values in asked.values()):
        raise BadInput(
            "A program sends people here with its client_id and the request_uri of a request that it pushed."
        )
    return open_request(realm, asked["client_id"][0], asked["request_uri"][0])


def _checked(asked: str) -> str:
    if not _NAME.fullmatch(asked):
        raise BadInput("This address is not whole. Go back to the program and begin again.")
    return asked


def _who(console: Console, request: Request) -> Session:
    session = console.session_from(request)
    if session is None:
        raise Unauthenticated("You are not logged in any more. Go back to the program and begin again.")
    return session


def _page(console: Console, realm: Realm, policy: Policy, request: Request, asked: str) -> Response:
    session = _who(console, request)
    put = question(realm, asked)
    given = put.offer(session.viewer, realm.scopes)
    return page(
        "consent.html",
        form_targets=("'self'", origin_of(put.wish.terms.redirect_uri)),
        asked=asked,
        action=CONSENT,
        node=console.name or console.url,
        account=session.handle,
        given=" ".join(sorted(given)),
        client=put.client,
        leads_to=origin_of(put.wish.terms.redirect_uri),
        until=datetime.fromtimestamp(put.ends, UTC).date().isoformat(),
        readings=readings(policy, put, given),
        actions=[ACTIONS[scope] for scope in sorted(given & ACTION_SCOPES)],
        withheld=sorted(put.wish.scopes - given),
    )


def readings(policy: Policy, put: Question, given: frozenset[str]) -> list[Reading]:
    """What the scopes would show of each type under the policy, as the program itself would see it."""
    viewer = Viewer(ViewerKind.CLIENT, put.client.client_id, given)
    found = []
    for key, kind in RECORD_TYPES.items():
        named = [tier for tier in TIERS if f"{key}:{tier}" in given]
        if not named:
            continue
        seen = decide(policy, viewer, key)
        steps = [(name.replace("_", " "), step) for name, step in seen.steps.items()]
        found.append(
            Reading(
                type=re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.graphql),
                meaning=kind.meaning,
                tier=TIERS[named[-1]],
                exact=tuple(name for name, step in steps if step == "exact"),
                coarser=tuple(f"{name} ({step.replace('_', ' ')})" for name, step in steps if step != "exact"),
                marks=() if seen.clearance is None else HANDLING_LABELS[: seen.clearance + 1],
            )
        )
    return found


def _answered(console: Console, realm: Realm, request: Request, fields: Mapping[str, str]) -> str:
    session, asked = _who(console, request), _checked(fields.get("asked", ""))
    if fields.get("decision") == "allow":
        question(realm, asked)
        if fields.get("account") != session.handle:  # another has logged in meanwhile, who was shown nothing
            raise BadInput("You are logged in as somebody else than when you were asked. Go back and begin again.")
        shown = frozenset(fields.get("given", "").split())
        return approve(realm, asked, session.viewer, session_id=session.session_id, shown=shown)
    if fields.get("decision") == "deny":
        return deny(realm, asked)
    raise BadInput("The form is malformed.")
