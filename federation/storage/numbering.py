"""The numbers under which origins and terms stand in rows. A name alone gets none: a record that is taken in does."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text

from federation.policies.terms import Labels
from federation.storage import items
from federation.storage.items import Poison, Put
from federation.storage.tables import record_table

MOST_TERMS = 16
"""Under how many terms the records of a type may stand that are held of one origin."""
MOST_TERMS_EVER = 256
"""How many terms of an origin for a type are kept: those that no record uses any more are still in the journal."""


class Numbers:
    """The numbers of origins and terms, each asked for once a page."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._origins: dict[str, int] = {}
        self.thumbprints: dict[int, str] = {}
        self.labels: dict[int, Labels] = {}
        self._terms: dict[tuple[int, str, str], int] = {}
        self._used: dict[tuple[int, str], set[int]] = {}

    def known(self, thumbprint: str) -> int | None:
        """The number of an origin that has one."""
        if thumbprint not in self._origins:
            number = items.known_origin(self._connection, thumbprint)
            if number is None:
                return None
            self._origins[thumbprint], self.thumbprints[number] = number, thumbprint
        return self._origins[thumbprint]

    def origin(self, thumbprint: str) -> int:
        """The number of an origin; it gets one where it has none."""
        known = self.known(thumbprint)
        if known is None:
            known = items.origin_number(self._connection, thumbprint)
            self._origins[thumbprint], self.thumbprints[known] = known, thumbprint
        return known

    def terms(self, put: Put) -> int:
        """The number of a put's terms. Raises Poison where its origin has records under too many terms already: every
        set of terms costs every reader."""
        terms = put.terms or items.UNNAMED
        oid = self.origin(put.origin)
        key = (oid, put.type, terms.hash)
        if key not in self._terms:
            known = items.terms_known(self._connection, oid, put.type)
            if (oid, put.type) not in self._used:
                self._used[oid, put.type] = self._in_use(oid, put.type, known)
            used, tid = self._used[oid, put.type], known.get(terms.hash)
            full = tid not in used and len(used) >= MOST_TERMS
            if full or (tid is None and len(known) >= MOST_TERMS_EVER):
                raise Poison("too_many_terms")
            self._terms[key] = tid or items.terms_number(self._connection, oid, put.type, terms)
            used.add(self._terms[key])
            self.labels[self._terms[key]] = terms.labels
        return self._terms[key]

    def _in_use(self, oid: int, type_key: str, known: Mapping[str, int]) -> set[int]:
        """The terms under which records are held; looked for only where there may be too many."""
        if len(known) < MOST_TERMS:
            return set(known.values())
        table = record_table(type_key).name
        rows = self._connection.execute(
            text(f"SELECT DISTINCT terms FROM {table} WHERE origin = :oid AND via > 0"),  # noqa: S608
            {"oid": oid},
        )
        return {row[0] for row in rows}
