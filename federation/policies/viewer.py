"""Who asks, and what a decision gives back: frozen values that every other layer passes on. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType

from federation.policies.tiers import Tier

AFFILIATIONS = ("none", "domestic_state", "foreign_state", "intergovernmental")
PURPOSES = (
    "protection_referral",
    "capacity_matching",
    "funding_matching",
    "coordination",
    "joint_visit",
    "advocacy",
    "aggregate_statistics",
)


class ViewerKind(StrEnum):
    """The kinds of who asks. Members and stewards are accounts of this node; all others are outside."""

    ANONYMOUS = "anonymous"
    CLIENT = "client"
    PEER = "peer"
    MEMBER = "member"
    STEWARD = "steward"


@dataclass(frozen=True)
class Agreement:
    """What one peer was granted. `narrowing` maps (type, field) to the finest step that this peer may see,
    or None for nothing. `active` is a state that the sweeper writes; no decision reads a clock."""

    scopes: frozenset[str] = frozenset()
    purpose: str | None = None
    until: date | None = None
    narrowing: Mapping[tuple[str, str], str | None] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    active: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "narrowing", MappingProxyType(dict(self.narrowing)))


@dataclass(frozen=True)
class Viewer:
    """Who asks. `scopes` are as granted (not closed). For a peer: its agreement, and the State affiliation and
    jurisdiction that the local operator entered; None is unknown and fails every predicate."""

    kind: ViewerKind
    subject: str
    scopes: frozenset[str] = frozenset()
    agreement: Agreement | None = None
    affiliation: str | None = None
    jurisdiction: str | None = None

    @property
    def at_home(self) -> bool:
        """Whether this is an account of this node, which may see what may not leave it."""
        return self.kind in (ViewerKind.MEMBER, ViewerKind.STEWARD)


def anonymous(public_scopes: frozenset[str] = frozenset()) -> Viewer:
    """The viewer without a token: it has what the setting `public_scopes` opens, and nothing else."""
    return Viewer(ViewerKind.ANONYMOUS, "anonymous", public_scopes)


@dataclass(frozen=True)
class Projection:
    """What a viewer sees of one type: for each field one step, or absence; and the highest handling that it may
    know of. `clearance` None, or no field beside the common ones: the viewer knows of no record of the type."""

    type: str
    steps: Mapping[str, str]
    clearance: Tier | None
    key: str = ""

    def __post_init__(self) -> None:
        body = json.dumps(
            [self.type, sorted(self.steps.items()), None if self.clearance is None else int(self.clearance)],
            separators=(",", ":"),
        )
        object.__setattr__(self, "steps", MappingProxyType(dict(self.steps)))
        object.__setattr__(self, "key", hashlib.sha256(body.encode()).hexdigest()[:32])

    @property
    def shows_handling(self) -> bool:
        """Whether the handling of a record is seen: it is a community field of every type."""
        return self.clearance is not None and self.clearance >= Tier.COMMUNITY

    @property
    def empty(self) -> bool:
        """Whether no record of the type exists for this viewer."""
        return self.clearance is None or not self.steps
