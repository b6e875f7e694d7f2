"""A record as its viewer sees it: what every export that is made for others is written from. Values are projected by
the gate; nothing else of a record is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Seen:
    """`id` is the one that the viewer is shown; `values` those of its projection, None where nothing is seen."""

    type: str
    id: str
    values: Mapping[str, Any]
