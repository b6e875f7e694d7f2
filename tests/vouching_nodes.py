"""Whole nodes that vouch for one another, in one process: real storage, OAuth and web edge; the network is a call."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from oracles.network import Network, Said
from oracles.stage import joined
from oracles.worlds import Clock, make_home, open_home

from federation.errors import FederationError
from federation.node import Node
from federation.peers import agreements, trust
from federation.peers.agreements import EXCHANGE, Partner
from federation.peers.vouching import store
from federation.peers.vouching.renewal import issue, refresh, renew, round_of
from federation.peers.vouching.standing import Standing, standing_of


@dataclass
class Nodes:
    """Nodes by name on one network, with one clock."""

    folder: Path
    template: Path
    clock: Clock = field(default_factory=Clock)
    network: Network = field(default_factory=Network)
    by_name: dict[str, Node] = field(default_factory=dict)

    def make(self, name: str, **settings: Any) -> Node:
        """A new node, served."""
        home = make_home(self.folder, name, self.clock, self.template, **settings)
        self.by_name[name] = joined(open_home(home, self.clock), self.network)
        return self.by_name[name]

    def link(self, one: str, other: str) -> None:
        """Link two nodes and verify both sides."""
        first, second = self.by_name[one], self.by_name[other]
        text = trust.invite(first.database, first.world, first.me)
        trust.accept(second.database, second.world, second.me, self.network, text)  # type: ignore[arg-type]
        for mine, name in ((first, other), (second, one)):
            agreements.mark_verified(mine.database, agreements.partner(mine.database, name))

    def peer(self, at: str, name: str) -> Partner:
        """A peer as a node knows it."""
        return agreements.partner(self.by_name[at].database, name)

    def vouch(self, upper: str, lower: str, hours: int = 48, until: int | None = None, **constraints: Any) -> None:
        """A node vouches for a peer, which names it as its superior."""
        above, below = self.by_name[upper], self.by_name[lower]
        policy = constraints.pop("policy", {})
        kept = store.Subordinate(self.peer(upper, lower).pid, hours, policy, constraints, until)
        store.put_subordinate(above.database, kept)
        issue(above.entity, self.peer(upper, lower), kept)
        store.add_superior(below.database, self.peer(lower, upper).pid, below.world.timestamp())

    def anchor(self, at: str, name: str) -> None:
        """A node pins another as an anchor."""
        pinned = self.by_name[name]
        prints = [pinned.keys.peer.thumbprint]
        store.pin_anchor(self.by_name[at].database, pinned.me.issuer, prints, pinned.world.timestamp())

    def hear(self, at: str, *names: str) -> None:
        """A node asks peers for their chains."""
        for name in names:
            refresh(self.by_name[at].entity, self.peer(at, name))

    def standing(self, at: str, name: str) -> Standing:
        """How a peer stands with a node."""
        return standing_of(self.by_name[at].entity, self.peer(at, name))

    def round(self, *names: str) -> None:
        """The background work of nodes, once each; of all without names."""
        for name in names or tuple(self.by_name):
            round_of(self.by_name[name].entity, name)

    def renew(self, name: str) -> int:
        return renew(self.by_name[name].entity)

    def asked(self, by: str, of: str, path: str, body: bytes | None = None, **form: Any) -> Said:
        """What a peer is answered at an address."""
        session, node = self.by_name[by].entity.session, self.by_name[of]
        content = urlencode(form, doseq=True).encode() if body is None else body
        with_token = {"content-type": "application/x-www-form-urlencoded"}
        with contextlib.suppress(FederationError):  # a refusal: what was answered is looked at
            session.request(node.me.issuer, frozenset({EXCHANGE}), "POST", path, headers=with_token, content=content)
        return self.network.said[-1]

    def close(self) -> None:
        for node in self.by_name.values():
            node.close()
        self.network.close()


def in_line(nodes: Nodes, **settings: Any) -> Nodes:
    """River under west under aurora; delta, a peer of river alone, trusts aurora."""
    for name in ("river", "west", "aurora", "delta"):
        nodes.make(name, **settings.get(name, {}))
    for one, other in (("river", "west"), ("west", "aurora"), ("river", "delta")):
        nodes.link(one, other)
    nodes.vouch("west", "river")
    nodes.vouch("aurora", "west")
    nodes.anchor("delta", "aurora")
    tell(nodes)
    return nodes


def tell(nodes: Nodes) -> None:
    """Everybody hears of it, from the top down."""
    nodes.hear("west", "aurora")
    nodes.hear("river", "west")
    nodes.hear("delta", "river")


def making(folder: Path, template: Path) -> Iterator[Nodes]:
    """The nodes of one test, closed after it."""
    nodes = Nodes(folder, template)
    yield nodes
    nodes.close()
    shutil.rmtree(folder, ignore_errors=True)
