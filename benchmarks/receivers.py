"""The receiving side of an exchange, in a process of its own: `python -m benchmarks.receivers KIND HOME SOURCE`.

Pulls once and prints one line of JSON: records, bytes on the wire, seconds, processor time of this process.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from benchmarks.floor import FloorReceiver
from federation.node import open_node
from federation.oauth.client import PeerSession
from federation.outbound import StreamedResponse
from federation.peers import agreements
from federation.peers.holding import Holding
from federation.peers.pull import Puller
from federation.settings import load_settings

HOST = "127.0.0.1"


class Counting:
    """The node's own session, and how many bytes of bodies came through it."""

    def __init__(self, session: PeerSession) -> None:
        self._session = session
        self.received = 0

    @contextlib.contextmanager
    def stream(self, *asked: Any, **more: Any) -> Iterator[StreamedResponse]:
        """As the session's; see `oauth.client.PeerSession.stream`."""
        with self._session.stream(*asked, **more) as answer:
            yield StreamedResponse(answer.status, answer.headers, self._counted(answer.chunks))

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.received += len(chunk)
            yield chunk


def pull_node(home: Path, source: str) -> dict[str, Any]:
    """Pulls as `federation sync SOURCE` does: OAuth, checks, intake, journal, erasing."""
    with closing(open_node(load_settings(home, {}, {})[0])) as node:
        session = Counting(PeerSession(node.outbound, node.keys.peer, node.settings.url, node.world))
        holding = Holding(node.database, node.intake, node.codes)
        puller = Puller(node.database, node.world, node.keys.origin, session, holding)
        who = agreements.partner(node.database, source)

        def pull() -> tuple[int, int]:
            pulled = puller.sync(who)
            if pulled.quarantined:
                raise RuntimeError(f"{pulled.quarantined} records were set aside")
            return pulled.taken, session.received

        return timed(pull)


def pull_floor(home: Path, source: str) -> dict[str, Any]:
    """Takes in the floor's rows."""
    receiver = FloorReceiver(home)
    return timed(lambda: receiver.pull(HOST, int(source)))


def timed(pull: Callable[[], tuple[int, int]]) -> dict[str, Any]:
    """What a pull did and cost."""
    begun, spent = time.perf_counter(), time.process_time()
    records, size = pull()
    return {
        "records": records,
        "bytes": size,
        "seconds": time.perf_counter() - begun,
        "cpu": time.process_time() - spent,
    }


if __name__ == "__main__":
    made = {"node": pull_node, "floor": pull_floor}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
    print(orjson.dumps(made).decode())
