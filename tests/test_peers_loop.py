"""The background exchange: due peers, backoff that outlives a restart, one bad peer among good ones."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event

import pytest
from exchange_nodes import Clock, Net, Node, copy_of, link

from federation.errors import Unavailable
from federation.peers import agreements, state
from federation.peers.loop import LONGEST_BACKOFF_SECONDS, ExchangeLoop, Pulled, backoff_seconds

pytest_plugins = ["exchange_fixtures"]


@pytest.fixture
def hub(tmp_path: Path, clock: Clock, sqlite_template: Path):
    net = Net()
    nodes = [Node(n, net, copy_of(sqlite_template, tmp_path / f"{n}.db"), clock) for n in ("hub", "good", "bad")]
    for other in nodes[1:]:
        link(nodes[0], other)
    yield nodes[0]
    for node in nodes:
        node.stop()


class Syncs:
    """Stands for the pulls: remembers them, and fails where it is told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failing: dict[str, Exception] = {}

    def __call__(self, who) -> Pulled:
        self.done.append(who.name)
        if who.name in self.failing:
            raise self.failing[who.name]
        return Pulled(who.name, taken=1)


@pytest.fixture
def syncs() -> Syncs:
    return Syncs()


def loop(hub: Node, syncs: Syncs, holder: str = "one") -> ExchangeLoop:
    return ExchangeLoop(hub.database, hub.world, syncs, holder, interval=300)


def names(pulled: list[Pulled]) -> dict[str, str | None]:
    return {each.peer: each.error for each in pulled}


def test_every_peer_is_pulled_at_once_and_then_after_the_interval(hub, syncs, clock):
    running = loop(hub, syncs)
    assert names(running.round()) == {"good": None, "bad": None}
    assert running.round() == []
    clock.forward(seconds=260)
    assert running.round() == []
    clock.forward(seconds=80)
    assert len(running.round()) == 2


@pytest.mark.parametrize("failure", [Unavailable("away"), ValueError("a defect here")])
def test_a_bad_peer_stops_no_other_and_waits_longer_each_time(hub, syncs, clock, failure, caplog):
    syncs.failing["bad"] = failure
    running = loop(hub, syncs)
    assert names(running.round()) == {"good": None, "bad": "UNAVAILABLE" if failure.args[0] == "away" else "INTERNAL"}
    pauses = []
    for _ in range(4):
        who = agreements.partner(hub.database, "bad")
        pauses.append((state.sync_state_of(hub.database, who.pid).next_try - clock.at).total_seconds())
        clock.forward(seconds=pauses[-1])
        assert "bad" in names(running.round())
    assert pauses == sorted(pauses)
    assert pauses[-1] > 4 * pauses[0]
    assert failure.args[0] not in caplog.text


def test_a_backoff_outlives_a_restart(hub, syncs, clock):
    syncs.failing["bad"] = Unavailable("away")
    loop(hub, syncs).round()
    hub.stop()
    hub.open()
    clock.forward(seconds=2)
    assert loop(hub, syncs).round() == []
    who = agreements.partner(hub.database, "bad")
    assert state.sync_state_of(hub.database, who.pid).failures == 1
    assert state.sync_state_of(hub.database, who.pid).last_error == "UNAVAILABLE"


def test_a_success_ends_the_backoff(hub, syncs, clock):
    syncs.failing["bad"] = Unavailable("away")
    running = loop(hub, syncs)
    running.round()
    syncs.failing.clear()
    clock.forward(seconds=10)
    running.round()
    found = state.sync_state_of(hub.database, agreements.partner(hub.database, "bad").pid)
    assert (found.failures, found.last_error) == (0, None)
    assert found.last_success == clock.at


def test_a_backoff_has_an_end(hub):
    assert backoff_seconds(hub.world, "x", 500, 300) <= 1.1 * LONGEST_BACKOFF_SECONDS


def test_being_woken_pulls_at_once(hub, syncs):
    running = loop(hub, syncs)
    running.round()
    running.wake(agreements.partner(hub.database, "good").pid)
    assert list(names(running.round())) == ["good"]
    running.wake()
    assert len(running.round()) == 2


