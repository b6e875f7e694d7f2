"""What the gate must answer, computed in Python from rows as dicts: no SQL, no arms, one row after the other."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from gate_world import CODES, CONTEXT, Sample

from federation.policies.decide import decide
from federation.policies.tiers import HANDLING_LABELS, Tier
from federation.policies.viewer import AFFILIATIONS, Projection, Viewer, ViewerKind
from federation.records.base import FieldSpec, RecordType
from federation.records.codes import RANKS
from federation.records.filters import And, Cond, Filter, Not, Or, checked
from federation.records.registry import RECORD_TYPES
from federation.records.texts import search_words

NULL_COLUMN = {"period": "__p", "amount": "__p", "count": "__p", "place": "__code"}


@dataclass
class Seen:
    """A row as a viewer sees it."""

    type: RecordType
    row: dict[str, Any]
    projection: Projection

    def cell(self, field: str, suffix: str = "") -> Any:
        return self.row[f"{field}__{self.projection.steps[field]}{suffix}"]

    def sees(self, field: str) -> bool:
        return field in self.projection.steps

    def known(self, field: str) -> bool:
        return self.sees(field) and self.cell(field, NULL_COLUMN.get(self.type.fields[field].kind.name, "")) is not None


def seen(made: Sample, viewer: Viewer, type_key: str, every_status: bool = False) -> list[Seen]:
    """All rows of a type that the viewer sees."""
    return [
        each for row in made.rows[type_key] if (each := _seen(made, viewer, type_key, row, every_status)) is not None
    ]


def _seen(made: Sample, viewer: Viewer, type_key: str, row: dict[str, Any], every_status: bool) -> Seen | None:
    keeps = viewer.kind is ViewerKind.STEWARD and every_status
    if row["status"] == "shadowed" or (row["status"] != "shared" and not keeps):
        return None
    key = (repr(viewer), type_key, row["terms"])
    if key not in made.decided:
        terms = made.terms[row["terms"]][1] if row["terms"] else None
        made.decided[key] = decide(made.policy, viewer, type_key, terms=terms)
    projection = made.decided[key]
    if projection.empty:
        return None
    one = Seen(RECORD_TYPES[type_key], row, projection)
    if viewer.at_home:
        return one
    assert projection.clearance is not None
    if row["handling"] > projection.clearance:
        return None
    for at, affiliation in enumerate(AFFILIATIONS):
        if row["not_to"] & (1 << at) and viewer.affiliation in (None, affiliation):
            return None
    if not row["relay"] or (viewer.kind is ViewerKind.PEER and row["hops_left"] < 1):
        return None
    return one if any(one.known(name) for name, spec in one.type.fields.items() if not spec.common) else None


def shown(one: Seen, name: str, language: str | None = None) -> Any:
    """The JSON value of a field as the gate writes it, with the default parts of composite values."""
    spec = one.type.fields[name]
    if not one.known(name):
        return None
    kind = spec.kind.name
    if kind == "period":
        return {"start": one.cell(name, "__lo"), "end": one.cell(name, "__hi"), "precision": one.cell(name, "__p")}
    if kind == "amount":
        cells = (one.cell(name, each) for each in ("__min", "__max", "__cur", "__p"))
        return dict(zip(("minimum", "maximum", "currency", "precision"), cells, strict=True))
    if kind == "count":
        cells = (one.cell(name, each) for each in ("__min", "__max", "__p"))
        return dict(zip(("minimum", "maximum", "precision"), cells, strict=True))
    if kind == "place":
        return {"code": one.cell(name, "__code"), "level": one.cell(name, "__level").upper()}
    if kind == "codes":
        return json.loads(one.cell(name))
    if kind == "flag":
        return bool(one.cell(name))
    if kind == "text" and language and one.cell(name, "__tr"):
        return json.loads(one.cell(name, "__tr")).get(language, one.cell(name))
    return one.cell(name)


def whole(one: Seen, language: str | None = None) -> dict[str, Any]:
    """Every field of a row with the facts, in the order of `gate_world`'s whole shapes."""
    told = one.projection.clearance is not None and one.projection.clearance >= Tier.COMMUNITY
    facts = {
        "__typename": one.type.graphql,
        "id": one.row["gid"],
        "type": one.type.table.upper(),
        "status": one.row["status"].upper(),
        "handling": HANDLING_LABELS[one.row["handling"]] if told else None,
    }
    return facts | {name: shown(one, name, language) if one.sees(name) else None for name in one.type.fields}


def matches(one: Seen, where: Filter | None) -> bool | None:
    """Whether a row matches: True, False, or None for unknown (Kleene)."""
    if where is None:
        return True
    if isinstance(where, Not):
        inner = matches(one, where.item)
        return None if inner is None else not inner
    if isinstance(where, (And, Or)):
        results = [matches(one, item) for item in where.items]
        decisive = isinstance(where, Or)
        if decisive in results:
            return decisive
        return None if None in results else not decisive
    return _cond(one, where)


def _cond(one: Seen, cond: Cond) -> bool | None:
    spec = one.type.fields.get(cond.field)
    if spec is None or not spec.filterable or cond.op not in spec.kind.filters or not one.sees(cond.field):
        return None
    value = checked(cond, one.type, CONTEXT).value
    if cond.op == "is_null":
        return (not one.known(cond.field)) == value
    if cond.op in ("from", "to", "at_least", "at_most"):
        return _range(one, spec, cond, value)
    if not one.known(cond.field):
        return None
    if cond.op == "within":
        return _within(one, cond.field, value)
    suffix = NULL_COLUMN.get(spec.kind.name, "")
    held = one.cell(cond.field, suffix)
    if cond.op == "eq":
        return held == (int(value) if spec.kind.name == "flag" else value)
    up = (
        one.cell(cond.field, "__up").strip("|").split("|")
        if f"{cond.field}__{one.projection.steps[cond.field]}__up" in one.row
        else [held]
    )
    if cond.op in ("in", "not_in"):
        return any(each in up for each in value) == (cond.op == "in")
    if cond.op == "has":
        return value in up
    return (any if cond.op == "has_any" else all)(each in up for each in value)


