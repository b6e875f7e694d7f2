"""A peer's key is replaced, lost or seized: what counts before and after, on whole nodes and both databases."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from exchange_nodes import DOCUMENTS, PARTNER
from oracles.network import Network
from oracles.schemas import app_of
from oracles.stage import joined
from oracles.worlds import Clock, make_home, open_home, world_of

from federation.cli.examining import _of_keys
from federation.cli.reading import key_state
from federation.errors import BadInput, Conflict
from federation.keys import KeyRing, SigningKey, dpop_proof, generate_key, sign, sign_assertion
from federation.keys import ring as ring_module
from federation.node import Node
from federation.oauth.assertions import ASSERTION_TYPE
from federation.oauth.client import PeerRefused
from federation.oauth.resource import ResourceServer, TokenRefused
from federation.oauth.tokens import LIFETIME
from federation.peers import agreements, handing, statements, trust
from federation.peers.agreements import effective_scopes
from federation.peers.handing import KEYS_PATH, exchange_keys
from federation.peers.statements import MAX_STATEMENTS, hand_over, rotate_peer
from federation.records.registry import catalogue

CATALOGUE = catalogue()
EXCHANGE = "exchange"


@dataclasses.dataclass
class Place:
    """Where nodes are made, and how they reach each other."""

    clock: Clock
    network: Network
    make: Callable[[str], Node]

    def another_worker(self, node: Node) -> str:
        """A second process of a node, which is served under an address of its own; gives that address."""
        again = open_home(node.settings.home, self.clock)
        url = f"{node.settings.url}:8443"
        self.network.apps[url] = app_of(again)
        self.opened.append(again)
        return url

    opened: list[Node] = dataclasses.field(default_factory=list)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    monkeypatch.setattr(ring_module, "LOOKED_AT_SECONDS", 0.0)
    clock, network = Clock(), Network()
    urls: list[str] = []

    def make(name: str) -> Node:
        settings: dict[str, Any] = {"place_k": 1}
        if request.param == "postgresql":
            urls.append(request.getfixturevalue("postgres_pool").take())
            settings["database_url"] = urls[-1]
        home = make_home(tmp_path, name, clock, sqlite_template, **settings)
        node = joined(open_home(home, clock), network)
        made.opened.append(node)
        return node

    made = Place(clock, network, make)
    yield made
    for node in made.opened:
        node.close()
    network.close()
    for url in urls:
        request.getfixturevalue("postgres_pool").give_back(url)


@pytest.fixture
def river(place: Place) -> Node:
    return place.make("river")


@pytest.fixture
def west(place: Place, river: Node) -> Node:
    west = place.make("west")
    link(place, river, west)
    return west


def link(place: Place, one: Node, two: Node) -> None:
    """Two nodes that are linked, verified, and may see all of each other up to `partner`."""
    trust.accept(two.database, two.world, two.me, place.network, trust.invite(one.database, one.world, one.me))
    for node, other in ((one, two), (two, one)):
        name = other.settings.name
        verify(node, name)
        agreements.describe(node.database, name, "none", "KE")
        scopes = [*PARTNER, EXCHANGE]
        agreements.grant(node.database, node.world, CATALOGUE, name, scopes, "coordination", date(2028, 1, 1))


def peer(node: Node, name: str) -> agreements.Partner:
    return agreements.partner(node.database, name)


def words(node: Node, name: str) -> str:
    return " ".join(trust.words_of(node.me, peer(node, name)))


def verify(node: Node, name: str) -> None:
    trust.verify(node.database, node.me, name, words(node, name))


def add(node: Node, **fields: Any) -> str:
    return node.intake.create(node.operator, "resource", DOCUMENTS["resource"] | fields, share=True, confirm=True)


def held(node: Node) -> int:
    """How many records of others a node holds."""
    with node.database.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM resource WHERE via > 0").scalar_one())


def rotate(node: Node, **more: Any) -> SigningKey:
    """Replace the peer key of a node; gives the old one."""
    old = node.keys.peer
    rotate_peer(node.settings.home, node.world, node.settings.url, **more)
    assert node.keys.peer.thumbprint != old.thumbprint
    return old


def meet(place: Place, node: Node, name: str) -> bool:
    return exchange_keys(node.database, node.world, node.me, place.network, peer(node, name))  # type: ignore[arg-type]


def tell(place: Place, to: Node, key: SigningKey, issuer: str, said: list[str]) -> int:
    """What somebody gets who tells statements by a key."""
    now = to.world.timestamp()
    claims = {"iss": issuer, "aud": to.settings.url, "iat": now, "exp": now + 60, "jwk": dict(key.public.jwk)}
    token = sign(key, {"typ": "federation-keys+jwt"}, claims | {"handovers": said})
    return place.network.call("POST", to.settings.url + KEYS_PATH, {}, token.encode()).status


def asks(place: Place, of: Node, key: SigningKey, client_id: str, at: str | None = None) -> tuple[int, str | None]:
    """What an assertion by a key gets at a node's token endpoint: the status, and the token."""
    url, now = of.settings.url, of.world.timestamp()
    place.clock.forward(seconds=1)
    proof_key = generate_key()
    nonce: str | None = None
    for _ in range(2):
        jti = f"{key.thumbprint[:8]} {place.clock.at} {nonce}"
        form = {
            "grant_type": "client_credentials",
            "scope": EXCHANGE,
            "client_id": client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": sign_assertion(key, client_id, url, now, jti),
        }
        proof = dpop_proof(proof_key, "POST", f"{url}/oauth/token", now, jti, nonce=nonce)
        headers = {"content-type": "application/x-www-form-urlencoded", "dpop": proof}
        said = place.network.call("POST", f"{at or url}/oauth/token", headers, urlencode(form).encode())
        nonce = dict(said.headers).get(b"dpop-nonce", b"").decode()
        if said.status == 200 or said.json().get("error") != "use_dpop_nonce":
            break
    body = said.json()
    if said.status != 200:
        assert body["error"] == "invalid_client", body
    return said.status, body.get("access_token")


