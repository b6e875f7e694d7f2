"""Pulling from one peer: ask for what changed, check every line, apply each checkpoint in one transaction.

The cursor moves in the transaction that applies, by compare-and-set: replays, duplicates, reorders and cut answers are
nothing, or part of the way. What is poison is named in quarantine and never stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from federation.errors import Conflict, RateLimited, Unavailable
from federation.keys import b64
from federation.oauth.client import PeerRefused, PeerSession
from federation.outbound import StreamedResponse, lines, retry_after
from federation.peers import agreements, ranges, state
from federation.peers.agreements import EXCHANGE, Partner
from federation.peers.arrival import Arrival, Gatehouse
from federation.peers.handing import KEY_HEADER
from federation.peers.holding import Holding
from federation.peers.loop import Pulled
from federation.peers.ranges import Key
from federation.peers.state import Run, SyncState
from federation.peers.verified import VerifiedSignatures
from federation.peers.wire import (
    CHANGES_PATH,
    MEDIA_TYPE,
    RECONCILE_PATH,
    AnswerBroken,
    Caps,
    decompressed,
    parsed,
)
from federation.records.registry import RECORD_TYPES
from federation.storage.database import Database
from federation.storage.items import Gone, Poison, Put
from federation.storage.received import set_aside
from federation.world import World

LEAST_SCOPES = frozenset({EXCHANGE})
"""What is asked for at first; a peer that granted more names it, and is asked for a token of exactly that."""
_NAMED_SCOPES = re.compile(r'error="insufficient_scope".*?\bscope="([^"]{1,8192})"')
ANSWER_BYTES = 16 * 1024 * 1024
MAX_RESTARTS = 3
MAX_ANSWERS = 4096
_NOT_ASKED = "Only verified peers that are neither frozen nor revoked are pulled; see `federation peer show`."


class AnswerCut(AnswerBroken):
    """The answer ended before its end. The next pull goes on after the last checkpoint."""


class _ScopesNamed(Exception):
    """The peer has named the scopes that it granted: the same is asked again, with a token of these."""


class ReconcileNeeded(Conflict):
    """The peer cannot go on from the cursor: the slice has to be pulled anew."""


@dataclass
class _Batch:
    """What has arrived since the last checkpoint."""

    puts: dict[Key, Put] = field(default_factory=dict)
    gone: dict[Key, Gone] = field(default_factory=dict)
    poison: list[Poison] = field(default_factory=list)
    lines: int = 0
    size: int = 0

    def put(self, item: Put) -> None:
        key = (item.type, item.origin, item.id)
        self.gone.pop(key, None)
        self.puts[key] = item

    def leave(self, item: Gone) -> None:
        key = (item.type, item.origin, item.id)
        self.puts.pop(key, None)
        self.gone[key] = item

    def spoil(self, poison: Poison) -> None:
        """Poison in the place of a record: what was held of it before is not what the peer shows now."""
        self.poison.append(poison)
        if len(poison.id) == 16 and poison.type in RECORD_TYPES:
            self.leave(Gone(poison.type, poison.id, poison.origin))


@dataclass
class _Tally:
    taken: int = 0
    withdrawn: int = 0
    quarantined: int = 0


Progress = Callable[[int], None]


class Puller:
    """Pulls peers for one node. `me` is this node's thumbprint as an origin, `holding` writes what arrives, `stopping`
    says whether to end at the next checkpoint, `renew` tells a peer this node's keys and takes its own. Thread-safe;
    one pull a peer is the caller's part."""

    def __init__(
        self,
        database: Database,
        world: World,
        me: str,
        session: PeerSession,
        holding: Holding,
        *,
        caps: Caps | None = None,
        stopping: Callable[[], bool] = lambda: False,
        renew: Callable[[Partner], bool] = lambda _: False,
    ) -> None:
        self._database = database
        self._world = world
        self._me = me
        self._session = session
        self._holding = holding
        self._caps = caps or Caps()
        self._stopping = stopping
        self._verified = VerifiedSignatures()
        self._scopes: dict[int, frozenset[str]] = {}
        self._renew = renew
        self._named_keys: dict[int, str] = {}

    def sync(self, who: Partner, progress: Progress = lambda _: None) -> Pulled:
        """Pull a peer until nothing more is there, or its time is over; `progress` hears the number of records done at
        each checkpoint.

        Raises Conflict for a peer that is not verified, frozen or revoked, and if another pull of this peer was faster;
        AnswerBroken, and what the session raises. What was
        applied before stays applied, and what was withdrawn is erased from the files in any case.
        """
        if not who.asked:
            raise Conflict(_NOT_ASKED)
        try:
            pulled = self._whole(who, progress)
        except PeerRefused as refused:
            if refused.error != "invalid_client" or not self._renew(who):
                raise
            pulled = self._whole(who, progress)
        if self._named_keys.pop(who.pid, who.thumbprint) != who.thumbprint:
            self._renew(who)
        return pulled

    def _whole(self, who: Partner, progress: Progress) -> Pulled:
        tally = _Tally()
        try:
            more, restarts, answers, named = True, 0, 0, 0
            until = self._world.timestamp() + self._caps.pull_seconds
            while more and answers < MAX_ANSWERS and not self._stopping() and self._world.timestamp() <= until:
                answers += 1
                try:
                    more = self._one(who, tally, progress)
                except _ScopesNamed:
                    named += 1
                    if named > MAX_RESTARTS:
                        raise Unavailable("The peer names other scopes each time it is asked.") from None
                except ReconcileNeeded:
                    restarts += 1
                    if restarts > MAX_RESTARTS:
                        raise
                    self._begin(state.sync_state_of(self._database, who.pid))
                except AnswerCut:
                    raise
                except AnswerBroken:
                    self._begin(state.sync_state_of(self._database, who.pid))
                    raise
        finally:
            self._holding.drop_ended(who.pid, self._world.timestamp())
            self._holding.erase_if_due(self._world.timestamp())
        return Pulled(who.name, tally.taken, tally.withdrawn, tally.quarantined, more=more)

    def let_go(self) -> int:
        """Remove what came by peers that are not verified or were revoked, and erase it from the files; gives how many
        rows. Costs next to nothing where there is none."""
        gone = 0
        for who in agreements.partners(self._database):
            if not who.trusted:
                gone += self._holding.let_go(who.pid)
        if gone:
            self._holding.erase_if_due(self._world.timestamp())
        return gone

    def _one(self, who: Partner, tally: _Tally, progress: Progress) -> bool:
        now = state.sync_state_of(self._database, who.pid)
        if now.run is None and now.cursor is None:
            now = self._begin(now)
        return self._reconcile(who, now, tally, progress) if now.run else self._changes(who, now, tally, progress)

    def _begin(self, now: SyncState) -> SyncState:
        """A new reconcile run, with a name that the source has not seen."""
        subject = f"{self._me} {now.pid} {now.incarnation} {now.epoch} {now.cursor} {now.run and now.run.name}"
        run = Run(self._world.draw("reconcile", subject, 16).hex())
        with self._database.write() as conn:
            return state.advance(conn, now, incarnation=None, epoch=None, cursor=None, run=run)

    def _changes(self, who: Partner, now: SyncState, tally: _Tally, progress: Progress) -> bool:
        asked = {"incarnation": now.incarnation, "epoch": now.epoch, "cursor": now.cursor, "limit": ANSWER_BYTES}
        arrival, batch, content = self._arrival(who), _Batch(), 0
        with self._ask(who, CHANGES_PATH, asked) as answer:
            for item, size in self._items(answer):
                if self._take(arrival, batch, item, size):
                    content += 1
                    continue
                if item["k"] not in ("check", "end"):
                    raise AnswerBroken("The answer holds a line that has no place in it.")
                cursor = _token(item.get("c"))
                if cursor != now.cursor or batch.lines:
                    now = self._apply(who, now, arrival, batch, tally, cursor=cursor)
                    progress(tally.taken + tally.withdrawn)
                    batch = _Batch()
                if item["k"] == "end":
                    return _more(item, content)
                if self._stopping():
                    return False
        raise AnswerCut("The answer was cut off; what came whole was taken in.")

    def _reconcile(self, who: Partner, now: SyncState, tally: _Tally, progress: Progress) -> bool:
        run = now.run or Run("")
        asked = {
            "run": run.name,
            "incarnation": now.incarnation,
            "epoch": now.epoch,
            "type": run.type,
            "after": run.after and b64(bytes.fromhex(run.after)),
            "limit": ANSWER_BYTES,
        }
        arrival, batch, content, begun = self._arrival(who), _Batch(), 0, None
        with self._ask(who, RECONCILE_PATH, asked) as answer:
            for item, size in self._items(answer):
                if item["k"] == "start" and begun is None:
                    begun = {"incarnation": _token(item.get("n")), "epoch": _epoch(item.get("e"))}
                elif self._take(arrival, batch, item, size):
                    content += 1
                elif begun is None:
                    raise AnswerBroken("The answer does not say where it begins.")
                elif item["k"] == "check":
                    if _type(item.get("t")) in RECORD_TYPES:
                        reached = ranges.reached(now.run or run, item)
                        now = self._apply(who, now, arrival, batch, tally, **begun, run=reached)
                        progress(tally.taken)
                    batch = _Batch()
                    if self._stopping():
                        return False
                elif item["k"] == "end":
                    if _more(item, content):
                        return True
                    done = ranges.over(run)
                    self._apply(who, now, arrival, batch, tally, **begun, run=done, cursor=_token(item.get("c")))
                    return True
                else:
                    raise AnswerBroken("The answer holds a line that has no place in it.")
        raise AnswerCut("The answer was cut off; what came whole was taken in.")

    def _arrival(self, who: Partner) -> Arrival:
        return Arrival(
            Gatehouse(
                self._me,
                who.origin,
                RECORD_TYPES,
                self._world.timestamp(),
                self._verified,
                self._holding.known_origin,
                self._holding.known_terms,
                self._holding.accept_values,
            )
        )

    def _take(self, arrival: Arrival, batch: _Batch, item: dict[str, Any], size: int) -> bool:
        """Put a line into the batch; False for a line that is no content."""
        kind = item["k"]
        if kind in ("check", "end", "start"):
            return False
        batch.lines += 1
        batch.size += size
        if batch.lines > self._caps.lines or batch.size > self._caps.held_bytes:
            raise AnswerBroken("The answer goes on for too long without a checkpoint.")
        try:
            if kind == "put":
                batch.put(arrival.put(item))
            elif kind == "withdraw":
                batch.leave(arrival.gone(item))
            elif kind == "origin":
                arrival.origin_line(item)
            elif kind == "terms":
                arrival.terms_line(item)
        except Poison as poison:
            batch.spoil(poison)
        return True

    def _apply(
        self, who: Partner, now: SyncState, arrival: Arrival, batch: _Batch, tally: _Tally, **moves: Any
    ) -> SyncState:
        """One checkpoint in one transaction: what came, what left, what is poison, and the cursor."""
        reached = moves.get("run")
        arrival.checkpoints += 1
        if arrival.checkpoints > self._caps.checkpoints:
            raise AnswerBroken("The answer has more checkpoints than it can have reason for.")
        with self._database.write() as conn:
            if not agreements.is_asked(conn, who.pid):
                raise Conflict(_NOT_ASKED)
            after = state.advance(conn, now, **{**moves, "run": None if moves.get("cursor") else reached})
            gone = dict(batch.gone)
            if now.run is not None and reached is not None:
                held = partial(self._holding.held, conn, who.pid)
                gone |= ranges.left_behind(held, now.run, reached, batch.puts)
            puts = list(batch.puts.values())
            narrowing = now.run is not None
            counts = self._holding.apply(conn, who.pid, arrival, puts, list(gone.values()), narrowing=narrowing)
            set_aside(conn, who.pid, batch.poison, self._world.now().isoformat())
        tally.taken += counts.put + counts.unchanged
        tally.withdrawn += counts.withdrawn
        tally.quarantined += counts.quarantined + len(batch.poison)
        return after

    @contextmanager
    def _ask(self, who: Partner, path: str, asked: dict[str, Any]) -> Iterator[StreamedResponse]:
        scopes = self._scopes.get(who.pid, LEAST_SCOPES)
        try:
            with self._session.stream(
                who.issuer,
                scopes,
                "POST",
                path,
                headers={"content-type": "application/json", "accept": MEDIA_TYPE, "accept-encoding": "zstd"},
                content=orjson.dumps(asked),
                max_bytes=self._caps.answer_bytes,
                timeout=self._caps.seconds,
            ) as answer:
                if answer.status == 403 and (named := _NAMED_SCOPES.search(answer.headers.get("www-authenticate", ""))):
                    granted = frozenset(named[1].split())
                    if granted == scopes:
                        raise Unavailable("The peer does not take a token of the scopes that it named.")
                    self._scopes[who.pid] = granted
                    raise _ScopesNamed
                if key := answer.headers.get(KEY_HEADER):
                    self._named_keys[who.pid] = key
                if answer.status == 409:
                    raise ReconcileNeeded("The peer asks for the slice to be pulled anew.")
                if answer.status == 429:
                    seconds = retry_after(answer.headers, self._world.timestamp())
                    raise RateLimited("The peer is busy; it is asked again later.", seconds=seconds)
                if answer.status != 200:
                    raise Unavailable(f"The peer does not answer the exchange (status {answer.status}).")
                yield answer
        except PeerRefused as refused:
            if refused.error != "invalid_scope" or self._scopes.pop(who.pid, None) is None:
                raise
            raise _ScopesNamed from None  # less is granted than was: what that is, the peer names again

    def _items(self, answer: StreamedResponse) -> Iterator[tuple[dict[str, Any], int]]:
        chunks = answer.chunks
        if answer.headers.get("content-encoding") == "zstd":
            chunks = decompressed(chunks)
        for raw in lines(chunks, max_bytes=self._caps.answer_bytes, max_line=self._caps.line_bytes):
            if raw:
                yield parsed(raw), len(raw)


def _more(item: Mapping[str, Any], content: int) -> bool:
    """Whether to ask on. An answer without content that promises more would go on for ever."""
    more = item.get("more") is True
    if more and content == 0:
        raise AnswerBroken("The answer holds nothing and promises more.")
    return more


def _token(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise AnswerBroken("The answer lacks its cursor.")
    return value


def _type(value: Any) -> str:
    if not isinstance(value, str):
        raise AnswerBroken("A range of the answer has no type.")
    return value


def _epoch(value: Any) -> int:
    if type(value) is not int or not 0 < value < 2**53:
        raise AnswerBroken("The answer lacks its epoch.")
    return value
