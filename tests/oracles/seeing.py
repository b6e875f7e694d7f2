"""Records as an oracle knows them, and what a viewer may see of them: computed from the tiers of the record types, one
field at a time, without any of the code that decides it in the node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from federation.policies.terms import Terms
from federation.policies.tiers import Tier
from federation.records.base import FieldSpec, RecordType
from federation.records.registry import RECORD_TYPES
from oracles.decode import tokens
from oracles.minting import CONTEXT, texts_of

UNLISTED = {("network", "name")}
"""The texts of whose translations the list of languages says nothing: fewer may see them than the others."""


@dataclass
class Rec:
    """One record of a world: what it holds and everything that has a say in who sees it. `terms` None: an own record;
    `held`: the finest steps that a received one came with; `links`: how many nodes its path counts."""

    type: str
    variant: str
    document: Mapping[str, Any]
    gid: str = ""
    id: bytes = b""
    status: str = "shared"
    handling: Tier = Tier.OPEN
    caps: Mapping[str, str | None] = field(default_factory=dict)
    terms: Terms | None = None
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    links: int = 0
    origin: str = ""
    sender: str = ""
    known: frozenset[str] | None = None

    @property
    def kind(self) -> RecordType:
        return RECORD_TYPES[self.type]

    @property
    def own(self) -> bool:
        return self.sender == ""

    def value(self, name: str, step: str) -> Any:
        """The value of a field at a step, as it goes over the wire; None where there is none."""
        if not self.own:
            return self.values.get(name, {}).get(step)
        return _step_value(self.kind.fields[name], self.document, step)

    def everything(self) -> frozenset[str]:
        """Every token of the record in every step, sealed ones too."""
        if self.known is None:
            self.known = self._everything()
        return self.known

    def _everything(self) -> frozenset[str]:
        texts = [orjson.dumps(self.document).decode(), orjson.dumps(self.values).decode()]
        for name, spec in self.kind.fields.items():
            texts += [orjson.dumps(self.value(name, step)).decode() for step in spec.step_names]
        return frozenset().union(*map(tokens, texts))


def _step_value(spec: FieldSpec, document: Mapping[str, Any], step: str) -> Any:
    value = document.get(spec.name)
    if value is None:
        return None
    if spec.kind.name == "text":
        told = {lang: texts[spec.name] for lang, texts in document["translations"].items() if spec.name in texts}
        return {"text": value, "tr": told} if told else value
    return spec.kind.generalise(value, step, CONTEXT)


# What a viewer may see


@dataclass(frozen=True)
class Sees:
    """A viewer as the oracle knows it: the tier that it was granted for each type, and nothing that the node computes.
    `narrowed`: (type, field) to the finest step that its agreement leaves it."""

    name: str
    tiers: Mapping[str, Tier] = field(default_factory=dict)
    affiliation: str | None = None
    narrowed: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    home: bool = False
    every_status: bool = False
    peer: bool = False
    thumbprint: str = ""

    def steps(self, rec: Rec) -> dict[str, str]:
        """The step in which each field of a record is seen; empty where the record is not known of."""
        if not self._knows(rec):
            return {}
        seen = {}
        for name, spec in rec.kind.fields.items():
            step = self._step(rec, spec)
            if step is not None and rec.value(name, step) is not None:
                seen[name] = step
        if not self._sees_listed_texts(rec):
            seen.pop("translations", None)
        return seen if any(not rec.kind.fields[name].common for name in seen) or self.home else {}

    def projection(self, rec: Rec) -> dict[str, Any]:
        """The values that are seen, by field."""
        return {name: rec.value(name, step) for name, step in self.steps(rec).items()}

    def wire(self, rec: Rec) -> dict[str, dict[str, Any]]:
        """The values that a peer may receive: the step that it sees and every coarser one."""
        told = {}
        for name, finest in self.steps(rec).items():
            spec = rec.kind.fields[name]
            names = [step.name for step in spec.open_steps]
            known = {step: rec.value(name, step) for step in names[names.index(finest) :]}
            told[name] = {step: value for step, value in known.items() if value is not None}
        return told

    def _knows(self, rec: Rec) -> bool:
        tier = self.tiers.get(rec.type)
        if self.home:
            return rec.status == "shared" or self.every_status
        if tier is None or rec.status != "shared":
            return False
        if rec.own:
            return rec.handling <= tier
        terms = rec.terms
        if terms is None or not terms.relay or rec.handling > min(tier, Tier.COMMUNITY):
            return False
        if self.peer and (rec.links >= terms.hops or self.thumbprint == rec.origin):
            return False
        return not terms.not_to_affiliation or (
            self.affiliation is not None and self.affiliation not in terms.not_to_affiliation
        )

    def _step(self, rec: Rec, spec: FieldSpec) -> str | None:
        for at, step in enumerate(spec.steps):
            if step.tier is Tier.SEALED or not _reaches(spec, at, self.narrowed.get((rec.type, spec.name), "exact")):
                continue
            if not rec.own and step.name not in rec.values.get(spec.name, {}):
                continue
            if self.home:  # the columns hold what the caps leave: the whole document is `record show`'s
                if self._within_caps(rec, spec, at):
                    return step.name
                continue
            if step.tier <= self.tiers[rec.type] and self._may_leave(rec, spec, at):
                return step.name
        return None

    def _sees_listed_texts(self, rec: Rec) -> bool:
        """Whether every text is seen of which the list of translations tells, as far as rights and terms say; what a
        record of our own keeps back is not in its list."""
        return self.home or all(
            spec.steps[0].tier <= self.tiers[rec.type]
            and self.narrowed.get((rec.type, spec.name), "exact") is not None
            and (rec.terms is None or self._may_leave(rec, spec, 0))
            for spec in texts_of(rec.kind)
            if (rec.type, spec.name) not in UNLISTED
        )

    @staticmethod
    def _within_caps(rec: Rec, spec: FieldSpec, at: int) -> bool:
        caps = rec.caps if rec.terms is None else rec.terms.caps
        return spec.name not in caps or _reaches(spec, at, caps[spec.name])

    def _may_leave(self, rec: Rec, spec: FieldSpec, at: int) -> bool:
        if not self._within_caps(rec, spec, at):
            return False
        if rec.terms is None:
            return True
        told = dict(rec.terms.labels.get(spec.name, ()))
        label = told.get(spec.steps[at].name, Tier.NETWORK)
        return label <= min(self.tiers[rec.type], Tier.COMMUNITY)


def _reaches(spec: FieldSpec, at: int, finest: str | None) -> bool:
    """Whether a step is the finest that is allowed, or coarser."""
    return finest is not None and at >= spec.step_names.index(finest)


def everyone(tier: Tier) -> dict[str, Tier]:
    """The same tier for every type."""
    return dict.fromkeys(RECORD_TYPES, tier)
