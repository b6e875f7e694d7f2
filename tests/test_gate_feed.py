"""The feeds of the gate: slices, changes for peers, and changes for clients that follow their view."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import gate_oracle as oracle
import pytest
from gate_world import (
    CONTEXT,
    NEAR,
    NOBODY,
    PARTNER,
    PEER,
    PUBLIC,
    SECRET,
    STEWARD,
    VIEWERS,
    Sample,
    all_scopes,
    empty_sample,
    entry,
    facts_of,
    insert,
    own_row,
    sample,
    viewer,
)
from sqlalchemy import text

from federation.errors import BadInput
from federation.policies.terms import labels
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.registry import RECORD_TYPES
from federation.records.rows import accept_values, bits, step_values
from federation.storage import journal
from federation.storage.database import Database
from federation.storage.ids import global_id, pairwise_id, parse_wire_id, wire_id
from federation.storage.journal import START
from federation.storage.revisions import tier_masks
from federation.storage.slices import Item

GRANT = {"title": "Emergency grant", "kind": "emergency_grant", "area": "KE-30", "expectations": "No travel."}
PLENTY = 1 << 30


def shown_id(one: oracle.Seen, who: Viewer) -> bytes:
    made = one.type.key == "need" and not who.at_home
    return pairwise_id(SECRET, who.subject, one.row["id"]) if made else one.row["id"]


def all_of(made: Sample, who: Viewer, key: str, limit: int = 4) -> list[Item]:
    """The whole slice, page by page."""
    found: list[Item] = []
    while True:
        part = made.gate.slice(who, key, found[-1].id if found else b"", limit)
        found += part
        if len(part) < limit:
            return found


def wired(one: oracle.Seen, name: str, step: str) -> Any:
    """The wire form of a step from the cells of a row."""
    kind = one.type.fields[name].kind.name
    cell = {suffix: one.row.get(f"{name}__{step}{suffix}") for suffix in ("", "__tr", "__up", "__lo", "__hi", "__p")}
    if kind == "period":
        return cell["__p"] and {"start": cell["__lo"], "end": cell["__hi"], "precision": cell["__p"]}
    if kind in ("amount", "count"):
        suffixes = {"minimum": "__min", "maximum": "__max", "currency": "__cur", "precision": "__p"}
        parts = {part: one.row.get(f"{name}__{step}{end}") for part, end in suffixes.items()}
        return cell["__p"] and {part: parts[part] for part in parts if part != "currency" or kind == "amount"}
    if kind == "place":
        columns = ("__code", "__subdivision", "__country", "__sub", "__m49", "__region")
        codes = [one.row[f"{name}__{step}{end}"] for end in columns]
        return list(dict.fromkeys(code for code in codes if code)) or None
    if cell[""] is None:
        return None
    if kind == "text" and cell["__tr"]:
        return {"text": cell[""], "tr": json.loads(cell["__tr"])}
    if kind == "code" and cell["__up"]:
        return cell["__up"].strip("|").split("|")
    return json.loads(cell[""]) if kind == "codes" else bool(cell[""]) if kind == "flag" else cell[""]


def expected_values(one: oracle.Seen) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, finest in one.projection.steps.items():
        steps = [step.name for step in one.type.fields[name].open_steps]
        values = {step: wired(one, name, step) for step in steps[steps.index(finest) :]}
        if known := {step: value for step, value in values.items() if value is not None}:
            found[name] = known
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_a_slice_is_the_view_in_the_order_of_shown_ids(database: Database, seed: int) -> None:
    made = sample(database, seed, 16)
    for who in VIEWERS:
        for key in RECORD_TYPES:
            rows = sorted(oracle.seen(made, who, key), key=lambda one: shown_id(one, who))
            items = all_of(made, who, key)
            assert [item.id for item in items] == [shown_id(one, who) for one in rows]
            for item, one in zip(items, rows, strict=True):
                line = json.loads(item.line)
                assert json.dumps(line, ensure_ascii=False, separators=(",", ":")) == item.line
                pseudonym = line["v"].pop("network", None) if key == "need" else None
                values = expected_values(one)
                assert (values.pop("network", None) is None) == (pseudonym is None) or key != "need"
                assert line["v"] == values
                assert (line["k"], line["t"], parse_wire_id(line["i"])) == ("put", key, item.id)
                numbers = [1, 1, 0] if one.row["via"] else expected_revisions(made, one, item.mask)
                assert (line["r"], line["h"]) == (numbers, one.row["handling"])
                assert line.get("o") == (None if key == "need" and not who.at_home else OWNERS[one.row["origin"]])
                assert ("T" in line) == (one.row["terms"] != 0)
                assert json.dumps(line["path"], separators=(",", ":")) == (one.row["path"] or "[]")
                if line["v"]:
                    accept_values(RECORD_TYPES[key], line["v"], CONTEXT)


def expected_revisions(made: Sample, one: oracle.Seen, mask: int) -> list[int]:
    """The numbers of an own record that was never changed: one for each tier of which something may be seen."""
    tiers = tier_masks(one.type.key, labels(made.policy, one.type.key), one.row["handling"])
    return [int(bool(tier & mask)) for tier in tiers]


OWNERS = ("own-thumbprint", "origin-one", "origin-two")


def test_what_goes_on_the_wire_is_what_the_kinds_say_in_python(database: Database) -> None:
    made = empty_sample(database)
    rng = random.Random(4)
    for key, kind in RECORD_TYPES.items():
        from gate_world import random_document

        documents = {rng.randbytes(16): random_document(rng, kind) for _ in range(12)}
        insert(database, key, *(own_row(key, document, id=id) for id, document in documents.items()))
        for item in made.gate.slice(STEWARD, key, b"", 100):
            expected = step_values(kind, documents[item.id], None, CONTEXT)
            found = json.loads(item.line)["v"]
            assert found == {name: steps for name, steps in expected.items() if name in found}
            assert {name for name in expected if kind.fields[name].open_steps} == set(found)
            mask = {bits(kind)[bit] for bit in range(len(bits(kind))) if item.mask >> bit & 1}
            assert {(name, step) for name, steps in found.items() for step in steps} <= mask


def test_a_viewer_gets_the_numbers_of_the_tiers_that_it_sees(database: Database) -> None:
    made = empty_sample(database)
    insert(database, "resource", own_row("resource", GRANT, id=b"a" * 16))
    told = {PUBLIC: [1, 0, 0], NEAR: [1, 1, 0], PARTNER: [1, 1, 1], PEER: [1, 1, 1]}
    for who, numbers in told.items():
        assert json.loads(made.gate.slice(who, "resource", b"", 9)[0].line)["r"] == numbers


def write(
    made: Sample, key: str, id: bytes, change: str, steps: set[tuple[str, str]] | None = None, **facts: Any
) -> None:
    """Changes a stored row and journals it. `change`: SET clauses; `steps`: those that changed; `facts`: new facts."""
    kind = RECORD_TYPES[key]
    mask = sum(1 << bit for bit, each in enumerate(bits(kind)) if each in (steps or set()))
    with made.database.write() as connection:
        found = connection.execute(text(f"SELECT * FROM {kind.table} WHERE id = :id"), {"id": id}).mappings().one()
        row = dict(found) | {"id": bytes(found["id"])}
        before, after = facts_of(row), facts_of(row | facts)
        sets = ", ".join([*(f"{name} = '{value}'" for name, value in facts.items()), *([change] if change else [])])
        if sets:
            connection.execute(text(f"UPDATE {kind.table} SET {sets} WHERE id = :id"), {"id": id})
        journal.append(connection, [entry(key, row, row["rid"], before, after, mask)])


def lines(made: Sample, who: Viewer, after: Any = START, size: int = PLENTY) -> list[tuple[str, str, str]]:
    return [(item.kind, item.type, item.gid) for item in made.gate.since(who, after, size).items]


def gid(id: bytes, key: str = "resource") -> str:
    return global_id(key, "own-thumbprint", id)


A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def test_changes_tell_what_comes_goes_and_differs_and_nothing_else(database: Database) -> None:
    made = empty_sample(database)
    insert(database, "resource", *(own_row("resource", GRANT, id=id) for id in (A, B, C)), journaled=True)
    start = made.gate.since(NEAR, START, PLENTY)
    assert [item.kind for item in start.items] == ["put"] * 3
    assert not start.more
    assert lines(made, NOBODY) == []
    after = start.next
    write(made, "resource", A, "area__exact__code = 'KE'", {("area", "exact")})
    write(made, "resource", A, "provider__exact = 'x'", {("provider", "exact")})
    assert lines(made, NEAR, after) == []
    assert made.gate.since(NEAR, after, PLENTY).next == after
    assert made.gate.since(NEAR, after, PLENTY).scanned > after
    assert lines(made, STEWARD, after) == [("put", "resource", gid(A))]
    write(made, "resource", B, "title__exact = 'New'", {("title", "exact")})
    write(made, "resource", A, "", status="withdrawn")
    write(made, "resource", C, "", handling=1)
    assert lines(made, NEAR, after) == [
        ("put", "resource", gid(B)),
        ("withdraw", "resource", gid(A)),
        ("put", "resource", gid(C)),
    ]
    assert lines(made, PUBLIC, after) == [
        ("put", "resource", gid(B)), ("withdraw", "resource", gid(A)), ("withdraw", "resource", gid(C))
    ]  # fmt: skip
    withdrawn = json.loads(made.gate.since(NEAR, after, PLENTY).items[1].line)
    assert withdrawn == {"k": "withdraw", "t": "resource", "i": wire_id(A), "o": "own-thumbprint"}
    write(made, "resource", C, "", handling=2)
    assert lines(made, PUBLIC, after)[2:] == [("withdraw", "resource", gid(C))]
    assert lines(made, PARTNER, after)[2:] == [("put", "resource", gid(C))]
    write(made, "resource", A, "", status="shared")
    assert lines(made, NEAR, after)[-1] == ("put", "resource", gid(A))


def test_a_record_that_came_and_went_unseen_is_not_told(database: Database) -> None:
    made = empty_sample(database)
    insert(database, "resource", own_row("resource", GRANT, id=A, status="draft"), journaled=True)
    write(made, "resource", A, "", status="shared")
    write(made, "resource", A, "", status="withdrawn")
    assert lines(made, NEAR) == []


def test_other_terms_and_other_arms_are_told(database: Database) -> None:
    from test_gate import open_terms, received

    made = empty_sample(database)
    received(made, open_terms(made.policy), A)
    received(made, open_terms(made.policy, hops=3), B)
    received(made, open_terms(made.policy, caps={"title": None}), C)
    for other in (2, 3):
        made_before = made.gate.since(NEAR, START, PLENTY).scanned
        write(made, "resource", A, "", terms=other)
        found = made.gate.since(NEAR, made_before, PLENTY).items
        assert [item.kind for item in found] == ["put"]
        assert json.loads(found[0].line)["T"] == made.terms[other][1].hash + str(other)
        assert ("title" in json.loads(found[0].line)["v"]) is (other == 2)
    assert [item.terms for item in all_of(made, NEAR, "resource")] == [3, 2, 3]
    for facts in ({"relay": 0}, {"relay": 1, "hops_left": 0}):
        before = made.gate.since(STEWARD, START, PLENTY).scanned
        write(made, "resource", B, "", **facts)
        kinds = [[item.kind for item in made.gate.since(who, before, PLENTY).items] for who in (NEAR, PEER)]
        assert kinds == ([["withdraw"], ["withdraw"]] if facts == {"relay": 0} else [["put"], []])


def test_pages_of_changes_end_at_their_size_and_go_on(database: Database) -> None:
    made = empty_sample(database)
    ids = [bytes([n]) * 16 for n in range(1, 30)]
    for id in ids:
        insert(database, "resource", own_row("resource", GRANT, id=id), journaled=True)
    seen: list[str] = []
    after, more = START, True
    while more:
        page = made.gate.since(NEAR, after, 2000)
        assert 1 <= len(page.items) < 20
        assert sum(len(item.line) for item in page.items[:-1]) < 2000
        seen += [item.gid for item in page.items]
        after, more = page.next, page.more
    assert seen == [gid(id) for id in ids]
    with database.read() as connection:
        scanned = made.gate.since(NEAR, START, 1, scanned=after, connection=connection)
        assert scanned.items == ()
        assert len(made.gate.slice(NEAR, "resource", b"", 50, connection=connection)) == 29


def test_many_changes_are_read_in_parts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.storage.slices.READ_AT_ONCE", 3)
    monkeypatch.setattr("federation.storage.slices.WINDOW", 5)
    monkeypatch.setattr("federation.storage.slices.IDS_AT_ONCE", 2)
    made = empty_sample(database)
    for n in range(1, 9):
        insert(database, "resource", own_row("resource", GRANT, id=bytes([n]) * 16), journaled=True)
        write(made, "resource", bytes([n]) * 16, "", {("provider", "exact")})
    first = made.gate.since(NEAR, START, 1000)
    rest = made.gate.since(NEAR, first.next, PLENTY)
    assert [item.gid for item in (*first.items, *rest.items)] == [gid(bytes([n]) * 16) for n in range(1, 9)]
    assert (first.more, rest.more) == (True, False)
    page = made.gate.changes(NEAR, None, 4)
    assert (len(page.items), page.more, page.reset) == (4, True, True)
    page = made.gate.changes(NEAR, page.cursor, 100)
    assert (len(page.items), page.more, page.reset) == (4, False, False)
    for n in range(1, 9):
        write(made, "resource", bytes([n]) * 16, "", {("provider", "exact")})
    assert made.gate.changes(NEAR, page.cursor, 100).cursor == page.cursor


def test_changes_that_cancel_each_other_do_not_stop_the_feed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.storage.slices.WINDOW", 3)
    made = empty_sample(database)
    for n in range(1, 8):
        insert(database, "resource", own_row("resource", GRANT, id=bytes([n]) * 16, status="draft"), journaled=True)
        write(made, "resource", bytes([n]) * 16, "", status="shared")
        write(made, "resource", bytes([n]) * 16, "", status="withdrawn" if n < 7 else "shared")
    after, more, puts = START, True, []
    while more:
        found = made.gate.since(NEAR, after, 100)
        assert found.items
        puts += [item.gid for item in found.items if item.kind == "put"]
        after, more = found.next, found.more
    assert puts == [gid(bytes([7]) * 16)]


def twin(make_database: Any, hidden: bool, who: Viewer) -> list[Any]:
    """All feeds of a world, with or without writes that the viewer cannot see."""
    made = empty_sample(make_database("sqlite"))
    found: list[Any] = []
    cursor = None
    position = START
    for n in range(1, 12):
        id = bytes([n]) * 16
        if hidden:
            insert(made.database, "resource", own_row("resource", GRANT, id=b"h" + id[1:], handling=3), journaled=True)
            insert(
                made.database,
                "need",
                own_row("need", {"kind": "other"}, id=b"h" + id[1:], status="draft"),
                journaled=True,
            )
        insert(made.database, "resource", own_row("resource", GRANT, id=id), journaled=True)
        if hidden:
            write(made, "resource", id, "provider__exact = 'x'", {("provider", "exact")})
            write(made, "resource", b"h" + id[1:], "", {("title", "exact")})
        if n % 4 == 0:
            write(made, "resource", id, "", status="withdrawn")
        page = made.gate.changes(who, cursor, 3)
        cursor = page.cursor
        changes = made.gate.since(who, position, 500)
        position = changes.next
        found.append([item.line for item in page.items] + [page.cursor, page.more, page.reset])
        found.append([item.line for item in changes.items] + [changes.more])
    return found


@pytest.mark.parametrize("who", [PUBLIC, NEAR, PEER])
def test_hidden_writes_change_no_byte_of_any_feed(make_database: Any, who: Viewer) -> None:
    assert twin(make_database, False, who) == twin(make_database, True, who)


def test_needs_come_and_go_under_the_id_of_the_peer(database: Database) -> None:
    made = empty_sample(database)
    insert(database, "need", own_row("need", {"kind": "legal_support", "network": "River"}, id=A), journaled=True)
    put = made.gate.since(PEER, START, PLENTY).items[0]
    shown = pairwise_id(SECRET, PEER.subject, A)
    line = json.loads(put.line)
    assert (put.id, line["i"]) == (shown, wire_id(shown))
    assert "o" not in line
    assert len(line["v"]["network"]["pseudonym"]) == 20
    assert put.gid == global_id("need", "", shown)
    after = put.position
    assert after is not None
    write(made, "need", A, "", status="withdrawn")
    gone = made.gate.since(PEER, after, PLENTY).items[0]
    assert json.loads(gone.line) == {"k": "withdraw", "t": "need", "i": wire_id(shown)}
    assert (gone.kind, gone.gid) == ("withdraw", put.gid)
    received = replace(PEER, subject="https://other.example")
    assert made.gate.since(received, after, PLENTY).items[0].id != shown


def test_a_client_follows_its_view_from_all_of_it_to_each_change(database: Database) -> None:
    made = empty_sample(database)
    insert(database, "resource", *(own_row("resource", GRANT, id=id) for id in (A, B)), journaled=True)
    insert(database, "practice", own_row("practice", {"title": "x", "text": "y"}, id=C), journaled=True)
    page = made.gate.changes(NEAR, None, 2)
    assert (page.reset, page.more, [item.gid for item in page.items]) == (True, True, [gid(A), gid(B)])
    insert(database, "resource", own_row("resource", GRANT, id=b"0" * 16), journaled=True)
    page = made.gate.changes(NEAR, page.cursor, 2)
    assert (page.reset, page.more, len(page.items)) == (False, False, 2)
    assert {item.gid for item in page.items} == {gid(C, "practice"), gid(b"0" * 16)}
    still = made.gate.changes(NEAR, page.cursor, 2)
    assert (still.items, still.cursor, still.more) == ((), page.cursor, False)
    write(made, "resource", A, "", status="withdrawn")
    gone = made.gate.changes(NEAR, still.cursor, 1)
    assert [(item.kind, item.gid) for item in gone.items] == [("withdraw", gid(A))]
    assert len(made.gate.changes(NEAR, None, 100, ("practice",)).items) == 1
    assert made.gate.changes(NEAR, None, 0).more


def test_a_client_begins_anew_when_its_view_or_the_journal_has_changed(database: Database) -> None:
    made = empty_sample(database)
    insert(database, "resource", *(own_row("resource", GRANT, id=id) for id in (A, B)), journaled=True)
    page = made.gate.changes(NEAR, None, 10)
    wider = made.gate.changes(replace(NEAR, scopes=frozenset(all_scopes("partner"))), page.cursor, 10)
    assert (wider.reset, len(wider.items)) == (True, 2)
    assert made.gate.changes(replace(NEAR, subject="another"), page.cursor, 10).reset
    for broken in ("", "nonsense", page.cursor[:-2] + "AA"):
        with pytest.raises(BadInput):
            made.gate.changes(NEAR, broken, 10)
    with pytest.raises(BadInput):
        made.gate.changes(NEAR, None, 101)
    with database.write() as connection:
        journal.prune(connection, journal.head(connection))
    again = made.gate.changes(NEAR, page.cursor, 10)
    assert (again.reset, len(again.items)) == (True, 2)
    assert not made.gate.changes(NEAR, again.cursor, 10).reset
    write(made, "resource", A, "", {("title", "exact")})
    told = made.gate.changes(NEAR, again.cursor, 10)
    assert (told.reset, [item.gid for item in told.items]) == (False, [gid(A)])
    write(made, "resource", B, "", {("title", "exact")})
    with database.write() as connection:
        journal.prune(connection, journal.head(connection))
    assert made.gate.changes(NEAR, again.cursor, 10).reset


def test_followed_changes_above_open_are_in_the_ledger(database: Database) -> None:
    made = empty_sample(database)
    insert(database, "resource", own_row("resource", GRANT, id=A), journaled=True)
    made.gate.changes(PUBLIC, None, 10)
    assert (made.ledger.entered, made.ledger.counted) == ([], [("changes", "resource", 1)])
    made.gate.changes(NEAR, None, 10)
    assert [each[:4] for each in made.ledger.entered] == [(NEAR.subject, "changes", "resource", (gid(A),))]
    made.gate.since(viewer(ViewerKind.PEER, *all_scopes("community")), START, PLENTY)
    assert len(made.ledger.entered) == 1
