"""A calendar (RFC 5545) of what has a date: all-day events over the whole span that a viewer sees. Pure. It holds no
place and no person; nothing in it tells when a record was written or how often."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from icalendar import Calendar, Event, vRecur

from federation.formats.redaction import shortened
from federation.formats.seen import Seen
from federation.records.codes import CodeLists


@dataclass(frozen=True)
class Dated:
    """How records of a type stand in a calendar: the field that says when, what they are called, the fields that can
    name one (the first that is seen), and of those that are codes the list."""

    when: str
    called: str
    names: tuple[str, ...]
    codes: Mapping[str, str]


DATED: Mapping[str, Dated] = {
    "convening": Dated("date", "Meeting", ("title",), {}),
    "capacityOffer": Dated("dates", "Course", ("title", "topic"), {"topic": "topic"}),
    "fieldVisit": Dated("dates", "Field visit", ("purpose",), {}),
    "fundingCall": Dated("deadline", "Last day to apply", ("title",), {}),
    "notice": Dated("deadline", "Last day to answer", ("text", "kind"), {"kind": "noticeKind"}),
    "need": Dated("window", "Needed", ("kind", "topic"), {"kind": "resourceKind", "topic": "topic"}),
}
"""The types that have a day or a period of their own. A practice lies in the past, and a horizon is no event."""

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands in DTSTAMP, which no event may lack, where the viewer does not see when a record was verified."""

_SPANS = {"MONTH": "month", "QUARTER": "quarter", "YEAR": "year"}
_LONGEST = 120
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_PARTS = frozenset(
    "FREQ INTERVAL COUNT UNTIL BYDAY BYMONTHDAY BYYEARDAY BYWEEKNO BYMONTH BYSETPOS WKST".split()  # noqa: SIM905
)


def fields_held(type_key: str) -> tuple[str, ...]:
    """The fields of a type that a calendar asks for."""
    dated = DATED[type_key]
    more = ("series",) if type_key == "convening" else ()
    return (dated.when, *dated.names, *more, "verified_on")


def calendar(records: Iterable[Seen], codes: CodeLists) -> Iterator[bytes]:
    """The pieces of one calendar, an event for each record of which a date is seen, in their order: equal records give
    equal bytes."""
    frame = Calendar()
    frame.add("prodid", "-//protection-network//federation//EN")
    frame.add("version", "2.0")
    ending = b"END:VCALENDAR\r\n"
    yield frame.to_ical().removesuffix(ending)
    for record in records:
        event = event_of(record, codes)
        if event is not None:
            yield event.to_ical()
    yield ending


def event_of(record: Seen, codes: CodeLists) -> Event | None:
    """The event of one record, or None where no date of it is seen."""
    dated, values = DATED[record.type], record.values
    period = values.get(dated.when)
    if period is None:
        return None
    if isinstance(period, str):
        period = {"start": period, "end": period, "precision": "DAY"}
    event = Event()
    event.add("uid", record.id)
    event.add("dtstamp", _first_instant(values.get("verified_on")))
    event.add("dtstart", date.fromisoformat(period["start"]))
    event.add("dtend", date.fromisoformat(period["end"]) + timedelta(days=1))
    event.add("summary", _summary(dated, values, codes))
    event.add("transp", "TRANSPARENT")
    series = values.get("series")
    rule = _rule(series) if series and period["precision"] == "DAY" else None
    if rule is not None:
        event.add("rrule", rule)
    if said := _said(period["precision"], series if rule is None else None, codes):
        event.add("description", said)
    return event


def _first_instant(verified: Mapping[str, str] | None) -> datetime:
    """A moment that a viewer may know: no clock and no write of the record is in it."""
    return NEVER if verified is None else datetime.fromisoformat(verified["start"]).replace(tzinfo=UTC)


def _summary(dated: Dated, values: Mapping[str, Any], codes: CodeLists) -> str:
    """What it is called and the first of its names that is seen, on one line."""
    name = next((each for each in dated.names if values.get(each)), None)
    if name is None:
        return dated.called
    text = codes.name(dated.codes[name], values[name]) if name in dated.codes else values[name]
    return f"{dated.called}: {shortened(' '.join(text.split()), _LONGEST)}"


def _said(precision: str, series: str | None, codes: CodeLists) -> str:
    """What a reader could misunderstand: that the whole span is meant, and how it is repeated."""
    lines = []
    if precision in _SPANS:
        lines.append(f"Dated by the {_SPANS[precision]}; the days are not told.")
    if series:
        lines.append(f"Repeated: {codes.name('cadence', series)}")
    return "\n".join(lines)


def _rule(series: str) -> vRecur | None:
    """The rule of a series as it may stand with whole days; None for a cadence, or a rule that needs times."""
    if "FREQ=" not in series:
        return None
    try:
        rule = vRecur.from_ical(series)
    except ValueError:
        return None
    if not _PARTS.issuperset(rule) or rule.get("FREQ", [""])[0] not in _FREQUENCIES or rule.get("INTERVAL") == [0]:
        return None
    if "UNTIL" in rule:
        rule["UNTIL"] = [each.date() if isinstance(each, datetime) else each for each in rule["UNTIL"]]
    return rule
