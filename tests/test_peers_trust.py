"""Linking two nodes: invitations, keys, words, and what the operator may grant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import SQLModel

from federation.errors import BadInput, Conflict, FederationError, NotFound
from federation.keys import SignatureRefused, generate_keys
from federation.peers import agreements, pinning, trust
from federation.peers.agreements import EXCHANGE, effective_scopes, token_scopes, viewer_of
from federation.peers.trust import Self
from federation.records.registry import catalogue
from federation.storage import peering, sweeper
from federation.storage.database import Database, open_database
from federation.storage.tables import origins, sync_state
from federation.world import World

CATALOGUE = catalogue()
TABLES = [
    agreements.PEERS, trust.INVITATIONS, origins, sync_state, agreements.REPLACED, pinning.REKEYING, pinning.WARNINGS,
]  # fmt: skip


@dataclass
class Node:
    me: Self
    database: Database
    world: World


@dataclass
class Said:
    status: int
    body: bytes = b""


class Wire:
    """The network between the nodes of one test; `bend` may change what an inviter answers."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = {node.me.issuer: node for node in nodes}
        self.bend = lambda answer: answer

    def request(self, method, url, *, headers, content, max_bytes):
        node = self.nodes[url.removesuffix(trust.JOIN_PATH)]
        try:
            return self.bend(Said(200, trust.join(node.database, node.world, node.me, content.decode()).encode()))
        except FederationError as refused:
            return Said(refused.status)


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2027, 1, 15, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock):
    opened = []

    def make(name: str) -> Node:
        world = World(clock, seed=name.encode().ljust(32, b"."))
        database = open_database(f"sqlite:///{tmp_path / name}.db")
        opened.append(database)
        SQLModel.metadata.create_all(database.engine, tables=TABLES)
        return Node(Self(name, f"https://{name}.example", generate_keys(world, name)), database, world)

    yield make
    for database in opened:
        database.close()


@pytest.fixture
def river(make) -> Node:
    return make("river")


@pytest.fixture
def west(make) -> Node:
    return make("west")


def accept(node: Node, wire: Wire, text: str, name: str | None = None):
    return trust.accept(node.database, node.world, node.me, wire, text, name)


def link(inviter: Node, acceptor: Node) -> None:
    accept(acceptor, Wire(inviter), trust.invite(inviter.database, inviter.world, inviter.me))


def grant(node: Node, name: str, *scopes: str, **changes):
    given = {"purpose": "coordination", "until": date(2027, 12, 31)} | changes
    return agreements.grant(node.database, node.world, CATALOGUE, name, scopes, **given)


def verify(node: Node, name: str) -> None:
    words = trust.words_of(node.me, agreements.partner(node.database, name))
    trust.verify(node.database, node.me, name, " ".join(words))


def test_an_invitation_links_both_sides_and_pins_their_keys(river, west):
    text = trust.invite(river.database, river.world, river.me)
    assert text.isascii()
    assert " " not in text
    at_west = accept(west, Wire(river), text)
    at_river = agreements.partner(river.database, "west")
    assert (at_west.name, at_west.issuer, at_west.origin) == ("river", river.me.issuer, river.me.keys.origin)
    assert at_west.thumbprint == river.me.keys.peer.thumbprint
    assert (at_river.thumbprint, at_river.origin) == (west.me.keys.peer.thumbprint, west.me.keys.origin)
    assert not at_west.verified
    assert not at_river.verified
    assert "d" not in at_west.jwks[0]


def test_both_sides_see_the_same_eight_words(river, west):
    link(river, west)
    at_west = trust.words_of(west.me, agreements.partner(west.database, "river"))
    assert at_west == trust.words_of(river.me, agreements.partner(river.database, "west"))
    assert len(at_west) == 8


def test_a_code_works_once(river, west, make):
    text = trust.invite(river.database, river.world, river.me)
    accept(west, Wire(river), text)
    with pytest.raises(Conflict, match="already used"):
        accept(make("turncoat"), Wire(river), text)
    with pytest.raises(Conflict, match="already linked"):
        accept(west, Wire(river), text)
    assert [who.name for who in agreements.partners(river.database)] == ["west"]


def test_a_lost_answer_can_be_asked_for_again_by_the_same_key_only(river, west):
    text = trust.invite(river.database, river.world, river.me)
    wire = Wire(river)
    wire.bend = lambda answer: Said(503)
    with pytest.raises(FederationError):
        accept(west, wire, text)
    wire.bend = lambda answer: answer
    assert accept(west, wire, text).name == "river"


