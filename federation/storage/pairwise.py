"""Ids as they are shown in SQL: as stored, or made for one viewer by HMAC-SHA256 (RFC 2104) with its key blocks as
parameters. The node's secret itself must never become a parameter."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from federation.records.registry import RECORD_TYPES
from federation.storage.dialect import Dialect
from federation.storage.ids import PAIRWISE_ORIGIN
from federation.storage.view import View

_BLOCK = 64


def key_blocks(secret: bytes, before: bytes) -> tuple[bytes, bytes]:
    """What stands before the message in the inner and outer hash of HMAC-SHA256 under `secret`, when the message
    begins with `before`."""
    key = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
    return bytes(each ^ 0x36 for each in key) + before, bytes(each ^ 0x5C for each in key)


def pairwise_parameters(secret: bytes, subject: str) -> dict[str, bytes]:
    """The parameters of statements over types whose ids are made for the viewer `subject`."""
    found = {}
    for name, purpose in (("need", b"need-id"), ("name", b"need-network")):
        found[f"{name}_inner"], found[f"{name}_outer"] = key_blocks(secret, purpose + subject.encode())
    return found


def add_functions(connection: Any) -> None:
    """Gives a raw SQLite connection the functions that such statements call, once: SQLite would prepare all its
    statements anew. PostgreSQL has them."""
    if connection.makes_ids:
        return
    connection.create_function("pairwise", 3, _pairwise, deterministic=True)
    connection.create_function("base64url", 2, _base64url, deterministic=True)
    connection.makes_ids = True


def _pairwise(inner: bytes, outer: bytes, id: bytes) -> bytes:
    return hashlib.sha256(outer + hashlib.sha256(inner + id).digest()).digest()[:16]


def _base64url(prefix: bytes, value: bytes) -> str:
    return base64.urlsafe_b64encode(prefix + value).decode()


def id_of(dialect: Dialect, view: View) -> str:
    """The SQL of the 16 bytes under which a record is shown: its own, or made for the viewer."""
    return dialect.pairwise("t.id", "need") if view.pairwise else "t.id"


def gid_of(dialect: Dialect, view: View) -> str:
    """The SQL of the id as shown."""
    if not view.pairwise:
        return "t.gid"
    return dialect.base64url(id_of(dialect, view), pairwise_prefix(view.type.key))


def column_of(dialect: Dialect, view: View) -> Callable[[str], str]:
    """The SQL of a column by its name: as stored, but pseudonyms are made for the viewer and the record."""
    if not view.pairwise:
        return _plain_column
    made = dialect.base64url(dialect.head(dialect.pairwise("t.id", "name"), 15), b"")

    def column(name: str) -> str:
        return f"CASE WHEN t.{name} IS NOT NULL THEN {made} END" if name == "network__pseudonym" else f"t.{name}"

    return column


def _plain_column(name: str) -> str:
    return f"t.{name}"


def pairwise_prefix(type_key: str) -> bytes:
    """What stands before an id that was made for one viewer: the type, and no origin."""
    return bytes([tuple(RECORD_TYPES).index(type_key)]) + PAIRWISE_ORIGIN
