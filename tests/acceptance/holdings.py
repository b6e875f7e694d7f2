"""What the nodes of a demonstration hold, read from their files and not through the project."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlcipher3
from oracles.decode import forms, sqlite_cells

RECORDS = (
    "network",
    "resource",
    "capacity_offer",
    "funding_call",
    "need",
    "convening",
    "field_visit",
    "practice",
    "notice",
    "space",
)
CANARY = re.compile(r"cny[0-9a-f]{8}", re.IGNORECASE)
EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}", re.IGNORECASE | re.ASCII)
PHONE = re.compile(r"(?<![\w.-])(?:\+?1[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w-])")


def query(home: Path, statement: str, **values: Any) -> list[dict[str, Any]]:
    """Rows of the node's database as it is now."""
    with closing(sqlcipher3.connect(f"file:{home / 'node.db'}?mode=ro", uri=True, timeout=20)) as connection:
        cursor: sqlite3.Cursor = connection.execute(statement, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def received(home: Path, table: str, origin: str, columns: str = "*") -> list[dict[str, Any]]:
    """Records of an origin that came over a link; `origin` is its thumbprint."""
    return query(
        home,
        f"SELECT {columns} FROM {table} r JOIN origins o ON o.oid = r.origin"
        " WHERE o.thumbprint = :origin AND r.via > 0",
        origin=origin,
    )


def count_of(home: Path, origin: str) -> dict[str, int]:
    """How many records of an origin came over a link, by table; without those there are none of."""
    counts = {table: received(home, table, origin, "count(*) AS n")[0]["n"] for table in RECORDS}
    return {table: number for table, number in counts.items() if number}


def contents(home: Path) -> dict[str, list[dict[str, Any]]]:
    """All records, with every column."""
    return {table: query(home, f"SELECT * FROM {table} ORDER BY rid") for table in RECORDS}


def in_files(home: Path, text: str) -> list[str]:
    """The database files that hold a text, whatever its case, in any byte."""
    wanted = text.lower().encode()
    return [path.name for path in sorted(home.glob("node.db*")) if wanted in path.read_bytes().lower()]


def leaks_in_database(home: Path) -> Iterator[tuple[str, str, str]]:
    """(table, column, what) of canary tokens anywhere, and of phone numbers and e-mail addresses in any text but the
    node's own sealed documents: every value of every column, the words of text indexes, and what is packed in them."""
    texts: dict[tuple[str, str], list[bytes]] = {}
    for table, column, value in sqlite_cells(home / "node.db"):
        if isinstance(value, bytes):
            texts.setdefault((table, column), []).append(value)
    for (table, column), values in texts.items():
        plain = [value for value in values if is_text(value)]
        packed = {value for value in values if not is_text(value)}
        unpackable = [value for value in packed if value[:2] in (b"\x1f\x8b", b"\x28\xb5") or value[:1] == b"\x78"]
        noise = b"\n".join(packed)  # signatures and digests: an address found in them is chance
        for content in (b"\n".join(plain), noise, *unpackable):
            everything = content is not noise and column != "home"
            for form in forms(content):
                for found in _leaks(form, (CANARY, EMAIL, PHONE) if everything else (CANARY,)):
                    yield table, column, found


def is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def leaks_in_text(content: bytes) -> list[str]:
    """The same in a log or an answer."""
    return [found for form in forms(content) for found in _leaks(form, (CANARY, EMAIL, PHONE))]


def _leaks(form: str, patterns: Iterable[re.Pattern[str]]) -> Iterator[str]:
    """What the patterns find. Most forms cannot hold a match of the slow ones, which is seen much faster."""
    for pattern in patterns:
        if (pattern is EMAIL and "@" not in form) or (pattern is CANARY and "cny" not in form.lower()):
            continue
        yield from pattern.findall(form)
