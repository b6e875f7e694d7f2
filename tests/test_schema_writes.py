"""Writes by GraphQL: per-type inputs, user errors, and the gate's view of what came of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from federation.policies.viewer import Viewer, ViewerKind
from federation.schema.endpoint import GraphQLEndpoint
from tests.schema_world import CODES, Node, client, sqlite_node

WRITER = client("records:write", "notice:community", "resource:community")
NOTICE = (
    "mutation ($i: CreateNoticeInput!) { createNotice(input: $i) {"
    " id record { id text kind status } userErrors { code field message } } }"
)


@pytest.fixture
def made(tmp_path: Any) -> tuple[Node, GraphQLEndpoint]:
    node = sqlite_node(tmp_path)
    return node, GraphQLEndpoint(node.gate, node.intake, CODES, policy=lambda: node.policy)


def run(endpoint: GraphQLEndpoint, viewer: Viewer, query: str, **variables: Any) -> Any:
    _, _, content = endpoint.execute(viewer, orjson.dumps({"query": query, "variables": variables}))
    return orjson.loads(content)


def test_a_record_is_written_and_seen_as_its_writer_sees_it(made: Any) -> None:
    _, endpoint = made
    payload = run(endpoint, WRITER, NOTICE, i={"record": {"text": "With you.", "kind": "SOLIDARITY"}, "share": True})
    created = payload["data"]["createNotice"]
    assert created["userErrors"] == []
    assert created["record"] == {"id": created["id"], "text": "With you.", "kind": "SOLIDARITY", "status": "SHARED"}


def test_a_draft_is_seen_at_home_and_by_no_token(made: Any) -> None:
    node, endpoint = made
    document = {"record": {"text": "Soon.", "kind": "SOLIDARITY"}}
    assert run(endpoint, node.steward, NOTICE, i=document)["data"]["createNotice"]["record"]["status"] == "DRAFT"
    outside = run(endpoint, WRITER, NOTICE, i=document)["data"]["createNotice"]
    assert outside["record"] is None
    assert outside["id"]


def test_what_can_be_mended_is_a_user_error(made: Any) -> None:
    _, endpoint = made
    created = run(endpoint, WRITER, NOTICE, i={"record": {"kind": "NOTHING", "text": "x"}})["data"]["createNotice"]
    assert created["record"] is None
    assert [(one["code"], one["field"]) for one in created["userErrors"]] == [("BAD_INPUT", "kind")]


def test_a_phone_number_in_a_text_has_to_be_confirmed(made: Any) -> None:
    _, endpoint = made
    record = {"text": "Call +254 712 345 678 at night.", "kind": "SOLIDARITY"}
    refused = run(endpoint, WRITER, NOTICE, i={"record": record, "share": True})["data"]["createNotice"]
    assert [one["code"] for one in refused["userErrors"]] == ["UNCONFIRMED"]
    assert "254" not in orjson.dumps(refused).decode()
    confirmed = run(endpoint, WRITER, NOTICE, i={"record": record, "share": True, "confirm": True})["data"][
        "createNotice"
    ]
    assert confirmed["userErrors"] == []


def test_every_shape_of_input_reaches_the_home_document(made: Any) -> None:
    node, endpoint = made
    record = {
        "title": "Relocation",
        "kind": "TEMPORARY_RELOCATION",
        "dimensions": ["PHYSICAL"],
        "area": "KE",
        "site": "Behind the market",
        "amount": {"minimum": "100", "maximum": 250.5, "currency": "EUR"},
        "horizon": {"start": "2026-01-01", "end": "2026-12-31"},
        "provider": {"name": "Somebody", "code": "NGO"},
        "availability": {"state": "OPEN", "free": 2},
        "contact": {"email": "x@example.org"},
        "languages": ["sw"],
        "translations": [{"language": "fr", "field": "title", "text": "Relocalisation"}],
        "expectations": "No flights.",
        "handling": "TLP:GREEN",
        "caps": [{"field": "area", "step": "SUB_REGION"}, {"field": "amount", "step": "WITHHELD"}],
        "responseHours": 24,
    }
    query = "mutation ($i: CreateResourceInput!) { createResource(input: $i) { id userErrors { code field message } } }"
    created = run(endpoint, node.steward, query, i={"record": record, "share": True})["data"]["createResource"]
    assert created["userErrors"] == []
    home = node.gate.home(node.steward, created["id"])
    assert home["provider"] == {"name": "Somebody", "kind": "ngo"}
    assert home["amount"] == {"minimum": "100", "maximum": "250.5", "currency": "EUR"}
    assert home["availability"] == {"state": "open", "free": 2}
    assert home["translations"] == {"fr": {"title": "Relocalisation"}}
    assert home["caps"] == {"area": "sub_region", "amount": None}
    assert home["site"] == "Behind the market"
    assert home["response_hours"] == 24
    asked = '{ resources { nodes { title(language: "fr") area { level } amount { minimum } handling } } }'
    assert run(endpoint, client("resource:community"), asked)["data"]["resources"]["nodes"] == [
        {"title": "Relocalisation", "area": {"level": "SUB_REGION"}, "amount": None, "handling": "TLP:GREEN"}
    ]
    assert run(endpoint, client("resource:open"), asked)["data"]["resources"]["nodes"] == []


def test_a_record_is_amended_shared_and_withdrawn(made: Any) -> None:
    node, endpoint = made
    gid = run(endpoint, WRITER, NOTICE, i={"record": {"text": "One.", "kind": "SOLIDARITY"}})["data"]["createNotice"][
        "id"
    ]
    amend = (
        "mutation ($i: AmendNoticeInput!) { amendNotice(input: $i) { record { text deadline } userErrors { code } } }"
    )
    changes = {"id": gid, "changes": {"text": "Two.", "deadline": None}}
    amended = run(endpoint, node.steward, amend, i=changes)["data"]["amendNotice"]
    assert amended == {"record": {"text": "Two.", "deadline": None}, "userErrors": []}
    by_id = (
        "mutation ($i: ID!) { %sRecord(input: {id: $i}) {"
        " record { id status ... on Notice { text } } userErrors { code } } }"
    )
    shared = run(endpoint, WRITER, by_id % "share", i=gid)["data"]["shareRecord"]
    assert shared == {"record": {"id": gid, "status": "SHARED", "text": "Two."}, "userErrors": []}
    withdrawn = run(endpoint, WRITER, by_id % "withdraw", i=gid)["data"]["withdrawRecord"]
    assert withdrawn == {"record": None, "userErrors": []}
    again = run(endpoint, WRITER, by_id % "share", i=gid)["data"]["shareRecord"]
    assert [one["code"] for one in again["userErrors"]] in (["CONFLICT"], ["NOT_FOUND"])
    unknown = run(endpoint, WRITER, by_id % "withdraw", i="nothing")["data"]["withdrawRecord"]
    assert [one["code"] for one in unknown["userErrors"]] == ["NOT_FOUND"]


def test_an_offer_without_expectations_cannot_be_shared(made: Any) -> None:
    node, endpoint = made
    query = (
        'mutation { createResource(input: {share: true, record: {title: "x", kind: EQUIPMENT}}) {'
        " record { id } userErrors { code field } } }"
    )
    created = run(endpoint, node.steward, query)["data"]["createResource"]
    assert created == {"record": None, "userErrors": [{"code": "BAD_INPUT", "field": "expectations"}]}


def test_nobody_writes_without_the_scope(made: Any) -> None:
    _, endpoint = made
    for viewer, status, code in (
        (client(kind=ViewerKind.ANONYMOUS), 401, "UNAUTHENTICATED"),
        (client("notice:partner"), 403, "FORBIDDEN_FIELD"),
        (Viewer(ViewerKind.MEMBER, "member"), 403, "FORBIDDEN_FIELD"),
    ):
        asked = orjson.dumps({"query": NOTICE, "variables": {"i": {"record": {"text": "x", "kind": "SOLIDARITY"}}}})
        found, _, content = endpoint.execute(viewer, asked)
        assert found == status
        assert orjson.loads(content)["errors"][0]["extensions"] == {"code": code}
    assert run(endpoint, client("notice:community"), "{ notices { totalCount } }")["data"] == {
        "notices": {"totalCount": 0}
    }


def test_changes_follow_the_view(made: Any) -> None:
    node, endpoint = made
    query = (
        "query ($a: String) { changes(after: $a, first: 5, types: [NOTICE]) {"
        " reset more cursor changes { id type record { ... on Notice { text } } } } }"
    )
    viewer = client("notice:community")
    first = run(endpoint, viewer, query)["data"]["changes"]
    assert (first["reset"], first["more"], first["changes"]) == (True, False, [])
    gid = run(endpoint, node.steward, NOTICE, i={"record": {"text": "A", "kind": "SOLIDARITY"}, "share": True})["data"][
        "createNotice"
    ]["id"]
    second = run(endpoint, viewer, query, a=first["cursor"])["data"]["changes"]
    assert second["changes"][-1] == {"id": gid, "type": "NOTICE", "record": {"text": "A"}}
    run(endpoint, node.steward, "mutation ($i: ID!) { withdrawRecord(input: {id: $i}) { id } }", i=gid)
    third = run(endpoint, viewer, query, a=second["cursor"])["data"]["changes"]
    assert third["changes"] == [{"id": gid, "type": "NOTICE", "record": None}]
    assert (
        run(endpoint, client(kind=ViewerKind.ANONYMOUS), query)["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    )
