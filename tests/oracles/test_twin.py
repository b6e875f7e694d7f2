"""Two worlds that differ only in what is hidden from a viewer answer it with identical bytes, whatever it asks: bodies,
headers, cursors, costs, tokens, errors. Nothing is masked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from federation.policies.tiers import Tier
from oracles.checks import Expected
from oracles.decode import cell_tokens
from oracles.faults import FAULTS
from oracles.files import count_in, written_for
from oracles.network import Network, changes, reconcile, standing
from oracles.questions import Question, Questions
from oracles.schemas import endpoint_of
from oracles.seeing import Rec, Sees, everyone
from oracles.stage import MIXED, NARROWED, joined
from oracles.twins import Twin, build, copy_home, differences, enter, write_hidden, write_visible
from oracles.worlds import Clock, make_home, open_home

VIEWERS = {
    "public": Sees("public", everyone(Tier.OPEN)),
    "client-mixed": Sees("client-mixed", MIXED),
    "peer-open": Sees("peer-open", everyone(Tier.OPEN), "none", peer=True),
    "peer-community": Sees("peer-community", everyone(Tier.COMMUNITY), "none", peer=True),
    "peer-partner": Sees("peer-partner", everyone(Tier.PARTNER), "foreign_state", peer=True),
    "peer-narrow": Sees("peer-narrow", everyone(Tier.PARTNER), "none", NARROWED, peer=True),
}
EXCHANGING = ("peer-open", "peer-community", "peer-partner", "peer-narrow")
PROBING = ("public", "client-mixed", "peer-narrow")
"""Who also puts every filter, order and word."""


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> tuple[Path, list[Rec]]:
    """The home of the first world, closed, and its records."""
    home = make_home(tmp_path_factory.mktemp("first"), "river", Clock(), sqlite_template, place_k=1)
    twin = build(home, None)
    twin.close()
    return home, twin.records


def questions_of(twin: Twin, records: list[Rec], name: str) -> list[Question]:
    """What a viewer asks. Of filters, orders, words and ids each of those who probe takes its part, and the rest whole;
    of the others, whose door is the exchange, each takes its part of the rest."""
    every = Questions(endpoint_of(twin.node)._core, records).everything()
    probes = name in PROBING
    whose = PROBING if probes else tuple(each for each in VIEWERS if each not in PROBING)
    found = []
    for number, question in enumerate(every):
        probing = question.name.startswith(("filter", "order", "word")) or question.root == "node"
        if (probes and not probing) or (probes == probing and number % len(whose) == whose.index(name)):
            found.append(question)
    return found


def follow(twin: Twin, after: str | None) -> str | None:
    """The changes after a cursor, to their end; gives the next cursor."""
    query = (
        "query($a: String) { changes(after: $a, first: 100) { cursor more reset changes { id type record { id } } } }"
    )
    for _ in range(20):
        said = twin.caller.post("/graphql", orjson.dumps({"query": query, "variables": {"a": after}}))  # type: ignore[union-attr]
        page = (said.json().get("data") or {}).get("changes")
        if page is None:
            return None
        after = page["cursor"]
        if not page["more"]:
            return after
    raise AssertionError("the changes do not end")


def live(twin: Twin, name: str, questions: list[Question], between: Callable[[], None]) -> None:
    """One life of a viewer beside a node."""
    caller = twin.caller
    assert caller is not None
    for question in questions:
        caller.post("/graphql", question.body)
    cursor = follow(twin, None)
    at = None
    if name in EXCHANGING:
        at = standing(reconcile(caller))
    twin.files += written_for(twin.node, name)
    between()
    twin.files += written_for(twin.node, name)
    again = [each for each in questions if each.name.startswith(("select", "edges", "page"))][::3]
    for step in range(2):
        cursor = follow(twin, cursor)
        if at is not None:
            changes(caller, at)
        for question in again:
            caller.post("/graphql", question.body)
        if step == 0:
            write_visible(twin)
    if name in EXCHANGING:
        reconcile(caller, "again")
    twin.files += written_for(twin.node, name)


def compare(one: Twin, other: Twin, questions: Sequence[Question]) -> None:
    """Fails with the answers that differ."""
    found = differences(one, other, questions)
    assert not found, f"{len(found)} answers differ:\n" + "\n".join(found[:12])
    assert len(one.heard) > 50
    assert [form for form, _ in one.files] == ["hsds", "icalendar"] * 3
    assert all(count_in(form, content) for form, content in one.files)
    assert other.files[:2] == other.files[2:4] != other.files[4:]


@pytest.fixture
def closing() -> Iterator[list[Twin]]:
    opened: list[Twin] = []
    yield opened
    for twin in opened:
        twin.close()


def play(one: Twin, other: Twin, sees: Sees, questions: list[Question]) -> None:
    """The same life of a viewer beside each of two worlds."""
    for twin in (one, other):
        enter(twin, sees)
        live(twin, sees.name, questions, lambda twin=twin: write_hidden(twin, sees) if twin is other else None)  # type: ignore[misc]


@pytest.mark.parametrize("name", VIEWERS)
def test_what_is_hidden_changes_no_byte_of_any_answer(
    tmp_path: Path, sqlite_template: Path, first_home: tuple[Path, list[Rec]], closing: list[Twin], name: str
) -> None:
    sees = VIEWERS[name]
    home, records = first_home
    one = open_copy(home, tmp_path / "one" / "river", records)
    closing.append(one)
    other = build(make_home(tmp_path / "other", "river", Clock(), sqlite_template, place_k=1), sees)
    closing.append(other)
    assert_different(one, other, sees)
    questions = questions_of(one, records, name)
    play(one, other, sees, questions)
    compare(one, other, questions)


def test_what_is_hidden_changes_no_byte_on_postgresql(
    tmp_path: Path, sqlite_template: Path, postgres_pool: Any, closing: list[Twin]
) -> None:
    sees, urls = VIEWERS["peer-community"], [postgres_pool.take(), postgres_pool.take()]
    one, other = [
        build(make_home(tmp_path / str(at), "river", Clock(), sqlite_template, place_k=1, database_url=url), who)
        for at, (url, who) in enumerate(zip(urls, (None, sees), strict=True))
    ]
    try:
        assert_different(one, other, sees)
        found = [each for each in questions_of(one, one.records, "client-mixed") if each.root in ON_POSTGRESQL]
        play(one, other, sees, found)
        compare(one, other, found)
    finally:
        for twin, url in zip((one, other), urls, strict=True):
            twin.close()
            postgres_pool.give_back(url)


ON_POSTGRESQL = ("resources", "needs", "search", "node", "changes", "opportunities")


def open_copy(home: Path, to: Path, records: list[Rec]) -> Twin:
    """The first world once more."""
    clock, network = Clock(), Network()
    to.parent.mkdir(parents=True)
    node = joined(open_home(copy_home(home, to), clock), network)
    return Twin(network, clock, node, records)


def assert_different(one: Twin, other: Twin, sees: Sees) -> None:
    """The twins differ: most of what the viewer must not see stands in one of them alone."""
    hidden = Expected(one.records, sees)
    held = [frozenset().union(*cell_tokens(twin.cells()).values()) for twin in (one, other)]
    secret = (hidden.universe - hidden.allowed) & held[0]
    assert len(secret - held[1]) > len(secret) / 2
    assert held[1] - held[0]


# The twin's own power


TO_SEE_MORE = ("the_search_looks_into_hidden_text", "events_have_a_sequence_of_every_write")
"""Faults that show only to a viewer at `partner`."""
FAULTY_TYPES = ("network", "resource", "need")
ASKED = {
    "counts_are_of_what_is_stored": ("resources", "select"),
    "lists_are_in_the_order_of_arrival": ("resources", "edges"),
    "an_error_tells_what_may_not_be_seen": ("node", "resource"),
    "the_search_looks_into_hidden_text": ("search", "word"),
    "costs_grow_with_what_is_stored": ("resources", "page"),
}
"""What is asked where a fault is looked for: root field and how the names of questions begin; of the others the
exchange and the feed tell."""


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_a_planted_fault_is_noticed(
    tmp_path: Path, sqlite_template: Path, closing: list[Twin], monkeypatch: pytest.MonkeyPatch, fault: str | None
) -> None:
    """And without one nothing is, so that it is the fault that is noticed; nor is it one that breaks the answers, each
    of which would say so under an id of its own."""
    sees = VIEWERS["peer-narrow" if fault in TO_SEE_MORE else "peer-community"]
    if fault is not None:
        FAULTS[fault](monkeypatch)
    for at, who in enumerate((None, sees)):
        home = make_home(tmp_path / str(at), "river", Clock(), sqlite_template, place_k=1)
        closing.append(build(home, who, FAULTY_TYPES))
    one, other = closing
    every = Questions(endpoint_of(one.node)._core, one.records).by_root()
    wanted = ASKED.values() if fault is None else [ASKED.get(fault, ("resources", "page"))]
    found = [each for root, begin in wanted for each in every[root] if each.name.startswith(begin)]
    play(one, other, sees, found)
    assert bool(differences(one, other, found)) == (fault is not None)
    assert not [said.url for twin in closing for said in twin.heard if b'"INTERNAL"' in said.unpacked], "it is broken"
