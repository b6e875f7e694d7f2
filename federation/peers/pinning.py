"""Pinning: which keys a peer is known by, as it presented them under an invitation. Grants nothing.

A pinned key changes in two ways only: by a statement that it signed itself, or here, by an invitation that was made for
that one peer. A key that was replaced or given up for lost is never pinned again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, or_, select, update

from federation.errors import Conflict
from federation.keys import NodeKeys, PublicKey, SigningKey
from federation.peers import state
from federation.peers.agreements import PEERS, REPLACED, Partner
from federation.peers.origins import Origin, newer, stored
from federation.peers.provenance import ProvenanceInvalid
from federation.storage.peer_keys import KeyWarning, Rekeying
from federation.storage.peering import origin_row, pin_origin

REKEYING: Table = Rekeying.__table__  # type: ignore[attr-defined]
WARNINGS: Table = KeyWarning.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Presented:
    """What a node said of itself, its signatures checked: address, name, the code that it answers, the key that it
    signed with, the statements that lead to that, and its origin."""

    issuer: str
    name: str
    code: bytes
    key: PublicKey
    line: tuple[object, ...]
    origin: Origin


def as_pinned(conn: Connection, said: Presented) -> bool:
    """Whether a peer that is neither frozen nor revoked presents itself exactly as it was pinned."""
    linked = (PEERS.c.thumbprint == said.key.thumbprint, PEERS.c.state != "revoked", ~PEERS.c.frozen)
    row = conn.execute(select(PEERS).where(*linked)).one_or_none()
    return row is not None and (row.issuer, row.origin) == (said.issuer, said.origin.thumbprint)


def pin(conn: Connection, me: NodeKeys, said: Presented, name: str | None) -> None:
    """Write the peer's keys down. A revoked peer may be linked anew, unverified and without any grant; its slice is
    then pulled from the beginning. Nobody may come under this node's own origin, or that of another peer."""
    found = conn.execute(
        select(PEERS).where(or_(PEERS.c.issuer == said.issuer, PEERS.c.thumbprint == said.key.thumbprint))
    ).all()
    if len(found) > 1 or any(row.state != "revoked" or row.frozen for row in found):
        raise Conflict("A peer with this address or key is already linked; `federation peer list` shows it.")
    _check_keys(conn, me, said, found[0].pid if found else 0)
    pinned = {"issuer": said.issuer, "state": "pinned"} | _keys(said)
    if found:
        conn.execute(update(PEERS).where(PEERS.c.pid == found[0].pid).values(**pinned))
        state.pull_anew(conn, found[0].pid, empty=False)
        _pin_origin(conn, said.origin, found[0].name)
        return
    taken = set(conn.execute(select(PEERS.c.name)).scalars())
    if name is not None and name in taken:
        raise Conflict("Another peer has that name here; choose another with --name.")
    wanted = name or said.name
    free = next(each for each in chain([wanted], (f"{wanted}-{n}" for n in count(2))) if each not in taken)
    conn.execute(insert(PEERS).values(name=free, frozen=False, scopes="[]", narrowing="[]", **pinned))
    _pin_origin(conn, said.origin, free)


def _pin_origin(conn: Connection, told: Origin, name: str) -> None:
    """Write down a peer's own first key, and the longest line of hand-overs that is known of it. Raises Conflict where
    it tells another successor of a key than is known here: then somebody else holds that key."""
    row = origin_row(conn, thumbprint=told.thumbprint)
    try:
        newest = newer(None if row is None else stored(row.name, row.jwk, row.handovers), told)
    except ProvenanceInvalid:
        raise Conflict(
            "Two successors of the other node's provenance key are told: ask its people which one is theirs."
        ) from None
    pin_origin(conn, newest.thumbprint, name, newest.jwk, newest.handovers)