def findings(node: Node, name: str) -> list[str]:
    return [found.code for found in _of_keys(node, peer(node, name))]


# A signed hand-over


def test_row_44_after_a_hand_over_the_old_key_is_refused_at_once_by_every_worker(place, river, west):
    second = place.another_worker(river)
    old = west.keys.peer
    assert asks(place, river, old, west.settings.url)[0] == 200
    rotate(west)
    assert asks(place, river, west.keys.peer, west.settings.url)[0] == 401
    assert meet(place, west, "river")
    for at in (river.settings.url, second):
        assert asks(place, river, old, west.settings.url, at)[0] == 401
        assert asks(place, river, west.keys.peer, west.settings.url, at)[0] == 200


def test_a_link_goes_on_as_it_was_after_a_hand_over_but_for_the_words(place, river, west):
    add(river)
    west.puller.sync(peer(west, "river"))
    before, said = peer(river, "west"), words(river, "west")
    rotate(west)
    assert meet(place, west, "river")
    after = peer(river, "west")
    assert dataclasses.replace(after, jwks=before.jwks, thumbprint=before.thumbprint) == before
    assert after.verified
    assert after.thumbprint == west.keys.peer.thumbprint
    assert words(river, "west") == words(west, "river") != said
    add(river, title="Another")
    assert west.puller.sync(peer(west, "river")).taken == 1
    assert held(west) == 2
    assert "hand-over" in key_state(river, "west")["key_by"]
    assert findings(river, "west") == []


def test_a_node_that_pulls_hands_over_where_it_is_refused_and_goes_on(place, river, west):
    add(river)
    rotate(west)
    assert west.puller.sync(peer(west, "river")).taken == 1
    assert peer(river, "west").thumbprint == west.keys.peer.thumbprint


def test_a_node_that_is_pulled_hands_over_where_the_puller_sees_another_key(place, river, west):
    add(river)
    west.puller.sync(peer(west, "river"))
    rotate(river)
    west.puller.sync(peer(west, "river"))
    assert peer(west, "river").thumbprint == river.keys.peer.thumbprint
    assert peer(west, "river").verified
    asked = [said for said in place.network.said if said.url.endswith(KEYS_PATH)]
    west.puller.sync(peer(west, "river"))
    assert [said for said in place.network.said if said.url.endswith(KEYS_PATH)] == asked


