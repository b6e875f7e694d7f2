"""What strangers, thieves and hostile peers tried at the doors of a node: logging in, consent, tokens and keys."""

from __future__ import annotations

from typing import Any

import pytest
from oauth_people import Program
from oauth_world import ASSERTION_TYPE, URL, Node
from people_world import PASSWORD, SECRET, People, QuickHasher, hasher
from starlette.applications import Starlette
from starlette.testclient import TestClient

from federation.console.account import account_routes
from federation.console.forms import Turns
from federation.console.login import login_routes
from federation.console.pages import ACCOUNT, LOGIN, Console
from federation.console.setup import setup_routes
from federation.errors import BadInput, NotFound
from federation.keys import generate_key, generate_keys, sign
from federation.limiting.counting import Counter
from federation.limiting.logins import LoginLimits
from federation.limiting.memory import BoundedMemory
from federation.oauth.accounts import redeem_link
from federation.oauth.authorizing import open_request
from federation.peers import handing, trust
from federation.peers.statements import KeysRefused
from federation.storage.database import Database

__all__ = ["hasher"]


@pytest.fixture
def node(database: Database) -> Node:
    return Node(database)


def me(node: Node) -> trust.Self:
    return trust.Self("river", URL, node.keys)


# Names that no database can be asked for


@pytest.mark.parametrize("name", ["a\0b", "https://a\0", "\0", "a\nb"])
def test_a_client_whose_name_cannot_be_printed_is_one_that_there_is_not(node: Node, name: str) -> None:
    program = Program(node)
    fields: dict[str, Any] = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": name}
    answers = [
        program.send("/oauth/token", form=fields),
        program.send("/oauth/par", form=program.wish(client_id=name)),
        node.ask(client_assertion_type=ASSERTION_TYPE, client_assertion=node.assertion(iss=name, sub=name)),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    with pytest.raises(NotFound):
        open_request(node.realm, name, program.name())


def test_keys_told_under_a_name_that_cannot_be_printed_are_those_of_a_stranger(node: Node) -> None:
    key, now = generate_key(), node.now
    said = {"aud": URL, "iat": now, "exp": now + 60, "jwk": dict(key.public.jwk), "handovers": []}
    for issuer in ("https://a\0", "\0", "https://stranger.example"):
        told = sign(key, {"typ": "federation-keys+jwt"}, said | {"iss": issuer})
        with pytest.raises(KeysRefused):
            handing.answer(node.database, node.world, me(node), told)


@pytest.mark.parametrize("issuer", ["https://[x", "https://x]", "https://[x.y]", "https://x:99999", "https://x:0"])
def test_who_joins_from_an_address_that_is_none_is_refused(node: Node, issuer: str) -> None:
    stranger = trust.Self("a[b]", issuer, generate_keys(node.world, "stranger"))
    said = trust._presentation(stranger, node.world, URL, b"c" * trust.CODE_BYTES)
    with pytest.raises(BadInput, match="name and address"):
        trust.join(node.database, node.world, me(node), sign(stranger.keys.peer, {"typ": trust._JOIN}, said))


# Keeping people out


def test_who_has_no_setup_link_makes_nobody_hash(database: Database, hasher: QuickHasher) -> None:
    people = People(database)
    people.add("amina")
    before = hasher.hashed
    for code in ("", "x", "y" * 32):
        with pytest.raises(NotFound):
            redeem_link(database, people.world, code, PASSWORD)
    assert hasher.hashed == before


def test_strangers_who_fill_every_turn_keep_no_known_device_waiting(
    sqlite_database: Database, hasher: QuickHasher
) -> None:
    people = People(sqlite_database)
    people.add("amina")
    clock = lambda: float(people.world.timestamp())  # noqa: E731
    counter = Counter(BoundedMemory(clock), clock)
    tries = LoginLimits(counter, SECRET, 40, clock, lambda subject: people.world.draw("login-device", subject, 16))
    full = Turns(1, -1)  # as if as many strangers waited as may
    console = Console(people.database, people.world, URL, "River", SECRET, tries=tries, turns=full)
    app = Starlette(routes=[*login_routes(console), *account_routes(console), *setup_routes(console)])
    right = {"handle": "amina", "password": PASSWORD}
    with TestClient(app, base_url=URL, follow_redirects=False, headers={"origin": URL}) as web:
        assert web.post(LOGIN, data=right).status_code == 429
        web.cookies.set("__Host-device", tries.succeeded("192.0.2.1", "amina"))
        assert web.post(LOGIN, data=right | {"handle": "other"}).status_code == 429
        assert web.post(LOGIN, data=right).status_code == 303
        assert web.post(ACCOUNT, data={"do": "codes", "password": PASSWORD}).status_code == 200
