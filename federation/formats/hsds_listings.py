"""Gathers the tables of an HSDS package into listings: one service with all that hangs on it. Rows that hang on nothing
are reported, once per file and reason; nothing is guessed but the name of a provider that is itself a listing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from federation.formats.hsds_package import open_tables
from federation.formats.hsds_tables import Row, Tables
from federation.formats.hsds_terms import ID, TAXONOMY
from federation.formats.imports import RowProblem

NO_ROW = Row("", 0, {})
_CHILDREN = (
    "phones", "contacts", "addresses", "languages", "eligibility", "accessibility", "schedules", "service_areas",
    "required_documents", "cost_options", "funding",
)  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """One service: its row, its organisation's (`NO_ROW` if the package lacks it), its provider's names, its
    locations, and its rows of every other table by the table's name. `terms` are the names of its taxonomy terms;
    `stated` the codes and values of its fields where a node wrote it (see `hsds_terms`), else nothing."""

    service: Row
    organization: Row
    provider: str
    other_names: tuple[str, ...]
    locations: tuple[Row, ...]
    terms: tuple[str, ...]
    target_groups: tuple[str, ...]
    children: Mapping[str, tuple[Row, ...]]
    stated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The id of the service in its source."""
        return self.service["id"].strip()


@dataclass
class HsdsPackage:
    """A package as read: the name of its source, its listings, and what could not be read of it."""

    source: str
    listings: tuple[Listing, ...]
    problems: tuple[RowProblem, ...]

    def __len__(self) -> int:
        return len(self.listings)


def read_package(path: Path) -> HsdsPackage:
    """Reads an HSDS data package (1.1 to 3.x; zip or folder) or HSDS 3 JSON file.

    Raises BadInput for what cannot be read at all (see `open_tables`). Rows that cannot be used are in `problems`;
    all others are in the listings.
    """
    return gathered(open_tables(path))


def gathered(tables: Tables) -> HsdsPackage:
    """The listings of a package's tables."""
    problems = list(tables.problems)
    services = _distinct(tables["services"], problems)
    organizations = {row["id"].strip(): row for row in tables["organizations"] if row["id"].strip()}
    own = {row["id"].strip(): row for row in services}
    locations = {row["id"].strip(): row for row in tables["locations"] if row["id"].strip()}
    located = _Grouped("service_id")
    for row in tables["service_at_location"]:
        located.add(row)
    children = _children(tables, set(own), problems)
    terms, stated = _terms(tables), _stated(tables)
    problems += _without_owner(services, organizations)
    listings = []
    for row in services:
        key, owner = row["id"].strip(), row["organization_id"].strip()
        organization = organizations.get(owner, NO_ROW)
        places = [
            locations[each["location_id"].strip()] for each in located[key] if each["location_id"].strip() in locations
        ]
        named = [name for name, targets in terms.get(key, ()) if not targets]
        listings.append(
            Listing(
                service=row,
                organization=organization,
                provider=(organization["name"] or own.get(owner, NO_ROW)["name"] or row["organization_name"]).strip(),
                other_names=_other_names(organization, own.get(owner, NO_ROW)),
                locations=tuple({place["id"]: place for place in places}.values()),
                terms=tuple(dict.fromkeys(named)),
                target_groups=tuple(dict.fromkeys(name for name, targets in terms.get(key, ()) if targets)),
                children={
                    table: _of(grouped, key, owner if table in ("phones", "contacts") else "", places)
                    for table, grouped in children.items()
                },
                stated=stated.get(key, {}),
            )
        )
    return HsdsPackage(tables.source, tuple(listings), tuple(problems))


def _without_owner(services: Sequence[Row], organizations: Mapping[str, Row]) -> Iterator[RowProblem]:
    orphans = [row for row in services if (key := row["organization_id"].strip()) and key not in organizations]
    if orphans:
        reason = "names an organisation that is not in the package; taken in without it"
        yield RowProblem(orphans[0].file, orphans[0].line, reason, len(orphans), trouble="remark")


class _Grouped:
    """Rows by the value of one of their link columns."""

    def __init__(self, *columns: str) -> None:
        self._columns = columns
        self._rows: dict[str, list[Row]] = defaultdict(list)

    def add(self, row: Row) -> bool:
        """Files the row under its first link that is not empty; False if it has none."""
        for column in self._columns:
            if key := row[column].strip():
                self._rows[f"{column}:{key}"].append(row)
                return True
        return False

    def __getitem__(self, key: str) -> list[Row]:
        return self.at(self._columns[0], key)

    def at(self, column: str, key: str) -> list[Row]:
        return self._rows.get(f"{column}:{key}", []) if key else []


