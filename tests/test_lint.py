"""The lint of free text: what it finds, what it leaves alone, and that it is fast."""

from __future__ import annotations

import itertools
import time

import pytest

from federation.records.lint import CUT_MARK, KINDS, Finding, cut, findings, without

PHONES = (
    "(305) 555-1234", "305.555.1234", "305 555 1234", "305\N{EN DASH}555\N{EN DASH}1234", "3055551234",
     "+1 (305) 555-1234 ext. 7",
    "1-800-FLOWERS", "1-800-4-A-CHILD", "1-877-KIDS NOW", "1-800-273-TALK (8255)", "(305) 375-CARE (2273)",
    "305 4POLICE (476-5423)", "(800) 96-ABUSE", "888-995-HOPE", "1.800.272.3900", "379-3787",
    "305-374-1065 Extensions 463, 307, 509", "305-264-3232 x4001", "305 271-9000 ext. 271 or 273",
    "+44 20 7946 0958", "+254 712 345678", "0712 345 678", "01 42 68 53 00", "020 7946 0958", "00 33 1 42 68 53 00",
)  # fmt: skip
EMAILS = (
    "a.b@c.example", "someone@localhost", "x @ y.example", "name at domain dot org", "name [at] domain [dot] org",
    "name(at)domain.org", "nombre arroba dominio punto org", "Ünï@dömain.org", "jo.o@uni.ac.ke",
)  # fmt: skip
IBANS = (
    "DE89 3704 0044 0532 0130 00",
    "GB82WEST12345698765432",
    "FR1420041010050500013M02606",
    "gb82 west 1234 5698 7654 32",
)
COORDINATES = (
    "25.7757605, -80.1947434", "-1.2921, 36.8219", "1°17\N{PRIME}S 36°49\N{PRIME}E",
    "40° 26' 46\" N 79° 58' 56\" W", "6GCRMQRG+59",
    "S1.2921 E36.8219", "1.29 S, 36.82 E", "-1.286389,36.817223",
)  # fmt: skip
ADDRESSES = (
    "1907 NW 38th Street", "111 NW 1st Street, Suite 2510, Miami, FL 33128",
    "701 NW 1st Court, 11th Floor\nMiami, FL 33136",
    "P.O. Box 1234", "PO Box 30197-00100", "B.P. 1234", "Casilla 45", "Apartado Postal 55", "Calle 12 # 34-56",
    "Carrera 7 No. 71-21", "Avenida Reforma 222", "Av. Insurgentes Sur 1234", "12 rue de la Paix",
    "12 bis, boulevard Saint-Michel", "10 Downing Street", "2691 Airport Road South",
)  # fmt: skip
HARMLESS = (
    "5-17 years old", "9:00am-5:00pm, Mon-Fri", "in 2018", "2015-2016", "2019-07-29", "29/07/2019", "$1,000 - $2,000",
    "10 000 000 FCFA", "1 500 000 francs", "EUR 1200-4500", "budget: 25000 USD", "1,234,567 people",
    "33010, 33012, 33013, 33014", "33010 33012 33013", "501(c)(3)", "Form 1099-R,1099-Misc", "24/7",
    "24 hours a day, 7 days",
    "ages 18 to 60, 200-1000 people", "look at example.org", "dial 911 in an emergency", "the 12 step way",
    "186 Supreme Court-approved forms", "grades 6-12", "A/HRC/RES/40/11", "UN resolution 53/144", "75%, 50%, 25%",
    "June 10th - August 2nd", "1.5 million", "El camino de 3 años", "plaza de 20 personas", "Ley 1448 de 2011",
    "20 place Internet", "Article 12 Court", "Camp @ MMC", "case number 2018/445",
    "5 days a week at the community place",
)  # fmt: skip


def _kinds(text: str) -> set[str]:
    return {finding.kind for finding in findings(text)}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (kind, value)
        for kind, values in zip(KINDS, (EMAILS, IBANS, COORDINATES, ADDRESSES, PHONES), strict=True)
        for value in values
    ],
)
def test_what_identifies_somebody_is_found_whole(kind: str, value: str) -> None:
    text = f"Please write: {value}; thank you"
    clean, removed = cut(text)
    assert removed == ((kind, value),)
    assert clean == f"Please write: {CUT_MARK}; thank you"


@pytest.mark.parametrize("text", HARMLESS)
def test_years_ages_hours_and_amounts_are_left_alone(text: str) -> None:
    assert findings(f"It is {text} and so on") == ()
    assert cut(text) == (text, ())


@pytest.mark.parametrize(
    "text",
    ["Call 211 for help", "dial 2-1-1", "text your zip code to 898211", "Text HOME to 741-741", "call or text 988"],
)
def test_short_codes_are_found_where_the_text_says_to_dial_them(text: str) -> None:
    assert _kinds(text) == {"phone"}
    assert _kinds("211 Brevard is an organisation founded by 2113 people") == set()


def test_a_bank_account_with_a_wrong_check_digit_or_length_is_no_bank_account() -> None:
    assert "iban" not in _kinds("DE88 3704 0044 0532 0130 00")
    assert "iban" not in _kinds("DE89 3704 0044 0532 0130 0")
    assert "iban" not in _kinds("GB82  WEST 1234 5698 7654 32")


def test_coordinates_out_of_range_are_numbers() -> None:
    assert _kinds("95.77576, 180.19474") == set()
    assert _kinds("25.77576, 280.19474") == set()


def test_findings_come_in_order_of_place_and_do_not_overlap() -> None:
    found = findings("Call 305-555-1234 or write to a@b.example, 111 NW 1st Street")
    assert [finding.kind for finding in found] == ["phone", "email", "address"]
    assert all(one.end <= next_.start for one, next_ in itertools.pairwise(found))


def test_marks_in_a_row_become_one_and_lose_their_brackets() -> None:
    assert cut("Office (305-555-1234), a@b.example / c@d.example now")[0] == f"Office {CUT_MARK} now"
    assert without("abc", ()) == "abc"
    assert without("abcd", (Finding("phone", 1, 2),)) == f"a{CUT_MARK}cd"


def test_a_national_number_is_known_only_with_its_region() -> None:
    assert _kinds("numéro 70 123 45 67 ici") in ({"phone"}, set())
    assert {finding.kind for finding in findings("appel 77 123 45 67 ici", regions=("SN",))} == {"phone"}


def test_a_clean_text_stays_clean_when_it_is_cut_again() -> None:
    for value in (*PHONES, *EMAILS, *IBANS, *COORDINATES, *ADDRESSES):
        clean, _ = cut(f"Write to {value}, or {value}.")
        assert findings(clean) == (), value


@pytest.mark.parametrize(
    "piece", ["1 ", "1", "12 Main ", "a.", "@", "+1 ", "305-", "1°", "calle A ", "A ", "(", "x at y dot ", "0", "x"]
)
def test_long_hostile_texts_do_not_make_it_slow(piece: str) -> None:
    before = time.process_time()
    findings(piece * (20_000 // len(piece)) + " @ (at) dot °")
    assert time.process_time() - before < 3
