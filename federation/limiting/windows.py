"""The arithmetic of a sliding window of two counts: this slot of time, and the one before by how much of it still lies
within the window. Pure; storages keep the counts."""

from __future__ import annotations

from math import floor
from typing import NamedTuple


class Kept(NamedTuple):
    """What is kept of one key: the number of the last slot counted in, the count of the one before, its own."""

    slot: int
    earlier: int
    present: int


class Now(NamedTuple):
    """The counts as they are now: `whole` is the window in milliseconds, `weight` how many of these the earlier count
    still counts for, `left` how many there are until the slot ends."""

    kept: Kept
    whole: int
    weight: int
    left: int

    def has_room(self, amount: int, limit: int) -> bool:
        """Whether `amount` more stay within the limit."""
        return self.kept.earlier * self.weight // self.whole + self.kept.present + amount <= limit

    def stated(self) -> tuple[int, float, int, float]:
        """As the library states it: the earlier count and its seconds, the present one and its seconds."""
        return self.kept.earlier, self.weight / 1000, self.kept.present, (self.left + self.whole) / 1000


def now(kept: Kept | None, seconds: int, at: float) -> Now:
    """The counts of a window of so many seconds at a moment.

    A clock that goes back by less than a window gives nobody a new window: what was counted stays until its time has
    really passed. One that goes back by more would hold everybody up for as long, so that counting begins anew.
    """
    whole = seconds * 1000
    slot, into = divmod(int(at * 1000), whole)
    left = whole - into
    if kept is not None:
        if kept.slot == slot:
            return Now(kept, whole, left, left)
        if kept.slot == slot + 1:
            return Now(kept, whole, whole, whole + left)
        if kept.slot == slot - 1:
            return Now(Kept(slot, kept.present, 0), whole, left, left)
    return Now(Kept(slot, 0, 0), whole, left, left)


def wait(stated: tuple[int, float, int, float], seconds: int, below: int) -> int:
    """Whole seconds after which the weighted count is below a number, if nothing more comes; 0 if it is so now."""
    earlier, weight, present, lasts = stated
    if earlier * weight / seconds + present < below:
        return 0
    left = max(lasts - seconds, weight if earlier else 0.0)
    if present < below:
        pause = left - (below - present) * seconds / earlier
    else:
        pause = left + seconds * (1 - below / present) if below else left + seconds
    return floor(pause + 0.002) + 1  # two milliseconds, as storages count whole ones
