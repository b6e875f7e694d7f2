"""Row 32 of the checklist: each subset of scopes opens exactly the fields that it should, whichever way is asked.

What it should open is computed from the tiers of the record types, by an oracle that shares no code with the policies.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import get_named_type

from federation.policies.loading import load_policy
from federation.policies.policy import Policy
from federation.policies.tiers import ACTION_SCOPES, SCOPED_TIERS, Tier
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.registry import RECORD_TYPES, catalogue
from federation.schema.documents import Limits
from federation.schema.endpoint import GraphQLEndpoint
from federation.schema.names import camel, plural
from oracles.minting import CODES, CONTEXT, Mint, document_of
from oracles.questions import selection
from oracles.seeing import Rec, Sees
from tests.schema_world import Node, sqlite_node

WIDE = Limits(aliases=10_000, depth=100, cost=10**9, root_fields=100, tokens=100_000, characters=10**6)
FACTS = {"id": Tier.OPEN, "type": Tier.OPEN, "status": Tier.OPEN, "handling": Tier.COMMUNITY}
"""What every record has beside the fields of its type, but for its origin, which is a record of its own."""


@dataclass(frozen=True)
class Tried:
    """A node with one record of each type, every field filled, and its endpoint."""

    node: Node
    endpoint: GraphQLEndpoint
    records: Mapping[str, Rec]

    def ask(self, scopes: frozenset[str], query: str, **variables: Any) -> dict[str, Any]:
        viewer = Viewer(ViewerKind.CLIENT, "client-1", scopes)
        body = orjson.dumps({"query": query, "variables": variables})
        return orjson.loads(self.endpoint.execute(viewer, body)[2])


def made(folder: Path, policy: Policy | None = None) -> Tried:
    node, mint, records = sqlite_node(folder, policy), Mint(), {}
    for key, kind in RECORD_TYPES.items():
        document = document_of(mint, kind)
        gid = node.intake.create(node.steward, key, document, share=True, confirm=True)
        records[key] = Rec(key, "plain", kind.normalise(document, CONTEXT), gid=gid)
    endpoint = GraphQLEndpoint(node.gate, node.intake, CODES, policy=lambda: node.policy, limits=WIDE)
    return Tried(node, endpoint, records)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    return made(tmp_path_factory.mktemp("scopes"))


def subsets(scopes: list[str]) -> Iterator[frozenset[str]]:
    for size in range(len(scopes) + 1):
        yield from map(frozenset, itertools.combinations(scopes, size))


def own_scopes(key: str) -> list[str]:
    return [f"{key}:{tier.label}" for tier in SCOPED_TIERS]


def others(key: str) -> frozenset[str]:
    """Every scope that exists but those of a type; and words that are none."""
    reading = {scope for other in RECORD_TYPES if other != key for scope in own_scopes(other)}
    return frozenset(reading | ACTION_SCOPES | {"*", f"{key}:network", f"{key}:sealed", f"{key}:*", key, ":open"})


def expected(rec: Rec, scopes: frozenset[str]) -> dict[str, bool]:
    """For each field in GraphQL whether a value is shown; empty where the record is not known of."""
    tiers = [tier for tier in SCOPED_TIERS if f"{rec.type}:{tier.label}" in scopes]
    if not tiers:
        return {}
    steps = Sees("client", {rec.type: max(tiers)}).steps(rec)
    if not steps:
        return {}
    shown = {camel(name): name in steps for name in rec.kind.fields}
    return shown | {name: tier <= max(tiers) for name, tier in FACTS.items()}


def shown(value: Mapping[str, Any]) -> dict[str, bool]:
    """Of each field that was answered under its own name, whether there is a value."""
    return {name: one is not None and one != [] for name, one in value.items() if not name.startswith(("__", "sw_"))}


@pytest.mark.parametrize("noise", [False, True], ids=["alone", "with every other scope"])
@pytest.mark.parametrize("key", RECORD_TYPES)
def test_row_32_each_subset_of_scopes_shows_exactly_its_fields_whichever_way(
    tried: Tried, key: str, noise: bool
) -> None:
    kind, rec, schema = RECORD_TYPES[key], tried.records[key], tried.endpoint.schema._schema
    made_of = schema.type_map[kind.graphql]
    whole = selection(schema, made_of, origin=False)
    leaves = " ".join(
        f"x_{name}: {name} {selection(schema, inner, 3, origin=False) if hasattr(inner, 'fields') else ''}"
        for name, one in made_of.fields.items()
        if name not in ("origin", "__typename") and (inner := get_named_type(one.type))
    )
    query = f"""query ($id: ID!, $of: [_Any!]!) {{
      page: {plural(key)}(first: 5) {{ nodes {whole} edges {{ node {{ ...Whole }} }} totalCount }}
      node(id: $id) {{ __typename ... on {kind.graphql} {whole} }}
      _entities(representations: $of) {{ __typename ... on {kind.graphql} {whole} }}
      aliased: {plural(key)}(first: 5) {{ nodes {{ {leaves} }} }}
    }} fragment Whole on {kind.graphql} {whole}"""
    by_tier: dict[Any, Any] = {}
    for held in subsets(own_scopes(key)):
        wanted = expected(rec, held)
        scopes = held | others(key) if noise else held
        # A need has another id for each who asks.
        known = tried.ask(scopes, f"{{ {plural(key)}(first: 5) {{ nodes {{ id }} }} }}")["data"][plural(key)]["nodes"]
        gid = known[0]["id"] if known else rec.gid
        answer = tried.ask(scopes, query, id=gid, of=[{"__typename": kind.graphql, "id": gid}])
        data, told = answer["data"], answer.get("extensions", {}).get("sharing", {}).get("withheld", [])
        ways = [*data["page"]["nodes"], *(edge["node"] for edge in data["page"]["edges"]), data["node"]]
        ways += data["_entities"]
        if not wanted:
            assert ways == [None, None], held
            assert (data["page"]["totalCount"], data["aliased"]["nodes"]) == (0, []), held
            continue
        assert len(ways) == 4, held
        for way in ways:
            here = {name: value for name, value in shown(way).items() if name in wanted}
            assert here == {name: seen for name, seen in wanted.items() if name in here}, held
            assert way == ways[0], held
        (aliased,) = data["aliased"]["nodes"]
        assert {name.removeprefix("x_"): value for name, value in aliased.items()} == {
            name: value for name, value in ways[0].items() if f"x_{name}" in aliased
        }
        hidden = {one["field"] for one in told if one["type"] == kind.graphql}
        assert hidden == {name for name, seen in wanted.items() if not seen and name in ways[0]}, held
        tier = max(at for at in SCOPED_TIERS if f"{key}:{at.label}" in held)
        assert by_tier.setdefault(tier, ways[0]) == ways[0], held


@pytest.mark.parametrize("key", RECORD_TYPES)
def test_row_32_an_order_by_a_withheld_field_is_an_error_that_tells_its_name_alone(tried: Tried, key: str) -> None:
    schema, rec = tried.endpoint.schema._schema, tried.records[key]
    argument = schema.query_type.fields[plural(key)].args["orderBy"]  # type: ignore[union-attr]
    orders = get_named_type(get_named_type(argument.type).fields["field"].type).values  # type: ignore[union-attr]
    assert orders
    for held in subsets(own_scopes(key)):
        seen = {name for name, there in expected(rec, held).items() if there}
        for order in orders:
            name = camel(order.lower())
            query = f"{{ {plural(key)}(first: 1, orderBy: {{field: {order}}}) {{ nodes {{ id }} }} }}"
            answer = tried.ask(held | others(key), query)
            if name in seen:
                assert len(answer["data"][plural(key)]["nodes"]) == 1, (held, name)
            else:
                (error,) = answer["errors"]
                assert error["extensions"] == {"code": "FORBIDDEN_FIELD", "field": name}, (held, name)
                assert "data" not in answer


def test_row_32_introspection_is_the_same_for_everybody(tried: Tried) -> None:
    query = "{ __schema { types { name description fields { name description type { name kind } } } } }"
    everything = frozenset(scope for key in RECORD_TYPES for scope in own_scopes(key)) | ACTION_SCOPES
    answers = [tried.ask(held, query) for held in (frozenset(), frozenset({"resource:open"}), everything)]
    assert answers[0]["data"]["__schema"]["types"]
    assert answers[1:] == answers[:1] * 2


def test_row_32_a_formula_over_two_types_opens_for_exactly_those_who_hold_it(tmp_path: Path) -> None:
    text = (
        '[resource]\nhorizon = { exact = [["resource:partner"], ["fundingCall:partner", "resource:community"]],'
        ' year = "community" }\n'
    )
    tried = made(tmp_path, load_policy(text, catalogue()))
    query = "{ resources(first: 1) { nodes { horizon { start end precision } } } }"
    for held in subsets([*own_scopes("resource"), *own_scopes("fundingCall")]):
        nodes = tried.ask(held, query)["data"]["resources"]["nodes"]
        horizon = nodes[0]["horizon"] if nodes else None
        if "resource:partner" in held or held >= {"fundingCall:partner", "resource:community"}:
            assert horizon["precision"] == "DAY", held
        elif "resource:community" in held:
            assert horizon["precision"] == "YEAR", held
        else:
            assert horizon is None, held
