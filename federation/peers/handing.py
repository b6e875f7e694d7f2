"""Handing a peer key over: a statement signed by the old key names the new one, and the link goes on as it was.

Two linked nodes tell each other their statements in one exchange, each signed by the key that they lead to. A key that
was replaced counts no longer, from the moment at which the statement is taken. Nobody's vouching changes a pin.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from federation import keys
from federation.errors import FederationError
from federation.keys import PublicKey
from federation.outbound import Outbound
from federation.peers.agreements import PEERS, REPLACED, Partner, partner_by_issuer, partners
from federation.peers.pinning import WARNINGS
from federation.peers.statements import MAX_STATEMENTS, Handover, KeysRefused, line_from, read_line
from federation.peers.trust import JOIN_SECONDS, MAX_JOIN_BYTES, Self
from federation.storage.database import Database
from federation.telemetry import logger
from federation.world import World

KEYS_PATH = "/exchange/keys"
KEY_HEADER = "federation-key"
"""Names the thumbprint of the answering node's key, so that a peer that knows another asks for the statements."""
FORK, OLD_KEY, OTHER_ISSUER, BACKWARDS = "fork", "replaced_key", "other_issuer", "backwards"
REASONS = {
    FORK: "a key of it names two successors",
    OLD_KEY: "somebody used a key that it has replaced",
    OTHER_ISSUER: "its key handed over for another address",
    BACKWARDS: "an older statement of it was shown again",
}
"""What speaks against a peer's key. Each can be made only by who holds one of its keys, or has held it."""
RENEWED_SECONDS = 60
_TOLD = "federation-keys+jwt"
_log = logger("keys")


# What two nodes tell each other


@dataclass(frozen=True)
class _Told:
    issuer: str
    key: PublicKey
    line: tuple[Handover, ...]


def tell(me: Self, world: World, audience: str) -> str:
    """This node's statements for one other, signed by the key in force: never by one that another process of the node
    has just replaced, which the peer would take for a thief's."""
    now, own = world.timestamp(), me.ring.look()
    claims = {
        "iss": me.issuer,
        "aud": audience,
        "iat": now,
        "exp": now + JOIN_SECONDS,
        "jwk": dict(own.peer.public.jwk),
        "handovers": list(own.handovers("peer"))[-MAX_STATEMENTS:],
    }
    return keys.sign(own.peer, {"typ": _TOLD}, claims)


def _read(token: str, audience: str, world: World) -> _Told:
    try:
        jws = keys.read_jws(token, types=frozenset({_TOLD}), max_bytes=MAX_JOIN_BYTES)
        claims = jws.claims
        key = keys.public_key(claims.get("jwk"))
        keys.verify(jws, [key])
    except FederationError:
        raise KeysRefused from None
    now, ends, issuer = world.timestamp(), claims.get("exp"), claims.get("iss")
    if claims.get("aud") != audience or not isinstance(issuer, str) or not issuer.isprintable():
        raise KeysRefused
    if type(ends) is not int or not now < ends <= now + 2 * JOIN_SECONDS:
        raise KeysRefused
    return _Told(issuer, key, read_line(claims.get("handovers", ())))


def answer(database: Database, world: World, me: Self, token: str) -> str:
    """The answer to a peer that tells its statements: they are taken, and this node's own are told. Raises KeysRefused
    alike for whoever is not linked, is frozen, or shows keys that do not follow from the one that is known."""
    told = _read(token, me.issuer, world)
    with database.read() as conn:
        who = partner_by_issuer(conn, told.issuer)
    if who is None or who.frozen or not _take(database, world, me, who, told):
        raise KeysRefused
    return tell(me, world, told.issuer)


def exchange_keys(database: Database, world: World, me: Self, outbound: Outbound, who: Partner) -> bool:
    """Tell a peer this node's statements, and take its own. Whether it knows this node by the present key now. Raises
    what Outbound raises."""
    sent = outbound.request(
        "POST",
        who.issuer + KEYS_PATH,
        headers={"content-type": "application/jwt", "accept": "application/jwt"},
        content=tell(me, world, who.issuer).encode(),
        max_bytes=MAX_JOIN_BYTES,
    )
    if sent.status != 200:
        return False
    try:
        told = _read(sent.body.decode("ascii", "replace"), me.issuer, world)
    except KeysRefused:
        return False
    return told.issuer == who.issuer and _take(database, world, me, who, told)


def tell_all(database: Database, world: World, me: Self, outbound: Outbound) -> tuple[list[str], list[str]]:
    """Tell every peer that is neither frozen nor revoked: the names of those that know this node by its present key
    now, and of those that do not yet."""
    known: list[str] = []
    unknown: list[str] = []
    for who in partners(database):
        if who.frozen or who.state == "revoked":
            continue
        taken = False
        with suppress(FederationError):  # one that is away hears of it later
            taken = exchange_keys(database, world, me, outbound, who)
        (known if taken else unknown).append(who.name)
    return known, unknown


