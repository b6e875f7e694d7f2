"""Practice: what a network has learnt, good or bad."""

from __future__ import annotations

from typing import Annotated

from federation.records.base import COMMUNITY, NETWORK, Record, stated
from federation.records.coded import Code, Codes
from federation.records.kinds import Text
from federation.records.places import Place
from federation.records.special import Party
from federation.records.values import Period


class Practice(Record):
    """A good practice, a lesson, a failure or a note on expectations."""

    title: Annotated[
        str,
        stated(Text(300, sortable=True, searched=True), "What it is about, in a line.", exact=COMMUNITY, required=True),
    ]
    text: Annotated[
        str, stated(Text(20000, searched=True), "What was done and what came of it.", exact=COMMUNITY, filterable=False)
    ]
    kind: Annotated[
        str, stated(Code("practiceKind"), "Good practice, lesson, failure or expectations.", exact=COMMUNITY)
    ]
    topics: Annotated[list[str], stated(Codes("topic", tree=True), "Topics that it touches.", exact=COMMUNITY)]
    setting: Annotated[str, stated(Place(), "Where it was learnt.", exact=NETWORK, sub_region=COMMUNITY)]
    period: Annotated[dict[str, str], stated(Period(), "When it was learnt.", exact=NETWORK, year=COMMUNITY)]
    attribution: Annotated[
        dict[str, str],
        stated(
            Party("attribution", "style"),
            "Whose it is: outside, whether the network stands by it or stays unnamed.",
            exact=NETWORK,
            style=COMMUNITY,
        ),
    ]

    indexes = ((None, "title"), ("kind", None), ("topics", None))
