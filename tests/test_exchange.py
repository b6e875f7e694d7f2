"""The exchange between nodes: a peer's slice is what the policy of its source lets it see, now."""

from __future__ import annotations

import pytest
from exchange_nodes import COMMUNITY, OPEN, PARTNER, STEWARD, Clock, Net, Node, copy_of, link

from federation.peers import agreements, serve, state
from federation.peers.provenance_packed import unstore
from federation.policies.tiers import Tier
from federation.policies.viewer import Viewer, ViewerKind
from federation.records.registry import RECORD_TYPES
from federation.storage import sweeper

pytest_plugins = ["exchange_fixtures"]


def test_the_first_pull_brings_the_slice_and_nothing_beyond_it(river, west):
    river.add()
    river.add(title="Kept at home", handling="TLP:RED")
    done = west.sync("river")
    assert (done.taken, done.quarantined) == (1, 0)
    [row] = west.rows()
    assert row.title__exact == "Emergency grants"
    assert row.area__country__code == "KE"
    assert row.provider__kind == "ngo"
    assert row.revisions == "[1,1,1]"
    assert row.provenance
    disk = west.bytes_on_disk()
    for secret in (b"Acacia", b"Hidden Lane", b"Ask Asha", b"Kept at home"):
        assert secret not in disk


def test_a_change_and_a_withdrawal_arrive(river, west):
    gid = river.add()
    other = river.add(title="Legal aid")
    west.sync("river")
    river.intake.amend(STEWARD, gid, {"title": "Grants, renewed"})
    river.intake.withdraw(STEWARD, other)
    done = west.sync("river")
    assert (done.taken, done.withdrawn) == (1, 1)
    assert west.titles() == ["Grants, renewed"]
    assert b"Legal aid" not in west.bytes_on_disk()


def test_a_pull_with_nothing_new_writes_nothing(river, west):
    river.add()
    west.sync("river")
    before = state.sync_state_of(west.database, 1)
    done = west.sync("river")
    assert (done.taken, done.withdrawn) == (0, 0)
    assert state.sync_state_of(west.database, 1).cursor == before.cursor


NARROWED = {("resource", "summary"): None, ("resource", "amount"): None, ("resource", "provider"): None}
HIDDEN_FROM = {
    "a partner": (PARTNER, {}, {"internal_notes": "Changed", "site": "Elsewhere 3"}),
    "the community": (COMMUNITY, {}, {"area": "KE-30", "amount": {"value": "1300", "currency": "EUR"}}),
    "the public": (OPEN, {}, {"provider": {"name": "Baobab", "kind": "donor"}, "renewable": True}),
    "a narrowed peer": (PARTNER, NARROWED, {"summary": "Changed", "amount": {"value": "90000", "currency": "EUR"}}),
}
"""To whom which changes of a record are hidden: scopes, narrowing, changes."""


@pytest.mark.parametrize("whom", HIDDEN_FROM)
def test_a_hidden_write_changes_no_byte_for_the_peer(sqlite_template, tmp_path, whom):
    scopes, narrowing, changes = HIDDEN_FROM[whom]

    def life(river, west, _, hidden):
        river.grant("west", scopes, narrowing=narrowing)
        gid, other = river.add(), river.add(title="Legal aid")
        west.sync("river")
        if hidden:
            river.intake.amend(STEWARD, gid, changes)
            river.intake.amend(STEWARD, gid, {**changes, "internal_notes": "Again"})
            gone = river.add(title="Seen by nobody", handling="TLP:RED")
            river.intake.withdraw(STEWARD, gone)
        west.sync("river")
        river.intake.amend(STEWARD, gid, {"title": "Renewed"})
        river.intake.amend(STEWARD, other, {"title": "Legal aid and more"})
        west.sync("river")
        pull_anew(west, "river")
        west.sync("river")

    assert_twins(sqlite_template, tmp_path, life, answers=6)


def test_a_hidden_write_changes_no_byte_behind_a_hub(sqlite_template, tmp_path):
    def life(river, west, aurora, hidden):
        river.grant("west", PARTNER)
        west.grant("aurora", OPEN)
        gid, _ = river.add(), river.add(title="Legal aid")
        in_step = [(west, "river"), (aurora, "west")]
        sync(in_step)
        if hidden:
            river.intake.amend(STEWARD, gid, {"renewable": True, "amount": {"value": "90000", "currency": "EUR"}})
        sync(in_step)
        if hidden:
            river.intake.amend(STEWARD, gid, {"renewable": False})
        sync(in_step)
        river.intake.amend(STEWARD, gid, {"title": "Renewed"})
        sync(in_step)
        pull_anew(aurora, "west")
        sync(in_step)

    assert_twins(sqlite_template, tmp_path, life, reader="https://aurora.example", answers=7)


