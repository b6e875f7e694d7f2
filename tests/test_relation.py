"""Random pages of random viewers, on both databases, against an oracle that reads rows one by one."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import gate_oracle as oracle
import pytest
from gate_world import (
    MEMBER,
    NEAR,
    PARTNER,
    PEER,
    PUBLIC,
    SECRET,
    STEWARD,
    VIEWERS,
    Sample,
    all_scopes,
    sample,
    viewer,
)
from sqlalchemy import event

from federation.errors import ForbiddenField
from federation.gate import OrderBy, PageRequest, ShapeField
from federation.policies.viewer import AFFILIATIONS, Agreement, Viewer, ViewerKind
from federation.records.filters import Cond
from federation.records.registry import RECORD_TYPES
from federation.records.rows import columns
from federation.storage import relation as relation_module
from federation.storage import searching
from federation.storage.database import Database
from federation.storage.dialect import POSTGRESQL, SQLITE
from federation.storage.ids import global_id, pairwise_id
from federation.storage.pairwise import add_functions

FACTS = ("__typename", "id", "type", "status", "handling")


def shape_of(type_key: str, language: str | None = None) -> tuple[ShapeField, ...]:
    """Every field and fact of a type."""
    return (
        *(ShapeField(name, name) for name in FACTS),
        *(ShapeField(name, name, language=language) for name in RECORD_TYPES[type_key].fields),
    )


SHAPES = {key: shape_of(key) for key in RECORD_TYPES}


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def random_viewer(rng: random.Random) -> Viewer:
    """A viewer with a random scope of most types, sometimes a peer with narrowed fields."""
    scopes = [f"{key}:{rng.choice(('open', 'community', 'partner'))}" for key in RECORD_TYPES if rng.random() < 0.9]
    affiliation = rng.choice((None, *AFFILIATIONS))
    if rng.random() < 0.3:
        return viewer(ViewerKind.CLIENT, *scopes, affiliation=affiliation, subject=f"client {rng.random()}")
    narrowing = {}
    for _ in range(rng.randint(0, 6)):
        key = rng.choice(list(RECORD_TYPES))
        name = rng.choice(list(RECORD_TYPES[key].fields))
        narrowing[key, name] = rng.choice((None, *RECORD_TYPES[key].fields[name].step_names))
    agreement = Agreement(frozenset(scopes), "coordination", None, narrowing)
    return viewer(
        ViewerKind.PEER, *scopes, affiliation=affiliation, agreement=agreement, subject=f"peer {rng.random()}"
    )


def walk(made: Sample, who: Viewer, request: PageRequest) -> list[str]:
    """The JSON of all pages, one after the other."""
    found: list[str] = []
    after = None
    while True:
        page = made.gate.page(who, PageRequest(**{**request.__dict__, "after": after}))
        assert len(page.rows) <= request.first
        assert page.has_previous is (after is not None)
        found += [row.json for row in page.rows]
        if not page.has_next:
            return found
        after = page.rows[-1].cursor


def shown_id(one: oracle.Seen, who: Viewer) -> bytes:
    """The 16 bytes under which a row is shown."""
    made = one.type.key == "need" and not who.at_home
    return pairwise_id(SECRET, who.subject, one.row["id"]) if made else one.row["id"]


def shown_gid(one: oracle.Seen, who: Viewer) -> str:
    """The id of a row as it is shown."""
    made = one.type.key == "need" and not who.at_home
    return global_id("need", "", shown_id(one, who)) if made else one.row["gid"]


def masked(found: list[str]) -> list[str]:
    """The rows with one word for every pseudonym."""
    return [re.sub(r'"network":"[A-Za-z0-9_-]{20}"', '"network":"made"', text) for text in found]


def expected_row(one: oracle.Seen, who: Viewer) -> str:
    """The whole JSON of a row; of a need outside, with the id and pseudonym made for the viewer."""
    body = oracle.whole(one)
    body["id"] = shown_gid(one, who)
    if one.type.key == "need" and not who.at_home and body["network"] is not None:
        body["network"] = "made"
    return compact(body)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_page_equals_the_oracle(database: Database, seed: int) -> None:
    made = sample(database, seed, 24)
    rng = random.Random(seed)
    for who in (*VIEWERS, *(random_viewer(rng) for _ in range(6))):
        for key in RECORD_TYPES:
            rows = oracle.seen(made, who, key)
            rows.sort(key=lambda one: shown_id(one, who))
            found = walk(made, who, PageRequest((key,), SHAPES, first=7))
            assert masked(found) == [expected_row(one, who) for one in rows], (who, key)
            assert made.gate.count(who, (key,)) == len(rows)


@pytest.mark.parametrize("seed", range(3))
def test_random_filters_and_orders_equal_the_oracle(database: Database, seed: int) -> None:
    made = sample(database, seed, 40, types=("resource", "fieldVisit", "capacityOffer", "fundingCall", "network"))
    rng = random.Random(seed)
    compared = 0
    for _ in range(70):
        who = rng.choice((PUBLIC, NEAR, PARTNER, PEER, STEWARD, random_viewer(rng)))
        key = rng.choice(list(made.rows))
        kind = RECORD_TYPES[key]
        view = made.gate.visible(who, key)
        names = [name for name, spec in kind.fields.items() if spec.filterable and name in view.fields]
        if not names:
            continue
        where = oracle.random_filter(rng, made, kind, names)
        sortable = [name for name, spec in kind.fields.items() if spec.sortable and name in view.fields]
        order = OrderBy(rng.choice(sortable), rng.random() < 0.5) if sortable and rng.random() < 0.6 else None
        request = PageRequest((key,), SHAPES, where, (order,) if order else (), first=rng.choice((3, 50)))
        rows = [one for one in oracle.seen(made, who, key) if oracle.matches(one, where) is True]
        if order is None:
            implied = next((c for c in _conjuncts(where) if c.op in RANGES and kind.fields[c.field].sortable), None)
            rows = oracle.ordered(rows, implied.field if implied else None, False)
        else:
            rows = oracle.ordered(rows, order.field, order.descending)
        assert walk(made, who, request) == [compact(oracle.whole(one)) for one in rows], (where, order, who)
        assert made.gate.count(who, (key,), where) == len(rows)
        compared += len(rows)
    assert compared > 50


RANGES = ("from", "to", "at_least", "at_most")


def _conjuncts(where: Any) -> Iterator[Any]:
    if hasattr(where, "op"):
        yield where
    elif type(where).__name__ == "And":
        for item in where.items:
            yield from _conjuncts(item)


@pytest.mark.parametrize("common", ["no word is common", "every word is common"])
def test_searches_equal_the_oracle(database: Database, common: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if common == "every word is common":
        monkeypatch.setattr(searching, "FEW", 0)
        monkeypatch.setattr(searching, "ONE_IN", 10**9)
    made = sample(database, 5, 24)
    hits = 0
    for who in (PUBLIC, NEAR, PARTNER, PEER, STEWARD, MEMBER):
        rows = [one for key in RECORD_TYPES for one in oracle.seen(made, who, key)]
        for text in ("help", "LEGAL", "arzte", "help safe", "été", "日本", "nothingness"):
            for types in (("resource",), ("network", "practice"), tuple(RECORD_TYPES))[0 if text == "help" else 2 :]:
                ranked = []
                for one in rows:
                    every, title = oracle.found_by(one, text)
                    if every and one.type.key in types:
                        ranked.append((not title, shown_id(one, who), one))
                ranked.sort(key=lambda each: each[:2])
                found = walk(made, who, PageRequest(types, {}, search=text, first=9))
                mine = [compact({"id": shown_gid(one, who)}) for _, _, one in ranked]
                assert found == mine, (text, types)
                assert made.gate.count(who, types, search=text) == len(ranked)
                hits += len(ranked)
    assert hits > 100


def test_a_page_over_several_types_is_their_union_in_order(database: Database) -> None:
    made = sample(database, 6, 20)
    types = ("resource", "capacityOffer", "fundingCall", "convening", "fieldVisit")
    for who in (PUBLIC, PARTNER, STEWARD):
        rows = [one for key in types for one in oracle.seen(made, who, key)]
        by_id = oracle.ordered(rows, None, False)
        assert walk(made, who, PageRequest(types, SHAPES, first=7)) == [compact(oracle.whole(one)) for one in by_id]
        for descending in (False, True):
            request = PageRequest(types, SHAPES, order=(OrderBy("valid_until", descending),), first=7)
            by_date = oracle.ordered(rows, "valid_until", descending)
            assert walk(made, who, request) == [compact(oracle.whole(one)) for one in by_date]


def test_translations_are_chosen_by_language_with_the_text_as_fallback(database: Database) -> None:
    made = sample(database, 7, 40, types=("resource",))
    for language in ("fr", "sw-KE", "ar"):
        shapes = {"resource": shape_of("resource", language)}
        rows = oracle.ordered(oracle.seen(made, PARTNER, "resource"), None, False)
        expected = [compact(oracle.whole(one, language.split("-")[0])) for one in rows]
        assert walk(made, PARTNER, PageRequest(("resource",), shapes)) == expected


@pytest.fixture
def statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement over records that is executed."""
    seen: list[str] = []

    def fetch(connection: Any, relation: Any, statement: str | None, values: Any) -> Any:
        seen.append(statement or "")
        return relation_module.fetch(connection, relation, statement, values)

    monkeypatch.setattr("federation.gate.fetch", fetch)
    listener = lambda *arguments: seen.append(arguments[2])  # noqa: E731
    event.listen(database._reading, "before_cursor_execute", listener)
    yield seen
    event.remove(database._reading, "before_cursor_execute", listener)


