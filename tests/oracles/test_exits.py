"""No exit of a node is forgotten: every route, root field, command, file and table, as the machine lists them, is
driven by the canary on both databases, or is exempt with a reason; and the list of exemptions only shrinks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from graphql import build_schema
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from federation.peers import agreements
from federation.peers.loop import alone_with
from oracles import exits
from oracles.commands import Run, drive_homes, drive_reading, drive_writing
from oracles.decode import postgresql_cells, sqlite_cells
from oracles.desk import Desk, allow_loopback, copied, served
from oracles.driving import (
    ASKERS,
    Cells,
    Drive,
    drive_exchange,
    drive_files,
    drive_graphql,
    drive_ledger,
    drive_of,
    drive_routes,
    drive_tables,
    live,
    written,
)
from oracles.questions import Questions
from oracles.stage import Stage, set_up

SNAPSHOT = Path(__file__).parents[1] / "snapshots" / "exit_exemptions.txt"


@dataclass
class Driven:
    """A run through every exit of a stage."""

    stage: Stage
    drive: Drive
    desk: Desk

    @property
    def listed(self) -> set[str]:
        """What the machine lists."""
        schema = self.stage.steward.endpoint._core
        found = exits.routes(self.stage.app) | exits.roots(schema) | exits.commands() | exits.tables()
        return found | exits.files(self.desk.home)


def run_through(stage: Stage, cells: Callable[[], Cells], askers: Sequence[str]) -> Drive:
    """Every exit at least once, in an order in which each has something to show."""
    drive, node = drive_of(stage), stage.node
    drive_graphql(drive, stage, Questions(stage.steward.endpoint._core, stage.records), askers=askers)
    drive_ledger(drive, stage)
    drive_exchange(drive, stage)
    drive_routes(drive, stage)
    live(stage)
    peer = agreements.partner(node.database, "peer-partner")
    with alone_with(node.database, node.world, peer, "a process") as alone:
        assert alone
        drive_tables(drive, stage.records, cells())
    return drive


def run_commands(drive: Drive, stage: Stage, desk: Desk, folder: Path) -> None:
    """Every command, and what it leaves behind."""
    folder.mkdir(mode=0o700)
    run = Run(drive, desk, stage, folder)
    drive_reading(run)
    with served(folder, "west") as other:
        drive_writing(run, other)
    moved = folder / "moved.db"
    drive_homes(run, f"sqlite:///{moved}")
    drive_tables(drive, stage.records, sqlite_cells(moved))
    drive_files(drive, desk.home)


@pytest.fixture(scope="module")
def private() -> Iterator[None]:
    """Files that are made are for their owner alone, as the command line makes them."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture(scope="module")
def on_sqlite(stage: Stage, tmp_path_factory: pytest.TempPathFactory, private: None) -> Driven:
    """The stage of all tests; commands run on a copy of its home."""
    folder = tmp_path_factory.mktemp("driven")
    database = stage.node.settings.home / "node.db"
    desk = Desk(folder / "river")
    drive = run_through(stage, lambda: sqlite_cells(database), ASKERS[1::2])
    copied(stage.node.settings.home, desk.home)
    allow_loopback(desk.home)
    run_commands(drive, stage, desk, folder / "out")
    drive_tables(drive, stage.records, sqlite_cells(desk.home / "node.db"))
    drive.look({"file node.db", "file node.db-wal", "file node.db-shm"} & exits.files(desk.home), b"")
    return Driven(stage, drive, desk)


@pytest.fixture(scope="module")
def on_postgresql(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, postgres_pool: object, private: None
) -> Iterator[Driven]:
    """A stage of its own, whose commands run beside it on the same database."""
    folder = tmp_path_factory.mktemp("driven")
    url = postgres_pool.take()  # type: ignore[attr-defined]
    stage = set_up(folder, sqlite_template, database_url=url, allow_private_peers=["127.0.0.0/8"])
    with ExitStack() as ending:
        ending.callback(postgres_pool.give_back, url)  # type: ignore[attr-defined]
        ending.enter_context(closing(stage))
        desk = Desk(stage.node.settings.home)
        drive = run_through(stage, lambda: postgresql_cells(url), ASKERS)
        run_commands(drive, stage, desk, folder / "out")
        yield Driven(stage, drive, desk)


