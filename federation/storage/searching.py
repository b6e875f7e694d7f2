"""How words are asked of the text indexes: each word in one of the columns that the viewer sees, and in no other.

Pure text; words are what `search_words` made, letters and digits alone.
"""

from __future__ import annotations

from collections.abc import Sequence


def sqlite_match(columns: Sequence[str], words: Sequence[str]) -> str:
    """Every word in one of the columns, for FTS5: quoted, and in parentheses so that the columns hold for all."""
    return "{" + " ".join(columns) + "} : (" + " AND ".join(f'"{word}"' for word in words) + ")"


def postgresql_match(places: Sequence[int], words: Sequence[str]) -> str:
    """Every word in one of the columns, for a tsquery over lexemes `place:word`."""
    return " & ".join("(" + " | ".join(f"'{place}:{word}'" for place in places) + ")" for word in words)
