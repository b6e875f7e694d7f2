"""The token endpoint and the public documents, row by row of the checklist in the threat model."""

from __future__ import annotations

import base64
import hmac
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from cryptography.hazmat.primitives import serialization
from joserfc import jwk, jws, jwt
from oauth_world import RIGHTS, SCOPES, URL, Node
from starlette.applications import Starlette
from starlette.testclient import TestClient

from federation.errors import Unavailable
from federation.keys import PublicKey, b64, dpop_proof, generate_key, rotate_tokens, sign
from federation.keys.node import create_keys
from federation.oauth.adapter import Answer, FormRequest, InvalidProof, NodeClient
from federation.oauth.proofs import nonce
from federation.oauth.realm import Realm, RegisteredClient
from federation.oauth.routes import key_set, routes
from federation.oauth.server import TokenServer
from federation.oauth.spent import SpentIdentifiers, prune
from federation.policies.viewer import ViewerKind
from federation.storage.database import Database


@pytest.fixture
def node(sqlite_database: Database) -> Node:
    return Node(sqlite_database)


def refused(answer: Any, error: str, status: int | None = None) -> None:
    assert answer.status_code in ((400, 401) if status is None else (status,)), answer.text
    assert answer.json()["error"] == error, answer.text
    assert "access_token" not in answer.json()


def test_row_01_the_metadata_names_the_configured_issuer_and_its_own_endpoints(node: Node) -> None:
    answer = node.app.get("/.well-known/oauth-authorization-server", headers={"host": "evil.example"})
    metadata = answer.json()
    assert metadata["issuer"] == URL
    for name in ("token_endpoint", "revocation_endpoint", "jwks_uri"):
        assert metadata[name].startswith(f"{URL}/")
    AuthorizationServerMetadata(metadata).validate_issuer()
    AuthorizationServerMetadata(metadata).validate_token_endpoint()


