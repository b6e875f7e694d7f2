"""What every request of a partner pays beside its page: the check of token and proof, and the entry in the ledger.

Measured inside one process, without HTTP: processor time of the thread that does it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.programs import PARTNER, Program
from benchmarks.sampling import make_home
from federation.node import Node, open_node
from federation.oauth.personal import issue_personal_token
from federation.oauth.resource import RawHeaders, ResourceServer
from federation.settings import load_settings

RECORDS = 50


@dataclass(frozen=True)
class Check:
    """What one step cost: ms of processor time (median of rounds), and how much it may, if that is stated."""

    name: str
    cpu_ms: float
    target: float | None = None


@dataclass(frozen=True)
class _Step:
    name: str
    target: float | None
    prepare: Callable[[], RawHeaders]
    act: Callable[[RawHeaders], object]


def measured(work: Path, rounds: int, each: int) -> list[Check]:
    """Costs of all steps, by turns; `each` of a kind a round. The first round warms up and is not counted."""
    make_home(work / "checks", "http://127.0.0.1:1", 1)
    with closing(open_node(load_settings(work / "checks", {}, {})[0])) as node:
        steps = list(_steps(node))
        spent: dict[str, list[float]] = {step.name: [] for step in steps}
        for at in range(rounds + 1):
            for step in steps:
                given = [step.prepare() for _ in range(each)]
                begun = time.thread_time()
                for one in given:
                    step.act(one)
                if at:
                    spent[step.name].append((time.thread_time() - begun) / each * 1000)
    return [Check(step.name, median(spent[step.name]), step.target) for step in steps]


def _steps(node: Node) -> Iterator[_Step]:
    resource, program = ResourceServer(node.realm), Program(node, PARTNER)
    secret, _ = issue_personal_token(node.database, node.world, "benchmark", frozenset({"resource:open"}), node.scopes)
    gids = [node.world.draw("record-id", str(number), 24).hex() for number in range(RECORDS)]

    def raw(headers: Mapping[str, str]) -> RawHeaders:
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    def check(given: RawHeaders) -> object:
        return resource.authenticate(given, "POST", "/graphql")

    def enter(_: RawHeaders) -> object:
        return node.ledger.enter(program.client.client_id, "page", "resource", gids, 5, "benchmark")

    bearer = raw({"authorization": f"Bearer {secret}"})
    yield _Step("token and proof, token seen before", 0.3, lambda: raw(program.headers()), check)
    yield _Step("token and proof, token never seen", 0.5, lambda: raw(program.headers(program.token())), check)
    yield _Step("personal token (Bearer)", None, lambda: bearer, check)
    yield _Step(f"ledger entry of {RECORDS} records, committed to the disk", None, list, enter)
