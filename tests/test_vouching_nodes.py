"""Nodes that vouch for one another: who is told what, how long it holds, and that nothing else comes of it."""

from __future__ import annotations

import ast
import base64
import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from oracles.network import Said
from pygrindvakt import federation as other
from vouching_nodes import Nodes, in_line, making, tell
from vouching_world import claims_of

from federation import keys
from federation.errors import Conflict, FederationError
from federation.keys import generate_key
from federation.keys import ring as ring_module
from federation.outbound import Response
from federation.peers import agreements, trust
from federation.peers.agreements import effective_scopes, token_scopes, viewer_of
from federation.peers.handing import exchange_keys
from federation.peers.state import give_lease_back, take_lease
from federation.peers.statements import rotate_peer
from federation.peers.vouching import store
from federation.peers.vouching.entity import CONFIGURATION_PATH, FETCH_PATH, LIST_PATH, RESOLVE_PATH, TRUST_PATH
from federation.peers.vouching.marks import make_mark
from federation.peers.vouching.renewal import LEASE, REFRESH_SECONDS, refresh, round_of
from federation.peers.vouching.statements import STATEMENT
from federation.policies.decide import decide
from federation.records.registry import RECORD_TYPES, catalogue

RIVER, WEST, AURORA, DELTA = (f"https://{name}.example" for name in ("river", "west", "aurora", "delta"))


@pytest.fixture
def nodes(tmp_path: Path, sqlite_template: Path) -> Iterator[Nodes]:
    yield from making(tmp_path / "nodes", sqlite_template)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Nodes]:
    """The line for tests that change nothing of it but what delta kept of river."""
    for made in making(tmp_path_factory.mktemp("lasting"), sqlite_template):
        yield in_line(made)


def uncounted(said: Said) -> tuple[int, dict[bytes, bytes], bytes]:
    """An answer whole, but for how many requests its caller has left: that tells of its own requests alone."""
    return said.status, {name: value for name, value in said.headers if name != b"ratelimit"}, said.body


@pytest.fixture
def line(nodes: Nodes) -> Nodes:
    return in_line(nodes)


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, nodes: Nodes) -> Iterator[Nodes]:
    """The same line, on either database."""
    if request.param == "sqlite":
        yield in_line(nodes)
        return
    pool = request.getfixturevalue("postgres_pool")
    urls = {name: pool.take() for name in ("river", "west", "aurora", "delta")}
    try:
        yield in_line(nodes, **{name: {"database_url": url} for name, url in urls.items()})
    finally:
        nodes.close()
        nodes.by_name.clear()
        for url in urls.values():
            pool.give_back(url)


def test_a_peer_is_shown_who_vouches_up_to_the_anchor_until_it_is_not_renewed(either: Nodes) -> None:
    found = either.standing("delta", "river")
    assert found.state == store.VOUCHED
    assert [chain.path for chain in found.chains] == [(RIVER, WEST, AURORA)]
    assert found.elsewhere == ((RIVER, WEST),)
    assert set(found.chains[0].metadata) == {
        "federation_entity", "oauth_authorization_server", "oauth_client", "oauth_resource",
    }  # fmt: skip
    either.round()
    store.drop_subordinate(either.by_name["west"].database, either.peer("west", "river").pid)
    tell(either)
    either.round()
    assert either.standing("delta", "river").state == store.ENDED
    store.unpin_anchor(either.by_name["delta"].database, AURORA)
    store.drop_superior(either.by_name["river"].database, either.peer("river", "west").pid)
    assert not either.by_name["river"].entity.superiors()


def test_statements_are_renewed_for_as_long_as_the_superior_stands_by_them(line: Nodes) -> None:
    for _ in range(30):
        line.clock.forward(hours=2)
        line.round("aurora", "west", "river", "delta")
        assert line.standing("delta", "river").state == store.VOUCHED
    left = line.standing("delta", "river").chains[0].expires - line.by_name["delta"].world.timestamp()
    assert left > 12 * 3600


