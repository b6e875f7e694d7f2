"""CapacityOffer: teaching, mentoring and accompaniment in skills; a Resource with a course in it."""

from __future__ import annotations

from typing import Annotated, Any

from federation.records.base import COMMUNITY, NETWORK, OPEN, PARTNER, SEALED, Document, Problems, stated
from federation.records.coded import Code, Codes
from federation.records.kinds import Text
from federation.records.places import Place
from federation.records.resource import Resource
from federation.records.special import Openings, Tally
from federation.records.values import Period


class CapacityOffer(Resource):
    """A course, mentoring or other offer that builds capacity: UN mechanisms, communication, fundraising and more."""

    kind: Annotated[str, stated(Code("resourceKind"), "The kind of help, if it is also one.", exact=OPEN)]
    topic: Annotated[str, stated(Code("topic", tree=True), "What is taught.", exact=OPEN, required=True)]
    level: Annotated[str, stated(Code("level"), "For beginners, practitioners or trainers.", exact=OPEN)]
    mode: Annotated[str, stated(Code("mode"), "Online, in person, or both.", exact=OPEN)]
    costs_covered: Annotated[list[str], stated(Codes("cost"), "Costs of participants that are paid.", exact=OPEN)]
    access: Annotated[list[str], stated(Codes("access"), "Childcare, step-free rooms, interpretation.", exact=OPEN)]
    dates: Annotated[
        dict[str, str],
        stated(Period(), "From when until when it is held.", exact=PARTNER, month=COMMUNITY, quarter=OPEN),
    ]
    places: Annotated[
        dict[str, Any],
        stated(Openings("placesState"), "Whether there are places left.", exact=PARTNER, state=COMMUNITY),
    ]
    venue: Annotated[str, stated(Place(), "Where it is held.", exact=NETWORK, subdivision=PARTNER)]
    trainers: Annotated[str, stated(Text(4000), "Who teaches; never leaves.", exact=SEALED)]
    outcomes: Annotated[
        dict[str, int],
        stated(Tally("outcome"), "How many took part, finished, passed it on.", exact=NETWORK, bands=PARTNER),
    ]

    indexes = ((None, "title"), (None, "dates"), ("topic", "dates"), ("area", None), ("kind", None))

    @classmethod
    def check(cls, document: Document) -> Problems:
        """A course that begins after it has expired is a slip of the pen."""
        dates, until = document.get("dates"), document.get("valid_until")
        if dates and until and dates["start"] > until:
            return [("valid_until", "valid_until is before the first day of the dates.")]
        return []
