"""GraphQL over HTTP: POST with JSON only; no GET, no batches, no page of its own. It must never decide who sees what.

Spec: GraphQL over HTTP (working draft): media types, statuses; a request that never ran is 4xx or 5xx for
`application/graphql-response+json` and 200 for `application/json`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from federation.edge import bounded_body
from federation.errors import BadInput, FederationError
from federation.policies.viewer import Viewer
from federation.schema.endpoint import GraphQLEndpoint
from federation.schema.problems import problem

RESPONSE_JSON = "application/graphql-response+json"
PLAIN_JSON = "application/json"
HEADERS = {"cache-control": "no-store", "vary": "Accept, Authorization, DPoP", "x-content-type-options": "nosniff"}


def graphql_app(
    endpoint: GraphQLEndpoint, authenticate: Callable[[Request], Viewer]
) -> Callable[[Request], Awaitable[Response]]:
    """A Starlette endpoint for `/graphql`.

    `authenticate` gives the viewer of a request; it raises FederationError, whose `headers` (a challenge) are sent
    along if it has any. What is cheap runs in the event loop where a reader is free: a viewer without a proof, then a
    plan. All else goes to a thread, once for both: a proof is written down before it counts, and writing may wait.
    """

    async def answer(request: Request) -> Response:
        media = chosen_media(request.headers.get("accept"))
        try:
            if request.method != "POST":
                return refusal(BadInput("GraphQL is asked with POST here."), media, 405, {"allow": "POST"})
            if media is None:
                return refusal(BadInput(f"Accept {RESPONSE_JSON} or {PLAIN_JSON}."), PLAIN_JSON, 406)
            if not is_json(request.headers.get("content-type")):
                return refusal(BadInput("Send the request as application/json in UTF-8."), media, 415)
            body = await bounded_body(request, endpoint.limits.body)
            if body is None:
                return refusal(BadInput("The request is larger than this node reads."), media, 413)
            run = partial(endpoint.execute, body=body, legacy=media == PLAIN_JSON)
            viewer = None if "dpop" in request.headers else endpoint.at_once(partial(authenticate, request))
            cheap = viewer is not None and endpoint.is_cheap(viewer, body)
            answered = endpoint.at_once(partial(run, viewer)) if cheap else None
            if answered is None:
                answered = await to_thread.run_sync(lambda: run(viewer or authenticate(request)))
        except FederationError as error:  # none comes from `execute`, which never raises
            return refusal(error, media or PLAIN_JSON, error.status)
        status, content_type, content = answered
        return Response(content, status, {**HEADERS, "content-type": content_type})

    return answer


def refusal(error: FederationError, media: str | None, status: int, headers: dict[str, str] | None = None) -> Response:
    """An answer to what is not a GraphQL request at all, or to a viewer who could not be known."""
    extra: dict[str, Any] = {**HEADERS, **(headers or {}), **error.headers}
    extra["content-type"] = f"{media or PLAIN_JSON}; charset=utf-8"
    return Response(orjson.dumps({"errors": [problem(error)]}), status, extra)


def is_json(content_type: str | None) -> bool:
    """Whether the body is declared as JSON in UTF-8 (which is the default)."""
    kind, _, parameters = (content_type or "").partition(";")
    if kind.strip().lower() != PLAIN_JSON:
        return False
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in ("utf-8", "utf8"):
            return False
    return True


def chosen_media(accept: str | None) -> str | None:
    """The media type to answer with: the caller's dearest of the two, JSON where it says nothing, or None."""
    if not accept or not accept.strip():
        return PLAIN_JSON
    best: tuple[float, str] | None = None
    for entry in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        media = {RESPONSE_JSON: RESPONSE_JSON, PLAIN_JSON: PLAIN_JSON, "*/*": PLAIN_JSON, "application/*": PLAIN_JSON}
        if kind in media and weight > 0 and (best is None or weight > best[0]):
            best = (weight, media[kind])
    return None if best is None else best[1]
