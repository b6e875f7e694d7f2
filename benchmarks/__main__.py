"""`make bench`, or `python -m benchmarks`: measures, prints a table, and writes it into docs/benchmarks.md.

`--quick` measures tiny sizes to see that everything runs; its figures say nothing and are written nowhere.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import checks, exchanges, pages
from benchmarks.processes import ROOT
from benchmarks.reporting import Sizes, report, written

FULL = Sizes(records=10_000, rounds=11, each=40, exchanged=4_000, repetitions=3)
QUICK = Sizes(records=60, rounds=1, each=2, exchanged=40, repetitions=1)
DOCS = ROOT / "docs" / "benchmarks.md"


def main(arguments: list[str] | None = None) -> str:
    """Runs everything and gives the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes; nothing is written")
    parser.add_argument("--only", choices=("pages", "exchange"), help="one half; nothing is written")
    chosen = parser.parse_args(arguments)
    sizes = QUICK if chosen.quick else FULL
    with tempfile.TemporaryDirectory(prefix="federation-bench-") as directory:
        work = Path(directory)
        costs = [] if chosen.only == "exchange" else pages.compare(work, sizes.records, sizes.rounds, sizes.each)
        steps = [] if chosen.only == "exchange" else checks.measured(work, sizes.rounds, 5 * sizes.each)
        flows = [] if chosen.only == "pages" else exchanges.compare(work, sizes.exchanged, sizes.repetitions)
    text = report(costs, flows, sizes, steps)
    print(text)
    if not chosen.quick and chosen.only is None:
        DOCS.write_text(written(DOCS.read_text(encoding="utf-8"), text), encoding="utf-8")
    return text


if __name__ == "__main__":
    main()
