"""Notice: something that networks should know now."""

from __future__ import annotations

from typing import Annotated

from federation.records.base import COMMUNITY, Record, stated
from federation.records.coded import Code
from federation.records.kinds import Day, Text


class Notice(Record):
    """An advocacy call, a security advisory, solidarity or recognition."""

    kind: Annotated[
        str,
        stated(Code("noticeKind"), "Advocacy, security, solidarity or recognition.", exact=COMMUNITY, required=True),
    ]
    text: Annotated[
        str,
        stated(Text(20000, searched=True), "What is said.", exact=COMMUNITY, required=True, filterable=False),
    ]
    deadline: Annotated[str, stated(Day(), "Until when it can be answered.", exact=COMMUNITY)]

    indexes = (("kind", None), (None, "deadline"))
