"""How words are asked of the text indexes: each word in one of the columns that the viewer sees, and in no other.

Pure text; words are what `search_words` made, letters and digits alone. On SQLite a rare word leads to its rows; rows
with a common one are met on a walk along the ids, which ends when the page is full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FEW, ONE_IN = 500, 16
"""On SQLite words are common when more rows hold them than these few and one row in so many."""


def sqlite_match(columns: Sequence[str], words: Sequence[str]) -> str:
    """Every word in one of the columns, for FTS5: quoted, and in parentheses so that the columns hold for all."""
    return "{" + " ".join(columns) + "} : (" + " AND ".join(f'"{word}"' for word in words) + ")"


def postgresql_match(places: Sequence[int], words: Sequence[str]) -> str:
    """Every word in one of the columns, for a tsquery over lexemes `place:word`."""
    return " & ".join("(" + " | ".join(f"'{place}:{word}'" for place in places) + ")" for word in words)


@dataclass(frozen=True)
class Walk:
    """A walk along the ids of a table of SQLite. `match` and `titles` are parameters of its text index, `after` those
    of the key and id after which the page begins; `rows` is the condition on the rows."""

    table: str
    rows: str
    match: str
    titles: str | None
    limit: str
    after: tuple[str, str] | None = None

    @property
    def led_limit(self) -> str:
        """How many rows the text index may lead to, within `keys`. A limit is looked at before anything is read."""
        return f"CASE WHEN (SELECT y FROM c) THEN 0 ELSE {self.limit} END"  # noqa: S608

    def keys(self, number: int, led: str) -> str:
        """The select of a page's keys: (number, row, whether the title is missed, id). Where the words are common,
        first the rows with the words in the title, then the others while there is room; else what `led` selects, which
        ends with `led_limit`."""
        title = self._hit(self.titles) if self.titles else "0"
        first, then = "1", "1"
        if self.after:
            key, id = self.after
            first, then = f"{key}=0 AND t.id>{id}", f"t.id>CASE {key} WHEN 1 THEN {id} ELSE x'' END"
        titles = self._walk(number, 0, "(SELECT y FROM c)", title, first)
        room = f"(SELECT y FROM c) AND (SELECT count(*) FROM h)<{self.limit}"  # noqa: S608
        others = self._walk(number, 1, room, self._hit(self.match), f"NOT {title}", then)
        return (
            f"WITH c AS MATERIALIZED ({self._common()}), h AS MATERIALIZED ({titles}) SELECT * FROM h"  # noqa: S608
            f" UNION ALL SELECT * FROM ({others}) AS o UNION ALL SELECT * FROM ({led}) AS l"
        )

    def _common(self) -> str:
        """Whether the words are common. It decides only which way is gone, never what is found."""
        fts = f"{self.table}_fts"
        return (
            f"SELECT EXISTS (SELECT 1 FROM {fts} WHERE {fts} MATCH {self.match} LIMIT 1"  # noqa: S608
            f" OFFSET (SELECT {FEW}+coalesce(max(rid),0)/{ONE_IN} FROM {self.table})) AS y"
        )

    def _hit(self, match: str) -> str:
        """Whether a row holds the words; the plus keeps SQLite from going to the rows one by one."""
        return f"+t.rid IN (SELECT rowid FROM {self.table}_fts WHERE {self.table}_fts MATCH {match})"  # noqa: S608

    def _walk(self, number: int, miss: int, allowed: str, *conditions: str) -> str:
        where = " AND ".join((self.rows, *conditions))
        return (
            f"SELECT {number} AS a,t.rid AS r,{miss} AS s,t.id AS i FROM {self.table} t WHERE {where}"  # noqa: S608
            f" ORDER BY t.id LIMIT CASE WHEN {allowed} THEN {self.limit} ELSE 0 END"
        )
