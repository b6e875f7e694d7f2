"""What this node holds of its peers' slices: takes in checked arrivals through the intake, and lets go of what left.

It must never store what was not checked, and after withdrawals leaves no byte of them in the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import Connection

from federation.errors import BadInput, Unavailable
from federation.intake import Accepted, Intake
from federation.peers import origins, state
from federation.peers.arrival import Arrival
from federation.peers.origins import Forked, Origin
from federation.peers.provenance import ProvenanceInvalid
from federation.peers.provenance_packed import expires_of
from federation.policies.terms import Terms
from federation.records.base import RecordType
from federation.records.codes import CodeLists
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES
from federation.records.rows import accept_values
from federation.storage import peering, received
from federation.storage.database import Database
from federation.storage.items import Gone, Put

LETTING_GO = 1000
NOW, SOON = "now", "soon"
SMALL_BYTES = 128 * 1024 * 1024
PAUSE_SECONDS = 3600


class Holding:
    """The slices of all peers in one database, written through `intake`."""

    def __init__(self, database: Database, intake: Intake, codes: CodeLists) -> None:
        self._database = database
        self._intake = intake
        self._context = Context(codes)

    def known_origin(self, thumbprint: str) -> Origin | None:
        """The key of an origin as it was last told here, with its hand-overs."""
        with self._database.read() as conn:
            return _known(conn, thumbprint)

    def known_terms(self, type_key: str, origin: str, hash: str) -> Terms | None:
        """Terms that an origin's records of a type came under before."""
        with self._database.read() as conn:
            body = peering.known_terms(conn, type_key, origin, hash)
        try:
            return None if body is None else Terms.from_json(orjson.loads(body))
        except (BadInput, orjson.JSONDecodeError):
            return None

    def accept_values(self, kind: RecordType, values: Any) -> Mapping[str, Mapping[str, Any]]:
        """Values of an item, checked against their kinds and unchanged. Raises BadInput."""
        return accept_values(kind, values, self._context)

    def apply(
        self,
        conn: Connection,
        pid: int,
        arrival: Arrival,
        puts: Sequence[Put],
        gone: Sequence[Gone],
        *,
        narrowing: bool,
    ) -> Accepted:
        """Store and remove in the caller's transaction. Where something left or was replaced, the files have to be
        cleaned afterwards: that is written down in the same transaction, so that a crash does not forget it."""
        for thumbprint in sorted({put.origin for put in puts} & arrival.origins.keys()):
            told = _newest(conn, arrival.origins[thumbprint])
            self._intake.accept_origin(conn, thumbprint, told.name, told.jwk, told.handovers)
        before = peering.count_held(conn, pid, [(put.type, put.id) for put in puts])
        accepted = self._intake.accept(conn, pid, puts, gone)
        if accepted.withdrawn or (narrowing and before > accepted.unchanged):
            state.set_meta(conn, state.ERASE_DUE, NOW)
        elif before > accepted.unchanged and state.meta_value(conn, state.ERASE_DUE) is None:
            state.set_meta(conn, state.ERASE_DUE, SOON)
        return accepted

    def held(
        self, conn: Connection, pid: int, type_key: str, after: bytes | None, upto: bytes | None
    ) -> Sequence[Gone]:
        """The records of a type that came by a peer, with after < id <= upto (None: no bound)."""
        return received.held(conn, pid, type_key, after, upto)

    def drop_ended(self, pid: int, now: int) -> int:
        """Let go of relayed records whose signature has ended: their origin has not renewed them. Looks once a
        day; gives how many."""
        day, looked = str(now // 86_400), f"{state.SIGNATURES_SEEN}{pid}"
        with self._database.read() as conn:
            if state.meta_value(conn, looked) == day:
                return 0
            ended = [
                Gone(type_key, bytes(row.id), row.thumbprint)
                for type_key, kind in RECORD_TYPES.items()
                if kind.relayable
                for row in peering.relayed_signatures(conn, type_key, pid)
                if expires_of(row.provenance) <= now
            ]
        for start in range(0, len(ended), LETTING_GO):
            with self._database.write() as conn:
                self._intake.accept(conn, pid, (), ended[start : start + LETTING_GO])
                state.set_meta(conn, state.ERASE_DUE, NOW)
        with self._database.write() as conn:
            state.set_meta(conn, looked, day)
        return len(ended)

    def let_go(self, pid: int) -> int:
        """Remove all that came by a peer, journalled so that it is withdrawn from others too; gives how many rows. The
        files have to be cleaned afterwards. A later pull begins anew. Cut short, it goes on when it is called again."""
        with self._database.read() as conn:
            if not state.was_pulled(conn, pid):
                return 0
        gone = 0
        for type_key in [key for key, kind in RECORD_TYPES.items() if kind.shareable]:
            more = True
            while more:
                with self._database.write() as conn:
                    some = received.held(conn, pid, type_key, most=LETTING_GO)
                    removed = self._intake.accept(conn, pid, (), some).withdrawn if some else 0
                    if removed:
                        state.set_meta(conn, state.ERASE_DUE, NOW)
                gone += removed
                more = removed > 0 and len(some) == LETTING_GO
        with self._database.write() as conn:
            state.pull_anew(conn, pid, empty=True)
        return gone

    def erase_if_due(self, now: int) -> bool:
        """Clean the files of what left or was replaced: at once where something left, or where the database is small;
        of a large one once an hour, because all of it is written anew. False if it is still due."""
        with self._database.read() as conn:
            due = state.meta_value(conn, state.ERASE_DUE)
            before = int(state.meta_value(conn, state.ERASED_AT) or 0)
            small = peering.size(conn) <= SMALL_BYTES
        if due is None or (due == SOON and not small and now < before + PAUSE_SECONDS):
            return due is None
        try:
            if not self._database.erase():
                return False
        except Unavailable:
            return False
        with self._database.write() as conn:
            state.set_meta(conn, state.ERASE_DUE, None)
            state.set_meta(conn, state.ERASED_AT, str(now))
        return True


def _known(conn: Connection, thumbprint: str) -> Origin | None:
    row = peering.origin_row(conn, thumbprint=thumbprint)
    try:
        return None if row is None else origins.stored(row.name, row.jwk, row.handovers)
    except ProvenanceInvalid:
        return None


def _newest(conn: Connection, told: Origin) -> Origin:
    """An origin with the longest line that is known by now: another pull may have brought more of it meanwhile."""
    known = _known(conn, told.thumbprint)
    try:
        return replace(origins.newer(known, told), name=told.name)
    except Forked:
        return known or told
