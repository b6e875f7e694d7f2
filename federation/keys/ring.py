"""The keys in force while a node runs: every process of it takes new ones within a second, without a restart.

Nobody who has to sign for long keeps a key: it is asked for when it is needed.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock

from federation.errors import FederationError
from federation.keys.node import NAMES, NodeKeys, key_path, load_keys
from federation.telemetry import logger
from federation.world import World

LOOKED_AT_SECONDS = 0.5
_log = logger("keys")

Mark = tuple[tuple[int, int, int], ...]


class KeyRing:
    """The keys of a home. Looks at its files twice a second at most; where they cannot be read, what was in force
    stays. Thread-safe. Raises SettingsInvalid where there are no sound keys to begin with."""

    def __init__(self, home: Path, world: World) -> None:
        self._home = home
        self._world = world
        self._lock = Lock()
        self._mark = _mark(home)
        self._keys = load_keys(home, world)
        self._look_at = time.monotonic() + LOOKED_AT_SECONDS

    @property
    def in_force(self) -> NodeKeys:
        """The keys as they are now. Who needs two that belong together asks once."""
        if time.monotonic() >= self._look_at:
            with self._lock:
                if time.monotonic() >= self._look_at:
                    self._look()
        return self._keys

    def look(self) -> NodeKeys:
        """The keys as they are in the files at this moment."""
        with self._lock:
            self._look()
        return self._keys

    def _look(self) -> None:
        self._look_at = time.monotonic() + LOOKED_AT_SECONDS
        try:
            mark = _mark(self._home)  # before the files are read: what changes meanwhile is seen the next time
            if mark == self._mark:
                return
            self._keys = load_keys(self._home, self._world)
        except (FederationError, OSError) as unread:
            _log.warning("keys_not_read", kind=type(unread).__name__)
            return
        self._mark = mark
        _log.info("keys_taken", **{name: getattr(self._keys, name).thumbprint for name in NAMES})


def _mark(home: Path) -> Mark:
    """What differs when a file was replaced: a new file is another inode."""
    found = []
    for name in NAMES:
        try:
            state = key_path(home, name).stat()
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((state.st_ino, state.st_mtime_ns, state.st_size))
    return tuple(found)
