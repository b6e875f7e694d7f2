"""Answers that were cut off, keys that are not the peer's: what the person sees, and that nothing is lost by it."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec

from acceptance.caller import Caller, b64, public_jwk, signed, unb64
from acceptance.commands import commanded, done
from acceptance.conftest import Pair, resource
from acceptance.doorway import Answer, Change, cut_in_frame, cut_in_line
from acceptance.federation_demo import wait_until
from acceptance.holdings import query
from acceptance.lone_node import linked, made_home
from federation.app import build, open_node
from federation.settings import load_settings

GRANT = ("--scopes", "resource:partner,exchange", "--purpose", "coordination", "--until", "2099-12-31")
Key = ec.EllipticCurvePrivateKey


@pytest.fixture(autouse=True)
def open_door(pair: Pair) -> Iterator[None]:
    """Afterwards everything passes again, to river."""
    yield
    pair.doorway.change, pair.doorway.target = None, pair.river.port


def shared(home: Path) -> set[str]:
    return {row["title"] for row in query(home, "SELECT title__exact AS title FROM resource WHERE status = 'shared'")}


def add(home: Path, place: Path, name: str, count: int) -> None:
    file = place / "more.json"
    file.write_text(json.dumps([{"type": "resource", "document": resource(f"{name} {n}")} for n in range(count)]))
    assert done(home, "record", "add", file, "--share")["refused"] == []


CUT = "The answer was cut off; what came whole was taken in."
BROKEN = "The connection to 127.0.0.1 broke off before the answer's end."


@pytest.mark.parametrize(
    ("anew", "cut", "said"),
    [
        (True, cut_in_frame(0.6), CUT),
        (False, cut_in_frame(0.6), CUT),
        (False, cut_in_line(0.8), CUT),
        (False, cut_in_frame(0.6, promised=True), BROKEN),
    ],
    ids=[
        "the whole slice, in a frame",
        "the feed, in a frame",
        "the feed, in a line",
        "the feed, before its stated end",
    ],
)
def test_of_a_cut_answer_what_came_whole_stays_and_the_next_pull_ends_equal(
    anew: bool, cut: Change, said: str, pair: Pair, tmp_path: Path
) -> None:
    done(pair.west, "sync", "river")
    if anew:
        west = made_home(tmp_path / "west", "West anew", f"http://127.0.0.1:{9000 + len(pair.doorway.passed)}")
        name = f"west-{uuid.uuid4().hex[:6]}"
        linked(pair.river.home, west, "river", name)
        done(pair.river.home, "peer", "grant", name, *GRANT, "--yes")
    else:
        west = pair.west
        add(pair.river.home, tmp_path, f"Cut {uuid.uuid4().hex[:6]}", 60)
    before = shared(west)
    pair.doorway.change = cut
    ended = commanded(west, "sync", "river", "--json")
    assert (ended.code, ended.json) == (1, [{"peer": "river", "problem": said}])
    assert len(before) < len(shared(west)) < len(shared(pair.river.home))
    assert said in " ".join(commanded(west, "sync", "river").out.split())  # and from there a part of the rest
    pair.doorway.change = None
    done(west, "sync", "river")
    assert shared(west) == shared(pair.river.home)
    assert done(west, "audit", "verify") == []
    assert query(west, "SELECT * FROM quarantine") == []


def test_another_key_under_a_peers_name_gets_no_token_and_the_peer_still_does(pair: Pair) -> None:
    peer = json.loads((pair.west / "keys" / "peer.jwk").read_text())
    stranger = ec.generate_private_key(ec.SECP256R1())
    secret = b64(stranger.private_numbers().private_value.to_bytes(32))
    for jwk in ({**public_jwk(stranger), "d": secret}, {**public_jwk(stranger), "d": secret, "kid": peer["kid"]}):
        answer = Caller(pair.doorway.url, "http://127.0.0.1:9", jwk, ["exchange"]).asked_for_token()
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["cache-control"] == "no-store"
    claims = {"iss": pair.doorway.url, "sub": "http://127.0.0.1:9", "aud": f"{pair.doorway.url}/graphql"}
    forged = signed(stranger, {"typ": "at+jwt"}, {**claims, "exp": int(time.time()) + 60, "scope": "exchange"})
    refused = Caller(pair.doorway.url, "http://127.0.0.1:9", peer, ["exchange"]).post(
        "/exchange/changes", {"cursor": "x"}, forged
    )
    assert (refused.status_code, refused.json()["error"]) == (401, "UNAUTHENTICATED")
    assert done(pair.west, "sync", "river")[0]["peer"] == "river"
    assert shared(pair.west) == shared(pair.river.home)


@contextmanager
def answering(home: Path) -> Iterator[int]:
    """A home served in this process, at the port that it gives."""
    settings, _ = load_settings(home)
    server = uvicorn.Server(
        uvicorn.Config(build(open_node(settings), background=False), host="127.0.0.1", port=0, log_config=None)
    )
    thread = Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, 10)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def false_river(pair: Pair, tmp_path: Path) -> Iterator[Path]:
    """Another node, with keys of its own, that answers at river's address while the test runs."""
    home = made_home(tmp_path / "false", "River", pair.doorway.url)
    add(home, tmp_path, "False", 3)
    with answering(home) as port:
        pair.doorway.target = port
        yield home
        pair.doorway.target = pair.river.port


