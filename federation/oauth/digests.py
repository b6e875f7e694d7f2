"""What is stored of a secret that was given out: a cookie, a code, a token, the code of a link."""

from __future__ import annotations

import hashlib


def digest(secret: str) -> bytes:
    """The SHA-256 of a secret. It was drawn from 192 bits or more, so no salt is needed; whatever else somebody shows
    in its place, a lone surrogate too, has a digest that is nobody's."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
