"""Import of HSDS packages and JSON: what comes out, what is cut, what is reported, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from federation.errors import BadInput
from federation.formats import hsds_package
from federation.formats.hsds import documents, read_package
from federation.formats.imports import ImportOptions, ImportReport, ImportRow, RowProblem, source_uuid
from federation.records.codes import load
from federation.records.lint import findings
from federation.records.registry import RECORD_TYPES

SMALL = Path(__file__).parent / "data" / "hsds_small"
SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
MIAMI = SHARED / "miami-211-hsds-1.1.zip"
SECRET = b"s" * 32
PUBLISHED = ("title", "summary", "eligibility", "expectations")


def _read(
    path: Path, options: ImportOptions | None = None, secret: bytes = SECRET
) -> tuple[dict[str, ImportRow], ImportReport]:
    """Rows by the id of the service in the source, and the report."""
    report, rows = ImportReport(), {}
    for item in documents(read_package(path), options or ImportOptions(), secret):
        report.read(item)
        if isinstance(item, ImportRow):
            rows[item.document["internal_notes"].split(", id ")[1].split(".\n")[0].split(".")[0]] = item
    return rows, report


def _zip(path: Path, files: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def _package(services: bytes | str, **others: str) -> dict[str, bytes | str]:
    names = {"services.csv": services, **{f"{name}.csv": content for name, content in others.items()}}
    manifest = {"name": "tiny", "resources": [{"name": name.removesuffix(".csv"), "path": name} for name in names]}
    return {"datapackage.json": json.dumps(manifest), **names}


# --- what comes out ---------------------------------------------------------------------------------------------


def test_a_service_becomes_a_resource_with_its_fields_in_our_codes() -> None:
    rows, _ = _read(SMALL)
    row = rows["s1"]
    assert row.type_key == "resource"
    assert (row.file, row.source_line) == ("services.csv", 2)
    document = row.document
    assert document["kind"] == "legal_support"
    assert document["dimensions"] == ["legal"]
    assert document["languages"] == ["en", "ht", "es"]
    assert document["originals"] == {"languages": "others on request"}
    assert document["area"] == "US-FL"
    assert document["response_hours"] == 48
    assert {"women", "migrants_refugees", "persons_with_disabilities"} <= set(document["welcomes"])
    assert document["provider"] == {"name": "HARBOUR LEGAL FRIENDS OF TOWN, INC.", "kind": "ngo"}
    assert "front_door" not in document


def test_a_training_for_groups_becomes_a_capacity_offer() -> None:
    rows, _ = _read(SMALL)
    assert rows["s3"].type_key == "capacityOffer"
    assert rows["s3"].document["topic"] == "proposal_writing"


def test_a_title_that_is_only_the_providers_name_is_made_of_the_taxonomy() -> None:
    rows, _ = _read(SMALL)
    assert rows["s1"].document["title"] == "Legal Counseling"


def test_what_is_not_understood_is_other_with_the_original_kept() -> None:
    rows, _ = _read(SMALL)
    assert rows["s4"].document["kind"] == "other"
    assert rows["s4"].document["originals"]["kind"] == "Kazoo Lending"
    assert "Kazoo Lending" in rows["s4"].document["internal_notes"]


def test_provider_names_are_replaced_in_every_spelling_and_counted() -> None:
    rows, report = _read(SMALL)
    texts = " ".join(str(row.document.get(name, "")) for row in rows.values() for name in PUBLISHED)
    for name in ("Harbour Legal Friends", "HALEFT", "HLF", "Invented", "SIK", "the The provider"):
        assert name not in texts
    assert "Harbor legal help? No: The provider gives legal advice." in rows["s1"].document["summary"]
    assert rows["s2"].document["summary"].startswith("The provider serves meals")
    assert report.cut["provider"] == 7


def test_contact_details_go_to_sealed_fields_and_are_cut_out_of_texts() -> None:
    rows, report = _read(SMALL)
    document = rows["s1"].document
    assert document["expectations"] == "Call […] at […], or see […]. Bring an ID."
    assert {kind: report.cut[kind] for kind in ("phone", "email", "address", "person", "url")} == {
        "phone": 3, "email": 1, "address": 1, "person": 1, "url": 1,
    }  # fmt: skip
    assert document["site"] == "12 NW 3rd Street hidden03, Suite 4, Town, FL, 33101"
    contact = document["contact"]
    assert contact["person"] == "Jo Hidden, Director"
    assert contact["email"] == "front@harbour.example\nhidden@harbour.example"
    assert "(305) 555-0134 ext. 7" in contact["note"]
    assert "Jane Sample" in contact["note"]
    assert re.fullmatch(r"[\w-]{22}", contact["relay"])


def test_texts_keep_hours_ages_and_money() -> None:
    rows, _ = _read(SMALL)
    assert "9:00am-5:00pm, Mon-Fri, to families with children 5-17 years old" in rows["s2"].document["summary"]
    assert rows["s2"].document["round_the_clock"] is True
    assert rows["s3"].document["summary"].endswith("Fees: $25 to $1,000")
    assert "###" not in rows["s1"].document["summary"]
    assert "\\n" not in rows["s1"].document["summary"]


def test_expectations_come_from_the_application_process_or_from_the_one_who_imports() -> None:
    rows, report = _read(SMALL)
    assert not rows["s2"].has_expectations
    assert not rows["s4"].has_expectations
    assert report.without_expectations == 2
    rows, report = _read(SMALL, ImportOptions(expectations="Ask first."))
    assert rows["s2"].document["expectations"] == "Ask first."
    assert rows["s3"].document["expectations"] == "Register online"
    assert report.without_expectations == 0


def test_websites_are_published_only_when_that_is_said() -> None:
    rows, _ = _read(SMALL, ImportOptions(publish_websites=True))
    assert rows["s1"].document["front_door"] == "https://www.harbourfriends.org"


def test_every_document_passes_the_check_of_its_type() -> None:
    rows, _ = _read(SMALL)
    for row in rows.values():
        assert RECORD_TYPES[row.type_key].check(row.document) == []


# --- ids --------------------------------------------------------------------------------------------------------


def test_a_second_import_gives_the_same_ids_and_documents() -> None:
    assert _read(SMALL)[0] == _read(SMALL)[0]


def test_ids_are_shaped_like_random_ones_and_unknown_to_those_without_the_secret() -> None:
    ours, _ = _read(SMALL)
    theirs, _ = _read(SMALL, secret=b"t" * 32)
    assert all(row.id.version == 4 for row in ours.values())
    assert not {row.id for row in ours.values()} & {row.id for row in theirs.values()}
    assert source_uuid(SECRET, "a", "b") != source_uuid(SECRET, "b", "a")
    assert ours["s1"].document["contact"]["relay"] != theirs["s1"].document["contact"]["relay"]


def test_another_source_with_the_same_ids_is_another_directory() -> None:
    here, _ = _read(SMALL)
    there, _ = _read(SMALL, ImportOptions(source="elsewhere"))
    assert here["s1"].id != there["s1"].id


def test_a_service_with_a_world_wide_id_is_the_same_in_every_file(tmp_path: Path) -> None:
    service = json.dumps(
        {"id": "ac148810-d857-441c-9679-408f346de14b", "name": "Talks", "description": "Talks for all."}
    )
    first, second = tmp_path / "one.json", tmp_path / "two.json"
    first.write_text(service)
    second.write_text(service)
    assert next(iter(_read(first)[0].values())).id == next(iter(_read(second)[0].values())).id


# --- what is reported -------------------------------------------------------------------------------------------


def test_bad_rows_are_reported_with_file_line_and_reason_and_the_others_go_in() -> None:
    rows, report = _read(SMALL)
    assert sorted(rows) == ["s1", "s2", "s3", "s4"]
    told = {str(problem) for problem in report.problems}
    assert told >= {
        "services.csv:6: has no id",
        "services.csv:7: has the id of an earlier row",
        "services.csv:8: has neither a name nor a description",
        "services.csv:9: has 4 cells where the header has 14",
        "contacts.csv:3: names no service, location or organisation; cannot be placed",
        "eligibility.csv:3: names no service, location or organisation; cannot be placed (2 rows, the first here)",
        "programs.csv: named in datapackage.json and not in the package",
    }
    assert (report.rows("record"), report.rows("unread"), report.rows("loose")) == (4, 0, 3)
    assert report.as_json()["skipped"] == 4
    assert report.as_json()["otherRows"] == {"unread": 0, "loose": 3}
    assert report.needs_someone


def test_outcomes_are_counted() -> None:
    report = ImportReport()
    for result in ("imported", "imported", "unchanged", "updated"):
        report.outcome(result, draft=result == "imported")  # type: ignore[arg-type]
    assert (report.imported, report.unchanged, report.updated, report.drafts) == (2, 1, 1, 2)


def test_rows_in_another_encoding_are_reported_and_the_others_go_in(tmp_path: Path) -> None:
    services = b"id,name,description\n1,Caf\xe9,one\n2,Tea,two\n3,\xc3\xa9t\xc3\xa9,three\n"
    rows, report = _read(_zip(tmp_path / "p.zip", _package(services)))
    assert sorted(rows) == ["2", "3"]
    assert [str(problem) for problem in report.problems if problem.trouble == "record"] == [
        "services.csv:2: is not UTF-8; save the file as UTF-8"
    ]


def test_a_side_table_in_another_encoding_loses_only_itself(tmp_path: Path) -> None:
    files = _package("id,name\n1,Tea\n", phones="")
    files["phones.csv"] = "id,service_id,number\n1,1,2\n".encode("utf-16")
    rows, report = _read(_zip(tmp_path / "p.zip", files))
    assert list(rows) == ["1"]
    assert [problem.trouble for problem in report.problems if "UTF-16" in problem.reason] == ["unread"]
    assert report.needs_someone


def test_a_row_beside_the_records_that_cannot_be_read_is_counted_apart(tmp_path: Path) -> None:
    phones = "id,service_id,number\n1,1,2\n2,1\n3,,4\n"
    rows, report = _read(_zip(tmp_path / "p.zip", _package("id,name\n1,Tea\n", phones=phones)))
    assert list(rows) == ["1"]
    assert (report.rows("record"), report.rows("unread"), report.rows("loose")) == (0, 1, 1)
    assert report.needs_someone


def test_rows_that_hang_on_no_record_need_nobody(tmp_path: Path) -> None:
    phones = "id,service_id,number\n1,,2\n2,9,3\n"
    _, report = _read(_zip(tmp_path / "p.zip", _package("id,name\n1,Tea\n", phones=phones)))
    assert report.rows("loose") == 2
    assert not report.needs_someone


def test_lines_are_counted_where_cells_hold_line_breaks(tmp_path: Path) -> None:
    services = 'id,name,description\n1,Tea,"one\ntwo\nthree"\n,Nameless,x\n'
    _, report = _read(_zip(tmp_path / "p.zip", _package(services)))
    assert "services.csv:5: has no id" in {str(problem) for problem in report.problems}


def test_an_unclosed_quote_does_not_stop_the_import(tmp_path: Path) -> None:
    services = 'id,name\n1,Tea\n2,"' + "x" * 200_000 + "\n3,Soup\n"
    rows, report = _read(_zip(tmp_path / "p.zip", _package(services)))
    assert "1" in rows
    assert any("not CSV" in problem.reason for problem in report.problems)


def test_a_row_that_breaks_a_rule_of_its_type_is_reported(tmp_path: Path) -> None:
    files = _package("id,name,description\n1,Tea,x\n")
    _, report = _read(_zip(tmp_path / "p.zip", files), ImportOptions(language="not a language"))
    assert [(problem.file, problem.line) for problem in report.problems] == [("services.csv", 2)]
    assert "not a language" not in str(report.problems[0])


# --- what is refused --------------------------------------------------------------------------------------------


def _refused(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_package(path)
    return caught.value.message


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.txt", b"hello"), ("b.zip", b"PK\x03\x04 broken"), ("c.zip", b""), ("d.bin", b"\0" * 10)):
        (tmp_path / name).write_bytes(content)
        assert name in _refused(tmp_path / name)
    assert "cannot be read" in _refused(tmp_path / "missing.zip")


def test_a_package_without_manifest_or_services_is_refused(tmp_path: Path) -> None:
    assert "datapackage.json" in _refused(_zip(tmp_path / "a.zip", {"services.csv": "id,name\n"}))
    manifest = json.dumps({"resources": [{"name": "service", "path": "services.csv"}]})
    assert "services.csv is named" in _refused(_zip(tmp_path / "b.zip", {"datapackage.json": manifest}))
    assert "names none" in _refused(_zip(tmp_path / "c.zip", {"datapackage.json": '{"resources": []}'}))
    assert "no resources" in _refused(_zip(tmp_path / "d.zip", {"datapackage.json": "[]"}))
    assert "not JSON (line 1)" in _refused(_zip(tmp_path / "e.zip", {"datapackage.json": "{"}))
    assert "not UTF-8" in _refused(_zip(tmp_path / "f.zip", {"datapackage.json": b"{\xff}"}))
    assert "no header" in _refused(_zip(tmp_path / "g.zip", _package("a,b\n1,2\n")))
    assert "UTF-16" in _refused(_zip(tmp_path / "h.zip", _package("id,name\n".encode("utf-16"))))


def test_a_path_that_leads_out_of_the_zip_is_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("../services.csv", "/etc/services.csv", "a/../../b.csv", "C:\\x.csv")):
        assert "leads out" in _refused(_zip(tmp_path / f"{number}.zip", {**_package("id,name\n1,x\n"), name: "x"}))


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = _zip(tmp_path / "bomb.zip", _package("id,name\n" + "1,x\n" * 3_000_000))
    assert "unpacks to more" in _refused(bomb)
    monkeypatch.setattr(hsds_package, "MAX_PACKAGE_BYTES", 1000)
    assert "would unpack" in _refused(bomb)
    monkeypatch.setattr(hsds_package, "MAX_FILES", 1)
    assert "more than 1 files" in _refused(bomb)


def test_a_zip_that_lies_about_its_sizes_is_still_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _zip(tmp_path / "liar.zip", _package("id,name\n" + "1,x\n" * 1000))
    content = bytearray(path.read_bytes())
    start = content.rindex(b"PK\x01\x02", 0, content.rindex(b"services.csv"))
    struct.pack_into("<I", content, start + 24, 10)
    path.write_bytes(content)
    monkeypatch.setattr(hsds_package, "MAX_FILE_BYTES", 500)
    assert "services.csv" in _refused(path)


def test_an_encrypted_or_damaged_file_in_the_zip_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "p.zip", _package("id,name\n1,x\n" * 50))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"services.csv"))
    locked = bytearray(content)
    locked[entry + 8] |= 1
    path.write_bytes(locked)
    assert "encrypted" in _refused(path)
    at = content.index(b"services.csv") + len("services.csv") + 4
    content[at : at + 8] = b"\xff" * 8
    path.write_bytes(content)
    assert "damaged" in _refused(path)


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("id,name\n1,secret\n")
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "datapackage.json").write_text(json.dumps({"resources": [{"name": "service", "path": "services.csv"}]}))
    (folder / "services.csv").symlink_to(outside)
    assert "not in the package" in _refused(folder)


# --- HSDS 3 JSON and zips ---------------------------------------------------------------------------------------

ORGANIZATION: dict[str, Any] = {
    "id": "o1",
    "name": "Example Harbour Trust",
    "website": "http://harbour.example",
    "contacts": [
        {"id": "c1", "name": "Jo Hidden", "email": "jo@harbour.example", "phones": [{"number": "+000 555 01"}]}
    ],
    "services": [
        {
            "id": "s1",
            "name": "Counselling",
            "description": "Talks at Example Harbour Trust, write to jo@harbour.example.",
            "minimum_age": 12,
            "last_modified": "2023-03-15T10:30:45Z",
            "languages": [{"name": "Urdu", "code": "ur"}],
            "attributes": [{"link_id": "s1", "taxonomy_term": {"id": "t1", "name": "Mental health counselling"}}],
            "cost_options": [{"option": "Under 18s", "amount": 35, "currency": "gbp"}],
            "service_at_locations": [
                {
                    "id": "a1",
                    "location": {
                        "id": "l1",
                        "name": "Hall",
                        "addresses": [
                            {"address_1": "1 Pier", "city": "Town", "country": "KE", "state_province": "Kisumu"}
                        ],
                    },
                }
            ],
        }
    ],
}


def _as_service() -> dict[str, Any]:
    organization = {name: value for name, value in ORGANIZATION.items() if name != "services"}
    return {**ORGANIZATION["services"][0], "organization": organization}


def _as_service_at_location() -> dict[str, Any]:
    service = _as_service()
    place = service.pop("service_at_locations")[0]
    return {**place, "service": service}


@pytest.mark.parametrize(
    "content",
    [ORGANIZATION, _as_service(), [_as_service()], {"contents": [_as_service()]}, _as_service_at_location()],
    ids=["organization", "service", "list", "page", "service_at_location"],
)
def test_every_form_of_hsds_json_gives_the_same_document(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    rows, report = _read(path)
    document = rows["s1"].document
    assert document["kind"] == "psychosocial_support"
    assert document["languages"] == ["ur"]
    assert document["area"] == "KE-17"
    assert document["eligibility"] == "From the age of 12."
    assert document["verified_on"] == {"start": "2023-03-15", "end": "2023-03-15"}
    assert document["summary"] == "Talks at the provider, write to […].\n\nFees: Under 18s 35 GBP"
    assert document["provider"]["name"] == "Example Harbour Trust"
    assert document["site"] == "1 Pier, Town, Kisumu, KE"
    assert report.problems == []


def test_json_items_that_are_not_understood_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([_as_service(), 7]))
    rows, report = _read(path)
    assert list(rows) == ["s1"]
    assert [str(problem) for problem in report.problems] == ["a.json:2: is not an object"]


@pytest.mark.parametrize("content", ["{", "[]", "[1]", '{"contents": 3}', '{"services.csv": []}', "[" * 100_000])
def test_json_without_services_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    assert "a.json" in _refused(path)


def test_a_zip_and_its_folder_give_the_same(tmp_path: Path) -> None:
    zipped = Path(shutil.make_archive(str(tmp_path / "package"), "zip", SMALL.parent, "hsds_small"))
    assert {key: row.document for key, row in _read(zipped)[0].items()} == {
        key: row.document for key, row in _read(SMALL)[0].items()
    }


# --- the examples and the real directory, where they are --------------------------------------------------------

here = pytest.mark.skipif(
    not MIAMI.exists(), reason="the shared data is not beside this repository; the small package stands in"
)


@here
@pytest.mark.parametrize("name", ["organization_full", "service_full", "service_at_location_full", "tabular"])
def test_the_examples_of_hsds_3_are_read(name: str) -> None:
    rows, report = _read(SHARED / "hsds" / f"example-{name}.json")
    (row,) = rows.values()
    assert row.document["title"] == "Community Counselling"
    assert row.document["kind"] == "psychosocial_support"
    assert "Persona" not in " ".join(str(row.document.get(name)) for name in PUBLISHED)
    assert [problem for problem in report.problems if problem.trouble != "remark"] == []


@here
def test_a_real_directory_goes_in_whole_and_publishes_nobody() -> None:
    package, report, rows = read_package(MIAMI), ImportReport(), []
    for item in documents(package, ImportOptions(expectations="Ask first."), SECRET, load()):
        report.read(item)
        if isinstance(item, ImportRow):
            rows.append(item)
    assert len(rows) == len(package) == len({row.id for row in rows}) == 4089
    assert all(row.has_expectations for row in rows)
    assert report.cut["phone"] > 200
    assert report.cut["email"] > 100
    assert report.cut["address"] > 40
    assert report.cut["provider"] > 3000
    loose = [problem for problem in report.problems if problem.file == "eligibility.csv"]
    assert [(problem.line, problem.rows, problem.trouble) for problem in loose] == [(2, 2244, "loose")]
    assert not report.needs_someone
    assert [row.source_line for row in rows for name in PUBLISHED if findings(row.document.get(name, ""))] == []
    _assert_nobody_is_named(rows)


def _assert_nobody_is_named(rows: list[ImportRow]) -> None:
    """A scan of its own, which knows nothing of the lint: tokens, e-mails, phones, and the provider's own name."""
    with zipfile.ZipFile(MIAMI) as archive:
        text = io.StringIO(archive.read("data/organizations.csv").decode())
    owners = {row["name"] for row in csv.DictReader(text)}
    token, email = re.compile(r"cny[0-9a-f]{8}"), re.compile(r"\w@\w")
    phone = re.compile(r"(?<![\d-])(?:\(\d{3}\) ?|\d{3}[-. ]?)?\d{3}[-.]\d{4}(?!\d)|1[-. ]8\d\d[-. ]|\+\d{6}")
    sealed = ("contact", "site", "internal_notes", "provider", "originals")
    for row in rows:
        shown = {name: value for name, value in row.document.items() if name not in sealed}
        published = json.dumps(shown, ensure_ascii=False)
        assert not token.search(published)
        assert not email.search(published)
        assert not phone.search(published)
        owner = row.document["provider"]["name"]
        if owner in owners:
            words = re.sub(r",? (?:INC|LLC|CORP)\.?$", "", owner, flags=re.IGNORECASE)
            assert not re.search(rf"(?<!\w){re.escape(words)}(?!\w)", published, re.IGNORECASE)


def test_problems_name_no_values() -> None:
    problems = [
        item for item in documents(read_package(SMALL), ImportOptions(), SECRET) if isinstance(item, RowProblem)
    ]
    assert problems
    assert not any(value in str(problem) for problem in problems for value in ("Hidden", "Nobody", "Twice", "Kazoo"))
