"""One stage for all tests of the canary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oracles.stage import Stage, set_up


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Stage]:
    """River on SQLite, with all its records and callers."""
    made = set_up(tmp_path_factory.mktemp("stage"), sqlite_template)
    yield made
    made.close()
