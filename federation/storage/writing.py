"""Writes rows of records: their columns and the words under which they are found. Used by intake and sweeper alone.

It takes rows as they are: what may be in them is decided before. It must never write the journal or read a clock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, text

from federation.records.registry import RECORD_TYPES
from federation.records.rows import bits, search_words
from federation.storage.tables import record_table, searched_columns

Row = dict[str, Any]
Steps = Mapping[str, Any]

WORD_LENGTH = 100
"""Longer words are cut, in the index as in a query: PostgreSQL has a limit."""

_CHUNK = 500


def full_mask(type_key: str) -> int:
    """The mask of all steps: for rows that come or go whole."""
    return (1 << len(bits(RECORD_TYPES[type_key]))) - 1


def digest(row: Mapping[str, Any], steps: Steps) -> bytes:
    """16 bytes that are equal for equal content: facts and step columns."""
    facts = [row["status"], row["handling"], row["terms"], row["path"], row["relay"], row["hops_left"], row["not_to"]]
    return hashlib.sha256(orjson.dumps([facts, steps], option=orjson.OPT_SORT_KEYS)).digest()[:16]


def indexed_words(type_key: str, steps: Steps) -> list[list[str]]:
    """The words of each indexed column, in the order of `searched_columns`; those of translations after the text's."""
    found = []
    for column in searched_columns(type_key):
        words = search_words(steps[column]) if steps.get(column) else []
        if translated := steps.get(f"{column}__tr"):
            for each in json.loads(translated).values():
                words.extend(search_words(each))
        found.append([word[:WORD_LENGTH] for word in words])
    return found


def lexemes(words: Sequence[Sequence[str]]) -> str:
    """The words as a literal of PostgreSQL's tsvector, each under the number of its column: `'0:help' '1:legal'`."""
    return " ".join(sorted({f"'{number}:{word}'" for number, column in enumerate(words) for word in column}))


def insert_rows(connection: Connection, type_key: str, rows: Sequence[Row]) -> list[int]:
    """Inserts rows (all columns but `rid` and `fts`) and their words; gives the row ids in the same order."""
    if not rows:
        return []
    rids = _new_rids(connection, type_key, len(rows))
    sqlite = connection.dialect.name == "sqlite"
    for row, rid in zip(rows, rids, strict=True):
        row["rid"] = rid
        row["fts"] = None if sqlite else lexemes(indexed_words(type_key, row))
    _run(connection, _insert(type_key, sqlite), _names(type_key), rows)
    if sqlite:
        _insert_words(connection, type_key, rows)
    return rids


def update_rows(connection: Connection, type_key: str, rows: Sequence[Row]) -> None:
    """Writes rows (all columns but `fts`, with the `rid` that they have) and their words anew."""
    if not rows:
        return
    sqlite = connection.dialect.name == "sqlite"
    for row in rows:
        row["fts"] = None if sqlite else lexemes(indexed_words(type_key, row))
    _run(connection, _update(type_key, sqlite), (*_names(type_key)[1:], "rid"), rows)
    if sqlite:
        _delete_words(connection, type_key, [row["rid"] for row in rows])
        _insert_words(connection, type_key, rows)


def delete_rows(connection: Connection, type_key: str, rids: Sequence[int]) -> None:
    """Deletes rows, their words, and what was signed of them."""
    table = record_table(type_key).name
    for part in chunks(rids):
        _where_rid(connection, f"DELETE FROM {table} WHERE rid IN :rids", part)  # noqa: S608  (no values in it)
    if connection.dialect.name == "sqlite":
        _delete_words(connection, type_key, rids)


def set_statuses(connection: Connection, type_key: str, statuses: Iterable[tuple[int, str]]) -> None:
    """Sets the status of rows that stay otherwise as they are: (rid, status)."""
    values = [{"rid": rid, "status": status} for rid, status in statuses]
    if values:
        table = record_table(type_key).name
        connection.execute(text(f"UPDATE {table} SET status = :status WHERE rid = :rid"), values)  # noqa: S608


