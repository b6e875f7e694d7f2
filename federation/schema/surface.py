"""How a field of a record looks in GraphQL: its type, the parts that can be selected, its input and its filters.

One table from kinds of values to types; whoever adds a kind adds a line here. Pure description.
"""

from __future__ import annotations

from dataclasses import dataclass

from federation.policies.tiers import Tier
from federation.records.base import FieldSpec, RecordType
from federation.records.coded import Code, Codes, Languages, Translations
from federation.records.codes import CodeLists
from federation.records.kinds import Instant, Text
from federation.records.places import Places
from federation.records.special import Openings, Organisers, Party, Tally
from federation.schema.names import camel, pascal

PARTS = {
    "period": ("start", "end", "precision"),
    "amount": ("minimum", "maximum", "currency", "precision"),
    "place": ("code", "level"),
    "count": ("minimum", "maximum", "precision"),
    "contact": ("relay",),
}
"""Parts of composite kinds that the gate gives. `Place.name` is made from the code, `Contact.address` never leaves."""

LEAVES = {"whole": "Int", "flag": "Boolean", "day": "Date"}
COMPOSITES = {"period": "Period", "amount": "Amount", "place": "Place", "count": "Count", "contact": "Contact"}
INPUTS = {"period": "PeriodInput", "amount": "AmountInput", "contact": "ContactInput", "place": "str", "count": "int"}
SPECIAL_INPUTS: tuple[tuple[type, str | None], ...] = (
    (Instant, None),
    (Translations, "list[TranslationInput]"),
    (Party, "PartyInput"),
    (Openings, "OpeningsInput"),
    (Tally, "list[TallyInput]"),
    (Organisers, "list[OrganiserInput]"),
)
FILTER_VALUES = {
    "day": "Date",
    "period": "Date",
    "amount": "Decimal",
    "count": "Int",
    "whole": "Int",
    "flag": "Boolean",
}


@dataclass(frozen=True)
class Surface:
    """One field in GraphQL. `type` is the inner type and `listed` whether it is a list of it; `codes`: the code list
    whose codes are shown in capitals; `parts`: what the gate can select of it; `translated`: takes a language."""

    name: str
    spec: FieldSpec
    type: str
    listed: bool = False
    codes: str | None = None
    parts: tuple[str, ...] | None = None
    translated: bool = False

    @property
    def annotation(self) -> str:
        """The output type: always nullable, because a policy may withhold it."""
        return f"Optional[list[{self.type}]]" if self.listed else f"Optional[{self.type}]"

    @property
    def filter_type(self) -> str | None:
        """The name of its filter input, or None for a field that cannot be filtered."""
        if not self.spec.filterable:
            return None
        if self.type in COMPOSITES.values():
            return self.type + "Filter"
        return self.scalar + ("ListFilter" if self.listed else "Filter")

    @property
    def scalar(self) -> str:
        """The GraphQL name of a leaf."""
        return {"str": "String", "int": "Int", "bool": "Boolean"}.get(self.type, self.type)

    @property
    def input(self) -> str | None:
        """The type of its input, or None for what no caller writes."""
        kind = self.spec.kind
        for made, input_type in SPECIAL_INPUTS:
            if isinstance(kind, made):
                return input_type
        if kind.name in INPUTS:
            return INPUTS[kind.name]
        return f"list[{self.type}]" if self.listed else self.type


def in_capitals(codes: CodeLists, name: str) -> bool:
    """Whether a list's codes are words, shown in capitals, and not tags or numbers like `sw`, `KE` or `014`."""
    if name in ("language", "area", "currency", "country"):
        return False
    known = codes.codes(name)
    return bool(known) and all(code == code.lower() and code[0].isalpha() for code in known)


def surface(spec: FieldSpec, codes: CodeLists) -> Surface:
    """The GraphQL side of one field."""
    kind, name = spec.kind, camel(spec.name)
    if kind.name in COMPOSITES:
        return Surface(name, spec, COMPOSITES[kind.name], parts=PARTS[kind.name])
    if kind.name in LEAVES:
        return Surface(name, spec, {"Int": "int", "Boolean": "bool"}.get(LEAVES[kind.name], LEAVES[kind.name]))
    if isinstance(kind, (Languages, Places, Tally, Organisers)):
        return Surface(name, spec, "str", listed=True)
    if isinstance(kind, Codes):
        shown = in_capitals(codes, kind.codes)
        return Surface(
            name, spec, pascal(kind.codes) if shown else "str", listed=True, codes=kind.codes if shown else None
        )
    if isinstance(kind, Code):
        shown = in_capitals(codes, kind.codes)
        return Surface(name, spec, pascal(kind.codes) if shown else "str", codes=kind.codes if shown else None)
    return Surface(name, spec, "str", translated=isinstance(kind, Text))


def surfaces(record_type: RecordType, codes: CodeLists) -> tuple[Surface, ...]:
    """The fields that callers can read: those with a step that is not sealed, own ones first."""
    return tuple(surface(spec, codes) for spec in record_type.fields.values() if spec.steps[-1].tier < Tier.SEALED)


def written(record_type: RecordType, codes: CodeLists) -> tuple[Surface, ...]:
    """The fields that callers can write, sealed ones included."""
    return tuple(made for made in (surface(s, codes) for s in record_type.fields.values()) if made.input is not None)
