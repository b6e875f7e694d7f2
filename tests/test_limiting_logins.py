"""Tries of passwords: bounded for whoever guesses, never shut for a steward who has been here before."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from conftest import DIALECTS, rows
from limit_storages import Clock

from federation.errors import RateLimited
from federation.limiting.counting import Counter
from federation.limiting.logins import DEVICE_DAYS, LoginLimits
from federation.limiting.memory import BoundedMemory
from federation.storage.counters import DatabaseCounts
from federation.storage.database import Database, open_database

HERE, THERE = "192.0.2.1", "198.51.100.7"


def limits_over(storage: object, clock: Clock, secret: bytes = b"s" * 32) -> LoginLimits:
    counter = Counter(storage, clock, waits=isinstance(storage, DatabaseCounts))
    return LoginLimits(counter, secret, 20, clock, lambda subject: subject.encode().ljust(16, b".")[:16])


@pytest.fixture(params=("memory", *DIALECTS))
def clocked(request: pytest.FixtureRequest, make_database: Callable[[str], Database]) -> tuple[LoginLimits, Clock]:
    clock = Clock()
    if request.param == "memory":
        return limits_over(BoundedMemory(clock), clock), clock
    return limits_over(DatabaseCounts(make_database(request.param), clock), clock), clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> LoginLimits:
    return limits_over(BoundedMemory(clock), clock)


def tries(limits: LoginLimits, address: str, handle: str, times: int, device: str | None = None) -> int:
    """How many of so many tries are let through."""
    passed = 0
    for _ in range(times):
        try:
            limits.may_try(address, handle, device)
        except RateLimited:
            continue
        passed += 1
    return passed


def pause(limits: LoginLimits, address: str, handle: str) -> int:
    """The seconds to wait that a try is told, which is one too many."""
    with pytest.raises(RateLimited) as refused:
        limits.may_try(address, handle)
    return refused.value.seconds or 0


def test_a_few_mistakes_are_forgiven(clocked: tuple[LoginLimits, Clock]) -> None:
    limits, _ = clocked
    assert tries(limits, HERE, "maria", 4) == 4
    limits.may_try(HERE, "maria")
    limits.succeeded(HERE, "maria")
    assert tries(limits, HERE, "maria", 5) == 5


def test_delays_grow_with_the_failures(clocked: tuple[LoginLimits, Clock]) -> None:
    """About a minute after the first five, more than that once an hour's are used up, hours once a day's are."""
    limits, clock = clocked
    delays, passed = [], 0
    while passed < 60:
        try:
            limits.may_try(HERE, "maria")
            passed += 1
        except RateLimited as refused:
            delays.append(refused.seconds or 0)
            clock.turn(delays[-1])
    assert delays[0] <= 120
    assert max(delays) > 600
    assert pause(limits, HERE, "maria") > 3600


def test_what_is_told_is_true(clocked: tuple[LoginLimits, Clock]) -> None:
    limits, clock = clocked
    for _ in range(12):
        if not tries(limits, HERE, "maria", 1):
            clock.turn(pause(limits, HERE, "maria"))
            limits.may_try(HERE, "maria")


def test_an_address_that_tries_many_accounts_is_slowed_too(clocked: tuple[LoginLimits, Clock]) -> None:
    limits, _ = clocked
    assert sum(tries(limits, HERE, f"user-{number}", 1) for number in range(200)) == 20
    assert tries(limits, THERE, "maria", 1) == 1


def test_many_addresses_on_one_account_get_no_more_than_its_share(limits: LoginLimits, clock: Clock) -> None:
    passed = 0
    for minute in range(120):
        for number in range(40):
            passed += tries(limits, f"203.0.{minute}.{number}", "maria", 1)
        clock.turn(60)
    assert passed <= 3 * 100


def test_nobody_holds_a_known_device_out(limits: LoginLimits, clock: Clock) -> None:
    """However many guess, from wherever, also from the steward's own address."""
    limits.may_try(HERE, "maria")
    mark = limits.succeeded(HERE, "maria")
    for day in range(3):
        for number in range(500):
            tries(limits, f"203.{day}.{number // 250}.{number % 250}", "maria", 1)
            tries(limits, HERE, "maria", 1)
        with pytest.raises(RateLimited):
            limits.may_try(THERE, "maria")
        limits.may_try(HERE, "maria", mark)
        mark = limits.succeeded(HERE, "maria", mark)
        clock.turn(86_400)


