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
