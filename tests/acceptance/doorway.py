"""What stands between two nodes: passes requests on over loopback, cuts answers off, or answers in a node's place."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import zstandard

EXCHANGE = ("/exchange/changes", "/exchange/reconcile")
HOP = ("connection", "transfer-encoding", "content-length", "keep-alive", "server", "date")


@dataclass
class Answer:
    """A whole answer on its way back; `promised` is the length that is told, where it is told."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    promised: int | None = None


Change = Callable[[str, Answer], Answer]


class Doorway:
    """Listens at a free port and passes on to `target` while there is one; `change` may alter each answer."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.change: Change | None = None
        self.passed: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _passed_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=30)
        try:
            connection.request(method, path, body, headers)
            got = connection.getresponse()
            told = [(name, value) for name, value in got.getheaders() if name.lower() not in HOP]
            return Answer(got.status, told, got.read())
        except OSError:
            return Answer(502, [], b"")
        finally:
            connection.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        doorway = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                sent = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
                doorway.passed.append(self.path)
                answer = doorway._passed_on(self.command, self.path, sent, body)
                if doorway.change is not None:
                    answer = doorway.change(self.path, answer)
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                if answer.promised is not None:
                    self.send_header("content-length", str(answer.promised))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = _pass

            def log_message(self, format: str, *arguments: object) -> None:
                """Says nothing."""

        return Handler


def plain(answer: Answer) -> bytes:
    """The body of an exchange answer, unpacked."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(answer.body)


def cut_in_frame(part: float, *, promised: bool = False) -> Change:
    """Cuts exchange answers after a part of their packed bytes: as if all was sent, or with more promised."""

    def change(path: str, answer: Answer) -> Answer:
        if path in EXCHANGE and answer.status == 200:
            whole = len(answer.body)
            answer.body = answer.body[: max(1, int(whole * part))]
            answer.promised = whole if promised else None
        return answer

    return change


def cut_in_line(part: float) -> Change:
    """Hands exchange answers over unpacked and cuts them in the middle of a line."""

    def change(path: str, answer: Answer) -> Answer:
        if path in EXCHANGE and answer.status == 200:
            lines = plain(answer).splitlines(keepends=True)
            kept = max(1, int(len(lines) * part))
            answer.body = b"".join(lines[:kept])[:-7]
            answer.headers = [pair for pair in answer.headers if pair[0].lower() != "content-encoding"]
        return answer

    return change
