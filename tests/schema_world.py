"""A small gate in memory that keeps the promises of the real one, for tests of the schema alone: it projects by the
real `decide`, writes JSON by shape, and knows no SQL."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import orjson

from federation.audit import Ledger
from federation.gate import Gate
from federation.intake import Intake
from federation.policies.decide import decide
from federation.policies.rules import Policy, default_policy
from federation.policies.terms import labels
from federation.policies.tiers import HANDLING_LABELS, Tier
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.codes import load
from federation.records.kinds import Context
from federation.records.lint import findings
from federation.records.registry import RECORD_TYPES, catalogue
from federation.storage.database import Database, open_database
from federation.storage.ids import global_id
from federation.storage.migrating import migrate
from federation.world import World

CODES = load()
CONTEXT = Context(CODES)
OPEN_ALL = frozenset(f"{key}:open" for key in RECORD_TYPES)
PARTNER_ALL = frozenset(f"{key}:partner" for key in RECORD_TYPES)


def client(*scopes: str, kind: ViewerKind = ViewerKind.CLIENT) -> Viewer:
    """A viewer with these scopes."""
    return Viewer(kind, "client-1", frozenset(scopes))


@dataclass
class Row:
    json: str
    gid: str
    type: str
    cursor: str


class MemoryGate:
    """Records as (type key, home document); every one is shared, CLEAR, and of this node."""

    def __init__(self, records: list[tuple[str, dict[str, Any]]], policy: Policy | None = None) -> None:
        self.policy = policy or default_policy(catalogue())
        self.records = [
            (key, global_id(key, "origin", at.to_bytes(16, "big")), RECORD_TYPES[key].normalise(document, CONTEXT))
            for at, (key, document) in enumerate(records, 1)
        ]
        self.asked: list[Any] = []

    def get(self, viewer: Viewer, gid: str, shape: Any, *, every_status: bool = False) -> Row | None:
        for key, one, document in self.records:
            shape = shape[key] if isinstance(shape, dict) and one == gid else shape
            if one == gid and (text := self._json(viewer, key, one, document, shape)) is not None:
                return Row(text, gid, key, "c")
        return None

    def prepare(self, viewer: Viewer, request: Any) -> None:
        return None

    def run(self, viewer: Viewer, prepared: None, request: Any) -> Any:
        return self.page(viewer, request)

    def page(self, viewer: Viewer, request: Any) -> Any:
        self.asked.append(request)
        found = []
        for key, gid, document in self.records:
            if key in request.types:
                text = self._json(viewer, key, gid, document, request.shape[key])
                if text is not None:
                    found.append(Row(text, gid, key, base64.urlsafe_b64encode(gid[-6:].encode()).decode()))
        start = 0
        if request.after is not None:
            start = next((at + 1 for at, row in enumerate(found) if row.cursor == request.after), len(found))
        rows = found[start : start + request.first]
        return SimpleNamespace(rows=tuple(rows), has_next=start + request.first < len(found), has_previous=start > 0)

    def count(self, viewer: Viewer, types: Any, where: Any = None, search: Any = None, *, also: Any = None) -> int:
        return sum(key in types and not decide(self.policy, viewer, key).empty for key, _, _ in self.records)

    def _json(self, viewer: Viewer, key: str, gid: str, document: dict[str, Any], shape: Any) -> str | None:
        projection = decide(self.policy, viewer, key)
        if projection.empty:
            return None
        return orjson.dumps(self._object(viewer, key, gid, document, shape, projection)).decode()

    def _object(self, viewer: Viewer, key: str, gid: str, document: Any, shape: Any, projection: Any) -> dict[str, Any]:
        return {one.key: self._value(viewer, key, gid, document, one, projection) for one in shape}

    def _value(self, viewer: Viewer, key: str, gid: str, document: Any, one: Any, projection: Any) -> Any:
        kind = RECORD_TYPES[key]
        if one.field == "__typename":
            return kind.graphql
        if one.field in ("id", "type", "status", "handling"):
            told = projection.clearance is not None and projection.clearance >= Tier.COMMUNITY
            facts = {"id": gid, "type": kind.table.upper(), "status": "SHARED"}
            return facts.get(one.field, HANDLING_LABELS[0] if told else None)
        if one.field == "origin":
            network = next((row for row in self.records if row[0] == "network"), None)
            seen = decide(self.policy, viewer, "network")
            if network is None or seen.empty:
                return None
            return self._object(viewer, *network, one.nested, seen)
        step = projection.steps.get(one.field)
        spec = kind.fields[one.field]
        if step is None:
            return None
        value = spec.kind.generalise(document.get(one.field), step, CONTEXT)
        return _shown(spec, value, one, document)


def _shown(spec: Any, value: Any, one: Any, document: Any) -> Any:
    name = spec.kind.name
    if value is None:
        return None
    if name == "text":
        translated = (document.get("translations") or {}).get(one.language or "", {})
        return translated.get(spec.name, value)
    if name == "code":
        code = value[0] if isinstance(value, list) else value
        return code.upper() if one.capitals else code
    if one.capitals:
        return [code.upper() for code in value]
    if one.parts is None:
        return value
    whole = {"relay": value} if name == "contact" else value
    if name == "place":
        area = CODES.area(value[0])
        whole = {"code": value[0], "level": "LOCAL" if area is None else area.level.upper()}
    return {key: _part(whole, part, spec) for key, part in one.parts}


def _part(whole: Any, part: str, spec: Any) -> Any:
    if part == "__typename":
        return spec.kind.graphql
    if part.startswith("name:"):
        return CODES.name("area", whole["code"], part[5:])
    return whole.get(part)


@dataclass
class Node:
    """A real node without its edges: database, ledger, gate and intake."""

    database: Any
    gate: Any
    intake: Any
    policy: Policy
    steward: Viewer
    gids: list[str] = field(default_factory=list)


def sqlite_node(folder: Any, policy: Policy | None = None) -> Node:
    """A node on SQLite in a folder, empty."""
    database = open_database(f"sqlite:///{folder}/node.db")
    migrate(database)
    return node_on(database, policy)


def node_on(database: Database, policy: Policy | None = None) -> Node:
    """A node on a migrated database."""
    in_force = policy or default_policy(catalogue())
    world = World(lambda: datetime(2026, 5, 1, tzinfo=UTC), seed=bytes(32))
    ledger = Ledger(database, world)
    intake = Intake(
        database,
        CODES,
        world,
        "origin",
        findings,
        ledger=ledger,
        labels=lambda key: labels(in_force, key),
        secret=bytes(32),
        place_k=1,
    )
    gate = Gate(database, lambda: in_force, CODES, ledger, bytes(32))
    return Node(database, gate, intake, in_force, Viewer(ViewerKind.STEWARD, "steward"))


def sample() -> list[tuple[str, dict[str, Any]]]:
    """Invented records of several types, with every shape of value."""
    grants = [
        (
            "resource",
            {
                "title": f"Grant {at}",
                "summary": 'Help with "quotes", a \\ backslash,\na second line and ünïcödé 日本.',
                "kind": ("emergency_grant", "legal_support")[at % 2],
                "dimensions": ["physical", "digital"][: 1 + at % 2],
                "area": ("KE", "UG", "FR", None)[at % 4],
                "response_hours": at * 10,
                "languages": ["sw", "en"] if at % 3 else ["fr"],
                "expectations": "No travel costs.",
                "amount": {"value": str(500 * (at + 1)), "currency": "EUR"},
                "provider": {"name": "Somebody", "kind": "ngo"},
                "availability": {"state": "open", "free": 3},
                "horizon": {"start": "2026-01-01", "end": "2026-06-30"},
                "contact": {"email": "x@example.org", "relay": "relay-000000"},
                "accepts_unregistered": bool(at % 2),
                "verified_on": {"start": "2026-03-04", "end": "2026-03-04"},
                "valid_until": "2027-01-01",
                "language": "en",
                "translations": {"fr": {"title": "Subvention"}},
            },
        )
        for at in range(12)
    ]
    return [
        ("network", {"name": "River", "scope": "local", "regions": ["KE"], "languages": ["sw"], "goals": "Safety."}),
        *grants,
        ("need", {"kind": "legal_support", "topic": "upr", "area": "KE", "urgency": "soon", "network": "River"}),
        ("convening", {"title": "Meet", "newcomer_places": 3, "series": "FREQ=MONTHLY", "languages": ["en"]}),
        ("convening", {"title": "Full", "newcomer_places": 0}),
        ("fieldVisit", {"purpose": "Listen.", "open_places": 4, "area": "KE", "partners_sought": ["ngo"]}),
        ("practice", {"title": "Lesson", "text": "Text.", "topics": ["upr", "security"], "setting": "KE"}),
        ("notice", {"kind": "solidarity", "text": "With you.", "deadline": "2026-09-01"}),
    ]
