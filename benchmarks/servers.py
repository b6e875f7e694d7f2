"""The servers that are compared, one a process: `python -m benchmarks.servers KIND HOME PORT`.

Each kind imports only what it needs: a server that is compared must not carry the others.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn

KINDS = {
    "viewed": "benchmarks.viewed:viewed_app",
    "floor": "benchmarks.floor:page_app",
    "floor_exchange": "benchmarks.floor:exchange_app",
    "usual": "benchmarks.usual:usual_app",
    "usual_cached": "benchmarks.usual:usual_cached_app",
    "node": "benchmarks.servers:node_app",
}


def node_app(home: Path) -> Any:
    """The node as it is deployed, without its background work: sweeping is not part of a request."""
    from federation.app import build
    from federation.node import open_node
    from federation.settings import load_settings

    return build(open_node(load_settings(home, {}, {})[0]), background=False)


def main(kind: str, home: str, port: str) -> None:
    """Serves until it is ended."""
    module, _, name = KINDS[kind].partition(":")
    app = getattr(import_module(module), name)(Path(home))
    uvicorn.run(app, host="127.0.0.1", port=int(port), access_log=False, log_level="warning", timeout_keep_alive=300)


if __name__ == "__main__":
    main(*sys.argv[1:])
