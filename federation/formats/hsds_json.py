"""Unfolds HSDS 3 JSON (services, organisations, service_at_location, tabular) into the tables of a package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from federation.errors import BadInput
from federation.formats.hsds_tables import TABLE_OF, Row, Tables, parse_json, trouble_of
from federation.formats.imports import RowProblem

_INSIDE = {
    "phones": "phones", "contacts": "contacts", "languages": "languages", "addresses": "addresses",
    "accessibility": "accessibility", "schedules": "schedules", "service_areas": "service_areas",
    "required_documents": "required_documents", "cost_options": "cost_options", "funding": "funding",
    "eligibility": "eligibility", "organization_identifiers": "organization_identifiers", "programs": "programs",
    "attributes": "attributes",
}  # fmt: skip


def read_json(content: bytes, file: str, source: str) -> Tables:
    """The tables of a JSON file of HSDS 3: one service, organisation or service_at_location, a list or page of them,
    or the tabular form. BadInput if it is not JSON or holds no service; items that are not understood are problems."""
    parsed = parse_json(content, file)
    tables = Tables(source)
    if isinstance(parsed, dict) and any(key.endswith(".csv") for key in parsed):
        _flatten_tabular(parsed, tables)
    else:
        listed = parsed.get("contents", [parsed]) if isinstance(parsed, dict) else parsed
        for number, item in enumerate(listed if isinstance(listed, list) else [], 1):
            _flatten(item, _Unfolding(tables, file, number))
    if not tables["services"]:
        raise BadInput(f"{file} holds no service of HSDS 3.")
    return tables


def _flatten_tabular(parsed: Mapping[str, Any], tables: Tables) -> None:
    """The tabular form: `{"services.csv": [row, …], …}`."""
    for name, listed in parsed.items():
        table = TABLE_OF.get(name.removesuffix(".csv").lower())
        if table is None or not isinstance(listed, list):
            continue
        for number, item in enumerate(listed, 1):
            if isinstance(item, dict):
                tables.rows.setdefault(table, []).append(Row(name, number, _texts(item)))
            else:
                tables.problems.append(RowProblem(name, number, "is not a row", trouble=trouble_of(table)))


@dataclass(frozen=True)
class _Unfolding:
    """Where the rows of one item of a JSON file go."""

    tables: Tables
    file: str
    number: int

    def add(self, table: str, item: Mapping[str, Any], **links: str) -> None:
        cells = _texts(item)
        cells.update({name: value for name, value in links.items() if value and not cells.get(name)})
        self.tables.rows.setdefault(table, []).append(Row(self.file, self.number, cells))


def _flatten(item: Any, into: _Unfolding) -> None:
    """A service, organisation or service_at_location with what hangs on it, as rows of tables."""
    if not isinstance(item, dict):
        into.tables.problems.append(RowProblem(into.file, into.number, "is not an object"))
    elif isinstance(item.get("services"), list) or ("website" in item and "organization" not in item):
        _flatten_organization(item, into)
    elif isinstance(item.get("service"), dict):
        at_location = {name: value for name, value in item.items() if name != "service"}
        service = dict(item["service"])
        service["service_at_locations"] = [*_dicts(service.get("service_at_locations")), at_location]
        _flatten_service(service, into)
    else:
        _flatten_service(item, into)


def _flatten_organization(item: Mapping[str, Any], into: _Unfolding) -> str:
    key = _text(item.get("id"))
    into.add("organizations", item)
    _flatten_inside(item, into, organization_id=key)
    for service in _dicts(item.get("services")):
        _flatten_service(service, into, organization_id=key)
    for location in _dicts(item.get("locations")):
        _flatten_location(location, into)
    return key


def _flatten_service(item: Mapping[str, Any], into: _Unfolding, organization_id: str = "") -> None:
    key = _text(item.get("id"))
    organization = item.get("organization")
    if isinstance(organization, dict):
        organization_id = _flatten_organization({**organization, "services": []}, into) or organization_id
    into.add("services", item, organization_id=organization_id)
    _flatten_inside(item, into, service_id=key)
    for place in _dicts(item.get("service_at_locations")):
        location = place.get("location")
        location_key = _text(place.get("location_id"))
        if isinstance(location, dict):
            location_key = _flatten_location(location, into)
        into.add("service_at_location", place, service_id=key, location_id=location_key)
        _flatten_inside(place, into, service_id=key)


def _flatten_location(item: Mapping[str, Any], into: _Unfolding) -> str:
    key = _text(item.get("id"))
    into.add("locations", item)
    _flatten_inside(item, into, location_id=key)
    return key


def _flatten_inside(item: Mapping[str, Any], into: _Unfolding, **links: str) -> None:
    for name, table in _INSIDE.items():
        for inner in _dicts(item.get(name)):
            term = inner.get("taxonomy_term")
            if table == "attributes" and isinstance(term, dict):
                into.add("taxonomy_terms", term)
                into.add("attributes", {**inner, "taxonomy_term_id": _text(term.get("id"))}, **links)
            else:
                into.add(table, inner, **links)
            for phone in _dicts(inner.get("phones")):
                into.add("phones", phone, **links)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _texts(item: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in item.items() if not isinstance(value, (dict, list))}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).encode("utf-8", "replace").decode() if isinstance(value, (str, int, float)) else ""