def test_a_process_that_has_not_seen_the_rotation_yet_raises_no_alarm(place, river, west, monkeypatch):
    monkeypatch.setattr(ring_module, "LOOKED_AT_SECONDS", 3600.0)
    west.ring.look()
    add(river)
    again = open_home(west.settings.home, place.clock)  # another process, which replaces the key and tells it
    place.opened.append(again)
    rotate_peer(west.settings.home, west.world, west.settings.url)
    again.ring.look()
    assert meet(place, again, "river")
    assert west.keys.peer.thumbprint != again.keys.peer.thumbprint
    assert west.puller.sync(peer(west, "river")).taken == 1
    assert findings(river, "west") == []


def test_both_sides_may_have_replaced_their_keys(place, river, west):
    rotate(river)
    rotate(west)
    rotate(west)
    assert meet(place, west, "river")
    assert peer(west, "river").thumbprint == river.keys.peer.thumbprint
    assert peer(river, "west").thumbprint == west.keys.peer.thumbprint
    assert words(river, "west") == words(west, "river")


def test_row_43_a_peer_that_names_a_key_and_shows_no_statement_is_asked_once_a_minute_at_most(place, river, west):
    rotate(river, leaked=True)

    def asked() -> int:
        return len([said for said in place.network.said if said.url.endswith(KEYS_PATH)])

    for _ in range(5):
        west.puller.sync(peer(west, "river"))
    assert asked() == 1
    place.clock.forward(seconds=59)
    west.puller.sync(peer(west, "river"))
    assert asked() == 1
    place.clock.forward(seconds=2)
    west.puller.sync(peer(west, "river"))
    assert asked() == 2
    assert peer(west, "river").thumbprint != river.keys.peer.thumbprint


def test_a_token_in_flight_counts_to_its_end_after_a_hand_over(place, river, west):
    add(river)
    west.puller.sync(peer(west, "river"))
    rotate(west)
    assert meet(place, west, "river")
    before = len([said for said in place.network.said if said.url.endswith("/oauth/token")])
    add(river, title="Another")
    west.puller.sync(peer(west, "river"))
    assert len([said for said in place.network.said if said.url.endswith("/oauth/token")]) == before
    place.clock.forward(seconds=LIFETIME)
    west.puller.sync(peer(west, "river"))
    assert len([said for said in place.network.said if said.url.endswith("/oauth/token")]) > before


def test_an_invitation_counts_though_the_inviter_has_handed_over_since(place, river):
    text = trust.invite(river.database, river.world, river.me)
    rotate(river)
    rotate(river)
    west = place.make("west")
    who = trust.accept(west.database, west.world, west.me, place.network, text)
    assert who.thumbprint == river.keys.peer.thumbprint
    assert not who.verified


def test_an_invitation_does_not_count_where_the_inviters_key_was_replaced_without_a_statement(place, river):
    text = trust.invite(river.database, river.world, river.me)
    rotate(river, leaked=True)
    west = place.make("west")
    with pytest.raises(Exception, match="somebody else answered"):
        trust.accept(west.database, west.world, west.me, place.network, text)


def test_more_statements_than_are_read_end_in_new_words(place, river, west):
    for _ in range(MAX_STATEMENTS + 1):
        rotate(west)
    assert not meet(place, west, "river")
    assert findings(river, "west") == []


# Statements that do not count


@pytest.fixture
def replaced(place, river, west) -> SigningKey:
    """West has replaced its key once, and river knows; the old key, as a thief has it."""
    old = rotate(west)
    assert meet(place, west, "river")
    return old


def test_a_replayed_hand_over_is_refused_and_noted(place, river, west, replaced):
    said = list(west.keys.handovers("peer"))
    kept = peer(river, "west").thumbprint
    assert tell(place, river, replaced, west.settings.url, []) == 401
    assert peer(river, "west").thumbprint == kept
    assert findings(river, "west") == ["KEY_WARNING"]
    assert "replaced" in key_state(river, "west")["key_warning"]
    thief = generate_key()
    assert tell(place, river, thief, west.settings.url, said) == 401
    assert peer(river, "west").thumbprint == kept


def test_a_fork_is_refused_and_noted(place, river, west, replaced):
    thief, now = generate_key(), river.world.timestamp()
    said = hand_over(replaced, thief, west.settings.url, 1, now)
    assert tell(place, river, thief, west.settings.url, [said]) == 401
    assert peer(river, "west").thumbprint == west.keys.peer.thumbprint
    assert findings(river, "west") == ["KEY_WARNING"]
    assert "two successors" in key_state(river, "west")["key_warning"]


