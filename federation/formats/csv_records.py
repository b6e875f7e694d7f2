"""Records as CSV: one type a file, a row a record, the header names fields. Bad rows are reported, the others go on.

Cells: lists with `|` between (`women|youth`); a period as `2024-05-01/2024-05-31`; an amount as `1000-5000 EUR`;
numbers of codes as `ngo:12|donor:3`; parts of a value as columns of their own (`contact.email`, `provider.kind`); a
translation as `title@sw`. An `id` keeps records apart between imports, one of this node names its record; without one
the row itself does."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from federation.errors import BadInput
from federation.formats.hsds_tables import ROWS, Row, Tables, read_csv
from federation.formats.imports import ImportOptions, ImportRow, RowProblem, record_uuid, source_uuid
from federation.formats.jsonlines import Told
from federation.records.base import SET_BY_NODE, FieldSpec, RecordType
from federation.records.coded import Codes
from federation.records.registry import RECORD_TYPES
from federation.records.values import Amount, Period

MAX_BYTES = 256 * 1024 * 1024
_LISTS = ("codes",)
_YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_AMOUNT = re.compile(r"(?:(?P<low>[\d.]*)\s*-\s*(?P<high>[\d.]*)|(?P<value>[\d.]+))\s+(?P<currency>[A-Za-z]{3})")
_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")
"""What a spreadsheet may run, also behind apostrophes: one more before it makes it text, and is taken off again."""

_JSON_KINDS = (Amount, Codes, Period)
_EXTRAS = ("handling", "caps", "originals")
"""What a home document may hold beside its fields; the last two stand in their cells as JSON."""


def read_csv_records(
    path: Path, type_key: str, options: ImportOptions, secret: bytes, origin: str = ""
) -> Iterator[ImportRow | RowProblem]:
    """Every row as a record to take in, or as the problem that it has (file, line, reason). `origin` is the node's
    thumbprint, by which it knows the ids of its own records.

    Raises BadInput for a file that is no table of the type at all: not UTF-8, or a header with an unknown column.
    """
    if path.stat().st_size > MAX_BYTES:
        raise BadInput(f"{path.name} is larger than {MAX_BYTES // 1024 // 1024} MB.")
    record_type = RECORD_TYPES[type_key]
    tables = Tables(options.source or path.stem)
    read_csv(path.name, path.read_bytes(), tables, ROWS, any_header=True)
    rows = tables[ROWS]
    header = list(rows[0].cells) if rows else []
    for column in header:
        _check_column(column, record_type, path.name)
    yield from tables.problems
    for row in rows:
        try:
            named = row["id"].strip()
            id = record_uuid(named, type_key, origin, secret)
            document = _document(row, record_type, options)
            if id is None:  # what was exported says itself in which language it is, or does not
                document.setdefault("language", options.language)
            handling = document.pop("handling", None)
            document = record_type.normalise(document) | ({} if handling is None else {"handling": handling})
        except BadInput as error:
            yield RowProblem(row.file, row.line, error.message)
            continue
        if id is None:
            key = named or hashlib.sha256(json.dumps(sorted(row.cells.items())).encode()).hexdigest()
            id = source_uuid(secret, tables.source, f"{type_key}\0{key}")
        yield ImportRow(id, type_key, document, row.file, row.line)


def write_csv(type_key: str, records: Iterable[Told]) -> Iterator[bytes]:
    """The lines (UTF-8) of a CSV that `read_csv_records` understands, the header first. Cells that a spreadsheet would
    run as a formula begin with an apostrophe."""
    record_type = RECORD_TYPES[type_key]
    columns = [name for name, spec in record_type.fields.items() if name not in (*SET_BY_NODE, "translations")]
    flat = [{**_flat(each.document, record_type), "id": each.id or ""} for each in records]
    extra = sorted({name for row in flat for name in row if name not in columns and name != "id"})
    header = [name for name in ("id", *columns, *extra) if name == "id" or any(row.get(name) for row in flat)]
    for cells in (header, *([row.get(name, "") for name in header] for row in flat)):
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow(
            [f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells]
        )
        yield line.getvalue().encode()


def _check_column(column: str, record_type: RecordType, file: str) -> None:
    field = re.split(r"[.@]", column, maxsplit=1)[0]
    if column in ("id", "type", *_EXTRAS) or (
        field in record_type.fields and field not in (*SET_BY_NODE, "translations")
    ):
        return
    raise BadInput(f"{file}:1: {record_type.graphql} has no field {column[:60]!r}.", field=column[:60])


def _document(row: Row, record_type: RecordType, options: ImportOptions) -> dict[str, Any]:
    """The home document of a row: cells by field, parts put together, translations by language."""
    if row["type"].strip() not in ("", record_type.key):
        raise BadInput(f"type: this file is read as {record_type.key}.")
    document: dict[str, Any] = {}
    translations: dict[str, dict[str, str]] = {}
    for column, cell in row.cells.items():
        cell = cell.strip()
        if not cell or column in ("id", "type"):
            continue
        cell = cell[1:] if cell[0] == "'" and _FORMULA.match(cell) else cell
        name, part, language = *(column.partition(".")[::2]), ""
        if "@" in column:
            name, _, language = column.partition("@")
        try:
            if name in _EXTRAS:
                document[name] = cell if name == "handling" else json.loads(cell)
            elif language:
                translations.setdefault(language, {})[name] = cell
            elif part:
                document.setdefault(name, {})[part] = int(cell) if cell.isdigit() and _counted(part) else cell
            else:
                document[name] = value_of(cell, record_type.fields[name])
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(f"{column}: this cell is not understood.") from error
    if translations:
        document["translations"] = translations
    if options.expectations and not document.get("expectations"):
        document["expectations"] = options.expectations
    return document


def _counted(part: str) -> bool:
    return part in ("free", "total", "waiting")


def value_of(cell: str, spec: FieldSpec) -> Any:
    """The value of a cell by the kind of its field; ValueError if it cannot be one."""
    kind = spec.kind
    if cell[0] in "{[" and isinstance(kind, _JSON_KINDS):
        return json.loads(cell)
    if kind.name == "flag":
        if cell.lower() not in _YES_NO:
            raise BadInput(f"{spec.name}: this must be yes or no.")
        return _YES_NO[cell.lower()]
    if kind.name in ("whole", "count"):
        return int(cell)
    if kind.name == "period":
        start, _, end = cell.partition("/")
        return {"start": start.strip(), "end": (end or start).strip()}
    if kind.name == "amount":
        return _amount(cell, spec.name)
    if kind.name in _LISTS and "bands" in kind.ladder:
        return {code.strip(): int(number) for code, _, number in (each.partition(":") for each in cell.split("|"))}
    if kind.name in _LISTS:
        return [each.strip() for each in cell.split("|") if each.strip()]
    if kind.name == "contact":
        return {"note": cell}
    if type(kind).__name__ == "Party":
        return {"name": cell}
    return cell


def _amount(cell: str, name: str) -> dict[str, str]:
    match = _AMOUNT.fullmatch(cell)
    if match is None:
        raise BadInput(f"{name}: this must be an amount like 1000-5000 EUR.")
    found = {"value": match["value"], "minimum": match["low"], "maximum": match["high"]}
    return {"currency": match["currency"].upper(), **{part: text for part, text in found.items() if text}}


def _flat(document: Mapping[str, Any], record_type: RecordType) -> dict[str, str]:
    cells: dict[str, str] = {}
    for name, value in document.items():
        if name in _EXTRAS and value:
            cells[name] = value if name == "handling" else json.dumps(value, ensure_ascii=False, sort_keys=True)
        if name not in record_type.fields or value is None or name in SET_BY_NODE:
            continue
        if name == "translations":
            for language, texts in value.items():
                cells.update({f"{field}@{language}": text for field, text in texts.items()})
        else:
            cells.update(cells_of(name, value, record_type.fields[name]))
    return cells


def cells_of(name: str, value: Any, spec: FieldSpec) -> dict[str, str]:
    if isinstance(value, bool):
        return {name: "yes" if value else "no"}
    if isinstance(value, Mapping):
        if spec.kind.name == "period":
            return {name: value["start"] if value["start"] == value["end"] else f"{value['start']}/{value['end']}"}
        if spec.kind.name == "amount" and "value" not in value and value.get("precision") != "BAND":
            return {name: f"{value.get('minimum') or ''}-{value.get('maximum') or ''} {value['currency']}"}
        if spec.kind.name in _LISTS and "bands" in spec.kind.ladder:
            return {name: "|".join(f"{code}:{number}" for code, number in value.items())}
        if spec.kind.name == "amount":
            return {name: json.dumps(dict(value))}
        return {f"{name}.{part}": str(each) for part, each in value.items()}
    if isinstance(value, list):
        simple = all(isinstance(each, str) for each in value)
        return {name: "|".join(value) if simple else json.dumps(value, ensure_ascii=False)}
    return {name: str(value)}