def test_a_record_of_which_no_field_was_seen_leaves_without_a_word(sqlite_template, tmp_path):
    policy = "[resource]\n" + "".join(
        f'{name} = "nobody"\n'
        for name, spec in RECORD_TYPES["resource"].fields.items()
        if not spec.common and name not in ("summary", "area", "languages") and spec.open_steps
    )

    def life(river, west, _, hidden):
        river.policy(policy)
        river.grant("west", OPEN)
        river.add(area=None)
        bare = {"summary": None, "area": None, "languages": None}
        if hidden:
            unseen = river.add(title="Nothing of this is seen", **bare)
        west.sync("river")
        if hidden:
            river.intake.amend(STEWARD, unseen, {"title": "Still nothing"})
            river.intake.withdraw(STEWARD, unseen)
        west.sync("river")

    assert_twins(sqlite_template, tmp_path, life, answers=3)


def sync(links):
    """Pulls over each link in turn."""
    for reader, source in links:
        reader.sync(source)


def pull_anew(node, name):
    """Forgets where a pull stood, so that the whole slice comes again."""
    with node.database.write() as conn:
        state.pull_anew(conn, agreements.partner(node.database, name).pid, empty=False)


def assert_twins(sqlite_template, tmp_path, life, *, answers, reader="https://west.example"):
    """Two worlds in which `life(river, west, aurora, hidden)` goes by give the reader the same bytes."""
    worlds = []
    for hidden in (False, True):
        net = Net()
        directory = tmp_path / f"world-{hidden}"
        directory.mkdir()
        names = ("river", "west", "aurora")
        nodes = [Node(name, net, copy_of(sqlite_template, directory / f"{name}.db"), Clock()) for name in names]
        link(nodes[0], nodes[1])
        link(nodes[1], nodes[2])
        life(*nodes, hidden)
        worlds.append([(each.path, each.asked, each.body) for each in net.log if each.reader == reader])
        for node in nodes:
            node.stop()
    assert worlds[0] == worlds[1]
    assert len(worlds[0]) == answers


def test_a_narrower_policy_takes_back_what_was_given_from_every_byte(river, west):
    river.add()
    west.sync("river")
    assert b"Defenders at risk" in west.bytes_on_disk()
    river.policy('[resource]\neligibility = "nobody"\n')
    west.sync("river")
    [row] = west.rows()
    assert row.eligibility__exact is None
    assert row.title__exact == "Emergency grants"
    assert b"Defenders at risk" not in west.bytes_on_disk()
    river.policy("")
    west.sync("river")
    [row] = west.rows()
    assert row.eligibility__exact == "Defenders at risk."


def test_a_revoked_peer_loses_everything_and_hears_nothing_more(river, west):
    river.add()
    west.sync("river")
    agreements.revoke(river.database, "west")
    done = west.sync("river")
    assert done.withdrawn == 1
    assert west.rows() == []
    assert b"Emergency grants" not in west.bytes_on_disk()
    river.add(title="Later")
    assert west.sync("river").taken == 0


def test_a_frozen_peer_is_answered_nothing(river, west):
    river.add()
    agreements.freeze(river.database, "west")
    with pytest.raises(Exception, match="status 401"):
        west.sync("river")
    assert west.rows() == []


def test_open_and_community_steps_are_relayed_with_the_origins_own_signature(river, west, aurora):
    river.add()
    west.sync("river")
    done = aurora.sync("west")
    assert (done.taken, done.quarantined) == (1, 0)
    [row] = aurora.rows()
    assert row.title__exact == "Emergency grants"
    assert row.provenance
    assert row.area__country__code == "002" or row.area__country__level != "country"
    assert row.amount__exact__p == "BAND"
    item = next(each for each in net_items(west) if each["k"] == "put")
    assert item["o"] == river.me.keys.origin
    assert item["path"] == [river.me.keys.origin, west.me.keys.origin]
    assert "country" not in item["v"]["area"]
    assert "exact" not in item["v"].get("amount", {})


