"""FundingCall: a call of a funder. Earlier grantees cannot be stored."""

from __future__ import annotations

from typing import Annotated, Any

from federation.records.base import COMMUNITY, OPEN, PARTNER, SEALED, Document, Problems, Record, stated
from federation.records.coded import Code
from federation.records.kinds import Day, Flag, Line, Text, Whole
from federation.records.places import Places
from federation.records.values import Amount, AmountBand, Contact


class FundingCall(Record):
    """A call for applications to a fund."""

    title: Annotated[
        str, stated(Text(300, sortable=True, searched=True), "The name of the call.", exact=OPEN, required=True)
    ]
    summary: Annotated[
        str, stated(Text(20000, searched=True), "What is funded, in a few sentences.", exact=OPEN, filterable=False)
    ]
    funder: Annotated[str, stated(Line(300), "Who gives the money.", exact=OPEN)]
    state_affiliation: Annotated[
        str, stated(Code("affiliation"), "Whether the funder is tied to a State, and to which kind.", exact=OPEN)
    ]
    deadline: Annotated[str, stated(Day(), "The last day for applications.", exact=OPEN)]
    amount_band: Annotated[
        dict[str, str | None], stated(AmountBand(), "The band of what one applicant can have, in EUR.", exact=OPEN)
    ]
    duration_months: Annotated[int, stated(Whole(0, 600), "For how many months it funds.", exact=OPEN)]
    renewable: Annotated[bool, stated(Flag(), "Whether it can be had again.", exact=OPEN)]
    core_funding: Annotated[bool, stated(Flag(), "Whether it pays for running an organisation.", exact=OPEN)]
    overhead_percent: Annotated[int, stated(Whole(0, 100), "The overhead that it accepts, in percent.", exact=OPEN)]
    joint_applications: Annotated[bool, stated(Flag(), "Whether several can apply together.", exact=OPEN)]
    eligible_areas: Annotated[list[str], stated(Places(), "From where one can apply.", exact=OPEN)]
    regrant_type: Annotated[
        str, stated(Code("regrantType"), "Whether money is passed on, and how (360Giving).", exact=OPEN)
    ]
    amount: Annotated[dict[str, str | None], stated(Amount(), "What one applicant can have.", exact=PARTNER)]
    contact: Annotated[
        dict[str, Any],
        stated(Contact(), "How the funder is asked: outside, only through the node.", exact=SEALED, relay=COMMUNITY),
    ]

    indexes = ((None, "title"), (None, "deadline"), ("eligible_areas", None))
    needs_expectations = True

    @classmethod
    def check(cls, document: Document) -> Problems:
        """A call cannot be valid for less time than it can be answered."""
        deadline, until = document.get("deadline"), document.get("valid_until")
        if deadline and until and until < deadline:
            return [("valid_until", "valid_until is before the deadline.")]
        return []
