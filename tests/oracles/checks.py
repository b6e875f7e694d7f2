"""What an answer may hold: compared field by field with what the oracle lets the viewer see, and token by token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import orjson

from federation.policies.tiers import HANDLING_LABELS, Tier
from federation.records.base import FieldSpec
from oracles.decode import tokens, tokens_in
from oracles.questions import LANGUAGE, TYPE_NAMES
from oracles.seeing import Rec, Sees

FACTS = ("__typename", "id", "type", "origin", "status", "handling")


class Expected:
    """What one viewer may see of all records: by record, and as tokens."""

    def __init__(self, records: Sequence[Rec], sees: Sees) -> None:
        self.sees = sees
        self.records = records
        self.seen = {rec.document["valid_until"]: (rec, sees.projection(rec)) for rec in records if sees.steps(rec)}

    @cached_property
    def universe(self) -> frozenset[str]:
        """Every token that there is."""
        return frozenset().union(*(rec.everything() for rec in self.records))

    @cached_property
    def allowed(self) -> frozenset[str]:
        """The tokens of what the viewer may see."""
        told = [orjson.dumps(values).decode() for _, values in self.seen.values()]
        return frozenset().union(*map(tokens, told)) & self.universe if told else frozenset()

    @cached_property
    def wired(self) -> frozenset[str]:
        """The tokens of what the viewer may be sent as a peer: coarser steps too."""
        told = [orjson.dumps(self.sees.wire(rec)).decode() for rec, _ in self.seen.values()]
        return frozenset().union(*map(tokens, told)) & self.universe if told else frozenset()

    def leaked(self, content: bytes, *, more: frozenset[str] = frozenset()) -> frozenset[str]:
        """The tokens in some bytes, in any decoded form, that the viewer may not see."""
        return (tokens_in(content) & self.universe) - self.allowed - more


def objects(answer: Any) -> Iterator[dict[str, Any]]:
    """Every object of an answer that stands for a record, nested ones too."""
    if isinstance(answer, dict):
        if answer.get("__typename") in TYPE_NAMES and len(answer) > 2:
            yield answer
        for value in answer.values():
            yield from objects(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from objects(value)


def wrong(expected: Expected, shown: Mapping[str, Any]) -> list[str]:
    """What an object of an answer says that it must not say, or does not say although it may: sentences without
    values."""
    key = TYPE_NAMES[shown["__typename"]]
    until = shown.get("validUntil")
    if until not in expected.seen:
        return [f"{key}: a record that {expected.sees.name} must not know of"]
    rec, values = expected.seen[until]
    name = f"{rec.type} {rec.variant}"
    if rec.type != key:
        return [f"{name}: shown as {key}"]
    found = []
    if (key != "need" or expected.sees.home) and shown["id"] != rec.gid:
        found.append(f"{name}: another id")
    if key == "need" and not expected.sees.home and shown["id"] == rec.gid:
        found.append(f"{name}: its id is the same for everybody")
    told = expected.sees.home or expected.sees.tiers.get(key, Tier.OPEN) >= Tier.COMMUNITY
    if shown.get("handling") != (HANDLING_LABELS[rec.handling] if told else None):
        found.append(f"{name}: handling")
    for field_name, value in shown.items():
        if field_name in FACTS or (expected.sees.home and field_name in ("createdAt", "updatedAt")):
            continue
        translated = field_name.startswith("sw_")
        spec = rec.kind.fields.get(_snake(field_name.removeprefix("sw_")))
        if spec is None:
            found.append(f"{name}: an unknown field {field_name}")
        elif not _alike(
            spec, values.get(spec.name), value, translated, pairwise=key == "need" and not expected.sees.home
        ):
            found.append(f"{name}: {field_name}")
    return found


def _alike(spec: FieldSpec, value: Any, shown: Any, translated: bool, *, pairwise: bool) -> bool:
    """Whether a field shows just the value."""
    if value is None or shown is None:
        return value is None and shown is None
    kind = spec.kind.name
    if spec.name == "network" and pairwise:
        return isinstance(shown, str) and not tokens(shown)
    if kind == "text":
        whole = value if isinstance(value, dict) else {"text": value, "tr": {}}
        return shown == (whole["tr"].get(LANGUAGE, whole["text"]) if translated else whole["text"])
    if kind == "code":
        return shown.lower() == (value[0] if isinstance(value, list) else value).lower()
    if kind == "codes":
        return [each.lower() for each in shown] == [each.lower() for each in value]
    if kind == "contact":
        return {name: part for name, part in shown.items() if part is not None and name[0] != "_"} == {"relay": value}
    if kind == "place":
        return shown["code"] == value[0]
    if isinstance(value, dict):
        return all(str(shown[name]) == str(value[name]) for name in value)
    return shown == value


def wrong_put(expected: Expected, item: Mapping[str, Any]) -> list[str]:
    """The same of a record on the wire."""
    values = item["v"]
    until = values.get("valid_until", {}).get("exact")
    if until not in expected.seen:
        return [f"{item['t']}: a record that {expected.sees.name} must not know of"]
    rec, _ = expected.seen[until]
    told = expected.sees.wire(rec)
    name = f"{rec.type} {rec.variant}"
    found = [f"{name}: {each}" for each in values.keys() - told.keys()]
    found += [f"{name}: lacks {each}" for each in told.keys() - values.keys()]
    for each in values.keys() & told.keys():
        if rec.type == "need" and each == "network":
            if tokens(orjson.dumps(values[each]).decode()):
                found.append(f"{name}: {each}")
        elif not _steps_alike(values[each], told[each]):
            found.append(f"{name}: {each} {sorted(values[each])} for {sorted(told[each])}")
    if rec.own and item["h"] != rec.handling:
        found.append(f"{name}: handling")
    return found


def _steps_alike(sent: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether just these steps are sent. A step that is finer than what may leave may stand there with what may."""
    finest = next(iter(told.values()))
    return told.keys() <= sent.keys() and all(value == told.get(step, finest) for step, value in sent.items())


def complete(expected: Expected, shown: Iterable[str], keys: Iterable[str]) -> list[str]:
    """The records of some types that should have been shown and were not (by their `validUntil`)."""
    wanted = {until for until, (rec, _) in expected.seen.items() if rec.type in set(keys)}
    missing = wanted - set(shown)
    return [f"{rec.type} {rec.variant} is not shown" for until, (rec, _) in expected.seen.items() if until in missing]


def column_tokens(records: Iterable[Rec]) -> dict[tuple[str, str], frozenset[str]]:
    """The tokens that each stored column of a record table may hold: those of its own step and of coarser ones."""
    found: dict[tuple[str, str], set[str]] = {}
    for rec in records:
        for name, spec in rec.kind.fields.items():
            for at, step in enumerate(spec.step_names):
                if spec.steps[at].tier is Tier.SEALED:
                    continue
                told = [rec.value(name, each) for each in spec.step_names[at:]]
                found.setdefault((rec.kind.table, f"{name}__{step}"), set()).update(tokens(orjson.dumps(told).decode()))
    return {key: frozenset(value) for key, value in found.items()}


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name)
