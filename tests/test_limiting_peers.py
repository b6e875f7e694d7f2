"""A node that was asked too often says when to come back, and peers do."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import format_datetime
from pathlib import Path

import pytest
from oracles.network import Network, agree, scopes_of
from oracles.seeing import everyone
from oracles.stage import joined
from oracles.test_peers import link
from oracles.worlds import Clock, make_home, open_home

from federation.errors import RateLimited
from federation.node import Node
from federation.outbound import retry_after
from federation.peers import agreements, state
from federation.peers.loop import LONGEST_BACKOFF_SECONDS, ExchangeLoop
from federation.policies.tiers import Tier


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pair(tmp_path: Path, sqlite_template: Path, clock: Clock) -> Iterator[tuple[Node, Node, Network]]:
    """River, which lets a peer ask ten times a minute, and west, which pulls from it."""
    network = Network()
    river = joined(open_home(make_home(tmp_path, "river", clock, sqlite_template, peer_per_minute=10), clock), network)
    west = joined(open_home(make_home(tmp_path, "west", clock, sqlite_template), clock), network)
    link(river, west, network)
    agree(river, "west", [*scopes_of(everyone(Tier.OPEN)), "exchange"])
    yield river, west, network
    for node in (river, west):
        node.close()
    network.close()


def test_a_peer_that_pulls_too_often_waits_as_long_as_it_is_told(
    pair: tuple[Node, Node, Network], clock: Clock
) -> None:
    _, west, network = pair
    who = agreements.partner(west.database, "river")
    with pytest.raises(RateLimited) as refused:
        _pull(west, 30)
    assert refused.value.seconds == int(_last_refusal(network)[b"retry-after"])
    loop = ExchangeLoop(west.database, west.world, west.puller.sync, "one", interval=1)
    assert [each.error for each in loop.round()] == ["RATE_LIMITED"]
    told = int(_last_refusal(network)[b"retry-after"])
    due = state.sync_state_of(west.database, who.pid).next_try
    assert due is not None
    assert told <= (due - clock.at).total_seconds()
    clock.forward(seconds=told - 1)
    assert loop.round() == []
    clock.forward(seconds=(due - clock.at).total_seconds())
    assert [each.error for each in loop.round()] == [None]


def _pull(node: Node, times: int) -> None:
    for _ in range(times):
        node.puller.sync(agreements.partner(node.database, "river"))


def _last_refusal(network: Network) -> dict[bytes, bytes]:
    return dict(next(said for said in reversed(network.said) if said.status == 429).headers)


def test_a_token_that_is_refused_for_now_says_until_when(pair: tuple[Node, Node, Network]) -> None:
    river, west, network = pair
    session = west.puller._session
    with pytest.raises(RateLimited) as refused:
        _tokens(session, river.settings.url, 40)
    assert refused.value.seconds == int(_last_refusal(network)[b"retry-after"])
    assert _last_refusal(network)[b"cache-control"] == b"no-store"


def _tokens(session: object, issuer: str, times: int) -> None:
    for _ in range(times):
        session._servers.clear()  # type: ignore[attr-defined]
        session.token(issuer, frozenset({"exchange"}))  # type: ignore[attr-defined]


def test_a_pause_that_nobody_would_wait_for_is_cut_short(pair: tuple[Node, Node, Network], clock: Clock) -> None:
    _, west, _ = pair

    def busy(who: object) -> None:
        raise RateLimited("Later.", seconds=10**9)

    loop = ExchangeLoop(west.database, west.world, busy, "one", interval=1)  # type: ignore[arg-type]
    loop.round()
    due = state.sync_state_of(west.database, agreements.partner(west.database, "river").pid).next_try
    assert due is not None
    assert (due - clock.at).total_seconds() == LONGEST_BACKOFF_SECONDS


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("30", 30), ("0", 0), ("99999999999999999999", 86_400), ("soon", None), ("", None), ("-5", None), ("٣", None)],
)
def test_the_time_that_an_answer_asks_for_is_read_with_care(said: str, seconds: int | None) -> None:
    assert retry_after({"retry-after": said}, 1_000) == seconds


def test_a_date_is_read_as_well(clock: Clock) -> None:
    now = int(clock.at.timestamp())
    assert retry_after({"retry-after": format_datetime(clock.at, usegmt=True)}, now - 90) == 90
    assert retry_after({"retry-after": format_datetime(clock.at, usegmt=True)}, now + 90) == 0
    assert retry_after({}, now) is None
