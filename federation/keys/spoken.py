"""Eight words, or eight groups of digits, that two people compare to know that they hold each other's true keys.

They must never be shortened, and never be shown for anything but the two thumbprints.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from importlib import resources

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from federation.errors import SettingsInvalid

_SHA256 = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"


@functools.cache
def word_list() -> tuple[str, ...]:
    """The 2,048 words. Raises SettingsInvalid if the file in this installation is not the one that was shipped."""
    raw = resources.files("federation").joinpath("locales", "words", "english.txt").read_bytes()
    if hashlib.sha256(raw).hexdigest() != _SHA256:
        raise SettingsInvalid("The word list of this installation was changed; install the package again.")
    return tuple(raw.decode("ascii").split())


@functools.lru_cache(maxsize=256)
def _numbers(first: str, second: str) -> tuple[int, ...]:
    """Eight numbers below 2,048: 88 bits. Whoever sits between two people can try keys on both sides until the words
    meet (2^44 tries a side), so that one try must cost much: scrypt with 32 MiB, about a tenth of a second."""
    low, high = sorted((first.encode(), second.encode()))
    key = Scrypt(salt=b"federation words 1", length=11, n=2**15, r=8, p=1).derive(low + b"\0" + high)
    bits = int.from_bytes(key, "big")
    return tuple(bits >> (77 - 11 * place) & 0x7FF for place in range(8))


def words(thumbprint_a: str, thumbprint_b: str) -> tuple[str, ...]:
    """The eight words of two key thumbprints (base64url, RFC 7638), the same in either order."""
    return tuple(word_list()[number] for number in _numbers(*sorted((thumbprint_a, thumbprint_b))))


def digits(thumbprint_a: str, thumbprint_b: str) -> tuple[str, ...]:
    """The same 88 bits as eight groups of four digits, for languages without a word list."""
    return tuple(f"{number:04d}" for number in _numbers(*sorted((thumbprint_a, thumbprint_b))))


def words_match(given: str, thumbprint_a: str, thumbprint_b: str) -> bool:
    """Whether a person gave the eight words, or the eight groups of digits; case, commas and dashes do not matter."""
    said = " ".join(given.lower().replace(",", " ").replace("-", " ").split()).encode()
    expected = (words(thumbprint_a, thumbprint_b), digits(thumbprint_a, thumbprint_b))
    return any(hmac.compare_digest(said, " ".join(groups).encode()) for groups in expected)