@pytest.mark.parametrize("how", ["unvouched", "frozen", "revoked", "the day has come"])
def test_a_seized_node_is_removed_by_silence_within_the_life_of_a_statement(line: Nodes, how: str) -> None:
    """It shows its last chain on, and says nothing of what became of it."""
    west = line.by_name["west"]
    if how == "the day has come":
        line.vouch("west", "river", until=west.world.timestamp() + 60)
        tell(line)
    line.round()
    kept = line.by_name["river"].entity.answer(line.peer("river", "delta"))
    {
        "unvouched": lambda: store.drop_subordinate(west.database, line.peer("west", "river").pid),
        "frozen": lambda: agreements.freeze(west.database, "river"),
        "revoked": lambda: agreements.revoke(west.database, "river"),
        "the day has come": lambda: None,
    }[how]()
    delta = line.by_name["delta"]
    pid, hours = line.peer("delta", "river").pid, 0
    while line.standing("delta", "river").state == store.VOUCHED:
        line.clock.forward(hours=2)
        hours += 2
        line.round("aurora", "west")
        store.note_answer(delta.database, pid, kept, delta.world.timestamp(), 2**40)
        line.round("delta")
    assert 24 <= hours <= 50
    found = line.standing("delta", "river")
    assert found.state == store.ENDED
    assert found.since == delta.world.timestamp()
    assert any("has ended" in reason and "was not renewed" in reason for reason in found.reasons)


def test_a_node_with_two_superiors_is_vouched_for_over_both(line: Nodes) -> None:
    line.make("south")
    line.link("river", "south")
    line.vouch("south", "river")
    south = line.by_name["south"]
    line.anchor("delta", "south")
    line.hear("river", "south")
    line.hear("delta", "river")
    paths = [chain.path for chain in line.standing("delta", "river").chains]
    assert paths == [(RIVER, south.me.issuer), (RIVER, WEST, AURORA)]
    store.drop_subordinate(south.database, line.peer("south", "river").pid)
    line.hear("river", "south")
    assert line.by_name["river"].entity.silence_of(line.peer("river", "south")) == "south does not vouch for this node."
    assert line.by_name["river"].entity.silence_of(line.peer("river", "west")) is None
    line.hear("delta", "river")
    assert [chain.path for chain in line.standing("delta", "river").chains] == [(RIVER, WEST, AURORA)]


def test_superiors_that_name_one_another_in_a_circle_come_to_an_end(line: Nodes) -> None:
    line.vouch("river", "west")
    line.vouch("west", "aurora")
    for _ in range(4):
        for at, name in (("aurora", "west"), ("west", "aurora"), ("west", "river"), ("river", "west")):
            line.hear(at, name)
    for node in line.by_name.values():
        assert len(node.entity.chains()) <= 5
        assert len(orjson.dumps(node.entity.chains())) < 100_000
    line.hear("delta", "river")
    assert line.standing("delta", "river").state == store.VOUCHED


def test_a_constraint_or_policy_from_above_ends_a_chain_with_a_sentence(line: Nodes) -> None:
    line.vouch("aurora", "west", max_path_length=0)
    tell(line)
    found = line.standing("delta", "river")
    assert found.state == store.UNVOUCHED
    assert found.reasons == (f"{AURORA} allows 0 entities between itself and a subject; here are 1.",)
    line.vouch("aurora", "west", policy={"oauth_client": {"grant_types": {"subset_of": ["password"]}}})
    tell(line)
    assert line.standing("delta", "river").chains[0].metadata["oauth_client"]["grant_types"] == []
    line.vouch("aurora", "west")
    line.vouch("west", "river", policy={"oauth_client": {"grant_types": {"superset_of": ["password"]}}})
    tell(line)
    assert "grant_types" in line.standing("delta", "river").reasons[0]


# What it never does


