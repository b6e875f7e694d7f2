"""`trust …` at a node with peers, at whose addresses nobody answers; and at three nodes that answer one another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from oracles.desk import allow_loopback, served
from oracles.schemas import kept_schemas

from cli.conftest import Cli
from federation.keys import generate_key
from federation.node import Node
from federation.outbound import Outbound
from federation.peers import agreements, trust

PRINT = "A" * 43
MARK = "https://west.example/marks/one"


@pytest.fixture
def west(pair: Path) -> Path:
    """The home of a node that has verified its peer River."""
    return pair / "west"


def refused(cli: Cli, home: Path, *words: object) -> str:
    """The code with which a command is refused."""
    ended = cli(*words, "--json", home=home)
    assert ended.code == 1, ended
    code: str = ended.json["error"]["code"]
    return code


def test_a_peer_is_vouched_for_and_not_any_more(cli: Cli, west: Path) -> None:
    assert "vouches for nobody" in cli("trust", "list", home=west).out
    assert cli("trust", "vouch", "River", "--dry-run", home=west).out.startswith("Nothing was written")
    assert cli("trust", "list", "--json", home=west).json == []
    made = cli("trust", "vouch", "River", "--hours", 24, "--days", 30, "--json", home=west).json
    assert (made["name"], made["hours"]) == ("River", 24)
    (row,) = cli("trust", "list", "--json", home=west).json
    assert (row["name"], row["renewed"], row["until"]) == ("River", True, made["until"])
    assert cli("peer", "freeze", "River", home=west).code == 0
    assert cli("trust", "list", "--json", home=west).json[0]["renewed"] is False
    ended = cli("trust", "unvouch", "River", home=west)
    assert "hold at the longest until" in ended.out
    assert refused(cli, west, "trust", "unvouch", "River") == "NOT_FOUND"
    assert refused(cli, west, "trust", "vouch", "River") == "CONFLICT"


def test_only_a_verified_peer_is_vouched_for_named_as_a_superior_or_given_a_mark(cli: Cli, pair: Path) -> None:
    river = pair / "river"
    for words in (
        ("trust", "vouch", "West"),
        ("trust", "hints", "add", "West"),
        ("trust", "refresh", "West"),
        ("trust", "mark", "issue", "West", MARK),
    ):
        assert refused(cli, river, *words) == "CONFLICT"
        assert refused(cli, river, *("Nobody" if word == "West" else word for word in words)) == "NOT_FOUND"
    shown = cli("trust", "show", "West", "--json", home=river).json
    assert shown["problems"] == ["West is not verified: its eight words were not compared yet."]


@pytest.mark.parametrize("hours", [23, 73, 0])
def test_a_statement_lives_for_one_to_three_days(cli: Cli, west: Path, hours: int) -> None:
    assert cli("trust", "vouch", "River", "--hours", hours, home=west).code == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"oauth_client": {"a": {"add": "x"}}}', '{"a": {"b": {"one_of": null}}}'])
def test_a_policy_file_that_is_none_is_refused(cli: Cli, west: Path, tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.json"
    file.write_text(text)
    assert refused(cli, west, "trust", "vouch", "River", "--metadata-policy", file) == "BAD_INPUT"
    file.write_text('{"oauth_client": {"grant_types": {"subset_of": ["client_credentials"]}}}')
    assert cli("trust", "vouch", "River", "--metadata-policy", file, home=west).code == 0


def test_anchors_are_pinned_and_let_go(cli: Cli, west: Path) -> None:
    issuer = "https://aurora.example"
    assert "No anchors yet" in cli("trust", "anchor", "list", home=west).out
    assert cli("trust", "anchor", "add", issuer, "--thumbprint", f"{PRINT},{'B' * 43}", home=west).code == 0
    assert cli("trust", "anchor", "list", "--json", home=west).json == [
        {"issuer": issuer, "thumbprints": [PRINT, "B" * 43]}
    ]
    for wrong in ((issuer, "A" * 42), (issuer, ""), ("aurora", PRINT), ("https://aurora.example?x", PRINT)):
        assert refused(cli, west, "trust", "anchor", "add", wrong[0], "--thumbprint", wrong[1]) == "BAD_INPUT"
    assert cli("trust", "anchor", "remove", issuer, home=west).code == 0
    assert refused(cli, west, "trust", "anchor", "remove", issuer) == "NOT_FOUND"


def test_superiors_are_named_and_not_any_more(cli: Cli, west: Path) -> None:
    assert "No superiors named" in cli("trust", "hints", "list", home=west).out
    assert cli("trust", "hints", "add", "River", home=west).code == 0
    (row,) = cli("trust", "hints", "list", "--json", home=west).json
    assert row["problem"].startswith("River was not heard yet")
    assert "was not heard yet" in cli("trust", "show", home=west).out
    ended = cli("trust", "refresh", home=west)
    assert (ended.code, "No connection" in ended.out or "allow_private_peers" in ended.out) == (1, True)
    assert cli("trust", "hints", "remove", "River", home=west).code == 0
    assert refused(cli, west, "trust", "hints", "remove", "River") == "NOT_FOUND"


def test_marks_are_given_taken_back_and_ruled(cli: Cli, west: Path, tmp_path: Path) -> None:
    assert "No marks yet" in cli("trust", "mark", "list", home=west).out
    assert cli("trust", "mark", "issue", "River", MARK, "--days", 3, home=west).code == 0
    (row,) = cli("trust", "mark", "list", "--json", home=west).json
    assert (row["type"], row["given_to"], row["issuers"]) == (MARK, "River", ["http://127.0.0.1:8998"])
    assert cli("trust", "mark", "revoke", "River", MARK, home=west).code == 0
    assert refused(cli, west, "trust", "mark", "revoke", "River", MARK) == "NOT_FOUND"
    owner = tmp_path / "owner.json"
    owner.write_text(json.dumps({"sub": "https://o.example", "jwks": {"keys": [generate_key().public_jwk]}}))
    words = ("trust", "mark", "allow", MARK)
    assert cli(*words, "--issuer", "https://a.example,https://b.example", "--owner", owner, home=west).code == 0
    (row,) = cli("trust", "mark", "list", "--json", home=west).json
    assert row["issuers"] == ["https://a.example", "https://b.example"]
    assert refused(cli, west, *words, "--issuer", "somebody") == "BAD_INPUT"
    for text in ("{", "[]", '{"sub": 1}', '{"sub": "https://o.example", "jwks": {"keys": []}}'):
        owner.write_text(text)
        assert refused(cli, west, *words, "--owner", owner) == "BAD_INPUT"
    assert refused(cli, west, "trust", "mark", "issue", "River", "no address") == "BAD_INPUT"
    for text in ("no token", "é"):
        owner.write_text(text)
        assert refused(cli, west, "trust", "mark", "issue", "River", MARK, "--delegation", owner) == "BAD_INPUT"
    assert cli(*words, "--forget", home=west).code == 0
    assert refused(cli, west, *words, "--forget") == "NOT_FOUND"


# Over a real connection


@pytest.fixture
def three(tmp_path: Path) -> Iterator[dict[str, Node]]:
    """River, west and aurora, served on ports of their own and linked in a line."""
    with ExitStack() as ending, kept_schemas():
        nodes = {name: ending.enter_context(served(tmp_path, name)) for name in ("river", "west", "aurora")}
        for name in nodes:
            allow_loopback(tmp_path / name)
        for one, other in (("river", "west"), ("west", "aurora")):
            first, second = nodes[one], nodes[other]
            asking = Outbound(("127.0.0.0/8",))
            ending.callback(asking.close)
            text = trust.invite(first.database, first.world, first.me)
            trust.accept(second.database, second.world, second.me, asking, text)
            agreements.mark_verified(first.database, agreements.partner(first.database, other))
            agreements.mark_verified(second.database, agreements.partner(second.database, one))
        yield nodes


def test_three_nodes_vouch_for_one_another_over_http(cli: Cli, three: dict[str, Node], tmp_path: Path) -> None:
    homes = {name: tmp_path / name for name in three}
    assert cli("trust", "vouch", "river", home=homes["west"]).code == 0
    assert cli("trust", "vouch", "west", "--max-path-length", 1, home=homes["aurora"]).code == 0
    assert cli("trust", "hints", "add", "west", home=homes["river"]).code == 0
    assert cli("trust", "hints", "add", "aurora", home=homes["west"]).code == 0
    own = cli("trust", "show", "--json", home=homes["aurora"]).json
    for name in ("west", "river"):
        pinned = ("trust", "anchor", "add", own["issuer"], "--thumbprint", own["thumbprint"])
        assert cli(*pinned, home=homes[name]).code == 0
    for name in ("west", "river", "west", "aurora"):
        assert cli("trust", "refresh", home=homes[name]).code == 0, name
    shown = cli("trust", "show", "river", "--json", home=homes["west"]).json
    issuers = [three[name].me.issuer for name in ("river", "west", "aurora")]
    assert [each["path"] for each in shown["chains"]] == [issuers[:2], issuers]
    told = cli("trust", "show", "west", home=homes["river"]).out
    assert f"west is vouched for by {issuers[2]}." in told
    assert "It grants nothing" in told
    assert cli("trust", "unvouch", "river", home=homes["west"]).code == 0
    assert cli("trust", "refresh", "west", home=homes["river"]).code == 0
    assert "west does not vouch for this node." in cli("trust", "show", home=homes["river"]).out
    assert cli("trust", "refresh", "river", home=homes["west"]).code == 0
    assert "no chain holds any more" in cli("trust", "show", "river", home=homes["west"]).out
