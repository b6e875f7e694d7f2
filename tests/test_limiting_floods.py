"""A thousand wrong logins at one moment: few passwords are hashed for them, and nobody else waits."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from argon2 import PasswordHasher
from oracles.worlds import Clock, make_home, open_home
from starlette.testclient import TestClient

from federation.abuse import login_limits
from federation.app import build
from federation.errors import RateLimited
from federation.node import Node
from federation.oauth.accounts import add_account, check_password

QUERY = orjson.dumps({"query": "{ resources(first: 5) { edges { node { title } } } }"})
WRONG = 1000
TURNS = threading.Lock()
"""One password is hashed at a time, so that strangers do not keep every core busy."""
PASSWORD = "a long one that nobody guesses"


@pytest.fixture
def node(tmp_path: Path, sqlite_template: Path) -> Iterator[Node]:
    clock = Clock()
    home = make_home(tmp_path, "river", clock, sqlite_template, public_scopes=["resource:open"], logins_per_hour=20)
    opened = open_home(home, clock)
    add_account(opened.database, opened.world, "maria", "Maria", password=PASSWORD)
    yield opened
    opened.close()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When a password was compared with a hash, for as long as the test lasts."""
    at: list[float] = []
    real = PasswordHasher.verify

    def verify(self: PasswordHasher, *given: str) -> object:
        at.append(time.monotonic())
        return real(self, *given)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    return at


def login(node: Node, address: str, password: str, mark: str | None = None) -> bool | None:
    """What the login page does: whether it was right, None where it was not looked at."""
    limits = login_limits(node)
    try:
        limits.may_try(address, "maria", mark)
    except RateLimited:
        return None
    with TURNS:
        return check_password(node.database, "maria", password) is not None


def times(ask: Callable[[], object], count: int) -> list[float]:
    found = []
    for _ in range(count):
        begun = time.perf_counter()
        ask()
        found.append(time.perf_counter() - begun)
    return found


def p95(found: list[float]) -> float:
    return statistics.quantiles(found, n=20)[-1]


def test_a_thousand_wrong_logins_hash_few_passwords_and_slow_nobody(node: Node, hashed: list[float]) -> None:
    mark = login_limits(node).succeeded("192.0.2.1", "maria")
    with TestClient(build(node, background=False), base_url="https://river.example") as web:

        def ask() -> None:
            answer = web.post("/graphql", content=QUERY, headers={"content-type": "application/json"})
            assert answer.status_code == 200

        times(ask, 50)
        before = p95(times(ask, 200))
        over = threading.Event()

        def attack(part: int) -> None:
            for number in range(WRONG // 4):
                login(node, f"198.51.{part}.{number % 50}", "wrong")
            over.set()

        attackers = [threading.Thread(target=attack, args=(part,)) for part in range(4)]
        for attacker in attackers:
            attacker.start()
        during: list[float] = []
        while not over.is_set():
            during += times(ask, 10)
        for attacker in attackers:
            attacker.join()
    assert len(hashed) <= 60  # strangers' tries a minute: three times the setting
    assert p95(during) < max(10 * before, 0.1), (before, p95(during))
    assert login(node, "203.0.113.5", PASSWORD) is None
    assert login(node, "203.0.113.5", PASSWORD, mark) is True