def test_row_02_only_private_key_jwt_s256_and_code_are_advertised_and_none_for_public_clients(node: Node) -> None:
    metadata = node.app.get("/.well-known/oauth-authorization-server").json()
    assert metadata["token_endpoint_auth_methods_supported"] == ["private_key_jwt", "none"]
    assert metadata["revocation_endpoint_auth_methods_supported"] == ["private_key_jwt", "none"]
    assert metadata["introspection_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert metadata["grant_types_supported"] == ["client_credentials", "authorization_code", "refresh_token"]
    assert metadata["response_types_supported"] == ["code"]
    assert metadata["response_modes_supported"] == ["query"]
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert metadata["require_pushed_authorization_requests"] is True
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert set(metadata["token_endpoint_auth_signing_alg_values_supported"]) == {"ES256", "Ed25519", "EdDSA", "PS256"}
    assert metadata["dpop_signing_alg_values_supported"] == ["ES256", "Ed25519", "EdDSA", "PS256"]


def test_row_03_the_key_set_is_public_cacheable_and_has_unique_names(node: Node) -> None:
    answer = node.app.get("/.well-known/jwks.json")
    keys = answer.json()["keys"]
    assert "max-age" in answer.headers["cache-control"]
    assert len({key["kid"] for key in keys}) == len(keys) >= 1
    assert all(set(key) <= {"kty", "crv", "x", "y", "n", "e", "kid", "use", "alg"} for key in keys)
    header = jws.extract_compact(node.token().encode()).headers()
    assert header["kid"] in {key["kid"] for key in keys}


def test_row_03_a_replaced_key_stays_in_the_key_set_while_its_tokens_live(node: Node, tmp_path: Any) -> None:
    create_keys(tmp_path, node.world)
    old = create_keys(tmp_path, node.world).tokens.thumbprint
    keys = rotate_tokens(tmp_path, node.world)
    realm = Realm(URL, keys, node.database, node.world, node.clients, SCOPES)
    assert [key["kid"] for key in key_set(realm)["keys"]] == [keys.tokens.thumbprint, old]
    node.clock.turn(3601)
    assert [key["kid"] for key in key_set(realm)["keys"]] == [keys.tokens.thumbprint]


def test_row_04_a_token_answer_is_not_stored_and_of_type_dpop(node: Node) -> None:
    answer = node.ask()
    assert answer.json()["token_type"] == "DPoP"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


def test_row_05_a_token_has_every_claim_and_the_thumbprint_of_its_key(node: Node) -> None:
    answer = node.ask(scope="resource:community exchange")
    token = jwt.decode(
        answer.json()["access_token"],
        jwk.KeySet.import_key_set(node.app.get("/.well-known/jwks.json").json()),
        algorithms=["ES256"],
    )
    client_id = node.client.client_id
    assert token.header["typ"] == "at+jwt"
    assert token.claims["iss"] == URL
    assert token.claims["aud"] == f"{URL}/graphql"
    assert (token.claims["sub"], token.claims["client_id"]) == (client_id, client_id)
    assert set(token.claims["scope"].split()) == {"resource:community", "exchange"}
    assert token.claims["cnf"] == {"jkt": node.proof_key.thumbprint}
    assert token.claims["iat"] == node.now
    assert 0 < token.claims["exp"] - token.claims["iat"] == answer.json()["expires_in"] <= 900
    assert len(token.claims["jti"]) >= 20


def test_row_06_the_protected_resource_names_its_server(node: Node) -> None:
    metadata = node.app.get("/.well-known/oauth-protected-resource/graphql").json()
    assert metadata["resource"] == f"{URL}/graphql"
    assert metadata["authorization_servers"] == [URL]
    assert metadata["bearer_methods_supported"] == ["header"]


@pytest.mark.parametrize(
    "fields",
    [
        {"client_assertion": None, "client_assertion_type": None},
        {"client_assertion": None, "client_assertion_type": None, "client_id": "x", "client_secret": "y"},
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
        {"client_assertion": ""},
        {"client_assertion": "a.b.c"},
        {"client_secret": "both"},
    ],
)
def test_row_07_a_client_that_does_not_authenticate_is_refused(node: Node, fields: dict[str, Any]) -> None:
    refused(node.ask(**fields), "invalid_client")


def test_row_07_basic_credentials_are_refused(node: Node) -> None:
    basic = "Basic " + base64.b64encode(b"a:b").decode()
    answer = node.ask(headers={"dpop": node.proof(), "authorization": basic})
    refused(answer, "invalid_client", 401)
    assert "basic" not in answer.headers.get("www-authenticate", "").lower()


def test_row_07_an_unknown_revoked_or_frozen_client_is_refused_alike(sqlite_database: Database) -> None:
    key = generate_key()
    peer = RegisteredClient("https://west.example", (key.public_jwk,), RIGHTS, ViewerKind.PEER, active=False)
    node = Node(sqlite_database, lambda client_id: peer if client_id == peer.client_id else None)
    said = set()
    for client_id in ("https://west.example", "https://nobody.example"):
        answer = node.ask(client_assertion=node.assertion(key, iss=client_id, sub=client_id))
        refused(answer, "invalid_client")
        said.add(answer.text)
    answer = node.ask(client_assertion=node.assertion(generate_key()))
    refused(answer, "invalid_client")
    assert said == {answer.text}


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}.{signature}"


@pytest.mark.parametrize("kid", [None, "its own", "another"])
def test_row_07_a_refusal_takes_as_much_work_for_nobody_as_for_a_client(
    node: Node, monkeypatch: pytest.MonkeyPatch, kid: str | None
) -> None:
    verified: list[str] = []
    verifies = PublicKey.verifies

    def counting(key: PublicKey, *given: Any) -> bool:
        verified.append(key.thumbprint)
        return verifies(key, *given)

    monkeypatch.setattr(PublicKey, "verifies", counting)
    header = {"typ": "JWT"} | ({} if kid is None else {"kid": node.key.thumbprint if kid == "its own" else kid})
    work = []
    for name in (node.client.client_id, "client-nobody", "https://nobody.example"):
        forged = node.assertion(generate_key(), header, iss=name, sub=name)
        assert node.ask(client_assertion=forged).status_code == 401
        work.append(len(verified))
        verified.clear()
    assert work == [1, 1, 1]


def test_row_08_none_and_hs256_with_the_public_key_are_refused(node: Node) -> None:
    claims = {"iss": node.client.client_id, "sub": node.client.client_id, "aud": URL, "exp": node.now + 60, "jti": "a"}
    for algorithm in ("none", "None", "", "nOnE"):
        refused(node.ask(client_assertion=unsigned({"alg": algorithm}, claims)), "invalid_client")
    pem = node.key.public.raw.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head, body, _ = unsigned({"alg": "HS256"}, claims).split(".")
    forged = f"{head}.{body}.{b64(hmac.digest(pem, f'{head}.{body}'.encode(), 'sha256'))}"
    refused(node.ask(client_assertion=forged), "invalid_client")


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_row_09_a_key_that_the_assertion_brings_is_never_trusted(node: Node, name: str) -> None:
    mine = generate_key()
    value: Any = {"jwk": mine.public_jwk, "x5c": ["MIIB"]}.get(name, "https://evil.example/keys")
    refused(node.ask(client_assertion=node.assertion(mine, header={"typ": "JWT", name: value})), "invalid_client")
    refused(node.ask(client_assertion=node.assertion(header={"typ": "JWT", name: value})), "invalid_client")


