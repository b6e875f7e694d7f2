"""Calendars: whole spans and nothing finer, no place, no person, no time of a write; read back by a parser."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from icalendar import Calendar

from federation.formats.icalendar import DATED, NEVER, calendar, fields_held
from federation.formats.seen import Seen
from federation.records.codes import load
from federation.records.registry import RECORD_TYPES

CODES = load()


def written(*records: Seen) -> bytes:
    return b"".join(calendar(records, CODES))


def event(type_key: str = "convening", **values: Any) -> Any:
    """The one event of a calendar with one record, as a parser reads it."""
    (found,) = Calendar.from_ical(written(Seen(type_key, "an-id", values))).walk("VEVENT")
    return found


def period(start: str, end: str, precision: str = "DAY") -> dict[str, str]:
    return {"start": start, "end": end, "precision": precision}


MONTH = period("2027-02-01", "2027-02-28", "MONTH")


@pytest.mark.parametrize(
    ("when", "start", "after", "said"),
    [
        (period("2027-02-05", "2027-02-05"), date(2027, 2, 5), date(2027, 2, 6), None),
        (period("2027-12-30", "2027-12-31"), date(2027, 12, 30), date(2028, 1, 1), None),
        (MONTH, date(2027, 2, 1), date(2027, 3, 1), "month"),
        (period("2028-01-01", "2028-03-31", "QUARTER"), date(2028, 1, 1), date(2028, 4, 1), "quarter"),
        (period("2199-01-01", "2199-12-31", "YEAR"), date(2199, 1, 1), date(2200, 1, 1), "year"),
    ],
)
def test_an_event_spans_all_that_is_seen_and_ends_on_the_day_after(
    when: dict[str, str], start: date, after: date, said: str | None
) -> None:
    found = event(title="A meeting", date=when)
    assert (found.decoded("dtstart"), found.decoded("dtend")) == (start, after)
    assert found["dtstart"].params["VALUE"] == "DATE"
    assert ("description" in found) == (said is not None)
    assert said is None or f"Dated by the {said};" in found["description"]


def test_a_deadline_is_one_day() -> None:
    found = event("fundingCall", title="Core grants", deadline="2027-03-31")
    assert (found.decoded("dtstart"), found.decoded("dtend")) == (date(2027, 3, 31), date(2027, 4, 1))
    assert found["summary"] == "Last day to apply: Core grants"


def test_an_event_holds_nothing_but_these_properties() -> None:
    values = {name: f"some {name}" for kind in RECORD_TYPES.values() for name in kind.fields}
    for key, dated in DATED.items():
        when = "2027-02-05" if dated.when == "deadline" else MONTH
        found = event(key, **values | {dated.when: when, "verified_on": MONTH})
        held = {"UID", "DTSTAMP", "DTSTART", "DTEND", "SUMMARY", "TRANSP", "DESCRIPTION"}
        assert set(found) <= held
        assert found["uid"] == "an-id"
        text = found.to_ical().decode()
        for name in ("venue", "link", "attendees", "route", "host", "lodging", "organisers", "area", "contact"):
            assert f"some {name}" not in text


def test_a_calendar_asks_for_no_field_that_it_does_not_show() -> None:
    for key in DATED:
        assert set(fields_held(key)) <= set(RECORD_TYPES[key].fields)
        assert not {"venue", "area", "organisers", "updated_at", "created_at", "network"} & set(fields_held(key))


def test_the_stamp_is_the_first_instant_of_what_is_seen_of_the_verification_else_always_the_same() -> None:
    assert event(date=MONTH, verified_on=MONTH).decoded("dtstamp") == datetime(2027, 2, 1, tzinfo=UTC)
    assert event(date=MONTH).decoded("dtstamp") == NEVER


def test_what_has_no_date_that_is_seen_is_not_in_it() -> None:
    content = written(Seen("convening", "a", {"title": "A meeting", "date": None}), Seen("notice", "b", {}))
    assert Calendar.from_ical(content).walk("VEVENT") == []
    assert content.startswith(b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:")
    assert content.endswith(b"\r\nEND:VCALENDAR\r\n")


@pytest.mark.parametrize(
    ("key", "values", "summary"),
    [
        ("need", {"window": MONTH, "kind": "legal_support"}, "Needed: Legal support"),
        ("need", {"window": MONTH, "topic": "upr"}, "Needed: Universal Periodic Review"),
        ("notice", {"deadline": "2027-01-01", "text": "Sign.\n\nSoon."}, "Last day to answer: Sign. Soon."),
        ("fieldVisit", {"dates": MONTH}, "Field visit"),
        ("capacityOffer", {"dates": MONTH, "topic": "a_new_topic"}, "Course: a_new_topic"),
    ],
)
def test_a_summary_is_made_of_what_is_seen(key: str, values: dict[str, Any], summary: str) -> None:
    assert event(key, **values)["summary"] == summary


@pytest.mark.parametrize(
    "title",
    [
        "Bread, salt; \\n and \\, a: b",
        "Two\r\nBEGIN:VEVENT\r\nSUMMARY:another",
        "One\rEND:VCALENDAR\nATTENDEE:mailto:a@example.org",
        "X\tATTACH;VALUE=URI:https://example.org/ \u0085 y",
        "መግለጫ " * 15,
        "🕊️" * 40,
        "a" * 300,
    ],
)
def test_no_title_can_add_a_line_and_all_come_back(title: str) -> None:
    content = written(Seen("convening", "an-id", {"title": title, "date": MONTH}))
    lines = content.split(b"\r\n")
    assert all(len(line) <= 75 for line in lines)
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    for line in lines:
        line.decode()  # no letter is cut in two
    (found,) = Calendar.from_ical(content).walk("VEVENT")
    told = " ".join(title.split())
    assert found["summary"] == f"Meeting: {told}" or (len(told) > 120 and found["summary"].endswith("…"))
    assert content.count(b"\r\nBEGIN:VEVENT\r\n") == content.count(b"\r\nEND:VCALENDAR\r\n") == 1
    assert not {"ATTENDEE", "ATTACH"} & set(found)


DAY = period("2027-02-02", "2027-02-02")


def test_a_series_is_repeated_where_its_day_is_seen() -> None:
    found = event(date=DAY, series="FREQ=MONTHLY;BYDAY=1TU;COUNT=6")
    assert found["rrule"].to_ical() == b"FREQ=MONTHLY;COUNT=6;BYDAY=1TU"
    assert "description" not in found


def test_the_end_of_a_series_of_whole_days_is_a_day() -> None:
    assert event(date=DAY, series="FREQ=WEEKLY;UNTIL=20271231T235959Z")["rrule"]["UNTIL"] == [date(2027, 12, 31)]


@pytest.mark.parametrize(
    ("when", "series", "said"),
    [
        (MONTH, "FREQ=MONTHLY;BYDAY=1TU", "Repeated: FREQ=MONTHLY;BYDAY=1TU"),
        (MONTH, "monthly", "Repeated: Monthly"),
        (DAY, "monthly", "Repeated: Monthly"),
        (DAY, "FREQ=HOURLY;INTERVAL=2", "Repeated: FREQ=HOURLY"),
        (DAY, "FREQ=DAILY;BYHOUR=9", "Repeated: FREQ=DAILY"),
        (DAY, "FREQ=DAILY;INTERVAL=0", "Repeated: FREQ=DAILY"),
        (DAY, "FREQ=DAILY;X-NOTE=1", "Repeated: FREQ=DAILY"),
        (DAY, "FREQ=DAILY;COUNT=many", "Repeated: FREQ=DAILY"),
        (DAY, "FREQ=FORTNIGHTLY", "Repeated: FREQ=FORTNIGHTLY"),
    ],
)
def test_a_series_that_cannot_be_a_rule_of_whole_days_is_told_in_words(
    when: dict[str, str], series: str, said: str
) -> None:
    found = event(date=when, series=series)
    assert "rrule" not in found
    assert said in found["description"]
