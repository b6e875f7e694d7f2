"""Refresh tokens: rotated and bound to a key for public clients, kept for those with a key; never a wider scope."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import rows
from oauth_people import Program, member
from oauth_world import URL, Node

from federation.errors import Unauthenticated
from federation.keys import generate_key
from federation.oauth.server import TokenServer
from federation.storage.database import Database


@pytest.fixture
def node(sqlite_database: Database) -> Node:
    return Node(sqlite_database)


@pytest.fixture
def program(node: Node) -> Program:
    return Program(node)


def refused(answer: Any, error: str = "invalid_grant", status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert not {"access_token", "refresh_token"} & set(answer.json())


def dead(program: Program, token: str) -> None:
    with pytest.raises(Unauthenticated, match="revoked"):
        program.use(token)


def test_nobody_refreshes_with_a_token_that_was_not_given(program: Program) -> None:
    for token in ("nothing", "fedr_" + "x" * 43, program.tokens()["access_token"], program.code()):
        answer = program.refresh(token[:512])
        refused(answer)
        assert token[:20] not in answer.text


def test_a_public_client_gets_the_next_one_at_each_use(database: Database) -> None:
    node = Node(database)
    program = Program(node)
    first = program.tokens()
    node.clock.turn(700)
    second = program.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (second["token_type"], second["expires_in"], second["scope"]) == ("DPoP", 600, first["scope"])
    third = program.refresh(second["refresh_token"]).json()
    assert program.use(third["access_token"]) == program.use(second["access_token"])


def test_one_that_is_used_again_ends_the_whole_family_also_after_a_restart(database: Database) -> None:
    node = Node(database)
    program, other = Program(node), Program(node)
    first, untouched = program.tokens(), other.tokens()
    second = program.refresh(first["refresh_token"]).json()
    restarted = TokenServer(node.another_realm())
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert program.at(restarted, "token", "/oauth/token", **form).status == 400
    for given in (first, second):
        dead(program, given["access_token"])
        refused(program.refresh(given["refresh_token"]))
    other.use(untouched["access_token"])
    assert other.refresh(untouched["refresh_token"]).status_code == 200


def test_of_fifty_in_parallel_one_is_answered_and_the_family_is_dead(database: Database) -> None:
    node = Node(database)
    program = Program(node)
    workers = [TokenServer(node.another_realm()) for _ in range(2)]
    first = program.tokens()
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda n: program.at(workers[n % 2], "token", "/oauth/token", **form), range(50)))
    assert sorted(each.status for each in answers) == [200] + [400] * 49
    (won,) = [each.body for each in answers if each.status == 200]
    dead(program, won["access_token"])
    dead(program, first["access_token"])
    refused(program.refresh(won["refresh_token"]))


def test_a_public_clients_refresh_token_is_bound_to_its_key(program: Program) -> None:
    given = program.tokens()
    thief = {"dpop": program.proof("/oauth/token", key=generate_key())}
    refused(program.refresh(given["refresh_token"], headers=thief))
    refused(program.refresh(given["refresh_token"], headers={}), "invalid_dpop_proof")
    refused(
        program.refresh(given["refresh_token"], headers={"dpop": program.proof("/oauth/token", nonce=None)}),
        "use_dpop_nonce",
    )
    assert program.refresh(given["refresh_token"]).status_code == 200


def test_a_used_one_ends_the_family_whatever_key_shows_it(program: Program) -> None:
    first = program.tokens()
    second = program.refresh(first["refresh_token"]).json()
    refused(
        program.refresh(first["refresh_token"], headers={"dpop": program.proof("/oauth/token", key=generate_key())})
    )
    dead(program, second["access_token"])


def test_a_client_with_a_key_keeps_its_refresh_token_and_may_change_the_key_of_its_proofs(database: Database) -> None:
    node = Node(database)
    program = Program(node, public=False)
    first = program.tokens()
    later = generate_key()
    for key in (program.proof_key, later):
        answer = program.refresh(first["refresh_token"], headers={"dpop": program.proof("/oauth/token", key=key)})
        assert answer.status_code == 200, answer.text
        assert "refresh_token" not in answer.json()
        program.use(answer.json()["access_token"], key=key)
    program.use(first["access_token"])
    named = {"client_assertion": None, "client_assertion_type": None}
    refused(program.refresh(first["refresh_token"], **named), "invalid_client", 401)
    assert len(rows(database, "SELECT * FROM refresh_token")) == 1


@pytest.mark.parametrize("public", [True, False])
def test_a_refresh_token_is_its_clients_alone(node: Node, public: bool) -> None:
    program, other = Program(node, public=public), Program(node, public=public)
    given = program.tokens()
    refused(other.refresh(given["refresh_token"], headers={"dpop": program.proof("/oauth/token")}))
    assert program.refresh(given["refresh_token"]).status_code == 200


@pytest.mark.parametrize("public", [True, False])
def test_row_42_a_refresh_never_gives_more_than_was_granted(node: Node, public: bool) -> None:
    program = Program(node, public=public)
    baraka = member(node, "baraka", "resource:community", "exchange")
    given = program.tokens(baraka, scope="resource:community exchange resource:partner")
    token = given["refresh_token"]
    for scope in (
        "resource:partner",
        "resource:community resource:partner",
        "peers:write",
        "",
        " ",
        "nothing:open",
        "*",
    ):
        refused(program.refresh(token, scope=scope), "invalid_scope")
    narrow = program.refresh(token, scope="exchange").json()
    assert narrow["scope"] == "exchange"
    assert program.use(narrow["access_token"]).scopes == {"exchange"}
    whole = program.refresh(narrow.get("refresh_token", token)).json()
    assert whole["scope"] == "exchange resource:community"
    wide = program.tokens(scope="exchange")
    refused(program.refresh(wide["refresh_token"], scope="resource:open"), "invalid_scope")
    less = program.refresh(whole.get("refresh_token", token), scope="resource:open").json()
    assert program.use(less["access_token"]).scopes == {"resource:open"}


def test_a_refresh_token_is_for_this_nodes_resource_and_stands_in_the_body(program: Program) -> None:
    token = program.tokens()["refresh_token"]
    refused(program.refresh(token, resource="https://other.example"), "invalid_target")
    refused(program.refresh(None), "invalid_request")
    refused(program.refresh("x" * 600), "invalid_request")
    form = program.who() | {"grant_type": "refresh_token"}
    answer = program.node.app.post(f"/oauth/token?refresh_token={token}", data=form, headers={})
    refused(answer, "invalid_request")
    assert program.refresh(token, resource=f"{URL}/graphql").status_code == 200


def test_a_client_that_asks_for_itself_refreshes_nothing(node: Node, program: Program) -> None:
    token = program.tokens()["refresh_token"]
    refused(node.ask(grant_type="refresh_token", refresh_token=token), "unauthorized_client")
    assert program.refresh(token).status_code == 200
