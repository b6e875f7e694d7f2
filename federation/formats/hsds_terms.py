"""What HSDS has no column for, as attributes with taxonomy terms, and back: codes, flags, numbers, periods, amounts.

Taxonomies are called `protection-network/FIELD`. Where a field is a code, the terms are its codes; of any other field
the term is the field, and the attribute's value is its text, as a cell of CSV has it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from federation.errors import BadInput
from federation.formats.csv_records import cells_of, value_of
from federation.records.base import FieldSpec
from federation.records.codes import CodeLists
from federation.records.registry import RECORD_TYPES

TAXONOMY = "protection-network/"
HELD = ("resource", "capacityOffer")
"""The types that are services."""

ID, HANDLING, VERIFIED = "type", "handling", "verified_on"
IN_COLUMNS = ("title", "summary", "eligibility", "response_hours", "languages", "area", "expectations", "front_door")
"""The fields that have a place of their own in HSDS."""

NOT_HELD = frozenset(
    {"contact", "site", "trainers", "outcomes", "internal_notes", "translations", "created_at", "updated_at"}
)
"""What is not written at all: what never leaves, what only the node can pass on, and what HSDS has no form for."""

Attribute = dict[str, Any]

_NAMES = uuid.uuid5(uuid.NAMESPACE_OID, "protection-network")


def fields_held(type_key: str) -> tuple[str, ...]:
    """The fields of a type that an export to HSDS asks for."""
    return (*(name for name in RECORD_TYPES[type_key].fields if name not in NOT_HELD), HANDLING)


def made_id(*parts: str) -> str:
    """The UUID of something that has none: always the same one for the same parts, which may be shown with it."""
    return str(uuid.uuid5(_NAMES, "\0".join(parts)))


def attributes_of(type_key: str, gid: str, values: Mapping[str, Any], codes: CodeLists) -> Iterator[Attribute]:
    """The attributes of one service: its type with the id under which it was shown, and its fields."""
    kind = RECORD_TYPES[type_key]
    yield _attribute(gid, ID, type_key, kind.graphql, kind.meaning, gid)
    if values.get(HANDLING):
        label = values[HANDLING]
        yield _attribute(gid, HANDLING, label, label, "Who may know of it (TLP 2.0).")
    for name, spec in kind.fields.items():
        value = values.get(name)
        if name in IN_COLUMNS or name in NOT_HELD or value is None:
            continue
        listed = _list_of(spec, value, codes)
        if listed is not None:
            for code in value if isinstance(value, list) else [value]:
                yield _attribute(gid, name, code, codes.name(listed, code), spec.meaning)
        elif _key_of_party(spec) is None:  # a name is that of an organisation
            yield _attribute(gid, name, name, name.replace("_", " "), spec.meaning, _text_of(spec, value))


def _attribute(gid: str, field: str, code: str, name: str, meaning: str, value: str | None = None) -> Attribute:
    taxonomy = f"{TAXONOMY}{field}"
    term = {
        "id": made_id(taxonomy, code),
        "code": code,
        "name": name,
        "description": meaning,
        "taxonomy": taxonomy,
    }
    said = {} if value is None else {"value": value}
    return {"id": made_id(gid, taxonomy, code), "link_entity": "service", **said, "taxonomy_term": term}


def _list_of(spec: FieldSpec, value: Any, codes: CodeLists) -> str | None:
    """The code list of which a value is; None for what is no code, as the name of a provider."""
    listed = getattr(spec.kind, "codes", None)
    if not isinstance(listed, str) or isinstance(value, Mapping):
        return None
    if _key_of_party(spec) is not None and not codes.known(listed, value):
        return None
    return listed


def _key_of_party(spec: FieldSpec) -> str | None:
    """Of somebody with a name and a code, what the code is called."""
    return getattr(spec.kind, "key", None)


def _text_of(spec: FieldSpec, value: Any) -> str:
    """A value as a cell of CSV has it."""
    if spec.kind.name == "place":
        return str(value["code"])
    if isinstance(value, Mapping):
        value = {part: each for part, each in value.items() if part != "precision"}
    return cells_of(spec.name, value, spec)[spec.name]


# --- and back ---------------------------------------------------------------------------------------------------


def fields_of(type_key: str, stated: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The home values that the attributes of a service state. Raises BadInput for a field that the type does not have
    or that is not taken from attributes, and for a value that is none of its field."""
    document: dict[str, Any] = {}
    for name, texts in stated.items():
        if name == ID:
            continue
        if name == HANDLING:
            document[name] = texts[0]
            continue
        spec = RECORD_TYPES[type_key].fields.get(name)
        if spec is None or name in IN_COLUMNS or name in NOT_HELD:
            raise BadInput(f"{name[:60]}: this is not taken from an attribute.", field=name[:60])
        try:
            document[name] = _home_value(spec, texts)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(f"{name}: this attribute is not understood.", field=name) from error
    return document


def _home_value(spec: FieldSpec, texts: Sequence[str]) -> Any:
    key = _key_of_party(spec)
    if key is not None:
        return {key: texts[0]}
    if type(spec.kind).__name__ == "Openings":
        state, _, free = texts[0].partition(":")
        return {"state": state, "free": int(free)} if free else state
    return value_of("|".join(texts), spec)
