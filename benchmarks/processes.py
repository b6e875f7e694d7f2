"""Server processes of a benchmark: started, asked over one kept connection, their processor time read, ended.

Only processes that were started here are ever signalled.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 180.0
HOST = "127.0.0.1"
ROOT = Path(__file__).parent.parent


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, in user and system mode, all threads together (Linux)."""
    return time.clock_gettime((~pid << 3) | 2)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """One server process and the connection to it."""

    pid: int
    port: int
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection(HOST, self.port, timeout=30)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
        """One request on the kept connection; the body of its answer. RuntimeError for any status but 200."""
        self.connection.request(method, path, body, dict(headers or {}))
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}: {content[:300].decode(errors='replace')}")
        return content


@contextlib.contextmanager
def served(*wanted: tuple[str, Path, int | None]) -> Iterator[list[Server]]:
    """Servers as (kind, home, port or None for any), each in a process of its own (see `benchmarks.servers`): started
    together, ready, and ended at the end."""
    started: list[tuple[subprocess.Popen[bytes], int, Path]] = []
    try:
        for kind, home, given in wanted:
            port, log = given or free_port(), home / f"{kind}.log"
            with open(log, "wb") as file:
                command = [sys.executable, "-m", "benchmarks.servers", kind, str(home), str(port)]
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=ROOT)
            started.append((process, port, log))
        for process, port, log in started:
            _wait(process, port, log)
        servers = [Server(process.pid, port) for process, port, _ in started]
        try:
            yield servers
        finally:
            for server in servers:
                server.connection.close()
    finally:
        for process, _, _ in started:
            process.terminate()
        for process, _, _ in started:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