def test_an_invitation_ends(river, west, clock):
    text = trust.invite(river.database, river.world, river.me, seconds=60)
    clock.at += timedelta(seconds=61)
    with pytest.raises(BadInput, match="ended"):
        accept(west, Wire(river), text)


def test_the_inviter_refuses_an_ended_code_whatever_the_string_says(river, west, clock):
    invited = trust.read_invitation(trust.invite(river.database, river.world, river.me, seconds=60))
    clock.at += timedelta(seconds=61)
    presented = trust._presentation(west.me, west.world, river.me.issuer, invited.code)
    token = trust.keys.sign(west.me.keys.peer, {"typ": trust._JOIN}, presented)
    with pytest.raises(BadInput, match="ended"):
        trust.join(river.database, river.world, river.me, token)


@pytest.mark.parametrize("spoil", [lambda t: t[:-3], lambda t: t.replace(t[40], "_", 1), lambda t: "x", lambda t: ""])
def test_a_mistyped_invitation_is_told_apart(river, west, spoil):
    text = trust.invite(river.database, river.world, river.me)
    with pytest.raises(BadInput, match="whole invitation"):
        accept(west, Wire(river), spoil(text))


def test_an_answer_by_another_key_is_refused(river, west, make):
    text = trust.invite(river.database, river.world, river.me)
    turncoat = make("turncoat")
    turncoat = replace(turncoat, me=replace(turncoat.me, issuer=river.me.issuer))
    code = trust.read_invitation(text).code
    with turncoat.database.write() as conn:
        conn.execute(trust.insert(trust.INVITATIONS).values(code=trust._hashed(code), ends=2**40))
    with pytest.raises(SignatureRefused, match="somebody else"):
        accept(west, Wire(turncoat), text)
    assert agreements.partners(west.database) == ()


def test_a_presentation_signed_by_another_key_than_it_shows_is_refused(river, west, make):
    code = trust.read_invitation(trust.invite(river.database, river.world, river.me)).code
    presented = trust._presentation(west.me, west.world, river.me.issuer, code)
    token = trust.keys.sign(make("turncoat").me.keys.peer, {"typ": trust._JOIN}, presented)
    with pytest.raises(SignatureRefused):
        trust.join(river.database, river.world, river.me, token)


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "https://other.example"},
        {"exp": 1},
        {"exp": 2**40},
        {"exp": "soon"},
        {"iss": "https://west.example/path"},
        {"iss": "ftp://west.example"},
        {"name": ""},
        {"name": "a\u202eb"},
        {"code": "??"},
        {"provenance": None},
        {"iss": "https://river.example"},
    ],
)
def test_a_presentation_that_is_not_whole_is_refused(river, west, change):
    code = trust.read_invitation(trust.invite(river.database, river.world, river.me)).code
    presented = trust._presentation(west.me, west.world, river.me.issuer, code) | change
    token = trust.keys.sign(west.me.keys.peer, {"typ": trust._JOIN}, presented)
    with pytest.raises(FederationError):
        trust.join(river.database, river.world, river.me, token)
    assert agreements.partners(river.database) == ()


def test_a_private_key_in_a_presentation_is_refused(river, west):
    code = trust.read_invitation(trust.invite(river.database, river.world, river.me)).code
    presented = trust._presentation(west.me, west.world, river.me.issuer, code) | {"jwk": dict(west.me.keys.peer.jwk)}
    with pytest.raises(BadInput, match="private"):
        trust.join(
            river.database, river.world, river.me, trust.keys.sign(west.me.keys.peer, {"typ": trust._JOIN}, presented)
        )


def test_a_node_does_not_accept_its_own_invitation(river):
    with pytest.raises(BadInput, match="own"):
        accept(river, Wire(river), trust.invite(river.database, river.world, river.me))


def test_a_code_is_kept_as_a_hash_only(river, tmp_path):
    code = trust.read_invitation(trust.invite(river.database, river.world, river.me)).code
    river.database.close()
    assert code not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_two_peers_of_one_name_are_told_apart(river, west, make):
    link(west, river)
    third = make("third")
    third = replace(third, me=replace(third.me, name="west"))
    link(third, river)
    assert [who.name for who in agreements.partners(river.database)] == ["west", "west-2"]
    fourth = make("fourth")
    text = trust.invite(fourth.database, fourth.world, fourth.me)
    with pytest.raises(Conflict, match="name"):
        accept(river, Wire(fourth), text, "west")
    assert accept(river, Wire(fourth), text, "hub").name == "hub"


def test_the_right_words_verify_and_wrong_ones_do_not(river, west):
    link(river, west)
    with pytest.raises(BadInput, match="not the words"):
        trust.verify(river.database, river.me, "west", "one two three four five six seven eight")
    assert not agreements.partner(river.database, "west").verified
    verify(river, "west")
    assert agreements.partner(river.database, "west").verified
    with pytest.raises(NotFound):
        trust.verify(river.database, river.me, "nobody", "x")


