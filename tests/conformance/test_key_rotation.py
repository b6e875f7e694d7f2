"""A token key that is replaced while the node runs, as oauth4webapi (npm) sees it from outside."""

from __future__ import annotations

import time
from typing import Any

from acceptance.caller import Caller, get
from acceptance.commands import done

from conformance.conftest import SCOPES, Tried
from conformance.programs import ran


def names_of_keys(node: Tried) -> set[str]:
    return {key["kid"] for key in get(f"{node.url}/.well-known/jwks.json").json()["keys"]}


def judged(node: Tried, caller: Caller) -> Any:
    token, graphql = caller.token(), f"{node.url}/graphql"
    proof = caller.proof("POST", graphql, token)
    return ran("resource_server.mjs", url=node.url, token=token, proof=proof, foreign_proof=proof)["claims"]


def test_row_43_old_and_new_tokens_are_taken_while_a_served_node_replaces_its_key(node: Tried) -> None:
    asking = node.url, node.client["client_id"], node.client["private_jwk"], list(SCOPES)
    old, before = Caller(*asking), names_of_keys(node)
    assert judged(node, old)["client_id"] == node.client["client_id"]
    done(node.served.home, "keys", "rotate", "tokens", "--yes")
    time.sleep(1.5)  # every process takes the new key within a second
    for _ in range(4):  # whichever process answers
        assert names_of_keys(node) > before
        assert judged(node, old)["client_id"] == node.client["client_id"]
        assert old.ask("{ viewer { kind } }")["viewer"]["kind"] == "CLIENT"
        new = Caller(*asking)
        assert judged(node, new)["client_id"] == node.client["client_id"]
        assert new.ask("{ viewer { kind } }")["viewer"]["kind"] == "CLIENT"
