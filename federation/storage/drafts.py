"""Documents on their way in: taken apart, checked as a whole, and what an import is made of and tells.

Pure but for the draws of relay ids; it must never say in an error what a field held.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from federation.errors import BadInput
from federation.policies.tiers import HANDLING_LABELS, Tier
from federation.records.base import RESTATED, SET_BY_NODE, RecordType
from federation.records.kinds import Line, Text
from federation.records.registry import RECORD_TYPES
from federation.records.rows import assign_relays
from federation.storage.tables import EXPIRED, SHARED
from federation.world import World


@dataclass(frozen=True)
class Incoming:
    """One record of an import: its document, and where it stood, for reports. With the `id` (16 bytes) of a record
    that exists it amends that one. `share` shares it at once."""

    type: str
    document: Mapping[str, Any]
    id: bytes | None = None
    share: bool = False
    line: int | None = None


@dataclass(frozen=True)
class Refusal:
    """Why one record of an import was refused; the sentence holds no value."""

    line: int | None
    field: str | None
    message: str


@dataclass(frozen=True)
class Imported:
    """What an import did: global ids in the order of the input, None where refused, and counts."""

    gids: tuple[str | None, ...] = ()
    created: int = 0
    amended: int = 0
    unchanged: int = 0
    refused: tuple[Refusal, ...] = ()

    def __add__(self, other: Imported) -> Imported:
        return Imported(
            self.gids + other.gids,
            self.created + other.created,
            self.amended + other.amended,
            self.unchanged + other.unchanged,
            self.refused + other.refused,
        )


def record_type_of(type_key: str) -> RecordType:
    """The type of a key. Raises BadInput."""
    if type_key not in RECORD_TYPES:
        raise BadInput("There is no such type of record.", field="type")
    return RECORD_TYPES[type_key]


def split(document: Mapping[str, Any]) -> tuple[dict[str, Any], Tier | None]:
    """The document without its handling, and the handling."""
    fields = dict(document)
    for name in SET_BY_NODE:
        if name in fields:
            raise BadInput(f"{name} is set by the node.", field=name)
    label = fields.pop("handling", None)
    if label is None:
        return fields, None
    if label not in HANDLING_LABELS:
        raise BadInput(f"handling is one of {', '.join(HANDLING_LABELS)}.", field="handling")
    return fields, Tier(HANDLING_LABELS.index(label))


def free_texts(record_type: RecordType, document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """((field, language), text) of each free text that may leave, translations too."""
    translations = document.get("translations") or {}
    for name, spec in record_type.fields.items():
        if type(spec.kind) not in (Line, Text) or spec.steps[-1].tier is Tier.SEALED:
            continue
        if isinstance(document.get(name), str):
            yield (name, ""), document[name]
        for language, texts in translations.items():
            if name in texts:
                yield (name, language), texts[name]


def published(record_type: RecordType, document: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a document that the community may read as it is."""
    return {
        name: document[name]
        for name, spec in record_type.fields.items()
        if name in document and spec.steps[0].tier <= Tier.COMMUNITY
    }


def with_relays(
    record_type: RecordType, document: Mapping[str, Any], before: Mapping[str, Any], world: World, id: bytes
) -> dict[str, Any]:
    """The document with a relay id for each contact: the one that it had, or a new one."""
    kept = dict(document)
    for name, value in document.items():
        earlier = before.get(name)
        if isinstance(value, Mapping) and isinstance(earlier, Mapping) and earlier.get("relay"):
            kept[name] = {"relay": earlier["relay"], **value}

    def draw(field: str) -> str:
        return base64.urlsafe_b64encode(world.draw("relay", id + field.encode(), 16)).rstrip(b"=").decode()

    return assign_relays(record_type, kept, draw)


def with_restated(
    record_type: RecordType, document: Mapping[str, Any], before: Mapping[str, Any], today: str
) -> dict[str, Any]:
    """The document with what is told from now on of each field that is told once a day at most: what `before` tells if
    that was told today, else the present state. What is gone is told at once, and what comes back is not before the
    next day. `before` is empty for a record that nobody saw yet."""
    told: dict[str, Any] = {}
    for name, spec in record_type.fields.items():
        if not spec.kind.batched:
            continue
        last = (before.get(RESTATED) or {}).get(name)
        state = document[name]["state"] if name in document else None
        if last is None:
            told |= {name: {"state": state, "on": today}} if state is not None else {}
        elif state is None:
            told[name] = {**last, "state": None, "on": today if last["state"] else last["on"]}
        else:
            told[name] = last if state == last["state"] or last["on"] >= today else {"state": state, "on": today}
    kept = {name: value for name, value in document.items() if name != RESTATED}
    return {**kept, RESTATED: told} if told else kept


def shared_status(record_type: RecordType, document: Mapping[str, Any], today: str) -> str:
    """What sharing makes of a record: `shared`, or `expired` where its last day has passed. BadInput for an offer
    that does not say what can be expected of it."""
    if record_type.needs_expectations and not document.get("expectations"):
        raise BadInput(
            "An offer is shared with its expectations: what it does not do, who answers and how soon.",
            field="expectations",
        )
    if not record_type.shareable:
        raise BadInput("Records of this type are not shared.")
    until = document.get("valid_until")
    return EXPIRED if until is not None and until < today else SHARED


def batches(incoming: Iterable[Incoming], size: int) -> Iterator[list[Incoming]]:
    """The input in order, in lists of one type each, at most `size` long."""
    part: list[Incoming] = []
    for each in incoming:
        if part and (each.type != part[0].type or len(part) >= size):
            yield part
            part = []
        part.append(each)
    if part:
        yield part
