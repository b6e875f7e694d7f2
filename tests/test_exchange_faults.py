"""What goes wrong between nodes: cut, repeated and foreign answers, crashes, restored files, hostile peers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import orjson
import pytest
from exchange_nodes import COMMUNITY, PARTNER, STEWARD, Exchanged, Net, Node, copy_of, link
from sqlalchemy import text

from federation.errors import BadInput, Conflict, Unavailable
from federation.peers import agreements, serve, state
from federation.peers import provenance as pv
from federation.peers.provenance_packed import expires_of
from federation.peers.pull import ReconcileNeeded
from federation.peers.state import prune_served, renew_incarnation
from federation.peers.wire import AnswerBroken, Caps, compressed, decompressed
from federation.storage import journal
from federation.storage.tables import origins, quarantine

pytest_plugins = ["exchange_fixtures"]


def lines(blocks: Iterator[bytes]) -> list[bytes]:
    return b"".join(blocks).splitlines(keepends=True)


def reasons(node: Node) -> list[str]:
    with node.database.read() as conn:
        return sorted(conn.execute(quarantine.select()).mappings().all()[n]["reason"] for n in range(_count(node)))


def _count(node: Node) -> int:
    with node.database.read() as conn:
        return len(conn.execute(quarantine.select()).all())


def many(node: Node, count: int = 60) -> list[str]:
    return [node.add(title=f"Offer {n:03}", summary=f"{n:03}" + "x" * 2500) for n in range(count)]


def test_a_cut_answer_keeps_what_came_whole_and_the_next_pull_goes_on(net, river, west):
    many(river)
    net.bend = lambda _, blocks: iter([b"".join(lines(blocks)[:50])[:-20]])
    with pytest.raises(AnswerBroken, match="cut"):
        west.sync("river")
    some = len(west.rows())
    assert 0 < some < 60
    net.bend = lambda _, blocks: blocks
    west.sync("river")
    assert len(west.rows()) == 60
    again = [each for each in net.log if each.path == "/exchange/reconcile"][1]
    assert again.asked["after"] is not None
    assert sum(item["k"] == "put" for item in again.items) == 60 - some


def test_a_cut_feed_keeps_what_came_whole(net, river, west):
    west.sync("river")
    many(river)
    net.bend = lambda _, blocks: iter([b"".join(lines(blocks)[:-5])])
    with pytest.raises(AnswerBroken, match="cut"):
        west.sync("river")
    assert 0 < len(west.rows()) < 60
    net.bend = lambda _, blocks: blocks
    west.sync("river")
    assert len(west.rows()) == 60
    assert len(net.log) == 4


def test_an_answer_that_is_played_again_changes_nothing(net, river, west):
    west.sync("river")
    gid = river.add()
    west.sync("river")
    played = net.log[-1].blocks
    river.intake.amend(STEWARD, gid, {"title": "Newer"})
    west.sync("river")
    cursor = state.sync_state_of(west.database, 1).cursor
    answers = [list(played)]
    net.bend = lambda _, blocks: iter(answers.pop()) if answers else blocks
    west.sync("river")
    west.sync("river")
    assert west.titles() == ["Newer"]
    assert state.sync_state_of(west.database, 1).cursor == cursor


def test_lines_that_come_twice_count_once(net, river, west):
    west.sync("river")
    river.add()
    net.bend = lambda _, blocks: iter(line for line in lines(blocks) for _ in range(2 if b'"put"' in line else 1))
    west.sync("river")
    assert west.titles() == ["Emergency grants"]


def test_two_pulls_at_once_apply_once(net, river, west):
    west.sync("river")
    river.add()

    def meanwhile(_, blocks):
        net.bend = lambda _, inner: inner
        west.sync("river")
        return blocks

    net.bend = meanwhile
    with pytest.raises(Conflict, match="faster"):
        west.sync("river")
    assert west.titles() == ["Emergency grants"]
    assert len(west.rows()) == 1


@pytest.mark.parametrize("crash_at", [0, 1, 2])
def test_a_crash_between_checkpoints_loses_nothing(net, river, west, crash_at):
    many(river)

    class Crash(BaseException):
        pass

    def crashing(_, blocks):
        for n, block in enumerate(blocks):
            if n == crash_at:
                raise Crash
            yield block

    net.bend = crashing
    with pytest.raises(Crash):
        west.sync("river")
    west.stop()
    west.open()
    river.stop()
    river.open()
    net.bend = lambda _, blocks: blocks
    west.sync("river")
    assert west.titles() == river.titles()


def test_a_write_while_the_slice_is_pulled_is_not_missed(net, river, west):
    gids = many(river)
    changed = []

    def writing(_, blocks):
        for block in blocks:
            if not changed:
                changed.append(True)
                for gid in gids:
                    river.intake.amend(STEWARD, gid, {"response_hours": 7})
                river.intake.withdraw(STEWARD, gids[0])
                river.add(title="New meanwhile")
            yield block

    net.bend = writing
    west.sync("river")
    assert west.titles() == river.titles()
    assert {row.response_hours__exact for row in west.rows()} == {7, 48}


def test_a_policy_that_changes_in_the_middle_of_an_answer_holds_from_the_next_checkpoint(net, river, west):
    many(river)
    narrowed = []

    def narrowing(_, blocks):
        for block in blocks:
            yield block
            if not narrowed:
                narrowed.append(len(net.log))
                river.policy('[resource]\nsummary = "nobody"\n')

    net.bend = narrowing
    west.sync("river")
    first = net.log[0]
    assert sum(b'"summary"' in block for block in first.blocks) == 1
    assert [row.summary__exact for row in west.rows()] == [None] * 60
    assert b"x" * 100 not in west.bytes_on_disk()


def test_a_restored_source_is_noticed(river, west):
    river.add()
    west.sync("river")
    river.stop()
    kept = copy_of(river.file, river.file.with_suffix(".kept"))
    river.open()
    lost = river.add(title="Lost by the restore")
    west.sync("river")
    river.stop()
    for old in river.file.parent.glob("node.db*"):
        old.unlink()
    shutil.copyfile(kept, river.file)
    river.open()
    river.add(title="Written after the restore")
    west.sync("river")
    assert lost
    assert west.titles() == ["Emergency grants", "Written after the restore"]


def test_a_restored_receiver_pulls_anew_and_agrees_again(river, west):
    gid = river.add()
    west.sync("river")
    west.stop()
    kept = copy_of(west.file, west.file.with_suffix(".kept"))
    west.open()
    river.intake.amend(STEWARD, gid, {"title": "Changed"})
    west.sync("river")
    west.stop()
    shutil.copyfile(kept, west.file)
    west.open()
    river.intake.withdraw(STEWARD, gid)
    west.sync("river")
    assert west.rows() == []


def test_a_new_incarnation_and_a_shortened_journal_make_the_slice_come_anew(net, river, west):
    gid = river.add()
    west.sync("river")
    renew_incarnation(river.database, river.world)
    west.sync("river")
    assert net.log[-2].path == "/exchange/reconcile"
    river.intake.withdraw(STEWARD, gid)
    river.add(title="Other")
    with river.database.write() as conn:
        journal.prune(conn, journal.head(conn))
    west.sync("river")
    assert net.log[-2].path == "/exchange/reconcile"
    assert west.titles() == ["Other"]


def test_what_was_served_is_forgotten_after_its_time_but_not_the_last(net, river, west, clock):
    river.add()
    west.sync("river")
    river.add(title="Other")
    west.sync("river")
    clock.forward(days=10)
    assert prune_served(river.database, clock.at) > 0
    west.sync("river")
    assert net.log[-1].path == "/exchange/changes"
    assert net.log[-2].path == "/exchange/changes"


def put(net: Net, change) -> None:
    """Bend every put on its way."""

    def bend(_, blocks):
        for line in lines(blocks):
            item = orjson.loads(line)
            yield orjson.dumps(change(item)) + b"\n" if item["k"] == "put" else line

    net.bend = bend


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda item: item | {"t": "person"}, "unknown_type"),
        (lambda item: item | {"t": "need"}, "bad_form"),
        (lambda item: item | {"t": "space"}, "bad_values"),
        (lambda item: item | {"i": "AAAA"}, "bad_form"),
        (lambda item: item | {"i": 7}, "bad_form"),
        (lambda item: item | {"i": "?" * 22}, "bad_form"),
        (lambda item: item | {"o": ""}, "bad_form"),
        (lambda item: item | {"r": 1}, "bad_form"),
        (lambda item: item | {"r": [1, -1, 0]}, "bad_form"),
        (lambda item: item | {"r": [1, True, 0]}, "bad_form"),
        (lambda item: item | {"r": [2**60, 1, 0]}, "bad_form"),
        (lambda item: item | {"h": 3}, "bad_form"),
        (lambda item: item | {"h": True}, "bad_form"),
        (lambda item: item | {"extra": 1}, "bad_form"),
        (lambda item: item | {"T": "x"}, "bad_terms"),
        (lambda item: item | {"T": 1}, "bad_terms"),
        (lambda item: item | {"path": []}, "bad_path"),
        (lambda item: item | {"path": "x"}, "bad_path"),
        (lambda item: item | {"path": ["x" * 43]}, "bad_path"),
        (lambda item: item | {"path": [item["o"]] * 2}, "loop"),
        (lambda item: item | {"v": {}}, "bad_values"),
        (lambda item: item | {"v": {"title": {"exact": 7}}}, "bad_values"),
        (lambda item: item | {"v": {"site": {"exact": "a"}}}, "bad_values"),
        (lambda item: item | {"v": {"title": {"nearly": "a"}}}, "bad_values"),
        (lambda item: item | {"sd": 1}, "unsigned"),
        (lambda item: item | {"sd": "AAAA"}, "bad_signature"),
        (lambda item: item | {"sd": "?"}, "bad_signature"),
    ],
)
def test_a_poisoned_item_is_set_aside_and_the_others_come(net, river, west, change, reason):
    river.add()
    other = river.add(title="Sound")
    put(net, lambda item: item if item["v"]["title"]["exact"] == "Sound" else change(item))
    done = west.sync("river")
    assert done.quarantined == 1
    assert west.titles() == ["Sound"]
    assert reasons(west) == [reason]
    assert other


def test_poison_in_the_place_of_a_record_takes_its_place(net, river, west):
    gid = river.add()
    west.sync("river")
    river.intake.amend(STEWARD, gid, {"title": "Narrower"})
    put(net, lambda item: item | {"r": -1})
    west.sync("river")
    assert west.rows() == []
    assert reasons(west) == ["bad_form"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"k": "origin", "jwk": {}, "name": "x"}, "bad_origin"),
        ({"k": "origin", "name": "x"}, "bad_origin"),
        ({"k": "terms", "hash": "x", "body": {}}, "bad_terms"),
        ({"k": "terms", "hash": "x"}, "bad_terms"),
        ({"k": "withdraw", "t": "resource", "i": "x", "o": ""}, "bad_form"),
    ],
)
def test_other_lines_can_be_poison_too(net, river, west, line, reason):
    river.add()
    net.bend = lambda _, blocks: _after_first(lines(blocks), orjson.dumps(line) + b"\n")
    west.sync("river")
    assert west.titles() == ["Emergency grants"]
    assert set(reasons(west)) == {reason}


def _after_first(told: list[bytes], line: bytes) -> Iterator[bytes]:
    """A line put behind the first of a slice; a feed is left as it is."""
    at = 1 if orjson.loads(told[0])["k"] == "start" else 0
    return iter([*told[:at], line, *told[at:]] if at else told)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: [b"not json\n"],
        lambda told: [b"[1]\n"],
        lambda told: [b'{"k":"check"}\n'],
        lambda told: told[1:],
        lambda told: [told[0], b'{"k":"check","t":"resource","to":"AAAA"}\n'],
        lambda told: [told[0], b'{"k":"check","t":"notice","to":null}\n', *told[1:]],
        lambda told: [told[0], b'{"k":"check","t":[],"to":null}\n', *told[1:]],
        lambda told: [told[0], b'{"k":"end","c":"x","more":true}\n'],
        lambda told: [told[0].replace(b'"e":1', b'"e":"one"'), *told[1:]],
        lambda told: [*told[:-1], b'{"k":"end"}\n'],
        lambda told: [told[0], *[b'{"k":"other"}\n'] * 200],
        lambda told: [told[0], b'{"k":"put","v":"' + b"x" * 600_000 + b'"}\n'],
    ],
)
def test_an_answer_that_breaks_the_protocol_is_refused(net, river, west, spoil):
    river.add()
    net.bend = lambda _, blocks: iter(spoil(lines(blocks)))
    west.puller._caps = Caps(lines=100)
    with pytest.raises((AnswerBroken, Unavailable)):
        west.sync("river")
    net.bend = lambda _, blocks: blocks
    west.sync("river")
    assert west.titles() == ["Emergency grants"]


def test_a_record_outside_of_its_range_is_refused(net, river, west):
    river.add()

    def bend(_, blocks):
        told = lines(blocks)
        at = next(n for n, line in enumerate(told) if b'"t":"resource","to"' in line)
        end = orjson.dumps({"k": "check", "t": "resource", "to": pv.b64(bytes(16))}) + b"\n"
        return iter([*told[:at], end, *told[at:]])

    net.bend = bend
    with pytest.raises(AnswerBroken, match="outside"):
        west.sync("river")


def test_a_source_that_always_asks_to_begin_anew_is_left_after_some_tries(net, river, west, monkeypatch):
    river.add()
    monkeypatch.setattr(net, "bend", lambda *_: (_ for _ in ()).throw(AssertionError))
    refusing = type("Refusing", (), {"stream": lambda *_, **__: _conflict()})()
    west.puller._session = refusing
    with pytest.raises(ReconcileNeeded):
        west.sync("river")


def _conflict():
    import contextlib

    from federation.outbound import StreamedResponse

    return contextlib.nullcontext(StreamedResponse(409, {}, iter(())))


def test_a_compression_bomb_does_not_fill_the_memory():
    bomb = b"".join(compressed([b"\0" * 50_000_000]))
    assert len(bomb) < 10_000
    taken = decompressed(iter([bomb]))
    assert len(next(taken)) <= 65_536
    with pytest.raises(AnswerBroken):
        list(decompressed(iter([b"not zstd at all"])))


def test_a_relayed_record_leaves_when_its_signature_ends(make, river, west, clock):
    aurora = make("aurora")
    link(west, aurora)
    west.grant("aurora", COMMUNITY)
    river.add()
    west.sync("river")
    aurora.sync("west")
    assert aurora.titles() == ["Emergency grants"]
    agreements.freeze(river.database, "west")
    clock.forward(days=91)
    west.database  # noqa: B018  (the hub goes on with what it has)
    aurora.sync("west")
    assert aurora.rows() == []
    assert b"Emergency grants" not in aurora.bytes_on_disk()
    agreements.unfreeze(river.database, "west")
    west.sync("river")
    aurora.sync("west")
    assert aurora.titles() == ["Emergency grants"]


def test_a_record_whose_kept_signature_is_damaged_stays_and_stops_no_other(make, river, west):
    aurora = make("aurora")
    link(west, aurora)
    west.grant("aurora", COMMUNITY)
    river.add()
    river.add(title="Damaged")
    west.sync("river")
    aurora.sync("west")
    with west.database.write() as conn:
        cut = text("UPDATE resource SET provenance = substr(provenance, 1, 40) WHERE title__exact = 'Damaged'")
        assert conn.execute(cut).rowcount == 1
    with aurora.database.write() as conn:
        state.pull_anew(conn, 1, empty=False)
    aurora.sync("west")
    assert aurora.titles() == ["Emergency grants"]


def test_a_signature_is_renewed_before_it_ends(make, river, west, clock):
    river.add()
    west.sync("river")
    before = west.rows()[0].provenance
    clock.forward(days=31)
    west.sync("river")
    after = west.rows()[0].provenance
    assert expires_of(after) == expires_of(before) + pv.PERIOD_SECONDS


def test_erasing_that_a_crash_cut_off_is_done_later(river, west, monkeypatch):
    gid = river.add()
    west.sync("river")
    river.intake.withdraw(STEWARD, gid)
    monkeypatch.setattr(west.database, "erase", lambda: False)
    west.sync("river")
    assert west.rows() == []
    monkeypatch.undo()
    west.stop()
    west.open()
    west.sync("river")
    assert b"Emergency grants" not in west.bytes_on_disk()
    with west.database.read() as conn:
        assert state.meta_value(conn, state.ERASE_DUE) is None


def test_a_hub_cannot_rename_a_peer_nor_speak_for_an_origin(make, net, river, west):
    aurora = make("aurora")
    link(west, aurora)
    link(river, aurora)
    west.grant("aurora", COMMUNITY)
    river.add()
    west.sync("river")
    net.bend = lambda _, blocks: (block.replace(b'"name":"river"', b'"name":"swamp"') for block in blocks)
    aurora.sync("west")
    with aurora.database.read() as conn:
        names = dict(conn.exec_driver_sql("SELECT thumbprint, name FROM origins").fetchall())
    assert names[river.me.keys.origin] == "river"


def test_the_same_record_by_two_ways_is_shown_once(make, river, west):
    aurora = make("aurora")
    for source in (west, river):
        link(source, aurora)
        source.grant("aurora", COMMUNITY)
    river.add()
    west.sync("river")
    aurora.sync("west")
    aurora.sync("river")
    assert sorted(row.status for row in aurora.rows()) == ["shadowed", "shared"]
    agreements.revoke(river.database, "aurora")
    aurora.sync("river")
    assert [row.status for row in aurora.rows()] == ["shared"]


@pytest.mark.parametrize("distrust", ["unverified", "frozen", "revoked"])
def test_a_peer_that_is_not_trusted_is_not_pulled(river, west, distrust):
    river.add()
    who = agreements.partner(west.database, "river")
    changes = {"unverified": {"verified": False}, "frozen": {"frozen": True}, "revoked": {"state": "revoked"}}
    agreements._set(west.database, who, **changes[distrust])
    with pytest.raises(Conflict, match="verified peers"):
        west.sync("river")
    with pytest.raises(Conflict, match="verified peers"):  # it was trusted when the pull began
        west.puller.sync(who)
    assert west.rows() == []


def test_what_came_by_a_revoked_peer_goes_and_others_are_told(river, west, make):
    aurora = make("aurora")
    link(west, aurora)
    west.grant("aurora", PARTNER)
    river.add(title="Zanzibar refuge")
    river.add("need")
    west.sync("river")
    aurora.sync("west")
    assert west.puller.let_go() == 0
    assert aurora.titles() == ["Zanzibar refuge"]
    agreements.revoke(west.database, "river")
    assert west.puller.let_go() == 2
    assert west.puller.let_go() == 0
    assert (west.rows(), west.rows("need")) == ([], [])
    assert b"Zanzibar" not in west.bytes_on_disk()
    assert aurora.sync("west").withdrawn == 1
    assert aurora.rows() == []


def test_a_peer_that_is_linked_anew_is_pulled_from_the_beginning(river, west):
    river.add()
    west.sync("river")
    agreements.revoke(west.database, "river")
    agreements.revoke(river.database, "west")
    link(river, west)
    river.grant("west", PARTNER)
    assert west.sync("river").taken == 1
    agreements.revoke(west.database, "river")
    west.puller.let_go()
    agreements.revoke(river.database, "west")
    link(river, west)
    river.grant("west", PARTNER)
    assert west.sync("river").taken == 1
    assert len(west.rows()) == 1


def test_letting_go_that_was_cut_short_goes_on(river, west, monkeypatch):
    many(river, 5)
    west.sync("river")
    agreements.revoke(west.database, "river")
    monkeypatch.setattr("federation.peers.holding.LETTING_GO", 2)
    accept, calls = west.intake.accept, []

    def failing(*given):
        calls.append(given)
        if len(calls) == 2:
            raise Unavailable("The disk is full.")
        return accept(*given)

    monkeypatch.setattr(west.intake, "accept", failing)
    with pytest.raises(Unavailable):
        west.puller.let_go()
    assert len(west.rows()) == 3
    assert west.puller.let_go() == 3
    assert west.rows() == []


def test_a_record_that_may_go_on_comes_signed_by_its_origin(net, river, west):
    river.add()

    def unsigned(exchanged, blocks):
        for raw in lines(blocks):
            item = orjson.loads(raw)
            item.pop("sd", None)
            yield orjson.dumps(item) + b"\n"

    def forged(exchanged, blocks):
        for raw in lines(blocks):
            yield raw.replace(b"Emergency grants", b"Forged by hand!!")

    for bend, reason in ((unsigned, "unsigned"), (forged, "bad_signature")):
        net.bend = bend
        west.sync("river")
        assert west.rows() == []
        assert reasons(west) == [reason]
        with west.database.write() as conn:
            state.pull_anew(conn, 1, empty=True)
    net.bend = lambda _, blocks: blocks
    west.sync("river")
    assert west.titles() == ["Emergency grants"]
    assert reasons(west) == []


@pytest.mark.parametrize(
    "asked", [{"type": []}, {"type": {}}, {"type": "resource", "after": 5}, {"run": []}, {"type": 1, "after": []}]
)
def test_a_request_of_another_form_is_refused(river, west, asked):
    with pytest.raises(BadInput):
        serve.reconcile(river.source, west.me.issuer, {"run": "0" * 32} | asked)


@pytest.mark.parametrize("cursor", ["\0", "é", "", [], None])
def test_a_cursor_that_is_none_begins_anew(river, west, cursor):
    with pytest.raises(serve.Reconcile):
        serve.changes(river.source, west.me.issuer, {"incarnation": None, "epoch": None, "cursor": cursor})


def test_a_name_that_a_hub_makes_up_is_kept_without_what_a_terminal_obeys(net, river, west, make):
    aurora = make("aurora")
    link(west, aurora)
    west.grant("aurora", COMMUNITY)
    river.add()
    west.sync("river")

    def renamed(exchanged: Exchanged, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for line in lines(blocks):
            item = orjson.loads(line)
            if item.get("k") == "origin" and exchanged.reader == aurora.me.issuer:
                item["name"] = "\x1b]0;PWNED\x07\x1b[2J\u202erevir [/b]\n"
            yield orjson.dumps(item) + b"\n"

    net.bend = renamed
    aurora.sync("west")
    assert len(aurora.rows()) == 1
    with aurora.database.read() as conn:
        names = {row.thumbprint: row.name for row in conn.execute(origins.select())}
    assert names[river.me.keys.origin] == "0;PWNED2Jrevir /b"
