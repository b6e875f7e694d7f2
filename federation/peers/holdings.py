"""What a peer was sent: per record the finest steps, under which policies, and when first and last.

Told from what was written down before it left, the journal's facts and the classes of then: exact for the time for
which both are kept; of the time before only what a peer held then. Never about what a dishonest peer did with it. It
holds ids and names of steps, no values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, select

from federation.peers import state
from federation.peers.agreements import partner, viewer_of
from federation.peers.serve import Source, class_seen
from federation.policies.catalogue import PAIRWISE_TYPES
from federation.records.registry import RECORD_TYPES
from federation.records.rows import bits
from federation.storage import journal
from federation.storage.database import Database
from federation.storage.ids import global_id, pairwise_id
from federation.storage.journal import START, Change, Facts, Position
from federation.storage.standing import standing_at_floor
from federation.storage.sweeper import JOURNAL_FROM
from federation.storage.tables import SHARED, origins, served

READ_AT_ONCE = 2000
_RANGE, _START = ":", "reconcile"
Seen = Mapping[str, Any]
"""What a class sees of own records: `{type: {"clearance", "steps"}}`; see `serve.class_seen`."""


@dataclass
class Held:
    """One record that a peer was sent. `steps`: the finest step of each field that it could hold; a field without a
    value had none to send. `first`: None where that was before the day of `known_from`; so is `last` where nothing was
    sent since. `gone`: it has left the peer's view since, and the peer was, or will be, told so."""

    type: str
    gid: str
    steps: dict[str, str]
    policies: list[str]
    first: str | None
    last: str | None
    gone: bool = False


@dataclass
class _Sent:
    """What was served: a stretch of the journal, or of the ids of a type (of all, if it has none) as they stood at a
    position. `at`: None for what was served before that can be told exactly."""

    steps: Seen
    policy: str
    at: str | None
    low: Position
    high: Position
    type: str = ""
    after: str = ""
    upto: str = ""


@dataclass
class _Told:
    """All that is known while the journal is read from its beginning."""

    held: dict[tuple[str, int, bytes], Held] = field(default_factory=dict)
    facts: dict[tuple[str, int, bytes], Facts | None] = field(default_factory=dict)


def known_from(database: Database) -> str | None:
    """The day since which all is kept that `holdings` tells from; None for always."""
    with database.read() as conn:
        kept = [state.meta_value(conn, key) for key in (JOURNAL_FROM, state.SERVED_FROM)]
    return max((day for day in kept if day is not None), default=None)


def holdings(source: Source, name: str) -> list[Held]:
    """What the peer of that local name was sent, in order of type and id. Raises NotFound."""
    who = partner(source.database, name)
    now = class_seen(source.policy(), viewer_of(who))
    with source.database.read() as conn:
        ranges, feeds = _sent(conn, who.pid)
        thumbprints: dict[int, str] = {row.oid: row.thumbprint for row in conn.execute(select(origins))}
        thumbprints[0] = source.me.keys.origin
        told = _Told(facts=dict(standing_at_floor(conn)))
        shown = _Shown(thumbprints, source.me.keys.secret, who.issuer)
        _walk(conn, ranges, feeds, told, shown)
    for key, held in told.held.items():
        held.gone = not _sees(now, key[0], told.facts.get(key))
    return sorted(told.held.values(), key=lambda each: (each.type, each.gid))


@dataclass(frozen=True)
class _Shown:
    """Under which ids a peer was shown records."""

    thumbprints: Mapping[int, str]
    secret: bytes
    subject: str

    def id(self, type_key: str, id: bytes) -> bytes:
        return pairwise_id(self.secret, self.subject, id) if type_key in PAIRWISE_TYPES else id

    def gid(self, type_key: str, origin: int, id: bytes) -> str:
        named = "" if type_key in PAIRWISE_TYPES else self.thumbprints.get(origin, "")
        return global_id(type_key, named, self.id(type_key, id))


