"""Replacing the node's own keys while it runs: what counts before and after, in every process, also after a crash."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from oauth_world import SCOPES, URL, Node
from starlette.applications import Starlette
from starlette.testclient import TestClient

from federation.errors import SettingsInvalid
from federation.keys import KeyRing, create_keys, load_keys, read_jws, replace_key, rotate_tokens
from federation.keys import ring as ring_module
from federation.keys.rotation import RETIRED_SECONDS
from federation.oauth.proofs import nonce
from federation.oauth.realm import Realm
from federation.oauth.resource import ResourceServer, TokenRefused
from federation.oauth.routes import routes
from federation.oauth.tokens import LIFETIME
from federation.storage.database import Database
from federation.world import real_world


@pytest.fixture
def home(tmp_path: Path) -> Path:
    create_keys(tmp_path, real_world())
    return tmp_path


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rings look at every use."""
    monkeypatch.setattr(ring_module, "LOOKED_AT_SECONDS", 0.0)


# The ring


def test_a_running_process_takes_a_new_key_within_a_second_and_asks_the_disk_twice_a_second_at_most(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring, looked, moment = KeyRing(home, real_world()), [], [time.monotonic()]
    real = ring_module._mark
    monkeypatch.setattr(ring_module, "_mark", lambda home: looked.append(1) or real(home))
    monkeypatch.setattr(ring_module.time, "monotonic", lambda: moment[0])
    old = ring.in_force.tokens.thumbprint
    new = rotate_tokens(home, real_world()).tokens.thumbprint
    seen = []
    for _ in range(400):
        moment[0] += 0.01
        seen.append(ring.in_force.tokens.thumbprint)
    assert seen[0] == old
    assert set(seen[60:]) == {new}
    assert 7 <= len(looked) <= 8


def test_a_process_that_cannot_read_the_keys_keeps_what_it_has(home: Path, at_once: None) -> None:
    ring = KeyRing(home, real_world())
    before, file = ring.in_force, home / "keys" / "tokens.jwk"
    good = file.read_bytes()
    for bad in (b"", b"{", good[: len(good) // 2], b'{"kty":"EC"}'):
        file.write_bytes(bad)
        assert ring.in_force is before
    file.unlink()
    assert ring.in_force is before
    new = home / "keys" / "new"
    new.write_bytes(good)
    new.chmod(0o644)
    new.replace(file)
    assert ring.in_force is before
    file.chmod(0o600)
    file.write_bytes(good)
    assert ring.in_force.tokens.thumbprint == before.tokens.thumbprint


def test_a_ring_needs_sound_keys_to_begin_with(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="missing"):
        KeyRing(tmp_path, real_world())


# Cut short


KILLED = """
import os, signal, sys
from pathlib import Path
from federation.keys import load_keys, replace_key
from federation.world import real_world

home, name = Path(sys.argv[1]), sys.argv[2]
steps = ["open", "fdopen", "fsync", "replace", "close"]

def die_at(at):
    count = [0]
    for step in steps:
        real = getattr(os, step)
        def counted(*arguments, real=real, **named):
            count[0] += 1
            if count[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
            done = real(*arguments, **named)
            count[0] += 1
            if count[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return done
        setattr(os, step, counted)

at, seen = 0, set()
while True:
    at += 1
    before = getattr(load_keys(home, real_world()), name)
    child = os.fork()
    if child == 0:
        die_at(at)
        replace_key(home, real_world(), name, lambda file, fresh: "said", 4_000_000_000)
        os._exit(0)
    _, how = os.waitpid(child, 0)
    found = load_keys(home, real_world())
    after = getattr(found, name)
    replaced = after.thumbprint != before.thumbprint
    if replaced:
        assert found.earlier[name][-1].key.thumbprint == before.thumbprint
    seen.add(replaced)
    if not os.WIFSIGNALED(how):
        assert replaced
        break
assert seen == {True, False}, seen
print(at)
"""


@pytest.mark.parametrize("name", ["tokens", "peer", "provenance"])
def test_killed_at_any_step_a_rotation_leaves_the_old_key_or_the_new_one(home: Path, name: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(home), name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15
    assert sorted(path.name for path in (home / "keys").iterdir()) == [
        "peer.jwk", "provenance.jwk", "secret", "tokens.jwk",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in (home / "keys").iterdir()} == {0o600}


def test_two_rotations_at_once_lose_no_key(home: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from federation.keys import rotate_tokens;"
        "from federation.world import real_world; rotate_tokens(Path(sys.argv[1]), real_world())"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(home)]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    keys = load_keys(home, real_world())
    assert len({key.thumbprint for key in keys.token_keys(int(time.time()))}) == 4


def test_a_key_that_is_gone_is_replaced_only_where_that_is_said(home: Path) -> None:
    (home / "keys" / "peer.jwk").unlink()
    with pytest.raises(SettingsInvalid, match="missing"):
        replace_key(home, real_world(), "peer", lambda file, fresh: None, 0)
    made = replace_key(home, real_world(), "peer", lambda file, fresh: None, 0, lost=True)
    assert made.peer.thumbprint == load_keys(home, real_world()).peer.thumbprint
    assert made.handovers("peer") == ()


def test_statements_lead_to_the_present_key_without_a_gap(home: Path) -> None:
    for said in ("one", None, "two", "three"):
        keys = replace_key(home, real_world(), "peer", lambda file, fresh, said=said: said, 0)
    assert keys.handovers("peer") == ("two", "three")
    assert [each.handover for each in keys.earlier["peer"]] == ["one", None, "two", "three"]


def test_no_private_half_of_a_replaced_key_stays(home: Path) -> None:
    old = load_keys(home, real_world())
    for name in ("tokens", "peer", "provenance"):
        replace_key(home, real_world(), name, lambda file, fresh: None, 0)
    left = "".join(path.read_text() for path in (home / "keys").iterdir())
    for name in ("tokens", "peer", "provenance"):
        assert getattr(old, name).jwk["d"] not in left
        (earlier,) = json.loads((home / "keys" / f"{name}.jwk").read_text())["earlier"]
        assert "d" not in earlier["jwk"]


# Tokens


class Worker:
    """One process of a node: its own ring over the home, and the node's database."""

    def __init__(self, node: Node, home: Path) -> None:
        ring = KeyRing(home, node.world)
        self.node = node
        self.realm = Realm(URL, ring, node.database, node.world, node.clients, SCOPES)
        self.app = TestClient(Starlette(routes=routes(self.realm)), base_url=URL)
        self.resource = ResourceServer(self.realm)

    def token(self) -> str:
        answer = self.app.post("/oauth/token", data=self.node.form(), headers={"dpop": self._proof()})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def _proof(self) -> str:
        return self.node.proof(nonce=nonce(self.realm.nonce_secret, self.node.now))

    def takes(self, token: str) -> bool:
        given = nonce(self.realm.nonce_secret, self.node.now)
        try:
            self.node.use(token, resource=self.resource, nonce=given)
        except TokenRefused as refused:
            return refused.error != "invalid_token"
        return True

    def kids(self) -> list[str]:
        return [key["kid"] for key in self.app.get("/.well-known/jwks.json").json()["keys"]]


@pytest.fixture
def node(database: Database) -> Node:
    return Node(database)


@pytest.fixture
def workers(node: Node, home: Path, at_once: None) -> tuple[Worker, Worker]:
    return Worker(node, home), Worker(node, home)


def kid_of(token: str) -> str:
    return str(read_jws(token, types=frozenset({"at+jwt"})).header["kid"])


def test_row_43_an_old_token_stays_valid_to_its_end_on_every_worker(node: Node, home: Path, workers) -> None:
    one, two = workers
    old = one.token()
    new_key = rotate_tokens(home, node.world).tokens.thumbprint
    assert one.takes(old)
    assert two.takes(old)
    node.clock.turn(LIFETIME - 1)
    assert two.takes(old)
    assert kid_of(two.token()) == kid_of(one.token()) == new_key != kid_of(old)
    node.clock.turn(2)
    assert not one.takes(old)
    assert not two.takes(old)


def test_row_43_the_key_set_holds_both_keys_while_tokens_of_the_old_one_live(node: Node, home: Path, workers) -> None:
    one, two = workers
    old = one.kids()
    rotate_tokens(home, node.world)
    assert one.kids() == two.kids()
    assert one.kids()[1:] == old
    assert one.kids()[0] not in old
    node.clock.turn(RETIRED_SECONDS + 1)
    assert old[0] not in two.kids()


def test_row_43_a_token_of_one_worker_counts_at_the_other_through_two_rotations(
    node: Node, home: Path, workers
) -> None:
    one, two = workers
    first = one.token()
    rotate_tokens(home, node.world)
    second = two.token()
    rotate_tokens(home, node.world)
    third = one.token()
    assert [two.takes(each) for each in (first, second, third)] == [True, True, True]


def test_row_43_what_a_leaked_key_signed_ends_at_once_though_it_was_verified_before(
    node: Node, home: Path, workers
) -> None:
    one, two = workers
    token = one.token()
    assert one.takes(token)
    assert two.takes(token)
    rotate_tokens(home, node.world, leaked=True)
    assert not one.takes(token)
    assert not two.takes(token)
    assert one.takes(two.token())
    assert len(one.kids()) == 1