def rights(nodes: Nodes, at: str, name: str) -> tuple[Any, ...]:
    """All that a peer may do and see at a node."""
    node, who = nodes.by_name[at], nodes.peer(at, name)
    viewer, policy = viewer_of(who), node.policies.current()
    client = node.realm.clients(who.issuer)
    seen = [(decide(policy, viewer, key).clearance, dict(decide(policy, viewer, key).steps)) for key in RECORD_TYPES]
    return effective_scopes(who), token_scopes(who), client, viewer, seen


@pytest.mark.parametrize("agreed", [False, True])
def test_no_chain_of_any_kind_changes_a_scope_or_a_projection(nodes: Nodes, agreed: bool) -> None:
    for name in ("river", "west", "aurora", "delta"):
        nodes.make(name)
    for one, other_one in (("river", "west"), ("west", "aurora"), ("river", "delta")):
        nodes.link(one, other_one)
    pairs = [("delta", "river"), ("river", "west"), ("west", "river"), ("west", "aurora"), ("aurora", "west")]
    if agreed:
        for at, name in pairs:
            node = nodes.by_name[at]
            scopes = ["resource:community", "exchange"]
            until = node.world.today().replace(year=2030)
            agreements.grant(node.database, node.world, catalogue(), name, scopes, "coordination", until)
    before = {pair: rights(nodes, *pair) for pair in pairs}
    nodes.vouch("west", "river")
    nodes.vouch("aurora", "west")
    tell(nodes)
    unverified = nodes.standing("delta", "river")
    assert unverified.state == store.UNVOUCHED
    assert unverified.elsewhere
    assert {pair: rights(nodes, *pair) for pair in pairs} == before
    nodes.anchor("delta", "aurora")
    store.give_mark(nodes.by_name["west"].database, store.GivenMark("https://m.example", 1, None), 0)
    nodes.round()
    assert nodes.standing("delta", "river").state == store.VOUCHED
    assert {pair: rights(nodes, *pair) for pair in pairs} == before
    nodes.clock.forward(days=4)
    assert nodes.standing("delta", "river").state == store.ENDED
    assert {pair: rights(nodes, *pair) for pair in pairs} == before


def test_nothing_that_decides_knows_of_vouching() -> None:
    """Only what puts the node together and what shows a chain imports it."""
    root = Path(agreements.__file__).parents[1]
    importing = set()
    for path in root.rglob("*.py"):
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = [each.module or ""] if isinstance(each, ast.ImportFrom) else []
            named += [one.name for one in each.names] if isinstance(each, ast.Import) else []
            if any("peers.vouching" in name for name in named):
                importing.add(str(path.relative_to(root)))
    importing = {name for name in importing if not name.startswith("peers/vouching/")}
    assert importing == {"app.py", "node.py", "cli/trust.py", "cli/trust_marks.py"}


def test_a_chain_for_other_keys_than_those_pinned_counts_for_nothing(line: Nodes) -> None:
    """Also where every superior vouches for the new key: only the old key or new words change what is pinned."""
    delta = line.by_name["delta"]
    old = generate_key().public_jwk
    with delta.database.write() as conn:
        conn.execute(agreements.PEERS.update().values(jwks=orjson.dumps([old]).decode()))
    found = line.standing("delta", "river")
    assert found.state == store.UNVOUCHED
    assert "other keys of river than those pinned here" in found.reasons[0]
    assert line.peer("delta", "river").jwks[0]["kid"] == old["kid"]


