"""Need: what a network lacks. Of a network, never of a person; never relayed."""

from __future__ import annotations

from typing import Annotated

from federation.records.base import COMMUNITY, NETWORK, PARTNER, Record, stated
from federation.records.coded import Code
from federation.records.places import Place
from federation.records.special import Pseudonym
from federation.records.values import Amount, Period


class Need(Record):
    """What a network looks for, told without telling who it is. Its id differs per peer."""

    kind: Annotated[str, stated(Code("resourceKind"), "The kind of help that is sought.", exact=COMMUNITY)]
    topic: Annotated[str, stated(Code("topic", tree=True), "The topic that it is about.", exact=COMMUNITY)]
    area: Annotated[str, stated(Place(), "Where it is needed.", exact=NETWORK, country=PARTNER, sub_region=COMMUNITY)]
    amount: Annotated[dict[str, str | None], stated(Amount(), "How much is needed.", exact=NETWORK, band=PARTNER)]
    urgency: Annotated[str, stated(Code("urgency"), "Normal or soon.", exact=PARTNER)]
    window: Annotated[dict[str, str], stated(Period(), "When it is needed.", exact=NETWORK, quarter=PARTNER)]
    network: Annotated[
        str,
        stated(
            Pseudonym(),
            "Which network it is: outside, a pseudonym that differs per peer.",
            exact=NETWORK,
            pseudonym=PARTNER,
        ),
    ]

    indexes = (("kind", None), ("topic", None), ("area", None))
    relayable = False
