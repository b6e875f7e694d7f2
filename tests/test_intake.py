"""The door in: whole or not at all, one transaction, and nothing that tells of a hidden write."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from federation.errors import BadInput, Conflict, ForbiddenField, NotFound, Unconfirmed
from federation.intake import Gone, Imported, Incoming, Put
from federation.policies.loading import load_policy
from federation.policies.tiers import Tier
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.registry import RECORD_TYPES, catalogue
from federation.records.rows import bits
from federation.storage import numbering, received
from federation.storage.database import Database
from federation.storage.ids import global_id, parse_global_id
from federation.storage.revisions import of_class, tier_masks
from tests.intake_world import (
    CODES,
    EAST,
    HOME,
    NOTICE,
    RESOURCE,
    RIVER,
    STEWARD,
    WEST,
    Node,
    make_put,
    make_terms,
)


@pytest.fixture
def node(database: Database) -> Node:
    return Node(database)


def changed_fields(node: Node, place: int = -1) -> set[str]:
    change = node.changes()[place]
    return {name for bit, (name, _) in enumerate(bits(RECORD_TYPES[change.type])) if change.steps >> bit & 1}


# Own records


def test_a_record_is_a_draft_unless_it_is_shared(node: Node) -> None:
    draft = node.row(node.create(share=False))
    shared = node.row(node.create(text="Another."))
    assert (draft.status, draft.revisions) == ("draft", None)
    assert (shared.status, shared.revisions) == ("shared", None)
    assert (shared.origin, shared.via, shared.terms, shared.relay, shared.hops_left, shared.not_to) == (
        0,
        0,
        0,
        1,
        99,
        0,
    )
    assert shared.path is None
    assert shared.provenance is None


def test_a_write_is_one_row_one_journal_entry_and_one_ledger_entry(node: Node) -> None:
    gid = node.create()
    (change,) = node.changes()
    row = node.row(gid)
    assert (change.type, change.rid, change.id, change.origin, change.via) == ("notice", row.rid, bytes(row.id), 0, 0)
    assert change.before is None
    assert change.after is not None
    assert change.after.status == "shared"
    (entry,) = node.ledger.entries()
    assert (entry.viewer, entry.kind, entry.body["ids"]) == ("steward:ada", "create", [gid])
    assert node.ask("SELECT oid, thumbprint, name FROM origins") == [(0, HOME, "home")]


def test_a_global_id_names_type_and_record(node: Node) -> None:
    gid = node.create()
    type_key, _, id = parse_global_id(gid)
    assert type_key == "notice"
    assert gid == global_id("notice", HOME, id)
    assert len(gid) == 44


def test_the_home_document_is_whole_and_sealed_values_have_no_column(node: Node) -> None:
    row = node.row(node.create("resource", internal_notes="Only we know."), "resource")
    home = json.loads(row.home)
    assert home["contact"]["email"] == "front@example.org"
    assert home["internal_notes"] == "Only we know."
    assert home["created_at"] == home["updated_at"] == row.created_at
    others = [value for name, value in row._mapping.items() if name != "home"]
    assert not any("front@example.org" in str(value) or "Only we know" in str(value) for value in others)
    assert row.contact__relay == home["contact"]["relay"]


def test_a_contact_keeps_its_relay_when_it_changes(node: Node) -> None:
    gid = node.create("resource")
    relay = node.row(gid, "resource").contact__relay
    node.intake.amend(STEWARD, gid, {"contact": {"email": "other@example.org"}})
    row = node.row(gid, "resource")
    assert row.contact__relay == relay
    assert json.loads(row.home)["contact"] == {"email": "other@example.org", "relay": relay}


@pytest.mark.parametrize(
    ("type_key", "document", "field"),
    [
        ("nothing", {}, "type"),
        ("notice", {"kind": "solidarity", "text": 7}, "text"),
        ("notice", {"kind": "no such kind"}, "kind"),
        ("notice", {**NOTICE, "colour": "red"}, "colour"),
        ("resource", {"kind": "legal_support"}, "title"),
        ("notice", {**NOTICE, "handling": "TLP:PINK"}, "handling"),
        ("notice", {**NOTICE, "created_at": "2026-01-01T00:00:00Z"}, "created_at"),
        ("notice", {**NOTICE, "caps": {"text": "nowhere"}}, "caps"),
    ],
)
def test_what_breaks_a_rule_is_refused_whole(node: Node, type_key: str, document: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refusal:
        node.intake.create(STEWARD, type_key, document)
    assert refusal.value.field == field
    assert node.changes() == []
    assert node.ledger.entries() == []


@pytest.mark.parametrize(
    "viewer",
    [
        Viewer(ViewerKind.ANONYMOUS, "anonymous"),
        Viewer(ViewerKind.MEMBER, "member:bo"),
        Viewer(ViewerKind.CLIENT, "client:x", frozenset({"notice:partner"})),
        Viewer(ViewerKind.PEER, "peer:west", frozenset({"records:write"})),
    ],
)
def test_who_may_not_write_writes_nothing(node: Node, viewer: Viewer) -> None:
    gid = node.create()
    for attempt in (
        lambda: node.intake.create(viewer, "notice", NOTICE),
        lambda: node.intake.amend(viewer, gid, {"text": "x"}),
        lambda: node.intake.share(viewer, gid),
        lambda: node.intake.withdraw(viewer, gid),
        lambda: node.intake.import_many(viewer, []),
    ):
        with pytest.raises(ForbiddenField):
            attempt()
    assert len(node.changes()) == 1


def test_a_client_with_the_scope_may_write(node: Node) -> None:
    writer = Viewer(ViewerKind.CLIENT, "client:desk", frozenset({"records:write"}))
    node.intake.create(writer, "notice", NOTICE)
    assert node.ledger.entries()[0].viewer == "client:desk"


def test_an_offer_without_expectations_cannot_be_shared(node: Node) -> None:
    with pytest.raises(BadInput) as refusal:
        node.create("resource", expectations=None)
    assert refusal.value.field == "expectations"
    gid = node.create("resource", expectations=None, share=False)
    with pytest.raises(BadInput):
        node.intake.share(STEWARD, gid)
    node.intake.amend(STEWARD, gid, {"expectations": "Answers soon."})
    node.intake.share(STEWARD, gid)
    with pytest.raises(BadInput):
        node.intake.amend(STEWARD, gid, {"expectations": None})
    assert node.row(gid, "resource").status == "shared"


def test_a_type_that_is_not_shareable_stays_a_draft(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    from federation.storage import drafts

    private = replace(RECORD_TYPES["notice"], shareable=False)
    with pytest.raises(BadInput):
        drafts.shared_status(private, NOTICE, "2026-03-01")


def test_sharing_twice_changes_nothing(node: Node) -> None:
    gid = node.create(share=False)
    node.intake.share(STEWARD, gid)
    node.intake.share(STEWARD, gid)
    assert [change.after and change.after.status for change in node.changes()] == ["draft", "shared"]
    assert [entry.kind for entry in node.ledger.entries()] == ["create", "share"]


def test_an_amendment_journals_the_steps_that_changed(node: Node) -> None:
    gid = node.create("resource")
    node.clock.go(minutes=1)
    node.intake.amend(STEWARD, gid, {"title": "Other help", "area": None})
    assert changed_fields(node) == {"title", "area", "updated_at"}
    row = node.row(gid, "resource")
    assert row.title__exact == "Other help"
    assert row.area__sub_region__sub is None
    assert (row.created_at, row.updated_at) == ("2026-03-01T12:00:00+00:00", "2026-03-01T12:01:00+00:00")


def test_a_write_that_changes_nothing_writes_nothing(node: Node) -> None:
    gid = node.create("resource")
    before = node.row(gid, "resource")
    node.clock.go(minutes=1)
    node.intake.amend(STEWARD, gid, {"title": "Emergency help", "summary": None})
    node.intake.amend(STEWARD, gid, {})
    assert len(node.changes()) == 1
    assert node.row(gid, "resource") == before
    assert len(node.ledger.entries()) == 1


def test_a_hidden_write_moves_no_revision(node: Node) -> None:
    gid = node.create("resource")
    before = node.row(gid, "resource")
    node.clock.go(minutes=1)
    node.intake.amend(STEWARD, gid, {"internal_notes": "x", "provider": {"name": "Another Name", "kind": "ngo"}})
    assert node.row(gid, "resource").revisions == before.revisions
    assert changed_fields(node) == {"provider", "updated_at"}


def test_each_revision_counts_what_its_readers_see(node: Node) -> None:
    gid = node.create("resource")
    assert node.revisions(gid, "resource") == (1, 1, 1)
    node.intake.amend(STEWARD, gid, {"title": "Other"})
    assert node.revisions(gid, "resource") == (2, 1, 1)
    node.intake.amend(STEWARD, gid, {"amount": {"value": "701", "currency": "EUR"}})  # the same band
    assert node.revisions(gid, "resource") == (2, 1, 2)
    node.intake.amend(STEWARD, gid, {"amount": {"value": "70000", "currency": "EUR"}})
    assert node.revisions(gid, "resource") == (2, 2, 3)


def test_a_class_counts_the_steps_that_it_sees_and_no_other(node: Node) -> None:
    gid = node.create("resource")
    steps = bits(RECORD_TYPES["resource"])
    titles = 1 << steps.index(("title", "exact"))
    bands = 1 << steps.index(("amount", "band"))
    node.intake.amend(STEWARD, gid, {"title": "Other", "summary": "Other."})
    node.intake.amend(STEWARD, gid, {"summary": "Another."})
    node.intake.amend(STEWARD, gid, {"amount": {"value": "70000", "currency": "EUR"}})
    kept = node.row(gid, "resource").revisions
    assert of_class(kept, (titles, 0, 0)) == (2, 0, 0)
    assert of_class(kept, (0, bands, 0)) == (0, 2, 0)
    assert of_class(kept, (titles, bands, 0)) == (2, 2, 0)


def test_what_comes_back_has_a_higher_number(node: Node) -> None:
    gid = node.create("resource")
    first = node.revisions(gid, "resource")
    node.intake.amend(STEWARD, gid, {"handling": "TLP:AMBER"})
    node.intake.amend(STEWARD, gid, {"title": "Changed while it was hidden"})
    assert node.revisions(gid, "resource")[:2] == (0, 0)
    node.intake.amend(STEWARD, gid, {"handling": "TLP:CLEAR"})
    assert all(after > before for before, after in zip(first, node.revisions(gid, "resource"), strict=True))
    open_only = of_class(node.row(gid, "resource").revisions, (1, 0, 0))
    assert open_only == (2, 0, 0)


@pytest.mark.parametrize("before", ["TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED"])
def test_a_record_that_is_seen_for_the_first_time_tells_nothing_of_its_past(node: Node, before: str) -> None:
    gid = node.create("resource", handling=before)
    node.intake.amend(STEWARD, gid, {"title": "Changed while it was hidden"})
    node.intake.amend(STEWARD, gid, {"handling": "TLP:CLEAR"})
    assert of_class(node.row(gid, "resource").revisions, (1, 0, 0)) == (1, 0, 0)
    node.intake.amend(STEWARD, gid, {"handling": "TLP:RED"})
    node.intake.amend(STEWARD, gid, {"handling": "TLP:CLEAR"})
    assert of_class(node.row(gid, "resource").revisions, (1, 0, 0)) == (2, 0, 0)


def test_no_number_falls_when_more_may_see_a_record(node: Node) -> None:
    gid = node.create("resource", handling="TLP:GREEN")
    for title in ("One", "Two", "Three"):
        node.intake.amend(STEWARD, gid, {"title": title})
    assert node.revisions(gid, "resource") == (0, 4, 1)
    node.intake.amend(STEWARD, gid, {"handling": "TLP:CLEAR"})
    assert node.revisions(gid, "resource") == (1, 5, 2)


def test_a_step_counts_by_the_policy_in_force(node: Node) -> None:
    gid = node.create("resource")
    node.policy = load_policy('[resource]\nrenewable = "partner"\n', catalogue())
    node.intake.amend(STEWARD, gid, {"renewable": True})
    assert node.revisions(gid, "resource") == (1, 1, 2)


def test_drafts_count_no_revisions(node: Node) -> None:
    gid = node.create(share=False)
    node.intake.amend(STEWARD, gid, {"text": "A"})
    node.intake.amend(STEWARD, gid, {"text": "B"})
    node.intake.share(STEWARD, gid)
    assert node.row(gid).revisions is None


@pytest.mark.parametrize(
    ("label", "told", "changed"),
    [
        ("TLP:GREEN", (0, 2, 0), (0, 3, 0)),
        ("TLP:AMBER", (0, 0, 2), (0, 0, 3)),
        ("TLP:AMBER+STRICT", (0, 0, 0), (0, 0, 0)),
        ("TLP:RED", (0, 0, 0), (0, 0, 0)),
    ],
)
def test_handling_narrows_who_learns_of_a_change(
    node: Node, label: str, told: tuple[int, int, int], changed: tuple[int, int, int]
) -> None:
    gid = node.create()
    node.intake.amend(STEWARD, gid, {"handling": label})
    row = node.row(gid)
    assert (row.handling, row.status) == (list(Tier)[row.handling], "shared")
    assert node.revisions(gid) == told
    node.intake.amend(STEWARD, gid, {"text": "Changed."})
    assert node.revisions(gid) == changed
    node.intake.amend(STEWARD, gid, {"handling": "TLP:CLEAR"})
    assert node.revisions(gid)[1] > told[1]


def test_caps_hold_a_field_coarser_in_every_column(node: Node) -> None:
    gid = node.create("resource", caps={"area": "sub_region", "amount": None})
    row = node.row(gid, "resource")
    assert row.area__exact__code == row.area__country__code == row.area__sub_region__code
    assert row.area__exact__country is None
    assert row.amount__exact__min is None
    assert json.loads(row.home)["caps"] == {"area": "sub_region", "amount": None}
    node.intake.amend(STEWARD, gid, {"caps": None})
    assert node.row(gid, "resource").area__exact__code == "KE-30"


def test_what_is_past_its_last_day_expires_when_it_is_shared_and_comes_back_when_it_is_moved(node: Node) -> None:
    gid = node.create(valid_until="2026-02-28")
    assert node.row(gid).status == "expired"
    node.intake.amend(STEWARD, gid, {"valid_until": "2026-03-01"})
    row = node.row(gid)
    assert (row.status, node.revisions(gid)) == ("shared", (2, 2, 0))
    node.intake.amend(STEWARD, gid, {"valid_until": "2026-01-01"})
    assert node.row(gid).status == "expired"


def test_a_withdrawn_record_never_comes_back_and_its_id_is_not_used_again(node: Node) -> None:
    gid = node.create()
    _, _, id = parse_global_id(gid)
    node.intake.withdraw(STEWARD, gid)
    node.intake.withdraw(STEWARD, gid)
    change = node.changes()[-1]
    assert (change.before and change.before.status, change.after and change.after.status) == ("shared", "withdrawn")
    assert len(node.changes()) == 2
    for attempt in (
        lambda: node.intake.amend(STEWARD, gid, {"text": "x"}),
        lambda: node.intake.share(STEWARD, gid),
        lambda: node.create(id=id),
    ):
        with pytest.raises(Conflict):
            attempt()
    refused = node.intake.import_many(STEWARD, [Incoming("notice", NOTICE, id, line=3)]).refused
    assert [(each.line, each.field) for each in refused] == [(3, "id")]


def test_an_id_can_be_given_once(node: Node) -> None:
    gid = node.create(id=bytes(16))
    assert parse_global_id(gid)[2] == bytes(16)
    with pytest.raises(Conflict):
        node.create(id=bytes(16))
    with pytest.raises(BadInput):
        node.create(id=b"short")


@pytest.mark.parametrize("gid", ["", "x", "é", "A" * 44, "A" * 45, global_id("notice", HOME, bytes(16))])
def test_what_is_not_there_is_not_found(node: Node, gid: str) -> None:
    for attempt in (lambda: node.intake.amend(STEWARD, gid, {}), lambda: node.intake.withdraw(STEWARD, gid)):
        with pytest.raises(NotFound):
            attempt()


def test_a_record_of_another_origin_cannot_be_amended(node: Node) -> None:
    node.accept(1, make_put())
    for gid in (
        global_id("notice", RIVER, (1).to_bytes(16, "big")),
        global_id("notice", HOME, (1).to_bytes(16, "big")),
    ):
        with pytest.raises(NotFound):
            node.intake.amend(STEWARD, gid, {"text": "Mine now."})


def test_the_same_document_twice_is_two_records(node: Node) -> None:
    assert len({node.create() for _ in range(3)}) == 3


def test_ids_depend_on_what_is_published_alone(make_database: Callable[[str], Database]) -> None:
    ids = []
    for notes in ("one", "two"):
        node = Node(make_database("sqlite"))
        ids.append(node.create("resource", internal_notes=notes))
    assert ids[0] == ids[1]


def test_tags_tell_of_no_hidden_write(make_database: Callable[[str], Database]) -> None:
    tags = []
    for notes in ("one", "two"):
        node = Node(make_database("sqlite"))
        gid = node.create("resource", internal_notes=notes, provider={"name": notes, "kind": "ngo"})
        if notes == "two":
            node.intake.amend(STEWARD, gid, {"internal_notes": "three"})
        node.clock.go(minutes=1)
        node.intake.amend(STEWARD, gid, {"title": "Other"})
        node.clock.go(minutes=1)
        node.intake.withdraw(STEWARD, gid)
        tags.append([change.tag for change in node.changes()])
    assert [tags[1][0], *tags[1][2:]] == tags[0]


def test_two_writers_of_one_record_lose_nothing(node: Node) -> None:
    gid = node.create("resource")
    failures: list[Exception] = []

    def amend(field: str, value: object) -> None:
        try:
            node.intake.amend(STEWARD, gid, {field: value})
        except Exception as error:
            failures.append(error)

    changes = {"title": "Other", "summary": "Some words.", "response_hours": 4, "renewable": True}
    threads = [threading.Thread(target=amend, args=change) for change in changes.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert changes.items() <= json.loads(node.row(gid, "resource").home).items()
    assert len(node.changes()) == 5
    assert node.ledger.verify() == []


def test_a_crash_leaves_nothing_half_written(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("crash")

    monkeypatch.setattr(node.ledger, "note", crash)
    with pytest.raises(RuntimeError):
        node.create("resource")
    for table in ("resource", "change", "ledger", "sealed_words", "origins"):
        assert node.ask(f"SELECT count(*) FROM {table}") == [(0,)]
    assert node.found("emergency", "resource") == []


# Words


def test_words_are_found_and_follow_the_text(node: Node) -> None:
    gid = node.create(text="Ärzte helfen", translations={"fr": {"text": "Les médecins aident"}})
    rid = node.row(gid).rid
    assert node.found("arzte") == node.found("medecins") == [rid]
    node.intake.amend(STEWARD, gid, {"text": "Nurses", "translations": None})
    assert node.found("nurses") == [rid]
    assert node.found("arzte") == node.found("medecins") == []


def test_capped_and_sealed_texts_are_not_indexed(node: Node) -> None:
    node.create("resource", summary="Visible words", caps={"summary": None}, internal_notes="secretword")
    assert node.found("visible", "resource") == []
    assert node.found("secretword", "resource") == []


def test_a_very_long_word_is_cut(node: Node) -> None:
    gid = node.create(text="a" * 3000)
    assert node.found("a" * 100) == [node.row(gid).rid]


# Free text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"summary": "Call +254 722 000111."}, "summary: phone"),
        ({"title": "Write to help@example.net"}, "title: email"),
        ({"summary": "Pay to DE89 3704 0044 0532 0130 00"}, "summary: iban"),
        ({"summary": "Meet at -1.28333, 36.81667"}, "summary: coordinates"),
        ({"summary": "Ask ADA example there"}, "summary: sealed value"),
        ({"summary": "Some", "translations": {"fr": {"summary": "Ada Example, oui"}}}, "summary: sealed value"),
    ],
)
def test_what_should_not_be_published_has_to_be_confirmed(node: Node, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(Unconfirmed, match=told) as warning:
        node.create("resource", **changes)
    assert warning.value.field == told.partition(":")[0]
    assert not any(part in warning.value.message for part in ("722", "example.net", "DE89", "36.8", "Ada"))
    assert node.changes() == []
    node.create("resource", **changes, confirm=True)


def test_a_text_that_was_confirmed_is_not_asked_about_again(node: Node) -> None:
    gid = node.create("resource", summary="Call +254 722 000111.", confirm=True)
    node.intake.amend(STEWARD, gid, {"title": "Other"})
    with pytest.raises(Unconfirmed):
        node.intake.amend(STEWARD, gid, {"eligibility": "Call +254 722 000111."})
    node.intake.amend(STEWARD, gid, {"eligibility": "Call +254 722 000111."}, confirm=True)


def test_a_sealed_value_of_another_own_record_is_recognised(node: Node) -> None:
    first = node.create("resource", site="12 Hidden Lane, Nairobi")
    for value in ("We meet at hidden LANE 12? No: 12 hidden lane.", "Ask for Ada Example", "write front example org"):
        with pytest.raises(Unconfirmed, match="sealed value"):
            node.create(text=value)
    with pytest.raises(Unconfirmed):
        node.create(text="Call 0700 123 456")
    node.intake.amend(STEWARD, first, {"site": None, "contact": None})
    node.create(text="We meet at 12 hidden lane, ask for Ada Example.")


def test_who_only_writes_cannot_try_what_others_hold_under_seal(node: Node) -> None:
    held = node.create("resource", site="12 Hidden Lane, Nairobi")
    writer = Viewer(ViewerKind.CLIENT, "client:desk", frozenset({"records:write"}))
    for value in ("We meet at 12 hidden lane.", "Ask for Ada Example"):
        node.intake.create(writer, "notice", {**NOTICE, "text": value})
        node.intake.amend(writer, held, {"summary": value})
        with pytest.raises(Unconfirmed, match="sealed value"):
            node.create(text=value + " Now.")
    with pytest.raises(Unconfirmed, match="phone"):
        node.intake.create(writer, "notice", {**NOTICE, "text": "Call +254 722 000111."})
    own = {"site": "7 Other Road, Nairobi", "summary": "We meet at 7 other road."}
    with pytest.raises(Unconfirmed, match="sealed value"):
        node.intake.create(writer, "resource", {**RESOURCE, **own})
    with pytest.raises(Unconfirmed, match="sealed value"):
        node.intake.amend(writer, held, own)


def test_prose_under_seal_is_not_taken_for_names(node: Node) -> None:
    node.create("resource", internal_notes="Checked. Their number is +254 711 222333.", contact=None)
    node.create(text="Checked and good.")
    with pytest.raises(Unconfirmed):
        node.create(text="Their number: 0711-222-333")


def test_what_is_short_or_only_looks_like_a_number_is_not_looked_for(node: Node) -> None:
    notes = "Rows 1 - - - - 2 were checked."
    node.create("resource", site="Oslo", internal_notes=notes, contact=None)
    node.create(text="In Oslo, see 1 - - - - 2.")


def test_the_hashes_of_sealed_values_hold_no_value(node: Node) -> None:
    node.create("resource")
    stored = node.ask("SELECT first, phrase FROM sealed_words")
    assert stored
    assert not any(b"ada" in bytes(part).lower() for row in stored for part in row)


# Imports


def incoming(number: int, **more: Any) -> Incoming:
    document = {**RESOURCE, "title": f"Help {number}", "contact": {"email": f"p{number}@example.org"}, **more}
    return Incoming("resource", document, number.to_bytes(16, "big"), line=number)


def test_an_import_runs_through_and_again_changes_nothing(node: Node) -> None:
    several = [incoming(number) for number in range(1, 8)]
    first = node.intake.import_many(STEWARD, several, batch=3)
    assert (first.created, first.amended, first.unchanged, first.refused) == (7, 0, 0, ())
    assert [entry.kind for entry in node.ledger.entries()] == ["import"] * 3
    before = node.rows("resource")
    node.clock.go(days=1)
    again = node.intake.import_many(STEWARD, several)
    assert (again.created, again.amended, again.unchanged, again.gids) == (0, 0, 7, first.gids)
    assert node.rows("resource") == before
    assert len(node.changes()) == 7


def test_a_bad_record_of_an_import_stops_no_other(node: Node) -> None:
    result = node.intake.import_many(
        STEWARD,
        [
            incoming(1),
            incoming(2, kind="nonsense"),
            incoming(3, summary="Call +254 722 000111."),
            incoming(1),
            Incoming("nothing", {}, line=5),
            incoming(6, expectations=None),
            replace(incoming(7, expectations=None), share=True),
        ],
    )
    assert [(each.line, each.field) for each in result.refused] == [
        (2, "kind"),
        (3, "summary"),
        (1, "id"),
        (5, "type"),
        (7, "expectations"),
    ]
    assert (result.created, [bool(gid) for gid in result.gids]) == (2, [True, False, False, False, False, True, False])


def test_an_import_amends_and_shares_what_is_there(node: Node) -> None:
    node.intake.import_many(STEWARD, [incoming(1)])
    result = node.intake.import_many(STEWARD, [replace(incoming(1, title="New"), share=True)])
    assert (result.created, result.amended) == (0, 1)
    (row,) = node.rows("resource")
    assert (row.title__exact, row.status, row.revisions) == ("New", "shared", None)
    node.intake.import_many(STEWARD, [incoming(1, title="Newer")])
    (row,) = node.rows("resource")
    assert (row.title__exact, row.status) == ("Newer", "shared")
    assert node.revisions(row.gid, "resource") == (2, 1, 1)


def test_an_import_without_ids_stores_equal_documents_apart(node: Node) -> None:
    result = node.intake.import_many(STEWARD, [Incoming("notice", NOTICE) for _ in range(3)], confirm=True)
    assert result.created == 3
    assert len(set(result.gids)) == 3


def test_an_empty_import_does_nothing(node: Node) -> None:
    assert node.intake.import_many(STEWARD, []) == Imported()


def test_types_of_an_import_may_alternate(node: Node) -> None:
    mixed = [incoming(1), Incoming("notice", NOTICE), incoming(2)]
    assert node.intake.import_many(STEWARD, mixed).created == 3


# Records of others


def test_a_received_record_is_stored_as_it_came(node: Node) -> None:
    put = make_put(type_key="resource", terms=make_terms("resource", not_to_affiliation=frozenset({"foreign_state"})))
    accepted = node.accept(7, put)
    assert (accepted.put, accepted.tables) == (1, {"resource"})
    (row,) = node.rows("resource")
    assert (row.status, row.via, row.revisions, row.handling, row.home) == ("shared", 7, "[1,1,0]", 0, None)
    assert (row.relay, row.hops_left, row.not_to, row.path) == (1, 1, 4, f'["{RIVER}"]')
    assert row.gid == global_id("resource", RIVER, put.id)
    assert row.title__exact == "Emergency help"
    assert row.area__exact__code == row.area__sub_region__code  # never finer than it came
    assert row.amount__exact__p == "BAND"
    assert row.provider__exact == row.provider__kind
    assert node.ask("SELECT thumbprint FROM origins WHERE oid = :oid", oid=row.origin) == [(RIVER,)]
    assert node.ask("SELECT type, hash FROM terms WHERE tid = :tid", tid=row.terms) == [("resource", put.terms.hash)]
    assert node.found("emergency", "resource") == [row.rid]
    (change,) = node.changes()
    assert (change.before, change.after and change.after.status, change.via) == (None, "shared", 7)


def test_the_same_item_again_changes_nothing(node: Node) -> None:
    node.accept(1, make_put())
    node.clock.go(minutes=1)
    assert node.accept(1, make_put()).unchanged == 1
    assert len(node.changes()) == 1
    assert node.accept(1).tables == frozenset()


def test_a_new_version_takes_the_place_of_the_old(node: Node) -> None:
    node.accept(1, make_put())
    node.accept(1, make_put(rev=2, document={**NOTICE, "text": "New words."}))
    (row,) = node.rows()
    assert (row.text__exact, row.revisions) == ("New words.", "[2,2,0]")
    assert node.found("teachers") == []
    assert changed_fields(node) == {"text"}


def test_a_withdrawal_removes_the_record_and_its_words(node: Node) -> None:
    put = make_put()
    node.accept(1, put)
    assert node.accept(1, gone=[Gone("notice", put.id, RIVER)]).withdrawn == 1
    assert node.rows() == []
    assert node.found("teachers") == []
    change = node.changes()[-1]
    assert (change.before and change.before.status, change.after) == ("shared", None)
    assert node.accept(1, gone=[Gone("notice", put.id, RIVER)]).withdrawn == 0
    assert len(node.changes()) == 2


def test_a_peer_withdraws_only_what_came_by_it(node: Node) -> None:
    put = make_put()
    node.accept(1, put)
    assert node.accept(2, gone=[Gone("notice", put.id, RIVER)]).withdrawn == 0
    assert len(node.rows()) == 1


def test_no_peer_touches_an_own_record(node: Node) -> None:
    gid = node.create(id=(1).to_bytes(16, "big"))
    before = node.row(gid)
    forged = make_put(origin=HOME)
    assert node.accept(1, forged).quarantined == 1
    assert node.accept(1, gone=[Gone("notice", forged.id, HOME)]).withdrawn == 0
    assert node.row(gid) == before
    assert len(node.rows()) == 1
    assert node.ask("SELECT reason FROM quarantine") == [("loop",)]
    with pytest.raises(ValueError, match="others"):
        node.accept(0, make_put())


def test_one_row_for_each_way_and_the_shortest_is_shown(node: Node) -> None:
    far = make_put(path=(RIVER, EAST), rev=3)
    near = make_put(path=(RIVER,), rev=2)
    node.accept(2, far)
    node.accept(1, near)
    assert {row.via: row.status for row in node.rows()} == {1: "shared", 2: "shadowed"}
    assert len(node.changes()) == 2
    node.accept(1, gone=[Gone("notice", near.id, RIVER)])
    assert {row.via: row.status for row in node.rows()} == {2: "shared"}
    assert [change.via for change in node.changes()] == [2, 1, 2]
    assert all(change.after is not None for change in node.changes())


def test_of_equal_ways_the_higher_revision_and_then_the_lower_peer_is_shown(node: Node) -> None:
    for via, rev in ((3, 1), (2, 1), (4, 2)):
        node.accept(via, make_put(path=(RIVER, (WEST, EAST, "X" * 43)[via - 2]), rev=rev))
    assert {row.via: row.status for row in node.rows()} == {2: "shadowed", 3: "shadowed", 4: "shared"}
    node.accept(4, gone=[Gone("notice", make_put().id, RIVER)])
    assert {row.via: row.status for row in node.rows()} == {2: "shared", 3: "shadowed"}


def test_what_happens_to_a_shadowed_row_is_not_noticed(node: Node) -> None:
    node.accept(1, make_put())
    node.accept(2, make_put(path=(RIVER, EAST)))
    node.accept(2, make_put(path=(RIVER, EAST), rev=0, document={**NOTICE, "text": "Older."}))
    node.accept(2, gone=[Gone("notice", make_put().id, RIVER)])
    assert len(node.changes()) == 1


def test_the_same_id_of_two_origins_is_two_records(node: Node) -> None:
    node.accept(1, make_put(), make_put(origin=WEST))
    assert {row.status for row in node.rows()} == {"shared"}
    assert len(node.rows()) == 2


def test_a_new_signature_is_told_to_those_who_relay(node: Node) -> None:
    node.accept(1, make_put(provenance=b"old"))
    node.accept(1, make_put(provenance=b"new"))
    first, second = node.changes()
    assert second.steps == first.steps
    node.accept(1, make_put(provenance=b"new", revisions=(1, 1, 9)))
    assert len(node.changes()) == 2
    assert bytes(node.rows()[0].provenance) == b"new"


def test_a_number_that_moved_without_a_step_is_told_to_its_tier_alone(node: Node) -> None:
    node.accept(1, make_put(type_key="resource", revisions=(1, 1, 0)))
    node.accept(1, make_put(type_key="resource", revisions=(1, 3, 0)))
    open_, community, _ = tier_masks("resource", node.labels("resource"), 0)
    assert node.changes()[-1].steps == community
    node.accept(1, make_put(type_key="resource", revisions=(3, 3, 0)))
    assert node.changes()[-1].steps == open_


def test_another_way_of_the_same_length_is_told_too(node: Node) -> None:
    node.accept(1, make_put(path=(RIVER, EAST)))
    node.accept(1, make_put(path=(RIVER, WEST)))
    assert len(node.changes()) == 2
    assert node.changes()[1].steps


def test_caps_of_the_origin_are_worked_in(node: Node) -> None:
    capped = make_terms("resource", caps={"title": None, "area": "sub_region"})
    node.accept(1, make_put(type_key="resource", terms=capped))
    (row,) = node.rows("resource")
    assert row.title__exact is None
    assert row.area__exact__code == row.area__sub_region__code == "014"
    assert node.found("emergency", "resource") == []


def test_what_came_expired_is_expired(node: Node) -> None:
    node.accept(1, make_put(document={**NOTICE, "valid_until": "2026-02-28"}))
    assert node.rows()[0].status == "expired"


def test_a_need_has_no_origin_and_goes_no_further(node: Node) -> None:
    values = {"kind": {"exact": "legal_support"}}
    need = Put("need", bytes(16), "", (0, 1, 1), 1, None, (), values)
    node.accept(1, need)
    (row,) = node.rows("need")
    assert (row.relay, row.hops_left, row.path) == (0, 0, "[]")
    assert row.gid == global_id("need", "", bytes(16))
    assert node.ask("SELECT thumbprint FROM origins WHERE oid = :oid", oid=row.origin) == [("",)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "nothing"}, "unknown_type"),
        ({"id": b"short"}, "bad_form"),
        ({"path": (RIVER, HOME)}, "loop"),
        ({"handling": 3}, "handling"),
        ({"origin": "short"}, "bad_form"),
        ({"terms": None}, "bad_terms"),
        ({"path": ()}, "bad_path"),
        ({"path": (WEST, RIVER)}, "bad_path"),
        ({"path": (RIVER, WEST, WEST)}, "bad_path"),
        ({"path": (RIVER, WEST, EAST)}, "beyond_terms"),
        ({"path": (RIVER, WEST), "terms": make_terms(relay=False)}, "beyond_terms"),
        ({"path": (RIVER, WEST), "handling": 2}, "beyond_terms"),
        ({"path": (RIVER, WEST), "terms": make_terms(labels={})}, "beyond_terms"),
    ],
)
def test_what_may_not_be_stored_is_set_aside_with_its_reason(node: Node, changes: dict[str, Any], reason: str) -> None:
    accepted = node.accept(1, replace(make_put(1), **changes), make_put(2))
    assert (accepted.put, accepted.quarantined) == (1, 1)
    assert node.ask("SELECT reason FROM quarantine") == [(reason,)]


@pytest.mark.parametrize(
    "changes", [{"origin": RIVER}, {"path": (RIVER,)}, {"terms": make_terms()}, {"provenance": b"x"}]
)
def test_a_need_that_tells_where_it_is_from_is_set_aside(node: Node, changes: dict[str, Any]) -> None:
    need = Put("need", bytes(16), "", (0, 1, 1), 1, None, (), {"kind": {"exact": "legal_support"}})
    assert node.accept(1, replace(need, **changes)).quarantined == 1


def test_what_is_set_aside_takes_the_place_of_what_was_held(node: Node) -> None:
    node.accept(1, make_put())
    node.accept(1, make_put(rev=2, path=(RIVER, HOME)))
    assert node.rows() == []
    assert len(node.ask("SELECT 1 FROM quarantine")) == 1
    node.accept(1, make_put(rev=3))
    assert len(node.rows()) == 1
    assert node.ask("SELECT 1 FROM quarantine") == []


def test_an_origin_brings_so_many_terms_and_no_more(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "MOST_TERMS", 3)
    monkeypatch.setattr(numbering, "MOST_TERMS_EVER", 5)

    def put(number: int, hops: int, **more: Any) -> Put:
        return make_put(number, terms=make_terms(hops=hops), **more)

    first = node.accept(1, *(put(number, 2 + number) for number in range(5)))
    assert (first.put, first.quarantined) == (3, 2)
    assert node.ask("SELECT DISTINCT reason FROM quarantine") == [("too_many_terms",)]
    assert node.accept(1, put(0, 2, rev=2), put(1, 3, rev=2)).put == 2
    assert node.accept(1, put(9, 2, origin=WEST, path=(WEST,))).put == 1
    assert node.accept(1, put(0, 16, rev=3)).quarantined == 1
    for number in (1, 2):  # what is not used any more leaves room, up to an end
        assert node.accept(1, put(number, 16, rev=3)).put == 1
    assert node.accept(1, put(3, 15)).put == 1
    assert node.accept(1, put(4, 14)).quarantined == 1
    assert node.accept(1, put(4, 16)).put == 1


def test_a_peer_brings_so_many_records_and_no_more(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "MOST_ROWS", 4)
    first = node.accept(1, *(make_put(number) for number in range(6)))
    assert (first.put, first.quarantined) == (4, 2)
    assert node.ask("SELECT DISTINCT reason FROM quarantine") == [("too_many",)]
    assert node.accept(1, make_put(0, rev=2), make_put(7)).put == 1
    assert node.accept(2, make_put(7, path=(RIVER, WEST))).put == 1


def test_an_origin_is_remembered_and_a_pinned_name_stays(node: Node) -> None:
    def known() -> list[tuple[Any, ...]]:
        return node.ask("SELECT name, jwk, handovers FROM origins WHERE thumbprint = :it", it=RIVER)

    with node.database.write() as connection:
        node.intake.accept_origin(connection, RIVER, "river", {"kty": "EC"})
        node.intake.accept_origin(connection, HOME, "not me", {"kty": "EC"})
    assert known() == [("river", '{"kty":"EC"}', "[]")]
    with node.database.write() as connection:
        connection.exec_driver_sql("UPDATE origins SET pinned = 1")
        node.intake.accept_origin(connection, RIVER, "someone", {"kty": "EC"}, ["statement"])
    assert known() == [("river", '{"kty":"EC"}', '["statement"]')]
    assert node.ask("SELECT name, jwk FROM origins WHERE oid = 0") == [("home", None)]


@pytest.mark.parametrize("type_key", RECORD_TYPES)
def test_every_type_can_be_stored(node: Node, type_key: str) -> None:
    """With nothing but what is needed: every other column at its unknown value."""
    document: dict[str, Any] = {}
    for name, spec in RECORD_TYPES[type_key].fields.items():
        if spec.required:
            codes = getattr(spec.kind, "codes", None)
            document[name] = CODES.codes(codes)[0] if codes else "Some words."
    node.intake.create(STEWARD, type_key, document)
    assert [row.status for row in node.rows(type_key)] == ["draft"]
