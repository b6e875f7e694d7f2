"""Resource: help that a network can give or knows of."""

from __future__ import annotations

from typing import Annotated, Any

from federation.records.base import COMMUNITY, NETWORK, OPEN, PARTNER, SEALED, Record, stated
from federation.records.coded import Code, Codes, Languages
from federation.records.kinds import Flag, Text, Url, Whole
from federation.records.places import Place
from federation.records.special import Openings, Party
from federation.records.values import Amount, Contact, Period


class Resource(Record):
    """Help for defenders: a grant, legal or psychosocial support, relocation, equipment and more."""

    title: Annotated[
        str,
        stated(Text(300, sortable=True, searched=True), "A short name, safe to be read.", exact=OPEN, required=True),
    ]
    summary: Annotated[
        str, stated(Text(20000, searched=True), "What is offered, in a few sentences.", exact=OPEN, filterable=False)
    ]
    kind: Annotated[str, stated(Code("resourceKind"), "The kind of help.", exact=OPEN, required=True)]
    dimensions: Annotated[list[str], stated(Codes("dimension"), "Sides of protection that it covers.", exact=OPEN)]
    eligibility: Annotated[
        str, stated(Text(8000, searched=True), "Who can have it, in words.", exact=OPEN, filterable=False)
    ]
    welcomes: Annotated[list[str], stated(Codes("group"), "Groups for whom it is made or made accessible.", exact=OPEN)]
    reach: Annotated[list[str], stated(Codes("reach"), "Whether it reaches cities, villages, online.", exact=OPEN)]
    response_hours: Annotated[int, stated(Whole(0, 8760), "Within how many hours a request is answered.", exact=OPEN)]
    round_the_clock: Annotated[bool, stated(Flag(), "Whether it answers day and night.", exact=OPEN)]
    application_channels: Annotated[
        list[str], stated(Codes("applicationChannel"), "How one can ask for it.", exact=OPEN)
    ]
    accepts_unregistered: Annotated[
        bool, stated(Flag(), "Whether groups without registration can have it.", exact=OPEN)
    ]
    languages: Annotated[list[str], stated(Languages(), "Languages in which it is given.", exact=COMMUNITY, macro=OPEN)]
    provider: Annotated[
        dict[str, str],
        stated(
            Party("actorType", "kind"),
            "The organisation that gives it; outside, its type.",
            exact=NETWORK,
            kind=COMMUNITY,
        ),
    ]
    area: Annotated[str, stated(Place(), "Where it is given.", exact=NETWORK, country=PARTNER, sub_region=OPEN)]
    site: Annotated[str, stated(Text(2000), "The exact site or address.", exact=SEALED)]
    amount: Annotated[dict[str, str | None], stated(Amount(), "What it is worth.", exact=PARTNER, band=COMMUNITY)]
    availability: Annotated[
        dict[str, Any],
        stated(
            Openings("availability", batched=True),
            "Whether there is room now; the state is restated at most once a day.",
            exact=NETWORK,
            state=COMMUNITY,
        ),
    ]
    horizon: Annotated[
        dict[str, str], stated(Period(), "From when until when it is funded.", exact=PARTNER, year=COMMUNITY)
    ]
    renewable: Annotated[bool, stated(Flag(), "Whether it can be had again.", exact=COMMUNITY)]
    contact: Annotated[
        dict[str, Any],
        stated(Contact(), "How it is asked for: outside, only through the node.", exact=SEALED, relay=COMMUNITY),
    ]
    front_door: Annotated[
        str, stated(Url(), "A public page that the provider publishes itself.", exact=OPEN, filterable=False)
    ]

    indexes: tuple[tuple[str | None, str | None], ...] = (
        (None, "title"),
        (None, "response_hours"),
        ("kind", "response_hours"),
        ("area", None),
        ("kind", None),
    )
    needs_expectations = True
