"""The command line at a home, run in this process: what it prints and how it ends, without the cost of a start."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federation.cli import run


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def refused(self, code: str, *said: str) -> bool:
        """Whether it is exit 1 with one sentence of that code that holds these words, and nothing else."""
        words = self.err.strip()
        alone = self.code == 1 and self.out == "" and len(words.splitlines()) == 1
        return alone and words.startswith(f"{code}: ") and all(each in words for each in said)


def commanded(home: Path, *words: object) -> Ended:
    """`federation … --home HOME`."""
    out, err = io.StringIO(), io.StringIO()
    with _own_logging(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*(str(word) for word in words), "--home", str(home)])
    return Ended(code, out.getvalue(), err.getvalue())


def done(home: Path, *words: object) -> Any:
    """A command that must succeed; what it prints with `--json`."""
    ended = commanded(home, *words, "--json")
    assert ended.code == 0, ended.out + ended.err
    return ended.json


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """A command sets up logs for its whole process; here they are as before afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