def test_a_key_that_was_itself_replaced_hands_nothing_over(place, river, west, replaced):
    second = rotate(west)
    assert meet(place, west, "river")
    thief, now = generate_key(), river.world.timestamp()
    for old, number in ((replaced, 1), (replaced, 3), (second, 2), (second, 9)):
        said = hand_over(old, thief, west.settings.url, number, now)
        assert tell(place, river, thief, west.settings.url, [said]) == 401
    assert peer(river, "west").thumbprint == west.keys.peer.thumbprint
    assert peer(river, "west").verified


def test_a_hand_over_for_another_address_is_refused_and_noted(place, river, west):
    thief = generate_key()
    said = hand_over(west.keys.peer, thief, "https://east.example", 1, river.world.timestamp())
    assert tell(place, river, thief, west.settings.url, [said]) == 401
    assert "another address" in key_state(river, "west")["key_warning"]
    assert peer(river, "west").thumbprint == west.keys.peer.thumbprint


def test_a_statement_with_a_number_that_was_used_or_a_way_back_is_refused(place, river, west, replaced):
    present, now, url = west.keys.peer, river.world.timestamp(), west.settings.url
    thief = generate_key()
    assert tell(place, river, thief, url, [hand_over(present, thief, url, 1, now)]) == 401
    back = hand_over(present, replaced, url, 2, now)
    assert tell(place, river, replaced, url, [back]) == 401
    there = [back, hand_over(replaced, thief, url, 3, now)]
    assert tell(place, river, thief, url, there) == 401
    assert peer(river, "west").thumbprint == present.thumbprint


def test_nobody_takes_the_key_of_another_peer_or_of_the_node_itself(place, river, west):
    aurora = place.make("aurora")
    link(place, river, aurora)
    now, url = river.world.timestamp(), west.settings.url
    for key in (aurora.keys.peer, river.keys.peer):
        said = hand_over(west.keys.peer, key, url, 1, now)
        assert tell(place, river, key, url, [said]) == 401
    assert peer(river, "west").thumbprint == west.keys.peer.thumbprint


def test_what_anybody_could_have_made_is_refused_alike_and_not_noted(place, river, west):
    stranger, url = generate_key(), west.settings.url
    said = hand_over(generate_key(), stranger, url, 1, river.world.timestamp())
    gap = [said, hand_over(west.keys.peer, stranger, url, 5, river.world.timestamp())]
    bodies = []
    for issuer, told in ((url, []), (url, [said]), (url, gap), ("https://nobody.example", []), (url, ["a.b.c"] * 40)):
        assert tell(place, river, stranger, issuer, told) == 401
        bodies.append(place.network.said[-1].body)
    assert len(set(bodies)) == 1
    assert findings(river, "west") == []
    for body in (b"", b"x", b"a.b.c", b"\xff" * 100):
        assert place.network.call("POST", river.settings.url + KEYS_PATH, {}, body).status in (400, 401)


def test_what_was_told_to_another_node_or_has_ended_does_not_count(place, river, west):
    aurora = place.make("aurora")
    link(place, aurora, west)
    rotate(west)
    other = handing.tell(west.me, west.world, aurora.settings.url)
    mine = handing.tell(west.me, west.world, river.settings.url)
    assert place.network.call("POST", river.settings.url + KEYS_PATH, {}, other.encode()).status == 401
    place.clock.forward(minutes=10)
    assert place.network.call("POST", river.settings.url + KEYS_PATH, {}, mine.encode()).status == 401


def test_a_frozen_peer_is_told_nothing_and_hands_nothing_over(place, river, west):
    rotate(west)
    agreements.freeze(river.database, "west")
    before = peer(river, "west").thumbprint
    assert not meet(place, west, "river")
    assert peer(river, "west").thumbprint == before
    agreements.unfreeze(river.database, "west")
    assert meet(place, west, "river")


