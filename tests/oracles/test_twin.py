"""Two worlds that differ only in what is hidden from a viewer answer it with identical bytes, whatever it asks: bodies,
headers, cursors, costs, tokens, errors. Nothing is masked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from federation.policies.tiers import Tier
from oracles.checks import Expected
from oracles.decode import cell_tokens
from oracles.network import Said, changes, reconcile, standing
from oracles.questions import Question, Questions
from oracles.schemas import endpoint_of
from oracles.stage import MIXED, NARROWED
from oracles.twins import Twin, build, copy_home, enter, write_hidden, write_visible
from oracles.worlds import Clock, Sees, everyone, make_home

VIEWERS = {
    "public": Sees("public", everyone(Tier.OPEN)),
    "client-mixed": Sees("client-mixed", MIXED),
    "peer-community": Sees("peer-community", everyone(Tier.COMMUNITY), "none", peer=True),
    "peer-partner": Sees("peer-partner", everyone(Tier.PARTNER), "foreign_state", peer=True),
    "client-narrow": Sees("peer-narrow", everyone(Tier.PARTNER), "none", NARROWED, peer=True),
}
EXCHANGING = ("peer-community", "peer-partner")
PROBING = ("public", "client-mixed", "client-narrow")
"""Who also puts every filter, order and word."""


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> tuple[Path, list]:  # type: ignore[type-arg]
    """The home of the first world, closed, and its records."""
    home = make_home(tmp_path_factory.mktemp("first"), "river", Clock(), sqlite_template, place_k=1)
    twin = build(home, None)
    twin.close()
    return home, twin.records


def questions_of(twin: Twin, records: list, name: str) -> list[Question]:  # type: ignore[type-arg]
    """What a viewer asks: everything once; of filters, orders and words each of those who probe takes its part."""
    every = Questions(endpoint_of(twin.node)._core, records).everything()
    part = PROBING.index(name) if name in PROBING else None
    found = []
    for number, question in enumerate(every):
        probing = question.name.startswith(("filter", "order", "word")) or question.root == "node"
        if not probing or number % len(PROBING) == part:
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
    between()
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


def differences(one: Twin, other: Twin, questions: Sequence[Question]) -> list[str]:
    """The answers that differ, each with the place where it does."""
    bodies = {question.body: question for question in questions}
    found = []
    for said, twin_said in zip(one.heard, other.heard, strict=True):
        asked = bodies.get(said.asked)
        where = f"{said.method} {said.url} {asked.root + ' ' + asked.name if asked else said.asked[:80]!r}"
        if said.whole != twin_said.whole:
            found.append(f"{where}: {first_difference(said, twin_said)}")
    return found


def compare(one: Twin, other: Twin, questions: Sequence[Question]) -> None:
    """Fails with the answers that differ."""
    found = differences(one, other, questions)
    assert not found, f"{len(found)} answers differ:\n" + "\n".join(found[:12])
    assert len(one.heard) > 50


def first_difference(one: Said, other: Said) -> str:
    """Where two answers begin to differ, in a few words."""
    if (one.status, one.headers) != (other.status, other.headers) and one.unpacked == other.unpacked:
        return f"{one.status} {one.headers} / {other.status} {other.headers}"
    left, right = one.unpacked, other.unpacked
    at = next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    return f"at {at}: …{left[max(0, at - 60) : at + 60]!r} / …{right[max(0, at - 60) : at + 60]!r}"


@pytest.fixture
def closing() -> Iterator[list[Twin]]:
    opened: list[Twin] = []
    yield opened
    for twin in opened:
        twin.close()


@pytest.mark.parametrize("name", VIEWERS)
def test_what_is_hidden_changes_no_byte_of_any_answer(
    tmp_path: Path,
    sqlite_template: Path,
    first_home: tuple[Path, list],
    closing: list[Twin],
    name: str,  # type: ignore[type-arg]
) -> None:
    sees = VIEWERS[name]
    home, records = first_home
    one = open_copy(home, tmp_path / "one" / "river", records)
    closing.append(one)
    other = build(make_home(tmp_path / "other", "river", Clock(), sqlite_template, place_k=1), sees)
    closing.append(other)
    assert_different(one, other, sees)
    for twin in (one, other):
        enter(twin, sees)
        questions = questions_of(twin, records, name)
        live(twin, name, questions, lambda twin=twin: write_hidden(twin, sees) if twin is other else None)  # type: ignore[misc]
    compare(one, other, questions)


def open_copy(home: Path, to: Path, records: list) -> Twin:  # type: ignore[type-arg]
    """The first world once more."""
    from oracles.network import Network
    from oracles.stage import joined
    from oracles.worlds import open_home

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
