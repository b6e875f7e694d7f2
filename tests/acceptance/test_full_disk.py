"""A full disk: writes and what is above `open` stop with a sentence, `open` reads go on, and room alone mends it."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
import sqlcipher3

from acceptance.caller import Caller, get, post
from acceptance.commands import commanded, done
from acceptance.conftest import WRITING, Pair, resource
from acceptance.federation_demo import wait_until
from acceptance.holdings import query
from acceptance.lone_node import made_home
from acceptance.small_disk import BLOCK, SmallDisk, small_disk

CREATE = """mutation ($record: ResourceInput!) {
  createResource(input: {record: $record, share: true}) { id userErrors { message } }
}"""
OPEN = "{ resources(first: 5) { edges { node { title } } } }"
ABOVE = "{ resources(first: 5) { edges { node { title renewable } } } }"
SMALL = Path(__file__).parents[1] / "data" / "hsds_small"
FULL = "The disk is full: nothing was written. Make room and try again."


def created(pair: Pair, title: str) -> httpx2.Response:
    record = {**resource(title), "kind": "EMERGENCY_GRANT"}
    return pair.editor.post("/graphql", {"query": CREATE, "variables": {"record": record}})


def code_of(answer: httpx2.Response) -> str | None:
    """The code of an answer's first error; None where there is none."""
    errors = answer.json().get("errors")
    return errors[0]["extensions"]["code"] if errors else None


def asked_openly(pair: Pair, **headers: str) -> httpx2.Response:
    """What anybody may ask."""
    body = json.dumps({"query": OPEN})
    return post(f"{pair.doorway.url}/graphql", {"content-type": "application/json", **headers}, content=body)


def shared(home: Path) -> set[str]:
    return {row["title"] for row in query(home, "SELECT title__exact AS title FROM resource WHERE status = 'shared'")}


