"""Looks for canary tokens in whatever leaves a node, in decoded form: a byte search would find few of those that a
text index, a signed statement or a compressed page holds.

What is not understood is searched as it stands; what can be unpacked is unpacked, and that too, a few layers deep.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import re
import shutil
import sqlite3
import tempfile
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import sqlcipher3
import zstandard

TOKEN = re.compile(
    r"cny[0-9a-z]{5}"  # texts, addresses, names, relay ids, language tags
    r"|(?<!\d)7\d{8}(?:00)?(?!\d)"  # amounts and counts, also in cents
    r"|\b[a-zA-Z]+:4\d{5}\b"  # free places
    r"|(?<![\w-])[A-Z]{2}-[A-Z0-9]{1,3}(?![\w-])"  # subdivisions
    r"|(?<!\d)(?:19|20|21)\d\d-[01]\d-[0-3]\d(?![\dT])"  # days, and the bounds of coarser periods
)
DEEPEST = 6
LARGEST = 64 * 1024 * 1024

_BASE64 = re.compile(rb"[A-Za-z0-9_\-+/]{12,}={0,2}")
_HEX = re.compile(rb"[0-9a-fA-F]{16,}")
_LETTERS = bytes([*range(32, 127), 9, 10, 13])
_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}")
_FOLD = re.compile(rb"\r?\n[ \t]")
_DAY_AFTER = re.compile(r"^DTEND;VALUE=DATE:(\d{8})$")
_CALENDAR_DAY = re.compile(r"(?<!\d)((?:19|20|21)\d\d)([01]\d)([0-3]\d)(?!\d)")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\([\"\\/bfnrt])")
_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def tokens(text: str) -> frozenset[str]:
    """The tokens that stand in a text as it is."""
    found = TOKEN.findall(text)
    if "CNY" in text:
        found += re.findall(r"cny[0-9a-z]{5}", text.lower())
    return frozenset(map(_as_minted, found))


def _as_minted(found: str) -> str:
    """A token as it was made: an amount not in cents, a state in small letters."""
    if found[0] == "7" and len(found) == 11:
        return found[:9]
    return found.lower() if ":" in found else found


def tokens_in(content: bytes | str) -> frozenset[str]:
    """The tokens in some bytes and in all that can be unpacked from them."""
    found: set[str] = set()
    for form in forms(content.encode() if isinstance(content, str) else content):
        found |= tokens(form)
    return frozenset(found)


def forms(content: bytes) -> Iterator[str]:
    """The bytes as text, and every text that they can be decoded to."""
    seen: set[bytes] = set()
    waiting = [(content, 0)]
    while waiting:
        data, depth = waiting.pop()
        mark = hashlib.blake2b(data, digest_size=16).digest()
        if not data or mark in seen:
            continue
        seen.add(mark)
        yield data.decode("utf-8", "replace") if depth == 0 or _is_text(data) else data.decode("latin-1")
        if depth < DEEPEST:
            waiting += [(inner, depth + 1) for inner in _inside(data)]


def _inside(data: bytes) -> Iterator[bytes]:
    """What the bytes hold in packed form, one layer down."""
    yield from _decompressed(data)
    if _PERCENT.search(data):
        yield urllib.parse.unquote_to_bytes(data.replace(b"+", b" "))
    if b"\\" in data:
        yield _ESCAPED.sub(_unescaped, data.decode("utf-8", "replace")).encode("utf-8", "replace")
    if b"BEGIN:VEVENT" in data:
        yield _calendar(data).encode()
    for run in _BASE64.findall(data):
        yield from _from_base64(run)
    for run in _HEX.findall(data):
        yield binascii.unhexlify(run[: len(run) // 2 * 2])


def _calendar(data: bytes) -> str:
    """A calendar as a reader understands it: lines unfolded, days with hyphens, the last day in the place of the one
    after it."""
    said = _FOLD.sub(b"", data).decode("utf-8", "replace").replace("\\n", "\n").replace("\\,", ",").replace("\\;", ";")
    lines = (_DAY_AFTER.sub(_day_before, line) for line in said.splitlines())
    return "\n".join(_CALENDAR_DAY.sub(r"\1-\2-\3 ", line) for line in lines)


def _day_before(found: re.Match[str]) -> str:
    return f"DTEND:{date.fromisoformat(found[1]) - timedelta(days=1)}"


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _SIMPLE.get(found[2], found[2])


def _decompressed(data: bytes) -> Iterator[bytes]:
    """The content of zstd, gzip and zlib data that begin with the bytes."""
    if data[:4] == b"\x28\xb5\x2f\xfd":
        reader = zstandard.ZstdDecompressor().decompressobj()
        try:
            yield reader.decompress(data)
        except zstandard.ZstdError:
            return
    if data[:2] == b"\x1f\x8b":
        try:
            yield gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return
    if data[:1] == b"\x78":
        try:
            yield zlib.decompress(data)
        except zlib.error:
            return


def _from_base64(run: bytes) -> Iterator[bytes]:
    """What a run of base64 letters says. A run that only looks like it decodes to noise, which is searched in vain."""
    plain = run.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    if len(plain) % 4 == 1:
        plain = plain[:-1]
    try:
        raw = base64.b64decode(plain + b"=" * (-len(plain) % 4))
    except (binascii.Error, ValueError):
        return
    if (
        raw[:4] == b"\x28\xb5\x2f\xfd"
        or raw[:2] == b"\x1f\x8b"
        or len(raw) - len(raw.translate(None, _LETTERS)) >= 0.6 * len(raw)
    ):
        yield raw


# Databases: every value of every column of every table, and the words of text indexes.


def sqlite_cells(path: Path, key: str | None = None) -> Iterator[tuple[str, str, Any]]:
    """(table, column, value) of all that a SQLite file holds, its write-ahead log too; words of full-text indexes come
    as (index, column, word). The file is copied first and not touched."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / path.name
        for suffix in ("", "-wal"):
            if Path(f"{path}{suffix}").exists():
                shutil.copyfile(f"{path}{suffix}", f"{copied}{suffix}")
        connection: sqlite3.Connection = sqlcipher3.connect(str(copied))
        connection.text_factory = bytes
        try:
            if key is not None:
                connection.execute("PRAGMA key = '" + key.replace("'", "''") + "'")
            yield from _tables(connection)
        finally:
            connection.close()


