"""The limits around a whole node: who is counted by what, how a refusal reads at each address, and what stays open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from limit_storages import VALKEY, valkey_server
from oracles.network import Bound, Network, agree, client_of
from oracles.network import Light as Peer
from oracles.schemas import app_of
from oracles.worlds import Clock, make_home, open_home
from starlette.testclient import TestClient

from federation.abuse import limits_around, login_limits, request_limits
from federation.app import build
from federation.errors import RateLimited
from federation.limiting import asking
from federation.node import Node
from federation.oauth.personal import issue_personal_token
from federation.peers import trust
from federation.storage.database import Database

URL = "https://river.example"
ONE, OTHER = "192.0.2.10", "198.51.100.20"
QUERY = orjson.dumps({"query": "{ viewer { kind } }"})
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
SETTINGS: dict[str, Any] = {
    "anonymous_per_minute": 10,
    "client_per_minute": 12,
    "peer_per_minute": 14,
    "failures_per_minute": 10,
    "guesses_per_hour": 5,
    "logins_per_hour": 8,
    "place_k": 1,
}


class Web:
    """A node's application, asked from any address."""

    def __init__(self, node: Node, clock: Clock) -> None:
        self.node, self.clock, self.app = node, clock, app_of(node)

    def at(self, address: str) -> TestClient:
        return TestClient(self.app, base_url=URL, client=(address, 4711), raise_server_exceptions=False)

    def ask(self, address: str = ONE, token: str | None = None, **headers: str) -> Any:
        sent = JSON | headers | ({} if token is None else {"authorization": f"Bearer {token}"})
        return self.at(address).post("/graphql", content=QUERY, headers=sent)

    def token(self, name: str = "calendar") -> str:
        return issue_personal_token(
            self.node.database, self.node.world, name, frozenset({"resource:open"}), self.node.scopes
        )[0]


@pytest.fixture
def make(tmp_path: Path, sqlite_template: Path) -> Iterator[Callable[..., Web]]:
    opened: list[Node] = []

    def made(**settings: Any) -> Web:
        clock = Clock()
        home = make_home(tmp_path / str(len(opened)), "river", clock, sqlite_template, **SETTINGS | settings)
        opened.append(open_home(home, clock))
        return Web(opened[-1], clock)

    yield made
    for node in opened:
        node.close()


@pytest.fixture
def web(make: Callable[..., Web]) -> Web:
    return make()


def test_an_address_without_a_token_is_answered_so_often_and_then_told_when(web: Web) -> None:
    answers = [web.ask() for _ in range(11)]
    assert [each.status_code for each in answers] == [200] * 10 + [429]
    assert answers[0].headers["ratelimit-policy"] == '"anonymous";q=10;w=60'
    assert [re.match(r'"anonymous";r=(\d+);t=\d+$', each.headers["ratelimit"])[1] for each in answers] == [
        *map(str, range(9, -1, -1)),
        "0",
    ]
    assert answers[10].json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert web.ask(OTHER).status_code == 200


def test_after_the_time_that_was_told_the_request_passes(web: Web) -> None:
    for _ in range(10):
        web.ask()
    refused = web.ask()
    assert refused.headers["ratelimit"] == f'"anonymous";r=0;t={refused.headers["retry-after"]}'
    web.clock.forward(seconds=int(refused.headers["retry-after"]))
    assert web.ask().status_code == 200


def test_a_viewer_is_counted_by_itself_and_not_by_its_address(web: Web) -> None:
    for _ in range(11):
        web.ask()
    one, other = web.token("one"), web.token("other")
    answers = [web.ask(token=one) for _ in range(13)]
    assert [each.status_code for each in answers] == [200] * 12 + [429]
    assert answers[-1].headers["ratelimit-policy"] == '"client";q=12;w=60'
    assert answers[-1].json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert web.ask(OTHER, token=one).status_code == 429
    assert web.ask(token=other).headers["ratelimit"].startswith('"client";r=11;')


