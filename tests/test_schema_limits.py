"""What a request may cost, and what an error may say."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from graphql import get_named_type, is_leaf_type, parse

from federation.errors import Unavailable
from federation.policies.viewer import Viewer
from federation.records.registry import OPPORTUNITIES, RECORD_TYPES
from federation.schema import documents
from federation.schema.documents import DocumentCache, Limits, read_document
from federation.schema.endpoint import GraphQLEndpoint
from federation.schema.overlaps import compares_too_much
from federation.schema.problems import CODES as ERROR_CODES
from tests.schema_world import CODES, OPEN_ALL, MemoryGate, client, sample


@pytest.fixture(scope="module")
def gate() -> MemoryGate:
    return MemoryGate(sample())


@pytest.fixture(scope="module")
def endpoint(gate: MemoryGate) -> GraphQLEndpoint:
    return GraphQLEndpoint(gate, None, CODES, policy=lambda: gate.policy)


def answer(
    endpoint: GraphQLEndpoint, query: str, viewer: Viewer | None = None, *, legacy: bool = False, **rest: Any
) -> tuple[int, dict[str, Any]]:
    content = orjson.dumps({"query": query, **rest})
    status, _, body = endpoint.execute(viewer or client(*OPEN_ALL), content, legacy=legacy)
    return status, orjson.loads(body)


def code(result: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    status, body = result
    assert "data" not in body
    assert set(body["errors"][0]["extensions"]) >= {"code"}
    assert body["errors"][0]["extensions"]["code"] in ERROR_CODES
    return status, body["errors"][0]["extensions"]["code"]


def test_a_deep_document_is_refused(endpoint: GraphQLEndpoint) -> None:
    query = "{ resources { nodes " + "{ origin " * 14 + "{ id }" + " }" * 14 + " } }"
    assert code(answer(endpoint, query)) == (400, "COST_EXCEEDED")


def test_many_aliases_are_refused(endpoint: GraphQLEndpoint) -> None:
    query = "{ resources { nodes { " + " ".join(f"a{at}: title" for at in range(70)) + " } } }"
    assert code(answer(endpoint, query)) == (400, "COST_EXCEEDED")


def test_many_root_fields_are_refused(endpoint: GraphQLEndpoint) -> None:
    query = "{ " + " ".join(f"a{at}: network {{ id }}" for at in range(20)) + " }"
    assert code(answer(endpoint, query)) == (400, "COST_EXCEEDED")


def test_many_tokens_are_refused(endpoint: GraphQLEndpoint) -> None:
    assert code(answer(endpoint, "{ resources { nodes { " + "title " * 5000 + "} } }")) == (400, "COST_EXCEEDED")


def test_nested_fragments_cannot_hide_cost_or_make_measuring_dear(endpoint: GraphQLEndpoint) -> None:
    fragments = " ".join(
        f"fragment F{at} on Network {{ o: origin {{ ...F{at + 1} }} p: origin {{ ...F{at + 1} }} }}" for at in range(40)
    )
    query = f"{{ networks {{ nodes {{ ...F0 }} }} }} {fragments} fragment F40 on Network {{ id }}"
    assert code(answer(endpoint, query)) == (400, "COST_EXCEEDED")


def test_cost_counts_fields_times_the_page_also_where_first_is_a_variable(endpoint: GraphQLEndpoint) -> None:
    def requested(query: str, **variables: Any) -> int:
        return answer(endpoint, query, variables=variables)[1]["extensions"]["cost"]["requested"]

    small = requested("{ resources(first: 1) { nodes { title } } }")
    large = requested("{ resources(first: 100) { nodes { title } } }")
    assert large == small + 99 * 2
    assert requested("query ($n: Int) { resources(first: $n) { nodes { title } } }", n=100) == large
    assert requested("{ ...R } fragment R on Query { resources(first: 100) { nodes { title } } }") == large
    assert requested("{ resources { totalCount } }") > requested("{ resources { __typename } }")


def test_cost_is_checked_before_anything_runs(gate: MemoryGate) -> None:
    tight = GraphQLEndpoint(gate, None, CODES, policy=lambda: gate.policy, limits=Limits(cost=100))
    gate.asked.clear()
    assert code(answer(tight, "{ resources(first: 100) { nodes { title summary } } }")) == (400, "COST_EXCEEDED")
    assert gate.asked == []
    status, body = answer(tight, "{ resources(first: 10) { nodes { title } } }")
    assert status == 200
    assert body["extensions"]["cost"] == {"requested": 21, "limit": 100}


def test_no_error_suggests_a_name(endpoint: GraphQLEndpoint) -> None:
    for query in (
        "{ resourcs { nodes { title } } }",
        "{ resources { nodes { titel } } }",
        "{ resources(wher: {}) { totalCount } }",
        '{ resources(where: {titel: {eq: "x"}}) { totalCount } }',
        "{ terms(list: TOPICS) { code } }",
        "{ resources(orderBy: {field: TITEL}) { totalCount } }",
        "query ($w: ResourceWher) { resources(where: $w) { totalCount } }",
    ):
        status, body = answer(endpoint, query)
        assert status == 400, query
        assert "mean" not in orjson.dumps(body).decode(), body
        assert code((status, body)) == (400, "BAD_INPUT")


def test_variables_of_another_type_are_refused_without_suggestions(endpoint: GraphQLEndpoint) -> None:
    query = "query ($o: ResourceOrder) { resources(orderBy: $o) { totalCount } }"
    result = answer(endpoint, query, variables={"o": {"field": "TITEL"}})
    assert code(result) == (400, "BAD_INPUT")
    assert "mean" not in orjson.dumps(result[1]).decode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'[{"query":"{ __typename }"}]',
        b'"{ __typename }"',
        b"{}",
        b'{"query":1}',
        b'{"query":""}',
        b'{"query":"{ __typename }","variables":[]}',
        b'{"query":"{ __typename }","operationName":5}',
        b'{"query":"{ __typename }","extensions":0}',
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("legacy", [True, False])
def test_what_is_no_request_is_a_clear_400(endpoint: GraphQLEndpoint, body: bytes, legacy: bool) -> None:
    status, _, content = endpoint.execute(client(), body, legacy=legacy)
    assert status == 400
    assert code((status, orjson.loads(content))) == (400, "BAD_INPUT")


def test_a_request_that_never_ran_is_200_for_plain_json_only(endpoint: GraphQLEndpoint) -> None:
    for query in ("{", "{ nope }", "query A { __typename } query B { __typename }"):
        assert answer(endpoint, query, legacy=True)[0] == 200
        assert answer(endpoint, query)[0] == 400


def test_the_named_operation_runs(endpoint: GraphQLEndpoint) -> None:
    query = "query A { a: __typename } query B { b: __typename }"
    assert answer(endpoint, query, operationName="B")[1]["data"] == {"b": "Query"}
    assert code(answer(endpoint, query, operationName="C")) == (400, "BAD_INPUT")


def test_unknown_exceptions_are_masked_with_an_id(gate: MemoryGate, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryGate):
        def run(self, viewer: Viewer, prepared: None, request: Any) -> Any:
            raise ValueError("a secret value")

    broken = Broken(sample())
    endpoint = GraphQLEndpoint(broken, None, CODES, policy=lambda: broken.policy)
    status, body = answer(endpoint, "{ a: resources { nodes { title } } }")
    assert status == 200
    assert body["data"] is None
    error = body["errors"][0]
    assert error["path"] == ["a"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert re.fullmatch(r"[0-9a-f]{12}", error["extensions"]["id"])
    assert error["extensions"]["id"] in error["message"]
    assert "secret" not in orjson.dumps(body).decode() + caplog.text


def test_what_the_gate_refuses_at_run_time_is_an_error_with_its_path(gate: MemoryGate) -> None:
    class Closed(MemoryGate):
        def run(self, viewer: Viewer, prepared: None, request: Any) -> Any:
            if request.own:
                raise Unavailable("The ledger cannot be written now.")
            return super().run(viewer, prepared, request)

    closed = Closed(sample())
    endpoint = GraphQLEndpoint(closed, None, CODES, policy=lambda: closed.policy)
    status, body = answer(endpoint, "{ network { id } resources(first: 1) { nodes { title } } }")
    assert status == 200
    assert body["data"] == {"network": None, "resources": {"nodes": [{"title": "Grant 0"}]}}
    assert body["errors"] == [
        {
            "message": "The ledger cannot be written now.",
            "locations": [{"line": 1, "column": 3}],
            "path": ["network"],
            "extensions": {"code": "UNAVAILABLE"},
        }
    ]


def test_pages_over_100_and_below_0_are_refused(endpoint: GraphQLEndpoint) -> None:
    for first in (-1, 101, 2147483647):
        status, body = answer(endpoint, f"{{ resources(first: {first}) {{ totalCount }} }}")
        assert status == 200
        assert body["data"] is None
        assert body["errors"][0]["extensions"] == {"code": "BAD_INPUT", "field": "first"}


def test_the_cache_of_documents_is_bounded(endpoint: GraphQLEndpoint) -> None:
    cache = DocumentCache(endpoint.schema._schema, Limits(), size=3)
    for at in range(10):
        cache.get(f"{{ a{at}: __typename }}")
    assert len(cache) == 3
    assert cache.get("{ a9: __typename }") is cache.get("{ a9: __typename }")


def test_the_cache_of_documents_is_bounded_by_their_length_too(endpoint: GraphQLEndpoint) -> None:
    cache = DocumentCache(endpoint.schema._schema, Limits(), size=100, characters=100)
    for at in range(10):
        cache.get(f"{{ a{at}: __typename }}" + " " * 20)
    assert 1 <= len(cache) <= 3


def test_entities_cost_as_many_as_are_asked_for(endpoint: GraphQLEndpoint) -> None:
    query = "query ($r: [_Any!]!) { _entities(representations: $r) { __typename } }"
    many = [{"__typename": "Resource", "id": "x"}] * 3000
    assert code(answer(endpoint, query, variables={"r": many})) == (400, "COST_EXCEEDED")
    assert answer(endpoint, query, variables={"r": many[:3]})[1]["data"] == {"_entities": [None] * 3}


def test_introspection_is_answered_and_bounded(endpoint: GraphQLEndpoint) -> None:
    from graphql import get_introspection_query

    status, body = answer(endpoint, get_introspection_query(), client())
    assert (status, "errors" in body) == (200, False)
    nested = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }"
    assert code(answer(endpoint, nested))[1] in ("BAD_INPUT", "COST_EXCEEDED")


def test_a_syntax_error_keeps_its_place(endpoint: GraphQLEndpoint) -> None:
    document = read_document(endpoint.schema._schema, "{ a b( }", Limits())
    assert document.errors[0].locations[0].line == 1
    assert answer(endpoint, "{ a b( }")[1]["errors"][0]["locations"] == [{"line": 1, "column": 8}]


def test_searches_are_not_kept_in_memory(endpoint: GraphQLEndpoint) -> None:
    before = len(endpoint._ready)
    answer(endpoint, '{ search(text: "where to hide") { nodes { id } } }')
    assert len(endpoint._ready) == before
    answer(endpoint, "{ resources { nodes { id status } } }")
    assert len(endpoint._ready) == before + 1


def test_only_quick_open_reads_that_were_seen_before_run_in_the_event_loop(endpoint: GraphQLEndpoint) -> None:
    body = orjson.dumps({"query": "{ resources { nodes { id type } } }"})
    reader, partner = client("resource:open"), client("resource:partner")
    assert not endpoint.is_cheap(reader, body)
    for _ in range(3):
        endpoint.execute(reader, body)
    endpoint._ready[next(reversed(endpoint._ready))].seconds = 0.0001
    assert endpoint.is_cheap(reader, body)
    assert not endpoint.is_cheap(partner, body)


def requested(endpoint: GraphQLEndpoint, query: str, **variables: Any) -> int:
    """The cost that an answer states."""
    return answer(endpoint, query, variables=variables)[1]["extensions"]["cost"]["requested"]


def test_a_default_of_a_variable_counts_as_if_it_were_given(endpoint: GraphQLEndpoint) -> None:
    large = requested(endpoint, "{ resources(first: 100) { nodes { title } } }")
    assert requested(endpoint, "query ($n: Int = 100) { resources(first: $n) { nodes { title } } }") == large
    assert requested(endpoint, "query ($n: Int = 100) { resources(first: $n) { nodes { title } } }", n=1) < large


def test_code_lists_cost_as_many_terms_as_they_have(endpoint: GraphQLEndpoint) -> None:
    length = len(CODES.codes("language"))
    fixed = requested(endpoint, "{ terms(list: LANGUAGE) { code name } }")
    assert fixed == 1 + 2 * length
    asked = "query ($l: TermList!) { terms(list: $l) { code name } }"
    assert requested(endpoint, asked, l="LANGUAGE") == fixed
    assert requested(endpoint, asked, l="URGENCY") == 1 + 2 * len(CODES.codes("urgency"))
    many = "{ " + " ".join(f"a{at}: terms(list: LANGUAGE) {{ code }}" for at in range(16)) + " }"
    assert code(answer(endpoint, many)) == (400, "COST_EXCEEDED")


def test_terms_are_gathered_once_for_each_language(endpoint: GraphQLEndpoint) -> None:
    query = '{ terms(list: URGENCY, language: "fr") { code name broader } }'
    first = answer(endpoint, query)[1]["data"]
    kept = endpoint._reader.terms.get(("urgency", "fr"))
    assert kept is not None
    assert answer(endpoint, query)[1]["data"] == first
    assert endpoint._reader.terms.get(("urgency", "fr")) is kept


def test_what_only_the_standard_executor_can_answer_costs_more(endpoint: GraphQLEndpoint) -> None:
    compiled = requested(endpoint, "{ resources(first: 100) { nodes { title } } }")
    slow = requested(endpoint, "{ resources(first: 100) { edges { cursor } nodes { title } } viewer { subject } }")
    assert slow > 9 * compiled
    titles = " ".join(f't{at}: title(language: "fr-{at:02}")' for at in range(50))
    twice = f"{{ resources(first: 100) {{ edges {{ node {{ id }} }} nodes {{ {titles} }} }} }}"
    assert code(answer(endpoint, twice)) == (400, "COST_EXCEEDED")
    changes = f"{{ changes(first: 100) {{ changes {{ record {{ ... on Resource {{ {titles} }} }} }} }} }}"
    assert code(answer(endpoint, changes)) == (400, "COST_EXCEEDED")


def test_introspection_is_asked_once_in_a_request(endpoint: GraphQLEndpoint) -> None:
    several = "{ " + " ".join(f"a{at}: __schema {{ types {{ name }} }}" for at in range(3)) + " }"
    assert code(answer(endpoint, several)) == (400, "COST_EXCEEDED")
    inside = "{ __schema { " + " ".join(f"a{at}: types {{ name }}" for at in range(3)) + " } }"
    assert code(answer(endpoint, inside)) == (400, "COST_EXCEEDED")
    assert answer(endpoint, "{ __schema { types { name } } }")[0] == 200


def test_few_requests_are_in_the_standard_executor_at_once(gate: MemoryGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.schema.endpoint.STANDARD_WAIT", 0.01)
    narrow = GraphQLEndpoint(gate, None, CODES, policy=lambda: gate.policy, limits=Limits(standard=1))
    with narrow._places:
        status, body = answer(narrow, "{ viewer { subject } }")
        assert (status, body["errors"][0]["extensions"]["code"]) == (503, "UNAVAILABLE")
        assert answer(narrow, "{ resources(first: 1) { nodes { id } } }")[0] == 200
    assert answer(narrow, "{ viewer { subject } }")[0] == 200


def test_requests_are_kept_by_their_length_too(gate: MemoryGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.schema.endpoint.READY_SIZE", 1000)
    fresh = GraphQLEndpoint(gate, None, CODES, policy=lambda: gate.policy)
    for at in range(10):
        answer(fresh, f"{{ a{at}: resources {{ nodes {{ id {'title ' * 50} }} }} }}")
    assert len(fresh._ready) == 2
    assert fresh._ready_size == sum(ready.size for ready in fresh._ready.values()) <= 1000


@pytest.mark.parametrize(
    "query",
    [
        "{ " + "resources { edges { node { title } } } " * 300 + "}",
        "{ resources { nodes { " + "title " * 3500 + "} } }",
        "{ resources { nodes { " + "... { title } " * 500 + "} } }",
        "{ resources { nodes { " + " ".join(f"...F{at}" for at in range(250)) + " } } } "
        + " ".join(f"fragment F{at} on Resource {{ title kind }}" for at in range(250)),
        "{ resources { nodes { ...F0 } } } "
        + " ".join(f"fragment F{at} on Resource {{ ...F{at + 1} }}" for at in range(450))
        + " fragment F450 on Resource { title }",
    ],
    ids=["roots", "fields", "inline", "fragments", "chain"],
)  # fmt: skip
def test_a_document_that_is_dear_to_validate_is_refused_before_it_is_validated(
    endpoint: GraphQLEndpoint, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(documents, "validate", None)
    assert code(answer(endpoint, query)) == (400, "COST_EXCEEDED")


def test_a_document_that_names_every_field_of_every_type_is_not_dear_to_validate(endpoint: GraphQLEndpoint) -> None:
    fields = {
        RECORD_TYPES[key].graphql: " ".join(
            name
            for name, field in endpoint.schema._schema.type_map[RECORD_TYPES[key].graphql].fields.items()
            if is_leaf_type(get_named_type(field.type))
        )
        for key in OPPORTUNITIES
    }  # fmt: skip
    query = "{ opportunities { nodes { " + " ".join(f"... on {n} {{ {f} }}" for n, f in fields.items()) + " } } }"
    assert not compares_too_much(parse(query))


def test_fragments_that_lead_back_to_themselves_are_refused_as_such(endpoint: GraphQLEndpoint) -> None:
    query = "{ resources { nodes { ...F } } } fragment F on Resource { origin { ...G } } fragment G on Origin { ...G }"
    status, body = answer(endpoint, query)
    assert status == 400
    assert "within itself" in str(body["errors"])
