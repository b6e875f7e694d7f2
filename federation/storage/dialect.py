"""The few pieces of SQL that SQLite and PostgreSQL write differently, so that both give the same bytes.

Pure text. Names and literals come from the record types and from checked words; values of callers are parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ARGUMENTS = 60
"""How many arguments one call of concat() takes; both databases have a limit of about a hundred."""


@dataclass(frozen=True)
class Dialect:
    """How one database writes parameters, literals and JSON."""

    name: Literal["sqlite", "postgresql"]

    @property
    def sqlite(self) -> bool:
        """Whether this is SQLite."""
        return self.name == "sqlite"

    def param(self, name: str) -> str:
        """The placeholder of a named parameter."""
        return f":{name}" if self.sqlite else f"%({name})s"

    def limit(self) -> str:
        """The end of a statement that gives at most `limit` rows. SQLite would look at a bare parameter and make its
        plan anew at each run, which costs as much as a page."""
        return f"LIMIT {self.param('limit')}+0" if self.sqlite else f"LIMIT {self.param('limit')}"

    def literal(self, text: str) -> str:
        """A text as an SQL literal; psycopg takes `%%` for a percent sign."""
        quoted = "'" + text.replace("'", "''") + "'"
        return quoted if self.sqlite else quoted.replace("%", "%%")

    def key_literal(self, value: str | int) -> str:
        """A sort key as a literal that compares like the columns do."""
        if isinstance(value, int):
            return str(value) if self.sqlite else f"{value}::bigint"
        return self.literal(value) if self.sqlite else f'{self.literal(value)}::text COLLATE "C"'

    def concat(self, parts: Sequence[str]) -> str:
        """The texts one after the other; NULL counts as empty."""
        while len(parts) > ARGUMENTS:
            parts = [self.concat(parts[at : at + ARGUMENTS]) for at in range(0, len(parts), ARGUMENTS)]
        return parts[0] if len(parts) == 1 else f"concat({','.join(parts)})"

    def json(self, column: str) -> str:
        """A text or whole number as JSON; NULL is null. Compact, and the same bytes on both databases."""
        return f"json_quote({column})" if self.sqlite else f"coalesce(to_json({column})::text,'null')"

    def json_flag(self, column: str) -> str:
        """0 and 1 as false and true."""
        return f"CASE {column} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END"

    def json_held(self, column: str) -> str:
        """A text that is JSON already."""
        return f"coalesce({column},'null')"

    def member(self, column: str, keys: Sequence[str]) -> str:
        """The first text among the members of a JSON object, or NULL."""
        if self.sqlite:
            found = [f"{column} ->> " + self.literal(f'$."{key}"') for key in keys]
        else:
            found = [f"({column})::json ->> {self.literal(key)}" for key in keys]
        return f"coalesce({','.join(found)})" if len(found) > 1 else found[0]

    def position(self, haystack: str, needle: str) -> str:
        """Where a text begins within another, from 1; 0 if it does not occur."""
        return f"{'instr' if self.sqlite else 'strpos'}({haystack},{needle})"

    def pairwise(self, column: str, prefix: str) -> str:
        """The first 16 bytes of HMAC-SHA256 over a column, under the key blocks in the parameters `{prefix}_inner`
        and `{prefix}_outer`; see storage/pairwise.py for the functions of SQLite."""
        inner, outer = self.param(f"{prefix}_inner"), self.param(f"{prefix}_outer")
        if self.sqlite:
            return f"pairwise({inner},{outer},{column})"
        return f"substring(sha256({outer}::bytea||sha256({inner}::bytea||{column})) from 1 for 16)"

    def head(self, column: str, length: int) -> str:
        """The first bytes of a column."""
        return f"substr({column},1,{length})"

    def base64url(self, column: str, prefix: bytes) -> str:
        """Literal bytes and those of a column as base64url; together a multiple of three, at most 54."""
        if self.sqlite:
            return f"base64url(x'{prefix.hex()}',{column})"
        return f"translate(encode('\\x{prefix.hex()}'::bytea||{column},'base64'),'+/','-_')"


SQLITE = Dialect("sqlite")
POSTGRESQL = Dialect("postgresql")


def dialect_of(name: str) -> Dialect:
    """The dialect of a database by its name."""
    return SQLITE if name == "sqlite" else POSTGRESQL
