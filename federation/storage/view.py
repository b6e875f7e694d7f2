"""A view: all that a viewer sees of one type, as arms of rows that share one projection, and the literal conditions
that pick those rows. Pure. What is in no arm is not seen: an arm that nobody wrote shows nothing."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property

from federation.policies.terms import Labels
from federation.policies.viewer import AFFILIATIONS, Projection
from federation.records.base import FieldSpec, RecordType
from federation.records.rows import bits, null_test
from federation.storage.journal import Facts

EVERY_STATUS = "t.status<>'shadowed'"
SHARED = "t.status='shared'"


@dataclass(frozen=True)
class Arm:
    """Rows under some terms (0: this node's own), all seen in one projection. `above`: the fields whose step is not
    `open` for everyone, so that showing them is entered in the ledger."""

    terms: tuple[int, ...]
    projection: Projection
    above: frozenset[str] = frozenset()

    @property
    def own(self) -> bool:
        """Whether own records are among the rows."""
        return 0 in self.terms


@dataclass(frozen=True)
class View:
    """What one viewer sees of one type. `keeps`: it may see drafts and past ones, if it asks for them. `pairwise`: ids
    and pseudonyms are made for this viewer alone. `key` names the own projection: equal for viewers who see own records
    alike. `labels` are the tiers of the steps of own records. `memo` keeps statements over it, `known` masks of its
    arms."""

    type: RecordType
    arms: tuple[Arm, ...]
    at_home: bool
    keeps: bool
    peer: bool
    affiliation: str | None
    pairwise: bool
    key: str
    labels: Labels
    memo: dict[Hashable, str] = field(default_factory=dict, compare=False, repr=False)
    known: dict[tuple[int, ...], int] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def fields(self) -> frozenset[str]:
        """The fields that are seen in at least one arm."""
        return frozenset(name for arm in self.arms for name in arm.projection.steps)

    def arm_of(self, facts: Facts | None) -> Arm | None:
        """The arm in which a row with these facts is seen, or None: the same conditions as `rows`, for the journal."""
        if facts is None or facts.status != "shared":
            return None
        arm = next((arm for arm in self.arms if facts.terms in arm.terms), None)
        if arm is None or self.at_home:
            return arm
        clearance = arm.projection.clearance
        if clearance is None or facts.handling > clearance or facts.not_to & self._not_to_bits:
            return None
        if arm.terms != (0,) and (not facts.relay or (self.peer and facts.hops_left <= 0)):
            return None
        return arm if facts.filled & self._known_by(arm) else None

    @property
    def _not_to_bits(self) -> int:
        """The affiliations that close a row to this viewer; every one, if the viewer's own is unknown."""
        return 1 << AFFILIATIONS.index(self.affiliation) if self.affiliation in AFFILIATIONS else -1

    def rows(self, arm: Arm, *, alias: str = "t", every_status: bool = False, own: bool = False) -> str:
        """The rows of an arm as a condition of literals only, so that partial indexes match it."""
        parts = [EVERY_STATUS if every_status and self.keeps else SHARED]
        clearance = arm.projection.clearance
        if not self.at_home:
            parts.append(f"t.handling<={int(clearance) if clearance is not None else -1}")
            bits = self._not_to_bits
            parts.append(f"(t.not_to & {bits})=0" if bits > 0 else "t.not_to=0")
            if arm.terms != (0,):
                parts.append("t.relay=1")
                if self.peer:
                    parts.append("t.hops_left>0")
            parts.append(self._known(arm))
        if own:
            parts.append("t.via=0")
        parts.append(f"t.terms IN ({','.join(map(str, arm.terms))})")
        text = " AND ".join(parts)
        return text if alias == "t" else text.replace("t.", f"{alias}.")

    def _known(self, arm: Arm) -> str:
        """A record is known only by at least one field beside the common ones."""
        specs = sorted(self._telling(arm), key=lambda spec: not spec.required)
        columns = [f"t.{spec.name}__{arm.projection.steps[spec.name]}{null_test(spec.kind)}" for spec in specs]
        return "(" + " OR ".join(f"{column} IS NOT NULL" for column in columns) + ")"

    def _telling(self, arm: Arm) -> list[FieldSpec]:
        """The fields by which a record of the arm is known."""
        return [spec for name, spec in self.type.fields.items() if name in arm.projection.steps and not spec.common]

    def _known_by(self, arm: Arm) -> int:
        """The steps that `_known` asks for, as a mask."""
        if arm.terms not in self.known:
            steps = {(spec.name, arm.projection.steps[spec.name]) for spec in self._telling(arm)}
            self.known[arm.terms] = sum(1 << bit for bit, each in enumerate(bits(self.type)) if each in steps)
        return self.known[arm.terms]
