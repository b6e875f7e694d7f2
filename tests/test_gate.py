"""The door out: who sees what, what is refused, what the ledger has, and that nothing hidden shows."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from gate_world import (
    CODES,
    MEMBER,
    NEAR,
    NOBODY,
    PARTNER,
    PEER,
    PUBLIC,
    SECRET,
    STEWARD,
    FakeLedger,
    Sample,
    add_terms,
    all_scopes,
    empty_sample,
    insert,
    own_row,
    sample,
    some_terms,
    viewer,
)
from sqlalchemy import text

from federation.errors import BadInput, CostExceeded, ForbiddenField, NotFound, Unavailable
from federation.gate import Gate, OrderBy, PageRequest, ShapeField
from federation.policies.rules import load_policy
from federation.policies.terms import Terms, labels
from federation.policies.tiers import Tier
from federation.policies.viewer import Agreement, Viewer, ViewerKind
from federation.records.codes import Area, load
from federation.records.filters import And, Cond, Filter, Not, Or
from federation.records.kinds import Context
from federation.records.registry import RECORD_TYPES, catalogue
from federation.records.rows import step_columns
from federation.storage.bounded import Bounded
from federation.storage.cost import check_fields
from federation.storage.database import Database
from federation.storage.ids import PAIRWISE_ORIGIN, global_id, pairwise_id, parse_global_id

GRANT = {"title": "Emergency grant", "kind": "emergency_grant", "area": "KE-30", "expectations": "No travel."}
ID = bytes(range(16))


def fields(*names: str) -> tuple[ShapeField, ...]:
    return tuple(ShapeField(name, name) for name in names)


def ask(*names: str, types: tuple[str, ...] = ("resource",), **more: Any) -> PageRequest:
    """A request for fields of some types."""
    return PageRequest(types, {key: fields(*names) for key in types}, **more)


def texts(made: Sample, who: Viewer, request: PageRequest) -> list[dict[str, Any]]:
    return [json.loads(row.json) for row in made.gate.page(who, request).rows]


def node(database: Database, *documents: dict[str, Any], **facts: Any) -> Sample:
    """A node with own resources."""
    made = empty_sample(database)
    rows = [
        own_row("resource", GRANT | each, id=bytes([n]) * 16, **facts) for n, each in enumerate(documents or ({},), 1)
    ]
    insert(database, "resource", *rows)
    return made


def test_nobody_sees_nothing_and_is_told_nothing(database: Database) -> None:
    made = node(database)
    for who in (NOBODY, viewer(ViewerKind.PEER), Viewer(ViewerKind.PEER, "p", frozenset({"resource:open"}))):
        assert made.gate.page(who, ask("id", types=tuple(RECORD_TYPES))).rows == ()
        assert made.gate.count(who, ("resource",)) == 0
        assert made.gate.get(who, global_id("resource", "own-thumbprint", b"\1" * 16), fields("id")) is None
        with pytest.raises(ForbiddenField):
            made.gate.page(who, ask("id", where=Cond("kind", "eq", "emergency_grant")))
    assert made.ledger.entered == []


def test_each_viewer_sees_each_field_in_its_own_step(database: Database) -> None:
    made = node(database, {"amount": {"value": "2500", "currency": "EUR"}})
    shape = ask("title", "area", "amount", "handling", "site")
    public, near, partner, home = (texts(made, who, shape)[0] for who in (PUBLIC, NEAR, PARTNER, STEWARD))
    assert public["area"] == {"code": "014", "level": "SUB_REGION"}
    assert public["amount"] is public["handling"] is None
    assert near["amount"] == {"minimum": "1000", "maximum": "5000", "currency": "EUR", "precision": "BAND"}
    assert near["handling"] == "TLP:CLEAR"
    assert partner["area"] == {"code": "KE", "level": "COUNTRY"}
    assert partner["amount"]["precision"] == "EXACT"
    assert home["area"] == {"code": "KE-30", "level": "SUBDIVISION"}
    assert home["site"] is None


def test_handling_hides_the_whole_record(database: Database) -> None:
    made = empty_sample(database)
    rows = [own_row("resource", GRANT, id=bytes([label]) * 16, handling=label) for label in range(5)]
    insert(database, "resource", *rows)
    assert [made.gate.count(who, ("resource",)) for who in (PUBLIC, NEAR, PARTNER, STEWARD)] == [1, 2, 3, 5]


def test_a_record_of_which_no_field_may_leave_is_not_known(database: Database) -> None:
    made = empty_sample(database)
    caps = {name: None for name, spec in RECORD_TYPES["resource"].fields.items() if not spec.common}
    insert(database, "resource", own_row("resource", GRANT, id=ID, caps=caps))
    assert made.gate.count(PARTNER, ("resource",)) == 0
    assert made.gate.count(STEWARD, ("resource",)) == 1


def test_drafts_are_for_those_who_keep_the_node(database: Database) -> None:
    made = node(database, status="draft")
    everything = ask("status", every_status=True)
    assert texts(made, STEWARD, everything) == [{"status": "DRAFT"}]
    assert texts(made, viewer(ViewerKind.MEMBER, "records:write"), everything) == [{"status": "DRAFT"}]
    for who in (MEMBER, PARTNER, PEER, viewer(ViewerKind.CLIENT, "records:write", *all_scopes("partner"))):
        assert texts(made, who, everything) == []
    assert texts(made, STEWARD, ask("status")) == []
    gid = global_id("resource", "own-thumbprint", b"\1" * 16)
    assert made.gate.get(STEWARD, gid, fields("id")) is None
    assert made.gate.get(STEWARD, gid, fields("id"), every_status=True) is not None
    assert made.gate.get(PARTNER, gid, fields("id"), every_status=True) is None


def received(made: Sample, terms: Terms, id: bytes = ID, **facts: Any) -> None:
    """A resource of another origin under terms."""
    with made.database.write() as connection:
        tid = add_terms(connection, made, "resource", terms)
    known = {"terms": tid, "origin": 1, "via": 1, "path": "[]", "hops_left": 1, "relay": int(terms.relay)}
    insert(made.database, "resource", own_row("resource", GRANT, id=id, **{**known, **facts}))


def open_terms(policy: Any, **more: Any) -> Terms:
    """Terms under which everything may be passed on as the default labels say."""
    return Terms(
        **{"relay": True, "hops": 2, "caps": {}, "not_to_affiliation": frozenset(), **more},
        labels=labels(policy, "resource"),
    )


def test_received_records_go_on_only_as_their_origin_lets_them(database: Database) -> None:
    made = empty_sample(database)
    received(made, open_terms(made.policy), b"a" * 16)
    received(made, open_terms(made.policy, relay=False), b"b" * 16)
    received(made, open_terms(made.policy, hops=3), b"c" * 16, hops_left=0)
    received(made, open_terms(made.policy, not_to_affiliation=frozenset({"foreign_state"})), b"d" * 16, not_to=4)
    received(made, open_terms(made.policy, caps={"area": None}), b"e" * 16)
    own_area = {"code": "014", "level": "SUB_REGION"}
    assert [each["area"] for each in texts(made, NEAR, ask("area"))] == [own_area, own_area, own_area, None]
    assert made.gate.count(PEER, ("resource",)) == 3
    assert made.gate.count(PARTNER, ("resource",)) == 3
    assert made.gate.count(replace(NEAR, affiliation=None), ("resource",)) == 3
    assert made.gate.count(MEMBER, ("resource",)) == 5
    assert [arm.own for arm in made.gate.visible(NEAR, "resource").arms] == [True, False]


def test_rows_under_terms_that_are_not_understood_are_not_seen(database: Database) -> None:
    made = empty_sample(database)
    received(made, open_terms(made.policy))
    assert made.gate.count(NEAR, ("resource",)) == 1
    with database.write() as connection:
        connection.execute(text("UPDATE terms SET body = '{}'"))
        add_terms(connection, made, "resource", open_terms(made.policy, hops=7))
    assert made.gate.count(NEAR, ("resource",)) == 0
    assert made.gate.count(STEWARD, ("resource",)) == 0


def test_a_filter_or_order_by_a_withheld_field_is_refused_before_any_look(database: Database) -> None:
    made = node(database)
    for request in (
        ask("id", where=Cond("amount", "at_least", 5)),
        ask("id", where=Not(Or((Cond("kind", "eq", "other"), Cond("amount", "is_null", True))))),
        ask("id", order=(OrderBy("amount"),)),
    ):
        with pytest.raises(ForbiddenField) as refused:
            made.gate.page(PUBLIC, request)
        assert refused.value.field == "amount"
        made.gate.page(NEAR, request)


def test_what_cannot_be_asked_is_told_so(database: Database) -> None:
    made = node(database)
    nowhere: Filter = Cond("area", "within", "XX")
    wrong = (
        ask("nothing"),
        ask("id", types=()),
        ask("id", types=("person",)),
        ask("id", types=("need", "need")),
        ask("id", first=101),
        ask("id", first=-1),
        ask("id", order=(OrderBy("title"), OrderBy("amount"))),
        ask("id", order=(OrderBy("kind"),)),
        ask("id", order=(OrderBy("nothing"),)),
        ask("id", types=("resource", "practice"), order=(OrderBy("nothing"),)),
        ask("id", search="  ...  "),
        ask("id", search=" ".join(f"word{n}" for n in range(20))),
        ask("id", where=Cond("nothing", "eq", "x")),
        ask("id", where=Cond("site", "eq", "x")),
        ask("id", where=Cond("kind", "within", "x")),
        ask("id", where=Cond("kind", "in", ())),
        ask("id", where=Cond("title", "eq", "a\0b")),
        ask("id", where=Cond("title", "eq", "\ud800")),
        ask("id", where=nowhere),
        ask("id", types=("resource", "practice"), where=Cond("nothing", "eq", "x")),
        PageRequest(("resource",), {"resource": (ShapeField("a", "area", parts=(("x", "size"),)),)}),
        PageRequest(("resource",), {"resource": (ShapeField("a", "title", language="'; --"),)}),
    )
    for request in wrong:
        with pytest.raises(BadInput):
            made.gate.page(STEWARD, request)
    with pytest.raises(BadInput):
        made.gate.count(STEWARD, ())


def test_types_that_do_not_have_a_field_match_nothing_by_it(database: Database) -> None:
    made = node(database, {}, {"title": "Course"})
    insert(database, "practice", own_row("practice", {"title": "Course", "text": "x"}, id=ID))
    both = ("resource", "practice")
    assert made.gate.count(NEAR, both) == 3
    assert made.gate.count(NEAR, both, Cond("title", "eq", "Course")) == 2
    assert made.gate.count(NEAR, both, Cond("reach", "is_null", True)) == 2
    assert made.gate.count(NEAR, both, Not(Cond("reach", "is_null", False))) == 2
    assert made.gate.count(NEAR, both, Or((Cond("reach", "has", "rural"), Cond("title", "eq", "Course")))) == 2
    assert made.gate.count(PUBLIC, both, Cond("title", "eq", "Course")) == 1
    assert made.gate.count(NEAR, both, And(())) == 3
    assert made.gate.count(NEAR, both, Or(())) == 0


def test_some_types_can_be_asked_for_less(database: Database) -> None:
    made = node(database, {}, {"title": "Course"})
    insert(database, "convening", own_row("convening", {"title": "Full", "newcomer_places": 0}, id=b"f" * 16))
    insert(database, "convening", own_row("convening", {"title": "Open", "newcomer_places": 3}, id=b"g" * 16))
    also: dict[str, Filter] = {"convening": Cond("newcomer_places", "at_least", 1)}
    request = ask("title", types=("resource", "convening"), also=also)
    assert {each["title"] for each in texts(made, NEAR, request)} == {"Emergency grant", "Course", "Open"}
    assert {each["title"] for each in texts(made, PUBLIC, request)} == {"Emergency grant", "Course"}
    narrowed = replace(request, where=Not(Cond("title", "eq", "Course")))
    assert {each["title"] for each in texts(made, NEAR, narrowed)} == {"Emergency grant", "Open"}
    assert made.gate.count(NEAR, ("resource", "convening"), also=also) == 3


def test_own_records_alone(database: Database) -> None:
    made = node(database)
    received(made, open_terms(made.policy))
    assert len(texts(made, NEAR, ask("id"))) == 2
    assert len(texts(made, NEAR, ask("id", own=True))) == 1


def test_no_records_at_all_can_be_asked_for_with_whether_there_are_any(database: Database) -> None:
    made = node(database)
    page = made.gate.page(PUBLIC, ask("id", first=0))
    assert (page.rows, page.has_next) == ((), True)


def test_cursors_are_sealed_of_one_length_and_of_one_query(database: Database) -> None:
    made = node(
        database, *({"title": f"Grant {'long ' * n}é~}}{n}", "response_hours": n} for n in range(6)), {"title": "z"}
    )
    lengths = set()
    for order in ((), (OrderBy("title"),), (OrderBy("title", True),), (OrderBy("response_hours", True),)):
        request = ask("title", order=order, first=2)
        page = made.gate.page(PUBLIC, request)
        cursors = [row.cursor for row in page.rows]
        assert cursors == [row.cursor for row in made.gate.page(PUBLIC, request).rows]
        assert len({len(cursor) for cursor in cursors}) == 1
        lengths.add(len(cursors[0]))
        seen = [json.loads(row.json)["title"] for row in page.rows]
        while page.has_next:
            page = made.gate.page(PUBLIC, replace(request, after=page.rows[-1].cursor))
            seen += [json.loads(row.json)["title"] for row in page.rows]
        assert len(seen) == len(set(seen)) == 7
        for other in (
            ask("title", order=(*order, OrderBy("amount"))[-1:]),
            ask("title", where=Cond("title", "eq", "z"), order=order),
            ask("title", search="z"),
            ask("title", types=("practice",)),
        ):
            with pytest.raises(BadInput, match="does not belong"):
                made.gate.page(NEAR, replace(other, after=cursors[0]))
        with pytest.raises(BadInput, match="does not belong"):
            made.gate.page(NEAR, replace(request, after=cursors[0]))
        bent = ("A" if cursors[0][5] != "A" else "B").join((cursors[0][:5], cursors[0][6:]))
        for broken in ("", "é", "%%%", cursors[0][:-4], bent, cursors[0] + "AAAA"):
            with pytest.raises(BadInput, match="does not belong"):
                made.gate.page(PUBLIC, replace(request, after=broken))
    assert len(lengths) == 3  # by id, by a number, by a text


def test_a_cursor_goes_on_when_its_record_is_gone(database: Database) -> None:
    made = node(database, *({"title": f"Grant {n}"} for n in range(5)))
    request = ask("title", order=(OrderBy("title"),), first=2)
    cursor = made.gate.page(PUBLIC, request).rows[-1].cursor
    with database.write() as connection:
        connection.execute(text("UPDATE resource SET status = 'withdrawn' WHERE title__exact = 'Grant 1'"))
    following = texts(made, PUBLIC, replace(request, after=cursor))
    assert following == [{"title": "Grant 2"}, {"title": "Grant 3"}]


def test_needs_have_ids_and_pseudonyms_of_their_own_for_each_viewer(database: Database) -> None:
    made = empty_sample(database)
    document = {"kind": "legal_support", "network": "River"}
    insert(database, "need", *(own_row("need", document, id=bytes([n]) * 16) for n in range(1, 8)))
    shape = fields("id", "network", "origin")
    other = replace(PARTNER, subject="another")
    one, two = (made.gate.page(who, PageRequest(("need",), {"need": shape})) for who in (PARTNER, other))
    assert not {row.gid for row in one.rows} & {row.gid for row in two.rows}
    names = {json.loads(row.json)["network"] for row in (*one.rows, *two.rows)}
    assert len(names) == 14
    assert all(len(name) == 20 for name in names)
    for who, page in ((PARTNER, one), (other, two)):
        expected = sorted(pairwise_id(SECRET, who.subject, bytes([n]) * 16) for n in range(1, 8))
        assert [parse_global_id(row.gid) for row in page.rows] == [("need", PAIRWISE_ORIGIN, each) for each in expected]
        assert all(json.loads(row.json)["origin"] is None for row in page.rows)
        assert json.loads(page.rows[0].json)["id"] == page.rows[0].gid
        found = made.gate.get(who, page.rows[3].gid, shape)
        assert found is not None
        assert found.json == page.rows[3].json
    assert made.gate.get(other, one.rows[0].gid, shape) is None
    real = global_id("need", "own-thumbprint", b"\1" * 16)
    assert made.gate.get(PARTNER, real, shape) is None
    home = made.gate.get(MEMBER, real, shape)
    assert home is not None
    assert json.loads(home.json)["network"] == "River"
    request = PageRequest(("need",), {"need": shape}, first=3)
    first = made.gate.page(PARTNER, request)
    rest = made.gate.page(PARTNER, replace(request, after=first.rows[-1].cursor))
    assert [row.gid for row in (*first.rows, *rest.rows)] == [row.gid for row in one.rows[:6]]
    with pytest.raises(BadInput):
        made.gate.page(other, replace(request, after=first.rows[-1].cursor))
    name = json.loads(one.rows[0].json)["network"]
    assert made.gate.count(PARTNER, ("need",), Cond("network", "eq", name)) == 1
    assert made.gate.count(PARTNER, ("need",), Cond("network", "eq", "*")) == 0
    assert made.gate.count(NEAR, ("need",)) == 7
    with pytest.raises(ForbiddenField):
        made.gate.count(NEAR, ("need",), Cond("network", "eq", name))


def test_the_origin_is_shown_as_its_network_is_seen(database: Database) -> None:
    made = node(database)
    network = {"name": "River", "scope": "local", "regions": ["KE"], "front_door": "https://river.example"}
    insert(database, "network", own_row("network", network, id=b"n" * 16))
    inner = fields("name", "scope")
    nested = (*fields("__typename", "name", "scope"), ShapeField("origin", "origin", nested=inner))
    request = PageRequest(("resource",), {"resource": (ShapeField("from", "origin", nested=nested), *fields("origin"))})
    public, near = (texts(made, who, request)[0] for who in (PUBLIC, NEAR))
    assert public["from"] == {
        "__typename": "Network", "name": None, "scope": "local", "origin": {"name": None, "scope": "local"}
    }  # fmt: skip
    assert near["from"]["name"] == near["from"]["origin"]["name"] == "River"
    assert public["origin"] == {"id": global_id("network", "own-thumbprint", b"n" * 16)}
    only = viewer(ViewerKind.CLIENT, "resource:open")
    assert texts(made, only, request)[0] == {"from": None, "origin": None}
    assert [each[3:5] for each in made.ledger.entered] == [
        ([global_id("network", "own-thumbprint", b"n" * 16)], made.ledger.entered[0][4])
    ]
    assert made.ledger.entered[0][2] == "network"


def test_parts_and_names_of_composite_values(database: Database) -> None:
    made = node(
        database, {"contact": {"email": "x@example.org", "relay": "relay-0001"}, "horizon": {"start": "2026-01-01"}}
    )
    shape = (
        ShapeField("a", "area", parts=(("t", "__typename"), ("c", "code"), ("n", "name"), ("f", "name:fr"))),
        ShapeField("b", "area", language="es", parts=(("n", "name"), ("l", "level"))),
        ShapeField("c", "contact", parts=(("address", "address"), ("relay", "relay"))),
        ShapeField("d", "contact"),
        ShapeField("e", "horizon", parts=(("end", "end"),)),
        ShapeField("f", "amount", parts=(("minimum", "minimum"),)),
    )
    found = texts(made, NEAR, PageRequest(("resource",), {"resource": shape}))[0]
    assert found["a"] == {
        "t": "Place", "c": "014", "n": "Eastern Africa", "f": CODES.name("area", "014", "fr")
    }  # fmt: skip
    assert found["b"] == {"n": CODES.name("area", "014", "es"), "l": "SUB_REGION"}
    assert found["c"] == {"address": None, "relay": "relay-0001"}
    assert found["d"] == "relay-0001"
    assert found["e"] == {"end": "2026-12-31"}
    assert found["f"] is None
    row = made.gate.page(NEAR, PageRequest(("resource",), {"resource": ()})).rows[0]
    assert row.json == "{}"


def test_odd_texts_and_keys_come_out_as_json(database: Database) -> None:
    odd = 'quote " slash \\ percent % colon :x brace {} é 日本 \U0001f600 \t tab'
    made = node(database, {"title": odd.replace("\t", " "), "summary": odd + "\n\nnext"})
    shape = (ShapeField('k"%s:é', "title"), ShapeField("x" * 80, "summary"))
    page = made.gate.page(PUBLIC, PageRequest(("resource",), {"resource": shape}))
    expected = {'k"%s:é': odd.replace("\t", " "), "x" * 80: odd + "\n\nnext"}
    assert page.rows[0].json == json.dumps(expected, ensure_ascii=False, separators=(",", ":"))


def test_a_wide_shape_needs_more_arguments_than_one_call_takes(database: Database) -> None:
    made = node(database)
    shape = tuple(ShapeField(f"k{n}", ("title", "kind", "area")[n % 3]) for n in range(400))
    assert len(texts(made, PUBLIC, PageRequest(("resource",), {"resource": shape}))[0]) == 400


def test_open_crossings_are_counted_and_all_others_entered_first(database: Database) -> None:
    made = node(database)
    insert(database, "resource", own_row("resource", GRANT, id=b"g" * 16, handling=1))
    made.gate.page(PUBLIC, ask("title"))
    made.gate.count(PUBLIC, ("resource",))
    assert made.ledger.entered == []
    assert made.ledger.counted == [("page", "resource", 1), ("count", "resource", 0)]
    made.ledger.counted.clear()
    made.gate.page(NEAR, ask("title"))
    green = global_id("resource", "own-thumbprint", b"g" * 16)
    assert made.ledger.counted == [("page", "resource", 1)]
    assert [(each[:4], each[5]) for each in made.ledger.entered] == [
        ((NEAR.subject, "page", "resource", [green]), made.policy.version)
    ]
    made.ledger.entered.clear()
    made.gate.page(NEAR, ask("title", "amount", where=Cond("renewable", "is_null", True)))
    assert len(made.ledger.entered[0][3]) == 2
    assert bin(made.ledger.entered[0][4]).count("1") == 3
    made.ledger.entered.clear()
    made.gate.page(NEAR, ask("id", where=Cond("renewable", "is_null", True)))
    made.gate.page(NEAR, ask("id", order=(OrderBy("horizon"),)))
    made.gate.page(NEAR, ask("id", "handling"))
    made.gate.count(NEAR, ("resource",), Cond("renewable", "is_null", True))
    assert [len(each[3]) for each in made.ledger.entered] == [2, 2, 2, 0]
    assert made.gate.count(NEAR, ("resource",), search="grant") == 2


def test_without_the_ledger_only_what_is_open_leaves(database: Database) -> None:
    made = node(database)
    made.ledger.closed = Unavailable("The ledger cannot be written.")
    assert len(made.gate.page(PUBLIC, ask("title")).rows) == 1
    for who, request in ((NEAR, ask("amount")), (STEWARD, ask("site", "area"))):
        with pytest.raises(Unavailable):
            made.gate.page(who, request)
    with pytest.raises(Unavailable):
        made.gate.home(STEWARD, global_id("resource", "own-thumbprint", b"\1" * 16))


def test_the_whole_document_is_for_accounts_of_this_node(database: Database) -> None:
    made = node(database, {"site": "Behind the well"})
    gid = global_id("resource", "own-thumbprint", b"\1" * 16)
    for who in (STEWARD, MEMBER):
        assert made.gate.home(who, gid)["site"] == "Behind the well"
    assert [each[1] for each in made.ledger.entered] == ["home", "home"]
    for who in (PARTNER, PEER, NOBODY):
        with pytest.raises(NotFound):
            made.gate.home(who, gid)
    for other in (global_id("resource", "own-thumbprint", ID), "nonsense"):
        with pytest.raises(NotFound):
            made.gate.home(STEWARD, other)
    received(made, open_terms(made.policy))
    with pytest.raises(NotFound):
        made.gate.home(STEWARD, global_id("resource", "origin-one", ID))


def test_ids_that_are_none_of_ours_are_simply_not_there(database: Database) -> None:
    made = node(database)
    for gid in (
        "",
        "x",
        "é",
        global_id("resource", "elsewhere", ID),
        global_id("practice", "own-thumbprint", b"\1" * 16),
    ):
        assert made.gate.get(STEWARD, gid, fields("id")) is None
    gid = global_id("resource", "own-thumbprint", b"\1" * 16)
    by_type = made.gate.get(PUBLIC, gid, {"resource": fields("title"), "need": ()})
    assert by_type is not None
    assert by_type.json == '{"title":"Emergency grant"}'
    assert by_type.cursor


def test_undeclared_pairs_are_for_small_classes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    made = node(database, {}, {}, {})
    monkeypatch.setattr("federation.storage.preparing.SMALL_CLASS", 2)
    undeclared = ask("id", where=Cond("round_the_clock", "eq", True), order=(OrderBy("title"),))
    for _ in range(2):
        with pytest.raises(CostExceeded):
            made.gate.page(PUBLIC, undeclared)
    with pytest.raises(CostExceeded):
        made.gate.count(PUBLIC, ("resource",), Cond("round_the_clock", "eq", True))
    for declared in (ask("id"), ask("id", order=(OrderBy("title"),)), ask("id", search="grant")):
        assert len(made.gate.page(PUBLIC, declared).rows) == 3
    hidden = own_row("resource", GRANT, id=ID, handling=3)
    monkeypatch.setattr("federation.storage.preparing.SMALL_CLASS", 3)
    insert(database, "resource", hidden, journaled=True)
    assert made.gate.page(PUBLIC, undeclared).rows == ()  # what is hidden does not count
    assert made.gate.page(NOBODY, ask("id", order=())).rows == ()


def test_what_is_refused_for_its_cost_is_refused_before_its_statement_is_built(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = node(database, {}, {}, {})
    monkeypatch.setattr("federation.storage.preparing.SMALL_CLASS", 2)
    built: list[Any] = []
    monkeypatch.setattr("federation.storage.relation.Relation._two_steps", lambda *given: built.append(given))
    with pytest.raises(CostExceeded):
        made.gate.prepare(PUBLIC, ask("id", where=Cond("languages", "has_any", ("en", "sw"))))
    assert built == []


def test_long_statements_are_not_kept_and_all_take_bounded_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = node(database)
    request = ask("id", "title")
    ready = made.gate.prepare(PUBLIC, request)
    assert made.gate.prepare(PUBLIC, request) is ready
    assert ready.weight > len(ready.relation.first_page or "")
    monkeypatch.setattr("federation.storage.preparing.LONGEST", 10)
    long = ask("id", "kind")
    assert made.gate.prepare(PUBLIC, long) is not made.gate.prepare(PUBLIC, long)
    assert len(made.gate.run(PUBLIC, ready, request).rows) == 1
    assert len(made.gate.page(PUBLIC, long).rows) == 1


def test_what_weighs_too_much_is_forgotten_the_oldest_first() -> None:
    kept: Bounded[str] = Bounded(10, 100)
    for name in ("a", "b", "c"):
        kept.put(name, name, 40)
    assert [kept.get(name) for name in ("a", "b", "c")] == [None, "b", "c"]
    kept.put("b", "b", 60)
    assert [kept.get(name) for name in ("b", "c")] == ["b", "c"]
    kept.put("d", "d", 101)
    assert [kept.get(name) for name in ("b", "c", "d")] == [None, None, None]
    kept.put("e", "e", 100)
    assert kept.get("e") == "e"


def test_the_lists_of_a_filter_have_a_bounded_number_of_entries_in_all(database: Database) -> None:
    made = node(database, {"languages": ["en"]})
    tags = tuple(f"{a}{b}" for a in "abcdefghij" for b in "abcdefghij")
    within = Or((Cond("languages", "has_any", tags), Cond("languages", "has_any", tags)))
    assert made.gate.page(PUBLIC, ask("id", where=within)).rows == ()
    with pytest.raises(BadInput, match="200 entries in all"):
        made.gate.page(PUBLIC, ask("id", where=Or((within, Cond("languages", "has_any", ("en",))))))


def test_a_range_without_an_order_sorts_by_its_field(database: Database) -> None:
    made = node(database, *({"title": f"{n}", "response_hours": hours} for n, hours in enumerate((30, 10, 20))))
    found = texts(made, PUBLIC, ask("response_hours", where=Cond("response_hours", "at_most", 25)))
    assert [each["response_hours"] for each in found] == [10, 20]
    deep = And((Not(Cond("title", "eq", "x")), And((Cond("response_hours", "at_least", 1),))))
    found = texts(made, PUBLIC, ask("response_hours", where=deep))
    assert [each["response_hours"] for each in found] == [10, 20, 30]


def test_what_was_prepared_serves_equal_rights_and_no_others(database: Database) -> None:
    made = node(database, {"amount": {"value": "2500", "currency": "EUR"}}, {"title": "Other"})
    request = ask("title", "amount", where=Cond("title", "eq", "Emergency grant"))
    ready = made.gate.prepare(PUBLIC, request)
    twin = viewer(ViewerKind.CLIENT, *all_scopes("open"), subject="somebody else")
    assert made.gate.prepare(twin, replace(request, where=Cond("title", "eq", "Other"))) is ready
    assert made.gate.run(twin, ready, request).rows[0].json == '{"title":"Emergency grant","amount":null}'
    other = made.gate.run(PUBLIC, ready, replace(request, where=Cond("title", "eq", "Other")))
    assert other.rows[0].json == '{"title":"Other","amount":null}'
    near = made.gate.run(NEAR, ready, request)
    assert json.loads(near.rows[0].json)["amount"]["precision"] == "BAND"
    assert len(made.gate.run(PUBLIC, ready, ask("title")).rows) == 2


def test_a_new_policy_holds_at_once_also_for_what_was_prepared(database: Database) -> None:
    made = node(database)
    current = [made.policy]
    gate = Gate(database, lambda: current[0], CODES, FakeLedger(), SECRET)  # type: ignore[arg-type]
    request = ask("title", "kind")
    ready = gate.prepare(PUBLIC, request)
    assert json.loads(gate.run(PUBLIC, ready, request).rows[0].json)["title"] == "Emergency grant"
    current[0] = load_policy('[resource]\ntitle = "partner"\n', catalogue())
    assert json.loads(gate.run(PUBLIC, ready, request).rows[0].json) == {"title": None, "kind": "emergency_grant"}
    with pytest.raises(ForbiddenField):
        gate.page(PUBLIC, ask("id", order=(OrderBy("title"),)))
    current[0] = made.policy
    assert json.loads(gate.run(PUBLIC, ready, request).rows[0].json)["title"] == "Emergency grant"


def test_new_terms_are_seen_at_once_and_change_no_cursor(database: Database) -> None:
    made = node(database, {}, {})
    request = ask("title", first=1)
    page = made.gate.page(NEAR, request)
    received(made, open_terms(made.policy, caps={"kind": None}), b"\1" * 15 + b"\2")
    following = made.gate.page(NEAR, replace(request, after=page.rows[0].cursor))
    assert following.rows[0].gid == global_id("resource", "origin-one", b"\1" * 15 + b"\2")


def test_a_statement_that_takes_too_long_is_given_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    made = node(database)
    with database.reader() as connection:
        if database.dialect == "postgresql":
            connection.execute("SET statement_timeout = 1")
        else:
            connection.limit = -1.0
            connection.set_progress_handler(connection.overdue, 1)
    shape = tuple(ShapeField(f"k{n}", "title") for n in range(1000))
    with pytest.raises(Unavailable):
        made.gate.page(PUBLIC, PageRequest(("resource",), {"resource": shape}, search="grant"))


@pytest.mark.parametrize("who", [PUBLIC, NEAR, PARTNER, PEER])
def test_worlds_that_differ_in_what_is_hidden_answer_with_the_same_bytes(make_database: Any, who: Viewer) -> None:
    """The twin oracle: hidden rows, hidden fields, hidden terms and statuses change no byte of any answer."""
    answers = []
    for hidden in (False, True):
        made = sample(make_database("sqlite"), 11, 12, types=("resource", "need", "network"))
        if hidden:
            hide_much(made, who)
        answers.append(everything(made, who))
    assert answers[0] == answers[1]


def hide_much(made: Sample, who: Viewer) -> None:
    """Changes that the viewer cannot see."""
    rng = random.Random(12)
    more = [own_row("resource", GRANT, id=rng.randbytes(16), handling=4) for _ in range(5)]
    more += [own_row("resource", GRANT, id=rng.randbytes(16), status="draft") for _ in range(5)]
    insert(made.database, "resource", *more)
    insert(
        made.database, "need", *(own_row("need", {"kind": "other"}, id=rng.randbytes(16), handling=3) for _ in range(3))
    )
    with made.database.write() as connection:
        add_terms(connection, made, "resource", replace(some_terms(rng, made.policy, "resource"), relay=False))
        hidden_fields = {"site", "internal_notes"} | {"provider", "availability"}
        for name, spec in RECORD_TYPES["resource"].fields.items():
            if name in hidden_fields and spec.open_steps and spec.open_steps[0].tier >= Tier.NETWORK:
                connection.execute(text(f"UPDATE resource SET {name}__exact = 'changed'"))
        connection.execute(text("UPDATE resource SET home = '{}', updated_at = '2027-01-01'"))


def everything(made: Sample, who: Viewer) -> list[Any]:
    """Pages, counts, cursors and refusals of a viewer."""
    found: list[Any] = []
    for key in made.rows:
        shape = {key: fields("id", "status", "handling", *RECORD_TYPES[key].fields)}
        for request in (
            PageRequest((key,), shape, first=3),
            PageRequest((key,), shape, search="help", first=3),
            PageRequest((key,), shape, order=(OrderBy("verified_on", True),), first=3),
            PageRequest((key,), shape, Cond("verified_on", "from", "2026-02-01"), first=3),
        ):
            after = None
            while True:
                try:
                    page = made.gate.page(who, replace(request, after=after))
                except ForbiddenField as refused:
                    found.append(refused.message)
                    break
                found.append([(row.json, row.gid, row.cursor) for row in page.rows] + [page.has_next])
                if not page.has_next:
                    break
                after = page.rows[-1].cursor
        found.append(made.gate.count(who, (key,)))
    return found


def test_agreements_narrow_and_end(database: Database) -> None:
    made = node(database)
    scopes = frozenset({"resource:partner"})
    granted = Agreement(scopes, narrowing={("resource", "area"): "sub_region", ("resource", "title"): None})
    who = viewer(ViewerKind.PEER, "resource:partner", agreement=granted)
    assert texts(made, who, ask("title", "area")) == [{"title": None, "area": {"code": "014", "level": "SUB_REGION"}}]
    ended = replace(who, agreement=replace(granted, active=False))
    assert texts(made, ended, ask("title")) == []


def test_places_within_others_and_not(database: Database) -> None:
    codes = load([Area("x-valley", "local", "KE-30", "Valley")])
    kind, made = RECORD_TYPES["resource"], empty_sample(database)
    gate = Gate(database, lambda: made.policy, codes, FakeLedger(), SECRET)  # type: ignore[arg-type]
    places = ("x-valley", "KE-30", "KE", "014", "002", "FR", "001", None)
    for n, place in enumerate(places):
        document = kind.normalise({"title": str(place), "kind": "other", "area": place}, Context(codes))
        row = own_row("resource", GRANT, id=bytes([n]) * 16)
        insert(database, "resource", row | step_columns(kind, document, None, Context(codes)))

    def found(who: Viewer, where: Filter) -> set[str]:
        return {json.loads(row.json)["title"] for row in gate.page(who, ask("title", where=where)).rows}

    def both(who: Viewer, code: str) -> tuple[set[str], set[str]]:
        within = Cond("area", "within", code)
        return found(who, within), found(who, Not(within))

    kenya = {"x-valley", "KE-30", "KE"}
    assert both(STEWARD, "x-valley") == ({"x-valley"}, {"KE-30", "KE", "014", "002", "FR", "001"})
    assert both(STEWARD, "KE-30") == ({"x-valley", "KE-30"}, set())
    assert both(STEWARD, "KE") == (kenya, {"FR"})
    assert both(STEWARD, "202") == (kenya | {"014"}, {"FR"})
    assert both(STEWARD, "150") == ({"FR"}, kenya | {"014", "002"})
    assert both(STEWARD, "001") == (kenya | {"014", "002", "FR", "001"}, set())
    assert both(PUBLIC, "KE") == both(PUBLIC, "x-valley") == (set(), set())
    assert both(PUBLIC, "014") == (kenya | {"014"}, {"FR"})
    assert found(PUBLIC, Cond("area", "is_null", True)) == {"None"}


def test_types_without_a_common_kind_of_order_are_not_ordered_together() -> None:
    views = tuple(
        SimpleNamespace(type=SimpleNamespace(fields={"size": RECORD_TYPES["resource"].fields[name]}), fields={"size"})
        for name in ("title", "amount")
    )
    with pytest.raises(BadInput, match="no common order"):
        check_fields(views, None, OrderBy("size"))  # type: ignore[arg-type]


def test_names_are_kept_and_forgotten() -> None:
    kept: Bounded[int] = Bounded(2)
    for n in (1, 2, 3):
        assert kept.put(n, n) == n
    assert (kept.get(1), kept.get(2), kept.get(3)) == (None, 2, 3)
    kept.put(4, 4)
    assert (kept.get(2), kept.get(3)) == (None, 3)
