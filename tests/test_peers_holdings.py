"""The report of what a peer was sent: from what was written down before it left."""

from __future__ import annotations

from pathlib import Path

import pytest
from exchange_nodes import COMMUNITY, OPEN, PARTNER, STEWARD, Clock, Net, Node, copy_of, link

from federation.errors import NotFound
from federation.peers import agreements
from federation.peers.holdings import holdings

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


def test_what_was_passed_on_is_listed_under_its_origin(nodes):
    river, west, aurora = nodes
    gid = river.add()
    west.sync("river")
    aurora.sync("west")
    assert [each.gid for each in holdings(west.source, "aurora")] == [gid]
