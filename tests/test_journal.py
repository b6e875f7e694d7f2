"""The journal misses nothing, says nothing twice, and holds no value."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from federation.errors import BadInput
from federation.storage import journal
from federation.storage.database import Database
from federation.storage.journal import START, Entry, Facts, Position

SHARED = Facts("shared", 0, 0, 1, 99, 0, 7)


def entry(number: int, **more: object) -> Entry:
    values = {"before": None, "after": SHARED, "steps": 5} | more
    return Entry("notice", number, number.to_bytes(16, "big"), 0, 0, **values)  # type: ignore[arg-type]


def everything(database: Database, after: Position = START) -> list[journal.Change]:
    with database.read() as connection:
        return journal.read(connection, after, 100_000)


def test_an_entry_is_read_as_it_was_written(database: Database) -> None:
    with database.write() as connection:
        assert journal.append(connection, [entry(7, before=Facts("draft", 2, 3, 0, 1, 8, 1 << 48), steps=1 << 90)]) == 1
    (change,) = everything(database)
    assert (change.type, change.rid, change.id) == ("notice", 7, (7).to_bytes(16, "big"))
    assert change.before == Facts("draft", 2, 3, 0, 1, 8, 1 << 48)
    assert change.after == SHARED
    assert change.steps == 1 << 90
    assert len(change.tag) == journal.TAG_BYTES


def test_no_entries_write_nothing(database: Database) -> None:
    with database.write() as connection:
        assert journal.append(connection, []) == 0
    assert everything(database) == []


def test_positions_go_up_and_a_reader_goes_on_where_it_was(database: Database) -> None:
    for number in range(5):
        with database.write() as connection:
            journal.append(connection, [entry(number)])
    changes = everything(database)
    positions = [change.position for change in changes]
    assert positions == sorted(set(positions))
    assert [change.rid for change in everything(database, positions[2])] == [3, 4]
    with database.read() as connection:
        assert [change.rid for change in journal.read(connection, START, 2)] == [0, 1]
        assert [change.rid for change in journal.read(connection, START, 9, upto=positions[1])] == [0, 1]


def test_the_head_is_the_last_entry(database: Database) -> None:
    with database.read() as connection:
        assert journal.head(connection) == START
    with database.write() as connection:
        journal.append(connection, [entry(1), entry(2)])
    with database.read() as connection:
        assert journal.head(connection) == everything(database)[-1].position


def plans(connection: Connection, asked: Callable[[], object]) -> list[str]:
    """The plans of all statements of a call, on PostgreSQL as if the journal were long."""
    sqlite = connection.dialect.name == "sqlite"
    heard: list[tuple[str, Any]] = []

    def hear(_: object, __: object, statement: str, values: Any, *___: object) -> None:
        heard.append((statement, values))

    event.listen(connection, "before_cursor_execute", hear)
    asked()
    event.remove(connection, "before_cursor_execute", hear)
    if not sqlite:
        for setting in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            connection.exec_driver_sql(f"SET LOCAL {setting} = off")
    told = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
    return [
        "\n".join(str(row[-1]) for row in connection.exec_driver_sql(told + statement, values))
        for statement, values in heard
        if "FROM change" in statement
    ]


@pytest.mark.parametrize("what", ["head", "read", "tag"])
def test_a_long_journal_is_neither_scanned_nor_sorted(database: Database, what: str) -> None:
    with database.write() as connection:
        journal.append(connection, [entry(number) for number in range(20)])
    with database.read() as connection:
        ask = {
            "head": lambda: journal.head(connection),
            "read": lambda: journal.read(connection, Position(0, 5), 3),
            "tag": lambda: connection.execute(text("SELECT x, pos FROM change WHERE tag = :tag"), {"tag": b"12345678"}),
        }[what]
        (plan,) = plans(connection, ask)
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
    if database.dialect == "sqlite":
        walks = {"head": "SCAN change", "read": "INTEGER PRIMARY KEY (rowid>?)", "tag": "INDEX ix_change_tag (tag=?)"}
    else:
        walks = {"head": "ix_change_position", "read": "ix_change_position", "tag": "ix_change_tag"}
    assert walks[what] in plan


def test_a_tag_names_the_entry_at_a_position(database: Database) -> None:
    with database.write() as connection:
        journal.append(connection, [entry(1, tag=b"12345678")])
    (change,) = everything(database)
    with database.read() as connection:
        assert journal.tag_at(connection, change.position) == b"12345678"
        assert journal.tag_at(connection, Position(change.position.x, change.position.n + 1)) is None


def test_pruning_raises_the_floor_in_the_same_transaction(database: Database) -> None:
    with database.write() as connection:
        journal.append(connection, [entry(number) for number in range(6)])
    kept = everything(database)

    def prune_and_crash() -> None:
        with database.write() as connection:
            assert journal.prune(connection, kept[3].position) == 4
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        prune_and_crash()
    with database.read() as connection:
        assert journal.floor(connection) == START
    assert len(everything(database)) == 6
    with database.write() as connection:
        assert journal.prune(connection, kept[3].position) == 4
    with database.read() as connection:
        assert journal.floor(connection) == kept[3].position
    assert [change.rid for change in everything(database)] == [4, 5]


def test_a_floor_never_sinks_and_never_passes_the_head(database: Database) -> None:
    with database.write() as connection:
        journal.append(connection, [entry(number) for number in range(3)])
    last = everything(database)[-1].position
    with database.write() as connection:
        assert journal.prune(connection, Position(last.x + 9, last.n + 9)) == 3
    with database.write() as connection:
        assert journal.floor(connection) == last
        assert journal.prune(connection, Position(0, 1)) == 0
        assert journal.floor(connection) == last
        assert journal.head(connection) == last


def test_a_pruned_number_is_never_used_again(database: Database) -> None:
    with database.write() as connection:
        journal.append(connection, [entry(1)])
    before = everything(database)[-1].position
    with database.write() as connection:
        journal.prune(connection, before)
    with database.write() as connection:
        journal.append(connection, [entry(2)])
    assert everything(database)[-1].position > before


@pytest.mark.parametrize("written", ["", "1", "1:", "a:b", "01:2", "1:2 ", "-1:2", "1:2:3", "9" * 20 + ":1"])
def test_a_text_that_is_no_position_is_refused(written: str) -> None:
    with pytest.raises(BadInput):
        Position.parse(written)


def test_a_position_is_written_and_read_alike() -> None:
    assert Position.parse(str(Position(12, 34))) == Position(12, 34)


def test_several_writers_and_a_cursor_that_misses_nothing(database: Database) -> None:
    """Transactions that commit in another order than they began: each entry is seen exactly once."""
    writers, each = 6, 25
    done = threading.Event()
    seen: list[int] = []
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        chance = random.Random(writer)
        try:
            for number in range(each):
                with database.write() as connection:
                    journal.append(connection, [entry(writer * each + number)])
                    time.sleep(chance.random() * 0.004)
        except BaseException as error:
            failures.append(error)

    def follow() -> None:
        cursor = START
        while True:
            last = done.is_set()
            with database.read() as connection:
                changes = journal.read(connection, cursor, 7)
            for change in changes:
                assert change.position > cursor
                cursor = change.position
                seen.append(change.rid)
            if last and not changes:
                return

    follower = threading.Thread(target=follow)
    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    follower.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    follower.join()
    assert not failures
    assert sorted(seen) == list(range(writers * each))


def test_an_entry_of_an_unfinished_transaction_holds_back_later_ones(database: Database) -> None:
    if database.dialect == "sqlite":  # there the one who writes is alone: a second cannot even begin
        with database.write() as connection:
            journal.append(connection, [entry(1)])
            assert everything(database) == []
        return
    with database.write() as first:
        journal.append(first, [entry(1)])
        with database.write() as second:
            journal.append(second, [entry(2)])
        assert everything(database) == []
    assert [change.rid for change in everything(database)] == [1, 2]


def test_the_journal_has_no_column_for_a_value(database: Database) -> None:
    with database.read() as connection:
        columns = connection.execute(text("SELECT * FROM change")).keys()
    assert set(columns) == {"pos", "x", "tag", "type", "rid", "id", "origin", "via", "before", "after", "steps"}
