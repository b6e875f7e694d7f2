"""Structured logs on standard error: names, ids and counts, never record values, tokens or keys."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

FRAMES = 8
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_SECRET_SHAPES = re.compile(r"(eyJ[\w-]{8,}\.[\w-]+\.?[\w-]*|\bfed_[\w-]{16,}|\"d\"\s*:\s*\"[\w-]+\")")


def _redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last line of defence: what looks like a token or a private key is cut out of every field."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _SECRET_SHAPES.sub("[redacted]", value)
    return event


def _place_of_error(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception as its kind and the places it came through: its message may hold values, SQL among them."""
    found = event.pop("exc_info", None)
    error = found if isinstance(found, BaseException) else found[1] if isinstance(found, tuple) else sys.exc_info()[1]
    if found and error is not None:
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
        event["kind"] = type(error).__name__
        event["places"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def _bounded(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """No field is longer than 500 characters, and none has control characters, whoever chose its value."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _CONTROLS.sub("?", value[:500])
    return event


def configure_logging(level: str = "info", *, json: bool = True) -> None:
    """Sends every log, also those of libraries, through one chain: one JSON object a line on standard error."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _place_of_error,
        _redact,
        _bounded,
    ]
    renderer = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Below this level these libraries say too much: whole requests, tokens among them.
    for name in ("alembic", "authlib", "httpx2", "httpcore2", "asyncio", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


def logger(name: str) -> Any:
    """A structured logger; call it with an event name and counts or ids as keyword arguments."""
    return structlog.get_logger(name)
