"""Text as it may be stored: normalised, bounded, without control characters and direction overrides; its sort key
and its words. Must never log or repeat a text in an error."""

from __future__ import annotations

import re
import unicodedata

from federation.errors import BadInput

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_BREAKS = re.compile("[\n\r\t]")
_WORD = re.compile(r"[^\W_]+")
_KEY_LENGTH = 80


def checked_text(value: object, longest: int, *, lines: bool) -> str:
    """A text of our own in normal form (NFC, line feeds, trimmed). BadInput if it is not text, empty, too long, or
    holds control characters or direction overrides; without `lines` also for line breaks and tabs."""
    if not isinstance(value, str):
        raise BadInput("This must be a text.")
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n")).strip()
    return accepted_text(text, longest, lines=lines)


def accepted_text(value: object, longest: int, *, lines: bool) -> str:
    """A text that came from outside, unchanged (it may be signed), or BadInput by the rules of `checked_text`."""
    if not isinstance(value, str):
        raise BadInput("This must be a text.")
    if not value:
        raise BadInput("This text is empty.")
    if len(value) > longest:
        raise BadInput(f"This text is longer than {longest} characters.")
    if _FORBIDDEN.search(value):
        raise BadInput("This text holds control characters or marks that change the direction of writing.")
    if not lines and _BREAKS.search(value):
        raise BadInput("This text must be a single line.")
    if not value.isascii() and not unicodedata.is_normalized("NFC", value):
        raise BadInput("This text is not in Unicode normal form C.")
    return value


def tidy(value: str, *, lines: bool = True) -> str:
    """What is left of a foreign text when all that `checked_text` refuses is taken out; for importers. May be empty."""
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    text = _FORBIDDEN.sub("", text)
    if not lines:
        text = _BREAKS.sub(" ", text)
    return unicodedata.normalize("NFC", text).strip()


def fold(text: str) -> str:
    """Case and accents folded, alike on every database."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    stripped = "".join(c for c in decomposed if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", stripped)


def search_words(text: str) -> list[str]:
    """The words of a text, folded: the one splitter for indexing and for queries. No stemming."""
    return _WORD.findall(fold(text))


def sort_key(text: str) -> str:
    """ASCII text whose byte order is the order of the folded text, and always below `~` (the mark of unknown)."""
    folded = fold(text)[:_KEY_LENGTH]
    if folded.isascii() and "}" not in folded and "~" not in folded:
        return folded.replace("\n", " ")
    return "".join(c if c < "}" else f"}}{ord(c):06x}" for c in folded).replace("\n", " ")
