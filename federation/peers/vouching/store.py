"""What a node keeps of vouching: anchors, superiors, subordinates, answers of peers, marks. It decides nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from federation.errors import NotFound
from federation.peers.agreements import PEERS
from federation.storage.database import Database
from federation.storage.peer_keys import ReplacedKey
from federation.storage.vouching import (
    TrustAnchor,
    TrustAnswer,
    TrustMark,
    TrustMarkRule,
    TrustSubordinate,
    TrustSuperior,
)

ANCHORS: Table = TrustAnchor.__table__  # type: ignore[attr-defined]
SUPERIORS: Table = TrustSuperior.__table__  # type: ignore[attr-defined]
SUBORDINATES: Table = TrustSubordinate.__table__  # type: ignore[attr-defined]
ANSWERS: Table = TrustAnswer.__table__  # type: ignore[attr-defined]
MARKS: Table = TrustMark.__table__  # type: ignore[attr-defined]
REPLACED: Table = ReplacedKey.__table__  # type: ignore[attr-defined]
RULES: Table = TrustMarkRule.__table__  # type: ignore[attr-defined]

VOUCHED, ENDED, UNVOUCHED = "vouched", "ended", "unvouched"


@dataclass(frozen=True)
class Subordinate:
    """A peer that this node vouches for, by row number; `statement` is the one in force, if it was made."""

    pid: int
    hours: int
    policy: Mapping[str, Any]
    constraints: Mapping[str, Any]
    until: int | None
    statement: str | None = field(default=None, repr=False)
    expires: int = 0


@dataclass(frozen=True)
class Answer:
    """What a peer handed over, as it was checked when it came; empty where it never did."""

    pid: int
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fetched: int | None = None
    next_try: int = 0
    failures: int = 0
    error: str | None = None
    standing: str = UNVOUCHED
    since: int = 0


@dataclass(frozen=True)
class GivenMark:
    """A mark that this node gives a peer, by row number."""

    kind: str
    pid: int
    until: int | None
    delegation: str | None = field(default=None, repr=False)


def anchors(database: Database) -> dict[str, frozenset[str]]:
    """The pinned anchors: issuer to thumbprints, by issuer."""
    with database.read() as conn:
        rows = conn.execute(select(ANCHORS).order_by(ANCHORS.c.issuer)).all()
    return {row.issuer: frozenset(json.loads(row.thumbprints)) for row in rows}


def followed(database: Database, pinned: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """The same anchors by the keys that they have now: of one that is a peer, a key that it handed over by its own
    statement counts no longer, and its successor does. A key that was given up for lost has none."""
    if not pinned:
        return {}
    of_anchors = select(PEERS.c.issuer, REPLACED.c.thumbprint, REPLACED.c.successor).where(
        PEERS.c.pid == REPLACED.c.pid, PEERS.c.issuer.in_(pinned)
    )
    with database.read() as conn:
        after = {(row.issuer, row.thumbprint): row.successor for row in conn.execute(of_anchors)}
    return {
        issuer: frozenset(last for each in prints if (last := _last(after, issuer, each)) is not None)
        for issuer, prints in pinned.items()
    }


def _last(after: Mapping[tuple[str, str], str | None], issuer: str, thumbprint: str) -> str | None:
    found: str | None = thumbprint
    for _ in after:  # a line of keys does not come back to one, and is no longer than there are keys
        if found is None or (issuer, found) not in after:
            break
        found = after[issuer, found]
    return found


def pin_anchor(database: Database, issuer: str, thumbprints: Iterable[str], now: int) -> None:
    """Pin an anchor, in the place of what was pinned of it before."""
    kept = json.dumps(sorted(thumbprints))
    _put(database, ANCHORS, {"issuer": issuer}, thumbprints=kept, added_at=now)


def unpin_anchor(database: Database, issuer: str) -> None:
    """Let go of an anchor. Raises NotFound."""
    _drop(database, ANCHORS, {"issuer": issuer}, "There is no such anchor; `federation trust anchor list` shows them.")


def superiors(database: Database) -> tuple[int, ...]:
    """The peers that this node names as superiors, by row number, in order."""
    with database.read() as conn:
        return tuple(conn.execute(select(SUPERIORS.c.pid).order_by(SUPERIORS.c.pid)).scalars())


def add_superior(database: Database, pid: int, now: int) -> None:
    """Name a peer as a superior."""
    _put(database, SUPERIORS, {"pid": pid}, added_at=now)


def drop_superior(database: Database, pid: int) -> None:
    """Name a peer as a superior no more. Raises NotFound."""
    _drop(database, SUPERIORS, {"pid": pid}, "This peer is not named as a superior.")


def subordinates(database: Database) -> dict[int, Subordinate]:
    """The peers that this node vouches for, by row number."""
    with database.read() as conn:
        rows = conn.execute(select(SUBORDINATES).order_by(SUBORDINATES.c.pid)).all()
    return {
        row.pid: Subordinate(
            row.pid,
            row.hours,
            json.loads(row.policy),
            json.loads(row.constraints),
            row.until,
            row.statement,
            row.expires_at,
        )
        for row in rows
    }


def put_subordinate(database: Database, kept: Subordinate) -> None:
    """Write down that this node vouches for a peer, in the place of what stood there."""
    _put(
        database,
        SUBORDINATES,
        {"pid": kept.pid},
        hours=kept.hours,
        policy=json.dumps(kept.policy, sort_keys=True),
        constraints=json.dumps(kept.constraints, sort_keys=True),
        until=kept.until,
        statement=kept.statement,
        expires_at=kept.expires,
    )


def renew_statement(database: Database, pid: int, statement: str, expires: int) -> None:
    """The next statement about a subordinate; nothing, if it is none any more."""
    with database.write() as conn:
        renewed = update(SUBORDINATES).where(SUBORDINATES.c.pid == pid)
        conn.execute(renewed.values(statement=statement, expires_at=expires))


def drop_subordinate(database: Database, pid: int) -> Subordinate:
    """Vouch for a peer no more; gives what stood there. Raises NotFound."""
    found = subordinates(database).get(pid)
    if found is None:
        raise NotFound("This node does not vouch for this peer.")
    _drop(database, SUBORDINATES, {"pid": pid}, "This node does not vouch for this peer.")
    return found


def answer_of(database: Database, pid: int) -> Answer:
    """What a peer handed over, and how asking it goes."""
    with database.read() as conn:
        row = conn.execute(select(ANSWERS).where(ANSWERS.c.pid == pid)).one_or_none()
    if row is None:
        return Answer(pid)
    body = json.loads(row.body) if row.body else {}
    return Answer(pid, body, row.fetched_at, row.next_try, row.failures, row.error, row.standing, row.since)


def note_answer(database: Database, pid: int, body: Mapping[str, Any], now: int, next_try: int) -> None:
    """Keep what a peer handed over, in the place of what it did before."""
    kept = json.dumps(body, separators=(",", ":"))
    _put(database, ANSWERS, {"pid": pid}, body=kept, fetched_at=now, next_try=next_try, failures=0, error=None)


def note_failure(database: Database, pid: int, error: str, failures: int, next_try: int) -> None:
    """Write down that a peer handed nothing over; what it did before is kept. `error` is a code, no text of others."""
    _put(database, ANSWERS, {"pid": pid}, error=error, failures=failures, next_try=next_try)


def note_standing(database: Database, pid: int, standing: str, now: int) -> None:
    """Write down how a peer stands since now."""
    _put(database, ANSWERS, {"pid": pid}, standing=standing, since=now)


def given_marks(database: Database) -> tuple[GivenMark, ...]:
    """The marks that this node gives, by type."""
    with database.read() as conn:
        rows = conn.execute(select(MARKS).order_by(MARKS.c.kind, MARKS.c.pid)).all()
    return tuple(GivenMark(row.kind, row.pid, row.until, row.delegation) for row in rows)


def give_mark(database: Database, mark: GivenMark, now: int) -> None:
    """Give a peer a mark, in the place of one of the same type."""
    key = {"kind": mark.kind, "pid": mark.pid}
    _put(database, MARKS, key, added_at=now, until=mark.until, delegation=mark.delegation)


def take_mark(database: Database, kind: str, pid: int) -> None:
    """Take a mark back. Raises NotFound."""
    _drop(database, MARKS, {"kind": kind, "pid": pid}, "This node gives this peer no such mark.")


def mark_rules(database: Database) -> dict[str, tuple[list[str], dict[str, Any] | None]]:
    """As an anchor: of each type of marks who may give them, and its owner."""
    with database.read() as conn:
        rows = conn.execute(select(RULES).order_by(RULES.c.kind)).all()
    return {row.kind: (json.loads(row.issuers), json.loads(row.owner) if row.owner else None) for row in rows}


def rule_marks(database: Database, kind: str, issuers: Iterable[str], owner: Mapping[str, Any] | None) -> None:
    """Say who may give marks of a type under this node as the anchor."""
    told = json.dumps(owner, sort_keys=True) if owner else None
    _put(database, RULES, {"kind": kind}, issuers=json.dumps(sorted(issuers)), owner=told)


def unrule_marks(database: Database, kind: str) -> None:
    """Know marks of a type no more. Raises NotFound."""
    _drop(database, RULES, {"kind": kind}, "There is no rule for marks of this type.")


def _put(database: Database, table: Table, key: Mapping[str, Any], **values: Any) -> None:
    dialect = postgresql if database.dialect == "postgresql" else sqlite
    row = dialect.insert(table).values(**key, **values)
    with database.write() as conn:
        conn.execute(row.on_conflict_do_update(index_elements=list(key), set_=values))


def _drop(database: Database, table: Table, key: Mapping[str, Any], otherwise: str) -> None:
    with database.write() as conn:
        if conn.execute(delete(table).where(*_at(table, key))).rowcount == 0:
            raise NotFound(otherwise)


def _at(table: Table, key: Mapping[str, Any]) -> list[Any]:
    return [table.c[name] == value for name, value in key.items()]


def in_use(database: Database) -> bool:
    """Whether this node uses this layer at all: it pinned an anchor, names a superior, or vouches for somebody."""
    with database.read() as conn:
        return any(conn.execute(select(table).limit(1)).first() for table in (ANCHORS, SUPERIORS, SUBORDINATES))