@pytest.fixture
def filled(pair: Pair) -> Iterator[set[str]]:
    """River while its disk is full, in the middle of writing; the titles that it has acknowledged. A reader, like a
    backup, holds a snapshot, so that no room is found within the files."""
    assert pair.river.process is not None
    acknowledged, pid = shared(pair.river.home), pair.river.process.pid
    with closing(sqlcipher3.connect(f"file:{pair.river.home / 'node.db'}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM resource").fetchone()
        pair.disk.fill(pid, left=400_000)
        try:
            for number in range(200):
                title = f"Late {number} {uuid.uuid4().hex[:6]}"
                answer = created(pair, title)
                if code_of(answer) is not None:
                    break
                acknowledged.add(title)
            assert code_of(answer) == "UNAVAILABLE", answer.text
            assert "disk" in answer.text
            pair.disk.fill(pid)
            yield acknowledged
        finally:
            pair.disk.free(pid)


@pytest.fixture
def bearer(pair: Pair) -> str:
    """The header of a personal token."""
    return "Bearer " + done(pair.river.home, "token", "issue", "asha", "--scopes", "resource:open")["token"]


def test_open_reads_go_on_the_rest_is_refused_and_room_alone_mends_it(
    pair: Pair, bearer: str, filled: set[str]
) -> None:
    river, home = pair.river, pair.river.home
    assert river.process is not None
    wait_until(lambda: asked_above(pair).status_code == 503, 30)
    assert code_of(asked_above(pair)) == "UNAVAILABLE"
    assert code_of(created(pair, "Never")) == "UNAVAILABLE"
    for answer in (asked_openly(pair), asked_openly(pair, authorization=bearer)):
        assert (answer.status_code, len(answer.json()["data"]["resources"]["edges"])) == (200, 5)
    assert get(f"{pair.doorway.url}/health/ready").status_code == 200
    refused = Caller(pair.doorway.url, pair.editor.client_id, pair.editor.jwk, WRITING).asked_for_token()
    assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    held = shared(pair.west)
    pulled = commanded(pair.west, "sync", "river", "--json")
    assert pulled.code == 1
    assert "disk" in pulled.json[0]["problem"]
    assert shared(pair.west) == held
    if pair.disk.mounted:  # a limit is one of the serving process alone
        assert commanded(home, "peer", "invite").refused("UNAVAILABLE", FULL)
        assert commanded(home, "peer", "invite", "--json").json["error"] == {"code": "UNAVAILABLE", "message": FULL}
    assert commanded(home, "record", "list").code == 0
    assert done(home, "audit", "verify") == []

    pair.disk.free(river.process.pid)
    assert code_of(created(pair, "At last")) is None
    assert asked_above(pair).status_code == 200
    assert river.process.poll() is None
    assert shared(home) == filled | {"At last"}  # all that was acknowledged, and nothing that was refused
    done(pair.west, "sync", "river")
    assert shared(pair.west) == shared(home)
    assert done(home, "audit", "verify") == []
    assert query(home, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def asked_above(pair: Pair) -> httpx2.Response:
    """What only those may ask who have a scope above `open`."""
    return pair.editor.post("/graphql", {"query": ABOVE})


# The command line on a full disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 4) as disk:
        yield disk


@pytest.fixture
def home(disk: SmallDisk, tmp_path: Path) -> Path:
    """A home on it with three records."""
    home = made_home(disk.path / "river", "River", "http://127.0.0.1:9")
    records = tmp_path / "records.json"
    records.write_text(json.dumps([{"type": "resource", "document": resource(f"Own {n}")} for n in range(3)]))
    done(home, "record", "add", records, "--share")
    return home


def test_a_home_that_a_full_disk_left_half_made_is_made_by_the_same_command_again(disk: SmallDisk) -> None:
    home = disk.path / "river"
    words = ("init", "--name", "River", "--url", "http://127.0.0.1:9", "--scope", "local")
    with disk.full():
        assert commanded(home, *words).refused("UNAVAILABLE")
    assert not (home / "federation.toml").exists()
    assert commanded(home, *words).code == 0
    assert done(home, "audit", "verify") == []
    assert [path.name for path in home.iterdir() if path.name.endswith(".new")] == []


def test_no_command_writes_half_of_anything(disk: SmallDisk, home: Path, tmp_path: Path) -> None:
    records = tmp_path / "records.json"
    before = shared(home)
    with disk.full():
        for words in (
            ("record", "add", records),
            ("import", "hsds", SMALL),
            ("token", "issue", "x", "--scopes", "resource:open"),
        ):
            ended = commanded(home, *words)
            assert ended.refused("UNAVAILABLE", "disk"), ended
    assert shared(home) == before
    assert done(home, "token", "list") == []
    assert commanded(home, "import", "hsds", SMALL, "--json").json["imported"] == 4


def test_an_export_that_does_not_fit_leaves_no_file_behind(disk: SmallDisk, tmp_path: Path) -> None:
    home, target = made_home(tmp_path / "river", "River", "http://127.0.0.1:9"), disk.path / "out.jsonl"
    with disk.full():
        assert commanded(home, "export", "json", target).refused("UNAVAILABLE")
    assert not target.exists()
    assert done(home, "export", "json", target)["lines"] == 1


def test_a_client_whose_key_does_not_fit_is_not_one(disk: SmallDisk, tmp_path: Path) -> None:
    home, key = made_home(tmp_path / "river", "River", "http://127.0.0.1:9"), disk.path / "reader.jwk"
    words = ("client", "add", "reader", "--scopes", "resource:open", "--key-file", key)
    with disk.full():
        assert commanded(home, *words).refused("UNAVAILABLE")
    assert not key.exists()
    assert [row["name"] for row in done(home, "client", "list") if not row["revoked"]] == []
    assert commanded(home, *words).code == 0


@contextlib.contextmanager
def room_for(what: str, disk: SmallDisk, home: Path, more: Path) -> Iterator[None]:
    """While it lasts, `nothing` fits on the disk, or a small `file` beside the database, or some rows of the `database`
    within its own files."""
    with closing(sqlcipher3.connect(str(home / "node.db"))) as other:  # with it the files stay that readers share
        other.execute("SELECT count(*) FROM resource").fetchone()
        if what == "database":
            done(home, "record", "add", more)
            other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        else:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM resource").fetchone()
        disk.fill(os.getpid(), 3 * BLOCK if what == "file" and disk.mounted else 0)
        try:
            yield
        finally:
            disk.free(os.getpid())


@pytest.mark.parametrize("room", ["nothing", "file", "database"])
def test_a_policy_that_does_not_fit_is_neither_in_force_nor_in_the_home(
    room: str, disk: SmallDisk, home: Path, tmp_path: Path
) -> None:
    before, file = done(home, "policy", "show"), tmp_path / "narrower.toml"
    file.write_text(before["policy"].replace('eligibility = "open"', 'eligibility = "network"'))
    with room_for(room, disk, home, tmp_path / "records.json"):
        assert commanded(home, "policy", "apply", file, "--yes", "--json").json["error"]["code"] == "UNAVAILABLE"
    assert [path.name for path in home.iterdir() if path.name.startswith("policy.")] == []
    assert done(home, "policy", "show") == before
    first = done(home, "policy", "apply", file)["version"]
    kept = (home / "policy.toml").read_text()
    with room_for(room, disk, home, tmp_path / "records.json"):
        assert commanded(home, "policy", "rollback", "--yes", "--json").json["error"]["code"] == "UNAVAILABLE"
    assert [path.name for path in home.iterdir() if path.name.startswith("policy.")] == ["policy.toml"]
    assert (home / "policy.toml").read_text() == kept
    assert done(home, "policy", "show")["version"] == first != before["version"]
