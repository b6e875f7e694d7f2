"""Export to HSDS: valid by its schemas, no more than its viewer sees, and the same again after an import."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from oracles.minting import CONTEXT, Mint, document_of
from oracles.worlds import Clock, make_home, open_home
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from federation.cli import exporting
from federation.cli.importing import import_hsds, load_samples
from federation.cli.viewers import viewer_named
from federation.formats.hsds import documents, read_package
from federation.formats.hsds_export import service_of, services
from federation.formats.hsds_terms import HELD, TAXONOMY, fields_held
from federation.formats.imports import ImportOptions, ImportReport, ImportRow, RowProblem
from federation.formats.seen import Seen
from federation.node import Node
from federation.policies.viewer import Viewer
from federation.records.codes import load
from federation.records.registry import RECORD_TYPES
from federation.storage.ids import global_id

CODES = load()
SECRET = b"s" * 32
HSDS = Path(__file__).parent.parent.parent / "shared" / "data" / "hsds"
GID = global_id("resource", "an origin", bytes(range(16)))
PLAIN = {"title": "Travel grant", "kind": "emergency_grant", "expectations": "We do not pay rent."}


def exported(node: Node, who: str | Viewer) -> list[dict[str, Any]]:
    """What is written for a viewer."""
    viewer = viewer_named(node, who) if isinstance(who, str) else who
    form = exporting.hsds()
    return json.loads(b"".join(form.pieces(exporting.seen_by(node, viewer, form), node.codes)))


def without_ids(value: Any) -> Any:
    """A part of a service without the ids that a node made, and without what only some are shown of every record."""
    if isinstance(value, dict):
        if value.get("taxonomy_term", {}).get("taxonomy") == f"{TAXONOMY}handling":
            return None
        gid = value.get("taxonomy_term", {}).get("taxonomy") == f"{TAXONOMY}type"
        return {
            name: without_ids(each) for name, each in value.items() if name != "id" and not (gid and name == "value")
        }
    if isinstance(value, list):
        return [made for made in map(without_ids, value) if made is not None]
    return value


def by_title(found: list[dict[str, Any]]) -> list[Any]:
    return sorted((without_ids(each) for each in found), key=lambda each: json.dumps(each, sort_keys=True))


def read(content: Any, tmp_path: Path, origin: str = "") -> tuple[list[ImportRow], ImportReport]:
    """What an import makes of services."""
    file, report, rows = tmp_path / "services.json", ImportReport(), []
    file.write_text(json.dumps(content))
    for item in documents(read_package(file), ImportOptions(), SECRET, CODES, origin):
        report.read(item)
        rows += [item] if isinstance(item, ImportRow) else []
    return rows, report


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Callable[[str], Any]:
    """Opens a node with the sample of river, or an empty one."""
    folder, clock = tmp_path_factory.mktemp("nodes"), Clock()
    full = make_home(folder, "river", clock, sqlite_template, place_k=1)
    with closing(open_home(full, clock)) as node:
        load_samples(node, "river")

    @contextmanager
    def opened(name: str) -> Iterator[Node]:
        home = full if name == "river" else make_home(folder, name, clock, sqlite_template, place_k=1)
        with closing(open_home(home, clock)) as node:
            yield node
        if name != "river":
            shutil.rmtree(home)

    return opened


@pytest.mark.parametrize("who", ["public", "member"])
def test_an_export_comes_back_whole_in_another_node_and_a_second_time_changes_nothing(
    who: str, nodes: Callable[[str], Any], tmp_path: Path
) -> None:
    with nodes("river") as river:
        told = exported(river, who)
        file = tmp_path / "out.json"
        file.write_text(json.dumps(told))
        again = import_hsds(river, file, ImportOptions(), share=True)
    assert len(told) > 10
    assert (again.imported, again.updated) == (0, 0)
    assert {problem.reason for problem in again.problems} == {"is a record of this node; left as it is here"}
    assert not again.needs_someone
    with nodes(f"west-{who}") as west:
        first = import_hsds(west, file, ImportOptions(), share=True)
        assert (first.imported, first.drafts, first.problems, dict(first.cut)) == (len(told), 0, [], {})
        assert by_title(exported(west, "member")) == by_title(told)
        second = import_hsds(west, file, ImportOptions(), share=True)
        assert (second.imported, second.updated, second.unchanged) == (0, 0, len(told))


def test_every_field_that_is_seen_stands_in_the_service_or_is_one_that_hsds_cannot_hold(tmp_path: Path) -> None:
    for key in HELD:
        document = RECORD_TYPES[key].normalise(document_of(Mint(key), RECORD_TYPES[key]), CONTEXT)
        values = {name: shown_of(key, name, value) for name, value in document.items() if name in fields_held(key)}
        service = service_of(Seen(key, global_id(key, "an origin", bytes(16)), values), CODES)
        (row,), report = read([service], tmp_path)
        assert report.problems == []
        lost = {name for name in values if row.document.get(name) != document[name]}
        openings = {"availability", "places"} & set(
            values
        )  # of these the gate shows no more than state and free places
        assert lost == {"provider", *openings}  # a provider's name and its type are steps of their own
        assert row.document["provider"] == {"name": document["provider"]["name"]}
        for name in openings:
            assert row.document[name] == {part: document[name][part] for part in ("state", "free")}
        left = set(document) - set(values) - {"originals"}
        assert left <= {"contact", "site", "trainers", "outcomes", "internal_notes", "translations"}


def shown_of(key: str, name: str, value: Any) -> Any:
    """A home value as the gate shows it at its exact step."""
    spec = RECORD_TYPES[key].fields[name]
    step = spec.kind.generalise(value, "exact", CONTEXT)
    if spec.kind.name == "place":
        return {"code": step[0], "level": CODES.area(step[0]).level.upper()}  # type: ignore[union-attr]
    return step[0] if isinstance(step, list) and spec.kind.name == "code" else step


def test_a_month_is_no_day_and_stays_a_month(tmp_path: Path) -> None:
    month = {"start": "2027-01-01", "end": "2027-01-31", "precision": "MONTH"}
    service = service_of(Seen("resource", GID, PLAIN | {"verified_on": month}), CODES)
    assert "assured_date" not in service
    (row,), _ = read([service], tmp_path)
    assert row.document["verified_on"] == {"start": "2027-01-01", "end": "2027-01-31"}
    day = {"start": "2027-01-02", "end": "2027-01-02", "precision": "DAY"}
    assert service_of(Seen("resource", GID, PLAIN | {"verified_on": day}), CODES)["assured_date"] == "2027-01-02"


def test_the_label_of_a_record_goes_with_it(tmp_path: Path) -> None:
    service = service_of(Seen("resource", GID, PLAIN | {"handling": "TLP:GREEN"}), CODES)
    (row,), _ = read([service], tmp_path)
    assert row.document["handling"] == "TLP:GREEN"


def test_the_type_of_a_provider_names_no_organisation(tmp_path: Path) -> None:
    service = service_of(Seen("resource", GID, PLAIN | {"provider": "ngo"}), CODES)
    assert "organization" not in service
    (row,), _ = read([service], tmp_path)
    assert row.document["provider"] == {"kind": "ngo"}


def test_records_of_different_origins_with_one_id_are_two_services() -> None:
    seen = [Seen("resource", global_id("resource", origin, bytes(16)), PLAIN) for origin in ("a", "b")]
    assert len({service_of(each, CODES)["id"] for each in seen}) == 2


def test_nothing_to_tell_is_an_empty_list() -> None:
    assert b"".join(services([], CODES)) == b"[]\n"


# --- what comes in is hostile until read ------------------------------------------------------------------------


def told(**changes: Any) -> dict[str, Any]:
    """A service as a node writes it, with changes."""
    return service_of(Seen("resource", GID, PLAIN), CODES) | changes


def attribute(field: str, code: str, value: str | None = None) -> dict[str, Any]:
    term = {"id": f"t-{field}-{code}", "code": code, "name": code, "taxonomy": f"{TAXONOMY}{field}"}
    return {"id": f"a-{field}-{code}", "taxonomy_term": term, **({"value": value} if value else {})}


def test_what_looks_like_a_nodes_own_loses_phones_and_mail_addresses_too(tmp_path: Path) -> None:
    (row,), _ = read([told(description="Write to asha@example.org or ring +254 712 345 678.")], tmp_path)
    assert "example.org" not in row.document["summary"]
    assert "712" not in row.document["summary"]
    assert dict(row.cut) == {"email": 1, "phone": 1}


def test_contacts_beside_a_nodes_own_service_are_not_taken(tmp_path: Path) -> None:
    service = told(email="a@example.org", phones=[{"id": "p", "number": "+254 712 345 678"}])
    (row,), _ = read([service], tmp_path)
    assert set(row.document) == {*PLAIN}


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (attribute("kind", "no_such_kind"), "kind: "),
        (attribute("site", "site", "1 Pier Road"), "site: this is not taken from an attribute."),
        (attribute("contact", "contact", "asha"), "contact: this is not taken from an attribute."),
        (attribute("topic", "upr"), "topic: this is not taken from an attribute."),
        (attribute("amount", "amount", "much"), "amount: "),
        (attribute("amount", "amount", "[" * 100_000), "amount: this attribute is not understood."),
        (attribute("horizon", "horizon", "2027-13-01"), "horizon: "),
        (attribute("availability", "open:many"), "availability: "),
        (attribute("renewable", "renewable", "perhaps"), "renewable: "),
        (attribute("type", "type", "no id"), "id: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_record_can_hold_is_a_problem_of_that_service_alone(
    added: dict[str, Any], said: str, tmp_path: Path
) -> None:
    service = told(id="s1")
    same = [
        each
        for each in service["attributes"]
        if each["taxonomy_term"]["taxonomy"] != added["taxonomy_term"]["taxonomy"]
    ]
    rows, report = read([service | {"attributes": [*same, added]}, told(id="s2")], tmp_path)
    assert len(rows) == 1
    (problem,) = report.problems
    assert isinstance(problem, RowProblem)
    assert problem.reason.startswith(said)


def test_an_id_of_another_type_is_no_service(tmp_path: Path) -> None:
    gid = global_id("need", "an origin", bytes(16))
    rows, report = read([told(attributes=[attribute("type", "need", gid)])], tmp_path)
    assert rows == []
    assert "id of a need" in report.problems[0].reason


# --- the schemas of HSDS, where they are ------------------------------------------------------------------------


@pytest.mark.skipif(not HSDS.exists(), reason="the schemas of HSDS are not beside this repository")
@pytest.mark.parametrize("who", ["public", "member"])
def test_services_are_valid_by_the_schemas_of_hsds(who: str, nodes: Callable[[str], Any]) -> None:
    tables = json.loads(gzip.decompress((HSDS / "tabular-3.0.schema.json.gz").read_bytes()))["properties"]
    parts = [(f"{name}.json", Resource(each["items"], DRAFT202012)) for name, each in tables.items()]
    schema = json.loads((HSDS / "service-3.0.schema.json").read_text())
    registry: Registry[Any] = Registry().with_resources(parts)
    checker = Draft202012Validator(schema, registry=registry, format_checker=FormatChecker())
    terms = Draft202012Validator(tables["taxonomy_term"]["items"], format_checker=FormatChecker())
    known = set(schema["properties"])
    with nodes("river") as river:
        found = exported(river, who)
    for service in found:
        assert [error.message for error in checker.iter_errors(service)] == []
        assert set(service) <= known
        for each in service["attributes"]:
            assert [error.message for error in terms.iter_errors(each["taxonomy_term"])] == []
    assert not checker.is_valid(found[0] | {"status": "open"})
    assert not checker.is_valid(found[0] | {"languages": [{"name": "Swahili"}]})