def allowed_columns(made: Sample, who: Viewer, key: str, coarser: bool) -> set[str]:
    """The columns that statements for a viewer may name: of each arm's steps, for the exchange of coarser ones too."""
    steps = set()
    for arm in made.gate.visible(who, key).arms:
        for name, step in arm.projection.steps.items():
            names = RECORD_TYPES[key].fields[name].step_names
            wanted = names[names.index(step) :] if coarser else (step,)
            steps |= {(name, each) for each in wanted}
    return {column.name for column in columns(RECORD_TYPES[key]) if (column.field, column.step) in steps}


def named(statement: str) -> set[tuple[str, str]]:
    """(alias, column) of every step column in a statement."""
    return set(re.findall(r"\b([a-z][a-z0-9]*)\.([a-z0-9_]+?__[a-z0-9_]+)\b", statement))


def test_no_statement_names_a_column_that_the_projection_withholds(database: Database, statements: list[str]) -> None:
    made = sample(database, 8, 6)
    rng = random.Random(8)
    nested = {key: (*SHAPES[key], ShapeField("origin", "origin", nested=SHAPES["network"])) for key in RECORD_TYPES}
    total = 0
    for _ in range(6):
        who = random_viewer(rng)
        networks = allowed_columns(made, who, "network", False)
        for key, kind in RECORD_TYPES.items():
            statements.clear()
            mine = allowed_columns(made, who, key, False)
            name = rng.choice(list(kind.fields))
            request = PageRequest((key,), nested, search="help" if rng.random() < 0.3 else None)
            made.gate.page(who, request)
            spec = kind.fields[name]
            if spec.filterable:
                try:
                    made.gate.page(who, PageRequest((key,), nested, oracle.random_condition(rng, made, kind, name)))
                    order = (OrderBy(name),) if spec.sortable else ()
                    made.gate.page(who, PageRequest((key,), nested, order=order))
                except ForbiddenField:
                    assert name not in made.gate.visible(who, key).fields
            for statement in statements:
                for alias, column in named(statement):
                    total += 1
                    assert column in (networks if alias.startswith("n") else mine), (who, key, column)
            statements.clear()
            made.gate.slice(who, key, b"", 10)
            for statement in statements:
                assert {column for _, column in named(statement)} <= allowed_columns(made, who, key, True)
    assert total > 300


