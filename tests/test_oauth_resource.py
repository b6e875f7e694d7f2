"""The resource server, row by row of the checklist in the threat model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from oauth_world import RIGHTS, SCOPES, URL, Node

from federation.errors import FederationError
from federation.keys import b64, generate_key, generate_keys, sign, token_hash
from federation.oauth.clients import add_client, revoke_client
from federation.oauth.personal import issue_personal_token, revoke_personal_token
from federation.oauth.proofs import normalised
from federation.oauth.realm import RegisteredClient
from federation.oauth.resource import RequestRefused, ResourceServer, TokenRefused
from federation.oauth.spent import _Order, identifier
from federation.oauth.tokens import mint, read_token
from federation.policies.viewer import Agreement, ViewerKind
from federation.storage.database import Database

GRAPHQL = f"{URL}/graphql"


@pytest.fixture
def node(sqlite_database: Database) -> Node:
    return Node(sqlite_database)


def refused(error: str, act: Any, *given: Any, **named: Any) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        act(*given, **named)
    assert caught.value.error == error, caught.value.message
    assert caught.value.status == 401
    return caught.value


def test_a_bound_token_with_its_proof_is_a_viewer(database: Database) -> None:
    node = Node(database)
    viewer = node.use(node.token())
    assert viewer.kind is ViewerKind.CLIENT
    assert viewer.subject == node.client.client_id
    assert viewer.scopes == {"resource:community"}


def test_nobody_without_a_token_has_the_public_scopes(node: Node) -> None:
    viewer = node.resource.authenticate([(b"host", b"x")], "POST", "/graphql")
    assert (viewer.kind, viewer.scopes) == (ViewerKind.ANONYMOUS, {"resource:open"})
    assert ResourceServer(node.realm).authenticate([], "POST", "/graphql").scopes == frozenset()


def test_a_peer_is_a_viewer_with_its_agreement_and_dead_at_once_when_frozen(database: Database) -> None:
    key = generate_key()
    agreement = Agreement(scopes=RIGHTS, purpose="coordination")
    state = {"active": True, "scopes": RIGHTS}

    def peers(client_id: str) -> RegisteredClient | None:
        if client_id != "https://west.example":
            return None
        return RegisteredClient(
            client_id, (key.public_jwk,), state["scopes"], ViewerKind.PEER, agreement, "none", "KE", state["active"]
        )

    node = Node(database, peers)
    me = {"iss": "https://west.example", "sub": "https://west.example"}
    token = node.token(scope="resource:community exchange", client_assertion=node.assertion(key, **me))
    viewer = node.use(token)
    assert (viewer.kind, viewer.subject, viewer.agreement) == (ViewerKind.PEER, "https://west.example", agreement)
    assert (viewer.affiliation, viewer.jurisdiction) == ("none", "KE")
    assert viewer.scopes == {"resource:community", "exchange"}
    state["scopes"] = frozenset({"exchange"})
    assert node.use(token).scopes == {"exchange"}
    state["active"] = False
    refused("invalid_token", node.use, token)


def test_row_21_the_address_is_the_configured_one_in_normal_form(node: Node) -> None:
    token = node.token()
    for good in (
        f"{GRAPHQL}?a=b#c",
        "HTTPS://RIVER.example:443/graphql",
        f"{URL}/%67raphql",
        f"{URL}/a/../graphql",
        f"{URL}/./graphql",
    ):
        node.use(token, node.proof(url=good, token=token))
    for bad in (
        f"{URL}/Graphql",
        f"{GRAPHQL}/",
        f"{URL}:8443/graphql",
        "https://evil.example/graphql",
        "https://river.example.evil.example/graphql",
        "https://user@river.example/graphql",
        "https://[::1/graphql",
        "/graphql",
    ):
        refused("invalid_dpop_proof", node.use, token, node.proof(url=bad, token=token))
    for method in ("GET", "post", "POST "):
        refused("invalid_dpop_proof", node.use, token, node.proof(method, GRAPHQL, token=token))
    claims = {"jti": "q", "htm": "POST", "iat": node.now, "ath": token_hash(token), "nonce": node.nonce()}
    proof = sign(node.proof_key, {"typ": "dpop+jwt", "jwk": public(node)}, claims | {"htu": ["x"]})
    refused("invalid_dpop_proof", node.use, token, proof)


def public(node: Node) -> dict[str, str]:
    return {name: value for name, value in node.proof_key.public_jwk.items() if name in ("kty", "crv", "x", "y")}


def test_row_21_normal_forms() -> None:
    assert normalised("http://A.example:80") == "http://a.example/"
    assert normalised("https://a.example/%7euser/%2f%aa") == "https://a.example/~user/%2F%AA"
    assert normalised("https://a.example/a/b/../") == "https://a.example/a/"
    assert normalised("https://a.example/../..") == "https://a.example/"
    assert normalised("ftp://a.example/") is None
    assert normalised("https://a.example:x/") is None


def proof_with(node: Node, token: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
    base = {
        "jti": node.jti(),
        "htm": "POST",
        "htu": GRAPHQL,
        "iat": node.now,
        "ath": token_hash(token),
        "nonce": node.nonce(),
    }
    kept = {name: value for name, value in (base | claims).items() if value is not None}
    return sign(node.proof_key, header or {"typ": "dpop+jwt", "jwk": public(node)}, kept)


def test_row_22_type_key_signature_and_identifier_of_a_proof(node: Node) -> None:
    token = node.token()
    node.use(token, proof_with(node, token))
    jwk = public(node)
    headers: list[dict[str, Any]] = [
        {"typ": "jwt", "jwk": jwk},
        {"jwk": jwk},
        {"typ": 3, "jwk": jwk},
        {"typ": "dpop+jwt"},
        {"typ": "dpop+jwt", "jwk": dict(node.proof_key.jwk)},
        {"typ": "dpop+jwt", "jwk": jwk, "kid": "x"},
        {"typ": "dpop+jwt", "jwk": jwk, "crit": ["exp"]},
        {"typ": "dpop+jwt", "jwk": jwk, "alg": "none"},
        {"typ": "dpop+jwt", "jwk": jwk, "alg": ["ES256"]},
        {"typ": "dpop+jwt", "jwk": jwk, "alg": "PS256"},
        {"typ": "dpop+jwt", "jwk": jwk | {"crv": "P-521"}},
        {"typ": "dpop+jwt", "jwk": jwk | {"x": "AA"}},
        {"typ": "dpop+jwt", "jwk": jwk | {"x": b64(b"\1" * 32)}},
        {"typ": "dpop+jwt", "jwk": jwk | {"y": 5}},
        {"typ": "dpop+jwt", "jwk": jwk | {"kty": ["EC"]}},
        {"typ": "dpop+jwt", "jwk": {"kty": "oct", "k": "AAAA"}},
        {"typ": "dpop+jwt", "jwk": "key"},
    ]
    for header in headers:
        refused("invalid_dpop_proof", node.use, token, proof_with(node, token, header))
    for jti in (None, "", 5, "x" * 257, "ü"):
        refused("invalid_dpop_proof", node.use, token, proof_with(node, token, jti=jti))
    good = proof_with(node, token)
    head, claims, signature = good.split(".")
    for broken in (
        f"{head}.{claims}",
        f"{head}.{claims}.",
        f"{head}.{claims}.{signature[:-2]}",
        f"{head}.{claims}.{signature}=",
        f"{head}.{claims}.{b64(b'x' * 64)}",
        f"{head}.{b64(b'[]')}.{signature}",
        f"{b64(b'{')}.{claims}.{signature}",
        "." * 3,
        "x" * 20_000,
        "ü.ü.ü",
    ):
        refused("invalid_dpop_proof", node.use, token, broken)


def test_row_22_keys_of_each_accepted_kind_work(node: Node) -> None:
    for algorithm in ("ES256", "Ed25519"):
        node.proof_key = generate_key(algorithm)
        node.use(node.token())


@pytest.mark.parametrize("seconds", [-301, -86_400, 31, 60, 86_400])
def test_row_23_a_proof_of_another_time_is_refused(node: Node, seconds: int) -> None:
    token = node.token()
    refused("invalid_dpop_proof", node.use, token, at=node.now + seconds)


def test_row_23_a_proof_of_now_is_accepted_within_the_window(node: Node) -> None:
    token = node.token()
    for seconds in (-299, 0, 10):
        node.use(token, at=node.now + seconds)
    for iat in (None, "now", True):
        refused("invalid_dpop_proof", node.use, token, proof_with(node, token, iat=iat))


def test_row_24_a_proof_is_used_once_across_workers_and_restart(database: Database) -> None:
    node = Node(database)
    token = node.token()
    proof = node.proof(url=GRAPHQL, token=token)
    node.use(token, proof)
    refused("invalid_dpop_proof", node.use, token, proof)
    other = ResourceServer(node.another_realm())
    refused("invalid_dpop_proof", node.use, token, proof, resource=other)
    node.use(token, resource=other)


def test_row_24_the_identifier_belongs_to_its_key(node: Node) -> None:
    first = node.token()
    node.use(first, jti="same")
    node.proof_key = generate_key()
    node.use(node.token(), jti="same")


def test_row_25_exactly_one_proof_and_one_authorization(node: Node) -> None:
    token = node.token()
    authorization = (b"authorization", f"DPoP {token}".encode())
    proofs = [(b"DPoP", node.proof(url=GRAPHQL, token=token).encode()) for _ in range(2)]
    for headers in ([authorization, *proofs], [authorization, authorization, proofs[0]]):
        with pytest.raises(RequestRefused) as caught:
            node.resource.authenticate(headers, "POST", "/graphql")
        assert caught.value.status == 400
        assert 'error="invalid_request"' in caught.value.headers["WWW-Authenticate"]
    refused("invalid_dpop_proof", node.resource.authenticate, [authorization], "POST", "/graphql")
    refused("invalid_token", node.resource.authenticate, [proofs[0]], "POST", "/graphql")
    joined = b", ".join(value for _, value in proofs)
    refused("invalid_dpop_proof", node.resource.authenticate, [authorization, (b"dpop", joined)], "POST", "/graphql")


def test_row_26_a_proof_without_the_nonce_is_told_one(node: Node) -> None:
    token = node.token()
    error = refused("use_dpop_nonce", node.use, token, nonce=None)
    given = error.headers["DPoP-Nonce"]
    assert given == node.resource.nonce()
    node.use(token, nonce=given)
    refused("use_dpop_nonce", node.use, token, nonce=given[::-1])
    stranger = generate_keys(node.world, "other")
    from federation.oauth.proofs import nonce

    refused("use_dpop_nonce", node.use, token, nonce=nonce(stranger.secret, node.now))


def test_row_27_the_challenge_names_algorithms_and_metadata(node: Node) -> None:
    headers = node.resource.challenge()
    assert headers["WWW-Authenticate"] == (
        f'DPoP algs="ES256 Ed25519 EdDSA PS256", resource_metadata="{URL}/.well-known/oauth-protected-resource/graphql"'
    )
    error = refused("invalid_token", node.use, "garbage")
    assert error.headers["WWW-Authenticate"].startswith("DPoP algs=")
    assert 'error="invalid_token"' in error.headers["WWW-Authenticate"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Basic", "MAC", ""])
def test_row_28_a_bound_token_of_another_scheme_is_refused(node: Node, scheme: str) -> None:
    token = node.token()
    refused("invalid_token", node.use, token, scheme=scheme)
    headers = [(b"authorization", f"{scheme} {token}".encode())]
    refused("invalid_token", node.resource.authenticate, headers, "POST", "/graphql")


def test_row_29_a_stolen_token_with_another_key_is_refused(node: Node) -> None:
    token = node.token()
    refused("invalid_token", node.use, token, key=generate_key())
    refused("invalid_token", node.use, token, proof_with(node, token, ath=None))
    refused("invalid_token", node.use, token, proof_with(node, "another"))
    refused("invalid_token", node.use, token, proof_with(node, token, ath=7))


def retold(node: Node, token: str, key: Any = None, header: Any = None, **claims: Any) -> str:
    """The token's claims, changed, and signed by a key."""
    body = json.loads(__import__("base64").urlsafe_b64decode(token.split(".")[1] + "=="))
    kept = {name: value for name, value in (body | claims).items() if value is not None}
    signer = key or node.keys.tokens
    return sign(signer, header or {"typ": "at+jwt", "kid": node.keys.tokens.thumbprint}, kept)


