"""The floor: what the machine costs without a node. Nothing is decided, signed, entered in a ledger or authenticated.

It reads and writes the node's own tables, indexes and text index with the same driver and the same settings.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import zstandard
from sqlcipher3 import dbapi2 as sqlite
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from federation.settings import load_settings
from federation.storage.database import open_database
from federation.storage.migrating import migrate
from federation.storage.tables import record_table, searched_columns

JSON = "application/json"
CHECKPOINT_BYTES = 64_000
_CODE = "CASE WHEN t.area__sub_region__code IS NULL THEN NULL ELSE json_object('code',t.area__sub_region__code) END"
PAGE = f"""
SELECT json_object('data',json_object('resources',json_object('nodes',json_group_array(json_object(
 'id',x.gid,'status',upper(x.status),'title',x.title,'kind',upper(x.kind),'dimensions',json(upper(x.dimensions)),'welcomes',json(upper(x.welcomes)),
 'reach',json(upper(x.reach)),'responseHours',x.hours,'languages',json(x.languages),'area',json(x.area),
 'origin',json_object('scope',upper(x.scope))))))) FROM
(SELECT t.gid,t.status,t.title__exact AS title,t.kind__exact AS kind,t.dimensions__exact AS dimensions,
 t.welcomes__exact AS welcomes,t.reach__exact AS reach,t.response_hours__exact AS hours,
 t.languages__macro AS languages,{_CODE} AS area,n.scope__exact AS scope
 FROM resource t LEFT JOIN network n ON n.origin=t.origin AND n.status='shared'
 WHERE t.status='shared' ORDER BY t.id LIMIT :first) AS x
"""
NOT_SENT = frozenset({"rid", "fts", "home", "provenance", "digest", "origin", "via", "terms", "path"})


def _opened(home: Path) -> Any:
    path = load_settings(home, {}, {})[0].effective_database_url.removeprefix("sqlite:///")
    connection = sqlite.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("cache_size = -16000", "synchronous = FULL", "secure_delete = ON", "busy_timeout = 30000"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def page_app(home: Path) -> Starlette:
    """`GET /page?first=50`."""
    connection = _opened(home)

    async def page(request: Request) -> Response:
        first = int(request.query_params.get("first", 20))
        return Response(connection.execute(PAGE, {"first": first}).fetchone()[0], media_type=JSON)

    return Starlette(routes=[Route("/page", page, methods=["GET"])])


def _sent() -> list[str]:
    return [str(column.name) for column in record_table("resource").c if column.name not in NOT_SENT]


def exchange_app(home: Path) -> Starlette:
    """`GET /rows`: every shared row as one JSON line without its nulls, zstd, flushed every 64 kB."""
    connection, names = _opened(home), _sent()
    chosen = ",".join("hex(id)" if name == "id" else name for name in names)

    def blocks() -> Iterator[bytes]:
        packer = zstandard.ZstdCompressor(level=3).compressobj()
        lines: list[bytes] = []
        size = 0
        cursor = connection.execute(f"SELECT {chosen} FROM resource WHERE status='shared' ORDER BY id")
        for row in cursor:
            line = orjson.dumps({name: cell for name, cell in zip(names, row, strict=True) if cell is not None})
            lines.append(line)
            size += len(line)
            if size >= CHECKPOINT_BYTES:
                yield packer.compress(b"\n".join([*lines, b""])) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
                lines, size = [], 0
        yield packer.compress(b"\n".join([*lines, b""])) + packer.flush()

    async def rows(request: Request) -> Response:
        del request
        return StreamingResponse(blocks(), headers={"content-encoding": "zstd"})

    return Starlette(routes=[Route("/rows", rows, methods=["GET"])])


class FloorReceiver:
    """Takes rows into a fresh node's database: a transaction for each 64 kB, all indexes and the text index."""

    def __init__(self, home: Path) -> None:
        with closing(open_database(load_settings(home, {}, {})[0].effective_database_url)) as database:
            migrate(database)
        self._connection = _opened(home)
        columns = [column.name for column in record_table("resource").c if column.name not in ("rid", "fts")]
        searched = searched_columns("resource")
        marks = ",".join("?" for _ in columns)
        self._columns, self._searched = columns, searched
        self._insert = f"INSERT INTO resource (rid,{','.join(columns)}) VALUES (?,{marks})"
        words = ",".join("?" for _ in searched)
        self._words = f"INSERT INTO resource_fts (rowid,{','.join(searched)}) VALUES (?,{words})"
        self._known = {"origin": 1, "via": 1, "terms": 1, "path": "[]", "digest": bytes(16), "home": None}
        self._rid = 0

    def pull(self, host: str, port: int) -> tuple[int, int]:
        """Takes everything in; gives how many records, and bytes on the wire."""
        connection = http.client.HTTPConnection(host, port, timeout=60)
        connection.request("GET", "/rows")
        answer = connection.getresponse()
        unpacker = zstandard.ZstdDecompressor().decompressobj()
        wire, held = 0, b""
        while chunk := answer.read1(65536):
            wire += len(chunk)
            *lines, held = (held + unpacker.decompress(chunk)).split(b"\n")
            self._store(lines)
        return self._rid, wire

    def _store(self, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        rows = [{**self._known, **orjson.loads(line)} for line in lines]
        values, words = [], []
        for row in rows:
            row["id"] = bytes.fromhex(row["id"])
            self._rid += 1
            values.append((self._rid, *(row.get(name) for name in self._columns)))
            words.append((self._rid, *(row.get(name) for name in self._searched)))
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(self._insert, values)
        self._connection.executemany(self._words, words)
        self._connection.execute("COMMIT")


def timed() -> tuple[float, float]:
    """Wall clock and processor time of this process."""
    return time.perf_counter(), time.process_time()