def explain(made: Sample, statement: str, values: dict[str, Any]) -> str:
    """The plan of a statement, on PostgreSQL as if the table were large."""
    with made.database.reader() as connection:
        if made.database.dialect == "sqlite":
            return "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall())
        for setting in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            connection.execute(f"SET {setting} = off")
        try:
            return "\n".join(row[0] for row in connection.execute(f"EXPLAIN {statement}", values).fetchall())
        finally:
            connection.execute("RESET ALL")


@pytest.mark.parametrize("key", list(RECORD_TYPES))
def test_default_pages_walk_an_index_and_sort_nothing(database: Database, key: str) -> None:
    made = sample(database, 9, 3)
    for who in (PUBLIC, PARTNER, STEWARD):
        if key == "need" and not who.at_home:
            continue  # ids of needs are made for the viewer: there is nothing to walk
        request = PageRequest((key,), SHAPES)
        ready = made.gate.prepare(who, request).relation
        values = {"limit": 21, "after_id": bytes(16), "after_key": None}
        for statement in (ready.first_page, ready.next_page):
            if statement is None:
                continue
            plan = explain(made, statement, values)
            walks = "USING INDEX" if made.database.dialect == "sqlite" else "Index Scan"
            assert walks in plan, plan
            if len(ready.sources) == 1:
                assert "TEMP B-TREE" not in plan
                assert "Sort" not in plan


