"""`federation import … | export …`: records from and to files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from federation.cli import exporting
from federation.cli.importing import import_csv, import_hsds
from federation.cli.options import HERE, DryRun, Home, Json, node_at
from federation.cli.output import FINDINGS, STOPPED, Output
from federation.cli.reading import own_records
from federation.cli.record import type_named
from federation.cli.viewers import PUBLIC, As, viewer_named
from federation.errors import BadInput
from federation.formats.csv_records import write_csv
from federation.formats.imports import ImportOptions, ImportReport
from federation.formats.jsonlines import write_records

import_app = typer.Typer(no_args_is_help=True, help="Records from files.")
export_app = typer.Typer(no_args_is_help=True, help="Records to files.")

SHOWN = 20

Source = Annotated[Path, typer.Argument(exists=True, help="The file, or an unpacked package's folder.")]
Target = Annotated[Path, typer.Argument(help="Where to write; must not exist.")]
Types = Annotated[list[str] | None, typer.Option("--type", help="Only this type; may be repeated.")]
Share = Annotated[bool, typer.Option("--share", help="Share what has expectations; the rest stays a draft.")]


@import_app.command("hsds")
def import_directory(
    file: Source,
    share: Share = False,
    expectations: Annotated[
        str | None,
        typer.Option(help="What the offers do not do, and how soon they answer, where the source is silent."),
    ] = None,
    publish_websites: Annotated[
        bool, typer.Option("--publish-websites", help="Show websites; they often tell who the provider is.")
    ] = False,
    source: Annotated[
        str | None, typer.Option(help="The directory's name; a later edition updates its records.")
    ] = None,
    language: Annotated[str, typer.Option(help="The language of its texts.")] = "en",
    country: Annotated[str | None, typer.Option(help="Country of addresses that name none, like US.")] = None,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Takes in an HSDS data package (1.1 to 3.x) or HSDS JSON. A second import changes nothing."""
    out = Output(json)
    options = ImportOptions(expectations, publish_websites, source, language, country)
    if share and not expectations:
        out.note(
            "Without --expectations only offers whose source says how to apply are shared; the others stay drafts."
        )
    with _stoppable(out, dry_run), node_at(home, dry_run=dry_run) as node:
        report = import_hsds(node, file, options, share=share, tracked=lambda rows: out.tracked("import", rows))
    _tell(out, report, dry_run)


