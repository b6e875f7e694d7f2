"""Replacing a key of the node: one file is replaced in one step, so that a crash leaves the old key or the new one.

What the new key is and who is told is said elsewhere; nothing here is sent.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from federation.errors import SettingsInvalid
from federation.keys.jose import SigningKey, generate_key
from federation.keys.node import Earlier, KeyFile, NodeKeys, key_path, load_key_file, load_keys, write_over
from federation.world import World

RETIRED_SECONDS = 3600
"""How long the public half of a replaced token key stays known: longer than any token lives."""
MOST_EARLIER = 33
"""How many replaced keys are remembered: one more than the hand-over statements that are read of an origin."""

HandOver = Callable[[KeyFile, SigningKey], str | None]
"""The statement by which what is in a file hands over to a new key; None where it does not."""


def rotate_tokens(home: Path, world: World, *, leaked: bool = False) -> NodeKeys:
    """Replace the key that signs access tokens. Tokens signed with the old one stay valid until they expire; with
    `leaked` they end at once."""
    until = 0 if leaked else world.timestamp() + RETIRED_SECONDS
    return replace_key(home, world, "tokens", lambda _file, _fresh: None, until)


def replace_key(
    home: Path, world: World, name: str, hand_over: HandOver, until: int, *, lost: bool = False
) -> NodeKeys:
    """Put a new key of that name in force; what the old one signed counts up to `until`. `lost`: there may be no old
    one, or a broken one. Raises SettingsInvalid; Conflict from `hand_over` where the old one may not be replaced."""
    now = world.timestamp()
    earlier: tuple[Earlier, ...] = ()
    with _alone(home / "keys"):
        try:
            old = load_key_file(home, world, name)
        except SettingsInvalid:
            if not lost:
                raise
            fresh = generate_key("ES256", world, f"{home.name}/{name}/{now}")
        else:
            fresh = generate_key("ES256", world, f"{old.key.thumbprint}/{name}")
            replaced = Earlier(old.key.public, old.since, now, until, hand_over(old, fresh))
            earlier = (*(each for each in old.earlier if name != "tokens" or each.until > now), replaced)
        write_over(key_path(home, name), KeyFile(fresh, now, _kept(name, earlier)).content())
    return load_keys(home, world)


def _kept(name: str, earlier: tuple[Earlier, ...]) -> tuple[Earlier, ...]:
    """What is remembered. The first provenance key is the node's name, and no link of its chain may be missing."""
    return earlier if name == "provenance" else earlier[-MOST_EARLIER:]


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One process at a time. What one that was killed had begun to write is removed: no key of it was in force."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in directory.glob(".*.new"):
            left.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)