# Keys that are replaced


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node takes a new key of its own at once."""
    monkeypatch.setattr(ring_module, "LOOKED_AT_SECONDS", 0.0)


def rotated(nodes: Nodes, name: str, *told: str) -> None:
    """A node replaces its peer key, and tells some peers by a statement of the old one."""
    node = nodes.by_name[name]
    rotate_peer(node.settings.home, node.world, node.settings.url)
    for other_name in told:
        assert exchange_keys(node.database, node.world, node.me, nodes.network, nodes.peer(name, other_name))  # type: ignore[arg-type]


def test_a_subordinate_that_replaces_its_key_is_vouched_for_by_the_new_one_at_the_next_round(
    at_once: None, line: Nodes
) -> None:
    rotated(line, "river", "west", "delta")
    west = line.by_name["west"]
    assert west.entity.statement_about(RIVER) is None
    assert line.standing("delta", "river").state == store.UNVOUCHED
    line.round("west")
    tell(line)
    found = line.standing("delta", "river")
    assert found.state == store.VOUCHED
    assert found.chains[0].keys_of(RIVER)[0].thumbprint == line.by_name["river"].keys.peer.thumbprint


def test_an_anchor_that_is_a_peer_keeps_its_place_over_its_own_statement_and_by_nothing_else(
    at_once: None, line: Nodes
) -> None:
    line.anchor("west", "aurora")
    rotated(line, "aurora", "west")
    line.vouch("aurora", "west")
    tell(line)
    assert line.standing("west", "aurora").state == store.VOUCHED
    line.hear("west", "river")
    assert line.standing("west", "river").chains[-1].anchor == AURORA
    assert line.standing("delta", "river").state == store.UNVOUCHED
    assert "not signed by a key" in line.standing("delta", "river").reasons[0]
    line.anchor("delta", "aurora")
    assert line.standing("delta", "river").state == store.VOUCHED
    trust.rekey(line.by_name["west"].database, line.by_name["west"].world, line.by_name["west"].me, "aurora")
    assert line.by_name["west"].entity.anchors()[AURORA] == frozenset()


# Who is told what


def test_what_a_node_says_of_itself_to_everybody_names_nobody(lasting: Nodes) -> None:
    said = lasting.network.call("GET", WEST + CONFIGURATION_PATH)
    assert said.status == 200
    assert dict(said.headers)[b"content-type"] == b"application/entity-statement+jwt"
    claims = claims_of(said.body.decode())
    assert set(claims) == {"iss", "sub", "iat", "exp", "jwks", "metadata"}
    assert claims["metadata"]["federation_entity"] == {}
    again = lasting.network.call("GET", WEST + CONFIGURATION_PATH)
    assert again.body == said.body
    whole = claims_of(lasting.by_name["west"].entity.configuration(whole=True))
    assert whole["authority_hints"] == [AURORA]
    assert "organization_name" not in whole["metadata"]["federation_entity"]
    assert whole["metadata"]["federation_entity"]["federation_fetch_endpoint"] == WEST + FETCH_PATH
    leaf = claims_of(lasting.by_name["river"].entity.configuration(whole=True))
    assert set(leaf["metadata"]["federation_entity"]) == {"federation_resolve_endpoint"}


def test_a_node_that_is_public_says_the_whole_to_everybody_but_still_lists_nobody(nodes: Nodes) -> None:
    in_line(nodes, west={"federation_public": True})
    claims = claims_of(nodes.network.call("GET", WEST + CONFIGURATION_PATH).body.decode())
    assert claims["authority_hints"] == [AURORA]
    assert claims["metadata"]["federation_entity"]["organization_name"] == "west"
    assert RIVER not in str(claims)
    for path in (FETCH_PATH, LIST_PATH, RESOLVE_PATH, TRUST_PATH):
        assert nodes.network.call("POST", WEST + path, {}, b"").status == 401


def requests(app: Any) -> Iterator[tuple[str, str, bytes]]:
    """Every route with every method and whatever somebody could guess of the names of members."""
    guesses = [b"", b"{}", b"sub=https%3A%2F%2Friver.example", b'{"query": "{ peers { name } network { name } }"}']
    guesses.append(b"sub=https%3A%2F%2Friver.example&trust_anchor=https%3A%2F%2Faurora.example")
    for route in app.routes:
        for query in ("", "?sub=https%3A%2F%2Friver.example&trust_anchor=https%3A%2F%2Faurora.example", "?name=river"):
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
                for body in guesses if method == "POST" else [b""]:
                    yield method, route.path + query, body


def test_an_anonymous_crawl_of_a_hub_finds_nobody(nodes: Nodes) -> None:
    line = in_line(nodes, west={"anonymous_per_minute": 100_000, "guesses_per_hour": 1000})
    hub = line.by_name["west"]
    until = hub.world.today().replace(year=2030)
    agreements.grant(
        hub.database, hub.world, catalogue(), "river", ["resource:partner", "exchange"], "coordination", until
    )
    store.give_mark(hub.database, store.GivenMark("https://m.example", line.peer("west", "river").pid, None), 0)
    secret = {"river", "aurora", "delta", "coordination", "m.example"}
    for name in ("river", "aurora", "delta"):
        own = line.by_name[name].keys
        secret |= {own.peer.thumbprint, own.origin, own.peer.public_jwk["x"], own.tokens.thumbprint}
    asked = 0
    for method, path, body in requests(line.network.apps[WEST]):
        for kind in ("application/x-www-form-urlencoded", "application/json") if body else ("",):
            said = line.network.call(method, WEST + path, {"content-type": kind} if kind else {}, body)
            asked += 1
            assert said.status != 429, (method, path)
            told = said.told.decode(errors="replace")
            for part in told.split("."):  # what is signed is looked into too
                told += _unpacked(part)
            found = {each for each in secret if each in told}
            assert not found, (method, path, body, found)
    assert asked > 300


def _unpacked(part: str) -> str:
    raw = part.encode()
    try:
        return base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4)).decode(errors="replace")
    except ValueError:
        return ""


def test_whoever_is_no_verified_peer_gets_one_and_the_same_refusal(line: Nodes) -> None:
    line.make("stranger")
    line.link("west", "stranger")
    west = line.by_name["west"]
    refused = []
    for path in (TRUST_PATH, FETCH_PATH, LIST_PATH, RESOLVE_PATH):
        for subject in (RIVER, "https://nobody.example"):
            form = {"sub": subject, "trust_anchor": AURORA}
            refused.append(line.network.call("POST", WEST + path, {}, f"sub={subject}".encode()))
            with west.database.write() as conn:
                unverified = agreements.PEERS.update().where(agreements.PEERS.c.issuer == "https://stranger.example")
                conn.execute(unverified.values(verified=False))
            refused.append(line.asked("stranger", "west", path, **form))
            agreements.mark_verified(west.database, line.peer("west", "stranger"))
            agreements.revoke(west.database, "stranger")
            refused.append(line.asked("stranger", "west", path, **form))
            with west.database.write() as conn:
                conn.execute(unverified.values(state="pinned"))
            assert line.asked("stranger", "west", path, **form).status != 401
    assert {(each.status, each.body) for each in refused} == {(401, refused[0].body)}
    assert refused[0].json()["error"] == "invalid_client"


def test_peers_fetch_list_and_resolve_what_concerns_them_and_absent_looks_like_forbidden(line: Nodes) -> None:
    line.make("far")
    line.link("west", "far")
    fetched = line.asked("aurora", "west", FETCH_PATH, sub=RIVER)
    assert fetched.status == 200
    assert dict(fetched.headers)[b"content-type"] == b"application/entity-statement+jwt"
    assert claims_of(fetched.body.decode())["sub"] == RIVER
    assert line.asked("aurora", "west", LIST_PATH).json() == [RIVER]
    line.hear("west", "river", "far")
    resolved = line.asked("aurora", "west", RESOLVE_PATH, sub=RIVER, trust_anchor=[DELTA, WEST])
    assert resolved.status == 200
    assert dict(resolved.headers)[b"content-type"] == b"application/resolve-response+jwt"
    claims = claims_of(resolved.body.decode())
    assert (claims["iss"], claims["sub"], claims["aud"]) == (WEST, RIVER, AURORA)
    assert len(claims["trust_chain"]) == 3
    only = line.asked("aurora", "west", RESOLVE_PATH, sub=WEST, trust_anchor=WEST, entity_type="oauth_client")
    assert set(claims_of(only.body.decode())["metadata"]) == {"oauth_client"}
    absent = [
        line.asked("aurora", "west", FETCH_PATH, sub="https://far.example"),
        line.asked("aurora", "west", FETCH_PATH, sub="https://nobody.example"),
    ]
    assert uncounted(absent[0]) == uncounted(absent[1])
    assert absent[0].json()["error"] == "not_found"
    unknown = [
        line.asked("aurora", "west", RESOLVE_PATH, sub=subject, trust_anchor=anchor)
        for subject, anchor in (
            ("https://far.example", WEST),
            ("https://nobody.example", WEST),
            (RIVER, DELTA),
            (RIVER, "https://nobody.example"),
        )
    ]
    assert {each.status for each in unknown} == {404}
    assert len({each.body for each in unknown}) == 1


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        (FETCH_PATH, b"", "invalid_request"),
        (FETCH_PATH, b"sub=a&sub=b", "invalid_request"),
        (FETCH_PATH, b"sub=https%3A%2F%2Fwest.example", "invalid_request"),
        (FETCH_PATH, b"\xff", "invalid_request"),
        (FETCH_PATH, b"sub", "invalid_request"),
        (FETCH_PATH, b"a=b&" * 40, "invalid_request"),
        (FETCH_PATH, b"sub=" + b"x" * 9000, "invalid_request"),
        (LIST_PATH, b"trust_marked=true", "unsupported_parameter"),
        (RESOLVE_PATH, b"sub=https%3A%2F%2Friver.example", "invalid_request"),
    ],
)
def test_a_malformed_request_is_refused_in_the_words_of_the_specification(
    lasting: Nodes, path: str, body: bytes, error: str
) -> None:
    said = lasting.asked("aurora", "west", path, body)
    assert (said.status, said.json()["error"]) == (400, error)
    assert said.json()["error_description"].endswith(".")
    assert lasting.asked("aurora", "west", path + "?sub=x", b"").status == 400


def test_another_implementation_takes_what_a_hub_resolves(line: Nodes) -> None:
    """The world's clock stands in a year to come, where the other implementation never is; so the real time is set."""
    line.clock.at = datetime.now(UTC)
    for upper, lower in (("west", "river"), ("aurora", "west")):
        line.vouch(upper, lower)
    tell(line)
    line.hear("west", "river")
    answer = line.asked("aurora", "west", RESOLVE_PATH, sub=RIVER, trust_anchor=WEST).body

    class Web:
        def get(self, url: str) -> tuple[int, bytes, str]:
            if urlsplit(url).path == RESOLVE_PATH:
                return 200, answer, "application/resolve-response+jwt"
            return 200, line.by_name["west"].entity.configuration(whole=True).encode(), "application/jwt"

        def post_form(self, *_: object) -> tuple[int, bytes, str]:
            raise AssertionError

    pinned = {WEST: {"keys": [line.by_name["west"].keys.peer.public_jwk]}}
    found = other.resolve_via_trust_anchors(Web(), RIVER, pinned)
    assert found.subject == RIVER
    assert found.metadata["oauth_client"]["token_endpoint_auth_method"] == "private_key_jwt"
    chain = claims_of(answer.decode())["trust_chain"]
    chain[1] = chain[1][:-8] + ("AAAAAAAA" if not chain[1].endswith("AAAAAAAA") else "BBBBBBBB")
    jws = claims_of(answer.decode()) | {"trust_chain": chain}
    key = line.by_name["west"].keys.peer
    answer = keys.sign(key, {"typ": "resolve-response+jwt", "kid": key.thumbprint}, jws).encode()
    with pytest.raises(Exception, match="trust_chain"):
        other.resolve_via_trust_anchors(Web(), RIVER, pinned)


