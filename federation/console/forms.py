"""Forms that people send: bounded, each field once, and only from this node's own pages.

There is no token in a form. The browser says where a form comes from (`Origin`, Fetch Metadata), which no page of
another site can change, and the session's cookie is not sent with forms of other sites (`SameSite`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
from starlette.requests import Request

from federation.edge import bounded_body
from federation.errors import BadInput, RateLimited

MAX_BYTES = 32_768
"""Room for the longest password, typed twice, in any script."""
MAX_FIELDS = 16
FORM = "application/x-www-form-urlencoded"
MOST_WAITING = 16
BUSY_SECONDS = 5
"""After which most of those who wait have had their turn."""


async def read_form(
    request: Request, url: str, *, max_bytes: int = MAX_BYTES, max_fields: int = MAX_FIELDS
) -> dict[str, str]:
    """The fields of a form of this node, whose configured address is `url`. Raises BadInput for a form that was sent
    from elsewhere, is too long, malformed, or names a field twice."""
    check_source(request, url)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise BadInput(f"A form is sent as {FORM}.")
    body = await bounded_body(request, max_bytes)
    if body is None:
        raise BadInput("The form is too long.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=max_fields,
        )
    except ValueError as broken:
        raise BadInput("The form is malformed.") from broken
    fields = dict(pairs)
    if len(fields) != len(pairs) or any("\0" in value for value in fields.values()):
        raise BadInput("The form is malformed.")
    return fields


def check_source(request: Request, url: str) -> None:
    """A form counts only if the browser says that it comes from this node's own page. Raises BadInput; without an
    `Origin` too. Browsers that do not send Fetch Metadata do send that."""
    told = {
        "origin": (url,),
        "sec-fetch-site": ("same-origin", None),
        "sec-fetch-mode": ("navigate", "same-origin", None),
        "sec-fetch-dest": ("document", None),
    }
    for name, good in told.items():
        values = request.headers.getlist(name)
        if len(values) > 1 or (values[0] if values else None) not in good:
            raise BadInput(
                f"The form was not sent from this node's own page. Open it at {url}{request.url.path} instead."
            )


class Turns:
    """Costly work, one piece at a time in a thread, while a few wait: hashing a password is slow on purpose, and
    strangers must not make a node busy with it."""

    def __init__(self, at_once: int = 1, waiting: int = MOST_WAITING) -> None:
        self._limiter = anyio.CapacityLimiter(at_once)
        self._most = at_once + waiting
        self._inside = 0

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """What `work` gives. Raises RateLimited where too many wait already."""
        if self._inside >= self._most:
            raise RateLimited(
                f"Too many people are logging in at this moment; try again in {BUSY_SECONDS} seconds.",
                seconds=BUSY_SECONDS,
            )
        self._inside += 1
        try:
            return await anyio.to_thread.run_sync(work, *arguments, limiter=self._limiter)
        finally:
            self._inside -= 1
