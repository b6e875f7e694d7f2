"""What root fields need beside the gate: requests of list fields, the viewer's own projections, the feed of changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType
from typing import Any

from federation.gate import Gate, PageRequest, Shape
from federation.policies.decide import decide
from federation.policies.rules import Policy
from federation.policies.tiers import Tier
from federation.policies.viewer import Projection, Viewer
from federation.records.base import RecordType
from federation.records.filters import Cond, Filter
from federation.records.registry import OPEN_PLACES
from federation.schema.names import plural
from federation.schema.queries import request_of

SIGHTS_LIMIT = 512
OPEN: Mapping[str, Filter] = MappingProxyType({key: Cond(name, "at_least", 1) for key, name in OPEN_PLACES.items()})
"""What makes a convening or visit an opportunity: at least one open place."""


@dataclass
class Sight:
    """The own projections of all viewers of equal rights under one policy. `told`: JSON made for them before."""

    policy: Policy
    viewer: Viewer
    projections: dict[str, Projection] = field(default_factory=dict)

    def of(self, type_key: str) -> Projection:
        """What is seen of this node's own records of a type. Received ones show the same or less."""
        found = self.projections.get(type_key)
        if found is None:
            found = self.projections[type_key] = decide(self.policy, self.viewer, type_key)
        return found

    def sees(self, type_key: str, name: str) -> bool:
        """Whether a field of a type is seen; facts of the row, wherever the type is."""
        projection = self.of(type_key)
        if name == "handling":
            return projection.clearance is not None and projection.clearance >= Tier.COMMUNITY
        return name in ("id", "origin", "type", "status") or name in projection.steps


class Roots:
    """What root fields stand on. `policy` gives the policy in force; `peer_names` the names of linked nodes."""

    def __init__(
        self,
        gate: Gate,
        intake: Any,
        registry: Mapping[str, RecordType],
        opportunities: Sequence[str],
        policy: Callable[[], Policy],
        peer_names: Callable[[], Sequence[str]],
    ) -> None:
        self.gate, self.intake, self.registry, self.peer_names = gate, intake, registry, peer_names
        self._policy = policy
        self._opportunities = tuple(opportunities)
        self._sights: OrderedDict[Hashable, Sight] = OrderedDict()
        self._lock = Lock()

    @property
    def pages(self) -> dict[str, tuple[str, ...]]:
        """The root fields that give pages, with their types."""
        lists = {plural(key): (key,) for key in self.registry}
        return {**lists, "opportunities": self._opportunities, "search": tuple(self.registry)}

    @property
    def singles(self) -> dict[str, tuple[str, ...]]:
        """The root fields that give one record, with their types."""
        return {"node": tuple(self.registry), "network": ("network",)}

    def request(
        self, name: str, types: tuple[str, ...], shapes: Mapping[str, Shape], arguments: Mapping[str, Any]
    ) -> PageRequest:
        """The request of a root field. Raises BadInput."""
        return request_of(types, shapes, arguments, OPEN if name == "opportunities" else None)

    def own_network(self, shapes: Mapping[str, Shape]) -> PageRequest:
        """The request for this node's own Network record."""
        return PageRequest(("network",), shapes, first=1, own=True)

    def sight(self, viewer: Viewer) -> Sight:
        """The projections of a viewer, shared by all of equal rights."""
        policy = self._policy()
        key = (policy.version, viewer.kind, viewer.scopes, viewer.agreement, viewer.affiliation, viewer.jurisdiction)
        found = self._sights.get(key)
        if found is None:
            found = Sight(policy, viewer)
            with self._lock:
                self._sights[key] = found
                while len(self._sights) > SIGHTS_LIMIT:
                    self._sights.popitem(last=False)
        return found
