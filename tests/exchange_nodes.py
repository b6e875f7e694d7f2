"""Several nodes in one process for tests of the exchange: real storage, gate, intake and peers; the network is a call.

`Net` stands where OAuth and HTTP stand between real nodes; a test may bend what passes through it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from federation.audit import Ledger
from federation.errors import FederationError
from federation.gate import Gate
from federation.intake import Intake
from federation.keys import NodeKeys, create_keys, generate_keys, rotate_tokens
from federation.outbound import StreamedResponse
from federation.peers import agreements, origins, serve, trust
from federation.peers.holding import Holding
from federation.peers.pull import Puller
from federation.peers.serve import Source
from federation.peers.trust import Self
from federation.peers.wire import CHANGES_PATH, RECONCILE_PATH, compressed
from federation.policies.rules import load_policy
from federation.policies.terms import labels
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.codes import load
from federation.records.registry import RECORD_TYPES, catalogue
from federation.storage.database import Database, open_database
from federation.storage.policy_log import PolicyLog
from federation.storage.tables import record_table
from federation.world import World

CATALOGUE = catalogue()
CODES = load()
STEWARD = Viewer(ViewerKind.STEWARD, "asha")
TYPES = [key for key, kind in RECORD_TYPES.items() if kind.shareable]
PARTNER = [f"{key}:partner" for key in TYPES]
COMMUNITY = [f"{key}:community" for key in TYPES]
OPEN = [f"{key}:open" for key in TYPES]


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.at = datetime(2027, 1, 15, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **span: float) -> None:
        self.at += timedelta(**span)


@dataclass
class Exchanged:
    """One answer as it went over the wire, before compression."""

    reader: str
    path: str
    asked: dict[str, Any]
    blocks: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.blocks)

    @property
    def items(self) -> list[dict[str, Any]]:
        return [orjson.loads(raw) for raw in self.body.splitlines()]


class Net:
    """All nodes by address. `bend(exchanged, blocks)` may change the blocks of an answer on their way."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.log: list[Exchanged] = []
        self.bend: Callable[[Exchanged, Iterator[bytes]], Iterator[bytes]] = lambda _, blocks: blocks

    def request(self, method: str, url: str, *, headers: Any, content: bytes, max_bytes: int) -> Any:
        node = self.nodes[url.removesuffix(trust.JOIN_PATH)]
        try:
            answer = trust.join(node.database, node.world, node.me, content.decode())
        except FederationError as refused:
            return StreamedResponse(refused.status, {}, iter(()))
        return type("Answer", (), {"status": 200, "body": answer.encode()})()

    @contextlib.contextmanager
    def stream(
        self, reader: str, issuer: str, scopes: frozenset[str], path: str, content: bytes
    ) -> Iterator[StreamedResponse]:
        source = self.nodes[issuer].source
        asked = orjson.loads(content)
        answer = {CHANGES_PATH: serve.changes, RECONCILE_PATH: serve.reconcile}[path]
        exchanged = Exchanged(reader, path, asked)
        try:
            serve.check_viewer(source, Viewer(ViewerKind.PEER, reader, scopes))
            blocks = answer(source, reader, asked)
        except FederationError as refused:
            yield StreamedResponse(refused.status, getattr(refused, "headers", {}), iter(()))
            return
        self.log.append(exchanged)
        yield StreamedResponse(
            200, {"content-encoding": "zstd"}, compressed(self._logged(exchanged, self.bend(exchanged, blocks)))
        )

    def _logged(self, exchanged: Exchanged, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            exchanged.blocks.append(block)
            yield block


class Session:
    """What stands for the OAuth client of one node."""

    def __init__(self, net: Net, me: str) -> None:
        self._net, self._me = net, me

    def stream(self, issuer: str, scopes: frozenset[str], method: str, path: str, **more: Any) -> Any:
        assert "exchange" in scopes
        return self._net.stream(self._me, issuer, scopes, path, more["content"])


class Ring:
    """The keys in force of a node of a test."""

    def __init__(self, keys: NodeKeys) -> None:
        self.in_force = keys

    def look(self) -> NodeKeys:
        return self.in_force


class Node:
    """One node of a test."""

    def __init__(self, name: str, net: Net, place: Path | str, clock: Clock, *, max_hops: int = 2) -> None:
        self.name, self.net, self.file = name, net, Path(place)
        self.url = f"sqlite:///{place}" if isinstance(place, Path) else place
        self.world = World(clock, seed=name.encode().ljust(32, b"."))
        self.ring = Ring(generate_keys(self._maker(), name))
        self.me = Self(name, f"https://{name}.example", self.ring)
        self.max_hops = max_hops
        self.open()

    def _maker(self) -> World:
        return World(self.world.now, self.name.encode().ljust(32))

    def rotate(self, name: str, home: Path, **more: Any) -> NodeKeys:
        """Replace a key of the node, by way of files in `home`."""
        rotations = {"provenance": origins.rotate_provenance, "tokens": rotate_tokens}
        create_keys(home, self._maker(), self.name)
        self.ring.in_force = rotations[name](home, self._maker(), **more)
        return self.ring.in_force

    def open(self) -> None:
        """Start, or start again after `stop`."""
        self.database: Database = open_database(self.url)
        self.policies = PolicyLog(self.database, CATALOGUE, self.world)
        ledger = Ledger(self.database, self.world)
        secret = self.me.keys.secret
        self.gate = Gate(self.database, self.policies.current, CODES, ledger, secret)
        self.intake = Intake(
            self.database,
            CODES,
            self.world,
            self.me.keys.origin,
            lambda text: (),
            ledger=ledger,
            labels=lambda key: labels(self.policies.current(), key),
            secret=secret,
            place_k=1,
            name=self.name,
        )
        self.source = Source(
            self.database, self.world, self.me, self.gate, self.policies.current, CODES.version, self.max_hops
        )
        self.holding = Holding(self.database, self.intake, CODES)
        self.puller = Puller(
            self.database, self.world, self.me.keys.origin, Session(self.net, self.me.issuer), self.holding
        )
        self.net.nodes[self.me.issuer] = self

    def stop(self) -> None:
        self.database.close()

    def policy(self, text: str) -> None:
        self.policies.apply(load_policy(text, CATALOGUE))

    def add(self, type_key: str = "resource", **fields: Any) -> str:
        document = {**DOCUMENTS[type_key], **fields}
        return self.intake.create(STEWARD, type_key, document, share=True, confirm=True)

    def sync(self, name: str) -> Any:
        return self.puller.sync(agreements.partner(self.database, name))

    def grant(self, name: str, scopes: list[str], **changes: Any) -> None:
        given = {"purpose": "coordination", "until": date(2028, 12, 31)} | changes
        agreements.grant(self.database, self.world, CATALOGUE, name, scopes, **given)

    def rows(self, type_key: str = "resource", **where: Any) -> list[Any]:
        table = record_table(type_key)
        with self.database.read() as conn:
            return conn.execute(table.select().where(*(table.c[k] == v for k, v in where.items()))).all()

    def titles(self, status: str = "shared") -> list[str]:
        return sorted(row.title__exact for row in self.rows(status=status) if row.title__exact)

    def bytes_on_disk(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.file.parent.glob(f"{self.file.name}*")))