def test_row_30_tampered_foreign_and_unknown_critical_tokens_are_refused(node: Node) -> None:
    token = node.token()
    node.use(retold(node, token))
    head, _, signature = token.split(".")
    payload = retold(node, token, scope="resource:partner").split(".")[1]
    kid = node.keys.tokens.thumbprint
    for bad in (
        f"{head}.{payload}.{signature}",
        retold(node, token, generate_key()),
        retold(node, token, header={"typ": "at+jwt", "kid": "other"}),
        retold(node, token, header={"typ": "at+jwt", "kid": kid, "crit": ["x"], "x": 1}),
        retold(node, token, header={"typ": "JWT", "kid": kid}),
        retold(node, token, header={"kid": kid}),
        retold(node, token, node.keys.peer),
        retold(node, token, node.keys.provenance),
        retold(node, token, cnf=None),
        retold(node, token, cnf={"jkt": 5}),
        retold(node, token, cnf="x"),
        retold(node, token, client_id=None),
        retold(node, token, jti=None),
        retold(node, token, scope=None),
        retold(node, token, iat="x"),
        retold(node, token, iat=node.now + 60),
        retold(node, token, exp=None),
    ):
        refused("invalid_token", node.use, bad)


@pytest.mark.parametrize("query", ["access_token={}", "a=1&access_token={}", "ACCESS_TOKEN={}", "%61ccess_token={}"])
def test_row_31_a_token_in_the_address_is_refused(node: Node, query: str) -> None:
    token = node.token()
    with pytest.raises(RequestRefused):
        node.resource.authenticate([], "POST", "/graphql?" + query.format(token))
    with pytest.raises(RequestRefused):
        node.use(token, path="/graphql?" + query.format(token))
    node.use(token, path="/graphql?x=%20y")


