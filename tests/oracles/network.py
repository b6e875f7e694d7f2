"""The network of a test: every node's real web application, called in this process; what goes over it is kept.

Callers are the project's own OAuth client, so that every request carries a real token and proof.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import anyio
import orjson
import zstandard
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.applications import Starlette

from federation.keys import NodeKeys, generate_keys, sign, signing_key
from federation.oauth.client import PeerSession
from federation.oauth.clients import add_client
from federation.outbound import Response, StreamedResponse
from federation.peers import agreements, trust
from federation.policies.tiers import Tier
from federation.records.registry import catalogue
from oracles.worlds import Clock, world_of


@dataclass(frozen=True)
class Said:
    """One whole answer. `headers` in their order, as raw pairs."""

    method: str
    url: str
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    asked: bytes = b""

    @property
    def whole(self) -> bytes:
        """Everything that the caller gets."""
        lines = b"".join(name + b": " + value + b"\n" for name, value in self.headers)
        return str(self.status).encode() + b"\n" + lines + b"\n" + self.body

    @property
    def told(self) -> bytes:
        """The same with the body unpacked, to be looked through."""
        return self.whole.removesuffix(self.body) + self.unpacked

    @property
    def unpacked(self) -> bytes:
        """The body without its compression."""
        if dict(self.headers).get(b"content-encoding") != b"zstd":
            return self.body
        return zstandard.ZstdDecompressor().decompressobj().decompress(self.body)

    def json(self) -> Any:
        return orjson.loads(self.unpacked)

    def lines(self) -> list[Any]:
        return [orjson.loads(line) for line in self.unpacked.splitlines()]


class Network:
    """Applications by address. `said` keeps every answer of the session's callers, in order."""

    def __init__(self) -> None:
        self.apps: dict[str, Starlette] = {}
        self.said: list[Said] = []
        self._entered = start_blocking_portal()
        self._portal: BlockingPortal = self._entered.__enter__()

    def close(self) -> None:
        self._entered.__exit__(None, None, None)

    def call(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> Said:
        """One request to the node at an address."""
        base = "/".join(url.split("/")[:3])
        path, _, query = url.removeprefix(base).partition("?")
        answer = self._portal.call(
            _ask, self.apps[base], method, path or "/", query, dict(headers or {}), content or b""
        )
        said = Said(method, url, *answer, content or b"")
        self.said.append(said)
        return said

    # What the OAuth client needs of the outbound client

    def request(
        self, method: str, url: str, *, headers: Any = None, content: bytes | None = None, **caps: Any
    ) -> Response:
        said = self.call(method, url, headers, content)
        return Response(said.status, _by_name(said), said.body)

    @contextlib.contextmanager
    def stream(
        self, method: str, url: str, *, headers: Any = None, content: bytes | None = None, **caps: Any
    ) -> Iterator[StreamedResponse]:
        said = self.call(method, url, headers, content)
        yield StreamedResponse(said.status, _by_name(said), iter([said.body]))


def _by_name(said: Said) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in said.headers}


async def _ask(
    app: Starlette, method: str, path: str, query: str, headers: dict[str, str], content: bytes
) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes]:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"node.example"), *raw], "client": ("192.0.2.1", 1), "server": ("node.example", 443),
    }  # fmt: skip
    sent: list[dict[str, Any]] = []
    asked = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive() -> dict[str, Any]:
        message = next(asked, None)
        if message is None:  # the caller stays on the line
            await anyio.sleep_forever()
            raise AssertionError
        return message

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with contextlib.suppress(_Broken):
        await _run(app, scope, receive, send)
    start = next(each for each in sent if each["type"] == "http.response.start")
    body = b"".join(each.get("body", b"") for each in sent if each["type"] == "http.response.body")
    return start["status"], tuple(start["headers"]), body


class _Broken(Exception):
    """What Starlette raises again after it has answered."""


async def _run(app: Starlette, scope: Any, receive: Any, send: Any) -> None:
    try:
        await app(scope, receive, send)
    except Exception as broken:
        raise _Broken from broken


# Callers

SCOPES_NAMED = re.compile(r'error="insufficient_scope".*?\bscope="([^"]+)"')


class Caller(Protocol):
    """Somebody who asks a node, in one fixed way of authenticating."""

    def post(self, path: str, content: bytes, **headers: str) -> Said: ...


@dataclass
class Open:
    """A caller with a Bearer token, or with nothing."""

    network: Network
    url: str
    token: str | None = None

    def post(self, path: str, content: bytes, **headers: str) -> Said:
        sent = {"content-type": "application/json", **headers}
        if self.token is not None:
            sent["authorization"] = f"Bearer {self.token}"
        return self.network.call("POST", self.url + path, sent, content)


