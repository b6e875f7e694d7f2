"""Replacing the key that signs what a node originates: it stays the same origin, here, behind a hub, and to a thief."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from exchange_nodes import COMMUNITY, OPEN, PARTNER, STEWARD, Exchanged, Net, Node, link

from federation.errors import Conflict
from federation.keys import SigningKey
from federation.peers import agreements, origins
from federation.peers import provenance as pv
from federation.peers.dress import terms_of_own
from federation.peers.provenance import Version
from federation.peers.provenance_packed import pack
from federation.storage import peering
from federation.storage.items import signer
from federation.storage.tables import grants, quarantine

pytest_plugins = ["exchange_fixtures"]

Item = dict[str, Any]


def reasons(node: Node) -> set[str]:
    with node.database.read() as conn:
        return {row.reason for row in conn.execute(quarantine.select())}


def signers(node: Node) -> list[int]:
    """By which key of the line the records that a node holds are signed."""
    return sorted(signer(row.provenance) for row in node.rows() if row.via)


def epoch(source: Node) -> int:
    with source.database.read() as conn:
        return max(row.epoch for row in conn.execute(grants.select()))


def line_of(node: Node, origin: str) -> tuple[str, ...]:
    """The hand-overs of an origin that a node knows."""
    with node.database.read() as conn:
        row = peering.origin_row(conn, thumbprint=origin)
    return tuple(orjson.loads(row.handovers))


def puts(net: Net, reader: Node) -> list[Item]:
    """The records of the last answer to a reader."""
    last = [each for each in net.log if each.reader == reader.me.issuer][-1]
    return [item for item in last.items if item["k"] == "put"]


def last_put(net: Net, reader: Node) -> Item:
    """The last record that went to a reader."""
    every = [item for each in net.log if each.reader == reader.me.issuer for item in each.items]
    return [item for item in every if item["k"] == "put"][-1]


def through(*pulls: tuple[Node, str]) -> list[tuple[int, int]]:
    """Pull along a way; what was withdrawn and set aside at each step."""
    done = [node.sync(source) for node, source in pulls]
    return [(each.withdrawn, each.quarantined) for each in done]


@pytest.fixture
def rotated(tmp_path: Path):
    """Rotates a node's provenance key."""
    return lambda node, **more: node.rotate("provenance", tmp_path / f"{node.name}-home", **more)


def test_a_node_stays_the_same_origin_and_its_records_are_signed_anew_once(net, river, west, rotated):
    river.add()
    west.sync("river")
    before, first = west.rows()[0], epoch(river)
    origin, old = river.me.keys.origin, river.me.keys.provenance.thumbprint
    rotated(river)
    assert river.me.keys.origin == origin == old != river.me.keys.provenance.thumbprint
    assert through((west, "river")) == [(0, 0)]
    after = west.rows()[0]
    assert (after.rid, after.gid, after.title__exact, after.revisions) == (
        before.rid, before.gid, before.title__exact, before.revisions,
    )  # fmt: skip
    assert (signer(before.provenance), signer(after.provenance)) == (0, 1)
    assert epoch(river) == first + 1
    assert west.sync("river").taken == 0
    assert puts(net, west) == []
    assert epoch(river) == first + 1


def test_the_line_travels_through_a_hub_and_nothing_is_lost_on_the_way(net, river, west, aurora, rotated):
    for title in ("One", "Two", "Three"):
        river.add(title=title)
    through((west, "river"), (aurora, "west"))
    for turn in (1, 2, 3):
        rotated(river)
        assert through((west, "river"), (aurora, "west")) == [(0, 0), (0, 0)]
        assert aurora.titles() == ["One", "Three", "Two"]
        assert signers(aurora) == [turn] * 3
        assert len(line_of(aurora, river.me.keys.origin)) == turn
    river.add(title="Four")
    assert through((west, "river"), (aurora, "west")) == [(0, 0), (0, 0)]
    assert aurora.titles() == ["Four", "One", "Three", "Two"]


def test_a_node_that_is_linked_after_a_rotation_learns_the_line_from_the_invitation(make, river, rotated):
    rotated(river)
    rotated(river)
    river.add()
    west = make("west")
    link(river, west)
    river.grant("west", PARTNER)
    assert agreements.partner(west.database, "river").origin == river.me.keys.origin
    assert line_of(west, river.me.keys.origin) == river.me.keys.handovers("provenance")
    assert through((west, "river")) == [(0, 0)]
    assert signers(west) == [2]


def test_a_peer_that_presents_a_replaced_key_as_its_own_is_refused(make, river, west, rotated):
    old = river.ring.in_force
    rotated(river)
    west.sync("river")
    thief = make("thief")
    thief.ring.in_force = old
    with pytest.raises(Conflict):
        link(west, thief)


