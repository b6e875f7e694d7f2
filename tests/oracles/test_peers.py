"""What peers hold: every byte of their databases, after pulls, narrowing and the end of an agreement; and what they
show of it in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from federation.app import Node
from federation.peers import agreements, trust
from federation.peers.dress import terms_of_own
from federation.policies.loading import load_policy
from federation.policies.tiers import Tier
from federation.records.registry import RECORD_TYPES, catalogue
from federation.schema.endpoint import GraphQLEndpoint
from oracles.checks import Expected, complete, objects, wrong, wrong_put
from oracles.decode import cell_tokens, sqlite_cells, tokens_in
from oracles.minting import Mint
from oracles.network import Light, Network, agree, client_of, reconcile, scopes_of
from oracles.questions import Questions
from oracles.schemas import endpoint_of
from oracles.seeing import Rec, Sees, everyone
from oracles.stage import NARROWED, Stage, joined, write_records
from oracles.worlds import POLICY, Clock, Foreign, make_home, open_home

PARTNER, COMMUNITY, OPEN = Tier.PARTNER, Tier.COMMUNITY, Tier.OPEN
PULLING = {
    "west": Sees("west", everyone(PARTNER), "none", peer=True),
    "state": Sees("state", everyone(COMMUNITY), "foreign_state", peer=True),
    "thin": Sees("thin", everyone(PARTNER), "none", NARROWED, peer=True),
}


def another(folder: Path, name: str, clock: Clock, network: Network, template: Path) -> Node:
    """One more real node on a network."""
    return joined(open_home(make_home(folder, name, clock, template, place_k=1), clock), network)


def link(inviter: Node, acceptor: Node, network: Network) -> None:
    """Links two nodes over the network, verified on both sides."""
    text = trust.invite(inviter.database, inviter.world, inviter.me)
    trust.accept(acceptor.database, acceptor.world, acceptor.me, network, text)
    for node, other in ((inviter, acceptor), (acceptor, inviter)):
        agreements.mark_verified(node.database, agreements.partner(node.database, other.settings.name))


def pull(node: Node, name: str) -> None:
    """Pulls until nothing more is there."""
    pulled = node.puller.sync(agreements.partner(node.database, name))
    assert pulled is not None


def held_by(node: Node) -> frozenset[str]:
    """Every token in the database of a node, in decoded form and in the raw bytes of its files."""
    path = node.settings.home / "node.db"
    raw = b"".join(each.read_bytes() for each in sorted(path.parent.glob("node.db*")))
    return frozenset().union(tokens_in(raw), *cell_tokens(sqlite_cells(path)).values())


@pytest.fixture(scope="module")
def peers(stage: Stage, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[dict[str, Node]]:
    """Three nodes that have pulled from river: a partner, one tied to a State, one with a narrowed agreement."""
    folder = tmp_path_factory.mktemp("peers")
    made = {name: another(folder, name, stage.clock, stage.network, sqlite_template) for name in PULLING}
    for name, node in made.items():
        sees = PULLING[name]
        link(stage.node, node, stage.network)
        scopes = [*scopes_of(sees.tiers), "exchange"]
        agree(stage.node, name, scopes, affiliation=sees.affiliation, narrowing=sees.narrowed)
        pull(node, "river")
    yield made
    for node in made.values():
        node.close()


@pytest.mark.parametrize("name", PULLING)
def test_a_peers_database_holds_exactly_what_it_may_see(stage: Stage, peers: dict[str, Node], name: str) -> None:
    expected = Expected(stage.records, PULLING[name])
    held = held_by(peers[name]) & expected.universe
    assert not held - expected.wired
    assert not expected.wired - held, "the search is blind"


def passed_on(stage: Stage, sees: Sees) -> list[Rec]:
    """The records of river as they stand at a peer."""
    found = []
    for rec in stage.records:
        told = sees.wire(rec)
        if told:
            terms = rec.terms or (terms_of_own(POLICY, rec.type, 2) if rec.kind.relayable else None)
            links, origin = rec.links + 1, rec.origin
            found.append(
                Rec(rec.type, rec.variant, rec.document, rec.gid, rec.id, "shared", rec.handling, {}, terms, told,
                    links, origin, "river")
            )  # fmt: skip
    return found


def test_what_a_peer_shows_in_turn_is_what_the_origins_terms_leave(stage: Stage, peers: dict[str, Node]) -> None:
    west = peers["west"]
    records = passed_on(stage, PULLING["west"])
    endpoint: GraphQLEndpoint = endpoint_of(west)
    for tier in (OPEN, COMMUNITY, PARTNER):
        sees = Sees(f"west-{tier.label}", everyone(tier))
        caller = client_of(stage.network, west, sees.name, scopes_of(sees.tiers))
        expected = Expected(records, sees)
        problems: Counter[str] = Counter()
        shown: set[str] = set()
        for question in Questions(endpoint._core, stage.records).everything():
            if question.name.startswith("select") and question.root not in ("search", "opportunities"):
                said = caller.post("/graphql", question.body)
                assert not expected.leaked(said.told), question.name
                assert said.status == 200, (question, said.body)
                assert "errors" not in said.json(), (question, said.body)
                for each in objects(said.json()["data"]):
                    problems.update(wrong(expected, each))
                    shown.add(each["validUntil"])
        assert not problems, problems.most_common(10)
        assert not complete(expected, shown, RECORD_TYPES)
        assert expected.allowed


def test_what_a_peer_passes_on_is_what_the_origins_terms_leave(stage: Stage, peers: dict[str, Node]) -> None:
    west = peers["west"]
    aurora = Light("aurora", stage.network, stage.clock)
    aurora.join(west)
    agree(west, "aurora", [*scopes_of(everyone(PARTNER)), "exchange"])
    records = passed_on(stage, PULLING["west"])
    expected = Expected(records, Sees("aurora", everyone(PARTNER), "none", peer=True, thumbprint=aurora.keys.origin))
    answers = reconcile(aurora.caller(west, scopes_of(everyone(PARTNER))))
    puts = [item for said in answers for item in said.lines() if item["k"] == "put"]
    problems = Counter(text for item in puts for text in wrong_put(expected, item))
    assert not problems, problems.most_common(10)
    for said in answers:
        assert not (tokens_in(said.told) & expected.universe) - expected.wired
    assert not complete(expected, [item["v"]["valid_until"]["exact"] for item in puts], RECORD_TYPES)
    assert puts


NARROW = """
[resource]
title = "partner"
amount = { exact = "nobody", band = "nobody" }
summary = "nobody"
[practice]
text = "nobody"
[network]
name = "nobody"
"""


@pytest.fixture
def chain(tmp_path: Path, sqlite_template: Path) -> Iterator[Callable[[], tuple[Node, Node, Node, list[Rec]]]]:
    """river, west and aurora, each pulling from the one before; a few records of each type."""
    clock, network = Clock(), Network()
    nodes = [another(tmp_path, name, clock, network, sqlite_template) for name in ("river", "west", "aurora")]

    def set_up() -> tuple[Node, Node, Node, list[Rec]]:
        river, west, aurora = nodes
        who = Light("delta", network, clock)
        who.join(river)
        agree(river, "delta", ["resource:open"])
        pid = agreements.partner(river.database, "delta").pid
        records = write_records(
            river, clock, Mint(), own=("clear", "green", "amber", "red"), others=("relayed", "kept"),
            sender=Foreign("delta", who.keys), pid=pid,
        )  # fmt: skip
        for inviter, acceptor in ((river, west), (west, aurora)):
            link(inviter, acceptor, network)
            agree(inviter, acceptor.settings.name, [*scopes_of(everyone(PARTNER)), "exchange"])
            agree(acceptor, inviter.settings.name, ["resource:open"])
            pull(acceptor, inviter.settings.name)
        return river, west, aurora, records

    yield set_up
    for node in nodes:
        node.close()
    network.close()


def test_what_a_narrower_policy_or_a_revocation_takes_back_is_in_no_byte_of_a_peer(
    chain: Callable[[], tuple[Node, Node, Node, list[Rec]]],
) -> None:
    river, west, aurora, records = chain()
    everything = Expected(records, Sees("west", everyone(PARTNER), "none", peer=True))
    at_west, at_aurora = held_by(west) & everything.universe, held_by(aurora) & everything.universe
    assert at_west == everything.wired
    assert at_aurora
    gone = frozenset().union(
        *(
            Expected([rec], Sees("x", everyone(PARTNER), "none")).allowed & fields_tokens(rec, names)
            for rec in records
            for names in (GONE.get(rec.type, ()),)
        )
    )
    assert gone & at_west
    river.policies.apply(load_policy(NARROW, catalogue()))
    pull(west, "river")
    pull(aurora, "west")
    assert not held_by(west) & gone
    assert not held_by(aurora) & gone
    assert held_by(west) & everything.universe
    agreements.revoke(river.database, "west")
    pull(west, "river")
    pull(aurora, "west")
    assert not held_by(west) & everything.universe
    assert not held_by(aurora) & everything.universe


GONE = {"resource": ("amount", "summary"), "practice": ("text",), "network": ("name",)}
"""The fields that NARROW withholds from everybody."""


def fields_tokens(rec: Rec, names: tuple[str, ...]) -> frozenset[str]:
    """The tokens of some fields of a record in every step."""
    found = [repr(rec.value(name, step.name)) for name in names for step in rec.kind.fields[name].steps]
    return tokens_in("\n".join(found).encode())
