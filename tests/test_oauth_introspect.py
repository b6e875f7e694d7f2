"""Introspection (RFC 7662) and revocation (RFC 7009): a client learns of its own tokens alone, and ends them."""

from __future__ import annotations

from typing import Any

import pytest
from oauth_people import Program, member
from oauth_world import RIGHTS, SCOPES, URL, Node
from sqlalchemy import text

from federation.errors import Unauthenticated
from federation.keys import generate_key, sign, signing_key
from federation.oauth.accounts import disable_account
from federation.oauth.clients import add_client, revoke_client
from federation.oauth.realm import RegisteredClient
from federation.oauth.server import TokenServer
from federation.policies.viewer import ViewerKind
from federation.storage.database import Database

NOTHING = {"active": False}


@pytest.fixture
def node(sqlite_database: Database) -> Node:
    return Node(sqlite_database)


@pytest.fixture
def program(node: Node) -> Program:
    return Program(node, public=False)


def look(node: Node, token: str | None, **fields: Any) -> Any:
    """What the node's own client is told of a token."""
    return node.app.post("/oauth/introspect", data=node.form(token=token, **fields))


def told(program: Program, token: str, **fields: Any) -> Any:
    """What a program that asks people is told of a token."""
    answer = program.send("/oauth/introspect", {}, {"token": token} | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def revoke(program: Program, token: str | None, **fields: Any) -> Any:
    return program.send("/oauth/revoke", {}, {"token": token} | fields)


def dead(program: Program, token: str) -> None:
    with pytest.raises(Unauthenticated, match="revoked"):
        program.use(token)


# Introspection


def test_row_35_nobody_learns_anything_without_authenticating(node: Node) -> None:
    token = node.token()
    public = Program(node)
    for answer in (
        look(node, token, client_assertion=None, client_assertion_type=None),
        look(node, token, client_assertion=node.assertion(generate_key())),
        node.app.post("/oauth/introspect", data={"token": token}),
        public.send("/oauth/introspect", {}, {"token": public.tokens()["access_token"]}),
    ):
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert "active" not in answer.json()
        assert "private_key_jwt" in answer.headers["www-authenticate"]


def test_row_35_an_assertion_is_good_for_one_question(node: Node) -> None:
    assertion, token = node.assertion(), node.token()
    assert look(node, token, client_assertion=assertion).json()["active"] is True
    assert look(node, token, client_assertion=assertion).status_code == 401


def test_row_35_a_client_is_told_what_its_own_token_stands_for(node: Node) -> None:
    answer = look(node, node.token(scope="resource:community exchange"))
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()
    assert len(found.pop("jti")) >= 20
    client_id = node.client.client_id
    assert found == {
        "active": True,
        "iss": URL,
        "client_id": client_id,
        "sub": client_id,
        "aud": f"{URL}/graphql",
        "scope": "exchange resource:community",
        "iat": node.now,
        "exp": node.now + 600,
        "token_type": "DPoP",
        "cnf": {"jkt": node.proof_key.thumbprint},
    }


@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "something_else"])
def test_row_35_what_is_no_token_of_the_client_is_just_not_active(node: Node, program: Program, hint: Any) -> None:
    peer_key = generate_key()
    given, public = program.tokens(), Program(node).tokens()
    old = node.token()
    node.clock.turn(600)
    for token in (
        "garbage",
        "a.b.c",
        "é",
        old,
        given["access_token"],
        given["refresh_token"],
        public["access_token"],
        public["refresh_token"],
        sign(peer_key, {"typ": "at+jwt"}, {"client_id": node.client.client_id}),
        node.proof(),
        node.assertion(),
    ):
        answer = look(node, token, token_type_hint=hint)
        assert (answer.status_code, answer.json()) == (200, NOTHING)


def test_row_35_a_peer_learns_nothing_of_a_clients_token_nor_the_other_way_round(sqlite_database: Database) -> None:
    key = generate_key()
    peer = RegisteredClient("https://west.example", (key.public_jwk,), RIGHTS, ViewerKind.PEER)
    node = Node(sqlite_database, lambda client_id: peer if client_id == peer.client_id else None)
    me = {"iss": peer.client_id, "sub": peer.client_id}
    theirs = node.token(client_assertion=node.assertion(key, **me))
    assert look(node, theirs).json() == NOTHING
    assert look(node, node.token(), client_assertion=node.assertion(key, **me)).json() == NOTHING
    assert look(node, theirs, client_assertion=node.assertion(key, **me)).json()["active"] is True


