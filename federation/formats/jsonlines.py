"""Records as JSON: `{"type", "id", "document"}`, one a line or in a list. The form of `record add` and `export json`;
a new record has no id. Nothing is checked here but the shape; the intake checks what goes in, the gate decides what
comes out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from federation.errors import BadInput
from federation.formats.imports import RowProblem
from federation.records.base import SET_BY_NODE
from federation.records.registry import RECORD_TYPES

MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Told:
    """One record as a file tells it. `id`: the id under which it was exported, None for a new one. `document` is the
    home document, and may hold `handling`."""

    type: str
    document: Mapping[str, Any]
    id: str | None = None


def read_records(path: Path) -> list[Told | RowProblem]:
    """The records of a file: one object, a list of objects, or an object a line. What cannot be one is a problem in
    its place: an entry of another shape or of an unknown type, a line that is not JSON.

    Raises BadInput with file and reason if the whole is not UTF-8 or JSON, or holds nothing.
    """
    if path.stat().st_size > MAX_BYTES:
        raise BadInput(f"{path.name} is larger than {MAX_BYTES // 1024 // 1024} MB.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path.name} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    entries = list(_entries(text, path.name))
    if not entries:
        raise BadInput(f"{path.name} holds no record.")
    return [entry if isinstance(entry, RowProblem) else _told(entry, path.name, place) for place, entry in entries]


def write_records(records: Iterable[Told]) -> Iterator[bytes]:
    """One line of UTF-8 JSON for each record; keys sorted, so that equal records give equal bytes. What only a node
    sets is left out, so that `record add` takes the lines."""
    for record in records:
        kept = {name: value for name, value in record.document.items() if name not in SET_BY_NODE}
        named = {} if record.id is None else {"id": record.id}
        line = {"type": record.type, **named, "document": kept}
        yield orjson.dumps(line, option=orjson.OPT_SORT_KEYS) + b"\n"


def _entries(text: str, name: str) -> Iterator[tuple[int, Any]]:
    """Every entry with its line (JSON lines) or its number in the list."""
    try:
        parsed = json.loads(text)
    except RecursionError as error:
        raise BadInput(f"{name} is nested too deeply.") from error
    except ValueError as error:
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or not lines[0][1].lstrip().startswith("{") or not lines[0][1].rstrip().endswith("}"):
            at = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise BadInput(f"{name}{at} is not JSON.") from error
        for number, line in lines:
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, RowProblem(name, number, "is not JSON")
        return
    yield from enumerate(parsed if isinstance(parsed, list) else [parsed], 1)


def _told(entry: Any, name: str, place: int) -> Told | RowProblem:
    if (
        not isinstance(entry, dict)
        or not isinstance(entry.get("document"), dict)
        or not isinstance(entry.get("id", ""), str)
        or set(entry) - {"type", "id", "document"}
    ):
        return RowProblem(name, place, 'is not of the form {"type": …, "document": {…}}')
    if entry.get("type") not in list(RECORD_TYPES):  # it may be anything, also what has no hash
        return RowProblem(name, place, f"has no type of: {', '.join(RECORD_TYPES)}")
    return Told(entry["type"], entry["document"], entry.get("id"))
