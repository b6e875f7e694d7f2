"""The stage of the canary: one node full of records, and everybody who could ask it for them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from federation.app import Node
from federation.oauth.client import PeerSession
from federation.oauth.personal import issue_personal_token
from federation.peers import agreements
from federation.peers.handing import Renewal
from federation.peers.pull import Puller
from federation.policies.tiers import Tier
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.registry import RECORD_TYPES
from federation.schema.endpoint import GraphQLEndpoint
from federation.storage import sweeper
from oracles.checks import Expected
from oracles.minting import Mint
from oracles.network import Bound, Caller, Light, Network, Open, Said, agree, client_of, scopes_of
from oracles.schemas import app_of, endpoint_of
from oracles.seeing import Rec, Sees, everyone
from oracles.worlds import RECEIVED, VARIANTS, Clock, Foreign, make_home, open_home, received, take_in, write_own

OPEN, COMMUNITY, PARTNER = Tier.OPEN, Tier.COMMUNITY, Tier.PARTNER

MIXED: Mapping[str, Tier] = {
    "resource": PARTNER, "network": OPEN, "capacityOffer": COMMUNITY, "need": COMMUNITY, "practice": OPEN,
    "convening": PARTNER,
}  # fmt: skip
"""Another tier for each type, and none for some."""
CROSSED: Mapping[str, Tier] = {
    "network": COMMUNITY, "need": PARTNER, "space": PARTNER, "fundingCall": OPEN, "fieldVisit": COMMUNITY,
    "notice": COMMUNITY, "resource": OPEN,
}  # fmt: skip
NARROWED: Mapping[tuple[str, str], str | None] = {
    ("resource", "amount"): "band",
    ("resource", "area"): "sub_region",
    ("resource", "horizon"): None,
    ("capacityOffer", "dates"): "quarter",
    ("fieldVisit", "organisers"): "kinds",
    ("network", "name"): None,
    ("need", "urgency"): None,
    ("practice", "text"): None,
    ("convening", "series"): "cadence",
    ("space", "door_card"): None,
}


class QuickLedger:
    """Stands in for the ledger where thousands of questions would each wait for the disk; what would be entered is
    kept to be looked at. The real one is asked in a test of its own."""

    def __init__(self) -> None:
        self.entries: list[tuple[Any, ...]] = []

    def enter(self, *entry: Any) -> None:
        self.entries.append(entry)

    def count_open(self, *entry: Any) -> None:
        self.entries.append(entry)


@dataclass
class AtHome:
    """A caller with an account of the node: there is no page for one yet, so that it is put before the endpoint."""

    node: Node
    viewer: Viewer
    endpoint: GraphQLEndpoint

    def post(self, path: str, content: bytes, **headers: str) -> Said:
        status, media, body = self.endpoint.execute(self.viewer, content)
        return Said("POST", path, status, ((b"content-type", media.encode()),), body, content)


@dataclass
class Asker:
    """Somebody who asks: what the oracle lets it see, and how it calls."""

    sees: Sees
    caller: Caller
    exchanges: bool = False

    @property
    def name(self) -> str:
        return self.sees.name


@dataclass
class Stage:
    """A node with its network, its records and its callers; `homes` are the other real nodes."""

    network: Network
    clock: Clock
    node: Node
    records: list[Rec]
    askers: dict[str, Asker] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    lights: dict[str, Light] = field(default_factory=dict)
    quick: QuickLedger = field(default_factory=QuickLedger)
    _expected: dict[str, Expected] = field(default_factory=dict)

    def expected(self, name: str) -> Expected:
        """What an asker may see of all records; `nobody` for what exists at all."""
        if name not in self._expected:
            self._expected[name] = Expected(self.records, self.askers[name].sees)
        return self._expected[name]

    @contextlib.contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Reads that need not wait for the ledger."""
        gate: Any = self.node.gate
        real, gate._ledger = gate._ledger, self.quick
        try:
            yield
        finally:
            gate._ledger = real

    @property
    def app(self) -> Starlette:
        """The web application of the node."""
        return self.network.apps[self.node.settings.url]

    @property
    def steward(self) -> AtHome:
        """The caller with an account that may write."""
        caller = self.askers["steward"].caller
        assert isinstance(caller, AtHome)
        return caller

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()
        self.network.close()


def joined(node: Node, network: Network) -> Node:
    """The node with the network of the test in the place of the internet, served there."""
    session = PeerSession(network, lambda: node.keys.peer, node.settings.url, node.world)  # type: ignore[arg-type]
    old: Any = node.puller
    renew = Renewal(node.database, node.world, node.me, network)  # type: ignore[arg-type]
    puller = Puller(node.database, node.world, node.keys.origin, session, old._holding, renew=renew)
    node = dataclasses.replace(node, puller=puller, entity=dataclasses.replace(node.entity, session=session))
    network.apps[node.settings.url] = app_of(node)
    return node


def with_public_scopes(node: Node, scopes: frozenset[str]) -> Starlette:
    """The node's application as it is where the operator opened some scopes to everybody."""
    settings = node.settings.model_copy(update={"public_scopes": scopes})
    return app_of(dataclasses.replace(node, settings=settings))


