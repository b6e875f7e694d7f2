"""From a policy, a viewer and the terms at hand to views. Decides nothing itself: it asks `decide` once for each set of
terms and groups the rows that are seen alike. Terms that it has not read give no arm, so that their rows are unseen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from federation.errors import BadInput
from federation.policies.catalogue import PAIRWISE_TYPES
from federation.policies.decide import decide
from federation.policies.rules import Policy
from federation.policies.terms import Labels, Terms, labels
from federation.policies.tiers import Tier
from federation.policies.viewer import Projection, Viewer, ViewerKind
from federation.records.base import RecordType
from federation.records.registry import RECORD_TYPES
from federation.storage.tables import record_table
from federation.storage.view import Arm, View

TermsVersion: TypeAlias = tuple[int, int]
"""How many terms there are, and the highest number: terms are never changed, so that this tells their set."""

COUNT_TERMS = "SELECT count(*),coalesce(max(tid),0) FROM terms"
READ_TERMS = (
    "SELECT t.tid,t.type,t.body,t.origin,coalesce(o.pinned,0) FROM terms t LEFT JOIN origins o ON o.oid=t.origin"
    " WHERE t.tid>0 ORDER BY t.tid"
)
MOST_ARMS = 64
"""In how many ways records of a type are seen at most: each way is a part of every statement. What would need more is
not seen."""
MOST_TERMS = 4096
"""How many terms of a type are looked at for a view."""


def rights_key(viewer: Viewer) -> Hashable:
    """All of a viewer that a decision may depend on; equal rights share views."""
    agreement = viewer.agreement
    granted: Hashable = None
    if agreement is not None:
        narrowing = frozenset(agreement.narrowing.items())
        granted = (agreement.scopes, agreement.purpose, agreement.until, narrowing, agreement.active)
    return (viewer.kind, viewer.scopes, granted, viewer.affiliation, viewer.jurisdiction)


@dataclass(frozen=True)
class Sight:
    """Under which policy and terms a viewer looks; `key` is equal where everything that is seen is decided alike."""

    policy: Policy
    viewer: Viewer
    terms: TermsVersion
    key: Hashable

    @classmethod
    def of(cls, policy: Policy, viewer: Viewer, terms: TermsVersion) -> Sight:
        """The sight of a viewer."""
        return cls(policy, viewer, terms, (policy.version, rights_key(viewer), terms))


def make_view(policy: Policy, viewer: Viewer, record_type: RecordType, terms: Sequence[tuple[int, Terms]]) -> View:
    """What the viewer sees of a type: an arm for own records, and one for each way in which received ones are seen.
    Arms without a field beside the common ones are left out: nothing of them is known."""
    own = decide(policy, viewer, record_type.key)
    told = labels(policy, record_type.key)
    arms: dict[str, _Draft] = {}
    if not own.empty:
        _draft(arms, own).add(0, told, None)
    for tid, each in terms[:MOST_TERMS]:
        received = decide(policy, viewer, record_type.key, terms=each)
        if not received.empty and (received.key in arms or len(arms) < MOST_ARMS):
            _draft(arms, received).add(tid, told, each)
    return View(
        record_type,
        tuple(draft.arm() for draft in arms.values()),
        viewer.at_home,
        viewer.at_home and (viewer.kind is ViewerKind.STEWARD or "records:write" in viewer.scopes),
        viewer.kind is ViewerKind.PEER,
        viewer.affiliation,
        record_type.key in PAIRWISE_TYPES and not viewer.at_home,
        own.key,
        told,
    )


def _draft(arms: dict[str, _Draft], projection: Projection) -> _Draft:
    return arms.setdefault(projection.key, _Draft(projection))


@dataclass
class _Draft:
    projection: Projection
    terms: list[int] = field(default_factory=list)
    above: set[str] = field(default_factory=set)

    def arm(self) -> Arm:
        """What was gathered."""
        return Arm(tuple(self.terms), self.projection, frozenset(self.above))

    def add(self, tid: int, told: Labels, terms: Terms | None) -> None:
        """One more set of terms, with the fields that under them are not open for everyone."""
        self.terms.append(tid)
        for name, step in self.projection.steps.items():
            own = dict(told.get(name, ())).get(step, Tier.NETWORK)
            if own > Tier.OPEN or (terms is not None and terms.label(name, step) > Tier.OPEN):
                self.above.add(name)


class TermsShelf:
    """The terms under which records were received, read anew whenever there are more."""

    def __init__(self) -> None:
        self._read: tuple[TermsVersion, Mapping[str, Sequence[tuple[int, Terms]]]] = ((0, 0), {})

    def version(self, connection: Any) -> TermsVersion:
        """The version of the terms in the database; `connection` is a raw reader or speaks like one."""
        row = connection.execute(COUNT_TERMS).fetchone()
        return row[0], row[1]

    def by_type(self, connection: Any, version: TermsVersion) -> Mapping[str, Sequence[tuple[int, Terms]]]:
        """The terms of each type. Those that are not understood are left out: their records are not seen. First come
        terms that records stand under, of peers before others, each origin's first before any origin's second: where a
        view is full, nobody has filled it for the others."""
        known, found = self._read
        if known == version:
            return found
        told: dict[str, list[tuple[int, int, bool]]] = {}
        bodies: dict[int, Terms] = {}
        for tid, type_key, body, oid, pinned in connection.execute(READ_TERMS).fetchall():
            try:
                bodies[tid] = Terms.from_json(json.loads(body))
            except (BadInput, ValueError):
                continue
            told.setdefault(type_key, []).append((tid, oid, bool(pinned)))
        fresh = {
            key: [(tid, bodies[tid]) for tid in _ordered(each, connection, key)]
            for key, each in told.items()
            if key in RECORD_TYPES
        }
        self._read = (version, fresh)
        return fresh


def _ordered(told: Sequence[tuple[int, int, bool]], connection: Any, type_key: str) -> list[int]:
    """The numbers of (number, origin, whether it is a peer) in the order in which they find place in a view."""
    if len(told) < MOST_ARMS:
        return [tid for tid, *_ in told]
    used = _used(connection, type_key)
    before: Counter[int] = Counter()
    places = []
    for tid, oid, pinned in told:
        places.append((tid not in used, not pinned, before[oid], tid))
        before[oid] += tid in used
    return [tid for *_, tid in sorted(places)]


def _used(connection: Any, type_key: str) -> frozenset[int]:
    """The terms that records of a type stand under."""
    rows = connection.execute(f"SELECT DISTINCT terms FROM {record_table(type_key).name} WHERE via>0")  # noqa: S608
    return frozenset(row[0] for row in rows.fetchall())
