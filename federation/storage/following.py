"""How a registered client follows its view: first all of it, then what changes; and where it stands, as a cursor.

A cursor names the last item seen by the tag of its journal entry, never by a number: numbers would count hidden
writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from federation.storage.cursors import CursorSeal
from federation.storage.slices import Item, Slices

_BINDING = b"changes"
_ALL = 1 << 40


@dataclass(frozen=True)
class Standing:
    """Where a client stands: within the slice (`type_at`, `after_id`) or, with `type_at` None, in the journal. `tag`:
    the last entry that its view had when the slice began, or that it has seen."""

    type_at: int | None
    after_id: bytes
    tag: bytes


@dataclass(frozen=True)
class ChangePage:
    """Puts and withdrawals in order. `reset`: the view itself changed, or this is the first page: what follows is
    all of it. `more`: ask again at once."""

    items: tuple[Item, ...]
    cursor: str
    more: bool
    reset: bool


def follow(
    slices: Slices, types: Sequence[str], class_name: str, seal: CursorSeal, after: str | None, first: int
) -> ChangePage:
    """The next page for a client of a class. Raises BadInput for a cursor that is none; one of another class or with
    an entry that is gone begins anew."""
    known = None if after is None else _opened(seal, after, class_name, types)
    position = None if known is None else slices.at_tag(known.tag)
    reset = known is None or position is None
    if known is None or position is None:
        last = slices.last_relevant()
        known = Standing(0, b"", slices.floor_tag() if last is None else last.tag)
    items: list[Item] = []
    known = _slice(slices, types, known, items, first)
    if known.type_at is not None:
        return ChangePage(tuple(items), _sealed(seal, known, class_name, types), True, reset)
    start = slices.at_tag(known.tag)
    found = slices.since(start, _ALL, most_items=max(1, first - len(items))) if start is not None else None
    waiting = found.items if found is not None else ()
    taken = waiting[: first - len(items)]
    if taken:
        known = Standing(None, b"", taken[-1].tag)
    more = len(waiting) > len(taken) or (found is not None and found.more)
    return ChangePage((*items, *taken), _sealed(seal, known, class_name, types), more, reset)


def _slice(slices: Slices, types: Sequence[str], known: Standing, items: list[Item], first: int) -> Standing:
    """Fills `items` from the slice as far as it goes; gives where the client stands then."""
    at, after_id = known.type_at, known.after_id
    while at is not None and len(items) < first:
        wanted = first - len(items)
        part = slices.slice(types[at], after_id, wanted)
        items.extend(part)
        if len(part) == wanted:
            after_id = part[-1].id
        else:
            at, after_id = (at + 1 if at + 1 < len(types) else None), b""
    return Standing(at, after_id, known.tag)


def _class_mark(class_name: str, types: Sequence[str]) -> bytes:
    return hashlib.sha256(repr((class_name, tuple(types))).encode()).digest()[:8]


def _sealed(seal: CursorSeal, known: Standing, class_name: str, types: Sequence[str]) -> str:
    at = 255 if known.type_at is None else known.type_at
    begun = bytes([len(known.after_id)]) + known.after_id.ljust(16, b"\0")
    return seal.seal_bytes(_class_mark(class_name, types) + bytes([at]) + begun + known.tag, _BINDING)


def _opened(seal: CursorSeal, cursor: str, class_name: str, types: Sequence[str]) -> Standing | None:
    plain = seal.open_bytes(cursor, _BINDING)
    if plain[:8] != _class_mark(class_name, types):
        return None
    at, size = plain[8], plain[9]
    return Standing(None if at == 255 else at, plain[10 : 10 + size], plain[26:])
