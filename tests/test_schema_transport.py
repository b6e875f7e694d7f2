"""GraphQL over HTTP as callers meet it: media types, statuses, bounds; POST alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import anyio
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.testclient import TestClient

from federation.errors import Unauthenticated
from federation.policies.viewer import Viewer
from federation.schema.documents import Limits
from federation.schema.endpoint import GraphQLEndpoint
from federation.schema.transport import chosen_media, graphql_app, is_json
from federation.storage.pool import ReaderPool
from tests.schema_world import CODES, OPEN_ALL, MemoryGate, client, sample

QUERY = {"query": "{ __typename }"}


@pytest.fixture(scope="module")
def web() -> TestClient:
    gate = MemoryGate(sample())
    endpoint = GraphQLEndpoint(gate, None, CODES, policy=lambda: gate.policy, limits=Limits(body=4096))

    def authenticate(request: Request) -> Viewer:
        if request.headers.get("authorization") == "DPoP wrong":
            raise Challenged("This token is not valid.")
        return client(*OPEN_ALL)

    routes = [Route("/graphql", graphql_app(endpoint, authenticate), methods=["GET", "POST", "PUT", "DELETE"])]
    return TestClient(Starlette(routes=routes))


class Challenged(Unauthenticated):
    headers: ClassVar[dict[str, str]] = {"www-authenticate": "DPoP"}


def test_a_query_is_answered_in_the_media_type_that_was_asked_for(web: TestClient) -> None:
    for accept, media in (
        ("application/graphql-response+json", "application/graphql-response+json"),
        ("application/json", "application/json"),
        ("application/graphql-response+json, application/json;q=0.9", "application/graphql-response+json"),
        ("*/*", "application/json"),
        ("text/html, application/*;q=0.1", "application/json"),
    ):
        response = web.post("/graphql", json=QUERY, headers={"accept": accept})
        assert response.status_code == 200
        assert response.headers["content-type"] == f"{media}; charset=utf-8"
        assert response.json()["data"] == {"__typename": "Query"}
        assert response.headers["cache-control"] == "no-store"


def test_what_cannot_be_accepted_is_406(web: TestClient) -> None:
    assert web.post("/graphql", json=QUERY, headers={"accept": "text/html"}).status_code == 406
    assert chosen_media("application/json;q=0") is None
    assert chosen_media("application/json;q=x") is None
    assert chosen_media(None) == "application/json"


def test_only_post_with_json_is_taken(web: TestClient) -> None:
    for method in ("GET", "PUT", "DELETE"):
        response = web.request(method, "/graphql", params=QUERY)
        assert response.status_code == 405
        assert response.headers["allow"] == "POST"
    for content_type in (None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
        headers = {"content-type": content_type} if content_type else {}
        assert web.post("/graphql", content=b'{"query":"{ __typename }"}', headers=headers).status_code == 415
    assert is_json("Application/JSON; charset=UTF-8")
    assert not is_json(None)


def test_a_body_that_is_too_large_is_not_read(web: TestClient) -> None:
    large = {"query": "{ __typename }" + " " * 5000}
    assert web.post("/graphql", json=large).status_code == 413

    def chunks():
        for _ in range(100):
            yield b" " * 1000

    headers = {"content-type": "application/json"}
    assert web.post("/graphql", content=chunks(), headers=headers).status_code == 413


def test_an_unknown_token_is_challenged(web: TestClient) -> None:
    response = web.post("/graphql", json=QUERY, headers={"authorization": "DPoP wrong"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "DPoP"
    assert response.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


def test_errors_have_the_statuses_of_their_media_type(web: TestClient) -> None:
    for accept, status in (("application/graphql-response+json", 400), ("application/json", 200)):
        response = web.post("/graphql", json={"query": "{ nope }"}, headers={"accept": accept})
        assert response.status_code == status
        assert "data" not in response.json()
    assert web.post("/graphql", content=b"{", headers={"content-type": "application/json"}).status_code == 400


def test_batches_are_not_taken(web: TestClient) -> None:
    assert web.post("/graphql", json=[QUERY, QUERY]).status_code == 400


def test_quick_reads_and_slow_ones_answer_alike(web: TestClient) -> None:
    query = {"query": "{ resources(first: 2) { nodes { title kind } } }"}
    answers = {web.post("/graphql", json=query).content for _ in range(4)}
    assert len(answers) == 1


def test_a_cheap_request_never_makes_the_event_loop_wait_for_a_reader() -> None:
    pool = ReaderPool(lambda: SimpleNamespace(close=lambda: None), 1, 30.0)

    class Pooled(MemoryGate):
        def run(self, viewer: Viewer, prepared: None, request: Any) -> Any:
            with pool.lent():
                return super().run(viewer, prepared, request)

    gate = Pooled(sample())
    endpoint = GraphQLEndpoint(gate, None, CODES, policy=lambda: gate.policy)
    viewer = client("resource:open")

    async def asked(query: str) -> int:
        body = orjson.dumps({"query": query})

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
        return (await graphql_app(endpoint, lambda request: viewer)(Request(scope, receive))).status_code

    async def scene() -> None:
        query = "{ resources(first: 1) { nodes { id } } }"
        assert await asked(query) == 200
        endpoint._ready[next(reversed(endpoint._ready))].seconds = 0.0001
        async with anyio.create_task_group() as tasks:
            with pool.lent():
                tasks.start_soon(asked, query)
                for _ in range(5):
                    with anyio.fail_after(1):
                        await anyio.sleep(0.01)
        assert await asked(query) == 200

    anyio.run(scene)


async def answered(endpoint: GraphQLEndpoint, authenticate: Any, headers: Sequence[tuple[bytes, bytes]] = ()) -> int:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": orjson.dumps(QUERY), "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json"), *headers]}
    return (await graphql_app(endpoint, authenticate)(Request(scope, receive))).status_code


def test_a_proof_is_looked_at_in_a_thread_and_other_viewers_in_the_event_loop() -> None:
    gate = MemoryGate(sample())
    endpoint = GraphQLEndpoint(gate, None, CODES, policy=lambda: gate.policy)
    threads: list[int] = []

    def authenticate(request: Request) -> Viewer:
        threads.append(threading.get_ident())
        return client(*OPEN_ALL)

    async def scene() -> None:
        for headers in ([], [(b"authorization", b"Bearer fedp_x")], [(b"authorization", b"DPoP x"), (b"dpop", b"y")]):
            assert await answered(endpoint, authenticate, headers) == 200

    anyio.run(scene)
    assert [thread == threading.get_ident() for thread in threads] == [True, True, False]


def test_a_viewer_who_needs_a_reader_that_is_lent_is_looked_for_in_a_thread() -> None:
    pool = ReaderPool(lambda: SimpleNamespace(close=lambda: None), 1, 30.0)
    gate = MemoryGate(sample())
    endpoint = GraphQLEndpoint(gate, None, CODES, policy=lambda: gate.policy)
    statuses: list[int] = []

    def authenticate(request: Request) -> Viewer:
        with pool.lent():
            return client(*OPEN_ALL)

    async def ask() -> None:
        statuses.append(await answered(endpoint, authenticate))

    async def scene() -> None:
        async with anyio.create_task_group() as tasks:
            with pool.lent():
                tasks.start_soon(ask)
                for _ in range(5):
                    with anyio.fail_after(1):
                        await anyio.sleep(0.01)
                assert statuses == []

    anyio.run(scene)
    assert statuses == [200]


def test_who_is_refused_in_a_thread_is_told_why() -> None:
    gate = MemoryGate(sample())
    endpoint = GraphQLEndpoint(gate, None, CODES, policy=lambda: gate.policy)

    def authenticate(request: Request) -> Viewer:
        raise Challenged("This token is not valid.")

    assert anyio.run(answered, endpoint, authenticate, [(b"dpop", b"y")]) == 401