def test_statements_are_read_whole_or_not_at_all():
    one, two, three = generate_key(), generate_key(), generate_key()
    url = "https://west.example"
    good = [hand_over(one, two, url, 1, 0), hand_over(two, three, url, 2, 0)]
    assert statements.leads(good, url, one.thumbprint, three.thumbprint)
    assert statements.leads(good, url, two.thumbprint, three.thumbprint)
    for bad in (good[::-1], [good[0], good[0]], [*good, "x"], [good[0], hand_over(two, three, url, 3, 0)], good[:1]):
        assert not statements.leads(bad, url, one.thumbprint, three.thumbprint)
    assert not statements.leads(good, "https://east.example", one.thumbprint, three.thumbprint)
    assert not statements.leads(good, url, three.thumbprint, three.thumbprint)
    forged = sign(three, {"typ": "federation-handover+jwt"}, statements.keys.read_jws(
        good[0], types=frozenset({"federation-handover+jwt"})).claims)  # fmt: skip
    assert not statements.leads([forged, good[1]], url, one.thumbprint, three.thumbprint)


# Loss and seizure


def rekeyed(place: Place, river: Node, west: Node) -> None:
    """River gives up west's key; west makes a new one and takes up river's invitation."""
    text = trust.rekey(river.database, river.world, river.me, "west")
    place.clock.forward(seconds=1)  # of the second in which a key is given up no token counts
    rotate(west, leaked=True)
    trust.accept(west.database, west.world, west.me, place.network, text)


def test_row_44_the_assertions_and_tokens_of_a_seized_peer_are_refused_at_once_by_every_worker(place, river, west):
    second = place.another_worker(river)
    old = west.keys.peer
    add(river)
    west.puller.sync(peer(west, "river"))  # the thief has a token too
    trust.rekey(river.database, river.world, river.me, "west")
    for at in (river.settings.url, second):
        assert asks(place, river, old, west.settings.url, at)[0] == 401
    with pytest.raises(PeerRefused):
        west.puller.sync(peer(west, "river"))


def test_a_link_with_a_new_key_keeps_name_and_agreement_and_shows_nothing_above_open_until_words(place, river, west):
    add(river)
    west.puller.sync(peer(west, "river"))
    before = peer(river, "west")
    rekeyed(place, river, west)
    after = peer(river, "west")
    assert (after.pid, after.name, after.scopes, after.until, after.state) == (
        before.pid, before.name, before.scopes, before.until, "active",
    )  # fmt: skip
    assert not after.verified
    assert after.thumbprint == west.keys.peer.thumbprint
    assert all(scope.endswith(":open") for scope in effective_scopes(after))
    west.puller.sync(peer(west, "river"))
    assert words(river, "west") == words(west, "river")
    verify(river, "west")
    assert effective_scopes(peer(river, "west")) == before.scopes
    west.puller.sync(peer(west, "river"))
    assert held(west) == 1


def test_what_the_thief_of_the_old_key_got_counts_no_more_after_new_words_either(place, river, west):
    old = west.keys.peer
    west.puller.sync(peer(west, "river"))
    token = west.puller._session.token(river.settings.url, frozenset({*PARTNER, EXCHANGE}))
    rekeyed(place, river, west)
    verify(river, "west")
    assert asks(place, river, old, west.settings.url)[0] == 401
    with pytest.raises(TokenRefused, match="revoked"):
        ResourceServer(river.realm).authenticate_token("DPoP", token, "a.b.c", "POST", "/graphql")


def test_the_other_side_keeps_the_link_as_it_was(place, river, west):
    before = peer(west, "river")
    rekeyed(place, river, west)
    assert peer(west, "river") == before
    add(west)
    verify(river, "west")
    assert river.puller.sync(peer(river, "west")).taken >= 1


def test_a_key_given_up_never_comes_back(place, river, west):
    old = west.keys.peer
    text = trust.rekey(river.database, river.world, river.me, "west")
    with pytest.raises(Conflict):
        trust.accept(west.database, west.world, west.me, place.network, text)
    thief, url = generate_key(), west.settings.url
    said = hand_over(old, thief, url, 1, river.world.timestamp())
    assert tell(place, river, thief, url, [said]) == 401
    assert peer(river, "west").thumbprint not in (old.thumbprint, thief.thumbprint)
    rotate(west, leaked=True)
    trust.accept(west.database, west.world, west.me, place.network, text)
    assert peer(river, "west").thumbprint == west.keys.peer.thumbprint
    assert tell(place, river, thief, url, [said]) == 401
    assert findings(river, "west") == ["KEY_WARNING"]


