"""People of a node for tests: accounts over a real database, a clock to turn, and a hasher that is quick and counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from argon2 import PasswordHasher

from federation.oauth import accounts
from federation.oauth.accounts import add_account
from federation.oauth.entering import log_in
from federation.oauth.factors import keep_totp
from federation.oauth.sessions import Session, session_of
from federation.storage.database import Database
from federation.world import World

PASSWORD = "correct horse battery"
SECRET = b"the secret of a node, 32 bytes.."
URL = "https://river.example"
TOTP = pyotp.random_base32()


class QuickHasher(PasswordHasher):
    """Argon2id at next to no cost, which counts how often it was asked."""

    def __init__(self, **more: int) -> None:
        super().__init__(**{"time_cost": 1, "memory_cost": 8, "parallelism": 1} | more)
        self.verified = 0
        self.hashed = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self.verified += 1
        return super().verify(hash, password)  # type: ignore[return-value]

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.hashed += 1
        return super().hash(password, salt=salt)


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Iterator[QuickHasher]:
    """Stands in for the real one, which takes a third of a second on purpose."""
    quick = QuickHasher()
    monkeypatch.setattr(accounts, "HASHER", quick)
    accounts._hash_of_nobody.cache_clear()
    accounts._hash_of_nobody()
    yield quick
    accounts._hash_of_nobody.cache_clear()


class Clock:
    """Begins in the middle of a step of 30 seconds."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, 0, 15, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def turn(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class People:
    """A node's accounts, and what somebody at its login page can do."""

    database: Database
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.world = World(self.clock)

    def add(self, handle: str, password: str | None = PASSWORD, *, totp: bool = False) -> None:
        """An account; with an app, one whose codes so far are over."""
        add_account(self.database, self.world, handle, handle.title(), password=password)
        if totp:
            self.clock.turn(-120)
            keep_totp(self.database, self.world, SECRET, handle, TOTP, self.code())
            self.clock.turn(120)

    def code(self, steps: int = 0) -> str:
        """What the app shows now, or some steps later or earlier."""
        return pyotp.TOTP(TOTP).at(self.world.timestamp() + 30 * steps)

    def enter(self, handle: str, password: str = PASSWORD, code: str = "") -> Session:
        """Logs in: the session."""
        found = session_of(self.database, self.world, log_in(self.database, self.world, SECRET, handle, password, code))
        assert found is not None
        return found
