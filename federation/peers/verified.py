"""The signatures that were verified, so that a page that comes again costs no second verification. It must never take
one for verified because something like it was."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from threading import Lock
from typing import Any

import orjson

from federation.keys import PublicKey
from federation.peers.provenance import Version, check_expiry, verify
from federation.peers.provenance_packed import expires_of, store, unpack


class VerifiedSignatures:
    """What was verified, by hash. Bounded; thread-safe."""

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._seen: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = Lock()

    def check(self, packed: str, values: Mapping[str, Any], version: Version, key: PublicKey, now: int) -> bytes:
        """Unpack and verify, and give the form to keep; nothing is rebuilt where these very bytes were verified
        before. Raises ProvenanceInvalid."""
        said = orjson.dumps([packed, values, key.thumbprint, *version[:5]], default=_plain, option=orjson.OPT_SORT_KEYS)
        seen = sha256(said + version.terms.canonical).digest()
        with self._lock:
            stored = self._seen.get(seen)
            if stored is not None:
                self._seen.move_to_end(seen)
        if stored is not None:
            check_expiry(expires_of(stored), now)
            return stored
        provenance = unpack(packed, values, version.terms)
        verify(provenance, version, key, now)
        stored = store(provenance)
        with self._lock:
            self._seen[seen] = stored
            while len(self._seen) > self._size:
                self._seen.popitem(last=False)
        return stored


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
