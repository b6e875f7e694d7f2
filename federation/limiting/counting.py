"""Counting against allowances, by the sliding window of the library `limits`, in whatever storage it is given.

A storage that is away must not open the door, nor shut it: counting goes on in the memory of this process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import floor
from typing import Any

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.errors import StorageError
from limits.strategies import SlidingWindowCounterRateLimiter

from federation.limiting.asking import Standing
from federation.limiting.memory import BoundedMemory
from federation.limiting.windows import wait
from federation.telemetry import logger

MINUTE, HOUR, DAY = 60, 3600, 86_400
AWAY_SECONDS = 5.0
"""How long a storage that failed is left alone: each try may cost a caller its time limit."""
_log = logger("limits")


@dataclass(frozen=True)
class Allowance:
    """So many in so long; several windows for what may be done often in a moment but not all day, shortest first."""

    name: str
    windows: tuple[RateLimitItem, ...]


def allow(name: str, *windows: tuple[int, int]) -> Allowance:
    """The allowance of these (count, seconds), at least one each; shortest first, so that what a short window refuses
    uses up nothing of a long one."""
    ordered = sorted(windows, key=lambda each: each[1])
    return Allowance(name, tuple(RateLimitItemPerSecond(max(1, count), seconds, name) for count, seconds in ordered))


class Counter:
    """Counts in a storage that has the sliding window counter. Thread-safe.

    `before_waiting` is called before a storage is asked that waits for a network or a disk, and may raise.
    """

    def __init__(
        self,
        storage: Any,
        clock: Callable[[], float],
        *,
        waits: bool = False,
        before_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self.waits = waits
        self._storage = storage
        self._clock = clock
        self._before_waiting = before_waiting
        self._spare = BoundedMemory(clock) if waits else storage
        self._away_until = 0.0

    def take(self, allowance: Allowance, *key: str) -> Standing:
        """Counts one more, if every window has room; how the key stands in the one that matters most."""
        return self._ask(lambda storage: _taken(storage, allowance, key))

    def look(self, allowance: Allowance, *key: str) -> Standing:
        """How a key stands, without counting."""
        return self._ask(lambda storage: _worst(storage, allowance, key))

    def forget(self, allowance: Allowance, *key: str) -> None:
        """Begins a key anew."""

        def clear(storage: Any) -> None:
            for window in allowance.windows:
                SlidingWindowCounterRateLimiter(storage).clear(window, *key)

        self._ask(clear)

    def _ask(self, ask: Callable[[Any], Any]) -> Any:
        if not self.waits:
            return ask(self._storage)
        self._before_waiting()
        now = self._clock()
        if not 0 <= self._away_until - now <= AWAY_SECONDS:
            try:
                return ask(self._storage)
            except StorageError as failed:
                self._away_until = now + AWAY_SECONDS
                _log.warning("limits_away", kind=type(failed.storage_error).__name__)
        return ask(self._spare)


def _taken(storage: Any, allowance: Allowance, key: tuple[str, ...]) -> Standing:
    limiter, worst = SlidingWindowCounterRateLimiter(storage), None
    for window in allowance.windows:
        allowed = limiter.hit(window, *key)
        standing = _standing(storage, allowance, window, key, allowed)
        if not allowed:
            seconds = max(standing.seconds, _worst(storage, allowance, key).seconds)
            return replace(standing, seconds=seconds)
        if worst is None or standing.left < worst.left:
            worst = standing
    assert worst is not None  # noqa: S101  (an allowance has a window)
    return worst


def _worst(storage: Any, allowance: Allowance, key: tuple[str, ...]) -> Standing:
    found = [_standing(storage, allowance, window, key, True) for window in allowance.windows]
    spent = [each for each in found if each.left == 0]
    worst = max(spent, key=lambda each: each.seconds) if spent else min(found, key=lambda each: each.left)
    return replace(worst, allowed=not spent)


def _standing(
    storage: Any, allowance: Allowance, window: RateLimitItem, key: tuple[str, ...], allowed: bool
) -> Standing:
    seconds = window.get_expiry()
    stated = storage.get_sliding_window(window.key_for(*key), seconds)
    earlier, weight, present, _ = stated
    used = min(floor(earlier * weight / seconds + present), window.amount)
    after = wait(stated, seconds, used) if used else 0
    return Standing(
        allowance.name, window.amount, seconds, window.amount - used if allowed else 0, max(after, 1 - allowed), allowed
    )
