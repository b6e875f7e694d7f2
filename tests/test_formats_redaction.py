"""Repair and redaction of foreign texts."""

from __future__ import annotations

import pytest

from federation.formats.redaction import (
    ProviderNames,
    provider_names,
    redacted,
    repaired,
    says_something,
    shortened,
    without_provider,
)

NOBODY = ProviderNames({}, frozenset())


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("one\\n\\n\\n\\ntwo\\ttab\\r", "one\n\ntwo tab"),
        ("text\\n###MON###\\n###COL###", "text"),
        ("####COL#### a ###MON##", "a"),
        ("youGÇÖve GÇ£seenGÇ¥ it GÇô nowGÇª", "you\u2019ve \u201cseen\u201d it \u2013 now\u2026"),
        ("plain text stays", "plain text stays"),
        ("  two   spaces \n here ", "two spaces\nhere"),
        ("GÇ\u0416 unknown", "GÇ\u0416 unknown"),
        ("a\x00b\u202ec", "abc"),
    ],
)
def test_texts_are_repaired(broken: str, whole: str) -> None:
    assert repaired(broken) == whole
    assert repaired(whole) == whole


@pytest.mark.parametrize(
    ("name", "text", "result"),
    [
        ("GIRL GUIDES OF THE COAST, INC.", "The Girl Guide of the Coast, Inc. meets.", "The provider meets."),
        ("Friends & Neighbours of Lake", "We, friends and neighbours of lake, act.", "We, the provider, act."),
        ("Saint Anna's Kitchen", "Ask St. Annas Kitchen.", "Ask the provider."),
        ("Open Door Centre (ODC)", "ODC opens; odc closes.", "The provider opens; odc closes."),
        ("People Against Hunger Everywhere", "PAHE helps.", "The provider helps."),
        ("LIGHTCARE", "Light Care and LightCare help.", "The provider and the provider help."),
        ("H.O.M.E. INC.", "H.O.M.E. and HOME are one.", "The provider and the provider are one."),
        ("Café Solidarité du Port", "Le cafe solidarite du port ouvre.", "Le the provider ouvre."),
        ("Harbour Legal Friends of Town", "Harbour Legal Friends' members.", "The provider' members."),
        ("Light House", "Light House's door (LH) is open.", "The provider's door (LH) is open."),
        (
            "Light House Shore",
            "Light House Shore (LIHOSH) is open. Ask LIHOSH.",
            "The provider is open. Ask the provider.",
        ),
        ("Bridge Trust", "A bridge of trust", "A bridge of trust"),
    ],
)
def test_provider_names_are_found_whatever_their_spelling(name: str, text: str, result: str) -> None:
    assert without_provider(text, provider_names(name))[0] == result


def test_other_names_count_and_legal_forms_alone_do_not() -> None:
    names = provider_names("Long Road Home", ("LRH; The Old Mill, Inc.", "INC."))
    assert without_provider("LRH, the old mill or Inc. and inc", names) == ("The provider or Inc. and inc", 1)


def test_a_provider_without_a_name_changes_nothing() -> None:
    assert without_provider("Any text, Inc.", provider_names("")) == ("Any text, Inc.", 0)
    assert NOBODY.replaced("text", "x") == ("text", 0)


def test_people_urls_and_known_values_are_cut_and_given_back() -> None:
    text, removed, _ = redacted(
        "Ask for Mary Ann Sample or Dr. Paul de la Cruz at 305-555-0100. See harbour.example.org/x or WWW.HARBOUR.NET. "
        "Jane Roe: jane@roe.example. Room Hidden Seven. Call the Main Office.",
        NOBODY,
        [("address", "room hidden seven"), ("phone", "")],
        regions=("US",),
    )
    assert text == "Ask for […] or Dr. […] at […]. See […] or […]. […]. […]. Call the Main Office."
    assert sorted(removed) == [
        ("address", "Room Hidden Seven"),
        ("email", "jane@roe.example"),
        ("person", "Jane Roe"),
        ("person", "Mary Ann Sample"),
        ("person", "Paul de la Cruz"),
        ("phone", "305-555-0100"),
        ("url", "WWW.HARBOUR.NET"),
        ("url", "harbour.example.org/x"),
    ]


def test_urls_stay_when_they_are_to_be_published() -> None:
    text, removed, _ = redacted("See www.harbour.example.org.", NOBODY, (), regions=("US",), keep_urls=True)
    assert (text, removed) == ("See www.harbour.example.org.", ())


def test_a_text_of_marks_says_nothing() -> None:
    assert not says_something("Call […]")
    assert says_something("Call […] early")


def test_texts_are_shortened_at_a_word() -> None:
    assert shortened("one two three", 9) == "one two…"
    assert shortened("onetwothree", 5) == "onet…"
    assert shortened("one", 5) == "one"