def steps_of(connection: Connection, type_key: str, rids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The step columns of rows by row id."""
    names = step_columns_of(type_key)
    chosen = ", ".join(f'"{name}"' for name in names)
    found: dict[int, dict[str, Any]] = {}
    for part in chunks(rids):
        statement = f"SELECT rid, {chosen} FROM {record_table(type_key).name} WHERE rid IN :rids"  # noqa: S608
        for row in _where_rid(connection, statement, part):
            found[row[0]] = dict(zip(names, row[1:], strict=True))
    return found


@cache
def step_columns_of(type_key: str) -> tuple[str, ...]:
    """The names of all step columns of a type."""
    return tuple(column.name for column in record_table(type_key).c if "__" in column.name)


def chunks(items: Sequence[Any], size: int = _CHUNK) -> Iterable[Sequence[Any]]:
    """A sequence in parts that fit into one statement."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _where_rid(connection: Connection, statement: str, rids: Sequence[int], **more: Any) -> Any:
    return connection.execute(
        text(statement).bindparams(bindparam("rids", expanding=True)), {"rids": list(rids)} | more
    )


def _new_rids(connection: Connection, type_key: str, count: int) -> list[int]:
    """Row ids that were never used; on SQLite the writer is alone, on PostgreSQL the sequence hands them out."""
    table = record_table(type_key).name
    if connection.dialect.name == "sqlite":
        row = connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table}).first()
        start = (row[0] if row else 0) + 1
        return list(range(start, start + count))
    drawn = connection.execute(
        text("SELECT nextval(pg_get_serial_sequence(:name, 'rid')) FROM generate_series(1, :count)"),
        {"name": f'"{table}"', "count": count},
    )
    return [row[0] for row in drawn]


def _run(connection: Connection, statement: str, names: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Runs a statement for each row; on SQLite past SQLAlchemy and by place, which is much faster."""
    if connection.dialect.name == "sqlite":
        pick = itemgetter(*names)
        _driver(connection).executemany(statement, [pick(row) for row in rows])
    else:
        connection.exec_driver_sql(statement, list(rows))


@cache
def _names(type_key: str) -> tuple[str, ...]:
    return tuple(column.name for column in record_table(type_key).c)


@cache
def _insert(type_key: str, sqlite: bool) -> str:
    table = record_table(type_key)
    names = [column.name for column in table.c]
    values = ", ".join(_parameter(name, sqlite) for name in names)
    return f'INSERT INTO "{table.name}" ({", ".join(names)}) VALUES ({values})'  # noqa: S608


@cache
def _update(type_key: str, sqlite: bool) -> str:
    table = record_table(type_key)
    sets = ", ".join(f"{column.name} = {_parameter(column.name, sqlite)}" for column in table.c if column.name != "rid")
    return f'UPDATE "{table.name}" SET {sets} WHERE rid = {_parameter("rid", sqlite)}'  # noqa: S608


def _parameter(name: str, sqlite: bool) -> str:
    if sqlite:
        return "?"
    return "CAST(%(fts)s AS tsvector)" if name == "fts" else f"%({name})s"


def _insert_words(connection: Connection, type_key: str, rows: Sequence[Row]) -> None:
    columns = searched_columns(type_key)
    if not columns:
        return
    table = record_table(type_key).name
    marks = ", ".join("?" for _ in range(len(columns) + 1))
    quoted = ", ".join(f'"{column}"' for column in columns)
    values = []
    for row in rows:
        words = indexed_words(type_key, row)
        if any(words):
            values.append((row["rid"], *(" ".join(column) for column in words)))
    if values:
        statement = f'INSERT INTO "{table}_fts" (rowid, {quoted}) VALUES ({marks})'  # noqa: S608
        _driver(connection).executemany(statement, values)


def _delete_words(connection: Connection, type_key: str, rids: Sequence[int]) -> None:
    if searched_columns(type_key):
        statement = f'DELETE FROM "{record_table(type_key).name}_fts" WHERE rowid = ?'  # noqa: S608
        _driver(connection).executemany(statement, [(rid,) for rid in rids])


def _driver(connection: Connection) -> Any:
    """The driver's own connection, within the same transaction."""
    return connection.connection.driver_connection
