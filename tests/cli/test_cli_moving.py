"""A node moves into PostgreSQL, is served there by two processes, and moves back; everything is still there."""

from __future__ import annotations

import json
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from acceptance.caller import Caller, post
from acceptance.commands import commanded, done
from acceptance.federation_demo import free_ports
from acceptance.lone_node import Served

from cli.conftest import RESOURCE

SCOPES = ["records:write", "resource:open", "resource:partner"]
CREATE = """mutation ($record: ResourceInput!) {
  createResource(input: {record: $record, share: true}) { id userErrors { message } }
}"""
ASKED = {"query": "{ resources(first: 100) { edges { node { id title area { code } } } } }"}


@pytest.fixture
def empty_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    pool = request.getfixturevalue("postgres_pool")
    url = pool.take()
    yield url
    pool.give_back(url)


def everything(home: Path) -> dict[str, Any]:
    """All that commands show of a node."""
    listed = done(home, "record", "list", "resource", "--first", 100)
    return {
        "records": sorted(json.dumps(done(home, "record", "show", row["id"]), sort_keys=True) for row in listed),
        "status": {row["id"]: row["status"] for row in listed},
        "policy": done(home, "policy", "show"),
        "history": [row["version"] for row in done(home, "policy", "show", "--history")],
        "clients": done(home, "client", "list"),
        "tokens": done(home, "token", "list"),
        "peers": done(home, "peer", "list"),
    }


def workers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in children if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def test_a_node_moves_to_postgresql_is_served_by_two_processes_and_moves_back(
    tmp_path: Path, empty_database: str
) -> None:
    port = free_ports(1) + 1
    home, url = tmp_path / "river", f"http://127.0.0.1:{port}"
    done(home, "init", "--name", "River", "--url", url, "--scope", "local")
    records = tmp_path / "records.json"
    records.write_bytes(
        orjson.dumps([{"type": "resource", "document": RESOURCE | {"title": f"Offer {n}"}} for n in range(12)])
    )
    assert len(done(home, "record", "add", records, "--share")["ids"]) == 12
    narrower = tmp_path / "policy.toml"
    narrower.write_text(
        done(home, "policy", "show")["policy"].replace('eligibility = "open"', 'eligibility = "partner"')
    )
    done(home, "policy", "apply", narrower)
    made = done(home, "client", "add", "editor", "--scopes", ",".join(SCOPES))
    token = done(home, "token", "issue", "asha", "--scopes", "resource:open")["token"]
    done(home, "peer", "invite")
    before = everything(home)

    moved = done(home, "db", "move", empty_database, "--yes")
    assert moved["rows"] > 12
    assert moved["next"] == f"To use them, set database_url in {home / 'federation.toml'} to that address."
    assert commanded(home, "db", "move", empty_database, "--yes").refused("CONFLICT", "empty database")
    settings = home / "federation.toml"
    on_sqlite = settings.read_text()
    settings.write_text(f'{on_sqlite}database_url = "{empty_database}"\nsweep_interval = 2\n')
    (home / "node.db").rename(tmp_path / "left.db")
    assert everything(home) == before
    assert done(home, "db", "check") == []

    served = Served(home, port, tmp_path / "river.log")
    served.start("--workers", "2")
    try:
        assert served.process is not None
        assert len(workers_of(served.process.pid)) == 2
        assert len(re.findall("No steward yet", served.said())) == 1
        editor = Caller(url, made["client_id"], made["private_jwk"], SCOPES)
        for number in range(6):
            record = {"title": f"There {number}", "kind": "LEGAL_SUPPORT", "expectations": "We answer."}
            created = editor.ask(CREATE, record=record)["createResource"]
            assert created["userErrors"] == []
            assert len(editor.ask(ASKED["query"])["resources"]["edges"]) == 13 + number  # on whichever process
        headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        assert post(f"{url}/graphql", headers, content=json.dumps(ASKED)).status_code == 200
        done(home, "client", "revoke", made["client_id"], "--yes")
        assert {editor.post("/graphql", ASKED).status_code for _ in range(8)} == {401}
    finally:
        assert served.end() in (0, -signal.SIGTERM)
    assert "Traceback" not in served.said()

    there = everything(home)
    assert len(there["records"]) == 18
    assert done(home, "audit", "verify") == []
    back = done(home, "db", "move", f"sqlite:///{home / 'node.db'}", "--yes")
    assert back["rows"] > 18
    assert back["next"] == f"To use them, remove database_url from {home / 'federation.toml'}."
    aside = done(home, "db", "move", f"sqlite:///{tmp_path / 'aside.db'}", "--yes")["next"]
    assert aside.startswith(f"To use them, put {tmp_path / 'aside.db'} in the home as {home / 'node.db'} and remove ")
    settings.write_text(on_sqlite)
    assert stat.S_IMODE((home / "node.db").stat().st_mode) == 0o600
    assert everything(home) == there
    assert done(home, "db", "check") == []
    assert done(home, "audit", "verify") == []
    assert {row["viewer"] for row in done(home, "audit", "list")} >= {made["client_id"]}