# What peers hand over


class Handing:
    """In the place of the session: a peer hands over what it likes."""

    def __init__(self, body: object, status: int = 200) -> None:
        self._answer = Response(status, {}, body if isinstance(body, bytes) else orjson.dumps(body))

    def request(self, *_: object, **__: object) -> Response:
        return self._answer


def handed(nodes: Nodes, body: object, status: int = 200) -> Any:
    """What delta keeps of what river hands over."""
    entity = nodes.by_name["delta"].entity
    bent = dataclasses.replace(entity, session=Handing(body, status))  # type: ignore[arg-type]
    refresh(bent, nodes.peer("delta", "river"))
    return store.answer_of(entity.database, nodes.peer("delta", "river").pid).body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[" * 100_000,
        [],
        {},
        {"chains": "x"},
        {"chains": [], "statement": "x"},
        {"chains": [], "statement": 5},
    ],
)
def test_an_answer_that_is_none_is_refused_and_the_last_one_kept(lasting: Nodes, body: object) -> None:
    with pytest.raises(FederationError):
        handed(lasting, body)
    kept = store.answer_of(lasting.by_name["delta"].database, lasting.peer("delta", "river").pid)
    assert kept.failures > 0
    assert kept.error is not None
    assert lasting.standing("delta", "river").state == store.VOUCHED


