"""The table of a run, and its place in the documentation. Only what was measured is said."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.checks import Check
from benchmarks.exchanges import Flow
from benchmarks.pages import BEARER, ENTERED, FIRST, PARTNER, PROVEN, Cost
from benchmarks.sampling import record_bytes

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    records: int
    rounds: int
    each: int
    exchanged: int
    repetitions: int


ADDED = (
    (BEARER, "a page more by a personal token (Bearer)", None),
    (PROVEN, "a page more by token and proof", None),
    (ENTERED, "a page more by the ledger entry, endpoint alone", None),
    (PARTNER, "a page more by token, proof and ledger entry", 0.5),
)
"""Differences of kinds of pages that are told beside the single steps, and what they may be."""


def report(costs: Sequence[Cost], flows: Sequence[Flow], sizes: Sizes, checks: Sequence[Check] = ()) -> str:
    """The tables as Markdown, with the day and the machine."""
    lines = [machine(), ""]
    if costs:
        lines += [
            f"A page of {FIRST} of {sizes.records:,} records; {sizes.rounds} rounds of {sizes.each} requests, all kinds"
            " by turns. CPU is that of the server process; medians.",
            "",
            "| request | CPU ms | times the floor | answer kB |",
            "|---|--:|--:|--:|",
            *(f"| {one.name} | {one.cpu_ms:.2f} | {one.ratio:.2f} | {one.size / 1000:.1f} |" for one in costs),
            "",
        ]
    if checks:
        lines += _viewers(costs, checks)
    if flows:
        fields, size = record_bytes()
        lines += [
            f"{sizes.exchanged:,} records of {fields} fields and {size:,} bytes to a fresh peer; {sizes.repetitions}"
            " repetitions, all kinds by turns; medians.",
            "",
            "| exchange | records/s | share of the floor | source CPU µs | receiver CPU µs | bytes a record |",
            "|---|--:|--:|--:|--:|--:|",
            *(
                f"| {one.name} | {one.rate:,.0f} | {one.share:.2f} | {one.source_us:.0f} | {one.receiver_us:.0f} |"
                f" {one.size:.0f} |"
                for one in flows
            ),
            "",
        ]
    return "\n".join(lines)


def _viewers(costs: Sequence[Cost], checks: Sequence[Check]) -> list[str]:
    """The table of what a viewer costs, with the targets."""
    added = {one.name: one.added for one in costs}
    rows = [*checks, *(Check(told, added[name], target) for name, told, target in ADDED if name in added)]
    return [
        "What knowing the viewer and the ledger cost: single steps inside one process, then pages of a viewer beside"
        " the same without one. A wait for the disk is no processor time, but what runs after it has cold caches.",
        "",
        "| what | CPU ms | target ms |",
        "|---|--:|--:|",
        *(f"| {one.name} | {one.cpu_ms:.2f} | {'–' if one.target is None else f'≤ {one.target}'} |" for one in rows),
        "",
    ]


def machine() -> str:
    """The day, the processor, how busy the machine was besides, and the versions that matter."""
    model = platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        named = [line for line in facts.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    load = os.getloadavg()[1]
    return (
        f"{datetime.now(UTC).date().isoformat()}, {os.cpu_count()} cores ({model}), mean load {load:.1f} over the last"
        f" five minutes, Python {platform.python_version()}."
    )


def written(page: str, text: str) -> str:
    """The page with the table between its marks. ValueError where it has no place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no marks for the table")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"