def _distinct(rows: Iterable[Row], problems: list[RowProblem]) -> list[Row]:
    """The services with an id of their own and a name or a description; the others are problems."""
    seen: set[str] = set()
    kept = []
    for row in rows:
        key = row["id"].strip()
        if not key:
            reason = "has no id"
        elif key in seen:
            reason = "has the id of an earlier row"
        elif not row["name"].strip() and not row["description"].strip():
            reason = "has neither a name nor a description"
        else:
            seen.add(key)
            kept.append(row)
            continue
        problems.append(RowProblem(row.file, row.line, reason))
    return kept


_LINKS = ("service_id", "service_at_location_id", "location_id", "organization_id", "contact_id", "phone_id")


def _children(tables: Tables, services: set[str], problems: list[RowProblem]) -> dict[str, _Grouped]:
    """The rows of each side table by what they hang on."""
    places_at = {row["id"].strip(): row["service_id"].strip() for row in tables["service_at_location"]}
    result = {}
    for table in _CHILDREN:
        grouped = _Grouped("service_id", "location_id", "organization_id")
        loose = _Loose("names no service, location or organisation; cannot be placed")
        unknown = _Loose("names a service that is not in the package")
        for row in tables[table]:
            at_location = places_at.get(row["service_at_location_id"].strip(), "")
            if at_location and not row["service_id"].strip():
                row = Row(row.file, row.line, {**row.cells, "service_id": at_location})
            if not grouped.add(row):
                if not any(row[link].strip() for link in _LINKS):
                    loose.note(row)
            elif row["service_id"].strip() and row["service_id"].strip() not in services:
                unknown.note(row)
        problems += [*loose.problems(), *unknown.problems()]
        result[table] = grouped
    return result


@dataclass
class _Loose:
    """Counts rows with the same trouble by file."""

    reason: str
    first: dict[str, tuple[int, int]] = field(default_factory=dict)

    def note(self, row: Row) -> None:
        line, count = self.first.get(row.file, (row.line, 0))
        self.first[row.file] = (line, count + 1)

    def problems(self) -> Iterator[RowProblem]:
        for file, (line, count) in self.first.items():
            yield RowProblem(file, line, self.reason, count, "loose")


def _of(grouped: _Grouped, service: str, organization: str, places: Iterable[Row]) -> tuple[Row, ...]:
    """The rows of a service, of its locations, and (where asked) of its organisation, each once."""
    rows = list(grouped.at("service_id", service))
    for place in places:
        rows += grouped.at("location_id", place["id"].strip())
    if organization and not rows:
        rows += grouped.at("organization_id", organization)
    return tuple({id(row): row for row in rows}.values())


def _other_names(organization: Row, as_service: Row) -> tuple[str, ...]:
    """Other names of a provider; of the listing with its id only those, for a service's other name is its own."""
    names = (organization["alternate_name"], as_service["alternate_name"], organization["name"])
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def _terms(tables: Tables) -> dict[str, list[tuple[str, bool]]]:
    """Per service the names of its taxonomy terms, and whether a term speaks of whom it is for."""
    names: dict[str, tuple[str, bool]] = {}
    for row in tables["taxonomy_terms"]:
        about = f"{row['parent_name']} {row['taxonomy_facet']}".lower()
        if row["name"].strip():
            names[row["id"].strip()] = (row["name"].strip(), "target population" in about or "target group" in about)
    found: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for row in tables["service_taxonomy"]:
        if term := names.get(row["taxonomy_id"].strip() or row["taxonomy_term_id"].strip()):
            found[row["service_id"].strip()].append(term)
    for row in tables["attributes"]:
        key = row["service_id"].strip() or (row["link_id"].strip() if "service" in row["link_entity"].lower() else "")
        if key and (term := names.get(row["taxonomy_term_id"].strip())):
            found[key].append(term)
    for row in tables["services"]:
        listed = (each.strip() for each in row["taxonomy_ids"].split(","))
        found[row["id"].strip()] += [names[each] for each in listed if each in names]
    return found


def _stated(tables: Tables) -> dict[str, dict[str, tuple[str, ...]]]:
    """Per service that a node wrote, the values of its attributes, else their codes, by field."""
    known: dict[str, tuple[str, str]] = {}
    for row in tables["taxonomy_terms"]:
        if row["taxonomy"].startswith(TAXONOMY):
            known[row["id"].strip()] = (row["taxonomy"].removeprefix(TAXONOMY), row["code"])
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for row in tables["attributes"] if known else ():
        if term := known.get(row["taxonomy_term_id"].strip()):
            fields = found.setdefault(row["service_id"].strip(), {})
            fields[term[0]] = (*fields.get(term[0], ()), row["value"] or term[1])
    return {key: fields for key, fields in found.items() if ID in fields}
