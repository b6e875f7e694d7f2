"""`peer …` and `sync` at a node that has a peer, at whose address nobody answers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import sqlcipher3

from cli.conftest import Cli, Ran, not_confirmed


def test_an_agreement_is_not_ended_without_a_yes(cli: Cli, pair: Path, no_answer: None) -> None:
    river = pair / "river"
    assert cli("peer", "revoke", "West", home=river).code == 1
    assert not_confirmed(cli("peer", "revoke", "West", "--json", home=river))
    assert cli("peer", "show", "West", "--json", home=river).json["state"] == "pinned"
    assert cli("peer", "revoke", "West", "--yes", "--json", home=river).json["state"] == "revoked"


def test_a_peer_is_shown_in_words_for_people(cli: Cli, pair: Path) -> None:
    lines = cli("peer", "show", "West", home=pair / "river").out.splitlines()
    assert {"scopes: –", "purpose: –", "narrowing: –", "reconciling: no"} <= set(lines)
    assert not [line for line in lines if re.search("None|True|False|[+]00:00|[{}]", line)]


def test_commands_to_copy_hold_a_peer_of_two_words_as_one(cli: Cli, pair: Path) -> None:
    river = pair / "river"
    cli("peer", "rename", "West", "West Hub", home=river)
    assert cli("peer", "freeze", "West Hub", home=river).code == 0
    said = cli("sync", "West Hub", home=river)
    assert "federation peer unfreeze 'West Hub'" in said.out or "federation peer verify 'West Hub'" in said.out


def test_an_invitation_is_all_that_is_printed_and_what_comes_next_stands_beside_it(cli: Cli, pair: Path) -> None:
    made = cli("peer", "invite", home=pair / "river")
    assert re.fullmatch("federation-invite-[^ ]+\n", made.out)
    assert "federation peer accept" in made.err


def test_a_grant_that_widens_is_asked_about(cli: Cli, pair: Path, no_answer: None) -> None:
    west = pair / "west"

    def grant(scopes: str, *more: str, until: str = "2099-06-30") -> Ran:
        words = ("--scopes", scopes, "--purpose", "coordination", "--until", until, "--json")
        return cli("peer", "grant", "River", *words, *more, home=west)

    assert not_confirmed(grant("resource:community"))
    assert cli("peer", "show", "River", "--json", home=west).json["state"] == "pinned"
    assert grant("resource:persons").json["error"]["code"] == "BAD_INPUT"
    assert grant("resource:community", "--dry-run").code == 0
    narrow = ("--narrow", "resource.area=sub_region")
    assert grant("resource:community", *narrow, "--yes").json["state"] == "active"
    assert grant("resource:community", *narrow).code == 0
    assert grant("resource:community", *narrow, "--narrow", "resource.title=nobody").code == 0
    assert not_confirmed(grant("resource:community", *narrow))
    assert grant("resource:open", "--narrow", "resource.area=nobody", "--narrow", "resource.title=nobody").code == 0
    assert not_confirmed(grant("resource:open", *narrow, "--narrow", "resource.title=nobody"))
    assert grant("resource:community", *narrow, "--yes").code == 0
    assert grant("resource:community", *narrow, until="2098-06-30").json["until"] == "2098-06-30"
    for scopes, more in (
        ("resource:community", ()),
        ("resource:community", ("--narrow", "resource.area=country")),
        ("resource:partner", narrow),
        ("resource:community,need:open", narrow),
        ("resource:community", narrow),  # for longer
    ):
        assert not_confirmed(grant(scopes, *more)), scopes
    person = ("--scopes", "resource:partner", "--purpose", "coordination", "--until", "2098-06-30")
    assert cli("peer", "grant", "River", *person, home=west).code == 1
    assert cli("peer", "show", "River", "--json", home=west).json["scopes"] == ["resource:community"]


def test_a_peer_that_is_not_pulled_is_said_why_and_what_to_do(cli: Cli, pair: Path) -> None:
    river, west = pair / "river", pair / "west"
    assert cli("sync", home=river).out.split() == [
        *("peer", "skipped", "West", "West", "is", "not", "verified,", "so", "it", "is", "not", "pulled."),
        *("Compare", "the", "eight", "words", "with", "them:", "federation", "peer", "words", "West,"),
        *("then", "federation", "peer", "verify", "West", "--words", '"…"'),
    ]
    told = cli("sync", "--json", home=river)
    assert told.code == 0
    (row,) = told.json
    assert row["peer"] == "West"
    assert row["skipped"].startswith("West is not verified, so it is not pulled. Compare the eight words")
    named = cli("sync", "West", "--json", home=river)
    assert named.code == 1
    assert named.json == [{"peer": "West", "problem": row["skipped"]}]

    assert cli("peer", "freeze", "River", home=west).code == 0
    assert "River is frozen, so it is not pulled." in cli("sync", "--json", home=west).json[0]["skipped"]
    assert cli("peer", "unfreeze", "River", home=west).code == 0
    failed = cli("sync", "--json", home=west)  # nobody is there
    assert (failed.code, set(failed.json[0])) == (1, {"peer", "problem"})
    assert cli("peer", "revoke", "River", "--yes", home=west).code == 0
    assert "River was revoked, so it is not pulled." in cli("sync", "--json", home=west).json[0]["skipped"]


def test_a_node_without_peers_is_told_how_to_link(cli: Cli, home: Path) -> None:
    assert cli("sync", home=home).out == "No peers yet. `federation peer invite` links to one.\n"
    assert cli("sync", "--json", home=home).json == []
    assert cli("sync", "nobody", home=home).err.startswith("NOT_FOUND: ")


@contextmanager
def answering(ahead: int) -> Iterator[str]:
    """The address of a server whose clock is so many seconds ahead."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + ahead, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def clock_of_river(pair: Path) -> Iterator[Callable[[int], Path]]:
    """Lets river answer with a clock that is so many seconds ahead; gives the home of west, which asks it."""
    home = pair / "west"
    with open(home / "federation.toml", "a", encoding="utf-8") as file:
        file.write('allow_private_peers = ["127.0.0.0/8"]\n')
    with ExitStack() as servers:

        def ahead(seconds: int) -> Path:
            address = servers.enter_context(answering(seconds))
            with closing(sqlcipher3.connect(str(home / "node.db"))) as connection:
                connection.execute("UPDATE peers SET issuer = ?", (address,))
                connection.commit()
            return home

        yield ahead


@pytest.mark.parametrize(("ahead", "way"), [(0, None), (3, None), (3600, "ahead of"), (-86400 * 400, "behind")])
def test_doctor_shows_how_far_a_clock_is_off(
    ahead: int, way: str | None, cli: Cli, clock_of_river: Callable[[int], Path]
) -> None:
    found = [row for row in cli("doctor", "--json", home=clock_of_river(ahead)).json if row["code"] == "CLOCK"]
    assert len(found) == (way is not None)
    for row in found:
        told = re.match(rf"The clock of River is (\d+) seconds {way} this one\. ", row["finding"])
        assert told is not None
        assert abs(int(told[1]) - abs(ahead)) <= 2  # an answer takes its time
        assert "NTP" in row["mend"]


def test_doctor_does_not_wait_for_a_peer_that_is_away(cli: Cli, pair: Path) -> None:
    started = time.monotonic()
    assert "CLOCK" not in {row["code"] for row in cli("doctor", "--json", home=pair / "west").json}
    assert time.monotonic() - started < 20
