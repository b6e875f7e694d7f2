"""Invented sample records for the demonstration, a file a node. Nothing in them exists, and every record says so."""

from __future__ import annotations

from datetime import date, timedelta
from importlib import resources
from typing import Any

import orjson

from federation.records.base import RecordType
from federation.records.registry import RECORD_TYPES

NAMES = ("river", "west", "aurora")


def load(name: str, today: date | None = None) -> list[tuple[str, str, dict[str, Any]]]:
    """The records of one sample as (type key, seed of an id, home document), in the order of the file.

    With `today` all dates are moved by the days since they were written, so that calls are open and courses lie
    ahead. KeyError for a name that is not in `NAMES`.
    """
    if name not in NAMES:
        raise KeyError(name)
    sample = orjson.loads(resources.files(__package__).joinpath(f"{name}.json").read_bytes())
    days = timedelta(0) if today is None else today - date.fromisoformat(sample["written"])
    return [
        (each["type"], each["seed"], _moved(each["document"], RECORD_TYPES[each["type"]], days))
        for each in sample["records"]
    ]


def _moved(document: dict[str, Any], record_type: RecordType, days: timedelta) -> dict[str, Any]:
    """The document with its dates and periods moved by some days."""
    if not days:
        return document
    result = dict(document)
    for name, value in document.items():
        kind = record_type.fields[name].kind.name if name in record_type.fields else ""
        if kind == "day":
            result[name] = _day(value, days)
        elif kind == "period":
            result[name] = {part: _day(day, days) for part, day in value.items()}
    return result


def _day(value: str, days: timedelta) -> str:
    return (date.fromisoformat(value) + days).isoformat()
