"""Bringing records in from files: what the commands `import` and `demo` share. Everything enters by the intake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from federation.formats.csv_records import read_csv_records
from federation.formats.hsds import documents, read_package
from federation.formats.imports import ImportOptions, ImportReport, ImportRow, RowProblem, source_uuid
from federation.intake import Incoming
from federation.node import Node
from federation.records import samples
from federation.storage.ids import network_id

BATCH = 500

Tracked = Callable[[Iterable[ImportRow | RowProblem]], Iterator[ImportRow | RowProblem]]
"""What shows progress: passes the rows on, one by one."""


def import_hsds(
    node: Node, file: Path, options: ImportOptions, *, share: bool, tracked: Tracked = iter
) -> ImportReport:
    """Takes a directory in; what has no expectations of its own and is given none stays a draft."""
    package = read_package(file)
    rows = documents(package, options, node.keys.secret, node.codes, node.keys.origin)
    # What its texts hold of people was looked through by the importer, which cuts and counts; see its report.
    return take_in(node, tracked(rows), share=share, confirm=True)


def import_csv(
    node: Node,
    file: Path,
    type_key: str,
    options: ImportOptions,
    *,
    share: bool,
    confirm: bool,
    tracked: Tracked = iter,
) -> ImportReport:
    """Takes in a table whose header names fields. A row whose texts hold what should not be published is refused
    unless that is confirmed; one without an id of its own is known again by what it says."""
    rows = read_csv_records(file, type_key, options, node.keys.secret, node.keys.origin)
    return take_in(node, tracked(rows), share=share, confirm=confirm)


def take_in(node: Node, rows: Iterable[ImportRow | RowProblem], *, share: bool, confirm: bool) -> ImportReport:
    """Passes rows to the intake in batches and gathers what became of each; a bad one stops no other. `confirm`: what
    their texts hold may be published, as it is."""
    report = ImportReport()
    waiting: list[ImportRow] = []
    for item in rows:
        report.read(item)
        if isinstance(item, ImportRow):
            waiting.append(item)
        if len(waiting) >= BATCH:
            _store(node, waiting, report, share, confirm)
            waiting = []
    _store(node, waiting, report, share, confirm)
    return report


def _store(node: Node, rows: list[ImportRow], report: ImportReport, share: bool, confirm: bool) -> None:
    incoming = [
        Incoming(row.type_key, row.document, row.id.bytes, share and row.has_expectations, number)
        for number, row in enumerate(rows)
    ]
    done = node.intake.import_many(node.operator, incoming, confirm=confirm)
    report.imported += done.created
    report.updated += done.amended
    report.unchanged += done.unchanged
    report.drafts += sum(not each.share for each, gid in zip(incoming, done.gids, strict=True) if gid is not None)
    for refusal in done.refused:
        row = rows[refusal.line or 0]
        field = f"{refusal.field}: " if refusal.field and f"{refusal.field}: " not in refusal.message else ""
        report.problems.append(RowProblem(row.file, row.source_line, f"{field}{refusal.message}"))


def load_samples(node: Node, name: str, types: frozenset[str] | None = None) -> int:
    """Takes in the invented records of the demonstration, shared, where they are missing; gives how many are new."""
    incoming = [
        Incoming(kind, document, _sample_id(node, name, seed), True, number)
        for number, (kind, seed, document) in enumerate(samples.load(name, node.world.today()))
        if types is None or kind in types
    ]
    done = node.intake.import_many(node.operator, incoming, confirm=True)
    if done.refused:
        raise RuntimeError(f"sample {name}: {done.refused[0].field}: {done.refused[0].message}")
    return done.created


def _sample_id(node: Node, name: str, seed: str) -> bytes:
    """The first network of a sample is the node itself; of all others the id is random to outsiders."""
    if seed == f"{name}:network:0":
        return network_id(node.keys.origin)
    return source_uuid(node.keys.secret, "sample", seed).bytes