def _range(one: Seen, spec: FieldSpec, cond: Cond, value: Any) -> bool | None:
    lo, hi = one.cell(cond.field, "__lo"), one.cell(cond.field, "__hi")
    if lo in ("~", 9223372036854775807):
        return None
    if spec.kind.name == "amount":
        value = int(value * 100)
    if cond.op in ("from", "at_least"):
        return (lo if cond.surely else hi) >= value
    return (hi if cond.surely else lo) <= value


def _within(one: Seen, name: str, code: str) -> bool | None:
    area, step = CODES.area(code), one.projection.steps[name]
    assert area is not None
    if area.level == "world":
        return True if one.known(name) else None
    if RANKS[area.level] < RANKS.get(step, 0):
        return None
    held = one.cell(name, "__code")
    if area.level == "local":
        return held == code
    if code in CODES.chain(held):
        return True
    return False if CODES.rank(held) <= RANKS[area.level] else None  # a coarser place may or may not be within


def ordered(rows: list[Seen], field: str | None, descending: bool) -> list[Seen]:
    """Rows in order: by projected bounds, unknown last, then by id."""

    def key(one: Seen) -> Any:
        if field is None:
            return one.row["id"]
        bound = (
            one.cell(field, "__hi" if descending else "__lo") if one.sees(field) and field in one.type.fields else None
        )
        numeric = any(c.sql == "int" for c in one.type.fields[field].kind.layout if c.suffix == "__lo")
        unknown = (-1 if descending else 9223372036854775807) if numeric else ("" if descending else "~")
        return (unknown if bound is None else bound, one.row["id"])

    return sorted(rows, key=key, reverse=descending)


def found_by(one: Seen, text: str) -> tuple[bool, bool]:
    """Whether every word occurs in text that is seen, and whether every word occurs in the title."""
    words = {name: _words(one, name) for name, spec in one.type.fields.items() if spec.searched and one.sees(name)}
    everything = {word for several in words.values() for word in several}
    titles = {word for name in ("title", "name") for word in words.get(name, ())}
    asked = set(search_words(text))
    return asked <= everything, asked <= titles


def _words(one: Seen, name: str) -> set[str]:
    if not one.known(name):
        return set()
    told = one.cell(name, "__tr")
    texts = [one.cell(name), *(json.loads(told).values() if told else ())]
    return {word for each in texts for word in search_words(each)}


def random_condition(rng: random.Random, made: Sample, record_type: RecordType, name: str) -> Cond:
    """A condition on a field with a value that occurs, or nearly."""
    spec = record_type.fields[name]
    op = rng.choice(spec.kind.filters)
    surely = spec.kind.name in ("period", "amount", "count") and op != "is_null" and rng.random() < 0.4
    if op == "is_null":
        return Cond(name, op, rng.random() < 0.5)
    pool = _pool(made, record_type, spec)
    if op in ("in", "not_in", "has_any", "has_all"):
        return Cond(name, op, tuple(rng.choice(pool) for _ in range(rng.randint(1, 3))))
    return Cond(name, op, rng.choice(pool), surely)


def _pool(made: Sample, record_type: RecordType, spec: FieldSpec) -> list[Any]:
    """Values that a filter on the field can take."""
    kind = spec.kind.name
    fixed: dict[str, list[Any]] = {
        "flag": [True, False],
        "place": ["KE", "KE-30", "014", "202", "002", "FR", "150", "155", "001", "US", "005", "419"],
        "amount": ["0", "999.99", "1000", "5000", "25000", "50000", "60000"],
        "count": [0, 1, 5, 9, 10, 20, 49, 50, -3],
        "whole": [0, 1, 5, 12, 24, -1, 40],
        "day": ["2026-05-15", "2026-08-15", "2026-12-31", "2025-01-01"],
        "period": ["2025-06-01", "2026-01-01", "2026-03-31", "2026-07-15", "2026-12-31"],
    }
    if kind in fixed:
        return fixed[kind]
    if kind in ("code", "codes"):
        codes = spec.kind.codes  # type: ignore[attr-defined]
        if codes == "language":
            return ["en", "sw", "pt", "pt-BR", "ar"]
        return ["KE", "014", "002", "FR"] if codes == "area" else list(CODES.codes(codes)[:6])
    texts = [row[f"{spec.name}__{step.name}"] for row in made.rows[record_type.key] for step in spec.open_steps]
    return [text for text in texts if text] or ["nothing"]


def random_filter(
    rng: random.Random, made: Sample, record_type: RecordType, names: list[str], depth: int = 2
) -> Filter:
    """A random tree of conditions over these fields."""
    kind = rng.random()
    if depth == 0 or kind < 0.5:
        return random_condition(rng, made, record_type, rng.choice(names))
    if kind < 0.7:
        return Not(random_filter(rng, made, record_type, names, depth - 1))
    items = tuple(random_filter(rng, made, record_type, names, depth - 1) for _ in range(rng.randint(1, 3)))
    return And(items) if kind < 0.85 else Or(items)
