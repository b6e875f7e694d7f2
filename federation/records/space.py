"""Space: a closed room of defenders. All of it is sealed but the door card, which stewards write separately."""

from __future__ import annotations

from typing import Annotated, Any

from federation.records.base import PARTNER, SEALED, Record, stated
from federation.records.kinds import Text, Whole
from federation.records.values import Contact


class Space(Record):
    """A safe space: nobody outside learns its name, size, members or number."""

    name: Annotated[str, stated(Text(200), "What its members call it; never leaves.", exact=SEALED, required=True)]
    purpose: Annotated[str, stated(Text(4000), "What it is for; never leaves.", exact=SEALED)]
    rules: Annotated[str, stated(Text(20000), "What its members agreed; never leaves.", exact=SEALED)]
    size: Annotated[int, stated(Whole(0, 1000000), "How many belong to it; never leaves.", exact=SEALED)]
    members: Annotated[str, stated(Text(20000), "Who belongs to it, under handles; never leaves.", exact=SEALED)]
    stewards: Annotated[str, stated(Text(4000), "Who keeps it, under handles; never leaves.", exact=SEALED)]
    meeting_place: Annotated[str, stated(Text(4000), "Where it meets; never leaves.", exact=SEALED)]
    door_card: Annotated[
        str, stated(Text(4000), "A text written for named partners by its stewards.", exact=PARTNER, filterable=False)
    ]
    contact: Annotated[
        dict[str, Any],
        stated(Contact(), "How its stewards are reached: outside, only through the node.", exact=SEALED, relay=PARTNER),
    ]

    relayable = False
