"""One real demonstration for the acceptance tests that change something, each of which leaves it linked and in step;
and one node behind a doorway, on a disk that can be full. Both end with these tests: what runs costs, also idle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from acceptance.caller import Caller
from acceptance.commands import done
from acceptance.doorway import Doorway
from acceptance.federation_demo import RunningDemo, free_ports, running_demo
from acceptance.lone_node import Served, linked, made_home
from acceptance.small_disk import SmallDisk, small_disk

LETTERS = bytes(97 + byte % 26 for byte in range(256))
WRITING = ["records:write", "resource:open", "resource:partner"]


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """Three linked nodes with the invented sample."""
    with running_demo(tmp_path_factory.mktemp("acceptance") / "demo", free_ports(3)) as running:
        yield running


@dataclass
class Pair:
    """River, served on a small disk behind a doorway, and the home of west, which pulls from it by command."""

    river: Served
    west: Path
    doorway: Doorway
    disk: SmallDisk
    editor: Caller


def resource(title: str, length: int = 5000) -> dict[str, object]:
    """A resource whose text can hardly be packed smaller, and looks like no number of anything."""
    return {
        "title": title,
        "summary": os.urandom(length).translate(LETTERS).decode(),
        "kind": "emergency_grant",
        "renewable": True,
        "expectations": "We answer within a week.",
    }


@pytest.fixture(scope="package")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Linked, granted and in step, with more records than fit between two checkpoints."""
    place = tmp_path_factory.mktemp("pair")
    port = free_ports(1) + 1
    with closing(Doorway(port)) as doorway, small_disk(place / "small", 32) as disk:
        home = made_home(disk.path / "river", "River", doorway.url, 'public_scopes = ["resource:open"]\n')
        west = made_home(place / "west", "West", "http://127.0.0.1:9")
        records = place / "records.json"
        records.write_bytes(orjson.dumps([{"type": "resource", "document": resource(f"First {n}")} for n in range(60)]))
        assert len(done(home, "record", "add", records, "--share")["ids"]) == 60
        made = done(home, "client", "add", "editor", "--scopes", ",".join(WRITING))
        river = Served(home, port, place / "river.log")
        river.start()
        try:
            linked(home, west, "river", "west")
            granted = ("--scopes", "resource:community,exchange", "--purpose", "coordination", "--until", "2099-12-31")
            done(home, "peer", "grant", "west", *granted, "--yes")
            editor = Caller(doorway.url, made["client_id"], made["private_jwk"], WRITING)
            yield Pair(river, west, doorway, disk, editor)
        finally:
            river.end()