@import_app.command("csv")
def import_table(
    file: Source,
    type_name: Annotated[str, typer.Option("--type", help="The type of the records, like resource.")] = "resource",
    share: Share = False,
    expectations: Annotated[
        str | None, typer.Option(help="What the offers do not do, and how soon they answer, where a row is silent.")
    ] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Confirm warnings about personal details.")] = False,
    home: Home = HERE,
    json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Takes in a CSV file whose header names the fields of one type; rows with personal details need --confirm."""
    out = Output(json)
    with _stoppable(out, dry_run), node_at(home, dry_run=dry_run) as node:
        report = import_csv(
            node,
            file,
            type_named(type_name),
            ImportOptions(expectations),
            share=share,
            confirm=confirm,
            tracked=lambda rows: out.tracked("import", rows),
        )
    _tell(out, report, dry_run)


@contextmanager
def _stoppable(out: Output, dry_run: bool) -> Iterator[None]:
    """Says after Ctrl-C what became of it: batches that were taken in are kept, the one under way is not."""
    try:
        yield
    except KeyboardInterrupt:
        kept = "Nothing was written." if dry_run else "What was taken in stays; give the command again to go on."
        out.note(f"Stopped. {kept}")
        raise typer.Exit(STOPPED) from None


def _tell(out: Output, report: ImportReport, dry_run: bool) -> None:
    cut = ", ".join(f"{count} {kind}" for kind, count in sorted(report.cut.items())) or "nothing"
    lines = [
        f"{report.imported} new, {report.updated} updated, {report.unchanged} unchanged; {report.drafts} drafts; "
        f"{report.rows('record')} could not go in.",
        *_other_rows(report),
        f"Cut out of free text: {cut}.",
        *(f"  {problem}" for problem in report.problems[:SHOWN]),
    ]
    if len(report.problems) > SHOWN:
        lines.append(f"  and {len(report.problems) - SHOWN} more; --json lists all.")
    if dry_run:
        lines.insert(0, "Nothing was written.")
    out.result(report.as_json() | {"dry_run": dry_run}, "\n".join(lines))
    if report.needs_someone:
        raise typer.Exit(FINDINGS)


def _other_rows(report: ImportReport) -> list[str]:
    """A line on rows that are no records, where there is something to say."""
    unread, loose = report.rows("unread"), report.rows("loose")
    return [f"Of other rows {unread} could not be read, {loose} belong to no record."] if unread or loose else []


@export_app.command("json")
def export_json(
    file: Target,
    types: Types = None,
    home: Home = HERE,
    json: Json = False,
) -> None:
    """Writes the node's own records whole, sealed fields too, a line each. Guard the file."""
    _export(file, [type_named(name) for name in types or []], home, json, "json")


@export_app.command("csv")
def export_csv(
    file: Target,
    type_name: Annotated[str, typer.Option("--type", help="The type of the records.")] = "resource",
    home: Home = HERE,
    json: Json = False,
) -> None:
    """Writes the node's own records of one type as a table, sealed fields too. Guard the file."""
    _export(file, [type_named(type_name)], home, json, "csv")


def _check_new(file: Path) -> None:
    if file.exists():
        raise BadInput(f"{file} exists; choose another name.")


def _export(file: Path, types: list[str], home: Path, json: bool, form: str) -> None:
    _check_new(file)
    out = Output(json)
    written = 0
    with node_at(home) as node:
        records = out.tracked("export", own_records(node, types))
        lines = write_csv(types[0], records) if form == "csv" else write_records(records)
        with _whole(file) as target:
            for line in lines:
                target.write(line)
                written += 1
    out.result({"file": str(file), "lines": written}, f"{written} lines in {file}.")


@export_app.command("hsds")
def export_directory(
    file: Target, types: Types = None, viewer: As = PUBLIC, home: Home = HERE, json: Json = False
) -> None:
    """Writes offers as HSDS 3 JSON, as far as a viewer sees them: as `public`, what may be published."""
    _export_seen(file, types, viewer, home, json, exporting.hsds())


@export_app.command("icalendar")
def export_calendar(
    file: Target, types: Types = None, viewer: As = PUBLIC, home: Home = HERE, json: Json = False
) -> None:
    """Writes a calendar of what has a date, as far as a viewer sees it: as `public`, what may be published."""
    _export_seen(file, types, viewer, home, json, exporting.icalendar())


def _export_seen(
    file: Path, types: list[str] | None, viewer: str, home: Path, json: bool, form: exporting.Form
) -> None:
    _check_new(file)
    out = Output(json)
    with node_at(home) as node:
        who = viewer_named(node, viewer)
        records = exporting.seen_by(node, who, form, [type_named(name) for name in types or []])
        with _whole(file) as target:
            written = -form.around
            for piece in form.pieces(out.tracked("export", records), node.codes):
                target.write(piece)
                written += 1
    if not written:
        out.note(f"There is nothing for {viewer} in it. `policy preview --as {viewer}` shows what it sees.")
    told = f"{written} {form.counts} in {file}, as {viewer} sees them."
    out.result({"file": str(file), "viewer": viewer, form.counts: written}, told)


@contextmanager
def _whole(file: Path) -> Iterator[BinaryIO]:
    """A new file for its owner alone; what could not be written to its end is removed again."""
    with open(file, "xb", opener=_private) as target:
        try:
            yield target
            target.flush()
        except BaseException:
            file.unlink()
            raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