def test_of_a_strange_answer_only_what_is_sound_is_kept(line: Nodes) -> None:
    good = line.by_name["river"].entity.answer(line.peer("river", "delta"))
    of_west = line.by_name["west"].entity.answer(line.peer("west", "river"))
    strange = [None, 5, [], [[]], ["x"], [5] * 11, good["chains"][0] * 11, of_west["chains"][0], ["a.b.c"]]
    found = handed(line, {"chains": [*strange, *good["chains"]], "statement": None, "marks": [1, {"a": 1}], "more": 1})
    assert found == {"chains": good["chains"], "statement": None, "marks": []}
    assert len(handed(line, {"chains": good["chains"] * 100})["chains"]) == 16
    with pytest.raises(FederationError, match="another node"):
        handed(line, {"chains": [], "statement": of_west["statement"]})


@pytest.mark.parametrize("at", ["kid", "hints", "address"])
def test_a_peer_that_hands_over_broken_statements_keeps_no_other_from_being_heard(line: Nodes, at: str) -> None:
    river, delta = line.by_name["river"], line.by_name["delta"]
    said: dict[str, Any] = claims_of(river.entity.configuration(whole=True))
    if at == "kid":
        said["jwks"]["keys"][0]["kid"] = ["x"]
    else:
        said["authority_hints"] = None if at == "hints" else ["https://[west"]
    key = river.keys.peer
    broken = keys.sign(key, {"typ": STATEMENT, "kid": key.thumbprint}, said)
    good = river.entity.answer(line.peer("river", "delta"))
    chains = [[broken, *chain[1:]] for chain in good["chains"]]
    found = handed(line, good | {"chains": [*chains, *good["chains"]]})
    assert found["chains"] == good["chains"]
    assert line.standing("delta", "river").state == store.VOUCHED
    assert delta.entity.chains()


