"""What a rule may ask of the one who asks: its tie to a State and its hosting jurisdiction.

Pure. An attribute that the local operator did not enter is unknown, and unknown fails every predicate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from federation.policies.viewer import AFFILIATIONS

JURISDICTION = re.compile(r"[A-Z]{2}")
"""ISO 3166-1 alpha-2, as written in policies and entered for peers."""


@dataclass(frozen=True)
class Predicate:
    """All given conditions must hold. None is no condition; an empty set is refused: it must not mean anybody.
    Raises ValueError for an empty or unknown word, and for a jurisdiction that is both asked for and excluded."""

    affiliation: frozenset[str] | None = None
    jurisdiction: frozenset[str] | None = None
    not_jurisdiction: frozenset[str] | None = None

    def __post_init__(self) -> None:
        given = [one for one in (self.affiliation, self.jurisdiction, self.not_jurisdiction) if one is not None]
        if not given or not all(given):
            raise ValueError("a predicate needs a condition, and a condition at least one word")
        if self.affiliation is not None and not self.affiliation <= frozenset(AFFILIATIONS):
            raise ValueError("unknown State affiliation")
        places = (self.jurisdiction or frozenset()) | (self.not_jurisdiction or frozenset())
        if not all(JURISDICTION.fullmatch(code) for code in places):
            raise ValueError("a jurisdiction is two capital letters")
        if self.jurisdiction is not None and self.not_jurisdiction is not None:
            raise ValueError("jurisdiction and not_jurisdiction exclude each other")


def holds(predicate: Predicate | None, affiliation: str | None, jurisdiction: str | None) -> bool:
    """Whether the attributes pass. What is None, or not a word that an operator can enter, is unknown and fails."""
    if predicate is None:
        return True
    place = jurisdiction if jurisdiction is not None and JURISDICTION.fullmatch(jurisdiction) else None
    if predicate.affiliation is not None and affiliation not in predicate.affiliation:
        return False
    if predicate.jurisdiction is not None and place not in predicate.jurisdiction:
        return False
    return predicate.not_jurisdiction is None or (place is not None and place not in predicate.not_jurisdiction)


def predicate_implies(narrow: Predicate | None, wide: Predicate | None) -> bool:
    """Whether everyone who passes `narrow` passes `wide`."""
    if wide is None:
        return True
    if narrow is None:
        return False
    if wide.affiliation is not None and (narrow.affiliation is None or not narrow.affiliation <= wide.affiliation):
        return False
    return _place_implies(narrow, wide)


def _place_implies(narrow: Predicate, wide: Predicate) -> bool:
    if wide.jurisdiction is not None:
        return narrow.jurisdiction is not None and narrow.jurisdiction <= wide.jurisdiction
    if wide.not_jurisdiction is not None:
        if narrow.jurisdiction is not None:
            return not narrow.jurisdiction & wide.not_jurisdiction
        return narrow.not_jurisdiction is not None and wide.not_jurisdiction <= narrow.not_jurisdiction
    return True


def predicate_words(predicate: Predicate) -> str:
    """The predicate as part of a sentence."""
    parts = []
    if predicate.affiliation is not None:
        parts.append(f"State affiliation {' or '.join(sorted(predicate.affiliation))}")
    if predicate.jurisdiction is not None:
        parts.append(f"jurisdiction {' or '.join(sorted(predicate.jurisdiction))}")
    if predicate.not_jurisdiction is not None:
        parts.append(f"a known jurisdiction other than {' or '.join(sorted(predicate.not_jurisdiction))}")
    return " and ".join(parts)
