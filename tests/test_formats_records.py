"""Records as JSON and CSV: what is written is read again; what is malformed is refused or reported."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from federation.errors import BadInput
from federation.formats.csv_records import read_csv_records, write_csv
from federation.formats.imports import ImportOptions, ImportRow, RowProblem
from federation.formats.jsonlines import Told, read_records, write_records
from federation.records import samples
from federation.records.registry import RECORD_TYPES
from federation.storage.ids import global_id

SECRET = b"s" * 32
ORIGIN = "thumbprint-of-river"


def _file(tmp_path: Path, content: str | bytes, name: str = "records.json") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _rows(path: Path, type_key: str, options: ImportOptions | None = None) -> list[ImportRow | RowProblem]:
    return list(read_csv_records(path, type_key, options or ImportOptions(), SECRET, ORIGIN))


# --- JSON -------------------------------------------------------------------------------------------------------


def test_records_are_read_from_one_object_a_list_and_lines(tmp_path: Path) -> None:
    one = '{"type": "notice", "document": {"kind": "solidarity", "text": "x"}}'
    expected = Told("notice", {"kind": "solidarity", "text": "x"})
    assert read_records(_file(tmp_path, one)) == [expected]
    assert read_records(_file(tmp_path, f"[{one}, {one}]")) == [expected, expected]
    assert read_records(_file(tmp_path, f"{one}\n\n{one}\n")) == [expected, expected]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        ("[]", "holds no record"),
        ("[{]", ":1 is not JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_malformed_json_is_refused_with_its_place(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(BadInput, match=r"records\.json") as caught:
        read_records(_file(tmp_path, content))
    assert told in caught.value.message


GOOD = '{"type": "notice", "document": {}}'


@pytest.mark.parametrize(
    ("content", "place", "told"),
    [
        (f'{GOOD}\n{{"type": \n{GOOD}', 2, "is not JSON"),
        (f'{GOOD}\n\n{{"type": "person", "document": {{}}}}\n{GOOD}', 3, "has no type of: network, "),
        (f'[{GOOD}, {{"type": "notice"}}, {GOOD}]', 2, "is not of the form"),
        (f'[{GOOD}, {{"type": "notice", "document": {{}}, "more": 1}}, {GOOD}]', 2, "is not of the form"),
        (f'[{GOOD}, {{"type": "notice", "id": 7, "document": {{}}}}, {GOOD}]', 2, "is not of the form"),
        (f"[{GOOD}, 3, {GOOD}]", 2, "is not of the form"),
        (f'[{GOOD}, {{"type": ["notice"], "document": {{}}}}, {GOOD}]', 2, "has no type of"),
    ],
)
def test_an_entry_that_is_no_record_stops_no_other(tmp_path: Path, content: str, place: int, told: str) -> None:
    first, problem, last = read_records(_file(tmp_path, content))
    assert first == last == Told("notice", {})
    assert isinstance(problem, RowProblem)
    assert str(problem).startswith(f"records.json:{place}: {told}")


def test_what_is_written_as_json_is_read_again(tmp_path: Path) -> None:
    records = [Told(type_key, document, seed) for type_key, seed, document in samples.load("west")]
    assert read_records(_file(tmp_path, b"".join(write_records(records)))) == records


# --- CSV --------------------------------------------------------------------------------------------------------


def test_every_kind_of_cell_is_read(tmp_path: Path) -> None:
    header = (
        "id,title,kind,topic,welcomes,languages,response_hours,renewable,amount,dates,places.state,places.free,"
        "contact.email,provider.name,provider.kind,outcomes,title@sw,valid_until,area"
    )
    row = (
        "c1,Kozi,legal_support,upr,women|youth,sw|fr,72,yes,1000-5000 EUR,2024-05-01/2024-05-03,open,4,"
        "a@b.example,Circle,movement,participants:24|completed:7,Kozi ya UPR,2030-01-01,KE-17"
    )
    (read,) = _rows(_file(tmp_path, f"{header}\n{row}\n", "c.csv"), "capacityOffer", ImportOptions(expectations="Ask."))
    assert isinstance(read, ImportRow)
    assert read.document == {
        "title": "Kozi",
        "kind": "legal_support",
        "topic": "upr",
        "welcomes": ["women", "youth"],
        "languages": ["sw", "fr"],
        "response_hours": 72,
        "renewable": True,
        "amount": {"minimum": "1000", "maximum": "5000", "currency": "EUR"},
        "dates": {"start": "2024-05-01", "end": "2024-05-03"},
        "places": {"state": "open", "free": 4},
        "contact": {"email": "a@b.example"},
        "provider": {"name": "Circle", "kind": "movement"},
        "outcomes": {"completed": 7, "participants": 24},
        "translations": {"sw": {"title": "Kozi ya UPR"}},
        "valid_until": "2030-01-01",
        "area": "KE-17",
        "language": "en",
        "expectations": "Ask.",
    }


def test_bad_rows_are_reported_and_the_others_go_in(tmp_path: Path) -> None:
    content = (
        "id,kind,text,deadline\n1,solidarity,One,\n2,unheard_of,Two,\n3,solidarity,Three,tomorrow\n"
        "4,solidarity,Four,2030-01-01,more\n5,solidarity,,\n6,recognition,Six,2030-01-01\n"
    )
    rows = _rows(_file(tmp_path, content, "n.csv"), "notice")
    assert [row.source_line for row in rows if isinstance(row, ImportRow)] == [2, 7]
    assert sorted(str(row) for row in rows if isinstance(row, RowProblem)) == [
        "n.csv:3: kind: This must be a code of the list noticeKind.",
        "n.csv:4: deadline: This must be a date like 2024-05-01.",
        "n.csv:5: has 5 cells where the header has 4",
        "n.csv:6: text is needed.",
    ]


@pytest.mark.parametrize(
    ("column", "cell"),
    [("response_hours", "soon"), ("renewable", "perhaps"), ("amount", "much"), ("amount", "{"), ("availability", "{"),
     ("title.part", "x"), ("type", "notice"), ("caps", "band"), ("amount", "[" * 100_000)],
)  # fmt: skip
def test_a_cell_that_is_not_understood_is_reported_without_its_value(tmp_path: Path, column: str, cell: str) -> None:
    content = f"title,kind,{column}\nTea,other,{cell}\n"
    (problem,) = _rows(_file(tmp_path, content, "r.csv"), "resource")
    assert isinstance(problem, RowProblem)
    assert problem.line == 2
    assert f" {cell} " not in str(problem)


def test_a_header_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    for column in ("colour", "created_at", "translations", "handling.x", "caps.amount", "internal"):
        with pytest.raises(BadInput, match=r"r\.csv:1"):
            _rows(_file(tmp_path, f"title,kind,{column}\na,other,c\n", "r.csv"), "resource")


def test_ids_stay_with_the_id_column_or_else_with_the_row(tmp_path: Path) -> None:
    first = _rows(_file(tmp_path, "id,kind,text\n1,solidarity,One\n", "n.csv"), "notice")
    again = _rows(_file(tmp_path, "id,kind,text\n1,solidarity,Changed\n", "n.csv"), "notice")
    assert isinstance(first[0], ImportRow)
    assert isinstance(again[0], ImportRow)
    assert first[0].id == again[0].id
    bare = _rows(_file(tmp_path, "kind,text\nsolidarity,One\nsolidarity,Two\nsolidarity,One\n", "n.csv"), "notice")
    ids = [row.id for row in bare if isinstance(row, ImportRow)]
    assert ids[0] == ids[2] != ids[1]


def test_an_id_of_this_node_names_its_record_and_one_of_another_always_makes_the_same(tmp_path: Path) -> None:
    own, other = (global_id("notice", origin, b"7" * 16) for origin in (ORIGIN, "thumbprint-of-west"))
    content = f"id,kind,text\n{own},solidarity,One\n{other},solidarity,Two\n"
    first, second = _rows(_file(tmp_path, content, "n.csv"), "notice")
    assert isinstance(first, ImportRow)
    assert first.id.bytes == b"7" * 16
    again = _rows(_file(tmp_path, content, "elsewhere.csv"), "notice")[1]
    assert isinstance(second, ImportRow)
    assert isinstance(again, ImportRow)
    assert second.id == again.id != first.id


def test_an_id_of_another_type_is_reported(tmp_path: Path) -> None:
    content = f"id,kind,text\n{global_id('need', ORIGIN, bytes(16))},solidarity,One\n"
    assert [str(each) for each in _rows(_file(tmp_path, content, "n.csv"), "notice")] == [
        "n.csv:2: id: this is the id of a need, not of a notice."
    ]


@pytest.mark.parametrize("text", ["=1+1", "+254 is Kenya", "-1", "@here", "'=1+1", "''-1", "＝1+1", "it's", "'quoted'"])
def test_formulas_are_disarmed_and_read_again(text: str, tmp_path: Path) -> None:
    document = {"kind": "solidarity", "text": text, "language": "en"}
    written = b"".join(write_csv("notice", [Told("notice", document)])).decode()
    (cells,) = list(csv.reader(written.splitlines()))[1:]
    assert not [cell for cell in cells if cell[:1] in "=+-@＝" and cell]
    (row,) = _rows(_file(tmp_path, written, "n.csv"), "notice")
    assert isinstance(row, ImportRow)
    assert row.document == document


@pytest.mark.parametrize("text", ["[Draft] night shelter", "{name} is asked for", "[1, 2]", '{"a": 1}'])
def test_a_text_that_looks_like_json_stays_a_text(text: str, tmp_path: Path) -> None:
    document = {"kind": "other", "title": text, "language": "en"}
    written = b"".join(write_csv("resource", [Told("resource", document)]))
    (row,) = _rows(_file(tmp_path, written, "r.csv"), "resource")
    assert isinstance(row, ImportRow)
    assert row.document == document


def test_what_keeps_a_record_back_goes_with_it(tmp_path: Path) -> None:
    document = {
        "kind": "other",
        "title": "Tea",
        "language": "en",
        "handling": "TLP:AMBER",
        "caps": {"area": "sub_region", "title": None},
        "originals": {"kind": "Something else"},
    }
    written = b"".join(write_csv("resource", [Told("resource", document)]))
    (row,) = _rows(_file(tmp_path, written, "r.csv"), "resource")
    assert isinstance(row, ImportRow)
    assert row.document == document


@pytest.mark.parametrize("type_key", list(RECORD_TYPES))
def test_what_is_written_as_csv_is_read_again(tmp_path: Path, type_key: str) -> None:
    documents: list[dict[str, Any]] = []
    for name in samples.NAMES:
        for key, _, document in samples.load(name):
            if key == type_key:
                kept = {field: value for field, value in document.items() if field != "handling"}
                told = {field: value for field, value in document.items() if field == "handling"}
                documents.append(RECORD_TYPES[type_key].normalise(kept) | told)
    written = b"".join(write_csv(type_key, (Told(type_key, document) for document in documents))).decode()
    assert len(next(csv.reader([written.splitlines()[0]]))) > 3
    rows = _rows(_file(tmp_path, written, "all.csv"), type_key)
    assert [row.document if isinstance(row, ImportRow) else str(row) for row in rows] == documents