def test_an_unverified_peer_gets_nothing_above_open(river, west):
    link(river, west)
    with pytest.raises(Conflict, match="words"):
        grant(river, "west", "resource:community")
    assert effective_scopes(grant(river, "west", "resource:open")) == {"resource:open"}
    with river.database.write() as conn:
        conn.execute(agreements.update(agreements.PEERS).values(scopes='["resource:partner","visit","notice:open"]'))
    assert effective_scopes(agreements.partner(river.database, "west")) == {"notice:open"}


def test_a_grant_becomes_the_peers_view(river, west):
    link(river, west)
    verify(river, "west")
    who = grant(river, "west", "resource:community", "exchange", narrowing={("resource", "horizon"): None})
    viewer = viewer_of(who)
    assert viewer.subject == west.me.issuer
    assert viewer.scopes == {"resource:community", "exchange"}
    assert viewer.agreement is not None
    assert viewer.agreement.active
    assert viewer.agreement.until == date(2027, 12, 31)
    assert dict(viewer.agreement.narrowing) == {("resource", "horizon"): None}
    assert viewer.affiliation is None
    told = agreements.describe(river.database, "west", "foreign_state", "KE")
    assert (viewer_of(told).affiliation, viewer_of(told).jurisdiction) == ("foreign_state", "KE")


@pytest.mark.parametrize(
    ("scopes", "changes"),
    [
        ((), {}),
        (("policy:write",), {}),
        (("peers:write",), {}),
        (("resource:network",), {}),
        (("resource:sealed",), {}),
        (("resource:*",), {}),
        (("person:open",), {}),
        (("resource:open",), {"purpose": "curiosity"}),
        (("resource:open",), {"until": date(2027, 1, 14)}),
        (("resource:open",), {"narrowing": {("resource", "names"): None}}),
        (("resource:open",), {"narrowing": {("resource", "area"): "street"}}),
    ],
)
def test_what_may_not_be_granted_is_refused(river, west, scopes, changes):
    link(river, west)
    verify(river, "west")
    with pytest.raises(BadInput):
        grant(river, "west", *scopes, **changes)
    assert agreements.partner(river.database, "west").state == "pinned"


@pytest.mark.parametrize(("affiliation", "jurisdiction"), [("friend", None), (None, "Kenya"), (None, "ke")])
def test_attributes_that_are_not_words_of_the_lists_are_refused(river, west, affiliation, jurisdiction):
    link(river, west)
    with pytest.raises(BadInput):
        agreements.describe(river.database, "west", affiliation, jurisdiction)


def test_a_revoked_peer_keeps_the_bare_exchange_with_an_empty_view(river, west):
    link(river, west)
    verify(river, "west")
    grant(river, "west", "resource:partner")
    who = agreements.revoke(river.database, "west")
    assert token_scopes(who) == {EXCHANGE}
    assert viewer_of(who).scopes == frozenset()
    assert not viewer_of(who).agreement.active


def test_a_frozen_peer_gets_nothing_and_goes_on_where_it_was(river, west):
    link(river, west)
    verify(river, "west")
    grant(river, "west", "resource:partner")
    assert token_scopes(agreements.freeze(river.database, "west")) == frozenset()
    with pytest.raises(Conflict, match="frozen"):
        grant(river, "west", "resource:open")
    assert token_scopes(agreements.unfreeze(river.database, "west")) == {EXCHANGE, "resource:partner"}


def test_an_agreement_ends_at_the_end_of_its_day(river, west, clock):
    link(river, west)
    verify(river, "west")
    grant(river, "west", "resource:partner", until=clock.at.date())
    clock.at = clock.at.replace(hour=23, minute=59)
    assert sweeper.end_agreements(river.database, river.world) == 0
    clock.at += timedelta(minutes=1)
    assert sweeper.end_agreements(river.database, river.world) == 1
    assert sweeper.end_agreements(river.database, river.world) == 0
    assert effective_scopes(agreements.partner(river.database, "west")) == frozenset()


def test_a_revoked_peer_can_be_invited_anew_but_begins_without_anything(river, west):
    link(river, west)
    verify(river, "west")
    grant(river, "west", "resource:partner")
    agreements.revoke(river.database, "west")
    agreements.revoke(west.database, "river")
    link(river, west)
    who = agreements.partner(river.database, "west")
    assert (who.state, who.verified, who.scopes) == ("pinned", False, frozenset())


