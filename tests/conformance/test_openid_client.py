"""openid-client 6 and oauth4webapi 3 (npm) against a served node: what they get, and what they are refused."""

from __future__ import annotations

from acceptance.caller import Caller

from conformance.conftest import SCOPES, Tried
from conformance.programs import ran

VIEWER = "{ viewer { kind scopes } }"


def test_a_partners_program_gets_a_bound_token_and_asks_with_it(node: Tried) -> None:
    told = ran("client_credentials.mjs", query=VIEWER, **node.asker)
    assert told["tokens"]["token_type"] == "dpop"
    assert set(told["tokens"]["scope"].split()) == set(SCOPES)
    assert "refresh_token" not in told["tokens"]
    assert told["answer"]["status"] == 200
    viewer = told["answer"]["body"]["data"]["viewer"]
    assert (viewer["kind"], set(viewer["scopes"])) == ("CLIENT", set(SCOPES))
    for attempt in ("without_proof", "with_another_key", "after"):
        assert told[attempt]["status"] == 401, attempt
    assert told["introspected"]["active"] is True
    assert told["introspected"]["client_id"] == node.client["client_id"]
    assert told["token_without_proof"] == {"error": "invalid_dpop_proof", "status": 400}
    assert told["wider_scope"] == {"error": "invalid_scope", "status": 400}
    assert told["no_scope"] == {"error": "invalid_scope", "status": 400}


def test_an_independent_resource_server_takes_the_nodes_tokens_and_no_others(node: Tried) -> None:
    caller = Caller(node.url, node.client["client_id"], node.client["private_jwk"], list(SCOPES))
    stranger = Caller(node.url, node.client["client_id"], node.client["private_jwk"], list(SCOPES))
    token, graphql = caller.token(), f"{node.url}/graphql"
    proof, foreign = caller.proof("POST", graphql, token), stranger.proof("POST", graphql, token)
    told = ran("resource_server.mjs", url=node.url, token=token, proof=proof, foreign_proof=foreign)
    assert told["metadata"]["issuer"] == node.url
    assert told["resource"]["authorization_servers"] == [node.url]
    assert told["claims"]["client_id"] == node.client["client_id"]
    assert told["claims"]["aud"] == graphql
    for attempt in ("other_audience", "no_proof", "bearer", "foreign_proof"):
        assert "error" in told[attempt], attempt
