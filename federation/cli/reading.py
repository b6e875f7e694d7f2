"""What several commands read of a node, always through the gate, as its operator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, overload

import orjson

from federation.errors import NotFound
from federation.formats.jsonlines import Told
from federation.gate import PageRequest, ShapeField
from federation.node import Node
from federation.peers import agreements, handing, state, trust
from federation.records.registry import RECORD_TYPES

TELLING = ("title", "name", "text", "purpose", "door_card", "kind")
"""The fields that say best what a record is; of each type the first that it has."""


@dataclass(frozen=True)
class Listed:
    """A page of records as a list shows them; `after` is the cursor of its last one."""

    rows: list[dict[str, Any]]
    has_next: bool
    after: str | None


def list_records(node: Node, type_key: str, first: int, after: str | None, *, own: bool = False) -> Listed:
    """A page of records of one type, drafts and past ones too, with the field that says best what each is; the `own`
    ones with their handling, which is above `open`: a page without it is shown also where no ledger can be written."""
    named = next(name for name in TELLING if name in RECORD_TYPES[type_key].fields)
    shape = (
        ShapeField("id", "id"),
        ShapeField("title", named),
        ShapeField("status", "status"),
        *((ShapeField("handling", "handling"),) if own else ()),
        ShapeField("origin", "origin", nested=(ShapeField("name", "name"),)),
    )
    request = PageRequest((type_key,), {type_key: shape}, first=first, after=after, every_status=True, own=own)
    page = node.gate.page(node.operator, request)
    rows = [orjson.loads(row.json) for row in page.rows]
    for row in rows:
        row["origin"] = (row["origin"] or {}).get("name")
    return Listed(rows, page.has_next, page.rows[-1].cursor if page.rows else None)


def whole(node: Node, gid: str) -> dict[str, Any]:
    """An own record whole. Raises NotFound, which tells the operator of a received one that it is here."""
    try:
        return node.gate.home(node.operator, gid)
    except NotFound:
        if node.gate.get(node.operator, gid, (ShapeField("id", "id"),), every_status=True) is None:
            raise
        raise NotFound("This record came from another node: it is not your own and cannot be shown whole.") from None


def own_records(node: Node, types: list[str]) -> Iterator[Told]:
    """The node's own records, whole, with their handling, of these types or of all; but for the withdrawn ones, which
    are not to be anywhere any more."""
    for type_key in types or RECORD_TYPES:
        after: str | None = None
        more = True
        while more:
            page = list_records(node, type_key, 100, after, own=True)
            for row in page.rows:
                if row["status"] != "WITHDRAWN":
                    document = node.gate.home(node.operator, row["id"]) | {"handling": row["handling"]}
                    yield Told(type_key, document, row["id"])
            more, after = page.has_next, page.after


def exchange_state(node: Node, name: str) -> dict[str, Any]:
    """How the exchange with a peer goes: failures since the last success, when it is due again, its last error."""
    found = state.sync_state_of(node.database, agreements.partner(node.database, name).pid)
    return {
        "last_success": found.last_success,
        "failures": found.failures,
        "next_try": found.next_try,
        "last_error": found.last_error,
        "reconciling": found.run is not None,
    }


def key_state(node: Node, name: str) -> dict[str, Any]:
    """By which key a peer is known, how that came, and what speaks against it."""
    who = agreements.partner(node.database, name)
    if trust.is_awaited(node.database, who):
        return {"key": None, "key_by": "awaited: it has to accept the invitation of `peer rekey`", "key_warning": None}
    taken, warned = handing.handed_over_at(node.database, who), handing.warning(node.database, who)
    return {
        "key": who.thumbprint,
        "key_by": "invitation" if taken is None else f"hand-over of {moment(taken)}",
        "key_warning": None if warned is None else f"{handing.REASONS[warned.reason]} ({moment(warned.at)})",
    }


@overload
def moment(seconds: int) -> str: ...


@overload
def moment(seconds: int | None) -> str | None: ...


def moment(seconds: int | None) -> str | None:
    """A second since 1970 as every command writes it, in UTC; None where there is none."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
