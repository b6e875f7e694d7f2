"""Sealed cursors: what names the last item seen, unreadable, of one length a query, the same for the same item.

AES-SIV (RFC 5297) without a nonce, bound to class and query. A cursor must never hold more than the viewer was shown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from federation.errors import BadInput

TEXT_WIDTH = 322
"""Room for the longest text key (80 characters in UTF-8, with its length): every cursor by a text has one length."""
_STALE = "This cursor does not belong to this query; ask again without it."
_ESCAPED = re.compile(r"\}([0-9a-f]{6})")


@dataclass(frozen=True)
class Mark:
    """The place after one item: its projected sort key (None where there is none but the id) and its id."""

    key: str | int | None
    id: bytes


class CursorSeal:
    """Seals and opens cursors under a key of the node. `binding` is anything that names class and query."""

    def __init__(self, secret: bytes) -> None:
        key = b"".join(hmac.new(secret, b"cursor" + bytes([part]), hashlib.sha256).digest() for part in range(2))
        self._cipher = AESSIV(key)

    def seal(self, mark: Mark, binding: bytes) -> str:
        """The cursor of an item: base64url without padding, one length for every item of a query."""
        return self.seal_bytes(_packed(mark), binding)

    def open(self, cursor: str, binding: bytes) -> Mark:
        """The item that a cursor names. Raises BadInput for one that is malformed, tampered with or of another
        class or query; all three look alike."""
        return _unpacked(self.open_bytes(cursor, binding))

    def seal_bytes(self, plain: bytes, binding: bytes) -> str:
        """Bytes sealed as text: the same for the same bytes and binding."""
        return base64.urlsafe_b64encode(self._cipher.encrypt(plain, [binding])).rstrip(b"=").decode()

    def open_bytes(self, text: str, binding: bytes) -> bytes:
        """The bytes of a sealed text, or BadInput."""
        try:
            padded = (text + "=" * (-len(text) % 4)).encode("ascii")
            return self._cipher.decrypt(base64.b64decode(padded, altchars=b"-_", validate=True), [binding])
        except (InvalidTag, ValueError, binascii.Error):
            raise BadInput(_STALE, field="after") from None


def _packed(mark: Mark) -> bytes:
    if mark.key is None:
        return mark.id
    if isinstance(mark.key, int):
        return mark.id + mark.key.to_bytes(8, "big", signed=True)
    plain = b"\0" if mark.key == "~" else _ESCAPED.sub(lambda found: chr(int(found[1], 16)), mark.key).encode()
    return mark.id + (len(plain).to_bytes(2, "big") + plain).ljust(TEXT_WIDTH, b"\0")


def _unpacked(plain: bytes) -> Mark:
    id, body = plain[:16], plain[16:]
    if not body:
        return Mark(None, id)
    if len(body) == 8:
        return Mark(int.from_bytes(body, "big", signed=True), id)
    text = body[2 : 2 + int.from_bytes(body[:2], "big")].decode()
    return Mark("~" if text == "\0" else "".join(c if c < "}" else f"}}{ord(c):06x}" for c in text), id)