def net_items(source: Node) -> list[dict]:
    return [item for each in source.net.log for item in each.items if each.reader == "https://aurora.example"]


def test_what_a_hub_changes_is_not_taken_in(net, river, west, aurora):
    river.add()
    west.sync("river")
    net.bend = lambda _, blocks: (block.replace(b"Emergency grants", b"Closed for ever.") for block in blocks)
    done = aurora.sync("west")
    assert (done.taken, done.quarantined) == (0, 1)
    assert aurora.rows() == []
    assert b"Closed for ever" not in aurora.bytes_on_disk()


def test_a_revocation_at_the_first_node_empties_the_next_and_the_one_after(river, west, aurora):
    river.add()
    west.sync("river")
    aurora.sync("west")
    agreements.revoke(river.database, "west")
    west.sync("river")
    assert aurora.sync("west").withdrawn == 1
    assert aurora.rows() == []
    assert b"Emergency grants" not in aurora.bytes_on_disk()


def test_a_record_does_not_come_back_to_where_it_was(net, river, west):
    west.grant("river", PARTNER)
    river.add()
    west.sync("river")
    done = river.sync("west")
    assert (done.taken, done.quarantined) == (0, 0)
    assert [row.via for row in river.rows()] == [0]


def test_a_hub_that_sends_a_record_back_achieves_nothing(net, river, west, aurora):
    west.grant("river", PARTNER)
    river.add()
    west.sync("river")
    aurora.sync("west")
    told = next(each.blocks for each in net.log if each.reader == aurora.me.issuer)
    answers = [told]
    net.bend = lambda _, blocks: iter(answers.pop()) if answers else blocks
    done = river.sync("west")
    assert (done.taken, done.quarantined) == (0, 1)
    assert [row.via for row in river.rows()] == [0]
    assert river.titles() == ["Emergency grants"]


def test_the_hop_limit_of_the_origin_ends_the_path(make, river, west, aurora):
    beyond = make("beyond")
    link(aurora, beyond)
    aurora.grant("beyond", COMMUNITY)
    river.add()
    west.add(title="Of the hub")
    for node, source in ((west, "river"), (aurora, "west"), (beyond, "aurora")):
        node.sync(source)
    assert aurora.titles() == ["Emergency grants", "Of the hub"]
    assert beyond.titles() == ["Of the hub"]


def test_partner_records_are_not_passed_on(river, west, aurora):
    river.add(title="For partners", handling="TLP:AMBER")
    west.sync("river")
    assert west.titles() == ["For partners"]
    assert west.rows()[0].provenance is None
    aurora.sync("west")
    assert aurora.rows() == []


def test_an_open_peer_of_a_hub_gets_the_open_steps_with_a_signature(make, river, west):
    reader = make("reader")
    link(west, reader)
    west.grant("reader", OPEN)
    river.add()
    west.sync("river")
    done = reader.sync("west")
    assert (done.taken, done.quarantined) == (1, 0)
    [row] = reader.rows()
    assert row.languages__macro
    assert row.languages__exact == row.languages__macro
    assert row.provider__kind is None


def test_an_open_peer_of_the_origin_gets_a_signature_over_what_it_sees(make, river):
    reader = make("reader")
    link(river, reader)
    river.grant("reader", OPEN)
    river.add()
    done = reader.sync("river")
    assert (done.taken, done.quarantined) == (1, 0)
    signed = unstore(reader.rows()[0].provenance)
    assert signed.tiers == {Tier.OPEN}


def test_needs_have_another_id_for_each_peer_and_no_origin(net, river, west, make):
    other = make("other")
    link(river, other)
    river.grant("other", PARTNER)
    river.add("need")
    west.sync("river")
    other.sync("river")
    puts = [item for each in net.log for item in each.items if item["k"] == "put"]
    assert len({item["i"] for item in puts}) == 2
    assert len({item["v"]["network"]["pseudonym"] for item in puts}) == 2
    assert all(not item.keys() & {"o", "path", "T", "sd"} for item in puts)
    [row] = west.rows("need")
    assert (row.relay, row.provenance) == (0, None)


def test_a_need_is_never_passed_on(river, west, aurora):
    river.add("need")
    west.sync("river")
    assert aurora.sync("west").taken == 0
    assert aurora.rows("need") == []


