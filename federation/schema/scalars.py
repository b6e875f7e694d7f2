"""Scalars and enums of the schema: dates, decimals, handling labels, open code lists, and the names of the registry.

A code list is a scalar and not an enum, because lists are open: a newer peer's code must not break an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from federation.errors import BadInput
from federation.policies.tiers import HANDLING_LABELS
from federation.records.base import RecordType
from federation.records.codes import CodeLists
from federation.schema.classes import Catalog
from federation.schema.names import pascal, shown_code, stored_code, upper
from federation.schema.surface import written

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,3})?")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+:.\-/]{0,63}")

PRECISIONS = {
    "DAY": "Exact days.",
    "MONTH": "Whole months.",
    "QUARTER": "Whole quarters.",
    "YEAR": "Whole years.",
    "EXACT": "The exact number.",
    "BAND": "A band that holds the number.",
}
LEVELS = {
    "WORLD": "The world.",
    "REGION": "A region (UN M49).",
    "M49": "A sub-region (UN M49) that is divided further.",
    "SUB_REGION": "A sub-region, or the intermediate region where there is one (UN M49).",
    "COUNTRY": "A country or territory (ISO 3166-1).",
    "SUBDIVISION": "A subdivision of a country (ISO 3166-2).",
    "LOCAL": "An area that a network defined itself.",
}
STATUSES = {
    "DRAFT": "Written, not shared.",
    "SHARED": "Shared with those whom the policy lets see it.",
    "WITHDRAWN": "Taken back.",
    "EXPIRED": "Past its last day.",
    "SHADOWED": "Held from two sides; the other copy is shown.",
}


def parse_date(value: Any) -> str:
    """A date like 2026-05-01, as text."""
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise BadInput("A Date is a day like 2026-05-01.")


def parse_decimal(value: Any) -> str:
    """A number that is not below zero, as text without trailing noise. Floats are taken as they are written."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = repr(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return format(Decimal(value), "f")
    raise BadInput('A Decimal is a number like 2500 or "99.50", not below zero.')


def parse_handling(value: Any) -> str:
    """A TLP 2.0 label exactly as it is written."""
    if value in HANDLING_LABELS:
        return value
    raise BadInput("A Handling is a TLP 2.0 label: " + ", ".join(HANDLING_LABELS) + ".")


def parse_code(value: Any) -> str:
    """A code in any case, known or not, in the form in which it is stored."""
    if isinstance(value, str) and _CODE.fullmatch(value):
        return stored_code(value)
    raise BadInput("A code is a word of letters, digits and underscores.")


def show_code(value: Any) -> Any:
    """A stored code in capitals."""
    return shown_code(value) if isinstance(value, str) else value


def add_scalars(catalog: Catalog, registry: Mapping[str, RecordType], codes: CodeLists) -> None:
    """Adds the scalars, one for every code list in use, and the enums."""
    catalog.scalar("Date", "A day in UTC, as in 2026-05-01. It ends at 24:00.", parse_date)
    catalog.scalar("Decimal", "An exact number, written as text.", parse_decimal)
    catalog.scalar("Handling", "A TLP 2.0 label, never translated: " + ", ".join(HANDLING_LABELS) + ".", parse_handling)
    lists = {made.codes for kind in registry.values() for made in written(kind, codes) if made.codes}
    for name in sorted(lists):
        add_code_scalar(catalog, name, codes)
    catalog.enum("RecordType", "The types of records.", {upper(key): kind.meaning for key, kind in registry.items()})
    catalog.enum("Precision", "How precise a value is.", PRECISIONS)
    catalog.enum("PlaceLevel", "How large an area is.", LEVELS)
    catalog.enum("Status", "Where a record stands.", STATUSES)
    catalog.enum("OrderDirection", "Ascending or descending; unknown is last in both.", _DIRECTIONS)
    catalog.enum("Step", "How precise a viewer sees a field.", _steps(registry))
    lists_known = sorted({*lists, "language", "area", "currency", "country"} - {None})
    catalog.enum("TermList", "The code lists.", {upper(name or ""): f"The list {name}." for name in lists_known})


_DIRECTIONS = {"ASC": "Smallest or earliest first.", "DESC": "Largest or latest first."}


def add_code_scalar(catalog: Catalog, name: str, codes: CodeLists) -> None:
    """A scalar for one open code list: codes in capitals going out, in any case coming in."""
    some = [shown_code(code) for code in codes.codes(name)]
    listed = ", ".join(some[:40]) + (" and others" if len(some) > 40 else "")
    catalog.scalar(
        pascal(name), f"A code of the open list {name}: {listed}. `terms` names them.", parse_code, show_code
    )


def _steps(registry: Mapping[str, RecordType]) -> dict[str, str]:
    names = dict.fromkeys(
        step for kind in registry.values() for spec in kind.fields.values() for step in spec.step_names
    )
    return {**{name.upper(): f"The step {name}." for name in names}, "WITHHELD": "Not seen."}