def _keys(said: Presented) -> dict[str, Any]:
    """The columns of a peer that say by which keys it is known; nobody has compared words of these yet."""
    return {
        "jwks": json.dumps([dict(said.key.jwk)]),
        "thumbprint": said.key.thumbprint,
        "origin": said.origin.thumbprint,
        "provenance": json.dumps(dict(said.origin.jwk)),
        "verified": False,
    }


def _check_keys(conn: Connection, me: NodeKeys, said: Presented, pid: int) -> None:
    """Refuse keys that are this node's, another peer's, or no longer this peer's. Raises Conflict."""
    if said.origin.thumbprint == me.origin:
        raise Conflict(
            "The other node presents this node's own provenance key: it may hold a copy of it. Do not link to it."
        )
    if said.key.thumbprint == me.peer.thumbprint:
        raise Conflict("The other node presents this node's own key: it may hold a copy of it. Do not link to it.")
    if conn.execute(select(PEERS.c.pid).where(PEERS.c.origin == said.origin.thumbprint, PEERS.c.pid != pid)).first():
        raise Conflict("Another peer already has this provenance key: ask both over another channel whose it is.")
    if conn.execute(select(PEERS.c.pid).where(PEERS.c.thumbprint == said.key.thumbprint, PEERS.c.pid != pid)).first():
        raise Conflict("A peer with this address or key is already linked; `federation peer list` shows it.")
    old = select(REPLACED.c.pid).where(REPLACED.c.pid == pid, REPLACED.c.thumbprint == said.key.thumbprint)
    if conn.execute(old).first():
        raise Conflict("The other node presents a key that was replaced or given up for lost; it needs a new one.")


def give_up(conn: Connection, who: Partner, nobody: SigningKey, code: str, now: int) -> None:
    """Let a peer's key count no longer, nor any token that it got by it: until the peer takes up the invitation of this
    hash it is known by a key that nobody has. Name, agreement and freeze stay; words have to be compared anew."""
    if awaited(conn, who.pid) is None:
        lost = {"pid": who.pid, "thumbprint": who.thumbprint, "successor": None, "number": 0, "at": now}
        conn.execute(insert(REPLACED).values(**lost))
    conn.execute(delete(WARNINGS).where(WARNINGS.c.pid == who.pid))
    conn.execute(delete(REKEYING).where(REKEYING.c.pid == who.pid))
    conn.execute(insert(REKEYING).values(pid=who.pid, code=code))
    key = {"jwks": json.dumps([dict(nobody.public.jwk)]), "thumbprint": nobody.thumbprint, "verified": False}
    conn.execute(update(PEERS).where(PEERS.c.pid == who.pid).values(**key))


def awaited(conn: Connection, pid: int) -> str | None:
    """The hash of the code by which a peer is to present its new key; None for one that has its key."""
    return conn.execute(select(REKEYING.c.code).where(REKEYING.c.pid == pid)).scalar_one_or_none()


def awaits(conn: Connection, code: str) -> int | None:
    """The peer that an invitation was made for, by the hash of its code; None for any other invitation."""
    return conn.execute(select(REKEYING.c.pid).where(REKEYING.c.code == code)).scalar_one_or_none()


def pin_anew(conn: Connection, me: NodeKeys, pid: int, said: Presented) -> None:
    """Give a peer whose key was given up the one that it presents. It is the same peer, unverified. Raises Conflict for
    one that presents another address, or keys that it may not have."""
    row = conn.execute(select(PEERS).where(PEERS.c.pid == pid)).one()
    if row.issuer != said.issuer:
        raise Conflict("The invitation is for a node with another address.")
    _check_keys(conn, me, said, pid)
    conn.execute(update(PEERS).where(PEERS.c.pid == pid).values(**_keys(said)))
    conn.execute(delete(REKEYING).where(REKEYING.c.pid == pid))
    if row.origin != said.origin.thumbprint:
        state.pull_anew(conn, pid, empty=False)
    _pin_origin(conn, said.origin, row.name)