def link(first: Node, second: Node) -> None:
    """Link two nodes and verify both sides."""
    text = trust.invite(first.database, first.world, first.me)
    trust.accept(second.database, second.world, second.me, first.net, text)
    for mine, other in ((first, second), (second, first)):
        agreements.mark_verified(mine.database, agreements.partner(mine.database, other.name))
        agreements.describe(mine.database, other.name, "none", "KE")


def copy_of(file: Path, to: Path) -> Path:
    """A copy of a database file that nobody has open."""
    return Path(shutil.copyfile(file, to))


DOCUMENTS: dict[str, dict[str, Any]] = {
    "resource": {
        "title": "Emergency grants",
        "summary": "Grants within two days.",
        "kind": "emergency_grant",
        "eligibility": "Defenders at risk.",
        "response_hours": 48,
        "languages": ["sw", "fr"],
        "provider": {"name": "Acacia Fund", "kind": "ngo"},
        "area": "KE",
        "site": "12 Hidden Lane",
        "amount": {"minimum": "1200", "maximum": "3000", "currency": "EUR"},
        "horizon": {"start": "2027-01-01", "end": "2027-12-31"},
        "contact": {"email": "office@acacia.example"},
        "expectations": "We answer within two days and do not relocate.",
        "internal_notes": "Ask Asha first.",
        "verified_on": {"start": "2027-01-03", "end": "2027-01-03"},
        "language": "en",
    },
    "need": {"kind": "digital_security", "topic": "security", "area": "KE", "urgency": "soon", "network": "river"},
}
