"""A small pool of raw read-only connections for compiled reads. It must never lend one connection twice, and never
let an event loop wait for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import BoundedSemaphore, Lock
from typing import Any

from federation.errors import Unavailable

_AT_ONCE: ContextVar[bool] = ContextVar("readers_at_once", default=False)


class NoneFree(Unavailable):
    """No reader is open and free, and the caller does not wait for one."""


@contextmanager
def without_waiting() -> Iterator[None]:
    """For the event loop: within, a reader that is open and free is lent at once, or NoneFree raised."""
    before = _AT_ONCE.set(True)
    try:
        yield
    finally:
        _AT_ONCE.reset(before)


def refuse_to_wait() -> None:
    """For what would wait for something else than a reader. Raises NoneFree within `without_waiting`."""
    if _AT_ONCE.get():
        raise NoneFree("The event loop waits for nothing.")


class ReaderPool:
    """Opens up to `size` connections as they are needed and lends the last one used first."""

    def __init__(self, connect: Callable[[], Any], size: int, wait: float) -> None:
        self._connect = connect
        self._free: list[Any] = []
        self._places = BoundedSemaphore(size)
        self._wait = wait
        self._lock = Lock()
        self._closed = False

    @contextmanager
    def lent(self) -> Iterator[Any]:
        """One connection for the time of the block; closed instead of given back where the block failed.

        Raises Unavailable where none came back in time, NoneFree at once `without_waiting`.
        """
        at_once = _AT_ONCE.get()
        if not self._places.acquire(blocking=not at_once, timeout=None if at_once else self._wait):
            raise (NoneFree if at_once else Unavailable)("The node is busy answering others; try again in a moment.")
        try:
            with self._lock:
                connection = self._free.pop() if self._free else None
            if connection is None and at_once:
                raise NoneFree("The node has no open reader; try again in a moment.")
            connection = connection or self._connect()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            with self._lock:
                if not self._closed:
                    self._free.append(connection)
                    return
            connection.close()
        finally:
            self._places.release()

    def close(self) -> None:
        """Closes the connections that are free; those that are lent are closed when they come back."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for connection in free:
            connection.close()
