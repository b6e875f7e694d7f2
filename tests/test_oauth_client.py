"""The client side: how this node gets a token from a peer and uses it, and what it refuses to believe."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from typing import Any

import pytest
from oauth_world import RIGHTS, URL, Node
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from federation.keys import generate_key
from federation.oauth.client import PeerAnswerInvalid, PeerRefused, PeerSession
from federation.oauth.realm import RegisteredClient
from federation.oauth.resource import TokenRefused
from federation.oauth.routes import routes
from federation.outbound import Response, StreamedResponse
from federation.policies.viewer import ViewerKind
from federation.storage.database import Database
from federation.world import World

WEST = "https://west.example"
SCOPES = frozenset({"exchange", "resource:community"})
Change = Callable[[str, Response], Response]


class Wire:
    """In the place of `Outbound`: requests go to an application in this process. `change` may falsify answers."""

    def __init__(self, app: Any) -> None:
        self.app = TestClient(app, base_url=URL, raise_server_exceptions=False)
        self.log: list[tuple[str, int]] = []
        self.change: Change = lambda url, answer: answer

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        max_bytes: int = 0,
        timeout: float = 0,
    ) -> Response:
        sent = self.app.request(method, url, headers=dict(headers or {}), content=content, follow_redirects=False)
        found = {name.lower(): value for name, value in sent.headers.items()}
        answer = self.change(url, Response(sent.status_code, found, sent.content))
        self.log.append((url.removeprefix(URL), answer.status))
        return answer

    @contextlib.contextmanager
    def stream(self, method: str, url: str, **named: Any) -> Iterator[StreamedResponse]:
        answer = self.request(method, url, **named)
        yield StreamedResponse(answer.status, answer.headers, iter([answer.body]))


class Two:
    """River as the server, with a resource of its own, and west as the client."""

    def __init__(self, database: Database) -> None:
        key = generate_key()
        west = RegisteredClient(WEST, (key.public_jwk,), RIGHTS, ViewerKind.PEER)
        self.river = Node(database, lambda client_id: west if client_id == WEST else None)
        self.clock = self.river.clock
        self.behind = 0

        async def changes(request: Request) -> JSONResponse:
            date = {"Date": formatdate(self.river.now, usegmt=True)}
            try:
                viewer = await run_in_threadpool(
                    self.river.resource.authenticate, request.headers.raw, request.method, str(request.url)
                )
            except TokenRefused as refused:
                return JSONResponse({}, 401, {**refused.headers, **date})
            return JSONResponse({"subject": viewer.subject, "body": (await request.body()).decode()}, 200, date)

        self.wire = Wire(
            Starlette(routes=[*routes(self.river.realm), Route("/exchange/changes", changes, methods=["POST"])])
        )
        self.world = World(
            lambda: self.clock.at.__class__.fromtimestamp(self.river.now + self.behind, self.clock.at.tzinfo)
        )
        self.session = PeerSession(self.wire, key, WEST, self.world)  # type: ignore[arg-type]

    def pull(self, **named: Any) -> Response:
        return self.session.request(URL, SCOPES, "POST", "/exchange/changes", content=b"hi", **named)


@pytest.fixture
def two(sqlite_database: Database) -> Two:
    return Two(sqlite_database)


def dated(two: Two) -> Change:
    """Adds the Date that a real web server sends."""

    def change(url: str, answer: Response) -> Response:
        return Response(answer.status, {**answer.headers, "date": formatdate(two.river.now, usegmt=True)}, answer.body)

    return change


def test_a_peer_gets_a_token_learns_the_nonce_and_is_answered(database: Database) -> None:
    two = Two(database)
    answer = two.pull(headers={"content-type": "text/plain"})
    assert json.loads(answer.body) == {"subject": WEST, "body": "hi"}
    assert two.wire.log == [
        ("/.well-known/oauth-authorization-server", 200),
        ("/oauth/token", 400),
        ("/oauth/token", 200),
        ("/exchange/changes", 200),
    ]


def test_a_token_is_kept_until_shortly_before_its_end(two: Two) -> None:
    two.pull()
    two.wire.log.clear()
    two.clock.turn(60)
    two.pull()
    assert two.wire.log == [("/exchange/changes", 200)]
    two.clock.turn(520)
    two.wire.log.clear()
    two.pull()
    assert [path for path, _ in two.wire.log].count("/oauth/token") == 2
    two.clock.turn(3600)
    two.wire.log.clear()
    two.pull()
    assert two.wire.log[0][0] == "/.well-known/oauth-authorization-server"


def test_a_nonce_that_is_over_is_renewed_at_the_resource(two: Two) -> None:
    two.pull()
    two.clock.turn(400)
    two.wire.log.clear()
    two.pull()
    assert two.wire.log == [("/exchange/changes", 401), ("/exchange/changes", 200)]


def test_a_token_that_was_revoked_is_replaced_once(two: Two) -> None:
    token = two.session.token(URL, SCOPES)
    from federation.oauth.tokens import read_token, revoke

    revoke(two.river.realm, read_token(two.river.realm, token))
    assert two.pull().status == 200
    assert two.session.token(URL, SCOPES) != token


@pytest.mark.parametrize("behind", [-94_608_000, -3600, -120, 120, 3600, 94_608_000])
def test_a_clock_that_is_wrong_is_corrected_by_the_peers(two: Two, behind: int) -> None:
    two.wire.change = dated(two)
    two.behind = behind
    assert two.pull().status == 200
    assert two.session.clock_offset(URL) == -behind


def test_without_a_date_a_wrong_clock_is_refused(two: Two) -> None:
    two.behind = 3600
    with pytest.raises(PeerRefused) as caught:
        two.pull()
    assert caught.value.error == "invalid_client"
    two.wire.change = lambda url, answer: Response(answer.status, {**answer.headers, "date": "yesterday"}, answer.body)
    with pytest.raises(PeerRefused):
        two.pull()


def test_a_clock_that_goes_wrong_later_is_corrected_at_the_resource(two: Two) -> None:
    two.wire.change = dated(two)
    two.pull()
    server = two.session._server(URL)
    server.offset = 100
    two.wire.log.clear()
    assert two.pull().status == 200
    assert two.wire.log == [("/exchange/changes", 401), ("/exchange/changes", 200)]


def test_a_stranger_gets_no_token(two: Two) -> None:
    session = PeerSession(two.wire, generate_key(), WEST, two.world)  # type: ignore[arg-type]
    with pytest.raises(PeerRefused) as caught:
        session.token(URL, SCOPES)
    assert caught.value.error == "invalid_client"
    with pytest.raises(PeerRefused) as caught:
        two.session.token(URL, frozenset({"resource:partner"}))
    assert caught.value.error == "invalid_scope"


def test_a_resource_that_takes_no_token_is_given_up_after_a_new_one(two: Two) -> None:
    def never(url: str, answer: Response) -> Response:
        return Response(401, {}, b"") if url.endswith("/changes") else answer

    two.wire.change = never
    with pytest.raises(PeerRefused) as caught:
        two.pull()
    assert caught.value.error == "invalid_token"
    assert [path for path, _ in two.wire.log].count("/exchange/changes") == 2


def test_an_endless_wish_for_nonces_ends(two: Two) -> None:
    count = iter(range(100))

    def always(url: str, answer: Response) -> Response:
        if url.endswith("/token"):
            return Response(400, {"dpop-nonce": f"n{next(count)}"}, b'{"error":"use_dpop_nonce"}')
        return answer

    two.wire.change = always
    with pytest.raises(PeerRefused) as caught:
        two.pull()
    assert caught.value.error == "use_dpop_nonce"
    assert len(two.wire.log) == 5


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"issuer": URL + "/"},
        {"issuer": None},
        {"token_endpoint": "https://evil.example/oauth/token"},
        {"token_endpoint": "https://river.example.evil.example/oauth/token"},
        {"token_endpoint": None},
        {"token_endpoint": 5},
    ],
)
def test_row_45_an_issuer_that_calls_itself_otherwise_is_refused(two: Two, metadata: dict[str, Any]) -> None:
    def change(url: str, answer: Response) -> Response:
        return Response(200, {}, json.dumps(json.loads(answer.body) | metadata).encode())

    two.wire.change = change
    with pytest.raises(PeerAnswerInvalid):
        two.pull()
    assert [path for path, _ in two.wire.log] == ["/.well-known/oauth-authorization-server"]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("server", Response(302, {"location": "https://evil.example/"}, b"")),
        ("server", Response(200, {}, b"<html>")),
        ("server", Response(200, {}, b"[]")),
        ("token", Response(200, {}, b"nothing")),
        ("token", Response(307, {"location": "https://evil.example/"}, b"")),
        ("token", Response(200, {}, b"{}")),
        ("token", Response(200, {}, b'{"access_token":"x","token_type":"Bearer","expires_in":600}')),
        ("token", Response(200, {}, b'{"access_token":"x","token_type":"DPoP","expires_in":"600"}')),
        ("token", Response(200, {}, b'{"access_token":"x","token_type":"DPoP","expires_in":600,"scope":"exchange"}')),
        ("token", Response(200, {}, b'{"access_token":"","token_type":"DPoP","expires_in":600}')),
    ],
)
def test_row_45_answers_that_the_protocol_does_not_know_are_refused(two: Two, path: str, answer: Response) -> None:
    two.wire.change = lambda url, given: answer if url.endswith(path) else given
    with pytest.raises(PeerAnswerInvalid):
        two.pull()
    assert all("evil" not in asked for asked, _ in two.wire.log)


def test_other_refusals_are_the_callers(two: Two) -> None:
    two.wire.change = lambda url, answer: Response(409, {}, b"") if url.endswith("/changes") else answer
    assert two.pull().status == 409


def test_an_endless_wish_for_nonces_at_the_resource_ends(two: Two) -> None:
    count = iter(range(100))
    challenge = 'DPoP error="use_dpop_nonce"'

    def always(url: str, answer: Response) -> Response:
        if url.endswith("/changes"):
            return Response(401, {"dpop-nonce": f"n{next(count)}", "www-authenticate": challenge}, b"")
        return answer

    two.wire.change = always
    with pytest.raises(PeerRefused) as caught:
        two.pull()
    assert caught.value.error == "use_dpop_nonce"
    assert next(count) == 4


def test_a_right_clock_is_not_corrected_for_another_fault(two: Two) -> None:
    two.wire.change = dated(two)
    session = PeerSession(two.wire, generate_key(), WEST, two.world)  # type: ignore[arg-type]
    with pytest.raises(PeerRefused):
        session.token(URL, SCOPES)
    assert session.clock_offset(URL) == 0
    assert [path for path, _ in two.wire.log].count("/oauth/token") == 1
