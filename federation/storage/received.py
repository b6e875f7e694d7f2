"""Records of others: how items from a peer become rows. One row for each peer that a record came by; one is shown.

Shown is the one from the origin itself, or signed by its latest key, then that with the shortest path, the highest
revisions, the lowest peer. It must never touch an own
record. What cannot be stored is set aside with its reason, which holds no value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, text

from federation.policies.terms import Labels
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES
from federation.records.rows import mask
from federation.storage import items, journal, revisions, writing
from federation.storage.items import Gone, Poison, Put
from federation.storage.journal import Entry, Facts
from federation.storage.numbering import Numbers
from federation.storage.revisions import Revisions
from federation.storage.tables import EXPIRED, FACTS, SHADOWED, SHARED, record_table
from federation.world import World

Key = tuple[int, bytes]

MOST_QUARANTINED = 10_000
MOST_ROWS = 200_000
"""How many records of a type are held that came by one peer."""


@dataclass(frozen=True)
class Receiver:
    """What receiving needs to know: code lists, this node's own thumbprint, the world."""

    context: Context
    home: str
    world: World


@dataclass(frozen=True)
class Accepted:
    """What a page did: rows stored, removed, found as they were, and set aside; and the tables that changed."""

    put: int = 0
    withdrawn: int = 0
    unchanged: int = 0
    quarantined: int = 0
    tables: frozenset[str] = frozenset()

    def __add__(self, other: Accepted) -> Accepted:
        return Accepted(
            self.put + other.put,
            self.withdrawn + other.withdrawn,
            self.unchanged + other.unchanged,
            self.quarantined + other.quarantined,
            self.tables | other.tables,
        )


@dataclass
class _Standing:
    """One row of a record: by which peer it came, its facts, and what ranks it. `row` is what is to be written."""

    rid: int
    via: int
    facts: Facts
    revisions: Revisions
    digest: bytes
    path: str
    provenance: bytes | None
    until: str | None
    row: dict[str, Any] | None = None

    @cached_property
    def rank(self) -> tuple[int, ...]:
        """Lower is shown first: from the origin itself, then what its later key signed, then the shortest path. What is
        seen at a higher tier changes with more, so that its number counts first."""
        open_, community, _ = self.revisions
        hops = len(orjson.loads(self.path))
        return hops > 1, -items.signer(self.provenance), hops, -community, -open_, self.via

    def status(self, today: str) -> str:
        """Its status when it is the one that is shown."""
        return EXPIRED if self.until is not None and self.until < today else SHARED


@dataclass(frozen=True)
class _Shown:
    """Which row of a record was shown and which is now, with the facts that it then has."""

    key: Key
    old: _Standing | None
    new: _Standing | None
    facts: Facts | None


@dataclass
class _Plan:
    """What is to be done to the rows of one type."""

    fresh: list[_Standing] = field(default_factory=list)
    changed: list[_Standing] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    statuses: list[tuple[int, str]] = field(default_factory=list)
    shown: list[_Shown] = field(default_factory=list)
    unchanged: int = 0


def accept(connection: Connection, via: int, puts: Iterable[Put], gone: Iterable[Gone], receiver: Receiver) -> Accepted:
    """Stores what came by a peer and removes what left, in the caller's transaction. Of one record the last put or
    else the withdrawal counts; the caller has put them in order."""
    if via <= 0:
        raise ValueError("only records of others are received")
    numbers = Numbers(connection)
    wanted: dict[str, dict[Key, dict[str, Any] | None]] = {}
    refused: list[Poison] = []
    strangers: dict[str, list[tuple[str, bytes]]] = {}
    for each in gone:
        if each.origin != receiver.home:
            _leave(wanted, strangers, numbers, each)
    now = receiver.world.now().isoformat()
    for put in puts:
        try:
            items.check(put, receiver.home)
            tid = numbers.terms(put)
        except Poison as refusal:
            refused.append(Poison(refusal.reason, put.type, put.origin, put.id))
            if put.type in RECORD_TYPES and put.origin != receiver.home:  # what is held is not what the peer shows now
                _leave(wanted, strangers, numbers, Gone(put.type, put.id, put.origin))
            continue
        oid = numbers.origin(put.origin)
        wanted.setdefault(put.type, {})[oid, put.id] = items.row_of(put, via, oid, tid, now, receiver.context)
    total = Accepted()
    for type_key in sorted(wanted, key=list(RECORD_TYPES).index):
        refused += _beyond(connection, via, type_key, wanted[type_key], numbers)
        standing = _standing(connection, type_key, [id for _, id in wanted[type_key]])
        refused += _signed_before(type_key, wanted[type_key], standing, numbers)
        total += _apply(connection, via, type_key, wanted[type_key], standing, receiver, numbers.labels)
        _released(connection, via, type_key, [(numbers.thumbprints[oid], id) for oid, id in wanted[type_key]])
    for type_key, keys in strangers.items():
        _released(connection, via, type_key, keys)
    set_aside(connection, via, refused, now)
    return total + Accepted(quarantined=len(refused))


