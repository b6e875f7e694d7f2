"""The background exchange: pulls each peer when it is due, backs off where one fails, and remembers both.

One bad peer never stops another, and a restart forgets no backoff. What is logged holds names and counts, no values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Lock, Thread

from federation.errors import FederationError, RateLimited
from federation.peers import state
from federation.peers.agreements import Partner, partners
from federation.storage.database import Database
from federation.telemetry import logger
from federation.world import World

FIRST_BACKOFF_SECONDS = 5
LONGEST_BACKOFF_SECONDS = 6 * 3600
LEASE_SECONDS = 15
RENEWED_SECONDS = 4
ASKED_AGAIN_SECONDS = 0.2
AT_ONCE = 4
LONGEST_SLEEP_SECONDS = 60.0
_log = logger("exchange")


@dataclass(frozen=True)
class Pulled:
    """How one pull went: records taken in, withdrawn and quarantined; `error` is a code, None where all went well;
    `more`: the peer had more, and goes on when the others had their turn; `pause`: seconds that it asked to wait."""

    peer: str
    taken: int = 0
    withdrawn: int = 0
    quarantined: int = 0
    error: str | None = None
    more: bool = False
    pause: int = 0


Sync = Callable[[Partner], Pulled]
"""Pulls one peer to the end; raises FederationError where it cannot."""


def jitter(world: World, subject: str) -> float:
    """A factor between 0.9 and 1.1, so that nodes do not all ask at the same moment."""
    return 0.9 + 0.2 * world.draw("jitter", subject, 2)[0] / 255


def backoff_seconds(world: World, peer: str, failures: int, interval: int) -> float:
    """The pause before the next try: the interval after a success, else doubling from 5 seconds up to 6 hours."""
    if failures == 0:
        return interval * jitter(world, f"{peer} {world.timestamp()}")
    pause = min(FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 20), LONGEST_BACKOFF_SECONDS)
    return pause * jitter(world, f"{peer} {failures}")


def note(database: Database, world: World, who: Partner, pulled: Pulled, interval: int) -> None:
    """Writes down how a pull of a peer ended and when it is due again: at once if the peer had more, and never before
    the time that it asked to wait."""
    error = pulled.error
    failures = 0 if error is None else state.sync_state_of(database, who.pid).failures + 1
    now = world.now()
    pause = 0.0 if pulled.more else backoff_seconds(world, who.name, failures, interval)
    pause = max(pause, min(pulled.pause, LONGEST_BACKOFF_SECONDS))
    state.note_result(
        database,
        who.pid,
        failures=failures,
        next_try=now + timedelta(seconds=pause),
        success=now if error is None else None,
        error=error,
    )


@contextmanager
def alone_with(database: Database, world: World, who: Partner, holder: str, patience: float = 0.0) -> Iterator[bool]:
    """Whether this process alone pulls from a peer while the block runs; waits for another at most `patience` seconds.

    The lease is short and renewed all along, so that what a killed process held is free again within seconds.
    """
    lease, until = f"sync:{who.pid}", time.monotonic() + patience

    def take() -> bool:
        return state.take_lease(database, lease, holder, world.timestamp(), LEASE_SECONDS)

    while not (taken := take()) and time.monotonic() < until:
        time.sleep(ASKED_AGAIN_SECONDS)
    if not taken:
        yield False
        return
    over = Event()
    renewing = Thread(target=_renew, args=(take, over), name="lease", daemon=True)
    renewing.start()
    try:
        yield True
    finally:
        over.set()
        renewing.join()
        state.give_lease_back(database, lease, holder)


def _renew(take: Callable[[], bool], over: Event) -> None:
    while not over.wait(RENEWED_SECONDS):
        try:
            take()
        except FederationError as error:  # a busy or full disk: the cursor's compare-and-set still keeps pulls apart
            _log.warning("lease_not_renewed", code=error.code)


class ExchangeLoop:
    """Pulls all peers that are due, over and over, in a thread of its own.

    `sync` pulls one peer, `holder` names this process (several may run the loop; a lease a peer keeps them apart),
    `interval` is in seconds. `wake` makes every peer due now. `let_go` removes what came by peers that are not trusted
    any more; it runs before each round. No peer waits for another one's pull to end.
    """

    def __init__(
        self,
        database: Database,
        world: World,
        sync: Sync,
        holder: str,
        interval: int = 300,
        let_go: Callable[[], object] = lambda: None,
    ) -> None:
        self._database = database
        self._world = world
        self._sync = sync
        self._let_go = let_go
        self._holder = holder
        self._interval = interval
        self._stopping = Event()
        self._waking = Event()
        self._hurried: set[int] = set()
        self._running: set[int] = set()
        self._lock = Lock()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin in the background."""
        self._thread = Thread(target=self._run, name="exchange", daemon=True)
        self._thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """End after the checkpoint at hand; waits at most `seconds`. A pull cut short goes on after the next start."""
        self._stopping.set()
        self._waking.set()
        if self._thread is not None:
            self._thread.join(seconds)

    @property
    def stopping(self) -> bool:
        """Whether pulls should end at their next checkpoint."""
        return self._stopping.is_set()

    def wake(self, pid: int | None = None) -> None:
        """Pull now, whatever the interval or the backoff says: one peer, or all."""
        with self._lock:
            self._hurried |= {who.pid for who in partners(self._database)} if pid is None else {pid}
        self._waking.set()

    def due(self) -> list[Partner]:
        """The peers to pull now, those that waited longest first. Only verified ones that are neither frozen nor
        revoked are ever due, and none that is being pulled."""
        now = self._world.now()
        with self._lock:
            running = set(self._running)
            hurried, self._hurried = self._hurried - running, self._hurried & running
        waiting = []
        for who in partners(self._database):
            next_try = state.sync_state_of(self._database, who.pid).next_try
            called = who.pid in hurried or next_try is None or next_try <= now
            if who.asked and called and who.pid not in running:
                waiting.append((next_try is not None, next_try or now, who.pid, who))
        return [who for *_, who in sorted(waiting, key=lambda each: each[:3])]

    def round(self) -> list[Pulled]:
        """Pull every peer that is due, up to four at once; what each gave. Raises nothing that one peer causes."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pull") as pool:
            return [each.result() for each in self._begin(pool)]

    def pull(self, who: Partner) -> Pulled:
        """Pull one peer, write down how it went and when it is due again."""
        try:
            with alone_with(self._database, self._world, who, self._holder) as alone:
                if not alone:
                    return Pulled(who.name, error="BUSY")
                pulled = self._attempt(who)
                note(self._database, self._world, who, pulled, self._interval)
        except FederationError as error:
            _log.error("exchange_state_not_written", peer=who.name, code=error.code)
            return Pulled(who.name, error=error.code)
        return pulled

    def _attempt(self, who: Partner) -> Pulled:
        try:
            pulled = self._sync(who)
        except FederationError as error:
            _log.warning("exchange_failed", peer=who.name, code=error.code, kind=type(error).__name__)
            pause = error.seconds if isinstance(error, RateLimited) else None
            return Pulled(who.name, error=error.code, pause=pause or 0)
        except Exception as error:  # one peer's answer must not stop the others, whatever it triggered here
            _log.error("exchange_broke", peer=who.name, kind=type(error).__name__)
            return Pulled(who.name, error="INTERNAL")
        _log.info(
            "exchanged",
            peer=who.name,
            taken=pulled.taken,
            withdrawn=pulled.withdrawn,
            quarantined=pulled.quarantined,
        )
        return pulled

    def _run(self) -> None:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pull") as pool:
            while not self._stopping.is_set():
                try:
                    self._begin(pool)
                    pause = self._until_next()
                except Exception as error:  # the loop outlives a full disk and a database that is away
                    _log.error("exchange_loop_broke", kind=type(error).__name__)
                    pause = float(FIRST_BACKOFF_SECONDS)
                self._waking.wait(pause)
                self._waking.clear()  # after the wait: what is called out while peers are looked for is not lost

    def _begin(self, pool: ThreadPoolExecutor) -> list[Future[Pulled]]:
        """Begin to pull every peer that is due, without waiting for any."""
        self._let_go()
        begun = []
        for who in self.due():
            with self._lock:
                self._running.add(who.pid)
            begun.append(pool.submit(self._pull_beside, who))
        return begun

    def _pull_beside(self, who: Partner) -> Pulled:
        try:
            if self.stopping:
                return Pulled(who.name, more=True)
            pulled = self.pull(who)
            if pulled.error == "BUSY":
                self._stopping.wait(ASKED_AGAIN_SECONDS)
            return pulled
        except Exception as error:  # nobody waits for what this raises
            _log.error("exchange_broke", peer=who.name, kind=type(error).__name__)
            return Pulled(who.name, error="INTERNAL")
        finally:
            with self._lock:
                self._running.discard(who.pid)
            self._waking.set()

    def _until_next(self) -> float:
        now = self._world.now()
        pauses = [min(LONGEST_SLEEP_SECONDS, float(self._interval))]
        for who in partners(self._database):
            next_try = state.sync_state_of(self._database, who.pid).next_try
            if who.asked and who.pid not in self._running:
                pauses.append((next_try - now).total_seconds() if next_try else 0.0)
        return max(min(pauses), 0.2)
