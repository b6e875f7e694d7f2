"""Convening: a meeting of networks. Its place, link and attendees never leave."""

from __future__ import annotations

from typing import Annotated

from federation.records.base import COMMUNITY, NETWORK, PARTNER, SEALED, Record, stated
from federation.records.coded import Codes, Languages
from federation.records.kinds import Text, Whole
from federation.records.special import Series
from federation.records.values import Period


class Convening(Record):
    """A meeting, once or in a series."""

    title: Annotated[
        str,
        stated(
            Text(300, sortable=True, searched=True), "A name that is safe to be read.", exact=COMMUNITY, required=True
        ),
    ]
    open_to: Annotated[list[str], stated(Codes("audience"), "Who can come.", exact=COMMUNITY)]
    newcomer_places: Annotated[
        int, stated(Whole(0, 100000), "How many places are kept for those who come first.", exact=COMMUNITY)
    ]
    languages: Annotated[list[str], stated(Languages(), "Languages that are spoken.", exact=COMMUNITY)]
    interpretation: Annotated[list[str], stated(Languages(), "Languages with interpretation.", exact=COMMUNITY)]
    series: Annotated[
        str, stated(Series(), "The rule by which it is repeated (RFC 5545 RRULE).", exact=PARTNER, cadence=COMMUNITY)
    ]
    date: Annotated[dict[str, str], stated(Period(), "When it is held.", exact=NETWORK, month=PARTNER)]
    venue: Annotated[str, stated(Text(2000), "Where it is held; never leaves.", exact=SEALED)]
    link: Annotated[str, stated(Text(2000), "The link to join; never leaves.", exact=SEALED)]
    attendees: Annotated[str, stated(Text(20000), "Who comes; never leaves.", exact=SEALED)]

    indexes = ((None, "title"), (None, "newcomer_places"))