def test_a_withdrawn_need_leaves(river, west):
    gid = river.add("need")
    west.sync("river")
    river.intake.withdraw(STEWARD, gid)
    assert west.sync("river").withdrawn == 1
    assert west.rows("need") == []


def test_an_ended_agreement_empties_the_slice(river, west, clock):
    river.add()
    west.sync("river")
    clock.forward(days=3 * 365)
    sweeper.end_agreements(river.database, river.world)
    west.sync("river")
    assert west.rows() == []


def test_a_widened_grant_brings_more_and_a_narrowed_one_takes_back(river, west):
    river.add()
    river.grant("west", OPEN)
    west.sync("river")
    assert west.rows()[0].provider__kind is None
    river.grant("west", PARTNER)
    west.sync("river")
    assert west.rows()[0].provider__kind == "ngo"
    river.grant("west", PARTNER, narrowing={("resource", "provider"): None})
    west.sync("river")
    assert west.rows()[0].provider__kind is None


def test_many_records_come_in_many_checkpoints(net, river, west):
    for n in range(150):
        river.add(title=f"Offer {n:03}", summary="x" * 1500)
    heard: list[int] = []
    done = west.puller.sync(agreements.partner(west.database, "river"), heard.append)
    assert done.taken == 150
    assert len(west.rows()) == 150
    assert heard == sorted(heard)
    assert len([item for item in net.log[0].items if item["k"] == "check" and item["t"] == "resource"]) > 3
    for gid in [row.gid for row in river.rows()]:
        river.intake.amend(STEWARD, gid, {"response_hours": 24})
    assert west.sync("river").taken == 150
    assert len([item for item in net.log[-1].items if item["k"] == "check"]) > 3
    assert {row.response_hours__exact for row in west.rows()} == {24}


def test_an_item_that_no_peer_would_take_stays_and_stops_no_other(river, west):
    spoken = [
        "fr",
        "es",
        "ar",
        "sw",
        "pt",
        "ru",
        "zh",
        "hi",
        "bn",
        "de",
        "it",
        "tr",
        "fa",
        "ur",
        "am",
        "ha",
        "yo",
        "ig",
        "so",
        "om",
    ]
    texts = {language: {"summary": "y" * 19_000} for language in spoken}
    river.add(title="Too long", translations=texts)
    river.add()
    done = west.sync("river")
    assert (done.taken, done.quarantined) == (1, 0)


def test_the_exchange_works_on_postgresql_as_on_sqlite(make_database, clock, net):
    river, west, aurora = (
        Node(name, net, make_database("postgresql").url, clock) for name in ("river", "west", "aurora")
    )
    try:
        link(river, west)
        link(west, aurora)
        river.grant("west", PARTNER)
        west.grant("aurora", COMMUNITY)
        gid, other = river.add(), river.add(title="Legal aid")
        river.add("need")
        for node, source in ((west, "river"), (aurora, "west")):
            assert node.sync(source).quarantined == 0
        assert aurora.titles() == ["Emergency grants", "Legal aid"]
        river.intake.amend(STEWARD, gid, {"title": "Renewed"})
        river.intake.withdraw(STEWARD, other)
        for node, source in ((west, "river"), (aurora, "west")):
            node.sync(source)
        assert aurora.titles() == ["Renewed"]
        river.policy('[resource]\nsummary = "nobody"\n')
        west.sync("river")
        assert [row.summary__exact for row in west.rows()] == [None]
        clock.forward(days=100)
        aurora.sync("west")
        assert aurora.rows() == []
        agreements.revoke(river.database, "west")
        west.sync("river")
        assert west.rows() == west.rows("need") == []
    finally:
        for node in (river, west, aurora):
            node.stop()


def test_a_token_that_says_less_or_more_than_the_grant_opens_nothing(river, west):
    with river.database.read() as connection:
        granted = agreements.token_scopes(agreements.partner_by_issuer(connection, west.me.issuer))
    less = granted - {max(granted - {"exchange"})}
    for scopes in (less, granted | {"audit:read"}, frozenset({"exchange"})):
        with pytest.raises(serve.ScopesDiffer) as refused:
            serve.check_viewer(river.source, Viewer(ViewerKind.PEER, west.me.issuer, scopes))
        assert all(scope in refused.value.headers["www-authenticate"] for scope in granted)
    serve.check_viewer(river.source, Viewer(ViewerKind.PEER, west.me.issuer, granted))
