"""The line of every key, in every way that TOML can write it; texts that are not TOML stop quietly."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.policies.locating import MAX_DEPTH, locate

TEXT = (
    r'''# [not.a.table]
[resource] # a = "comment"
title = "open"
"amount".exact = "partner"
'amount' . band = """
[need]
deadline = 1 \""" still text""""
area = { exact = "network", country = 'part#ner', "sub_region" = "open" }

[resource.horizon]
exact = [ # first
  ["resource:partner"],
  [
    "fundingCall:partner", # with
    "resource:community",
  ],
]
text = '''
    + "'''\nx = 1\n'''''"
    + r"""
empty = ""
when = 1979-05-27 07:32:00
flag = true
none = {}
list = [ ]

[[rows]]
a = 1
[fundingCall]
"\u0061b.c" = 1
dates.month = { opens = "open", affiliation = [ "none",
   "intergovernmental" ] }
"""
)


def paths(value: object, at: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Every path of a parsed document, the independent way."""
    found = {at} if at else set()
    if isinstance(value, dict):
        for key, one in value.items():
            found |= paths(one, (*at, key))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            found |= paths(one, (*at, place))
    return found


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("resource",), 2),
        (("resource", "title"), 3),
        (("resource", "amount"), 4),
        (("resource", "amount", "exact"), 4),
        (("resource", "amount", "band"), 5),
        (("resource", "area"), 8),
        (("resource", "area", "country"), 8),
        (("resource", "area", "sub_region"), 8),
        (("resource", "horizon"), 10),
        (("resource", "horizon", "exact"), 11),
        (("resource", "horizon", "exact", 0), 12),
        (("resource", "horizon", "exact", 1), 13),
        (("resource", "horizon", "exact", 1, 1), 15),
        (("resource", "horizon", "text"), 18),
        (("resource", "horizon", "when"), 22),
        (("rows",), 27),
        (("fundingCall",), 29),
        (("fundingCall", "ab.c"), 30),
        (("fundingCall", "dates", "month", "affiliation"), 31),
        (("fundingCall", "dates", "month", "affiliation", 1), 32),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_key_stands_on_its_line(path: tuple[str | int, ...], line: int, ending: str) -> None:
    assert locate(TEXT.replace("\n", ending)).line(path) == line


def test_every_path_of_the_document_has_a_line_and_no_other() -> None:
    document = tomllib.loads(TEXT)
    document["rows"] = document["rows"][0]
    places = locate(TEXT)
    assert places.fault is None
    assert set(places.lines) == paths(document)


def test_a_path_that_is_not_written_stands_where_the_nearest_key_around_it_does() -> None:
    places = locate(TEXT)
    assert places.line(("resource", "title", "opens")) == 3
    assert places.line(("nowhere",)) is None
    assert locate("").line(("nowhere",)) is None


def test_an_assignment_is_known_by_the_line_on_which_it_ends() -> None:
    assert locate(TEXT).starts[17] == 11
    assert locate(TEXT).starts[3] == 3


@pytest.mark.parametrize(
    "text",
    ["a", "a =", "a = ]", "= 1", "[a", "[[a]", "a = [1", "a = [1 2]", "a = {b", "a = {b = 1", "a = {b = 1 c = 2}",
     'a = "open', "a = '''x", '"\\q" = 1', '"""a""" = 1', "a.b. = 1", "a = 1\n\x00"],
)  # fmt: skip
def test_what_is_not_toml_stops_quietly(text: str) -> None:
    places = locate("ok = 1\n" + text)
    assert places.lines[("ok",)] == 1
    assert places.fault is None


def test_what_is_too_deep_or_too_long_is_told_with_its_line() -> None:
    assert locate("ok = 1\na = " + "[" * 5000).fault == (2, "nested too deeply for a policy")
    assert locate("\n\na = " + "{a = " * 5000).fault == (3, "nested too deeply for a policy")
    assert locate("ok = 1\na = " + "9" * 5000).fault == (2, "a number or date is too long")
    assert locate("a = " + "[" * MAX_DEPTH + "]" * MAX_DEPTH).fault is None


keys = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=5)
values = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text("ab\"'#[]{}=,. \\\n", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def printed(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {printed(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(f"\n  {printed(one)} # ]" + "\n" for one in value) + "]"
    if isinstance(value, str):
        return f"'''\n{value}'''" if "''" not in value and not value.endswith("'") else quoted(value)
    return str(value)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(keys, values, max_size=4))
def test_generated_documents_are_found_whole(document: dict[str, object]) -> None:
    lines, expected = [], {}
    for key, value in document.items():
        lines.append("# " + quoted(key) + " = 1")
        expected[key] = "\n".join(lines).count("\n") + 2
        lines.append(f"{quoted(key)} = {printed(value)}")
    text = "\n".join(lines)
    assert tomllib.loads(text) == document
    places = locate(text)
    assert set(places.lines) == paths(document)
    assert {key: places.line((key,)) for key in document} == expected


@settings(max_examples=200, deadline=None)
@given(st.text("ab.=[]{}\"'#,\n \\1", max_size=30))
def test_no_text_hangs_it_and_every_toml_is_read_to_its_end(text: str) -> None:
    places = locate(text)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert places.fault is None
    assert {path for path in paths(document) if len(path) == 1} <= set(places.lines)