@pytest.fixture(params=["on_sqlite", "on_postgresql"])
def driven(request: pytest.FixtureRequest) -> Driven:
    """A whole run, on either database."""
    found: Driven = request.getfixturevalue(request.param)
    return found


def exemptions() -> list[str]:
    """The exits that may be exempt; this list only shrinks."""
    return SNAPSHOT.read_text(encoding="utf-8").splitlines()


def test_every_exit_is_driven_or_exempt_with_a_reason(driven: Driven) -> None:
    found = exits.amiss(driven.listed, driven.drive.driven, exits.EXEMPT, exemptions())
    assert found == []


def test_no_exit_shows_what_its_viewer_may_not_see(driven: Driven) -> None:
    found = sorted(driven.drive.leaks)
    assert found == []


def test_the_run_is_not_blind(driven: Driven) -> None:
    """Where records are shown, and where they are kept, their values are found."""
    shown = driven.drive.shown
    lists = {each for each in driven.listed if each.startswith("query ")} - SHOW_NO_RECORDS
    assert {each for each in lists if not shown.get(each)} == set()
    kept = frozenset().union(*(found for way, found in shown.items() if way.startswith("table ")))
    assert written(driven.stage.records) & driven.drive.universe <= kept
    for way in ("route POST /graphql", "route POST /exchange/reconcile", *SHOW_RECORDS):
        assert shown[way], way


SHOW_RECORDS = [f"command {name}" for name in ("record show", "export json", "export hsds", "export icalendar")]
SHOW_NO_RECORDS = {
    f"query {name}" for name in ("viewer", "peers", "terms", "_service", "__schema", "__type", "network")
}


# The check itself


def test_an_exit_that_nobody_drives_is_reported() -> None:
    async def page(request: object) -> None: ...

    known = Starlette(routes=[Route("/a", page)])
    grown = Starlette(routes=[Route("/a", page), Route("/b", page, methods=["POST"]), Mount("/c", known)])
    driven = exits.routes(known)
    assert exits.amiss(exits.routes(grown), driven, {}, ()) == [
        "route Mount /c: no oracle drives it",
        "route POST /b: no oracle drives it",
    ]
    before = build_schema("type Query { a: Int } type Mutation { b: Int }")
    after = build_schema("type Query { a: Int c: Int } type Mutation { b: Int } type Subscription { d: Int }")
    assert exits.amiss(exits.roots(after), exits.roots(before), {}, ()) == [
        "query c: no oracle drives it",
        "subscription d: no oracle drives it",
    ]


def test_a_command_a_file_and_a_table_that_nobody_drives_are_reported(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "new").touch()
    listed = exits.commands() | exits.tables() | exits.files(tmp_path)
    driven = listed - {"command export csv", "table ledger", "file keys/new"}
    assert exits.amiss(listed, driven, {}, ()) == [
        f"{each}: no oracle drives it" for each in ("command export csv", "file keys/new", "table ledger")
    ]


def test_an_exemption_can_neither_be_added_nor_outlive_its_exit_nor_stand_without_a_reason() -> None:
    why = "It shows nothing of records at all."
    assert exits.amiss({"a"}, set(), {"a": why}, ["a"]) == []
    assert exits.amiss({"a"}, set(), {"a": why}, []) == ["a: an exemption may not be added"]
    assert exits.amiss({"a"}, {"a"}, {"a": why}, ["a"]) == ["a: it is driven, take it off the exemptions"]
    assert exits.amiss(set(), set(), {"a": why}, ["a"]) == ["a: there is no such exit, take it off the exemptions"]
    assert exits.amiss({"a"}, {"a"}, {}, ["a"]) == ["a: exempt no longer, take it off the snapshot"]
    assert exits.amiss({"a"}, set(), {"a": "none"}, ["a"]) == ["a: an exemption needs a reason"]