def test_another_node_at_a_peers_address_gives_nothing_and_takes_nothing(pair: Pair, false_river: Path) -> None:
    before = shared(pair.west)
    ended = commanded(pair.west, "sync", "river")
    assert ended.code == 1
    assert "gave no token: The client is unknown, or the assertion is not signed by its key." in " ".join(
        ended.out.split()
    )
    assert shared(pair.west) == before
    shown = done(pair.west, "peer", "show", "river")
    assert (shown["failures"], shown["last_error"]) == (1, "UNAUTHENTICATED")
    pair.doorway.target = pair.river.port
    assert commanded(pair.west, "sync", "river").code == 0
    assert shared(pair.west) == shared(pair.river.home)
    shown = done(pair.west, "peer", "show", "river")
    assert (shown["failures"], shown["last_error"]) == (0, None)
    assert shown["last_success"] is not None


def test_a_node_at_a_peers_address_that_pretends_to_know_us_gets_no_record_in_under_the_peers_name(
    pair: Pair, false_river: Path, tmp_path: Path
) -> None:
    double = made_home(tmp_path / "double", "West", "http://127.0.0.1:9")
    shutil.rmtree(double / "keys")
    shutil.copytree(pair.west / "keys", double / "keys")
    linked(false_river, double, "river", "west")
    done(false_river, "peer", "grant", "west", *GRANT, "--yes")
    done(pair.west, "sync", "river")
    assert not any(title.startswith("False") for title in shared(pair.west))
    assert {row["reason"] for row in query(pair.west, "SELECT reason FROM quarantine")} == {"bad_path"}
    pair.doorway.target = pair.river.port
    done(pair.west, "sync", "river")
    assert shared(pair.west) == shared(pair.river.home)
    assert query(pair.west, "SELECT * FROM quarantine WHERE reason <> 'bad_path'") == []


def presented(invitation: str, issuer: str, audience: str) -> str:
    """The answer to an acceptance by somebody who has seen the invitation, but not the inviter's keys."""
    code = json.loads(unb64(invitation.removeprefix("federation-invite-"))[:-4])[0]
    peer, provenance = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    jwk = public_jwk(peer)
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
    hashed = hashlib.sha256(b"invitation\0" + unb64(code)).hexdigest()
    proof = {"aud": audience, "code": hashed, "peer": b64(hashlib.sha256(canonical).digest())}
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": audience,
        "iat": now,
        "exp": now + 300,
        "code": code,
        "name": "River",
        "jwk": jwk,
        "provenance": public_jwk(provenance),
        "proof": signed(provenance, {"typ": "federation-origin+jwt"}, proof),
    }
    return signed(peer, {"typ": "federation-joined+jwt"}, claims)


def test_an_invitation_answered_by_another_key_pins_nobody_and_stays_good(
    pair: Pair, false_river: Path, tmp_path: Path
) -> None:
    home = made_home(tmp_path / "new", "New", "http://127.0.0.1:10")
    invitation = done(pair.river.home, "peer", "invite")["invitation"]
    unknown = commanded(home, "peer", "accept", invitation)
    assert unknown.refused("BAD_INPUT", "does not know this invitation")

    def in_its_place(path: str, answer: Answer) -> Answer:
        if path != "/exchange/join":
            return answer
        return Answer(200, [], presented(invitation, pair.doorway.url, "http://127.0.0.1:10").encode())

    pair.doorway.change = in_its_place
    assert commanded(home, "peer", "accept", invitation).refused("UNAUTHENTICATED", "somebody else answered")
    assert done(home, "peer", "list") == []
    pair.doorway.change, pair.doorway.target = None, pair.river.port
    assert done(home, "peer", "accept", invitation)["state"] == "pinned"


def test_a_used_invitation_links_no_second_node_and_leaves_the_first_linked(pair: Pair, tmp_path: Path) -> None:
    first = made_home(tmp_path / "first", "First", "http://127.0.0.1:11")
    second = made_home(tmp_path / "second", "Second", "http://127.0.0.1:12")
    invitation = done(pair.river.home, "peer", "invite")["invitation"]
    words = done(first, "peer", "accept", invitation)["words"]
    late = commanded(second, "peer", "accept", invitation)
    assert late.refused("CONFLICT", "already used", "ask for a new one")
    again = commanded(first, "peer", "accept", invitation, "--json")
    assert (again.code, again.json["error"]["code"]) == (1, "CONFLICT")
    assert done(second, "peer", "list") == []
    assert [row["issuer"] for row in done(pair.river.home, "peer", "list")].count("http://127.0.0.1:12") == 0
    assert done(pair.river.home, "peer", "words", "First")["words"] == words
    assert done(second, "peer", "accept", done(pair.river.home, "peer", "invite")["invitation"])["state"] == "pinned"
    assert commanded(second, "peer", "accept", invitation[:-5]).refused("BAD_INPUT", "not a whole invitation")
