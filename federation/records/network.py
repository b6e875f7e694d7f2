"""Network: who a protection network is, what it does and how it can be reached."""

from __future__ import annotations

from typing import Annotated, Any

from federation.records.base import COMMUNITY, NETWORK, OPEN, PARTNER, SEALED, Record, stated
from federation.records.coded import Code, Languages
from federation.records.kinds import Text, Url, Whole
from federation.records.places import Places
from federation.records.special import Tally
from federation.records.values import Contact


class Network(Record):
    """A group of organisations and people that protect human rights defenders."""

    name: Annotated[
        str,
        stated(
            Text(200, sortable=True, searched=True), "What the network calls itself.", exact=COMMUNITY, required=True
        ),
    ]
    scope: Annotated[
        str, stated(Code("networkScope"), "How far it reaches, from local to international.", exact=OPEN, required=True)
    ]
    formality: Annotated[str, stated(Code("formality"), "Whether it is a formal body.", exact=COMMUNITY)]
    regions: Annotated[list[str], stated(Places(), "Where it works.", exact=PARTNER, sub_region=OPEN)]
    languages: Annotated[list[str], stated(Languages(), "The languages in which it can be spoken to.", exact=COMMUNITY)]
    goals: Annotated[str, stated(Text(4000, searched=True), "What it wants to reach.", exact=OPEN, filterable=False)]
    roles: Annotated[
        str, stated(Text(4000, searched=True), "What it does for its members and others.", exact=OPEN, filterable=False)
    ]
    actor_types: Annotated[
        dict[str, int],
        stated(Tally("actorType"), "How many members of each type it has.", exact=NETWORK, bands=PARTNER),
    ]
    state_affiliation: Annotated[
        str, stated(Code("affiliation"), "Whether it is tied to a State, and to which kind.", exact=OPEN)
    ]
    jurisdiction: Annotated[str, stated(Code("country"), "The country under whose law it is hosted.", exact=COMMUNITY)]
    front_door: Annotated[
        str, stated(Url(), "A public channel that it publishes itself.", exact=OPEN, filterable=False)
    ]
    answer_within_hours: Annotated[
        int, stated(Whole(0, 8760), "Within how many hours it usually answers.", exact=COMMUNITY)
    ]
    contact: Annotated[
        dict[str, Any],
        stated(Contact(), "How it is reached: outside, only through the node.", exact=SEALED, relay=COMMUNITY),
    ]

    indexes = ((None, "name"), ("scope", None), ("regions", None))
