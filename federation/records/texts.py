"""Text as it may be stored: normalised, bounded, without control characters and direction overrides; its sort key
and its words. Must never log or repeat a text in an error."""

from __future__ import annotations

import re
import unicodedata

from federation.errors import BadInput

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2061-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
"""Controls, overrides and isolates of direction, invisible operators, tags. Joiners, word spaces and the marks U+200E
and U+200F stay: Khmer, Persian, Arabic and Hebrew texts need them."""

_BREAKS = re.compile("[\n\r\t]")
_WORD = re.compile(r"[^\W_]+")
_UNSEEN = re.compile("[\u00ad\u200c-\u200f\u2060]")
_IDEOGRAPH = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")
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
    """Case and accents folded, alike on every database. Signs that are letters of their own (vowels and joiners of
    Indic and Thai scripts) stay."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", _UNSEEN.sub("", text).casefold())
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if not _is_accent(c)))


def _is_accent(character: str) -> bool:
    mark = unicodedata.combining(character)
    return mark > 0 and not 7 <= mark <= 9 and not 84 <= mark <= 132


def search_words(text: str) -> list[str]:
    """The words of a text, folded: the one splitter for indexing and for queries. No stemming; each ideograph is a
    word, because nothing separates them."""
    folded = fold(text)
    if folded.isascii():
        return _WORD.findall(folded)
    kept = (c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in folded)
    return _IDEOGRAPH.sub(r" \1 ", "".join(kept)).split()


def sort_key(text: str) -> str:
    """ASCII text whose byte order is the order of the folded text, and always below `~` (the mark of unknown)."""
    folded = fold(text)[:_KEY_LENGTH]
    if folded.isascii() and "}" not in folded and "~" not in folded:
        return folded.replace("\n", " ")
    return "".join(c if c < "}" else f"}}{ord(c):06x}" for c in folded).replace("\n", " ")
