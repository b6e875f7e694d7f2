"""The report of what a peer was sent: from what was written down before it left."""

from __future__ import annotations

from pathlib import Path

import pytest
from exchange_nodes import COMMUNITY, OPEN, PARTNER, STEWARD, Clock, Net, Node, copy_of, link

from federation.errors import NotFound
from federation.peers import agreements
from federation.peers.holdings import holdings, known_from
from federation.peers.state import prune_served
from federation.policies.terms import labels
from federation.records.codes import load
from federation.storage.sweeper import sweep

pytest_plugins = ["exchange_fixtures"]


@pytest.fixture
def nodes(tmp_path: Path, sqlite_template: Path, clock: Clock):
    net = Net()
    names = ("river", "west", "aurora")
    nodes = [Node(n, net, copy_of(sqlite_template, tmp_path / f"{n}.db"), clock) for n in names]
    link(nodes[0], nodes[1])
    link(nodes[1], nodes[2])
    nodes[0].grant("west", PARTNER)
    nodes[1].grant("aurora", COMMUNITY)
    yield nodes
    for node in nodes:
        node.stop()


def test_nothing_was_sent_before_the_first_pull(nodes):
    nodes[0].add()
    assert holdings(nodes[0].source, "west") == []
    with pytest.raises(NotFound):
        holdings(nodes[0].source, "nobody")


def test_each_record_is_listed_with_its_steps_and_times(nodes, clock):
    river, west, _ = nodes
    first = river.add()
    river.add(title="At home", handling="TLP:RED")
    need = river.add("need")
    west.sync("river")
    began = clock.at.isoformat()
    clock.forward(hours=1)
    second = river.add(title="Later")
    river.intake.amend(STEWARD, first, {"title": "Renewed"})
    west.sync("river")
    found = {each.gid: each for each in holdings(river.source, "west")}
    assert len(found) == 3
    assert (found[first].first, found[first].last) == (began, clock.at.isoformat())
    assert found[second].first == clock.at.isoformat()
    assert found[first].steps["area"] == "country"
    assert "site" not in found[first].steps
    assert need not in found
    assert [each.gid for each in found.values() if each.type == "need"] == [row.gid for row in west.rows("need")]
    assert not any(each.gone for each in found.values())


def test_what_was_taken_back_is_still_listed_with_the_finest_step_ever_sent(nodes):
    river, west, _ = nodes
    gid = river.add()
    west.sync("river")
    river.grant("west", OPEN)
    west.sync("river")
    [held] = holdings(river.source, "west")
    assert (held.gid, held.steps["area"], held.gone) == (gid, "country", False)
    agreements.revoke(river.database, "west")
    west.sync("river")
    [held] = holdings(river.source, "west")
    assert (held.gid, held.gone) == (gid, True)


def test_a_withdrawn_record_is_listed_as_gone_and_policies_are_named(nodes):
    river, west, _ = nodes
    gid, _ = river.add(), river.add(title="Stays")
    west.sync("river")
    river.policy('[resource]\nsummary = "nobody"\n')
    west.sync("river")
    river.intake.withdraw(STEWARD, gid)
    west.sync("river")
    found = {each.gid: each for each in holdings(river.source, "west")}
    assert [each.gone for each in found.values()].count(True) == 1
    assert found[gid].gone
    assert len(found[gid].policies) == 2


def day(river, clock, days: int = 1):
    """The days pass, each with its sweep."""
    for _ in range(days):
        clock.forward(days=1)
        policy = river.policies.current()
        sweep(river.database, river.world, load(), lambda key: labels(policy, key), place_k=1, journal_days=3)  # noqa: B023


def told(found):
    return [(each.gid, each.steps, each.gone) for each in found]


def test_what_was_sent_before_the_journal_begins_is_still_listed_without_its_time(nodes, clock):
    river, west, _ = nodes
    kept, gone, changed = river.add(title="Kept"), river.add(title="Gone"), river.add(title="Changed")
    west.sync("river")
    hidden, second = river.add(title="At home", handling="TLP:RED"), river.add(title="Second")
    west.sync("river")
    river.add(title="At home too", handling="TLP:RED")
    west.sync("river")
    day(river, clock, 3)
    assert known_from(river.database) is None
    day(river, clock, 3)
    river.intake.withdraw(STEWARD, gone)
    river.intake.amend(STEWARD, changed, {"title": "Renewed"})
    late = river.add(title="Late")
    west.sync("river")
    at = clock.at.isoformat()
    found = {each.gid: each for each in holdings(river.source, "west")}
    assert known_from(river.database) == "2027-01-16"
    assert set(found) == {kept, second, gone, changed, late}
    assert hidden not in found
    assert [(found[gid].first, found[gid].last) for gid in (kept, second)] == [(None, None)] * 2
    assert (found[changed].first, found[changed].last) == (None, at)
    assert (found[late].first, found[late].last) == (at, at)
    assert [gid for gid, each in found.items() if each.gone] == [gone]
    assert found[kept].steps == found[late].steps


def test_what_was_sent_where_the_journal_begins_keeps_its_time(nodes, clock):
    river, west, _ = nodes
    gid = river.add()
    west.sync("river")
    at = clock.at.isoformat()
    day(river, clock, 6)
    assert known_from(river.database) is not None
    [held] = holdings(river.source, "west")
    assert (held.gid, held.first, held.last) == (gid, at, at)


def test_a_shorter_journal_tells_the_same_records_and_steps(nodes, clock):
    river, west, _ = nodes
    gids = [river.add(title=f"Offer {number}") for number in range(6)]
    west.sync("river")
    day(river, clock)
    river.intake.amend(STEWARD, gids[0], {"title": "Renewed"})
    river.intake.amend(STEWARD, gids[1], {"handling": "TLP:RED"})
    west.sync("river")
    before = told(holdings(river.source, "west"))
    day(river, clock, 9)
    after = told(holdings(river.source, "west"))
    assert known_from(river.database) is not None
    assert after == [each for each in before if each[0] != gids[1]]
    prune_served(river.database, clock.at)
    assert told(holdings(river.source, "west")) == after


def test_a_peer_that_was_away_for_longer_than_the_journal_is_kept_reconciles(nodes, clock):
    river, west, _ = nodes
    gone = river.add(title="Gone")
    west.sync("river")
    river.intake.withdraw(STEWARD, gone)
    stays = river.add(title="Stays")
    day(river, clock, 9)
    prune_served(river.database, clock.at)
    west.sync("river")
    assert west.titles() == ["Stays"]
    at = clock.at.isoformat()
    found = {each.gid: each for each in holdings(river.source, "west")}
    assert found[stays].last == at


def test_what_was_passed_on_is_listed_under_its_origin(nodes):
    river, west, aurora = nodes
    gid = river.add()
    west.sync("river")
    aurora.sync("west")
    assert [each.gid for each in holdings(west.source, "aurora")] == [gid]