def _leave(
    wanted: dict[str, dict[Key, dict[str, Any] | None]],
    strangers: dict[str, list[tuple[str, bytes]]],
    numbers: Numbers,
    gone: Gone,
) -> None:
    """Notes that a record is not shown any more. Of an origin that nothing was ever held of there is nothing to
    remove, and it gets no number: names cost a peer nothing."""
    oid = numbers.known(gone.origin)
    if oid is None:
        strangers.setdefault(gone.type, []).append((gone.origin, gone.id))
    else:
        wanted.setdefault(gone.type, {}).setdefault((oid, gone.id), None)


def _beyond(
    connection: Connection, via: int, type_key: str, wanted: dict[Key, dict[str, Any] | None], numbers: Numbers
) -> list[Poison]:
    """Takes out of `wanted` the new records that are more than one peer may bring, and names them."""
    rows = [key for key, row in wanted.items() if row is not None]
    table = record_table(type_key).name
    last = connection.execute(text(f"SELECT coalesce(max(rid), 0) FROM {table}")).scalar_one()  # noqa: S608
    if last + len(rows) <= MOST_ROWS:  # the table has never held so many
        return []
    held = connection.execute(text(f"SELECT count(*) FROM {table} WHERE via = :via"), {"via": via})  # noqa: S608
    room = MOST_ROWS - int(held.scalar_one())
    if room >= len(rows):
        return []
    standing = _standing(connection, type_key, [id for _, id in rows])
    fresh = [key for key in rows if via not in standing.get(key, {})]
    beyond = fresh[max(0, room) :]
    for key in beyond:
        del wanted[key]
    return [Poison("too_many", type_key, numbers.thumbprints[oid], id) for oid, id in beyond]


def _signed_before(
    type_key: str,
    wanted: dict[Key, dict[str, Any] | None],
    standing: Mapping[Key, Mapping[int, _Standing]],
    numbers: Numbers,
) -> list[Poison]:
    """Takes out of `wanted` what a replaced key signed of a record that is held under a later one: an honest node has
    nothing to go back to. What the peer showed of it before leaves."""
    found = []
    for key, row in wanted.items():
        if row is None or row["provenance"] is None:
            continue
        latest = max((items.signer(each.provenance) for each in standing.get(key, {}).values()), default=0)
        if items.signer(row["provenance"]) < latest:
            wanted[key] = None
            found.append(Poison(items.REPLACED, type_key, numbers.thumbprints[key[0]], key[1]))
    return found


def held(
    connection: Connection,
    via: int,
    type_key: str,
    after: bytes | None = None,
    upto: bytes | None = None,
    most: int | None = None,
) -> list[Gone]:
    """The records of a type that came by a peer, with after < id <= upto (None: no bound), in order of id; at most so
    many."""
    bounds = ("" if after is None else " AND r.id > :after") + ("" if upto is None else " AND r.id <= :upto")
    values = {"via": via, "after": after, "upto": upto, "most": most}
    rows = connection.execute(
        text(
            f"SELECT r.id, o.thumbprint FROM {record_table(type_key).name} r"  # noqa: S608  (names of the schema)
            f" JOIN origins o ON o.oid = r.origin WHERE r.via = :via{bounds} ORDER BY r.id"
            + ("" if most is None else " LIMIT :most")
        ),
        {name: value for name, value in values.items() if value is not None},
    )
    return [Gone(type_key, bytes(row[0]), row[1]) for row in rows]


