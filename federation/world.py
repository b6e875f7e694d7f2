"""Time and chance as constructor arguments, so that two runs of one world are the same to the byte.

Nothing else in the project reads the system clock or the system's randomness for what is stored or sent.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime


@dataclass(frozen=True)
class World:
    """A clock and a source of draws.

    `now` gives an aware UTC datetime. `seed` is 32 secret bytes: with a seed every draw is derived from
    (seed, purpose, subject), so that one more hidden draw shifts no other; without one draws come from the
    operating system.
    """

    now: Callable[[], datetime]
    seed: bytes | None = None

    def today(self) -> date:
        """The current date in UTC; a date ends at 24:00 UTC."""
        return self.now().astimezone(UTC).date()

    def timestamp(self) -> int:
        """Seconds since 1970, whole."""
        return int(self.now().timestamp())

    def draw(self, purpose: str, subject: bytes | str = b"", size: int = 32) -> bytes:
        """`size` bytes of chance for a purpose and a subject (a record, a peer). Same seed, same bytes."""
        if self.seed is None:
            return secrets.token_bytes(size)
        subject = subject.encode() if isinstance(subject, str) else subject
        out = b""
        counter = 0
        while len(out) < size:
            message = purpose.encode() + b"\0" + subject + b"\0" + counter.to_bytes(4, "big")
            out += hmac.new(self.seed, message, hashlib.sha256).digest()
            counter += 1
        return out[:size]

    def uuid(self, purpose: str, subject: bytes | str = b"") -> uuid.UUID:
        """A random UUIDv4: it tells no time."""
        return uuid.UUID(bytes=self.draw(purpose, subject, 16), version=4)


def real_world() -> World:
    """The world of a running node: the system clock and the operating system's randomness."""
    return World(now=lambda: datetime.now(UTC))
