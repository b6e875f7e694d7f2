"""What changes because time passes or because others write, and that nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from federation.errors import BadInput
from federation.intake import Gone
from federation.records.registry import RECORD_TYPES
from federation.records.rows import bits
from federation.storage import journal
from federation.storage.database import Database
from federation.storage.peering import Peer
from federation.storage.sweeper import Swept
from tests.intake_world import EAST, NOTICE, RESOURCE, RIVER, STEWARD, WEST, Node, make_put


@pytest.fixture
def node(database: Database) -> Node:
    return Node(database)


def do(node: Node, statement: str, **values: Any) -> None:
    with node.database.write() as connection:
        connection.execute(text(statement), values)


def test_nothing_to_do_changes_nothing(node: Node) -> None:
    node.create("resource")
    assert node.sweep() == Swept()
    assert node.sweep() == Swept()
    assert len(node.changes()) == 1


def test_a_record_expires_when_its_last_day_has_ended(node: Node) -> None:
    gid = node.create(valid_until="2026-03-02")
    node.clock.go(days=1, hours=11)
    assert node.sweep().changes == 0
    node.clock.go(hours=1)
    assert node.sweep().expired == 1
    assert node.row(gid).status == "expired"
    change = node.changes()[-1]
    assert (change.before and change.before.status, change.after and change.after.status) == ("shared", "expired")
    assert node.sweep().changes == 0


def test_a_received_record_expires_too(node: Node) -> None:
    node.accept(1, make_put(document={**NOTICE, "valid_until": "2026-03-01"}))
    node.accept(2, make_put(path=(RIVER, EAST), document={**NOTICE, "valid_until": "2026-03-01"}))
    node.clock.go(days=1)
    assert node.sweep().expired == 1
    assert {row.via: row.status for row in node.rows()} == {1: "expired", 2: "shadowed"}
    node.accept(1, gone=[Gone("notice", make_put().id, RIVER)])
    assert {row.via: row.status for row in node.rows()} == {2: "expired"}


def test_an_expired_record_whose_day_is_to_come_is_shared_again(node: Node) -> None:
    gid = node.create(valid_until="2026-03-01")
    node.clock.go(days=1)
    node.sweep()
    node.clock.go(days=-1)  # a clock that was wrong and was set right
    assert node.sweep().revived == 1
    row = node.row(gid)
    assert (row.status, node.revisions(gid)) == ("shared", (2, 2, 0))


def test_drafts_and_withdrawn_records_do_not_expire(node: Node) -> None:
    node.create(valid_until="2026-03-01", share=False)
    node.intake.withdraw(STEWARD, node.create(valid_until="2026-03-01", text="Other."))
    node.clock.go(days=9)
    assert node.sweep().changes == 0


def test_many_records_expire_in_one_run(node: Node) -> None:
    puts = [make_put(number, document={**NOTICE, "valid_until": "2026-03-01"}) for number in range(1, 521)]
    node.accept(1, *puts)
    node.clock.go(days=1)
    assert node.sweep().expired == 520


# Agreements


def peer(node: Node, name: str, state: str, until: str | None) -> None:
    table = Peer.__table__  # type: ignore[attr-defined]
    values = {"name": name, "issuer": name, "jwks": "[]", "thumbprint": name, "origin": name, "provenance": "{}"}
    with node.database.write() as connection:
        connection.execute(table.insert().values(**values, state=state, until=until, verified=True, frozen=False,
                                                 scopes="[]", narrowing="[]"))  # fmt: skip


def states(node: Node) -> dict[str, str]:
    return dict(node.ask("SELECT name, state FROM peers"))


def test_agreements_end_and_come_back_by_their_date(node: Node) -> None:
    peer(node, "today", "active", "2026-03-01")
    peer(node, "gone", "active", "2026-02-28")
    peer(node, "open", "active", None)
    peer(node, "moved", "ended", "2026-04-01")
    peer(node, "revoked", "revoked", "2026-02-28")
    assert node.sweep().ended == 2
    after = {"today": "active", "gone": "ended", "open": "active", "moved": "active", "revoked": "revoked"}
    assert states(node) == after
    assert node.sweep().ended == 0


def test_a_damaged_record_keeps_no_agreement_alive(node: Node) -> None:
    node.create("resource", availability={"state": "open"})
    peer(node, "gone", "active", "2026-02-28")
    do(node, """UPDATE resource SET home = '{"restated":{'""")
    with pytest.raises(ValueError, match="unexpected end"):
        node.sweep()
    assert states(node) == {"gone": "ended"}


# Places


def resource(area: str, **more: Any) -> dict[str, Any]:
    return {**RESOURCE, "area": area, **more}


def shown(node: Node, gid: str) -> str:
    return node.row(gid, "resource").area__country__code


def test_a_country_with_too_few_networks_is_told_coarser(database: Database) -> None:
    node = Node(database, place_k=3)
    gid = node.create("resource")
    assert (node.row(gid, "resource").area__exact__code, shown(node, gid)) == ("KE-30", "002")
    for number, origin in enumerate((RIVER, WEST)):
        node.accept(1, make_put(number, "resource", origin=origin, most=2, document=resource("KE")))
    assert shown(node, gid) == "002"
    before, numbers = node.row(gid, "resource"), node.revisions(gid, "resource")
    assert node.sweep().replaced == 1
    after = node.row(gid, "resource")
    assert shown(node, gid) == "KE"
    assert node.revisions(gid, "resource") == tuple(
        number + told for number, told in zip(numbers, (1, 0, 1), strict=True)
    )
    assert after.updated_at == before.updated_at
    change = node.changes()[-1]
    steps = {each for bit, each in enumerate(bits(RECORD_TYPES["resource"])) if change.steps >> bit & 1}
    assert steps == {("area", "country"), ("area", "sub_region")}
    assert node.sweep() == Swept()
    node.accept(1, gone=[Gone("resource", (0).to_bytes(16, "big"), RIVER)])
    assert node.sweep().replaced == 1
    assert shown(node, gid) == "002"


def test_a_new_record_is_told_by_the_counts_at_hand(database: Database) -> None:
    node = Node(database, place_k=2)
    node.accept(1, make_put(1, "resource", most=2, document=resource("UG")))
    node.sweep()
    assert shown(node, node.create("resource", area="UG")) == "UG"
    assert shown(node, node.create("resource", area="KE")) == "014"
    assert node.ask("SELECT networks, others FROM place_cells WHERE code = 'UG'") == [(1, 1)]
    node.sweep()
    assert node.ask("SELECT networks, others FROM place_cells WHERE code = 'UG'") == [(2, 1)]


def test_records_that_leave_in_no_form_do_not_count(database: Database) -> None:
    node = Node(database, place_k=2)
    node.accept(1, make_put(1, "resource", most=2, document=resource("UG", valid_until="2026-02-01")))
    node.sweep()
    assert shown(node, node.create("resource", area="UG")) == "002"


def test_own_records_never_move_what_is_shown_of_another(database: Database) -> None:
    node = Node(database, place_k=2)
    node.accept(1, make_put(1, "resource", most=2, document=resource("UG")))
    node.sweep()
    gid = node.create("resource", area="UG")
    other = node.create("resource", title="Other", area="UG")
    node.sweep()
    node.intake.withdraw(STEWARD, other)
    node.intake.amend(STEWARD, gid, {"handling": "TLP:RED"})
    assert node.sweep().replaced == 0
    assert shown(node, gid) == "UG"


def test_lists_of_places_are_kept_current(database: Database) -> None:
    node = Node(database, place_k=2)
    network = {"name": "Us", "scope": "national", "regions": ["KE"]}
    gid = node.intake.create(STEWARD, "network", network, share=True)
    assert node.row(gid, "network").regions__sub_region == '["002"]'
    other = make_put(1, "network", most=2, document={**network, "name": "They"})
    node.accept(1, other)
    node.sweep()
    counted = {row[0] for row in node.ask("SELECT code FROM place_cells")}
    assert {"KE", "014"} <= counted
    assert node.row(gid, "network").regions__sub_region == '["014"]'


def test_another_least_number_is_applied_to_what_is_stored(database: Database) -> None:
    node = Node(database, place_k=3)
    gid = node.create("resource")
    node.sweep()
    assert shown(node, gid) == "002"
    assert node.sweep(place_k=1).replaced == 1
    assert shown(node, gid) == "KE"
    assert node.sweep(place_k=3).replaced == 1
    assert shown(node, gid) == "002"


# What is told once a day


def told(node: Node, gid: str) -> tuple[str | None, str | None]:
    """The availability as it is at home, and as it is told."""
    row = node.row(gid, "resource")
    return row.availability__exact, row.availability__state


def test_availability_is_told_anew_once_a_day_and_is_always_current_at_home(node: Node) -> None:
    gid = node.create("resource", availability={"state": "open", "free": 3})
    node.sweep()
    before = len(node.changes())
    node.intake.amend(STEWARD, gid, {"availability": {"state": "limited", "free": 1}})
    node.intake.amend(STEWARD, gid, {"availability": "full"})
    assert told(node, gid) == ("full", "open")
    named = bits(RECORD_TYPES["resource"])
    changed = [{named[at] for at in range(len(named)) if each.steps >> at & 1} for each in node.changes()[before:]]
    assert changed == [{("availability", "exact")}] * 2
    assert node.sweep().restated == 0
    node.clock.go(days=1)
    assert node.sweep().restated == 1
    assert told(node, gid) == ("full", "full")
    assert node.changes()[-1].steps == 1 << named.index(("availability", "state"))
    assert node.sweep().restated == 0
    node.intake.amend(STEWARD, gid, {"availability": "open"})
    assert told(node, gid) == ("open", "full")


def test_the_first_change_of_a_day_is_told_at_once(node: Node) -> None:
    gid = node.create("resource", availability="open")
    node.clock.go(days=1)
    node.sweep()
    node.intake.amend(STEWARD, gid, {"availability": "full"})
    assert told(node, gid) == ("full", "full")
    node.intake.amend(STEWARD, gid, {"availability": "open"})
    assert told(node, gid) == ("open", "full")
    node.intake.amend(STEWARD, gid, {"availability": "full"})
    node.clock.go(days=1)
    assert node.sweep().restated == 0


def test_availability_that_is_gone_is_so_at_once_and_comes_back_the_next_day(node: Node) -> None:
    gid = node.create("resource", availability="open")
    node.intake.amend(STEWARD, gid, {"availability": None})
    assert told(node, gid) == (None, None)
    node.intake.amend(STEWARD, gid, {"availability": "full"})
    assert told(node, gid) == ("full", None)
    node.clock.go(days=1)
    assert node.sweep().restated == 1
    assert told(node, gid) == ("full", "full")


def test_a_draft_tells_what_it_says_when_it_is_shared(node: Node) -> None:
    gid = node.create("resource", share=False, availability="open")
    node.intake.amend(STEWARD, gid, {"availability": "full"})
    node.intake.share(STEWARD, gid)
    assert told(node, gid) == ("full", "full")


def test_a_cap_holds_what_is_told_back_to_what_was_last_told(node: Node) -> None:
    gid = node.create("resource", availability="open", caps={"availability": "state"})
    node.intake.amend(STEWARD, gid, {"availability": "full"})
    assert told(node, gid) == ("open", "open")
    node.clock.go(days=1)
    assert node.sweep().restated == 1
    assert told(node, gid) == ("full", "full")


def test_what_was_last_told_is_not_for_callers_to_set(node: Node) -> None:
    with pytest.raises(BadInput, match="set by the node"):
        node.create("resource", restated={"availability": {"state": "open", "on": "2020-01-01"}})


# The journal


def test_the_journal_is_shortened_to_what_is_young(node: Node) -> None:
    node.create()
    assert node.sweep(journal_days=2).pruned == 0
    node.clock.go(days=1)
    node.create(text="Second.")
    assert node.sweep(journal_days=2).pruned == 0
    node.clock.go(days=1)
    node.create(text="Third.")
    assert node.sweep(journal_days=2).pruned == 1
    assert len(node.changes()) == 2
    with node.database.read() as connection:
        assert journal.floor(connection) < node.changes()[0].position
    node.clock.go(days=30)
    assert node.sweep(journal_days=2).pruned == 2
    assert node.sweep(journal_days=2).pruned == 0
