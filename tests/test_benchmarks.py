"""The benchmarks run, their servers answer alike, and their tables find their place. Speed is not tested here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import checks, exchanges, pages, sampling
from benchmarks.checks import Check
from benchmarks.exchanges import Flow
from benchmarks.pages import Cost
from benchmarks.reporting import BEGIN, END, Sizes, report, written

ROOT = Path(__file__).parent.parent
SIZES = Sizes(records=60, rounds=1, each=1, exchanged=30, repetitions=1)


def test_every_server_gives_the_page_of_the_node(tmp_path: Path) -> None:
    costs = pages.compare(tmp_path, 60, 1, 1)  # raises where the floor or the usual server answers otherwise
    assert costs[0].name == pages.FLOOR
    assert costs[0].ratio == 1
    assert all(cost.cpu_ms > 0 and cost.size > 100 for cost in costs)


def test_every_step_that_a_viewer_costs_is_taken(tmp_path: Path) -> None:
    steps = checks.measured(tmp_path, 1, 2)  # raises where a token or a proof is refused
    assert [step.target for step in steps] == [0.3, 0.5, None, None]
    assert all(step.cpu_ms > 0 for step in steps)


def test_what_a_viewer_costs_stands_beside_its_target() -> None:
    costs = [Cost(pages.PARTNER, 1.2, 4.0, 14_700, 0.62), Cost(pages.FLOOR, 0.3, 1.0, 14_700)]
    text = report(costs, [], SIZES, [Check("token and proof", 0.25, 0.3), Check("ledger entry", 0.2)])
    assert "| token and proof | 0.25 | ≤ 0.3 |" in text
    assert "| ledger entry | 0.20 | – |" in text
    assert "| a page more by token, proof and ledger entry | 0.62 | ≤ 0.5 |" in text


def test_every_way_of_exchanging_brings_all_records(tmp_path: Path) -> None:
    flows = exchanges.compare(tmp_path, 30, 1)  # raises where one is missing or set aside
    assert [flow.name for flow in flows] == list(exchanges.NAMES.values())
    plain, kept = flows[1], flows[2]
    assert 0 < plain.size < kept.size


def test_records_are_of_the_size_that_the_targets_speak_of() -> None:
    fields, size = sampling.record_bytes()
    assert fields == 13
    assert 1000 <= size <= 1200


def test_the_table_takes_the_place_of_the_one_before() -> None:
    text = report([Cost("floor", 0.3, 1.0, 14_700)], [Flow("exchange", 5000.0, 0.4, 60.0, 90.0, 240.0)], SIZES)
    page = written((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"), text)
    assert written(page, text) == page
    assert "| floor | 0.30 | 1.00 | 14.7 |" in page
    assert "| exchange | 5,000 | 0.40 | 60 | 90 | 240 |" in page


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no marks"):
        written(f"{BEGIN} but no end", "table")
    assert written(f"{BEGIN}{END}", "table") == f"{BEGIN}\ntable\n{END}"
