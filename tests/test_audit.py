"""The ledger: nothing leaves unentered, and whatever is done to an entry is found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from federation.audit import Ledger
from federation.errors import Unavailable
from federation.storage.database import Database
from federation.world import World


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def go(self, **by: float) -> None:
        self.moment += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock, seed=b"7" * 32)


@pytest.fixture
def ledger(database: Database, world: World) -> Ledger:
    return Ledger(database, world)


def enter(ledger: Ledger, number: int = 1, viewer: str = "peer:west") -> None:
    ledger.enter(viewer, "page", "need", [f"id-{number}"], 5, "policy-1")


def do(database: Database, statement: str) -> None:
    with database.write() as connection:
        assert connection.execute(text(statement)).rowcount


def test_an_entry_is_committed_when_enter_returns(ledger: Ledger, database: Database, world: World) -> None:
    enter(ledger)
    (entry,) = Ledger(database, world).entries()
    assert (entry.viewer, entry.kind, entry.n, entry.at) == ("peer:west", "page", 1, "2026-03-01T00:00:00+00:00")
    assert entry.body == {"type": "need", "ids": ["id-1"], "mask": "5", "policy": "policy-1"}


def test_entries_can_be_asked_for_by_viewer_kind_and_place(ledger: Ledger) -> None:
    for number in range(4):
        enter(ledger, number, viewer=f"peer:{number % 2}")
    assert [entry.body["ids"] for entry in ledger.entries(viewer="peer:1")] == [["id-1"], ["id-3"]]
    assert ledger.entries(kind="export") == []
    assert [entry.seq for entry in ledger.entries(after=ledger.entries()[1].seq, limit=1)] == [ledger.entries()[2].seq]


def test_an_untouched_ledger_is_found_whole(ledger: Ledger, database: Database, world: World, clock: Clock) -> None:
    assert ledger.verify() == []
    for number in range(5):
        enter(ledger, number)
        clock.go(seconds=40)
    other = Ledger(database, world)
    enter(other)
    other.anchor()
    with database.write() as connection:
        ledger.note(connection, "steward", "create", "need", ["id-9"])
    ledger.anchor()
    assert ledger.verify() == []
    assert {entry.chain for entry in ledger.entries()} >= {"writes"}
    assert len({entry.chain for entry in ledger.entries()}) == 3


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE ledger SET viewer = 'peer:other' WHERE n = 2",
        "UPDATE ledger SET at = '2026-03-02T00:00:00+00:00' WHERE n = 2",
        "UPDATE ledger SET body = replace(body, 'id-1', 'id-7') WHERE n = 2",
        "UPDATE ledger SET kind = 'export' WHERE n = 4",
        "DELETE FROM ledger WHERE n = 1",
        "DELETE FROM ledger WHERE n = 3",
        "DELETE FROM ledger WHERE n = 5",
        "DELETE FROM ledger",
        "UPDATE ledger SET n = 9 WHERE n = 2",
        "UPDATE ledger SET seq = 99 WHERE n = 2",
        "INSERT INTO ledger (chain, n, at, viewer, kind, body, prev, hash) SELECT chain, 6, at, viewer, kind, body,"
        " hash, hash FROM ledger WHERE n = 5",
        "INSERT INTO ledger (chain, n, at, viewer, kind, body, prev, hash) SELECT 'new', 1, at, viewer, kind, body,"
        " prev, hash FROM ledger WHERE n = 1",
        "DELETE FROM ledger_chain WHERE chain <> 'anchors'",
        "DELETE FROM ledger_chain WHERE chain = 'anchors'",
        "DELETE FROM ledger_anchor WHERE aid = 1",
        "DELETE FROM ledger_anchor WHERE aid = 2",
        "UPDATE ledger_anchor SET heads = replace(heads, '[3', '[2')",
        "UPDATE ledger_anchor SET at = 'x' WHERE aid = 1",
    ],
)
def test_every_harm_is_found(ledger: Ledger, database: Database, harm: str) -> None:
    for number in range(5):
        enter(ledger, number)
        if number in (2, 4):
            ledger.anchor()
    assert ledger.verify() == []
    do(database, harm)
    assert ledger.verify()


def test_a_chain_written_anew_is_found_by_the_anchors(ledger: Ledger, database: Database, world: World) -> None:
    """Somebody who can compute hashes removes a whole chain and writes another in its place."""
    enter(ledger)
    ledger.anchor()
    with database.write() as connection:
        connection.execute(text("DELETE FROM ledger"))
        connection.execute(text("DELETE FROM ledger_chain WHERE chain <> 'anchors'"))
        connection.execute(text("DELETE FROM meta WHERE key = 'ledger_chains'"))
    enter(Ledger(database, world), 2)
    assert any("differ" in finding or "gone" in finding for finding in ledger.verify())


def test_threads_share_commits_and_lose_nothing(ledger: Ledger, database: Database) -> None:
    commits = []
    original = database.pen
    database.pen = lambda: (commits.append(1), original())[1]  # type: ignore[method-assign]
    threads = [threading.Thread(target=enter, args=(ledger, number)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.body["ids"][0] for entry in ledger.entries()) == sorted(f"id-{n}" for n in range(40))
    assert 1 <= len(commits) <= 40
    assert ledger.verify() == []


def test_an_anchor_is_written_each_minute_by_itself(ledger: Ledger, database: Database, clock: Clock) -> None:
    def anchors() -> int:
        with database.read() as connection:
            return connection.execute(text("SELECT count(*) FROM ledger_anchor")).scalar_one()

    enter(ledger)
    clock.go(seconds=30)
    enter(ledger)
    assert anchors() == 0
    clock.go(seconds=31)
    enter(ledger)
    assert anchors() == 1
    ledger.anchor()
    assert anchors() == 1


def test_an_empty_ledger_has_no_anchor(ledger: Ledger) -> None:
    ledger.anchor()
    assert ledger.verify() == []


def test_open_crossings_are_counted_only(ledger: Ledger) -> None:
    ledger.count_open("page", "resource", 50)
    ledger.count_open("page", "resource")
    ledger.count_open("feed", "notice", 2)
    assert ledger.open_counts() == {}
    ledger.anchor()
    ledger.count_open("feed", "notice", 3)
    ledger.anchor()
    assert ledger.open_counts() == {("2026-03-01", "page", "resource"): 51, ("2026-03-01", "feed", "notice"): 5}
    assert ledger.entries() == []


def test_what_cannot_be_entered_is_unavailable_and_open_reads_go_on(ledger: Ledger, database: Database) -> None:
    enter(ledger)
    ledger.count_open("page", "resource")
    with database.write() as connection:
        connection.execute(text("ALTER TABLE ledger RENAME TO ledger_away"))
    for _ in range(2):
        with pytest.raises(Unavailable, match="ledger"):
            enter(ledger, 2)
    ledger.count_open("page", "resource")
    with database.write() as connection:
        connection.execute(text("ALTER TABLE ledger_away RENAME TO ledger"))
    enter(ledger, 3)
    ledger.anchor()
    assert [entry.body["ids"] for entry in ledger.entries()] == [["id-1"], ["id-3"]]
    assert sum(ledger.open_counts().values()) == 2
    assert ledger.verify() == []


def test_all_who_share_a_failed_commit_are_refused(ledger: Ledger, database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("ALTER TABLE ledger RENAME TO ledger_away"))
    outcomes: list[str] = []

    def attempt(number: int) -> None:
        try:
            enter(ledger, number)
            outcomes.append("entered")
        except Unavailable:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["refused"] * 8


def test_a_note_stands_or_falls_with_its_transaction(ledger: Ledger, database: Database) -> None:
    def note_and_crash() -> None:
        with database.write() as connection:
            ledger.note(connection, "steward", "create", "need", ["id-1"])
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        note_and_crash()
    assert ledger.entries() == []
    for number in range(2):
        with database.write() as connection:
            ledger.note(connection, "steward", "create", "need", [f"id-{number}"], mask=3)
    assert [(entry.chain, entry.n) for entry in ledger.entries()] == [("writes", 1), ("writes", 2)]
    assert ledger.verify() == []


def test_what_is_old_goes_from_the_beginning_and_the_rest_still_verifies(
    ledger: Ledger, database: Database, clock: Clock, world: World
) -> None:
    for number in range(6):
        enter(ledger, number)
        ledger.count_open("page", "resource")
        ledger.anchor()
        clock.go(days=1)
    assert ledger.prune(clock() - timedelta(days=2, hours=1)) == 4
    assert [entry.n for entry in ledger.entries()] == [5, 6]
    assert len(ledger.open_counts()) == 3
    assert ledger.verify() == []
    do(database, "UPDATE ledger SET viewer = 'x' WHERE n = 5")
    assert ledger.verify()
    assert ledger.prune(clock()) == 2
    assert ledger.prune(clock()) == 0
    enter(ledger, 7)
    assert [entry.n for entry in ledger.entries()] == [7]
    assert ledger.verify() == []


def test_two_processes_with_one_seed_write_two_chains(make_database: Callable[[str], Database], world: World) -> None:
    database = make_database("sqlite")
    for number in range(3):
        enter(Ledger(database, world), number)
    assert len({entry.chain for entry in Ledger(database, world).entries()}) == 3