def test_declared_orders_walk_their_index(database: Database) -> None:
    made = sample(database, 9, 3, types=("fundingCall", "network"))
    for key, field in (("fundingCall", "deadline"), ("fundingCall", "title")):
        for descending in (False, True):
            request = PageRequest((key,), SHAPES, order=(OrderBy(field, descending),), own=True)
            ready = made.gate.prepare(viewer(ViewerKind.CLIENT, *all_scopes("open")), request).relation
            text = ready.first_page
            assert text is not None
            if len(ready.sources) > 1:
                continue
            plan = explain(made, text, {"limit": 21})
            assert "ix_funding_call_" in plan, plan
            assert "TEMP B-TREE" not in plan
            assert "Sort" not in plan


def test_a_reader_gets_the_functions_that_make_ids_once() -> None:
    class Counted:
        makes_ids = False
        made = 0

        def create_function(self, *_: object, **__: object) -> None:
            self.made += 1

    connection = Counted()
    for _ in range(3):
        add_functions(connection)
    assert connection.made == 2


def test_a_common_word_of_sqlite_is_met_on_a_walk_along_the_ids(sqlite_database: Database) -> None:
    made = sample(sqlite_database, 9, 3, types=("resource",))
    request = PageRequest(("resource",), SHAPES, search="help")
    ready = made.gate.prepare(viewer(ViewerKind.CLIENT, *all_scopes("open")), request).relation
    words = {name: make(["help"]) for name, make in ready.words.items()}
    for statement, values in ((ready.first_page, {}), (ready.next_page, {"after_key": 0, "after_id": bytes(16)})):
        assert statement is not None
        plan = explain(made, statement, {"limit": 21, **words, **values})
        assert "MATERIALIZE h" in plan
        assert re.search(r"(SCAN|SEARCH) t USING INDEX (sqlite_autoindex_resource_1|ix_resource_\d+)", plan), plan


@pytest.mark.parametrize("key", ["resource", "capacityOffer"])
def test_the_kind_of_help_may_be_asked_for_in_large_directories_too(database: Database, key: str) -> None:
    made = sample(database, 9, 3, types=(key,))
    request = PageRequest((key,), SHAPES, Cond("kind", "eq", "emergency_grant"), own=True)
    ready = made.gate.prepare(viewer(ViewerKind.CLIENT, *all_scopes("open")), request)
    assert ready.small == ()
    assert ready.relation.first_page is not None
    plan = explain(made, ready.relation.first_page, {"limit": 21, "f0_0": "emergency_grant"})
    table = RECORD_TYPES[key].table
    assert re.search(rf"ix_{table}_\d+ \(kind__exact=\?\)|ix_{table}_\d+ .*\n *Index Cond: \(+kind__exact", plan), plan


def test_the_two_dialects_write_the_same_texts_apart_from_what_they_must() -> None:
    assert SQLITE.param("x") == ":x"
    assert POSTGRESQL.param("x") == "%(x)s"
    assert SQLITE.literal("it's 5%") == "'it''s 5%'"
    assert POSTGRESQL.literal("it's 5%") == "'it''s 5%%'"
    assert SQLITE.concat(["'a'"]) == "'a'"
    many = SQLITE.concat([f"'{n}'" for n in range(130)])
    assert many.count("concat(") == 4
