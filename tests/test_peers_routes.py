"""The web edge of the exchange, asked as other nodes ask it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import orjson
import pytest
from exchange_nodes import PARTNER, Clock, Net, Node, copy_of, link
from starlette.applications import Starlette
from starlette.testclient import TestClient

from federation.errors import Unauthenticated
from federation.keys import generate_key, sign
from federation.peers import agreements, trust
from federation.peers.agreements import EXCHANGE
from federation.peers.routes import exchange_routes
from federation.peers.wire import decompressed
from federation.policies.viewer import Viewer, ViewerKind, anonymous

WEST = Viewer(ViewerKind.PEER, "https://west.example", frozenset({EXCHANGE}))
GRANTED = Viewer(ViewerKind.PEER, "https://west.example", frozenset({EXCHANGE, *PARTNER}))


@pytest.fixture
def nodes(tmp_path: Path, sqlite_template: Path):
    net, clock = Net(), Clock()
    nodes = [Node(n, net, copy_of(sqlite_template, tmp_path / f"{n}.db"), clock) for n in ("river", "west")]
    yield nodes
    for node in nodes:
        node.stop()


def client(node: Node, viewer: Viewer | Exception = WEST) -> TestClient:
    def authenticate(request) -> Viewer:
        if isinstance(viewer, Exception):
            raise viewer
        return viewer

    return TestClient(Starlette(routes=exchange_routes(node.source, authenticate)))


def test_a_slice_comes_compressed_in_lines(nodes):
    river, west = nodes
    link(river, west)
    river.grant("west", PARTNER)
    river.add()
    with client(river, GRANTED).stream("POST", "/exchange/reconcile", json={"run": "0" * 32}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-encoding"] == "zstd"
        assert answer.headers["cache-control"] == "no-store"
        told = b"".join(decompressed(answer.iter_raw()))
    items = [orjson.loads(line) for line in told.splitlines()]
    assert items[0]["k"] == "start"
    assert items[-1] == {"k": "end", "c": items[0]["c"], "more": False}
    asked = {"incarnation": items[0]["n"], "epoch": items[0]["e"], "cursor": items[0]["c"]}
    with client(river, GRANTED).stream("POST", "/exchange/changes", json=asked) as answer:
        assert b'"end"' in b"".join(decompressed(answer.iter_raw()))


@pytest.mark.parametrize(
    ("path", "asked", "status", "code"),
    [
        ("reconcile", {"run": "0" * 32, "type": []}, 400, "BAD_INPUT"),
        ("reconcile", {"run": "0" * 32, "type": "resource", "after": {}}, 400, "BAD_INPUT"),
        ("changes", {}, 409, "reconcile"),
        ("changes", {"incarnation": "x", "epoch": 1, "cursor": "x"}, 409, "reconcile"),
        ("changes", {"limit": "much"}, 400, "BAD_INPUT"),
        ("changes", {"limit": -1}, 400, "BAD_INPUT"),
        ("reconcile", {}, 400, "BAD_INPUT"),
        ("reconcile", {"run": "short"}, 400, "BAD_INPUT"),
        ("reconcile", {"run": "0" * 32, "type": "resource", "after": "?"}, 400, "BAD_INPUT"),
        ("reconcile", {"run": "0" * 32, "incarnation": "x", "epoch": 1}, 409, "reconcile"),
        ("changes", [], 400, "BAD_INPUT"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_the_answer_begins(nodes, path, asked, status, code):
    river, west = nodes
    link(river, west)
    river.grant("west", PARTNER)
    answer = client(river, GRANTED).post(f"/exchange/{path}", json=asked)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


@pytest.mark.parametrize(
    ("viewer", "status"),
    [
        (anonymous(), 401),
        (Viewer(ViewerKind.CLIENT, "client-1", frozenset({EXCHANGE})), 403),
        (Viewer(ViewerKind.PEER, "https://west.example", frozenset({"resource:open"})), 403),
        (Viewer(ViewerKind.PEER, "https://stranger.example", frozenset({EXCHANGE})), 401),
        (Unauthenticated("no"), 401),
    ],
)
def test_only_peers_with_a_token_for_it_are_answered(nodes, viewer, status):
    river, west = nodes
    link(river, west)
    assert client(river, viewer).post("/exchange/reconcile", json={"run": "0" * 32}).status_code == status


def test_a_frozen_peer_is_not_answered(nodes):
    river, west = nodes
    link(river, west)
    agreements.freeze(river.database, "west")
    assert client(river).post("/exchange/reconcile", json={"run": "0" * 32}).status_code == 401


def test_a_refused_request_leaves_the_way_free_for_the_next(nodes):
    river, west = nodes
    link(river, west)
    asking = client(river)
    for _ in range(20):
        assert asking.post("/exchange/changes", json={}).status_code == 409
    assert asking.post("/exchange/reconcile", json={"run": "0" * 32}).status_code == 200
    assert asking.post("/exchange/reconcile", json={"run": "0" * 32}).status_code == 200


def test_too_long_and_malformed_requests_are_refused(nodes):
    river, west = nodes
    link(river, west)
    assert client(river).post("/exchange/changes", content=b"x" * 20_000).status_code == 400
    assert client(river).post("/exchange/changes", content=b"{").status_code == 400
    assert client(river).post("/exchange/join", content=b"not a token").status_code == 401
    assert client(river).get("/exchange/changes").status_code == 405


def test_joining_over_http_and_a_code_used_twice(nodes):
    river, west = nodes

    class Http:
        def request(self, method, url, *, headers, content, max_bytes):
            answer = client(river).request(method, "/exchange/join", headers=headers, content=content)
            return type("Answer", (), {"status": answer.status_code, "body": answer.content})()

    text = trust.invite(river.database, river.world, river.me)
    assert trust.accept(west.database, west.world, west.me, Http(), text).name == "river"
    with river.database.write() as conn:
        conn.execute(trust.INVITATIONS.update().values(used_by="x" * 43))
    presented = trust._presentation(west.me, west.world, river.me.issuer, trust.read_invitation(text).code)
    token = trust.keys.sign(west.me.keys.peer, {"typ": trust._JOIN}, presented)
    answer = client(river).post("/exchange/join", content=token)
    assert (answer.status_code, answer.json()["error"]) == (409, "CONFLICT")


def test_an_invitation_does_not_tell_who_else_is_linked(nodes, tmp_path, sqlite_template):
    river, west = nodes
    delta = Node("delta", river.net, copy_of(sqlite_template, tmp_path / "delta.db"), Clock())
    link(river, west)
    link(river, delta)
    code = trust.read_invitation(trust.invite(river.database, river.world, river.me)).code
    own, refusals = west.me.keys, []
    for issuer in (delta.me.issuer, "https://nobody.example"):  # under west's provenance key, which is linked already
        twin = trust.Self("twin", issuer, dataclasses.replace(own, peer=generate_key()))
        said = trust._presentation(twin, west.world, river.me.issuer, code)
        told = sign(twin.keys.peer, {"typ": trust._JOIN}, said)
        refusals.append(client(river).post("/exchange/join", content=told))
    assert {answer.status_code for answer in refusals} == {409}
    assert len({answer.content for answer in refusals}) == 1
    delta.stop()
