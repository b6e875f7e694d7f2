"""Names of places put into rows after they were read: the code lists know them, the database does not."""

from __future__ import annotations

import json
import re

from federation.records.codes import CodeLists
from federation.storage.bounded import Bounded
from federation.storage.shapes import NAME_MARK

_MARKED = re.compile(f"{NAME_MARK}([^:{NAME_MARK}]*):([^{NAME_MARK}]*){NAME_MARK}")


class PlaceNames:
    """Replaces the marks that `shapes` leaves by names as JSON."""

    def __init__(self, codes: CodeLists) -> None:
        self._codes = codes
        self._known: Bounded[str] = Bounded(10_000)

    def put_into(self, text: str) -> str:
        """The JSON text with the names of its places."""
        return _MARKED.sub(lambda found: self._name(found[1], found[2]), text)

    def _name(self, language: str, code: str) -> str:
        known = self._known.get((language, code))
        if known is None:
            name = json.dumps(self._codes.name("area", code, language), ensure_ascii=False)
            known = self._known.put((language, code), name)
        return known
