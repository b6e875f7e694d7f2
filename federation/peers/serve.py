"""Serving a peer: what changed in its slice since its cursor, or the whole slice anew.

The grant is read for every checkpoint, what goes out is written down before it goes, and a cursor is a chain of hashes
over what was served: a write that the peer cannot see changes no byte of any answer.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from federation.errors import BadInput, Conflict, ForbiddenField, Unauthenticated
from federation.gate import Gate, Item
from federation.keys import b64, unb64
from federation.peers import provenance as pv
from federation.peers import state
from federation.peers.agreements import EXCHANGE, Partner, partner_by_issuer, token_scopes, viewer_of
from federation.peers.dress import Dresser, terms_of_own
from federation.peers.state import Standing
from federation.peers.trust import Self
from federation.peers.wire import line
from federation.policies.decide import class_key, decide, rights
from federation.policies.rules import Policy
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.registry import RECORD_TYPES
from federation.storage import journal
from federation.storage.bounded import Bounded
from federation.storage.database import Database
from federation.storage.journal import Position
from federation.storage.viewing import rights_key
from federation.world import World

CHECKPOINT_BYTES = 120_000
"""Of items as the gate gives them: with signatures, compressed, that is at most 64 kB on the wire."""
SMALLEST_ANSWER = CHECKPOINT_BYTES
LARGEST_ANSWER = 16 * 1024 * 1024
ROWS_AT_ONCE = 64
MAX_CLASSES = 1000
_RUN = re.compile(r"[0-9a-f]{32}")
_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,200}")
_TYPES = tuple(key for key, kind in RECORD_TYPES.items() if kind.shareable)


class Reconcile(Conflict):
    """The peer cannot go on from its cursor: unknown, of another class, or too old. It has to pull the slice anew."""

    code = "RECONCILE"


@dataclass(frozen=True)
class Source:
    """What serving needs of this node. `max_hops` is how many nodes the path of an own record may hold."""

    database: Database
    world: World
    me: Self
    gate: Gate
    policy: Callable[[], Policy]
    codes_version: str
    max_hops: int = 2
    classes: Bounded[str] = field(default_factory=lambda: Bounded(MAX_CLASSES))


@dataclass(frozen=True)
class _Now:
    """A peer at one moment: who it is, as which viewer it sees, under which policy, and where that puts it."""

    who: Partner
    viewer: Viewer
    policy: Policy
    standing: Standing


class ScopesDiffer(ForbiddenField):
    """The token does not have exactly the granted scopes; `headers` name them (RFC 6750, `insufficient_scope`)."""

    def __init__(self, granted: frozenset[str]) -> None:
        super().__init__("The exchange needs a token with exactly the granted scopes.")
        named = " ".join(sorted(granted))
        self.headers = {"www-authenticate": f'DPoP error="insufficient_scope", scope="{named}"'}


def check_viewer(source: Source, viewer: Viewer) -> None:
    """Refuse whoever is not a peer with a token of exactly the scopes that it was granted: a token that says less
    must not open more. Raises Unauthenticated, ForbiddenField."""
    if viewer.kind is ViewerKind.ANONYMOUS:
        raise Unauthenticated("The exchange is for peers with a token.")
    if viewer.kind is not ViewerKind.PEER or EXCHANGE not in viewer.scopes:
        raise ForbiddenField("The exchange needs a peer's token with the scope exchange.")
    with source.database.read() as connection:
        who = partner_by_issuer(connection, viewer.subject)
    granted = frozenset() if who is None else token_scopes(who)
    if not granted:
        raise Unauthenticated("The exchange is for peers with a token.")
    if viewer.scopes != granted:
        raise ScopesDiffer(granted)


def class_of(source: Source, policy: Policy, viewer: Viewer) -> str:
    """The class of a peer: what it sees, under which terms that goes on, in which period its signatures fall, so that
    they are renewed before they end, and by which key they are made, so that they are renewed when it is replaced."""
    signed = (source.world.timestamp() // pv.PERIOD_SECONDS, source.me.keys.provenance.thumbprint)
    key = (policy.version, viewer.subject, rights_key(viewer), signed)
    return source.classes.get(key) or source.classes.put(key, _class_of(source, policy, viewer, signed))


def _class_of(source: Source, policy: Policy, viewer: Viewer, by: tuple[int, str]) -> str:
    seen = class_key(policy, viewer, policy.catalogue, source.codes_version)
    read = sorted({scope.partition(":")[0] for scope in rights(viewer)} & RECORD_TYPES.keys())
    own = [terms_of_own(policy, key, source.max_hops).hash for key in read if RECORD_TYPES[key].relayable]
    signed = list(by) if own and source.max_hops > 1 else []
    return state.digest([seen, sorted(rights(viewer)), own, signed])


def class_seen(policy: Policy, viewer: Viewer) -> dict[str, Any]:
    """What a class sees of own records, `{type: {"clearance", "steps"}}`: kept beside the class, so that it can be told
    later what was sent."""
    seen = {key: decide(policy, viewer, key) for key in RECORD_TYPES}
    return {
        key: {"clearance": int(each.clearance or 0), "steps": dict(each.steps)}
        for key, each in seen.items()
        if not each.empty
    }


def stand(source: Source, issuer: str) -> _Now:
    """Where a peer stands now; its epoch goes up if its class is another than before. Raises Unauthenticated for one
    that is unknown or frozen."""
    with source.database.read() as conn:
        who = partner_by_issuer(conn, issuer)
    if who is None or who.frozen:
        raise Unauthenticated("This peer is not known here.")
    policy, viewer = source.policy(), viewer_of(who)
    class_name = class_of(source, policy, viewer)
    epoch = state.epoch_of(source.database, who.pid, class_name, lambda: class_seen(policy, viewer))
    incarnation = state.incarnation(source.database, source.world)
    return _Now(who, viewer, policy, Standing(who.pid, incarnation, class_name, epoch))


def _token(source: Source, standing: Standing, before: str, served: bytes) -> str:
    """The next cursor: over everything that was served up to it, and nothing else."""
    said = [standing.pid, standing.incarnation, standing.class_key, standing.epoch, before, served.hex()]
    mac = hmac.digest(source.me.keys.secret, b"exchange-cursor\0" + repr(said).encode(), "sha256")
    return b64(mac[:24])


def changes(source: Source, issuer: str, asked: Mapping[str, Any]) -> Iterator[bytes]:
    """The blocks of an answer to `{"incarnation", "epoch", "cursor", "limit"}`: puts and withdrawals in order of
    position, each block ending in a checkpoint, the last in `end`.

    Raises Reconcile where the peer cannot go on from there, BadInput, Unauthenticated; all before the first block.
    """
    cursor, limit = asked.get("cursor"), _limit(asked)
    now = stand(source, issuer)
    if not isinstance(cursor, str) or not _CURSOR.fullmatch(cursor) or not _same(asked, now.standing):
        raise Reconcile("The slice has to be pulled anew.")
    with source.database.read() as conn:
        position = state.served_position(conn, now.standing, cursor)
        low, high = journal.floor(conn), journal.head(conn)
    if position is None or not low <= position <= max(high, low):
        raise Reconcile("The slice has to be pulled anew.")
    state.note_confirmed(source.database, now.standing, cursor, source.world.now())
    return _eager(_changes(source, now, cursor, position, limit))


def _changes(source: Source, now: _Now, cursor: str, position: Position, limit: int) -> Iterator[bytes]:
    dresser, size = _dresser(source, now), 0
    while True:
        with source.database.read() as conn:
            found = source.gate.since(now.viewer, position, CHECKPOINT_BYTES, connection=conn)
            block = b"".join(dresser.dress(conn, found.items))
        reached = found.next if found.more else found.scanned
        if not _still(source, now):
            if size == 0:
                raise Reconcile("The slice has to be pulled anew.")
            yield line({"k": "end", "c": cursor, "more": True})
            return
        if block:
            before, cursor = cursor, _token(source, now.standing, cursor, hashlib.sha256(block).digest())
            _write_down(source, now, (before, cursor), (str(position), str(reached)))
            block += line({"k": "check", "c": cursor})
        elif reached != position:
            with source.database.write() as conn:
                state.move_served(conn, now.standing, cursor, reached)
        position = reached
        size += len(block)
        if not found.more or size >= limit:
            yield block + line({"k": "end", "c": cursor, "more": found.more})
            return
        if block:
            yield block


def reconcile(source: Source, issuer: str, asked: Mapping[str, Any]) -> Iterator[bytes]:
    """The blocks of an answer to `{"run", "incarnation", "epoch", "type", "after", "limit"}`: the slice type by type in
    the order of wire ids, each checkpoint telling how far its range reaches; at the end the cursor of the position
    where the run began.

    A run is named by the peer; it goes on where `type` and `after` say. Raises Reconcile where it cannot go on: then
    a new run begins. BadInput, Unauthenticated; all before the first block.
    """
    run, limit = asked.get("run"), _limit(asked)
    if not isinstance(run, str) or not _RUN.fullmatch(run):
        raise BadInput("A reconcile run has a name of 32 hexadecimal digits.")
    at, after = _resume(asked)
    now = stand(source, issuer)
    going_on = asked.get("incarnation") is not None
    if going_on and not _same(asked, now.standing):
        raise Reconcile("The slice has to be pulled anew.")
    start = _token(source, now.standing, "reconcile", bytes.fromhex(run))
    with source.database.read() as conn:
        position = state.served_position(conn, now.standing, start)
        low, head = journal.floor(conn), journal.head(conn)
    if position is None:
        if going_on:
            raise Reconcile("The slice has to be pulled anew.")
        with source.database.write() as conn:
            at_head = (str(head), str(head))
            state.write_served(
                conn, now.standing, ("reconcile", start), at_head, now.policy.version, source.world.now()
            )
    elif position < low:
        raise Reconcile("The slice has to be pulled anew.")
    return _eager(_reconcile(source, now, start, at, after, limit))


def _reconcile(source: Source, now: _Now, start: str, at: int, after: bytes, limit: int) -> Iterator[bytes]:
    dresser, size = _dresser(source, now), 0
    block = line({"k": "start", "n": now.standing.incarnation, "e": now.standing.epoch, "c": start})
    while at < len(_TYPES):
        kind = _TYPES[at]
        with source.database.read() as conn:
            items, upto = _range(source, conn, now.viewer, kind, after)
            lines = b"".join(dresser.dress(conn, items))
        if not _still(source, now):
            if size == 0:
                raise Reconcile("The slice has to be pulled anew.")
            yield block + line({"k": "end", "c": start, "more": True})
            return
        told = f"{kind}:{after.hex()}", f"{kind}:{upto.hex() if upto else ''}"
        if items:
            _write_down(source, now, told, (start, start))
        block += lines + line({"k": "check", "t": kind, "to": b64(upto) if upto else None})
        at, after = (at, upto) if upto else (at + 1, b"")
        size += len(block)
        if size >= limit and at < len(_TYPES):
            yield block + line({"k": "end", "c": start, "more": True})
            return
        if items:
            yield block
            block = b""
    yield block + line({"k": "end", "c": start, "more": False})


def _range(
    source: Source, conn: Connection, viewer: Viewer, kind: str, after: bytes
) -> tuple[list[Item], bytes | None]:
    """The next items of a type in the order of their ids, and the id up to which that is all there is; None for the
    end of the type. Records that share an id are never torn apart."""
    items: list[Item] = []
    size = 0
    while True:
        part = source.gate.slice(viewer, kind, after, ROWS_AT_ONCE, connection=conn)
        for at, item in enumerate(part):
            if size >= CHECKPOINT_BYTES and item.id != part[at - 1].id and items:
                return items, items[-1].id
            items.append(item)
            size += len(item.line)
        if len(part) < ROWS_AT_ONCE:
            return items, None
        after = part[-1].id
        if part[0].id != after:  # more records may share the last id: they come whole with the next part
            while items[-1].id == after:
                size -= len(items.pop().line)
            after = items[-1].id


def _dresser(source: Source, now: _Now) -> Dresser:
    return Dresser(source.me, now.policy, source.max_hops, source.world.timestamp(), now.who.origin)


def _still(source: Source, now: _Now) -> bool:
    """Whether the peer stands where it stood when the answer began: read after the rows, before they leave."""
    try:
        again = stand(source, now.who.issuer)
    except Unauthenticated:
        return False
    return again.standing == now.standing and again.policy.version == now.policy.version


def _write_down(source: Source, now: _Now, tokens: tuple[str, str], span: tuple[str, str]) -> None:
    """Commit what is about to leave, before it does."""
    with source.database.write() as conn:
        state.write_served(conn, now.standing, tokens, span, now.policy.version, source.world.now())


def _eager(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks, the first one made now: what refuses the request does so before the answer has begun."""
    first = next(blocks)
    return itertools.chain([first], blocks)


