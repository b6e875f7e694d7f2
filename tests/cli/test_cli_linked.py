"""Two nodes, served by processes of their own and driven by commands alone: set up, linked, in step, cut off, ended."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import orjson
import pytest
from acceptance.commands import commanded, done
from acceptance.federation_demo import ENVIRONMENT, federation, free_ports, wait_until
from acceptance.holdings import query
from acceptance.lone_node import Served

from cli.conftest import RESOURCE
from federation.storage.ids import global_id

SETTINGS = 'allow_private_peers = ["127.0.0.0/8"]\nsweep_interval = 2\n'
GRANT = ("--scopes", "resource:community,exchange", "--purpose", "coordination", "--until", "2099-12-31")


@dataclass
class Two:
    """River and west, both served. Commands act on the homes; the tests run in the order of this file."""

    river: Served
    west: Served

    def titles(self) -> set[str]:
        """What west holds."""
        rows = query(self.west.home, "SELECT title__exact AS title FROM resource WHERE status = 'shared'")
        return {row["title"] for row in rows}

    def add(self, place: Path, *titles: str) -> None:
        file = place / "records.json"
        file.write_bytes(
            orjson.dumps([{"type": "resource", "document": RESOURCE | {"title": each}} for each in titles])
        )
        assert done(self.river.home, "record", "add", file, "--share")["refused"] == []


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    place, base = tmp_path_factory.mktemp("two"), free_ports(2)
    nodes = []
    for offset, (name, seconds) in enumerate((("River", 3600), ("West", 1)), 1):
        home = place / name.lower()
        url = f"http://127.0.0.1:{base + offset}"
        done(home, "init", "--name", name, "--url", url, "--scope", "local")
        with open(home / "federation.toml", "a", encoding="utf-8") as file:
            file.write(f"{SETTINGS}exchange_interval = {seconds}\n")
        nodes.append(Served(home, base + offset, place / f"{name.lower()}.log"))
    try:
        for node in nodes:
            node.start()
        yield Two(*nodes)
    finally:
        for node in nodes:
            if node.process is not None and node.process.poll() is None:
                node.end()


def test_a_setup_link_is_printed_once_and_works_once(two: Two) -> None:
    (link,) = re.findall(r"http://\S+#(\S+)", two.river.said())
    form = {"code": link, "password": "a long password", "again": "a long password"}
    setup = f"{two.river.address}/console/setup"
    with httpx2.Client(trust_env=False, headers={"origin": two.river.address}) as http:
        assert http.post(setup, data=form | {"code": link[:-2] + "xx"}).status_code == 404
        assert "steward" in http.post(setup, data=form).text
        assert http.post(setup, data=form).status_code == 404
    assert "NO_STEWARD" not in {row["code"] for row in commanded(two.river.home, "doctor", "--json").json}


def test_a_port_in_use_is_one_sentence_and_disturbs_nobody(two: Two) -> None:
    link = re.findall(r"http://\S+#(\S+)", two.west.said())[0]
    ended = federation("serve", "--home", str(two.west.home), "--port", str(two.west.port))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"UNAVAILABLE: Nothing can listen at 127.0.0.1, port {two.west.port} (")
    assert len(ended.stderr.splitlines()) == 1
    form = {"code": link, "password": "a long password", "again": "a long password"}
    with httpx2.Client(trust_env=False, headers={"origin": two.west.address}) as http:
        assert http.post(f"{two.west.address}/console/setup", data=form).status_code == 200


def test_an_invitation_is_accepted_and_the_words_are_compared_on_both_sides(two: Two) -> None:
    river, west = two.river.home, two.west.home
    invitation = commanded(river, "peer", "invite").out.strip()
    assert invitation.startswith("federation-invite-")
    accepted = commanded(west, "peer", "accept", invitation)
    assert accepted.code == 0
    assert "not yet verified" in accepted.out
    words = done(west, "peer", "words", "River")["words"]
    assert len(words.split()) == 8
    assert words in accepted.out
    assert done(river, "peer", "words", "West")["words"] == words
    wrong = " ".join([*words.split()[1:], words.split()[0]])
    for said in (wrong, " ".join(words.split()[:7]), "one two three"):
        assert commanded(river, "peer", "verify", "West", "--words", said).refused("BAD_INPUT", "do not go on")
    assert done(river, "peer", "show", "West")["verified"] is False
    assert commanded(west, "sync", "River", "--json").code == 1  # nothing is pulled before that
    for home, name in ((river, "West"), (west, "River")):
        assert commanded(home, "peer", "verify", name, "--words", words.upper()).out == f"{name} is verified.\n"
    assert commanded(river, "peer", "grant", "Nobody", *GRANT).refused("NOT_FOUND")
    assert commanded(river, "peer", "grant", "West", *GRANT[:-1], "tomorrow").refused("BAD_INPUT", "is no day")
    assert done(river, "peer", "grant", "West", *GRANT, "--yes")["state"] == "active"
    (row,) = done(river, "peer", "list")
    assert (row["name"], row["verified"], row["purpose"]) == ("West", True, "coordination")
    assert "West" in commanded(river, "peer", "list").out


def test_what_is_shared_arrives_and_is_listed_as_held(two: Two, tmp_path: Path) -> None:
    two.add(tmp_path, "First", "Second")
    pulled = done(two.west.home, "sync", "River")
    assert [set(row) for row in pulled] == [{"peer", "taken", "withdrawn"}]
    assert two.titles() == {"First", "Second"}
    received = [row["id"] for row in done(two.west.home, "record", "list")]
    assert len(received) == 2
    assert commanded(two.west.home, "record", "show", received[0]).refused("NOT_FOUND", "it is not your own")
    unknown = global_id("resource", "T" * 43, b"\1" * 16)
    assert commanded(two.west.home, "record", "show", unknown).refused("NOT_FOUND", "There is no record with this id.")
    held = done(two.river.home, "peer", "holdings", "West")
    assert {row["type"] for row in held} == {"resource"}
    assert [row["withdrawn"] for row in held] == [False, False]
    assert all(row["steps"]["title"] == "exact" for row in held)
    assert "exact" in commanded(two.river.home, "peer", "holdings", "West").out
    shown = done(two.west.home, "peer", "show", "River")
    assert (shown["failures"], shown["last_error"]) == (0, None)
    assert shown["last_success"] is not None


def test_a_worker_beside_the_server_takes_nothing_twice(two: Two, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with open(log, "wb") as said:
        worker = subprocess.Popen(
            [sys.executable, "-m", "federation", "worker", "--home", str(two.west.home)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=ENVIRONMENT,
        )
    try:
        wait_until(lambda: b'"exchanged"' in log.read_bytes(), 60)
        begun = len(two.west.said())
        titles = {f"Of many {number}" for number in range(6)}
        for title in sorted(titles):
            two.add(tmp_path, title)
            time.sleep(0.3)
        wait_until(lambda: titles <= two.titles(), 30)
        time.sleep(2.5)
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=30) == 0
    lines = [*two.west.said()[begun:].splitlines(), *log.read_text().splitlines()]
    pulls = [each for each in map(orjson.loads, lines) if each["event"] == "exchanged"]
    assert sum(each["taken"] for each in pulls) == len(titles)
    at = sorted(each["timestamp"] for each in pulls)
    assert len(set(at)) == len(at)
    assert "Traceback" not in log.read_text()


def test_a_frozen_peer_gets_no_answer_and_keeps_what_it_holds(two: Two, tmp_path: Path) -> None:
    before = two.titles()
    assert done(two.river.home, "peer", "freeze", "West")["state"] == "frozen"
    two.add(tmp_path, "While frozen")
    ended = commanded(two.west.home, "sync", "River", "--json")
    assert ended.code == 1
    assert "gave no token" in ended.json[0]["problem"]
    assert two.titles() == before
    done(two.river.home, "peer", "unfreeze", "West")
    done(two.west.home, "sync", "River")
    assert two.titles() == before | {"While frozen"}


def test_a_revoked_peer_is_told_to_let_go_of_everything(two: Two) -> None:
    assert done(two.river.home, "peer", "revoke", "West", "--yes")["state"] == "revoked"
    done(two.west.home, "sync", "River")
    assert two.titles() == set()
    assert all(row["withdrawn"] for row in done(two.river.home, "peer", "holdings", "West"))
    assert commanded(two.river.home, "peer", "revoke", "Nobody", "--yes").refused("NOT_FOUND")


def test_a_server_that_is_asked_to_end_does_so_and_peers_say_that_it_is_away(two: Two, tmp_path: Path) -> None:
    done(two.river.home, "peer", "grant", "West", *GRANT, "--yes")
    done(two.west.home, "sync", "River")
    before = two.titles()
    assert before
    begun = time.monotonic()
    assert two.river.end() in (0, -signal.SIGTERM)
    assert time.monotonic() - begun < 15
    assert "Traceback" not in two.river.said()
    ended = commanded(two.west.home, "sync")
    assert ended.code == 1
    assert "No connection to 127.0.0.1" in " ".join(ended.out.split())
    assert ended.err == ""
    assert two.titles() == before
    wait_until(lambda: done(two.west.home, "peer", "show", "River")["failures"] > 0, 20)
    assert commanded(two.west.home, "sync", "Nobody").code == 1
    assert two.west.end() in (0, -signal.SIGTERM)
    for home in (two.river.home, two.west.home):
        assert done(home, "audit", "verify") == []
        assert query(home, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
