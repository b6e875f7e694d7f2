"""Where a program leads people back to: which addresses may be registered, which match, and what is added to them.

An address is taken as it was registered, to the letter. Nothing is ever sent to one that was not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from federation.errors import BadInput

MOST = 10
MAX_LENGTH = 500
_PATH = r"((?:/(?:[!$&'()*+,;=:@a-zA-Z0-9._~/-]|%[0-9A-F]{2})*)?)"
_SECURE = re.compile(r"https://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?" + _PATH)
_LOOPBACK = re.compile(r"http://127\.0\.0\.1(?::[1-9][0-9]{0,4})?" + _PATH)


def checked_redirects(given: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses, each once. Raises BadInput: too many, or one that is neither https nor http on 127.0.0.1, that has
    a query, a fragment or somebody's name in it, or that is not spelled as a browser would."""
    kept = tuple(dict.fromkeys(given))
    if len(kept) > MOST:
        raise BadInput(f"A program leads back to {MOST} addresses at most.", field="redirect_uri")
    for each in kept:
        if len(each) > MAX_LENGTH or not each.isascii() or not (_SECURE.fullmatch(each) or _LOOPBACK.fullmatch(each)):
            raise BadInput(
                "A program leads back to an address like https://dashboard.example/back, without query and "
                "fragment; on one's own machine to http://127.0.0.1/back.",
                field="redirect_uri",
            )
    return kept


def matches(registered: tuple[str, ...], given: str, *, public: bool) -> bool:
    """Whether an address is one of those registered, to the letter; a program on a person's own machine, which is never
    told beforehand what port it gets there, may name any port of 127.0.0.1 (RFC 8252, 7.3)."""
    if given in registered:
        return True
    asked = _LOOPBACK.fullmatch(given) if public and len(given) <= MAX_LENGTH else None
    known = [_LOOPBACK.fullmatch(each) for each in registered]
    return asked is not None and any(each is not None and each[1] == asked[1] for each in known)


def origin_of(redirect_uri: str) -> str:
    """Scheme, host and port of a checked address."""
    parts = urlsplit(redirect_uri)
    return f"{parts.scheme}://{parts.netloc}"


def with_answer(redirect_uri: str, answer: Mapping[str, str]) -> str:
    """The address with an answer as its query."""
    return f"{redirect_uri}?{urlencode(answer)}"
