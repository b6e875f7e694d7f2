"""One stage for all tests of the canary."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from federation.telemetry import configure_logging
from oracles.stage import Stage, set_up


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Stage]:
    """River on SQLite, with all its records and callers."""
    made = set_up(tmp_path_factory.mktemp("stage"), sqlite_template)
    yield made
    made.close()


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """Everything that is logged while a test runs, of every level and every library."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))
            lines.append(repr(record.__dict__))

    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    structured = structlog.get_config()
    configure_logging("debug")
    keep = Keep()
    keep.setFormatter(root.handlers[0].formatter)
    root.handlers = [keep]
    yield lines
    root.handlers, root.level = before, level
    structlog.configure(**structured)
