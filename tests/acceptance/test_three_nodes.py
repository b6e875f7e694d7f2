"""What the operator of river decides reaches west and, through it, aurora; and what is killed comes back whole."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from acceptance.caller import Caller, get
from acceptance.federation_demo import NAMES, RunningDemo, ready, wait_until
from acceptance.holdings import contents, count_of, in_files, query, received

SECONDS = 90
"""How long a change may take over both links here; the demonstration pulls every two seconds."""

AMEND = """mutation ($id: ID!, $changes: ResourceInput!) {
  amendResource(input: {id: $id, changes: $changes, confirm: true}) { id userErrors { code message } }
}"""
CREATE = """mutation ($record: ResourceInput!) {
  createResource(input: {record: $record, share: true}) { id userErrors { code message } }
}"""


PAGES = ("/health/live", "/health/ready", "/graphql/schema.graphql", "/.well-known/oauth-authorization-server")


def origin_of(demo: RunningDemo, name: str) -> str:
    return query(demo.home(name), "SELECT thumbprint FROM origins WHERE oid = 0")[0]["thumbprint"]


@pytest.fixture(scope="module")
def river(demo: RunningDemo) -> str:
    """The thumbprint of river."""
    return origin_of(demo, "river")


@pytest.fixture(scope="module")
def editor(demo: RunningDemo) -> Caller:
    """A program that may write at river."""
    scopes = ["records:write", "resource:partner"]
    made = demo.done("river", "client", "add", "editor", "--scopes", ",".join(scopes))
    return Caller(demo.url("river"), made["client_id"], made["private_jwk"], scopes)


def amend(editor: Caller, id: str, **changes: Any) -> None:
    assert editor.ask(AMEND, id=id, changes=changes)["amendResource"]["userErrors"] == []


def add(editor: Caller, title: str) -> str:
    record = {"title": title, "kind": "EMERGENCY_GRANT", "expectations": "We answer within a week."}
    done = editor.ask(CREATE, record=record)["createResource"]
    assert done["userErrors"] == []
    return done["id"]


def titles(demo: RunningDemo, name: str, river: str) -> set[str]:
    return {row["title__exact"] for row in received(demo.home(name), "resource", river, "r.title__exact")}


@pytest.fixture
def marked(demo: RunningDemo, editor: Caller, river: str) -> tuple[str, str]:
    """A record of river whose eligibility holds a word that is nowhere else, held by west and aurora; (id, word)."""
    word = f"zq{uuid.uuid4().hex[:10]}"
    id = add(editor, f"Marked {word[2:]}")
    amend(editor, id, eligibility=f"For those who know {word}.")
    for name in ("west", "aurora"):
        wait_until(lambda name=name: in_files(demo.home(name), word) != [], SECONDS)
    return id, word


@pytest.fixture
def policy_file(demo: RunningDemo, tmp_path: Path) -> Iterator[Path]:
    """The policy in force at river as a file; what was changed is put back in the end."""
    before = demo.done("river", "policy", "show")["policy"]
    file = tmp_path / "policy.toml"
    file.write_text(before)
    yield file
    file.write_text(before)
    assert demo.command("river", "policy", "apply", str(file), "--yes").returncode == 0


def fields_of(rows: list[dict[str, Any]], field: str) -> set[Any]:
    """What is held of a field, at any step."""
    return {value for row in rows for name, value in row.items() if name.startswith(f"{field}__")} - {None}


def test_a_narrowed_field_leaves_every_byte_downstream_and_comes_back(
    demo: RunningDemo, river: str, marked: tuple[str, str], policy_file: Path
) -> None:
    _, word = marked
    held = {name: fields_of(received(demo.home(name), "resource", river), "eligibility") for name in ("west", "aurora")}
    assert all(held.values())
    head, mark, tail = policy_file.read_text().partition("[resource]")
    policy_file.write_text(head + mark + tail.replace('eligibility = "open"', 'eligibility = "network"', 1))
    assert demo.command("river", "policy", "apply", str(policy_file)).returncode == 0
    for name, source in (("west", "river"), ("aurora", "west")):
        demo.done(name, "sync", source)  # one exchange
        assert fields_of(received(demo.home(name), "resource", river), "eligibility") == set()
        wait_until(lambda name=name: in_files(demo.home(name), word) == [], 10)
        for text in held[name]:
            assert in_files(demo.home(name), text[:60]) == [], text[:60]
    policy_file.write_text(head + mark + tail)
    assert demo.command("river", "policy", "apply", str(policy_file), "--yes").returncode == 0
    for name, source in (("west", "river"), ("aurora", "west")):
        demo.done(name, "sync", source)
        assert fields_of(received(demo.home(name), "resource", river), "eligibility") == held[name]


def reader_of(demo: RunningDemo, reader: str, source: str) -> Caller:
    """A node as it asks another, with its own key."""
    jwk = json.loads((demo.home(reader) / "keys" / "peer.jwk").read_text())
    granted = demo.done(source, "peer", "show", reader)["scopes"]
    return Caller(demo.url(source), demo.url(reader), jwk, sorted({*granted, "exchange"}))


def changes_for(demo: RunningDemo, reader: str, source: str) -> bytes:
    """The answer that the reader would get to its next pull."""
    peer = reader_of(demo, reader, source)
    pid = query(demo.home(reader), "SELECT pid FROM peers WHERE name = :name", name=source)[0]["pid"]
    at = query(demo.home(reader), "SELECT incarnation, epoch, cursor FROM sync_state WHERE via = :pid", pid=pid)[0]
    while True:
        answer = peer.post("/exchange/changes", at)
        if answer.status_code != 429:
            break
        time.sleep(0.2)
    assert answer.status_code == 200, answer.text
    raw = answer.content
    return zstandard.ZstdDecompressor().decompressobj().decompress(raw) if raw[:4] == b"\x28\xb5\x2f\xfd" else raw


def test_a_hidden_write_changes_no_byte_and_wakes_nobody(
    demo: RunningDemo, editor: Caller, marked: tuple[str, str]
) -> None:
    demo.done("west", "sync", "river")
    before = changes_for(demo, "west", "river"), contents(demo.home("west")), served(demo)
    log = demo.home("west") / "node.log"
    told = len(log.read_bytes())
    amend(editor, marked[0], internalNotes="Seen by nobody outside.", site="12 Hidden Lane")
    amend(editor, marked[0], internalNotes="Seen by nobody outside, again.")
    demo.done("west", "sync", "river")
    wait_until(lambda: log.read_bytes()[told:].count(b'"exchanged"') >= 4, 60)
    assert (changes_for(demo, "west", "river"), contents(demo.home("west")), served(demo)) == before
    lines = [json.loads(line) for line in log.read_bytes()[told:].splitlines()]
    pulls = [line for line in lines if line["event"] == "exchanged" and line["peer"] == "river"]
    assert {(line["taken"], line["withdrawn"]) for line in pulls} == {(0, 0)}


def served(demo: RunningDemo) -> int:
    return query(demo.home("river"), "SELECT count(*) AS n FROM served")[0]["n"]


def test_a_revoked_peer_is_empty_after_its_next_pull_and_those_behind_it_after_theirs(
    demo: RunningDemo, river: str
) -> None:
    agreed = demo.done("river", "peer", "show", "west")
    before = {name: count_of(demo.home(name), river) for name in ("west", "aurora")}
    assert before["west"]["resource"] > 0
    assert before["aurora"]["resource"] > 0
    demo.done("river", "peer", "revoke", "west", "--yes")
    try:
        demo.done("west", "sync", "river")
        assert count_of(demo.home("west"), river) == {}
        assert (
            query(
                demo.home("west"),
                "SELECT count(*) AS n FROM need r JOIN peers p ON p.pid = r.via WHERE p.name = 'river'",
            )[0]["n"]
            == 0
        )
        demo.done("aurora", "sync", "west")
        assert count_of(demo.home("aurora"), river) == {}
    finally:
        demo.done(
            *("river", "peer", "grant", "west", "--scopes", ",".join(agreed["scopes"])),
            *("--purpose", agreed["purpose"], "--until", agreed["until"], "--yes"),
        )
    demo.done("west", "sync", "river")
    demo.done("aurora", "sync", "west")
    assert {name: count_of(demo.home(name), river) for name in ("west", "aurora")} == before


def test_any_node_may_be_killed_at_any_time(demo: RunningDemo, editor: Caller, river: str) -> None:
    """Records are written without pause while each node in turn is killed and started again: all that river
    acknowledged arrives, within seconds and without a hand."""
    draw = random.Random(11)
    acknowledged: set[str] = set()
    for turn, name in enumerate(("west", "river", "aurora")):
        for number in range(8):
            title = f"Written {turn}.{number} {uuid.uuid4().hex[:6]}"
            add(editor, title)
            acknowledged.add(title)
        time.sleep(draw.uniform(0, 2.5))
        demo.kill(name)
        demo.start(name)
        for other in NAMES:
            assert ready(demo.url(other))
        wait_until(lambda: acknowledged <= titles(demo, "aurora", river), 60)
    for name in NAMES:
        assert query(demo.home(name), "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        assert demo.done(name, "audit", "verify") == []
        assert query(demo.home(name), "SELECT * FROM quarantine") == []


def test_the_pages_that_the_demonstration_names_are_there(demo: RunningDemo) -> None:
    for name in NAMES:
        for path in (
            "/health/live",
            "/health/ready",
            "/graphql/schema.graphql",
            "/.well-known/oauth-authorization-server",
        ):
            assert get(demo.url(name) + path).status_code == 200
