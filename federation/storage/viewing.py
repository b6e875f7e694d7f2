"""From a policy, a viewer and the terms at hand to views. Decides nothing itself: it asks `decide` once for each set of
terms and groups the rows that are seen alike. Terms that it has not read give no arm, so that their rows are unseen."""

from __future__ import annotations

import json
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
from federation.storage.view import Arm, View

TermsVersion: TypeAlias = tuple[int, int]
"""How many terms there are, and the highest number: terms are never changed, so that this tells their set."""

COUNT_TERMS = "SELECT count(*),coalesce(max(tid),0) FROM terms"
READ_TERMS = "SELECT tid,type,body FROM terms WHERE tid>0 ORDER BY tid"


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
    for tid, each in terms:
        received = decide(policy, viewer, record_type.key, terms=each)
        if not received.empty:
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
    )


def _draft(arms: dict[str, _Draft], projection: Projection) -> _Draft:
    return arms.setdefault(projection.key, _Draft(projection))


@dataclass
class _Draft:
    projection: Projection
    terms: list[int] = field(default_factory=list)
    above: set[str] = field(default_factory=set)
    partner: bool = False

    def arm(self) -> Arm:
        """What was gathered."""
        return Arm(tuple(self.terms), self.projection, frozenset(self.above), self.partner)

    def add(self, tid: int, told: Labels, terms: Terms | None) -> None:
        """One more set of terms, with the fields that under them are not open for everyone."""
        self.terms.append(tid)
        for name, step in self.projection.steps.items():
            own = dict(told.get(name, ())).get(step, Tier.NETWORK)
            if own > Tier.OPEN or (terms is not None and terms.label(name, step) > Tier.OPEN):
                self.above.add(name)
            self.partner = self.partner or own >= Tier.PARTNER


class TermsShelf:
    """The terms under which records were received, read anew whenever there are more."""

    def __init__(self) -> None:
        self._read: tuple[TermsVersion, Mapping[str, Sequence[tuple[int, Terms]]]] = ((0, 0), {})

    def version(self, connection: Any) -> TermsVersion:
        """The version of the terms in the database; `connection` is a raw reader or speaks like one."""
        row = connection.execute(COUNT_TERMS).fetchone()
        return row[0], row[1]

    def by_type(self, connection: Any, version: TermsVersion) -> Mapping[str, Sequence[tuple[int, Terms]]]:
        """The terms of each type. Those that are not understood are left out: their records are not seen."""
        known, found = self._read
        if known == version:
            return found
        fresh: dict[str, list[tuple[int, Terms]]] = {}
        for tid, type_key, body in connection.execute(READ_TERMS).fetchall():
            try:
                fresh.setdefault(type_key, []).append((tid, Terms.from_json(json.loads(body))))
            except (BadInput, ValueError):
                continue
        self._read = (version, fresh)
        return fresh