def set_aside(connection: Connection, via: int, refused: Sequence[Poison], now: str) -> None:
    """Keeps word of items that were not taken in: whose they were said to be and why, never what they held. A peer
    that sends nothing but poison fills no disk: there is an end to what is kept of one peer."""
    if not refused:
        return
    counted = text("SELECT count(*) FROM quarantine WHERE via = :via")
    there = int(connection.execute(counted, {"via": via}).scalar_one())
    values = {
        (each.type[:64], each.origin[:64], each.id[:16]): each.reason[:200]
        for each in refused[: max(0, MOST_QUARANTINED - there)]
    }
    if values:
        connection.execute(
            text(
                "INSERT INTO quarantine (via, type, origin, id, reason, at)"
                " VALUES (:via, :type, :origin, :id, :reason, :at)"
                " ON CONFLICT (via, type, origin, id) DO UPDATE SET reason = excluded.reason, at = excluded.at"
            ),
            [
                {"via": via, "type": type_key, "origin": origin, "id": id, "reason": reason, "at": now}
                for (type_key, origin, id), reason in values.items()
            ],
        )


def _apply(
    connection: Connection,
    via: int,
    type_key: str,
    wanted: Mapping[Key, dict[str, Any] | None],
    standing: dict[Key, dict[int, _Standing]],
    receiver: Receiver,
    labels: Mapping[int, Labels],
) -> Accepted:
    today = receiver.world.today().isoformat()
    plan = _Plan()
    for key, row in wanted.items():
        _decide(plan, key, standing.get(key, {}), via, row, today)
    compared = [(each.old, each.new) for each in plan.shown if each.old is not None and each.new is not None]
    rids = {old.rid for old, _ in compared} | {new.rid for _, new in compared if new.row is None}
    before = writing.steps_of(connection, type_key, sorted(rids))
    writing.delete_rows(connection, type_key, plan.gone)
    rows = [each.row for each in plan.fresh if each.row is not None]
    for each, rid in zip(plan.fresh, writing.insert_rows(connection, type_key, rows), strict=True):
        each.rid = rid
    changed = [{**each.row, "rid": each.rid} for each in plan.changed if each.row is not None]
    writing.update_rows(connection, type_key, changed)
    writing.set_statuses(connection, type_key, plan.statuses)
    entries = (_entry(type_key, each, before, receiver.world, labels) for each in plan.shown)
    journal.append(connection, [entry for entry in entries if entry is not None])
    put = len(plan.fresh) + len(plan.changed)
    touched = frozenset({record_table(type_key).name}) if put or plan.gone else frozenset()
    return Accepted(put, len(plan.gone), plan.unchanged, 0, touched)


def _standing(connection: Connection, type_key: str, ids: Sequence[bytes]) -> dict[Key, dict[int, _Standing]]:
    """The rows of others with these ids, by record and peer."""
    columns = ", ".join(
        ("rid", "id", "origin", "via", *FACTS, "revisions", "digest", "path", "provenance", "valid_until__exact")
    )
    statement = text(
        f"SELECT {columns} FROM {record_table(type_key).name} WHERE id IN :ids AND via > 0"  # noqa: S608  (no values)
    ).bindparams(bindparam("ids", expanding=True))
    found: dict[Key, dict[int, _Standing]] = {}
    for part in writing.chunks(list(ids)):
        for row in connection.execute(statement, {"ids": list(part)}):
            rid, id, oid, via, *facts = row[: 4 + len(FACTS)]
            told, digest, path, proof, until = row[4 + len(FACTS) :]
            found.setdefault((oid, bytes(id)), {})[via] = _Standing(
                rid, via, Facts(*facts), revisions.received(told), bytes(digest), path, proof and bytes(proof), until
            )
    return found


