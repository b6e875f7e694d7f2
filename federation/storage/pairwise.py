"""Ids and pseudonyms made for one viewer, as SQL computes them: HMAC-SHA256 (RFC 2104) with its key blocks as
parameters. The node's secret itself must never become a parameter."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

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
    """Gives a raw SQLite connection the functions that such statements call; PostgreSQL has them."""
    connection.create_function("pairwise", 3, _pairwise, deterministic=True)
    connection.create_function("base64url", 2, _base64url, deterministic=True)


def _pairwise(inner: bytes, outer: bytes, id: bytes) -> bytes:
    return hashlib.sha256(outer + hashlib.sha256(inner + id).digest()).digest()[:16]


def _base64url(prefix: bytes, value: bytes) -> str:
    return base64.urlsafe_b64encode(prefix + value).decode()
