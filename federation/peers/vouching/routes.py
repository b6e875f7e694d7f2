"""The web edge of vouching: what the node says of itself to everybody, and to peers alone the rest (OpenID Federation
1.0, section 8). Whoever is no verified peer gets one and the same refusal, whatever it asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federation.edge import bounded_body
from federation.errors import FederationError, NotFound, Unauthenticated
from federation.peers.agreements import EXCHANGE, Partner, partner_by_issuer
from federation.peers.routes import Authenticate
from federation.peers.vouching import store
from federation.peers.vouching.chains import RESOLVED, Chain, read_chain, resolve_response, validate
from federation.peers.vouching.entity import (
    CONFIGURATION_PATH,
    FETCH_PATH,
    LIST_PATH,
    RESOLVE_PATH,
    TRUST_PATH,
    Entity,
)
from federation.peers.vouching.marks import Federation, holding
from federation.peers.vouching.statements import MEDIA_TYPE
from federation.policies.viewer import Viewer, ViewerKind

MAX_FORM = 8_192
MAX_FIELDS = 32
AT_ONCE = 4

Form = dict[str, list[str]]
Answering = Callable[[Entity, Partner, Form], tuple[bytes, str]]
"""What a peer is answered, and of which media type."""


class TrustRefused(FederationError):
    """A refusal in the words of the specification (section 8.9): `error` is its code."""

    status = 400

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


def trust_routes(entity: Entity, authenticate: Authenticate) -> list[Route]:
    """The routes of vouching. The work is done in threads, four at once."""
    working = anyio.CapacityLimiter(AT_ONCE)

    def answering(answer: Answering) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                viewer = await anyio.to_thread.run_sync(authenticate, request)
                who = await anyio.to_thread.run_sync(_peer, entity, viewer)
                form = _form(request, await bounded_body(request, MAX_FORM))
                async with working:
                    body, kind = await anyio.to_thread.run_sync(answer, entity, who, form)
            except FederationError as error:
                return refusal(error)
            return Response(body, media_type=kind, headers={"cache-control": "no-store"})

        return endpoint

    async def configuration(request: Request) -> Response:
        del request
        said = await anyio.to_thread.run_sync(lambda: entity.configuration(whole=False))
        return Response(said, media_type=MEDIA_TYPE, headers={"cache-control": "public, max-age=300"})

    return [
        Route(CONFIGURATION_PATH, configuration, methods=["GET"]),
        Route(TRUST_PATH, answering(hand_over), methods=["POST"]),
        Route(FETCH_PATH, answering(fetch), methods=["POST"]),
        Route(LIST_PATH, answering(listing), methods=["POST"]),
        Route(RESOLVE_PATH, answering(resolve), methods=["POST"]),
    ]


def _peer(entity: Entity, viewer: Viewer) -> Partner:
    """The verified peer that asks. Raises Unauthenticated for everybody else, peers in no good standing too."""
    if viewer.kind is ViewerKind.PEER and EXCHANGE in viewer.scopes:
        with entity.database.read() as connection:
            who = partner_by_issuer(connection, viewer.subject)
        if who is not None and who.asked:
            return who
    raise Unauthenticated("This is for verified peers with a token for the exchange.")


def _form(request: Request, body: bytes | None) -> Form:
    if body is None:
        raise TrustRefused("invalid_request", f"A form may have {MAX_FORM} bytes.")
    if request.url.query:
        raise TrustRefused("invalid_request", "Parameters belong into the body.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise TrustRefused("invalid_request", "The form is malformed or has too many fields.") from None
    form: Form = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return form


def _one(form: Form, name: str) -> str:
    values = form.get(name, [])
    if len(values) != 1 or not values[0]:
        raise TrustRefused("invalid_request", f"`{name}` has to be given once.")
    return values[0]


def hand_over(entity: Entity, who: Partner, form: Form) -> tuple[bytes, str]:
    """This node's chains, its statement about the peer, and the peer's marks."""
    del form
    return orjson.dumps(entity.answer(who)), "application/json"


def fetch(entity: Entity, who: Partner, form: Form) -> tuple[bytes, str]:
    """The statement about one subordinate (section 8.1)."""
    del who
    subject = _one(form, "sub")
    if subject == entity.me.issuer:
        raise TrustRefused("invalid_request", "A node makes no statement about itself here.")
    statement = entity.statement_about(subject)
    if statement is None:
        raise NotFound("No statement about this node is given here.")
    return statement.encode(), MEDIA_TYPE


def listing(entity: Entity, who: Partner, form: Form) -> tuple[bytes, str]:
    """The subordinates (section 8.2); no filter is known."""
    del who
    if unknown := form.keys() & {"entity_type", "trust_marked", "trust_mark_type", "intermediate"}:
        raise TrustRefused("unsupported_parameter", f"The filter `{min(unknown)}` is not known here.")
    return orjson.dumps(sorted(entity.subordinates())), "application/json"


def resolve(entity: Entity, who: Partner, form: Form) -> tuple[bytes, str]:
    """What is found out about this node or one of its subordinates under an anchor (section 8.3): of others, also of
    peers, nothing is told, nor which anchors are pinned here. Any of the anchors named will do."""
    subject, named = _one(form, "sub"), set(form.get("trust_anchor", []))
    anchors = {issuer: pinned for issuer, pinned in entity.anchors().items() if issuer in named}
    if not named:
        raise TrustRefused("invalid_request", "`trust_anchor` has to be given.")
    chain = min(_chains(entity, subject, anchors), key=lambda each: len(each.path), default=None)
    if chain is None:
        raise NotFound("Nothing is known of this node under this anchor.")
    now = entity.world.timestamp()
    root, marks = chain.statements[-1], chain.statements[0].claims.get("trust_marks", [])
    held = holding(marks, subject, Federation(chain.anchor, root.claims, chain.keys_of), now)
    told = resolve_response(
        entity.me.keys.peer,
        entity.me.issuer,
        chain,
        now,
        audience=who.issuer,
        types=form.get("entity_type", []),
        marks=[{"trust_mark_type": mark.type, "trust_mark": mark.token} for mark in held],
    )
    return told.encode(), f"application/{RESOLVED}"


def _chains(entity: Entity, subject: str, anchors: dict[str, frozenset[str]]) -> list[Chain]:
    """The chains of this node or of a subordinate that hold up to one of these anchors."""
    tokens: list[Any] = []
    if subject == entity.me.issuer:
        tokens = list(entity.chains())
    elif (found := entity.subordinates().get(subject)) is not None:
        tokens = store.answer_of(entity.database, found[0].pid).body.get("chains", [])
    chains = []
    for each in tokens:
        try:
            chains.append(validate(read_chain(each), anchors, entity.world.timestamp()))
        except FederationError:
            continue
    return chains


def refusal(error: FederationError) -> Response:
    """An error as the specification has it: `error` and `error_description`."""
    known = {401: "invalid_client", 404: "not_found", 429: "temporarily_unavailable", 503: "temporarily_unavailable"}
    code = error.error if isinstance(error, TrustRefused) else known.get(error.status, "invalid_request")
    headers = {"cache-control": "no-store"} | dict(error.headers)
    body = orjson.dumps({"error": code, "error_description": error.message})
    return Response(body, error.status, headers, "application/json")
