"""The pen: short writes on a kept connection, whole or not at all, and waiting for the disk only where it has to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from oauth_world import Node

from federation.errors import Unavailable
from federation.storage.database import Database

COUNT = "SELECT count(*) FROM spent_identifier"


def insert(connection: Any, database: Database, digest: bytes) -> None:
    mark = ":d" if database.dialect == "sqlite" else "%(d)s"
    connection.execute(f"INSERT INTO spent_identifier (digest, expires_at) VALUES ({mark}, 1)", {"d": digest})


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.exec_driver_sql(COUNT).scalar_one())


def test_what_was_written_is_committed_at_the_exit(database: Database) -> None:
    with database.pen() as connection:
        insert(connection, database, b"a")
        insert(connection, database, b"b")
        assert count(database) == 0
    assert count(database) == 2
    with database.pen(alone=True, durable=False) as connection:
        insert(connection, database, b"c")
    assert count(database) == 3


def test_an_error_takes_the_whole_transaction_back(database: Database) -> None:
    def write_and_break() -> None:
        with database.pen() as connection:
            insert(connection, database, b"a")
            raise RuntimeError("crash")

    for _ in range(3):
        with pytest.raises(RuntimeError, match="crash"):
            write_and_break()
    assert count(database) == 0
    with database.pen() as connection:
        insert(connection, database, b"a")
    assert count(database) == 1


def test_writers_of_both_kinds_take_turns(database: Database) -> None:
    def write(number: int) -> None:
        if number % 3:
            with database.pen(durable=number % 2 == 0) as connection:
                insert(connection, database, bytes([number]))
        else:
            with database.write() as connection:
                connection.exec_driver_sql("UPDATE meta SET value = value")
                insert(connection.connection.driver_connection, database, bytes([number]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(60)))
    assert count(database) == 60


def test_the_disk_is_waited_for_where_no_nonce_covers_the_loss(sqlite_database: Database) -> None:
    levels = []
    for durable in (False, True, False):
        with sqlite_database.pen(durable=durable, alone=True) as connection:
            levels.append(connection.execute("PRAGMA synchronous").fetchone()[0])
    assert levels == [1, 2, 1]
    with sqlite_database.pen() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    sqlite_database.close()
    sqlite_database.close()
    with sqlite_database.pen(alone=True) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_what_is_spent_without_waiting_is_spent(sqlite_database: Database) -> None:
    spent = Node(sqlite_database).realm.spent
    assert spent.spend([(b"x" * 16, 0)])
    assert not spent.spend([(b"x" * 16, 0)], durable=False)


def test_a_connection_that_failed_is_not_used_again(sqlite_database: Database) -> None:
    spent = Node(sqlite_database).realm.spent
    assert spent.spend([(b"a" * 16, 0)])
    with sqlite_database.pen(alone=True) as used:
        pass
    with sqlite_database.outside_transactions() as connection:
        connection.exec_driver_sql("ALTER TABLE spent_identifier RENAME TO away")
    with pytest.raises(Exception, match="no such table"):
        spent.spend([(b"b" * 16, 0)])
    with sqlite_database.outside_transactions() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO spent_identifier")
    assert spent.spend([(b"b" * 16, 0)])
    with sqlite_database.pen(alone=True) as another:
        assert another is not used


def test_nothing_is_left_open_after_a_connection_was_used_outside_transactions(sqlite_database: Database) -> None:
    node = Node(sqlite_database)
    with sqlite_database.outside_transactions() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    spent = node.another_realm().spent
    assert spent.spend([(b"a" * 16, node.now)])
    with sqlite_database.pen(alone=True) as connection:
        assert not connection.in_transaction
    node.token()


def test_a_pen_that_waits_for_too_long_says_so(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.storage.database.WAIT_SECONDS", 0.01)
    with sqlite_database.write(), pytest.raises(Unavailable, match="busy"), sqlite_database.pen():
        pass
