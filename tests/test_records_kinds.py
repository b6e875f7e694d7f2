"""What each kind takes, refuses, generalises, stores and sends."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from federation.errors import BadInput
from federation.records.coded import Code, Codes, Languages, Tag, Translations
from federation.records.codes import Area, load
from federation.records.kinds import (
    UNBOUNDED,
    UNKNOWN_NUMBER,
    Context,
    Day,
    Flag,
    Instant,
    Kind,
    Line,
    Text,
    Url,
    Whole,
    standard_context,
)
from federation.records.places import Place, Places
from federation.records.special import PAIRWISE, Openings, Organisers, Party, Pseudonym, Series, Tally
from federation.records.texts import fold, search_words, sort_key, tidy
from federation.records.values import Amount, AmountBand, Contact, Count, Period

HERE = standard_context()

TAKEN: list[tuple[Kind, Any, Any]] = [
    (Line(), " a b ", "a b"),
    (Text(), "a\r\nb\tc", "a\nb\tc"),
    (Text(), "\u200fحماية\u200c \u200e", "\u200fحماية\u200c \u200e"),
    (Url(), "https://example.org/a?b=c#d", "https://example.org/a?b=c#d"),
    (Url(), "http://[2001:db8::1]:8080/", "http://[2001:db8::1]:8080/"),
    (Code("urgency"), "soon", "soon"),
    (Codes("reach"), ["rural", "online", "rural"], ["rural", "online"]),
    (Tag(), "PT_br", "pt-BR"),
    (Tag(), "zh-hant-tw", "zh-Hant-TW"),
    (Tag(), "de-CH-1996", "de-CH-1996"),
    (Tag(), "sr-Latn-x-Ab", "sr-Latn-x-ab"),
    (Languages(), ["swa", "sw", "eng-GB"], ["sw", "en-GB"]),
    (Translations(), {"FR": {"title": "x"}, "de": {}}, {"fr": {"title": "x"}}),
    (Flag(), False, False),
    (Whole(0, 9), 9, 9),
    (Day(), "2024-02-29", "2024-02-29"),
    (Day(), date(2024, 2, 29), "2024-02-29"),
    (Instant(), "2024-02-29T10:00:00Z", "2024-02-29T10:00:00Z"),
    (Period(), {"start": "2024-01-01"}, {"start": "2024-01-01", "end": "2024-01-01"}),
    (Period(), {"start": "2024-01-01", "end": "2024-01-02"}, {"start": "2024-01-01", "end": "2024-01-02"}),
    (Amount(), {"value": "10.50", "currency": "USD"}, {"minimum": "10.5", "maximum": "10.5", "currency": "USD"}),
    (Amount(), {"minimum": Decimal(10), "currency": "KES"}, {"minimum": "10", "maximum": None, "currency": "KES"}),
    (Count(), 0, 0),
    (Place(), "KE-30", "KE-30"),
    (Places(), ["KE", "014", "KE"], ["KE", "014"]),
    (Contact(), {"email": "a@b.example", "relay": "abcd1234"}, {"email": "a@b.example", "relay": "abcd1234"}),
    (Party("actorType", "kind"), {"kind": "ngo", "name": " X "}, {"name": "X", "kind": "ngo"}),
    (Openings("availability"), "open", {"state": "open"}),
    (Openings("availability"), {"state": "full", "free": 0}, {"state": "full", "free": 0}),
    (Series(), "rrule:freq=weekly;byday=mo".upper(), "FREQ=WEEKLY;BYDAY=MO"),
    (Tally("actorType"), {"ngo": 7, "donor": 0}, {"donor": 0, "ngo": 7}),
    (
        Organisers("actorType"),
        [{"name": "X", "kind": "ngo"}],
        [{"name": "X", "kind": "ngo", "consented": False}],
    ),
    (Pseudonym(), "River", "River"),
]

REFUSED: list[tuple[Kind, Any]] = [
    (Line(), "two\nlines"),
    (Line(), ""),
    (Line(), "   "),
    (Line(5), "sixsix"),
    (Line(), 5),
    (Text(), None),
    (Text(), "a\x00b"),
    (Text(), "a\x1bb"),
    (Text(), "a\u202eb"),
    (Text(), "a\u2066b"),
    (Text(), "a\ud800b"),
    (Url(), "ftp://example.org/"),
    (Url(), "javascript:alert(1)"),
    (Url(), "mailto:a@b.example"),
    (Url(), "https://"),
    (Url(), "https://user:pw@example.org/"),
    (Url(), "https://example.org:99999/"),
    (Url(), "https://example.org/a b"),
    (Url(), "https://[::1/"),
    (Code("urgency"), "later"),
    (Code("urgency"), ["soon"]),
    (Codes("reach"), []),
    (Codes("reach"), "rural"),
    (Codes("reach"), ["rural"] * 101),
    (Tag(), "english"),
    (Tag(), "qzz"),
    (Tag(), "en-"),
    (Tag(), 7),
    (Languages(), ["en", "--"]),
    (Translations(), ["fr"]),
    (Translations(), {"fr": "x"}),
    (Translations(), {"fr": {7: "x"}}),
    (Flag(), 1),
    (Whole(0, 9), 10),
    (Whole(0, 9), True),
    (Whole(0, 9), "5"),
    (Day(), "2023-02-29"),
    (Day(), "20240229"),
    (Day(), "1024-01-01"),
    (Instant(), "2024-02-29T10:00:00"),
    (Instant(), "yesterday"),
    (Instant(), 7),
    (Period(), {"start": "2024-01-02", "end": "2024-01-01"}),
    (Period(), {"end": "2024-01-01"}),
    (Period(), {"start": "2024-01-02", "until": "2024-01-01"}),
    (Period(), 2024),
    (Amount(), {"currency": "EUR"}),
    (Amount(), {"value": "10"}),
    (Amount(), {"value": "10", "currency": "ZZZ"}),
    (Amount(), {"value": "-1", "currency": "EUR"}),
    (Amount(), {"value": "1e9", "currency": "EUR"}),
    (Amount(), {"value": "1" + "0" * 15, "currency": "EUR"}),
    (Amount(), {"value": 1.5, "currency": "EUR"}),
    (Amount(), {"value": True, "currency": "EUR"}),
    (Amount(), {"minimum": "2", "maximum": "1", "currency": "EUR"}),
    (Amount(), "10 EUR"),
    (AmountBand(), {"value": "10", "currency": "KPW"}),
    (AmountBand(), {"minimum": "7", "maximum": "1000", "currency": "EUR", "precision": "BAND"}),
    (Count(), -1),
    (Count(), False),
    (Count(), 10**10),
    (Place(), "Kenya"),
    (Place(), None),
    (Places(), ["KE", "Kenya"]),
    (Contact(), {}),
    (Contact(), {"relay": "abcd1234"}),
    (Contact(), {"email": "a@b.example", "relay": "short"}),
    (Contact(), {"icq": "7"}),
    (Contact(), "a@b.example"),
    (Party("actorType", "kind"), {}),
    (Party("actorType", "kind"), {"name": None}),
    (Party("actorType", "kind"), {"kind": "king"}),
    (Party("actorType", "kind"), {"style": "x"}),
    (Openings("availability"), "perhaps"),
    (Openings("availability"), {"free": 2}),
    (Openings("availability"), {"state": "open", "free": -1}),
    (Openings("availability"), {"state": "open", "names": []}),
    (Series(), "every monday"),
    (Series(), "FREQ=SOMETIMES"),
    (Series(), "FREQ=WEEKLY;INTERVAL=x"),
    (Series(), "INTERVAL=2"),
    (Tally("actorType"), {}),
    (Tally("actorType"), {"ngo": "many"}),
    (Tally("actorType"), {"king": 1}),
    (Tally("actorType"), ["ngo"]),
    (Organisers("actorType"), ["X"]),
    (Organisers("actorType"), [{"name": "X|Y", "kind": "ngo"}]),
    (Organisers("actorType"), [{"name": "X", "kind": "ngo", "consented": "yes"}]),
    (Organisers("actorType"), [{"kind": "ngo"}]),
    (Organisers("actorType"), [{"name": "X"}]),
]


@pytest.mark.parametrize(("kind", "value", "stored"), TAKEN, ids=lambda each: type(each).__name__)
def test_a_home_value_is_stored_in_normal_form_and_again_the_same(kind: Kind, value: Any, stored: Any) -> None:
    assert kind.check(value) == stored
    assert kind.check(stored, HERE) == stored


@pytest.mark.parametrize(("kind", "value"), REFUSED, ids=lambda each: type(each).__name__)
def test_bad_input_is_refused_with_a_sentence_that_does_not_repeat_it(kind: Kind, value: Any) -> None:
    with pytest.raises(BadInput) as caught:
        kind.check(value)
    assert caught.value.message.endswith(".")
    if isinstance(value, str) and len(value.strip()) > 8:
        assert value not in caught.value.message


@pytest.mark.parametrize(("kind", "value", "stored"), TAKEN, ids=lambda each: type(each).__name__)
def test_what_is_sent_is_accepted_and_stored_in_the_columns_of_its_step(kind: Kind, value: Any, stored: Any) -> None:
    for step in kind.ladder[1:] if isinstance(kind, Contact) else kind.ladder:
        told = kind.generalise(stored, step, HERE)
        cells = kind.encode(told, step, HERE)
        assert list(cells) == [column.suffix for column in kind.columns(step)]
        for column in kind.columns(step):
            cell = cells[column.suffix]
            assert cell is not None or column.nullable
            assert cell is None or isinstance(cell, str if column.sql == "text" else int)
        if told is not None:
            assert kind.accept(told, step, HERE) == told
            assert kind.accept(told, step) == told


@pytest.mark.parametrize("kind", {type(kind): kind for kind, _, _ in TAKEN}.values(), ids=lambda k: type(k).__name__)
def test_the_columns_of_all_steps_have_one_shape(kind: Kind) -> None:
    assert len({kind.columns(step) for step in kind.ladder}) == 1
    assert all(cell is None or cell in ("~", "", *UNKNOWN_NUMBER) for cell in kind.cells(None, "exact", HERE))


ACCEPT_REFUSED: list[tuple[Kind, str, Any]] = [
    (Line(), "exact", "e\u0301"),
    (Text(), "exact", {"text": "a"}),
    (Text(), "exact", {"text": "a", "tr": {}}),
    (Text(), "exact", {"text": "a", "tr": {"no tag": "b"}}),
    (Text(), "exact", {"text": "a", "tr": {"fr": ""}}),
    (Code("urgency"), "exact", "soon; drop"),
    (Code("topic", tree=True), "exact", "upr"),
    (Code("topic", tree=True), "exact", []),
    (Code("topic", tree=True), "exact", ["upr", 7]),
    (Codes("reach"), "exact", ['"']),
    (Codes("reach"), "exact", ["a|b"]),
    (Languages(), "macro", ["sw-KE"]),
    (Languages(), "exact", ["sw_KE"]),
    (Translations(), "exact", {"fr": {}}),
    (Period(), "exact", {"start": "2024-01-01", "end": "2024-01-01"}),
    (Period(), "month", {"start": "2024-01-01", "end": "2024-01-31", "precision": "DAY"}),
    (Period(), "month", {"start": "2024-01-02", "end": "2024-01-31", "precision": "MONTH"}),
    (Period(), "quarter", {"start": "2024-02-01", "end": "2024-04-30", "precision": "QUARTER"}),
    (Period(), "year", {"start": "2024-02-01", "end": "2024-01-01", "precision": "YEAR"}),
    (Period(), "exact", {"start": "2024-02-01", "end": "2024-02-01", "precision": "HOUR"}),
    (Amount(), "exact", {"minimum": None, "maximum": None, "currency": "EUR", "precision": "EXACT"}),
    (Amount(), "exact", {"minimum": "a", "maximum": None, "currency": "EUR", "precision": "EXACT"}),
    (Amount(), "exact", {"minimum": "2", "maximum": "1", "currency": "EUR", "precision": "EXACT"}),
    (Amount(), "exact", {"minimum": "1", "maximum": "1", "currency": "euro", "precision": "EXACT"}),
    (Amount(), "exact", {"minimum": "1", "maximum": "1", "currency": "EUR"}),
    (Amount(), "band", {"minimum": "1500", "maximum": "1500", "currency": "EUR", "precision": "EXACT"}),
    (Amount(), "band", {"minimum": "1000", "maximum": "2000", "currency": "EUR", "precision": "BAND"}),
    (Amount(), "band", {"minimum": "1000", "maximum": "5000", "currency": "USD", "precision": "BAND"}),
    (AmountBand(), "exact", {"minimum": "1500", "maximum": "1500", "currency": "EUR", "precision": "EXACT"}),
    (Count(), "band", {"minimum": 7, "maximum": 7, "precision": "EXACT"}),
    (Count(), "band", {"minimum": 1, "maximum": 4, "precision": "BAND"}),
    (Count(), "any", {"minimum": 5, "maximum": 9, "precision": "BAND"}),
    (Count(), "exact", {"minimum": 5, "maximum": 9, "precision": "EXACT"}),
    (Count(), "exact", {"minimum": 5, "maximum": 9}),
    (Count(), "exact", {"minimum": True, "maximum": 9, "precision": "BAND"}),
    (Place(), "exact", "KE"),
    (Place(), "exact", []),
    (Place(), "exact", ["KE", "150"]),
    (Place(), "exact", ["KE"]),
    (Place(), "exact", ["their:own"]),
    (Place(), "exact", ["their:own", "their:other", "KE", "014", "202", "002"]),
    (Place(), "exact", ["their:own", 7]),
    (Place(), "country", ["KE-30", "KE", "014", "202", "002"]),
    (Place(), "country", ["their:own", "KE", "014", "202", "002"]),
    (Places(), "sub_region", ["KE"]),
    (Places(), "sub_region", ["their:own"]),
    (Contact(), "relay", "x"),
    (Contact(), "relay", {"email": "a@b.example"}),
    (Party("actorType", "kind"), "kind", "Name Of Org"),
    (Party("actorType", "kind"), "exact", {"name": "x"}),
    (Openings("availability"), "state", ["open:3", "open"]),
    (Openings("availability"), "exact", "open"),
    (Openings("availability"), "exact", ["o p e n"]),
    (Series(), "cadence", "FREQ=WEEKLY"),
    (Series(), "exact", "any text"),
    (Tally("actorType"), "bands", ["ngo:7"]),
    (Tally("actorType"), "exact", ["ngo:3-4"]),
    (Tally("actorType"), "exact", ["ngo"]),
    (Tally("actorType"), "exact", [7]),
    (Organisers("actorType"), "kinds", ["A Name"]),
    (Organisers("actorType"), "exact", ["A|B"]),
    (Flag(), "exact", 1),
    (Whole(), "exact", 1.5),
    (Day(), "exact", "2024-13-01"),
]


@pytest.mark.parametrize(("kind", "step", "wire"), ACCEPT_REFUSED, ids=lambda each: str(each)[:30])
def test_what_comes_from_outside_malformed_or_too_fine_is_refused(kind: Kind, step: str, wire: Any) -> None:
    with pytest.raises(BadInput):
        kind.accept(wire, step, HERE)


@pytest.mark.parametrize("kind", {type(kind): kind for kind, _, _ in TAKEN}.values(), ids=lambda k: type(k).__name__)
def test_what_is_unknown_stays_unknown_at_every_step(kind: Kind) -> None:
    assert all(kind.generalise(None, step, HERE) is None for step in kind.ladder)


def test_a_kind_that_says_nothing_takes_nothing() -> None:
    with pytest.raises(BadInput):
        Kind().check("x")
    with pytest.raises(BadInput):
        Kind().accept("x")


@pytest.mark.parametrize(
    ("step", "start", "end"),
    [
        ("exact", "2024-02-10", "2024-05-03"),
        ("month", "2024-02-01", "2024-05-31"),
        ("quarter", "2024-01-01", "2024-06-30"),
        ("year", "2024-01-01", "2024-12-31"),
    ],
)
def test_a_period_grows_to_whole_months_quarters_and_years(step: str, start: str, end: str) -> None:
    told = Period().generalise({"start": "2024-02-10", "end": "2024-05-03"}, step, HERE)
    precision = {"exact": "DAY"}.get(step, step.upper())
    assert told == {"start": start, "end": end, "precision": precision}
    assert Period().encode(told, step, HERE) == {"__lo": start, "__hi": end, "__p": precision}


@pytest.mark.parametrize(
    ("value", "currency", "least", "most", "lo", "hi"),
    [
        ("0", "EUR", "0", "1000", 0, 99999),
        ("999.99", "EUR", "0", "1000", 0, 99999),
        ("1000", "EUR", "1000", "5000", 100000, 499999),
        ("5000", "EUR", "5000", "10000", 500000, 999999),
        ("10000", "EUR", "10000", "50000", 1000000, 5000000),
        ("50000", "EUR", "10000", "50000", 1000000, 5000000),
        ("50000.01", "EUR", "50000", None, 5000001, UNBOUNDED),
        ("5100", "USD", "1000", "5000", 100000, 499999),
        ("1000000", "XOF", "1000", "5000", 100000, 499999),
    ],
)
def test_amounts_fall_into_bands_in_euros(
    value: str, currency: str, least: str, most: str | None, lo: int, hi: int
) -> None:
    kind = Amount()
    band = kind.generalise(kind.check({"value": value, "currency": currency}), "band", HERE)
    assert band == {"minimum": least, "maximum": most, "currency": "EUR", "precision": "BAND"}
    cells = kind.encode(band, "band", HERE)
    assert (cells["__lo"], cells["__hi"]) == (lo, hi)
    assert kind.generalise(band, "band", HERE) == band


def test_a_range_of_amounts_falls_into_all_bands_that_it_touches() -> None:
    kind = Amount()
    told = kind.generalise({"minimum": "900", "maximum": "6000", "currency": "EUR"}, "band", HERE)
    assert (told["minimum"], told["maximum"]) == ("0", "10000")
    told = kind.generalise({"minimum": "900", "maximum": None, "currency": "EUR"}, "band", HERE)
    assert (told["minimum"], told["maximum"]) == ("0", None)
    told = kind.generalise({"minimum": None, "maximum": "900", "currency": "EUR"}, "band", HERE)
    assert (told["minimum"], told["maximum"]) == ("0", "1000")


def test_a_currency_without_a_rate_has_no_band_and_no_bounds() -> None:
    kind = Amount()
    for value in ({"value": "9", "currency": "KPW"}, {"maximum": "9", "currency": "KPW"}):
        home = kind.check(value)
        assert kind.generalise(home, "band", HERE) is None
    exact = kind.encode(kind.generalise(home, "exact", HERE), "exact", HERE)
    assert exact == {
        "__min": None,
        "__max": "9",
        "__cur": "KPW",
        "__p": "EXACT",
        "__lo": UNKNOWN_NUMBER[0],
        "__hi": UNKNOWN_NUMBER[1],
    }
    half_open = kind.generalise(kind.check({"minimum": "9", "currency": "KPW"}), "exact", HERE)
    assert kind.encode(half_open, "exact", HERE)["__lo"] == UNKNOWN_NUMBER[0]


def test_bounds_of_exact_amounts_hold_the_amount_in_cents() -> None:
    kind = Amount()
    cells = kind.encode(
        kind.generalise({"minimum": "100", "maximum": None, "currency": "USD"}, "exact", HERE), "exact", HERE
    )
    assert (cells["__lo"], cells["__hi"]) == (9625, UNBOUNDED)
    cells = kind.encode(
        kind.generalise({"minimum": None, "maximum": "100", "currency": "USD"}, "exact", HERE), "exact", HERE
    )
    assert (cells["__lo"], cells["__hi"]) == (0, 9626)


def test_a_stated_band_is_rounded_to_a_band_at_once() -> None:
    band = AmountBand().check({"value": "1200", "currency": "EUR"})
    assert band == {"minimum": "1000", "maximum": "5000", "currency": "EUR", "precision": "BAND"}
    assert AmountBand().check(band) == band


@pytest.mark.parametrize(
    ("number", "band"),
    [(0, None), (4, None), (5, (5, 9)), (10, (10, 19)), (49, (20, 49)), (50, (50, None)), (10**6, (50, None))],
)
def test_counts_fall_into_bands_and_small_ones_are_withheld(number: int, band: tuple[int, int | None] | None) -> None:
    told = Count().generalise(number, "band", HERE)
    assert (told and (told["minimum"], told["maximum"])) == band
    tally = Tally("actorType").generalise({"ngo": number}, "bands", HERE)
    assert (tally is None) == (band is None)


def test_open_places_are_told_as_none_or_some() -> None:
    none, some = (Count().generalise(number, "any", HERE) for number in (0, 12))
    assert none == {"minimum": 0, "maximum": 0, "precision": "BAND"}
    assert some == {"minimum": 1, "maximum": None, "precision": "BAND"}
    assert Count().encode(some, "any", HERE)["__hi"] == UNBOUNDED


def test_a_place_climbs_its_ladder() -> None:
    told = {step: Place().generalise("KE-30", step, HERE) for step in Place.ladder}
    assert told == {
        "exact": ["KE-30", "KE", "014", "202", "002"],
        "subdivision": ["KE-30", "KE", "014", "202", "002"],
        "country": ["KE", "014", "202", "002"],
        "sub_region": ["014", "202", "002"],
        "region": ["002"],
    }
    assert Place().generalise("202", "country", HERE) == ["202", "002"]
    assert Place().generalise("001", "region", HERE) == ["001"]
    assert Place().encode(told["country"], "country", HERE) == {
        "__code": "KE",
        "__level": "country",
        "__region": "002",
        "__m49": "202",
        "__sub": "014",
        "__country": "KE",
        "__subdivision": None,
    }


def test_a_place_in_a_small_cell_goes_coarser_and_a_region_always_stands() -> None:
    small = Context(HERE.codes, frozenset({("country", "KE"), ("sub_region", "014"), ("region", "002")}))
    assert Place().generalise("KE-30", "country", small) == ["202", "002"]
    assert Place().generalise("KE-30", "region", small) == ["002"]
    assert Place().generalise("KE-30", "exact", small)[0] == "KE-30"
    assert Places().generalise(["KE", "TZ", "DE"], "country", small) == ["202", "TZ", "DE"]


def test_a_network_defined_area_shows_its_parent() -> None:
    own = Context(load([Area("river:upper", "local", "KE-30")]))
    assert Place().generalise("river:upper", "subdivision", own)[0] == "KE-30"
    assert Place().encode(Place().generalise("river:upper", "exact", own), "exact", own)["__level"] == "local"


def test_an_area_of_a_peer_that_is_not_known_here_is_kept_with_what_holds_it() -> None:
    wire = ["their:own", "KE-30", "KE", "014", "202", "002"]
    held = Place().accept(wire, "exact", HERE)
    cells = Place().encode(held, "exact", HERE)
    assert (cells["__code"], cells["__level"], cells["__subdivision"]) == ("their:own", "local", "KE-30")
    assert Place().generalise(held, "country", HERE) == ["KE", "014", "202", "002"]
    assert Place().generalise(["their:own"], "country", HERE) is None
    assert Places().generalise(["their:own"], "sub_region", HERE) is None
    assert Places().encode(["their:own"], "exact", HERE)["__up"] == "|their:own|"


def test_a_new_code_of_a_peer_is_kept_and_shown_as_its_broader_term() -> None:
    kind = Code("topic", tree=True)
    held = kind.accept(["upr_fifth_cycle", "upr", "un"], "exact", HERE)
    assert kind.encode(held, "exact", HERE) == {"": "upr", "__up": "|upr_fifth_cycle|upr|un|"}
    assert kind.generalise(held, "broader", HERE) == ["un"]
    assert kind.encode(["new_one"], "exact", HERE)[""] == "new_one"
    assert Code("urgency").accept("at_once") == "at_once"


def test_several_codes_are_matched_by_all_broader_ones() -> None:
    kind = Codes("topic", tree=True)
    assert kind.encode(["upr", "security"], "exact", HERE) == {"": '["upr","security"]', "__up": "|upr|un|security|"}
    assert Codes("reach").encode(["rural"], "exact", HERE)["__up"] == "|rural|"


def test_languages_are_told_by_primary_subtag_and_macro_language() -> None:
    tags = ["swh-KE", "sw", "arb", "en-GB"]
    assert Languages().generalise(tags, "primary", HERE) == ["swh", "sw", "arb", "en"]
    assert Languages().generalise(tags, "macro", HERE) == ["sw", "ar", "en"]
    assert Languages().encode(["swh-KE"], "exact", HERE)["__up"] == "|swh-KE|swh|sw|"


def test_translations_are_told_by_their_languages_alone() -> None:
    assert Translations().generalise({"sw": {"title": "x"}, "fr": {"title": "y"}}, "exact", HERE) == ["fr", "sw"]
    assert Translations().generalise({}, "exact", HERE) is None


def test_text_carries_its_translations_and_a_sort_key() -> None:
    cells = Text(sortable=True).encode({"text": "Été", "tr": {"sw": "b", "en": "a"}}, "exact", HERE)
    assert cells == {"": "Été", "__tr": '{"en":"a","sw":"b"}', "__lo": "ete", "__hi": "ete"}
    assert Text().encode("x", "exact", HERE) == {"": "x", "__tr": None}


def test_a_contact_leaves_only_as_its_relay_id_and_without_one_not_at_all() -> None:
    home = {"email": "a@b.example", "relay": "abcd1234"}
    assert Contact().generalise(home, "relay", HERE) == "abcd1234"
    assert Contact().generalise({"email": "a@b.example"}, "relay", HERE) is None
    assert Contact().generalise("abcd1234", "relay", HERE) == "abcd1234"


def test_a_party_shows_its_name_only_at_its_exact_step() -> None:
    kind = Party("actorType", "kind")
    home = {"name": "River Aid", "kind": "ngo"}
    assert [kind.generalise(home, step, HERE) for step in kind.ladder] == ["River Aid", "ngo"]
    assert kind.generalise({"kind": "ngo"}, "exact", HERE) == "ngo"
    assert kind.generalise({"name": "River Aid"}, "kind", HERE) is None
    assert kind.generalise("River Aid", "kind", HERE) is None
    assert kind.generalise("ngo", "kind", HERE) == "ngo"


def test_room_is_told_with_numbers_at_the_exact_step_only() -> None:
    kind = Openings("availability")
    home = kind.check({"state": "limited", "free": 3, "total": 12, "waiting": 0})
    assert kind.generalise(home, "exact", HERE) == ["limited:3", "limited"]
    assert kind.generalise(home, "state", HERE) == ["limited"]
    assert kind.encode(["limited:3", "limited"], "exact", HERE) == {"": "limited:3", "__up": "|limited:3|limited|"}
    assert kind.generalise({**home, "free": 2}, "state", HERE) == ["limited"]
    assert kind.generalise(None, "state", HERE) is None


@pytest.mark.parametrize(
    ("rule", "cadence"),
    [
        ("FREQ=WEEKLY;BYDAY=MO", "weekly"),
        ("FREQ=MONTHLY;BYDAY=1TU", "monthly"),
        ("FREQ=MONTHLY;INTERVAL=3", "quarterly"),
        ("FREQ=MONTHLY;INTERVAL=12", "yearly"),
        ("FREQ=YEARLY", "yearly"),
        ("FREQ=WEEKLY;INTERVAL=2", "other"),
        ("FREQ=DAILY", "other"),
        ("yearly", "yearly"),
    ],
)
def test_a_series_is_told_by_its_cadence(rule: str, cadence: str) -> None:
    assert Series().generalise(rule, "cadence", HERE) == cadence
    assert Series().generalise(cadence, "cadence", HERE) == cadence


def test_tallies_leave_small_numbers_out_and_match_by_code() -> None:
    kind = Tally("actorType")
    exact = kind.generalise({"ngo": 23, "donor": 3, "movement": 50}, "exact", HERE)
    assert exact == ["donor:3", "movement:50", "ngo:23"]
    bands = kind.generalise(exact, "bands", HERE)
    assert bands == ["movement:50+", "ngo:20-49"]
    assert kind.generalise(bands, "bands", HERE) == bands
    assert kind.encode(bands, "bands", HERE) == {"": '["movement:50+","ngo:20-49"]', "__up": "|movement|ngo|"}
    assert kind.closure("ngo:23", HERE) == ("ngo",)


def test_organisers_are_named_only_if_they_consented() -> None:
    kind = Organisers("actorType")
    home = [
        {"name": "River", "kind": "movement", "consented": True},
        {"name": "Mission", "kind": "other", "consented": False},
        {"name": "Aid", "kind": "ngo", "consented": True},
    ]
    assert kind.generalise(home, "exact", HERE) == ["Aid", "River"]
    assert kind.generalise(home, "kinds", HERE) == ["movement", "ngo"]
    assert kind.generalise(home[1:2], "exact", HERE) is None
    assert kind.generalise(["Aid", "River"], "kinds", HERE) is None
    assert kind.generalise(["ngo"], "kinds", HERE) == ["ngo"]
    assert kind.generalise(None, "kinds", HERE) is None


def test_a_pseudonym_holds_nothing_of_the_network() -> None:
    assert Pseudonym().generalise("River", "pseudonym", HERE) == PAIRWISE
    assert Pseudonym().generalise(None, "pseudonym", HERE) is None


def test_the_wire_form_of_a_home_value_is_its_exact_step() -> None:
    assert Place().wire("KE") == ["KE", "014", "202", "002"]
    assert Count().wire(7) == {"minimum": 7, "maximum": 7, "precision": "EXACT"}
    told = Place().generalise("KE", "sub_region", HERE)
    assert Place().wire(told) == told


def test_words_are_folded_and_split_alike_everywhere() -> None:
    assert search_words("L'Été à Zürich: ÅNGSTRÖM_x 2024, straße") == [
        "l",
        "ete",
        "a",
        "zurich",
        "angstrom",
        "x",
        "2024",
        "strasse",
    ]
    assert search_words("الأمم المتحدة") == search_words("الأُمم المُتحدة")
    assert search_words("मानवाधिकार रक्षक") == ["मानवाधिकार", "रक्षक"]
    assert search_words("می\u200cخواهم") == search_words("میخواهم")
    assert search_words("人权 defenders") == ["人", "权", "defenders"]
    assert search_words("!?") == []
    assert fold("ÉTÉ") == "ete"


def test_sort_keys_stay_below_the_mark_of_unknown() -> None:
    titles = ["Aid", "Été", "zebra", "~tilde", "}brace", "Ωmega", "حماية", "保护", "a\nb"]
    keys = [sort_key(title) for title in titles]
    assert all(key.isascii() and key < "~" and "\n" not in key for key in keys)
    assert sorted(["b", "B2", "a", "ω", "λ"], key=sort_key) == ["a", "b", "B2", "λ", "ω"]


def test_tidy_leaves_what_would_be_taken() -> None:
    assert tidy(" a\x00b\u202e\r\nc ") == "ab\nc"
    assert tidy("a\n b\t", lines=False) == "a  b"
    assert Text().check(tidy("x\u2067\x07y")) == "xy"