def test_row_32_a_question_tells_the_scopes_that_are_in_force_now(node: Node, program: Program) -> None:
    baraka = member(node, "baraka", "resource:partner", "exchange")
    given = program.tokens(baraka, scope="resource:partner exchange")
    for token in (given["access_token"], given["refresh_token"]):
        assert told(program, token)["scope"] == "exchange resource:partner"
    with node.database.write() as connection:
        connection.execute(text("UPDATE account SET scopes = 'exchange' WHERE handle = 'baraka'"))
    for token in (given["access_token"], given["refresh_token"]):
        assert told(program, token)["scope"] == "exchange"
    assert "baraka" not in str(told(program, given["access_token"]))


def test_a_refresh_token_is_told_of_with_its_end(node: Node, program: Program) -> None:
    given = program.tokens()
    access, refresh = told(program, given["access_token"]), told(program, given["refresh_token"])
    assert refresh["exp"] == node.now + 30 * 86_400
    assert (refresh["sub"], refresh["client_id"]) == (access["sub"], program.id)
    assert "jti" not in refresh


def test_row_35_a_revoked_token_is_not_active_on_any_worker(database: Database) -> None:
    node = Node(database)
    program = Program(node, public=False)
    other = TokenServer(node.another_realm())
    given = program.tokens()
    assert revoke(program, given["access_token"]).status_code == 200
    assert program.at(other, "introspect", "/oauth/introspect", token=given["access_token"]).body == NOTHING
    assert told(program, given["refresh_token"])["active"] is True
    again = program.refresh(given["refresh_token"]).json()["access_token"]
    assert revoke(program, given["refresh_token"]).status_code == 200
    for token in (again, given["refresh_token"]):
        assert program.at(other, "introspect", "/oauth/introspect", token=token).body == NOTHING


def test_row_35_a_closed_account_or_a_changed_client_makes_its_tokens_inactive(node: Node, program: Program) -> None:
    given = program.tokens()
    disable_account(node.database, node.world, "asha")
    assert told(program, given["access_token"]) == told(program, given["refresh_token"]) == NOTHING


def test_a_question_without_a_token_is_a_bad_request(node: Node) -> None:
    for token in (None, ""):
        answer = look(node, token)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


# Revocation


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("hint", [None, "refresh_token", "access_token", "something_else"])
def test_row_36_a_refresh_token_that_is_given_up_takes_the_grant_along(
    database: Database, public: bool, hint: str | None
) -> None:
    node = Node(database)
    program = Program(node, public=public)
    first, untouched = program.tokens(), program.tokens()
    second = program.refresh(first["refresh_token"]).json()
    last = second.get("refresh_token", first["refresh_token"])
    answer = revoke(program, last, token_type_hint=hint)
    assert (answer.status_code, answer.json()) == (200, {})
    for token in (first["access_token"], second["access_token"]):
        dead(program, token)
    assert program.refresh(last).json()["error"] == "invalid_grant"
    assert revoke(program, last).status_code == 200
    program.use(untouched["access_token"])


def test_row_36_a_used_refresh_token_can_be_given_up_as_well(node: Node) -> None:
    program = Program(node)
    first = program.tokens()
    second = program.refresh(first["refresh_token"]).json()
    assert revoke(program, first["refresh_token"]).status_code == 200
    dead(program, second["access_token"])


def test_row_36_an_access_token_is_given_up_alone(node: Node) -> None:
    program = Program(node)
    given = program.tokens()
    assert revoke(program, given["access_token"]).status_code == 200
    dead(program, given["access_token"])
    program.use(program.refresh(given["refresh_token"]).json()["access_token"])


@pytest.mark.parametrize("public", [True, False])
def test_row_36_nobody_gives_up_what_is_another_clients(node: Node, public: bool) -> None:
    program, other = Program(node, public=public), Program(node, public=public)
    given = program.tokens()
    for token in (given["access_token"], given["refresh_token"]):
        answer = revoke(other, token)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    program.use(given["access_token"])
    assert program.refresh(given["refresh_token"]).status_code == 200


def test_row_36_a_client_with_a_key_gives_nothing_up_by_its_name_alone(node: Node, program: Program) -> None:
    given = program.tokens()
    answer = revoke(program, given["refresh_token"], client_assertion=None, client_assertion_type=None)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    program.use(given["access_token"])


def test_a_client_that_asked_for_itself_and_was_revoked_has_no_token_left(node: Node) -> None:
    made = add_client(node.database, node.world, "other", frozenset({"resource:open"}), SCOPES)
    me = {"iss": made.client_id, "sub": made.client_id}
    token = node.token(scope="resource:open", client_assertion=node.assertion(signing_key(made.private_jwk), **me))
    node.use(token)
    revoke_client(node.database, node.world, made.client_id)
    with pytest.raises(Unauthenticated, match="revoked"):
        node.use(token)
