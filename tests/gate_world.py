"""A world for tests of the gate: rows written straight into the tables, kept beside as plain dicts for the oracle."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from federation.gate import Gate
from federation.policies.rules import Policy, default_policy
from federation.policies.terms import Terms, labels
from federation.policies.viewer import AFFILIATIONS, Agreement, Viewer, ViewerKind
from federation.records.base import FieldSpec, RecordType
from federation.records.codes import load
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES, catalogue
from federation.records.rows import filled, received_columns, step_columns, step_values
from federation.storage import journal, writing
from federation.storage.database import Database
from federation.storage.ids import global_id
from federation.storage.journal import Entry, Facts
from federation.world import World

CODES = load()
CONTEXT = Context(CODES)
SECRET = bytes(range(32))
WORLD = World(lambda: datetime(2026, 5, 1, tzinfo=UTC), seed=bytes(32))
OWN = "own-thumbprint"
WORDS = (
    "help",
    "legal",
    "safe",
    "Grant",
    "Ärzte",
    "course",
    "rural",
    "women",
    "night",
    'quote"d',
    "back\\slash",
    "日本",
)
AREAS = ("KE", "KE-30", "UG", "FR", "FR-IDF", "002", "150", "014", "US", "BR", "419")
LANGUAGES = ("en", "sw", "fr", "pt-BR", "swh", "ar")


@dataclass
class FakeLedger:
    """Remembers what it was told. `closed`: nothing can be entered."""

    entered: list[tuple[Any, ...]] = field(default_factory=list)
    counted: list[tuple[str, str, int]] = field(default_factory=list)
    closed: Exception | None = None

    def enter(self, *entry: Any) -> None:
        if self.closed:
            raise self.closed
        self.entered.append(entry)

    def count_open(self, kind: str, type_key: str, rows: int = 1) -> None:
        self.counted.append((kind, type_key, rows))


@dataclass
class Sample:
    """A database with rows, and the rows as dicts of columns."""

    database: Database
    gate: Gate
    ledger: FakeLedger
    rows: dict[str, list[dict[str, Any]]]
    terms: dict[int, tuple[str, Terms]]
    policy: Policy
    decided: dict[Any, Any] = field(default_factory=dict)


def viewer(kind: ViewerKind = ViewerKind.CLIENT, *scopes: str, **more: Any) -> Viewer:
    """A viewer with these scopes; a peer has an agreement over them."""
    agreement = more.pop("agreement", None)
    if kind is ViewerKind.PEER and agreement is None:
        agreement = Agreement(frozenset(scopes))
    return Viewer(kind, more.pop("subject", f"some {kind}"), frozenset(scopes), agreement, **more)


def all_scopes(tier: str) -> tuple[str, ...]:
    """The scope of a tier of every type."""
    return tuple(f"{key}:{tier}" for key in RECORD_TYPES)


PUBLIC = viewer(ViewerKind.CLIENT, *all_scopes("open"))
NEAR = viewer(ViewerKind.CLIENT, *all_scopes("community"), affiliation="none", jurisdiction="KE")
PARTNER = viewer(ViewerKind.CLIENT, *all_scopes("partner"), affiliation="foreign_state")
PEER = viewer(ViewerKind.PEER, *all_scopes("partner"), affiliation="none", subject="https://west.example")
STEWARD = viewer(ViewerKind.STEWARD)
MEMBER = viewer(ViewerKind.MEMBER)
NOBODY = viewer(ViewerKind.ANONYMOUS)
VIEWERS = (PUBLIC, NEAR, PARTNER, PEER, STEWARD, MEMBER, NOBODY)


def random_value(rng: random.Random, spec: FieldSpec) -> Any:
    """A home value for a field."""
    kind: Any = spec.kind
    name = type(kind).__name__
    words = " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 5)))
    if name == "Text" or name == "Line":
        return words
    if name in ("Code", "Openings"):
        code = rng.choice(CODES.codes(kind.codes))
        if name == "Openings":
            return {"state": code, "free": rng.randint(0, 9)} if rng.random() < 0.5 else {"state": code}
        return code
    if name == "Codes":
        return rng.sample(CODES.codes(kind.codes), min(len(CODES.codes(kind.codes)), rng.randint(1, 3)))
    makers: dict[str, Any] = {
        "Url": lambda: "https://example.org/x",
        "Tag": lambda: rng.choice(LANGUAGES),
        "Languages": lambda: rng.sample(LANGUAGES, rng.randint(1, 3)),
        "Flag": lambda: rng.random() < 0.5,
        "Whole": lambda: rng.randint(kind.least, min(kind.most, kind.least + 30)),
        "Day": lambda: "2026-12-31" if spec.name == "valid_until" else f"2026-{rng.randint(5, 12):02d}-15",
        "Instant": lambda: "2026-01-01T00:00:00+00:00",
        "Period": lambda: random_period(rng),
        "Amount": lambda: random_amount(rng),
        "AmountBand": lambda: random_amount(rng) | {"currency": "EUR"},
        "Count": lambda: rng.randint(0, 60),
        "Place": lambda: rng.choice(AREAS),
        "Places": lambda: rng.sample(AREAS, rng.randint(1, 2)),
        "Contact": lambda: {"email": "a@example.org", "relay": f"relay{rng.randint(1000, 9999)}"},
        "Party": lambda: {"name": words, kind.key: rng.choice(CODES.codes(kind.codes))},
        "Series": lambda: rng.choice(("FREQ=WEEKLY", "FREQ=MONTHLY;BYDAY=1TU")),
        "Tally": lambda: {code: rng.randint(0, 60) for code in rng.sample(CODES.codes(kind.codes), 2)},
        "Organisers": lambda: [
            {"name": words.replace('"', ""), "kind": rng.choice(CODES.codes(kind.codes)), "consented": True}
        ],
        "Pseudonym": lambda: words,
        "Translations": lambda: None,
    }
    return makers[name]()


def random_period(rng: random.Random) -> dict[str, str]:
    """A period within two years."""
    start = f"{rng.choice((2025, 2026))}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    return {"start": start, "end": max(start, f"2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}")}


def random_amount(rng: random.Random) -> dict[str, Any]:
    """An amount in EUR or another currency, sometimes open at one end."""
    low = rng.randint(0, 60000)
    high = None if rng.random() < 0.2 else str(low + rng.randint(0, 20000))
    return {"minimum": str(low), "maximum": high, "currency": rng.choice(("EUR", "USD", "KPW"))}


def random_document(rng: random.Random, record_type: RecordType) -> dict[str, Any]:
    """A home document with most fields."""
    document: dict[str, Any] = {}
    for name, spec in record_type.fields.items():
        value = random_value(rng, spec) if spec.required or rng.random() < 0.75 else None
        if value is not None:
            document[name] = value
    texts = [
        name
        for name, spec in record_type.fields.items()
        if spec.kind.name == "text" and spec.open_steps and name in document
    ]
    if texts and rng.random() < 0.4:
        document["translations"] = {"fr": {rng.choice(texts): "aide \u00e9t\u00e9"}, "sw": {texts[0]: "msaada"}}
    if document.get("valid_until", "") < "2026-12-20":  # types ask for ends after their other dates
        document.pop("valid_until", None)
    return record_type.normalise(document, CONTEXT)


def random_caps(rng: random.Random, record_type: RecordType) -> dict[str, str | None]:
    """Caps of some fields."""
    names = rng.sample(sorted(record_type.fields), 2)
    return {name: rng.choice((None, *record_type.fields[name].step_names)) for name in names}


def some_terms(rng: random.Random, policy: Policy, type_key: str) -> Terms:
    """Terms that an origin could have: labels as by default or narrower, sometimes caps and closed affiliations."""
    told = {}
    for name, steps in labels(policy, type_key).items():
        shift = rng.choice((0, 0, 0, 1))
        told[name] = tuple((step, type(tier)(min(int(tier) + shift, 4))) for step, tier in steps)
    caps = random_caps(rng, RECORD_TYPES[type_key]) if rng.random() < 0.5 else {}
    closed = frozenset(rng.sample(AFFILIATIONS, 1)) if rng.random() < 0.4 else frozenset()
    return Terms(rng.random() < 0.8, 2, caps, closed, told)


def sample(
    database: Database,
    seed: int,
    each: int = 30,
    policy: Policy | None = None,
    types: Sequence[str] = tuple(RECORD_TYPES),
) -> Sample:
    """A database with `each` rows of every type: own and received ones in every status, with random terms."""
    rng = random.Random(seed)
    policy = policy or default_policy(catalogue())
    ledger = FakeLedger()
    gate = Gate(database, lambda: policy, CODES, ledger, SECRET)  # type: ignore[arg-type]
    made = Sample(database, gate, ledger, {}, {}, policy)
    with database.write() as connection:
        for oid, thumbprint in ((0, OWN), (1, "origin-one"), (2, "origin-two")):
            connection.execute(
                text("INSERT INTO origins (oid, thumbprint, name, pinned) VALUES (:o, :t, :t, 0)"),
                {"o": oid, "t": thumbprint},
            )
        for type_key in types:
            numbers = [0, *(add_terms(connection, made, type_key, some_terms(rng, policy, type_key)) for _ in range(3))]
            rows = [random_row(rng, made, type_key, rng.choice(numbers)) for _ in range(each)]
            made.rows[type_key] = rows
            writing.insert_rows(connection, type_key, rows)
    return made


def add_terms(connection: Any, made: Sample, type_key: str, terms: Terms) -> int:
    """Stores terms and gives their number."""
    tid = len(made.terms) + 1
    made.terms[tid] = (type_key, terms)
    connection.execute(
        text("INSERT INTO terms (tid, origin, type, hash, body) VALUES (:tid, :origin, :type, :hash, :body)"),
        {"tid": tid, "origin": 1, "type": type_key, "hash": f"{terms.hash}{tid}", "body": json.dumps(terms.to_json())},
    )
    return tid


def random_row(rng: random.Random, made: Sample, type_key: str, terms: int) -> dict[str, Any]:
    """A row with all of its columns."""
    record_type = RECORD_TYPES[type_key]
    document = random_document(rng, record_type)
    caps = random_caps(rng, record_type) if rng.random() < 0.3 else None
    facts: dict[str, Any] = {"status": rng.choice(("shared", "shared", "shared", "draft", "shadowed", "expired"))}
    if terms == 0:
        steps = step_columns(record_type, document, caps, CONTEXT)
        facts |= {"origin": 0, "via": 0, "path": None, "relay": 1, "hops_left": 99, "not_to": 0}
    else:
        values = step_values(record_type, document, caps, CONTEXT)
        for name in list(values):
            told = dict(list(values[name].items())[rng.randint(0, 1) :])
            values[name] = told
        steps = received_columns(record_type, {n: v for n, v in values.items() if v}, None, CONTEXT)
        closed = made.terms[terms][1].not_to_affiliation
        facts |= {"origin": rng.choice((1, 2)), "via": 1, "path": '["one"]', "relay": rng.choice((0, 1, 1))}
        facts |= {"hops_left": rng.choice((0, 1)), "not_to": sum(1 << AFFILIATIONS.index(each) for each in closed)}
    handling = rng.choice((0, 0, 0, 1, 2, 3, 4))
    return finished_row(type_key, rng.randbytes(16), {**facts, "handling": handling, "terms": terms}, steps, document)


def finished_row(
    type_key: str, id: bytes, facts: Mapping[str, Any], steps: Mapping[str, Any], document: Mapping[str, Any]
) -> dict[str, Any]:
    """A row ready to be inserted."""
    thumbprint = (OWN, "origin-one", "origin-two")[facts["origin"]]
    return {
        "id": id,
        "gid": global_id(type_key, thumbprint, id),
        "filled": filled(RECORD_TYPES[type_key], steps),
        "revisions": None if facts["via"] == 0 else "[1,1,0]",
        "home": json.dumps(document) if facts["via"] == 0 else None,
        "provenance": None,
        "digest": b"d" * 16,
        "created_at": "2026-01-01",
        "updated_at": "2026-01-01",
        **facts,
        **steps,
    }


def own_row(type_key: str, document: Mapping[str, Any], *, id: bytes, caps: Any = None, **facts: Any) -> dict[str, Any]:
    """A shared own row of a document."""
    record_type = RECORD_TYPES[type_key]
    home = record_type.normalise(document, CONTEXT)
    known = {
        "status": "shared", "handling": 0, "terms": 0, "origin": 0, "via": 0, "path": None, "relay": 1,
        "hops_left": 99, "not_to": 0,
    }  # fmt: skip
    return finished_row(type_key, id, known | facts, step_columns(record_type, home, caps, CONTEXT), home)


def insert(database: Database, type_key: str, *rows: dict[str, Any], journaled: bool = False) -> None:
    """Inserts rows, with journal entries if asked."""
    with database.write() as connection:
        rids = writing.insert_rows(connection, type_key, rows)
        if journaled:
            full = writing.full_mask(type_key)
            journal.append(
                connection,
                [entry(type_key, row, rid, None, facts_of(row), full) for row, rid in zip(rows, rids, strict=True)],
            )


def facts_of(row: Mapping[str, Any]) -> Facts:
    """The facts of a row for the journal."""
    return Facts(*(row[name] for name in Facts._fields))


def entry(
    type_key: str, row: Mapping[str, Any], rid: int, before: Facts | None, after: Facts | None, steps: int
) -> Entry:
    """A journal entry of a row, with a tag that is drawn from the record."""
    tag = WORLD.draw("journal-tag", row["id"] + repr((before, after, steps)).encode(), 8)
    return Entry(type_key, rid, row["id"], row["origin"], row["via"], before, after, steps, tag)


def empty_sample(database: Database, policy: Policy | None = None) -> Sample:
    """A node without rows."""
    return sample(database, 0, 0, policy, ())


def euros(cents: int) -> Decimal:
    """Cents as an amount for a filter."""
    return Decimal(cents) / 100
