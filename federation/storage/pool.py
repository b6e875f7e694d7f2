"""A small pool of raw read-only connections for compiled reads. It must never lend one connection twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import Any

from federation.errors import Unavailable


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
        """One connection for the time of the block; closed instead of given back where the block failed."""
        if not self._places.acquire(timeout=self._wait):
            raise Unavailable("The node is busy answering others; try again in a moment.")
        try:
            with self._lock:
                connection = self._free.pop() if self._free else None
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
