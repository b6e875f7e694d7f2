"""What can be shared at all: types, fields and their ladders, as plain description handed in by the record types.

Pure. It must never import the record types: policies know names and tiers, not values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from federation.policies.tiers import Tier

FIXED_FIELDS: Mapping[str, Tier] = MappingProxyType(
    {
        "id": Tier.OPEN,
        "origin": Tier.OPEN,
        "type": Tier.OPEN,
        "status": Tier.OPEN,
        "handling": Tier.COMMUNITY,
    }
)
"""Fields whose rule no file can change: a record that is seen has an id, an origin, a type and a status."""

PAIRWISE_TYPES = frozenset({"need"})
"""Types whose ids differ from viewer to viewer, so that two viewers who compare notes cannot match them."""

TYPE_NAME = re.compile(r"[a-z][A-Za-z0-9]{0,63}")
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class FieldRules:
    """One field: its ladder of (step, default tier), exact first. `common` fields alone do not tell of a record.
    `tells_of`: fields of which its value tells, so that only who sees all of them may see it."""

    name: str
    common: bool
    steps: tuple[tuple[str, Tier], ...]
    tells_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [step for step, _ in self.steps]
        if not NAME.fullmatch(self.name) or not names or len(set(names)) != len(names):
            raise ValueError(f"{self.name}: a field needs a snake_case name and steps with names of their own")
        if any(not NAME.fullmatch(step) for step in names):
            raise ValueError(f"{self.name}: a step needs a snake_case name")
        tiers = [tier for _, tier in self.steps]
        if any(coarse > fine for fine, coarse in pairwise(tiers)):
            raise ValueError(f"{self.name}: a coarser step needs more than a finer one")

    @property
    def step_names(self) -> tuple[str, ...]:
        """The names of the steps, exact first."""
        return tuple(step for step, _ in self.steps)

    def coarsens_to(self, finest: str | None) -> tuple[str, ...]:
        """The steps at or coarser than `finest`. None, and a step that the field does not have, leave nothing."""
        names = self.step_names
        return names[names.index(finest) :] if finest in names else ()


@dataclass(frozen=True)
class TypeRules:
    """One record type: its fields, common ones included, and whether a hub may pass received records of it on."""

    key: str
    fields: Mapping[str, FieldRules]
    relayable: bool

    def __post_init__(self) -> None:
        if not TYPE_NAME.fullmatch(self.key):
            raise ValueError(f"{self.key}: a type needs a camelCase name")
        for name, field in self.fields.items():
            if name != field.name:
                raise ValueError(f"{self.key}.{name}: the field calls itself {field.name}")
            if name in FIXED_FIELDS and field.steps != (("exact", FIXED_FIELDS[name]),):
                raise ValueError(f"{self.key}.{name}: its rule is fixed")
            if any(other not in self.fields or self.fields[other].tells_of for other in field.tells_of):
                raise ValueError(f"{self.key}.{name}: it tells of a field that is not there or tells of others itself")
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))

    def field(self, name: str) -> FieldRules | None:
        """The field, or None if the type has none of that name. Every type has the fixed fields."""
        if name in FIXED_FIELDS:
            return FieldRules(name, True, (("exact", FIXED_FIELDS[name]),))
        return self.fields.get(name)


@dataclass(frozen=True)
class Catalogue:
    """All record types by key, in the order in which policies print them. Raises ValueError for a type whose key
    and name differ; the parts raise it for ladders that no policy could keep."""

    types: Mapping[str, TypeRules]

    def __post_init__(self) -> None:
        for key, kind in self.types.items():
            if key != kind.key:
                raise ValueError(f"{key}: the type calls itself {kind.key}")
        object.__setattr__(self, "types", MappingProxyType(dict(self.types)))
