"""`peer …` and `sync` at a node that has a peer, at whose address nobody answers."""

from __future__ import annotations

from pathlib import Path

from cli.conftest import Cli, not_confirmed


def test_an_agreement_is_not_ended_without_a_yes(cli: Cli, pair: Path, no_answer: None) -> None:
    river = pair / "river"
    assert cli("peer", "revoke", "West", home=river).code == 1
    assert not_confirmed(cli("peer", "revoke", "West", "--json", home=river))
    assert cli("peer", "show", "West", "--json", home=river).json["state"] == "pinned"
    assert cli("peer", "revoke", "West", "--yes", "--json", home=river).json["state"] == "revoked"


def test_a_peer_that_is_not_pulled_is_said_why_and_what_to_do(cli: Cli, pair: Path) -> None:
    river, west = pair / "river", pair / "west"
    assert cli("sync", home=river).out.split() == [
        *("peer", "skipped", "West", "West", "is", "not", "verified,", "so", "it", "is", "not", "pulled."),
        *("Compare", "the", "eight", "words", "with", "them:", "federation", "peer", "words", "West,"),
        *("then", "federation", "peer", "verify", "West", "--words", '"…"'),
    ]
    told = cli("sync", "--json", home=river)
    assert told.code == 0
    (row,) = told.json
    assert row["peer"] == "West"
    assert row["skipped"].startswith("West is not verified, so it is not pulled. Compare the eight words")
    named = cli("sync", "West", "--json", home=river)
    assert named.code == 1
    assert named.json == [{"peer": "West", "problem": row["skipped"]}]

    assert cli("peer", "freeze", "River", home=west).code == 0
    assert "River is frozen, so it is not pulled." in cli("sync", "--json", home=west).json[0]["skipped"]
    assert cli("peer", "unfreeze", "River", home=west).code == 0
    failed = cli("sync", "--json", home=west)  # nobody is there
    assert (failed.code, set(failed.json[0])) == (1, {"peer", "problem"})
    assert cli("peer", "revoke", "River", "--yes", home=west).code == 0
    assert "River was revoked, so it is not pulled." in cli("sync", "--json", home=west).json[0]["skipped"]


def test_a_node_without_peers_is_told_how_to_link(cli: Cli, home: Path) -> None:
    assert cli("sync", home=home).out == "No peers yet. `federation peer invite` links to one.\n"
    assert cli("sync", "--json", home=home).json == []
    assert cli("sync", "nobody", home=home).err.startswith("NOT_FOUND: ")