@pytest.mark.parametrize(
    "audience",
    [None, f"{URL}/oauth/token", f"{URL}/", [URL], [URL, "https://other.example"], "https://other.example", 1],
)
def test_row_10_the_audience_is_the_issuer_as_one_string(node: Node, audience: Any) -> None:
    refused(node.ask(client_assertion=node.assertion(aud=audience)), "invalid_client")


@pytest.mark.parametrize("seconds", [None, 0, -1, -3600, 301, 3600])
def test_row_11_an_assertion_ends_and_within_five_minutes(node: Node, seconds: int | None) -> None:
    exp = None if seconds is None else node.now + seconds
    refused(node.ask(client_assertion=node.assertion(exp=exp)), "invalid_client")


@pytest.mark.parametrize("exp", ["soon", True, [1], {"a": 1}])
def test_row_11_an_end_that_is_no_number_is_refused(node: Node, exp: Any) -> None:
    refused(node.ask(client_assertion=node.assertion(exp=exp)), "invalid_client")


def test_row_11_five_minutes_are_accepted(node: Node) -> None:
    assert node.ask(client_assertion=node.assertion(exp=node.now + 300)).status_code == 200


def test_row_12_an_assertion_is_used_once_also_after_a_restart(database: Database) -> None:
    node = Node(database)
    assertion = node.assertion()
    assert node.ask(client_assertion=assertion).status_code == 200
    refused(node.ask(client_assertion=assertion), "invalid_client")
    restarted = TokenServer(node.another_realm())
    form = tuple(node.form(client_assertion=assertion).items())
    assert restarted.token(FormRequest("/oauth/token", form, (node.proof(),))).status == 401


def test_row_12_of_fifty_in_parallel_one_is_accepted(database: Database) -> None:
    node = Node(database)
    workers = [TokenServer(node.another_realm()) for _ in range(5)]
    assertion = node.assertion()
    requests = [
        FormRequest("/oauth/token", tuple(node.form(client_assertion=assertion).items()), (node.proof(),))
        for _ in range(50)
    ]
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda n: workers[n % 5].token(requests[n]).status, range(50)))
    assert sorted(answers) == [200] + [401] * 49


@pytest.mark.parametrize("jti", [None, "", 7, "x" * 257])
def test_row_12_an_assertion_needs_an_identifier(node: Node, jti: Any) -> None:
    refused(node.ask(client_assertion=node.assertion(jti=jti)), "invalid_client")


def test_row_12_a_refused_proof_does_not_use_up_the_assertion(node: Node) -> None:
    assertion = node.assertion()
    refused(node.ask(headers={"dpop": node.proof(nonce=None)}, client_assertion=assertion), "use_dpop_nonce")
    assert node.ask(client_assertion=assertion).status_code == 200


@pytest.mark.parametrize(
    ("claims", "fields"),
    [
        ({"iss": "other"}, {}),
        ({"sub": "other"}, {}),
        ({"iss": None}, {}),
        ({"sub": None}, {}),
        ({"sub": ["x"]}, {}),
        ({}, {"client_id": "other"}),
    ],
)
def test_row_13_issuer_subject_and_client_are_the_same(node: Node, claims: Any, fields: Any) -> None:
    refused(node.ask(client_assertion=node.assertion(**claims), **fields), "invalid_client")


def test_row_13_the_right_client_id_beside_the_assertion_is_accepted(node: Node) -> None:
    assert node.ask(client_id=node.client.client_id).status_code == 200


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_row_14_ten_seconds_ahead_are_accepted_and_sixty_refused(node: Node, name: str) -> None:
    assert node.ask(client_assertion=node.assertion(**{name: node.now + 10.9})).status_code == 200
    refused(node.ask(client_assertion=node.assertion(**{name: node.now + 60})), "invalid_client")
    refused(node.ask(client_assertion=node.assertion(**{name: "now"})), "invalid_client")