def write_records(
    node: Node,
    clock: Clock,
    mint: Mint,
    *,
    own: Iterable[str] = tuple(VARIANTS),
    others: Iterable[str] = tuple(RECEIVED),
    sender: Foreign | None = None,
    pid: int = 0,
) -> list[Rec]:
    """Own records of every type in every variant, and received ones under all terms."""
    records = [write_own(node, mint, clock, key, variant) for key in RECORD_TYPES for variant in own]
    if sender is not None:
        found = [
            received(mint, clock, sender, key, variant, 0)
            for key, kind in RECORD_TYPES.items()
            for variant in others
            if kind.relayable or variant.startswith("relayed")
        ]
        take_in(node, sender, pid, [put for _, put in found])
        records += [rec for rec, _ in found]
    return records


def set_up(folder: Path, template: Path, home: Callable[..., Path] = make_home, **settings: Any) -> Stage:
    """The stage: river with its records and askers, and three real peers that pull from it."""
    clock, network = Clock(), Network()
    at = home(folder, "river", clock, template, place_k=1, **settings)
    river = joined(open_home(at, clock), network)
    stage = Stage(network, clock, river, [], nodes={"river": river})
    network.apps["https://river-open.example"] = with_public_scopes(river, scopes_of(everyone(OPEN)))
    delta = Light("delta", network, clock)
    joined_as = delta.join(river)
    assert joined_as.status == 200, joined_as
    agree(river, "delta", ["resource:open"])
    stage.lights["delta"] = delta
    foreign = Foreign("delta", delta.keys)
    pid = agreements.partner(river.database, "delta").pid
    stage.records = write_records(river, clock, Mint(), sender=foreign, pid=pid)
    clock.forward(hours=1)
    add_clients(stage)
    add_peers(stage)
    return stage


def add_clients(stage: Stage) -> None:
    """Everybody who is no node."""
    node, network = stage.node, stage.network
    url = node.settings.url
    every_open = scopes_of(everyone(OPEN))
    bearer, _ = issue_personal_token(node.database, node.world, "calendar", every_open, node.scopes)
    found = [
        Asker(Sees("nobody"), Open(network, url)),
        Asker(Sees("public", everyone(OPEN)), Open(network, "https://river-open.example")),
        Asker(Sees("bearer", everyone(OPEN)), Open(network, url, bearer)),
    ]
    tiers: dict[str, Mapping[str, Tier]] = {
        "client-open": everyone(OPEN),
        "client-community": everyone(COMMUNITY),
        "client-partner": everyone(PARTNER),
        "client-mixed": MIXED,
        "client-crossed": CROSSED,
    }
    for name, granted in tiers.items():
        found.append(Asker(Sees(name, granted), client_of(network, node, name, scopes_of(granted))))
    writer = client_of(network, node, "client-writer", frozenset({"records:write"}))
    found.append(Asker(Sees("client-writer"), writer))
    endpoint = endpoint_of(node)
    for kind in (ViewerKind.MEMBER, ViewerKind.STEWARD):
        found.append(Asker(Sees(str(kind), home=True), AtHome(node, Viewer(kind, f"some-{kind}"), endpoint)))
    stage.askers |= {each.name: each for each in found}


def add_peers(stage: Stage) -> None:
    """Peers of every standing: an agreement of each kind, none, frozen, over, revoked."""
    all_partner, all_community = scopes_of(everyone(PARTNER)), scopes_of(everyone(COMMUNITY))
    _peer(stage, "peer-partner", everyone(PARTNER), all_partner)
    _peer(stage, "peer-state", everyone(COMMUNITY), all_community, affiliation="foreign_state")
    _peer(stage, "peer-unknown", everyone(PARTNER), all_partner, affiliation=None)
    _peer(stage, "peer-narrowed", everyone(PARTNER), all_partner, narrowing=NARROWED)
    _peer(stage, "peer-mixed", MIXED, scopes_of(MIXED))
    _peer(stage, "peer-unverified", everyone(OPEN), scopes_of(everyone(OPEN)), verified=False)
    _peer(stage, "peer-pinned", {}, None)
    for name in ("peer-frozen", "peer-revoked", "peer-ended"):
        _peer(stage, name, {}, all_partner)
    agreements.freeze(stage.node.database, "peer-frozen")
    agreements.revoke(stage.node.database, "peer-revoked")
    agree(stage.node, "peer-ended", all_partner, until=date(2027, 1, 15))
    stage.clock.forward(days=1)
    sweeper.end_agreements(stage.node.database, stage.node.world)


def _peer(stage: Stage, name: str, tiers: Mapping[str, Tier], granted: Iterable[str] | None, **more: Any) -> None:
    light = Light(name, stage.network, stage.clock)
    light.join(stage.node)
    if granted is not None:
        agree(stage.node, name, [*granted, "exchange"], **more)
    sees = Sees(
        name,
        tiers,
        more.get("affiliation", "none"),
        more.get("narrowing", {}),
        peer=True,
        thumbprint=light.keys.origin,
    )
    caller: Bound = light.caller(stage.node, frozenset(scopes_of(tiers)) or frozenset({"exchange"}))
    stage.lights[name] = light
    stage.askers[name] = Asker(sees, caller, exchanges=True)
