"""Codes and what comes of them: bound, once, within a minute; and never more than client and account have."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from conftest import rows
from oauth_people import BACK, VERIFIER, Program, member, person, set_scopes
from oauth_world import SCOPES, URL, Node
from sqlalchemy import text

from federation.errors import NotFound, Unauthenticated
from federation.keys import generate_key, generate_keys, read_jws, sign
from federation.oauth.accounts import disable_account
from federation.oauth.authorizing import approve, deny, open_request
from federation.oauth.clients import revoke_client
from federation.oauth.grants import end_grant, list_grants, prune_grants
from federation.oauth.realm import Realm
from federation.oauth.resource import ResourceServer
from federation.oauth.server import TokenServer
from federation.oauth.tokens import OnBehalf, mint
from federation.policies.viewer import ViewerKind
from federation.storage.database import Database


@pytest.fixture
def node(sqlite_database: Database) -> Node:
    return Node(sqlite_database)


@pytest.fixture
def program(node: Node) -> Program:
    return Program(node)


def refused(answer: Any, error: str = "invalid_grant", status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert "access_token" not in answer.json()


def dead(program: Program, token: str, **given: Any) -> None:
    with pytest.raises(Unauthenticated, match="revoked"):
        program.use(token, **given)


def test_nobody_gets_a_token_for_a_code_that_nobody_gave(program: Program) -> None:
    refused(program.redeem("nothing"))
    refused(program.redeem(program.name()))
    refused(program.redeem(program.question()))


@pytest.mark.parametrize("public", [True, False])
def test_a_person_who_says_yes_gives_a_token_on_their_behalf(database: Database, public: bool) -> None:
    node = Node(database)
    program = Program(node, public=public)
    answer = program.redeem(program.code())
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    assert set(given) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert (given["token_type"], given["expires_in"]) == ("DPoP", 600)
    assert given["scope"] == "resource:community resource:open"
    viewer = program.use(given["access_token"])
    assert viewer.kind is ViewerKind.CLIENT
    assert not viewer.at_home
    assert viewer.scopes == {"resource:community", "resource:open"}
    (grant,) = list_grants(database)
    assert viewer.subject == f"{program.id}/{grant.sub}"
    assert (grant.handle, grant.client_id) == ("asha", program.id)


def test_a_token_names_the_person_for_each_client_otherwise_and_never_by_their_account(node: Node) -> None:
    one, two = Program(node), Program(node)
    claims = [read_jws(each.tokens()["access_token"], types=frozenset({"at+jwt"})).claims for each in (one, one, two)]
    subs = [each["sub"] for each in claims]
    assert subs[0] == subs[1] != subs[2]
    assert all("asha" not in str(each) for each in claims)
    assert claims[0]["client_id"] == one.id
    assert claims[0]["cnf"] == {"jkt": one.proof_key.thumbprint}
    assert claims[0]["exp"] - claims[0]["iat"] == 600


# The answer


def test_row_40_every_answer_names_its_issuer_and_brings_the_state_back(node: Node, program: Program) -> None:
    asha = person(node)
    for address in (approve(node.realm, program.question(), asha), deny(node.realm, program.question())):
        answer = dict(parse_qsl(urlsplit(address).query))
        assert address.startswith(f"{BACK}?")
        assert (answer["iss"], answer["state"]) == (URL, "st")
        assert ("code" in answer) is not ("error" in answer)
    assert answer["error"] == "access_denied"
    plain = approve(node.realm, program.question(state=None), asha)
    assert set(dict(parse_qsl(urlsplit(plain).query))) == {"code", "iss"}


def test_a_state_comes_back_whole_and_adds_nothing_to_the_answer(node: Node, program: Program) -> None:
    state = 'a&code=b#c d%20é+"<'
    address = deny(node.realm, program.question(state=state))
    assert parse_qsl(urlsplit(address).query) == [("error", "access_denied"), ("state", state), ("iss", URL)]
    assert not urlsplit(address).fragment


# What can be given


def test_a_steward_gives_every_reading_scope_and_only_actions_of_the_account(node: Node) -> None:
    program = Program(node, public=False, scopes=SCOPES)
    wanted = "resource:partner exchange peers:write"
    narrow = person(node, "narrow", scopes=frozenset({"exchange"}))
    assert program.tokens(narrow, scope=wanted)["scope"] == "exchange resource:partner"
    assert program.tokens(person(node), scope=wanted)["scope"] == "exchange peers:write resource:partner"


def test_a_member_gives_what_the_account_has_and_nothing_without(node: Node, program: Program) -> None:
    baraka = member(node, "baraka", "resource:community")
    assert program.tokens(baraka, scope="resource:partner resource:open exchange")["scope"] == "resource:open"
    asked = program.question(scope="resource:partner")
    with pytest.raises(NotFound, match="nothing of what"):
        approve(node.realm, asked, baraka)
    assert "access_denied" in deny(node.realm, asked)


def test_no_token_of_a_person_makes_a_program_a_steward_or_member(node: Node) -> None:
    program = Program(node, public=False, scopes=SCOPES)
    for who in (person(node), member(node, "baraka", *SCOPES)):
        viewer = program.use(program.tokens(who, scope=" ".join(SCOPES))["access_token"])
        assert (viewer.kind, viewer.at_home, viewer.agreement) == (ViewerKind.CLIENT, False, None)


@pytest.mark.parametrize("table", ["account", "oauth_client"])
def test_what_client_or_account_lose_is_gone_at_the_next_use(node: Node, program: Program, table: str) -> None:
    baraka = member(node, "baraka", "resource:partner", "exchange")
    token = program.tokens(baraka, scope="resource:partner exchange")
    assert program.use(token["access_token"]).scopes == {"resource:partner", "exchange"}
    set_scopes(node, table, "baraka" if table == "account" else program.id, "resource:open exchange")
    assert program.use(token["access_token"]).scopes == {"exchange"}
    assert program.refresh(token["refresh_token"]).json()["scope"] == "exchange"


def test_row_36_account_client_or_grant_that_ends_takes_the_token_along_on_every_worker(database: Database) -> None:
    node = Node(database)
    workers = [ResourceServer(node.another_realm()) for _ in range(2)]
    for end in (
        lambda program: disable_account(database, node.world, "asha"),
        lambda program: revoke_client(database, node.world, program.id),
        lambda program: end_grant(database, node.world, grant_of(program)),
    ):
        set_back(node)
        program = Program(node)
        token = program.tokens()
        for worker in workers:
            program.use(token["access_token"], resource=worker)
        end(program)
        for worker in workers:
            dead(program, token["access_token"], resource=worker)
        assert program.refresh(token["refresh_token"]).status_code in (400, 401)


def grant_of(program: Program) -> str:
    (found,) = [each.grant_id for each in list_grants(program.node.database) if each.client_id == program.id]
    return found


def set_back(node: Node) -> None:
    with node.database.write() as connection:
        connection.execute(text("UPDATE account SET disabled_at = NULL"))


def test_a_disabled_account_or_revoked_client_gets_no_token_for_its_code(node: Node, program: Program) -> None:
    code = program.code()
    disable_account(node.database, node.world, "asha")
    refused(program.redeem(code))
    set_back(node)
    assert program.redeem(code).status_code == 200
    code = program.code()
    revoke_client(node.database, node.world, program.id)
    refused(program.redeem(code), "invalid_client", 401)


def test_a_code_whose_scopes_are_all_gone_gives_no_token(node: Node, program: Program) -> None:
    code = program.code(member(node, "baraka", "resource:partner"))
    set_scopes(node, "account", "baraka", "exchange")
    refused(program.redeem(code))


# Codes


def test_row_41_a_code_lasts_a_minute(database: Database) -> None:
    node = Node(database)
    program = Program(node)
    early, late = program.code(), program.code()
    node.clock.turn(59)
    assert program.redeem(early).status_code == 200
    node.clock.turn(1)
    refused(program.redeem(late))


def test_row_41_a_code_that_is_shown_again_kills_all_that_came_of_it(database: Database) -> None:
    node = Node(database)
    program = Program(node)
    code = program.code()
    first = program.redeem(code).json()
    program.use(first["access_token"])
    second = program.refresh(first["refresh_token"]).json()
    node.clock.turn(900)
    third = program.refresh(second["refresh_token"]).json()
    restarted = TokenServer(node.another_realm())
    assert program.at(restarted, "token", "/oauth/token", **program.redemption(code)).status == 400
    dead(program, third["access_token"])
    refused(program.refresh(third["refresh_token"]))


def test_row_41_of_fifty_in_parallel_one_gets_a_token_which_is_dead(database: Database) -> None:
    node = Node(database)
    program, other = Program(node), Program(node)
    workers = [TokenServer(node.another_realm()) for _ in range(2)]
    code, untouched = program.code(), other.tokens()["access_token"]
    forms = [program.redemption(code) for _ in range(50)]
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda n: program.at(workers[n % 2], "token", "/oauth/token", **forms[n]), range(50)))
    assert sorted(each.status for each in answers) == [200] + [400] * 49
    (won,) = [each.body["access_token"] for each in answers if each.status == 200]
    dead(program, won)
    other.use(untouched)


def test_row_41_a_code_is_bound_to_the_key_that_was_named(node: Node) -> None:
    for public, headers in ((True, None), (False, {})):
        program = Program(node, public=public)
        asked = program.push(headers=headers, dpop_jkt=program.proof_key.thumbprint).json()["request_uri"]
        code = redeemable(program, asked)
        thief = {"dpop": program.proof("/oauth/token", key=generate_key())}
        refused(program.redeem(code, headers=thief))
        assert program.redeem(code).status_code == 200
    keyed = Program(node, public=False)
    code = redeemable(keyed, keyed.push(headers={}).json()["request_uri"])
    assert keyed.redeem(code, headers={"dpop": keyed.proof("/oauth/token", key=generate_key())}).status_code == 200


def redeemable(program: Program, name: str) -> str:
    address = approve(program.node.realm, open_request(program.node.realm, program.id, name), person(program.node))
    return dict(parse_qsl(urlsplit(address).query))["code"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"code_verifier": "v" * 129}, "invalid_request"),
        ({"code_verifier": "é" * 43}, "invalid_request"),
        ({"code_verifier": "v" * 42 + " "}, "invalid_request"),
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": VERIFIER + "v"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": BACK + "/"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"code": "é"}, "invalid_request"),
        ({"code": "x" * 600}, "invalid_request"),
        ({"resource": "https://other.example/graphql"}, "invalid_target"),
    ],
)
def test_row_38_a_code_needs_its_verifier_and_its_address(program: Program, fields: Any, error: str) -> None:
    code = program.code()
    refused(program.redeem(code, **fields), error)
    assert program.redeem(code).status_code == 200


def test_row_38_a_challenge_is_no_verifier_of_its_own(program: Program) -> None:
    challenge = program.wish()["code_challenge"]
    code = program.code()
    refused(program.redeem(code, code_verifier=challenge))


def test_a_code_is_its_clients_alone_and_another_who_shows_it_ends_nothing(node: Node, program: Program) -> None:
    other = Program(node)
    code = program.code()
    refused(other.redeem(code))
    token = program.redeem(code).json()["access_token"]
    refused(other.redeem(code))
    program.use(token)


def test_row_20_a_code_without_a_proof_gives_nothing_and_stays_good(program: Program) -> None:
    code = program.code()
    refused(program.redeem(code, headers={}), "invalid_dpop_proof")
    refused(program.redeem(code, headers={"dpop": program.proof("/oauth/token", nonce=None)}), "use_dpop_nonce")
    assert program.redeem(code).status_code == 200


def test_a_client_that_asks_for_itself_redeems_no_code(node: Node, program: Program) -> None:
    answer = node.ask(grant_type="authorization_code", code=program.code(), code_verifier=VERIFIER, redirect_uri=BACK)
    refused(answer, "unauthorized_client")


def test_no_code_and_no_token_is_kept_in_clear(database: Database) -> None:
    node = Node(database)
    program = Program(node)
    code = program.code()
    given = program.redeem(code).json()
    for table in ("authorization_code", "refresh_token", "oauth_grant"):
        kept = str(rows(database, f"SELECT * FROM {table}"))
        assert not any(secret in kept for secret in (code, given["access_token"], given["refresh_token"], VERIFIER))


# Tokens that are not what they say


def test_a_token_of_another_grant_client_or_person_is_nothing(node: Node, program: Program) -> None:
    program.tokens()
    (grant,) = list_grants(node.database)
    other = Program(node)
    good = OnBehalf(grant.sub, grant.grant_id, grant.ends_at)
    for client_id, on_behalf in (
        (other.id, good),
        (program.id, OnBehalf("person-else", grant.grant_id, grant.ends_at)),
        (program.id, OnBehalf(grant.sub, "nothing", grant.ends_at)),
        (program.id, None),
    ):
        dead(program, mint(node.realm, client_id, ("resource:open",), program.proof_key.thumbprint, b"", on_behalf))
    assert program.use(mint(node.realm, program.id, ("resource:open",), program.proof_key.thumbprint, b"", good))


@pytest.mark.parametrize("claims", [{"grant_id": 5}, {"grant_id": None}, {"sub": "itself"}, {"grant_id": ""}])
def test_a_token_whose_claims_do_not_fit_together_is_refused(program: Program, claims: dict[str, Any]) -> None:
    token = program.tokens()["access_token"]
    read = read_jws(token, types=frozenset({"at+jwt"}))
    changed = dict(read.claims) | {"sub": program.id if claims.get("sub") else read.claims["sub"]} | claims
    changed |= {"sub": program.id} if "sub" in claims else {}
    forged = sign(program.node.keys.tokens, dict(read.header), changed)
    with pytest.raises(Unauthenticated):
        program.use(forged)


def test_a_grant_ends_after_thirty_days_and_its_last_token_with_it(node: Node, program: Program) -> None:
    given = program.tokens()
    days = 30 * 86_400
    node.clock.turn(days - 300)
    last = program.refresh(given["refresh_token"]).json()
    assert last["expires_in"] == 300
    assert read_jws(last["access_token"], types=frozenset({"at+jwt"})).claims["exp"] == node.now + 300
    program.use(last["access_token"])
    node.clock.turn(300)
    with pytest.raises(Unauthenticated):
        program.use(last["access_token"])
    refused(program.refresh(last["refresh_token"]))


def test_grants_that_are_over_are_forgotten_when_the_ledger_is(database: Database) -> None:
    node = Node(database)
    program = Program(node)
    program.tokens()
    end_grant(database, node.world, list_grants(database)[0].grant_id)
    assert not end_grant(database, node.world, list_grants(database)[0].grant_id)
    days = 30 * 86_400
    prune_grants(database, node.now, days)
    assert len(list_grants(database)) == 1
    assert rows(database, "SELECT * FROM authorization_code") == rows(database, "SELECT * FROM refresh_token") == []
    prune_grants(database, node.now + 2 * days, days)
    assert list_grants(database) == []


def test_row_46_nothing_of_a_persons_grant_is_logged(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    program = Program(node)
    code = program.code()
    given = program.redeem(code).json()
    again = program.refresh(given["refresh_token"]).json()
    program.refresh(given["refresh_token"])
    secrets = [code, VERIFIER, given["access_token"], given["refresh_token"], again["refresh_token"]]
    logged = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert not [secret for secret in secrets if secret in logged]


def test_a_seeded_world_gives_the_same_code_and_tokens_twice(make_database: Any) -> None:
    found = []
    for _ in range(2):
        node = Node(make_database("sqlite"), seed=b"s" * 32)
        program = Program(node, public=False)
        program.proof_key = generate_key("ES256", node.world, "proofs")
        given = program.tokens()
        found.append((given["access_token"], given["refresh_token"]))
    assert found[0] == found[1]


def test_another_nodes_token_of_a_person_is_refused(node: Node, program: Program) -> None:
    keys = generate_keys(node.world, "west")
    west = Realm(URL, keys, node.database, node.world, node.clients, SCOPES)
    program.tokens()
    (grant,) = list_grants(node.database)
    on_behalf = OnBehalf(grant.sub, grant.grant_id, grant.ends_at)
    with pytest.raises(Unauthenticated):
        program.use(mint(west, program.id, ("resource:open",), program.proof_key.thumbprint, b"", on_behalf))
