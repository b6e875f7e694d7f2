"""The exchange's side of a view: what changed in it after a position, and all of it in the order of shown ids.

A change that the class cannot see gives nothing at all: no item, no other order, no longer page. What an item says is
made in SQL from the visible step columns, and is what the row says now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from sqlalchemy import Connection

from federation.policies.tiers import Tier
from federation.records.rows import bits
from federation.storage import journal, revisions
from federation.storage.dialect import Dialect
from federation.storage.ids import global_id, wire_id
from federation.storage.journal import START, TAG_BYTES, Change, Position
from federation.storage.pairwise import add_functions, column_of, gid_of, id_of
from federation.storage.revisions import Masks, Revisions
from federation.storage.view import Arm, View
from federation.storage.wires import values_json, wire_steps

READ_AT_ONCE = 500
IDS_AT_ONCE = 50
WINDOW = 64
"""How many changes that the class sees are looked at together; of one record only the last of them is told. Hidden
changes do not count, so that they do not move the window."""

_Key: TypeAlias = tuple[str, int, bytes]
"""Type, number of the origin, stored id."""


@dataclass(frozen=True)
class Item:
    """One item of a feed. `line`: its JSON. `id` and `gid` are the shown ones; `rid`, `origin` (its number), `terms`
    and `via` say which row it is. `mask` of a put: the steps that it holds; `above`: some are not open for everyone.
    `position` and `tag`: the journal entry behind it; None in a slice."""

    kind: str
    type: str
    id: bytes
    gid: str
    line: str
    origin: int
    rid: int = 0
    terms: int = 0
    via: int = 0
    mask: int = 0
    above: bool = False
    position: Position | None = None
    tag: bytes = b""


@dataclass(frozen=True)
class Changes:
    """A page of a feed. `next` is the position of the last item (the one asked from, if there is none), `scanned` how
    far the journal was read; `more`: the class has more to see."""

    items: tuple[Item, ...]
    next: Position
    scanned: Position
    more: bool


@dataclass
class _Seen:
    """What became of one record between two positions, as the class sees it."""

    before: bool
    last: Change


@dataclass
class _Page:
    """Items of a page as they are gathered, and how large they are."""

    most_bytes: int
    most_items: int | None
    items: list[Item] = field(default_factory=list)
    size: int = 0

    @property
    def full(self) -> bool:
        """Whether no more items should come."""
        return bool(self.items) and (self.size >= self.most_bytes or len(self.items) == self.most_items)

    def room(self) -> int:
        """For how many more items there may be room, at least one: by the size of those that are there."""
        if not self.items:
            return IDS_AT_ONCE
        return 1 + (self.most_bytes - self.size) * len(self.items) // self.size

    def add(self, item: Item) -> None:
        """One more item."""
        self.items.append(item)
        self.size += len(item.line.encode())


@dataclass
class Slices:
    """Reads the slice of one viewer, in the caller's snapshot. `views` by type, `pairwise` the viewer's parameters.
    `make_id` makes the shown id of a record that is gone."""

    connection: Connection
    dialect: Dialect
    views: Mapping[str, View]
    pairwise: Mapping[str, bytes]
    make_id: Callable[[bytes], bytes]
    _masks: dict[tuple[str, tuple[int, ...]], int] = field(default_factory=dict)
    _tiers: dict[tuple[str, tuple[int, ...], int], Masks] = field(default_factory=dict)

    @cached_property
    def origins(self) -> Mapping[int, str]:
        """The thumbprints of origins by number."""
        rows = self.connection.exec_driver_sql("SELECT oid,thumbprint FROM origins").fetchall()
        return {row[0]: row[1] for row in rows}

    @cached_property
    def hashes(self) -> Mapping[int, str]:
        """The hashes of terms by number."""
        rows = self.connection.exec_driver_sql("SELECT tid,hash FROM terms").fetchall()
        return {row[0]: row[1] for row in rows}

    def since(
        self, after: Position, most_bytes: int, scanned: Position = START, most_items: int | None = None
    ) -> Changes:
        """What the class saw happen after a position, in order. At least one item, if there is one; no more once
        `most_bytes` are reached. `scanned`: up to where nothing follows, known from before."""
        page = _Page(most_bytes, most_items)
        start, more = max(after, scanned), True
        while more and not page.full:
            seen, start, more = self._relevant(start)
            more = not self._fill(page, seen) or more
        last = (page.items[-1].position if page.items else None) or after
        return Changes(tuple(page.items), last, last if more else start, more)

    def _fill(self, page: _Page, seen: Mapping[_Key, _Seen]) -> bool:
        """Puts items on the page in the order of their last change; whether all of them found room."""
        every = sorted(seen.items(), key=lambda each: each[1].last.position)
        at = 0
        while at < len(every) and not page.full:
            part = every[at : at + min(IDS_AT_ONCE, page.room())]
            rows = self._rows([key for key, _ in part])
            for key, what in part:
                if page.full:
                    break
                item = self._item(key, what, rows.get(key))
                if item is not None:
                    page.add(item)
                at += 1
        return at == len(every)

    def _relevant(self, after: Position) -> tuple[dict[_Key, _Seen], Position, bool]:
        seen: dict[_Key, _Seen] = {}
        number, position, size = 0, after, min(READ_AT_ONCE, WINDOW + 1)
        while True:
            batch = journal.read(self.connection, position, size)
            for change in batch:
                if self.relevant(change):
                    if number == WINDOW:
                        return seen, position, True
                    number += 1
                    key = (change.type, change.origin, change.id)
                    before = self.views[change.type].arm_of(change.before) is not None
                    seen[key] = _Seen(seen[key].before if key in seen else before, change)
                position = change.position
            if len(batch) < size:
                return seen, position, False

    def relevant(self, change: Change) -> bool:
        """Whether the class sees the change: the record comes, goes, or something of it that is seen changed."""
        view = self.views.get(change.type)
        if view is None:
            return False
        before, after = view.arm_of(change.before), view.arm_of(change.after)
        if before is None or after is None or change.before is None or change.after is None:
            return before is not after
        if before is not after or change.before.terms != change.after.terms:
            return True
        told = after.projection.clearance is not None and after.projection.clearance > Tier.OPEN
        if told and change.before.handling != change.after.handling:
            return True
        return bool(change.steps & self._mask(view, after))

    def last_relevant(self) -> Change | None:
        """The last change that the class sees, if the journal still has it."""
        before: Position | None = None
        while True:
            after = journal.back(self.connection, before, READ_AT_ONCE)
            batch = journal.read(self.connection, after, READ_AT_ONCE, before)
            for change in reversed(batch):
                if (before is None or change.position < before) and self.relevant(change):
                    return change
            if after == START:
                return None
            before = Position(after.x, after.n + 1)

    def floor_tag(self) -> bytes:
        """What stands for an entry where the journal has none that the class sees: the end of what was pruned."""
        return hashlib.sha256(f"floor {journal.floor(self.connection)}".encode()).digest()[:TAG_BYTES]

    def at_tag(self, tag: bytes) -> Position | None:
        """The position of the entry with a tag; None if there is none any more."""
        if tag == self.floor_tag():
            return journal.floor(self.connection)
        statement = f"SELECT x,pos FROM change WHERE tag={self.dialect.param('tag')}"  # noqa: S608
        row = self.connection.exec_driver_sql(statement, {"tag": tag}).fetchone()
        return None if row is None else Position(row[0], row[1])

    def _mask(self, view: View, arm: Arm) -> int:
        key = (view.type.key, arm.terms)
        if key not in self._masks:
            self._masks[key] = wire_mask(view, arm)
        return self._masks[key]

    def _item(self, key: _Key, what: _Seen, put: Item | None) -> Item | None:
        change = what.last
        if put is not None:
            return _placed(put, change)
        if not what.before:
            return None
        type_key, origin, id = key
        pairwise = self.views[type_key].pairwise
        shown = self.make_id(id) if pairwise else id
        line = {"k": "withdraw", "t": type_key, "i": wire_id(shown)}
        if not pairwise:
            line["o"] = self.origins.get(origin, "")
        gid = global_id(type_key, "" if pairwise else self.origins.get(origin, ""), shown)
        text = json.dumps(line, separators=(",", ":"))
        return Item("withdraw", type_key, shown, gid, text, origin, position=change.position, tag=change.tag)

    def _rows(self, keys: Iterable[_Key]) -> dict[_Key, Item]:
        """The puts of those records that are seen now."""
        wanted: dict[str, list[bytes]] = {}
        for type_key, _, id in keys:
            wanted.setdefault(type_key, []).append(id)
        found: dict[_Key, Item] = {}
        for type_key, ids in wanted.items():
            filled = ids + ids[-1:] * (IDS_AT_ONCE - len(ids))  # always as many, so that there is one statement
            names = [f"i{n}" for n in range(IDS_AT_ONCE)]
            condition = f"t.id IN ({','.join(map(self.dialect.param, names))})"
            rows = self._select(type_key, condition, dict(zip(names, filled, strict=True)))
            found |= {(type_key, item.origin, id): item for id, item in rows}
        return found

    def slice(self, type_key: str, after_id: bytes, limit: int) -> tuple[Item, ...]:
        """All that is seen of a type, in the order of the 16 bytes of shown ids, after one of them."""
        view = self.views[type_key]
        condition = f"{id_of(self.dialect, view)}>{self.dialect.param('after_id')}"
        rows = self._select(type_key, condition, {"after_id": after_id, "limit": limit}, ordered=True)
        return tuple(item for _, item in rows)

    def _select(
        self, type_key: str, condition: str, values: Mapping[str, Any], *, ordered: bool = False
    ) -> list[tuple[bytes, Item]]:
        """(stored id, put) of rows of all arms."""
        view = self.views[type_key]
        if not view.arms:
            return []
        statement = view.memo.get(("slice", ordered, condition))
        if statement is None:
            statement = view.memo["slice", ordered, condition] = self._statement(view, condition, ordered)
        parameters = {**values, **(self.pairwise if view.pairwise else {})}
        if view.pairwise and self.dialect.sqlite:
            add_functions(self.connection.connection.driver_connection)
        rows = self.connection.exec_driver_sql(statement, parameters).fetchall()
        return [(bytes(row[0]), self._put(view, row)) for row in rows]

    def _statement(self, view: View, condition: str, ordered: bool) -> str:
        end = f" ORDER BY 2 {self.dialect.limit()}" if ordered else ""
        selects = [f"{select_values(self.dialect, view, arm, at)} AND {condition}" for at, arm in enumerate(view.arms)]
        if len(selects) > 1 and ordered:
            selects = [f"SELECT * FROM ({each}{end}) AS x{at}" for at, each in enumerate(selects)]  # noqa: S608
        return " UNION ALL ".join(selects) + end

    def _put(self, view: View, row: Sequence[Any]) -> Item:
        _, shown, gid, rid, origin, terms, via, handling, path, told, tail, at = row
        arm = view.arms[at]
        shown = bytes(shown)
        head = f'{{"k":"put","t":"{view.type.key}","i":"{wire_id(shown)}"'
        if not view.pairwise:
            head += f',"o":"{self.origins.get(origin, "")}"'
        if terms:
            head += f',"T":"{self.hashes.get(terms, "")}"'
        open_, community, partner = revisions.received(told) if via else self._revisions(view, arm, handling, told)
        line = f'{head},"path":{path or "[]"},"r":[{open_},{community},{partner}],{tail}'
        above = bool(arm.above) or handling > 0
        return Item("put", view.type.key, shown, gid, line, origin, rid, terms, via, self._mask(view, arm), above)

    def _revisions(self, view: View, arm: Arm, handling: int, kept: str | None) -> Revisions:
        key = (view.type.key, arm.terms, handling)
        if key not in self._tiers:
            seen = self._mask(view, arm)
            open_, community, partner = revisions.tier_masks(view.type.key, view.labels, handling)
            self._tiers[key] = open_ & seen, community & seen, partner & seen
        return revisions.of_class(kept, self._tiers[key])


def _placed(put: Item, change: Change) -> Item:
    return Item(**{**put.__dict__, "position": change.position, "tag": change.tag})


def select_values(dialect: Dialect, view: View, arm: Arm, at: int) -> str:
    """The SELECT of an arm's rows as the exchange needs them, ending in its condition."""
    column = column_of(dialect, view)
    values = values_json(dialect, view, arm, column)
    parts = ["'\"h\":'", "t.handling", "',\"v\":'", values, "'}'"]
    tail = dialect.concat(parts)
    return (
        f"SELECT t.id,{id_of(dialect, view)},{gid_of(dialect, view)},t.rid,t.origin,t.terms,t.via,t.handling,"  # noqa: S608
        f"t.path,t.revisions,{tail},{at} FROM {view.type.table} t WHERE {view.rows(arm)}"
    )


def wire_mask(view: View, arm: Arm) -> int:
    """The bits of all steps that go on the wire for an arm."""
    steps = {(name, step) for name, several in wire_steps(view, arm) for step in several}
    return sum(1 << bit for bit, each in enumerate(bits(view.type)) if each in steps)
