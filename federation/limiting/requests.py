"""Limits of requests, put around an application: by address before anybody is known, by viewer afterwards.

It answers what is too much, and says on every other answer how its caller stands. It must never tell one caller how
another stands, but for those who share an address.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from anyio import to_thread
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from federation.errors import RateLimited
from federation.limiting.asking import Asking, Standing, asked
from federation.limiting.counting import HOUR, MINUTE, Allowance, Counter, allow

T = TypeVar("T")
FLOOD = 10
"""So many times the allowed failures, and credentials from an address are not looked at any more."""


@dataclass(frozen=True)
class Allowances:
    """What is allowed: requests a minute of an address that is nobody, of a client, of a peer; from an address, a
    minute, credentials that are not accepted, and an hour, codes that are wrong. A process that counts for itself
    beside others has its share of what is counted by the minute."""

    anonymous: int
    client: int
    peer: int
    failures: int
    guesses: int
    processes: int = 1

    def shared(self, name: str, count: int) -> Allowance:
        """The share of this process."""
        return allow(name, (-(-count // self.processes), MINUTE))


@dataclass(frozen=True)
class Places:
    """Which addresses are counted how. `known`, and all that begins with `exchange`: who asks there may show a token,
    and is counted by that; `guessed`: a code is tried there; `uncounted`: none is, by how it begins."""

    known: str
    guessed: frozenset[str]
    exchange: str = "/exchange/"
    oauth: str = "/oauth/"
    uncounted: str = "/health/"

    def takes_tokens(self, path: str) -> bool:
        """Whether a token may be shown there."""
        return path == self.known or path.startswith(self.exchange)

    def tells(self, path: str) -> bool:
        """Whether answers say how their caller stands. A public document may be kept for others, whom that does not
        concern."""
        return self.takes_tokens(path) or path.startswith(self.oauth)


@dataclass
class RequestLimits:
    """The counts of one node. `requests` counts what every request costs, `guesses` outlives the process."""

    allowances: Allowances
    requests: Counter
    guesses: Counter
    anonymous: Allowance = field(init=False)
    failures: Allowance = field(init=False)
    flood: Allowance = field(init=False)
    codes: Allowance = field(init=False)
    viewers: dict[str, Allowance] = field(init=False)

    def __post_init__(self) -> None:
        given = self.allowances
        self.anonymous = given.shared("anonymous", given.anonymous)
        self.failures = given.shared("failures", given.failures)
        self.flood = given.shared("failures", given.failures * FLOOD)
        self.codes = allow("guesses", (given.guesses, HOUR))
        self.viewers = {"client": given.shared("client", given.client), "peer": given.shared("peer", given.peer)}

    def count_viewer(self, kind: str, subject: str) -> Standing | None:
        """Counts a viewer; None for one without a name, whose address was counted."""
        if kind == "anonymous":
            return None
        return self.requests.take(self.viewers.get(kind, self.viewers["client"]), kind, subject)

    def count_failure(self, address: str, expected: bool = False) -> Standing | None:
        """Counts credentials that were not accepted; how the address stands with these."""
        flood = self.requests.take(self.flood, "flood", address)
        return None if expected and flood.allowed else self.requests.take(self.failures, address)


class Limited:
    """The application with its limits. `caller` finds the address of a connection (see `addresses`), `refuse` makes the
    answer to what is too much, in the form that the path asked for has its errors in."""

    def __init__(
        self,
        app: ASGIApp,
        limits: RequestLimits,
        places: Places,
        caller: Callable[[Scope], str],
        refuse: Callable[[Scope, RateLimited], Response],
    ) -> None:
        self._app = app
        self._limits = limits
        self._places = places
        self._caller = caller
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"].startswith(self._places.uncounted):
            await self._app(scope, receive, send)
            return
        asking = Asking(self._caller(scope), self._limits.count_viewer, self._limits.count_failure)
        if scope["type"] == "websocket":  # who asks is in its first message: whoever reads that counts them
            with asked(asking):
                await self._app(scope, receive, send)
            return
        path = scope["path"]
        by_token = self._places.takes_tokens(path) and any(name == b"authorization" for name, _ in scope["headers"])
        guessed = path in self._places.guessed and scope["method"] == "POST"
        told = self._places.tells(path)
        refused = await self._before(scope, asking, by_token, guessed)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._after(scope, asking, message["status"], by_token, guessed)
                if asking.standing is not None and (told or message["status"] == RateLimited.status):
                    message["headers"] = [*message["headers"], *asking.standing.headers]
            await send(message)

        if refused is not None:
            asking.counted = True
            await self._refuse(scope, refused)(scope, receive, sent)
            return
        with asked(asking):
            await self._app(scope, receive, sent)

    async def _before(self, scope: Scope, asking: Asking, by_token: bool, guessed: bool) -> RateLimited | None:
        limits, where = self._limits, asking.address
        oauth = scope["path"].startswith(self._places.oauth)
        try:
            if by_token or oauth:
                (await _run(limits.requests, lambda: limits.requests.look(limits.flood, "flood", where))).check()
            if guessed:
                (await _run(limits.guesses, lambda: limits.guesses.look(limits.codes, where))).check()
            if not by_token:
                key = ("oauth", where) if oauth else (where,)
                asking.standing = await _run(limits.requests, lambda: limits.requests.take(limits.anonymous, *key))
                asking.standing.check()
        except RateLimited as refused:
            return refused
        return None

    async def _after(self, scope: Scope, asking: Asking, status: int, by_token: bool, guessed: bool) -> None:
        """Counts what only the answer tells: a wrong code, credentials that were refused or that nobody came to see."""
        limits, where = self._limits, asking.address
        if guessed and status >= 400 and not asking.counted:
            await _run(limits.guesses, lambda: limits.guesses.take(limits.codes, where))
        unseen = by_token and not asking.counted
        if unseen or (status == 401 and not asking.counted and scope["path"].startswith(self._places.oauth)):
            await _run(limits.requests, lambda: limits.count_failure(where, False))


async def _run(counter: Counter, ask: Callable[[], T]) -> T:
    return await to_thread.run_sync(ask) if counter.waits else ask()
