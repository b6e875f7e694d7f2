"""The fields that every record has. Id, origin, type, status and handling are facts of the row, not fields."""

from __future__ import annotations

from typing import Annotated, Any

from federation.records.base import COMMUNITY, NETWORK, OPEN, SEALED, stated
from federation.records.coded import Tag, Translations
from federation.records.kinds import Day, Instant, Text
from federation.records.values import Period


class Common:
    """Stated once; `record_type` adds them to every type."""

    verified_on: Annotated[
        dict[str, str],
        stated(Period(), "When somebody last made sure that it is true.", exact=COMMUNITY, month=OPEN),
    ]
    valid_until: Annotated[str, stated(Day(), "The last day on which it holds; it then expires.", exact=OPEN)]
    language: Annotated[str, stated(Tag(), "The language in which its texts are written (BCP 47).", exact=OPEN)]
    translations: Annotated[
        dict[str, Any], stated(Translations(), "The languages in which its texts exist beside its own.", exact=OPEN)
    ]
    expectations: Annotated[
        str,
        stated(
            Text(4000, searched=True),
            "What it does not do, who answers and how soon. An offer cannot be shared without it.",
            exact=OPEN,
            filterable=False,
        ),
    ]
    internal_notes: Annotated[str, stated(Text(20000), "Notes of the network to itself.", exact=SEALED)]
    created_at: Annotated[str, stated(Instant(), "When it was written here; stays at home.", exact=NETWORK)]
    updated_at: Annotated[str, stated(Instant(), "When it was last changed here; stays at home.", exact=NETWORK)]
