"""Tables of trust: the peers that this node knows and the invitations that it gave out.

Rows hold public keys and hashes of codes only, never a code, a private key or a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Text, func, select, update
from sqlmodel import Field, SQLModel

from federation.storage import items, tables


class Peer(SQLModel, table=True):
    """One other node: its pinned keys, and what the local operator granted it.

    `state` is `pinned` (no agreement yet), `active`, `ended` (its date has passed) or `revoked`; `frozen` stops all
    exchange whatever the state is. `origin` is the thumbprint under which the peer's own records are signed.
    """

    __tablename__ = "peers"

    pid: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text, unique=True)
    issuer: str = Field(sa_type=Text, unique=True)
    jwks: str = Field(sa_type=Text)
    thumbprint: str = Field(sa_type=Text, unique=True)
    origin: str = Field(sa_type=Text, unique=True)
    provenance: str = Field(sa_type=Text)
    verified: bool = False
    state: str = Field(default="pinned", sa_type=Text)
    frozen: bool = False
    scopes: str = Field(default="[]", sa_type=Text)
    purpose: str | None = Field(default=None, sa_type=Text)
    until: str | None = Field(default=None, sa_type=Text)
    narrowing: str = Field(default="[]", sa_type=Text)
    affiliation: str | None = Field(default=None, sa_type=Text)
    jurisdiction: str | None = Field(default=None, sa_type=Text)


class Invitation(SQLModel, table=True):
    """An invitation given out: the hash of its code, when it ends, and the key that used it."""

    __tablename__ = "invitations"

    code: str = Field(sa_type=Text, primary_key=True)
    ends: int
    used_by: str | None = Field(default=None, sa_type=Text)


# What the exchange reads beside the gate: signatures, terms and keys; never a value.


def kept_provenance(conn: Connection, type_key: str, rids: Sequence[int]) -> Iterator[Any]:
    """(rid, signature) of received records that came with one."""
    table = tables.record_table(type_key)
    for part in _parts(rids):
        yield from conn.execute(
            select(table.c.rid, table.c.provenance).where(table.c.rid.in_(part), table.c.provenance.is_not(None))
        )


def relayed_signatures(conn: Connection, type_key: str, pid: int) -> Iterator[Any]:
    """(thumbprint, id, provenance) of the records of a type that a peer passed on for others."""
    table = tables.record_table(type_key)
    beginning = func.substr(table.c.provenance, 1, 8).label("provenance")
    yield from conn.execute(
        select(tables.origins.c.thumbprint, table.c.id, beginning)
        .join(tables.origins, tables.origins.c.oid == table.c.origin)
        .where(table.c.via == pid, table.c.path.like("%,%"), table.c.provenance.is_not(None))
    )


def count_held(conn: Connection, pid: int, keys: Sequence[tuple[str, bytes]]) -> int:
    """How many rows came by a peer under these (type, id)."""
    total = 0
    for type_key in sorted({key for key, _ in keys}):
        table = tables.record_table(type_key)
        for part in _parts([id for key, id in keys if key == type_key]):
            found = select(func.count()).select_from(table).where(table.c.id.in_(part), table.c.via == pid)
            total += conn.execute(found).scalar_one()
    return total


def size(conn: Connection) -> int:
    """How many bytes the database takes."""
    if conn.dialect.name == "postgresql":
        return conn.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
    pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
    return pages * conn.exec_driver_sql("PRAGMA page_size").scalar_one()


def terms_body(conn: Connection, tid: int) -> str | None:
    """The JSON of terms by their number."""
    return conn.execute(select(tables.terms.c.body).where(tables.terms.c.tid == tid)).scalar_one_or_none()


def known_terms(conn: Connection, type_key: str, origin: str, hash: str) -> str | None:
    """The JSON of terms that an origin sent before for a type, by their hash."""
    return conn.execute(
        select(tables.terms.c.body)
        .join(tables.origins, tables.origins.c.oid == tables.terms.c.origin)
        .where(tables.origins.c.thumbprint == origin, tables.terms.c.type == type_key, tables.terms.c.hash == hash)
    ).scalar_one_or_none()


def origin_row(conn: Connection, oid: int | None = None, thumbprint: str = "") -> Any:
    """An origin whose key is known, by number or thumbprint: (oid, thumbprint, name, jwk, handovers); None if not."""
    origins = tables.origins
    where = origins.c.oid == oid if oid is not None else origins.c.thumbprint == thumbprint
    return conn.execute(select(origins).where(where, origins.c.jwk.is_not(None))).one_or_none()


def pin_origin(
    conn: Connection, thumbprint: str, name: str, jwk: Mapping[str, Any], handovers: Sequence[str] = ()
) -> None:
    """Write down a peer's own first key, its hand-overs since, and the name that it has here: nobody else's word
    changes that name. This node's own row, and that of another peer, stay as they are."""
    peers: Any = Peer.__table__  # type: ignore[attr-defined]
    origins = tables.origins
    other = select(peers.c.pid).where(peers.c.origin == thumbprint, peers.c.name != name)
    taken = select(origins.c.oid).where(origins.c.thumbprint == thumbprint, origins.c.oid == 0)
    if conn.execute(other).first() is not None or conn.execute(taken).first() is not None:
        return
    items.remember_origin(conn, thumbprint, name, jwk, handovers)
    conn.execute(update(origins).where(origins.c.thumbprint == thumbprint).values(name=name, pinned=1))


def _parts(rids: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (rids[start : start + 500] for start in range(0, len(rids), 500))