def _sent(conn: Connection, pid: int) -> tuple[list[_Sent], list[_Sent]]:
    """What was served of slices and of the journal, each in the order of the places of the journal at which it was
    read."""
    floor = journal.floor(conn)
    starts: dict[str, Position] = {}
    whole: set[tuple[str, int]] = set()
    ranges: list[_Sent] = []
    feeds: list[_Sent] = []
    rows = conn.execute(select(served).where(served.c.peer == pid).order_by(served.c.sid)).mappings()
    for row in rows.all():
        steps, policy, at = state.class_kept(conn, row["class"]), row["policy"], row["at"]
        life = row["incarnation"], row["epoch"]
        if row["token_from"] == _START:
            starts[row["token_to"]] = Position.parse(row["pos_to"])
            if starts[row["token_to"]] >= floor:
                whole.add(life)
        elif _RANGE in row["token_from"]:
            kind, _, after = row["token_from"].partition(_RANGE)
            upto = row["token_to"].partition(_RANGE)[2]
            place = starts.get(row["pos_from"], START)
            known = at if place >= floor else None
            place = max(place, floor)
            ranges.append(_Sent(steps, policy, known, place, place, kind, after, upto))
        else:
            low, high = Position.parse(row["pos_from"]), Position.parse(row["pos_to"])
            if life not in whole:  # who goes on from a place held what its class saw there
                whole.add(life)
                ranges.append(_Sent(steps, policy, None, max(low, floor), max(low, floor)))
            feeds.append(_Sent(steps, policy, at, low, high))
    return sorted(ranges, key=lambda each: each.low), sorted(feeds, key=lambda each: each.low)


def _walk(conn: Connection, ranges: list[_Sent], feeds: list[_Sent], told: _Told, shown: _Shown) -> None:
    """Read the journal once; at each place where a slice was read, take down who was in it."""
    for change in _changes(conn):
        while ranges and ranges[0].low < change.position:
            _take_range(ranges.pop(0), told, shown)
        key = (change.type, change.origin, change.id)
        told.facts[key] = change.after
        for each in feeds:
            if each.low < change.position <= each.high and _sees(each.steps, change.type, change.after):
                _take(each, key, told, shown)
    for each in ranges:
        _take_range(each, told, shown)


def _changes(conn: Connection) -> Iterator[Change]:
    place = journal.floor(conn)
    while batch := journal.read(conn, place, READ_AT_ONCE):
        yield from batch
        place = batch[-1].position


def _sees(classes: Seen, type_key: str, facts: Facts | None) -> bool:
    seen = classes.get(type_key)
    if seen is None or facts is None or facts.status != SHARED or facts.handling > seen["clearance"]:
        return False
    if not facts.filled & _known_by(type_key, frozenset(seen["steps"].items())):
        return False
    return facts.terms == 0 or bool(facts.relay and facts.hops_left > 0)


@lru_cache(maxsize=256)
def _known_by(type_key: str, steps: frozenset[tuple[str, str]]) -> int:
    """The steps, as a mask, by which a record is known: those of fields that not every type has."""
    kind = RECORD_TYPES[type_key]
    told = {step for step in steps if not kind.fields[step[0]].common}
    return sum(1 << bit for bit, each in enumerate(bits(kind)) if each in told)


def _take_range(sent: _Sent, told: _Told, shown: _Shown) -> None:
    for key, facts in told.facts.items():
        if key[0] == (sent.type or key[0]) and _sees(sent.steps, key[0], facts):
            id = shown.id(key[0], key[2]).hex()
            if not sent.type or (id > sent.after and (not sent.upto or id <= sent.upto)):
                _take(sent, key, told, shown)


def _take(sent: _Sent, key: tuple[str, int, bytes], told: _Told, shown: _Shown) -> None:
    steps = sent.steps[key[0]]["steps"]
    held = told.held.get(key)
    if held is None:
        gid = shown.gid(key[0], key[1], key[2])
        told.held[key] = Held(key[0], gid, dict(steps), [sent.policy], sent.at, sent.at)
        return
    ladder = {name: spec.step_names for name, spec in RECORD_TYPES[key[0]].fields.items()}
    for name, step in steps.items():
        before = held.steps.get(name)
        if before is None or ladder[name].index(step) < ladder[name].index(before):
            held.steps[name] = step
    if sent.policy not in held.policies:
        held.policies.append(sent.policy)
    if sent.at is not None:
        held.first = held.first and min(held.first, sent.at)
        held.last = max(held.last or sent.at, sent.at)
