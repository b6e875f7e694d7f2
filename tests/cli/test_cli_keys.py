"""`federation keys …` and `peer rekey`: what they print, what they ask, and what they never show."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from cli.conftest import Cli, not_confirmed, opened
from federation.keys import load_keys
from federation.peers import agreements, trust
from federation.world import real_world


def test_the_keys_are_listed_with_what_they_replaced(home: Path, cli: Cli) -> None:
    before = load_keys(home, real_world())
    for name in ("tokens", "provenance", "peer"):
        assert cli("keys", "rotate", name, "--yes", home=home).code == 0
    keys = load_keys(home, real_world())
    rows = cli("keys", "list", "--json", home=home).json
    assert [row["key"] for row in rows] == ["provenance"] * 2 + ["tokens"] * 2 + ["peer"] * 2
    for name in ("tokens", "provenance", "peer"):
        old, new = (row for row in rows if row["key"] == name)
        assert (old["thumbprint"], new["thumbprint"]) == (
            getattr(before, name).thumbprint, getattr(keys, name).thumbprint,
        )  # fmt: skip
        assert old["since"]
        assert old["replaced"] == new["since"]
        assert (new["replaced"], new["counts_until"]) == (None, None)
    assert keys.origin == before.origin
    shown = cli("keys", "list", home=home).out
    assert all(getattr(each, name).jwk["d"] not in shown for each in (before, keys) for name in ("tokens", "peer"))
    assert len(shown.splitlines()) == 7


def test_a_rotation_is_confirmed_and_a_dry_run_changes_nothing(home: Path, cli: Cli) -> None:
    before = load_keys(home, real_world())
    for name in ("tokens", "provenance", "peer"):
        assert not_confirmed(cli("keys", "rotate", name, "--json", home=home))
        assert cli("keys", "rotate", name, "--dry-run", home=home).code == 0
    assert load_keys(home, real_world()) == before
    unknown = cli("keys", "rotate", "secret", "--yes", home=home)
    assert unknown.code == 1
    assert "one of: peer, provenance, tokens" in unknown.err


def test_a_peer_key_that_is_gone_is_replaced_where_that_is_said(home: Path, cli: Cli) -> None:
    (home / "keys" / "peer.jwk").unlink()
    refused = cli("keys", "rotate", "peer", "--yes", home=home)
    assert (refused.code, "is missing" in refused.err) == (1, True)
    done = cli("keys", "rotate", "peer", "--yes", "--leaked", "--json", home=home)
    assert done.code == 0
    assert done.json["replaced"] is None
    assert done.json["thumbprint"] == load_keys(home, real_world()).peer.thumbprint
    (home / "keys" / "tokens.jwk").unlink()
    assert cli("keys", "rotate", "tokens", "--yes", "--leaked", home=home).code == 1


def test_who_could_not_be_told_of_a_peer_key_is_named(pair: Path, cli: Cli) -> None:
    told = cli("keys", "rotate", "peer", "--yes", "--json", home=pair / "river")
    assert (told.json["known_to"], told.json["not_known_to"]) == ([], ["West"])
    assert "next asked" in cli("keys", "rotate", "peer", "--yes", home=pair / "river").err
    assert "peer rekey" in cli("keys", "rotate", "peer", "--yes", "--leaked", home=pair / "river").err


def test_a_peers_key_is_given_up_and_an_invitation_printed(pair: Path, cli: Cli) -> None:
    west = pair / "west"
    assert not_confirmed(cli("peer", "rekey", "River", "--json", home=west))
    assert "federation-invite-" not in cli("peer", "rekey", "River", "--dry-run", home=west).out
    with closing(opened(west)) as node:
        before = agreements.partner(node.database, "River")
    done = cli("peer", "rekey", "River", "--yes", "--json", home=west)
    assert trust.read_invitation(done.json["invitation"]).anew
    assert (done.json["verified"], done.json["name"]) == (False, "River")
    with closing(opened(west)) as node:
        assert agreements.partner(node.database, "River").thumbprint != before.thumbprint
    shown = cli("peer", "show", "River", "--json", home=west).json
    assert (shown["key"], shown["key_warning"]) == (None, None)
    assert "awaited" in shown["key_by"]
    assert cli("peer", "words", "River", home=west).code == 1
    assert cli("peer", "verify", "River", "--words", "a b c d e f g h", home=west).code == 1
    findings = cli("doctor", "--json", home=west).json
    assert "KEY_AWAITED" in [row["code"] for row in findings]
    assert cli("peer", "rekey", "Nobody", "--yes", home=west).code == 1


def test_the_key_of_a_peer_is_shown_with_how_it_came(pair: Path, cli: Cli) -> None:
    shown = cli("peer", "show", "River", "--json", home=pair / "west").json
    assert shown["key"] == load_keys(pair / "river", real_world()).peer.thumbprint
    assert (shown["key_by"], shown["key_warning"]) == ("invitation", None)
