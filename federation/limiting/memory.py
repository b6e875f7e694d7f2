"""Counts in the memory of one process, and never more of them than fit: the library's own storage grows with every
address that asks, and starts a thread whenever it has been idle."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from limits.storage import SlidingWindowCounterSupport, Storage

from federation.limiting.windows import Kept, now

MOST_KEYS = 50_000


class BoundedMemory(Storage, SlidingWindowCounterSupport):
    """A storage of `limits`. Thread-safe; waits for nothing. Beyond `most` keys those that were used longest ago go."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Callable[[], float], most: int = MOST_KEYS) -> None:
        super().__init__()
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def base_exceptions(self) -> type[Exception]:
        """Nothing goes wrong here."""
        return ValueError

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Counts `amount` more, if the window has room for them."""
        with self._lock:
            before = self._kept.get(key)
            found = now(before, expiry, self._clock())
            if not found.has_room(amount, limit):
                if before is not None:  # whoever goes on asking must not be forgotten for it
                    self._kept.move_to_end(key)
                return False
            kept = found.kept
            self._keep(key, Kept(kept.slot, kept.earlier, kept.present + amount))
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The counts of a window as they are now."""
        return now(self._kept.get(key), expiry, self._clock()).stated()

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forgets a key."""
        del expiry
        self.clear(key)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counts in a fixed window, which begins with its first."""
        at = int(self._clock() * 1000)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept.slot <= at:
                kept = Kept(at + expiry * 1000, 0, 0)
            self._keep(key, Kept(kept.slot, 0, kept.present + amount))
            return kept.present + amount

    def get(self, key: str) -> int:
        """The count of a fixed window."""
        kept = self._kept.get(key)
        return kept.present if kept is not None and kept.slot > self._clock() * 1000 else 0

    def get_expiry(self, key: str) -> float:
        """When a fixed window ends."""
        kept = self._kept.get(key)
        return self._clock() if kept is None else kept.slot / 1000

    def check(self) -> bool:
        """It is always there."""
        return True

    def reset(self) -> int:
        """Forgets everything; gives how many keys."""
        with self._lock:
            count = len(self._kept)
            self._kept.clear()
        return count

    def clear(self, key: str) -> None:
        """Forgets a key."""
        with self._lock:
            self._kept.pop(key, None)

    def _keep(self, key: str, kept: Kept) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
