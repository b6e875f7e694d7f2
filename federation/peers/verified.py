"""The signatures that were verified, so that a page that comes again costs no second verification. It must never take
one for verified because something like it was."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from threading import Lock
from typing import Any

import orjson

from federation.peers.origins import Origin
from federation.peers.provenance import Provenance, ProvenanceInvalid, Version, check_expiry, verify
from federation.peers.provenance_packed import expires_of, store, unpack


class VerifiedSignatures:
    """What was verified, by hash. Bounded; thread-safe."""

    def __init__(self, size: int = 20_000) -> None:
        self._size = size
        self._seen: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = Lock()

    def check(self, packed: str, values: Mapping[str, Any], version: Version, author: Origin, now: int) -> bytes:
        """Unpack and verify, and give the form to keep, which tells the place of the key that signed in the line of its
        origin; nothing is rebuilt where these very bytes were verified before. Raises ProvenanceInvalid."""
        line = [author.key.thumbprint, len(author.keys)]
        said = orjson.dumps([packed, values, line, *version[:5]], default=_plain, option=orjson.OPT_SORT_KEYS)
        seen = sha256(said + version.terms.canonical).digest()
        with self._lock:
            stored = self._seen.get(seen)
            if stored is not None:
                self._seen.move_to_end(seen)
        if stored is not None:
            check_expiry(expires_of(stored), now)
            return stored
        provenance = unpack(packed, values, version.terms)
        stored = store(provenance, _verified(provenance, version, author, now))
        with self._lock:
            self._seen[seen] = stored
            while len(self._seen) > self._size:
                self._seen.popitem(last=False)
        return stored


def _verified(provenance: Provenance, version: Version, author: Origin, now: int) -> int:
    """The place of the key of the author that signed it: the one in force, or one replaced that may have."""
    first, *earlier = author.signers(provenance.expires)
    try:
        verify(provenance, version, first.key, now)
        return first.number
    except ProvenanceInvalid:
        for each in earlier:
            with suppress(ProvenanceInvalid):
                verify(provenance, version, each.key, now)
                return each.number
        raise


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