def test_words_are_not_compared_before_the_new_key_is_shown(place, river, west):
    trust.rekey(river.database, river.world, river.me, "west")
    assert findings(river, "west") == ["KEY_AWAITED"]
    assert "awaited" in key_state(river, "west")["key_by"]
    with pytest.raises(Conflict, match="not shown"):
        trust.verify(river.database, river.me, "west", words(river, "west"))
    assert not peer(river, "west").verified


def test_the_invitation_is_for_that_peer_alone_and_the_last_one_counts(place, river, west):
    first = trust.rekey(river.database, river.world, river.me, "west")
    place.clock.forward(seconds=1)
    second = trust.rekey(river.database, river.world, river.me, "west")
    aurora = place.make("aurora")
    with pytest.raises(Conflict):
        trust.accept(aurora.database, aurora.world, aurora.me, place.network, second)
    rotate(west, leaked=True)
    with pytest.raises(BadInput):
        trust.accept(west.database, west.world, west.me, place.network, first)
    trust.accept(west.database, west.world, west.me, place.network, second)
    assert [who.name for who in agreements.partners(river.database)] == ["west"]
    assert findings(river, "west") == []


def test_a_frozen_peer_shows_its_new_key_and_stays_frozen(place, river, west):
    agreements.freeze(river.database, "west")
    rekeyed(place, river, west)
    verify(river, "west")
    who = peer(river, "west")
    assert (who.frozen, who.verified) == (True, True)
    assert asks(place, river, west.keys.peer, west.settings.url)[0] == 401
    agreements.unfreeze(river.database, "west")
    assert asks(place, river, west.keys.peer, west.settings.url)[0] == 200


def test_a_peer_that_cannot_reach_this_node_is_linked_anew_by_its_own_invitation(place, river, west):
    trust.rekey(river.database, river.world, river.me, "west")
    rotate(west, leaked=True)
    text = trust.invite(west.database, west.world, west.me)
    before = peer(west, "river")
    trust.accept(river.database, river.world, river.me, place.network, text)
    assert peer(west, "river") == before
    who = peer(river, "west")
    assert (who.thumbprint, who.verified) == (west.keys.peer.thumbprint, False)
    assert words(river, "west") == words(west, "river")


def test_both_sides_may_have_lost_their_keys(place, river, west):
    trust.rekey(west.database, west.world, west.me, "river")
    rotate(river, leaked=True)
    rekeyed(place, river, west)
    assert words(river, "west") == words(west, "river")
    assert (peer(river, "west").verified, peer(west, "river").verified) == (False, False)


def test_a_node_that_has_forgotten_the_link_too_is_the_same_peer_again(place, river, west, tmp_path):
    trust.rekey(river.database, river.world, river.me, "west")
    place.clock.forward(seconds=1)
    text = trust.rekey(river.database, river.world, river.me, "west")
    rotate(west, leaked=True)
    with west.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM peers")
    who = trust.accept(west.database, west.world, west.me, place.network, text)
    assert (who.name, who.verified) == ("river", False)
    assert peer(river, "west").thumbprint == west.keys.peer.thumbprint


def test_a_hand_over_after_new_words_counts_from_the_new_key(place, river, west):
    rotate(west)
    assert meet(place, west, "river")
    (west.settings.home / "keys" / "peer.jwk").unlink()  # the numbers of its statements are gone too
    text = trust.rekey(river.database, river.world, river.me, "west")
    rotate_peer(west.settings.home, west.world, west.settings.url, leaked=True)
    trust.accept(west.database, west.world, west.me, place.network, text)
    verify(river, "west")
    rotate(west)
    assert meet(place, west, "river")
    assert peer(river, "west").thumbprint == west.keys.peer.thumbprint
    assert peer(river, "west").verified


def test_a_revoked_peer_is_invited_and_not_given_another_key(place, river, west):
    agreements.revoke(river.database, "west")
    with pytest.raises(Conflict, match="invite"):
        trust.rekey(river.database, river.world, river.me, "west")


def test_a_ring_of_a_home_is_what_a_node_asks(place, river):
    assert KeyRing(river.settings.home, world_of("river", place.clock)).in_force.peer == river.keys.peer
