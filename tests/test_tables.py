"""Tables derived from the record types: nothing sealed has a column, and both databases have the same."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import LargeBinary, text

from federation.policies.tiers import Tier
from federation.records.registry import RECORD_TYPES
from federation.records.rows import columns
from federation.storage import writing
from federation.storage.database import Database
from federation.storage.migrating import check
from federation.storage.tables import FACTS, indexed_pairs, metadata, record_table, searched_columns, step_column_names

TYPES = pytest.mark.parametrize("type_key", RECORD_TYPES)


@TYPES
def test_every_step_that_is_not_sealed_has_its_columns_and_no_other(type_key: str) -> None:
    record_type = RECORD_TYPES[type_key]
    stored = {column.name for column in record_table(type_key).c if "__" in column.name}
    wanted = {
        name
        for spec in record_type.fields.values()
        for step in spec.steps
        if step.tier < Tier.SEALED
        for name in step_column_names(spec, step.name)
    }
    assert stored == wanted == {column.name for column in columns(record_type)}


@TYPES
def test_no_column_name_is_too_long_for_a_database(type_key: str) -> None:
    assert max(len(column.name) for column in record_table(type_key).c) <= 63


@TYPES
def test_facts_are_columns(type_key: str) -> None:
    assert set(FACTS) <= {column.name for column in record_table(type_key).c}


@TYPES
def test_an_index_begins_with_columns_that_exist_and_holds_shared_rows_only(type_key: str) -> None:
    table = record_table(type_key)
    names = {column.name for column in table.c}
    for pair in indexed_pairs(type_key):
        assert set(pair) <= names
    for index in table.indexes:
        if index.name and index.name[-1].isdigit():
            assert str(index.dialect_options["sqlite"]["where"]) == "status = 'shared'"
            assert [column.name for column in index.columns][-1] == "id"


def test_no_sealed_text_is_indexed() -> None:
    assert searched_columns("space") == ("expectations__exact",)
    assert not any("internal" in column for key in RECORD_TYPES for column in searched_columns(key))


def test_a_type_that_does_not_exist_has_no_table() -> None:
    with pytest.raises(KeyError):
        record_table("nothing")


def test_the_schema_that_was_migrated_is_that_of_the_code(database: Database) -> None:
    assert check(database) == []


def test_a_schema_that_differs_is_told(database: Database) -> None:
    index = "DROP TABLE notice_fts" if database.dialect == "sqlite" else "DROP INDEX ix_notice_fts"
    with database.write() as connection:
        connection.execute(text(index))
        connection.execute(text("CREATE TABLE meta_two (x INTEGER)"))
        connection.execute(text("ALTER TABLE meta ADD COLUMN more TEXT"))
        connection.execute(text("DROP INDEX ix_resource_gid"))
    found = " ".join(check(database))
    assert "fts" in found
    assert "more" in found
    assert "ix_resource_gid" in found
    assert "meta_two" not in found


def test_texts_compare_by_bytes_on_both_databases(database: Database) -> None:
    words = ["a", "B", "~", "Z", "é", "10", "9", "", "-"]
    with database.write() as connection:
        connection.execute(
            text("INSERT INTO meta (key, value) VALUES (:key, '')"), [{"key": f"k{word}"} for word in words]
        )
    with database.read() as connection:
        found = [row[0][1:] for row in connection.execute(text("SELECT key FROM meta ORDER BY key"))]
    assert found == sorted(words, key=str.encode)


def test_every_table_can_hold_nothing_but_what_is_needed(database: Database) -> None:
    with database.read() as connection:
        for table in metadata.sorted_tables:
            assert connection.execute(table.select()).all() == []


@pytest.mark.parametrize("type_key", ["notice", "resource"])
def test_rows_get_numbers_that_were_never_used(database: Database, type_key: str) -> None:
    def insert(count: int) -> list[int]:
        with database.write() as connection:
            return writing.insert_rows(connection, type_key, [plain_row(type_key, n) for n in range(count)])

    first = insert(3)
    with database.write() as connection:
        writing.delete_rows(connection, type_key, first)
    second = insert(2)
    assert len(set(first + second)) == 5
    assert min(second) > max(first)
    with database.write() as connection:
        assert writing.insert_rows(connection, type_key, []) == []
        writing.update_rows(connection, type_key, [])


def plain_row(type_key: str, number: int) -> dict[str, Any]:
    """A row with every column at its plainest."""
    row: dict[str, Any] = {}
    for column in record_table(type_key).c:
        if isinstance(column.type, LargeBinary):
            row[column.name] = number.to_bytes(16, "big")
        else:
            plain = 0 if column.type.python_type is int else ""
            row[column.name] = None if column.nullable else plain
    return {**row, "gid": str(number), "id": number.to_bytes(16, "big")}