def test_peers_that_fail_are_asked_again_later_and_later_and_stop_nobody(line: Nodes) -> None:
    delta, pid, pauses = line.by_name["delta"], line.peer("delta", "river").pid, []
    line.clock.forward(hours=3)
    agreements.freeze(line.by_name["river"].database, "delta")
    for _ in range(9):
        line.round("delta")
        kept = store.answer_of(delta.database, pid)
        pauses.append(kept.next_try - delta.world.timestamp())
        line.clock.forward(seconds=pauses[-1])
    assert pauses == sorted(pauses)
    assert pauses[0] == 60
    assert pauses[-1] == REFRESH_SECONDS
    assert kept.error == "UNAUTHENTICATED"
    agreements.unfreeze(line.by_name["river"].database, "delta")
    line.clock.forward(hours=3)
    line.round("aurora", "west", "river", "delta")
    assert store.answer_of(delta.database, pid).failures == 0


def test_only_trusted_peers_are_asked_and_only_where_the_layer_is_in_use(line: Nodes) -> None:
    line.make("calm")
    line.link("calm", "delta")
    before = len(line.network.said)
    line.round("calm")
    assert len(line.network.said) == before
    agreements.freeze(line.by_name["delta"].database, "river")
    with pytest.raises(Conflict):
        line.hear("delta", "river")
    assert line.standing("delta", "river").reasons == ("river is frozen here.",)
    agreements.unfreeze(line.by_name["delta"].database, "river")
    agreements.revoke(line.by_name["delta"].database, "river")
    assert line.standing("delta", "river").reasons == ("river was revoked here.",)


