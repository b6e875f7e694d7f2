"""The command line, run in this process on a home of its own; homes are copies of one that was made once."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from exchange_nodes import Net

from federation.cli import run
from federation.node import Node, open_node
from federation.peers import trust
from federation.peers.agreements import mark_verified, partner
from federation.settings import load_settings

RESOURCE = {
    "title": "Emergency grants",
    "summary": "Grants within two days.",
    "kind": "emergency_grant",
    "expectations": "We answer within two days and do not relocate.",
    "area": "KE",
}


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Ran]


def not_confirmed(ended: Ran) -> bool:
    """Whether a command for a program did not go ahead because nobody said yes."""
    error = ended.json["error"]
    told = error["code"] == "NOT_CONFIRMED" and error["message"].endswith("With --json nobody is asked: add --yes.")
    return (ended.code, ended.err) == (2, "") and told


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside; logs go on as before afterwards, whatever a command set up."""
    for name in [name for name in os.environ if name.startswith("FEDERATION_")]:
        monkeypatch.delenv(name)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as `federation init` makes it."""
    home = tmp_path_factory.mktemp("homes") / "river"
    made = ("init", "--home", str(home), "--name", "River", "--url", "http://127.0.0.1:8999", "--scope", "local")
    assert run(made) == 0
    return home


@pytest.fixture
def home(first_home: Path, tmp_path: Path) -> Path:
    """A fresh home."""
    return Path(shutil.copytree(first_home, tmp_path / "river"))


@pytest.fixture(scope="session")
def first_pair(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the homes `river`, as above, and `west`, which are linked: west has verified river, river not yet
    west. Nobody answers at their addresses."""
    folder = tmp_path_factory.mktemp("pair")
    made = ("init", "--home", str(folder / "west"), "--name", "West", "--url", "http://127.0.0.1:8998")
    assert run((*made, "--scope", "regional")) == 0
    shutil.copytree(first_home, folder / "river")
    net = Net()
    with closing(opened(folder / "river")) as river, closing(opened(folder / "west")) as west:
        net.nodes[river.me.issuer] = river  # type: ignore[assignment]
        trust.accept(west.database, west.world, west.me, net, trust.invite(river.database, river.world, river.me))  # type: ignore[arg-type]
        mark_verified(west.database, partner(west.database, "River"))
    return folder


@pytest.fixture
def pair(first_pair: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(first_pair, tmp_path / "pair"))


def opened(home: Path) -> Node:
    """The node of a home; close it."""
    return open_node(load_settings(home)[0])


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line; `home` is added where given."""

    def ran(*arguments: object, home: Path | None = None) -> Ran:
        capsys.readouterr()
        code = run([str(each) for each in (*arguments, *(("--home", home) if home else ()))])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return ran


@pytest.fixture
def no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there to answer a question."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))


@pytest.fixture
def record_file(tmp_path: Path) -> Path:
    """A file with one resource for `record add`."""
    file = tmp_path / "record.json"
    file.write_bytes(orjson.dumps({"type": "resource", "document": RESOURCE}))
    return file
