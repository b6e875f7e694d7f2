"""The page of 50 with 10 fields and one relation: processor time of the server for a request, all servers by turns.

Answers are compared before anything is measured: what does not give the same page is no comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from benchmarks import sampling, usual
from benchmarks.processes import HOST, Server, cpu_seconds, free_port, served
from federation.keys.jose import signing_key
from federation.node import open_node
from federation.oauth import clients
from federation.oauth.client import PeerSession
from federation.outbound import Outbound
from federation.settings import load_settings
from federation.world import real_world

FIELDS = "id status title kind dimensions welcomes reach responseHours languages area { code } origin { scope }"
FIRST = 50
HEADERS = {"content-type": "application/json", "accept": "application/json"}
Ask = Callable[[], bytes]


def body(arguments: str = "", root: str = "resources", fields: str = FIELDS) -> bytes:
    """A request for a page."""
    return orjson.dumps({"query": f"{{ {root}(first: {FIRST}{arguments}) {{ nodes {{ {fields} }} }} }}"})


PAGE = body()
SORTED = body(", where: {kind: {eq: LEGAL_SUPPORT}}, orderBy: {field: RESPONSE_HOURS}")
SEARCHED = f"... on Resource {{ {FIELDS} }}"
COMMON = body(f', text: "{sampling.COMMON_WORD}"', "search", SEARCHED)
RARE = body(f', text: "{sampling.RARE_WORD}"', "search", SEARCHED)


FLOOR = "floor: Starlette, one json_group_array query"
KINDS = ("floor", "viewed", "usual", "usual_cached")


@dataclass(frozen=True)
class Asked:
    """One kind of request: the process that answers it, and whether its page must be that of the anonymous viewer."""

    name: str
    pid: int
    ask: Ask
    alike: bool


@dataclass(frozen=True)
class Cost:
    """What one kind of request cost: ms of processor time (median of rounds), and how often that of the floor."""

    name: str
    cpu_ms: float
    ratio: float
    size: int


def nodes(answer: bytes) -> list[Any]:
    """The records of an answer."""
    content = orjson.loads(answer)
    if content.get("errors"):
        raise RuntimeError(f"a benchmark request was refused: {content['errors'][0]['message']}")
    (connection,) = content["data"].values()
    return list(connection["nodes"])


def compare(work: Path, records: int, rounds: int, each: int) -> list[Cost]:
    """Costs of all kinds of requests; `each` requests of a kind a round."""
    home, port = work / "node", free_port()
    sampling.make_home(home, f"http://{HOST}:{port}", records)
    client, scopes = _client(home)
    with served(("node", home, port)) as (node,), closing(Outbound(("127.0.0.0/8",))) as outbound:
        first = nodes(node.ask("POST", "/graphql", PAGE, HEADERS))
        usual.fill(home, _all(node, records))
        with served(*((kind, home, None) for kind in KINDS)) as others:
            servers = {"node": node, **dict(zip(KINDS, others, strict=True))}
            asks = _asks(servers, _bound(outbound, client, scopes, f"http://{HOST}:{port}"))
            _check_alike(asks, first)
            return _measured(asks, rounds, each)


def _all(node: Server, records: int) -> list[dict[str, Any]]:
    """All records as the anonymous viewer gets them, page by page."""
    found: list[dict[str, Any]] = []
    after = ""
    while len(found) < records:
        query = f"{{ resources(first: 100{after}) {{ nodes {{ {FIELDS} }} pageInfo {{ endCursor hasNextPage }} }} }}"
        answer = orjson.loads(node.ask("POST", "/graphql", orjson.dumps({"query": query}), HEADERS))["data"]
        found += answer["resources"]["nodes"]
        after = f', after: "{answer["resources"]["pageInfo"]["endCursor"]}"'
        if not answer["resources"]["pageInfo"]["hasNextPage"]:
            break
    return found


def _client(home: Path) -> tuple[clients.NewClient, frozenset[str]]:
    scopes = frozenset({"resource:partner", "network:partner"})
    with closing(open_node(load_settings(home, {}, {})[0])) as node:
        return clients.add_client(node.database, node.world, "benchmark", scopes, node.scopes), scopes


def _bound(outbound: Outbound, client: clients.NewClient, scopes: frozenset[str], url: str) -> Ask:
    """Requests with a bound token and a proof for each, as a partner's program makes them."""
    session = PeerSession(outbound, signing_key(client.private_jwk), client.client_id, real_world())
    return lambda: session.request(url, scopes, "POST", "/graphql", headers=HEADERS, content=PAGE).body


def _asks(servers: Mapping[str, Server], bound: Ask) -> list[Asked]:
    """Everything that is measured; the floor first."""

    def graphql(name: str, kind: str, content: bytes, *, alike: bool = False, path: str = "/graphql") -> Asked:
        server = servers[kind]
        return Asked(name, server.pid, lambda: server.ask("POST", path, content, HEADERS), alike)

    floor = servers["floor"]
    return [
        Asked(FLOOR, floor.pid, lambda: floor.ask("GET", f"/page?first={FIRST}"), True),
        graphql("node: anonymous, `:open`, known document", "node", PAGE, alike=True),
        graphql("node: filter and sort", "node", SORTED),
        graphql("node: search, common word", "node", COMMON),
        graphql("node: search, rare word", "node", RARE),
        Asked("node: partner scopes, ledger entry, token and proof", servers["node"].pid, bound, False),
        graphql("endpoint alone: partner scopes, ledger entry, no OAuth", "viewed", PAGE, path="/partner"),
        graphql("endpoint alone: anonymous, default policy", "viewed", PAGE, alike=True, path="/ladders"),
        graphql("endpoint alone: anonymous, everything open", "viewed", PAGE, path="/open"),
        graphql("Strawberry + SQLModel async ORM", "usual", PAGE, alike=True, path="/graphql/"),
        graphql("the same with parser and validation caches", "usual_cached", PAGE, alike=True, path="/graphql/"),
    ]


def _check_alike(asks: Sequence[Asked], first: list[Any]) -> None:
    for each in asks:
        found = nodes(each.ask())
        if not found or (each.alike and found != first):
            raise RuntimeError(f"{each.name}: the answer is not the page of the node")


def _measured(asks: Sequence[Asked], rounds: int, each: int) -> list[Cost]:
    """Round by round, all kinds by turns. The first round warms up and is not counted."""
    spent: dict[str, list[float]] = {one.name: [] for one in asks}
    sizes: dict[str, int] = {}
    for at in range(rounds + 1):
        for one in asks:
            begun = cpu_seconds(one.pid)
            for _ in range(each):
                sizes[one.name] = len(one.ask())
            if at:
                spent[one.name].append((cpu_seconds(one.pid) - begun) / each * 1000)
    floor = spent[FLOOR]
    return [
        Cost(name, median(all_), median(cost / low for cost, low in zip(all_, floor, strict=True)), sizes[name])
        for name, all_ in spent.items()
    ]