def test_row_33_another_nodes_token_is_refused(node: Node, make_database: Any) -> None:
    other = Node(make_database("sqlite"))
    refused("invalid_token", node.use, other.token())
    token = node.token()
    for claims in (
        {"iss": "https://west.example"},
        {"aud": "https://west.example/graphql"},
        {"aud": [GRAPHQL]},
        {"aud": URL},
    ):
        refused("invalid_token", node.use, retold(node, token, **claims))


def test_row_34_an_expired_token_is_refused_also_out_of_the_cache(node: Node) -> None:
    token = node.token()
    node.use(token)
    node.clock.turn(599)
    node.use(token)
    node.clock.turn(1)
    refused("invalid_token", node.use, token)
    refused("invalid_token", node.use, token, resource=ResourceServer(node.realm))


def test_row_36_a_revoked_token_is_dead_on_every_worker_at_once(database: Database) -> None:
    node = Node(database)
    workers = [ResourceServer(node.another_realm()) for _ in range(3)]
    token = node.token()
    for worker in workers:
        node.use(token, resource=worker)
    assert node.app.post("/oauth/revoke", data=node.form(token=token)).status_code == 200
    for worker in workers:
        refused("invalid_token", node.use, token, resource=worker)


def test_row_36_a_revoked_token_is_not_carried_by_another_ones_proof_of_the_same_name(database: Database) -> None:
    node = Node(database)
    revoked, other = node.token(), node.token()
    node.app.post("/oauth/revoke", data=node.form(token=revoked))
    digest = identifier("proof", node.proof_key.thumbprint, "one name")
    batch = [
        _Order([(digest, node.now + 60)], True, read_token(node.realm, token).jti) for token in (revoked, other)
    ]  # as they wait where both come while the node writes
    assert node.realm.spent._write(batch) == [[False], [False]]
    assert node.realm.spent._write(batch[1:]) == [[True]]


