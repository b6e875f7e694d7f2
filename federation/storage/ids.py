"""Ids as they are shown: a type, an origin's mark and 16 random bytes in one text. They tell no time and no order.

The mark is long enough that nobody can make a key whose mark is another origin's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from federation.errors import NotFound
from federation.records.registry import RECORD_TYPES

ID_BYTES = 16
ORIGIN_BYTES = 16
PAIRWISE_ORIGIN = bytes(ORIGIN_BYTES)
"""Stands in the place of the origin of a Need, which is shown under an id that differs per viewer."""

_KEYS = tuple(RECORD_TYPES)
_INDEX = {key: index for index, key in enumerate(_KEYS)}


def origin_mark(thumbprint: str) -> bytes:
    """The first 16 bytes of the SHA-256 of an origin's thumbprint; zeros for the empty one (a Need's)."""
    return hashlib.sha256(thumbprint.encode()).digest()[:ORIGIN_BYTES] if thumbprint else PAIRWISE_ORIGIN


def global_id(type_key: str, origin_thumbprint: str, id: bytes) -> str:
    """The id as shown: base64url of (type index, origin's mark, 16 bytes), 44 characters. KeyError for no type."""
    return base64.urlsafe_b64encode(bytes([_INDEX[type_key]]) + origin_mark(origin_thumbprint) + id).decode()


def parse_global_id(gid: str) -> tuple[str, bytes, bytes]:
    """(type key, origin's mark, id) of a shown id. Raises NotFound for anything that is no such id: malformed and
    absent look alike."""
    try:
        raw = base64.b64decode(gid, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != 1 + ORIGIN_BYTES + ID_BYTES or raw[0] >= len(_KEYS):
        raise NotFound("There is no record with this id.", field="id")
    return _KEYS[raw[0]], raw[1 : 1 + ORIGIN_BYTES], raw[1 + ORIGIN_BYTES :]


def pairwise_id(secret: bytes, subject: str, id: bytes) -> bytes:
    """The id of a Need for one viewer: HMAC-SHA256 of subject and id under the node's secret, 16 bytes."""
    return hmac.new(secret, b"need-id" + subject.encode() + id, hashlib.sha256).digest()[:ID_BYTES]


def network_id(thumbprint: str) -> bytes:
    """The id of the Network record that describes the node itself, known from its name as an origin: a UUIDv4 that
    sorts before every random one, so that the first Network of an origin is the origin."""
    drawn = hashlib.sha256(b"own network" + thumbprint.encode()).digest()
    return bytes(6) + bytes([0x40 | drawn[6] & 0x0F, drawn[7], 0x80 | drawn[8] & 0x3F]) + drawn[9:16]


def wire_id(id: bytes) -> str:
    """The 16 bytes as they stand in exchange items: base64url without padding, 22 characters."""
    return base64.urlsafe_b64encode(id).rstrip(b"=").decode()


def parse_wire_id(text: object) -> bytes:
    """The 16 bytes of an exchange item's id. Raises ValueError for anything else, also for a second spelling."""
    if not isinstance(text, str) or len(text) != 22:
        raise ValueError("not an id")
    id = base64.b64decode(text + "==", altchars=b"-_", validate=True)
    if wire_id(id) != text:
        raise ValueError("not an id")
    return id
