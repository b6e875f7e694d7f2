"""How the server listens: at an address that is free, to requests whose head is bounded, which uvicorn's faster parser
does not do."""

from __future__ import annotations

import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from federation.errors import Unavailable

MAX_HEAD_BYTES = 65_536


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
    """Closes a connection whose request line and headers do not end within 64 kB."""

    _head = 0
    _in_head = True

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head, self._in_head = 0, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole; bodies are bounded where they are read."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Reads on, unless the head is too long."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.close()