def test_one_process_at_a_time_does_the_background_work(line: Nodes) -> None:
    delta = line.by_name["delta"]
    line.clock.forward(hours=3)
    assert take_lease(delta.database, LEASE, "another", delta.world.timestamp(), 60)
    before = len(line.network.said)
    round_of(delta.entity, "this one")
    assert len(line.network.said) == before
    give_lease_back(delta.database, LEASE, "another")
    round_of(delta.entity, "this one")
    assert len(line.network.said) > before


# Marks


KIND = "https://aurora.example/marks/answers-at-night"


def test_a_mark_is_shown_while_its_issuer_stands_by_it(line: Nodes) -> None:
    aurora, west = line.by_name["aurora"], line.by_name["west"]
    line.anchor("river", "aurora")
    store.rule_marks(aurora.database, KIND, [AURORA], None)
    store.give_mark(aurora.database, store.GivenMark(KIND, line.peer("aurora", "west").pid, None), 0)
    line.hear("west", "aurora")
    line.hear("river", "west")
    (mark,) = line.standing("river", "west").marks
    assert (mark.type, mark.issuer, mark.subject) == (KIND, AURORA, WEST)
    line.hear("aurora", "west")
    resolved = line.asked("west", "aurora", RESOLVE_PATH, sub=WEST, trust_anchor=AURORA)
    assert claims_of(resolved.body.decode())["trust_marks"][0]["trust_mark_type"] == KIND
    store.take_mark(aurora.database, KIND, line.peer("aurora", "west").pid)
    for _ in range(25):
        line.clock.forward(hours=2)
        line.round("aurora", "west", "river")
    assert line.standing("river", "west").state == store.VOUCHED
    assert line.standing("river", "west").marks == ()
    assert claims_of(west.entity.configuration(whole=True)).get("trust_marks") is None


def test_a_mark_by_a_peer_that_is_no_superior_is_not_shown_since_it_would_name_it(line: Nodes) -> None:
    delta = line.by_name["delta"]
    store.give_mark(delta.database, store.GivenMark(KIND, line.peer("delta", "river").pid, None), 0)
    line.hear("river", "delta")
    assert "trust_marks" not in claims_of(line.by_name["river"].entity.configuration(whole=True))


def test_marks_that_name_another_peer_make_nobody_verify_its_chains_again_and_again(line: Nodes) -> None:
    kind, far, delta = "https://mark.example", "https://far.example", line.by_name["delta"]
    line.make("far")
    for upper, lower in (("aurora", "far"), ("far", "delta")):
        line.link(upper, lower)
    line.vouch("aurora", "far")
    store.rule_marks(line.by_name["aurora"].database, kind, [], None)
    line.hear("far", "aurora")
    tell(line)

    def hand_over(name: str, **more: Any) -> None:
        """The longest chain sixteen times, under what the node itself signs."""
        node, key = line.by_name[name], line.by_name[name].keys.peer
        chain = max(node.entity.answer(line.peer(name, "delta"))["chains"], key=len)
        said = claims_of(chain[0]) | {"metadata": {}} | more
        first = keys.sign(key, {"typ": STATEMENT, "kid": key.thumbprint}, said)
        body = {"chains": [[first, *chain[1:]]] * 16, "statement": None, "marks": []}
        refresh(dataclasses.replace(delta.entity, session=Handing(body)), line.peer("delta", name))  # type: ignore[arg-type]

    key, now = line.by_name["river"].keys.peer, delta.world.timestamp()
    hand_over("far")
    hand_over("river", trust_marks=[make_mark(key, far, RIVER, kind, now) for _ in range(16)])
    began = time.perf_counter()
    found = line.standing("delta", "river")
    assert time.perf_counter() - began < 1.5
    assert (found.state, found.marks) == (store.VOUCHED, ())