def test_row_15_a_repeated_parameter_is_refused(node: Node) -> None:
    for name, value in (("scope", "resource:open"), ("grant_type", "client_credentials"), ("client_assertion", "x")):
        body = [*node.form().items(), (name, value)]
        encoded = "&".join(f"{key}={val.replace(':', '%3A').replace(' ', '+')}" for key, val in body)
        headers = {"content-type": "application/x-www-form-urlencoded", "dpop": node.proof()}
        refused(node.app.post("/oauth/token", content=encoded, headers=headers), "invalid_request", 400)


def test_row_15_get_and_credentials_in_the_address_are_refused(node: Node) -> None:
    assert node.app.get("/oauth/token", params=node.form()).status_code == 405
    answer = node.app.post("/oauth/token", params=node.form(), headers={"dpop": node.proof()})
    assert answer.status_code == 400
    answer = node.app.post("/oauth/token?client_id=x", data=node.form(), headers={"dpop": node.proof()})
    refused(answer, "invalid_request", 400)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"a=\xff", "application/x-www-form-urlencoded", 400),
        (b"nothing", "application/x-www-form-urlencoded", 400),
        (b"", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"f%d=1" % n for n in range(40)), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * 40_000, "application/x-www-form-urlencoded", 413),
    ],
)
def test_row_15_a_body_that_is_no_proper_form_is_refused(node: Node, content: bytes, kind: str, status: int) -> None:
    refused(node.app.post("/oauth/token", content=content, headers={"content-type": kind}), "invalid_request", status)


@pytest.mark.parametrize("typ", ["at+jwt", "dpop+jwt", "application/at+jwt", "secevent+jwt", 5])
def test_row_16_a_token_of_another_type_is_no_assertion(node: Node, typ: Any) -> None:
    refused(node.ask(client_assertion=node.assertion(header={"typ": typ})), "invalid_client")


def test_row_16_an_assertion_is_no_proof_and_an_access_token_no_assertion(node: Node) -> None:
    refused(node.ask(headers={"dpop": node.assertion()}), "invalid_dpop_proof")
    refused(node.ask(client_assertion=node.token()), "invalid_client")


@pytest.mark.parametrize(
    "typ", [None, "JWT", "jwt", "client-authentication+jwt", "application/client-authentication+jwt"]
)
def test_row_16_the_types_of_an_assertion_are_accepted(node: Node, typ: str | None) -> None:
    header = {} if typ is None else {"typ": typ}
    assert node.ask(client_assertion=node.assertion(header=header)).status_code == 200