def presented(node: Node, inviter: Node, text: str, **changes) -> str:
    """What a node presents to an inviter, changed and signed by its own peer key."""
    code = trust.read_invitation(text).code
    claims = trust._presentation(node.me, node.world, inviter.me.issuer, code) | changes
    return trust.keys.sign(node.me.keys.peer, {"typ": trust._JOIN}, claims)


def test_nobody_claims_the_origin_of_another_network(river, west, make):
    mallory = make("mallory")
    text = trust.invite(river.database, river.world, river.me)
    stolen = west.me.keys.provenance.public_jwk
    copied = trust._presentation(west.me, west.world, river.me.issuer, trust.read_invitation(text).code)["proof"]
    for changes in ({}, {"proof": None}, {"proof": "a.b.c"}, {"proof": copied}):
        with pytest.raises(SignatureRefused):
            trust.join(
                river.database, river.world, river.me, presented(mallory, river, text, provenance=stolen, **changes)
            )
    assert agreements.partners(river.database) == ()


def test_an_inviter_that_claims_the_origin_of_another_network_is_refused(river, west, make, monkeypatch):
    honest, stolen = trust._presentation, make("third").me.keys.provenance.public_jwk

    def lying(me, *more):
        return honest(me, *more) | ({"provenance": stolen} if me.name == "river" else {})

    monkeypatch.setattr(trust, "_presentation", lying)
    with pytest.raises(SignatureRefused):
        accept(west, Wire(river), trust.invite(river.database, river.world, river.me))
    assert agreements.partners(west.database) == ()


def test_a_proof_for_another_invitation_or_another_node_does_not_count(river, west, make):
    other = make("other")
    first, second = (trust.invite(river.database, river.world, river.me) for _ in range(2))
    code = trust.read_invitation(second).code
    for audience, known in ((river, trust.read_invitation(first).code), (other, code)):
        proof = trust._presentation(west.me, west.world, audience.me.issuer, known)["proof"]
        with pytest.raises(SignatureRefused, match="something else"):
            trust.join(river.database, river.world, river.me, presented(west, river, second, proof=proof))


def test_no_peer_has_this_nodes_own_origin_or_that_of_another_peer(river, west, make):
    link(river, west)
    for owner in (river, west):
        twin = make(f"twin-of-{owner.me.name}")
        twin = replace(twin, me=replace(twin.me, ring=replace(twin.me.keys, provenance=owner.me.keys.provenance)))
        text = trust.invite(river.database, river.world, river.me)
        with pytest.raises(Conflict, match="provenance key"):
            trust.join(river.database, river.world, river.me, presented(twin, river, text))
    assert [who.name for who in agreements.partners(river.database)] == ["west"]


def test_pinning_changes_neither_this_nodes_own_row_nor_another_peers(river, west):
    link(river, west)
    own = river.me.keys
    with river.database.write() as conn:
        conn.execute(origins.insert().values(oid=0, thumbprint=own.origin, name="river", pinned=1))
        for thumbprint in (own.origin, west.me.keys.origin):
            peering.pin_origin(conn, thumbprint, "mallory", {"kty": "EC"})
        kept = {row.name: row.jwk for row in conn.execute(origins.select())}
    assert kept.keys() == {"river", "west"}
    assert kept["river"] is None
    assert '"crv"' in kept["west"]


def test_the_same_key_under_another_address_is_another_node(river, west):
    text = trust.invite(river.database, river.world, river.me)
    accept(west, Wire(river), text)
    moved = replace(west, me=replace(west.me, issuer="https://moved.example"))
    with pytest.raises(Conflict, match="already used"):
        trust.join(river.database, river.world, river.me, presented(moved, river, text))


@pytest.mark.parametrize(
    "issuer",
    [
        "http://127.0.0.1:9195\x1b]0;title\x07",
        "http://127.0.0.1:9196\nfake-row",
        "https://wést.example",
        "https://west.example?",
        "https://user@west.example",
        ["https://west.example"],
    ],
)
def test_an_address_is_plain_ascii(river, west, issuer):
    text = trust.invite(river.database, river.world, river.me)
    with pytest.raises(BadInput, match="address"):
        trust.join(river.database, river.world, river.me, presented(west, river, text, iss=issuer))


@pytest.mark.parametrize("name", ["--help", "[/b]", "[link=https://evil.example]river[/link]", "x" * 81, "  "])
def test_a_name_that_is_none_to_print_gives_way_to_the_host(river, west, name):
    text = trust.invite(river.database, river.world, river.me)
    trust.join(river.database, river.world, river.me, presented(west, river, text, name=name))
    assert [who.name for who in agreements.partners(river.database)] == ["west.example"]
