"""The contract of the database, the same for SQLite and PostgreSQL, and what is particular to each."""

from __future__ import annotations

import os
import secrets
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from federation.errors import SettingsInvalid, Unavailable
from federation.intake import Gone
from federation.storage import database as module
from federation.storage import postgres, sqlite
from federation.storage.database import Database, open_database
from federation.storage.metadata import MIGRATIONS
from federation.storage.migrating import check, migrate, pending, revisions
from federation.storage.pool import ReaderPool
from tests.intake_world import NOTICE, RESOURCE, RIVER, Node, make_put


def put(database: Database, key: str, value: str = "v") -> None:
    with database.write() as connection:
        connection.execute(text("INSERT INTO meta (key, value) VALUES (:key, :value)"), {"key": key, "value": value})


def keys(database: Database) -> list[str]:
    with database.read() as connection:
        return [row[0] for row in connection.execute(text("SELECT key FROM meta ORDER BY key"))]


# Both


def test_a_write_is_there_when_it_is_committed(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("INSERT INTO meta (key, value) VALUES ('a', 'b')"))
        assert keys(database) == []
    assert keys(database) == ["a"]
    with database.reader() as reader:
        assert reader.execute("SELECT key, value FROM meta").fetchall() == [("a", "b")]


def test_an_error_undoes_the_whole_write(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(text("INSERT INTO meta (key, value) VALUES ('a', 'b')"))
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        fail()
    assert keys(database) == []
    put(database, "c")
    assert keys(database) == ["c"]


def test_an_error_of_the_caller_is_told_as_it_is(database: Database) -> None:
    put(database, "a")
    with pytest.raises(IntegrityError):
        put(database, "a")
    with pytest.raises(DBAPIError):
        keys_of_nothing(database)
    with pytest.raises((sqlite.driver.Error, psycopg.Error)), database.reader() as reader:
        reader.execute("SELECT nothing FROM nowhere")


def keys_of_nothing(database: Database) -> None:
    with database.read() as connection:
        connection.execute(text("SELECT nothing FROM nowhere"))


def test_a_read_is_one_snapshot(database: Database) -> None:
    put(database, "a")
    with database.read() as connection:
        first = connection.execute(text("SELECT count(*) FROM meta")).scalar_one()
        put(database, "b")
        assert connection.execute(text("SELECT count(*) FROM meta")).scalar_one() == first
    assert keys(database) == ["a", "b"]


def test_reads_cannot_write(database: Database) -> None:
    def by_read() -> None:
        with database.read() as connection:
            connection.execute(text("INSERT INTO meta (key, value) VALUES ('a', 'b')"))

    def by_reader() -> None:
        with database.reader() as reader:
            reader.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')")

    for attempt in (by_read, by_reader):
        with pytest.raises((Unavailable, DBAPIError)):
            attempt()
    assert keys(database) == []


def test_a_trial_shows_what_would_be_and_keeps_nothing(database: Database) -> None:
    put(database, "a")
    with database.trial():
        put(database, "b")
        with pytest.raises(IntegrityError):
            put(database, "a")
        put(database, "c")
        with database.pen() as raw:
            raw.execute("INSERT INTO meta (key, value) VALUES ('d', 'v')")
        assert keys(database) == ["a", "b", "c", "d"]
        with database.reader() as reader:
            assert reader.execute("SELECT count(*) FROM meta").fetchone()[0] == 4
        assert database.erase()
    assert keys(database) == ["a"]
    put(database, "e")
    assert keys(database) == ["a", "e"]


def test_a_trial_that_fails_keeps_nothing_either(database: Database) -> None:
    def fail() -> None:
        with database.trial():
            put(database, "a")
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        fail()
    assert keys(database) == []
    put(database, "b")
    assert keys(database) == ["b"]


def test_a_reader_takes_parameters_in_its_own_style(database: Database) -> None:
    mark = {"named": ":it", "pyformat": "%(it)s"}[database.paramstyle]
    with database.reader() as reader:
        assert reader.execute(f"SELECT {mark}", {"it": "é"}).fetchone() == ("é",)


def test_several_writers_wait_for_each_other(database: Database) -> None:
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for step in range(10):
                put(database, f"{number} {step}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(keys(database)) == 60


def test_a_statement_that_takes_too_long_is_stopped(database: Database) -> None:
    hurried = open_database(database.url, statement_seconds=0.2)
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t"
    began = time.monotonic()
    try:
        with pytest.raises(Unavailable, match="longer"), hurried.reader() as reader:
            reader.execute(endless).fetchone()
        with hurried.reader() as reader:
            assert reader.execute("SELECT 1").fetchone() == (1,)
    finally:
        hurried.close()
    assert time.monotonic() - began < 10


def test_a_full_disk_is_told_and_nothing_is_half_written(database: Database) -> None:
    node = Node(database)
    node.create()
    fill = "x" * 3000
    if database.dialect == "sqlite":
        with database.outside_transactions() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")

    def write() -> None:
        if database.dialect == "sqlite":
            node.create("resource", summary=fill, eligibility=fill, internal_notes=fill)
        else:
            with database.write() as connection:
                connection.execute(text("INSERT INTO meta (key, value) VALUES ('a', 'b')"))
                connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$"))

    with pytest.raises(Unavailable, match="full"):
        write()
    assert node.rows("resource") == []
    assert len(node.changes()) == 1
    assert node.ledger.verify() == []
    assert "a" not in keys(database)
    if database.dialect == "sqlite":
        with database.outside_transactions() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    node.create("resource", summary=fill)


def test_an_error_says_nothing_of_what_was_written(database: Database) -> None:
    statement = text("INSERT INTO meta (key, value) VALUES ('secret-token', 'b')")
    with pytest.raises(Unavailable) as failure, database.read() as connection:
        connection.execute(statement)
    assert "secret-token" not in str(failure.value)
    assert failure.value.__suppress_context__


def test_the_newest_migration_by_name_is_the_one_that_follows_all_others() -> None:
    """The names are what tells, without Alembic, whether a database is up to date."""
    script = ScriptDirectory(str(MIGRATIONS))
    assert [each.revision for each in script.walk_revisions()] == revisions()[::-1]
    assert script.get_current_head() == revisions()[-1]


def test_migrating_again_or_at_once_changes_nothing(database: Database) -> None:
    outcomes: list[Any] = []
    threads = [threading.Thread(target=lambda: outcomes.append(migrate(database))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(outcomes)) == 1
    assert not pending(database)


def test_several_processes_may_make_the_schema_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    several = [open_database(url) for _ in range(3)]
    assert pending(several[0])
    threads = [threading.Thread(target=migrate, args=(each,)) for each in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert check(several[0]) == []
    for each in several:
        each.close()


def test_a_schema_that_is_newer_than_the_code_is_left_alone(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="newer"):
        migrate(database)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :last"), {"last": revisions()[-1]})


def test_a_database_of_the_first_version_gets_the_tables_that_came_after_it(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'old.db'}")
    migrate(database)
    with database.write() as connection:
        connection.execute(text("DROP TABLE revoked_token"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert migrate(database) == ("0001", revisions()[-1])
    assert check(database) == []
    database.close()


def token() -> str:
    return "cny" + secrets.token_hex(16)


def files(database: Database) -> bytes:
    """All bytes in which the record tables and their indexes are kept."""
    if database.path is not None:
        return b"".join(Path(f"{database.path}{end}").read_bytes() for end in ("", "-wal", "-shm"))
    found = (
        "SELECT pg_relation_filepath(c.oid) FROM pg_class c WHERE c.oid = 'resource'::regclass"
        " OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'resource'::regclass)"
        " OR c.oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'resource'::regclass)"
    )
    with database.outside_transactions() as connection:
        connection.exec_driver_sql("CHECKPOINT")
        home = Path(connection.exec_driver_sql("SHOW data_directory").scalar_one())
        return b"".join((home / row[0]).read_bytes() for row in connection.exec_driver_sql(found))


def test_what_was_withdrawn_is_in_no_byte_of_the_files(database: Database) -> None:
    node = Node(database)
    tokens = [(token(), token()) for _ in range(60)]
    puts = [
        make_put(number, "resource", document={**RESOURCE, "title": f"Help {first}", "summary": f"For {second}."})
        for number, (first, second) in enumerate(tokens)
    ]
    node.accept(1, *puts)
    assert all(each[0].encode() in files(database) for each in tokens)
    accepted = node.accept(1, gone=[Gone("resource", each.id, RIVER) for each in puts[:40]])
    with database.reader() as reader:  # a reader that is there does not keep it from working
        reader.execute("SELECT 1").fetchall()
    assert database.erase(accepted.tables)
    left = files(database)
    tails = [part[12:].encode() for pair in tokens[:40] for part in pair]  # text indexes cut off common beginnings
    assert [tail for tail in tails if tail in left] == []
    assert all(first[12:].encode() in left and second[12:].encode() in left for first, second in tokens[40:])
    assert len(node.rows("resource")) == 20
    assert len(node.found(tokens[50][1], "resource")) == 1


def test_what_was_overwritten_is_erased_too(database: Database) -> None:
    node = Node(database)
    secret = token()
    node.accept(1, make_put(1, "resource", document={**RESOURCE, "title": secret}))
    node.accept(1, make_put(1, "resource", rev=2))
    assert database.erase()
    assert secret[12:].encode() not in files(database)


# SQLite


def test_erasing_waits_for_a_reader_and_says_if_it_was_in_vain(sqlite_database: Database) -> None:
    put(sqlite_database, "a")
    with sqlite_database.read() as connection:
        connection.execute(text("SELECT 1 FROM meta")).all()
        assert not sqlite_database.erase(seconds=0.1)
    assert sqlite_database.erase()


def test_a_key_encrypts_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "sealed.db"
    database = open_database(f"sqlite:///{path}", b"a passphrase")
    migrate(database)
    put(database, "plainword", "another")
    database.close()
    held = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"plainword" not in held
    assert b"SQLite format" not in held
    assert b"CREATE TABLE" not in held
    again = open_database(f"sqlite:///{path}", b"a passphrase")
    assert keys(again) == ["plainword"]
    with again.reader() as reader:
        assert reader.execute("SELECT value FROM meta").fetchone() == ("another",)
    assert again.erase()
    again.close()
    for wrong in (b"another passphrase", None, bytes(32)):
        with pytest.raises(SettingsInvalid, match="key"):
            open_database(f"sqlite:///{path}", wrong)


def test_a_key_of_32_bytes_is_taken_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sealed.db'}"
    for _ in range(2):
        database = open_database(url, bytes(range(32)))
        migrate(database)
        database.close()


def test_a_plain_file_is_not_opened_with_a_key(sqlite_database: Database) -> None:
    with pytest.raises(SettingsInvalid, match="key"):
        open_database(sqlite_database.url, b"a passphrase")


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    open_database(f"sqlite:///{path}").close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_sqlite_is_set_so_that_no_acknowledged_write_is_lost(sqlite_database: Database) -> None:
    with sqlite_database.read() as connection:
        for pragma, value in {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}.items():
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value
    with sqlite_database.read() as connection:
        version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
        assert tuple(map(int, version.split("."))) >= (3, 43)  # text indexes that can forget


def test_a_lock_of_another_process_is_told(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_MILLISECONDS", 50)
    other = open_database(sqlite_database.url)
    with sqlite_database.write(), pytest.raises(Unavailable, match="busy"):
        put(other, "a")
    put(other, "b")
    other.close()


def test_a_writer_of_this_process_waits_its_turn_and_no_longer(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    with sqlite_database.write(), pytest.raises(Unavailable, match="busy"):
        put(sqlite_database, "a")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "not a url", ""])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(SettingsInvalid):
        open_database(url)


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises((Unavailable, OSError)):
        open_database(f"sqlite:///{tmp_path / 'no' / 'where.db'}")


# PostgreSQL


def test_postgresql_takes_no_key() -> None:
    with pytest.raises(SettingsInvalid, match="encrypted volume"):
        open_database("postgresql://localhost/x", b"key")


def test_a_server_that_is_gone_is_told() -> None:
    gone = open_database("postgresql://postgres@127.0.0.1:1/x")
    for attempt in (gone.write, gone.read, gone.reader):
        with pytest.raises(Unavailable, match="reached"), attempt():
            pass
    gone.close()


def test_a_password_is_in_no_error() -> None:
    gone = open_database("postgresql://user:sesame@127.0.0.1:1/x")
    with pytest.raises(Unavailable) as failure, gone.write():
        pass
    assert "sesame" not in str(failure.value)
    gone.close()


def test_postgresql_limits_idle_writers_and_reads_snapshots(make_database: Callable[[str], Database]) -> None:
    database = make_database("postgresql")
    with database.write() as connection:
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one() == "1min"
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
    with database.read() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "repeatable read"
    assert database.path is None


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("53100", "full"),
        ("53300", "room"),
        ("57014", "longer"),
        ("55P03", "busy"),
        ("40001", "busy"),
        ("58030", "disk"),
        ("XX001", "disk"),
        ("57P01", "reached"),
        ("08006", "reached"),
    ],
)
def test_what_the_machine_does_is_told_in_a_sentence(state: str, told: str) -> None:
    error = psycopg.errors.lookup(state)()
    assert told in (postgres.sentence(error) or "")
    assert postgres.sentence(psycopg.errors.UniqueViolation()) is None
    assert postgres.sentence(ValueError()) is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("database or disk is full", "full"),
        ("disk I/O error", "disk"),
        ("database is locked", "busy"),
        ("interrupted", "longer"),
    ],
)
def test_what_the_disk_does_is_told_in_a_sentence(said: str, told: str) -> None:
    assert told in (sqlite.sentence(sqlite.driver.OperationalError(said)) or "")
    assert sqlite.sentence(sqlite.driver.OperationalError("no such table")) is None


# The pool of readers


class Raw:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_a_reader_is_lent_to_one_at_a_time_and_used_again() -> None:
    pool = ReaderPool(Raw, 2, 0.05)
    with pool.lent() as first, pool.lent() as second:
        assert first is not second
        with pytest.raises(Unavailable), pool.lent():
            pass
    with pool.lent() as again:
        assert again in (first, second)


def test_a_reader_that_failed_is_not_used_again() -> None:
    pool = ReaderPool(Raw, 1, 0.05)
    with pytest.raises(RuntimeError), pool.lent() as failed:
        raise RuntimeError
    assert failed.closed
    with pool.lent() as fresh:
        assert fresh is not failed


def test_closing_closes_all_readers_also_those_that_are_out() -> None:
    pool = ReaderPool(Raw, 2, 0.05)
    with pool.lent() as kept:
        pass
    with pool.lent(), pool.lent() as out:
        pool.close()
    assert kept.closed
    assert out.closed


def test_notices_are_the_same_on_both_databases(make_database: Callable[[str], Database]) -> None:
    """The same writes give the same rows, positions aside."""

    def stored(dialect: str) -> list[dict[str, Any]]:
        node = Node(make_database(dialect))
        node.create("resource", translations={"fr": {"title": "Aide"}})
        node.accept(1, make_put(document={**NOTICE, "valid_until": "2026-04-01"}))
        rows = [dict(row._mapping) for key in ("resource", "notice") for row in node.rows(key)]
        for row in rows:
            row.pop("fts")
            row |= {name: bytes(value) for name, value in row.items() if isinstance(value, (bytes, memoryview))}
        return rows

    assert stored("sqlite") == stored("postgresql")
