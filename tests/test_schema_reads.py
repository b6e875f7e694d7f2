"""Compiled reads answer the same bytes as the standard executor, and both only what the viewer sees."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from federation.policies.viewer import Viewer, ViewerKind
from federation.schema.documents import Limits
from federation.schema.endpoint import GraphQLEndpoint
from tests.schema_queries import Maker
from tests.schema_world import CODES, OPEN_ALL, PARTNER_ALL, MemoryGate, Node, client, node_on, sample, sqlite_node

GENEROUS = Limits(aliases=10_000, depth=100, cost=10**9, root_fields=100, tokens=100_000, characters=10**6)
STEWARD = Viewer(ViewerKind.STEWARD, "steward")
VIEWERS = {"nobody": client(), "open": client(*OPEN_ALL), "partner": client(*PARTNER_ALL), "steward": STEWARD}


@pytest.fixture(scope="module")
def memory() -> tuple[MemoryGate, GraphQLEndpoint]:
    gate = MemoryGate(sample())
    return gate, GraphQLEndpoint(gate, None, CODES, policy=lambda: gate.policy, limits=GENEROUS)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Node, GraphQLEndpoint]:
    node = sqlite_node(tmp_path_factory.mktemp("node"))
    for key, document in sample():
        node.gids.append(node.intake.create(node.steward, key, document, share=True, confirm=True))
    return node, GraphQLEndpoint(node.gate, node.intake, CODES, policy=lambda: node.policy, limits=GENEROUS)


def ask(endpoint: GraphQLEndpoint, viewer: Viewer, query: str, **variables: Any) -> dict[str, Any]:
    _, _, content = endpoint.execute(viewer, body(query, variables))
    return orjson.loads(content)


def body(query: str, variables: dict[str, Any] | None = None) -> bytes:
    return orjson.dumps({"query": query, "variables": variables or {}})


@pytest.mark.parametrize("who", VIEWERS)
@pytest.mark.parametrize("start", range(0, 120, 40))
def test_both_executors_answer_generated_queries_alike(real: Any, who: str, start: int) -> None:
    node, endpoint = real
    compiled = 0
    for seed in range(start, start + 40):
        query, variables = Maker(endpoint.schema._schema, seed, node.gids).query()
        asked = body(query, variables)
        status, _, content = endpoint.execute(VIEWERS[who], asked)
        if status == 403:
            assert orjson.loads(content)["errors"][0]["extensions"]["code"] == "FORBIDDEN_FIELD"
            continue
        assert status == 200, (seed, query, content)
        compiled += endpoint.is_compiled(asked)
        standard = endpoint.execute_standard(VIEWERS[who], asked)
        assert b'"INTERNAL"' not in content, (seed, query, content)
        assert content == standard, (seed, query)
    assert compiled >= 3


def test_both_executors_answer_alike_on_postgresql(make_database: Any) -> None:
    node = node_on(make_database("postgresql"))
    for key, document in sample():
        node.gids.append(node.intake.create(node.steward, key, document, share=True, confirm=True))
    endpoint = GraphQLEndpoint(node.gate, node.intake, CODES, policy=lambda: node.policy, limits=GENEROUS)
    for seed in range(300, 330):
        query, variables = Maker(endpoint.schema._schema, seed, node.gids).query()
        asked = body(query, variables)
        for viewer in VIEWERS.values():
            status, _, content = endpoint.execute(viewer, asked)
            assert b'"INTERNAL"' not in content, (seed, query, content)
            if status == 200:
                assert content == endpoint.execute_standard(viewer, asked), (seed, query)


def test_both_executors_agree_on_the_gate_in_memory(memory: Any) -> None:
    gate, endpoint = memory
    ids = [gid for _, gid, _ in gate.records]
    for seed in range(200, 260):
        query, variables = Maker(endpoint.schema._schema, seed, ids).query()
        asked = body(query, variables)
        for viewer in VIEWERS.values():
            status, _, content = endpoint.execute(viewer, asked)
            if status == 200:
                assert content == endpoint.execute_standard(viewer, asked), query


def test_the_example_of_the_interface_is_answered(real: Any) -> None:
    _, endpoint = real
    answer = ask(
        endpoint,
        client(*OPEN_ALL),
        '{ resources(where: {kind: {in: [EMERGENCY_GRANT]}, responseHours: {atMost: 72}, languages: {has: "sw"},'
        ' area: {within: "014"}}) { nodes { title kind area { code level name } amount { minimum } } } }',
    )
    nodes = answer["data"]["resources"]["nodes"]
    assert {node["kind"] for node in nodes} == {"EMERGENCY_GRANT"}
    assert {node["area"]["level"] for node in nodes} == {"SUB_REGION"}
    assert {node["area"]["name"] for node in nodes} == {"Eastern Africa"}
    assert all(node["amount"] is None for node in nodes)
    assert answer["extensions"]["sharing"]["withheld"] == [{"type": "Resource", "field": "amount"}]


def test_codes_are_taken_in_any_case_and_given_in_capitals(real: Any) -> None:
    _, endpoint = real
    counts = {
        ask(endpoint, client(*OPEN_ALL), f"{{ resources(where: {{kind: {{eq: {code}}}}}) {{ totalCount }} }}")["data"][
            "resources"
        ]["totalCount"]
        for code in ("EMERGENCY_GRANT", "emergency_grant", '"emergency_grant"', '"EMERGENCY_GRANT"')
    }
    assert len(counts) == 1
    assert counts != {0}


def test_pages_follow_each_other_without_gap_or_double(real: Any) -> None:
    _, endpoint = real
    seen: list[str] = []
    after = None
    for _ in range(50):
        answer = ask(
            endpoint,
            client(*OPEN_ALL),
            "query ($after: String) { resources(first: 3, after: $after, orderBy: {field: TITLE}) {"
            " edges { cursor node { title } } pageInfo { hasNextPage endCursor hasPreviousPage startCursor } } }",
            after=after,
        )["data"]["resources"]
        assert answer["pageInfo"]["hasPreviousPage"] is (after is not None)
        seen += [edge["node"]["title"] for edge in answer["edges"]]
        after = answer["pageInfo"]["endCursor"]
        if not answer["pageInfo"]["hasNextPage"]:
            break
    assert len(seen) == len(set(seen))
    assert len(seen) == sum(key == "resource" for key, _ in sample())


def test_a_filter_by_a_withheld_field_is_refused_before_anything_runs(memory: Any) -> None:
    gate, endpoint = memory
    gate.asked.clear()
    for query in (
        "{ a: resources { nodes { title } } b: resources(where: {amount: {atLeast: 5}}) { totalCount } }",
        '{ resources(where: {or: [{title: {eq: "x"}}, {not: {amount: {atMost: 5}}}]}) { totalCount } viewer { kind } }',
        "{ resources(orderBy: {field: AMOUNT}) { totalCount } }",
    ):
        status, _, content = endpoint.execute(client(*OPEN_ALL), body(query))
        answer = orjson.loads(content)
        assert status == 403
        assert "data" not in answer
        assert answer["errors"][0]["extensions"] == {"code": "FORBIDDEN_FIELD", "field": "amount"}
    assert gate.asked == []


def test_withheld_fields_are_told_from_the_projection_alone(memory: Any) -> None:
    _, endpoint = memory
    query = "{ resources { nodes { title amount { minimum } handling origin { name scope } } } }"
    told = ask(endpoint, client("resource:open", "network:open"), query)["extensions"]["sharing"]["withheld"]
    assert told == [
        {"type": "Network", "field": "name"},
        {"type": "Resource", "field": "amount"},
        {"type": "Resource", "field": "handling"},
    ]
    assert ask(endpoint, client(*PARTNER_ALL), query)["extensions"]["sharing"]["withheld"] == []
    fragments = (
        'query { search(text: "x") { nodes { ... on Need { kind } ...R } } }'
        " fragment R on Resource { amount { minimum } }"
    )
    assert ask(endpoint, client("resource:open"), fragments)["extensions"]["sharing"]["withheld"] == [
        {"type": "Need", "field": "kind"},
        {"type": "Resource", "field": "amount"},
    ]


def test_only_meetings_with_open_places_are_opportunities(real: Any) -> None:
    _, endpoint = real
    nodes = ask(
        endpoint,
        client(*PARTNER_ALL),
        "{ opportunities(first: 100) { nodes { __typename ... on Convening { title } } } }",
    )["data"]["opportunities"]["nodes"]
    assert [node["title"] for node in nodes if node["__typename"] == "Convening"] == ["Meet"]
    assert {node["__typename"] for node in nodes} >= {"Resource", "Convening"}


def test_absent_malformed_and_forbidden_ids_look_alike(real: Any) -> None:
    node, endpoint = real
    need = next(gid for gid, (key, _) in zip(node.gids, sample(), strict=True) if key == "need")
    for gid in (need, need[:-4] + "AAAA", "x", ""):
        answer = ask(endpoint, client(*OPEN_ALL), "query ($id: ID!) { node(id: $id) { id } }", id=gid)
        assert answer == {"data": {"node": None}, "extensions": answer["extensions"]}


def test_the_own_network_is_the_one_of_this_node(real: Any) -> None:
    _, endpoint = real
    assert ask(endpoint, client(*PARTNER_ALL), "{ network { name scope } }")["data"] == {
        "network": {"name": "River", "scope": "LOCAL"}
    }
    assert ask(endpoint, client(), "{ network { name } }")["data"] == {"network": None}


def test_a_text_is_given_in_the_language_that_is_asked_for(real: Any) -> None:
    _, endpoint = real
    answer = ask(
        endpoint,
        client(*OPEN_ALL),
        '{ resources(where: {title: {eq: "Grant 0"}}) {'
        ' nodes { title fr: title(language: "fr-CA") de: title(language: "de") } } }',
    )
    assert answer["data"]["resources"]["nodes"] == [{"title": "Grant 0", "fr": "Subvention", "de": "Grant 0"}]


def test_the_viewer_learns_its_steps(memory: Any) -> None:
    _, endpoint = memory
    answer = ask(
        endpoint,
        client("resource:community"),
        "{ viewer { kind subject scopes access { type fields { field step } } } }",
    )
    viewer = answer["data"]["viewer"]
    assert (viewer["kind"], viewer["subject"], viewer["scopes"]) == ("CLIENT", "client-1", ["resource:community"])
    steps = {one["type"]: {each["field"]: each["step"] for each in one["fields"]} for one in viewer["access"]}
    assert steps["RESOURCE"]["title"] == "EXACT"
    assert steps["RESOURCE"]["amount"] == "BAND"
    assert steps["RESOURCE"]["area"] == "SUB_REGION"
    assert set(steps["NEED"].values()) == {"WITHHELD"}
    assert "site" not in steps["RESOURCE"]


def test_terms_have_names_and_broader_terms(memory: Any) -> None:
    _, endpoint = memory
    terms = ask(endpoint, client(), "{ terms(list: TOPIC) { code name broader } }")["data"]["terms"]
    assert {"code": "UPR", "broader": "UN"}.items() <= next(one for one in terms if one["code"] == "UPR").items()
    areas = ask(endpoint, client(), '{ terms(list: COUNTRY, language: "fr") { code name } }')["data"]["terms"]
    assert {"code": "KE", "name": "Kenya"} in areas


def test_peers_are_named_to_those_who_keep_them_and_to_nobody_else() -> None:
    gate = MemoryGate([])
    endpoint = GraphQLEndpoint(gate, None, CODES, policy=lambda: gate.policy, peer_names=lambda: ["west"])
    query = "{ peers { name } }"
    assert ask(endpoint, client(*PARTNER_ALL), query)["data"]["peers"] == []
    assert ask(endpoint, Viewer(ViewerKind.MEMBER, "m"), query)["data"]["peers"] == []
    assert ask(endpoint, client("peers:write"), query)["data"]["peers"] == [{"name": "west"}]
    assert ask(endpoint, STEWARD, query)["data"]["peers"] == [{"name": "west"}]


def test_a_gateway_resolves_entities_by_id(real: Any) -> None:
    node, endpoint = real
    gid = node.gids[1]
    query = (
        "query ($r: [_Any!]!) { _entities(representations: $r) { ... on Resource { id title } ... on Need { id } } }"
    )
    asked = [
        {"__typename": "Resource", "id": gid},
        {"__typename": "Need", "id": gid},
        {"__typename": "Resource", "id": "?"},
    ]
    found = ask(endpoint, client(*OPEN_ALL), query, r=asked)["data"]["_entities"]
    assert found == [{"id": gid, "title": "Grant 0"}, None, None]
    assert "@key" in ask(endpoint, client(), "{ _service { sdl } }")["data"]["_service"]["sdl"]


@pytest.mark.parametrize("wrong", [7, {}, {"__typename": "Nobody", "id": "x"}, {"__typename": "Resource", "id": 1}])
def test_a_representation_of_no_record_is_bad_input(real: Any, wrong: Any) -> None:
    _, endpoint = real
    query = "query ($r: [_Any!]!) { _entities(representations: $r) { __typename } }"
    answer = ask(endpoint, client(*OPEN_ALL), query, r=[wrong])
    assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT"


def test_empty_alternatives_are_refused_and_mean_neither_all_nor_nothing(real: Any) -> None:
    _, endpoint = real
    for where in ("{or: []}", "{not: {}}", "{or: [{}]}", "{kind: {in: []}}"):
        answer = ask(endpoint, client(*OPEN_ALL), f"{{ resources(where: {where}) {{ totalCount }} }}")
        assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT", where
