"""The request that is being answered, as its limits see it. What finds out who asks counts them here, without knowing
the limits; outside of an application that has some, nothing is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from federation.errors import RateLimited


@dataclass(frozen=True)
class Standing:
    """How a caller stands after it was counted: of the allowance `name` of `quota` requests in `window` seconds there
    are `left`, and more of them after `seconds`. Not `allowed`: this one was too many."""

    name: str
    quota: int
    window: int
    left: int
    seconds: int
    allowed: bool = True

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The fields RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers)."""
        return [
            (b"ratelimit-policy", f'"{self.name}";q={self.quota};w={self.window}'.encode()),
            (b"ratelimit", f'"{self.name}";r={self.left};t={self.seconds}'.encode()),
        ]

    def check(self) -> None:
        """Raises RateLimited where this one was too many."""
        if not self.allowed:
            raise RateLimited(
                f"That was too often; it is answered again in {self.seconds} seconds.", seconds=self.seconds
            )


@dataclass
class Asking:
    """One request: from which address, what limits know of it so far, and how they count who it turns out to be."""

    address: str
    count_viewer: Callable[[str, str], Standing | None]
    count_failure: Callable[[str, bool], Standing | None]
    standing: Standing | None = None
    counted: bool = False


_ASKING: ContextVar[Asking | None] = ContextVar("asking", default=None)


@contextmanager
def asked(asking: Asking) -> Iterator[None]:
    """While it lasts, what runs in this task and in its threads answers this request."""
    before = _ASKING.set(asking)
    try:
        yield
    finally:
        _ASKING.reset(before)


def address() -> str | None:
    """The address that asks, as limits count it; None outside of a request with limits."""
    asking = _ASKING.get()
    return None if asking is None else asking.address


def count(kind: str, subject: str, *, again: bool = False) -> None:
    """Counts the viewer who turned out to ask; once a request, `again` for each further one on the same stream. Raises
    RateLimited."""
    asking = _ASKING.get()
    if asking is not None and (again or not asking.counted):
        _note(asking, asking.count_viewer(kind, subject))


def count_failure(*, expected: bool = False) -> None:
    """Counts credentials that were not accepted. `expected`: a step of the protocol, as a proof that lacks the nonce,
    which only a flood makes too many of. Raises RateLimited."""
    asking = _ASKING.get()
    if asking is not None and not asking.counted:
        _note(asking, asking.count_failure(asking.address, expected))


def _note(asking: Asking, standing: Standing | None) -> None:
    asking.counted = True
    if standing is not None:
        asking.standing = standing
        standing.check()