def _same(asked: Mapping[str, Any], standing: Standing) -> bool:
    return asked.get("incarnation") == standing.incarnation and asked.get("epoch") == standing.epoch


def _limit(asked: Mapping[str, Any]) -> int:
    limit = asked.get("limit", LARGEST_ANSWER)
    if type(limit) is not int or limit <= 0:
        raise BadInput("The limit is a number of bytes.")
    return min(max(limit, SMALLEST_ANSWER), LARGEST_ANSWER)


def _resume(asked: Mapping[str, Any]) -> tuple[int, bytes]:
    """Where a run goes on: the place of the type, and the id after which. A peer can only ask for its own slice."""
    kind, after = asked.get("type"), asked.get("after")
    if not isinstance(kind, str | None) or not isinstance(after, str | None):
        raise BadInput("The type and the id to go on after are texts.")
    if kind is None:
        return 0, b""
    if kind not in RECORD_TYPES:
        return len(_TYPES), b""
    order = list(RECORD_TYPES)
    at = next((place for place, key in enumerate(_TYPES) if order.index(key) >= order.index(kind)), len(_TYPES))
    if after is None or at == len(_TYPES) or _TYPES[at] != kind:
        return at, b""
    try:
        return at, unb64(after)[:16]
    except (ValueError, TypeError, AttributeError):
        raise BadInput("The id to go on after is not one.") from None


__all__ = [
    "Reconcile",
    "Source",
    "changes",
    "check_viewer",
    "class_of",
    "reconcile",
    "stand",
]
