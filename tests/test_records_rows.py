"""Columns of own and received records, caps and masks: by example, and as properties over generated records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.errors import BadInput
from federation.policies.tiers import Tier
from federation.records.base import FieldSpec, RecordType
from federation.records.coded import Code, Codes, Languages, Tag, Translations
from federation.records.kinds import Context, Day, Flag, Instant, Kind, Line, Text, Url, Whole, standard_context
from federation.records.places import Place, Places
from federation.records.registry import RECORD_TYPES
from federation.records.rows import (
    accept_values,
    assign_relays,
    bits,
    columns,
    mask,
    received_columns,
    step_columns,
    step_values,
    unknown_columns,
)
from federation.records.special import Openings, Organisers, Party, Pseudonym, Series, Tally
from federation.records.values import Amount, AmountBand, Contact, Count, Period

HERE = standard_context()
RESOURCE = RECORD_TYPES["resource"]
QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])

DAYS = st.dates(date(1990, 1, 1), date(2090, 12, 31))
TEXTS = st.sampled_from(["Aide", "حماية", "legal help", "Été", "a\nb", "~", "}", "x" * 200])
AREAS = st.sampled_from(
    [HERE.codes.codes("area")[i] for i in range(0, 5327, 13)] + ["KE", "KE-30", "001", "014", "AQ", "XK"]
)
MONEY = st.decimals(0, 200000, places=2).map(str)
CURRENCIES = st.sampled_from(["EUR", "USD", "XOF", "KPW"])


SMALL = [("country", "KE"), ("sub_region", "014"), ("m49", "202"), ("subdivision", "KE-30")]


def periods() -> st.SearchStrategy[Any]:
    return st.builds(
        lambda start, length: {"start": start.isoformat(), "end": (start + timedelta(days=length)).isoformat()},
        DAYS,
        st.integers(0, 800),
    )


def amounts() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.fixed_dictionaries({"value": MONEY, "currency": CURRENCIES}),
        st.fixed_dictionaries({"minimum": MONEY, "currency": CURRENCIES}),
        st.fixed_dictionaries({"maximum": MONEY, "currency": CURRENCIES}),
    )


def home_values(kind: Kind) -> st.SearchStrategy[Any]:
    """Home values of a kind."""
    code = st.sampled_from(HERE.codes.codes(kind.codes)) if hasattr(kind, "codes") else st.nothing()
    number = st.integers(0, 80)
    name = st.sampled_from(["River Aid", "Mission of X", "Association des amis"])
    made: dict[type, Any] = {
        Text: lambda: TEXTS,
        Line: lambda: name,
        Pseudonym: lambda: name,
        Url: lambda: st.sampled_from(["https://example.org/", "http://example.org/a"]),
        Code: lambda: code,
        Codes: lambda: st.lists(code, min_size=1, max_size=4, unique=True),
        Tag: lambda: st.sampled_from(["en", "sw", "pt-BR"]),
        Languages: lambda: st.lists(st.sampled_from(["swh-KE", "sw", "arb", "en-GB", "fr", "zh-Hant"]), min_size=1),
        Flag: st.booleans,
        Whole: lambda: st.integers(0, 100),
        Day: lambda: DAYS.map(date.isoformat),
        Instant: lambda: st.just("2024-05-01T10:00:00+00:00"),
        Period: periods,
        Amount: amounts,
        AmountBand: lambda: MONEY.map(lambda value: {"value": value, "currency": "EUR"}),
        Count: lambda: number,
        Place: lambda: AREAS,
        Places: lambda: st.lists(AREAS, min_size=1, max_size=4),
        Contact: lambda: st.sampled_from(
            [{"email": "a@b.example", "relay": "relay-0001"}, {"phone": "+254 700 000 000"}]
        ),
        Party: lambda: st.fixed_dictionaries({"name": name}, optional={getattr(kind, "key", ""): code}),
        Openings: lambda: st.fixed_dictionaries({"state": code}, optional={"free": number}),
        Series: lambda: st.sampled_from(["FREQ=WEEKLY", "FREQ=MONTHLY;INTERVAL=3", "FREQ=DAILY"]),
        Tally: lambda: st.dictionaries(code, number, min_size=1, max_size=4),
        Organisers: lambda: st.lists(
            st.fixed_dictionaries({"name": name, "kind": code, "consented": st.booleans()}), min_size=1, max_size=3
        ),
    }
    return made[type(kind)]()


def documents(record_type: RecordType) -> st.SearchStrategy[dict[str, Any]]:
    """Normal home documents of a type; any field may be missing but the needed ones."""
    needed, free = {}, {}
    for name, spec in record_type.fields.items():
        if isinstance(spec.kind, Translations):
            continue
        (needed if spec.required else free)[name] = home_values(spec.kind)
    raw = st.fixed_dictionaries(needed, optional=free)
    return raw.map(_consistent).map(record_type.normalise)


def _consistent(document: dict[str, Any]) -> dict[str, Any]:
    if "deadline" in document or "dates" in document:
        document.pop("valid_until", None)
    if isinstance(document.get("title"), str):
        document["translations"] = {"sw": {"title": "kichwa"}}
    return document


FIELDS = [
    pytest.param(key, spec, id=f"{key}.{name}")
    for key, each in RECORD_TYPES.items()
    for name, spec in each.fields.items()
    if len(spec.open_steps) > 1
]


def bounds(kind: Kind, told: Any, step: str) -> tuple[Any, Any] | None:
    cells = kind.encode(told, step, HERE)
    return (cells["__lo"], cells["__hi"]) if "__lo" in cells else None


@pytest.mark.parametrize(("key", "spec"), FIELDS)
def test_going_coarser_in_two_strides_is_the_same_as_in_one_and_bounds_contain(key: str, spec: FieldSpec) -> None:
    @QUICK
    @given(home_values(spec.kind).map(spec.kind.check))
    def nested(home: Any) -> None:
        told = {step.name: spec.kind.generalise(home, step.name, HERE) for step in spec.open_steps}
        steps = list(told)
        for position, finer in enumerate(steps):
            for coarser in steps[position:]:
                if told[finer] is None:
                    continue
                again = spec.kind.generalise(told[finer], coarser, HERE)
                assert again == told[coarser] or (again is None and isinstance(spec.kind, (Party, Organisers)))
                if told[coarser] is not None and (inner := bounds(spec.kind, told[finer], finer)):
                    outer = bounds(spec.kind, told[coarser], coarser)
                    assert outer is not None
                    assert outer[0] <= inner[0]
                    assert inner[1] <= outer[1]
                if told[coarser] is not None and isinstance(spec.kind, Place):
                    assert told[finer][-len(told[coarser]) :] == told[coarser]

    nested()


@QUICK
@given(
    AREAS,
    st.sets(st.sampled_from([("country", "KE"), ("sub_region", "014"), ("m49", "202"), ("subdivision", "KE-30")])),
)
def test_places_in_small_cells_stay_nested(code: str, small: set[tuple[str, str]]) -> None:
    context = Context(HERE.codes, frozenset(small))
    finer: list[str] | None = Place().generalise(code, "exact", context)
    for step in Place.ladder[1:]:
        told = Place().generalise(code, step, context)
        assert told == Place().generalise(finer, step, context)
        assert told is not None
        head = HERE.codes.area(told[0])
        assert head is not None
        assert (head.level, head.code) not in small
        finer = told


@pytest.mark.parametrize("key", RECORD_TYPES)
def test_what_is_sent_whole_is_stored_alike_at_the_receiver(key: str) -> None:
    record_type = RECORD_TYPES[key]

    @QUICK
    @given(documents(record_type))
    def whole(document: dict[str, Any]) -> None:
        assert record_type.normalise(document) == document
        values = step_values(record_type, document, {}, HERE)
        row = step_columns(record_type, document, {}, HERE)
        assert list(row) == [column.name for column in columns(record_type)]
        for column in columns(record_type):
            cell = row[column.name]
            assert cell is not None or column.spec.nullable
            assert cell is None or type(cell) is (str if column.spec.sql == "text" else int)
        if values:
            wire = json.loads(json.dumps(values))
            received = received_columns(record_type, accept_values(record_type, wire, HERE), {}, HERE)
            assert received == row

    whole()


@pytest.mark.parametrize("key", RECORD_TYPES)
def test_a_cap_or_a_coarser_receipt_leaves_nothing_finer_in_any_column(key: str) -> None:
    record_type = RECORD_TYPES[key]
    choices = {
        name: st.sampled_from([*(step.name for step in spec.open_steps), None])
        for name, spec in record_type.fields.items()
        if spec.open_steps
    }

    @QUICK
    @given(documents(record_type), st.fixed_dictionaries({}, optional=choices))
    def capped(document: dict[str, Any], caps: dict[str, str | None]) -> None:
        free = step_columns(record_type, document, None, HERE)
        row = step_columns(record_type, document, caps, HERE)
        values = step_values(record_type, document, {name: cap for name, cap in caps.items() if cap is None}, HERE)
        for name, cap in caps.items():
            if name in values:
                steps = list(record_type.fields[name].step_names)
                told = {s: v for s, v in values[name].items() if steps.index(s) >= steps.index(cap)}
                values[name] = told
                if not told:
                    del values[name]
        received = received_columns(record_type, values, {}, HERE)
        blank = unknown_columns(record_type)
        for column in columns(record_type):
            suffix = column.spec.suffix
            if column.field not in caps:
                untold = column.field == "translations" and caps.get("title", "") is None
                assert row[column.name] == (blank if untold else free)[column.name]
                continue
            cap = caps[column.field]
            steps = list(record_type.fields[column.field].step_names)
            if cap is None:
                expected = blank[column.name]
            else:
                step = steps[max(steps.index(column.step), steps.index(cap))]
                untold = column.field == "translations" and caps.get("title", "") is None
                expected = (blank if untold else free)[f"{column.field}__{step}{suffix}"]
            assert row[column.name] == expected
            if cap is not None and values.get(column.field, {}).get(cap) is not None:
                assert received[column.name] == expected

    capped()


@pytest.mark.parametrize("key", RECORD_TYPES)
def test_the_mask_names_exactly_the_steps_that_differ(key: str) -> None:
    record_type = RECORD_TYPES[key]

    @QUICK
    @given(documents(record_type), documents(record_type))
    def masked(first: dict[str, Any], second: dict[str, Any]) -> None:
        before, after = (step_columns(record_type, each, {}, HERE) for each in (first, second))
        assert mask(record_type, before, before) == 0
        changed = mask(record_type, before, after)
        assert changed == mask(record_type, after, before)
        told = {bits(record_type)[i] for i in range(len(bits(record_type))) if changed >> i & 1}
        assert told == {
            (column.field, column.step) for column in columns(record_type) if before[column.name] != after[column.name]
        }

    masked()


def test_a_new_row_is_compared_with_one_of_which_nothing_is_known() -> None:
    row = step_columns(RESOURCE, {"title": "x", "kind": "other"}, {}, HERE)
    told = {bits(RESOURCE)[i] for i in range(len(bits(RESOURCE))) if mask(RESOURCE, {}, row) >> i & 1}
    assert told == {("title", "exact"), ("kind", "exact")}
    assert mask(RESOURCE, {}, unknown_columns(RESOURCE)) == 0
    assert step_columns(RESOURCE, {}, None, HERE) == unknown_columns(RESOURCE)
    assert received_columns(RESOURCE, {}, None, HERE) == unknown_columns(RESOURCE)


def test_sealed_values_stand_in_no_column_and_hidden_ones_only_at_their_step() -> None:
    document = RESOURCE.normalise(
        {
            "title": "Legal help",
            "kind": "legal_support",
            "site": "CANARY-site",
            "internal_notes": "CANARY-notes",
            "contact": {"email": "canary@example.org", "relay": "relay-0001"},
            "provider": {"name": "CANARY-provider", "kind": "ngo"},
            "area": "KE-30",
            "amount": {"value": "1234.56", "currency": "EUR"},
            "horizon": {"start": "2024-03-17"},
        }
    )
    row = step_columns(RESOURCE, document, {}, HERE)
    for name, cell in row.items():
        if isinstance(cell, str):
            assert "CANARY" not in cell or name == "provider__exact"
            assert "canary@" not in cell
            assert "KE-30" not in cell or name.startswith("area__exact")
            assert "1234" not in cell or name.startswith("amount__exact")
            assert "03-17" not in cell or name.startswith("horizon__exact")
    values = step_values(RESOURCE, document, {"area": "sub_region"}, HERE)
    assert values["area"] == {each: ["014", "202", "002"] for each in ("exact", "country", "sub_region")}
    assert values["contact"] == {"relay": "relay-0001"}
    assert "site" not in values


def test_a_cap_on_a_sealed_step_is_no_cap_and_an_unknown_cap_leaves_nothing() -> None:
    document = {"title": "x", "kind": "other", "contact": {"email": "a@b.example", "relay": "relay-0001"}}
    assert step_columns(RESOURCE, document, {"contact": "exact"}, HERE)["contact__relay"] == "relay-0001"
    assert step_columns(RESOURCE, document, {"contact": None}, HERE)["contact__relay"] is None
    assert step_columns(RESOURCE, document, {"title": "planet"}, HERE)["title__exact"] is None


def test_a_received_record_holds_coarser_in_finer_columns_and_derives_coarser_ones() -> None:
    values = accept_values(RESOURCE, {"area": {"country": ["KE", "014", "202", "002"]}, "title": {"exact": "x"}}, HERE)
    small = Context(HERE.codes, frozenset({("sub_region", "014")}))
    row = received_columns(RESOURCE, values, {}, small)
    assert row["area__exact__code"] == "KE"
    assert row["area__country__code"] == "KE"
    assert row["area__sub_region__code"] == "014"
    capped = received_columns(RESOURCE, values, {"area": "sub_region", "title": None}, HERE)
    assert capped["area__exact__code"] == "014"
    assert capped["title__exact"] is None
    only = accept_values(
        RESOURCE, {"amount": {"band": _band("1000", "5000")}, "area": {"sub_region": ["014", "202", "002"]}}, HERE
    )
    row = received_columns(RESOURCE, only, {"area": "country"}, HERE)
    assert (row["amount__exact__min"], row["amount__exact__p"]) == ("1000", "BAND")
    assert row["area__country__code"] == "014"


def _band(least: str, most: str | None) -> dict[str, str | None]:
    return {"minimum": least, "maximum": most, "currency": "EUR", "precision": "BAND"}


@pytest.mark.parametrize(
    ("field", "wire"),
    [
        (None, {}),
        (None, []),
        ("shoe_size", {"shoe_size": {"exact": 42}}),
        ("title", {"title": "x"}),
        ("title", {"title": {}}),
        ("title", {"title": {"exact": 7}}),
        ("title", {"title": {"month": "x"}}),
        ("site", {"site": {"exact": "x"}}),
        ("contact", {"contact": {"exact": "relay-0001"}}),
        ("area", {"area": {"country": ["KE-30", "KE", "014", "202", "002"]}}),
    ],
)
def test_received_values_are_refused_by_field(field: str | None, wire: Any) -> None:
    with pytest.raises(BadInput) as caught:
        accept_values(RESOURCE, wire, HERE)
    assert caught.value.field == field


def test_each_contact_gets_a_relay_id_once() -> None:
    document = {"title": "x", "contact": {"email": "a@b.example"}}
    given_one = assign_relays(RESOURCE, document, lambda field: f"relay-{field}")
    assert given_one["contact"] == {"email": "a@b.example", "relay": "relay-contact"}
    assert assign_relays(RESOURCE, given_one, lambda field: "another-one") == given_one
    assert document["contact"] == {"email": "a@b.example"}
    assert assign_relays(RESOURCE, {"title": "x"}, lambda field: "another-one") == {"title": "x"}


def test_translated_text_is_stored_beside_its_original() -> None:
    translations = {"sw": {"title": "Msaada"}, "fr": {"title": "Aide"}}
    document = RESOURCE.normalise({"title": "Help", "kind": "other", "summary": "s", "translations": translations})
    row = step_columns(RESOURCE, document, {}, HERE)
    assert row["title__exact__tr"] == '{"fr":"Aide","sw":"Msaada"}'
    assert row["summary__exact__tr"] is None
    assert row["translations__exact"] == '["fr","sw"]'


@pytest.mark.parametrize("caps", [{}, {"summary": None}, {"title": None, "summary": None}])
def test_the_list_of_translations_tells_of_no_text_that_may_not_leave(caps: dict[str, str | None]) -> None:
    translations = {"sw": {"title": "Msaada"}, "fr": {"title": "Aide", "summary": "s"}, "ti": {"summary": "s"}}
    document = RESOURCE.normalise({"title": "Help", "kind": "other", "summary": "s", "translations": translations})
    told = {0: ["fr", "sw", "ti"], 1: ["fr", "sw"], 2: None}[len(caps)]
    row = step_columns(RESOURCE, document, caps, HERE)
    assert row["translations__exact"] == (None if told is None else json.dumps(told, separators=(",", ":")))
    assert step_values(RESOURCE, document, caps, HERE).get("translations") == (told and {"exact": told})


def test_the_list_of_translations_tells_of_no_text_that_fewer_may_see_than_the_others() -> None:
    network = RECORD_TYPES["network"]
    translations = {"sw": {"name": "Mto"}, "fr": {"goals": "Protéger"}}
    document = network.normalise(
        {"name": "River", "goals": "To protect", "scope": "local", "translations": translations}
    )
    assert step_columns(network, document, {}, HERE)["translations__exact"] == '["fr"]'


def test_every_step_that_is_not_sealed_can_hold_a_value() -> None:
    for record_type in RECORD_TYPES.values():
        for spec in record_type.fields.values():
            assert all(step.tier < Tier.SEALED for step in spec.open_steps)
    values: Mapping[str, Any] = step_values(
        RECORD_TYPES["network"],
        {"name": "R", "scope": "local", "regions": ["KE", "TZ", "DE"], "actor_types": {"ngo": 2}},
        {},
        HERE,
    )
    assert values["regions"] == {"exact": ["KE", "TZ", "DE"], "sub_region": ["014", "155"]}
    assert values["actor_types"] == {"exact": ["ngo:2"]}