def _decide(
    plan: _Plan, key: Key, rows: dict[int, _Standing], via: int, row: dict[str, Any] | None, today: str
) -> None:
    """What becomes of the rows of one record when `row` (None: nothing) is what the peer shows of it."""
    mine = rows.get(via)
    shown = next((each for each in rows.values() if each.facts.status != SHADOWED), None)
    if row is None:
        if mine is None:
            return
        del rows[via]
        plan.gone.append(mine.rid)
    elif mine is not None and mine.digest == row["digest"]:
        plan.unchanged += 1
        return
    else:
        rows[via] = _from_row(row, mine.rid if mine else 0)
        (plan.changed if mine else plan.fresh).append(rows[via])
    winner = min(rows.values(), key=lambda each: each.rank, default=None)
    for each in rows.values():
        status = each.status(today) if each is winner else SHADOWED
        if each.row is not None:
            each.row["status"] = status
        elif status != each.facts.status:
            plan.statuses.append((each.rid, status))
    plan.shown.append(
        _Shown(key, shown, winner, None if winner is None else winner.facts._replace(status=winner.status(today)))
    )


def _from_row(row: dict[str, Any], rid: int) -> _Standing:
    facts = Facts(SHADOWED, *(row[name] for name in FACTS[1:]))
    told = revisions.received(row["revisions"])
    proof, until = row["provenance"], row["valid_until__exact"]
    return _Standing(rid, row["via"], facts, told, row["digest"], row["path"], proof, until, row)


def _entry(
    type_key: str, shown: _Shown, before: Mapping[int, Mapping[str, Any]], world: World, labels: Mapping[int, Labels]
) -> Entry | None:
    """The journal entry of a record of which another row or another content is shown; None if nobody could notice."""
    (oid, id), old, new = shown.key, shown.old, shown.new
    now = world.now().isoformat()
    if new is None:
        assert old is not None  # noqa: S101  (a record that was not held and is not told has no plan)
        tag = journal.tag(world, id, "gone", now)
        return Entry(type_key, old.rid, id, oid, old.via, old.facts, None, writing.full_mask(type_key), tag)
    changed = writing.full_mask(type_key) if old is None else _changed(type_key, old, new, before, labels)
    if old is not None and not changed and shown.facts == old.facts:
        return None
    earlier = (0, 0, 0) if old is None else old.revisions
    moved = [(tier, told) for tier, told in enumerate(new.revisions) if told != earlier[tier]]
    tag = journal.tag(world, id, *(moved[0] if moved else ("as before",)), now)
    return Entry(type_key, new.rid, id, oid, new.via, None if old is None else old.facts, shown.facts, changed, tag)


def _changed(
    type_key: str,
    old: _Standing,
    new: _Standing,
    before: Mapping[int, Mapping[str, Any]],
    labels: Mapping[int, Labels],
) -> int:
    """The steps that differ. Where none does: all of them if it came another way or is signed anew, and those of the
    tiers of which it came with another number."""
    steps = mask(RECORD_TYPES[type_key], before[old.rid], before[new.rid] if new.row is None else new.row)
    if old.revisions == new.revisions:
        anew = old.provenance != new.provenance or (not steps and old.path != new.path)
        return writing.full_mask(type_key) if anew else steps
    if steps:
        return steps
    if old.path != new.path or new.facts.terms not in labels:
        return writing.full_mask(type_key)
    tiers = revisions.tier_masks(type_key, labels[new.facts.terms], new.facts.handling)
    told = zip(tiers[:2], old.revisions, new.revisions, strict=False)  # partner steps are never passed on
    return sum(of for of, was, now in told if was != now)


def _released(connection: Connection, via: int, type_key: str, keys: Sequence[tuple[str, bytes]]) -> None:
    """What was set aside before and has now been told anew is no longer set aside."""
    key = {"via": via, "type": type_key}
    statement = "quarantine WHERE via = :via AND type = :type"
    if connection.execute(text(f"SELECT 1 FROM {statement} LIMIT 1"), key).first():  # noqa: S608  (no values in it)
        connection.execute(
            text(f"DELETE FROM {statement} AND origin = :origin AND id = :id"),  # noqa: S608
            [{**key, "origin": origin, "id": id} for origin, id in keys],
        )
