"""The exchange: all records of one node to a fresh peer, beside the floor, by turns in one run.

Source and receiver are processes of their own, linked and authenticated as two networks are. Each repetition has a new
receiver; what is counted is the first pull of everything.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from benchmarks import sampling
from benchmarks.processes import HOST, ROOT, Server, cpu_seconds, free_port, served
from federation.node import Node, create_home, open_node
from federation.peers import agreements, trust
from federation.records.registry import RECORD_TYPES
from federation.settings import FILE_NAME, load_settings

SOURCE = "source"
PULL_SECONDS = 300


@dataclass(frozen=True)
class Flow:
    """One way of exchanging: records a second end to end (median), its share of the floor's (median of repetitions),
    microseconds of processor time a record at both ends, bytes a record on the wire."""

    name: str
    rate: float
    share: float
    source_us: float
    receiver_us: float
    size: float


def _opened(home: Path) -> closing[Node]:
    return closing(open_node(load_settings(home, {}, {})[0]))


def link(source: Path, receiver: Path) -> None:
    """Links a fresh receiver to the source, verified on both sides, with every partner scope. The source serves."""
    with _opened(source) as one, _opened(receiver) as other:
        invitation = trust.invite(one.database, one.world, one.me)
        trust.accept(other.database, other.world, other.me, other.outbound, invitation, SOURCE)
        name = other.settings.name
        words = " ".join(trust.words_of(one.me, agreements.partner(one.database, name)))
        trust.verify(one.database, one.me, name, words)
        trust.verify(other.database, other.me, SOURCE, words)
        scopes = [f"{kind}:partner" for kind in RECORD_TYPES] + ["exchange"]
        until = one.world.today() + timedelta(days=365)
        agreements.grant(one.database, one.world, one.catalogue, name, scopes, "coordination", until)


def _receiver(work: Path, name: str) -> Path:
    values: Mapping[str, Any] = {
        "name": name,
        "url": f"http://{HOST}:{free_port()}",
        "scope": "regional",
        "place_k": 1,
        "allow_private_peers": ["127.0.0.0/8"],
        "log_level": "error",
    }
    create_home(work / name, values)
    return work / name


def _pulled(kind: str, home: Path, source: str, server: Server) -> dict[str, Any]:
    """One pull in a process of its own, and what it cost the source."""
    begun = cpu_seconds(server.pid)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.receivers", kind, str(home), source],
        cwd=ROOT,
        capture_output=True,
        timeout=PULL_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the pull failed:\n{done.stderr.decode(errors='replace')[-2000:]}")
    return {**orjson.loads(done.stdout), "source_cpu": cpu_seconds(server.pid) - begun}


def _rounds(work: Path, records: int, repetitions: int) -> Iterator[dict[str, dict[str, Any]]]:
    port, bare = free_port(), free_port()
    url = f"http://{HOST}:{port}"
    signing, silent = work / SOURCE, work / "silent"
    sampling.make_home(signing, url, records)
    shutil.copytree(signing, silent)
    told = silent / FILE_NAME
    told.write_text(told.read_text().replace(url, f"http://{HOST}:{bare}") + "max_hops = 1\n")
    wanted = ("node", signing, port), ("node", silent, bare), ("floor_exchange", signing, None)
    with served(*wanted) as (node, plain, floor):
        for at in range(repetitions):
            found = {"floor": _pulled("floor", _receiver(work, f"floor{at}"), str(floor.port), floor)}
            for kind, home, server in (("plain", silent, plain), ("signed", signing, node)):
                receiver = _receiver(work, f"{kind}{at}")
                link(home, receiver)
                found[kind] = _pulled("node", receiver, SOURCE, server)
            yield found


NAMES = {
    "floor": "floor: rows as NDJSON with zstd, same tables and indexes",
    "plain": "exchange without provenance (no relay)",
    "signed": "exchange with provenance, signed on the way and verified",
}


def compare(work: Path, records: int, repetitions: int) -> list[Flow]:
    """All ways of exchanging `records` records. RuntimeError where one did not take all of them in."""
    rounds = list(_rounds(work, records, repetitions))
    for found in rounds:
        for kind, one in found.items():
            if not records <= one["records"] <= records + 1:  # the source's own network comes along
                raise RuntimeError(f"{kind}: {one['records']} records of {records} arrived")
    flows = []
    for kind, name in NAMES.items():
        costs = [each[kind] for each in rounds]
        rates = [one["records"] / one["seconds"] for one in costs]
        floors = [each["floor"]["records"] / each["floor"]["seconds"] for each in rounds]
        flows.append(
            Flow(
                name,
                median(rates),
                median(rate / low for rate, low in zip(rates, floors, strict=True)),
                median(one["source_cpu"] / one["records"] * 1e6 for one in costs),
                median(one["cpu"] / one["records"] * 1e6 for one in costs),
                median(one["bytes"] / one["records"] for one in costs),
            )
        )
    return flows
