"""What a record type is: fields with a kind and a ladder of steps, each step with its default tier.

A type file states its fields as `Annotated[...]` on a class; `record_type` turns the class into a frozen RecordType,
from which table, schema, exchange and default policy are derived. This module must never touch storage or a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, get_type_hints

from federation.errors import BadInput
from federation.policies.tiers import Tier
from federation.records.kinds import Context, Kind, standard_context

OPEN, COMMUNITY, PARTNER, NETWORK, SEALED = Tier

DOCUMENT_EXTRAS = ("caps", "originals")
"""Keys of a home document beside its fields: what may leave at most, and codes that an import did not know."""

RESTATED = "restated"
"""Under this a home document notes what was last told of the fields that are told once a day at most, and on which day:
`{field: {"state", "on"}}`."""

SET_BY_NODE = ("created_at", "updated_at", RESTATED)
"""What only a node sets in its home documents: no file and no caller brings it."""

Document = Mapping[str, Any]
Problems = list[tuple[str | None, str]]


@dataclass(frozen=True)
class Step:
    """One precision of a field and the tier that opens it unless a policy says otherwise."""

    name: str
    tier: Tier


@dataclass(frozen=True)
class FieldSpec:
    """One field: its kind and its steps from exact to coarse."""

    name: str
    kind: Kind
    steps: tuple[Step, ...]
    meaning: str
    common: bool = False
    sortable: bool = False
    filterable: bool = True
    required: bool = False
    searched: bool = False
    tells_of: tuple[str, ...] = ()
    """The fields of which its value tells: only who sees all of them may see it."""

    @property
    def step_names(self) -> tuple[str, ...]:
        """The names of the steps, exact first."""
        return tuple(step.name for step in self.steps)

    @property
    def open_steps(self) -> tuple[Step, ...]:
        """The steps that have columns: all but the sealed ones."""
        return tuple(step for step in self.steps if step.tier < SEALED)

    def tier(self, step: str) -> Tier:
        """The default tier of a step; KeyError for a step that the field does not have."""
        for each in self.steps:
            if each.name == step:
                return each.tier
        raise KeyError(step)


@dataclass(frozen=True, eq=False)
class RecordType:
    """One type of record. `check` gives every problem of a home document as (field, sentence); `normalise` gives the
    document in its stored form. `needs_expectations`: cannot be shared without `expectations`."""

    key: str
    table: str
    graphql: str
    fields: Mapping[str, FieldSpec]
    meaning: str
    check: Callable[..., Problems]
    normalise: Callable[..., dict[str, Any]]
    indexes: tuple[tuple[str | None, str | None], ...]
    shareable: bool
    relayable: bool
    needs_expectations: bool


@dataclass(frozen=True)
class Stated:
    """What a type file says of one field; see `stated`."""

    kind: Kind
    meaning: str
    steps: tuple[Step, ...]
    required: bool
    filterable: bool


def stated(kind: Kind, meaning: str, /, *, required: bool = False, filterable: bool = True, **ladder: Tier) -> Stated:
    """States a field: `stated(Place(), "Where it applies.", exact=NETWORK, country=PARTNER, sub_region=OPEN)`.

    The ladder runs from exact to coarse. ValueError if it does not begin with `exact`, names a step that the kind
    does not know or knows in another order, or if a coarser step is narrower than a finer one.
    """
    steps = tuple(Step(name, tier) for name, tier in ladder.items())
    if not steps or steps[0].name != "exact":
        raise ValueError("a ladder begins with exact")
    order = [kind.ladder.index(step.name) for step in steps]
    if order != sorted(set(order)):
        raise ValueError(f"steps of {kind.name} run from exact to coarse: {', '.join(kind.ladder)}")
    if any(coarser.tier > finer.tier for finer, coarser in pairwise(steps)):
        raise ValueError("a coarser step cannot be narrower than a finer one")
    return Stated(kind, meaning, steps, required, filterable)


class Record:
    """Base of the classes that state a record type: fields as annotations, `check` for rules over several fields."""

    indexes: tuple[tuple[str | None, str | None], ...] = ()
    shareable: bool = True
    relayable: bool = True
    needs_expectations: bool = False

    @classmethod
    def check(cls, document: Document) -> Problems:  # noqa: ARG003  (types override it)
        """Problems of a normalised document that no single field can tell; none by default."""
        return []


def record_type(stating: type[Record], common: type) -> RecordType:
    """The RecordType that a class states, with the common fields of `common` after its own."""
    fields: dict[str, FieldSpec] = {}
    for source, shared in ((stating, False), (common, True)):
        for name, spec in _statements(source).items():
            fields[name] = _field(name, spec, shared)
    graphql = stating.__name__
    fields["translations"] = replace(fields["translations"], tells_of=_listed_texts(fields))
    frozen = MappingProxyType(fields)

    def normalise(document: Document, context: Context | None = None) -> dict[str, Any]:
        result, problems = _normalised(frozen, stating, document, context or standard_context())
        if problems:
            raise BadInput(problems[0][1], field=problems[0][0])
        return result

    def check(document: Document, context: Context | None = None) -> Problems:
        return _normalised(frozen, stating, document, context or standard_context())[1]

    return RecordType(
        key=graphql[0].lower() + graphql[1:],
        table="".join("_" + c.lower() if c.isupper() else c for c in graphql).lstrip("_"),
        graphql=graphql,
        fields=frozen,
        meaning=" ".join((stating.__doc__ or "").split()),
        check=check,
        normalise=normalise,
        indexes=stating.indexes,
        shareable=stating.shareable,
        relayable=stating.relayable,
        needs_expectations=stating.needs_expectations,
    )


def _field(name: str, spec: Stated, shared: bool) -> FieldSpec:
    """A field as it was stated. One that never leaves is not sorted, filtered or searched by."""
    leaves = spec.steps[-1].tier < SEALED
    return FieldSpec(
        name=name,
        kind=spec.kind,
        steps=spec.steps,
        meaning=spec.meaning,
        common=shared,
        sortable=spec.kind.sortable and leaves,
        filterable=spec.filterable and bool(spec.kind.filters) and leaves,
        required=spec.required,
        searched=spec.kind.searched and leaves,
    )


def _statements(source: type) -> dict[str, Stated]:
    """The stated fields of a class, inherited ones first, in the order in which they are written."""
    found: dict[str, Stated] = {}
    hints = get_type_hints(source, include_extras=True)
    for base in reversed(source.__mro__):
        for name in vars(base).get("__annotations__", {}):
            for item in getattr(hints[name], "__metadata__", ()):
                if isinstance(item, Stated):
                    found[name] = item
    return found


def _listed_texts(fields: Mapping[str, FieldSpec]) -> tuple[str, ...]:
    """The texts whose languages `translations` lists: of the type's own texts those with the lowest tier, and the
    common ones that whoever sees those sees too."""
    texts = [spec for spec in fields.values() if spec.kind.name == "text" and spec.steps[0].tier < SEALED]
    lowest = min(spec.steps[0].tier for spec in [each for each in texts if not each.common] or texts)
    return tuple(spec.name for spec in texts if spec.steps[0].tier <= lowest)


def _normalised(
    fields: Mapping[str, FieldSpec], stating: type[Record], document: Document, context: Context
) -> tuple[dict[str, Any], Problems]:
    """The stored form of a document, and all that is wrong with it."""
    problems: Problems = []
    result: dict[str, Any] = {}
    for name, value in document.items():
        if name in DOCUMENT_EXTRAS:
            result[name] = value
        elif name not in fields:
            problems.append((name, f"{stating.__name__} has no field {name[:60]}."))
        elif value is not None:
            try:
                result[name] = fields[name].kind.check(value, context)
            except BadInput as error:
                problems.append((name, f"{name}: {error.message}"))
    for name, spec in fields.items():
        if spec.required and document.get(name) is None:
            problems.append((name, f"{name} is needed."))
    _check_translated(fields, result, problems)
    _check_extras(fields, result, problems)
    if not problems:
        problems.extend(stating.check(result))
    return result, problems


def _check_translated(fields: Mapping[str, FieldSpec], document: Document, problems: Problems) -> None:
    """Translations may only speak of text fields that the document has, each within its own bounds."""
    for language, texts in (document.get("translations") or {}).items():
        for name, text in texts.items():
            spec = fields.get(name)
            if spec is None or spec.kind.name != "text":
                problems.append(("translations", f"translations: {name[:60]} is not a text that can be translated."))
            elif spec.steps[0].tier is SEALED:
                problems.append(("translations", f"translations: {name} never leaves, so it has no translation."))
            elif document.get(name) is None:
                problems.append(("translations", f"translations: {name} has a text in {language} and none of its own."))
            else:
                try:
                    texts[name] = spec.kind.check(text)
                except BadInput as error:
                    problems.append(("translations", f"translations: {name} in {language}: {error.message}"))


def _check_extras(fields: Mapping[str, FieldSpec], document: Document, problems: Problems) -> None:
    caps = document.get("caps")
    if caps is not None:
        if not isinstance(caps, Mapping):
            problems.append(("caps", "caps must be a table of fields and steps."))
        else:
            for name, step in caps.items():
                if name not in fields or not (step is None or step in fields[name].step_names):
                    problems.append(("caps", f"caps: {str(name)[:60]} has no such step."))
    originals = document.get("originals")
    if originals is not None and not (
        isinstance(originals, Mapping) and all(isinstance(k, str) and isinstance(v, str) for k, v in originals.items())
    ):
        problems.append(("originals", "originals must be a table of fields and texts."))
