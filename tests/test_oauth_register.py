"""Registration by one-time invitation (RFC 7591): the program's own keys, and nothing beyond the invitation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import rows
from joserfc import jwk
from oauth_people import BACK, Program
from oauth_world import SCOPES, Node

from federation.errors import BadInput, FederationError, Unavailable
from federation.keys import generate_key, sign_assertion, thumbprint
from federation.oauth.assertions import ASSERTION_TYPE
from federation.oauth.clients import Kind, list_clients
from federation.oauth.grants import prune_grants
from federation.oauth.registering import invite_client, register
from federation.storage.database import Database

ITSELF = Kind(frozenset({"resource:community", "exchange"}))
ASKS = Kind(frozenset({"resource:community"}), (BACK,))
PUBLIC = Kind(frozenset({"resource:community"}), (BACK,), public=True)


@pytest.fixture
def node(sqlite_database: Database) -> Node:
    return Node(sqlite_database)


def invited(node: Node, kind: Kind = ITSELF, **given: Any) -> str:
    return invite_client(node.database, node.world, "A watcher", kind, SCOPES, **given)


def send(node: Node, token: str | None, said: Any, **headers: str) -> Any:
    shown = {} if token is None else {"authorization": f"Bearer {token}"}
    return node.app.post("/oauth/register", json=said, headers=shown | headers)


def keys(*made: Any) -> dict[str, Any]:
    return {"jwks": {"keys": [each.public_jwk for each in made or (generate_key(),)]}}


def refused(answer: Any, error: str = "invalid_client_metadata", status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.headers["cache-control"] == "no-store"


# Who may


def test_nobody_registers_without_an_invitation(node: Node) -> None:
    before = len(list_clients(node.database))
    said = set()
    token = invited(node)
    for answer in (
        send(node, None, keys()),
        send(node, "fedi_nothing", keys()),
        send(node, "", keys()),
        node.app.post("/oauth/register", json=keys(), headers={"authorization": f"Basic {token}"}),
        node.app.post("/oauth/register", json=keys(), headers={"authorization": token}),
        node.app.post("/oauth/register", json=keys(), headers=[("authorization", f"Bearer {token}")] * 2),
        node.app.post(f"/oauth/register?access_token={token}", json=keys()),
        node.app.post("/oauth/register?a=b", json=keys(), headers={"authorization": f"Bearer {token}"}),
        node.app.post("/oauth/register", content=b"x", headers={"authorization": "Bearer é".encode("latin-1")}),
    ):
        refused(answer, "invalid_token", 401)
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        said.add(answer.text)
    assert len(said) == 1
    assert len(list_clients(node.database)) == before
    assert send(node, token, keys()).status_code == 201


def test_row_48_an_invitation_works_once_also_after_a_restart(database: Database) -> None:
    node = Node(database)
    token = invited(node)
    assert send(node, token, keys()).status_code == 201
    refused(send(node, token, keys()), "invalid_token", 401)
    with pytest.raises(FederationError, match="used"):
        register(node.another_realm(), token, keys())


def test_row_48_of_fifty_in_parallel_one_is_registered(database: Database) -> None:
    node = Node(database)
    workers, token, said = [node.another_realm() for _ in range(2)], invited(node), keys()
    before = len(list_clients(database))

    def attempt(n: int) -> bool:
        try:
            return bool(register(workers[n % 2], token, said))
        except FederationError:
            return False

    with ThreadPoolExecutor(25) as pool:
        assert sum(pool.map(attempt, range(50))) == 1
    assert len(list_clients(database)) == before + 1


def test_row_48_an_invitation_ends_and_is_forgotten(database: Database) -> None:
    node = Node(database)
    token = invited(node, days=2)
    node.clock.turn(2 * 86_400)
    refused(send(node, token, keys()), "invalid_token", 401)
    prune_grants(database, node.now, 0)
    assert rows(database, "SELECT * FROM client_invitation") == []


def test_an_invitation_has_192_bits_and_only_its_digest_is_kept(database: Database) -> None:
    node = Node(database)
    token = invited(node)
    assert len(token.removeprefix("fedi_")) == 32
    assert token not in str(rows(database, "SELECT * FROM client_invitation"))
    assert invited(node) != token


def test_row_48_a_refused_registration_leaves_the_invitation_as_it_was(node: Node) -> None:
    token = invited(node)
    refused(send(node, token, {"jwks": {"keys": []}}))
    assert send(node, token, keys()).status_code == 201


# What it becomes


def test_row_48_what_a_program_may_is_the_invitations_whatever_it_says(database: Database) -> None:
    node = Node(database)
    key = generate_key()
    answer = send(node, invited(node), keys(key) | {"client_name": "Watcher 2", "contacts": ["x"], "unknown": {}})
    assert answer.status_code == 201
    told = answer.json()
    client_id = told.pop("client_id")
    assert told == {
        "client_id_issued_at": node.now,
        "client_name": "Watcher 2",
        "redirect_uris": [],
        "scope": "exchange resource:community",
        "grant_types": ["client_credentials"],
        "response_types": [],
        "token_endpoint_auth_method": "private_key_jwt",
        "dpop_bound_access_tokens": True,
        "require_pushed_authorization_requests": False,
        "jwks": {"keys": [{**key.public.jwk, "kid": key.thumbprint}]},
    }
    (kept,) = [each for each in list_clients(database) if each.client_id == client_id]
    assert (kept.name, kept.calls_itself) == ("A watcher", "Watcher 2")
    said = sign_assertion(key, client_id, node.realm.url, node.now, node.jti())
    form = {"grant_type": "client_credentials", "scope": "exchange", "client_assertion": said}
    form["client_assertion_type"] = ASSERTION_TYPE
    answer = node.app.post("/oauth/token", data=form, headers={"dpop": node.proof()})
    assert node.use(answer.json()["access_token"]).scopes == {"exchange"}


@pytest.mark.parametrize("public", [True, False])
def test_a_program_that_asks_people_can_do_so_after_registering(node: Node, public: bool) -> None:
    program = Program(node, public=public)
    key = generate_key()
    said = {} if public else keys(key)
    told = send(node, invited(node, PUBLIC if public else ASKS), said | {"redirect_uris": [BACK]}).json()
    assert told["redirect_uris"] == [BACK]
    assert told["grant_types"] == ["authorization_code", "refresh_token"]
    assert told["response_types"] == ["code"]
    assert told["token_endpoint_auth_method"] == ("none" if public else "private_key_jwt")
    assert ("jwks" in told) is not public
    assert told["client_name"] == "A watcher"
    program.id, program.key = told["client_id"], None if public else key
    assert program.use(program.tokens(scope="resource:open")["access_token"]).scopes == {"resource:open"}


@pytest.mark.parametrize(
    ("kind", "said", "error"),
    [
        (ITSELF, {"scope": "resource:partner"}, "invalid_client_metadata"),
        (ITSELF, {"scope": "exchange peers:write"}, "invalid_client_metadata"),
        (ITSELF, {"scope": 7}, "invalid_client_metadata"),
        (ITSELF, {"scope": ["exchange"], "grant_types": "client_credentials"}, "invalid_client_metadata"),
        (ITSELF, {"redirect_uris": [BACK]}, "invalid_redirect_uri"),
        (ITSELF, {"redirect_uris": BACK}, "invalid_redirect_uri"),
        (ASKS, {"redirect_uris": [BACK, BACK + "/other"]}, "invalid_redirect_uri"),
        (ASKS, {"redirect_uris": [None]}, "invalid_redirect_uri"),
        (ITSELF, {"grant_types": ["authorization_code"]}, "invalid_client_metadata"),
        (ASKS, {"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        (ASKS, {"response_types": ["token"]}, "invalid_client_metadata"),
        (ITSELF, {"response_types": ["code"]}, "invalid_client_metadata"),
        (ITSELF, {"token_endpoint_auth_method": "none"}, "invalid_client_metadata"),
        (ITSELF, {"token_endpoint_auth_method": "client_secret_basic"}, "invalid_client_metadata"),
        (PUBLIC, {"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        (ITSELF, {"dpop_bound_access_tokens": False}, "invalid_client_metadata"),
        (ASKS, {"require_pushed_authorization_requests": False}, "invalid_client_metadata"),
        (ITSELF, {"jwks_uri": "https://x.example/keys"}, "invalid_client_metadata"),
        (ITSELF, {"software_statement": "e.y.z"}, "invalid_client_metadata"),
        (ASKS, {"request_uris": ["https://x.example"]}, "invalid_client_metadata"),
        (ITSELF, {"client_name": "x" * 101}, "invalid_client_metadata"),
        (ITSELF, {"client_name": "A\u202egood"}, "invalid_client_metadata"),
        (ITSELF, {"client_name": "a\nb"}, "invalid_client_metadata"),
        (ITSELF, {"client_name": ["x"]}, "invalid_client_metadata"),
    ],
)
def test_row_48_what_does_not_fit_the_invitation_is_refused(node: Node, kind: Kind, said: Any, error: str) -> None:
    own = {} if kind.public else keys()
    token = invited(node, kind)
    refused(send(node, token, own | said), error)
    fits = {"scope": "resource:community", "redirect_uris": list(kind.redirect_uris), "client_name": ""}
    assert send(node, token, own | fits).status_code == 201


# Keys


def test_row_48_a_private_or_symmetric_key_is_refused_and_not_kept(node: Node) -> None:
    token = invited(node)
    secret = {
        "kty": "oct",
        "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    }
    rsa = jwk.RSAKey.generate_key(2048)
    for key in (dict(generate_key().jwk), dict(generate_key("Ed25519").jwk), rsa.as_dict(private=True), secret):
        answer = send(node, token, {"jwks": {"keys": [key]}})
        refused(answer)
        assert key.get("d", key.get("k")) not in answer.text
        refused(send(node, token, {"jwks": {"keys": [generate_key().public_jwk, key]}}))


@pytest.mark.filterwarnings("ignore")
def test_row_47_weak_keys_and_other_curves_are_refused(node: Node) -> None:
    token = invited(node)
    for key in (jwk.RSAKey.generate_key(1024), jwk.ECKey.generate_key("P-384"), jwk.OKPKey.generate_key("X25519")):
        refused(send(node, token, {"jwks": {"keys": [key.as_dict(private=False)]}}))
    good = jwk.RSAKey.generate_key(2048).as_dict(private=False)
    assert send(node, token, {"jwks": {"keys": [good]}}).status_code == 201


@pytest.mark.parametrize(
    "jwks",
    [
        None,
        [],
        {},
        {"keys": []},
        {"keys": {}},
        {"keys": [1]},
        {"keys": [{}]},
        {"keys": None},
        "keys",
        {"keys": [{"kty": 5}]},
    ],
)
def test_a_program_that_shall_have_a_key_brings_one(node: Node, jwks: Any) -> None:
    refused(send(node, invited(node), {"jwks": jwks}))


def test_keys_have_names_of_their_own_and_are_not_too_many(node: Node) -> None:
    one, two = generate_key(), generate_key()
    token = invited(node)
    same = [one.public_jwk | {"kid": "k"}, two.public_jwk | {"kid": "k"}]
    refused(send(node, token, {"jwks": {"keys": same}}))
    refused(send(node, token, {"jwks": {"keys": [one.public_jwk | {"kid": "k" * 201}]}}))
    refused(send(node, token, keys(*(generate_key() for _ in range(9)))))
    told = send(node, token, {"jwks": {"keys": [one.public_jwk | {"kid": "mine"}, two.public_jwk]}}).json()
    assert [each["kid"] for each in told["jwks"]["keys"]] == ["mine", thumbprint(two.jwk)]


def test_a_public_program_brings_no_key(node: Node) -> None:
    refused(send(node, invited(node, PUBLIC), keys()))


# Bodies


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"[" * 5000, b'{"a":' * 5000, b"\xff"])
def test_what_is_no_json_object_is_refused(node: Node, content: bytes) -> None:
    token = invited(node)
    answer = node.app.post("/oauth/register", content=content, headers={"authorization": f"Bearer {token}"})
    refused(answer)


def test_a_body_beyond_bounds_is_refused(node: Node) -> None:
    token = invited(node)
    refused(send(node, token, {"client_name": "x" * 40_000}), "invalid_request", 413)
    assert node.app.get("/oauth/register", headers={"authorization": f"Bearer {token}"}).status_code == 405


def test_a_node_that_cannot_write_says_so_and_keeps_the_invitation(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    token = invited(node)

    def full() -> Any:
        raise Unavailable("The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(node.database, "write", full)
        refused(send(node, token, keys()), "temporarily_unavailable", 503)
    assert send(node, token, keys()).status_code == 201


# Inviting


@pytest.mark.parametrize(
    "given",
    [
        {"kind": Kind(frozenset())},
        {"kind": Kind(frozenset({"nothing:open"}))},
        {"kind": Kind(frozenset({"resource:open"}), public=True)},
        {"kind": Kind(frozenset({"peers:write"}), (BACK,), public=True)},
        {"kind": Kind(frozenset({"resource:open"}), ("http://x.example/",))},
        {"days": 0},
        {"days": 91},
        {"name": " "},
        {"name": "a\nb"},
    ],
)
def test_an_invitation_that_makes_no_sense_is_refused(node: Node, given: Any) -> None:
    with pytest.raises(BadInput):
        invite_client(
            node.database,
            node.world,
            given.get("name", "x"),
            given.get("kind", ITSELF),
            SCOPES,
            given.get("days", 7),
        )


def test_row_46_no_invitation_is_logged(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    token = invited(node)
    send(node, token, keys())
    send(node, token, keys())
    assert token not in caplog.text + "".join(str(record.__dict__) for record in caplog.records)
