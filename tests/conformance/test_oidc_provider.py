"""oidc-provider 9 (npm) in FAPI 2.0 mode as the authorization server of a peer, asked by this project's peer client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from acceptance.federation_demo import free_ports

from conformance.programs import HERE
from federation.keys import generate_key
from federation.oauth.client import PeerRefused, PeerSession
from federation.outbound import Outbound
from federation.world import real_world

CLIENT = "https://west.example"
SCOPES = ("exchange", "resource:community")


@dataclass
class Provider:
    """The running server, and this project's client of it."""

    issuer: str
    session: PeerSession
    process: subprocess.Popen[str]

    def ended(self) -> list[dict[str, Any]]:
        """All that it said up to its end."""
        self.process.terminate()
        rest, _ = self.process.communicate(timeout=20)
        return [json.loads(line) for line in rest.splitlines()]


@pytest.fixture
def provider() -> Iterator[Provider]:
    key, port = generate_key(), free_ports(1) + 1
    public = {**key.public_jwk, "kid": key.thumbprint, "alg": key.algorithm, "use": "sig"}
    given = {"client_id": CLIENT, "jwk": public, "port": port, "scopes": SCOPES}
    process = subprocess.Popen(
        ["node", str(HERE / "fapi_server.mjs"), json.dumps(given)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"listening": port}
        with closing(Outbound(["127.0.0.0/8"])) as outbound:
            yield Provider(f"http://127.0.0.1:{port}", PeerSession(outbound, key, CLIENT, real_world()), process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_peer_client_gets_a_bound_token_from_a_fapi_server_and_asks_with_it(provider: Provider) -> None:
    answer = provider.session.request(provider.issuer, frozenset(SCOPES), "POST", "/graphql", content=b"{}")
    assert answer.status == 200
    assert set(json.loads(answer.body)["scope"].split()) == set(SCOPES)
    again = provider.session.request(provider.issuer, frozenset(SCOPES), "POST", "/graphql", content=b"{}")
    assert again.status == 200
    granted, *asked = [line for line in provider.ended() if "refused" not in line]
    assert granted == {"granted": True}  # one token for both; refusals before it are the demand for a nonce
    assert [line["client"] for line in asked] == [CLIENT, CLIENT]
    assert [line["type"] for line in asked] == ["bound", "bound"]


def test_the_peer_client_says_so_when_the_server_refuses(provider: Provider) -> None:
    with pytest.raises(PeerRefused) as refused:
        provider.session.token(provider.issuer, frozenset({"peers:write"}))
    assert refused.value.error == "invalid_scope"
    stranger = PeerSession(provider.session._outbound, generate_key(), CLIENT, real_world())
    with pytest.raises(PeerRefused) as refused:
        stranger.token(provider.issuer, frozenset(SCOPES))
    assert refused.value.error == "invalid_client"
