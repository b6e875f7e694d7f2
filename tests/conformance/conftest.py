"""Nodes as operators run them, for programs that nobody here wrote: one process on SQLite, two on PostgreSQL."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from acceptance.commands import done
from acceptance.federation_demo import free_ports
from acceptance.lone_node import Served, made_home

HERE = Path(__file__).parent
SCOPES = ("resource:open", "resource:community")


@dataclass
class Tried:
    """A served node and one confidential client of it."""

    served: Served
    url: str
    client: dict[str, Any] = field(repr=False)

    @property
    def asker(self) -> dict[str, Any]:
        """What a program needs to ask as this client."""
        named = {"client_id": self.client["client_id"], "jwk": self.client["private_jwk"]}
        return {"url": self.url, **named, "scopes": list(SCOPES)}


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Without Node.js these tests are skipped, but never where that must not be: in continuous integration."""
    if (HERE / "node_modules" / ".ready").exists():
        return
    assert shutil.which("npm") is None, "run them by `make test`, which installs what they need"
    assert not os.environ.get("CI"), "Node.js is missing here"
    pytest.skip("Node.js is not on this machine: the programs of others are not run")


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """The node under trial. On PostgreSQL two processes answer, in no order."""
    place, port = tmp_path_factory.mktemp("tried"), free_ports(1) + 1
    url, database, more = f"http://127.0.0.1:{port}", "", ()
    with pytest.MonkeyPatch.context() as environment:
        if request.param == "postgresql":
            pool = request.getfixturevalue("postgres_pool")
            database, more = pool.take(), ("--workers", "2")
            environment.setenv("FEDERATION_DATABASE_URL", database)  # for `init`; then it stands in the file
        home = made_home(place / "home", "Tried", url, f'database_url = "{database}"\n' if database else "")
        client = done(home, "client", "add", "program", "--scopes", ",".join(SCOPES))
        served = Served(home, port, place / "node.log")
        served.start(*more)
        yield Tried(served, url, client)
        served.end()
    if database:
        pool.give_back(database)
