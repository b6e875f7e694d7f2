"""Linked nodes as fixtures, for the modules that name this one as a plugin: river gives to west, west to aurora."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from exchange_nodes import COMMUNITY, PARTNER, Clock, Net, Node, copy_of, link


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def make(tmp_path: Path, clock: Clock, net: Net, sqlite_template: Path) -> Iterator[Callable[..., Node]]:
    made: list[Node] = []

    def make(name: str, **more) -> Node:
        directory = tmp_path / name
        directory.mkdir()
        node = Node(name, net, copy_of(sqlite_template, directory / "node.db"), clock, **more)
        made.append(node)
        return node

    yield make
    for node in made:
        node.stop()


@pytest.fixture
def river(make) -> Node:
    return make("river")


@pytest.fixture
def west(make, river) -> Node:
    west = make("west")
    link(river, west)
    river.grant("west", PARTNER)
    return west


@pytest.fixture
def aurora(make, west) -> Node:
    aurora = make("aurora")
    link(west, aurora)
    west.grant("aurora", COMMUNITY)
    return aurora
