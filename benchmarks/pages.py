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

from benchmarks import programs, sampling, usual
from benchmarks.processes import HOST, Server, cpu_seconds, free_port, served
from benchmarks.programs import Program
from federation.node import Node, open_node
from federation.oauth.personal import issue_personal_token
from federation.settings import load_settings

FIELDS = "id status title kind dimensions welcomes reach responseHours languages area { code } origin { scope }"
FIRST = 50
HEADERS: Mapping[str, str] = {"content-type": "application/json", "accept": "application/json"}
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
ANONYMOUS = "node: anonymous, `:open`, known document"
BEARER = "node: `:open`, personal token (Bearer)"
PROVEN = "node: `:open`, token and proof"
PARTNER = "node: partner scopes, ledger entry, token and proof"
ENTERED = "endpoint alone: partner scopes, ledger entry, no OAuth"
UNENTERED = "endpoint alone: anonymous, default policy"
PLAIN = {ENTERED: UNENTERED}
"""What the page of a kind is compared with, where it is not that of the anonymous viewer of the node."""
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
    """What one kind of request cost: ms of processor time (median of rounds), how often that of the floor, and how
    many more than that of the same page without a viewer to know or a ledger to write."""

    name: str
    cpu_ms: float
    ratio: float
    size: int
    added: float = 0.0


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
    with served(("node", home, port)) as (node,), closing(open_node(load_settings(home, {}, {})[0])) as opened:
        first = nodes(node.ask("POST", "/graphql", PAGE, HEADERS))
        usual.fill(home, _all(node, records))
        with served(*((kind, home, None) for kind in KINDS)) as others:
            servers = {"node": node, **dict(zip(KINDS, others, strict=True))}
            asks = _asks(servers, opened)
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


def _asks(servers: Mapping[str, Server], opened: Node) -> list[Asked]:
    """Everything that is measured; the floor first."""

    def graphql(name: str, kind: str, content: bytes, *, alike: bool = False, path: str = "/graphql") -> Asked:
        server = servers[kind]
        return Asked(name, server.pid, lambda: server.ask("POST", path, content, HEADERS), alike)

    floor, node = servers["floor"], servers["node"]
    secret, _ = issue_personal_token(opened.database, opened.world, "benchmark", programs.OPEN, opened.scopes)
    known = {**HEADERS, "authorization": f"Bearer {secret}"}
    anybody, partner = Program(opened, programs.OPEN), Program(opened, programs.PARTNER)

    def proven(program: Program) -> Ask:
        return lambda: node.ask("POST", "/graphql", PAGE, {**HEADERS, **program.headers()})

    return [
        Asked(FLOOR, floor.pid, lambda: floor.ask("GET", f"/page?first={FIRST}"), True),
        graphql(ANONYMOUS, "node", PAGE, alike=True),
        graphql("node: filter and sort", "node", SORTED),
        graphql("node: search, common word", "node", COMMON),
        graphql("node: search, rare word", "node", RARE),
        Asked(BEARER, node.pid, lambda: node.ask("POST", "/graphql", PAGE, known), True),
        Asked(PROVEN, node.pid, proven(anybody), True),
        Asked(PARTNER, node.pid, proven(partner), False),
        graphql(ENTERED, "viewed", PAGE, path="/partner"),
        graphql(UNENTERED, "viewed", PAGE, alike=True, path="/ladders"),
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
    found = []
    for name, all_ in spent.items():
        added = _added(all_, spent[PLAIN.get(name, ANONYMOUS)])
        found.append(Cost(name, median(all_), _ratio(all_, spent[FLOOR]), sizes[name], added))
    return found


def _ratio(all_: Sequence[float], low: Sequence[float]) -> float:
    return median(one / other for one, other in zip(all_, low, strict=True))


def _added(all_: Sequence[float], plain: Sequence[float]) -> float:
    return median(one - other for one, other in zip(all_, plain, strict=True))
