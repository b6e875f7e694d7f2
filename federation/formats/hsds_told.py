"""Services that a node wrote (`export hsds`) as home documents again: what their columns and attributes state, without
guessing. A hostile file may look like one, so that texts lose what the lint finds in them, and codes are checked."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import Any

from federation.errors import BadInput, NotFound
from federation.formats.hsds_listings import Listing
from federation.formats.hsds_terms import HANDLING, HELD, ID, fields_of
from federation.formats.imports import ImportOptions, ImportRow, RowProblem, record_uuid, source_uuid
from federation.records.codes import CodeLists
from federation.records.kinds import Context
from federation.records.lint import cut
from federation.records.registry import RECORD_TYPES
from federation.storage.ids import origin_mark, parse_global_id

NOT_AGAIN = "is a record of this node; left as it is here"


def told_row(
    listing: Listing, options: ImportOptions, secret: bytes, codes: CodeLists, origin: str
) -> ImportRow | RowProblem:
    """The record that a service states; one of this node itself (`origin` is its thumbprint) is not taken in again, for
    what others see of it is coarser than what is here. Raises BadInput for what no record can hold."""
    gid, service = listing.stated[ID][0], listing.service
    type_key, own = _type_and_origin(gid, origin)
    if own:
        return RowProblem(service.file, service.line, NOT_AGAIN, trouble="remark")
    cuts: Counter[str] = Counter()
    document = _columns(listing, options, cuts) | fields_of(type_key, listing.stated)
    name = listing.organization["name"].strip()
    if name:
        document["provider"] = {"name": name, **document.get("provider", {})}
    handling = document.pop(HANDLING, None)
    document = {each: value for each, value in document.items() if value not in (None, "", [], {})}
    document = RECORD_TYPES[type_key].normalise(document, Context(codes))
    if handling is not None:
        document[HANDLING] = handling
    id = record_uuid(gid, type_key, origin, secret) or source_uuid(secret, "", gid)
    return ImportRow(id, type_key, document, service.file, service.line, MappingProxyType(dict(cuts)))


def _type_and_origin(gid: str, origin: str) -> tuple[str, bool]:
    """The type that an id is of, and whether it is one of this node."""
    try:
        type_key, mark, _ = parse_global_id(gid)
    except NotFound:
        raise BadInput("names no id of a record", field="id") from None
    if type_key not in HELD:
        raise BadInput(f"names the id of a {type_key}, which is no service", field="id")
    return type_key, bool(origin) and mark == origin_mark(origin)


def _columns(listing: Listing, options: ImportOptions, cuts: Counter[str]) -> dict[str, Any]:
    """The fields that have columns, their texts without what the lint finds."""
    service, children = listing.service, listing.children

    def text(column: str) -> str:
        clean, removed = cut(service[column], options.regions)
        cuts.update(kind for kind, _ in removed)
        return clean

    day, hours = service["assured_date"].strip(), service["wait_time"].removesuffix(" hours")
    return {
        "title": text("name"),
        "summary": text("description"),
        "eligibility": text("eligibility_description"),
        "expectations": text("application_process") or options.expectations,
        "front_door": service["url"].strip(),
        "response_hours": int(hours) if hours.isascii() and hours.isdigit() else None,
        "languages": [row["code"].strip() for row in children["languages"]],
        "area": next((row["extent"].strip() for row in children["service_areas"]), None),
        "verified_on": {"start": day, "end": day} if day else None,
    }