@dataclass
class Bound:
    """A caller with a token bound to its key: a client or a peer. `scopes` are those that it asks for; in the exchange
    it asks for what the node says that it granted."""

    network: Network
    url: str
    session: PeerSession
    scopes: frozenset[str]
    granted: frozenset[str] = frozenset({agreements.EXCHANGE})

    def post(self, path: str, content: bytes, **headers: str) -> Said:
        if path == "/graphql":
            return self._post(path, self.scopes, content, headers)
        said = self._post(path, self.granted, content, headers)
        named = SCOPES_NAMED.search(dict(said.headers).get(b"www-authenticate", b"").decode())
        if said.status != 403 or named is None:
            return said
        self.granted = frozenset(named[1].split())
        return self._post(path, self.granted, content, headers)

    def _post(self, path: str, scopes: frozenset[str], content: bytes, headers: Mapping[str, str]) -> Said:
        sent = {"content-type": "application/json", **headers}
        before = len(self.network.said)
        with contextlib.suppress(Exception):
            self.session.request(self.url, scopes, "POST", path, headers=sent, content=content, max_bytes=1 << 26)
        assert len(self.network.said) > before, "nothing was asked"
        return self.network.said[-1]


def scopes_of(tiers: Mapping[str, Tier]) -> frozenset[str]:
    """The scope that opens the tier of each type."""
    return frozenset(f"{key}:{tier.label}" for key, tier in tiers.items())


def client_of(network: Network, node: Any, name: str, scopes: frozenset[str]) -> Bound:
    """A program registered at a node."""
    made = add_client(node.database, node.world, name, scopes, node.scopes)
    session = PeerSession(network, signing_key(made.private_jwk, True), made.client_id, node.world)  # type: ignore[arg-type]
    return Bound(network, node.settings.url, session, scopes)


@dataclass
class Light:
    """Another node, as far as asking and being linked goes: keys and an address, no database."""

    name: str
    network: Network
    clock: Clock

    def __post_init__(self) -> None:
        self.issuer = f"https://{self.name}.example"
        world = world_of(self.name, self.clock)
        self.keys: NodeKeys = generate_keys(world, self.name)
        self.session = PeerSession(self.network, self.keys.peer, self.issuer, world)  # type: ignore[arg-type]

    def join(self, node: Any) -> Said:
        """Takes up an invitation of the node."""
        invited = trust.read_invitation(trust.invite(node.database, node.world, node.me))
        me = trust.Self(self.name, self.issuer, self.keys)
        said = trust._presentation(me, node.world, node.settings.url, invited.code)  # what `accept` sends, no more
        token = sign(self.keys.peer, {"typ": "federation-join+jwt"}, said)
        return self.network.call(
            "POST", node.settings.url + trust.JOIN_PATH, {"content-type": "application/jwt"}, token.encode()
        )

    def caller(self, node: Any, scopes: frozenset[str]) -> Bound:
        return Bound(self.network, node.settings.url, self.session, scopes)


def agree(
    node: Any,
    name: str,
    scopes: Iterable[str],
    *,
    verified: bool = True,
    affiliation: str | None = "none",
    narrowing: Mapping[tuple[str, str], str | None] | None = None,
    until: date = date(2028, 1, 1),
) -> None:
    """An agreement with a linked peer."""
    if verified:
        agreements.mark_verified(node.database, agreements.partner(node.database, name))
    agreements.describe(node.database, name, affiliation, "KE")
    agreements.grant(node.database, node.world, catalogue(), name, scopes, "coordination", until, narrowing)


def reconcile(caller: Caller, run: str = "a") -> list[Said]:
    """All answers of a whole reconcile."""
    answers = []
    asked: dict[str, Any] = {"run": hashlib.sha256(run.encode()).hexdigest()[:32]}
    for _ in range(50):
        said = caller.post("/exchange/reconcile", orjson.dumps(asked))
        answers.append(said)
        if said.status != 200:
            return answers
        lines = said.lines()
        for line in lines:
            if line["k"] == "start":
                asked |= {"incarnation": line["n"], "epoch": line["e"]}
            if line["k"] == "check":
                asked |= {"type": line["t"], "after": line["to"]} if line["to"] else _next_type(line["t"])
        if not lines[-1]["more"]:
            return answers
    raise AssertionError("the reconcile does not end")


def _next_type(kind: str) -> dict[str, Any]:
    from federation.records.registry import RECORD_TYPES

    order = list(RECORD_TYPES)
    at = order.index(kind) + 1
    return {"type": order[at] if at < len(order) else "~", "after": None}


def standing(answers: list[Said]) -> dict[str, Any]:
    """Where a caller stands after a reconcile: incarnation, epoch and cursor for `changes`."""
    start = next(line for said in answers for line in said.lines() if line["k"] == "start")
    return {"incarnation": start["n"], "epoch": start["e"], "cursor": start["c"]}


def changes(caller: Caller, at: dict[str, Any]) -> list[Said]:
    """All answers of pulling from somewhere; `at` moves on."""
    answers = []
    for _ in range(50):
        said = caller.post("/exchange/changes", orjson.dumps(at))
        answers.append(said)
        if said.status != 200:
            return answers
        end = said.lines()[-1]
        at["cursor"] = end["c"]
        if not end["more"]:
            return answers
    raise AssertionError("the changes do not end")
