"""A table of bounded size that forgets what was not asked for longest; for several threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

V = TypeVar("V")


class Bounded(Generic[V]):
    """Keeps at most `size` values by key, that weigh at most `weight` in all. A value that is gone is made again by
    whoever needs it."""

    def __init__(self, size: int, weight: int = 1 << 62) -> None:
        self._size, self._most = size, weight
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._held = 0
        self._lock = Lock()

    def get(self, key: Hashable) -> V | None:
        """The value of a key, or None."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: V, weight: int = 0) -> V:
        """Keeps a value, and gives it back."""
        with self._lock:
            self._held += weight - self._kept.pop(key, (value, 0))[1]
            self._kept[key] = (value, weight)
            while len(self._kept) > self._size or self._held > self._most:
                self._held -= self._kept.popitem(last=False)[1][1]
        return value
