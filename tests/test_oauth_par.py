"""Pushed authorization requests (RFC 9126): what may be asked for, by whom, and that a request is opened once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import rows
from oauth_people import BACK, Program, person, set_scopes
from oauth_world import SCOPES, URL, Node

from federation.errors import BadInput, NotFound
from federation.keys import generate_key
from federation.oauth.authorizing import approve, deny, open_request, question
from federation.oauth.clients import add_client, revoke_client
from federation.oauth.grants import prune_grants
from federation.oauth.redirects import checked_redirects, matches
from federation.storage.database import Database


@pytest.fixture
def node(sqlite_database: Database) -> Node:
    return Node(sqlite_database)


@pytest.fixture
def program(node: Node) -> Program:
    return Program(node)


def refused(answer: Any, error: str, status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert "request_uri" not in answer.json()


def test_nobody_can_push_a_request_without_saying_who_they_are(program: Program) -> None:
    answer = program.push(client_id=None)
    refused(answer, "invalid_client", 401)
    assert answer.headers["www-authenticate"] == f'private_key_jwt realm="{URL}", error="invalid_client"'


def test_a_public_client_pushes_with_a_proof_and_gets_a_name_for_a_minute(program: Program) -> None:
    answer = program.push()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["dpop-nonce"]
    assert answer.json()["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    assert answer.json()["expires_in"] == 60


def test_a_client_with_a_key_authenticates_by_it_and_by_nothing_less(node: Node) -> None:
    program = Program(node, public=False)
    assert program.push().status_code == 201
    assert program.push(headers={}).status_code == 201
    named = {"client_assertion": None, "client_assertion_type": None}
    answer = program.push(**named)
    refused(answer, "invalid_client", 401)
    assert answer.json() == Program(node).push(client_id="client-nobody").json()


def test_a_public_client_needs_a_proof_and_no_secret(program: Program) -> None:
    refused(program.push(headers={}), "invalid_dpop_proof")
    refused(program.push(headers={"dpop": program.proof("/oauth/par", nonce=None)}), "use_dpop_nonce")
    refused(program.push(client_secret="x"), "invalid_client", 401)


def test_a_proof_and_an_assertion_are_good_for_one_pushed_request(node: Node) -> None:
    for public in (True, False):
        program = Program(node, public=public)
        headers, fields = {"dpop": program.proof("/oauth/par")}, program.who()
        assert program.push(headers=headers, **fields).status_code == 201
        refused(program.push(headers=headers, **(fields if public else {})), "invalid_client", 401)


def test_a_client_that_asks_for_itself_does_not_ask_people(node: Node) -> None:
    fields = Program(node).wish(client_id=node.client.client_id, client_assertion=node.assertion())
    answer = node.app.post("/oauth/par", data=node.form(**fields), headers={})
    refused(answer, "unauthorized_client")


def test_a_client_that_asks_people_has_no_rights_of_its_own(node: Node) -> None:
    program = Program(node, public=False)
    answer = program.send("/oauth/token", form={"grant_type": "client_credentials", "scope": "resource:open"})
    refused(answer, "unauthorized_client")
    answer = Program(node).send("/oauth/token", form={"grant_type": "client_credentials", "scope": "resource:open"})
    refused(answer, "invalid_client", 401)


@pytest.mark.parametrize("kind", [None, "token", "id_token", "code token", "none", ""])
def test_row_37_nothing_but_a_code_can_be_asked_for(program: Program, kind: str | None) -> None:
    refused(program.push(response_type=kind), "unsupported_response_type")


@pytest.mark.parametrize(
    "fields", [{"request": "e.y.z"}, {"request_uri": "https://x.example"}, {"response_mode": "fragment"}]
)
def test_row_37_no_request_object_and_no_other_way_of_answering(program: Program, fields: Any) -> None:
    refused(program.push(**fields), "invalid_request")
    assert program.push(response_mode="query").status_code == 201


@pytest.mark.parametrize("state", ["s" * 1001, "a\nb", "a\x00b"])
def test_a_state_that_is_no_short_text_is_refused(program: Program, state: str) -> None:
    refused(program.push(state=state), "invalid_request")
    assert program.push(state=None).status_code == 201


@pytest.mark.parametrize(
    "fields",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge": None},
        {"code_challenge": "c" * 42},
        {"code_challenge": "c" * 44},
        {"code_challenge": "c" * 42 + "="},
    ],
)
def test_row_38_no_request_without_an_s256_challenge(program: Program, fields: Any) -> None:
    refused(program.push(**fields), "invalid_request")


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        BACK + "/",
        BACK + "?a=b",
        BACK + "#f",
        BACK.upper(),
        "https://dashboard.example:443/back",
        "http://dashboard.example/back",
        "https://dashboard.example.evil.example/back",
        "https://user@dashboard.example/back",
        "https://dashboard.example/b%61ck",
        "https://dashboard.example/x/../back",
        "http://127.0.0.1/back",
    ],
)
def test_row_39_an_address_that_is_not_registered_to_the_letter_is_refused(program: Program, address: Any) -> None:
    answer = program.push(redirect_uri=address)
    refused(answer, "invalid_request")
    assert not address or address not in answer.text


def test_row_39_a_public_client_on_ones_own_machine_may_name_any_port(node: Node) -> None:
    local = "http://127.0.0.1/back"
    public, keyed = Program(node, back=local), Program(node, public=False, back=local)
    for port, status in (("", 201), (":1", 201), (":49152", 201), (":0", 400), (":x", 400), (":123456", 400)):
        assert public.push(redirect_uri=f"http://127.0.0.1{port}/back").status_code == status, port
    for other in ("http://127.0.0.1:5/other", "http://localhost/back", "http://[::1]:5/back", "https://127.0.0.1/back"):
        refused(public.push(redirect_uri=other), "invalid_request")
    refused(keyed.push(redirect_uri="http://127.0.0.1:5/back"), "invalid_request")


@pytest.mark.parametrize(
    "scope", [None, "", " ", "resource:everything", "*", "peers:write", "resource:open peers:write", "x" * 5000]
)
def test_row_18_a_scope_has_to_be_named_and_registered(program: Program, scope: str | None) -> None:
    refused(program.push(scope=scope), "invalid_scope")


def test_a_request_for_another_resource_is_refused(program: Program) -> None:
    refused(program.push(resource="https://other.example/graphql"), "invalid_target")
    assert program.push(resource=f"{URL}/graphql").status_code == 201


def test_row_41_a_key_that_is_named_must_be_one_and_the_proofs(node: Node, program: Program) -> None:
    other = generate_key().thumbprint
    refused(program.push(dpop_jkt=other), "invalid_dpop_proof")
    refused(program.push(dpop_jkt="short"), "invalid_request")
    assert program.push(dpop_jkt=program.proof_key.thumbprint).status_code == 201
    keyed = Program(node, public=False)
    assert keyed.push(headers={}, dpop_jkt=other).status_code == 201
    refused(keyed.push(headers={}, dpop_jkt="x" * 44), "invalid_request")


@pytest.mark.parametrize("where", ["address", "twice", "get"])
def test_row_15_a_pushed_request_stands_in_the_body_once(program: Program, where: str) -> None:
    fields = program.who() | program.wish()
    headers = {"dpop": program.proof("/oauth/par")}
    if where == "get":
        assert program.node.app.get("/oauth/par", params=fields).status_code == 405
    elif where == "address":
        answer = program.node.app.post("/oauth/par?state=x", data=fields, headers=headers)
        refused(answer, "invalid_request")
    else:
        answer = program.node.app.post("/oauth/par", data=fields | {"state": ["a", "b"]}, headers=headers)
        refused(answer, "invalid_request")


def test_nothing_of_a_refused_request_is_repeated(program: Program) -> None:
    for name in ("state", "redirect_uri", "scope", "response_type", "code_challenge", "dpop_jkt", "resource"):
        answer = program.push(**{name: "peculiar\n" + "x" * 1500})
        assert answer.status_code == 400, name
        assert "peculiar" not in answer.text


# Opening


def test_row_37_a_request_is_opened_once_within_a_minute_and_by_its_client(database: Database) -> None:
    node = Node(database)
    program, other = Program(node), Program(node)
    for client_id, name in (
        (program.id, "urn:ietf:params:oauth:request_uri:nothing"),
        (program.id, ""),
        (other.id, program.name()),
        ("client-nobody", program.name()),
    ):
        with pytest.raises(NotFound):
            open_request(node.realm, client_id, name)
    name = program.name()
    asked = open_request(node.realm, program.id, name)
    with pytest.raises(NotFound, match="opened"):
        open_request(node.another_realm(), program.id, name)
    with pytest.raises(NotFound, match="opened"):
        open_request(node.realm, program.id, asked)
    with pytest.raises(NotFound):
        question(node.realm, name)
    assert question(node.realm, asked).client.client_id == program.id
    late = program.name()
    node.clock.turn(60)
    with pytest.raises(NotFound):
        open_request(node.realm, program.id, late)


def test_row_37_of_fifty_who_open_a_request_at_once_one_does(database: Database) -> None:
    node = Node(database)
    program, workers = Program(node), [node.another_realm() for _ in range(2)]
    name = program.name()

    def attempt(n: int) -> bool:
        try:
            return bool(open_request(workers[n % 2], program.id, name))
        except NotFound:
            return False

    with ThreadPoolExecutor(25) as pool:
        assert sum(pool.map(attempt, range(50))) == 1


def test_an_opened_request_waits_ten_minutes_and_is_answered_once(database: Database) -> None:
    node = Node(database)
    program, asha = Program(node), person(node)
    late = program.question()
    node.clock.turn(600)
    for act in (lambda: question(node.realm, late), lambda: deny(node.realm, late)):
        with pytest.raises(NotFound):
            act()
    asked = program.question()
    node.clock.turn(599)
    assert approve(node.realm, asked, asha).startswith(BACK)
    for act in (lambda: approve(node.realm, asked, asha), lambda: deny(node.another_realm(), asked)):
        with pytest.raises(NotFound):
            act()


def test_a_request_ends_with_its_client(database: Database) -> None:
    node = Node(database)
    program, asha = Program(node), person(node)
    name, asked = program.name(), program.question()
    revoke_client(node.database, node.world, program.id)
    for act in (
        lambda: open_request(node.realm, program.id, name),
        lambda: question(node.realm, asked),
        lambda: approve(node.realm, asked, asha),
        lambda: deny(node.realm, asked),
    ):
        with pytest.raises(NotFound):
            act()
    refused(program.push(), "invalid_client", 401)


def test_requests_that_nobody_answers_are_forgotten_and_no_name_is_kept(database: Database) -> None:
    node = Node(database)
    program = Program(node)
    name = program.name(state="a-state")
    kept = rows(database, "SELECT * FROM pushed_request")
    assert name not in str(kept)
    prune_grants(database, node.now, 0)
    assert len(rows(database, "SELECT 1 FROM pushed_request")) == 1
    prune_grants(database, node.now + 60, 0)
    assert rows(database, "SELECT 1 FROM pushed_request") == []


# Addresses and kinds


@pytest.mark.parametrize(
    "address",
    [
        "http://dashboard.example/back",
        "https://",
        "https:///back",
        "https://dashboard.example/back#top",
        "https://dashboard.example/back?x=1",
        "https://user:pass@dashboard.example/back",
        "https://Dashboard.example/back",
        "https://dashboard.example/b ack",
        "https://dashboard.example/b\\ack",
        "https://dashboard.example;script-src/back",
        "https://dashboard.example/%2",
        "https://dashboard.example/%zz",
        "https://-dashboard.example/",
        "https://dashboard.example:0/",
        "https://dashboard.example:999999/",
        "https://пример.example/back",
        "https://*.example/back",
        "https://[::1]/back",
        "http://localhost/back",
        "http://127.0.0.1.evil.example/back",
        "http://127.0.0.2/back",
        "com.example.app:/back",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://dashboard.example/" + "x" * 500,
        "",
    ],
)
def test_an_address_that_could_lead_elsewhere_cannot_be_registered(address: str) -> None:
    with pytest.raises(BadInput) as refusal:
        checked_redirects((address,))
    assert refusal.value.field == "redirect_uri"


def test_addresses_are_kept_once_each_and_not_too_many() -> None:
    kept = (
        BACK,
        "https://dashboard.example",
        "https://d.example:8443/%2Fa/(b)",
        "http://127.0.0.1:9/x",
        "http://127.0.0.1",
    )
    assert checked_redirects((*kept, BACK)) == kept
    assert all(matches(kept, each, public=False) for each in kept)
    assert not matches((), BACK, public=True)
    assert not matches((BACK,), "http://127.0.0.1:9/back", public=True)
    with pytest.raises(BadInput):
        checked_redirects(tuple(f"https://dashboard.example/{n}" for n in range(11)))


def test_a_public_client_asks_people_and_never_writes_policy_or_peers(node: Node) -> None:
    for given in ({"scopes": frozenset({"resource:open"})}, {"scopes": frozenset({"peers:write"}), "back": (BACK,)}):
        with pytest.raises(BadInput):
            add_client(
                node.database,
                node.world,
                "p",
                given["scopes"],
                SCOPES,
                redirect_uris=given.get("back", ()),
                public=True,
            )
    made = add_client(
        node.database, node.world, "p", frozenset({"exchange"}), SCOPES, redirect_uris=(BACK,), public=True
    )
    assert made.private_jwk == {}
    program = Program(node)
    set_scopes(node, "oauth_client", program.id, "resource:open peers:write")
    refused(program.push(scope="peers:write"), "invalid_scope")
    assert program.push(scope="resource:open").status_code == 201
