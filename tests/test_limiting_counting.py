"""Counting: the same contract for every storage, and how a caller is told that it stands."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import rows
from hypothesis import given, settings
from hypothesis import strategies as st
from limit_storages import OWN, VALKEY, Clock, Place, place, valkey_server
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter

from federation.errors import RateLimited, SettingsInvalid
from federation.limiting import valkey
from federation.limiting.counting import Counter, allow
from federation.limiting.memory import BoundedMemory
from federation.limiting.valkey import valkey_counts
from federation.limiting.windows import Kept, now, wait
from federation.storage.counters import DatabaseCounts
from federation.storage.database import Database, open_database
from federation.storage.limits import prune_counts

FEW = allow("few", (3, 1))


@pytest.fixture(scope="module")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """The address of a server that is started when it is first asked for."""
    running: list[str] = []
    servers = valkey_server(tmp_path_factory.mktemp("valkey"))

    def url() -> str:
        if not running:
            running.append(servers.__enter__())
        return running[0]

    yield url
    if running:
        servers.__exit__(None, None, None)


@pytest.fixture(params=(*OWN, *VALKEY))
def kept(
    request: pytest.FixtureRequest, make_database: Callable[[str], Database], valkey_url: Callable[[], str]
) -> Place:
    """Each storage in turn, empty."""
    return place(request.param, make_database, valkey_url)


@pytest.fixture(params=OWN)
def own(
    request: pytest.FixtureRequest, make_database: Callable[[str], Database], valkey_url: Callable[[], str]
) -> Place:
    """The storages whose clock can be turned."""
    return place(request.param, make_database, valkey_url)


def test_as_many_as_allowed_pass_and_the_next_is_told_when(kept: Place) -> None:
    taken = [kept.counter.take(FEW, "a") for _ in range(4)]
    assert [each.allowed for each in taken] == [True, True, True, False]
    assert [each.left for each in taken] == [2, 1, 0, 0]
    assert taken[3].seconds >= 1
    with pytest.raises(RateLimited) as refused:
        taken[3].check()
    assert refused.value.headers == {"Retry-After": str(taken[3].seconds)}


def test_after_the_time_that_was_told_the_same_passes(kept: Place) -> None:
    for _ in range(3):
        kept.counter.take(FEW, "a").check()
    refused = kept.counter.take(FEW, "a")
    assert not refused.allowed
    kept.clock.turn(refused.seconds)
    assert kept.counter.take(FEW, "a").allowed


def test_one_key_knows_nothing_of_another(kept: Place) -> None:
    for _ in range(4):
        kept.counter.take(FEW, "a")
    assert kept.counter.take(FEW, "b").left == 2


def test_a_key_that_is_forgotten_begins_anew(kept: Place) -> None:
    for _ in range(4):
        kept.counter.take(FEW, "a")
    kept.counter.forget(FEW, "a")
    assert kept.counter.take(FEW, "a").left == 2


def test_looking_counts_nothing(kept: Place) -> None:
    assert [kept.counter.look(FEW, "a").left for _ in range(5)] == [3] * 5
    for _ in range(3):
        kept.counter.take(FEW, "a")
    assert not kept.counter.look(FEW, "a").allowed


def test_of_many_at_one_moment_no_more_pass_than_are_allowed(kept: Place) -> None:
    wide = allow("wide", (20, 3600))
    passed: list[bool] = []
    threads = [
        threading.Thread(target=lambda: passed.extend([kept.counter.take(wide, "a").allowed for _ in range(10)]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(passed), len(passed)) == (20, 60)


def test_the_librarys_own_ways_to_ask_work_too(kept: Place) -> None:
    limit = RateLimitItemPerSecond(2, 60, "own")
    fixed, sliding = FixedWindowRateLimiter(kept.storage), SlidingWindowCounterRateLimiter(kept.storage)
    assert [fixed.hit(limit, "fixed") for _ in range(3)] == [True, True, False]
    assert fixed.test(limit, "fixed") is False
    assert kept.clock() < fixed.get_window_stats(limit, "fixed").reset_time <= kept.clock() + 61
    fixed.clear(limit, "fixed")
    assert fixed.test(limit, "fixed") is True
    assert sliding.hit(limit, "sliding", cost=3) is False
    assert [sliding.hit(limit, "sliding") for _ in range(3)] == [True, True, False]
    assert sliding.get_window_stats(limit, "sliding").remaining == 0
    assert kept.storage.check()
    kept.storage.reset()
    assert sliding.hit(limit, "sliding")
    assert kept.storage.get("nobody") == 0
    assert kept.storage.get_expiry("nobody") <= kept.clock() + 1


def test_a_fixed_window_is_over_after_its_time(own: Place) -> None:
    assert [own.storage.incr("a", 10), own.storage.incr("a", 10)] == [1, 2]
    own.clock.turn(10.001)
    assert own.storage.get("a") == 0
    assert own.storage.incr("a", 10) == 1


def test_what_was_counted_fades_and_is_not_forgotten_at_once(own: Place) -> None:
    ten = allow("ten", (10, 60))
    own.clock.at = 1_790_000_040.0  # a slot begins
    for _ in range(10):
        own.counter.take(ten, "a").check()
    own.clock.turn(60 + 30)
    assert own.counter.look(ten, "a").left == 5
    own.clock.turn(30)
    assert own.counter.look(ten, "a").left == 10


def test_a_clock_that_goes_back_a_little_gives_no_new_window(own: Place) -> None:
    for _ in range(3):
        own.counter.take(allow("few", (3, 60)), "a")
    own.clock.turn(-45)
    refused = own.counter.take(allow("few", (3, 60)), "a")
    assert not refused.allowed
    own.clock.turn(refused.seconds)
    assert own.counter.take(allow("few", (3, 60)), "a").allowed


def test_a_clock_that_was_a_year_ahead_holds_nobody_up(own: Place) -> None:
    for _ in range(3):
        own.counter.take(FEW, "a")
    own.clock.turn(-365 * 86_400)
    assert own.counter.take(FEW, "a").allowed


STEPS = st.lists(st.tuples(st.floats(-5, 70), st.integers(1, 4)), min_size=1, max_size=60)


@given(steps=STEPS, limit=st.integers(1, 12))
@settings(deadline=None, max_examples=200)
def test_no_step_of_time_lets_more_pass_than_the_window_allows(steps: list[tuple[float, int]], limit: int) -> None:
    """And whoever is refused passes after the time that was told, and not a whole second before."""
    clock, window = Clock(), 10
    counter, allowed = Counter(BoundedMemory(clock), clock), allow("some", (limit, window))
    passed: list[float] = []
    for seconds, times in steps:
        clock.turn(seconds / 10)
        for _ in range(times):
            taken = counter.take(allowed, "a")
            passed += [clock.at] if taken.allowed else []
            assert (taken.left == 0) if not taken.allowed else (0 <= taken.left < limit)
    assert sum(clock.at - window < at for at in passed) <= 2 * limit
    while (taken := counter.take(allowed, "a")).allowed:
        pass
    clock.turn(taken.seconds - 1.01)
    assert taken.seconds == 1 or not counter.look(allowed, "a").allowed
    clock.turn(1.01)
    assert counter.take(allowed, "a").allowed


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_database_counts_as_memory_does(kind: str, make_database: Callable[[str], Database]) -> None:
    database, clock, run = make_database(kind), Clock(), iter(range(10_000))
    here, there = Counter(BoundedMemory(clock), clock), Counter(DatabaseCounts(database, clock), clock, waits=True)

    @given(steps=st.lists(st.floats(-15, 25), min_size=1, max_size=25), limit=st.integers(1, 6))
    @settings(deadline=None, max_examples=25)
    def same(steps: list[float], limit: int) -> None:
        key = str(next(run))
        for seconds in steps:
            clock.turn(seconds)
            assert here.take(allow("x", (limit, 10)), key) == there.take(allow("x", (limit, 10)), key)

    same()


def test_it_counts_as_the_librarys_own_storage_where_that_can_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("limits.storage.memory.time.time", clock)
    theirs, ours = MemoryStorage(), BoundedMemory(clock)
    theirs.timer.join()
    monkeypatch.setattr(MemoryStorage, "_MemoryStorage__schedule_expiry", lambda self: None)
    limit = RateLimitItemPerSecond(7, 10, "x")
    for step in range(300):
        clock.turn(0.125 * (step % 11))
        found = [SlidingWindowCounterRateLimiter(each).hit(limit, "a") for each in (theirs, ours)]
        assert found[0] == found[1], step


_PROCESS = """
import sys, time
from federation.limiting.counting import Counter, allow
from federation.storage.counters import DatabaseCounts
from federation.storage.database import open_database
database = open_database(sys.argv[1])
counter = Counter(DatabaseCounts(database, time.time), time.time, waits=True)
print(sum(counter.take(allow("shared", (50, 86_400)), "a").allowed for _ in range(60)))
database.close()
"""


def test_two_processes_share_a_limit(database: Database) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", _PROCESS, database.url], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    passed = [int(each.communicate(timeout=60)[0]) for each in running]
    assert sum(passed) == 50


def test_counts_outlive_the_process_and_hold_no_address(sqlite_database: Database) -> None:
    clock = Clock()
    for _ in range(4):
        Counter(DatabaseCounts(sqlite_database, clock), clock, waits=True).take(FEW, "192.0.2.77")
    again = open_database(sqlite_database.url)
    assert not Counter(DatabaseCounts(again, clock), clock, waits=True).take(FEW, "192.0.2.77").allowed
    again.close()
    assert b"192.0.2" not in Path(sqlite_database.path or "").read_bytes()


def test_what_is_over_is_pruned_and_what_counts_is_kept(database: Database) -> None:
    clock = Clock()
    counter = Counter(DatabaseCounts(database, clock), clock, waits=True)
    counter.take(FEW, "a")
    counter.take(allow("day", (3, 86_400)), "a")
    assert prune_counts(database, int(clock.at)) == 0
    assert prune_counts(database, int(clock.at) + 60) == 1
    assert rows(database, "SELECT count(*) FROM limit_count") == [(1,)]


def test_a_flood_of_addresses_fills_no_more_than_its_share_of_memory() -> None:
    clock = Clock()
    storage = BoundedMemory(clock, most=1000)
    counter = Counter(storage, clock)
    for number in range(5000):
        counter.take(FEW, f"2001:db8:{number:x}::/64")
        counter.take(FEW, "regular") if number % 500 == 0 else None
    assert len(storage) == 1000
    assert not counter.take(FEW, "regular").allowed


def test_a_storage_that_is_away_neither_opens_nor_shuts_the_door(sqlite_database: Database) -> None:
    clock = Clock()
    storage = DatabaseCounts(sqlite_database, clock)
    counter = Counter(storage, clock, waits=True)
    with sqlite_database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE limit_count RENAME TO elsewhere")
    with pytest.raises(Exception, match="limit_count"):  # a fault of the schema is none of a storage that is away
        counter.take(FEW, "a")
    gone = Counter(valkey_counts("valkey://127.0.0.1:1"), clock, waits=True)
    assert [gone.take(FEW, "a").allowed for _ in range(4)] == [True, True, True, False]


def test_a_storage_that_failed_is_left_alone_for_a_while() -> None:
    clock, asked = Clock(), []

    class Away(BoundedMemory):
        def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
            asked.append(clock.at)
            raise ValueError

    storage = Away(clock)
    storage.wrap_exceptions = True
    counter = Counter(storage, clock, waits=True)
    for _ in range(8):
        counter.take(FEW, "a")
        clock.turn(1)
    assert len(asked) == 2


def test_without_the_client_the_setting_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from limits.errors import ConfigurationError

    def missing(*_: object, **__: object) -> None:
        raise ConfigurationError("no client")

    monkeypatch.setattr(valkey, "storage_from_string", missing)
    with pytest.raises(SettingsInvalid, match="limits_url"):
        valkey_counts("valkey://127.0.0.1:6379")


def test_several_windows_let_a_burst_pass_but_not_all_day(own: Place) -> None:
    both = allow("both", (10, 3600), (3, 60))
    first = [own.counter.take(both, "a").allowed for _ in range(20)]
    assert sum(first) == 3
    passed = 3
    for _ in range(60):
        own.clock.turn(60)
        passed += sum(own.counter.take(both, "a").allowed for _ in range(20))
    assert 10 <= passed <= 20
    refused = own.counter.take(both, "a")
    assert refused.seconds > 60
    own.clock.turn(refused.seconds)
    assert own.counter.take(both, "a").allowed


def test_a_window_tells_its_counts_as_the_library_has_them() -> None:
    assert now(None, 10, 105.0).stated() == (0, 5.0, 0, 15.0)
    assert now(Kept(9, 1, 4), 10, 105.0).stated() == (4, 5.0, 0, 15.0)
    assert wait((0, 0.0, 0, 0.0), 10, 1) == 0
