"""The command line as an operator uses it on a home of the oracles: run in this process, whole, errors included."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import structlog
import typer
import uvicorn

from federation.cli import run
from federation.node import Node, create_home, open_node
from federation.settings import FILE_NAME, load_settings
from oracles.exits import command_of, command_tree
from oracles.schemas import app_of, kept_schemas

USAGE = 2


@dataclass(frozen=True)
class Ran:
    """A command line, how it ended, and all that it printed."""

    command: str
    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def printed(self) -> bytes:
        return f"{self.out}\n{self.err}".encode()

    def json(self) -> Any:
        return orjson.loads(self.out)


@dataclass
class Desk:
    """A home and what was run on it, in order."""

    home: Path
    ran: list[Ran] = field(default_factory=list)

    def __call__(self, *arguments: object, at: Path | None = None) -> Ran:
        """Runs a command line on the home, or on another one."""
        words = tuple(map(str, arguments))
        command = command_of(words)
        assert command is not None, words
        homed = (*words, "--home", str(at or self.home))
        out, err = io.StringIO(), io.StringIO()
        with _surroundings(), kept_schemas(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(homed)
        assert code != USAGE, (words, err.getvalue())
        self.ran.append(Ran(command, words, code, out.getvalue(), err.getvalue()))
        return self.ran[-1]


@contextlib.contextmanager
def _surroundings() -> Iterator[None]:
    """No settings from outside, wide lines, commands that are made once, and logs as before afterwards."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("FEDERATION_") or name == "COLUMNS"}
    root = logging.getLogger()
    before, level, structured = root.handlers[:], root.level, structlog.get_config()
    for name in kept:
        del os.environ[name]
    os.environ["COLUMNS"] = "1000"
    made, typer.main.get_command = typer.main.get_command, lambda app: command_tree()
    try:
        yield
    finally:
        typer.main.get_command = made
        del os.environ["COLUMNS"]
        os.environ.update(kept)
        root.handlers[:], root.level = before, level
        structlog.configure(**structured)


def copied(home: Path, to: Path) -> Path:
    """A home that a node has open, once more: with the log of its database, without what only processes share."""
    shutil.copytree(home, to, ignore=shutil.ignore_patterns("*-shm", "*.lock"))
    return to


def allow_loopback(home: Path) -> None:
    """Lets the node of a home reach others on this machine."""
    with (home / FILE_NAME).open("a") as file:
        file.write('allow_private_peers = ["127.0.0.0/8"]\n')


@contextlib.contextmanager
def served(folder: Path, name: str) -> Iterator[Node]:
    """Another node, with the time and chance of this machine, served on a port of its own."""
    server = uvicorn.Server(uvicorn.Config(lambda: None, port=0, log_config=None, lifespan="off"))
    listening = server.config.bind_socket()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    create_home(folder / name, {"name": name, "url": url, "scope": "local", "place_k": 1})
    settings, _ = load_settings(folder / name, environment={})
    with contextlib.closing(open_node(settings)) as node:
        server.config.app = app_of(node)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield node
        finally:
            server.should_exit = True
            thread.join(10)
            listening.close()
