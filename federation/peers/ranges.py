"""The ranges in which a peer tells its slice anew: the types in their order, the ids within a type in theirs. What is
held in a range that was told, and was not told again, is gone. It asks nobody and stores nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

from federation.keys import unb64
from federation.peers.state import Run
from federation.peers.wire import AnswerBroken
from federation.records.registry import RECORD_TYPES
from federation.storage.items import Gone

Key: TypeAlias = tuple[str, str, bytes]
"""A record as a peer names it: type, thumbprint of the origin, id."""

Held: TypeAlias = Callable[[str, bytes | None, bytes | None], Iterable[Gone]]
"""What is held of a type with after < id <= upto (None: no bound)."""

_ORDER = {key: place for place, key in enumerate(RECORD_TYPES)}
_OVER = "~"
"""In the place of a type in a run: all types were told."""


def over(run: Run) -> Run:
    """The run at its end."""
    return Run(run.name, _OVER, None)


def reached(run: Run, item: Mapping[str, Any]) -> Run:
    """Where the run stands after the range that a checkpoint ends, whose type is known. Raises AnswerBroken where that
    is not beyond where it stood."""
    kind, upto = str(item["t"]), _id(item.get("to"))
    if _ORDER[kind] < _place(run.type) or (kind == run.type and upto is not None and upto.hex() <= (run.after or "")):
        raise AnswerBroken("The answer goes back to what was already told.")
    if upto is None:
        following = [key for key, place in _ORDER.items() if place > _ORDER[kind]]
        return Run(run.name, following[0], None) if following else over(run)
    return Run(run.name, kind, upto.hex())


def left_behind(held: Held, before: Run, after: Run, puts: Collection[Key]) -> dict[Key, Gone]:
    """What is held in the range that was just told and was not told again. Types that were passed over are empty at the
    peer. Raises AnswerBroken where one of `puts` stands outside of the range."""
    found: dict[Key, Gone] = {}
    start, end = _place(before.type), _place(after.type)
    for kind, place in _ORDER.items():
        low = bytes.fromhex(before.after) if kind == before.type and before.after else None
        high = bytes.fromhex(after.after) if kind == after.type and after.after else None
        if start <= place < end or (place == end and high is not None):
            for gone in held(kind, low, high):
                if (kind, gone.origin, gone.id) not in puts:
                    found[kind, gone.origin, gone.id] = gone
    for kind, _, id in puts:
        low_ok = before.after is None or kind != before.type or id.hex() > before.after
        high_ok = after.after is None or kind != after.type or id.hex() <= after.after
        if not (start <= _ORDER[kind] <= end and low_ok and high_ok):
            raise AnswerBroken("A record stands outside of the range that it was told in.")
    return found


def _place(kind: str | None) -> int:
    return 0 if kind is None else _ORDER.get(kind, len(_ORDER))


def _id(value: Any) -> bytes | None:
    if value is None:
        return None
    try:
        id = unb64(value)
    except (ValueError, TypeError, AttributeError):
        id = b""
    if len(id) != 16:
        raise AnswerBroken("A range of the answer has no end.")
    return id
