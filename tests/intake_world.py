"""A small world for tests of intake and sweeper: a clock that is moved by hand, documents, and what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from federation.audit import Ledger
from federation.intake import Intake, Put
from federation.policies.rules import default_policy
from federation.policies.terms import Terms, labels
from federation.policies.tiers import Tier
from federation.policies.viewer import Viewer, ViewerKind
from federation.records import lint
from federation.records.codes import load
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES, catalogue
from federation.records.rows import step_values
from federation.storage import journal
from federation.storage.database import Database
from federation.storage.journal import START, Change
from federation.storage.revisions import of_class, tier_masks
from federation.storage.sweeper import Swept, sweep
from federation.storage.tables import record_table
from federation.world import World

CODES = load()
POLICY = default_policy(catalogue())
HOME = "H" * 43
RIVER, WEST, EAST = "R" * 43, "W" * 43, "E" * 43
STEWARD = Viewer(ViewerKind.STEWARD, "steward:ada")
SECRET = bytes(range(32))

NOTICE: dict[str, Any] = {"kind": "solidarity", "text": "We stand with the teachers."}
RESOURCE: dict[str, Any] = {
    "title": "Emergency help",
    "kind": "legal_support",
    "area": "KE-30",
    "provider": {"name": "Example Aid", "kind": "ngo"},
    "expectations": "Answers within two days.",
    "contact": {"email": "front@example.org", "phone": "+254 700 123456", "person": "Ada Example"},
    "amount": {"value": "700", "currency": "EUR"},
}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def go(self, **by: float) -> None:
        self.moment += timedelta(**by)


class Node:
    """Intake, ledger and sweeper over one database, and a look at what is stored."""

    def __init__(self, database: Database, place_k: int = 1) -> None:
        self.database = database
        self.clock = Clock()
        self.world = World(self.clock, seed=b"5" * 32)
        self.ledger = Ledger(database, self.world)
        self.place_k = place_k
        self.policy = POLICY
        self.intake = Intake(
            database,
            CODES,
            self.world,
            HOME,
            lint.findings,
            ledger=self.ledger,
            labels=self.labels,
            secret=SECRET,
            place_k=place_k,
            name="home",
        )

    def labels(self, type_key: str) -> Any:
        return labels(self.policy, type_key)

    def create(self, type_key: str = "notice", **more: Any) -> str:
        document = {"notice": NOTICE, "resource": RESOURCE}.get(type_key, {})
        options = {name: more.pop(name) for name in ("id", "share", "confirm") if name in more}
        return self.intake.create(STEWARD, type_key, {**document, **more}, **{"share": True, **options})

    def row(self, gid: str, type_key: str = "notice") -> Any:
        table = record_table(type_key)
        with self.database.read() as connection:
            return connection.execute(table.select().where(table.c.gid == gid, table.c.via == 0)).one()

    def revisions(self, gid: str, type_key: str = "notice") -> tuple[int, int, int]:
        """The numbers of an own record for somebody who sees every step that has a scope."""
        row = self.row(gid, type_key)
        return of_class(row.revisions, tier_masks(type_key, self.labels(type_key), row.handling))

    def rows(self, type_key: str = "notice") -> list[Any]:
        table = record_table(type_key)
        with self.database.read() as connection:
            return list(connection.execute(table.select().order_by(table.c.rid)).all())

    def ask(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.database.read() as connection:
            return [tuple(row) for row in connection.execute(text(statement), values)]

    def changes(self) -> list[Change]:
        with self.database.read() as connection:
            return journal.read(connection, START, 10_000)

    def accept(self, via: int, *puts: Put, gone: Any = ()) -> Any:
        with self.database.write() as connection:
            return self.intake.accept(connection, via, puts, gone)

    def sweep(self, **options: Any) -> Swept:
        return sweep(self.database, self.world, CODES, self.labels, **{"place_k": self.place_k, **options})

    def found(self, word: str, type_key: str = "notice") -> list[int]:
        """The row ids under which a word is found."""
        table = record_table(type_key).name
        if self.database.dialect == "sqlite":
            statement = f"SELECT rowid FROM {table}_fts WHERE {table}_fts MATCH :it"
        else:
            lexeme = "SELECT 1 FROM unnest(fts) AS u WHERE split_part(u.lexeme, ':', 2) = :it"
            statement = f"SELECT rid FROM {table} WHERE EXISTS ({lexeme}) ORDER BY rid"
        return [row[0] for row in self.ask(statement, it=word)]


def make_terms(type_key: str = "notice", **changes: Any) -> Terms:
    """Terms as an origin with the default policy gives them."""
    given = {
        "relay": True,
        "hops": 2,
        "caps": {},
        "not_to_affiliation": frozenset(),
        "labels": labels(POLICY, type_key),
    }
    return Terms(**{**given, **changes})


def make_put(
    number: int = 1,
    type_key: str = "notice",
    *,
    origin: str = RIVER,
    path: tuple[str, ...] | None = None,
    rev: int = 1,
    terms: Terms | None = None,
    document: Mapping[str, Any] | None = None,
    most: Tier = Tier.COMMUNITY,
    **changes: Any,
) -> Put:
    """A record of another network as it arrives, with the steps up to a tier."""
    record_type = RECORD_TYPES[type_key]
    given = document or {"notice": NOTICE, "resource": RESOURCE}[type_key]
    values = step_values(record_type, record_type.normalise(given), None, Context(CODES))
    told = labels(POLICY, type_key)
    kept = {
        name: {step: value for step, value in steps.items() if dict(told[name])[step] <= most}
        for name, steps in values.items()
    }
    put = Put(
        type_key,
        number.to_bytes(16, "big"),
        origin,
        (rev, rev, 0),
        0,
        terms or make_terms(type_key),
        path or (origin,),
        {name: steps for name, steps in kept.items() if steps},
    )
    return replace(put, **changes)
