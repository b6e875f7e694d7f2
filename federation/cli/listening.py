"""How the server listens: at an address that is free, to requests within a bound of bytes and of time, which uvicorn's
faster parser does not keep."""

from __future__ import annotations

import asyncio
import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from federation.errors import Unavailable

MAX_HEAD_BYTES = 65_536
REQUEST_SECONDS = 30.0
"""So long a whole request may take to arrive; a connection that says nothing is closed as well."""


def check_free(host: str, port: int) -> None:
    """Raises Unavailable, with what to do, where nothing can listen at this address now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as refused:
        raise Unavailable(
            f"Nothing can listen at {host}, port {port} ({refused.strerror}); choose another with --host and --port, "
            "or stop what listens there."
        ) from refused


class BoundedHead(HttpToolsProtocol):
    """Closes a connection whose request line and headers do not end within 64 kB, or its request not in time: a few
    hundred that never end would else take every place there is."""

    _head = 0
    _in_head = True
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection begins, and with it the time for its first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._arrived()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head, self._in_head = 0, True
        self._wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole; bodies are bounded where they are read."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there; how long the answer takes is not the caller's fault."""
        self._arrived()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Reads on, unless the head is too long."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.close()
        if self.cycle is None or self.cycle.response_complete:  # empty lines between two requests begin none
            self._wait()

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def _arrived(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
