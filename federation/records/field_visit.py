"""FieldVisit: a joint visit. Route, hosts, lodging and security plan never leave."""

from __future__ import annotations

from typing import Annotated, Any

from federation.records.base import COMMUNITY, NETWORK, PARTNER, SEALED, Record, stated
from federation.records.coded import Codes
from federation.records.kinds import Text
from federation.records.places import Place
from federation.records.special import Organisers
from federation.records.values import Count, Period


class FieldVisit(Record):
    """A visit of several organisers to defenders where they live."""

    organisers: Annotated[
        list[dict[str, Any]],
        stated(Organisers("actorType"), "Who visits: those who consented to be named.", exact=PARTNER, kinds=COMMUNITY),
    ]
    partners_sought: Annotated[list[str], stated(Codes("actorType"), "Who is asked to join.", exact=COMMUNITY)]
    purpose: Annotated[
        str, stated(Text(4000, searched=True), "What the visit is for.", exact=COMMUNITY, filterable=False)
    ]
    area: Annotated[str, stated(Place(), "Where it goes.", exact=NETWORK, sub_region=PARTNER)]
    dates: Annotated[dict[str, str], stated(Period(), "When it takes place.", exact=NETWORK, quarter=PARTNER)]
    open_places: Annotated[int, stated(Count(), "How many can still join.", exact=PARTNER, any=COMMUNITY)]
    route: Annotated[str, stated(Text(20000), "The route; never leaves.", exact=SEALED)]
    host: Annotated[str, stated(Text(4000), "Who receives the visit; never leaves.", exact=SEALED)]
    lodging: Annotated[str, stated(Text(4000), "Where visitors sleep; never leaves.", exact=SEALED)]
    security_plan: Annotated[str, stated(Text(20000), "How they are kept safe; never leaves.", exact=SEALED)]

    indexes = (("partners_sought", None), (None, "open_places"))
