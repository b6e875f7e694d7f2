"""The search for canaries is not blind: a token that is planted in each kind of container is found."""

from __future__ import annotations

import base64
import gzip
import sqlite3
import urllib.parse
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
import sqlcipher3
import zstandard

from federation.keys import b64, generate_key, sign
from federation.peers.wire import compressed
from federation.storage.database import Database
from oracles.decode import cell_tokens, postgresql_cells, sqlite_cells, tokens, tokens_in
from oracles.minting import Mint

TOKEN = "cnyab12z"
SAID = f'{{"title": "A {TOKEN} b"}}'.encode()


def signed(claims: dict[str, Any]) -> bytes:
    return sign(generate_key("ES256"), {"typ": "JWT"}, claims).encode()


def disclosed(text: str) -> bytes:
    """An SD-JWT: a signed statement, and disclosures beside it."""
    disclosure = base64.urlsafe_b64encode(orjson.dumps(["c2FsdA", "title.exact", text])).rstrip(b"=")
    return signed({"iss": "river"}) + b"~" + disclosure + b"~"


CONTAINERS: dict[str, Callable[[], bytes]] = {
    "plain": lambda: SAID,
    "capitals": lambda: SAID.upper(),
    "zstd": lambda: zstandard.compress(SAID),
    "zstd in flushed blocks": lambda: b"".join(compressed([b"x" * 99, SAID, b"y" * 99])),
    "gzip": lambda: gzip.compress(SAID),
    "zlib": lambda: zlib.compress(SAID),
    "base64": lambda: base64.b64encode(SAID),
    "base64url": lambda: b64(SAID).encode(),
    "base64 in JSON": lambda: orjson.dumps({"x": base64.b64encode(SAID).decode()}),
    "base64 of zstd": lambda: base64.urlsafe_b64encode(zstandard.compress(SAID)),
    "hex": lambda: SAID.hex().encode(),
    "percent": lambda: "".join(f"%{byte:02X}" for byte in SAID).encode(),
    "query": lambda: urllib.parse.urlencode({"q": f'"{TOKEN[:3]}\u00e9"', "r": TOKEN}).encode(),
    "JSON escapes": lambda: b'"' + "".join(f"\\u{ord(each):04x}" for each in TOKEN).encode() + b'"',
    "JSON in JSON": lambda: orjson.dumps({"body": orjson.dumps({"inner": SAID.decode()}).decode()}),
    "JWT payload": lambda: signed({"scope": TOKEN}),
    "SD-JWT disclosure": lambda: disclosed(TOKEN),
    "NDJSON, zstd": lambda: b"".join(compressed([b'{"k":"put"}\n' + SAID + b"\n"])),
    "a folded line of a calendar": lambda: f"BEGIN:VEVENT\r\nSUMMARY:A {TOKEN[:4]}\r\n {TOKEN[4:]}\r\n".encode(),
    "cursor": lambda: b64(orjson.dumps([1, TOKEN])).encode(),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_token_is_found_in_every_kind_of_container(container: str) -> None:
    assert TOKEN in tokens_in(CONTAINERS[container]())


def test_every_kind_of_token_is_found_in_every_form_that_it_takes() -> None:
    mint = Mint()
    number, free, place = mint.number(), mint.places(), mint.subdivision()
    for text, token in (
        (f'"minimum":"{number}"', str(number)),
        (f"lo={number}00,", str(number)),
        (f'["open:{free}","open"]', f"open:{free}"),
        (f'"OPEN:{free}"', f"open:{free}"),
        (f"|{place}|", place),
        (f'["{place}","XX"]', place),
        ('{"start":"2034-05-01"}', "2034-05-01"),
        ("valid_until__exact=2198-01-02", "2198-01-02"),
        (f"fr-x-{TOKEN}", TOKEN),
    ):
        assert token in tokens(text), text


def test_the_days_of_a_calendar_are_found_the_last_one_as_it_is_meant() -> None:
    days = b"DTSTART;VALUE=DATE:20340511\r\nDTEND;VALUE=DATE:20340514\r\nDTSTAMP:19050411T000000Z\r\n"
    assert tokens_in(b"BEGIN:VEVENT\r\n" + days) == {"2034-05-11", "2034-05-13", "1905-04-11"}


def test_no_token_is_made_twice() -> None:
    mint = Mint()
    made = [mint.word() for _ in range(5000)] + [str(mint.number()) for _ in range(1000)]
    assert len(set(made)) == len(made)
    places = [mint.subdivision() for _ in range(180)]
    assert len(set(places)) == len(places)


def test_a_token_is_found_in_a_file_of_sqlite_its_log_and_its_text_index(tmp_path: Path) -> None:
    connection: sqlite3.Connection = sqlcipher3.connect(str(tmp_path / "x.db"))
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE t (a TEXT, b BLOB, c INTEGER)")
    connection.execute("CREATE VIRTUAL TABLE f USING fts5(title, content='', contentless_delete=1, detail=column)")
    connection.execute("INSERT INTO t VALUES (?, ?, 712345678)", ("cnytext1", zstandard.compress(b"cnyblob1")))
    connection.execute("INSERT INTO f(rowid, title) VALUES (1, 'cnyword1 cnyword2')")
    connection.commit()
    assert (tmp_path / "x.db-wal").stat().st_size > 0
    found = cell_tokens(sqlite_cells(tmp_path / "x.db"))
    connection.close()
    assert found["t", "a"] == {"cnytext1"}
    assert found["t", "b"] == {"cnyblob1"}
    assert found["t", "c"] == {"712345678"}
    assert found["f", "title"] == {"cnyword1", "cnyword2"}


def test_a_token_is_found_in_an_encrypted_file(tmp_path: Path) -> None:
    connection: sqlite3.Connection = sqlcipher3.connect(str(tmp_path / "x.db"))
    connection.execute("PRAGMA key = 'its key'")
    connection.execute("CREATE TABLE t (a TEXT)")
    connection.execute("INSERT INTO t VALUES ('cnytext1')")
    connection.commit()
    connection.close()
    assert "cnytext1" not in tokens_in((tmp_path / "x.db").read_bytes())
    assert cell_tokens(sqlite_cells(tmp_path / "x.db", "its key"))["t", "a"] == {"cnytext1"}


def test_a_token_is_found_in_every_text_column_of_postgresql(make_database: Callable[[str], Database]) -> None:
    database = make_database("postgresql")
    with psycopg.connect(database.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE TABLE t (a text, b bytea, c bigint, d tsvector, e jsonb)")
        connection.execute(
            "INSERT INTO t VALUES ('cnytext1', %s, 712345678, '''0:cnyword1'':1'::tsvector, '{\"x\": \"cnyjson1\"}')",
            [zstandard.compress(b"cnyblob1")],
        )
    found = cell_tokens(postgresql_cells(database.url.replace("+psycopg", "")))
    assert found["t", "a"] == {"cnytext1"}
    assert found["t", "b"] == {"cnyblob1"}
    assert found["t", "c"] == {"712345678"}
    assert found["t", "d"] == {"cnyword1"}
    assert found["t", "e"] == {"cnyjson1"}
