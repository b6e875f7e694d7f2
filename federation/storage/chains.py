"""Chains of hashes in the tables of the ledger: how they are continued, tied together, shortened and checked.

It must never change or remove an entry but from the beginning of a chain, where `shorten` says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as spelled
from typing import Any

from sqlalchemy import Connection, text

from federation.world import World

NOTHING = bytes(32)
"""Stands before the first entry of a chain."""

ANCHORS = "anchors"
"""The name under which the ends of the chain of anchors are kept; they are no chain of entries."""

_ENTER = (
    "INSERT INTO ledger (chain, n, at, viewer, kind, body, prev, hash)"
    " VALUES (:chain, :n, :at, :viewer, :kind, :body, :prev, :hash)"
)
_REACH = (
    "INSERT INTO ledger_chain (chain, first, base, n, hash) VALUES (:chain, :first, :base, :n, :hash)"
    " ON CONFLICT (chain) DO UPDATE SET n = excluded.n, hash = excluded.hash"
)
_RAW = {
    "named": (_ENTER, _REACH),
    "pyformat": (re.sub(r":(\w+)", r"%(\1)s", _ENTER), re.sub(r":(\w+)", r"%(\1)s", _REACH)),
}
"""Both as raw statements: each answer above `open` runs them, and SQLAlchemy costs more than they do."""


@dataclass(frozen=True)
class Line:
    """One entry before it has its place: when (ISO), who, what kind, and the body as JSON."""

    at: str
    viewer: str
    kind: str
    body: str


def _hash(prev: bytes, chain: str, n: int, at: str, viewer: str, kind: str, body: str) -> bytes:
    told = f"[{spelled(chain)},{n},{spelled(at)},{spelled(viewer)},{spelled(kind)},{spelled(body)}]"  # a JSON list
    return hashlib.sha256(prev + told.encode()).digest()


def new_chain(connection: Connection, world: World) -> str:
    """A name that no process had before: drawn, and numbered by how many chains there were."""
    number = connection.execute(text("SELECT count(*) FROM ledger_chain")).scalar_one()
    row = connection.execute(text("SELECT value FROM meta WHERE key = 'ledger_chains'")).first()
    number = max(number, int(row[0]) if row else 0) + 1
    connection.execute(
        text(
            "INSERT INTO meta (key, value) VALUES ('ledger_chains', :value)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ),
        {"value": str(number)},
    )
    return world.draw("ledger-chain", str(number), 8).hex()


def head(connection: Connection, chain: str, lock: bool = False) -> tuple[int, bytes]:
    """Number and hash of the last entry of a chain; with `lock` nobody else continues it in the meantime."""
    if lock and connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:chain))"), {"chain": f"ledger {chain}"})
    row = connection.execute(text("SELECT n, hash FROM ledger_chain WHERE chain = :chain"), {"chain": chain}).first()
    return (row[0], bytes(row[1])) if row else (0, NOTHING)


def append(raw: Any, paramstyle: str, chain: str, n: int, prev: bytes, lines: Iterable[Line]) -> tuple[int, bytes]:
    """Continues a chain after its entry `n` with hash `prev` by at least one line; gives its new head. `raw` is a
    driver connection within a transaction, `paramstyle` as in `Database`."""
    enter, reach = _RAW[paramstyle]
    first, base = n + 1, prev
    values = []
    for each in lines:
        n += 1
        hashed = _hash(prev, chain, n, each.at, each.viewer, each.kind, each.body)
        values.append(
            {
                "chain": chain,
                "n": n,
                "at": each.at,
                "viewer": each.viewer,
                "kind": each.kind,
                "body": each.body,
                "prev": prev,
                "hash": hashed,
            }
        )
        prev = hashed
    if len(values) == 1:
        raw.execute(enter, values[0])
    else:
        raw.cursor().executemany(enter, values)
    raw.execute(reach, {"chain": chain, "first": first, "base": base, "n": n, "hash": prev})
    return n, prev


def add_open_counts(connection: Connection, opened: Mapping[tuple[str, str, str], int]) -> None:
    """Adds to the rows that left with `open` values only, by (day, kind, type)."""
    values = [{"day": key[0], "kind": key[1], "type": key[2], "rows": rows} for key, rows in opened.items()]
    if values:
        connection.execute(
            text(
                'INSERT INTO ledger_open_counts (day, kind, type, "rows") VALUES (:day, :kind, :type, :rows)'
                ' ON CONFLICT (day, kind, type) DO UPDATE SET "rows" = ledger_open_counts."rows" + excluded."rows"'
            ),
            values,
        )


def anchor(connection: Connection, at: str) -> None:
    """Writes one anchor: the heads of all chains and the hash of the anchor before. Nothing new, no anchor."""
    number, prev = head(connection, ANCHORS, lock=True)
    rows = connection.execute(
        text("SELECT chain, n, hash FROM ledger_chain WHERE chain <> :anchors ORDER BY chain"), {"anchors": ANCHORS}
    ).all()
    heads = json.dumps({row[0]: [row[1], bytes(row[2]).hex()] for row in rows}, separators=(",", ":"))
    last = connection.execute(text("SELECT heads FROM ledger_anchor WHERE aid = :aid"), {"aid": number}).first()
    if not rows or (last and last[0] == heads):
        return
    number, hashed = number + 1, _anchor_hash(prev, at, heads)
    connection.execute(
        text("INSERT INTO ledger_anchor (aid, at, heads, prev, hash) VALUES (:aid, :at, :heads, :prev, :hash)"),
        {"aid": number, "at": at, "heads": heads, "prev": prev, "hash": hashed},
    )
    reached = {"chain": ANCHORS, "first": number, "base": prev, "n": number, "hash": hashed}
    connection.execute(text(_REACH), reached)  # where a chain begins is written once


def _anchor_hash(prev: bytes, at: str, heads: str) -> bytes:
    return hashlib.sha256(prev + at.encode() + heads.encode()).digest()


def shorten(connection: Connection, limit: str) -> int:
    """Removes from the beginning of each chain what is older than a moment (ISO); gives how many entries went."""
    gone = 0
    for (chain,) in connection.execute(text("SELECT chain FROM ledger_chain")).all():
        table, number = ("ledger_anchor", "aid") if chain == ANCHORS else ("ledger", "n")
        mine = "" if chain == ANCHORS else "chain = :chain AND "
        values: dict[str, Any] = {"chain": chain, "limit": limit}
        kept = connection.execute(
            text(f"SELECT min({number}) FROM {table} WHERE {mine}at >= :limit"),  # noqa: S608  (no values in it)
            values,
        ).scalar_one()
        values["kept"] = kept if kept is not None else head(connection, chain)[0] + 1
        last = connection.execute(
            text(f"SELECT {number}, hash FROM {table} WHERE {mine}{number} < :kept ORDER BY {number} DESC LIMIT 1"),  # noqa: S608
            values,
        ).first()
        if last is None:
            continue
        connection.execute(
            text("UPDATE ledger_chain SET first = :kept, base = :base WHERE chain = :chain"),
            values | {"base": bytes(last[1])},
        )
        removed = connection.execute(text(f"DELETE FROM {table} WHERE {mine}{number} < :kept"), values)  # noqa: S608
        gone += removed.rowcount if chain != ANCHORS else 0
    connection.execute(text("DELETE FROM ledger_open_counts WHERE day < :day"), {"day": limit[:10]})
    return gone


def verify(connection: Connection) -> list[str]:
    """What is wrong with chains and anchors, in sentences; empty if no entry was changed, removed, added or moved."""
    findings: list[str] = []
    heads: dict[str, dict[int, bytes]] = {}
    chains = connection.execute(text("SELECT chain, first, base, n, hash FROM ledger_chain ORDER BY chain")).all()
    firsts = {row[0]: row[1] for row in chains}
    bases = {row[0]: bytes(row[2]) for row in chains}
    for chain, first, base, n, last in chains:
        walk = _walk_anchors if chain == ANCHORS else _walk
        heads[chain] = dict(walk(connection, chain, first, bytes(base), findings))
        if heads[chain].get(n, bytes(base) if n == first - 1 else b"") != bytes(last):
            findings.append(f"The chain {chain} does not end where it was last written (entry {n}).")
    strays = connection.execute(
        text("SELECT DISTINCT chain FROM ledger WHERE chain NOT IN (SELECT chain FROM ledger_chain) ORDER BY chain")
    )
    findings.extend(f"The chain {row[0]} has entries and no head." for row in strays)
    if ANCHORS not in heads and connection.execute(text("SELECT 1 FROM ledger_anchor LIMIT 1")).first():
        findings.append("There are anchors and no head of them.")
    findings.extend(_anchor_findings(connection, heads, firsts, bases))
    return findings


def _walk(
    connection: Connection, chain: str, first: int, base: bytes, findings: list[str]
) -> Iterator[tuple[int, bytes]]:
    """(number, hash) of each entry of a chain, adding to `findings` what does not fit."""
    expected, prev, order = first, base, 0
    rows = connection.execute(
        text("SELECT n, at, viewer, kind, body, prev, hash, seq FROM ledger WHERE chain = :chain ORDER BY n"),
        {"chain": chain},
    )
    for n, at, viewer, kind, body, told_prev, told, seq in rows:
        if n != expected:
            findings.append(f"The chain {chain} lacks the entries from {expected} to {n - 1}.")
        elif bytes(told_prev) != prev:
            findings.append(f"Entry {n} of the chain {chain} does not follow the entry before it.")
        if _hash(bytes(told_prev), chain, n, at, viewer, kind, body) != bytes(told):
            findings.append(f"Entry {n} of the chain {chain} was changed.")
        if seq < order:
            findings.append(f"Entry {n} of the chain {chain} was moved.")
        expected, prev, order = n + 1, bytes(told), seq
        yield n, prev


def _walk_anchors(
    connection: Connection, chain: str, first: int, base: bytes, findings: list[str]
) -> Iterator[tuple[int, bytes]]:
    """As `_walk`, for the anchors."""
    del chain
    expected, prev = first, base
    for aid, at, written, told_prev, told in connection.execute(
        text("SELECT aid, at, heads, prev, hash FROM ledger_anchor ORDER BY aid")
    ):
        if aid != expected or bytes(told_prev) != prev:
            findings.append(f"Anchor {aid} does not follow the anchor before it.")
        if _anchor_hash(bytes(told_prev), at, written) != bytes(told):
            findings.append(f"Anchor {aid} was changed.")
        expected, prev = aid + 1, bytes(told)
        yield aid, prev


def _anchor_findings(
    connection: Connection,
    heads: Mapping[str, Mapping[int, bytes]],
    firsts: Mapping[str, int],
    bases: Mapping[str, bytes],
) -> Iterator[str]:
    """Where anchors and chains differ. Entries that were removed from the beginning can no longer be compared."""
    for aid, written in connection.execute(text("SELECT aid, heads FROM ledger_anchor ORDER BY aid")):
        for chain, (n, hashed) in json.loads(written).items():
            if chain not in heads:
                yield f"The chain {chain} is gone; anchor {aid} names it."
                continue
            held = bases[chain] if n == firsts[chain] - 1 else heads[chain].get(n)
            if n >= firsts[chain] - 1 and held != bytes.fromhex(hashed):
                yield f"Anchor {aid} and entry {n} of the chain {chain} differ."
