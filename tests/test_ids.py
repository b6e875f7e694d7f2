"""Ids as they are shown: read as they are written, and nothing else is one."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import NotFound
from federation.records.registry import RECORD_TYPES
from federation.storage.ids import (
    PAIRWISE_ORIGIN,
    global_id,
    origin_mark,
    pairwise_id,
    parse_global_id,
    parse_wire_id,
    wire_id,
)

ids = st.binary(min_size=16, max_size=16)


@given(st.sampled_from(list(RECORD_TYPES)), st.text(min_size=1, max_size=43), ids)
def test_a_global_id_is_read_as_it_was_written(type_key: str, origin: str, id: bytes) -> None:
    gid = global_id(type_key, origin, id)
    assert len(gid) == 44
    assert "=" not in gid
    assert parse_global_id(gid) == (type_key, origin_mark(origin), id)


@pytest.mark.parametrize(
    "gid", ["", "A" * 32, "A" * 43, "A" * 45, "A" * 43 + "=", "A" * 43 + "!", "ü" * 44, "_" * 44, "A" * 48]
)
def test_what_is_no_id_is_not_found(gid: str) -> None:
    with pytest.raises(NotFound):
        parse_global_id(gid)


def test_an_origin_is_marked_by_128_bits_of_its_hash() -> None:
    mark = origin_mark("river")
    assert len(mark) == 16
    assert mark == hashlib.sha256(b"river").digest()[:16]


def test_a_need_shows_no_origin() -> None:
    assert origin_mark("") == PAIRWISE_ORIGIN
    assert parse_global_id(global_id("need", "", bytes(16)))[1] == PAIRWISE_ORIGIN


def test_a_pairwise_id_differs_by_viewer_secret_and_record() -> None:
    shown = {pairwise_id(secret, who, id) for secret in (b"a", b"b") for who in ("x", "y") for id in (b"1", b"2")}
    assert len(shown) == 8
    assert all(len(each) == 16 for each in shown)


@given(ids)
def test_a_wire_id_is_read_as_it_was_written(id: bytes) -> None:
    assert parse_wire_id(wire_id(id)) == id
    assert len(wire_id(id)) == 22


@pytest.mark.parametrize("text", [None, 7, "", "A" * 21, "A" * 23, "A" * 21 + "B", "+" * 22, "é" * 22])
def test_there_is_one_spelling_of_a_wire_id(text: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_wire_id(text)
