"""The real directory, imported at river, as it arrives at aurora through west: all of it, and no more than that."""

from __future__ import annotations

import csv
import io
import json
import time
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from acceptance.caller import Caller, unb64
from acceptance.federation_demo import RunningDemo, free_ports, running_demo
from acceptance.holdings import CANARY, leaks_in_database, leaks_in_text, query, received
from federation.peers.provenance_packed import expires_of

PACKAGE = Path(__file__).parents[3] / "shared" / "data" / "miami-211-hsds-1.1.zip"
SERVICES = 4089

pytestmark = pytest.mark.skipif(not PACKAGE.exists(), reason=f"the real directory is not there: {PACKAGE.name}")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """The demonstration with the real directory at river."""
    with running_demo(tmp_path_factory.mktemp("real") / "demo", free_ports(3), PACKAGE) as running:
        yield running


def origin_of(home: Path) -> str:
    """The thumbprint under which a node's own records are known."""
    return query(home, "SELECT thumbprint FROM origins WHERE oid = 0")[0]["thumbprint"]


PAGE = """query ($after: String) {
  resources(first: 100, after: $after) {
    edges { node { id title summary eligibility expectations origin { id name } } }
    pageInfo { hasNextPage endCursor }
  }
}"""


def all_resources(analyst: Caller) -> list[dict[str, Any]]:
    nodes, after = [], None
    while True:
        page = analyst.ask(PAGE, after=after)["resources"]
        nodes += [edge["node"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            return nodes
        after = page["pageInfo"]["endCursor"]


def test_every_service_of_the_package_arrives_at_aurora_with_its_origin(directory: RunningDemo) -> None:
    river = directory.caller("partner").ask("{ networks(first: 100) { edges { node { id name origin { id } } } } }")
    name = query(directory.home("river"), "SELECT name__exact AS name FROM network WHERE via = 0")[0]["name"]
    (network,) = [edge["node"] for edge in river["networks"]["edges"] if edge["node"]["name"] == name]
    mine = [
        node
        for node in all_resources(directory.caller("aurora-analyst"))
        if node["origin"] and node["origin"]["name"] == name
    ]
    assert len(mine) == SERVICES
    assert {node["origin"]["id"] for node in mine} == {network["id"]}
    assert leaks_in_text(json.dumps(mine).encode()) == []


def test_titles_and_texts_are_those_of_the_package(directory: RunningDemo) -> None:
    with zipfile.ZipFile(PACKAGE) as package:
        name = next(name for name in package.namelist() if name.endswith("services.csv"))
        rows = list(csv.DictReader(io.StringIO(package.read(name).decode("utf-8-sig"))))
    assert len(rows) == SERVICES
    held = received(directory.home("aurora"), "resource", origin_of(directory.home("river")))
    titles = {" ".join((row["title__exact"] or "").split()) for row in held}
    named = {" ".join(row["name"].split()) for row in rows}
    assert len(named & titles) > 0.5 * len(named)  # the others name who offers them, which is cut out


def test_every_record_came_over_west_and_bears_a_signature_that_lasts(directory: RunningDemo) -> None:
    river, west, aurora = (directory.home(name) for name in ("river", "west", "aurora"))
    rows = received(aurora, "resource", origin_of(river), "r.path, r.provenance, r.status")
    assert len(rows) == SERVICES
    assert {row["path"] for row in rows} == {json.dumps([origin_of(river), origin_of(west)], separators=(",", ":"))}
    assert all(expires_of(row["provenance"]) > time.time() for row in rows)
    assert query(aurora, "SELECT * FROM quarantine") == []
    assert query(west, "SELECT * FROM quarantine") == []


@pytest.mark.parametrize("name", ["west", "aurora"])
def test_no_person_can_be_found_in_the_files_of_who_received(directory: RunningDemo, name: str) -> None:
    assert set(leaks_in_database(directory.home(name))) == set()
    assert leaks_in_text((directory.home(name) / "node.log").read_bytes()) == []


def test_river_itself_holds_what_was_cut_out(directory: RunningDemo) -> None:
    """The search finds what is there: at home, in the sealed documents."""
    assert any(
        table == "resource" and column == "home" for table, column, _ in leaks_in_database(directory.home("river"))
    )
    assert leaks_in_text((directory.home("river") / "node.log").read_bytes()) == []


@pytest.mark.parametrize(("source", "reader"), [("river", "west"), ("west", "aurora")])
def test_no_person_can_be_found_on_the_wire(directory: RunningDemo, source: str, reader: str) -> None:
    """The whole slice, asked for with the reader's own key."""
    jwk = json.loads((directory.home(reader) / "keys" / "peer.jwk").read_text())
    granted = directory.done(source, "peer", "show", reader)["scopes"]
    peer = Caller(directory.url(source), directory.url(reader), jwk, granted)
    asked: dict[str, Any] = {"run": uuid.uuid4().hex}
    services = 0
    while True:
        answer = peer.post("/exchange/reconcile", asked)
        if answer.status_code == 429:
            time.sleep(0.3)
            continue
        assert answer.status_code == 200, answer.text
        raw = answer.content
        body = zstandard.ZstdDecompressor().decompressobj().decompress(raw) if raw[:4] == b"\x28\xb5\x2f\xfd" else raw
        lines = [json.loads(line) for line in body.splitlines()]
        packed = b"\n".join(unb64(line.pop("sd")) for line in lines if "sd" in line)
        assert leaks_in_text(json.dumps(lines, ensure_ascii=False).encode()) == []
        assert CANARY.search(packed.decode("latin-1")) is None
        services += sum(line["k"] == "put" and line["t"] == "resource" for line in lines)
        start = next((line for line in lines if line["k"] == "start"), None)
        reached = [line for line in lines if line["k"] == "check" and "t" in line]
        if not lines[-1]["more"]:
            break
        asked |= {"incarnation": start["n"], "epoch": start["e"], "type": reached[-1]["t"], "after": reached[-1]["to"]}
    assert services >= SERVICES
