"""This node's own records: how they are found and written, with revisions that tell of no hidden write.

It must never write a record of another origin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, text

from federation.policies.terms import Labels
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES
from federation.records.rows import filled, mask, step_columns
from federation.storage import journal, revisions, writing
from federation.storage.journal import Entry, Facts
from federation.storage.sealed import Phrase
from federation.storage.tables import FACTS, record_table
from federation.world import World

OWN = 0
"""The `via`, `origin` and `terms` of own records."""

HOPS = 99
_UNTOLD = ("created_at", "updated_at")


@dataclass(frozen=True)
class Held:
    """An own record as it is stored."""

    type: str
    rid: int
    id: bytes
    gid: str
    facts: Facts
    revisions: str | None
    created_at: str
    document: dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """An own record as it is to be: `held` is what is stored, None for a new one. `phrases` are those of its sealed
    values, None where they stay."""

    type: str
    id: bytes
    gid: str
    held: Held | None
    document: Mapping[str, Any]
    facts: Facts
    phrases: frozenset[Phrase] | None = None

    @cached_property
    def differs(self) -> bool:
        """Whether there is anything to write."""
        return self.held is None or self.facts != self.held.facts or _told(self.document) != _told(self.held.document)


@dataclass(frozen=True)
class Keeper:
    """What writing own records needs to know: the context of their columns, the tiers of their steps, the moment."""

    context: Context
    labels: Labels
    now: str
    world: World


@dataclass(frozen=True)
class Written:
    """What was written of a wanted record: its row and the steps that changed."""

    wanted: Wanted
    rid: int
    mask: int


def facts(status: str, handling: int) -> Facts:
    """The facts of an own record: no terms of others bind it. Which steps have a value is known when it is written."""
    return Facts(status, int(handling), OWN, 1, HOPS, 0, 0)


def ensure_home(connection: Connection, thumbprint: str, name: str) -> None:
    """Writes this node as origin 0, once."""
    connection.execute(
        text(
            "INSERT INTO origins (oid, thumbprint, name, pinned) VALUES (0, :thumbprint, :name, 1)"
            " ON CONFLICT DO NOTHING"
        ),
        {"thumbprint": thumbprint, "name": name},
    )


def find(connection: Connection, type_key: str, ids: Sequence[bytes]) -> dict[bytes, Held]:
    """The own records with these ids, locked for the caller's transaction."""
    lock = " FOR UPDATE" if connection.dialect.name == "postgresql" else ""
    columns = f"rid, id, gid, {', '.join(FACTS)}, revisions, created_at, home"
    rows = f"{record_table(type_key).name} WHERE id IN :ids AND origin = 0 AND via = 0 ORDER BY rid{lock}"
    statement = text(f"SELECT {columns} FROM {rows}")  # noqa: S608  (no values in it)
    statement = statement.bindparams(bindparam("ids", expanding=True))
    found: dict[bytes, Held] = {}
    for part in writing.chunks(list(ids)):
        for row in connection.execute(statement, {"ids": list(part)}):
            held = Held(
                type_key, row.rid, bytes(row.id), row.gid, journal.facts(row), row.revisions, row.created_at,
                orjson.loads(row.home),
            )  # fmt: skip
            found[held.id] = held
    return found


def write(connection: Connection, type_key: str, wanted: Sequence[Wanted], keeper: Keeper) -> list[Written]:
    """Writes those of the wanted records of one type that differ from what is held: row, words, one journal entry,
    and what counts for revisions."""
    return _write(connection, type_key, [each for each in wanted if each.differs], keeper, keeper.now)


def set_revisions(connection: Connection, type_key: str, counted: Sequence[tuple[int, str | None]]) -> None:
    """Sets what counts for revisions of rows that stay otherwise as they are: (rid, counts)."""
    if counted:
        values = [{"rid": rid, "kept": kept} for rid, kept in counted]
        table = record_table(type_key).name
        connection.execute(text(f"UPDATE {table} SET revisions = :kept WHERE rid = :rid"), values)  # noqa: S608


def rewrite(connection: Connection, type_key: str, held: Sequence[Held], keeper: Keeper) -> list[Written]:
    """Computes the step columns of records anew from the documents that are stored and writes those that changed, as
    `write` does; the moment of their last change stays."""
    wanted = [Wanted(type_key, each.id, each.gid, each, each.document, each.facts) for each in held]
    return _write(connection, type_key, wanted, keeper, None)


def _write(
    connection: Connection, type_key: str, wanted: Sequence[Wanted], keeper: Keeper, moment: str | None
) -> list[Written]:
    held = [each.held.rid for each in wanted if each.held is not None]
    before = writing.steps_of(connection, type_key, held)
    fresh: list[dict[str, Any]] = []
    amended: list[dict[str, Any]] = []
    written: list[tuple[Wanted, dict[str, Any], int]] = []
    tags: list[bytes] = []
    for each in wanted:
        steps = before.get(each.held.rid, {}) if each.held else {}
        row, changed, told = _row(each, steps, keeper, moment or str(each.document["updated_at"]))
        if moment is None and not changed:
            continue
        (amended if each.held else fresh).append(row)
        written.append((each, row, changed))
        tags.append(journal.tag(keeper.world, each.id, *(told or _hidden(each)), keeper.now))
    writing.insert_rows(connection, type_key, fresh)
    writing.update_rows(connection, type_key, amended)
    journal.append(connection, (_entry(*each, tag) for each, tag in zip(written, tags, strict=True)))
    return [Written(each, row["rid"], changed) for each, row, changed in written]


def _row(
    wanted: Wanted, before: Mapping[str, Any], keeper: Keeper, moment: str
) -> tuple[dict[str, Any], int, tuple[object, ...]]:
    """All columns of the record but `fts` and the `rid` of a new one, the steps that changed, and what may be told of
    the write."""
    record_type = RECORD_TYPES[wanted.type]
    held = wanted.held
    created = held.created_at if held else moment
    document = {**wanted.document, "created_at": created, "updated_at": moment}
    steps = step_columns(record_type, document, document.get("caps"), keeper.context)
    changed = mask(record_type, before, steps)
    facts = wanted.facts._replace(filled=filled(record_type, steps))
    kept, earlier = (held.revisions, held.facts) if held else (None, None)
    counted = revisions.count(kept, earlier, facts, changed, keeper.labels, wanted.type)
    row: dict[str, Any] = {
        "id": wanted.id,
        "origin": OWN,
        "via": OWN,
        "gid": wanted.gid,
        **facts._asdict(),
        "path": None,
        "revisions": counted.kept,
        "home": orjson.dumps(document).decode(),
        "provenance": None,
        "created_at": created,
        "updated_at": moment,
        **steps,
    }
    row["digest"] = writing.digest(row, steps)
    if held:
        row["rid"] = held.rid
    return row, changed, counted.told


def _entry(wanted: Wanted, row: Mapping[str, Any], changed: int, tag: bytes) -> Entry:
    before = wanted.held.facts if wanted.held else None
    after = Facts(*(row[name] for name in FACTS))
    return Entry(wanted.type, row["rid"], wanted.id, OWN, OWN, before, after, changed, tag)


def _hidden(wanted: Wanted) -> tuple[object, ...]:
    """What tells one write that nobody sees from another."""
    return "hidden", hashlib.sha256(_told(wanted.document)).digest(), wanted.facts


def _told(document: Mapping[str, Any]) -> bytes:
    """A document without what the node sets itself, in one form."""
    told = {name: value for name, value in document.items() if name not in _UNTOLD}
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