@pytest.mark.parametrize(
    ("method", "path", "headers", "says"),
    [
        ("POST", "/oauth/token", FORM, lambda body: body["error"] == "temporarily_unavailable"),
        ("POST", "/oauth/revoke", FORM, lambda body: body["error"] == "temporarily_unavailable"),
        ("POST", "/oauth/endpoint-to-come", FORM, lambda body: body["error"] == "temporarily_unavailable"),
        ("POST", "/exchange/changes", JSON, lambda body: body["error"] == "RATE_LIMITED"),
        ("GET", "/graphql/schema.graphql", {}, lambda body: body["error"] == "RATE_LIMITED"),
        ("GET", "/.well-known/jwks.json", {}, lambda body: body["error"] == "RATE_LIMITED"),
        ("GET", "/nothing/here", {}, lambda body: body["error"] == "RATE_LIMITED"),
    ],
)
def test_a_refusal_has_the_form_that_errors_have_at_its_address(
    method: str, path: str, headers: dict[str, str], says: Callable[[Any], bool], web: Web
) -> None:
    one = web.at(ONE)
    answers = [one.request(method, path, headers=headers) for _ in range(11)]
    assert all(each.status_code != 429 for each in answers[:10])
    assert answers[10].status_code == 429
    assert says(answers[10].json())
    assert int(answers[10].headers["retry-after"]) > 0
    assert answers[10].headers["ratelimit"].startswith('"anonymous";r=0;')
    assert answers[10].headers["x-content-type-options"] == "nosniff"


def test_a_person_is_told_in_words(web: Web) -> None:
    one = web.at(ONE)
    for path in ("/console/setup", "/oauth/authorize"):
        refused = [one.get(path) for _ in range(11)][-1]
        assert refused.status_code == 429
        assert refused.headers["content-type"].startswith("text/html")
        assert f"it is answered again in {refused.headers['retry-after']} seconds." in refused.text


def test_health_is_told_however_often_it_is_asked(web: Web) -> None:
    one = web.at(ONE)
    assert {one.get(path).status_code for path in ("/health/live", "/health/ready") for _ in range(30)} == {200}


def test_a_header_that_looks_like_a_token_does_not_make_public_pages_free(web: Web) -> None:
    one = web.at(ONE)
    statuses = [one.get("/.well-known/jwks.json", headers={"authorization": "Bearer x"}).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]


def test_a_token_where_none_is_asked_for_is_no_way_around(make: Callable[..., Web]) -> None:
    one = make().at(ONE)
    sent = {"authorization": "Bearer x"}
    for _ in range(100):
        one.post("/exchange/keys", content=b"", headers=sent)
    assert one.post("/exchange/keys", content=b"", headers=sent).status_code == 429


@pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/graphql/schema.graphql", "/console/setup", "/nothing"])
def test_what_may_be_kept_for_others_does_not_say_how_its_caller_stands(path: str, web: Web) -> None:
    assert "ratelimit" not in web.at(ONE).get(path).headers


def test_credentials_that_are_refused_count_by_address_and_leave_the_others_there_alone(web: Web) -> None:
    good = web.token()
    statuses = [web.ask(token="fedp_wrong").status_code for _ in range(14)]
    assert statuses == [401] * 10 + [429] * 4
    assert web.ask(token=good).status_code == 200
    assert web.ask().status_code == 200
    assert web.ask(OTHER, token="fedp_wrong").status_code == 401