def _tables(connection: sqlite3.Connection) -> Iterator[tuple[str, str, Any]]:
    listed = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    for raw_name, raw_sql in listed:
        name, sql = raw_name.decode(), (raw_sql or b"").decode()
        if "using fts5" in sql.lower():
            connection.execute(f'CREATE VIRTUAL TABLE temp."{name}_words" USING fts5vocab(main, "{name}", col)')
            for word, column in connection.execute(f'SELECT term, col FROM temp."{name}_words"'):
                yield name, column.decode(), word
            continue
        cursor = connection.execute(f'SELECT * FROM "{name}"')
        columns = [each[0] for each in cursor.description]
        for row in cursor:
            for column, value in zip(columns, row, strict=True):
                yield name, column, value


def postgresql_cells(url: str) -> Iterator[tuple[str, str, Any]]:
    """(table, column, value) of all that a PostgreSQL database holds; of text indexes (table, column, word)."""
    with psycopg.connect(url, autocommit=True) as connection:
        listed = connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'public' ORDER BY 1, 2"
        ).fetchall()
        for table, column, kind in listed:
            if kind == "tsvector":
                statement = f'SELECT word FROM ts_stat(\'SELECT "{column}" FROM "{table}"\')'
            else:
                statement = f'SELECT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL'
            for (value,) in connection.execute(statement.encode()):
                yield table, column, value


def cell_tokens(cells: Iterable[tuple[str, str, Any]]) -> dict[tuple[str, str], frozenset[str]]:
    """The tokens in each column of a database."""
    joined: dict[tuple[str, str], list[bytes]] = {}
    for table, column, value in cells:
        if value is None or isinstance(value, bool):
            continue
        if isinstance(value, (bytes, bytearray, memoryview)):
            raw = bytes(value)
            if not _is_text(raw) or _decompressible(raw):
                for inner in (raw, *_inside(raw)):
                    joined.setdefault((table, column), []).append(inner)
                continue
        else:
            raw = str(value).encode()
        joined.setdefault((table, column), []).append(raw)
    return {place: tokens_in(b"\n".join(parts)) for place, parts in joined.items()}


def _decompressible(raw: bytes) -> bool:
    return raw[:4] == b"\x28\xb5\x2f\xfd" or raw[:2] == b"\x1f\x8b"