def test_row_36_a_revoked_clients_tokens_are_dead_at_once(database: Database) -> None:
    node = Node(database)
    token = node.token()
    revoke_client(database, node.world, node.client.client_id)
    refused("invalid_token", node.use, token)


def test_a_personal_token_is_a_bearer_of_open_scopes(database: Database) -> None:
    node = Node(database)
    secret, token_id = issue_personal_token(database, node.world, "calendar", frozenset({"resource:open"}), SCOPES)
    headers = [(b"authorization", f"Bearer {secret}".encode())]
    viewer = node.resource.authenticate(headers, "GET", "/graphql")
    assert (viewer.kind, viewer.subject) == (ViewerKind.CLIENT, f"token:{token_id}")
    assert viewer.scopes == {"resource:open"}
    refused("invalid_token", node.use, secret)
    revoke_personal_token(database, node.world, token_id)
    refused("invalid_token", node.resource.authenticate, headers, "GET", "/graphql")


def test_a_personal_token_ends(node: Node) -> None:
    secret, _ = issue_personal_token(node.database, node.world, "x", frozenset({"resource:open"}), SCOPES, days=1)
    headers = [(b"authorization", f"Bearer {secret}".encode())]
    node.clock.turn(86_400)
    refused("invalid_token", node.resource.authenticate, headers, "GET", "/graphql")


