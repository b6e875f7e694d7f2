"""The background work of vouching: statements about subordinates are renewed before they end, peers are asked for their
chains, and it is written down when a chain has ended. A subordinate that is not trusted any more is left in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import orjson

from federation.errors import Conflict, FederationError, Unavailable
from federation.peers import state
from federation.peers.agreements import EXCHANGE, Partner, current_keys, partners
from federation.peers.loop import jitter
from federation.peers.vouching import store
from federation.peers.vouching.entity import FETCH_PATH, MAX_ANSWER, TRUST_PATH, Entity, names_keys_of, read_answer
from federation.peers.vouching.standing import note_standing
from federation.peers.vouching.statements import HOUR, StatementRefused, make_statement
from federation.telemetry import logger

REFRESH_SECONDS = 2 * HOUR
FIRST_BACKOFF_SECONDS = 60
ASKING_SECONDS = 20.0
AT_ONCE = 20
LEASE, LEASE_SECONDS = "trust", 900
_log = logger("trust")


def issue(entity: Entity, who: Partner, kept: store.Subordinate) -> None:
    """Make the next statement about a subordinate and keep it. Its keys are those pinned here, whatever it says."""
    now, key, me = entity.world.timestamp(), entity.me.keys.peer, entity.me.issuer
    statement = make_statement(
        key,
        me,
        who.issuer,
        [{**each.jwk, "kid": each.kid} for each in current_keys(who)],
        now,
        kept.hours,
        constraints=dict(kept.constraints),
        metadata_policy=dict(kept.policy),
        source_endpoint=me + FETCH_PATH,
    )
    store.renew_statement(entity.database, who.pid, statement, now + kept.hours * HOUR)


def renew(entity: Entity) -> int:
    """Renew the statements that have less than half of their life left, or name keys that were replaced since; gives
    how many. One about a peer that is
    frozen, revoked or past its day is not renewed: its chain ends by silence."""
    now, renewed = entity.world.timestamp(), 0
    kept = store.subordinates(entity.database)
    for who in partners(entity.database) if kept else ():
        each = kept.get(who.pid)
        if each is None or not who.asked or (each.until is not None and each.until <= now):
            continue
        if each.expires - now < each.hours * HOUR // 2 or not names_keys_of(each.statement, who):
            issue(entity, who, each)
            renewed += 1
    return renewed


def refresh(entity: Entity, who: Partner) -> None:
    """Ask a peer for its chains, its statement about this node and its marks, and keep what is sound of it. Raises
    Conflict for a peer that is not asked, StatementRefused, Unavailable, and what the session raises."""
    if not who.asked:
        raise Conflict(f"{who.name} is not asked: it is not verified, or it is frozen or revoked.")
    try:
        answer = entity.session.request(
            who.issuer,
            frozenset({EXCHANGE}),
            "POST",
            TRUST_PATH,
            headers={"content-type": "application/x-www-form-urlencoded"},
            content=b"",
            max_bytes=MAX_ANSWER,
            timeout=ASKING_SECONDS,
        )
        if answer.status != 200:
            raise Unavailable(f"{who.name} hands over no chains (status {answer.status}).")
        try:
            said = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            raise StatementRefused(f"{who.name} handed over what is not JSON.") from None
        body = read_answer(said, who, entity.me.issuer)
    except FederationError as failed:
        _note_failure(entity, who, failed.code)
        raise
    now = entity.world.timestamp()
    pause = int(REFRESH_SECONDS * jitter(entity.world, f"trust {who.name} {now}"))
    store.note_answer(entity.database, who.pid, body, now, now + pause)


def _note_failure(entity: Entity, who: Partner, code: str) -> None:
    failures = store.answer_of(entity.database, who.pid).failures + 1
    pause = min(FIRST_BACKOFF_SECONDS * 2 ** min(failures - 1, 20), REFRESH_SECONDS)
    store.note_failure(entity.database, who.pid, code, failures, entity.world.timestamp() + pause)


def _due(entity: Entity) -> Iterator[Partner]:
    """The peers to ask now, those that waited longest first."""
    now = entity.world.timestamp()
    waiting = [
        (answer.next_try, who.pid, who)
        for who in partners(entity.database)
        if who.asked and (answer := store.answer_of(entity.database, who.pid)).next_try <= now
    ]
    yield from (who for *_, who in sorted(waiting, key=lambda each: each[:2])[:AT_ONCE])


def round_of(entity: Entity, holder: str, ending: Event | None = None) -> None:
    """Everything once: renew, ask who is due, write down who stands how. Nothing is asked by a node that does not use
    this layer, and one process at a time does it. What one peer does wrong stops no other."""
    if not store.in_use(entity.database):
        return
    if not state.take_lease(entity.database, LEASE, holder, entity.world.timestamp(), LEASE_SECONDS):
        return
    try:
        renew(entity)
        for who in _due(entity):
            if ending is not None and ending.is_set():
                return
            try:
                refresh(entity, who)
            except FederationError as failed:
                _log.warning("trust_not_heard", peer=who.name, code=failed.code)
        for who in partners(entity.database):
            changed = note_standing(entity, who)
            if changed is not None:
                _log.info("trust_changed", peer=who.name, standing=changed)
    finally:
        state.give_lease_back(entity.database, LEASE, holder)


def renew_until(entity: Entity, holder: str, ending: Event, interval: float) -> None:
    """The same over and over until `ending` is set."""
    while True:
        try:
            round_of(entity, holder, ending)
        except FederationError as failed:
            _log.error("trust_round_failed", code=failed.code)
        except Exception as failed:  # the next round may find the disk or the database back
            _log.error("trust_round_broke", kind=type(failed).__name__)
        if ending.wait(interval):
            return