def test_a_frozen_peer_is_not_asked(hub, syncs):
    agreements.freeze(hub.database, "bad")
    running = loop(hub, syncs)
    running.wake()
    assert list(names(running.round())) == ["good"]


def test_two_processes_do_not_pull_one_peer_at_once(hub, syncs):
    who = agreements.partner(hub.database, "good")
    assert state.take_lease(hub.database, f"sync:{who.pid}", "other", hub.world.timestamp(), 900)
    assert names(loop(hub, syncs).round())["good"] == "BUSY"
    assert "good" not in syncs.done
    state.give_lease_back(hub.database, f"sync:{who.pid}", "other")
    assert loop(hub, syncs).pull(who).error is None


def test_a_lease_is_of_one_process_until_it_is_over_or_given_back(database):
    def take(holder: str, now: int) -> bool:
        return state.take_lease(database, "sync:9", holder, now, 900)

    assert take("dead", 1000)
    assert take("dead", 1100)  # renewed
    assert not take("alive", 1999)
    assert take("alive", 2000)
    state.give_lease_back(database, "sync:9", "dead")
    assert not take("third", 2001)
    state.give_lease_back(database, "sync:9", "alive")
    assert take("third", 2001)


def test_it_runs_in_the_background_and_stops_cleanly(hub):
    pulled = Event()

    def sync(who) -> Pulled:
        pulled.set()
        return Pulled(who.name)

    running = ExchangeLoop(hub.database, hub.world, sync, "one")
    running.start()
    assert pulled.wait(10)
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 5
    assert running.stopping


def test_a_stop_that_comes_just_as_a_round_begins_is_not_lost(hub, syncs, monkeypatch):
    running = loop(hub, syncs)
    running.round()

    class Late(Event):
        def is_set(self) -> bool:
            was = super().is_set()
            self.set()
            running._waking.set()
            return was

    monkeypatch.setattr(running, "_stopping", Late())
    running.start()
    running._thread.join(5)
    assert not running._thread.is_alive()


def test_the_loop_outlives_a_database_that_is_away(hub, monkeypatch):
    tries = Event()

    def broken(*_):
        tries.set()
        raise OSError("disk")

    running = ExchangeLoop(hub.database, hub.world, lambda who: Pulled(who.name), "one")
    monkeypatch.setattr(running, "due", broken)
    running.start()
    assert tries.wait(10)
    running.stop()


def test_only_verified_peers_that_are_not_revoked_are_asked(hub, syncs):
    agreements.revoke(hub.database, "bad")
    agreements._set(hub.database, agreements.partner(hub.database, "good"), verified=False)
    running = loop(hub, syncs)
    running.wake()
    assert running.round() == []
    agreements.mark_verified(hub.database, agreements.partner(hub.database, "good"))
    assert names(running.round()) == {"good": None}


def test_what_came_by_untrusted_peers_goes_before_each_round(hub, syncs):
    done: list[str] = []
    running = ExchangeLoop(hub.database, hub.world, syncs, "one", let_go=lambda: done.append("let go"))
    running.round()
    assert done == ["let go"]


def test_a_peer_that_does_not_come_to_an_end_holds_up_no_other(hub):
    held, again, pulled = Event(), Event(), []

    def sync(who) -> Pulled:
        if who.name == "bad":
            held.wait(20)
        else:
            pulled.append(who.name)
            (again if len(pulled) > 1 else Event()).set()
        return Pulled(who.name)

    running = ExchangeLoop(hub.database, hub.world, sync, "one")
    running.start()
    while not pulled:
        time.sleep(0.01)
    running.wake()
    assert again.wait(10)
    assert running.due() == []
    held.set()
    running.stop()


def test_a_pull_whose_time_is_over_goes_on_after_those_that_waited(hub, clock):
    running = ExchangeLoop(hub.database, hub.world, lambda who: Pulled(who.name, more=who.name == "bad"), "one")
    running.round()
    assert [who.name for who in running.due()] == ["bad"]
    clock.forward(seconds=331)
    assert [who.name for who in running.due()] == ["bad", "good"]