def test_a_flood_of_credentials_is_not_even_looked_at(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = asking.count_failure
    monkeypatch.setattr(asking, "count_failure", lambda **given: (looked.append(""), real(**given))[1])
    for _ in range(130):
        web.ask(token="fedp_wrong")
    assert len(looked) == 100
    assert web.ask(OTHER, token="fedp_wrong").status_code == 401


def test_credentials_that_nobody_came_to_look_at_count_as_refused(web: Web) -> None:
    one = web.at(ONE)
    for _ in range(10):
        headers = {"authorization": "Bearer x", "content-type": "text/plain"}
        assert one.post("/graphql", content=b"x", headers=headers).status_code == 415
    assert web.ask(token="fedp_wrong").status_code == 429


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


def reached(web: Web, network: Network) -> Web:
    network.apps[URL] = web.app
    return web


def test_a_client_is_counted_with_its_token_requests_too(web: Web, network: Network) -> None:
    reached(web, network)
    client: Bound = client_of(network, web.node, "dashboard", frozenset({"resource:open"}))
    statuses = [client.post("/graphql", QUERY).status for _ in range(12)]
    tokens = [said for said in network.said if said.url.endswith("/oauth/token")]
    assert tokens[-1].status == 200
    assert dict(tokens[-1].headers)[b"ratelimit-policy"] == b'"client";q=12;w=60'
    assert 429 in statuses
    assert statuses[:8] == [200] * 8


def test_a_client_that_asks_for_tokens_too_often_is_told_so_as_oauth_does(
    make: Callable[..., Web], network: Network
) -> None:
    web = reached(make(anonymous_per_minute=1000), network)
    client = client_of(network, web.node, "dashboard", frozenset({"resource:open"}))
    for _ in range(30):
        client.session._servers.clear()
        client.post("/graphql", QUERY)
    refused = [said for said in network.said if said.url.endswith("/oauth/token") and said.status == 429]
    assert refused
    assert refused[0].json()["error"] == "temporarily_unavailable"
    headers = dict(refused[0].headers)
    assert headers[b"cache-control"] == b"no-store"
    assert int(headers[b"retry-after"]) > 0
    assert headers[b"ratelimit"].startswith(b'"client";r=0;')


def test_proofs_that_lack_the_nonce_are_no_failures(web: Web, network: Network) -> None:
    reached(web, network)
    client = client_of(network, web.node, "dashboard", frozenset({"resource:open"}))
    for _ in range(3):
        client.session._server(URL).nonce = None
        assert client.post("/graphql", QUERY).status == 200
    assert any(said.status == 401 for said in network.said)
    assert web.ask("192.0.2.1", token="fedp_wrong").status_code == 401


def test_a_peer_has_an_allowance_of_its_own_in_the_exchange(make: Callable[..., Web], network: Network) -> None:
    web = reached(make(anonymous_per_minute=1000), network)
    peer = Peer("delta", network, web.clock)
    assert peer.join(web.node).status == 200
    agree(web.node, "delta", ["resource:open", "exchange"])
    caller = peer.caller(web.node, frozenset({"resource:open"}))
    said = [caller.post("/exchange/changes", b'{"cursor":"x"}') for _ in range(20)]
    refused = [each for each in said if each.status == 429]
    assert refused
    assert refused[0].json()["error"] == "RATE_LIMITED"
    assert dict(refused[0].headers)[b"ratelimit-policy"] == b'"peer";q=14;w=60'
    assert int(dict(refused[0].headers)[b"retry-after"]) > 5


@pytest.mark.parametrize("path", [trust.JOIN_PATH, "/console/setup", "/oauth/register"])
def test_wrong_codes_are_few_an_hour_from_one_address(path: str, web: Web) -> None:
    one, sent = web.at(ONE), {"origin": URL, **FORM}
    statuses = [
        one.post(path, content=b"code=x&password=long-enough-for-it&again=x", headers=sent).status_code
        for _ in range(7)
    ]
    assert statuses[5:] == [429, 429]
    assert all(400 <= status < 429 for status in statuses[:5])
    web.clock.forward(minutes=5)
    assert one.post(path, content=b"code=x", headers=sent).status_code == 429
    assert one.get("/console/setup").status_code == 200
    assert web.at(OTHER).post(path, content=b"code=x", headers=sent).status_code != 429


def test_right_codes_use_up_no_guess(make: Callable[..., Web], network: Network) -> None:
    web = reached(make(anonymous_per_minute=1000), network)
    for number in range(7):
        assert Peer(f"peer-{number}", network, web.clock).join(web.node).status == 200


def test_guesses_outlive_a_restart(web: Web) -> None:
    for _ in range(5):
        web.at(ONE).post("/oauth/register", content=b"", headers=FORM)
    again = Web(web.node, web.clock)
    assert again.at(ONE).post("/oauth/register", content=b"", headers=FORM).status_code == 429


def test_behind_a_proxy_those_who_ask_are_told_apart(make: Callable[..., Web]) -> None:
    web = make(trusted_proxies=["10.0.0.0/8"])
    for _ in range(11):
        last = web.ask("10.0.0.1", **{"x-forwarded-for": ONE})
    assert last.status_code == 429
    assert web.ask("10.0.0.1", **{"x-forwarded-for": OTHER}).status_code == 200
    assert web.ask("10.0.0.1", **{"x-forwarded-for": f"{OTHER}, {ONE}"}).status_code == 429
    assert web.ask(ONE, **{"x-forwarded-for": OTHER}).status_code == 429


def test_each_of_several_processes_has_its_share(web: Web) -> None:
    app = build(web.node, background=False, processes=4)
    one = TestClient(app, base_url=URL, client=(ONE, 1))
    answers = [one.post("/graphql", content=QUERY, headers=JSON) for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"anonymous";q=3;w=60'


SHARED = ("sqlite", "postgresql", *VALKEY)


@pytest.mark.parametrize("kind", SHARED)
def test_processes_that_share_their_counts_have_one_limit(
    kind: str, make: Callable[..., Web], make_database: Callable[[str], Database], tmp_path: Path
) -> None:
    server = valkey_server(tmp_path) if kind == "valkey" else None
    given: dict[str, Any] = {"limits_url": "database" if server is None else server.__enter__()}
    if kind == "postgresql":
        given["database_url"] = make_database(kind).url
    web = make(**given)
    ones = [TestClient(build(web.node, background=False, processes=2), base_url=URL, client=(ONE, 1)) for _ in range(2)]
    try:
        statuses = [ones[turn % 2].post("/graphql", content=QUERY, headers=JSON).status_code for turn in range(12)]
        token = web.token()
        known = [
            ones[turn % 2].post("/graphql", content=QUERY, headers=JSON | {"authorization": f"Bearer {token}"})
            for turn in range(14)
        ]
    finally:
        if server is not None:
            server.__exit__(None, None, None)
    assert statuses == [200] * 10 + [429] * 2
    assert [each.status_code for each in known] == [200] * 12 + [429] * 2


def test_with_the_counts_away_the_node_still_answers_and_still_counts(make: Callable[..., Web]) -> None:
    web = make(limits_url="valkey://127.0.0.1:1")
    assert [web.ask().status_code for _ in range(11)] == [200] * 10 + [429]


def test_outside_of_an_application_with_limits_nothing_is_counted() -> None:
    for _ in range(3):
        asking.count("client", "somebody")
        asking.count_failure()
    assert asking.address() is None


def test_a_viewer_counts_once_a_request_however_often_it_is_looked_up() -> None:
    counted: list[str] = []
    one = asking.Asking(ONE, lambda kind, subject: counted.append(subject), lambda *_: None)  # type: ignore[func-returns-value]
    with asking.asked(one):
        assert asking.address() == ONE
        asking.count("client", "somebody")
        asking.count("client", "somebody")
        asking.count_failure()
    assert counted == ["somebody"]


def test_a_socket_counts_whoever_its_first_message_names(web: Web) -> None:
    """What comes over one socket counts for its viewer as requests do, so that a stream is no way around."""
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], asking.address()))
        if scope["type"] == "websocket":
            with pytest.raises(RateLimited):
                _many("client", "somebody", SETTINGS["client_per_minute"] + 1)

    limited = limits_around(web.node)[0]
    around: Any = limited.cls(inner, *limited.args, **limited.kwargs)
    for scope in ({"type": "lifespan"}, {"type": "websocket", "path": "/graphql", "headers": [], "client": (ONE, 1)}):
        anyio.run(around, scope, None, None)
    assert seen == [("lifespan", None), ("websocket", ONE)]


def _many(kind: str, subject: str, times: int) -> None:
    for _ in range(times):
        asking.count(kind, subject, again=True)


def test_the_limits_of_logins_are_the_nodes(web: Web) -> None:
    limits = login_limits(web.node)
    limits.may_try(ONE, "maria")
    limits.may_try(ONE, "maria")
    with pytest.raises(RateLimited):
        limits.may_try(ONE, "maria")
    mark = login_limits(web.node).succeeded(ONE, "maria")
    assert login_limits(web.node).knows("maria", mark)


def test_members_and_stewards_are_counted_like_clients(web: Web) -> None:
    limits = request_limits(web.node)
    assert limits.count_viewer("anonymous", "anonymous") is None
    for kind, name in (("steward", "client"), ("member", "client"), ("client", "client"), ("peer", "peer")):
        standing = limits.count_viewer(kind, "same")
        assert standing is not None
        assert (standing.name, standing.left) == (name, standing.quota - 1)