def test_a_rotation_in_the_middle_of_a_pull_spoils_no_record(net: Net, river, west, aurora, rotated):
    for number in range(300):
        river.add(title=f"Record {number}", summary="x" * 1500)
    turned = []

    def bend(exchanged: Exchanged, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for count, block in enumerate(blocks):
            yield block
            if count == 1 and exchanged.reader == west.me.issuer and not turned:
                turned.append(rotated(river))

    net.bend = bend
    assert through((west, "river"), (aurora, "west")) == [(0, 0), (0, 0)]
    assert turned
    assert len(west.rows()) == len(aurora.rows()) == 300
    assert signers(west) == signers(aurora) == [1] * 300
    assert reasons(west) == reasons(aurora) == set()


def test_what_was_signed_before_goes_on_while_a_hub_has_only_a_part_anew(net: Net, river, west, aurora, rotated):
    for number in range(300):
        river.add(title=f"Record {number}", summary="x" * 1500)
    west.sync("river")
    rotated(river)

    def cut(exchanged: Exchanged, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for count, block in enumerate(blocks):
            if count == 1 and exchanged.reader == west.me.issuer:
                return
            yield block

    net.bend = cut
    with pytest.raises(Exception, match="cut off"):
        west.sync("river")
    assert set(signers(west)) == {0, 1}
    assert through((aurora, "west")) == [(0, 0)]
    assert signers(aurora) == signers(west)
    net.bend = lambda _, blocks: blocks
    assert through((west, "river"), (aurora, "west")) == [(0, 0), (0, 0)]
    assert signers(aurora) == [1] * 300


def test_a_class_that_gets_nothing_signed_notices_no_rotation(make, net, rotated):
    river, west = make("river", max_hops=1), make("west")
    link(river, west)
    river.grant("west", PARTNER)
    river.add()
    west.sync("river")
    first = epoch(river)
    rotated(river)
    assert west.sync("river").taken == 0
    assert epoch(river) == first
    assert [row.provenance for row in west.rows()] == [None]


@pytest.mark.parametrize("hidden", [True, False])
def test_after_a_rotation_a_hidden_write_still_changes_no_byte(make, net, river, rotated, hidden):
    reader = make("reader")
    link(river, reader)
    river.grant("reader", OPEN)
    gid = river.add()
    reader.sync("river")
    rotated(river)
    reader.sync("river")
    if hidden:
        river.intake.amend(STEWARD, gid, {"internal_notes": "Other", "site": "13 Hidden Lane"})
    reader.sync("river")
    (answer,) = [each for each in net.log if each.reader == reader.me.issuer][-1:]
    assert [item["k"] for item in answer.items] == ["end"]
    assert answer.items[0]["c"] == answer.asked["cursor"]


def test_after_32_hand_overs_others_would_follow_no_further(tmp_path: Path, river, rotated):
    for _ in range(origins.MAX_HANDOVERS):
        rotated(river)
    with pytest.raises(Conflict, match="32 times"):
        rotated(river)
    assert len(river.me.keys.handovers("provenance")) == 32
    assert origins.own_origin("river", river.me.keys).key.thumbprint == river.me.keys.provenance.thumbprint


# A thief of the old key, with a hub that helps


def forged(river: Node, hub: Node, key: SigningKey, like: Item, title: str, end: int, id: bytes | None = None) -> Item:
    """A record of river's as a thief signs it, which the hub passes on."""
    terms = terms_of_own(river.policies.current(), "resource", 2)
    form, values = pv.signed_terms(terms), {"title": {"exact": title}}
    raw = id or pv.unb64(like["i"])
    version = Version(river.me.keys.origin, "resource", raw, (99, 0, 0), 0, form)
    signed = pv.issue(version, pv.signed_values(values, form), key.signature, b"s" * 32, end)
    return like | {"i": pv.b64(raw), "r": [99, 0, 0], "h": 0, "T": terms.hash, "v": values, "sd": pack(signed)}


def smuggle(net: Net, reader: Node, item: Item) -> None:
    """Put a line before the first checkpoint of the changes that go to a reader."""

    def bent(exchanged: Exchanged, blocks: Iterator[bytes]) -> Iterator[bytes]:
        lines = b"".join(blocks).splitlines(keepends=True)
        if exchanged.reader == reader.me.issuer and exchanged.path == "/exchange/changes":
            lines.insert(0, orjson.dumps(item) + b"\n")
            lines.insert(1, orjson.dumps({"k": "check", "c": "forged"}) + b"\n")
        return iter(lines)

    net.bend = bent


@pytest.fixture
def stolen(net, river, west, aurora, rotated) -> tuple[SigningKey, Item]:
    """River has replaced its key, all have what is signed anew; the old key, and a line as it went to aurora."""
    key = river.me.keys.provenance
    river.add()
    through((west, "river"), (aurora, "west"))
    rotated(river)
    through((west, "river"), (aurora, "west"))
    return key, last_put(net, aurora)


def test_a_thief_of_the_old_key_changes_no_record_that_was_signed_anew(net, river, west, aurora, stolen):
    key, like = stolen
    smuggle(net, aurora, forged(river, west, key, like, "Forged", pv.expiry(river.world.timestamp())))
    aurora.sync("west")
    assert reasons(aurora) == {"replaced_key"}
    assert "Forged" not in aurora.titles()


def test_what_a_thief_invents_under_the_old_key_ends_with_the_last_signature_of_that_key(
    net, river, west, aurora, stolen, clock
):
    key, like = stolen
    last = pv.expiry(river.world.timestamp())
    smuggle(net, aurora, forged(river, west, key, like, "Invented", last, b"i" * 16))
    aurora.sync("west")
    assert "Invented" in aurora.titles()
    clock.forward(days=30)
    later = pv.expiry(river.world.timestamp())
    assert later > last
    smuggle(net, aurora, forged(river, west, key, like, "Later", later, b"j" * 16))
    aurora.sync("west")
    assert "Later" not in aurora.titles()
    assert "bad_signature" in reasons(aurora)
    net.bend = lambda _, blocks: blocks
    clock.forward(days=61)
    aurora.sync("west")
    assert "Invented" not in aurora.titles()


def test_of_a_leaked_key_nothing_counts_any_more(net, river, west, aurora, rotated):
    key = river.me.keys.provenance
    river.add()
    through((west, "river"), (aurora, "west"))
    rotated(river, leaked=True)
    assert through((west, "river"), (aurora, "west")) == [(0, 0), (0, 0)]
    like = last_put(net, aurora)
    for id in (None, b"i" * 16):
        smuggle(net, aurora, forged(river, west, key, like, "Forged", pv.expiry(river.world.timestamp()), id))
        aurora.sync("west")
    assert reasons(aurora) == {"bad_signature"}
    assert "Forged" not in aurora.titles()


def test_of_two_successors_the_first_that_is_known_stays_and_the_other_is_noted(net, river, west, aurora, stolen):
    key, like = stolen
    thief = river.me.keys.tokens  # any other key
    origin = river.me.keys.origin
    said = origins.hand_over(origin, key.signature, thief.public_jwk, 2**39)
    line = origins.to_item(origins.origin_of("river", dict(river.me.keys.first.jwk), [said]))
    known = line_of(aurora, origin)
    put = forged(river, west, thief, like, "Forged", pv.expiry(river.world.timestamp()), b"i" * 16)

    def bent(exchanged: Exchanged, blocks: Iterator[bytes]) -> Iterator[bytes]:
        lines = b"".join(blocks).splitlines(keepends=True)
        if exchanged.reader == aurora.me.issuer:
            lines[0:0] = [orjson.dumps(each) + b"\n" for each in (line, put, {"k": "check", "c": "forged"})]
        return iter(lines)

    net.bend = bent
    aurora.sync("west")
    assert reasons(aurora) == {"forked_origin", "bad_signature"}
    assert line_of(aurora, origin) == known
    assert "Forged" not in aurora.titles()


def test_a_hub_that_keeps_the_hand_over_to_itself_makes_nobody_forget_it(net, river, west, aurora, stolen):
    origin = river.me.keys.origin
    known = line_of(aurora, origin)
    short = origins.to_item(origins.origin_of("river", dict(river.me.keys.first.jwk)))

    def bent(exchanged: Exchanged, blocks: Iterator[bytes]) -> Iterator[bytes]:
        lines = [orjson.loads(each) for each in b"".join(blocks).splitlines()]
        told = [short if each["k"] == "origin" and each["jwk"] == short["jwk"] else each for each in lines]
        return (orjson.dumps(each) + b"\n" for each in told)

    net.bend = bent
    river.add(title="Another")
    west.sync("river")
    assert aurora.sync("west").quarantined == 0
    assert line_of(aurora, origin) == known
    assert "Another" in aurora.titles()


def test_a_provenance_key_is_replaced_on_postgresql_as_on_sqlite(make_database, clock, net, rotated):
    river, west, aurora = (
        Node(name, net, make_database("postgresql").url, clock) for name in ("river", "west", "aurora")
    )
    try:
        link(river, west)
        link(west, aurora)
        river.grant("west", PARTNER)
        west.grant("aurora", COMMUNITY)
        river.add()
        through((west, "river"), (aurora, "west"))
        key, like = river.me.keys.provenance, last_put(net, aurora)
        rotated(river)
        assert through((west, "river"), (aurora, "west")) == [(0, 0), (0, 0)]
        assert signers(aurora) == [1]
        smuggle(net, aurora, forged(river, west, key, like, "Forged", pv.expiry(river.world.timestamp())))
        aurora.sync("west")
        assert reasons(aurora) == {"replaced_key"}
    finally:
        for node in (river, west, aurora):
            node.stop()