@pytest.mark.parametrize("value", ["DPoP", "DPoP ", "DPoP a b", "DPoP a,b", "Bearer fedp_", "Bearer ü", "", "fedp_x"])
def test_a_malformed_authorization_is_refused_and_not_anonymous(node: Node, value: str) -> None:
    headers = [(b"authorization", value.encode("latin-1"))]
    refused("invalid_token", node.resource.authenticate, headers, "POST", "/graphql")


def test_the_cache_of_verified_tokens_is_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.oauth.resource.CACHED", 2)
    tokens = [node.token() for _ in range(4)]
    for token in tokens + tokens:
        node.use(token)
    assert len(node.resource._verified) == 2


def test_a_token_of_a_client_that_is_no_longer_known_is_refused(node: Node) -> None:
    token = mint(node.realm, "nobody", ("resource:open",), node.proof_key.thumbprint, b"x")
    refused("invalid_token", node.use, token)


def test_row_46_no_refusal_repeats_what_was_sent(node: Node) -> None:
    token = node.token()
    for act in (
        lambda: node.use(token, scheme="Bearer"),
        lambda: node.use(token, node.proof(url="https://secret.example/", token=token)),
        lambda: node.use("canary", node.proof()),
    ):
        with pytest.raises(FederationError) as caught:
            act()
        said = str(caught.value) + str(caught.value.headers)  # type: ignore[attr-defined]
        assert token not in said
        assert "secret.example" not in said
        assert "canary" not in said


def test_two_clients_do_not_share_anything(node: Node) -> None:
    other = add_client(node.database, node.world, "other", frozenset({"resource:open"}), SCOPES)
    assert other.client_id != node.client.client_id
    assert other.private_jwk["d"] != node.client.private_jwk["d"]
