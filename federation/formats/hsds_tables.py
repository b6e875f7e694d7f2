"""The tables of an HSDS package as rows of text cells, and the reader of one CSV file. Bad rows are noted
and left out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from federation.errors import BadInput
from federation.formats.imports import RowProblem, Trouble

TABLES: Mapping[str, tuple[str, ...]] = {
    "services": ("service", "services"),
    "organizations": ("organization", "organizations"),
    "programs": ("program", "programs"),
    "locations": ("location", "locations"),
    "service_at_location": ("service_at_location", "services_at_location", "service_at_locations"),
    "phones": ("phone", "phones"),
    "contacts": ("contact", "contacts"),
    "addresses": (
        "address", "addresses", "physical_address", "physical_addresses", "postal_address", "postal_addresses",
    ),
    "languages": ("language", "languages"),
    "eligibility": ("eligibility", "eligibilities"),
    "accessibility": ("accessibility", "accessibility_for_disabilities"),
    "taxonomy_terms": ("taxonomy", "taxonomy_term", "taxonomy_terms"),
    "service_taxonomy": ("service_taxonomy", "services_taxonomy"),
    "attributes": ("attribute", "attributes", "service_attribute", "service_attributes"),
    "schedules": ("schedule", "schedules", "regular_schedule", "regular_schedules"),
    "service_areas": ("service_area", "service_areas"),
    "required_documents": ("required_document", "required_documents"),
    "cost_options": ("cost_option", "cost_options"),
    "funding": ("funding", "fundings"),
    "organization_identifiers": ("organization_identifier", "organization_identifiers"),
}  # fmt: skip
"""The tables that are read, by the names that they have had from HSDS 1.1 to 3.x."""

ROWS = "rows"
"""The one table of a file that is no package: each of its rows is a record."""

RECORDS = ("services", ROWS)

TABLE_OF = {alias: table for table, aliases in TABLES.items() for alias in aliases}


@dataclass(frozen=True)
class Row:
    """One row of a table: the file and line it stands on, and its cells as text by column."""

    file: str
    line: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        """The cell, or the empty text where there is no such column."""
        return self.cells.get(column, "")


@dataclass
class Tables:
    """What was read of a package: a name for its source, rows by table, and what could not be read."""

    source: str
    rows: dict[str, list[Row]] = field(default_factory=dict)
    problems: list[RowProblem] = field(default_factory=list)

    def __getitem__(self, table: str) -> list[Row]:
        return self.rows.get(table, [])


def read_csv(file: str, content: bytes, tables: Tables, table: str, *, any_header: bool = False) -> None:
    """Appends the rows of a CSV file (RFC 4180, UTF-8). Rows that are not UTF-8 or do not fit the header are noted as
    problems; BadInput for a file that is no table (of HSDS, unless `any_header`) at all."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:4096]:
        raise BadInput(f"{file} is not UTF-8 (it looks like UTF-16); save it as UTF-8.")
    text = content.decode("utf-8-sig", "surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip().strip("\ufeff").lower() for name in next(reader, [])]
    if (
        not any_header
        and "id" not in header
        and "name" not in header
        and not any(name.endswith("_id") for name in header)
    ):
        raise BadInput(f"{file} has no header of HSDS columns in its first line.")
    rows = tables.rows.setdefault(table, [])
    ascii_only = content.isascii()
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            tables.problems.append(RowProblem(file, line, f"not CSV: {error}", trouble=trouble_of(table)))
            continue
        if not cells or (len(cells) == 1 and not cells[0].strip()):
            continue
        reason = None if ascii_only else _not_utf8(cells)
        if len(cells) != len(header):
            reason = f"has {len(cells)} cells where the header has {len(header)}"
        if reason:
            tables.problems.append(RowProblem(file, line, reason, trouble=trouble_of(table)))
        else:
            rows.append(Row(file, line, dict(zip(header, cells, strict=True))))


def trouble_of(table: str) -> Trouble:
    """What a row of a table is that cannot be read: a record, or something beside one."""
    return "record" if table in RECORDS else "unread"


def _not_utf8(cells: list[str]) -> str | None:
    if any("\ud800" <= character <= "\udfff" for cell in cells if not cell.isascii() for character in cell):
        return "is not UTF-8; save the file as UTF-8"
    return None


def parse_json(content: bytes, name: str) -> Any:
    """The parsed JSON of a file, or BadInput that names the file and the line."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise BadInput(f"{name} is not JSON{where}.") from error