@pytest.mark.parametrize("grant", ["password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "x" * 300])
def test_row_17_other_grants_are_absent(node: Node, grant: str) -> None:
    answer = node.ask(grant_type=grant, username="a", password="b")
    refused(answer, "unsupported_grant_type", 400)
    assert grant[:20] not in answer.json()["error_description"]


def test_row_17_a_missing_grant_type_is_a_bad_request(node: Node) -> None:
    refused(node.ask(grant_type=None), "invalid_request", 400)


@pytest.mark.parametrize(
    "scope", [None, "", " ", "resource:partner", "resource:community resource:partner", "nothing:open", "*", "x" * 5000]
)
def test_row_18_there_is_no_default_scope_and_none_beyond_what_was_granted(node: Node, scope: str | None) -> None:
    refused(node.ask(scope=scope), "invalid_scope", 400)


def test_row_18_a_scope_that_a_granted_one_contains_may_be_asked_for(node: Node) -> None:
    assert node.ask(scope="resource:open").json()["scope"] == "resource:open"


def test_row_18_a_peer_never_gets_to_write_policy_or_peers(sqlite_database: Database) -> None:
    key = generate_key()
    scopes = frozenset({"exchange", "peers:write"})
    peer = RegisteredClient("https://west.example", (key.public_jwk,), scopes, ViewerKind.PEER)
    node = Node(sqlite_database, lambda client_id: peer if client_id == peer.client_id else None)
    me = {"iss": peer.client_id, "sub": peer.client_id}
    assert node.ask(scope="exchange", client_assertion=node.assertion(key, **me)).status_code == 200
    refused(node.ask(scope="peers:write", client_assertion=node.assertion(key, **me)), "invalid_scope")


def test_row_18_a_token_for_another_resource_is_refused(node: Node) -> None:
    refused(node.ask(resource="https://other.example/graphql"), "invalid_target", 400)
    assert node.ask(resource=f"{URL}/graphql").status_code == 200


def test_row_19_no_refresh_token_is_given(node: Node) -> None:
    assert set(node.ask().json()) == {"access_token", "token_type", "expires_in", "scope"}


def test_row_20_a_request_without_a_proof_is_refused(node: Node) -> None:
    refused(node.ask(headers={}), "invalid_dpop_proof", 400)


def test_row_21_the_proof_is_for_this_method_and_address(node: Node) -> None:
    for proof in (
        node.proof("GET"),
        node.proof(url=f"{URL}/oauth/revoke"),
        node.proof(url="https://evil.example/oauth/token"),
        node.proof(url="http://river.example/oauth/token"),
        node.proof(url="nonsense"),
    ):
        refused(node.ask(headers={"dpop": proof}), "invalid_dpop_proof")
    assert node.ask(headers={"dpop": node.proof(), "host": "evil.example"}).status_code == 200
    assert node.ask(headers={"dpop": node.proof(url="HTTPS://River.Example:443/oauth/%74oken")}).status_code == 200


def test_row_24_a_proof_is_used_once_at_the_token_endpoint(database: Database) -> None:
    node = Node(database)
    proof = node.proof()
    assert node.ask(headers={"dpop": proof}).status_code == 200
    refused(node.ask(headers={"dpop": proof}), "invalid_client")
    again = FormRequest("/oauth/token", tuple(node.form().items()), (proof,))
    assert TokenServer(node.another_realm()).token(again).status == 401


def test_row_25_two_proofs_are_refused_at_the_token_endpoint(node: Node) -> None:
    headers = [("dpop", node.proof()), ("dpop", node.proof())]
    refused(node.app.post("/oauth/token", data=node.form(), headers=headers), "invalid_dpop_proof")


def test_row_26_the_nonce_flow(node: Node) -> None:
    first = node.ask(headers={"dpop": node.proof(nonce=None)})
    refused(first, "use_dpop_nonce", 400)
    given = first.headers["dpop-nonce"]
    assert node.ask(headers={"dpop": node.proof(nonce=given)}).status_code == 200
    forged = given[:-4] + ("AAAA" if given[-4:] != "AAAA" else "BBBB")
    for wrong in (forged, "", "x", "ä", b64(b"\0" * 24)):
        refused(node.ask(headers={"dpop": node.proof(nonce=wrong)}), "use_dpop_nonce")
    node.clock.turn(400)
    refused(node.ask(headers={"dpop": node.proof(nonce=given)}), "use_dpop_nonce")


def test_row_47_other_algorithms_and_keys_are_refused(node: Node) -> None:
    claims = json.dumps(
        {"jti": "a", "htm": "POST", "htu": f"{URL}/oauth/token", "iat": node.now, "nonce": node.nonce()}
    )
    with warnings.catch_warnings(action="ignore"):
        short = jwk.RSAKey.generate_key(1024)
    for key, algorithm in (
        (jwk.ECKey.generate_key("P-384"), "ES384"),
        (jwk.RSAKey.generate_key(2048), "RS256"),
        (short, "PS256"),
    ):
        registry = jws.JWSRegistry(algorithms=[algorithm])
        registry.max_header_length = 4096
        header = {"alg": algorithm, "typ": "dpop+jwt", "jwk": key.as_dict(private=False)}
        proof = jws.serialize_compact(header, claims, key, [algorithm], registry)
        refused(node.ask(headers={"dpop": proof}), "invalid_dpop_proof")


def test_row_36_revocation_takes_the_own_tokens_only(database: Database) -> None:
    key = generate_key()
    other = RegisteredClient("https://west.example", (key.public_jwk,), RIGHTS, ViewerKind.PEER)
    node = Node(database, lambda client_id: other if client_id == other.client_id else None)
    token = node.token()
    foreign = {"client_assertion": node.assertion(key, iss=other.client_id, sub=other.client_id)}
    answer = node.app.post("/oauth/revoke", data=node.form(token=token, **foreign))
    assert answer.status_code == 400
    node.use(token)
    answer = node.app.post("/oauth/revoke", data=node.form(token=token))
    assert (answer.status_code, answer.json()) == (200, {})
    with pytest.raises(Exception, match="revoked"):
        node.use(token)


@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "something_else"])
def test_row_36_an_unknown_hint_or_token_is_no_error(node: Node, hint: str | None) -> None:
    for token in ("garbage", node.token(), sign(generate_key(), {"typ": "at+jwt"}, {"sub": "x"})):
        answer = node.app.post("/oauth/revoke", data=node.form(token=token, token_type_hint=hint))
        assert answer.status_code == 200


