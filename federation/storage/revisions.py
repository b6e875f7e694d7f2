"""Revisions: how often what a class sees of a record has changed, one number a tier.

An own record keeps how often each step changed while it could be seen at a tier; a class adds up the steps of its own
view. A write that it cannot see moves no number that it gets. Received records keep the numbers that they came with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from federation.policies.terms import Labels
from federation.policies.tiers import SCOPED_TIERS, Tier
from federation.records.registry import RECORD_TYPES
from federation.records.rows import bits
from federation.storage.journal import Facts
from federation.storage.tables import DRAFT, SHARED

Revisions: TypeAlias = tuple[int, int, int]
"""Of what is seen at the tiers open, community and partner; 0 where nothing is."""

Masks: TypeAlias = tuple[int, int, int]
"""The steps, as bits over `records.rows.bits`, that are seen at the tiers open, community and partner."""

_Counts: TypeAlias = dict[str, dict[str, int]]
_WHOLE = ""
"""Stands for the record itself: it came back, or its handling changed."""
_LOWEST = "lowest"
"""Under this stands the lowest handling under which the record was shared before its handling changed."""


@dataclass(frozen=True)
class Counted:
    """What a write makes of the counts: as they are stored (None: nothing was ever counted), and what may be told of
    the write to whoever sees it, without telling of any other write."""

    kept: str | None
    told: tuple[object, ...]


def tier_masks(type_key: str, labels: Labels, handling: int) -> Masks:
    """At which tier each step of a record is seen: its own, or that of the record's handling where that is higher."""
    masks = [0, 0, 0]
    tiers = {name: dict(steps) for name, steps in labels.items()}
    for bit, (name, step) in enumerate(bits(RECORD_TYPES[type_key])):
        tier = max(tiers.get(name, {}).get(step, Tier.NETWORK), handling)
        if tier <= Tier.PARTNER:
            masks[tier] |= 1 << bit
    return masks[0], masks[1], masks[2]


def of_class(kept: str | None, seen: Masks) -> Revisions:
    """The revisions of an own record for a class that sees these steps of it."""
    if kept is None:
        return int(seen[0] != 0), int(seen[1] != 0), int(seen[2] != 0)
    counts = _read(kept)
    upto = (seen[0], seen[0] | seen[1], seen[0] | seen[1] | seen[2])  # a step may have been at a higher tier before
    open_, community, partner = (1 + _total(counts, tier, upto[tier]) if seen[tier] else 0 for tier in SCOPED_TIERS)
    return open_, community, partner


def count(kept: str | None, before: Facts | None, after: Facts, changed: int, labels: Labels, type_key: str) -> Counted:
    """Counts a write that changed these steps. What nobody outside sees is not counted."""
    if before is None:
        return Counted(None, ("new",))
    if after.status != SHARED or after.handling > Tier.PARTNER:
        seen = before.status == SHARED and before.handling <= Tier.PARTNER
        if seen and before.handling != after.handling:
            counts = _read(kept)
            counts[_LOWEST] = {_WHOLE: _lowest(counts, before)}
            kept = _written(counts)
        return Counted(kept, ("gone",) if seen else ())
    counts = _read(kept)
    if before.status == DRAFT:
        return Counted(kept, ("shared",))
    if before.status != SHARED or before.handling != after.handling:
        return _moved(counts, before, after)
    told: tuple[object, ...] = ()
    for tier, mask in enumerate(tier_masks(type_key, labels, after.handling)):
        for bit in _bits(mask & changed):
            _add(counts, tier, str(bit))
        if mask & changed and not told:
            told = ("changed", tier, _total(counts, tier, -1))
    return Counted(_written(counts), told)


def _moved(counts: _Counts, before: Facts, after: Facts) -> Counted:
    """Counts a record that came back, or whose handling changed. Whoever could never see it before begins as with any
    new record, so that its number does not tell that there was one."""
    if before.status != SHARED:
        _add(counts, after.handling, _WHOLE)
    else:
        lowest = _lowest(counts, before)
        if lowest <= Tier.PARTNER:
            counts[_LOWEST] = {_WHOLE: min(lowest, after.handling)}
            _add(counts, max(lowest, after.handling), _WHOLE)
        if after.handling < lowest:
            return Counted(_written(counts), ("shared",))
    lower = min(before.handling, after.handling)
    return Counted(_written(counts), (before.status, before.handling, after.handling, _total(counts, lower, -1)))


def _lowest(counts: _Counts, before: Facts) -> int:
    """The lowest handling under which a record that is shared was ever shared."""
    return min(before.handling, counts.get(_LOWEST, {}).get(_WHOLE, before.handling))


def written(revisions: Revisions) -> str:
    """The numbers of a received record as they are stored."""
    return json.dumps(list(revisions), separators=(",", ":"))


def received(kept: str) -> Revisions:
    """The numbers that a received record came with."""
    open_, community, partner = json.loads(kept)
    return open_, community, partner


def _read(kept: str | None) -> _Counts:
    return json.loads(kept) if kept else {}


def _written(counts: _Counts) -> str | None:
    return json.dumps(counts, separators=(",", ":"), sort_keys=True) if counts else None


def _add(counts: _Counts, tier: int, what: str) -> None:
    of_tier = counts.setdefault(str(int(tier)), {})
    of_tier[what] = of_tier.get(what, 0) + 1


def _total(counts: Mapping[str, Mapping[str, int]], tier: int, mask: int) -> int:
    """What was counted at a tier of the steps in a mask, and of the record itself at this tier and those below."""
    steps = counts.get(str(int(tier)), {})
    whole = sum(counts.get(str(lower), {}).get(_WHOLE, 0) for lower in range(int(tier) + 1))
    return whole + sum(times for what, times in steps.items() if what != _WHOLE and mask >> int(what) & 1)


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
