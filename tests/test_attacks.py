"""What hostile peers tried: other networks' names, mixed and replayed signatures, bombs of names, others' cursors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson
import pytest
from exchange_nodes import COMMUNITY, OPEN, STEWARD, Exchanged, Net, Node, link

from federation.keys import SigningKey, generate_key
from federation.peers import arrival, origins, serve, state
from federation.peers import provenance as pv
from federation.peers.dress import terms_of_own
from federation.peers.provenance import Credential, Version
from federation.peers.provenance_packed import _unpacked, pack, unpack
from federation.peers.wire import AnswerBroken, Caps
from federation.policies.terms import Terms
from federation.policies.tiers import Tier
from federation.policies.viewer import anonymous
from federation.storage.tables import origins as origins_table
from federation.storage.tables import quarantine

pytest_plugins = ["exchange_fixtures"]

Item = dict[str, Any]


def told(blocks: Iterable[bytes]) -> list[Item]:
    return [orjson.loads(line) for line in b"".join(blocks).splitlines()]


def sent(items: Iterable[Item]) -> Iterator[bytes]:
    return (orjson.dumps(item) + b"\n" for item in items)


def bend(net: Net, reader: Node, change: Callable[[Item], Item | None]) -> None:
    """Bend every put on its way to one reader; None drops it."""

    def bent(exchanged: Exchanged, blocks: Iterator[bytes]) -> Iterator[bytes]:
        if exchanged.reader != reader.me.issuer:
            return blocks
        changed = (change(item) if item["k"] == "put" else item for item in told(blocks))
        return sent(item for item in changed if item is not None)

    net.bend = bent


def smuggle(net: Net, reader: Node, extra: Iterable[Item]) -> None:
    """Put lines before the first put, or the first checkpoint of its type, of an answer to one reader."""

    def bent(exchanged: Exchanged, blocks: Iterator[bytes]) -> Iterator[bytes]:
        items = told(blocks)
        if exchanged.reader != reader.me.issuer or exchanged.path != "/exchange/reconcile":
            return sent(items)
        at = next(n for n, item in enumerate(items) if item["k"] == "check" and item["t"] == "resource")
        return sent([*items[:at], *extra, *items[at:]])

    net.bend = bent


def last_put(net: Net, reader: Node) -> Item:
    every = [item for each in net.log if each.reader == reader.me.issuer for item in each.items]
    return [item for item in every if item["k"] == "put"][-1]


def reasons(node: Node) -> set[str]:
    with node.database.read() as conn:
        return {row.reason for row in conn.execute(quarantine.select())}


def thumbprints(node: Node) -> list[str]:
    with node.database.read() as conn:
        return [row.thumbprint for row in conn.execute(origins_table.select())]


def anew(node: Node) -> None:
    with node.database.write() as conn:
        state.pull_anew(conn, 1, empty=False)


def invented(
    river: Node, hub: Node, number: int, key: SigningKey, labels: Mapping[str, Any] | None = None
) -> list[Item]:
    """The lines of a record that `hub` passes on for an origin of this key, which signs it; some of the terms' labels
    may be changed."""
    origin, id = key.thumbprint, number.to_bytes(16, "big")
    body = terms_of_own(river.policies.current(), "resource", 2).to_json()
    terms = Terms.from_json(body | {"labels": body["labels"] | dict(labels or {})})
    form = pv.signed_terms(terms)
    values = {"title": {"exact": f"Invented {number}"}}
    version = Version(origin, "resource", id, (1, 0, 0), 0, form)
    end = pv.expiry(river.world.timestamp())
    signed = pv.issue(version, pv.signed_values(values, form), key.signature, b"s" * 32, end)
    put = {
        "k": "put", "t": "resource", "i": pv.b64(id), "o": origin, "r": [1, 0, 0], "h": 0, "T": terms.hash,
        "path": [origin, hub.me.keys.origin], "v": values, "sd": pack(signed),
    }  # fmt: skip
    return [
        origins.to_item(origins.origin_of(f"n{number}", key.public_jwk)),
        {"k": "terms", "hash": terms.hash, "body": terms.to_json()},
        put,
    ]


def parts(packed: str) -> dict[Tier, Credential]:
    """The packed signatures of an item, by tier, with digests that do not matter."""
    return {each.tier: each for each in _unpacked(pv.unb64(packed), 1, lambda *_: b"").credentials}


# Mixed and replayed signatures


@pytest.mark.parametrize("older", [Tier.OPEN, Tier.COMMUNITY])
@pytest.mark.parametrize("numbers", ["each its own", "all new", "all old"])
def test_a_hub_does_not_put_parts_of_two_versions_together(net, river, west, aurora, older, numbers):
    gid = river.add(title="Old title", amount={"minimum": "100", "maximum": "200", "currency": "EUR"})
    west.sync("river")
    aurora.sync("west")
    old = last_put(net, aurora)
    amount = {"minimum": "90000", "maximum": "90000", "currency": "EUR"}
    river.intake.amend(STEWARD, gid, {"title": "New title", "amount": amount})
    west.sync("river")
    fields = {Tier.OPEN: "title", Tier.COMMUNITY: "amount"}

    def mixed(new: Item) -> Item:
        sd = parts(new["sd"]) | {older: parts(old["sd"])[older]}
        told = {
            "each its own": [(old if tier == older else new)["r"][tier] for tier in Tier if tier <= Tier.PARTNER],
            "all new": new["r"],
            "all old": old["r"],
        }[numbers]
        ends = unpack(new["sd"], flat(new), form(river)).expires
        packed = pack(pv.Provenance(ends, tuple(sd[tier] for tier in sorted(sd))))
        return new | {"sd": packed, "r": told, "v": new["v"] | {fields[older]: old["v"][fields[older]]}}

    bend(net, aurora, mixed)
    aurora.sync("west")
    assert aurora.rows() == []
    assert reasons(aurora) == {"bad_signature"}
    bend(net, aurora, lambda item: item)
    anew(aurora)
    aurora.sync("west")
    assert aurora.titles() == ["New title"]


def form(river: Node) -> pv.SignedTerms:
    return pv.signed_terms(terms_of_own(river.policies.current(), "resource", 2))


def flat(item: Item) -> dict[str, Any]:
    return {f"{name}.{step}": value for name, steps in item["v"].items() for step, value in steps.items()}


@pytest.mark.parametrize(
    "change",
    [
        lambda item: item | {"r": [item["r"][0] + 1, item["r"][1], 0]},
        lambda item: item | {"r": [item["r"][0], item["r"][1] + 1, 0]},
        lambda item: item | {"r": [item["r"][0], item["r"][1], 1]},
        lambda item: item | {"r": [0, item["r"][1], 0]},
        lambda item: item | {"r": [item["r"][0], 0, 0]},
        lambda item: item | {"h": 1},
        lambda item: item | {"sd": pv.b64(pv.unb64(item["sd"])[:6])},
        lambda item: item | {"sd": pv.b64(pv.unb64(item["sd"])[:6]), "r": [0, 0, 0]},
        lambda item: item | {"sd": pv.b64(pv.unb64(item["sd"])[:6]), "r": [0, 0, 0], "v": {"title": {"exact": None}}},
        lambda item: item | {"v": item["v"] | {"summary": {"exact": "Added by the hub."}}},
    ],
)
def test_a_hub_claims_no_number_handling_or_value_that_the_origin_did_not_sign(net, river, west, aurora, change):
    river.add()
    west.sync("river")
    bend(net, aurora, change)
    aurora.sync("west")
    assert aurora.rows() == []
    assert reasons(aurora) <= {"bad_signature", "bad_form", "bad_values"}


def test_a_withdrawn_record_that_a_hub_keeps_telling_ends_with_its_signature(net, make, river, west, clock):
    aurora = make("aurora")
    for source in (river, west):
        link(source, aurora)
        source.grant("aurora", COMMUNITY)
    gid = river.add()
    for node, source in ((west, "river"), (aurora, "river"), (aurora, "west")):
        node.sync(source)
    river.intake.withdraw(STEWARD, gid)
    west.sync("river")
    aurora.sync("river")
    aurora.sync("west")
    assert aurora.rows() == []
    before = [each for each in net.log if each.reader == aurora.me.issuer and each.path == "/exchange/reconcile"][-1]
    lines = [item for item in before.items if item["k"] in ("origin", "terms", "put")]
    clock.forward(days=91)
    smuggle(net, aurora, lines)
    with aurora.database.write() as conn:
        state.pull_anew(conn, 2, empty=False)
    aurora.sync("west")
    assert aurora.rows() == []
    assert reasons(aurora) == {"bad_signature"}


# Other networks' names


@pytest.mark.parametrize(
    "path", [lambda origin, me: [origin], lambda origin, me: [origin, me], lambda origin, me: [me]]
)
@pytest.mark.parametrize("signed", ["not", "by the sender"])
def test_a_peer_does_not_speak_for_the_origin_of_another(net, make, river, west, path, signed):
    aurora = make("aurora")
    for source in (river, west):
        link(source, aurora)
        source.grant("aurora", COMMUNITY)
    west.add()
    origin, me = river.me.keys.origin, west.me.keys.origin

    def claimed(item: Item) -> Item:
        told = {name: value for name, value in item.items() if signed != "not" or name != "sd"}
        return told | {"o": origin, "path": path(origin, me)}

    bend(net, aurora, claimed)
    aurora.sync("west")
    assert aurora.rows() == []
    assert reasons(aurora) <= {"bad_path", "bad_signature", "unsigned", "bad_terms"}


def test_a_hub_does_not_invent_a_record_for_an_origin_that_is_known(net, river, west, aurora):
    river.add()
    west.sync("river")
    aurora.sync("west")
    forger = generate_key()
    lines = invented(river, west, 7, forger)
    claimed = {"o": river.me.keys.origin, "path": [river.me.keys.origin, west.me.keys.origin]}
    smuggle(net, aurora, [*lines[:2], lines[2] | claimed])
    anew(aurora)
    aurora.sync("west")
    assert aurora.titles() == ["Emergency grants"]
    assert reasons(aurora) == {"bad_signature"}


# Bombs


def test_a_record_with_more_digests_than_can_be_passed_on_stops_no_other(net, river, west, aurora, monkeypatch):
    west.add(title="Sound")

    def crowded(version, tier, disclosed, keyed, sign, expires):
        decoys = tuple(n.to_bytes(32, "big") for n in range(1, 256))
        digests = [*(each.digest for each in disclosed), *decoys]
        return Credential(tier, sign(pv.signing_input(version, tier, expires, digests)), tuple(disclosed), decoys)

    monkeypatch.setattr(pv, "_credential", crowded)
    river.add(title="Crowded")
    west.sync("river")
    monkeypatch.undo()
    west.policy('[resource]\nsummary = "nobody"\n')
    aurora.sync("west")
    assert aurora.titles() == ["Sound"]
    assert reasons(west) == {"bad_signature"}


def test_names_of_origins_alone_leave_nothing_behind(net, river, west):
    river.add()
    names = [pv.b64(n.to_bytes(32, "big")) for n in range(300)]
    base = {"t": "resource", "i": pv.b64(b"z" * 16)}
    lines = [{"k": "withdraw", "o": name, **base} for name in names]
    lines += [{"k": "put", "o": name, **base} for name in names]
    lines += [{"k": "put", "o": '","x":"' + name, **base} for name in names[:10]]
    smuggle(net, west, lines)
    west.sync("river")
    assert west.titles() == ["Emergency grants"]
    assert set(thumbprints(west)) == {west.me.keys.origin, river.me.keys.origin}


def test_a_withdrawal_by_an_origin_unknown_releases_what_was_set_aside(net, river, west):
    river.add()
    named = {"t": "resource", "i": pv.b64(b"z" * 16), "o": "x" * 43}
    smuggle(net, west, [{"k": "put", **named}])
    west.sync("river")
    assert reasons(west) == {"bad_form"}
    smuggle(net, west, [{"k": "withdraw", **named}])
    anew(west)
    west.sync("river")
    assert reasons(west) == set()


def test_many_origins_each_with_terms_of_its_own_hide_no_peers_records(net, river, west):
    river.add()
    names = ["summary", "languages", "eligibility", "area", "horizon", "response_hours", "amount"]
    labels = terms_of_own(river.policies.current(), "resource", 2).to_json()["labels"]
    lines: list[Item] = []
    for n in range(100):
        closed = {name: [[s, "network"] for s, _ in labels[name]] for b, name in enumerate(names) if n >> b & 1}
        lines += invented(river, river, n, generate_key(), closed)
    smuggle(net, west, lines)
    west.sync("river")
    assert len(west.titles()) == 101
    titles = [item["v"]["title"]["exact"] for item in slice_of(west)]
    assert "Emergency grants" in titles


def slice_of(node: Node) -> list[Item]:
    """What a viewer with open scopes alone is shown."""
    return [orjson.loads(item.line) for item in node.gate.slice(anonymous(frozenset(OPEN)), "resource", b"", 1000)]


@pytest.mark.parametrize(("limit", "line"), [("MAX_ORIGINS", 0), ("MAX_TERMS", 1)])
def test_the_origins_and_terms_of_one_answer_are_bounded(net, river, west, monkeypatch, limit, line):
    monkeypatch.setattr(arrival, limit, 5)
    river.add()
    hidden = [{"summary": [["exact", tier]]} for tier in ("open", "community", "partner", "network")]
    more = [{"title": [["exact", tier]]} for tier in ("community", "partner", "network")]
    smuggle(net, west, [invented(river, river, 1, generate_key(), labels)[line] for labels in hidden + more])
    west.sync("river")
    assert west.titles() == ["Emergency grants"]
    assert reasons(west) == {"too_many_" + limit.removeprefix("MAX_").lower()}


def test_an_answer_of_nothing_but_checkpoints_is_refused(net, river, west):
    west.sync("river")
    river.add()
    west.puller._caps = Caps(checkpoints=20)
    net.bend = lambda _, blocks: sent([{"k": "check", "c": f"c{n}"} for n in range(1000)])
    with pytest.raises(AnswerBroken, match="more checkpoints"):
        west.sync("river")
    net.bend = lambda _, blocks: blocks
    west.sync("river")
    assert west.titles() == ["Emergency grants"]


def test_a_peer_that_always_promises_more_is_left_when_its_time_is_over(net, river, west, clock, monkeypatch):
    west.sync("river")
    number = iter(range(10_000))

    def endless(_, blocks: Iterator[bytes]) -> Iterator[bytes]:
        clock.forward(seconds=60)
        gone = {"k": "withdraw", "t": "resource", "i": pv.b64(b"z" * 16), "o": river.me.keys.origin}
        cursor = f"c{next(number)}"
        return sent([gone, {"k": "check", "c": cursor}, {"k": "end", "c": cursor, "more": True}])

    monkeypatch.setattr(serve, "changes", lambda *_: iter([b""]))  # the peer answers whatever it is asked
    net.bend = endless
    assert west.sync("river").more
    assert next(number) == 11


# Others' cursors and runs


def test_a_cursor_or_a_run_of_another_peer_opens_nothing(net, make, river, west):
    east = make("east")
    link(river, east)
    river.grant("east", COMMUNITY)
    river.add()
    for node in (west, east):
        node.sync("river")
    mine, theirs = (state.sync_state_of(node.database, 1) for node in (east, west))
    asked = {"incarnation": theirs.incarnation, "epoch": theirs.epoch, "cursor": theirs.cursor}
    assert mine.cursor != theirs.cursor
    with pytest.raises(serve.Reconcile):
        serve.changes(river.source, east.me.issuer, asked)
    run = next(each.asked["run"] for each in net.log if each.reader == west.me.issuer)
    with pytest.raises(serve.Reconcile):
        serve.reconcile(river.source, east.me.issuer, {**asked, "run": run, "type": "resource"})
