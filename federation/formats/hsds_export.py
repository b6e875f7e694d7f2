"""Offers as services of HSDS 3, a JSON list that `import hsds` takes in again. Pure: what is written is what a viewer
sees. No person, phone, e-mail or address ever stands in it: no record has a field of theirs that may leave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from federation.formats.hsds_terms import VERIFIED, attributes_of, made_id
from federation.formats.seen import Seen
from federation.records.codes import CodeLists
from federation.records.registry import RECORD_TYPES

EXTENTS = {"COUNTRY": "ISO 3166-1", "SUBDIVISION": "ISO 3166-2", "LOCAL": "a network's own"}
"""Where the code of an area is from, by its level; else from UN M49."""

AROUND_THE_CLOCK = "24/7"


def services(records: Iterable[Seen], codes: CodeLists) -> Iterator[bytes]:
    """The pieces of one JSON list, the services in the order of the records: equal records give equal bytes."""
    begun = False
    for record in records:
        yield (b",\n" if begun else b"[\n") + orjson.dumps(service_of(record, codes))
        begun = True
    yield b"\n]\n" if begun else b"[]\n"


def service_of(record: Seen, codes: CodeLists) -> dict[str, Any]:
    """One record as a service with all that hangs on it."""
    values = dict(record.values)
    service: dict[str, Any] = {
        "id": made_id(record.id),
        "name": values.get("title") or RECORD_TYPES[record.type].graphql,  # HSDS asks for one
        "description": values.get("summary"),
        "url": values.get("front_door"),
        "status": "active",
        "application_process": values.get("expectations"),
        "eligibility_description": values.get("eligibility"),
        "wait_time": _wait(values.get("response_hours")),
        "assured_date": _one_day(values.get(VERIFIED)),
    }
    if service["assured_date"]:
        values[VERIFIED] = None
    if values.get("round_the_clock"):
        service["schedules"] = [{"id": made_id(record.id, "schedule"), "description": AROUND_THE_CLOCK}]
    if values.get("area"):
        service["service_areas"] = [_area(record.id, values["area"], codes)]
    if values.get("languages"):
        service["languages"] = [_language(record.id, tag, codes) for tag in values["languages"]]
    if (provider := _provider(values.get("provider"), codes)) is not None:
        service["organization"] = provider
    service["attributes"] = list(attributes_of(record.type, record.id, values, codes))
    return {name: value for name, value in service.items() if value is not None}


def _wait(hours: int | None) -> str | None:
    return None if hours is None else f"{hours} hours"


def _one_day(period: Mapping[str, str] | None) -> str | None:
    """The day of a period that is one; a month is none, and HSDS cannot say it."""
    return period["start"] if period is not None and period["start"] == period["end"] else None


def _area(gid: str, place: Mapping[str, str], codes: CodeLists) -> dict[str, str]:
    code = place["code"]
    return {
        "id": made_id(gid, "service_area"),
        "name": codes.name("area", code),
        "description": EXTENTS.get(place["level"], "UN M49"),
        "extent": code,
        "extent_type": "text",
    }


def _language(gid: str, tag: str, codes: CodeLists) -> dict[str, str]:
    return {"id": made_id(gid, "language", tag), "name": codes.name("language", tag), "code": tag}


def _provider(shown: str | None, codes: CodeLists) -> dict[str, str] | None:
    """The organisation that gives it, where its name is seen; where only its type is, that is an attribute."""
    if shown is None or codes.known("actorType", shown):
        return None
    return {"id": made_id("organization", shown), "name": shown, "description": "Gives this service."}
