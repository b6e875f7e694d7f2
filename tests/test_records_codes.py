"""The code lists are complete, closed and dated."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from importlib import resources

import pycountry
import pytest

from federation.policies.tiers import HANDLING_LABELS
from federation.policies.viewer import AFFILIATIONS, PURPOSES
from federation.records.codes import RANKS, Area, load

CODES = load()


def files() -> list[dict[str, object]]:
    """All shipped files, parsed."""
    folder = resources.files("federation.records.codes")
    return [json.loads(path.read_text()) for path in folder.iterdir() if path.name.endswith(".json")]


def test_each_file_names_its_list_version_source_and_licence() -> None:
    names = [each["list"] for each in files()]
    assert set(names) == {*CODES.lists(), "eur_rates"} - {"country"}
    for each in files():
        assert all(isinstance(each[key], str) and each[key] for key in ("version", "source", "licence"))


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("dimension", "physical digital psychosocial_wellbeing legal family_community livelihood"),
        ("reach", "urban peri_urban rural remote online"),
        ("level", "intro practitioner trainer"),
        ("mode", "online_live online_self_paced in_person hybrid mentoring"),
        ("applicationChannel", "form email verbal sms in_person mediated"),
        ("networkScope", "local subnational national regional international"),
        ("urgency", "normal soon"),
        ("cadence", "weekly monthly quarterly yearly other"),
        ("availability", "open limited full"),
        ("placesState", "open waitlist full"),
        ("noticeKind", "advocacy_call security_advisory solidarity recognition"),
        ("practiceKind", "good_practice lesson failure expectation_note"),
        (
            "actorType",
            "ngo movement religious_leader indigenous_leader community_leader youth_group journalist_media "
            "minority_group_member trade_union health_humanitarian academic donor other",
        ),
        (
            "group",
            "women lgbtiq indigenous ethnic_minority religious_minority linguistic_minority persons_with_disabilities "
            "youth older migrants_refugees displaced rural_remote land_environment other",
        ),
        (
            "resourceKind",
            "emergency_grant legal_support trial_monitoring psychosocial_support medical_support rest_respite "
            "physical_security digital_security secure_communications secure_transport temporary_relocation "
            "shelter_host family_support humanitarian_assistance equipment accompaniment "
            "monitoring_reporting_advocacy solidarity_recognition institutional_support other",
        ),
    ],
)
def test_a_vocabulary_has_the_codes_of_the_domain(name: str, codes: str) -> None:
    assert CODES.codes(name) == tuple(codes.split())


def test_lists_that_policies_know_too_are_the_same_there() -> None:
    assert CODES.codes("handling") == HANDLING_LABELS
    assert CODES.codes("affiliation") == AFFILIATIONS
    assert CODES.codes("purpose") == PURPOSES


def test_kinds_of_resources_carry_the_numbers_of_eligible_activities() -> None:
    numbers = {code: CODES.term("resourceKind", code) for code in ("physical_security", "legal_support", "other")}
    assert [term.notes["protectdefenders"] for term in numbers.values() if term] == [1, 6, 11]
    scope = CODES.term("networkScope", "regional")
    assert scope is not None
    assert scope.notes["locationScope"] == "GLS020"
    assert CODES.term("networkScope", "galactic") is None


def test_topics_have_the_roots_of_the_domain_and_two_or_three_levels() -> None:
    closures = [CODES.closure("topic", code) for code in CODES.codes("topic")]
    roots = {closure[-1] for closure in closures}
    assert roots == {
        "un",
        "communication",
        "fundraising",
        "resource_management",
        "regional_mechanisms",
        "security",
        "wellbeing",
        "governance",
        "documentation",
        "other",
    }
    assert max(map(len, closures)) == 3
    below_un = {closure[0] for closure in closures if len(closure) == 2 and closure[-1] == "un"}
    assert below_un == {
        "treaty_bodies",
        "special_procedures",
        "upr",
        "hrc",
        "individual_complaints",
        "reprisals",
        "field_presence",
        "declaration_hrd",
    }
    assert CODES.broader("topic", "upr_follow_up") == "upr"
    assert CODES.broader("topic", "un") is None
    assert CODES.closure("topic", "brand_new") == ("brand_new",)
    assert CODES.closure("area", "KE") == ("KE", "014", "202", "002")
    assert CODES.broader("country", "KE") == "014"
    assert CODES.closure("area", "nowhere") == ("nowhere",)


def test_every_country_has_a_sub_region_and_a_region() -> None:
    assert set(CODES.codes("country")) == {country.alpha_2 for country in pycountry.countries} | {"XK"}
    for code in CODES.codes("country"):
        chain = CODES.chain(code)
        assert CODES.ancestor(code, "region") == chain[-1]
        if code != "AQ":
            assert CODES.ancestor(code, "sub_region") == chain[1]
        assert CODES.area(chain[-1]) == Area(chain[-1], "region", "001", CODES.name("area", chain[-1]))


def test_chains_climb_from_fine_to_coarse_to_a_region() -> None:
    for code in CODES.codes("area"):
        chain = CODES.chain(code)
        ranks = [CODES.rank(each) for each in chain]
        assert ranks == sorted(set(ranks))
        assert code == "001" or ranks[-1] == RANKS["region"]


@pytest.mark.parametrize(
    ("code", "chain"),
    [
        ("KE-30", "KE-30 KE 014 202 002"),
        ("DZ", "DZ 015 002"),
        ("US-FL", "US-FL US 021 019"),
        ("HT", "HT 029 419 019"),
        ("GG", "GG 154 150"),
        ("XK", "XK 039 150"),
        ("TW", "TW 030 142"),
        ("PS", "PS 145 142"),
        ("AQ", "AQ 010"),
        ("202", "202 002"),
        ("001", "001"),
        ("nowhere", ""),
    ],
)
def test_places_stand_where_united_nations_m49_has_them(code: str, chain: str) -> None:
    assert CODES.chain(code) == tuple(chain.split())


def test_the_intermediate_region_is_the_sub_region_where_there_is_one() -> None:
    assert (CODES.ancestor("KE", "sub_region"), CODES.ancestor("KE", "m49")) == ("014", "202")
    assert (CODES.ancestor("DZ", "sub_region"), CODES.ancestor("DZ", "m49")) == ("015", None)
    assert CODES.ancestor("nowhere", "region") is None


def test_all_subdivisions_are_there_and_those_within_others_are_local() -> None:
    for each in pycountry.subdivisions:
        area = CODES.area(each.code)
        assert area is not None
        assert area.level == ("local" if each.parent_code else "subdivision")
        assert CODES.ancestor(each.code, "country") == each.country_code


def test_a_network_defines_areas_of_its_own_below_a_known_one() -> None:
    own = load([Area("river:upper", "local", "KE-30", "Upper river"), Area("river:mill", "local", "river:upper")])
    assert own.chain("river:mill") == ("river:mill", "KE-30", "KE", "014", "202", "002")
    assert own.name("area", "river:upper") == "Upper river"
    assert own.version != CODES.version
    assert CODES.area("river:upper") is None
    for wrong in (Area("KE", "local", "002"), Area("x", "local", "nowhere"), Area("x", "region", "001")):
        with pytest.raises(ValueError, match="own area"):
            load([wrong])


def test_equal_content_is_the_same_version_and_read_once() -> None:
    assert load() is CODES
    assert len(CODES.version) == 16


@pytest.mark.parametrize(
    ("tag", "primary", "macro"),
    [
        ("swh-KE", "swh", "sw"),
        ("swa", "sw", "sw"),
        ("arb", "arb", "ar"),
        ("cmn-Hant", "cmn", "zh"),
        ("zh-Hant-TW", "zh", "zh"),
        ("ger", "de", "de"),
        ("prs", "prs", "fa"),
        ("EN", "en", "en"),
        ("xx-unknown", "xx", "xx"),
    ],
)
def test_languages_know_their_primary_subtag_and_macro_language(tag: str, primary: str, macro: str) -> None:
    assert (CODES.primary(tag), CODES.macro(tag)) == (primary, macro)
    assert CODES.closure("language", tag)[-1] == macro


def test_names_come_in_the_language_asked_for_and_fall_back_to_english() -> None:
    assert CODES.name("area", "KE", "sw") == "Kenya"
    assert CODES.name("area", "014", "fr") == "Afrique orientale"
    assert CODES.name("area", "KE-30", "fr") == CODES.name("area", "KE-30")
    assert CODES.name("language", "sw", "de") == "Suaheli"
    assert CODES.name("language", "pt-BR", "en") == "Brazilian Portuguese"
    assert CODES.name("language", "rnr") == "Nari Nari"
    assert CODES.name("currency", "KES", "not a language") == "Kenyan Shilling"
    assert CODES.name("topic", "upr", "fr") == "Universal Periodic Review"
    assert CODES.name("topic", "brand_new") == "brand_new"
    assert CODES.name("area", "nowhere") == "nowhere"
    assert CODES.name("language", "qqq") == "qqq"
    assert CODES.name("currency", "QQQ") == "QQQ"


def test_only_currencies_with_a_rate_are_converted() -> None:
    assert CODES.eur(Decimal("655.957"), "XOF") == 1
    assert CODES.eur(Decimal(7), "EUR") == 7
    assert CODES.eur(Decimal("1.0389"), "USD") == 1
    assert CODES.eur(Decimal("135.617"), "KES") == 1
    assert CODES.eur(Decimal(7), "KPW") is None
    assert CODES.known("currency", "KPW")
    assert not CODES.known("currency", "XXX")


def test_each_table_of_rates_names_its_source_and_date_and_no_currency_twice() -> None:
    tables = next(each for each in files() if each["list"] == "eur_rates")["tables"]
    assert isinstance(tables, list)
    seen: set[str] = set()
    for table in tables:
        assert date.fromisoformat(table["date"]) <= date(2025, 1, 1)
        assert table["source"]
        assert table["licence"]
        assert not seen & set(table["rates"])
        seen |= set(table["rates"])
        assert all(Decimal(rate) > 0 for rate in table["rates"].values())


def test_the_currencies_that_networks_use_most_have_a_rate() -> None:
    often = "BDT CDF COP EGP ETB GHS GTQ HNL KES MAD MWK MZN NGN NPR PEN PKR RWF TND TZS UAH UGX XAF XOF ZMW"
    assert [code for code in often.split() if CODES.eur(Decimal(1), code) is None] == []


def test_a_list_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        CODES.known("shoeSize", "42")