def test_row_36_revocation_needs_a_token_and_a_client(node: Node) -> None:
    refused(node.app.post("/oauth/revoke", data=node.form()), "invalid_request", 400)
    token = node.token()
    refused(node.app.post("/oauth/revoke", data={"token": token}), "invalid_client", 401)
    assertion = node.assertion()
    assert node.app.post("/oauth/revoke", data=node.form(token="x", client_assertion=assertion)).status_code == 200
    refused(node.app.post("/oauth/revoke", data=node.form(token=token, client_assertion=assertion)), "invalid_client")
    node.use(token)


def test_row_46_nothing_secret_is_logged_also_at_debug(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secrets = []
    for fields in ({}, {"scope": "resource:partner"}, {"aud": "x"}):
        proof, assertion = node.proof(), node.assertion(aud=fields.pop("aud", URL))
        answer = node.ask(headers={"dpop": proof}, client_assertion=assertion, **fields)
        secrets += [proof, assertion, answer.json().get("access_token", proof)]
    node.app.post("/oauth/revoke", data=node.form(token=secrets[2]))
    node.use(node.token())
    logged = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    for secret in secrets:
        assert secret not in logged
        assert secret.rpartition(".")[2] not in logged


def test_what_was_spent_is_forgotten_once_it_is_refused_for_its_age(database: Database) -> None:
    node = Node(database)
    node.token()
    count = "SELECT count(*) FROM spent_identifier"
    with database.read() as connection:
        assert connection.exec_driver_sql(count).scalar() == 2
    prune(database, node.now + 3600)
    with database.read() as connection:
        assert connection.exec_driver_sql(count).scalar() == 0


def test_a_database_that_cannot_be_written_gives_no_token(node: Node) -> None:
    with node.database.outside_transactions() as connection:
        connection.exec_driver_sql("DROP TABLE spent_identifier")
    with pytest.raises(Exception, match="spent_identifier"):
        node.ask()


def test_a_seeded_world_gives_the_same_token_twice(make_database: Any) -> None:
    answers = []
    for _ in range(2):
        node = Node(make_database("sqlite"), seed=b"s" * 32)
        proof_key = generate_key("ES256", node.world, "proofs")
        proof = dpop_proof(proof_key, "POST", f"{URL}/oauth/token", node.now, "one", nonce=node.nonce())
        answers.append(node.ask(headers={"dpop": proof}).json())
    assert answers[0] == answers[1]


def test_row_20_no_grant_gets_a_token_without_a_proof(node: Node) -> None:
    client = node.realm.active_client(node.client.client_id)
    assert client is not None
    with pytest.raises(InvalidProof):
        TokenServer(node.realm).generate_token("any", NodeClient(client), scope="resource:open")


def test_a_node_that_cannot_write_says_so(node: Node) -> None:
    class Full(TokenServer):
        def token(self, request: FormRequest) -> Answer:
            raise Unavailable("The disk is full.")

    app = TestClient(Starlette(routes=routes(node.realm, Full(node.realm))), base_url=URL)
    refused(app.post("/oauth/token", data=node.form()), "temporarily_unavailable", 503)


def test_requests_that_fail_together_are_all_refused(node: Node) -> None:
    class Gone:
        dialect = "sqlite"

        @property
        def engine(self) -> Any:
            raise Unavailable("The database is gone.")

        def write(self) -> Any:
            raise Unavailable("The database is gone.")

    spent = SpentIdentifiers(Gone(), node.world)  # type: ignore[arg-type]
    with ThreadPoolExecutor(8) as pool:
        attempts = [pool.submit(spent.spend, [(bytes([n]) * 16, node.now)]) for n in range(8)]
    assert all(isinstance(attempt.exception(), Unavailable) for attempt in attempts)


def test_many_requests_at_once_are_each_answered_for_themselves(database: Database) -> None:
    node = Node(database)
    spent = node.realm.spent
    digests = [bytes([n % 100]) * 16 for n in range(400)]
    with ThreadPoolExecutor(16) as pool:
        fresh = list(pool.map(lambda digest: spent.spend([(digest, node.now + 60)]), digests))
    assert sum(fresh) == 100


def test_a_proof_of_before_a_loss_of_power_is_refused_on_sqlite(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = node.nonce()
    boots = iter([b"one", b"two"])
    monkeypatch.setattr(Path, "read_bytes", lambda path: next(boots))
    one, two = node.another_realm(), node.another_realm()
    assert len({earlier, *(nonce(realm.nonce_secret, node.now) for realm in (one, two))}) == 3

    def missing(path: Path) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_bytes", missing)
    assert node.another_realm().flush_proofs