class Renewal:
    """Tells a peer which key this node has now, and takes its own: for when it does not know this node, or answers by
    another key than is known. Each peer is asked once a minute at most. Thread-safe."""

    def __init__(self, database: Database, world: World, me: Self, outbound: Outbound) -> None:
        self._database, self._world, self._me, self._outbound = database, world, me, outbound
        self._asked: dict[int, int] = {}

    def __call__(self, who: Partner) -> bool:
        """Whether the peer knows this node by its present key now."""
        now = self._world.timestamp()
        if 0 <= now - self._asked.get(who.pid, now - RENEWED_SECONDS) < RENEWED_SECONDS:
            return False
        self._asked[who.pid] = now
        try:
            return exchange_keys(self._database, self._world, self._me, self._outbound, who)
        except FederationError:
            return False


def _take(database: Database, world: World, me: Self, who: Partner, told: _Told) -> bool:
    """Pin the key that a peer's statements lead to from the one that is known; whether that is then what it signed
    with. What only the holder of one of its keys can have made, and does not fit, is written down."""
    if told.key.thumbprint == who.thumbprint:
        return True
    with database.write() as conn:
        reason = _objection(conn, me, who, told)
        if reason is None:
            _pin(conn, who, line_from(told.line, who.thumbprint), world.timestamp())
        elif reason:
            warn(conn, who.pid, reason, told.key.thumbprint, world.timestamp())
    if reason is None:
        _log.info("peer_key_taken", peer=who.name, key=told.key.thumbprint)
    else:
        _log.warning("peer_key_refused", peer=who.name, reason=reason or "unknown")
    return reason is None


def _objection(conn: Connection, me: Self, who: Partner, told: _Told) -> str | None:
    """Why statements are not taken; "" where anybody could have made them, None where they are."""
    rows = conn.execute(select(REPLACED).where(REPLACED.c.pid == who.pid)).all()
    replaced = {row.thumbprint: row.successor for row in rows}
    if told.key.thumbprint in replaced or any(replaced.get(each.old.thumbprint, "") is None for each in told.line):
        return OLD_KEY
    if any(replaced.get(each.old.thumbprint, each.new.thumbprint) != each.new.thumbprint for each in told.line):
        return FORK
    line = line_from(told.line, who.thumbprint)
    if not line:
        return ""
    if any(each.issuer != who.issuer for each in line):
        return OTHER_ISSUER
    if line[0].number <= max((row.number for row in rows if row.successor == who.thumbprint), default=0):
        return BACKWARDS
    news = {each.new.thumbprint for each in line}
    if news & replaced.keys() or who.thumbprint in news:
        return BACKWARDS
    others = conn.execute(select(PEERS.c.pid).where(PEERS.c.thumbprint.in_(news))).first()
    if others is not None or me.keys.peer.thumbprint in news or line[-1].new.thumbprint != told.key.thumbprint:
        return ""
    present = conn.execute(select(PEERS.c.thumbprint).where(PEERS.c.pid == who.pid, ~PEERS.c.frozen)).scalar()
    return None if present == who.thumbprint else ""


def _pin(conn: Connection, who: Partner, line: Sequence[Handover], now: int) -> None:
    """Put the last key of a line in the place of the first; grants, name and whether it was verified stay."""
    for each in line:
        conn.execute(
            insert(REPLACED).values(
                pid=who.pid,
                thumbprint=each.old.thumbprint,
                successor=each.new.thumbprint,
                number=each.number,
                at=now,
            )
        )
    new = line[-1].new
    values = {"jwks": json.dumps([dict(new.jwk)]), "thumbprint": new.thumbprint}
    conn.execute(update(PEERS).where(PEERS.c.pid == who.pid).values(**values))


# What is known of a peer's keys


def warn(conn: Connection, pid: int, reason: str, thumbprint: str, now: int) -> None:
    """Write down that somebody else may hold a key of a peer; the last such word is kept."""
    conn.execute(delete(WARNINGS).where(WARNINGS.c.pid == pid))
    conn.execute(insert(WARNINGS).values(pid=pid, reason=reason, thumbprint=thumbprint, at=now))


def warning(database: Database, who: Partner) -> Any:
    """The last warning on a peer's keys, (pid, reason, thumbprint, at); None if there is none."""
    with database.read() as conn:
        return conn.execute(select(WARNINGS).where(WARNINGS.c.pid == who.pid)).one_or_none()


def handed_over_at(database: Database, who: Partner) -> int | None:
    """When the peer's present key was taken by a statement of the one before; None where it was pinned by people."""
    taken = select(func.max(REPLACED.c.at)).where(REPLACED.c.pid == who.pid, REPLACED.c.successor == who.thumbprint)
    with database.read() as conn:
        return conn.execute(taken).scalar_one()