def test_a_device_that_was_taken_has_a_few_tries_as_well(limits: LoginLimits) -> None:
    mark = limits.succeeded(HERE, "maria")
    assert tries(limits, THERE, "maria", 100, mark) == 5


def test_the_wait_ends_when_the_attack_does(limits: LoginLimits, clock: Clock) -> None:
    for number in range(1000):
        tries(limits, f"203.0.{number // 250}.{number % 250}", "maria", 1)
        clock.turn(3)
    clock.turn(pause(limits, THERE, "maria"))
    limits.may_try(THERE, "maria")


@pytest.mark.parametrize(
    "change",
    [
        lambda mark: mark[:-2] + "AA",
        lambda mark: "",
        lambda mark: "ü" * 40,
        lambda mark: mark * 40,
        lambda mark: "AAAA",
    ],
)
def test_a_mark_cannot_be_made_up(change: Callable[[str], str], limits: LoginLimits) -> None:
    mark = limits.succeeded(HERE, "maria")
    assert limits.knows("maria", mark)
    assert not limits.knows("maria", change(mark))
    assert not limits.knows("maria", None)


def test_a_mark_is_for_one_account_one_node_and_its_time(limits: LoginLimits, clock: Clock) -> None:
    mark = limits.succeeded(HERE, "maria")
    assert not limits.knows("omar", mark)
    assert not limits_over(BoundedMemory(clock), clock, b"t" * 32).knows("maria", mark)
    clock.turn(DEVICE_DAYS * 86_400 + 1)
    assert not limits.knows("maria", mark)


def test_a_mark_names_nobody(limits: LoginLimits) -> None:
    assert "maria" not in limits.succeeded(HERE, "maria")


def test_accounts_that_there_are_and_that_there_are_not_are_refused_alike(limits: LoginLimits) -> None:
    said = []
    for handle in ("maria", "no-such-account"):
        tries(limits, handle, handle, 10)
        with pytest.raises(RateLimited) as refused:
            limits.may_try(handle, handle)
        said.append((str(refused.value), refused.value.headers))
    assert said[0] == said[1]


def test_fifty_at_one_moment_do_not_pass_together(clocked: tuple[LoginLimits, Clock]) -> None:
    limits, _ = clocked
    passed: list[int] = []
    threads = [threading.Thread(target=lambda: passed.append(tries(limits, HERE, "maria", 1))) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(passed), len(passed)) == (5, 50)


def test_a_restart_gives_no_new_tries(sqlite_database: Database, clock: Clock) -> None:
    tries(limits_over(DatabaseCounts(sqlite_database, clock), clock), HERE, "maria", 10)
    again = open_database(sqlite_database.url)
    assert tries(limits_over(DatabaseCounts(again, clock), clock), HERE, "maria", 10) == 0
    again.close()


def test_a_flood_of_strangers_writes_few_rows(database: Database, clock: Clock) -> None:
    limits = limits_over(DatabaseCounts(database, clock), clock)
    for number in range(400):
        tries(limits, f"203.0.{number // 250}.{number % 250}", f"user-{number}", 1)
    (count,) = rows(database, "SELECT count(*) FROM limit_count")[0]
    assert count <= 60 * 8


def test_the_standing_is_told_without_counting(limits: LoginLimits) -> None:
    assert [limits.standing(HERE, "maria").left for _ in range(3)] == [5, 5, 5]


def test_a_try_that_names_no_account_is_counted_by_its_address_alone(limits: LoginLimits) -> None:
    assert tries(limits, HERE, "", 100) == 20
    assert tries(limits, THERE, "", 1) == 1
    assert tries(limits, THERE, "maria", 1) == 1


def test_who_is_logged_in_is_counted_by_the_session(limits: LoginLimits) -> None:
    for _ in range(5):
        limits.may_confirm("one")
    with pytest.raises(RateLimited):
        limits.may_confirm("one")
    limits.may_confirm("another")
