"""The command line, run in this process on a home of its own; homes are copies of one that was made once."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from federation.cli import run

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
